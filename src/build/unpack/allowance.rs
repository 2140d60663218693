//! What an archive has used of its limits.

use super::{Result, UnpackLimits, refused};

#[derive(Debug)]
pub(super) struct Allowance<'a> {
    pub(super) limits: &'a UnpackLimits,
    entries: u64,
    made: u64,
    name_bytes: u64,
}

impl<'a> Allowance<'a> {
    pub(super) fn new(limits: &'a UnpackLimits) -> Self {
        Self { limits, entries: 0, made: 0, name_bytes: 0 }
    }

    /// One more entry is read.
    pub(super) fn entry(&mut self) -> Result<()> {
        self.entries += 1;
        self.within(self.entries)
    }

    /// So many files, folders and links more: a name may stand for a hundred folders that no entry names.
    pub(super) fn made(&mut self, count: usize) -> Result<()> {
        self.made = self.made.saturating_add(count as u64);
        self.within(self.made)
    }

    /// A name, or a link's target. All of them are in memory at once when the tree is hashed.
    pub(super) fn name(&mut self, bytes: usize) -> Result<()> {
        self.name_bytes = self.name_bytes.saturating_add(bytes as u64);
        if self.name_bytes > self.limits.name_bytes {
            return refused(format!("holds names of more than {} bytes together", self.limits.name_bytes));
        }
        Ok(())
    }

    fn within(&self, count: u64) -> Result<()> {
        if count > self.limits.entries {
            return refused(format!("holds more than {} entries", self.limits.entries));
        }
        Ok(())
    }
}
