//! The heaps as they were at one moment.

use core::ptr::NonNull;

use super::retired::Link;
use crate::error::ReleaseError;
use crate::heap::{Heap, HeapId, Region};
use crate::metadata::{Owned, Table, Unavailable};
use crate::raw::BlockIndex;
use crate::sync::{AtomicPtr, Ordering};

/// The heaps of a pool as they were at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Ascending by id.
    by_age: Table<AtomicPtr<Heap>>,
    by_address: Table<AtomicPtr<Heap>>,
    /// Heaps that there were before, of which those that are left have their ids.
    added: u64,
    /// What the heaps that were removed add to the version of the pool, so that it only grows.
    pub(super) past_version: u64,
    /// Of use when it was replaced.
    pub(super) link: Link,
}

/// The heaps of a snapshot, as long as that is pinned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View<'a>(Option<&'a Snapshot>);

fn heap<'a>(place: &AtomicPtr<Heap>) -> &'a Heap {
    // Relaxed: written before the snapshot was published, and never since.
    // SAFETY: every place of a published snapshot points to a heap, and heaps live as long as the snapshots that have them can be
    // pinned; views, whose lifetime the caller gives, are of pinned ones.
    let heap = unsafe { &*place.load(Ordering::Relaxed) };
    heap.touch();
    heap
}

impl<'a> View<'a> {
    /// Of a snapshot that is pinned, or null.
    pub(super) fn new(snapshot: Option<&'a Snapshot>) -> Self {
        Self(snapshot)
    }

    #[inline]
    fn ages(self) -> &'a [AtomicPtr<Heap>] {
        self.0.map_or(&[], |snapshot| &snapshot.by_age)
    }

    #[inline]
    fn addresses(self) -> &'a [AtomicPtr<Heap>] {
        self.0.map_or(&[], |snapshot| &snapshot.by_address)
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

    /// The heap of an id. O(log heaps).
    pub(crate) fn get(self, id: HeapId) -> Option<&'a Heap> {
        self.from(id).filter(|heap| heap.id == id)
    }

    /// The heap of an id, or else the next one. O(log heaps).
    pub(crate) fn from(self, id: HeapId) -> Option<&'a Heap> {
        let ages = self.ages();
        let place = ages.partition_point(|place| heap(place).id < id);
        ages.get(place).map(heap)
    }

    /// The pointer to the heap of an id that the set owns.
    pub(super) fn owned(self, id: HeapId) -> Option<NonNull<Heap>> {
        self.ages().iter().find(|place| heap(place).id == id).and_then(|place| NonNull::new(address(place)))
    }

    /// The heap that an address is in. O(log heaps).
    #[inline]
    pub(crate) fn find(self, address: usize) -> Option<&'a Heap> {
        let candidate = match self.addresses() {
            [only] => only,
            several => {
                let above = several.partition_point(|place| heap(place).region().start() <= address);
                several.get(above.checked_sub(1)?)?
            }
        };
        Some(heap(candidate)).filter(|heap| heap.region().contains(address))
    }

    /// The heap and the index of the block that may begin at an address.
    #[inline]
    pub(crate) fn locate(self, address: usize) -> Result<(&'a Heap, BlockIndex), ReleaseError> {
        let heap = self.find(address).ok_or(ReleaseError::Foreign)?;
        Ok((heap, heap.block_at(address)?))
    }

    /// The heap and the block of the unit of this number in the pool. O(heaps).
    pub(crate) fn numbered(self, number: u32) -> Option<(&'a Heap, BlockIndex)> {
        self.by_age().find_map(|heap| Some((heap, heap.numbered(number)?)))
    }

    /// Bytes in blocks of all heaps. O(heaps).
    pub(crate) fn capacity(self) -> usize {
        self.by_age().map(Heap::capacity).fold(0, usize::saturating_add)
    }

    /// What removed heaps add to the version of the pool.
    pub(crate) fn past_version(self) -> u64 {
        self.0.map_or(0, |snapshot| snapshot.past_version)
    }

    /// The link of the next snapshot.
    fn next_link(self) -> Link {
        self.0.map_or_else(Link::default, |snapshot| snapshot.link.next())
    }

    /// The id for the next heap.
    pub(super) fn next_id(self) -> HeapId {
        HeapId(self.0.map_or(0, |snapshot| snapshot.added))
    }

    /// The number for the first of `units` further units, unless too many are in use: after all others, or else in the
    /// first gap that is large enough. A removed heap's numbers may be in a window still; its owner sees that the heap is
    /// gone before it gets a block of the new one.
    pub(super) fn next_start(self, units: u32) -> Option<u32> {
        // No unit has the number `u32::MAX`.
        let fits = |start: &u32| {
            let end = start.checked_add(units)?;
            let free =
                |heap: &Heap| heap.start().is_none_or(|other| other >= end || heap.end() <= Some((*start).into()));
            self.by_age().all(free).then_some(())
        };
        let ends = self.by_age().filter_map(Heap::end);
        let last = ends.clone().max().unwrap_or(0);
        let mut starts = core::iter::once(last).chain(core::iter::once(0)).chain(ends);
        starts.find_map(|start| u32::try_from(start).ok().filter(|start| fits(start).is_some()))
    }

    pub(super) fn overlapping(self, region: &Region) -> Option<&'a Heap> {
        self.by_age().find(|heap| heap.region().overlaps(region))
    }
}

impl Snapshot {
    /// A snapshot of the heaps of `view` and one more, the youngest.
    pub(super) fn with(view: View<'_>, heap: &Owned<Heap>) -> Result<Self, Unavailable> {
        let added = heap.id.next().0;
        let ages = view.ages().iter().map(address).chain([heap.as_ptr()]);
        let start = heap.region().start();
        let below = view.addresses().partition_point(|place| self::heap(place).region().start() < start);
        let (lower, upper) = view.addresses().split_at(below);
        let addresses = lower.iter().map(address).chain([heap.as_ptr()]).chain(upper.iter().map(address));
        Self::of(view.count() + 1, ages, addresses, added, view.past_version(), view.next_link())
    }

    /// A snapshot of the heaps of `view` but for one.
    pub(super) fn without(view: View<'_>, heap: &Heap) -> Result<Self, Unavailable> {
        /// More than what threads that were late can have added to a version since it was read.
        const LATE: u64 = 1 << 32;
        let others = |pointer: &*mut Heap| !core::ptr::eq(*pointer, heap);
        let ages = view.ages().iter().map(address).filter(others);
        let addresses = view.addresses().iter().map(address).filter(others);
        let past_version = view.past_version().wrapping_add(heap.buddy().version()).wrapping_add(LATE);
        Self::of(view.count() - 1, ages, addresses, view.next_id().0, past_version, view.next_link())
    }

    fn of(
        count: usize,
        ages: impl Iterator<Item = *mut Heap>,
        addresses: impl Iterator<Item = *mut Heap>,
        added: u64,
        past_version: u64,
        link: Link,
    ) -> Result<Self, Unavailable> {
        let by_age = Table::<AtomicPtr<Heap>>::new(count)?;
        let by_address = Table::<AtomicPtr<Heap>>::new(count)?;
        // Relaxed, both: the snapshot is published as a whole.
        by_age.iter().zip(ages).for_each(|(place, heap)| place.store(heap, Ordering::Relaxed));
        by_address.iter().zip(addresses).for_each(|(place, heap)| place.store(heap, Ordering::Relaxed));
        Ok(Self { by_age, by_address, added, past_version, link })
    }

    /// The heaps, for who owns the last snapshot of a set that is dropped.
    pub(super) fn heaps(&self) -> impl Iterator<Item = NonNull<Heap>> + '_ {
        self.by_age.iter().map(address).filter_map(NonNull::new)
    }
}

fn address(place: &AtomicPtr<Heap>) -> *mut Heap {
    // Relaxed: as in `heap`.
    place.load(Ordering::Relaxed)
}
