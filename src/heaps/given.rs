//! Memory that came with a heap, for its tables. `tables` has how it is cut up.
//!
//! The heap brings two *places* for snapshots, each for one at a time: one for the set that it is added to, and one for
//! a set that another heap is removed from. The rule is that **a snapshot lies only with one of its own heaps**. So it
//! is not in use any longer than that heap, and a heap goes when no reader has it and its places are free.

use core::ops::Range;
use core::ptr::NonNull;

use crate::check::check;
use crate::metadata::{Bump, Source};
use crate::sync::{Alive, AtomicU8, Ordering};

/// Tables that came with a heap, in the heap itself.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) memory: Memory,
    pub(super) places: [Place; 2],
}

/// Memory that the caller gave, without what is kept for the pool. It is the pool's alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(super) all: NonNull<[u8]>,
    /// Where the tables of the heap end, and values begin whose padding is no initialised memory.
    pub(super) values: usize,
    /// Where the heap itself ends.
    pub(super) places: usize,
}

impl Memory {
    /// A part of it.
    pub(super) fn part(&self, range: Range<usize>) -> NonNull<[u8]> {
        check!(range.start <= range.end && range.end <= self.all.len());
        // SAFETY: at most the end of the memory.
        let first = unsafe { self.all.cast::<u8>().add(range.start) };
        NonNull::slice_from_raw_parts(first, range.len())
    }

    /// A part that nobody uses, and that is zero.
    pub(super) fn source(&self, range: Range<usize>) -> Source {
        // SAFETY: the memory is the pool's alone, and as the caller says.
        Source::given(unsafe { Bump::new(self.part(range)) })
    }

    /// Zeroes all of it. Pages that are zero are not written to, so that they need not be resident.
    pub(super) fn zero(&mut self) {
        const PAGE: usize = 4096;
        // SAFETY: the memory is the pool's alone, it is initialised, and nobody uses it yet.
        let parts = unsafe { self.all.as_mut() }.chunks_mut(PAGE);
        parts.filter(|part| part.iter().fold(0, |any, byte| any | byte) != 0).for_each(|part| part.fill(0));
    }

    /// A part that nobody uses, zeroed.
    pub(super) fn zeroed(&self, range: Range<usize>) -> Source {
        let part = self.part(range.clone());
        // SAFETY: the memory is the pool's alone, and nobody uses the part.
        unsafe { part.cast::<u8>().write_bytes(0, part.len()) };
        self.source(range)
    }

    /// The places behind the heap.
    pub(super) fn two_places(&self) -> [Place; 2] {
        let (first, end) = (self.places, self.all.len());
        let middle = first + (end - first) / 2;
        // SAFETY: the parts are of nobody but the places.
        [first..middle, middle..end].map(|range| unsafe { Place::new(self.part(range)) })
    }
}

/// Memory for one snapshot at a time.
#[derive(Debug)]
pub(super) struct Place {
    memory: NonNull<[u8]>,
    /// 1 while somebody has it.
    occupied: AtomicU8,
    /// The memory, for models.
    alive: Alive,
}

impl Place {
    /// # Safety
    ///
    /// It is memory, and the place's alone, for as long as there is a snapshot in it.
    pub(super) unsafe fn new(memory: NonNull<[u8]>) -> Self {
        Self { memory, occupied: AtomicU8::new(0), alive: Alive::default() }
    }

    /// Takes the place, if nobody has it and a snapshot of `bytes` bytes has room there. The caller leaves it after its
    /// snapshot is gone.
    pub(super) fn occupy(&self, bytes: usize) -> bool {
        // Acquire: pairs with the Release in `leave`; the last snapshot there is gone. Relaxed on failure: nothing was
        // seen.
        let is_free = || self.occupied.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let occupied = bytes <= self.memory.len() && is_free();
        if occupied {
            self.alive.end();
        }
        occupied
    }

    /// The memory, zeroed, for the thread that has the place.
    pub(super) fn source(&self) -> Source {
        // SAFETY: it is memory, and nobody else has it.
        unsafe { self.memory.cast::<u8>().write_bytes(0, self.memory.len()) };
        // SAFETY: as above, for as long as there is a snapshot: the place is not left before it is gone.
        Source::given(unsafe { Bump::new(self.memory) })
    }

    /// Leaves the place. Its snapshot is gone.
    pub(super) fn leave(&self) {
        self.alive.end();
        // Release: pairs with the Acquire in `occupy` and `is_free`.
        self.occupied.store(0, Ordering::Release);
    }

    /// Does nobody have it?
    pub(super) fn is_free(&self) -> bool {
        // Acquire: pairs with the Release in `leave`.
        self.occupied.load(Ordering::Acquire) == 0
    }

    /// It is about to be freed; for models.
    pub(super) fn end_of_life(&self) {
        self.alive.end();
    }
}
