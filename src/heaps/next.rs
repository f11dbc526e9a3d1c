//! The next snapshot: with one heap more, or without one.

use core::{iter, ptr};

use super::heap::Heap;
use super::retired::Link;
use super::snapshot::{Member, Places, Snapshot, View, address, heap};
use crate::board::Board;
use crate::id::HeapId;
use crate::metadata::{Owned, Shared, Table, Unavailable};
use crate::raw::{LastFailure, Listing};
use crate::sync::{Alive, AtomicPtr, Ordering};

impl View<'_> {
    /// The board of the pool, a new one for the first heap.
    fn board(self) -> Result<Shared<Board>, Unavailable> {
        self.0.map_or_else(|| Shared::new(Board::new()), |snapshot| Ok(snapshot.board.clone()))
    }

    /// The lowest slot of the board that none of these heaps has.
    fn free_slot(self) -> usize {
        let slots = self.slots();
        slots.iter().position(|place| address(place).is_null()).unwrap_or(slots.len())
    }

    /// The place of the next heap on the board, once the board has room for it.
    pub(super) fn listing(self) -> Result<Listing, Unavailable> {
        Ok(Listing { board: self.board()?, slot: self.free_slot() })
    }

    /// The id for the next heap.
    pub(super) fn next_id(self) -> HeapId {
        HeapId(self.0.map_or(0, |snapshot| snapshot.added))
    }

    /// The number of the first unit of a new heap of `units` units: after all others, or else in the first gap that is
    /// large enough. `None`: there is none. A window may still have a removed heap's numbers; its owner sees that the
    /// heap is gone before it gets a block of the new one. O(1) as long as there are numbers after all others, else
    /// O(heaps).
    pub(super) fn next_start(self, units: u32) -> Option<u32> {
        // No unit has the number `u32::MAX`.
        let fits = |start: u64, end: u64| start + u64::from(units) <= end.min(u32::MAX.into());
        let numbers = self.numbers();
        let numbers = &numbers[..numbers.partition_point(|place| heap(place).start().is_some())];
        let end = |place| heap(place).end().unwrap_or(0);
        let last = numbers.last().map_or(0, end);
        if fits(last, u64::MAX) {
            return u32::try_from(last).ok();
        }
        let begins = numbers.iter().filter_map(|place| heap(place).start()).map(u64::from);
        let mut gaps = iter::once(0).chain(numbers.iter().map(end)).zip(begins);
        gaps.find(|(start, end)| fits(*start, *end)).and_then(|(start, _)| u32::try_from(start).ok())
    }
}

impl Snapshot {
    /// A snapshot of the heaps of `view` and one more, the youngest. It will be published in this era or a later one.
    pub(super) fn with(
        view: View<'_>,
        added: &Owned<Member>,
        listing: &Listing,
        era: u64,
    ) -> Result<Self, Unavailable> {
        let (new, count) = (&added.heap, view.count() + 1);
        let insert = |places: Places<'_>, is_below: &dyn Fn(&Heap) -> bool| {
            let (lower, upper) = places.split_at(places.partition_point(|place| is_below(heap(place))));
            table(count, lower.iter().map(address).chain([added.as_ptr()]).chain(upper.iter().map(address)))
        };
        let number = |heap: &Heap| heap.start().unwrap_or(u32::MAX);
        let Listing { board, slot } = listing;
        let slots = view.slots();
        let by_slot = table(slots.len().max(slot + 1), slots.iter().map(address))?;
        // Relaxed: as in `table`.
        by_slot[*slot].store(added.as_ptr(), Ordering::Relaxed);
        Ok(Self {
            by_age: insert(view.ages(), &|_| true)?,
            by_address: insert(view.addresses(), &|heap| heap.region().start() < new.region().start())?,
            by_number: insert(view.numbers(), &|heap| number(heap) <= number(new))?,
            by_slot,
            board: board.clone(),
            last_failure: LastFailure::new(),
            added: new.id.next().0,
            capacity: view.capacity().saturating_add(new.capacity()),
            largest: view.largest().max(Some(new.buddy().geometry().max_order())),
            link: Link::since(era),
            alive: Alive::default(),
        })
    }

    /// A snapshot of the heaps of `view` but for one.
    pub(super) fn without(view: View<'_>, removed: &Heap, era: u64) -> Result<Self, Unavailable> {
        let others = |places: Places<'_>| {
            let others = places.iter().filter(|place| !ptr::eq(heap(place), removed)).map(address);
            table(view.count() - 1, others)
        };
        let left = view.by_age().filter(|heap| heap.id != removed.id);
        let is_removed = |place: &AtomicPtr<Member>| !address(place).is_null() && ptr::eq(heap(place), removed);
        let slot = |place: &AtomicPtr<Member>| if is_removed(place) { ptr::null_mut() } else { address(place) };
        Ok(Self {
            by_age: others(view.ages())?,
            by_address: others(view.addresses())?,
            by_number: others(view.numbers())?,
            by_slot: table(view.slots().len(), view.slots().iter().map(slot))?,
            board: view.board()?,
            last_failure: LastFailure::new(),
            added: view.next_id().0,
            capacity: left.clone().map(Heap::capacity).fold(0, usize::saturating_add),
            largest: left.map(|heap| heap.buddy().geometry().max_order()).max(),
            link: Link::since(era),
            alive: Alive::default(),
        })
    }
}

fn table(count: usize, heaps: impl Iterator<Item = *mut Member>) -> Result<Table<AtomicPtr<Member>>, Unavailable> {
    let table = Table::<AtomicPtr<Member>>::new(count)?;
    // Relaxed: the snapshot is published as a whole.
    table.iter().zip(heaps).for_each(|(place, heap)| place.store(heap, Ordering::Relaxed));
    Ok(table)
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::super::heap::Region;
    use super::*;
    use crate::raw::Order;

    fn listing(view: View<'_>) -> Listing {
        view.listing().expect("a few bytes")
    }

    fn member(id: u64, base: usize, start: Option<u32>) -> Owned<Member> {
        let region = Region::new(ptr::without_provenance_mut(base), 4096, 6).expect("a region");
        let mut heap = Heap::new(region, Order::MAX).expect("tables");
        heap.id = HeapId(id);
        heap.set_start(start);
        Owned::new(Member { heap, link: Link::since(0) }).expect("a heap")
    }

    /// After 2^32 heaps the next one has an id that none had.
    #[test]
    fn ids_do_not_come_again() {
        let last = member(u32::MAX.into(), 1 << 20, Some(0));
        let snapshot = Snapshot::with(View(None), &last, &listing(View(None)), 0).expect("tables");
        assert_eq!(View(Some(&snapshot)).next_id(), HeapId(1 << 32));
        let empty = Snapshot::without(View(Some(&snapshot)), &last.heap, 0).expect("tables");
        assert_eq!(View(Some(&empty)).next_id(), HeapId(1 << 32));
    }

    /// Heaps have 64 numbers each here. One without numbers comes last, and none finds it.
    #[test]
    fn numbers_are_found_and_gaps_are_filled() {
        let starts = [Some(64), None, Some(u32::MAX - 64), Some(256), Some(128)];
        let members: std::vec::Vec<_> =
            (0..).zip(starts).map(|(id, start)| member(id, (id as usize + 1) << 20, start)).collect();
        let mut snapshot = Snapshot::with(View(None), &members[0], &listing(View(None)), 0).expect("tables");
        for member in &members[1..] {
            let view = View(Some(&snapshot));
            snapshot = Snapshot::with(view, member, &listing(view), 0).expect("tables");
        }
        let view = View(Some(&snapshot));
        let found = |number| view.numbered(number).map(|(heap, block)| (heap.id.0, block.get()));
        for (number, expected) in [
            (0, None),
            (64, Some((0, 0))),
            (127, Some((0, 63))),
            (128, Some((4, 0))),
            (200, None),
            (256, Some((3, 0))),
            (u32::MAX - 65, None),
            (u32::MAX - 1, Some((2, 63))),
            (u32::MAX, None),
        ] {
            assert_eq!(found(number), expected, "{number}");
        }
        assert_eq!(view.next_start(64), Some(0));
        assert_eq!(view.next_start(65), Some(320));
        assert_eq!(view.next_start(u32::MAX), None);
        let region = |base, size| Region::new(ptr::without_provenance_mut(base), size, 6).expect("a region");
        let overlap = |base, size| view.overlapping(&region(base, size)).map(|heap| heap.id.0);
        assert_eq!(overlap((1 << 20) + 4096, 4096), None);
        assert_eq!(overlap((2 << 20) - 64, 128), Some(1));
        assert_eq!(overlap((3 << 20) + 4095, 128), Some(2));
        assert_eq!(overlap(4096, 1 << 30), Some(4));
        assert_eq!(overlap(4096, 4096), None);
    }
}
