//! How many pages have memory behind them, and how many may have.
//!
//! These numbers bound what is kept, and nothing else depends on them. So each is read and written relaxed, and may be
//! a little wrong while several threads count.

use crate::sync::{AtomicU32, Ordering};

/// [`Resident::slack`] counts in this part of the most pages that were in use.
const PARTS: u32 = 256;
/// The slack after the heap has grown.
const LEAST_SLACK: u32 = 8;
/// The slack after pages were discarded again and again.
const MOST_SLACK: u32 = 256;
/// Pages that may be dirty besides the slack.
const LEAST_DIRTY: u32 = 16;
/// Growth and rises are at least this part of the number before.
const RISE_PART: u32 = 128;
/// Growth and rises are at least this many pages.
const LEAST_RISE: u32 = 8;
/// A heap is calm after this many surplus slabs without a rise.
const CALM: u32 = 64;

/// Counts of pages.
#[derive(Debug)]
pub(super) struct Resident {
    /// Pages of spans and slabs.
    pub(super) out: AtomicU32,
    /// Free pages that are dirty.
    pub(super) dirty: AtomicU32,
    /// The most that `out` ever was.
    pub(super) most_out: AtomicU32,
    /// `most_out` at the last growth.
    grown: AtomicU32,
    /// Parts of `most_out` that may be dirty.
    slack: AtomicU32,
    /// `out` and `dirty` together at the last rise.
    level: AtomicU32,
    /// Number of rises.
    pub(super) rises: AtomicU32,
    /// Surplus slabs since the last rise.
    surplus: AtomicU32,
}

pub(super) fn read(number: &AtomicU32) -> u32 {
    // Relaxed: a number.
    number.load(Ordering::Relaxed)
}

pub(super) fn write(number: &AtomicU32, to: u32) {
    // Relaxed: a number.
    number.store(to, Ordering::Relaxed);
}

const fn is_rise(from: u32, to: u32) -> bool {
    let part = from / RISE_PART;
    to > from.saturating_add(if part > LEAST_RISE { part } else { LEAST_RISE })
}

impl Resident {
    pub(super) fn new() -> Self {
        Self {
            out: AtomicU32::new(0),
            dirty: AtomicU32::new(0),
            most_out: AtomicU32::new(0),
            grown: AtomicU32::new(0),
            slack: AtomicU32::new(LEAST_SLACK),
            level: AtomicU32::new(0),
            rises: AtomicU32::new(0),
            surplus: AtomicU32::new(0),
        }
    }

    /// Would `pages` more pages be within the limit?
    pub(super) fn has_room(&self, pages: u32, limit: u32) -> bool {
        self.out().saturating_add(pages) <= limit
    }

    /// Counts pages as out, if there are at most `limit` then; false, if not.
    pub(super) fn take(&self, pages: u32, limit: u32) -> bool {
        // All threads that take pages exchange the number before they use them. So it is never too small.
        let mut out = read(&self.out);
        while let Some(sum) = out.checked_add(pages).filter(|sum| *sum <= limit) {
            // Relaxed, both: a number.
            match self.out.compare_exchange_weak(out, sum, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => out = now,
            }
        }
        false
    }

    /// Pages of spans and slabs.
    pub(super) fn out(&self) -> u32 {
        read(&self.out)
    }

    pub(super) fn dirty(&self) -> u32 {
        // It may be below zero for a moment.
        let dirty = read(&self.dirty);
        if dirty as i32 > 0 { dirty } else { 0 }
    }

    /// Most dirty pages that there may be.
    pub(super) fn most_dirty(&self) -> u32 {
        let most = read(&self.most_out);
        // A part is at least one page, so that heaps of fewer pages than `PARTS` keep some, too.
        let slack = (most / PARTS).max(1).saturating_mul(read(&self.slack)).min(most);
        most.saturating_add(slack).saturating_add(LEAST_DIRTY).saturating_sub(self.out())
    }

    pub(super) fn rise(&self) {
        // Relaxed: a number.
        self.rises.fetch_add(1, Ordering::Relaxed);
        write(&self.surplus, 0);
    }

    /// Counts a surplus idle slab; true, if there were many since the last rise. Then the heap would open again what it
    /// closes.
    pub(super) fn is_calm(&self) -> bool {
        let surplus = read(&self.surplus);
        if surplus < CALM {
            write(&self.surplus, surplus + 1);
        }
        surplus >= CALM
    }

    /// Notes the pages of now; true, if too many are dirty.
    pub(super) fn count(&self) -> bool {
        let (out, dirty) = (self.out(), self.dirty());
        if out > read(&self.most_out) {
            write(&self.most_out, out);
            if is_rise(read(&self.grown), out) {
                write(&self.grown, out);
                write(&self.slack, LEAST_SLACK);
            }
        }
        let resident = out.saturating_add(dirty);
        if is_rise(read(&self.level), resident) {
            write(&self.level, resident);
            self.rise();
        }
        let is_excessive = dirty > self.most_dirty();
        if is_excessive {
            write(&self.slack, (read(&self.slack) * 9).div_ceil(8).min(MOST_SLACK));
        }
        is_excessive
    }
}
