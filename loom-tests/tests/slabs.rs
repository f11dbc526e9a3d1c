//! Models of slabs: slots that are taken and given, and slabs that are closed and opened.
#![cfg(loom)]

use std::sync::Arc;

use loom_tests::{Hold, LONG, PAIR, Pages, Span, TRIPLE, join, model, start};
use mempool::raw::slabs::Found;

/// Two threads take a slot each of the same bitmap.
///
/// Seeded bugs: an owned node is not pushed; it is said to be idle.
#[test]
fn take_take() {
    model("take_take", Some(3), || {
        let pages = Pages::new(1);
        let mut live = vec![pages.take_in_one(TRIPLE, 1)];
        let other = start(&pages, |pages| pages.take(TRIPLE, 1));
        live.extend(pages.take(TRIPLE, 1));
        live.extend(join(other));
        pages.end(&live, &[]);
    });
}

/// The last free slots are taken while another one is given, whose new owner has nothing else to see its last one by.
///
/// Seeded bugs: a give without Release, or not in one step; a take without Acquire, or as a store, or one that keeps
/// the node.
#[test]
fn take_give() {
    model("take_give", None, || {
        let pages = Pages::new(1);
        let (free, rest) = pages.take_in_one(TRIPLE, 3).split(1);
        let (mine, keep) = rest.split(1);
        pages.give(free);
        let other = start(&pages, |pages| pages.take(TRIPLE, 2));
        pages.give(mine);
        let mut live = join(other);
        live.push(keep);
        pages.end(&live, &[]);
    });
}

/// Two threads give a slot each of a bitmap that has none free: one of them pushes the node.
///
/// Seeded bugs: both push it; nobody does.
#[test]
fn give_give() {
    model("give_give", None, || {
        let pages = Pages::new(1);
        let (first, rest) = pages.take_in_one(TRIPLE, 3).split(1);
        let (mine, keep) = rest.split(1);
        let other = start(&pages, move |pages| pages.give(first));
        pages.give(mine);
        join(other);
        pages.end(&[keep], &[]);
    });
}

/// A bitmap is made whole and closed, against a take of its free slot. Who comes too late opens a new slab where the
/// old one was.
///
/// Seeded bugs: a bitmap is closed by a store; or as if its node were in hand.
#[test]
fn close_take() {
    model("close_take", Some(3), || {
        let pages = Pages::new(1);
        let (free, mine) = pages.take_in_one(PAIR, 2).split(1);
        pages.give(free);
        let other = start(&pages, |pages| pages.take(PAIR, 1));
        pages.give(mine);
        pages.end(&join(other), &[]);
    });
}

/// Two threads that each make one bitmap of a slab whole: the slab is closed, though each may have found a bitmap in
/// the other's hand.
///
/// Seeded bugs: what was closed is not given back; who gave something back does not look again, or without a fence.
#[test]
fn close_close() {
    model("close_close", Some(3), || {
        let pages = Pages::for_long(1);
        let (mine, theirs) = two_bitmaps(&pages);
        let other = start(&pages, move |pages| pages.give(theirs));
        pages.give(mine);
        join(other);
        assert_eq!(pages.raw.find(0), Found::Nothing, "the slab is closed");
        pages.end(&[], &[]);
    });
}

/// The last slot of a slab of two bitmaps is given, against a sweep that has the other bitmap in its hand.
///
/// Seeded bug: who gave something back does not look again.
#[test]
fn close_sweep() {
    model("close_sweep", Some(2), || {
        let pages = Pages::for_long(1);
        let (mine, theirs) = two_bitmaps(&pages);
        let (first, last) = by_bitmaps(vec![mine, theirs]);
        pages.give(first);
        let other = start(&pages, |pages| pages.raw.sweep());
        pages.give(last);
        join(other);
        assert_eq!(pages.raw.find(0), Found::Nothing, "the slab is closed");
        pages.end(&[], &[]);
    });
}

/// A slab of two bitmaps is closed by who makes one of them whole, against a take from the other one.
///
/// Seeded bugs: the slab is closed though one bitmap is not whole; and as in `close_close`.
#[test]
fn close_take_other_bitmap() {
    model("close_take_other_bitmap", Some(2), || {
        let pages = Pages::for_long(1);
        let (mine, theirs) = two_bitmaps(&pages);
        let (first, other) = by_bitmaps(vec![mine, theirs]);
        pages.give(first);
        let taker = start(&pages, |pages| pages.take(LONG, 1));
        pages.give(other);
        pages.end(&join(taker), &[]);
    });
}

/// Two threads open a slab of two bitmaps each.
///
/// Seeded bug: both get the same set of extra bitmaps.
#[test]
fn open_open() {
    model("open_open", Some(2), || {
        let pages = Pages::for_long(2);
        let other = start(&pages, |pages| pages.take(LONG, 64));
        let mut live = pages.take(LONG, 64);
        live.extend(join(other));
        pages.end(&live, &[]);
    });
}

/// A sweep that is about to close a slab of two bitmaps, while another thread closes it and opens one at another page,
/// which has the second bitmap of the old one, and that is whole.
///
/// Seeded bugs: the second bitmap is closed while nothing is known of the slab; it is not given back when the slab is
/// closed.
#[test]
fn sweep_open_elsewhere() {
    model("sweep_open_elsewhere", Some(2), || {
        let pages = Pages::for_long(2);
        let (first, last) = by_bitmaps(pages.take(LONG, 64));
        pages.give(first);
        let other = start(&pages, |pages| pages.raw.sweep());
        let (live, span) = open_elsewhere(&pages, last);
        join(other);
        pages.end(&live, &[span]);
    });
}

/// The same, against a take from the second bitmap: its slots are those of the slab that has it when they are taken.
///
/// Seeded bug: a set keeps its first owner.
#[test]
fn take_open_elsewhere() {
    model("take_open_elsewhere", Some(1), || {
        let pages = Pages::for_long(2);
        let (last, second) = by_bitmaps(pages.take(LONG, 64));
        pages.give(second);
        let other = start(&pages, |pages| pages.take(LONG, 1));
        let (mut live, span) = open_elsewhere(&pages, last);
        live.extend(join(other));
        pages.end(&live, &[span]);
    });
}

/// A slab is closed and its page opened for another class, by one thread, while another one has the bitmap's node in
/// hand and is about to take.
///
/// Seeded bugs: the class is asked before the slots are taken; it is not asked; the slots are kept; they are lost.
#[test]
fn reopen_take() {
    model("reopen_take", Some(3), || {
        let pages = Pages::new(1);
        let (free, last) = pages.take_in_one(PAIR, 2).split(1);
        pages.give(free);
        let other = start(&pages, |pages| pages.take(PAIR, 1));
        pages.give(last);
        let mut live = pages.take(TRIPLE, 1);
        live.extend(join(other));
        pages.end(&live, &[]);
    });
}

/// The node of a bitmap stands in the stack of the class that its page had before. It is found there, moved to the
/// right stack, and what was taken is given back, which may make the slab whole.
///
/// Seeded bugs: the node goes back to the wrong stack; what was taken and given back is not counted.
#[test]
fn stale_node() {
    model("stale_node", Some(3), || {
        let pages = Pages::new(1);
        let triple = stale(&pages);
        let other = start(&pages, |pages| pages.take(PAIR, 1));
        pages.give(triple);
        pages.end(&join(other), &[]);
    });
}

/// The same, and then the slots are found.
///
/// Seeded bug: the node goes back to the wrong stack.
#[test]
fn stale_node_found() {
    model("stale_node_found", Some(3), || {
        let pages = Pages::new(1);
        let mut live = vec![stale(&pages)];
        let other = start(&pages, |pages| pages.take(PAIR, 1));
        live.extend(pages.take(TRIPLE, 1));
        assert_eq!(join(other), []);
        live.push(pages.take_in_one(TRIPLE, 1));
        pages.end(&live, &[]);
    });
}

/// A sweep that is about to close a slab, while another thread closes it and opens another one at its page, which has
/// the slots free that would make the old one whole.
///
/// Seeded bugs: the class is not looked at; what was taken is lost.
#[test]
fn sweep_reopen() {
    model("sweep_reopen", Some(2), || {
        let pages = Pages::new(1);
        let pair = pages.take_in_one(PAIR, 2);
        let other = start(&pages, |pages| pages.raw.sweep());
        pages.give(pair);
        let holds = pages.take(TRIPLE, 3);
        let live = give_lowest(&pages, holds, 2);
        join(other);
        pages.end(&live, &[]);
    });
}

/// The same, and the last slot of the new slab is given, too, so that the slab is whole while the sweep has slots of
/// it.
///
/// Seeded bug: what a sweep has taken by mistake and gives back closes nothing, and is not counted.
#[test]
fn sweep_reopen_give() {
    model("sweep_reopen_give", Some(2), || {
        let pages = Pages::new(1);
        let pair = pages.take_in_one(PAIR, 2);
        let other = start(&pages, |pages| pages.raw.sweep());
        pages.give(pair);
        let holds = pages.take(TRIPLE, 3);
        for hold in give_lowest(&pages, holds, 2) {
            pages.give(hold);
        }
        join(other);
        pages.end(&[], &[]);
    });
}

/// All slots of a bitmap are given at once, so that its node is in hand, against a sweep that closes it without the
/// node.
///
/// Seeded bugs: the node is not pushed, or pushed though the bitmap was closed with it.
#[test]
fn give_all_sweep() {
    model("give_all_sweep", Some(3), || {
        let pages = Pages::new(1);
        let pair = pages.take_in_one(PAIR, 2);
        let other = start(&pages, |pages| pages.raw.sweep());
        pages.give(pair);
        join(other);
        pages.end(&[], &[]);
    });
}

/// A sweep closes an idle slab, against a take from it.
///
/// Seeded bugs: a bitmap is closed by a store; an idle slab that is closed, or taken from, is not counted.
#[test]
fn sweep_take() {
    model("sweep_take", Some(2), || {
        let (pages, rest) = idle();
        let other = start(&pages, |pages| pages.raw.sweep());
        let live = pages.take(PAIR, 1);
        join(other);
        pages.end(&live, &[rest]);
    });
}

/// A span that only the pages of an idle slab can make up, against a take from that.
#[test]
fn span_take() {
    model("span_take", Some(2), || {
        let (pages, rest) = idle();
        let other = start(&pages, |pages| pages.take(PAIR, 1));
        let mine = pages.alloc(1);
        let live = join(other);
        assert!(mine.is_none() || live.is_empty());
        pages.end(&live, &Vec::from_iter(mine.into_iter().chain([rest])));
    });
}

/// A page goes from a slab to a span and back, from thread to thread, with nothing else to order them.
#[test]
fn slab_span() {
    model("slab_span", Some(3), || {
        let pages = Pages::new(1);
        let pair = pages.take_in_one(PAIR, 2);
        let other = start(&pages, |pages| {
            if let Some(span) = pages.alloc(1) {
                pages.release(span);
            }
        });
        pages.give(pair);
        let live = pages.take(TRIPLE, 1);
        join(other);
        pages.end(&live, &[]);
    });
}

/// A slab of two bitmaps with one live slot in each; the rest of it is free.
fn two_bitmaps(pages: &Pages) -> (Hold, Hold) {
    let holds = pages.take(LONG, 64);
    assert_eq!(holds.len(), 2);
    let (free, last) = holds[0].split(62);
    pages.give(free);
    (last, holds[1])
}

/// What was taken of the two bitmaps of a slab, by their order.
fn by_bitmaps(mut holds: Vec<Hold>) -> (Hold, Hold) {
    holds.sort_by_key(|hold| hold.part.nth);
    (holds[0], holds[1])
}

/// Gives the last slots of a slab of two bitmaps, has its page, and opens such a slab at another one.
fn open_elsewhere(pages: &Pages, last: Hold) -> (Vec<Hold>, Span) {
    pages.give(last);
    let span = pages.alloc(1).expect("there are two pages");
    (pages.take(LONG, 1), span)
}

/// One slot of a `TRIPLE` whose other slots are free, and whose node stands in the stack of `PAIR`.
fn stale(pages: &Pages) -> Hold {
    let pair = pages.take_in_one(PAIR, 2);
    let (first, second) = pair.split(1);
    pages.give(first);
    pages.give(second);
    pages.take_in_one(TRIPLE, 1)
}

/// A heap of eight pages, with an idle `PAIR` and a span of all other pages.
fn idle() -> (Arc<Pages>, Span) {
    let pages = Pages::new(8);
    let rest = pages.alloc(7).expect("the heap may grow");
    let pair = pages.take_in_one(PAIR, 2);
    pages.give(pair);
    assert_eq!(pages.raw.idle(), 1);
    (pages, rest)
}

/// Gives the lowest `count` slots of one hold, if there is one, and returns the rest.
fn give_lowest(pages: &Pages, holds: Vec<Hold>, count: u32) -> Vec<Hold> {
    let mut rest = Vec::new();
    for hold in holds {
        let (lowest, others) = hold.split(count);
        pages.give(lowest);
        if !others.slots.is_empty() {
            rest.push(others);
        }
    }
    rest
}
