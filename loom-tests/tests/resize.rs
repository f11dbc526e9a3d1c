//! Models of growing and shrinking in place.
#![cfg(loom)]

use loom_tests::{Heap, block, join, model, order, start};
use mempool::raw::{CantResize, Shard};

/// Grow against release of the same block: the release has the small block or the large one, all of it.
///
/// Seeded bugs: the exchange before the buddies; a growth that fails keeps them.
#[test]
fn grow_release() {
    model("grow_release", None, || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(0).expect("free");
        heap.disown(held, 0);
        let other = start(&heap, move |heap| heap.try_release(held));
        let grown = heap.raw.resize(held, order(1), Shard::FIRST);
        let released = join(other).expect("the only release");
        assert_eq!(grown.is_ok(), released == 1, "{grown:?}, released {released}");
        heap.end(&[]);
    });
}

/// Grow against the allocation of the buddy: one of them has it.
///
/// Seeded bug: the buddy is absorbed by a store.
#[test]
fn grow_alloc() {
    model("grow_alloc", None, || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(0).expect("free");
        let other = start(&heap, |heap| heap.alloc(0));
        let grown = heap.raw.resize(held, order(1), Shard::FIRST).is_ok();
        if grown {
            heap.own(block(1), 0);
        }
        let theirs = join(other);
        assert!(grown != theirs.is_some());
        let live = theirs.map(|block| (block, 0)).into_iter().chain([(held, u32::from(grown))]);
        heap.end(&Vec::from_iter(live));
    });
}

/// Grow against the release of the buddy: the grown block's owner sees what the buddy's wrote.
///
/// Seeded bug: a change of a state without Acquire.
#[test]
fn grow_release_buddy() {
    model("grow_release_buddy", None, || {
        let heap = Heap::new(2, 0, 1);
        let (held, buddy) = (heap.alloc(0).expect("free"), heap.alloc(0).expect("free"));
        let other = start(&heap, move |heap| heap.release(buddy, 0));
        let grown = heap.raw.resize(held, order(1), Shard::FIRST).is_ok();
        if grown {
            heap.own(buddy, 0);
        }
        join(other);
        heap.end(&[(held, u32::from(grown))]);
    });
}

/// Grow by two orders against a release in the second buddy: what the first step took is given back when the second
/// fails.
///
/// Seeded bug: a growth that finds no room keeps what it took.
#[test]
fn grow_twice_release() {
    model("grow_twice_release", None, || {
        let heap = Heap::new(4, 0, 2);
        let (held, far) = (heap.alloc(0).expect("free"), heap.alloc(1).expect("free"));
        let other = start(&heap, move |heap| heap.release(far, 1));
        let grown = heap.raw.resize(held, order(2), Shard::FIRST).is_ok();
        if grown {
            (1..4).for_each(|unit| heap.own(block(unit), 0));
        }
        join(other);
        heap.end(&[(held, if grown { 2 } else { 0 })]);
    });
}

/// Grow into unmerged pieces against a step of a sweep that merges them.
///
/// Seeded bug: the upper piece is absorbed by a store.
#[test]
fn grow_merge() {
    model("grow_merge", Some(3), || {
        let heap = Heap::new(4, 0, 2);
        let held = heap.alloc(1).expect("free");
        let pieces = [0; 2].map(|size| heap.alloc(size).expect("free"));
        pieces.iter().for_each(|piece| heap.release(*piece, 0));
        let other = start(&heap, |heap| heap.raw.merge_step(0, 4, Shard::FIRST));
        let grown = heap.raw.resize(held, order(2), Shard::FIRST).is_ok();
        if grown {
            heap.own(block(2), 1);
        }
        join(other);
        heap.end(&[(held, if grown { 2 } else { 1 })]);
    });
}

/// Shrink against release of the same block: the release has the large block, or the small one.
///
/// Seeded bug: the halves before the exchange.
#[test]
fn shrink_release() {
    model("shrink_release", None, || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(1).expect("free");
        heap.disown(held, 1);
        let other = start(&heap, move |heap| heap.try_release(held));
        let shrunk = heap.raw.resize(held, order(0), Shard::FIRST);
        let released = join(other).expect("the only release");
        assert_eq!(shrunk.is_ok(), released == 0);
        assert!(shrunk.is_ok() || matches!(shrunk, Err(CantResize::NotLive(_))));
        heap.end(&[]);
    });
}

/// Shrink against an allocation, which may have the upper half.
///
/// Seeded bug: a publication does not push a node that is idle.
#[test]
fn shrink_alloc() {
    model("shrink_alloc", None, || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(1).expect("free");
        let other = start(&heap, |heap| heap.alloc(0));
        heap.disown(block(1), 0);
        heap.raw.resize(held, order(0), Shard::FIRST).expect("live");
        let live = join(other).into_iter().chain([held]);
        heap.end(&Vec::from_iter(live.map(|block| (block, 0))));
    });
}

/// Shrink and release of a block whose own node is stale, against the pop of that node.
///
/// Seeded bug: the exchange forgets `Listed`.
#[test]
fn shrink_pop_stale() {
    model("shrink_pop_stale", None, || {
        // The upper half of four units is live, its node in the stack of its order, whence it never was taken.
        let heap = Heap::new(8, 0, 3);
        let lower = heap.alloc(2).expect("free");
        heap.raw.resize(lower, order(3), Shard::FIRST).expect("free");
        heap.own(block(4), 2);
        heap.release(lower, 3);
        let halves = heap.alloc_batch(1, 4);
        assert!(halves.len() == 4 && heap.raw.state(block(4)).is_listed());
        let other = start(&heap, |heap| heap.alloc(2));
        heap.disown(block(5), 0);
        heap.raw.resize(block(4), order(0), Shard::FIRST).expect("live");
        heap.release(block(4), 0);
        assert_eq!(join(other), None);
        heap.end(&Vec::from_iter(halves.into_iter().filter(|half| *half != block(4)).map(|half| (half, 1))));
    });
}
