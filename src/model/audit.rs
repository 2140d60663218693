//! The record of who asked for what, as a chain: each entry's hash covers the hash before it.
//!
//! # Guarantees
//!
//! - An entry that was changed, taken out, put in or moved by hand is found, and the first such one
//!   is named; so is an end that was cut off.
//! - A chain that ends before what was noted of it outside, or has another entry there, is found.
//! - What the chain cannot show: that somebody who may write the database made the whole of it
//!   anew, its end and what was noted in the database included. Then the last hash is another one than
//!   was noted elsewhere: in comments and where the server's words are kept.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{RepoName, Timestamp};

/// One line of the record of who asked for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub at: Timestamp,
    pub repo: RepoName,
    /// Login and numeric id, or `greenroom`.
    pub actor: String,
    /// `goal`, `remove`, `refuse`, ...
    pub action: String,
    /// The stage or command it was about.
    pub subject: String,
    /// JSON.
    pub details: String,
}

/// A place in a repository's chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLink {
    /// Counts a repository's entries from 1.
    pub number: i64,
    /// SHA-256 of the hash before and of this entry, 64 hexadecimal digits.
    pub hash: String,
}

/// An entry as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// `None` for what an older version wrote, until its repository's next entry.
    pub link: Option<AuditLink>,
    pub entry: AuditEntry,
}

impl AuditLink {
    /// Before the first entry of a repository.
    pub fn start(repo: &RepoName) -> Self {
        Self { number: 0, hash: hex::encode(Sha256::digest(format!("greenroom audit {repo}"))) }
    }

    /// The place of the entry that follows this one.
    #[must_use]
    pub fn next(&self, entry: &AuditEntry) -> Self {
        let number = self.number.saturating_add(1);
        let AuditEntry { at, repo, actor, action, subject, details } = entry;
        // A list has one order, and JSON keeps its texts apart.
        let content = serde_json::json!([self.hash, number, at, repo, actor, action, subject, details]).to_string();
        Self { number, hash: hex::encode(Sha256::digest(content)) }
    }
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tampering {
    /// Its words are not those that were written, or it does not follow the one before it.
    Changed,
    /// It is not there.
    Missing,
    /// It was never written by Greenroom, or stands at another place than it was written at.
    Added,
    /// It is the last, and what says so is gone.
    Unended,
}

/// The first entry with which something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadEntry {
    pub number: i64,
    pub what: Tampering,
}

/// What a look at a repository's whole audit came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditVerdict {
    pub repo: RepoName,
    /// All entries that are there.
    pub entries: u64,
    /// Those from before there was a chain; the repository's next entry takes them in.
    pub before_chain: u64,
    /// So many of the oldest were cut off to keep a state small; the first one that is there follows from them.
    #[serde(default)]
    pub cut: i64,
    /// The last entry that follows from all before it. Noted elsewhere, it shows later that none of
    /// them was made anew.
    pub last: Option<AuditLink>,
    pub first_bad: Option<BadEntry>,
}

/// Follows a chain from its start. Entries are taken in the order in which they were written.
#[derive(Debug)]
pub struct AuditCheck {
    repo: RepoName,
    /// Where the chain ended when the check began.
    end: Option<AuditLink>,
    cut: i64,
    at: AuditLink,
    entries: u64,
    before_chain: u64,
    first_bad: Option<BadEntry>,
    /// What was noted outside of the chain.
    noted: BTreeSet<(i64, String)>,
}

impl AuditCheck {
    /// `end` is the recorded end of the chain, read before the entries.
    pub fn new(repo: &RepoName, end: Option<AuditLink>) -> Self {
        let at = AuditLink::start(repo);
        let noted = BTreeSet::new();
        Self { repo: repo.clone(), end, cut: 0, at, entries: 0, before_chain: 0, first_bad: None, noted }
    }

    /// Follows it from where it was cut, instead of from its start.
    #[must_use]
    pub fn cut_at(mut self, cut: Option<AuditLink>) -> Self {
        if let Some(cut) = cut {
            self.cut = cut.number;
            self.at = cut;
        }
        self
    }

    /// Holds the chain against places of it that were noted before the entries are read.
    #[must_use]
    pub fn with_noted(mut self, noted: impl IntoIterator<Item = AuditLink>) -> Self {
        self.noted.extend(noted.into_iter().map(|link| (link.number, link.hash)));
        self
    }

    /// Whether something else was noted of the entry with this number.
    fn is_noted_otherwise(&self, link: &AuditLink) -> bool {
        let number = link.number;
        let mut noted = self.noted.range((number, String::new())..(number.saturating_add(1), String::new()));
        noted.any(|(_, hash)| *hash != link.hash)
    }

    /// Takes the next entry.
    pub fn take(&mut self, line: &AuditLine) {
        self.entries += 1;
        if self.first_bad.is_some() {
            return;
        }
        let expected = self.at.next(&line.entry);
        let bad = |number, what| Some(BadEntry { number, what });
        self.first_bad = match &line.link {
            None if self.end.is_none() && self.at.number == 0 => {
                self.before_chain += 1;
                return;
            }
            None => bad(expected.number, Tampering::Added),
            // The next entry takes in all from before the chain: none is left beside it.
            Some(link) if self.before_chain > 0 => bad(link.number, Tampering::Added),
            Some(link) if link.number > expected.number => bad(expected.number, Tampering::Missing),
            Some(link) if link.number < expected.number => bad(link.number, Tampering::Added),
            Some(link) if link.hash != expected.hash => bad(link.number, Tampering::Changed),
            Some(link) if self.end.as_ref().is_some_and(|end| end.number == link.number && end.hash != link.hash) => {
                bad(link.number, Tampering::Changed)
            }
            Some(link) if self.is_noted_otherwise(link) => bad(link.number, Tampering::Changed),
            Some(_) => None,
        };
        if self.first_bad.is_none() {
            self.at = expected;
        }
    }

    /// The verdict. `end` is the recorded end, read after the entries: those that were written in
    /// the meantime are none that somebody added by hand.
    pub fn verdict(self, end: Option<&AuditLink>) -> AuditVerdict {
        let last = self.at.number;
        let noted = self.noted.last().map_or(0, |(number, _)| *number);
        let was = self.end.as_ref().map_or(0, |end| end.number).max(noted);
        let bad = |number, what| Some(BadEntry { number, what });
        let at_end = match end {
            _ if was > last => bad(last.saturating_add(1), Tampering::Missing),
            None if last > 0 => bad(last, Tampering::Unended),
            Some(end) if end.number < last => bad(end.number.saturating_add(1), Tampering::Added),
            _ => None,
        };
        AuditVerdict {
            repo: self.repo,
            entries: self.entries,
            before_chain: self.before_chain,
            cut: self.cut,
            last: (last > 0).then_some(self.at),
            first_bad: self.first_bad.or(at_end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo() -> RepoName {
        RepoName::new("acme/shop").expect("a repository")
    }

    fn chain(count: i64) -> Vec<AuditLine> {
        let mut link = AuditLink::start(&repo());
        let line = |number: i64| {
            let text = |word: &str| format!("{word} {number}");
            let (actor, action, subject, details) = (text("who"), text("what"), text("about"), text("more"));
            let entry = AuditEntry { at: Timestamp(number), repo: repo(), actor, action, subject, details };
            link = link.next(&entry);
            AuditLine { link: Some(link.clone()), entry }
        };
        (1..=count).map(line).collect()
    }

    fn check(lines: &[AuditLine], before: Option<&AuditLink>, after: Option<&AuditLink>) -> AuditVerdict {
        let mut check = AuditCheck::new(&repo(), before.cloned());
        for line in lines {
            check.take(line);
        }
        check.verdict(after)
    }

    #[test]
    fn every_word_of_an_entry_and_the_hash_before_it_count() {
        let lines = chain(4);
        let end = lines[3].link.as_ref();
        assert_eq!(check(&lines, end, end).first_bad, None);
        let changes: [fn(&mut AuditEntry); 6] = [
            |entry| entry.at = Timestamp(9),
            |entry| entry.repo = RepoName::new("acme/other").expect("a repository"),
            |entry| entry.actor.push('x'),
            |entry| entry.action.push('x'),
            |entry| entry.subject.push('x'),
            |entry| entry.details.push('x'),
        ];
        for change in changes {
            let mut changed = lines.clone();
            change(&mut changed[1].entry);
            let expected = BadEntry { number: 2, what: Tampering::Changed };
            assert_eq!(check(&changed, end, end).first_bad, Some(expected));
            // With a hash that fits its words it is the next one that does not follow.
            changed[1].link = changed[0].link.as_ref().map(|link| link.next(&changed[1].entry));
            let expected = BadEntry { number: 3, what: Tampering::Changed };
            assert_eq!(check(&changed, end, end).first_bad, Some(expected));
        }
    }

    #[test]
    fn texts_cannot_flow_from_one_field_into_the_next() {
        let line = chain(1).remove(0);
        let mut moved = line.entry.clone();
        let last = moved.actor.pop().expect("a letter");
        moved.action.insert(0, last);
        assert_ne!(AuditLink::start(&repo()).next(&moved).hash, line.link.expect("chained").hash);
    }

    #[test]
    fn what_was_noted_elsewhere_shows_a_chain_that_was_cut_or_made_anew() {
        let lines = chain(4);
        let link = |number: usize| lines[number - 1].link.clone().expect("chained");
        let held_against = |lines: &[AuditLine], noted: &[AuditLink]| {
            // Whoever cut it put the recorded end right as well.
            let end = lines.last().and_then(|line| line.link.as_ref());
            let mut check = AuditCheck::new(&repo(), end.cloned()).with_noted(noted.iter().cloned());
            for line in lines {
                check.take(line);
            }
            check.verdict(end).first_bad
        };
        assert_eq!(held_against(&lines, &[link(2), link(4)]), None);
        assert_eq!(held_against(&lines[..3], &[link(2)]), None, "nothing was noted of what is gone");
        let missing = |number| Some(BadEntry { number, what: Tampering::Missing });
        assert_eq!(held_against(&lines[..3], &[link(2), link(4)]), missing(4));
        assert_eq!(held_against(&[], &[link(4)]), missing(1));
        let other = AuditLink { number: 2, hash: "0".repeat(64) };
        let changed = Some(BadEntry { number: 2, what: Tampering::Changed });
        assert_eq!(held_against(&lines, &[link(2), other, link(4)]), changed);
    }

    #[test]
    fn what_is_written_during_a_check_is_no_fault() {
        let lines = chain(3);
        let (early, late) = (lines[1].link.as_ref(), lines[2].link.as_ref());
        assert_eq!(check(&lines, early, late).first_bad, None);
        assert_eq!(check(&lines[..2], early, late).first_bad, None, "read before it came");
        let added = BadEntry { number: 3, what: Tampering::Added };
        assert_eq!(check(&lines, early, early).first_bad, Some(added), "nobody recorded it");
        let missing = BadEntry { number: 3, what: Tampering::Missing };
        assert_eq!(check(&lines[..2], late, late).first_bad, Some(missing), "the end was cut off");
        let unended = BadEntry { number: 3, what: Tampering::Unended };
        assert_eq!(check(&lines, None, None).first_bad, Some(unended));
    }
}
