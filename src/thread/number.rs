//! The number of the calling thread, as far as it knows.
//!
//! `cache` gives it out, the lowest that no other thread has. It is in a thread-local cell without a destructor, so that it can be read at any
//! time, in destructors too, without a check.

#[cfg(all(feature = "std", not(modelled)))]
pub use threads::{Number, index, number, set_number};

#[cfg(all(feature = "std", not(modelled)))]
mod threads {
    extern crate std;

    use core::cell::Cell;
    use std::thread_local;

    /// What a thread knows of its number.
    #[derive(Clone, Copy, Debug)]
    pub enum Number {
        /// It has not asked for one, or all were taken.
        NotYet,
        /// It has none and will have none: it is about to exit, or nobody would tell when it does; or it is being given one just now.
        Never,
        /// It has this one.
        Is(usize),
    }

    thread_local! {
        static NUMBER: Cell<Number> = const { Cell::new(Number::NotYet) };
    }

    /// What the calling thread knows of its number.
    pub fn number() -> Number {
        NUMBER.get()
    }

    /// What it knows from now on.
    pub fn set_number(number: Number) {
        NUMBER.set(number);
    }

    /// The number of the calling thread, if it has one.
    #[inline]
    pub fn index() -> Option<usize> {
        if let Number::Is(index) = number() { Some(index) } else { None }
    }
}

/// Without the standard library there is no way to know a thread. Under loom numbers are a pool's, and shards are a model's.
#[cfg(not(all(feature = "std", not(modelled))))]
#[inline]
pub fn index() -> Option<usize> {
    None
}
