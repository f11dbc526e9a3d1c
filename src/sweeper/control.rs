//! Messages between the thread of a sweeper and the owners of the [`Sweeper`](super::Sweeper), under a lock; and the
//! thread's counts.
//!
//! Passes are numbered. They begin and end under the lock. A caller that waits for a pass after its call takes, under
//! the lock, the number of the next pass to begin.

extern crate std;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use std::time::Duration;

use super::target::Target;
use crate::stats::SweeperStats;
use crate::sync::{AtomicU8, AtomicU64, Condvar, Mutex, MutexGuard, Ordering, PoisonError};

/// The state that the thread shares with the owners of the `Sweeper`.
#[derive(Default)]
pub(super) struct Control {
    messages: Mutex<Messages>,
    /// Notified when the thread is to stop, or has a message.
    told: Condvar,
    /// Notified when a pass is over, or the thread has ended.
    passed: Condvar,
    /// 1: the thread is to stop.
    stop: AtomicU8,
    /// Passes that are over. It changes under the lock.
    passes: AtomicU64,
    pub early: AtomicU64,
    pub cycles: AtomicU64,
    pub merges: AtomicU64,
    pub trimmed: AtomicU64,
}

/// Messages.
#[derive(Default)]
pub(super) struct Messages {
    /// Targets added since the last pass began.
    pub added: Vec<Box<dyn Target>>,
    /// The thread was woken since.
    pub is_woken: bool,
    /// The thread is in the middle of a pass.
    is_passing: bool,
    /// The thread has ended.
    is_over: bool,
}

/// For owners of the `Sweeper`.
impl Control {
    pub fn new(added: Vec<Box<dyn Target>>) -> Self {
        Self { messages: Mutex::new(Messages { added, ..Messages::default() }), ..Self::default() }
    }

    pub fn tell(&self, tell: impl FnOnce(&mut Messages)) {
        tell(&mut self.lock());
    }

    /// Ends the thread's pause. A parked thread has to be unparked besides.
    pub fn rouse(&self) {
        self.told.notify_all();
    }

    /// Waits until a pass that began after the call has ended; false, if the thread has ended before that. `rouse` has
    /// the thread look at its messages.
    pub fn wait_for_pass(&self, rouse: impl FnOnce()) -> bool {
        let mut messages = self.lock();
        messages.is_woken = true;
        // A pass under way may be past the caller's blocks already.
        let enough = self.passes() + 1 + u64::from(messages.is_passing);
        rouse();
        while self.passes() < enough && !messages.is_over {
            messages = self.passed.wait(messages).unwrap_or_else(PoisonError::into_inner);
        }
        self.passes() >= enough
    }

    pub fn stop(&self) {
        let _lock = self.lock();
        // Relaxed: publishes nothing. Under the lock, so that the thread can't fall asleep after it has looked.
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
    /// Begins a pass. Returns the targets that were added. Later messages are for the next pass.
    pub fn begin_pass(&self) -> Vec<Box<dyn Target>> {
        let mut messages = self.lock();
        (messages.is_woken, messages.is_passing) = (false, true);
        mem::take(&mut messages.added)
    }

    pub fn end_pass(&self) {
        self.tell(|messages| {
            messages.is_passing = false;
            // Relaxed: a waiting caller has the lock; else a statistic.
            self.passes.fetch_add(1, Ordering::Relaxed);
        });
        self.passed.notify_all();
    }

    /// The thread ends.
    pub fn end(&self) {
        self.tell(|messages| messages.is_over = true);
        self.passed.notify_all();
    }

    /// Pauses until a pass is asked for, the thread is to stop, or `time` has passed.
    pub fn pause(&self, time: impl Fn() -> Option<Duration>) {
        let mut messages = self.lock();
        while !messages.ask_for_pass() && !self.is_stopped() {
            let Some(time) = time() else { break };
            messages = self.told.wait_timeout(messages, time).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The thread was woken, or a target was added.
    pub fn is_asked_for_pass(&self) -> bool {
        self.lock().ask_for_pass()
    }

    pub fn is_stopped(&self) -> bool {
        // Relaxed: publishes nothing.
        self.stop.load(Ordering::Relaxed) != 0
    }
}

impl Control {
    fn lock(&self) -> MutexGuard<'_, Messages> {
        // No holder of the lock panics.
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes that are over. The caller has the lock.
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
