//! The thread of a sweeper: passes over its targets, and the waits between them.

extern crate std;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::time::{Duration, Instant};

use super::control::Control;
use super::settings::{Budget, Settings};
use super::target::Target;
use crate::sync::{Ordering, park, park_timeout};

/// Units of a step: at most a few tenths of a millisecond. Between two steps a sweeper looks whether it is to stop.
const STEP: u32 = 1 << 14;

/// The least time between two passes, so that a pool with hardly anything free does not wake its sweeper all the time.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// The thread's side.
pub(super) struct Work {
    settings: Settings,
    control: Arc<Control>,
    targets: Vec<Box<dyn Target>>,
    /// The target to begin the next pass with.
    next: usize,
}

/// The rest of a pass's budget.
struct Left {
    is_begun: bool,
    units: usize,
    deadline: Option<Instant>,
}

impl Work {
    pub(super) fn new(settings: Settings, control: Arc<Control>) -> Self {
        Self { settings, control, targets: Vec::new(), next: 0 }
    }

    pub(super) fn run(self) {
        // It is dropped last, also when a pool's `Deref` panics.
        let _over = Over(Arc::clone(&self.control));
        let mut work = self;
        let mut early = false;
        while !work.control.is_stopped() {
            let added = work.control.begin_pass();
            work.take_added(added);
            let begun = Instant::now();
            work.pass(early, begun);
            // Relaxed: statistics.
            work.control.early.fetch_add(u64::from(early), Ordering::Relaxed);
            work.control.end_pass();
            early = work.wait(begun.elapsed());
        }
        work.targets.iter_mut().for_each(|target| target.leave());
    }

    fn take_added(&mut self, added: Vec<Box<dyn Target>>) {
        for mut target in added {
            // A target that has ended already is dropped by the next pass.
            target.enter(self.settings.wakes_on_demand);
            self.targets.push(target);
        }
    }

    fn pass(&mut self, early: bool, begun: Instant) {
        let count = self.targets.len();
        let turns = |first: usize| (0..count).map(move |turn| (first + turn) % count);
        // A target whose allocation called comes first, the others in turn.
        let called = turns(self.next).find(|place| early && self.targets[*place].has_called());
        let mut left = Left::new(self.settings.budget, begun);
        let mut gone = false;
        for place in turns(called.unwrap_or(self.next)) {
            self.next = place;
            match self.sweep(place, &mut left) {
                Some(true) => self.next = (place + 1) % count,
                Some(false) => break,
                None => gone = true,
            }
        }
        if gone {
            self.targets.retain(|target| target.is_there());
            self.next = 0;
        }
    }

    /// Goes on with the cycle of a target. True: the cycle is over. False: the budget is spent, or the thread is to
    /// stop. `None`: the target has ended.
    fn sweep(&mut self, place: usize, left: &mut Left) -> Option<bool> {
        let target = &mut self.targets[place];
        // Before the steps: a call that comes meanwhile gets another pass.
        target.begin_pass(&self.settings)?;
        loop {
            if left.is_over() || self.control.is_stopped() {
                return Some(false);
            }
            let units = left.units.min(STEP as usize) as u32;
            let step = target.sweep_step(units)?;
            left.spend(step.units);
            // Relaxed, both: statistics.
            self.control.merges.fetch_add(step.merges, Ordering::Relaxed);
            self.control.trimmed.fetch_add(step.trimmed, Ordering::Relaxed);
            if step.is_last {
                self.control.cycles.fetch_add(1, Ordering::Relaxed);
                return Some(true);
            }
        }
    }

    /// Waits until the next pass is due, something calls for it, or the thread is to stop. True: an allocation called.
    fn wait(&self, took: Duration) -> bool {
        let Self { control, settings: Settings { interval, wakes_on_demand, .. }, .. } = self;
        let end = Instant::now();
        // `None`: later than a clock can tell.
        let (pause, deadline) = (end.checked_add(took.max(LEAST_PAUSE).min(*interval)), end.checked_add(*interval));
        let has_called = || *wakes_on_demand && self.targets.iter().any(|target| target.has_called());
        // First a pause, in which allocations don't try to wake this thread.
        control.pause(|| left_until(pause));
        loop {
            if control.is_stopped() || control.is_asked_for_pass() {
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
struct Over(Arc<Control>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The time until then. `None`: there is none left, or no end.
fn left_until(then: Option<Instant>) -> Option<Duration> {
    then?.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

impl Left {
    fn new(budget: Budget, begun: Instant) -> Self {
        match budget {
            // A step has a unit at least.
            Budget::Units(units) => Self { is_begun: false, units: units.max(1), deadline: None },
            Budget::Time(time) => Self { is_begun: false, units: usize::MAX, deadline: begun.checked_add(time) },
        }
    }

    fn spend(&mut self, units: u32) {
        self.is_begun = true;
        self.units = self.units.saturating_sub(units as usize);
    }

    /// A pass has a step at least.
    fn is_over(&self) -> bool {
        self.is_begun && (self.units == 0 || self.deadline.is_some_and(|deadline| Instant::now() >= deadline))
    }
}
