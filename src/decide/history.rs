//! Which release to go back to.

use crate::model::{Generation, Release};

/// The release to roll back to: the one of that generation, or the one before what runs now.
///
/// `releases` are the stage's, newest first; the first is what runs. Going back twice goes back two
/// releases: what runs again counts as the release that it once was.
pub fn roll_back(releases: &[Release], to: Option<Generation>) -> Option<&Release> {
    if let Some(generation) = to {
        return releases.iter().find(|release| release.generation == generation);
    }
    let now = releases.first()?;
    let first_of_its_kind = releases.iter().rposition(|release| is_same(release, now))?;
    releases.iter().skip(first_of_its_kind).find(|release| !is_same(release, now))
}

fn is_same(one: &Release, other: &Release) -> bool {
    one.sha == other.sha && one.digest == other.digest && one.artifacts == other.artifacts
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{release, spec};
    use super::*;

    fn releases(commits: &[char]) -> Vec<Release> {
        let newest = i64::try_from(commits.len()).unwrap();
        let numbers = (1..=newest).rev().map(Generation);
        commits
            .iter()
            .zip(numbers)
            .map(|(digit, generation)| Release { generation, ..release(&spec(*digit)) })
            .collect()
    }

    fn back(commits: &[char], to: Option<i64>) -> Option<i64> {
        roll_back(&releases(commits), to.map(Generation)).map(|release| release.generation.0)
    }

    #[test]
    fn going_back_twice_goes_back_two() {
        assert_eq!(back(&['c', 'b', 'a'], None), Some(2));
        assert_eq!(back(&['b', 'c', 'b', 'a'], None), Some(1), "newest first: b runs again, a came before it");
        assert_eq!(back(&['a', 'b', 'c', 'b', 'a'], None), None, "there is nothing before the first");
        assert_eq!(back(&['a', 'a'], None), None);
        assert_eq!(back(&[], None), None);
        assert_eq!((back(&['c', 'b', 'a'], Some(1)), back(&['c', 'b', 'a'], Some(9))), (Some(1), None));
    }
}
