//! Models of the sweep: merging and tidying against all the rest.
#![cfg(loom)]

use loom_tests::{Heap, join, model, start};
use mempool::raw::Shard;

/// Split against merge: an allocation that cuts a block in two and a release that makes it whole, against a sweep.
///
/// Seeded bugs: the upper half is not published again; the lower one is raised by a store.
#[test]
fn split_merge() {
    model("split_merge", Some(3), || {
        let heap = Heap::new(2, 0, 1);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        // The sweep may merge the two halves before the lower one is taken, and own their nodes then.
        if let Some(first) = heap.alloc(0) {
            heap.release(first, 0);
        }
        join(other);
        heap.end(&[]);
    });
}

/// Merge against the allocation of the lower half, which is the top of the stack.
///
/// Seeded bugs: the upper half is not published again; the lower one is raised by a store.
#[test]
fn merge_alloc_lower() {
    model("merge_alloc_lower", Some(3), || {
        let heap = Heap::in_units(1);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        let mine = heap.alloc(0);
        join(other);
        heap.end(&Vec::from_iter(mine.map(|block| (block, 0))));
    });
}

/// Merge against the allocation of the upper half.
///
/// Seeded bug: the upper half is absorbed by a store.
#[test]
fn merge_alloc_upper() {
    model("merge_alloc_upper", Some(3), || {
        let heap = Heap::in_units(1);
        let lower = heap.alloc(0).expect("free");
        let upper = heap.alloc(0).expect("free");
        heap.release(lower, 0);
        heap.release(upper, 0);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        let mine = heap.alloc(0);
        join(other);
        heap.end(&Vec::from_iter(mine.map(|block| (block, 0))));
    });
}

/// Merge against the allocation of what it merges into, from the stack into which the sweep moves the node.
///
/// Seeded bug: the stacks are tidied into the wrong ones.
#[test]
fn merge_take_whole() {
    model("merge_take_whole", None, || {
        let heap = Heap::in_units(1);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        let mine = heap.alloc(1);
        join(other);
        heap.end(&Vec::from_iter(mine.map(|block| (block, 1))));
    });
}

/// Two buddies released together, one of them followed by a sweep.
///
/// Seeded bug: a release forgets to push.
#[test]
fn two_buddies_released() {
    model("two_buddies_released", None, || {
        let heap = Heap::new(2, 0, 1);
        let (lower, upper) = (heap.alloc(0).expect("free"), heap.alloc(0).expect("free"));
        let other = start(&heap, move |heap| {
            heap.release(upper, 0);
            heap.raw.sweep(None, Shard::FIRST)
        });
        heap.release(lower, 0);
        join(other);
        heap.end(&[]);
    });
}

/// A sweep of two free units, against another one's merge of them.
///
/// Seeded bug: a sweep drops the nodes that it should move.
#[test]
fn two_sweeps() {
    model("two_sweeps", Some(3), || {
        let heap = Heap::in_units(1);
        let other = start(&heap, |heap| heap.raw.merge_step(0, 2, Shard::FIRST).0.merges);
        let merges = heap.raw.sweep(None, Shard::FIRST).merges;
        assert!(merges + join(other) <= 1);
        heap.end(&[]);
    });
}

/// Two sweeps of what is merged already: both tidy the stacks.
///
/// Seeded bug: as above.
#[test]
fn two_sweeps_tidy() {
    model("two_sweeps_tidy", Some(3), || {
        let heap = Heap::in_units(1);
        heap.raw.merge_step(0, 2, Shard::FIRST);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        heap.raw.sweep(None, Shard::FIRST);
        join(other);
        heap.end(&[]);
    });
}

/// Two sweeps, each of which wants the block that it merges.
///
/// Seeded bug: the upper half is absorbed by a store.
#[test]
fn two_sweeps_want_the_whole() {
    model("two_sweeps_want_the_whole", Some(3), || {
        let heap = Heap::in_units(1);
        let other = start(&heap, |heap| heap.sweep_for(1));
        let mine = heap.sweep_for(1);
        let live = Vec::from_iter([mine, join(other)].into_iter().flatten().map(|block| (block, 1)));
        assert!(live.len() <= 1);
        heap.end(&live);
    });
}

/// A sweep that takes the block that it merges, and its release, against the allocation of the lower half.
///
/// Seeded bugs: the whole is taken by a store; its node is forgotten.
#[test]
fn merge_and_take_alloc() {
    model("merge_and_take_alloc", Some(3), || {
        let heap = Heap::in_units(1);
        let other = start(&heap, |heap| heap.alloc(0));
        if let Some(mine) = heap.sweep_for(1) {
            heap.release(mine, 1);
        }
        heap.end(&Vec::from_iter(join(other).map(|block| (block, 0))));
    });
}

/// A sweep that merges across two orders, against an allocation.
///
/// Seeded bug: a sweep does not climb to the next order.
#[test]
fn merge_twice_alloc() {
    model("merge_twice_alloc", Some(2), || {
        let heap = Heap::new(4, 0, 2);
        let blocks = [1, 0, 0].map(|size| (heap.alloc(size).expect("free"), size));
        blocks.into_iter().for_each(|(block, size)| heap.release(block, size));
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        let mine = heap.alloc(0);
        join(other);
        heap.end(&Vec::from_iter(mine.map(|block| (block, 0))));
    });
}

/// A sweep that merges four units at once, and has gathered most of their nodes, against the allocation of one of them.
///
/// Seeded bugs: what was absorbed is not published again when the first one is gone; the sweep keeps the node of what
/// it absorbs, or takes nodes for its own that are not.
#[test]
fn merge_batch_alloc() {
    model("merge_batch_alloc", Some(3), || {
        let heap = Heap::in_units(2);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        let mine = heap.alloc(0);
        join(other);
        heap.end(&Vec::from_iter(mine.map(|block| (block, 0))));
    });
}

/// The same against the allocation of one that is not the first: the units before it are merged without it.
///
/// Seeded bug: a run is merged whether or not all of it was there.
#[test]
fn merge_batch_alloc_inside() {
    model("merge_batch_alloc_inside", Some(3), || {
        let heap = Heap::in_units(2);
        let units = [0, 1, 2].map(|_| heap.alloc(0).expect("free"));
        units.into_iter().for_each(|unit| heap.release(unit, 0));
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        let mine = heap.alloc(0);
        join(other);
        heap.end(&Vec::from_iter(mine.map(|block| (block, 0))));
    });
}

/// Two sweeps of four units: one of them has gathered the stacks' nodes, the other merges without, and tidies beside
/// it, or comes after it and finds the tables as that one has left them.
///
/// Seeded bugs: both gather nodes at the same time; the tables are taken, or given back, Relaxed.
#[test]
fn merge_batch_two_sweeps() {
    model("merge_batch_two_sweeps", Some(1), || {
        let heap = Heap::in_units(2);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST).merges);
        let merges = heap.raw.sweep(None, Shard::FIRST).merges;
        assert!(merges + join(other) <= 3);
        heap.end(&[]);
    });
}

/// The same where all that there is to merge is a pair: with less to explore, one more preemption.
///
/// Seeded bugs: as above.
#[test]
fn merge_pair_two_sweeps() {
    model("merge_pair_two_sweeps", Some(2), || {
        let heap = Heap::new(4, 0, 2);
        let [lower, upper] = [0, 0].map(|size| heap.alloc(size).expect("free"));
        let live = heap.alloc(1).expect("free");
        heap.release(upper, 0);
        heap.release(lower, 0);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST).merges);
        let merges = heap.raw.sweep(None, Shard::FIRST).merges;
        assert!(merges + join(other) <= 1);
        heap.end(&[(live, 1)]);
    });
}
