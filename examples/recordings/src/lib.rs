//! Recorded programs for the examples and the benchmarks, and all that it takes to play them: the traces, the region
//! for a heap, and sizes on the command line.

mod bytes;
mod error;
mod read;
mod region;
mod trace;

pub use bytes::parse_bytes;
pub use error::{Problem, TraceError};
pub use region::Region;
pub use trace::{DB_BENCH, Event, Peak, SQLITE3, Stretch, Trace, block_size};
