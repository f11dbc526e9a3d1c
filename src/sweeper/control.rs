//! What the thread of a sweeper and those who have the [`Sweeper`](super::Sweeper) tell each other, under a lock, and what the
//! thread has done so far.
//!
//! A pass is known by its number. Who waits for one that begins after the call takes, under the lock under which passes
//! begin and end, the number of the next one to begin.

extern crate std;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use std::time::Duration;

use super::Target;
use crate::stats::SweeperStats;
use crate::sync::{AtomicU8, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError};

/// What the thread shares with who started it.
#[derive(Default)]
pub(super) struct Control {
    messages: Mutex<Messages>,
    /// Told when the thread is to stop, or has a message.
    told: Condvar,
    /// Told when a pass is over, or the thread.
    passed: Condvar,
    /// 1, if it is to stop.
    stop: AtomicU8,
    /// Passes that are over; changed under the lock.
    passes: AtomicU64,
    pub early: AtomicU64,
    pub cycles: AtomicU64,
    pub merges: AtomicU64,
    pub trimmed: AtomicU64,
}

/// What they tell each other.
#[derive(Default)]
pub(super) struct Messages {
    /// What was added since the last pass began.
    pub added: Vec<Box<dyn Target>>,
    /// Was the thread woken since?
    pub is_woken: bool,
    /// Is it in the middle of a pass?
    is_passing: bool,
    /// Has it ended?
    is_over: bool,
}

/// For those who have the sweeper.
impl Control {
    pub fn new(added: Vec<Box<dyn Target>>) -> Self {
        Self { messages: Mutex::new(Messages { added, ..Messages::default() }), ..Self::default() }
    }

    pub fn tell(&self, tell: impl FnOnce(&mut Messages)) {
        tell(&mut self.lock());
    }

    /// Ends the thread's pause. Where it parks, it wants to be unparked, too.
    pub fn rouse(&self) {
        self.told.notify_all();
    }

    /// Waits until a pass that began after the call has ended; false, if the thread has ended before that. `rouse` has the
    /// thread look at its messages.
    pub fn wait_for_pass(&self, rouse: impl FnOnce()) -> bool {
        let mut messages = self.lock();
        messages.is_woken = true;
        // The pass that is under way may be past what the caller has in mind.
        let enough = self.passes() + 1 + u64::from(messages.is_passing);
        rouse();
        while self.passes() < enough && !messages.is_over {
            messages = self.passed.wait(messages).unwrap_or_else(PoisonError::into_inner);
        }
        self.passes() >= enough
    }

    pub fn stop(&self) {
        let _lock = self.lock();
        // Relaxed: nothing is published by it. Under the lock, so that the thread can't fall asleep behind it.
        self.stop.store(1, Ordering::Relaxed);
    }

    pub fn stats(&self) -> SweeperStats {
        // Relaxed: statistics.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Self { passes, early, cycles, merges, trimmed, .. } = self;
        let [passes, early, cycles, merges, trimmed] = [passes, early, cycles, merges, trimmed].map(read);
        SweeperStats { passes, early, cycles, merges, trimmed }
    }
}

/// For the thread.
impl Control {
    /// A pass begins; what was added. Who tells something from now on tells the next pass.
    pub fn begin_pass(&self) -> Vec<Box<dyn Target>> {
        let mut messages = self.lock();
        (messages.is_woken, messages.is_passing) = (false, true);
        mem::take(&mut messages.added)
    }

    pub fn end_pass(&self) {
        self.tell(|messages| {
            messages.is_passing = false;
            // Relaxed: who waits for it has the lock; else statistics.
            self.passes.fetch_add(1, Ordering::Relaxed);
        });
        self.passed.notify_all();
    }

    /// The thread ends.
    pub fn end(&self) {
        self.tell(|messages| messages.is_over = true);
        self.passed.notify_all();
    }

    /// Pauses, until there is a reason to have a pass at once, or to stop; `time` tells how long at most, from now on.
    pub fn pause(&self, time: impl Fn() -> Option<Duration>) {
        let mut messages = self.lock();
        while !messages.ask_for_pass() && !self.is_stopped() {
            let Some(time) = time() else { break };
            messages = self.told.wait_timeout(messages, time).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Was it woken, or was something added?
    pub fn is_asked_for_pass(&self) -> bool {
        self.lock().ask_for_pass()
    }

    pub fn is_stopped(&self) -> bool {
        // Relaxed: nothing is published by it.
        self.stop.load(Ordering::Relaxed) != 0
    }
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Messages> {
        // Nothing panics that holds it.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes that are over, for who has the lock.
    fn passes(&self) -> u64 {
        // Relaxed: the lock orders it.
        self.passes.load(Ordering::Relaxed)
    }
}

impl Messages {
    fn ask_for_pass(&self) -> bool {
        self.is_woken || !self.added.is_empty()
    }
}
