//! Threads that stop: each operation of a pool, an allocator and a sweeper, stopped at each of its steps.
//!
//! In the unit tests each access to an atomic, each fence and each wait is a *step* (`sync`). A thread can be stopped
//! before each of them (`hook`). One thread does an [`Operation`] and stops at its n-th step, for each n until it ends
//! before. While it is stopped, another thread does all operations and then takes all that is free (`run`). Then
//!
//! - each of its operations ends within a bound of steps,
//! - no block is handed out twice,
//! - the bytes that it can't get are at most as many as documented,
//! - all bytes are accounted for.
//!
//! Afterwards the stopped thread goes on, and all is released. One sweep then leaves all merged and all figures exact.
//!
//! `cargo test` does a sample of it. All of it, with a table at the end:
//!
//! ```text
//! cargo test --lib -- --ignored --nocapture stops::all_stops
//! ```
//!
//! `HEAPMASTER_STOPS=PART` takes only the operations with this in their names. A sample prints its seed, and takes one
//! from `HEAPMASTER_SEED`.
#![allow(clippy::disallowed_types, reason = "tests are not modelled")]

#[cfg(feature = "allocator")]
mod allocator;
mod alone;
mod hook;
mod known;
mod many_heaps;
mod pool;
#[allow(dead_code, reason = "others use the rest of it")]
#[path = "../../tests/common/seed.rs"]
mod random;
mod run;

pub use alone::alone;
pub use hook::{counted, step, waits};

use run::{How, run};

#[test]
fn a_sample_of_the_stops() {
    alone("stops::a_sample_of_the_stops", || run(How::Sample));
}

#[test]
#[ignore = "takes minutes"]
fn all_stops() {
    alone("stops::all_stops", || run(How::All));
}
