//! The blocks of a pool, one by one, and pictures of them.

use crate::heap::{Heap, HeapId};
use crate::heaps::View;
use crate::raw::{Kind, Scan};

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockState {
    /// Anyone may have it.
    Free,
    /// It is in a thread's cache.
    Cached,
    /// It is with the user.
    Live,
    /// A part of a block that some thread was splitting, merging or resizing.
    InTransit,
}

/// One block of a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Block {
    /// The heap that it is in.
    pub heap: HeapId,
    /// Bytes between the base that was given to `add_heap` and the block.
    pub offset: usize,
    /// Its order: it has 2^order smallest blocks.
    pub order: u32,
    /// Its size in bytes.
    pub size: usize,
    /// What it is.
    pub state: BlockState,
}

/// The blocks of a pool, heap by heap in the order in which those were added, ascending by address within a heap.
///
/// Each block is one that there was; the whole is one that there was only while nobody changed anything. Within a heap
/// the blocks follow each other without a gap. Made by [`MemoryPool::heap_map`](crate::MemoryPool::heap_map).
#[derive(Clone, Debug)]
pub struct HeapMap<'a> {
    heaps: View<'a>,
    min_shift: u32,
    next_heap: u32,
    current: Option<(&'a Heap, Scan<'a>)>,
}

impl<'a> HeapMap<'a> {
    pub(crate) fn new(heaps: View<'a>, min_shift: u32) -> Self {
        Self { heaps, min_shift, next_heap: 0, current: None }
    }
}

impl Iterator for HeapMap<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        loop {
            if let Some((heap, scan)) = &mut self.current
                && let Some((block, seen)) = scan.next()
            {
                let (state, order) = match seen.kind() {
                    Kind::Inner => (BlockState::InTransit, 0),
                    Kind::Free => (BlockState::Free, seen.order().get()),
                    Kind::Held => (BlockState::Cached, seen.order().get()),
                    Kind::Live => (BlockState::Live, seen.order().get()),
                };
                let size = 1 << (order + self.min_shift);
                return Some(Block { heap: heap.id, offset: heap.offset(block), order, size, state });
            }
            let heap = self.heaps.get(HeapId(self.next_heap))?;
            self.next_heap += 1;
            self.current = Some((heap, heap.buddy().scan()));
        }
    }
}

impl core::iter::FusedIterator for HeapMap<'_> {}
