//! Models of a sweeper's cycles over the pages of an allocator, piece by piece, against what goes on meanwhile.
#![cfg(loom)]

use std::sync::Arc;

use loom_tests::{PAIR, Pages, block, join, model, order, start};
use mempool::raw::Kind;
use mempool::raw::Shard;
use mempool::raw::slabs::{Cycle, Discards, Found};

/// A cycle that discards all that is free, against an allocation of that. The allocation has the page, or is told that
/// another thread withheld pages. A page that it gets as clean is clean. Nobody has a page while it is discarded.
///
/// Seeded bugs: a step does not count as withholding pages; pages are discarded that are not taken.
#[test]
fn cycle_alloc() {
    model("cycle_alloc", Some(2), || {
        let pages = Pages::new(1);
        let span = pages.alloc(1).expect("the heap may grow");
        pages.release(span);
        let other = start(&pages, |pages| pages.cycle(&mut Cycle::default(), 1, Discards::All));
        let result = (0..2).find_map(|_| pages.raw.attempt(|| pages.alloc(1)));
        assert_ne!(result, Some(None), "the page is always free, or withheld");
        join(other);
        pages.end(&[], &Vec::from_iter(result.flatten()));
    });
}

/// Two cycles that discard what is old, against an allocation of it and its release, which makes it dirty again.
///
/// Seeded bugs: what is marked as old counts as clean; pages are discarded that are not taken.
#[test]
fn old_alloc() {
    model("old_alloc", Some(2), || {
        let pages = Pages::new(1);
        let span = pages.alloc(1).expect("the heap may grow");
        pages.release(span);
        let mut cycle = Cycle::default();
        pages.cycle(&mut cycle, 1, Discards::Old);
        let other = start(&pages, move |pages| pages.cycle(&mut cycle, 1, Discards::Old));
        let mine = pages.alloc(1);
        join(other);
        let all = mine.into_iter().chain(pages.alloc(1));
        all.for_each(|span| pages.release(span));
        pages.cycle(&mut Cycle::default(), 1, Discards::All);
        assert_eq!(pages.raw.dirty(), 0, "all that is free is clean");
        pages.end(&[], &[]);
    });
}

/// Two cycles at the same time, each of which discards what is free.
///
/// Seeded bug: pages are discarded that are not taken.
#[test]
fn cycle_cycle() {
    model("cycle_cycle", Some(2), || {
        let pages = Pages::new(1);
        let span = pages.alloc(1).expect("the heap may grow");
        pages.release(span);
        let other = start(&pages, |pages| pages.cycle(&mut Cycle::default(), 1, Discards::All));
        pages.cycle(&mut Cycle::default(), 1, Discards::All);
        join(other);
        assert_eq!(pages.raw.dirty(), 0, "all that is free is clean");
        pages.end(&[], &[]);
    });
}

/// A cycle over a heap of two pages, against the release of one of them, whose buddy is free. The next cycle finds it,
/// though it passes over heaps in which nothing was released since the last.
///
/// Seeded bug: what was released in the middle of a cycle counts as seen by it.
#[test]
fn cycle_release() {
    model("cycle_release", Some(3), || {
        let pages = Pages::new(2);
        let all = pages.alloc(2).expect("the heap may grow");
        pages.release(all);
        let heap = pages.raw.buddy();
        let units = [(); 2].map(|()| heap.alloc(order(0), Shard::FIRST).expect("free"));
        let (lower, upper) = (units[0].min(units[1]), units[0].max(units[1]));
        heap.release(lower, Shard::FIRST).expect("it is live");
        let other = start(&pages, move |pages| {
            pages.raw.buddy().release(upper, Shard::FIRST).expect("it is live");
        });
        let mut cycle = Cycle::default();
        pages.cycle(&mut cycle, 1, Discards::Nothing);
        join(other);
        (0..2).for_each(|_| pages.cycle(&mut cycle, 1, Discards::Nothing));
        whole(&pages);
        pages.end(&[], &[]);
    });
}

/// A cycle that closes idle slabs, against a take from one.
///
/// Seeded bug: it closes none.
#[test]
fn cycle_take() {
    model("cycle_take", Some(1), || {
        let pages = Pages::new(8);
        let rest = pages.alloc(7).expect("the heap may grow");
        let pair = pages.take_in_one(PAIR, 2);
        pages.give(pair);
        assert_eq!(pages.raw.idle(), 1);
        let other = start(&pages, |pages| pages.take(PAIR, 1));
        pages.cycle(&mut Cycle::default(), 8, Discards::Nothing);
        join(other).into_iter().for_each(|hold| pages.give(hold));
        pages.cycle(&mut Cycle::default(), 8, Discards::Nothing);
        assert_eq!(pages.raw.find(7), Found::Nothing, "the slab is closed");
        pages.end(&[], &[rest]);
    });
}

/// The two pages of a heap are one free block.
fn whole(pages: &Arc<Pages>) {
    assert_eq!(pages.raw.find(0), Found::Nothing);
    let seen = pages.raw.buddy().state(block(0));
    assert!(seen.kind() == Kind::Free && seen.order() == order(1), "{seen:?}");
}
