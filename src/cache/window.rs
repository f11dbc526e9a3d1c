//! A window: a cache's view of the one heap that it works with.
//!
//! The fast paths look at a heap only through it. Its pointer to the heap is a *hazard* (Michael, Hazard pointers: safe
//! memory reclamation for lock-free objects, 2004). It stands there for as long as the window shows that heap, so that
//! the fast paths need neither pin nor lock; a heap that was removed is freed only when no window shows it.
//!
//! Another thread may *close* the window. Then the owner's next operation takes the slow path, and sees what it is
//! asked for. The fast paths pay nothing for that: they compare with the number of units anyway.
//!
//! The heap that was shown before stays *aside*, with a hazard of its own, for threads that use two heaps in turn: what
//! the fast paths don't find in the window they look for there, without a pin. A heap moves from the window aside and
//! never back, so a thread that looks into the window first, and aside after that, misses none.

use core::cell::Cell;
use core::ptr;

use super::entry::Entry;
use crate::heaps::Heap;
use crate::raw::StateWord;
use crate::sync::{AtomicPtr, AtomicU16, AtomicU32, Ordering, fence};

/// The part of a window that other threads see. Only the owner shows a heap in it.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Window {
    /// The hazard. Null for none.
    heap: AtomicPtr<Heap>,
    /// The hazard of the heap aside.
    aside: AtomicPtr<Heap>,
    /// Units of the heap; 0 where the window is closed. Any thread may close it.
    units: AtomicU32,
}

/// The owner's copy of what the fast paths need of a heap.
#[derive(Debug)]
#[repr(C)]
pub struct HeapCopy {
    first: Cell<*mut u8>,
    states: Cell<*const AtomicU16>,
    /// The number of the heap's first unit in the pool.
    start: Cell<u32>,
    #[cfg(modelled)]
    heap: Cell<*const Heap>,
}

// SAFETY: the pointers are to what lives on when the copy goes to another thread: the hazard goes with it.
unsafe impl Send for HeapCopy {}

impl Default for HeapCopy {
    fn default() -> Self {
        Self {
            first: Cell::new(ptr::null_mut()),
            states: Cell::new(ptr::null()),
            start: Cell::new(0),
            #[cfg(modelled)]
            heap: Cell::new(ptr::null()),
        }
    }
}

/// The owner's copy of the heap aside.
#[derive(Debug, Default)]
pub struct Aside {
    copy: HeapCopy,
    /// Units of the heap; 0 where there is none.
    units: Cell<u32>,
    /// How often it was of use since it is there.
    uses: Cell<u32>,
}

/// After this many uses the heap aside is shown in the window: it may be the only one in use.
const MOST_USES: u32 = 64;

impl HeapCopy {
    fn copy(&self, from: &Self) {
        self.first.set(from.first.get());
        self.states.set(from.states.get());
        self.start.set(from.start.get());
        #[cfg(modelled)]
        self.heap.set(from.heap.get());
    }
}

/// A unit of the heap in the window, and of no other. It is none once the window shows another heap.
#[derive(Clone, Copy, Debug)]
pub struct Unit(usize);

impl Unit {
    /// Its index in the heap.
    #[inline]
    pub fn index(self) -> u32 {
        self.0 as u32
    }
}

/// The block at a unit of the heap aside.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockAside<'a> {
    pub(super) state: StateWord<'a>,
    pub(super) entry: Entry,
    pub(super) pointer: *mut u8,
}

impl Window {
    /// Does it show this heap? For any thread, and of use for a heap that no window begins to show any more.
    pub fn shows(&self, heap: *const Heap) -> bool {
        // Acquire, both: pairs with the Release in `leave`, `leave_aside` and `show`; the heap is freed after all that
        // was done by way of the window. The second load comes after the first: a heap that moved in between is seen
        // aside. No model needs the second Acquire: no model has two heaps in turn.
        ptr::eq(self.heap.load(Ordering::Acquire), heap) || ptr::eq(self.aside.load(Ordering::Acquire), heap)
    }

    /// Closes the window, for any thread. The caller has written before what it asks of the owner.
    pub fn close(&self) {
        // SeqCst: pairs with the fence in `show_only`: either the owner sees there what it is asked, or the 0 comes
        // later in the order of `units` than the number that the owner sets. No model needs the SeqCst: a weaker fence
        // would not order the owner's store before its load; `request_show` comes to other faults only.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        self.units.store(0, Ordering::Relaxed);
    }
}

/// The window of a cache for its owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnWindow<'a> {
    pub(super) window: &'a Window,
    pub(super) copy: &'a HeapCopy,
    pub(super) aside: &'a Aside,
}

impl<'a> OwnWindow<'a> {
    /// The unit of a block that the cache has, if it is in the window.
    #[inline]
    pub(super) fn unit_of(self, entry: Entry) -> Option<Unit> {
        self.inside(entry.0.wrapping_sub(self.copy.start.get()) as usize)
    }

    /// The index of the unit that begins at an address, if that is in the window; else one that no unit has.
    #[inline]
    pub(super) fn index_at(self, address: usize, address_shift: u32) -> usize {
        let offset = address.wrapping_sub(self.copy.first.get().addr());
        // The bits below a unit go to the top, where they make the index too large.
        offset.rotate_right(address_shift)
    }

    /// The unit of this index, if the window is open and the heap has it.
    #[inline]
    pub(super) fn inside(self, unit: usize) -> Option<Unit> {
        // Relaxed: it says whether the window was closed; a fence precedes the load of what is asked then.
        if unit < self.window.units.load(Ordering::Relaxed) as usize { Some(Unit(unit)) } else { None }
    }

    /// The unit of this index.
    ///
    /// # Safety
    ///
    /// It was a [`Unit`] of the heap that the window shows.
    #[inline]
    pub(super) unsafe fn was_inside(self, unit: usize) -> Unit {
        Unit(unit)
    }

    /// The state word of a unit.
    #[inline]
    pub(super) fn state(self, Unit(unit): Unit) -> StateWord<'a> {
        #[cfg(modelled)]
        // SAFETY: as below.
        unsafe { &*self.copy.heap.get() }.touch();
        // SAFETY: `states` is the table of the heap in the window. `unit` was found to be one of that heap's units. The
        // hazard keeps the heap from being freed while the window shows it.
        StateWord(unsafe { &*self.copy.states.get().add(unit) })
    }

    /// The pointer to a unit, derived from the base that the user gave.
    #[inline]
    pub(super) fn pointer(self, Unit(unit): Unit, address_shift: u32) -> *mut u8 {
        self.copy.first.get().wrapping_add(unit << address_shift)
    }

    /// The block that begins at a unit as the bins have it.
    #[inline]
    pub(super) fn entry(self, Unit(unit): Unit) -> Entry {
        Entry(self.copy.start.get().wrapping_add(unit as u32))
    }

    /// The heap that it shows, closed or not.
    pub(super) fn shown(self) -> Option<&'a Heap> {
        // Relaxed: the owner's.
        // SAFETY: null, or a heap that the hazard, this very pointer, keeps from being freed.
        unsafe { self.window.heap.load(Ordering::Relaxed).as_ref() }
    }

    /// Is it closed, or does it show no heap?
    pub(super) fn is_closed(self) -> bool {
        // Relaxed: as in `inside`.
        self.window.units.load(Ordering::Relaxed) == 0
    }

    /// The heap aside.
    pub(super) fn shown_aside(self) -> Option<&'a Heap> {
        // Relaxed: the owner's.
        // SAFETY: null, or a heap that the hazard, this very pointer, keeps from being freed.
        unsafe { self.window.aside.load(Ordering::Relaxed).as_ref() }
    }

    /// The block of an entry, if it is of the heap aside and the window is open.
    pub(super) fn entry_aside(self, entry: Entry, address_shift: u32) -> Option<BlockAside<'a>> {
        self.inside_aside(entry.0.wrapping_sub(self.aside.copy.start.get()) as usize, address_shift)
    }

    /// The block that begins at an address, if it is of the heap aside and the window is open.
    pub(super) fn block_aside(self, address: usize, address_shift: u32) -> Option<BlockAside<'a>> {
        let offset = address.wrapping_sub(self.aside.copy.first.get().addr());
        self.inside_aside(offset.rotate_right(address_shift), address_shift)
    }

    fn inside_aside(self, unit: usize, address_shift: u32) -> Option<BlockAside<'a>> {
        let Aside { copy, units, .. } = self.aside;
        if unit >= units.get() as usize || self.is_closed() {
            return None;
        }
        #[cfg(modelled)]
        // SAFETY: as below.
        unsafe { &*copy.heap.get() }.touch();
        // SAFETY: `states` is the table of the heap aside, which has this unit. The hazard keeps that heap from being
        // freed.
        let state = StateWord(unsafe { &*copy.states.get().add(unit) });
        let entry = Entry(copy.start.get().wrapping_add(unit as u32));
        Some(BlockAside { state, entry, pointer: copy.first.get().wrapping_add(unit << address_shift) })
    }

    /// The heap aside was of use. Now and then that returns it, to be shown in the window in place of the one there.
    pub(super) fn count_aside(self) -> Option<&'a Heap> {
        let uses = &self.aside.uses;
        uses.set(uses.get() + 1);
        if uses.get() < MOST_USES {
            return None;
        }
        uses.set(0);
        self.shown_aside()
    }

    /// Nothing is aside any more.
    pub(super) fn leave_aside(self) {
        self.aside.units.set(0);
        // Release: pairs with the Acquire in `shows`.
        self.window.aside.store(ptr::null_mut(), Ordering::Release);
    }

    /// Shows `heap`, which the caller has found in the set, and puts the heap aside that was shown.
    pub(super) fn show(self, heap: &Heap, is_asked: impl FnOnce() -> bool) {
        if heap.start().is_none() {
            return;
        }
        if let Some(shown) = self.shown().filter(|shown| !ptr::eq(*shown, heap)) {
            self.aside.copy.copy(self.copy);
            self.aside.units.set(shown.buddy().states().words().len() as u32);
            self.aside.uses.set(0);
            // Release: pairs with the Acquire in `shows`, for the heap that was aside. It comes before the heap in the
            // window is replaced. No model needs the Release: the pin, by which the caller found the heap, has a fence.
            self.window.aside.store(ptr::from_ref(shown).cast_mut(), Ordering::Release);
        }
        self.show_only(heap, is_asked);
    }

    /// Shows `heap`, which the caller has found in the set or aside. The window stays closed if something is asked of
    /// the owner. No [`Unit`] of before is one any more.
    pub(super) fn show_only(self, heap: &Heap, is_asked: impl FnOnce() -> bool) {
        let Some(start) = heap.start() else { return };
        let (window, copy, words) = (self.window, self.copy, heap.buddy().states().words());
        copy.first.set(heap.first());
        copy.states.set(words.as_ptr());
        copy.start.set(start);
        #[cfg(modelled)]
        copy.heap.set(heap);
        // Release: pairs with the Acquire in `shows`, for the heap that was shown. A thread that sees this heap sees
        // the other one aside. No model needs the Release: the pin, by which the caller found the heap, has a fence.
        window.heap.store(ptr::from_ref(heap).cast_mut(), Ordering::Release);
        // Relaxed: ordered by the fence.
        window.units.store(words.len() as u32, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `close`. A thread that removes the heap sees it in the window without a
        // fence: it looks when nobody has the snapshot pinned any more in which the caller found the heap. No model
        // needs the SeqCst: as in `close`.
        fence(Ordering::SeqCst);
        if is_asked() {
            // Relaxed: as in `inside`.
            window.units.store(0, Ordering::Relaxed);
        }
    }

    /// Shows no heap any more.
    pub(super) fn leave(self) {
        // Relaxed: the owner's.
        self.window.units.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `shows`. No model needs the Release: the caller has pinned the set since
        // it used the heap, and a pin has a fence.
        self.window.heap.store(ptr::null_mut(), Ordering::Release);
    }
}
