//! `heapmaster`: runs any program on heapmaster's `malloc`. `man capi/man/heapmaster.1` has the options.

mod recording;
mod run;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Memory of any program: with a limit, checked, or counted.
#[derive(Debug, Parser)]
#[command(name = "heapmaster")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Options),
}

fn main() -> ExitCode {
    let Options { command: Command::Run(options) } = Options::parse();
    match run::run(&options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("heapmaster: {error}");
            ExitCode::from(error.code)
        }
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
