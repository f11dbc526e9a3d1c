//! The options of an allocator.

use core::time::Duration;

/// Options of an allocator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Most bytes of heap.
    pub(super) limit: usize,
    pub(super) huge_pages: bool,
    pub(super) prefault: bool,
    pub(super) lock: bool,
    pub(super) checked: bool,
    /// Memory goes back that was unused for this time.
    pub(super) decay: Duration,
}
