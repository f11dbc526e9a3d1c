//! heapmaster for C and C++: `malloc` and its family, the operators `new` and `delete`, and pools
//! (`hm_pool_*`, `hm_offset_*`).
//! `README.md` says how it is built and used, and has the rules.
//!
//! Nothing on the paths of `malloc` allocates by the standard library: its allocator is this very `malloc`.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_types, reason = "the lint is for the library, whose atomics are loom's in its models")]

mod chosen;
mod environment;
mod errno;
mod inspect;
mod malloc;
mod offsets;
#[cfg(all(target_pointer_width = "64", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod operators;
mod pool;
mod process;
mod profiled;
mod status;
mod watched;
