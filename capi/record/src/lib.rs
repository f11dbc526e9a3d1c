//! Records the allocations of a program: every thread, in the order of the calls, without a lock, and whole up to a
//! crash. [`convert`] makes a trace of that; `examples/recordings` reads traces, and its documentation has the format.
//!
//! A program records itself by a wrapper around its allocator:
//!
//! ```
//! use mempool::PoolAllocator;
//! use record::Recorded;
//!
//! #[global_allocator]
//! static ALLOCATOR: Recorded<PoolAllocator> = Recorded::new(PoolAllocator::new());
//!
//! # let folder = std::env::temp_dir().join(format!("record-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let path = record::start(&folder)?;
//! let words: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
//! drop(words);
//! record::stop();
//! let summary = record::convert(&path, &folder.join("program.trace.zst"))?;
//! assert!(summary.events > 2000);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), std::io::Error>(())
//! ```
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_types, reason = "the lint is for the library, whose atomics are loom's in its models")]

mod convert;
mod file;
pub mod profile;
mod raw;
mod recorder;
mod words;
mod wrapper;

pub use convert::{Summary, convert};
pub use recorder::{allocated, freed, resize_begins, resize_ended, start, start_in, stop};
pub use wrapper::Recorded;
