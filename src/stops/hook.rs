//! Counts a thread's steps, and stops it at one. Each access to an atomic, each fence and each wait is a step (`sync`).

use alloc::boxed::Box;
use core::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread_local;

thread_local! {
    // They have no destructors. So a thread counts steps to its very end.
    static STEPS: Cell<u64> = const { Cell::new(0) };
    /// The step at which the thread stops, or panics.
    static NEXT: Cell<u64> = const { Cell::new(u64::MAX) };
    static STOP: Cell<Option<&'static Stop>> = const { Cell::new(None) };
    static WAITS: Cell<bool> = const { Cell::new(true) };
}

/// One step of the calling thread.
#[inline(always)]
pub fn step() {
    let steps = STEPS.get() + 1;
    STEPS.set(steps);
    if steps == NEXT.get() {
        stop_or_panic();
    }
}

#[cold]
fn stop_or_panic() {
    NEXT.set(u64::MAX);
    match STOP.take() {
        Some(stop) => stop.stop(),
        None => panic!("too many steps"),
    }
}

/// Steps of the calling thread until now.
pub fn steps() -> u64 {
    STEPS.get()
}

/// Whether the calling thread really waits where it lets others run.
pub fn waits() -> bool {
    WAITS.get()
}

/// Does `act`, which must not wait for another thread. Returns the result and the number of steps.
///
/// # Panics
///
/// When it takes more than `most` steps.
pub fn counted<R>(most: u64, act: impl FnOnce() -> R) -> (R, u64) {
    let begun = STEPS.get();
    NEXT.set(begun + most + 1);
    WAITS.set(false);
    let result = act();
    WAITS.set(true);
    NEXT.set(u64::MAX);
    (result, STEPS.get() - begun)
}

/// A place at which one thread stops until it is told to go on.
#[derive(Debug)]
pub struct Stop {
    told: Mutex<Told>,
    changed: Condvar,
}

/// The last message from or to the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Stopped,
    GoOn,
    Over,
}

impl Stop {
    /// A stop for many threads, one after the other. It is never freed, since a stopped thread may stay for ever.
    pub fn new() -> &'static Self {
        Box::leak(Box::new(Self { told: Mutex::new(Told::Nothing), changed: Condvar::new() }))
    }

    /// The calling thread stops before its step `number` from now on, counted from 1, if it takes as many.
    pub fn arm(&'static self, number: u64) {
        STOP.set(Some(self));
        NEXT.set(STEPS.get() + number);
    }

    /// The calling thread stops no more.
    pub fn disarm() {
        STOP.set(None);
        NEXT.set(u64::MAX);
    }

    /// Another thread says, once, that the thread has ended.
    pub fn over(&self) {
        self.tell(Told::Over);
    }

    /// Waits until the thread has stopped or ended. True: it has stopped.
    pub fn wait(&self) -> bool {
        let mut told = self.lock();
        while *told == Told::Nothing {
            told = self.changed.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
        let stopped = *told == Told::Stopped;
        if !stopped {
            *told = Told::Nothing;
        }
        stopped
    }

    /// Lets the thread go on, and waits until it has ended.
    pub fn go_on(&self) {
        self.tell(Told::GoOn);
        let mut told = self.lock();
        while *told != Told::Over {
            told = self.changed.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
        *told = Told::Nothing;
    }

    fn stop(&self) {
        self.tell(Told::Stopped);
        let mut told = self.lock();
        while *told != Told::GoOn {
            told = self.changed.wait(told).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn tell(&self, what: Told) {
        *self.lock() = what;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
