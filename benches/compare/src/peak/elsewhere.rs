//! Instead of [`peak`](crate), where the operating system does not tell what it needs.

use std::error::Error;

use clap::Args;
use indicatif::ProgressBar;

/// Measures the resident memory of a program; only on Linux
#[derive(Debug, Args)]
pub struct Options {
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    all: Vec<String>,
}

/// No process is started for a part of the work.
pub fn part() -> Option<Result<(), Box<dyn Error>>> {
    None
}

/// Says that there is nothing.
pub fn run(_: &Options, _: &ProgressBar) -> Result<(), Box<dyn Error>> {
    Err("`peak` is there on Linux only, whose kernel tells the peak of the resident memory".into())
}
