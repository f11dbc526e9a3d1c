//! Models of spans: cut out of blocks, resized, and added where a heap grows.
#![cfg(loom)]

use std::sync::Arc;

use loom_tests::{PAIR, Pages, Span, block, join, model, order, start};
use mempool::raw::Shard;

/// A span of three pages is cut out of a block of four and released, against an allocation of what was cut off.
///
/// Seeded bugs: what is too much is not published; or from the wrong place on.
#[test]
fn cut_alloc() {
    model("cut_alloc", Some(2), || {
        let pages = Pages::new(4);
        let all = pages.alloc(4).expect("the heap may grow");
        pages.release(all);
        let other = start(&pages, |pages| pages.alloc(1));
        if let Some(span) = pages.alloc(3) {
            pages.release(span);
        }
        pages.end(&[], &Vec::from_iter(join(other)));
    });
}

/// A span is taken from where the last one ended, against an allocation of what lies there.
///
/// Seeded bug: what is too much is not published.
#[test]
fn at_alloc() {
    model("at_alloc", Some(2), || {
        let pages = Pages::new(8);
        let all = pages.alloc(8).expect("the heap may grow");
        pages.release(all);
        let first = pages.alloc(3).expect("free");
        let other = start(&pages, |pages| pages.alloc(1));
        let second = pages.alloc(3);
        pages.end(&[], &Vec::from_iter([first].into_iter().chain(second).chain(join(other))));
    });
}

/// A span is taken from two blocks that are no buddies, where there is no larger one, against an allocation from one of
/// them.
///
/// Seeded bug: what is too much is not published.
#[test]
fn slow_alloc() {
    model("slow_alloc", Some(2), || {
        let pages = Pages::new(8);
        let all = pages.alloc(8).expect("the heap may grow");
        pages.release(all);
        let first = pages.alloc(2).expect("free");
        let other = start(&pages, |pages| pages.alloc(1));
        let mine = pages.alloc(5);
        pages.end(&[], &Vec::from_iter([first].into_iter().chain(mine).chain(join(other))));
    });
}

/// A span is cut down where it is, a block of which has its node in a stack, against who takes that node off.
///
/// Seeded bug: a block is cut by a store.
#[test]
fn shrink_pop_stale() {
    model("shrink_pop_stale", Some(3), || {
        let pages = Pages::new(8);
        let span = with_large_stale_node(&pages);
        let other = start(&pages, |pages| {
            pages.raw.buddy().alloc(order(1), Shard::FIRST).map(|block| pages.raw.buddy().release(block, Shard::FIRST))
        });
        let span = pages.resize(span, 5);
        join(other);
        assert_eq!(pages.raw.buddy().state(block(4)).order(), order(0), "the last page of the span is a block");
        pages.end(&[], &[span]);
    });
}

/// A span grows in place, against an allocation of what lies behind it.
///
/// Seeded bugs: what lies there is absorbed by a store; it is kept when there is not enough.
#[test]
fn grow_alloc() {
    model("grow_alloc", Some(3), || {
        let pages = Pages::new(4);
        let all = pages.alloc(4).expect("the heap may grow");
        pages.release(all);
        let span = pages.alloc(1).expect("free");
        let other = start(&pages, |pages| pages.alloc(1));
        let span = pages.resize(span, 3);
        pages.end(&[], &Vec::from_iter(join(other).into_iter().chain([span])));
    });
}

/// A span grows in place by the most of a block, which it takes as a whole, against an allocation of the rest of that.
///
/// Seeded bug: the rest is kept.
#[test]
fn grow_by_a_part() {
    model("grow_by_a_part", Some(2), || {
        let pages = Pages::new(8);
        let all = pages.alloc(8).expect("the heap may grow");
        pages.release(all);
        let span = pages.alloc(4).expect("free");
        let other = start(&pages, |pages| pages.alloc(1));
        let span = pages.resize(span, 7);
        pages.end(&[], &Vec::from_iter(join(other).into_iter().chain([span])));
    });
}

/// A span grows in place, against one behind it that is released, which merges.
///
/// Seeded bug: what lies there is absorbed by a store.
#[test]
fn grow_release() {
    model("grow_release", Some(3), || {
        let pages = Pages::new(4);
        let [first, second, third, fourth] = singles(&pages);
        pages.release(second);
        pages.release(fourth);
        let other = start(&pages, move |pages| pages.release(third));
        let span = pages.resize(first, 2);
        join(other);
        let span = pages.resize(span, 4);
        assert_eq!(span.pages, 4);
        pages.end(&[], &[span]);
    });
}

/// A span shrinks, against an allocation of what it leaves.
#[test]
fn shrink_alloc() {
    model("shrink_alloc", Some(3), || {
        let pages = Pages::new(4);
        let span = pages.alloc(4).expect("the heap may grow");
        let other = start(&pages, |pages| pages.alloc(2));
        let span = pages.resize(span, 1);
        pages.end(&[], &Vec::from_iter(join(other).into_iter().chain([span])));
    });
}

/// Who looks at all that is free has it meanwhile, against an allocation of it.
///
/// Seeded bug: it is not taken.
#[test]
fn visit_alloc() {
    model("visit_alloc", Some(3), || {
        let pages = Pages::new(2);
        let [lower, upper] = [(); 2].map(|()| pages.alloc(1).expect("the heap may grow"));
        pages.release(lower);
        pages.release(upper);
        let other = start(&pages, |pages| pages.alloc(1));
        pages.visit_free();
        pages.end(&[], &Vec::from_iter(join(other)));
    });
}

/// What is in a free page is discarded, against an allocation of it: it has the page, or is told that another thread
/// withheld pages. And a page that it gets as a clean one is clean.
///
/// Seeded bugs: it does not look whether one had any meanwhile; one says that it has none while it has; who sees that
/// one has none any more does not see the page.
#[test]
fn discard_alloc() {
    model("discard_alloc", Some(3), || {
        let pages = Pages::new(1);
        let span = pages.alloc(1).expect("the heap may grow");
        pages.release(span);
        // Twice: a page that the first one finds withheld, the second one may find in a stack.
        let other = start(&pages, |pages| (0..2).find_map(|_| pages.raw.attempt(|| pages.alloc(1))));
        pages.discard();
        let result = join(other);
        assert_ne!(result, Some(None), "the page is always free, or withheld");
        pages.end(&[], &Vec::from_iter(result.flatten()));
    });
}

/// A sweep closes an idle slab, the page of which is the only one that is free, against an allocation of that: it has
/// the page, or is told that another thread withheld pages.
///
/// Seeded bugs: a sweep does not say that it withholds pages; or not before it does; or says that it withholds none
/// while it does.
#[test]
fn sweep_alloc() {
    model("sweep_alloc", Some(1), || {
        let pages = Pages::new(8);
        let rest = pages.alloc(7).expect("the heap may grow");
        let pair = pages.take_in_one(PAIR, 2);
        pages.give(pair);
        assert_eq!(pages.raw.idle(), 1);
        let other = start(&pages, |pages| pages.raw.sweep());
        // Twice: the first one may sweep by itself.
        let result = (0..2).find_map(|_| pages.raw.attempt(|| pages.alloc(1)));
        join(other);
        assert_ne!(result, Some(None), "the page is free, or withheld");
        pages.end(&[], &Vec::from_iter(result.flatten().into_iter().chain([rest])));
    });
}

/// Two threads want the last page that the limit leaves, where there are addresses for both: one of them has it.
///
/// Seeded bugs: the limit is looked at before the exchange; what is refused is lost.
#[test]
fn limit_limit() {
    model("limit_limit", Some(2), || {
        let pages = Pages::with_limit(4, 2);
        let live = pages.alloc(1).expect("the heap may grow");
        let other = start(&pages, |pages| pages.alloc(1));
        let spans = Vec::from_iter([Some(live), pages.alloc(1), join(other)].into_iter().flatten());
        assert_eq!(spans.len(), 2);
        pages.end(&[], &spans);
    });
}

/// The same, and one of the threads has a span that wants to be longer.
///
/// Seeded bug: a span becomes longer than the limit allows.
#[test]
fn limit_resize() {
    model("limit_resize", Some(2), || {
        let pages = Pages::with_limit(4, 2);
        let live = pages.alloc(1).expect("the heap may grow");
        let other = start(&pages, |pages| pages.alloc(1));
        let live = pages.resize(live, 2);
        let spans = Vec::from_iter([Some(live), join(other)].into_iter().flatten());
        assert_eq!(spans.iter().map(|span| span.pages).sum::<u32>(), 2);
        pages.end(&[], &spans);
    });
}

/// Two threads let a heap grow: there is a page for each.
///
/// Seeded bugs: the heap grows by a store; what is added is published more than once.
#[test]
fn grow_grow() {
    model("grow_grow", Some(3), || {
        let pages = Pages::new(2);
        let other = start(&pages, |pages| pages.alloc(1));
        let spans = [pages.alloc(1), join(other)].map(|span| span.expect("there is a page for each"));
        pages.end(&[], &spans);
    });
}

/// The same, for spans of which one must be aligned.
#[test]
fn grow_grow_aligned() {
    model("grow_grow_aligned", Some(2), || {
        let pages = Pages::new(4);
        let other = start(&pages, |pages| pages.alloc(2));
        let spans = [pages.alloc(1), join(other)];
        pages.end(&[], &Vec::from_iter(spans.into_iter().flatten()));
    });
}

/// Pages that were used never seem to be as they were at first.
///
/// Seeded bugs: a page is said to be dirty after it was released; dirty pages are not looked at.
#[test]
fn fresh() {
    model("fresh", Some(2), || {
        let pages = Pages::new(2);
        let other = start(&pages, |pages| {
            if let Some(span) = pages.alloc(1) {
                pages.release(span);
            }
        });
        let mine = pages.alloc(1);
        join(other);
        pages.end(&[], &Vec::from_iter(mine.into_iter().chain(pages.alloc(1))));
    });
}

/// Four pages, each in a span.
fn singles(pages: &Pages) -> [Span; 4] {
    [(); 4].map(|()| pages.alloc(1).expect("the heap may grow"))
}

/// A span of seven of eight pages, the block of two of which at page 4 has its node in the stack of four pages.
fn with_large_stale_node(pages: &Arc<Pages>) -> Span {
    let all = pages.alloc(8).expect("the heap may grow");
    pages.release(all);
    let half = pages.alloc(4).expect("free");
    pages.release(half);
    let span = pages.alloc(7).expect("free");
    assert!(span.head == 0 && pages.raw.buddy().state(block(4)).is_listed());
    span
}
