//! The options of an allocator.

/// Options of an allocator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Most bytes of heap.
    pub(super) limit: usize,
    pub(super) huge_pages: bool,
    pub(super) prefault: bool,
    pub(super) lock: bool,
    pub(super) checked: bool,
}
