//! How far the decay of an allocator's memory has come: for all threads, and for each one. `visit` has what it is for.

use core::cell::Cell;
use core::time::Duration;

use crate::raw::slabs::Cycle;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Closed calls that are granted for each page which becomes unused: as many as release the smallest blocks of a page.
const GRANT: u32 = 256;
/// Most closed calls that are granted at a time. All of them together take some milliseconds.
pub(super) const MOST_GRANTED: u32 = 1 << 20;

/// The decay of an allocator's memory.
#[derive(Debug)]
pub(super) struct Decay {
    /// Milliseconds for which memory is unused before it goes back. `None`: for ever.
    pub(super) after: Option<u64>,
    /// When any thread may begin the next cycle.
    pub(super) next: AtomicU64,
    /// Closed calls that are left.
    granted: AtomicU32,
    /// Unused pages at the last visit.
    unused: AtomicU32,
    /// Cycles that are still to come when little is unused any more.
    pub(super) rest: AtomicU32,
    /// When the allocator opens, if it is not after a peak any more.
    pub(super) opens: AtomicU64,
    /// Pages that were used when it was after a peak for the last time.
    pub(super) used: AtomicU32,
}

/// The visits of one thread.
#[derive(Debug)]
pub(super) struct Visits {
    /// Calls since the last visit.
    pub(super) glances: Cell<u32>,
    /// When the bins were looked at.
    pub(super) looked: Cell<u64>,
    /// The cycle of this thread, if it has one.
    pub(super) driven: Cell<Option<Driven>>,
}

/// A cycle that a thread goes on with at its visits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Driven {
    pub(super) cycle: Cycle,
    /// The time when it began.
    pub(super) begun: u64,
    /// The time of its last step.
    pub(super) stepped: u64,
    /// It is this thread's for as long as [`Decay::next`] is this.
    pub(super) until: u64,
}

impl Decay {
    /// A decay of memory that was unused for `time`.
    pub(super) fn new(after: Duration) -> Self {
        // More milliseconds than this are for ever.
        let after = u32::try_from(after.as_millis()).ok().map(|after| u64::from(after.max(1)));
        Self { after, ..Self::never() }
    }

    /// No decay.
    pub(super) const fn never() -> Self {
        Self {
            after: None,
            next: AtomicU64::new(0),
            granted: AtomicU32::new(0),
            unused: AtomicU32::new(0),
            rest: AtomicU32::new(0),
            opens: AtomicU64::new(0),
            used: AtomicU32::new(0),
        }
    }

    /// Notes that all that is free goes back, clean pages, too.
    pub(super) fn note_trim(&self) {
        // Relaxed: a number.
        self.rest.store(0, Ordering::Relaxed);
    }

    /// Changes when the next cycle may begin; false: another thread has changed it.
    pub(super) fn change(&self, seen: u64, to: u64) -> bool {
        // Relaxed, both: nothing is published by it, and only one thread begins each cycle.
        self.next.compare_exchange(seen, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Counts the closed calls since the last visit, and grants some for the pages that became unused since. Returns
    /// how many are left.
    pub(super) fn grant(&self, closed: u32, unused: u32) -> u32 {
        // Relaxed, all: numbers that only bound what closed calls cost, and may be a little wrong.
        let before = self.unused.load(Ordering::Relaxed);
        let granted = unused.saturating_sub(before).saturating_mul(GRANT);
        let left = self.granted.load(Ordering::Relaxed);
        let now = left.saturating_sub(closed).saturating_add(granted).min(MOST_GRANTED);
        if unused != before {
            self.unused.store(unused, Ordering::Relaxed);
        }
        if now != left {
            self.granted.store(now, Ordering::Relaxed);
        }
        now
    }
}

impl Visits {
    pub(super) const fn new() -> Self {
        Self { glances: Cell::new(0), looked: Cell::new(0), driven: Cell::new(None) }
    }
}
