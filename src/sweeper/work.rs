//! What the thread of a sweeper does: passes over its pools, and the waits between them.

extern crate std;

use alloc::sync::Arc;
use alloc::vec::Vec;
use std::time::{Duration, Instant};

use super::shared::Shared;
use super::{Budget, Settings, Source};
use crate::pool::{MemoryPool, Round};
use crate::sync::{Ordering, current, park, park_timeout};
use crate::wakers::Seat;

/// Units of a piece, between two of which a sweeper looks whether it is to stop: at most a few tenths of a millisecond.
const PIECE: u32 = 1 << 14;

/// Bytes of a state word.
const STATE: usize = 2;

/// The least time between two passes, so that a pool with hardly anything free does not wake its sweeper all the time.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// The thread's side.
pub(super) struct Work {
    settings: Settings,
    shared: Arc<Shared>,
    pools: Vec<Swept>,
    /// The pool to begin the next pass with.
    next: usize,
}

/// A pool that is swept.
struct Swept {
    source: Source,
    round: Round,
    /// What wakes this thread; `None`, if nothing shall, or there was no memory for it.
    seat: Option<Seat>,
    /// How many times allocations have called by the time that the last pass looked.
    calls: u64,
}

/// What is left of a budget.
struct Left {
    is_begun: bool,
    units: usize,
    deadline: Option<Instant>,
}

impl Work {
    pub(super) fn new(settings: Settings, shared: Arc<Shared>) -> Self {
        Self { settings, shared, pools: Vec::new(), next: 0 }
    }

    pub(super) fn run(self) {
        // Dropped last, after all that the thread has, also when a pool's `Deref` panics.
        let _over = Over(Arc::clone(&self.shared));
        let mut work = self;
        let mut early = false;
        while !work.shared.is_stopped() {
            let added = work.shared.begin_pass();
            work.take_added(added);
            let begun = Instant::now();
            work.pass(early, begun);
            // Relaxed: statistics.
            work.shared.early.fetch_add(u64::from(early), Ordering::Relaxed);
            work.shared.end_pass();
            early = work.wait(begun.elapsed());
        }
        for pool in work.pools {
            if let Some(seat) = pool.seat {
                pool.source.with(|pool| pool.wakers.leave(seat));
            }
        }
    }

    fn take_added(&mut self, added: Vec<Source>) {
        for source in added {
            // One that is gone already goes with the next pass.
            let seat = |pool: &MemoryPool| self.settings.early.then(|| pool.wakers.enter(current()).ok()).flatten();
            let known = source.with(|pool| (seat(pool), pool.wakers.calls()));
            let (seat, calls) = known.unwrap_or_default();
            self.pools.push(Swept { source, round: Round::new(), seat, calls });
        }
    }

    fn pass(&mut self, early: bool, begun: Instant) {
        let count = self.pools.len();
        let turns = |first: usize| (0..count).map(move |turn| (first + turn) % count);
        // A pool that called comes first, the others in turn.
        let called = turns(self.next).find(|place| early && self.pools[*place].has_called());
        let mut left = Left::new(self.settings.budget, begun);
        let mut gone = false;
        for place in turns(called.unwrap_or(self.next)) {
            self.next = place;
            match self.sweep_pool(place, &mut left) {
                Some(true) => self.next = (place + 1) % count,
                Some(false) => break,
                None => gone = true,
            }
        }
        if gone {
            self.pools.retain(|pool| pool.source.with(|_| ()).is_some());
            self.next = 0;
        }
    }

    /// Goes on with the round of a pool. True: it is over; false: the budget is, or the thread is to stop. `None`: the pool is gone.
    fn sweep_pool(&mut self, place: usize, left: &mut Left) -> Option<bool> {
        let pool = &mut self.pools[place];
        // Before the pieces, so that a call that comes meanwhile gets another pass.
        pool.calls = pool.source.with(|pool| pool.wakers.calls())?;
        loop {
            if left.is_over() || self.shared.is_stopped() {
                return Some(false);
            }
            let units = left.units.min(PIECE as usize) as u32;
            let piece = pool.source.with(|of| of.sweep_piece(&mut pool.round, units))?;
            left.spend(piece.units);
            // Relaxed: statistics.
            self.shared.merges.fetch_add(piece.merges, Ordering::Relaxed);
            if piece.is_last {
                self.shared.rounds.fetch_add(1, Ordering::Relaxed);
                return Some(true);
            }
        }
    }

    /// Waits for the time of the next pass, or for a reason to have it earlier, or to stop. True, if an allocation called.
    fn wait(&self, took: Duration) -> bool {
        let Self { shared, settings: Settings { interval, early, .. }, .. } = self;
        let end = Instant::now();
        // No deadline: later than a clock can tell.
        let (pause, deadline) = (end.checked_add(took.max(LEAST_PAUSE).min(*interval)), end.checked_add(*interval));
        let has_called = || *early && self.pools.iter().any(Swept::has_called);
        // First a pause in which allocations do not even try to wake this thread.
        shared.pause(|| left_until(pause));
        loop {
            if shared.is_stopped() || shared.is_asked_for_pass() {
                return false;
            }
            if has_called() {
                return true;
            }
            match (deadline, left_until(deadline)) {
                (Some(_), None) => return false,
                (_, Some(time)) => park_timeout(time),
                (None, None) => park(),
            }
        }
    }
}

/// Says at its end that the thread has ended.
struct Over(Arc<Shared>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The time until then, if that is not over, or no time at all.
fn left_until(then: Option<Instant>) -> Option<Duration> {
    then?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

impl Swept {
    /// Has an allocation called since the last pass looked?
    fn has_called(&self) -> bool {
        self.source.with(|pool| pool.wakers.calls() != self.calls).unwrap_or_default()
    }
}

impl Left {
    fn new(budget: Budget, begun: Instant) -> Self {
        match budget {
            // Not less than a unit: a piece has some.
            Budget::Bytes(bytes) => Self { is_begun: false, units: (bytes / STATE).max(1), deadline: None },
            Budget::Time(time) => Self { is_begun: false, units: usize::MAX, deadline: begun.checked_add(time) },
        }
    }

    fn spend(&mut self, units: u32) {
        self.is_begun = true;
        self.units = self.units.saturating_sub(units as usize);
    }

    /// Not before something was done.
    fn is_over(&self) -> bool {
        self.is_begun && (self.units == 0 || self.deadline.is_some_and(|deadline| Instant::now() >= deadline))
    }
}
