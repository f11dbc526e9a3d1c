//! Models of reserving: given units are taken out of free blocks, wherever in these they lie.
#![cfg(loom)]

use loom_tests::{Heap, block, join, model, order, start};
use mempool::raw::{Class, Shard};

fn reserve(heap: &Heap, unit: u32, size: u32) -> bool {
    let reserved = heap.raw.reserve(block(unit), Class::of(order(size)), Shard::FIRST).is_ok();
    if reserved {
        heap.own(block(unit), size);
    }
    reserved
}

/// Two threads reserve one unit: one has it.
///
/// Seeded bug: a reservation takes what is not free.
#[test]
fn reserve_reserve() {
    model("reserve_reserve", Some(3), || {
        let heap = Heap::in_units(1);
        let other = start(&heap, |heap| reserve(heap, 1, 0));
        let mine = reserve(&heap, 1, 0);
        assert!(mine != join(other));
        heap.end(&[(block(1), 0)]);
    });
}

/// A reservation of the upper half against an allocation that splits the block, too.
///
/// Seeded bug: a reservation takes what is not free.
#[test]
fn reserve_alloc() {
    model("reserve_alloc", Some(3), || {
        let heap = Heap::new(2, 0, 1);
        let other = start(&heap, |heap| heap.alloc(0));
        let mine = reserve(&heap, 1, 0).then_some((block(1), 0));
        let mut live = Vec::from_iter(join(other).map(|block| (block, 0)).into_iter().chain(mine));
        live.sort_unstable_by_key(|(block, _)| *block);
        heap.end(&live);
    });
}

/// A reservation of two units against the release of the first: all or nothing, and what the last owner wrote is seen.
///
/// Seeded bugs: a reservation takes what is not free; a change of a state without Acquire.
#[test]
fn reserve_release() {
    model("reserve_release", None, || {
        let heap = Heap::new(2, 0, 1);
        let held = heap.alloc(0).expect("free");
        let other = start(&heap, move |heap| heap.release(held, 0));
        let mine = reserve(&heap, 0, 1).then_some((block(0), 1));
        join(other);
        heap.end(&Vec::from_iter(mine));
    });
}

/// A reservation of a unit against a sweep that merges it.
///
/// Seeded bug: a reservation takes what is not free.
#[test]
fn reserve_sweep() {
    model("reserve_sweep", Some(3), || {
        let heap = Heap::in_units(1);
        let other = start(&heap, |heap| heap.raw.sweep(None, Shard::FIRST).merges);
        let mine = reserve(&heap, 1, 0).then_some((block(1), 0));
        join(other);
        heap.end(&Vec::from_iter(mine));
    });
}

/// Units of several blocks, the first in the middle of one, the last one larger than what is wanted of it; against an
/// allocation of that first block, or of what is left. Alone, the reservation finds them.
///
/// Seeded bugs: a block that begins before the units is not halved; what is too much is not published.
#[test]
fn reserve_row() {
    model("reserve_row", Some(2), || {
        // A block of two, and one of four.
        let heap = Heap::new(6, 2, 2);
        let reserve = |heap: &Heap| heap.raw.reserve_all(&(1..5), Shard::FIRST) == Ok(3);
        let other = start(&heap, |heap| heap.alloc(1));
        let mine = reserve(&heap);
        let mut theirs = join(other);
        if !mine {
            theirs.take().into_iter().for_each(|block| heap.release(block, 1));
            assert!(reserve(&heap), "nobody has any of it");
        }
        let mine = [(block(1), 0), (block(2), 1), (block(4), 0)];
        mine.iter().for_each(|(block, size)| heap.own(*block, *size));
        let mut live = Vec::from_iter(theirs.map(|block| (block, 1)).into_iter().chain(mine));
        live.sort_unstable_by_key(|(block, _)| *block);
        heap.end(&live);
    });
}
