//! Models of the allocation that fails: never while the block was there.
#![cfg(loom)]

use loom_tests::{Failure, Heap, block, join, model, order, start};
use mempool::raw::Shard;

/// Two failing allocations, for which the free block is too small; for another one it is large enough.
///
/// Seeded bug: a certificate answers for smaller orders.
#[test]
fn two_failures() {
    model("two_failures", Some(3), || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(0).expect("free");
        let other = start(&heap, |heap| heap.search(1));
        let mine = heap.search(1);
        assert_eq!([mine, join(other)], [Err(Failure::Certified); 2]);
        let small = heap.search(0).expect("half is free");
        heap.end(&[(held, 0), (small, 0)]);
    });
}

/// The last block wanted by two: one has it, and only one.
///
/// Seeded bug: the take by the node's holder as a store.
#[test]
fn last_block() {
    model("last_block", Some(3), || {
        let heap = Heap::new(1, 0, 0);
        let other = start(&heap, |heap| heap.alloc_or_search(0));
        let results = [heap.alloc_or_search(0), join(other)];
        let live = Vec::from_iter(results.into_iter().flatten().map(|block| (block, 0)));
        assert_eq!(live.len(), 1);
        heap.end(&live);
    });
}

/// Two threads of at most one block each, and two blocks: one wants a block, the other gives its own back and searches
/// one. Neither may fail.
///
/// Seeded bugs: either take as a store.
#[test]
fn never_fails() {
    model("never_fails", Some(3), || {
        let heap = Heap::new(2, 0, 0);
        let held = heap.alloc(0).expect("free");
        let other = start(&heap, move |heap| {
            heap.release(held, 0);
            heap.search(0)
        });
        let results = [heap.alloc_or_search(0), join(other)];
        assert!(!results.contains(&Err(Failure::Certified)), "one of two blocks is free");
        heap.end(&Vec::from_iter(results.into_iter().flatten().map(|block| (block, 0))));
    });
}

/// A search against a thread that frees a block behind it and takes one before it: at no time was there none.
///
/// Seeded bugs: the certificate disregards the version; the version disregards pushes; a pass looks without a fence.
#[test]
fn search_overtaken() {
    model("search_overtaken", Some(3), || {
        // One block of a unit, and one of two units.
        let heap = Heap::new(3, 1, 1);
        let held = heap.alloc(0).expect("free");
        let other = start(&heap, move |heap| {
            heap.release(held, 0);
            heap.alloc(1)
        });
        let mine = heap.search(0);
        assert_ne!(mine, Err(Failure::Certified), "one of two blocks is free");
        let theirs = join(other).map(|block| (block, 1));
        heap.end(&Vec::from_iter(mine.ok().map(|block| (block, 0)).into_iter().chain(theirs)));
    });
}

/// As `search_overtaken`; but the node of the freed block stands in a stack all the time, so that nothing is pushed.
///
/// Seeded bugs: the version does not count publications without a push, or not so that they are seen.
#[test]
fn search_overtaken_without_push() {
    model("search_overtaken_without_push", Some(3), || {
        // Four live units, the third of which has a node in the stack of blocks of two; above it there, a free one.
        let heap = Heap::new(6, 0, 2);
        let last = heap.alloc(1).expect("free");
        let lower = heap.alloc(1).expect("free");
        heap.raw.resize(lower, order(2), Shard::FIRST).expect("free");
        heap.own(block(2), 1);
        heap.release(lower, 2);
        let units = heap.alloc_batch(0, 4);
        assert!(last == block(4) && units.len() == 4 && heap.raw.state(block(2)).is_listed());
        heap.release(last, 1);

        let other = start(&heap, |heap| {
            heap.release(block(2), 0);
            // Both nodes at once, so that the one of the freed block is gathered while the other block is taken.
            heap.alloc_batch(1, 2)
        });
        let mine = heap.search(0);
        assert_ne!(mine, Err(Failure::Certified), "one of two blocks is free");
        let theirs = join(other).into_iter().map(|block| (block, 1));
        let mine = mine.ok().map(|block| (block, 0));
        let rest = units.into_iter().filter(|unit| *unit != block(2)).map(|unit| (unit, 0));
        heap.end(&Vec::from_iter(rest.chain(theirs).chain(mine)));
    });
}

/// A search against a sweep, which has half of the block in transit for a moment, or has merged both since one was
/// seen.
///
/// Seeded bugs: the certificate disregards transit; the pass does, or does not look at the upper half again, or at the
/// lower one without seeing what came before. With two preemptions: three take 500 000 executions.
#[test]
fn search_merge() {
    model("search_merge", Some(2), || {
        let heap = Heap::in_units(1);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST));
        let mine = heap.search(1);
        assert_ne!(mine, Err(Failure::Certified), "both halves are free");
        join(other);
        heap.end(&Vec::from_iter(mine.ok().map(|block| (block, 1))));
    });
}

/// One attempt of a search with four units, three of which another thread's merging has in transit for a moment.
///
/// Seeded bug: the pass disregards transit.
#[test]
fn search_merge_batch() {
    model("search_merge_batch", Some(1), || {
        let heap = Heap::in_units(2);
        let other = start(&heap, |heap| heap.raw.merge_step(0, 4, Shard::FIRST));
        let before = heap.raw.version();
        let seen = heap.raw.sweep(Some(order(2)), Shard::FIRST);
        let certified = seen.taken.is_none() && seen.is_settled() && heap.raw.version() == before;
        assert!(!certified, "all four units are free");
        join(other);
        heap.raw.sweep(None, Shard::FIRST);
        seen.taken.into_iter().for_each(|block| heap.own(block, 2));
        heap.end(&Vec::from_iter(seen.taken.map(|block| (block, 2))));
    });
}

/// A failing search against a release: a failure that came before the release does not answer for what comes after it.
///
/// Seeded bugs: the certificate is of the version after the search; any certificate covers.
#[test]
fn failure_release() {
    model("failure_release", None, || {
        let heap = Heap::new(1, 0, 0);
        let held = heap.alloc(0).expect("free");
        let other = start(&heap, move |heap| heap.release(held, 0));
        let mine = heap.search(0);
        join(other);
        let found = mine.or_else(|_| heap.search(0)).expect("it was released");
        heap.end(&[(found, 0)]);
    });
}

/// A failing search against one that closes the heap and opens it again: the failure does not answer for the time
/// after.
///
/// Seeded bug: opening a heap is no publication.
#[test]
fn failure_closed() {
    model("failure_closed", None, || {
        let heap = Heap::new(1, 0, 0);
        assert!(heap.raw.close());
        let other = start(&heap, |heap| heap.raw.open());
        let mine = heap.search(0);
        join(other);
        let found = mine.or_else(|_| heap.search(0)).expect("the heap is open");
        heap.end(&[(found, 0)]);
    });
}

/// A failing search against a thread that has the block in transit for as long as a search waits: that failure does not
/// answer for the time after.
///
/// Seeded bug: any certificate covers.
#[test]
fn failure_stalled() {
    model("failure_stalled", Some(2), || {
        let heap = Heap::new(1, 0, 0);
        let other = start(&heap, |heap| {
            let is_taken = heap.raw.take_all(Shard::FIRST);
            // As often as the search may.
            (0..3).for_each(|_| loom::thread::yield_now());
            if is_taken {
                heap.raw.give_back(Shard::FIRST);
            }
        });
        let mine = heap.search(0);
        assert_ne!(mine, Err(Failure::Certified), "the block is free, or in transit");
        join(other);
        let found = mine.or_else(|_| heap.search(0)).expect("it was published");
        heap.end(&[(found, 0)]);
    });
}
