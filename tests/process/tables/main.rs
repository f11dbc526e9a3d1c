//! What a pool allocates for itself. This program's global allocator counts for each thread, and fails when it is told
//! to.
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

#[path = "../../common/mod.rs"]
mod common;

mod failing;
mod first_use;
mod given;
mod racing;
mod readers;

use common::failing::Failing;

#[global_allocator]
static GLOBAL: Failing = Failing;
