//! Names for what tests share an engine or a machine with.

/// This name with an ending that no other test, run or leftover has.
pub(crate) fn own(name: &str) -> String {
    format!("{name}-{:08x}", rand::random::<u32>())
}
