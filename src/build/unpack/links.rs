//! Symbolic links of an archive, followed on paper before any of them exists.
//!
//! # Guarantees
//!
//! - Every part of every target is looked at once, however the links lead through each other: where a
//!   link ends is noted when it is found out.
//! - A chain of any length is followed to its end, although Linux gives up after 40 links
//!   (`path_resolution(7)`): who else reads the tree may not.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Component, Components, Path, PathBuf};

/// The top of the tree.
const TOP: usize = 0;

/// Links by their place, relative to the top of the tree.
#[derive(Debug)]
pub(super) struct Links {
    /// In the order in which they came.
    links: Vec<(PathBuf, usize)>,
    /// The links and the folders that they lie in.
    places: Vec<Place>,
}

#[derive(Debug, Default)]
struct Place {
    above: usize,
    below: HashMap<OsString, usize>,
    /// Of a link.
    target: Option<PathBuf>,
}

/// Another link lies below the place of a link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overlap;

impl Default for Links {
    fn default() -> Self {
        Self { links: Vec::new(), places: vec![Place::default()] }
    }
}

impl Links {
    /// Takes a link in, and answers how many places are new by it. Nothing may lie below a link: the
    /// order of the entries would decide where it goes.
    pub(super) fn add(&mut self, link: PathBuf, target: PathBuf) -> Result<usize, Overlap> {
        let before = self.places.len();
        let mut here = TOP;
        for name in &link {
            let next = self.places.len();
            let next = *self.places[here].below.entry(name.to_owned()).or_insert(next);
            if next == self.places.len() {
                self.places.push(Place { above: here, ..Place::default() });
            }
            here = next;
        }
        if !self.places[here].below.is_empty() {
            return Err(Overlap);
        }
        self.places[here].target = Some(target);
        self.links.push((link, here));
        Ok(self.places.len() - before)
    }

    /// The link at a path or above it.
    pub(super) fn on_the_way<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        let mut here = TOP;
        let mut depth = 0;
        for name in path {
            here = *self.places[here].below.get(name)?;
            depth += 1;
            if self.places[here].target.is_some() {
                let above = path.iter().count() - depth;
                return path.ancestors().nth(above);
            }
        }
        None
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &Path)> {
        let target = |place: usize| self.places[place].target.as_deref().unwrap_or(Path::new(""));
        self.links.iter().map(move |(link, place)| (link.as_path(), target(*place)))
    }

    /// A link that leaves the tree, directly or through others.
    pub(super) fn first_that_leads_out(&self) -> Option<&Path> {
        let (ends, _) = self.followed();
        let mut links = self.links.iter().zip(ends);
        links.find(|(_, end)| *end == End::Outside).map(|((link, _), _)| link.as_path())
    }

    /// Where each link ends, and how many parts of targets were looked at for it.
    fn followed(&self) -> (Vec<End>, usize) {
        let mut follower = Follower::new(&self.places);
        let ends = self.links.iter().map(|(_, place)| follower.end(*place)).collect();
        (ends, follower.steps)
    }
}

/// Where a link leads at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// So many levels below a place; below it there is no other.
    Inside {
        place: usize,
        deeper: usize,
    },
    Outside,
    /// Round in circles.
    Nowhere,
}

/// What is known of a link.
#[derive(Debug, Clone, Copy)]
enum Known {
    Nothing,
    UnderWay,
    Ends(End),
}

/// Follows links, each once.
struct Follower<'l> {
    places: &'l [Place],
    known: Vec<Known>,
    /// Parts of targets that were looked at.
    steps: usize,
}

/// One link on its way.
struct Walk<'l> {
    link: usize,
    place: usize,
    deeper: usize,
    ahead: Components<'l>,
    /// The link that has to be followed first.
    through: Option<usize>,
}

impl<'l> Follower<'l> {
    fn new(places: &'l [Place]) -> Self {
        Self { places, known: vec![Known::Nothing; places.len()], steps: 0 }
    }

    /// Where a link ends. Not by recursion: a chain is as long as its archive has it.
    fn end(&mut self, link: usize) -> End {
        let mut walks = Vec::new();
        if matches!(self.known[link], Known::Nothing) {
            walks.push(self.begin(link));
        }
        while let Some(mut walk) = walks.pop() {
            match self.go_on(&mut walk) {
                Some(end) => self.known[walk.link] = Known::Ends(end),
                None => {
                    let next = walk.through.map(|through| self.begin(through));
                    walks.push(walk);
                    walks.extend(next);
                }
            }
        }
        match self.known[link] {
            Known::Ends(end) => end,
            Known::Nothing | Known::UnderWay => End::Nowhere,
        }
    }

    fn begin(&mut self, link: usize) -> Walk<'l> {
        self.known[link] = Known::UnderWay;
        let place = &self.places[link];
        let ahead = place.target.as_deref().unwrap_or(Path::new("")).components();
        Walk { link, place: place.above, deeper: 0, ahead, through: None }
    }

    /// To its end, or `None` at a link that has to be followed first.
    fn go_on(&mut self, walk: &mut Walk<'l>) -> Option<End> {
        loop {
            if let Some(through) = walk.through {
                match self.known[through] {
                    Known::Nothing => return None,
                    Known::UnderWay => return Some(End::Nowhere),
                    Known::Ends(End::Inside { place, deeper }) => (walk.place, walk.deeper) = (place, deeper),
                    Known::Ends(end) => return Some(end),
                }
                walk.through = None;
            }
            let Some(part) = walk.ahead.next() else {
                return Some(End::Inside { place: walk.place, deeper: walk.deeper });
            };
            self.steps += 1;
            match part {
                Component::Prefix(_) | Component::RootDir => return Some(End::Outside),
                Component::CurDir => {}
                Component::ParentDir if walk.deeper > 0 => walk.deeper -= 1,
                Component::ParentDir if walk.place == TOP => return Some(End::Outside),
                Component::ParentDir => walk.place = self.places[walk.place].above,
                Component::Normal(name) => match self.places[walk.place].below.get(name) {
                    Some(next) if walk.deeper == 0 => {
                        if self.places[*next].target.is_some() {
                            walk.through = Some(*next);
                        } else {
                            walk.place = *next;
                        }
                    }
                    _ => walk.deeper += 1,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links<'a>(links: impl IntoIterator<Item = (&'a str, &'a str)>) -> Links {
        let mut all = Links::default();
        for (link, target) in links {
            all.add(link.into(), target.into()).expect("no link below a link");
        }
        all
    }

    #[test]
    fn links_are_followed_to_their_end() {
        /// What it shows, the links, and which one leads out.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
        let cases: [Case<'_>; 11] = [
            ("beside", &[("a", "b")], None),
            ("up inside", &[("x/y", "../z")], None),
            ("absolute", &[("a", "/etc/passwd")], Some("a")),
            ("straight out", &[("x/y", "../../z")], Some("x/y")),
            ("down and out", &[("a", "b/../../c")], Some("a")),
            ("out by way of a link to the top", &[("a", "."), ("b", "a/a/../..")], Some("b")),
            ("shorter than it reads", &[("d/e/l", "../.."), ("m", "d/e/l/..")], Some("m")),
            ("through a link, inside", &[("s", "d/e"), ("t", "s/../f")], None),
            ("round in circles", &[("a", "b"), ("b", "a")], None),
            ("round in circles and out", &[("a", "b"), ("b", "a/../../../x")], None),
            ("through the folder of another link", &[("d/e/l", "x"), ("m", "d/e/../../..")], Some("m")),
        ];
        for (case, given, out) in cases {
            let links = links(given.iter().copied());
            assert_eq!(links.first_that_leads_out(), out.map(Path::new), "{case}");
        }
    }

    #[test]
    fn a_chain_of_any_length_is_followed_and_each_part_once() {
        let long = "x/../".repeat(40);
        let names: Vec<(String, String)> =
            (0..2_000).map(|n| (format!("l{n}"), format!("{long}l{}/{long}.", n + 1))).collect();
        let mut chain = links(names.iter().map(|(link, target)| (link.as_str(), target.as_str())));
        let parts: usize = chain.iter().map(|(_, target)| target.components().count()).sum();
        let (ends, steps) = chain.followed();
        assert_eq!(steps, parts);
        assert!(!ends.contains(&End::Outside));
        chain.add("l2000".into(), "..".into()).expect("a new name");
        assert_eq!(chain.first_that_leads_out(), Some(Path::new("l0")), "all of them do by now");
        assert!(chain.followed().1 <= parts + 1);
    }

    #[test]
    fn nothing_lies_below_a_link_whichever_came_first() {
        let mut links = links([("a/b", "../../../etc")]);
        assert_eq!(links.add("a".into(), "d".into()), Err(Overlap));
        assert_eq!(links.on_the_way(Path::new("a/b/c")), Some(Path::new("a/b")));
        assert_eq!(links.on_the_way(Path::new("a/b")), Some(Path::new("a/b")));
        assert_eq!(links.on_the_way(Path::new("a/c")), None);
    }
}
