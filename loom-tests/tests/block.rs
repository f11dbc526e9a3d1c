//! Models of the state word: take, publish, release, and the holder of a stale node.
#![cfg(loom)]

use std::sync::Arc;

use loom_tests::{Heap, block, join, model, order, start};
use mempool::raw::{BlockIndex, Shard, State};

/// Take against take of one block, by its node and by a scan: one of them has it.
///
/// Seeded bug: the take by the node's holder as a store.
#[test]
fn take_take() {
    model("take_take", None, || {
        let heap = Heap::new(1, 0, 0);
        let other = start(&heap, |heap| heap.sweep_for(0));
        let mine = heap.alloc(0);
        let live = Vec::from_iter([mine, join(other)].into_iter().flatten().map(|block| (block, 0)));
        assert_eq!(live.len(), 1);
        heap.end(&live);
    });
}

/// Take against take by two scans.
///
/// Seeded bug: the take by a scan as a store.
#[test]
fn take_take_by_scans() {
    model("take_take_by_scans", Some(3), || {
        let heap = Heap::new(1, 0, 0);
        let other = start(&heap, |heap| heap.sweep_for(0));
        let mine = heap.sweep_for(0);
        let live = Vec::from_iter([mine, join(other)].into_iter().flatten().map(|block| (block, 0)));
        assert_eq!(live.len(), 1);
        heap.end(&live);
    });
}

/// Release against a take by a scan, which no stack orders: the new owner sees what the last one wrote.
///
/// Seeded bug: a change of a state without Release.
#[test]
fn release_take() {
    model("release_take", None, || {
        let heap = Heap::new(1, 0, 0);
        let held = heap.alloc(0).expect("free");
        let other = start(&heap, move |heap| heap.release(held, 0));
        let mine = heap.sweep_for(0);
        join(other);
        heap.end(&Vec::from_iter(mine.map(|block| (block, 0))));
    });
}

/// Publish against the pop of the block's own stale node: whoever is last puts it where it belongs.
///
/// Seeded bugs: the publication without Release; it pushes a node that is in use.
#[test]
fn publish_pop_stale() {
    model("publish_pop_stale", None, || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(0).expect("free");
        // The node of the upper half stays in the stack of units.
        heap.raw.resize(held, order(1), Shard::FIRST).expect("its buddy is free");
        heap.own(block(1), 0);
        let other = start(&heap, |heap| heap.alloc(0));
        heap.disown(block(1), 0);
        heap.raw.resize(held, order(0), Shard::FIRST).expect("it is live");
        let theirs = join(other);
        heap.end(&Vec::from_iter([Some(held), theirs].into_iter().flatten().map(|block| (block, 0))));
    });
}

/// Release of a block against the pop of its own stale node.
///
/// Seeded bugs: `Listed` is cleared by a store, or by a fetch-and.
#[test]
fn release_pop_stale() {
    model("release_pop_stale", None, || {
        let (heap, units, stale) = with_stale_node();
        let other = start(&heap, |heap| heap.alloc(1));
        heap.release(stale, 0);
        assert_eq!(join(other), None);
        heap.end(&Vec::from_iter(units.into_iter().filter(|unit| *unit != stale).map(|unit| (unit, 0))));
    });
}

/// Release against release: one of them is told so.
///
/// Seeded bug: the release as a store.
#[test]
fn release_release() {
    model("release_release", None, || {
        let heap = Heap::new(1, 0, 0);
        let held = heap.alloc(0).expect("free");
        heap.disown(held, 0);
        let other = start(&heap, move |heap| heap.try_release(held));
        let results = [heap.try_release(held), join(other)];
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        heap.end(&[]);
    });
}

/// A heap of four live units, one of which, returned, has a node in the stack of blocks of two units.
fn with_stale_node() -> (Arc<Heap>, Vec<BlockIndex>, BlockIndex) {
    let heap = Heap::new(4, 0, 2);
    let lower = heap.alloc(1).expect("free");
    // The growth absorbs the upper half, whose node stays; then the whole is cut into units.
    heap.raw.resize(lower, order(2), Shard::FIRST).expect("free");
    heap.own(block(2), 1);
    heap.release(lower, 2);
    let units = heap.alloc_batch(0, 4);
    assert!(units.len() == 4 && heap.raw.state(block(2)).is_listed());
    (heap, units, block(2))
}

/// A heap of four units of which the first two are live, the block returned. The others are one free block, whose node
/// stands in the stack of units.
fn with_moved_node() -> (Arc<Heap>, BlockIndex) {
    let heap = Heap::new(4, 0, 2);
    let held = heap.alloc(1).expect("free");
    let pieces = [0; 2].map(|size| heap.alloc(size).expect("free"));
    pieces.iter().for_each(|piece| heap.release(*piece, 0));
    // The growth merges the pieces and absorbs the whole, the shrink publishes it.
    heap.raw.resize(held, order(2), Shard::FIRST).expect("free");
    heap.raw.resize(held, order(1), Shard::FIRST).expect("live");
    (heap, held)
}

/// A node in the stack of another order than its block's, against a take of that block: the node is moved, though it
/// may be stale by then.
///
/// Seeded bug: an owned node is dropped though its block is free.
#[test]
fn moved_stale_entry() {
    model("moved_stale_entry", Some(3), || {
        let (heap, held) = with_moved_node();
        let other = start(&heap, |heap| heap.sweep_for(1));
        let mine = heap.alloc(0);
        let theirs = join(other);
        assert!(mine.is_some() != theirs.is_some());
        let taken = mine.map(|block| (block, 0)).or(theirs.map(|block| (block, 1)));
        heap.end(&Vec::from_iter([Some((held, 1)), taken].into_iter().flatten()));
    });
}

/// A node in the stack of another order than its block's, popped by one of two: it is moved to where the other finds
/// it.
///
/// Seeded bug: it is pushed where it was.
#[test]
fn moved_stale_entry_popped() {
    model("moved_stale_entry_popped", Some(3), || {
        let (heap, held) = with_moved_node();
        let other = start(&heap, |heap| heap.alloc(0));
        let mine = heap.alloc(0);
        let live = Vec::from_iter([mine, join(other)].into_iter().flatten().map(|block| (block, 0)));
        assert!(!live.is_empty());
        heap.end(&Vec::from_iter(live.into_iter().chain([(held, 1)])));
    });
}

/// A batch of releases against a batch of allocations.
///
/// Seeded bug: a batch forgets to push its last run.
#[test]
fn batches() {
    model("batches", None, || {
        let heap = Heap::new(2, 0, 0);
        let held = heap.alloc_batch(0, 2);
        assert_eq!(held.len(), 2);
        let other = start(&heap, |heap| heap.alloc_batch(0, 2));
        held.iter().for_each(|block| heap.disown(*block, 0));
        let mut batch = heap.raw.release_batch();
        held.iter().for_each(|block| assert_eq!(batch.release(*block, Shard::FIRST), Ok(order(0).into())));
        drop(batch);
        heap.end(&Vec::from_iter(join(other).into_iter().map(|block| (block, 0))));
    });
}

/// Carving a block one part of which has a stale node, against the pop of that node.
///
/// Seeded bugs: the claim of a part forgets `Listed`, or sets it by a store; a batch keeps what was stale.
#[test]
fn carve_pop_stale() {
    model("carve_pop_stale", Some(3), || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(0).expect("free");
        heap.raw.resize(held, order(1), Shard::FIRST).expect("its buddy is free");
        heap.own(block(1), 0);
        heap.release(held, 1);
        let other = start(&heap, |heap| heap.alloc(0));
        let mine = heap.alloc_batch(0, 2);
        let live = mine.into_iter().chain(join(other));
        heap.end(&Vec::from_iter(live.map(|block| (block, 0))));
    });
}

/// The same for a cache: it has only blocks whose nodes are idle, which nobody else may change.
///
/// Seeded bug: a refill keeps a part whose node is in use.
#[test]
fn carve_for_cache_pop_stale() {
    model("carve_for_cache_pop_stale", Some(3), || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(0).expect("free");
        heap.raw.resize(held, order(1), Shard::FIRST).expect("its buddy is free");
        heap.own(block(1), 0);
        heap.release(held, 1);
        let other = start(&heap, |heap| heap.alloc(0));
        let mut cached = [block(u32::MAX); 2];
        let filled = heap.raw.alloc_batch(State::cached(order(0).into()), Shard::FIRST, &mut cached);
        assert!(cached[..filled].iter().all(|block| !heap.raw.state(*block).is_listed()));
        let theirs = join(other);
        let mut batch = heap.raw.release_batch();
        cached[..filled].iter().for_each(|block| batch.flush(*block, order(0).into(), Shard::FIRST));
        drop(batch);
        heap.end(&Vec::from_iter(theirs.map(|block| (block, 0))));
    });
}

/// Two allocations that both have to split.
///
/// Seeded bug: a split forgets an upper half.
#[test]
fn split_split() {
    model("split_split", None, || {
        let heap = Heap::new(4, 0, 2);
        let other = start(&heap, |heap| heap.alloc(0));
        let mine = heap.alloc(0);
        let live = Vec::from_iter([mine, join(other)].into_iter().flatten().map(|block| (block, 0)));
        assert!(!live.is_empty());
        heap.end(&live);
    });
}

/// A split against a scan that comes upon the block without its node, whatever it is then: all of it, or one of its
/// halves.
///
/// Seeded bugs: the upper half before the lower one, whoever has the block, or not at all.
#[test]
fn split_found() {
    model("split_found", Some(3), || {
        let heap = Heap::new(2, 0, 1);
        let other = start(&heap, |heap| heap.sweep_for(0));
        let mine = heap.alloc(0);
        let live = Vec::from_iter([mine, join(other)].into_iter().flatten().map(|block| (block, 0)));
        assert!(!live.is_empty());
        heap.end(&live);
    });
}
