//! A window: a cache's view of the one heap that it works with.
//!
//! The fast paths look at a heap only through it. Its pointer to the heap is a *hazard* (Michael, Hazard pointers: safe
//! memory reclamation for lock-free objects, 2004): it stands there for as long as the window shows that heap, so that
//! the fast paths need neither pin nor lock, and whoever unlinks the heap frees it only when no window shows it.
//!
//! Another thread may *close* the window, so that the owner's next operation takes the slow path and sees what is asked
//! of it; the fast paths pay nothing for that, since they compare with the number of units anyway.

use core::ptr;

use super::bin::Entry;
use crate::heap::Heap;
use crate::raw::StateWord;
use crate::sync::{AtomicPtr, AtomicU16, AtomicU32, Ordering, fence};

/// The view of one heap. Only the owner of the cache uses it, but for `heap`, which who unlinks a heap reads, and `units`,
/// which others may set to 0.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Window {
    first: AtomicPtr<u8>,
    states: AtomicPtr<AtomicU16>,
    /// The number of the heap's first unit in the pool.
    start: AtomicU32,
    /// Units of the heap; 0 where the window is closed.
    units: AtomicU32,
    /// The hazard. Null for none.
    heap: AtomicPtr<Heap>,
}

/// A unit of the heap in the window, and of no other: it must not outlive the view.
#[derive(Clone, Copy, Debug)]
pub struct Unit(usize);

impl Window {
    /// The unit of a block that the cache has, if it is in the window.
    #[inline]
    pub fn unit_of(&self, entry: Entry) -> Option<Unit> {
        // Relaxed: the owner's.
        let unit = entry.0.wrapping_sub(self.start.load(Ordering::Relaxed));
        self.inside(unit as usize)
    }

    /// The number within the heap of the unit that begins at an address, if it is in the window; else one that is none.
    #[inline]
    pub fn number_at(&self, address: usize, min_shift: u32) -> usize {
        // Relaxed: the owner's.
        let offset = address.wrapping_sub(self.first.load(Ordering::Relaxed).addr());
        // What is inside a unit goes to the top, where it makes the number too large.
        offset.rotate_right(min_shift)
    }

    /// The unit of this number within the heap, if the window is open and the heap has it.
    #[inline]
    pub fn inside(&self, unit: usize) -> Option<Unit> {
        // Relaxed: it says whether the window was closed; what is asked then is read behind a fence.
        if unit < self.units.load(Ordering::Relaxed) as usize { Some(Unit(unit)) } else { None }
    }

    /// The unit of this number.
    ///
    /// # Safety
    ///
    /// It was a [`Unit`] of the heap that the window shows.
    #[inline]
    pub unsafe fn was_inside(&self, unit: usize) -> Unit {
        Unit(unit)
    }

    /// Its state word.
    #[inline]
    pub fn state(&self, Unit(unit): Unit) -> StateWord<'_> {
        // Relaxed: the owner's.
        let states = self.states.load(Ordering::Relaxed);
        // SAFETY: `states` is the table of the heap in the window, `unit` is inside of it, because it was found to be one of
        // that heap's units, and the hazard keeps the heap from being freed while the window shows it.
        StateWord(unsafe { &*states.add(unit) })
    }

    /// The pointer to it, derived from the base that the user gave.
    #[inline]
    pub fn pointer(&self, Unit(unit): Unit, min_shift: u32) -> *mut u8 {
        // Relaxed: the owner's.
        self.first.load(Ordering::Relaxed).wrapping_add(unit << min_shift)
    }

    /// The block that begins there as the bins have it.
    #[inline]
    pub fn entry(&self, Unit(unit): Unit) -> Entry {
        // Relaxed: the owner's.
        Entry(self.start.load(Ordering::Relaxed).wrapping_add(unit as u32))
    }

    /// Its number within the heap.
    #[inline]
    pub fn number(Unit(unit): Unit) -> u32 {
        unit as u32
    }

    /// The heap that it shows, closed or not.
    pub fn heap(&self) -> Option<&Heap> {
        // Relaxed: the owner's.
        // SAFETY: null, or a heap that the hazard, this very pointer, keeps from being freed.
        unsafe { self.heap.load(Ordering::Relaxed).as_ref() }
    }

    /// Was it closed, or is there no heap in it?
    pub fn is_closed(&self) -> bool {
        // Relaxed: as in `inside`.
        self.units.load(Ordering::Relaxed) == 0
    }

    /// Shows `heap`, unless that is not one of the pool's heaps any more, as `is_current` tells, or `is_asked` says that
    /// something is asked of the owner; then the window stays closed. Whatever was a `Unit` is none any more.
    pub fn show(&self, heap: &Heap, is_current: impl Fn() -> bool, is_asked: impl Fn() -> bool) {
        let Some(start) = heap.start() else { return };
        let words = heap.buddy().states().words();
        // Relaxed, all: the owner's, or ordered by the fence.
        self.heap.store(ptr::from_ref(heap).cast_mut(), Ordering::Relaxed);
        self.first.store(heap.first(), Ordering::Relaxed);
        self.states.store(words.as_ptr().cast_mut(), Ordering::Relaxed);
        self.start.store(start, Ordering::Relaxed);
        self.units.store(words.len() as u32, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `shows`: either who unlinked the heap sees the hazard, or this thread sees that the
        // heap is not current. And with the fence in `close`: either who closes sees, by coming later in the order of
        // `units`, its 0 stay, or this thread sees what is asked.
        fence(Ordering::SeqCst);
        if !is_current() {
            self.leave();
        } else if is_asked() {
            self.units.store(0, Ordering::Relaxed);
        }
    }

    /// Closes the window, for any thread. What is asked of the owner was written before.
    pub fn close(&self) {
        // SeqCst: pairs with the fence in `show`.
        fence(Ordering::SeqCst);
        // Relaxed: ordered by the fence.
        self.units.store(0, Ordering::Relaxed);
    }

    /// Does it show `heap`? For who has unlinked that heap and then passed a `SeqCst` fence, before it frees it.
    #[cfg(any(test, all(loom, feature = "loom")))]
    pub fn shows(&self, heap: *const Heap) -> bool {
        // Acquire: pairs with the Release in `leave`. The caller's fence pairs with the one in `show`.
        ptr::eq(self.heap.load(Ordering::Acquire), heap)
    }

    /// Shows no heap any more.
    pub fn leave(&self) {
        // Relaxed: the owner's.
        self.units.store(0, Ordering::Relaxed);
        // Release: pairs with the Acquire in `shows`; whoever sees the hazard gone sees all that was done under it done.
        self.heap.store(ptr::null_mut(), Ordering::Release);
    }
}
