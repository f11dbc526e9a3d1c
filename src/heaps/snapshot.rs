//! The heaps as they were at one moment.

use core::iter;
use core::ptr::NonNull;

use super::heap::{Heap, Region};
use super::retired::{Link, Linked};
use crate::board::Board;
use crate::error::ReleaseError;
use crate::id::HeapId;
use crate::metadata::{Owned, Shared, Table, Unavailable};
use crate::raw::{BlockIndex, LastFailure, Listing, Order};
use crate::sync::{Alive, AtomicPtr, Ordering};

/// A heap in the set.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) heap: Heap,
    pub(super) link: Link<Self>,
}

/// The heaps of a pool as they were at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Ascending by id.
    by_age: Table<AtomicPtr<Member>>,
    by_address: Table<AtomicPtr<Member>>,
    /// By the number of the first unit; the heaps without numbers come last.
    by_number: Table<AtomicPtr<Member>>,
    /// By the slot on the board; null for none.
    by_slot: Table<AtomicPtr<Member>>,
    board: Shared<Board>,
    /// Of allocations from all of these heaps: where one comes or goes, none is remembered.
    last_failure: LastFailure,
    /// Heaps that there were before, of which those that are left have their ids.
    added: u64,
    /// Bytes in blocks of all heaps.
    capacity: usize,
    /// The order of the largest block that one of them can form.
    largest: Option<Order>,
    pub(super) link: Link<Self>,
    alive: Alive,
}

impl Linked for Member {
    fn link(&self) -> &Link<Self> {
        &self.link
    }

    fn end_of_life(&self) {
        self.heap.end_of_life();
    }
}

impl Linked for Snapshot {
    fn link(&self) -> &Link<Self> {
        &self.link
    }

    fn end_of_life(&self) {
        self.alive.end();
    }
}

/// The heaps of a snapshot, as long as that is pinned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View<'a>(Option<&'a Snapshot>);

type Places<'a> = &'a [AtomicPtr<Member>];

fn heap<'a>(place: &AtomicPtr<Member>) -> &'a Heap {
    // Relaxed: written before the snapshot was published, and never since.
    // SAFETY: every place of a published snapshot points to a heap, and heaps live as long as the snapshots that have them can be
    // pinned; views, whose lifetime the caller gives, are of pinned ones.
    let heap = unsafe { &(*place.load(Ordering::Relaxed)).heap };
    heap.touch();
    heap
}

/// The last of the heaps up to one, in tables that are sorted by what `is_below` looks at.
#[inline]
fn last_below<'a>(places: Places<'a>, is_below: impl Fn(&Heap) -> bool) -> Option<&'a Heap> {
    let above = places.partition_point(|place| is_below(heap(place)));
    places.get(above.checked_sub(1)?).map(heap)
}

impl<'a> View<'a> {
    /// Of a snapshot that is pinned, or null.
    pub(super) fn new(snapshot: Option<&'a Snapshot>) -> Self {
        if let Some(snapshot) = snapshot {
            snapshot.alive.touch();
        }
        Self(snapshot)
    }

    #[inline]
    fn ages(self) -> Places<'a> {
        self.0.map_or(&[], |snapshot| &snapshot.by_age)
    }

    #[inline]
    fn addresses(self) -> Places<'a> {
        self.0.map_or(&[], |snapshot| &snapshot.by_address)
    }

    #[inline]
    fn numbers(self) -> Places<'a> {
        self.0.map_or(&[], |snapshot| &snapshot.by_number)
    }

    /// All heaps, the one that was added first first.
    #[inline]
    pub(crate) fn by_age(self) -> impl Iterator<Item = &'a Heap> + Clone + 'a {
        self.ages().iter().map(heap)
    }

    /// How many there are.
    pub(crate) fn count(self) -> usize {
        self.ages().len()
    }

    fn place_from(self, id: HeapId) -> Option<&'a AtomicPtr<Member>> {
        let ages = self.ages();
        ages.get(ages.partition_point(|place| heap(place).id < id))
    }

    /// The heap of an id. O(log heaps).
    pub(crate) fn get(self, id: HeapId) -> Option<&'a Heap> {
        self.from(id).filter(|heap| heap.id == id)
    }

    /// The heap of an id, or else the next one. O(log heaps).
    pub(crate) fn from(self, id: HeapId) -> Option<&'a Heap> {
        self.place_from(id).map(heap)
    }

    /// The pointer to the heap of an id that the set owns. O(log heaps).
    pub(super) fn owned(self, id: HeapId) -> Option<NonNull<Member>> {
        let place = self.place_from(id).filter(|place| heap(place).id == id)?;
        NonNull::new(address(place))
    }

    /// The heap that an address is in. O(log heaps).
    #[inline]
    pub(crate) fn find(self, address: usize) -> Option<&'a Heap> {
        let candidate = match self.addresses() {
            [only] => heap(only),
            several => last_below(several, |heap| heap.region().start() <= address)?,
        };
        Some(candidate).filter(|heap| heap.region().contains(address))
    }

    /// The heap and the index of the block that may begin at an address.
    #[inline]
    pub(crate) fn locate(self, address: usize) -> Result<(&'a Heap, BlockIndex), ReleaseError> {
        let heap = self.find(address).ok_or(ReleaseError::Foreign)?;
        Ok((heap, heap.block_at(address)?))
    }

    /// The heap and the block of the unit of this number in the pool. O(log heaps).
    pub(crate) fn numbered(self, number: u32) -> Option<(&'a Heap, BlockIndex)> {
        let heap = last_below(self.numbers(), |heap| heap.start().is_some_and(|start| start <= number))?;
        Some((heap, heap.numbered(number)?))
    }

    /// Bytes in blocks of all heaps.
    pub(crate) fn capacity(self) -> usize {
        self.0.map_or(0, |snapshot| snapshot.capacity)
    }

    /// The order of the largest block that one of them can form.
    pub(crate) fn largest(self) -> Option<Order> {
        self.0.and_then(|snapshot| snapshot.largest)
    }

    /// A number that is the same twice only if nothing was published in these heaps in between.
    pub(crate) fn news(self) -> u64 {
        self.0.map_or(0, |snapshot| snapshot.board.news())
    }

    /// The last certified failure of an allocation from all of these heaps. `None`: there never was a heap.
    pub(crate) fn last_failure(self) -> Option<&'a LastFailure> {
        self.0.map(|snapshot| &snapshot.last_failure)
    }

    /// What `take` takes from the first heap, in the order of slots, that has a block of `order` or a larger one in its stacks;
    /// closed ones and those that are not `fit` are left alone. O(log heaps), and a look into each heap that lately had one.
    pub(crate) fn take_first<R>(
        self,
        order: Order,
        is_fit: impl Fn(&Heap) -> bool,
        mut take: impl FnMut(&'a Heap) -> Option<R>,
    ) -> Option<R> {
        let snapshot = self.0?;
        let (board, mut next) = (&snapshot.board, 0);
        while let Some(slot) = board.first(order.get(), next) {
            next = slot + 1;
            // None: it is of another snapshot's heaps.
            let Some(heap) = snapshot.by_slot.get(slot).filter(|place| !address(place).is_null()).map(heap) else {
                continue;
            };
            if heap.buddy().is_closed() || !is_fit(heap) {
                continue;
            }
            if let Some(taken) = take(heap) {
                return Some(taken);
            }
            if board.lower(slot, order.get())
                && let Some(taken) = take(heap)
            {
                board.raise(slot);
                return Some(taken);
            }
        }
        None
    }

    #[inline]
    fn slots(self) -> Places<'a> {
        self.0.map_or(&[], |snapshot| &snapshot.by_slot)
    }

    /// The board of the pool, a new one for the first heap.
    fn board(self) -> Result<Shared<Board>, Unavailable> {
        self.0.map_or_else(|| Shared::new(Board::new()), |snapshot| Ok(snapshot.board.clone()))
    }

    /// The lowest slot of the board that none of them has.
    fn free_slot(self) -> usize {
        let slots = self.slots();
        slots.iter().position(|place| address(place).is_null()).unwrap_or(slots.len())
    }

    /// Where the next heap is to tell what it has, once the board has room for that.
    pub(super) fn listing(self) -> Result<Listing, Unavailable> {
        Ok(Listing { board: self.board()?, slot: self.free_slot() })
    }

    /// The id for the next heap.
    pub(super) fn next_id(self) -> HeapId {
        HeapId(self.0.map_or(0, |snapshot| snapshot.added))
    }

    /// The number for the first of `units` further units, unless too many are in use: after all others, or else in the
    /// first gap that is large enough. A removed heap's numbers may be in a window still; its owner sees that the heap is
    /// gone before it gets a block of the new one. O(1) as long as there are numbers after all others, else O(heaps).
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

    /// A heap that a region overlaps. O(log heaps).
    pub(super) fn overlapping(self, region: &Region) -> Option<&'a Heap> {
        // Regions of a set don't overlap, so that of those that begin before its end the last one ends last.
        last_below(self.addresses(), |heap| heap.region().start() <= region.last())
            .filter(|heap| heap.region().overlaps(region))
    }
}

impl Snapshot {
    /// A snapshot of the heaps of `view` and one more, the youngest, to be published in an era that is no earlier than this.
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
            let others = places.iter().filter(|place| !core::ptr::eq(heap(place), removed)).map(address);
            table(view.count() - 1, others)
        };
        let left = view.by_age().filter(|heap| heap.id != removed.id);
        let is_removed = |place: &AtomicPtr<Member>| !address(place).is_null() && core::ptr::eq(heap(place), removed);
        let slot = |place: &AtomicPtr<Member>| if is_removed(place) { core::ptr::null_mut() } else { address(place) };
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

    /// The heaps, for who owns the last snapshot of a set that is dropped.
    pub(super) fn heaps(&self) -> impl Iterator<Item = NonNull<Member>> + '_ {
        self.by_age.iter().map(address).filter_map(NonNull::new)
    }
}

fn table(count: usize, heaps: impl Iterator<Item = *mut Member>) -> Result<Table<AtomicPtr<Member>>, Unavailable> {
    let table = Table::<AtomicPtr<Member>>::new(count)?;
    // Relaxed: the snapshot is published as a whole.
    table.iter().zip(heaps).for_each(|(place, heap)| place.store(heap, Ordering::Relaxed));
    Ok(table)
}

fn address(place: &AtomicPtr<Member>) -> *mut Member {
    // Relaxed: as in `heap`.
    place.load(Ordering::Relaxed)
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::*;

    fn listing(view: View<'_>) -> Listing {
        view.listing().expect("a few bytes")
    }

    fn member(id: u64, base: usize, start: Option<u32>) -> Owned<Member> {
        let region = Region::new(core::ptr::without_provenance_mut(base), 4096, 6).expect("a region");
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

    /// Units have 64 numbers each here. What has none comes last, and is found by none.
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
        let region = |base, size| Region::new(core::ptr::without_provenance_mut(base), size, 6).expect("a region");
        let overlap = |base, size| view.overlapping(&region(base, size)).map(|heap| heap.id.0);
        assert_eq!(overlap((1 << 20) + 4096, 4096), None);
        assert_eq!(overlap((2 << 20) - 64, 128), Some(1));
        assert_eq!(overlap((3 << 20) + 4095, 128), Some(2));
        assert_eq!(overlap(4096, 1 << 30), Some(4));
        assert_eq!(overlap(4096, 4096), None);
    }
}
