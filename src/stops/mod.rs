//! Threads that stop: each operation of a pool, of an allocator and of a sweeper, stopped at each of its steps.
//!
//! In the unit tests each access to an atomic, each fence and each wait is a *step* (`sync`), and a thread can be stopped before any one of
//! them (`hook`). An [`Operation`] is done by one thread that stops at its n-th step, for each n until it ends before. While it is stopped
//! another thread does all that can be done, and then takes all that is free (`run`):
//!
//! - each of its operations ends within so many steps,
//! - no block is handed out twice,
//! - what it can't have is at most what is documented,
//! - all bytes are accounted for.
//!
//! Then the stopped thread goes on, all is released, and one sweep leaves all merged and all figures exact.
//!
//! `cargo test` does a sample of it. All of it, with a table at the end:
//!
//! ```text
//! cargo test --lib -- --ignored --nocapture stops::all_stops
//! ```
//!
//! `HEAPMASTER_STOPS=PART` takes only the operations that have this in their name. A sample prints its seed, and takes one from
//! `HEAPMASTER_SEED`.
#![allow(clippy::disallowed_types, reason = "tests are not modelled")]

#[cfg(feature = "allocator")]
mod allocator;
mod alone;
mod hook;
mod known;
mod pool;
#[allow(dead_code, reason = "others use the rest of it")]
#[path = "../../tests/common/seed.rs"]
mod random;
mod run;

pub use hook::{step, waits};

use alone::alone;
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
