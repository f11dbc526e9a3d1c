//! A program that begins and ends with the crate's allocator as its global one; see `linux`, the only system where all
//! of its ways to do so are known. It has no harness, so that `main` is not in a thread of one.

#[cfg(target_os = "linux")]
mod linux;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    ExitCode::SUCCESS
}
