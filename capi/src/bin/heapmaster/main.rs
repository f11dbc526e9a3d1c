//! `heapmaster`: runs any program on heapmaster's `malloc`, and looks into what was recorded. `man
//! capi/man/heapmaster.1` has the options.

mod recording;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use recordings::exit_code;

/// Memory of any program: with a limit, checked, counted, or recorded and looked into.
#[derive(Debug, Parser)]
#[command(name = "heapmaster")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Options),
    /// Draws the memory of a recorded program: its heap at the peak, and over time.
    ///
    /// Ends with success if no allocation failed.
    Map {
        /// A trace, as `run --trace` writes it
        trace: PathBuf,
        #[command(flatten)]
        pictures: heap_map::Pictures,
    },
    /// Finds the smallest heap in which a recorded program runs without a failed allocation.
    Fit {
        /// Traces, as `run --trace` writes them
        #[arg(required = true, value_name = "TRACE")]
        traces: Vec<PathBuf>,
    },
    /// Plays a recorded program on this and other allocators: how long their calls take.
    ///
    /// Without `--subject` or `--all` these are PoolAllocator, mimalloc and the system's.
    Compare {
        /// A trace, as `run --trace` writes it
        trace: PathBuf,
        #[command(flatten)]
        comparison: compare::Comparison,
    },
}

fn main() -> ExitCode {
    match Options::parse().command {
        Command::Run(options) => run::run(&options).unwrap_or_else(|error| {
            eprintln!("heapmaster: {error}");
            ExitCode::from(error.code)
        }),
        Command::Map { trace, pictures } => exit_code(heap_map::run(Some(&trace), &pictures)),
        Command::Fit { traces } => exit_code(compare::fit(&traces).map(|()| true)),
        Command::Compare { trace, comparison } => exit_code(compare::compare(&trace, comparison).map(|()| true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }
}
