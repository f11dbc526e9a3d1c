//! A [`PoolAllocator`], whose blocks are filled, and disjoint. A checked one refuses each wrong release, and counts it.

use std::alloc::GlobalAlloc;
use std::collections::BTreeMap;

use mempool::PoolAllocator;

use crate::Bytes;
use crate::common::filled::{Block, assert_free, layout};

const PAGE: usize = 4096;

/// Runs a program.
pub fn run(data: &[u8]) {
    let bytes = &mut Bytes::new(data);
    let is_checked = bytes.next();
    let limit = (8 + bytes.below(1000)) * PAGE;
    let allocator = PoolAllocator::builder().checked(is_checked).on_demand(limit);
    let (mut live, mut number, mut refused) = (Vec::new(), 0_usize, 0);
    while !bytes.is_empty() && number < 1000 {
        number += 1;
        let fill = number as u8 | 1;
        let place = if live.is_empty() { 0 } else { bytes.below(live.len()) };
        match bytes.below(10) {
            0..4 => {
                let (size, shifts) = (bytes.size(21), if bytes.below(8) == 0 { 17 } else { 5 });
                let layout = layout(size, 1 << bytes.below(shifts));
                let new = if bytes.next() { Block::new } else { Block::zeroed };
                let most = live.iter().map(|block: &Block| block.layout.size()).sum::<usize>() + layout.size();
                match new(&allocator, layout, fill) {
                    Some(block) => live.push(block),
                    // A block may take twice its size, with its alignment; each of 56 classes a slab of 64 KiB at most.
                    None => assert!(
                        2 * (most + layout.align()) + (56 << 16) >= limit,
                        "{layout:?} was not there: {}",
                        allocator.stats()
                    ),
                }
            }
            4 | 5 if !live.is_empty() => live.swap_remove(place).release(&allocator),
            6 if !live.is_empty() => live.swap_remove(place).release_by_address(&allocator),
            7 if !live.is_empty() => {
                let size = bytes.size(21);
                let (before, is_done) = (live[place].layout.size(), live[place].resize(&allocator, size));
                assert!(is_done || size > before, "to become smaller never fails");
            }
            8 if is_checked && !live.is_empty() => {
                let block = &live[place];
                let (at, is) = (block.at, block.layout);
                let wrong = match bytes.below(4) {
                    0 => (at.wrapping_add(1 + bytes.below(is.size())), is),
                    1 => (at, layout(is.size() * 2 + PAGE, is.align())),
                    2 => (std::ptr::without_provenance_mut(bytes.next::<usize>() | 1), is),
                    _ => (at.wrapping_sub(8), is),
                };
                if !live.iter().any(|block| block.at == wrong.0 && block.layout == wrong.1) && !wrong.0.is_null() {
                    // SAFETY: the allocator checks that.
                    unsafe { allocator.dealloc(wrong.0, wrong.1) };
                    refused += 1;
                }
            }
            9 if bytes.below(4) == 0 => _ = allocator.trim(),
            _ => _ = allocator.sweep(),
        }
        if number % 64 == 0 {
            disjoint(&live);
        }
    }
    disjoint(&live);
    assert!(allocator.stats().refused_releases >= refused.min(1));
    live.into_iter().for_each(|block| block.release(&allocator));
    allocator.sweep();
    let stats = allocator.stats();
    assert_eq!((stats.free, stats.idle), (stats.heap, 0), "{stats}");
    if refused == 0 {
        assert_free(&allocator);
    }
    // Sizes up to 64 KiB have classes, and may need more than the heap has.
    if stats.heap > 64 << 10 {
        let whole = layout(stats.heap.min(stats.limit), PAGE);
        Block::new(&allocator, whole, 1).unwrap_or_else(|| panic!("not one block: {stats}")).release(&allocator);
    }
}

fn disjoint(live: &[Block]) {
    let blocks: BTreeMap<_, _> = live.iter().map(|block| (block.at.addr(), block.layout.size())).collect();
    assert_eq!(blocks.len(), live.len());
    for ((at, size), next) in blocks.iter().zip(blocks.keys().skip(1)) {
        assert!(at + size <= *next, "{at:#x} of {size} bytes, and {next:#x}");
    }
}
