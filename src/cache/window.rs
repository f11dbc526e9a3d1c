//! A window: a cache's view of the one heap that it works with.
//!
//! The fast paths look at a heap only through it. Its pointer to the heap is a *hazard* (Michael, Hazard pointers: safe
//! memory reclamation for lock-free objects, 2004): it stands there for as long as the window shows that heap, so that
//! the fast paths need neither pin nor lock, and a heap that was removed is freed only when no window shows it.
//!
//! Another thread may *close* the window, so that the owner's next operation takes the slow path and sees what is asked
//! of it; the fast paths pay nothing for that, since they compare with the number of units anyway.
//!
//! The heap that was shown before stays *aside*, with a hazard of its own, for threads that use two heaps in turn: what the fast paths
//! don't find in the window they look for there, without a pin. Heaps move from the window aside and never back, so that who
//! looks into the window first and aside after that misses none.

use core::cell::Cell;
use core::ptr;

use crate::heaps::Heap;
use crate::raw::{Order, StateWord};
use crate::sync::{AtomicPtr, AtomicU16, AtomicU32, Ordering, fence};

use super::bin::{BinIndex, Entry};
use super::cache::OwnCache;

/// What others see of a window. Only the owner shows something in it.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Window {
    /// The hazard. Null for none.
    heap: AtomicPtr<Heap>,
    /// The hazard of the heap aside.
    aside: AtomicPtr<Heap>,
    /// Units of the heap; 0 where the window is closed, which anyone may do.
    units: AtomicU32,
}

/// What the owner sees in it: copies of what the heap has.
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

// SAFETY: the pointers are to what lives on when the view goes to another thread: the hazard goes with it.
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

/// What the owner sees aside.
#[derive(Debug, Default)]
pub struct Aside {
    view: HeapCopy,
    /// Units of the heap; 0 where there is none.
    units: Cell<u32>,
    /// How often it was of use since it is there.
    uses: Cell<u32>,
}

/// So many uses of the heap aside turn the window to it: it may be the only one that is used.
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

/// A unit of the heap in the window, and of no other: it must not outlive the view.
#[derive(Clone, Copy, Debug)]
pub struct Unit(usize);

impl Unit {
    /// Its number within the heap.
    #[inline]
    pub fn number(self) -> u32 {
        self.0 as u32
    }
}

impl Window {
    /// Does it show this heap, for any thread? Of use for one that no window begins to show any more.
    pub fn shows(&self, heap: *const Heap) -> bool {
        // Acquire, both: pairs with the Release in `leave` and `put_aside`; who frees the heap comes after all that was done by way of
        // the window. And the second comes after the first: a heap that was moved in between is seen aside.
        ptr::eq(self.heap.load(Ordering::Acquire), heap) || ptr::eq(self.aside.load(Ordering::Acquire), heap)
    }

    /// Closes the window, for any thread. What is asked of the owner was written before.
    pub fn close(&self) {
        // SeqCst: pairs with the fence in `show`: either the owner sees there what it is asked, or the 0 comes later in the
        // order of `units` than the number that the owner sets.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        self.units.store(0, Ordering::Relaxed);
    }
}

impl<'a> OwnCache<'a> {
    /// The unit of a block that the cache has, if it is in the window.
    #[inline]
    pub(super) fn unit_of(self, entry: Entry) -> Option<Unit> {
        self.inside(entry.0.wrapping_sub(self.own().view.start.get()) as usize)
    }

    /// The number within the heap of the unit that begins at an address, if it is in the window; else one that is none.
    #[inline]
    pub(super) fn number_at(self, address: usize, min_shift: u32) -> usize {
        let offset = address.wrapping_sub(self.own().view.first.get().addr());
        // What is inside a unit goes to the top, where it makes the number too large.
        offset.rotate_right(min_shift)
    }

    /// The unit of this number within the heap, if the window is open and the heap has it.
    #[inline]
    pub(super) fn inside(self, unit: usize) -> Option<Unit> {
        // Relaxed: it says whether the window was closed; what is asked then is read behind a fence.
        if unit < self.cache().window.units.load(Ordering::Relaxed) as usize { Some(Unit(unit)) } else { None }
    }

    /// The unit of this number.
    ///
    /// # Safety
    ///
    /// It was a [`Unit`] of the heap that the window shows.
    #[inline]
    pub(super) unsafe fn was_inside(self, unit: usize) -> Unit {
        Unit(unit)
    }

    /// Its state word.
    #[inline]
    pub(super) fn state(self, Unit(unit): Unit) -> StateWord<'a> {
        #[cfg(modelled)]
        // SAFETY: as below.
        unsafe { &*self.own().view.heap.get() }.touch();
        // SAFETY: `states` is the table of the heap in the window, `unit` is inside of it, because it was found to be one of
        // that heap's units, and the hazard keeps the heap from being freed while the window shows it.
        StateWord(unsafe { &*self.own().view.states.get().add(unit) })
    }

    /// The pointer to it, derived from the base that the user gave.
    #[inline]
    pub(super) fn pointer(self, Unit(unit): Unit, min_shift: u32) -> *mut u8 {
        self.own().view.first.get().wrapping_add(unit << min_shift)
    }

    /// The block that begins there as the bins have it.
    #[inline]
    pub(super) fn entry(self, Unit(unit): Unit) -> Entry {
        Entry(self.own().view.start.get().wrapping_add(unit as u32))
    }

    /// The heap that it shows, closed or not.
    pub(super) fn shown(self) -> Option<&'a Heap> {
        // Relaxed: the owner's.
        // SAFETY: null, or a heap that the hazard, this very pointer, keeps from being freed.
        unsafe { self.cache().window.heap.load(Ordering::Relaxed).as_ref() }
    }

    /// Is it closed, or is there no heap in it?
    pub(super) fn is_closed(self) -> bool {
        // Relaxed: as in `inside`.
        self.cache().window.units.load(Ordering::Relaxed) == 0
    }

    /// The heap aside.
    pub(super) fn shown_aside(self) -> Option<&'a Heap> {
        // Relaxed: the owner's.
        // SAFETY: null, or a heap that the hazard, this very pointer, keeps from being freed.
        unsafe { self.cache().window.aside.load(Ordering::Relaxed).as_ref() }
    }

    /// The unit aside of this number within its heap, unless the window is closed.
    fn inside_aside(self, unit: usize) -> Option<(&'a HeapCopy, StateWord<'a>, usize)> {
        let aside = &self.own().aside;
        if unit >= aside.units.get() as usize || self.is_closed() {
            return None;
        }
        #[cfg(modelled)]
        // SAFETY: as below.
        unsafe { &*aside.view.heap.get() }.touch();
        // SAFETY: `states` is the table of the heap aside, which has this unit, and the hazard keeps that from being freed.
        Some((&aside.view, StateWord(unsafe { &*aside.view.states.get().add(unit) }), unit))
    }

    /// The heap aside was of use; now and then it is shown in the window, too, in place of what is there.
    fn note_aside(self) {
        let uses = &self.own().aside.uses;
        uses.set(uses.get() + 1);
        if uses.get() >= MOST_USES {
            uses.set(0);
            if let Some(heap) = self.shown_aside() {
                self.show_only(heap);
            }
        }
    }

    /// [`pop`](Self::pop) from the heap aside.
    pub fn pop_aside(self, order: Order, min_shift: u32) -> Option<*mut u8> {
        let bin = BinIndex::of(order);
        let (entry, top) = self.youngest(bin);
        let number = entry.0.wrapping_sub(self.own().aside.view.start.get());
        let (view, state, unit) = self.inside_aside(number as usize)?;
        self.take(bin, top);
        state.hand_out(self.mine().of_order(order));
        let block = view.first.get().wrapping_add(unit << min_shift);
        self.note_aside();
        Some(block)
    }

    /// [`push`](Self::push) of a block of the heap aside.
    pub fn push_aside(self, address: usize, min_shift: u32) -> Option<()> {
        let offset = address.wrapping_sub(self.own().aside.view.first.get().addr());
        let (view, state, unit) = self.inside_aside(offset.rotate_right(min_shift))?;
        let order = state.read().order_if_like(self.mine())?;
        let bin = BinIndex::of(order);
        let room = self.room(bin)?;
        state.hold(self.mine().of_order(order), order).ok()?;
        self.put(bin, room, Entry(view.start.get().wrapping_add(unit as u32)));
        self.note_aside();
        Some(())
    }

    /// Nothing is aside any more.
    pub(super) fn leave_aside(self) {
        self.own().aside.units.set(0);
        // Release: pairs with the Acquire in `shows`.
        self.cache().window.aside.store(ptr::null_mut(), Ordering::Release);
    }

    /// Shows `heap`, which the caller has found in the set, and puts what was shown aside.
    pub(super) fn show(self, heap: &Heap) {
        if heap.start().is_none() {
            return;
        }
        if let Some(shown) = self.shown().filter(|shown| !ptr::eq(*shown, heap)) {
            let (own, words) = (self.own(), shown.buddy().states().words());
            own.aside.view.copy(&own.view);
            own.aside.units.set(words.len() as u32);
            own.aside.uses.set(0);
            // Release: for the heap that was aside, as in `leave`; and before the one that is shown is replaced.
            self.cache().window.aside.store(ptr::from_ref(shown).cast_mut(), Ordering::Release);
        }
        self.show_only(heap);
    }

    /// Shows `heap`, which the caller has found in the set or aside; but the window stays closed if something is asked of the owner.
    /// Whatever was a `Unit` is none any more.
    fn show_only(self, heap: &Heap) {
        let Some(start) = heap.start() else { return };
        let (window, view, words) = (&self.cache().window, &self.own().view, heap.buddy().states().words());
        self.forget_last();
        view.first.set(heap.first());
        view.states.set(words.as_ptr());
        view.start.set(start);
        #[cfg(modelled)]
        view.heap.set(heap);
        // Release: for the heap that was shown, as in `leave`; and who sees this one sees that aside.
        window.heap.store(ptr::from_ref(heap).cast_mut(), Ordering::Release);
        // Relaxed: ordered by the fence.
        window.units.store(words.len() as u32, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `close`. Who removes the heap sees it in the window without a fence: it looks when
        // nobody has the snapshot pinned any more that the caller found the heap in.
        fence(Ordering::SeqCst);
        if self.cache().is_asked() {
            // Relaxed: as in `inside`.
            window.units.store(0, Ordering::Relaxed);
        }
    }

    /// Shows no heap any more.
    pub(super) fn leave(self) {
        let window = &self.cache().window;
        self.forget_last();
        // Relaxed: the owner's.
        window.units.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `shows`.
        window.heap.store(ptr::null_mut(), Ordering::Release);
    }
}
