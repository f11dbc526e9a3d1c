//! The set of heaps of a pool, which readers search without locks.
//!
//! The set is a snapshot. To add or to remove a heap is to build a new snapshot and to swing one pointer. A reader
//! *pins* the snapshot that it reads. A replaced snapshot is freed when nobody has it pinned; a removed heap, when
//! besides no window of a cache shows it. `README.md` has the picture and the rules.

mod heap;
mod next;
mod readers;
mod retired;
mod snapshot;

use core::ptr::{self, NonNull};

use crate::error::AddHeapError;
use crate::id::HeapId;
use crate::metadata::{Owned, Unavailable};
use crate::raw::{Listing, Order};
use crate::sync::{AtomicPtr, Ordering, const_unless_loom};
pub(crate) use heap::{Heap, Region};

use readers::{Guard, Readers};
use retired::{Link, Retired};
pub(crate) use snapshot::View;
use snapshot::{Member, Snapshot};

/// The heaps of a pool.
#[derive(Debug)]
pub(crate) struct Heaps {
    current: AtomicPtr<Snapshot>,
    readers: Readers,
    replaced: Retired<Snapshot>,
    removed: Retired<Member>,
}

/// The heaps as they were when this was made. They live as long.
#[derive(Debug)]
pub(crate) struct Pinned<'a> {
    _guard: Guard<'a>,
    snapshot: *mut Snapshot,
}

impl Pinned<'_> {
    /// The heaps.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        // SAFETY: the pointer is null, or was read under the guard, so that the snapshot lives as long as that.
        View::new(unsafe { self.snapshot.as_ref() })
    }
}

impl Heaps {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self {
                current: AtomicPtr::new(ptr::null_mut()),
                readers: Readers::new(),
                replaced: Retired::new(),
                removed: Retired::new(),
            }
        }
    }

    /// The heaps now. Lock-free: it begins anew only where a heap was added or removed meanwhile.
    #[inline]
    pub(crate) fn pin(&self) -> Pinned<'_> {
        // The Acquire in `read` pairs with the Release in `replace`, and makes the snapshot and the heaps in it
        // visible.
        let (guard, snapshot) = self.readers.read(&self.current);
        Pinned { _guard: guard, snapshot }
    }

    /// Adds a heap over `region`. Lock-free.
    pub(crate) fn add(&self, region: Region, max_order: Order) -> Result<HeapId, AddHeapError> {
        let mut heap: Option<Owned<Member>> = None;
        loop {
            let current = self.pin();
            let view = current.view();
            if let Some(other) = view.overlapping(&region) {
                return Err(AddHeapError::Overlap { heap: other.id });
            }
            let mut added = match heap.take() {
                Some(heap) => heap,
                None => Owned::new(Member { heap: Heap::new(region, max_order)?, link: Link::since(0) })?,
            };
            let (id, era) = (view.next_id(), self.readers.era());
            added.heap.id = id;
            let units = added.heap.buddy().geometry().units();
            added.heap.set_start(view.next_start(units));
            added.link = Link::since(era);
            let listing = view.listing()?;
            added.heap.list(listing.clone());
            let next = Owned::new(Snapshot::with(view, &added, &listing, era)?)?;
            // Last, as the board keeps its room: an error leaves nothing else behind.
            listing.board.make_room(listing.slot + 1)?;
            if self.replace(&current, next, None) {
                // The set owns it from now on.
                added.into_raw();
                listing.board.raise(listing.slot);
                return Ok(id);
            }
            heap = Some(added);
        }
    }

    /// Removes a heap of which the caller has all blocks, and which nobody else removes. Lock-free. An error changes
    /// nothing.
    pub(crate) fn remove(&self, heap: &Heap) -> Result<(), Unavailable> {
        loop {
            let current = self.pin();
            let next = Owned::new(Snapshot::without(current.view(), heap, self.readers.era())?)?;
            let removed = current.view().owned(heap.id);
            // Before the next heap has this slot.
            if let Some(Listing { board, slot }) = heap.buddy().listing() {
                board.lower(*slot, 0);
            }
            if self.replace(&current, next, removed) {
                return Ok(());
            }
        }
    }

    /// Replaces the snapshot that the caller has pinned, if it is current. The next one has not the heap `removed`.
    fn replace(&self, pinned: &Pinned<'_>, next: Owned<Snapshot>, removed: Option<NonNull<Member>>) -> bool {
        let next = next.into_raw();
        // Release: pairs with the Acquire in `pin`. Relaxed on failure: the caller pins again.
        match self.current.compare_exchange(pinned.snapshot, next.as_ptr(), Ordering::Release, Ordering::Relaxed) {
            Ok(replaced) => {
                let last = self.readers.advance();
                if let Some(replaced) = NonNull::new(replaced) {
                    // SAFETY: this thread replaced it; it came from `Owned::into_raw`.
                    unsafe { self.replaced.retire(replaced, last) };
                }
                if let Some(removed) = removed {
                    // SAFETY: the set has it no more, by this thread's doing; it came from `Owned::into_raw`.
                    unsafe { self.removed.retire(removed, last) };
                }
                true
            }
            Err(_) => {
                // SAFETY: the snapshot was not published, so it is still this thread's.
                drop(unsafe { Owned::from_raw(next) });
                false
            }
        }
    }

    /// Frees what was replaced or removed, if nobody holds it any more. `in_window` tells whether a window shows a
    /// heap. Lock-free. O(readers that were there at a replacement, times caches of the pool for heaps).
    pub(crate) fn collect(&self, in_window: impl Fn(*const Heap) -> bool) {
        if self.replaced.is_empty() && self.removed.is_empty() {
            return;
        }
        let (replaced, removed) = (self.replaced.take(), self.removed.take());
        let eras = self.readers.eras();
        replaced.free(eras.as_ref(), |_| false);
        // Windows after readers: a thread that could still show a heap in its window did so while it read.
        removed.free(eras.as_ref(), |member| in_window(&raw const member.heap));
    }

    /// Readers of this set are watched from now on, and what it retires is freed: for models of just that.
    #[cfg(modelled)]
    pub(crate) fn watch(&self) {
        self.readers.watch();
    }
}

impl Drop for Heaps {
    fn drop(&mut self) {
        // Relaxed: `&mut self`, nobody else is there.
        let Some(last) = NonNull::new(self.current.load(Ordering::Relaxed)) else { return };
        // SAFETY: it came from `Owned::into_raw`, and no list has it: it was not replaced.
        let last = unsafe { Owned::from_raw(last) };
        for heap in last.heaps() {
            // SAFETY: the last snapshot has every heap of the set once; each came from `Owned::into_raw`.
            drop(unsafe { Owned::from_raw(heap) });
        }
    }
}

// SAFETY: snapshots have tables of atomics, and heaps are `Send` and `Sync`; the thread that frees them is the only
// one.
unsafe impl Send for Heaps {}
// SAFETY: as above.
unsafe impl Sync for Heaps {}
