//! What two threads have lies apart, in a pool and in an allocator. One test at a time, so that their threads have the
//! first indices, which are in different shards.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../../common/mod.rs"]
mod common;

mod allocator;
mod pool;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// To be held by each test.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
