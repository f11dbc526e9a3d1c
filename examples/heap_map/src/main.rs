//! The example, which is all in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    heap_map::main()
}
