//! The sweepers' threads of a pool or an allocator, which an allocation wakes that had to sweep by itself.
//!
//! They have places in a list. Places are only ever added, and live until the pool is dropped: a search may walk the
//! list at any time. A place that was left goes to the next thread once nobody is waking the last one.
//!
//! | bits of the word of a place | meaning |
//! |---|---|
//! | 0–29 | how many threads are looking whose place it is; never 2^30 at a time |
//! | 30 | `TAKING`: a thread is moving in |
//! | 31 | `TAKEN`: the place has a thread to be woken |

use core::ptr;
use core::{fmt, iter};

use crate::metadata::{Owned, Unavailable};
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Local, Ordering, Thread, const_unless_loom};

const TAKEN: u32 = 1 << 31;
const TAKING: u32 = 1 << 30;

/// The threads to be woken.
pub struct Wakers {
    first: AtomicPtr<WakerSlot>,
    /// How many allocations called.
    calls: AtomicU64,
}

/// The place of a thread.
struct WakerSlot {
    word: AtomicU32,
    thread: Local<Option<Thread>>,
    next: *mut WakerSlot,
}

/// The place of a thread, by its address: it is none in another list.
#[derive(Debug, PartialEq, Eq)]
pub struct Seat(usize);

impl Wakers {
    const_unless_loom! {
        /// No threads yet.
        pub fn new() -> Self {
            Self { first: AtomicPtr::new(ptr::null_mut()), calls: AtomicU64::new(0) }
        }
    }

    fn places(&self) -> impl Iterator<Item = &WakerSlot> {
        // Acquire: pairs with the Release in `add`; makes the place visible, and the ones behind it.
        let first = self.first.load(Ordering::Acquire);
        // SAFETY: null, or a place that lives as long as `self`.
        let place = |place: *mut WakerSlot| unsafe { place.as_ref() };
        iter::successors(place(first), move |before| place(before.next))
    }

    /// Wakes all threads that have a place. O(places), without a wait or an allocation.
    pub fn wake(&self) {
        // Relaxed: threads read it after they were woken, which orders it.
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.places().for_each(WakerSlot::wake);
    }

    /// How many allocations called.
    pub fn calls(&self) -> u64 {
        // Relaxed: as in `wake`. One that is missed is followed by the wake-up of the reader.
        self.calls.load(Ordering::Relaxed)
    }

    /// `thread` is woken from now on. A call that is under way may miss it. Lock-free, except for the global allocator.
    ///
    /// # Errors
    ///
    /// There is no memory for a place.
    pub fn enter(&self, thread: Thread) -> Result<Seat, Unavailable> {
        let place = match self.places().find(|place| place.begin_to_take()) {
            Some(place) => place,
            None => self.add()?,
        };
        // SAFETY: this thread alone is taking the place, and nobody looks at it before it is taken.
        drop(unsafe { place.thread.replace(Some(thread)) });
        // Release: pairs with the Acquire in `WakerSlot::wake`; makes the thread visible.
        place.word.fetch_xor(TAKING | TAKEN, Ordering::Release);
        Ok(place.seat())
    }

    /// The thread of a place is woken no more. A call that is under way may still do it. A seat of another list changes
    /// nothing.
    #[expect(clippy::needless_pass_by_value, reason = "no thread has the place afterwards")]
    pub fn leave(&self, seat: Seat) {
        if let Some(place) = self.places().find(|place| place.seat() == seat) {
            // Relaxed: `enter` released what was written to the place. This change continues that, and the next thread
            // that takes the place acquires it.
            place.word.fetch_and(!TAKEN, Ordering::Relaxed);
        }
    }

    /// A new place, which the caller is taking.
    fn add(&self) -> Result<&WakerSlot, Unavailable> {
        let word = AtomicU32::new(TAKING);
        let mut place = Owned::new(WakerSlot { word, thread: Local::default(), next: ptr::null_mut() })?;
        loop {
            let next = self.places().next();
            place.next = next.map_or(ptr::null_mut(), |next| ptr::from_ref(next).cast_mut());
            // Release: pairs with the Acquire in `places`. Relaxed on failure: the next attempt loads again.
            let added =
                self.first.compare_exchange(place.next, place.as_ptr(), Ordering::Release, Ordering::Relaxed).is_ok();
            if added {
                // SAFETY: the place lives as long as `self` from now on, see `drop`.
                return Ok(unsafe { place.into_raw().as_ref() });
            }
        }
    }
}

/// For models to look at.
#[cfg(modelled)]
impl Wakers {
    /// The places that have a thread.
    pub fn taken(&self) -> impl Iterator<Item = Seat> {
        let taken = self.places().filter(|place| place.word.load(Ordering::Relaxed) & TAKEN != 0);
        taken.map(WakerSlot::seat)
    }
}

impl WakerSlot {
    fn seat(&self) -> Seat {
        Seat(ptr::from_ref(self).addr())
    }

    fn wake(&self) {
        // Relaxed: a hint, which saves the rest at idle places; the exchange looks again.
        if self.word.load(Ordering::Relaxed) & TAKEN == 0 {
            return;
        }
        // Acquire: pairs with the Release in `enter`; makes the thread visible.
        if self.word.fetch_add(1, Ordering::Acquire) & TAKEN != 0
            // SAFETY: the place was taken, and is not given to another thread while this one is counted.
            && let Some(thread) = unsafe { self.thread.read() }
        {
            thread.unpark();
        }
        // Release: pairs with the Acquire in `begin_to_take`; the thread is not replaced before this one has used it.
        self.word.fetch_sub(1, Ordering::Release);
    }

    /// Is the place no thread's, and does nobody look at it? Then the caller is taking it.
    fn begin_to_take(&self) -> bool {
        // Acquire: pairs with the Release in `wake` and in `enter`; all that used the last thread are done with it.
        // Relaxed on failure: nothing was seen.
        self.word.compare_exchange(0, TAKING, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }
}

impl Default for Wakers {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        // Relaxed: `&mut self`, nobody else is there.
        let mut next = ptr::NonNull::new(self.first.load(Ordering::Relaxed));
        while let Some(place) = next {
            // SAFETY: each place came from `Owned::into_raw` in `add`, and is in the list once.
            next = ptr::NonNull::new(unsafe { Owned::from_raw(place) }.next);
        }
    }
}

impl fmt::Debug for Wakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wakers").field("places", &self.places().count()).field("calls", &self.calls()).finish()
    }
}
