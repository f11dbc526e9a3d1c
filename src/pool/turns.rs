//! The pool in a user's loom model: a build with `--cfg loom` and the feature `loom`, but not `loom-models`.
//!
//! The models in `loom-tests/` check the pool itself, so a user's model takes it as it is, with its real atomics, sizes
//! and caches. loom runs its threads in turn in one thread of the operating system, and switches only where its own
//! objects are used. So each operation of a pool happens in one *turn*. loom is told:
//!
//! - **order**: an operation begins with an exchange, `Relaxed`, on one word of the execution. So loom runs all orders
//!   of the operations.
//! - **visibility**: a release of a block is a store, `Release`, to a word of that block; an allocation that gets some
//!   of the block acquires it. This is all that a pool promises: the next owner of a block sees what the last one
//!   wrote.
//!
//! In other builds nothing is left of it.

use super::MemoryPool;

#[cfg(in_turns)]
mod told {
    extern crate std;

    use alloc::rc::Rc;
    use alloc::vec::Vec;
    use core::cell::{Cell, RefCell};
    use core::ops::Range;
    use std::thread::panicking;

    use loom::sync::atomic::{AtomicBool, Ordering};

    /// Words of blocks. Further blocks share them, and order more then than they would by themselves.
    const WORDS: usize = 32;

    /// What loom knows of the pools of one execution.
    #[derive(Default)]
    struct Told {
        turn: AtomicBool,
        words: [AtomicBool; WORDS],
        /// The blocks that were released last, by their addresses, each with its word.
        released: RefCell<Vec<(Range<usize>, usize)>>,
        releases: Cell<usize>,
    }

    loom::lazy_static! {
        static ref TOLD: Rc<Told> = Rc::default();
    }

    loom::thread_local! {
        // A thread's own, since those of an execution are gone when its main thread has ended.
        static OWN: Rc<Told> = Rc::clone(&TOLD);
    }

    /// Not where a model has failed, and what it had is dropped: there is no execution any more.
    fn with(tell: impl FnOnce(&Told)) {
        if !panicking() {
            _ = OWN.try_with(|told| tell(told));
        }
    }

    /// In a thread of its own: loom's threads have stacks of 32 KiB, which is too little for this in a build without
    /// optimisation.
    pub(super) fn with_stack<R: Send>(act: impl FnOnce() -> R) -> R {
        struct Act<F>(F);
        // SAFETY: the caller does nothing until it is done.
        unsafe impl<F> Send for Act<F> {}
        impl<F: FnOnce() -> R, R> Act<F> {
            fn run(self) -> R {
                self.0()
            }
        }

        let act = Act(act);
        std::thread::scope(|scope| scope.spawn(move || act.run()).join().expect("it does not panic"))
    }

    pub(super) fn begin() {
        // Relaxed: nothing is to be visible by it.
        with(|told| _ = told.turn.swap(true, Ordering::Relaxed));
    }

    pub(super) fn released(block: Range<usize>) {
        with(|told| {
            let word = told.releases.replace(told.releases.get() + 1) % WORDS;
            // Release: pairs with the Acquire in `acquired`; the next owner of the block sees what this one wrote. An
            // exchange, so that it takes nothing from another block with this word.
            told.words[word].swap(true, Ordering::Release);
            let mut released = told.released.borrow_mut();
            // Who had all of a smaller block has acquired that.
            released.retain(|(other, _)| other.start < block.start || block.end < other.end);
            released.push((block, word));
        });
    }

    pub(super) fn acquired(block: Range<usize>) {
        with(|told| {
            let meets = |other: &Range<usize>| other.start < block.end && block.start < other.end;
            let released = told.released.borrow().clone();
            for (_, word) in released.iter().filter(|(other, _)| meets(other)) {
                // Acquire: pairs with the Release in `released`. An exchange, which sees the last one.
                told.words[*word].swap(true, Ordering::Acquire);
            }
        });
    }
}

impl MemoryPool {
    /// An operation begins.
    #[inline(always)]
    pub(super) fn begin(&self) {
        #[cfg(in_turns)]
        told::begin();
    }

    /// Does the part of an operation that needs much stack.
    #[inline(always)]
    pub(super) fn with_stack<R: Send>(act: impl FnOnce() -> R) -> R {
        #[cfg(in_turns)]
        return told::with_stack(act);
        #[cfg(not(in_turns))]
        act()
    }

    /// An operation begins that gives the block at this address back, if it is one, without its first `kept` addresses.
    #[inline(always)]
    pub(crate) fn begin_release(&self, address: usize, kept: usize) {
        #[cfg(in_turns)]
        {
            let size = self.class_at(address).map_or(0, |class| self.config.addresses(class));
            if kept < size {
                told::released(address + kept..address + size);
            }
            told::begin();
        }
        let _ = (address, kept);
    }

    /// The caller has the block at this address from now on, if it is one.
    #[inline(always)]
    pub(super) fn acquired(&self, address: usize) {
        #[cfg(in_turns)]
        if let Ok(class) = self.class_at(address) {
            told::acquired(address..address + self.config.addresses(class));
        }
        let _ = address;
    }
}
