//! What was read before, bounded by bytes.

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Larger answers are not kept.
const MOST_BYTES: usize = 512 * 1024;

/// Whether an answer can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Asked anew each time.
    Always,
    /// Asked with the last answer's `ETag`; an unchanged answer costs none of the rate limit.
    ///
    /// Source: GitHub Docs, "Best practices for using the REST API", "Use conditional requests".
    Conditional,
    /// About a commit by its full name: it never changes, so it is asked once.
    Immutable,
}

/// An answer that can be used again.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) etag: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) body: Bytes,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Kept> for ByBytes {
    fn weight(&self, path: &String, kept: &Kept) -> u64 {
        // 200 for the entry itself.
        (path.len() + kept.body.len() + 200) as u64
    }
}

/// Answers by path; those that may change and those that may not share the space.
pub(super) struct Answers {
    cache: Cache<String, Kept, ByBytes>,
}

impl Answers {
    /// At most `bytes` are kept.
    pub(super) fn new(bytes: u64) -> Self {
        Self { cache: Cache::with_weighter(512, bytes, ByBytes) }
    }

    pub(super) fn get(&self, path: &str) -> Option<Kept> {
        self.cache.get(path)
    }

    pub(super) fn keep(&self, path: &str, kept: Kept) {
        if kept.body.len() <= MOST_BYTES {
            self.cache.insert(path.to_owned(), kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize) -> Kept {
        Kept { etag: None, content_type: None, body: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn it_stays_within_its_bytes() {
        let answers = Answers::new(100_000);
        for number in 0..1_000 {
            answers.keep(&format!("/{number}"), kept(1_000));
        }
        let held = (0..1_000).filter(|number| answers.get(&format!("/{number}")).is_some()).count();
        assert!((1..=100).contains(&held), "{held}");
        answers.keep("/large", kept(MOST_BYTES + 1));
        assert!(answers.get("/large").is_none());
    }
}
