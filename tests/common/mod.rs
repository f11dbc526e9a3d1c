//! What several test crates share: the oracle, the pool that runs in lockstep with it, and the ways to choose programs.
//! Nothing in here is a test.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]
#![allow(dead_code, unused_imports, reason = "each test crate uses a part of it")]

pub mod actor;
pub mod cached;
pub mod failing;
#[cfg(feature = "allocator")]
pub mod filled;
pub mod gate;
pub mod history;
pub mod lockstep;
pub mod oracle;
pub mod pieces;
pub mod seed;
pub mod withheld;

pub use actor::Actor;
pub use gate::{Gate, Owners, released_once, together};
pub use history::History;
pub use lockstep::{Lockstep, Op};
pub use oracle::{Oracle, Refusal};
pub use seed::Random;
pub use withheld::alloc_beside;

use std::ptr;
use std::thread::ScopedJoinHandle;

/// Waits until threads are gone. A scope waits only until their closures are done, so that what they cached may still
/// be theirs.
pub fn join<T>(threads: Vec<ScopedJoinHandle<'_, T>>) {
    for thread in threads {
        thread.join().expect("no thread panics");
    }
}

/// A pointer to an address of which nobody knows more: the pool never looks behind it.
pub fn at(address: usize) -> *mut u8 {
    ptr::without_provenance_mut(address)
}

/// Bytes of this process that are in memory.
#[cfg(target_os = "linux")]
pub fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("the second number");
    // SAFETY: a question without arguments that matter.
    pages * unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize
}
