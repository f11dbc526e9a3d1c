//! Recorded programs for the examples and the benchmarks, and all that it takes to play them: the traces, the region
//! for a heap, sizes on the command line, and the end of a program.

mod bytes;
mod error;
mod read;
mod region;
mod trace;

use std::error::Error;
use std::process::ExitCode;

pub use bytes::parse_bytes;
pub use error::{Problem, TraceError};
pub use region::Region;
pub use trace::{DB_BENCH, Event, Peak, SQLITE3, Stretch, Trace, block_size};

/// The end of a program: success if all was as it should be. An error is printed.
pub fn exit_code(ran: Result<bool, Box<dyn Error>>) -> ExitCode {
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
