//! Spares: large spans in a fragmented heap.

use alloc::vec::Vec;

use super::*;
use crate::commit::Commit;
use crate::metadata::Source;
use crate::raw::slabs::Shape;
use crate::stops::counted;

const SHAPES: [Shape; 1] = [Shape { pages: 1, slots: 1 }];
const SINGLES: u32 = 25_000;

/// A heap that begins with [`SINGLES`] free pages, each beside one that is not.
fn fragmented(most: u32) -> Slabs<1> {
    let slabs = Slabs::in_source(most, 0, &SHAPES, Commit::given(), &mut Source::Global).expect("some MiB");
    let mut heads = Vec::from_iter((0..2 * SINGLES).map(|_| alloc(&slabs, 1)));
    heads.sort_unstable();
    heads.iter().step_by(2).for_each(|page| slabs.release_pages(*page, 1));
    slabs
}

fn alloc(slabs: &Slabs<1>, pages: u32) -> u32 {
    slabs.alloc_span(pages, Order::ZERO, Growth::ToLimit).expect("there is room").0
}

/// The same span each time. Nothing is taken from the stacks, split, merged or published for it, so that nothing was
/// looked for.
#[test]
fn pairs_of_one_size_cost_nothing_in_a_fragmented_heap() {
    let slabs = fragmented(1 << 17);
    for pages in [17, 25, 64, 256, 1000, 4096] {
        let first = alloc(&slabs, pages);
        assert!(slabs.release_span(first));
        let before = (slabs.buddy.version(), slabs.free(), slabs.taken.load(Ordering::Relaxed));
        for _ in 0..100 {
            assert_eq!(alloc(&slabs, pages), first);
            assert!(slabs.release_span(first));
        }
        let after = (slabs.buddy.version(), slabs.free(), slabs.taken.load(Ordering::Relaxed));
        assert_eq!(after, before, "{pages} pages");
    }
}

/// So many that no spare fits: what searches have seen of the single pages saves them from looking there again.
#[test]
fn spans_of_many_sizes_cost_little_in_a_fragmented_heap() {
    let slabs = fragmented(1 << 17);
    let mut live = [(0, 0); 8];
    let mut pairs = |count: u32| {
        for turn in 0..count {
            let (head, pages) = &mut live[turn as usize % 8];
            if *pages > 0 {
                assert!(slabs.release_span(*head));
            }
            *pages = 256 + turn * 37 % 256;
            *head = alloc(&slabs, *pages);
        }
    };
    pairs(100);
    let (_, steps) = counted(1 << 32, || pairs(100));
    // Each page is marked and counted. Each of the heap's 1 000 outlines takes two steps. Each of the 25 000 single
    // pages would take one.
    assert!(steps < 100 * 5000, "{steps}");
}

/// A spare is free: it is counted, and had before the heap grows, in a sweep, and by a span that grows into it.
#[test]
fn a_spare_is_had_by_all() {
    let most = 2 * LARGE_HEAP;
    let slabs = Slabs::<1>::in_source(most, 0, &SHAPES, Commit::given(), &mut Source::Global).expect("some MiB");
    let first = alloc(&slabs, LARGE_HEAP);
    let spare = alloc(&slabs, 512);
    assert_eq!(spare, LARGE_HEAP);
    let grown = slabs.grown();
    let is_kept = |slabs: &Slabs<1>| slabs.spares.spans().eq([(spare, 512)]);
    let keep = || {
        assert!(slabs.release_span(spare));
        assert!(is_kept(&slabs));
        assert!(!slabs.release_span(spare), "it is not live");
        assert_eq!((slabs.find(spare + 1), slabs.why_nothing(spare + 1)), (Found::Nothing, NotLive::Vacant));
        assert_eq!(slabs.free(), u64::from(grown - LARGE_HEAP));
    };
    keep();
    slabs.sweep();
    assert_eq!((slabs.spares.spans().count(), slabs.free()), (0, u64::from(grown - LARGE_HEAP)));

    assert_eq!(alloc(&slabs, 512), spare);
    keep();
    assert!(slabs.resize_span(first, LARGE_HEAP + 100), "into what is kept");
    assert_eq!((slabs.spares.spans().count(), slabs.grown()), (0, grown));
    assert!(slabs.resize_span(first, LARGE_HEAP));

    // By a thread of another shard, as by this one.
    assert_eq!(alloc(&slabs, 512), spare);
    keep();
    let [(head, pages)] = [slabs.spares.take(thread::shard(), |_| true).expect("it is there")];
    assert!(slabs.spares.put(Shard::of(thread::shard().number() + 1), (head, pages)));
    let rest = alloc(&slabs, grown - LARGE_HEAP);
    assert_eq!((rest, slabs.grown(), slabs.free()), (spare, grown, 0), "the heap did not grow");
}
