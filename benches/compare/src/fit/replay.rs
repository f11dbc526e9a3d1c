//! A trace, played once by one thread, in the order in which it was recorded.

use std::alloc::Layout;
use std::hint::black_box;

use recordings::{Event, Trace};

use super::allocators::InRegion;

/// Plays `trace` as far as there is memory: how many of its events were done. Every block is written to at its
/// beginning and its end, so an allocator that keeps what it needs to know between blocks has to keep it there. What is
/// live at the end is not released: nobody uses the allocator after this.
pub fn play(trace: &Trace, allocator: &mut dyn InRegion) -> usize {
    let mut objects: Vec<Option<(*mut u8, Layout)>> = vec![None; trace.objects];
    for (number, event) in trace.events.iter().enumerate() {
        match *event {
            Event::Allocate { object, layout } => {
                let block = allocator.alloc(layout);
                if block.is_null() {
                    return number;
                }
                touch(block, layout);
                objects[object as usize] = Some((block, layout));
            }
            Event::Reallocate { object, size } => {
                let (block, layout) = objects[object as usize].expect("a trace resizes what is live");
                // SAFETY: the block is in the table, so it was neither moved nor released, and this is its layout.
                let block = unsafe { allocator.resize(block, layout, size) };
                if block.is_null() {
                    return number;
                }
                let layout = Layout::from_size_align(size, layout.align()).expect("a size of a trace");
                touch(block, layout);
                objects[object as usize] = Some((block, layout));
            }
            Event::Free { object } => {
                let (block, layout) = objects[object as usize].take().expect("a trace frees what is live");
                // SAFETY: the block was in the table and is taken out, and this is its layout.
                unsafe { allocator.release(block, layout) };
            }
        }
    }
    trace.events.len()
}

fn touch(block: *mut u8, layout: Layout) {
    assert_eq!(block.addr() % layout.align(), 0, "{layout:?} at {block:?}");
    // SAFETY: the block is that long, at least one.
    unsafe {
        block.write(1);
        block.add(layout.size() - 1).write(2);
    }
    black_box(block);
}
