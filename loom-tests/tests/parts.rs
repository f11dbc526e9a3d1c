//! Models of blocks of several parts: three units, of which the last one is a tail.
#![cfg(loom)]

use std::sync::Arc;

use loom_tests::{Failure, Heap, block, join, model, order, start};
use mempool::raw::{BlockIndex, Class, NotLive, Shard, State, search};

fn three() -> Class {
    Class::of_eighths(3).expect("a class")
}

/// The caller has the three units from `first` on.
fn own(heap: &Heap, first: BlockIndex) {
    (0..3).for_each(|unit| heap.own(block(first.get() + unit), 0));
}

fn disown(heap: &Heap, first: BlockIndex) {
    (0..3).for_each(|unit| heap.disown(block(first.get() + unit), 0));
}

fn alloc(heap: &Heap) -> Option<BlockIndex> {
    let taken = heap.raw.alloc(three(), Shard::FIRST)?;
    own(heap, taken);
    Some(taken)
}

fn release(heap: &Heap, held: BlockIndex) {
    disown(heap, held);
    assert_eq!(heap.raw.release(held, Shard::FIRST), Ok(three()));
}

/// Four units, of which three are one live block.
fn with_three() -> (Arc<Heap>, BlockIndex) {
    let heap = Heap::new(4, 0, 2);
    let held = alloc(&heap).expect("free");
    (heap, held)
}

/// The end: what is live is single units, and the block of three units, if it is `held`.
fn end(heap: &Heap, held: Option<BlockIndex>, units: impl IntoIterator<Item = BlockIndex>) {
    held.into_iter().for_each(|held| release(heap, held));
    heap.end(&Vec::from_iter(units.into_iter().map(|unit| (unit, 0))));
}

/// A block is taken with its tail, against a sweep that takes a unit wherever it finds one.
///
/// Seeded bugs: the tail is not claimed; the first part becomes live first; what is too much is not published.
#[test]
fn take_sweep() {
    model("take_sweep", Some(2), || {
        let heap = Heap::new(4, 0, 2);
        let other = start(&heap, |heap| heap.sweep_for(0));
        let mine = alloc(&heap);
        let theirs = join(other);
        assert!(heap.raw.sweep(None, Shard::FIRST).is_settled(), "some of it is in transit for ever");
        end(&heap, mine, theirs);
    });
}

/// A block is released with its tail, against an allocation of a unit.
///
/// Seeded bug: the tail stays.
#[test]
fn release_sweep() {
    model("release_sweep", Some(2), || {
        let heap = Heap::new(4, 0, 2);
        let first = heap.alloc(0).expect("free");
        // Behind the first unit, so that its tail begins where no part of the free units does.
        let last = mempool::raw::LastFailure::new();
        let found = search(std::iter::once(&heap.raw), || heap.raw.version(), three(), &last, Shard::FIRST).found;
        assert_eq!(found.map(|(_, block)| block), Ok(block(1)));
        own(&heap, block(1));
        let other = start(&heap, |heap| heap.alloc(0));
        release(&heap, block(1));
        let theirs = join(other);
        end(&heap, None, [first].into_iter().chain(theirs));
    });
}

/// Release against release: one of them is told so.
///
/// Seeded bug: the release of several parts as a store.
#[test]
fn release_release_parts() {
    model("release_release_parts", Some(3), || {
        let (heap, held) = with_three();
        disown(&heap, held);
        let other = start(&heap, move |heap| heap.raw.release(held, Shard::FIRST));
        let results = [heap.raw.release(held, Shard::FIRST), join(other)];
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert!(results.contains(&Err(NotLive::Vacant)));
        end(&heap, None, None);
    });
}

/// A release of an address that was released before, against the allocation that hands it out again: the release finds
/// the whole block, or none.
///
/// Seeded bug: the first part becomes live first.
#[test]
fn take_release() {
    model("take_release", Some(3), || {
        let heap = Heap::new(4, 0, 2);
        let other = start(&heap, |heap| heap.raw.release(block(0), Shard::FIRST));
        let mine = heap.raw.alloc(three(), Shard::FIRST).expect("free");
        match join(other) {
            Ok(class) => assert_eq!(class, three()),
            Err(why) => {
                assert_eq!(why, NotLive::Vacant);
                assert_eq!(heap.raw.release(mine, Shard::FIRST), Ok(three()));
            }
        }
        end(&heap, None, None);
    });
}

/// A tail whose node stands in a stack, against the pop of that node.
///
/// Seeded bug: a block loses its tail by a store.
#[test]
fn tail_pop_stale() {
    model("tail_pop_stale", Some(3), || {
        let heap = Heap::new(4, 0, 2);
        let held = heap.alloc(1).expect("free");
        // The node of the unit behind it stays in the stack of the two units that it began.
        heap.raw.resize(held, three(), Shard::FIRST).expect("free");
        heap.own(block(2), 0);
        let other = start(&heap, |heap| heap.alloc(1));
        release(&heap, held);
        let theirs = join(other);
        heap.end(&Vec::from_iter(theirs.map(|block| (block, 1))));
    });
}

/// Shrink to a block of several parts against a release of the same block: that has it as it was, as it is, or finds
/// it in transit.
#[test]
fn resize_release() {
    model("resize_release", Some(3), || {
        let heap = Heap::new(4, 0, 2);
        let held = heap.raw.alloc(order(2), Shard::FIRST).expect("free");
        let other = start(&heap, move |heap| heap.raw.release(held, Shard::FIRST));
        let resized = heap.raw.resize(held, three(), Shard::FIRST);
        if join(other).is_err() {
            assert_eq!(resized, Ok(order(2).into()));
            assert_eq!(heap.raw.release(held, Shard::FIRST), Ok(three()));
        }
        end(&heap, None, None);
    });
}

/// Three free units that no merge makes one block, searched while another thread merges two of them: no certificate
/// says that they were not there.
///
/// Seeded bug: a search looks for no row.
#[test]
fn row() {
    model("row", Some(2), || {
        let heap = Heap::new(4, 0, 2);
        let units: Vec<_> = (0..4).map(|_| heap.alloc(0).expect("free")).collect();
        units[1..].iter().for_each(|unit| heap.release(*unit, 0));
        let other = start(&heap, |heap| _ = heap.raw.merge_step(0, 4, Shard::FIRST));
        let last = mempool::raw::LastFailure::new();
        let outcome = search(std::iter::once(&heap.raw), || heap.raw.version(), three(), &last, Shard::FIRST);
        let failure = if outcome.is_certain { Failure::Certified } else { Failure::GaveUp };
        let found = outcome.found.map(|(_, block)| block).map_err(|_| failure);
        let found = found.inspect(|found| own(&heap, *found));
        join(other);
        assert_ne!(found, Err(Failure::Certified));
        end(&heap, found.ok(), [units[0]]);
    });
}

/// A row of two blocks is taken near the node of one, against an allocation that takes one of them or cuts it.
///
/// Seeded bug: a row is taken though a block of it is gone.
#[test]
fn near_alloc() {
    for size in [0, 1] {
        model("near_alloc", Some(2), move || {
            let heap = Heap::new(4, 0, 2);
            let first = heap.alloc(0).expect("free");
            let other = start(&heap, move |heap| heap.alloc(size));
            let mine = heap.raw.take_near_row(three(), 2, Shard::FIRST).inspect(|mine| own(&heap, *mine));
            let theirs = join(other);
            assert!(mine.is_none() || theirs.is_none(), "there were three units");
            mine.iter().for_each(|mine| release(&heap, *mine));
            heap.end(&Vec::from_iter(theirs.map(|block| (block, size)).into_iter().chain([(first, 0)])));
        });
    }
}

/// Blocks of three units are cut for a cache, where the node of one stands in a stack, against the pop of that node.
///
/// Seeded bug: a refill keeps a block of several parts whose node is in use.
#[test]
fn carve_parts_pop_stale() {
    model("carve_parts_pop_stale", Some(2), || {
        let heap = Heap::new(8, 0, 3);
        let [first, next] = [1, 0].map(|size| heap.raw.alloc(order(size), Shard::FIRST).expect("free"));
        // The node of the last of four units stays in its stack, though the whole heap is one free block in the end.
        heap.raw.resize(next, order(1), Shard::FIRST).expect("free");
        heap.raw.release(next, Shard::FIRST).expect("live");
        heap.raw.resize(first, order(3), Shard::FIRST).expect("free");
        heap.raw.release(first, Shard::FIRST).expect("live");
        let other = start(&heap, |heap| heap.alloc(0));
        let mut cached = [block(u32::MAX); 2];
        let filled = heap.raw.carve(State::cached(three()), Shard::FIRST, &mut cached);
        assert!(cached[..filled].iter().all(|block| !heap.raw.state(*block).is_listed()));
        let theirs = join(other);
        let mut batch = heap.raw.release_batch();
        cached[..filled].iter().for_each(|block| batch.flush(*block, three(), Shard::FIRST));
        drop(batch);
        end(&heap, None, theirs);
    });
}
