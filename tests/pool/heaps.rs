//! Heaps: which regions are one and which are refused, several in one pool, huge ones, and the ends of the address
//! space. The regions are made up: the pool never looks at what it manages.

use std::alloc::Layout;

use crate::common::{Lockstep, Op, Random, at};
use mempool::{AddHeapError, AllocError, MemoryPool, ReleaseError};

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 1).expect("a layout")
}

#[test]
fn regions_that_are_no_heap() {
    let pool = MemoryPool::new();
    let max = isize::MAX as usize;
    let too_small = |base, size| Err(AddHeapError::TooSmall { base, size, min_block: 64 });
    let overflow = |base, size| Err(AddHeapError::AddressOverflow { base, size });
    let add = |base, size| pool.add_heap(at(base), size);
    assert_eq!(add(0, 4096), Err(AddHeapError::Null));
    assert_eq!(add(0, 0), Err(AddHeapError::Null));
    assert_eq!(add(4096, 0), Err(AddHeapError::Empty));
    for (base, size) in [(64, 63), (1, 63), (1, 126), (65, 126), (63, 64), (usize::MAX, 1), (usize::MAX - 62, 63)] {
        assert_eq!(add(base, size), too_small(base, size), "{base:#x} {size}");
    }
    for (base, size) in [(usize::MAX, 2), (usize::MAX - 63, 65), (usize::MAX - 4095, 8192), (max + 3, max)] {
        assert_eq!(add(base, size), overflow(base, size), "{base:#x} {size}");
    }
    // Addresses of 32 bits are never too many units.
    if let Some(units) = (u32::MAX as usize).checked_mul(64) {
        let sizes = [(64, usize::MAX), (64, max + 1), (1 << 12, max), (64, units + 64), (usize::MAX, usize::MAX)];
        for (base, size) in sizes {
            let too_large = Err(AddHeapError::TooLarge { size, max: units });
            assert_eq!(add(base, size), too_large, "{base:#x} {size}");
        }
    }
    let stats = pool.stats();
    assert_eq!((stats.heaps, stats.capacity), (0, 0));
    assert_eq!(pool.alloc(layout(1)), Err(AllocError::NoHeap { requested: 1 }));
    assert_eq!(pool.heap_map().count(), 0);
    assert_eq!(pool.sweep().blocks, 0);
}

#[test]
fn the_smallest_heaps() {
    for lead in 0..64 {
        for tail in 0..64 {
            let mut pool = Lockstep::new(64, None);
            pool.add(4096 - lead, lead + 64 + tail);
            assert_eq!(pool.alloc(0), Some(4096));
            assert_eq!(pool.alloc(0), None);
            assert_eq!(pool.alloc(1), None);
            for address in 4096 - lead..4096 + 64 + tail {
                if address != 4096 {
                    let inside = (4097..4160).contains(&address);
                    let expected = if inside { ReleaseError::Interior } else { ReleaseError::NotLive };
                    assert_eq!(pool.pool.hl_release(at(address)), Err(expected));
                }
            }
            pool.finish(|_| 0);
        }
    }
}

#[test]
fn overlapping_heaps() {
    let pool = MemoryPool::new();
    let first = pool.add_heap(at(0x10000), 0x1000).expect("a heap");
    let second = pool.add_heap(at(0x20010), 0x1000).expect("a heap");
    let before: Vec<_> = pool.heap_map().collect();
    // Inside, around, over each end, the same, by one byte, and over bytes that belong to no block.
    for (base, size) in [
        (0x10400, 0x100),
        (0xf000, 0x4000),
        (0xf000, 0x1001),
        (0x10fff, 0x1000),
        (0x10000, 0x1000),
        (0x10000, 64),
        (0x10fc0, 64),
    ] {
        assert_eq!(pool.add_heap(at(base), size), Err(AddHeapError::Overlap { heap: first }), "{base:#x} {size:#x}");
    }
    for (base, size) in [(0x20000, 0x40), (0x1ff00, 0x111), (0x2100f, 0x1000), (0x21000, 0x40)] {
        match pool.add_heap(at(base), size) {
            Err(AddHeapError::Overlap { heap }) => assert_eq!(heap, second, "{base:#x} {size:#x}"),
            other => assert!(base + size <= 0x20010 || base >= 0x21010, "{base:#x} {size:#x}: {other:?}"),
        }
    }
    assert_eq!(pool.heap_map().filter(|block| block.heap <= second).collect::<Vec<_>>(), before);
    // Beside each other is fine.
    assert!(pool.add_heap(at(0x11000), 0x40).is_ok());
    assert!(pool.add_heap(at(0xffc0), 0x40).is_ok());
}

#[test]
fn heaps_added_in_any_order_are_found() {
    let mut random = Random::from_environment();
    let mut pool = Lockstep::new(16, None);
    let mut places: Vec<usize> = (1..60).collect();
    while !places.is_empty() {
        let place = places.swap_remove(random.below(places.len()));
        // Adjacent to its neighbours, which never makes one block of two heaps.
        pool.add(place << 12, 1 << 12);
        pool.run(Op::Alloc(8));
        assert_eq!(pool.alloc(9), None);
    }
    assert_eq!(pool.oracle.live_count(), 59);
    pool.check();
    for address in (0..61 << 12).step_by(0x400).filter(|address| address % 0x1000 != 0) {
        assert!(pool.release(address).is_err());
    }
    pool.finish(|blocks| random.below(blocks));
}

#[test]
fn the_end_of_the_address_space() {
    for (units, lead) in [(1, 0), (4, 0), (7, 3), (64, 15), (1000, 9)] {
        let mut pool = Lockstep::new(16, None);
        let size = units * 16 + lead;
        pool.add(usize::MAX - (size - 1), size);
        assert_eq!(pool.oracle.capacity(), units * 16);
        let mut random = Random::from_environment();
        for _ in 0..300 {
            let (place, order) = (random.below(1000), random.below(5) as u32);
            let offset = random.below(100);
            let ops = [Op::Alloc(order), Op::Release(place), Op::Resize(place, order), Op::ReleaseAt(place, offset)];
            pool.run(ops[random.below(4)]);
        }
        pool.check();
        while pool.alloc(0).is_some() {}
        let last = pool.pool.heap_map().last().expect("there are blocks");
        assert_eq!(last.offset + last.size, size, "the last byte of all belongs to a block");
        assert_eq!(pool.release(usize::MAX), Err(ReleaseError::Interior));
        assert_eq!(pool.pool.add_heap(at(usize::MAX - 15), 16).map_err(drop), Err(()));
        pool.finish(|_| 0);
    }
}

#[test]
fn a_few_bytes_above_null() {
    let mut pool = Lockstep::new(16, None);
    // The region begins inside the block at null, which nobody gets.
    pool.add(1, 16 * 9);
    assert_eq!(pool.alloc(3), None);
    assert!(pool.alloc(2).is_some());
    assert_eq!(pool.release(1), Err(ReleaseError::NotLive));
    pool.finish(|_| 0);
}

/// Tables that are larger than most machines have: had or not, it is never more than an error.
#[test]
#[cfg(target_pointer_width = "64")]
fn tables_beyond_reason() {
    for (min_block, size) in [(1 << 14, 1 << 45), (16, 16 * u32::MAX as usize), (1 << 30, 1 << 61)] {
        let pool = MemoryPool::builder().min_block(min_block).build().expect("valid");
        match pool.add_heap(at(1 << 61), size) {
            Ok(_) => {
                let block = pool.alloc(layout(min_block)).expect("all of it is free");
                assert_eq!(pool.release(block), Ok(()));
            }
            Err(error @ AddHeapError::MetadataUnavailable { bytes }) => {
                assert!(bytes >= 1 << 30 && error.to_string().contains(&bytes.to_string()));
                assert_eq!(pool.stats().heaps, 0);
            }
            Err(error) => panic!("{error}"),
        }
    }
}
