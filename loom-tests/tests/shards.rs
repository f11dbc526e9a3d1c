//! Models of shards: threads that push to different stacks find each other's blocks, and slots.
#![cfg(loom)]

use loom_tests::{Failure, Heap, LONG, PAIR, Pages, TRIPLE, block, join, model, start};
use mempool::raw::Shard;

/// The other one.
const SECOND: Shard = Shard::of(1);

/// Two threads in two shards, and two blocks in one of these: each gets one.
///
/// Seeded bugs: a thread takes only from its own shard, one block or many.
#[test]
fn two_shards() {
    model("two_shards", None, || {
        let heap = Heap::in_shards(2, 0, 0);
        let other = start(&heap, |heap| heap.alloc_in(SECOND, 0));
        let mine = heap.alloc(0).expect("one is left");
        let theirs = join(other).expect("one is left");
        heap.release_in(SECOND, mine, 0);
        heap.release(theirs, 0);
        assert_eq!(heap.alloc_batch(0, 2).len(), 2, "in whatever shard they are");
        heap.end(&[(block(0), 0), (block(1), 0)]);
    });
}

/// Two threads in two shards take a slot each of a run that is at home with one of them, as there are no more pages.
/// Whoever came upon the node in the other's hand finds one later.
///
/// Seeded bug: slots of others' runs are not taken.
#[test]
fn slots_of_two_shards() {
    model("slots_of_two_shards", Some(3), || {
        let pages = Pages::in_shards(1);
        let mut live = vec![pages.take_in_one(TRIPLE, 1)];
        let other = start(&pages, |pages| pages.take_in(SECOND, TRIPLE, 1));
        live.extend(pages.take(TRIPLE, 1));
        live.extend(join(other));
        live.extend(pages.take_in(SECOND, TRIPLE, 1));
        assert_eq!(live.len(), 3, "or it was not there");
        pages.end(&live, &[]);
    });
}

/// The same of a run of several groups, while the thread that is at home gives one back.
///
/// Seeded bug: the shard gets into the class.
#[test]
fn bitmaps_of_two_shards() {
    model("bitmaps_of_two_shards", Some(2), || {
        let pages = Pages::in_shards(1);
        let mut live = pages.take_in(SECOND, LONG, 64);
        let mine = live.pop().expect("of each group");
        let other = start(&pages, |pages| pages.take(LONG, 1));
        pages.give(mine);
        live.extend(join(other));
        pages.end(&live, &[]);
    });
}

/// A run is closed and opened again in another shard, while its node stands in the first one's stack still.
///
/// Seeded bug: the shard gets into the class.
#[test]
fn reopened_in_another_shard() {
    model("reopened_in_another_shard", Some(2), || {
        let pages = Pages::in_shards(1);
        let (free, mine) = pages.take_in_one(PAIR, 2).split(1);
        pages.give(free);
        let other = start(&pages, |pages| pages.take_in(SECOND, TRIPLE, 1));
        pages.give(mine);
        let mut live = pages.take(PAIR, 1);
        live.extend(join(other));
        pages.end(&live, &[]);
    });
}

/// A pop against a pop and a push of the same node to another shard, whose tags know nothing of each other.
///
/// Seeded bug: the tag is left out.
#[test]
fn from_shard_to_shard() {
    model("from_shard_to_shard", Some(3), || {
        let heap = Heap::in_shards(3, 0, 0);
        let other = start(&heap, |heap| {
            let [first, second] = [(); 2].map(|()| heap.alloc(0).expect("three are free"));
            heap.release_in(SECOND, second, 0);
            heap.release(first, 0);
        });
        let mine = heap.alloc(0);
        join(other);
        heap.end(&Vec::from_iter(mine.map(|block| (block, 0))));
    });
}

/// As `search_overtaken`, and the block is freed in the second shard.
///
/// Seeded bug: the version counts the pushes of the first one.
#[test]
fn search_overtaken_in_shards() {
    model("search_overtaken_in_shards", Some(3), || {
        // One block of a unit, and one of two units.
        let heap = Heap::in_shards(3, 1, 1);
        let held = heap.alloc(0).expect("free");
        let other = start(&heap, move |heap| {
            heap.release_in(SECOND, held, 0);
            heap.alloc_in(SECOND, 1)
        });
        let mine = heap.search(0);
        assert_ne!(mine, Err(Failure::Certified), "one of two blocks is free");
        let theirs = join(other).map(|block| (block, 1));
        heap.end(&Vec::from_iter(mine.ok().map(|block| (block, 0)).into_iter().chain(theirs)));
    });
}

/// A sweep against a release in the second shard: in the end what was merged is where it belongs.
///
/// Seeded bug: tidying passes over the other shards.
#[test]
fn sweep_release_in_shards() {
    for max_order in [1, 2] {
        model("sweep_release_in_shards", Some(2), move || {
            let heap = Heap::in_shards(1 << max_order, 0, max_order);
            let units = Vec::from_iter((0..1 << max_order).map(|_| heap.alloc(0).expect("free")));
            let (last, first) = units.split_last().expect("there are some");
            first.iter().for_each(|unit| heap.release_in(SECOND, *unit, 0));
            let last = *last;
            let other = start(&heap, move |heap| heap.release_in(SECOND, last, 0));
            heap.raw.sweep(None, Shard::FIRST);
            join(other);
            heap.end(&[]);
        });
    }
}

/// A sweep of a heap in which all nodes stand in the second shard, with and without taking them in hand.
///
/// Seeded bug: a sweep takes those of the first shard in hand.
#[test]
fn sweep_of_the_other_shard() {
    for max_order in [1, 2] {
        model("sweep_of_the_other_shard", None, move || {
            let heap = Heap::in_shards(1 << max_order, 0, max_order);
            let units = Vec::from_iter((0..1 << max_order).map(|_| heap.alloc(0).expect("free")));
            units.into_iter().for_each(|unit| heap.release_in(SECOND, unit, 0));
            heap.raw.sweep(None, Shard::FIRST);
            let whole = heap.alloc(max_order).expect("it stands where it belongs");
            heap.end(&[(whole, max_order)]);
        });
    }
}
