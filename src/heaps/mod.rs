//! The set of heaps of a pool, which readers search without locks.
//!
//! The set is a snapshot. To add or to remove a heap is to build a new snapshot and to swing one pointer. A reader
//! *pins* the snapshot that it reads. A replaced snapshot is freed when nobody has it pinned; a removed heap, when
//! besides no window of a cache shows it. `README.md` has the picture and the rules.

mod given;
mod heap;
mod next;
mod readers;
mod retired;
mod returned;
mod snapshot;
mod tables;

use core::ptr::{self, NonNull};

use crate::board::Board;
use crate::board_place::{BoardPlace, BoardRef};
use crate::error::AddHeapError;
use crate::id::HeapId;
use crate::metadata::{Owned, Unavailable};
use crate::raw::{Listing, Order};
use crate::sync::{AtomicPtr, AtomicU64, Ordering, const_unless_loom};
pub(crate) use heap::{Heap, Region};
pub(crate) use tables::Tables;
#[cfg(not(modelled))]
pub(crate) use tables::size;

use given::{Memory, Place};
use readers::{Guard, Readers};
use retired::{Link, Retired};
use returned::Returned;
pub(crate) use snapshot::View;
use snapshot::{Member, Snapshot};

/// The heaps of a pool.
#[derive(Debug)]
pub(crate) struct Heaps {
    current: AtomicPtr<Snapshot>,
    readers: Readers,
    replaced: Retired<Snapshot>,
    removed: Retired<Member>,
    /// How many heaps were ever added when the set came to be empty: the id of the next one then.
    added: AtomicU64,
    /// Tables that came with heaps, and can go back.
    returned: Retired<Returned>,
    board: BoardPlace,
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
                added: AtomicU64::new(0),
                returned: Retired::new(),
                board: BoardPlace::new(),
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

    /// The board.
    fn board(&self) -> Option<BoardRef> {
        // SAFETY: heaps and snapshots have it, and use it only while they are in use themselves; it is dropped last.
        unsafe { self.board.get() }
    }

    /// Adds a heap over `region`. Lock-free. Given tables are the pool's afterwards, unless there is an error.
    pub(crate) fn add(&self, region: Region, max_order: Order, tables: &mut Tables) -> Result<HeapId, AddHeapError> {
        let mut heap: Option<Owned<Member>> = None;
        loop {
            let current = self.pin();
            let view = current.view();
            if let Some(other) = view.overlapping(&region) {
                return Err(AddHeapError::Overlap { heap: other.id });
            }
            let (units, entry) = (region.units(), view.free_entry());
            tables.check(units, view.entries().len().max(entry + 1), self.kept(entry))?;
            let mut added = match heap.take() {
                Some(heap) => heap,
                None => tables.member(region, max_order)?,
            };
            tables.reset();
            let (made, board) = match self.board() {
                Some(board) => (None, board),
                None => {
                    let made = tables.cut(Self::room_of_board())?.owned(Board::new())?;
                    // SAFETY: the set has it before it has the heap.
                    let board = unsafe { BoardRef::new(&made) };
                    (Some(made), board)
                }
            };
            let more = if board.has_room(entry + 1) { None } else { Some(tables.cut(Self::room_on_board(entry))?) };
            let (id, era) = (self.next_id(view), self.readers.era());
            let listing = Listing { board, entry };
            added.heap.id = id;
            added.heap.set_start(view.next_start(units));
            added.heap.list(listing);
            added.link = Link::since(era);
            added.given = tables.of_heap();
            let next = Snapshot::with(view, &added, listing, era)?;
            // Last, as the set keeps both: an error leaves nothing else behind.
            if let Some(mut source) = more
                && board.make_room(entry + 1, &mut source)?
            {
                tables.keep();
            }
            // False: another thread was first, with its board, or with a tree that is too small.
            let is_listed = match made {
                Some(made) => {
                    let is_set = self.board.set(made);
                    if is_set {
                        tables.keep();
                    }
                    is_set
                }
                None => board.has_room(entry + 1),
            };
            if !is_listed {
                Snapshot::discard(next);
            } else if self.replace(&current, Some(next), None) {
                // The set owns it from now on.
                added.into_raw();
                board.raise(entry);
                return Ok(id);
            }
            heap = Some(added);
        }
    }

    /// The id for the next heap.
    fn next_id(&self, view: View<'_>) -> HeapId {
        // Relaxed: made visible by the Acquire in `pin`, if there were heaps before.
        HeapId(view.added().unwrap_or_else(|| self.added.load(Ordering::Relaxed)))
    }

    /// Most bytes of given tables that are kept for the board, if it is to have this entry.
    fn kept(&self, entry: usize) -> usize {
        let board = self.board();
        let of_board = if board.is_none() { Self::room_of_board() } else { 0 };
        let has_room = board.map_or(entry == 0, |board| board.has_room(entry + 1));
        of_board + if has_room { 0 } else { Self::room_on_board(entry) }
    }

    const fn room_of_board() -> usize {
        #[cfg(not(modelled))]
        return Board::ROOM;
        #[cfg(modelled)]
        0
    }

    #[cfg_attr(modelled, expect(unused_variables, reason = "models have their tables from the global allocator"))]
    const fn room_on_board(entry: usize) -> usize {
        #[cfg(not(modelled))]
        return Board::room(entry + 1);
        #[cfg(modelled)]
        0
    }

    /// Memory that came with a heap that was not added, or was removed. It can be had back.
    pub(crate) fn give_back(&self, tables: Tables) {
        if let Tables::Given { memory, .. } = tables {
            self.give_back_memory(memory);
        }
    }

    fn give_back_memory(&self, memory: Memory) {
        let _too_small = self.returned.put(memory);
    }

    /// Takes tables back that came with a heap.
    pub(crate) fn take_tables(&self) -> Option<&'static mut [u8]> {
        self.returned.get()
    }

    /// Removes a heap of which the caller has all blocks, and which nobody else removes. Lock-free. An error changes
    /// nothing.
    pub(crate) fn remove(&self, heap: &Heap) -> Result<(), Unavailable> {
        loop {
            let current = self.pin();
            let next = Snapshot::without(current.view(), heap, self.readers.era())?;
            if next.is_none() {
                // Relaxed: published by the Release in `replace`.
                self.added.fetch_max(self.next_id(current.view()).0, Ordering::Relaxed);
            }
            let removed = current.view().owned(heap.id);
            // Before the next heap has this entry.
            if let Some(Listing { board, entry }) = heap.buddy().listing() {
                board.lower(*entry, 0);
            }
            if self.replace(&current, next, removed) {
                return Ok(());
            }
        }
    }

    /// Replaces the snapshot that the caller has pinned, if it is current. The next one has not the heap `removed`.
    fn replace(&self, pinned: &Pinned<'_>, next: Option<Owned<Snapshot>>, removed: Option<NonNull<Member>>) -> bool {
        let next = next.map_or(ptr::null_mut(), |next| next.into_raw().as_ptr());
        // Release: pairs with the Acquire in `pin`. Relaxed on failure: the caller pins again.
        match self.current.compare_exchange(pinned.snapshot, next, Ordering::Release, Ordering::Relaxed) {
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
                if let Some(next) = NonNull::new(next) {
                    // SAFETY: the snapshot was not published, so it is still this thread's.
                    Snapshot::discard(unsafe { Owned::from_raw(next) });
                }
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
        replaced.free(eras.as_ref(), |_| false, Snapshot::discard);
        // Windows after readers: a thread that could still show a heap in its window did so while it read.
        let is_kept = |member: &Member| in_window(&raw const member.heap) || !member.places().all(Place::is_free);
        removed.free(eras.as_ref(), is_kept, |member| {
            let memory = member.given.as_ref().map(|given| given.memory);
            drop(member);
            memory.into_iter().for_each(|memory| self.give_back_memory(memory));
        });
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
