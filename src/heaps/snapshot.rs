//! The heaps as they were at one moment.

use core::ptr::NonNull;

use super::given::{Given, Place};
use super::heap::{Heap, Region};
use super::retired::{Link, Linked};
use crate::board_place::BoardRef;
use crate::error::ReleaseError;
use crate::id::HeapId;
use crate::metadata::Table;
#[cfg(not(modelled))]
use crate::metadata::{Owned, room};
use crate::raw::{BlockIndex, LastFailure, Order};
use crate::sync::{Alive, AtomicPtr, Ordering};
use crate::units::saturated;

/// A heap in the set.
#[derive(Debug)]
pub(crate) struct Member {
    pub(super) heap: Heap,
    pub(super) link: Link<Self>,
    /// The tables that came with the heap.
    pub(super) given: Option<Given>,
}

/// The heaps of a pool as they were at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Ascending by id.
    pub(super) by_age: Table<AtomicPtr<Member>>,
    pub(super) by_address: Table<AtomicPtr<Member>>,
    /// By the number of the first unit. Heaps without numbers come last.
    pub(super) by_number: Table<AtomicPtr<Member>>,
    /// By the entry on the board; null for none.
    pub(super) by_entry: Table<AtomicPtr<Member>>,
    pub(super) board: BoardRef,
    /// The last certified failure of an allocation from all of these heaps. Where a heap comes or goes, none is
    /// remembered.
    pub(super) last_failure: LastFailure,
    /// How many heaps were ever added: the id of the next one.
    pub(super) added: u64,
    /// Bytes in blocks of all heaps.
    pub(super) capacity: u64,
    /// The order of the largest block that one of them can form.
    pub(super) largest: Option<Order>,
    pub(super) link: Link<Self>,
    /// Where it lies, if that is not the global allocator's memory: with one of its heaps.
    pub(super) place: Option<NonNull<Place>>,
    pub(super) alive: Alive,
}

impl Linked for Member {
    fn link(&self) -> &Link<Self> {
        &self.link
    }

    fn end_of_life(&self) {
        self.heap.end_of_life();
        self.places().for_each(Place::end_of_life);
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

impl Member {
    /// The places for snapshots in its tables.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.given.iter().flat_map(|given| &given.places)
    }
}

/// The heaps of a snapshot, for as long as that is pinned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View<'a>(pub(super) Option<&'a Snapshot>);

pub(super) type Places<'a> = &'a [AtomicPtr<Member>];

pub(super) fn heap<'a>(place: &AtomicPtr<Member>) -> &'a Heap {
    &member(place).heap
}

pub(super) fn member<'a>(place: &AtomicPtr<Member>) -> &'a Member {
    // Relaxed: written before the snapshot was published, and never since.
    // SAFETY: every place of a published snapshot points to a heap. Heaps live as long as snapshots that have them can
    // be pinned. Views are of pinned snapshots, and the caller gives the lifetime of one.
    let member = unsafe { &*place.load(Ordering::Relaxed) };
    member.heap.touch();
    member
}

/// The last heap that `is_below`, in a table that is sorted by that.
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
    pub(super) fn ages(self) -> Places<'a> {
        self.0.map_or(&[], |snapshot| &snapshot.by_age)
    }

    #[inline]
    pub(super) fn addresses(self) -> Places<'a> {
        self.0.map_or(&[], |snapshot| &snapshot.by_address)
    }

    #[inline]
    pub(super) fn numbers(self) -> Places<'a> {
        self.0.map_or(&[], |snapshot| &snapshot.by_number)
    }

    #[inline]
    pub(super) fn entries(self) -> Places<'a> {
        self.0.map_or(&[], |snapshot| &snapshot.by_entry)
    }

    /// All heaps, in the order in which they were added.
    #[inline]
    pub(crate) fn by_age(self) -> impl Iterator<Item = &'a Heap> + Clone + 'a {
        self.ages().iter().map(heap)
    }

    /// How many heaps were ever added, if there is one.
    pub(super) fn added(self) -> Option<u64> {
        self.0.map(|snapshot| snapshot.added)
    }

    /// How many heaps there are.
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

    /// Bytes in blocks of all heaps; `usize::MAX` if they are more.
    pub(crate) fn capacity(self) -> usize {
        self.0.map_or(0, |snapshot| saturated(snapshot.capacity))
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

    /// Calls `take` for heaps that may have a block of `order` or a larger one in their stacks, in the order of
    /// entries, until one gives something. Closed heaps and those that are not fit are left alone. O(log heaps), and a
    /// look into each heap that lately had such a block.
    pub(crate) fn take_first<R>(
        self,
        order: Order,
        is_fit: impl Fn(&Heap) -> bool,
        mut take: impl FnMut(&'a Heap) -> Option<R>,
    ) -> Option<R> {
        let snapshot = self.0?;
        let (board, mut next) = (&snapshot.board, 0);
        while let Some(entry) = board.first(order.get(), next) {
            next = entry + 1;
            // None: the heap is in another snapshot.
            let Some(heap) = snapshot.by_entry.get(entry).filter(|place| !address(place).is_null()).map(heap) else {
                continue;
            };
            if heap.buddy().is_closed() || !is_fit(heap) {
                continue;
            }
            if let Some(taken) = take(heap) {
                return Some(taken);
            }
            if board.lower(entry, order.get())
                && let Some(taken) = take(heap)
            {
                board.raise(entry);
                return Some(taken);
            }
        }
        None
    }

    /// A heap that a region overlaps. O(log heaps).
    pub(super) fn overlapping(self, region: &Region) -> Option<&'a Heap> {
        // Regions of a set don't overlap. So of those that begin before its end the last one ends last.
        last_below(self.addresses(), |heap| heap.region().start() <= region.last())
            .filter(|heap| heap.region().overlaps(region))
    }
}

impl Snapshot {
    /// Most bytes that a snapshot of a set takes whose heaps have this many entries on the board. In models it takes
    /// none, as it is the global allocator's.
    #[cfg_attr(modelled, expect(unused_variables, reason = "as above"))]
    pub(super) const fn room(entries: usize) -> usize {
        // Four tables; there are no more heaps than entries.
        #[cfg(not(modelled))]
        return Owned::<Self>::ROOM + 4 * room::<AtomicPtr<Member>>(entries);
        #[cfg(modelled)]
        0
    }

    /// The heaps, for the owner of the last snapshot of a set that is dropped.
    pub(super) fn heaps(&self) -> impl Iterator<Item = NonNull<Member>> + '_ {
        self.by_age.iter().map(address).filter_map(NonNull::new)
    }
}

pub(super) fn address(place: &AtomicPtr<Member>) -> *mut Member {
    // Relaxed: as in `heap`.
    place.load(Ordering::Relaxed)
}
