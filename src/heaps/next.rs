//! The next snapshot: with one heap more, or without one.

use core::ptr::NonNull;
use core::{iter, ptr};

use super::given::Place;
use super::heap::Heap;
use super::retired::Link;
use super::snapshot::{Member, Places, Snapshot, View, address, heap, member};
use crate::metadata::{Owned, Source, Table, Unavailable};
use crate::raw::{LastFailure, Listing};
use crate::sync::{Alive, AtomicPtr, Ordering};

impl View<'_> {
    /// The lowest entry of the board that none of these heaps has.
    pub(super) fn free_entry(self) -> usize {
        let entries = self.entries();
        entries.iter().position(|place| address(place).is_null()).unwrap_or(entries.len())
    }

    /// Slots of the board up to the last one that a heap has, if this one is not there.
    fn entries_without(self, removed: &Heap) -> usize {
        let others = |place: &AtomicPtr<Member>| !address(place).is_null() && !ptr::eq(heap(place), removed);
        self.entries().iter().rposition(others).map_or(0, |last| last + 1)
    }

    /// The number of the first unit of a new heap of `units` units: after all others, or else in the first gap that is
    /// large enough. `None`: there is none. A window may still have a removed heap's numbers; its owner sees that the
    /// heap was removed before it gets a block of the new one. O(1) as long as there are numbers after all others, else
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
        listing: Listing,
        era: u64,
    ) -> Result<Owned<Self>, Unavailable> {
        let (new, count) = (&added.heap, view.count() + 1);
        let Listing { board, entry } = listing;
        let entries = view.entries();
        let entry_count = entries.len().max(entry + 1);
        let (mut source, place) = Self::source(added.places().find(|place| place.occupy(Self::room(entry_count))));
        let mut insert = |places: Places<'_>, is_below: &dyn Fn(&Heap) -> bool| {
            let (lower, upper) = places.split_at(places.partition_point(|place| is_below(heap(place))));
            let all = lower.iter().map(address).chain([added.as_ptr()]).chain(upper.iter().map(address));
            table(&mut source, count, all)
        };
        let number = |heap: &Heap| heap.start().unwrap_or(u32::MAX);
        let by_age = insert(view.ages(), &|_| true)?;
        let by_address = insert(view.addresses(), &|heap| heap.region().start() < new.region().start())?;
        let by_number = insert(view.numbers(), &|heap| number(heap) <= number(new))?;
        let by_entry = table(&mut source, entry_count, entries.iter().map(address))?;
        // Relaxed: as in `table`.
        by_entry[entry].store(added.as_ptr(), Ordering::Relaxed);
        source.owned(Self {
            by_age,
            by_address,
            by_number,
            by_entry,
            board,
            last_failure: LastFailure::new(),
            added: new.id.next().0,
            capacity: view.0.map_or(0, |snapshot| snapshot.capacity).saturating_add(new.capacity()),
            largest: view.largest().max(Some(new.buddy().geometry().max_order())),
            link: Link::since(era),
            place,
            alive: Alive::default(),
        })
    }

    /// A snapshot of the heaps of `view` without one of them. `None`: there are no others.
    pub(super) fn without(view: View<'_>, removed: &Heap, era: u64) -> Result<Option<Owned<Self>>, Unavailable> {
        let Some(snapshot) = view.0.filter(|_| view.count() > 1) else { return Ok(None) };
        let entry_count = view.entries_without(removed);
        let others = view.ages().iter().rev().map(member).filter(|member| !ptr::eq(&raw const member.heap, removed));
        let place = others.flat_map(Member::places).find(|place| place.occupy(Self::room(entry_count)));
        let made = Self::without_at(view, snapshot, removed, era, entry_count, place);
        if made.is_err() {
            place.into_iter().for_each(Place::leave);
        }
        made.map(Some)
    }

    fn without_at(
        view: View<'_>,
        snapshot: &Self,
        removed: &Heap,
        era: u64,
        entry_count: usize,
        place: Option<&Place>,
    ) -> Result<Owned<Self>, Unavailable> {
        let (mut source, place) = Self::source(place);
        let mut others = |places: Places<'_>| {
            let others = places.iter().filter(|place| !ptr::eq(heap(place), removed)).map(address);
            table(&mut source, view.count() - 1, others)
        };
        let left = view.by_age().filter(|heap| heap.id != removed.id);
        let is_removed = |place: &AtomicPtr<Member>| !address(place).is_null() && ptr::eq(heap(place), removed);
        let entry = |place: &AtomicPtr<Member>| if is_removed(place) { ptr::null_mut() } else { address(place) };
        let by_age = others(view.ages())?;
        let by_address = others(view.addresses())?;
        let by_number = others(view.numbers())?;
        let by_entry = table(&mut source, entry_count, view.entries().iter().map(entry))?;
        source.owned(Self {
            by_age,
            by_address,
            by_number,
            by_entry,
            board: snapshot.board,
            last_failure: LastFailure::new(),
            added: snapshot.added,
            capacity: left.clone().map(Heap::capacity).fold(0, u64::saturating_add),
            largest: left.map(|heap| heap.buddy().geometry().max_order()).max(),
            link: Link::since(era),
            place,
            alive: Alive::default(),
        })
    }

    /// The memory for a snapshot: the place that its maker occupied, or the global allocator's.
    fn source(place: Option<&Place>) -> (Source, Option<NonNull<Place>>) {
        (place.map_or(Source::Global, Place::source), place.map(NonNull::from))
    }

    /// Drops a snapshot, and leaves its place.
    pub(super) fn discard(snapshot: Owned<Self>) {
        let place = snapshot.place;
        drop(snapshot);
        if let Some(place) = place {
            // SAFETY: it lies in one of the snapshot's heaps, which is not freed while the place is occupied.
            unsafe { place.as_ref() }.leave();
        }
    }
}

fn table(
    source: &mut Source,
    count: usize,
    heaps: impl Iterator<Item = *mut Member>,
) -> Result<Table<AtomicPtr<Member>>, Unavailable> {
    let table = source.table::<AtomicPtr<Member>>(count)?;
    // Relaxed: the snapshot is published as a whole.
    table.iter().zip(heaps).for_each(|(place, heap)| place.store(heap, Ordering::Relaxed));
    Ok(table)
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::super::heap::Region;
    use super::*;
    use crate::board::Board;
    use crate::board_place::BoardPlace;
    use crate::id::HeapId;
    use crate::raw::Order;

    /// The board has to stay longer than the listing.
    fn listing(board: &BoardPlace, view: View<'_>) -> Listing {
        board.set(Owned::new(Board::new()).expect("a few bytes"));
        // SAFETY: as the caller says.
        Listing { board: unsafe { board.get() }.expect("it was set"), entry: view.free_entry() }
    }

    fn member(id: u64, base: usize, start: Option<u32>) -> Owned<Member> {
        let region = Region::new(ptr::without_provenance_mut(base), 4096, 6).expect("a region");
        let mut heap = Heap::new(region, Order::MAX, &mut Source::Global).expect("tables");
        heap.id = HeapId(id);
        heap.set_start(start);
        Owned::new(Member { heap, link: Link::since(0), given: None }).expect("a heap")
    }

    /// After 2^32 heaps the next one has an id that none had.
    #[test]
    fn ids_do_not_come_again() {
        let [last, other] = [u32::MAX.into(), 5].map(|id| member(id, (id as usize) << 20, None));
        let board = BoardPlace::new();
        let first = listing(&board, View(None));
        let snapshot = Snapshot::with(View(None), &other, first, 0).expect("tables");
        let view = View(Some(&snapshot));
        let snapshot = Snapshot::with(view, &last, listing(&board, view), 0).expect("tables");
        assert_eq!(View(Some(&snapshot)).added(), Some(1 << 32));
        let left = Snapshot::without(View(Some(&snapshot)), &last.heap, 0).expect("tables").expect("a heap is left");
        assert_eq!(View(Some(&left)).added(), Some(1 << 32));
        assert!(Snapshot::without(View(Some(&left)), &other.heap, 0).expect("no tables").is_none());
    }

    /// Heaps have 64 numbers each here. One without numbers comes last, and none finds it.
    #[test]
    fn numbers_are_found_and_gaps_are_filled() {
        let starts = [Some(64), None, Some(u32::MAX - 64), Some(256), Some(128)];
        let members: std::vec::Vec<_> =
            (0..).zip(starts).map(|(id, start)| member(id, (id as usize + 1) << 20, start)).collect();
        let board = BoardPlace::new();
        let first = listing(&board, View(None));
        let mut snapshot = Snapshot::with(View(None), &members[0], first, 0).expect("tables");
        for member in &members[1..] {
            let view = View(Some(&snapshot));
            snapshot = Snapshot::with(view, member, listing(&board, view), 0).expect("tables");
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
