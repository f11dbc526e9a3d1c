//! `OffsetPool`. Nothing is behind its offsets.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../common/mod.rs"]
mod common;

/// An oracle in units, in lockstep with a pool.
mod space;

mod given_tables;
mod hostile;
mod programs;
mod ranges;
mod rebuild;
#[cfg(feature = "std")]
mod sweeper;
mod threads;
