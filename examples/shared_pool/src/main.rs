//! The recorded memory of a real program, replayed through one pool from several threads. Here: the options, and the
//! run from beginning to end.
//!
//! ```text
//! cargo run --release --example shared_pool
//! ```
//!
//! Each thread plays the whole program on its own objects at the same time, and hands a share of the objects to the
//! next thread to be released there. Into each block it writes a pattern, which is checked before the release, so
//! that an overlap or a lost byte is caught. When every thread has come to the program's peak of live bytes, the heap
//! is drawn; and once more when all was released and swept: one free block of the heap's size.

#![allow(clippy::disallowed_types, reason = "the lint is for the library, whose atomics are loom's in its models")]

mod pattern;
mod player;
mod replay;
mod report;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use mempool::{AddHeapError, MemoryPool};
use recordings::{Region, Trace, exit_code, parse_bytes};

use crate::replay::Replay;
use crate::report::{AtEnd, AtPeak, Plan, Style};

/// Replays the recorded memory of a real program through one pool from several threads.
///
/// Ends with success if no allocation failed, every pattern was as written, and everything merged at the end.
#[derive(Debug, Parser)]
struct Options {
    /// A trace, plain or compressed with zstd [default: a run of sqlite3, built in]
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Threads, each of which plays the whole trace [default: as many as there are processors, at least 2]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// The size of the heap in bytes, or as 64MiB, 64M, 1.5GiB (all are powers of 1024) [default: ample for the trace]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    heap: Option<usize>,
    /// The size of the smallest block, a power of two
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "64")]
    min_block: usize,
    /// The share of objects that the next thread releases
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100), default_value = "12")]
    handed_over: u32,
    /// Also writes the picture of the heap at the peak into a file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit_code(run(&Options::parse()))
}

/// Was all as it should be?
fn run(options: &Options) -> Result<bool, Box<dyn Error>> {
    let trace = Trace::open(options.trace.as_deref())?;
    // Before anything is computed from it.
    let pool = MemoryPool::builder().min_block(options.min_block).build()?;
    let peak = trace.peak(options.min_block);
    let processors = || thread::available_parallelism().map_or(2, |number| (number.get() as u32).clamp(2, 4096));
    let threads = options.threads.unwrap_or_else(processors);
    let heap = match options.heap {
        Some(bytes) => bytes,
        None => ample_heap(peak.held, threads).ok_or("the trace has more live bytes than can be addressed")?,
    };
    if heap == 0 {
        return Err(AddHeapError::Empty.into());
    }
    let unavailable = || format!("{} of memory for the heap are not to be had", HumanBytes(heap as u64));
    let region = Region::new(heap).ok_or_else(unavailable)?;
    pool.add_heap(region.base(), region.size())?;

    let style = Style::of_stdout();
    let mut out = io::stdout().lock();
    let Options { handed_over, min_block, .. } = *options;
    Plan { trace: &trace, peak, threads, handed_over, heap, min_block }.print(style, &mut out)?;

    let progress = progress_bar(trace.events.len() as u64 * u64::from(threads))?;
    let mut replay = Replay::new(&pool, &trace, threads, handed_over, progress.clone());
    replay.play(&trace, 0..peak.events);
    let at_peak = AtPeak::look(&pool, &replay);
    if let Some(path) = &options.svg {
        let program = trace.name();
        let title = format!("{threads} × {program}, at the peak");
        let svg = pool.heap_map().svg().title(&title).to_string();
        fs::write(path, svg).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    replay.play(&trace, peak.events..trace.events.len());
    progress.finish_and_clear();

    let at_end = AtEnd::look(&pool, heap);
    report::print(style, &mut out, &replay, &at_peak, &at_end)?;
    if let Some(path) = &options.svg {
        writeln!(out, "\nThe picture of the heap at the peak is in {}", path.display())?;
    }
    let tally = replay.tally();
    Ok(tally.failures == 0 && tally.faults == 0 && at_peak.is_consistent() && at_end.is_whole())
}

/// A heap with room for what each of `threads` threads holds at its peak, half as much for what can't be used in
/// between, and up to the next power of two.
fn ample_heap(held: usize, threads: u32) -> Option<usize> {
    let held = held.checked_mul(usize::try_from(threads).ok()?)?;
    held.checked_add(held / 2)?.max(1 << 16).checked_next_power_of_two()
}

/// Of all events of all threads, on standard error; hidden where that is not a terminal.
fn progress_bar(events: u64) -> Result<ProgressBar, Box<dyn Error>> {
    let template = "  {bar:40.blue} {percent:>3} %  {human_pos} of {human_len} events, {per_sec}";
    Ok(ProgressBar::new(events).with_style(ProgressStyle::with_template(template)?.progress_chars("█▉▊▋▌▍▎▏·")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
        assert_eq!(ample_heap(10 << 20, 2), Some(32 << 20));
        assert_eq!(ample_heap(usize::MAX / 2, 2), None);
    }
}
