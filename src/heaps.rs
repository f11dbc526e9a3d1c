//! The set of heaps of a pool, which readers search without locks.
//!
//! A snapshot: two tables of heaps, by age and by address. To add a heap is to build a new snapshot and to swing one
//! pointer. Heaps are never removed so far, so a snapshot that was replaced is only kept, until the set is dropped,
//! for the readers that may still hold it; each costs two pointers a heap.

use core::ptr::{self, NonNull};

use crate::error::AddHeapError;
use crate::heap::{Heap, HeapId, Region};
use crate::metadata::{Owned, Table, Unavailable};
use crate::raw::{BlockIndex, Order};
use crate::sync::{AtomicPtr, Ordering, const_unless_loom};

/// The heaps of a pool.
#[derive(Debug)]
pub(crate) struct Heaps {
    current: AtomicPtr<Snapshot>,
}

#[derive(Debug)]
struct Snapshot {
    replaced: Option<NonNull<Snapshot>>,
    /// The heap of id i is at i.
    by_age: Table<AtomicPtr<Heap>>,
    by_address: Table<AtomicPtr<Heap>>,
}

/// The heaps of a pool as they were at one moment; it lives as long as the set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct View<'a> {
    by_age: &'a [AtomicPtr<Heap>],
    by_address: &'a [AtomicPtr<Heap>],
}

fn heap(place: &AtomicPtr<Heap>) -> &Heap {
    // Relaxed: written before the snapshot was published, and never since.
    // SAFETY: every place of a published snapshot points to a heap, and heaps live as long as the set, which the place
    // borrows from.
    unsafe { &*place.load(Ordering::Relaxed) }
}

impl<'a> View<'a> {
    /// All heaps, the one that was added first first.
    #[inline]
    pub(crate) fn by_age(self) -> impl Iterator<Item = &'a Heap> + Clone + 'a {
        self.by_age.iter().map(heap)
    }

    /// The heap of an id.
    pub(crate) fn get(self, id: HeapId) -> Option<&'a Heap> {
        self.by_age.get(id.0 as usize).map(heap)
    }

    /// The heap that an address is in. O(log heaps).
    #[inline]
    pub(crate) fn find(self, address: usize) -> Option<&'a Heap> {
        let candidate = match self.by_address {
            [only] => only,
            several => {
                let above = several.partition_point(|place| heap(place).region().start() <= address);
                several.get(above.checked_sub(1)?)?
            }
        };
        Some(heap(candidate)).filter(|heap| heap.region().contains(address))
    }

    /// The heap and the block of the unit of this number in the pool. O(heaps).
    pub(crate) fn numbered(self, number: u32) -> Option<(&'a Heap, BlockIndex)> {
        self.by_age().find_map(|heap| Some((heap, heap.numbered(number)?)))
    }

    /// Bytes in blocks of all heaps. O(heaps).
    pub(crate) fn capacity(self) -> usize {
        self.by_age().map(Heap::capacity).fold(0, usize::saturating_add)
    }

    /// The number for the first of `units` further units, unless the numbers are used up.
    fn next_start(self, units: u32) -> Option<u32> {
        let end = self.by_age().filter_map(Heap::end).max().unwrap_or(0);
        // No unit has the number `u32::MAX`.
        u32::try_from(end).ok().filter(|start| start.checked_add(units).is_some())
    }

    fn overlapping(self, region: &Region) -> Option<&'a Heap> {
        self.by_age().find(|heap| heap.region().overlaps(region))
    }
}

impl Heaps {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self { current: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// The heaps now.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        self.view_of(self.load())
    }

    #[inline]
    fn load(&self) -> *mut Snapshot {
        // Acquire: pairs with the Release in `add`; makes the snapshot and the heaps in it visible.
        self.current.load(Ordering::Acquire)
    }

    #[inline]
    fn view_of(&self, snapshot: *mut Snapshot) -> View<'_> {
        // SAFETY: the pointer is null or was published by `add`; a snapshot lives as long as the set.
        match unsafe { snapshot.as_ref() } {
            Some(snapshot) => View { by_age: &snapshot.by_age, by_address: &snapshot.by_address },
            None => View::default(),
        }
    }

    /// Adds a heap over `region`. Lock-free.
    pub(crate) fn add(&self, region: Region, max_order: Order) -> Result<HeapId, AddHeapError> {
        let mut added: Option<Owned<Heap>> = None;
        loop {
            let current = self.load();
            let view = self.view_of(current);
            if let Some(other) = view.overlapping(&region) {
                return Err(AddHeapError::Overlap { heap: other.id });
            }
            let mut heap = match added.take() {
                Some(heap) => heap,
                None => Owned::new(Heap::new(region, max_order)?)?,
            };
            // As many as there are came before. A set of 2^32 heaps would need more memory than there is.
            heap.id = HeapId(view.by_age.len() as u32);
            heap.start = view.next_start(heap.buddy().geometry().units());
            let id = heap.id;
            let next = Owned::new(Snapshot::with(view, &heap, NonNull::new(current))?)?.into_raw();
            // Release: pairs with the Acquire in `load`. Relaxed on failure: the next round loads again.
            match self.current.compare_exchange(current, next.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    // The set owns it from now on.
                    heap.into_raw();
                    return Ok(id);
                }
                Err(_) => {
                    // SAFETY: the snapshot was not published, so it is still this thread's.
                    drop(unsafe { Owned::from_raw(next) });
                    added = Some(heap);
                }
            }
        }
    }
}

impl Snapshot {
    /// A snapshot of the heaps of `view` and one more.
    fn with(view: View<'_>, heap: &Owned<Heap>, replaced: Option<NonNull<Snapshot>>) -> Result<Self, Unavailable> {
        let count = view.by_age.len() + 1;
        let (by_age, by_address) = (Table::new(count)?, Table::new(count)?);
        let fill = |table: &Table<AtomicPtr<Heap>>, place: usize, heap: *mut Heap| {
            // Relaxed: the snapshot is published as a whole.
            table[place].store(heap, Ordering::Relaxed);
        };
        let start = heap.region().start();
        let below = view.by_address.partition_point(|place| self::heap(place).region().start() < start);
        for (place, old) in view.by_age.iter().enumerate() {
            fill(&by_age, place, old.load(Ordering::Relaxed));
        }
        for (place, old) in view.by_address.iter().enumerate() {
            fill(&by_address, place + usize::from(place >= below), old.load(Ordering::Relaxed));
        }
        fill(&by_age, count - 1, heap.as_ptr());
        fill(&by_address, below, heap.as_ptr());
        Ok(Self { replaced, by_age, by_address })
    }
}

impl Drop for Heaps {
    fn drop(&mut self) {
        for place in self.view().by_age {
            // Relaxed: `&mut self`, nobody else is there.
            if let Some(heap) = NonNull::new(place.load(Ordering::Relaxed)) {
                // SAFETY: the last snapshot has every heap of the set once; each came from `Owned::into_raw`.
                drop(unsafe { Owned::from_raw(heap) });
            }
        }
        let mut next = NonNull::new(self.load());
        while let Some(snapshot) = next {
            // SAFETY: each snapshot came from `Owned::into_raw` and is in the chain once.
            next = unsafe { Owned::from_raw(snapshot) }.replaced;
        }
    }
}

// SAFETY: `replaced` is only for `drop`; the rest is tables of atomics, and heaps are `Send` and `Sync`.
unsafe impl Send for Snapshot {}
// SAFETY: as above.
unsafe impl Sync for Snapshot {}
