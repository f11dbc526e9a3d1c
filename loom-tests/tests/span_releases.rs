//! Models of spans that are released, and merged at once.
#![cfg(loom)]

use std::sync::Arc;

use loom_tests::{Pages, Span, block, join, model, order, start};
use mempool::raw::Shard;

/// Two buddies are released at once, in a heap that may have both in transit.
///
/// Seeded bugs: a buddy is absorbed by a store; what is absorbed is published, too.
#[test]
fn release_release() {
    model("release_release", Some(3), || release_two(4));
}

/// The same in a heap of just these two, one of which stays free while they are merged.
///
/// Seeded bug: the upper one is taken by a store.
#[test]
fn release_release_free() {
    model("release_release_free", Some(3), || release_two(2));
}

fn release_two(addresses: u32) {
    let pages = Pages::new(addresses);
    let (lower, upper) = two(&pages);
    let other = start(&pages, move |pages| pages.release(upper));
    pages.release(lower);
    join(other);
    pages.end(&[], &[]);
}

/// The same, and one of the threads takes both pages again, if it was the one that merged them.
///
/// Seeded bug: a block whose node is idle is published Relaxed.
#[test]
fn release_release_take() {
    model("release_release_take", Some(2), || {
        let pages = Pages::new(2);
        let (lower, upper) = two(&pages);
        let other = start(&pages, move |pages| pages.release(upper));
        pages.release(lower);
        let both = pages.alloc(2);
        join(other);
        pages.end(&[], &Vec::from_iter(both));
    });
}

/// The release of the upper one of two buddies, against an allocation of the lower one, which is free. The heap may
/// have both in transit.
///
/// Seeded bug: a buddy is absorbed by a store.
#[test]
fn release_alloc_lower() {
    model("release_alloc_lower", Some(3), || release_upper(4));
}

/// The same in a heap of just these two.
///
/// Seeded bug: the upper one is kept where the lower one is gone.
#[test]
fn release_alloc_lower_free() {
    model("release_alloc_lower_free", Some(3), || release_upper(2));
}

fn release_upper(addresses: u32) {
    let pages = Pages::new(addresses);
    let (lower, upper) = two(&pages);
    pages.release(lower);
    let other = start(&pages, |pages| pages.alloc(1));
    pages.release(upper);
    pages.end(&[], &Vec::from_iter(join(other)));
}

/// The release of the lower one, against an allocation of the upper one. The heap may have both in transit.
///
/// Seeded bugs: as above; the block is not withdrawn before its buddy is absorbed.
#[test]
fn release_alloc_upper() {
    model("release_alloc_upper", Some(3), || release_lower(4, &[1]));
}

/// The same in a heap of just these two, against an allocation of the upper one or of both.
///
/// Seeded bug: the upper one is taken by a store.
#[test]
fn release_alloc_upper_free() {
    model("release_alloc_upper_free", Some(3), || release_lower(2, &[2, 1]));
}

fn release_lower(addresses: u32, taken: &'static [u32]) {
    let pages = Pages::new(addresses);
    let (lower, upper) = two(&pages);
    pages.release(upper);
    let other = start(&pages, move |pages| taken.iter().map(|span| pages.alloc(*span)).collect::<Vec<_>>());
    pages.release(lower);
    pages.end(&[], &Vec::from_iter(join(other).into_iter().flatten()));
}

/// A release that merges across two orders, against a sweep that merges there, too.
///
/// Seeded bugs: a buddy is absorbed by a store; a lower half is raised by one.
#[test]
fn release_sweep() {
    model("release_sweep", Some(2), || {
        let pages = Pages::new(4);
        let all = pages.alloc(4).expect("the heap may grow");
        pages.release(all);
        let (first, second) = two(&pages);
        // The two other pages, not merged.
        let heap = pages.raw.buddy();
        let units = [(); 2].map(|()| heap.alloc(order(0), Shard::FIRST).expect("free"));
        units.iter().for_each(|unit| {
            heap.release(*unit, Shard::FIRST).expect("it is live");
        });
        pages.release(second);
        let other = start(&pages, |pages| pages.raw.buddy().sweep(None, Shard::FIRST).merges);
        pages.release(first);
        join(other);
        pages.end(&[], &[]);
    });
}

/// A span is released of which one block's node stands in a stack, against who takes that node off.
///
/// Seeded bugs: a withdrawn block's state is stored; its node is forgotten.
#[test]
fn release_pop_stale() {
    model("release_pop_stale", Some(3), || {
        let pages = Pages::new(4);
        let span = with_stale_node(&pages);
        let other = start(&pages, |pages| pages.alloc(2));
        pages.release(span);
        pages.end(&[], &Vec::from_iter(join(other)));
    });
}

/// The two pages of a heap, each in a span.
fn two(pages: &Pages) -> (Span, Span) {
    let spans = [(); 2].map(|()| pages.alloc(1).expect("the heap may grow"));
    (spans[0], spans[1])
}

/// A span of three of the four pages, of which the last one's node stands in the stack of two pages.
fn with_stale_node(pages: &Arc<Pages>) -> Span {
    let all = pages.alloc(4).expect("the heap may grow");
    pages.release(all);
    let half = pages.alloc(2).expect("free");
    pages.release(half);
    let span = pages.alloc(3).expect("free");
    assert!(span.head == 0 && pages.raw.buddy().state(block(2)).is_listed());
    span
}
