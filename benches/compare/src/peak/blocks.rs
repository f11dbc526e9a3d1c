//! The live blocks of a replay, and what each call does to them.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::ptr;

use super::script::{Call, layout};

/// Bytes of the smallest page that the kernel gives.
pub const PAGE: usize = 4096;

/// The blocks, by slot.
#[derive(Debug)]
pub struct Blocks(Vec<Block>);

#[derive(Clone, Copy, Debug)]
struct Block {
    at: *mut u8,
    layout: Layout,
}

// SAFETY: a block is whoever's has the table, whatever thread that is.
unsafe impl Send for Blocks {}

impl Blocks {
    /// A table for `slots` blocks, all of it resident.
    pub fn new(slots: usize) -> Self {
        // No zeros, so that all of it is written.
        Self(vec![Block { at: ptr::dangling_mut(), layout: Layout::new::<u8>() }; slots])
    }

    /// An address at which a block is or was, if there was one for this slot.
    pub fn address(&self, slot: usize) -> Option<usize> {
        self.0.get(slot).map(|block| block.at.addr())
    }

    /// Does one call, of a script whose earlier calls were all done with this table and this allocator.
    #[inline]
    pub fn play<A: GlobalAlloc>(&mut self, allocator: &A, call: Call) {
        match call {
            Call::Allocate { align, slot, size } => {
                let layout = layout(size, align);
                // SAFETY: sizes of traces are at least 1.
                let at = unsafe { allocator.alloc(layout) };
                touch(at, layout);
                self.0[slot as usize] = Block { at, layout };
            }
            Call::Resize { slot, size } => {
                let block = &mut self.0[slot as usize];
                let layout = Layout::from_size_align(size as usize, block.layout.align()).expect("a layout of a trace");
                // SAFETY: the block is live, this is its layout, and the size is at least 1 and one that a layout can
                // have.
                let at = unsafe { allocator.realloc(block.at, block.layout, size as usize) };
                touch(at, layout);
                *block = Block { at, layout };
            }
            Call::Release { slot } => {
                let Block { at, layout } = self.0[slot as usize];
                // SAFETY: the block is live, and this is its layout; no later call of the script uses it.
                unsafe { allocator.dealloc(at, layout) };
            }
        }
    }
}

/// Writes to a block as far as its resident memory depends on it: to its first and its last byte, and to the first byte
/// of every page that begins in it.
fn touch(at: *mut u8, layout: Layout) {
    if at.is_null() {
        failed(layout);
    }
    let size = layout.size();
    // SAFETY: the block is that long, at least one.
    unsafe {
        at.write(1);
        at.add(size - 1).write(2);
    }
    let mut offset = at.addr().next_multiple_of(PAGE) - at.addr();
    while offset < size {
        // SAFETY: as above.
        unsafe { at.add(offset).write(3) };
        offset += PAGE;
    }
    black_box(at);
}

/// Nobody's figure is good who does not deliver.
#[cold]
fn failed(layout: Layout) -> ! {
    super::fail(&format!("{layout:?} was not to be had"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_of_a_block_is_written_to_and_no_byte_outside() {
        for (lead, size) in [(0, 1), (4095, 1), (4095, 2), (0, 4096), (1, 4096), (17, 20_000), (4080, 8208)] {
            let mut memory = vec![9u8; 8 * PAGE];
            let start = memory.as_ptr().align_offset(PAGE) + lead;
            touch(memory[start..].as_mut_ptr(), Layout::from_size_align(size, 1).unwrap());
            let (before, rest) = memory.split_at(start);
            let (block, behind) = rest.split_at(size);
            assert!(before.iter().chain(behind).all(|byte| *byte == 9), "{lead}, {size}");
            let first = PAGE - lead % PAGE;
            let pages = std::iter::once(&block[..first.min(size)]).chain(block[first.min(size)..].chunks(PAGE));
            assert!(pages.filter(|page| !page.is_empty()).all(|page| page.iter().any(|byte| *byte != 9)));
            assert!(block[0] != 9 && block[size - 1] != 9);
        }
    }
}
