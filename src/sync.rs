//! The one file that names the concurrency of the standard library or of loom.
//!
//! Everything else has its atomics from here; clippy's `disallowed-types` sees to it. A build with `--cfg loom` *and*
//! the feature `loom-models` gets loom's. A user's own loom build keeps the real ones; with the feature `loom`,
//! `pool/turns` tells loom of the pool.
//!
//! Under loom each atomic has a companion. loom 0.7 remembers only one last access for each atomic, so that a thread's
//! own load before its compare-exchange can hide another thread's earlier load, and schedules are missed. So each
//! access first swaps the companion, `Relaxed`: that makes any two accesses dependent and adds no happens-before edge.
//! `loom-tests/tests/companion.rs` shows a schedule that is missed without it. Pointers are loaded by all threads in
//! every operation, and hardly ever change; to order these loads, too, would make models of the pool many times as
//! long.
//!
//! In the unit tests each access, each fence and each wait is a *step*, at which a test can stop the thread (`stops`).
#![allow(clippy::disallowed_types)]

#[cfg(not(modelled))]
use core::sync::atomic;
#[cfg(modelled)]
use loom::sync::atomic;

#[cfg(not(modelled))]
use core::cell::UnsafeCell;
#[cfg(modelled)]
use loom::cell::UnsafeCell;

pub use atomic::Ordering;

#[cfg(all(test, feature = "std", not(loom)))]
use crate::stops::{step, waits};
#[cfg(not(all(test, feature = "std", not(loom))))]
use no_stops::{step, waits};

/// There are no steps.
#[cfg(not(all(test, feature = "std", not(loom))))]
mod no_stops {
    #[inline(always)]
    pub const fn step() {}

    #[inline(always)]
    pub const fn waits() -> bool {
        true
    }
}

/// A fence, as that of the atomics.
#[inline(always)]
pub fn fence(order: Ordering) {
    step();
    atomic::fence(order);
}

/// A fence for the compiler only. It pairs with a fence that another thread makes for all threads at once; under loom
/// both are fences.
#[inline(always)]
pub fn light_fence() {
    step();
    #[cfg(not(modelled))]
    atomic::compiler_fence(Ordering::SeqCst);
    // SeqCst: pairs with the heavy fence, as that has it.
    #[cfg(modelled)]
    fence(Ordering::SeqCst);
}

#[cfg(modelled)]
pub(crate) use loom::thread::Thread;
#[cfg(all(feature = "std", not(modelled)))]
pub(crate) use threads::*;

/// Threads and locks, for sweepers and for waits. Models have none of it: a sweeper shares nothing but the pool with
/// its users.
#[cfg(all(feature = "std", not(modelled)))]
mod threads {
    extern crate std;

    /// Sleeps for a tenth of a millisecond.
    pub(super) fn sleep() {
        super::step();
        if super::waits() {
            std::thread::sleep(core::time::Duration::from_micros(100));
        }
    }

    pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
    pub(super) use std::thread::yield_now;
    pub(crate) use std::thread::{Builder as ThreadBuilder, JoinHandle, Thread, current, park, park_timeout};
}

/// Defines a function that is `const` but under loom, whose atomics have no `const` constructor.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),*) -> $result:ty $body:block) => {
        #[cfg(not(modelled))]
        $(#[$meta])*
        $visibility const fn $name($($argument: $type),*) -> $result $body

        #[cfg(modelled)]
        $(#[$meta])*
        $visibility fn $name($($argument: $type),*) -> $result $body
    };
}
pub(crate) use const_unless_loom;

/// Each access to an atomic touches its companion, so that any two accesses are dependent.
#[cfg(modelled)]
#[derive(Debug, Default)]
struct Companion(atomic::AtomicU8);

#[cfg(modelled)]
impl Companion {
    fn before_load(&self) {
        // Relaxed: adds no happens-before edge.
        self.0.swap(0, Ordering::Relaxed);
    }

    fn before_change(&self) {
        self.before_load();
    }
}

/// The companions of an atomic that is loaded far more often than changed: one for each thread of a model. A change and
/// a load are dependent; two loads by two threads are not.
#[cfg(modelled)]
#[derive(Debug, Default)]
struct CompanionOfEach([Companion; loom::MAX_THREADS]);

#[cfg(modelled)]
impl CompanionOfEach {
    fn before_load(&self) {
        self.0[thread_of_model()].before_load();
    }

    fn before_change(&self) {
        self.0.iter().for_each(Companion::before_change);
    }
}

/// The number of the calling thread in its model.
#[cfg(modelled)]
pub(crate) fn thread_of_model() -> usize {
    use core::hash::{Hash, Hasher};

    /// The last number that is hashed of a thread's id is the thread's.
    struct Number(usize);
    impl Hasher for Number {
        fn finish(&self) -> u64 {
            self.0 as u64
        }

        fn write(&mut self, _: &[u8]) {}

        fn write_usize(&mut self, number: usize) {
            self.0 = number;
        }
    }

    let mut number = Number(0);
    loom::thread::current().id().hash(&mut number);
    number.0
}

/// Operations that change a word.
macro_rules! changes {
    ($value:ty, $($change:ident)+) => {$(
        #[inline(always)]
        pub fn $change(&self, value: $value, order: Ordering) -> $value {
            self.word().$change(value, order)
        }
    )+};
}

/// Operations that change a word if it is as it was seen.
macro_rules! exchanges {
    ($value:ty, $($exchange:ident)+) => {$(
        #[inline(always)]
        pub fn $exchange(
            &self,
            seen: $value,
            new: $value,
            success: Ordering,
            failure: Ordering,
        ) -> Result<$value, $value> {
            self.word().$exchange(seen, new, success, failure)
        }
    )+};
}

/// Wraps an atomic type: the operations that the crate uses, and under loom the companion.
macro_rules! wrap {
    ($name:ident $(<$parameter:ident>)?, $word:ident, $companion:ident, $value:ty, $new:expr) => {
        #[derive(Debug)]
        #[cfg_attr(not(modelled), repr(transparent))]
        pub struct $name $(<$parameter>)? {
            #[cfg(modelled)]
            companion: $companion,
            word: atomic::$word $(<$parameter>)?,
        }

        #[allow(dead_code, reason = "each type uses some of the operations")]
        impl $(<$parameter>)? $name $(<$parameter>)? {
            const_unless_loom! {
                pub fn new(value: $value) -> Self {
                    Self {
                        #[cfg(modelled)]
                        companion: $companion::default(),
                        word: atomic::$word::new(value),
                    }
                }
            }

            /// To be changed.
            #[inline(always)]
            fn word(&self) -> &atomic::$word $(<$parameter>)? {
                #[cfg(modelled)]
                self.companion.before_change();
                step();
                &self.word
            }

            #[inline(always)]
            pub fn load(&self, order: Ordering) -> $value {
                #[cfg(modelled)]
                self.companion.before_load();
                step();
                self.word.load(order)
            }

            #[inline(always)]
            pub fn store(&self, value: $value, order: Ordering) {
                self.word().store(value, order);
            }

            changes!($value, swap);
            exchanges!($value, compare_exchange compare_exchange_weak);
        }

        impl $(<$parameter>)? Default for $name $(<$parameter>)? {
            fn default() -> Self {
                Self::new($new)
            }
        }
    };
}

/// Operations that only integers have.
macro_rules! integer {
    ($name:ident, $word:ident, $companion:ident, $value:ty) => {
        wrap!($name, $word, $companion, $value, 0);

        #[allow(dead_code, reason = "each type uses some of the operations")]
        impl $name {
            changes!($value, fetch_add fetch_and fetch_max fetch_or fetch_sub fetch_xor);
        }
    };
}

integer!(AtomicU8, AtomicU8, Companion, u8);
integer!(AtomicU16, AtomicU16, Companion, u16);
integer!(AtomicU32, AtomicU32, Companion, u32);
integer!(AtomicU64, AtomicU64, Companion, u64);
// Words that all threads load in every operation, and that hardly ever change.
integer!(SharedU8, AtomicU8, CompanionOfEach, u8);
integer!(SharedU64, AtomicU64, CompanionOfEach, u64);
wrap!(AtomicPtr<T>, AtomicPtr, CompanionOfEach, *mut T, core::ptr::null_mut());

/// A value that one thread at a time uses. It hands the value over with a Release that the next thread acquires. Under
/// loom a hand-over without that is an error.
#[derive(Debug, Default)]
#[cfg_attr(not(modelled), repr(transparent))]
pub struct Local<T>(UnsafeCell<T>);

// SAFETY: the caller of `get` says that no other thread uses the value. So it is as if it were sent from thread to
// thread.
unsafe impl<T: Send> Sync for Local<T> {}

impl<T> Local<T> {
    /// The value.
    ///
    /// # Safety
    ///
    /// The caller is the one thread that uses the value for as long as the reference lives.
    #[inline(always)]
    pub unsafe fn get(&self) -> &T {
        #[cfg(not(modelled))]
        // SAFETY: the value lives as long as `self`; there is no `&mut` to it anywhere.
        return unsafe { &*self.0.get() };
        #[cfg(modelled)]
        // SAFETY: as above; as a mutable access, so that loom finds two owners.
        return self.0.with_mut(|value| unsafe { &*value });
    }
}

/// A mark of life. Under loom it finds a use of something that is freed, or may be.
#[derive(Debug, Default)]
pub(crate) struct Alive {
    #[cfg(modelled)]
    cell: UnsafeCell<()>,
}

impl Alive {
    /// A use.
    #[inline(always)]
    pub(crate) fn touch(&self) {
        #[cfg(modelled)]
        self.cell.with(|_| ());
    }

    /// The end: it is about to be freed.
    pub(crate) fn end(&self) {
        #[cfg(modelled)]
        self.cell.with_mut(|_| ());
    }
}

#[cfg(any(feature = "std", modelled))]
impl<T> Local<T> {
    /// The value, which several threads may look at.
    ///
    /// # Safety
    ///
    /// No thread calls `get` or `replace` for as long as the reference lives.
    pub(crate) unsafe fn read(&self) -> &T
    where
        T: Sync,
    {
        #[cfg(not(modelled))]
        // SAFETY: the value lives as long as `self`. The caller says that no thread changes it.
        return unsafe { &*self.0.get() };
        #[cfg(modelled)]
        // SAFETY: as above.
        return self.0.with(|value| unsafe { &*value });
    }

    /// Replaces the value.
    ///
    /// # Safety
    ///
    /// The caller is the one thread that uses the value.
    pub(crate) unsafe fn replace(&self, value: T) -> T {
        #[cfg(not(modelled))]
        // SAFETY: the caller says that no other thread uses the value.
        return core::mem::replace(unsafe { &mut *self.0.get() }, value);
        #[cfg(modelled)]
        // SAFETY: as above.
        return self.0.with_mut(|place| core::mem::replace(unsafe { &mut *place }, value));
    }
}

/// A SeqCst fence after a read-modify-write of the same thread. On x86 that is a fence by itself, so this costs nothing
/// there.
#[inline(always)]
pub(crate) fn fence_after_exchange() {
    #[cfg(all(any(target_arch = "x86", target_arch = "x86_64"), not(modelled)))]
    atomic::compiler_fence(Ordering::SeqCst);
    #[cfg(not(all(any(target_arch = "x86", target_arch = "x86_64"), not(modelled))))]
    fence(Ordering::SeqCst);
}

/// Lets other threads run. With the feature `std` it calls the scheduler, which takes less than a microsecond if no
/// thread waits. Without, it is a pause of the processor of about that time.
pub(crate) fn yield_now() {
    step();
    if !waits() {
        return;
    }
    #[cfg(all(feature = "std", not(modelled)))]
    threads::yield_now();
    #[cfg(not(any(feature = "std", modelled)))]
    for _ in 0..16 {
        core::hint::spin_loop();
    }
    #[cfg(modelled)]
    loom::thread::yield_now();
}

/// Times that a thread yields while it waits for another one: a quarter of a millisecond of processor time. Then it
/// sleeps `SLEEPS` times, in case the other one waits for a processor. Without the standard library it only spins.
#[cfg(not(modelled))]
const YIELDS: u32 = if cfg!(feature = "std") { 500 } else { 2000 };
#[cfg(not(modelled))]
const SLEEPS: u32 = 100;

/// Most waits for a thread that may have been stopped for ever.
#[cfg(not(modelled))]
pub(crate) const MAX_WAITS: u32 = YIELDS + SLEEPS;
/// Under loom once: each time costs an execution for every interleaving.
#[cfg(modelled)]
pub(crate) const MAX_WAITS: u32 = 1;

/// Waits a little for another thread. `times`: waits before this one.
pub(crate) fn wait(times: u32) {
    #[cfg(all(feature = "std", not(modelled)))]
    if times >= YIELDS {
        return threads::sleep();
    }
    let _ = times;
    yield_now();
}

/// A constant that models shrink: `model` under loom, else `real`. Each use says why.
pub(crate) const fn model_or<T: Copy>(model: T, real: T) -> T {
    if cfg!(modelled) { model } else { real }
}
