//! The comparison, which is all in the library: the command `heapmaster` uses a part of it.

use std::process::ExitCode;

fn main() -> ExitCode {
    compare::main()
}
