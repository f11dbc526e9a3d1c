//! The memory of a program as pictures: at its peak in characters, as a strip for a slide, as a page with a time-lapse,
//! and how fragmented it is, with the sweeper and without. Here: the options, and the run from beginning to end.
//!
//! ```text
//! cargo run --release --example heap_map -- --html heap.html --svg strip.svg --plot fragmentation.svg
//! ```
//!
//! `heapmaster map` is the same for a recorded program. One thread plays it. The pool never touches the memory that it
//! manages, so there is none: the heap is only a range of addresses.
#![cfg(feature = "pictures")]

mod cells;
mod curve;
mod film;
mod page;
mod palette;
mod play;
mod plot;
mod strip;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use clap::{Args, Parser};
use indicatif::{HumanBytes, HumanCount};
use recordings::{DB_BENCH, Trace, exit_code, parse_bytes};

use crate::film::Film;

/// Draws the memory of a program: its heap at the peak, and over time.
///
/// Ends with success if no allocation failed.
#[derive(Debug, Parser)]
struct Options {
    /// A trace, plain or compressed with zstd [default: a run of sqlite3, and for the plot one of db_bench, both
    /// built in]
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    pictures: Pictures,
}

/// The heap, and the pictures of it.
#[derive(Args, Debug)]
pub struct Pictures {
    /// The size of the heap in bytes, or as 64MiB, 64M, 1.5GiB (all are powers of 1024) [default: enough for the
    /// trace]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    heap: Option<usize>,
    /// The size of the smallest block, a power of two
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, default_value = "64")]
    min_block: usize,
    /// The sweeper has a pass after this number of allocations and releases [default: never; in the plot, 1000 beside
    /// never]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    sweep_every: Option<u32>,
    /// Frames of the page, besides the first one
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(2..=1000), default_value = "300")]
    frames: u32,
    /// Writes a page with a time-lapse, which needs no other file and no network
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes a strip of six frames
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Writes a plot of the fragmentation over time, with the sweeper and without
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// The example.
pub fn main() -> ExitCode {
    let options = Options::parse();
    exit_code(run(options.trace.as_deref(), &options.pictures))
}

/// Draws the memory of a recorded program, or of those that are built in. Did all allocations succeed?
///
/// # Errors
///
/// When the file is no trace or has no allocation, the heap has no allowed size, or a picture can't be written.
pub fn run(trace_file: Option<&Path>, options: &Pictures) -> Result<bool, Box<dyn Error>> {
    let trace = Trace::open(trace_file)?;
    let heap = options.heap.map_or_else(|| room_for(&trace, options.min_block), Ok)?;
    let sweep_every = options.sweep_every.map(|number| number as usize);
    let pool = play::pool(options.min_block, heap)?;
    let film = Film::record(&trace, &pool, options.frames as usize, sweep_every)?;

    let mut out = io::stdout().lock();
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let picture = if io::stdout().is_terminal() && !refused { &film.text.colored } else { &film.text.plain };
    let (events, program) = (HumanCount(trace.events.len() as u64), &trace.program);
    writeln!(
        out,
        "{program}\n{events} allocations and releases\n\nThe heap when it has the most live bytes\n{picture}"
    )?;
    if let Some(path) = &options.html {
        write(&mut out, path, &page::render(&trace, &film, options.min_block, sweep_every)?)?;
    }
    if let Some(path) = &options.svg {
        write(&mut out, path, &strip::render(&trace, &film))?;
    }
    let mut failures = film.failures;
    if let Some(path) = &options.plot {
        // Of the built-in programs, the one where the sweeper matters.
        let trace = if trace_file.is_some() { trace } else { Trace::read(DB_BENCH)? };
        let heap = options.heap.map_or_else(|| room_for(&trace, options.min_block), Ok)?;
        let every = sweep_every.unwrap_or(1000);
        let plot = plot::render(&trace, || play::pool(options.min_block, heap), every)?;
        failures = failures.max(plot.failures);
        write(&mut out, path, &plot.svg)?;
        let [without, with, least] = [plot.without, plot.with, plot.least].map(plot::percent);
        writeln!(
            out,
            "{}: mean external fragmentation {without} without the sweeper, {with} with a pass after every {} events; \
             powers of two allow no less than {least}",
            trace.name(),
            HumanCount(every as u64),
        )?;
    }
    if failures > 0 {
        // Last, where it is seen; the pictures are of the rest.
        writeln!(
            io::stderr(),
            "error: {failures} allocations failed: the heap of {} is too small",
            HumanBytes(heap as u64)
        )?;
    }
    Ok(failures == 0)
}

fn write(out: &mut impl Write, path: &Path, text: &str) -> Result<(), Box<dyn Error>> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    writeln!(out, "{} is written, {}", path.display(), HumanBytes(text.len() as u64))?;
    Ok(())
}

/// A heap for a trace: the power of two of bytes that leaves an eighth for free blocks too small to be used.
fn room_for(trace: &Trace, min_block: usize) -> Result<usize, &'static str> {
    let held = trace.peak(min_block).held;
    let room = held.checked_add(held / 8).and_then(|room| room.max(1 << 16).checked_next_power_of_two());
    room.ok_or("the trace has more live bytes than can be addressed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
    }

    /// The end of a run of a trace, in a file of this name.
    fn end(name: &str, trace: &str, options: &[&str]) -> Result<bool, String> {
        let path = env::temp_dir().join(format!("heap_map-{}-{name}", std::process::id()));
        fs::write(&path, trace).unwrap();
        let trace = ["heap_map", "--trace", path.to_str().unwrap()];
        let options = Options::parse_from(trace.iter().chain(options));
        let ended = run(options.trace.as_deref(), &options.pictures);
        fs::remove_file(path).unwrap();
        ended.map_err(|error| error.to_string())
    }

    #[test]
    fn it_fails_if_an_allocation_does_or_there_is_none() {
        let trace = "a 0 0 40000\na 0 1 40000\nf 0 0\nf 0 1\n";
        assert_eq!(end("enough", trace, &[]), Ok(true));
        assert_eq!(end("small", trace, &["--heap", "65536"]), Ok(false));
        for empty in ["", "# program: none\n\n"] {
            let error = end("empty", empty, &[]).unwrap_err();
            assert!(error.ends_with("the trace has no allocations"), "{error}");
        }
    }

    #[test]
    fn the_heap_is_enough_for_the_own_trace() {
        let trace = Trace::open(None).unwrap();
        for min_block in [16, 64, 1024] {
            let pool = play::pool(min_block, room_for(&trace, min_block).unwrap()).unwrap();
            let mut player = play::Player::new(&pool, trace.objects, None).unwrap();
            player.play(&trace.events).unwrap();
            assert_eq!(player.failures, 0, "from {min_block} B on");
        }
    }
}
