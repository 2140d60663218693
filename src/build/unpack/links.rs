//! Symbolic links of an archive, followed on paper before any of them exists.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Linux follows at most 40 links in one lookup (`path_resolution(7)`); a longer chain leads nowhere.
const MOST_HOPS: u32 = 40;

/// Links by their place, relative to the top of the tree.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeMap<PathBuf, PathBuf>);

impl Links {
    pub(super) fn add(&mut self, link: PathBuf, target: PathBuf) {
        self.0.insert(link, target);
    }

    pub(super) fn contains(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &Path)> {
        self.0.iter().map(|(link, target)| (link.as_path(), target.as_path()))
    }

    /// A link that leaves the tree, directly or through others.
    pub(super) fn first_that_leads_out(&self) -> Option<&Path> {
        self.iter().map(|(link, _)| link).find(|link| self.leads_out(link))
    }

    fn leads_out(&self, link: &Path) -> bool {
        let mut here = PathBuf::new();
        let mut ahead: Vec<Part> = parts(link);
        let mut hops = 0;
        while let Some(part) = ahead.pop() {
            match part {
                Part::Root => return true,
                Part::Up if !here.pop() => return true,
                Part::Up => {}
                Part::Down(name) => {
                    here.push(name);
                    if let Some(target) = self.0.get(&here) {
                        hops += 1;
                        if hops > MOST_HOPS {
                            return false;
                        }
                        here.pop();
                        ahead.extend(parts(target));
                    }
                }
            }
        }
        false
    }
}

/// One part of a path.
enum Part {
    Root,
    Up,
    Down(OsString),
}

/// The parts of a path, last first.
fn parts(path: &Path) -> Vec<Part> {
    let part = |component| match component {
        Component::Prefix(_) | Component::RootDir => Some(Part::Root),
        Component::ParentDir => Some(Part::Up),
        Component::CurDir => None,
        Component::Normal(name) => Some(Part::Down(name.to_owned())),
    };
    path.components().rev().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_to_their_end() {
        /// What it shows, the links, and which one leads out.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);
        let cases: [Case<'_>; 9] = [
            ("beside", &[("a", "b")], None),
            ("up inside", &[("x/y", "../z")], None),
            ("absolute", &[("a", "/etc/passwd")], Some("a")),
            ("straight out", &[("x/y", "../../z")], Some("x/y")),
            ("down and out", &[("a", "b/../../c")], Some("a")),
            ("out by way of a link to the top", &[("a", "."), ("b", "a/a/../..")], Some("b")),
            ("shorter than it reads", &[("d/e/l", "../.."), ("m", "d/e/l/..")], Some("m")),
            ("through a link, inside", &[("s", "d/e"), ("t", "s/../f")], None),
            ("round in circles", &[("a", "b"), ("b", "a")], None),
        ];
        for (case, links, out) in cases {
            let links = Links(links.iter().map(|(link, target)| (link.into(), target.into())).collect());
            assert_eq!(links.first_that_leads_out(), out.map(Path::new), "{case}");
        }
    }
}
