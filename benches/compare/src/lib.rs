//! The comparison: this crate's pool, with the caches of its threads and without, beside other allocators on the same
//! work.
//!
//! ```text
//! cargo run --release -p compare
//! cargo run --release -p compare -- --all
//! cargo run --release -p compare -- --quick --threads 2 --workload larson,mixed --subject heapmaster,talc
//! cargo run --release -p compare -- --workload million,turns,half,ring \
//!     --subject heapmaster --against heapmaster-no-bias
//! cargo run --release -p compare -- fit
//! cargo run --release -p compare -- peak
//! cargo run --release -p compare -- collections
//! cargo run --release -p compare -- fragmented
//! cargo run --release -p compare -- --c-calls
//! cargo run --release -p compare --features snmalloc -- --json figures.json --svg figures.svg
//! ```
//!
//! It prints tables in Markdown. Each figure is the time of one allocation with its release *as one thread sees it*:
//! the time of all threads together by the pairs of all threads together, so that it is the same at 1 and 2 threads
//! where these don't disturb each other. In each round every subject does the same work for the same time, one after
//! the other, so that a machine that is slow for a while is slow for all. New threads do each round, start together,
//! and do some work before the time is taken.
//!
//! General allocators are called through `GlobalAlloc` on a static. Those that work on a region have one of 1 GiB, and
//! this crate's pool is called as `hl_alloc` and `hl_release`, with every result checked. An allocation that fails ends
//! the program: nobody is fast who does not deliver.
//!
//! Two lock-free buddy allocators are left out because they hand out blocks that overlap, as the tests in `overlap.rs`
//! show: branch_allocator 1.0.8, and lock_free_buddy_allocator 0.2.1, which besides needs a nightly compiler.
#![allow(clippy::disallowed_types, reason = "the lint is for the library, whose atomics are loom's in its models")]
#![cfg_attr(all(test, feature = "nightly"), feature(allocator_api))]

mod collections;
mod fit;
mod fragmented;
mod json;
mod latency;
mod machine;
mod measure;
#[cfg(test)]
mod overlap;
#[cfg_attr(not(target_os = "linux"), path = "peak/elsewhere.rs")]
mod peak;
mod plot;
mod results;
#[cfg(test)]
#[allow(dead_code, reason = "the tests of the library need more of it")]
#[path = "../../../tests/common/seed.rs"]
mod seed;
mod subject;
mod subjects;
mod table;
mod workloads;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use recordings::exit_code;

use crate::measure::{Plan, interleave};
use crate::results::{Cell, Pick, Results};
use crate::subjects::{ALL, C_CALLS, Entry, Measured};
use crate::workloads::{Inputs, Kind, Program};

/// Compares heapmaster with other allocators on the same work.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    command: Option<Command>,
    /// Workloads [default: all but the last four of those listed]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    workload: Vec<Kind>,
    /// The trace to play, plain or compressed with zstd [default: a run of sqlite3, built in]
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    comparison: Comparison,
}

/// What is compared, how, and where the figures go.
#[derive(Args, Debug)]
pub struct Comparison {
    /// Numbers of threads
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', default_value = "1,2,4",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Vec<u16>,
    /// Allocators [default: both of ours, the limit, and four of the best known]; the one to compare with is always
    /// among them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = keys())]
    subject: Vec<String>,
    /// All allocators
    #[arg(long, conflicts_with = "subject")]
    all: bool,
    /// As C calls them, where `free` has no size: PoolAllocator, mimalloc and the system's, behind indirect calls
    #[arg(long)]
    c_calls: bool,
    /// The allocator to compare with
    #[arg(long, value_name = "NAME", value_parser = keys(), default_value = "mimalloc")]
    against: String,
    /// Rounds [default: 5, with --quick 3]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Milliseconds of a round [default: 150, with --quick 20]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    round_ms: Option<u16>,
    /// Few short rounds, for a first look
    #[arg(long)]
    quick: bool,
    /// Compares medians instead of minima
    #[arg(long)]
    median: bool,
    /// Also writes everything into a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draws the ratios, for a slide
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Fit(fit::Options),
    Peak(peak::Options),
    Collections(collections::Options),
    Fragmented(fragmented::Options),
}

fn keys() -> PossibleValuesParser {
    PossibleValuesParser::new(ALL.iter().map(|entry| entry.key))
}

/// The program.
pub fn main() -> ExitCode {
    let done = match peak::part() {
        Some(part) => part,
        None => run(&Options::parse()),
    };
    exit_code(done.map(|()| true))
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    match &options.command {
        Some(Command::Fit(options)) => return fit::run(options, &progress_bar()?),
        Some(Command::Peak(options)) => {
            notes();
            return peak::run(options, &progress_bar()?);
        }
        Some(Command::Collections(options)) => {
            note_build();
            return collections::run(options, &progress_bar()?);
        }
        Some(Command::Fragmented(options)) => {
            note_build();
            fragmented::run(options, &progress_bar()?);
            return Ok(());
        }
        None => {}
    }
    notes();
    options.comparison.run(&options.workload, Program::read(options.trace.as_deref())?)
}

/// Plays a recorded program on general allocators, or on those that are asked for, and prints how long that takes.
///
/// # Errors
///
/// When the file is no trace or has no allocation, or a file can't be written.
pub fn compare(trace: &Path, mut comparison: Comparison) -> Result<(), Box<dyn Error>> {
    if comparison.subject.is_empty() && !comparison.all {
        // The others have a region, which may be too small for the program.
        comparison.subject = ["pool-allocator", "mimalloc", "system"].map(String::from).into();
    }
    comparison.run(&[Kind::Trace], Program::read(Some(trace))?)
}

/// Finds the smallest heap in which each recorded program runs, and prints the table.
///
/// # Errors
///
/// When a file is no trace or has no allocation, or there is no memory to play it in.
pub fn fit(traces: &[PathBuf]) -> Result<(), Box<dyn Error>> {
    fit::find(traces, &progress_bar()?)
}

impl Comparison {
    fn run(&self, workloads: &[Kind], program: Program) -> Result<(), Box<dyn Error>> {
        if program.left_out > 0 {
            eprintln!("note: {} blocks are left out, which are aligned to more than 16 bytes", program.left_out);
        }
        let inputs = Inputs { program };
        let timed = Duration::from_millis(self.round_ms.unwrap_or(if self.quick { 20 } else { 150 }).into());
        let progress = progress_bar()?;
        end_on_panic(progress.clone());
        let results = self.measure_all(workloads, &inputs, timed, &progress);
        print!("{}", table::render(&results, machine::cores()));
        if let Some(path) = &self.json {
            write(path, json::render(&results, &Plan::new(1, timed), &inputs.program.name)?)?;
        }
        if let Some(path) = &self.svg {
            write(path, plot::render(&results, &machine::processor(), machine::cores())?)?;
        }
        Ok(())
    }

    /// Every round of every subject; all workloads, if none is given.
    fn measure_all(&self, workloads: &[Kind], inputs: &Inputs, timed: Duration, progress: &ProgressBar) -> Results {
        let asked = |entry: &Entry| match self.subject.as_slice() {
            [] => self.all || entry.is_main,
            keys => keys.iter().any(|key| key == entry.key),
        };
        let wanted = |entry: &&Entry| self.against == entry.key || asked(entry);
        let entries: Vec<&'static Entry> = (if self.c_calls { C_CALLS } else { ALL }).iter().filter(wanted).collect();
        let mut workloads: Vec<Kind> = workloads.to_vec();
        if workloads.is_empty() {
            workloads.extend(Kind::usual().filter(|kind| !self.c_calls || kind.is_of_c()));
        }
        let mut threads: Vec<usize> = self.threads.iter().copied().map(usize::from).collect();
        threads.sort_unstable();
        threads.dedup();
        workloads.sort_unstable();
        workloads.dedup();
        let rounds = usize::from(self.rounds.unwrap_or(if self.quick { 3 } else { 5 }));

        progress.set_length((threads.len() * workloads.len() * rounds * entries.len()) as u64);
        let subjects: Vec<Box<dyn Measured>> = entries.iter().map(|entry| entry.make()).collect();
        let (exchange, mut cells, mut round_trips) = (latency::exchange(), Vec::new(), Vec::new());
        for threads in &threads {
            for workload in &workloads {
                let plan = Plan::new(*threads, timed);
                let figures = interleave(rounds, subjects.len(), |subject| {
                    progress.set_message(format!("{}, {threads} ×, {}", workload.label(), entries[subject].label));
                    round_trips.extend((*threads > 1).then(latency::round_trip));
                    let figure = subjects[subject].round(*workload, &plan, inputs);
                    progress.inc(1);
                    figure
                });
                cells.extend(entries.iter().zip(figures).map(|(entry, rounds)| Cell {
                    threads: *threads,
                    workload: *workload,
                    subject: entry.key,
                    rounds,
                }));
            }
        }
        progress.finish_and_clear();
        let against = entries.iter().find(|entry| entry.key == self.against).map_or("", |entry| entry.key);
        let pick = if self.median { Pick::Median } else { Pick::Min };
        Results { subjects: entries, workloads, threads, rounds, against, pick, cells, exchange, round_trips }
    }
}

fn write(path: &Path, text: String) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("{} is written", path.display());
    Ok(())
}

/// Notes for the reader of the figures.
fn notes() {
    note_build();
    if !cfg!(feature = "snmalloc") {
        let found = std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("cmake").is_file()));
        let cmake = if found { "is on the PATH" } else { "is not on the PATH" };
        eprintln!(
            "note: snmalloc is left out, because its build needs cmake, which {cmake}; to add it: \
             cargo run --release -p compare --features snmalloc"
        );
    }
}

fn note_build() {
    if cfg!(debug_assertions) {
        eprintln!("note: the figures of a build without --release tell nothing");
    }
}

/// On standard error; hidden where that is not a terminal.
fn progress_bar() -> Result<ProgressBar, Box<dyn Error>> {
    let template = "  {bar:30.blue} {percent:>3} %, {eta} left  {msg}";
    Ok(ProgressBar::new(0).with_style(ProgressStyle::with_template(template)?.progress_chars("█▉▊▋▌▍▎▏·")))
}

/// A panic of any thread ends the program: the other threads may be waiting for that one.
fn end_on_panic(progress: ProgressBar) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let at = progress.message();
        progress.suspend(|| {
            eprintln!("error: {at}:");
            report(panic);
        });
        std::process::exit(1);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_reference_is_always_measured() {
        let arguments = ["compare", "--subject", "heapmaster,system", "--workload", "pair,pair", "--threads", "2,1,1"];
        let options = Options::parse_from(arguments.into_iter().chain(["--rounds", "2"]));
        let inputs = Inputs::built_in().unwrap();
        let results = options.comparison.measure_all(
            &options.workload,
            &inputs,
            Duration::from_millis(1),
            &ProgressBar::hidden(),
        );
        assert_eq!(results.threads, [1, 2]);
        assert_eq!(results.workloads, [Kind::Pair]);
        assert_eq!(results.cells.len(), 2 * 3);
        assert!(results.cells.iter().all(|cell| cell.rounds.len() == 2 && cell.min() > 0.0));
        assert!(results.mean_ratio(2, "heapmaster").is_some());
    }
}
