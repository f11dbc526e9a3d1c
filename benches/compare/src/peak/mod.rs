//! How much memory a program has resident at most, with each of the general allocators.
//!
//! ```text
//! cargo run --release -p compare -- peak
//! cargo run --release -p compare -- peak --trace one.trace.zst --trace other.trace.zst --subject pool-allocator
//! ```
//!
//! Each figure is of a process of its own, in which nothing but the replay of one trace with one allocator happens,
//! by as many threads as the program had: see [`stage`]. What the replay itself needs is resident before: the calls,
//! the table of live blocks, the stacks of all threads, and the files that are mapped. Every block is written to at
//! its first and its last byte, and at the first byte of every page that begins in it, so what is resident is what
//! would be in a program that uses its blocks. What an allocator took before `main` counts, if it goes on using it;
//! its static variables don't, as far as they were written to by then. What is live at the end of a trace stays so.
//!
//! The time is the processor's for the calls and what they write, without changes of thread and exits. Most of it is
//! for pages that come in, since every process begins with none. Each call goes through `GlobalAlloc` with a layout
//! that the compiler does not know.

mod blocks;
mod part;
mod resident;
mod script;
mod stage;
mod threads;

use std::error::Error;
use std::ffi::OsStr;
use std::io::{BufWriter, ErrorKind};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;
use clap::builder::PossibleValuesParser;
use indicatif::{HumanBytes, ProgressBar};
use recordings::Trace;
use serde::Serialize;

use self::part::{CONTENDERS, Report};
use self::script::Script;
use crate::subjects::ALL;
use crate::table::{markdown, number};

/// Measures the most resident memory of a program, each allocator in a process of its own
#[derive(Debug, Args)]
pub struct Options {
    /// Traces to play, plain or compressed with zstd [default: a run of sqlite3, built in]
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
    /// Allocators [default: all]; the one to compare times with is always among them
    #[arg(long, value_name = "NAMES", value_delimiter = ',',
          value_parser = PossibleValuesParser::new(CONTENDERS.iter().map(|contender| contender.key)))]
    subject: Vec<String>,
    /// Processes for each allocator; their shortest time counts, and their largest peak
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 5)]
    rounds: u16,
    /// Also writes everything into a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The subject that times are compared with.
const AGAINST: &str = "mimalloc";
/// The first argument of a process that is measured; the second is the allocator. It has no other arguments, and looks
/// at these without help: what an option parser leaves behind would be in the way.
const PART: &str = "peak-part";

/// Does what this process was started for, if it is one that is measured.
pub fn part() -> Option<Result<(), Box<dyn Error>>> {
    let mut arguments = std::env::args_os().skip(1);
    (arguments.next()? == PART).then(|| part::run(arguments.next().as_deref().and_then(OsStr::to_str).unwrap_or("")))
}

/// Measures all and prints the tables.
pub fn run(options: &Options, progress: &ProgressBar) -> Result<(), Box<dyn Error>> {
    let traces = match options.trace.as_slice() {
        [] => vec![Trace::open(None)?],
        paths => paths.iter().map(|path| Trace::open(Some(path))).collect::<Result<_, _>>()?,
    };
    let keys: Vec<&'static str> = CONTENDERS.iter().map(|contender| contender.key).collect();
    let is_wanted =
        |key: &&str| options.subject.is_empty() || *key == AGAINST || options.subject.iter().any(|k| k == key);
    let keys: Vec<&'static str> = keys.into_iter().filter(is_wanted).collect();
    progress.set_length((traces.len() * keys.len() * usize::from(options.rounds)) as u64);
    let mut programs = Vec::new();
    for trace in &traces {
        programs.push(Program::measure(trace, &keys, options.rounds, progress)?);
    }
    progress.finish_and_clear();
    println!(
        "Peak: the most resident memory that a program's allocations bring, as a multiple of its most\n\
         live requested bytes, and in bytes. Metadata: its resident bytes at that moment, in percent of\n\
         the heap's. Time: of an event, as a multiple of {AGAINST}'s, and in nanoseconds. Of {} processes\n\
         each, the table has the largest peak and the shortest time.",
        options.rounds
    );
    for program in &programs {
        println!("\n### {}\n\n{}", program.heading(), program.table());
        if let Some(huge) = program.huge() {
            println!("\n{huge}");
        }
    }
    if programs.iter().flat_map(|program| &program.rows).any(|row| !row.exact) {
        println!("\nThe kernel did not keep the peaks, so they are the most that was seen in between.");
    }
    if let Some(path) = &options.json {
        crate::write(path, serde_json::to_string_pretty(&programs)?)?;
    }
    Ok(())
}

/// The measurements of one program.
#[derive(Debug, Serialize)]
struct Program {
    program: String,
    events: usize,
    threads: usize,
    /// Most live requested bytes.
    live: u64,
    rows: Vec<Row>,
}

/// The measurements of one allocator.
#[derive(Debug, Serialize)]
struct Row {
    subject: &'static str,
    /// Most resident bytes.
    peak: u64,
    /// The same of the mapping that it has everything in.
    mapping: Option<u64>,
    /// Those of them that are metadata.
    metadata: Option<u64>,
    /// Most bytes in huge pages.
    huge: u64,
    seconds: f64,
    exact: bool,
    rounds: Vec<Report>,
}

impl Program {
    fn measure(
        trace: &Trace,
        keys: &[&'static str],
        rounds: u16,
        progress: &ProgressBar,
    ) -> Result<Self, Box<dyn Error>> {
        let script = Script::new(trace);
        let mut reports = vec![Vec::new(); keys.len()];
        for _ in 0..rounds {
            // One after the other, so that a machine that is slow for a while is slow for all.
            for (key, reports) in keys.iter().zip(&mut reports) {
                progress.set_message(format!("{}, {key}", trace.name()));
                reports.push(measure(&script, key).map_err(|error| format!("{key}: {error}"))?);
                progress.inc(1);
            }
        }
        let row = |(key, rounds): (&&'static str, Vec<Report>)| {
            let (mapping, metadata) = rounds.iter().map(|report| (report.mapping, report.metadata)).max().unzip();
            Row {
                subject: key,
                peak: rounds.iter().map(|report| report.peak).max().unwrap_or(0),
                mapping: mapping.flatten(),
                metadata: metadata.flatten(),
                huge: rounds.iter().map(|report| report.huge).max().unwrap_or(0),
                seconds: rounds.iter().map(|report| report.seconds).fold(f64::INFINITY, f64::min),
                exact: rounds.iter().all(|report| report.exact),
                rounds,
            }
        };
        Ok(Self {
            program: trace.program.clone(),
            events: script.calls.len(),
            threads: script.threads,
            live: script.live,
            rows: keys.iter().zip(reports).map(row).collect(),
        })
    }

    fn heading(&self) -> String {
        let Self { program, events, threads, live, .. } = self;
        let threads = if *threads == 1 { String::from("1 thread") } else { format!("{threads} threads") };
        format!("{program}: {events} events of {threads}, {} live", HumanBytes(*live))
    }

    /// The allocators that have huge pages. A huge page is resident as a whole, which raises the peak.
    fn huge(&self) -> Option<String> {
        let with = |row: &&Row| row.huge > 0;
        let part = |row: &Row| format!("{} {}", row.label(), HumanBytes(row.huge));
        let parts: Vec<String> = self.rows.iter().filter(with).map(part).collect();
        (!parts.is_empty()).then(|| format!("In huge pages: {}.", parts.join(", ")))
    }

    fn table(&self) -> String {
        let reference = self.rows.iter().find(|row| row.subject == AGAINST).map(|row| row.seconds);
        let heading = ["allocator", "peak", "peak (bytes)", "metadata", "time", "time (ns)"];
        let mut lines = vec![heading.map(String::from).to_vec()];
        let multiple = |bytes: u64| number(Some(bytes as f64 / self.live.max(1) as f64), 3);
        for row in &self.rows {
            let label = row.label();
            lines.push(vec![
                label.into(),
                multiple(row.peak),
                row.peak.to_string(),
                String::new(),
                number(reference.map(|reference| row.seconds / reference), 2),
                number(Some(row.seconds * 1e9 / self.events.max(1) as f64), 1),
            ]);
            if let Some(mapping) = row.mapping {
                let label = format!("{label}, its mapping alone");
                let metadata = row.metadata.map_or_else(String::new, |metadata| {
                    format!("{} %", number(Some(metadata as f64 * 100.0 / (mapping - metadata).max(1) as f64), 1))
                });
                let empty = String::new;
                lines.push(vec![label, multiple(mapping), mapping.to_string(), metadata, empty(), empty()]);
            }
        }
        markdown(&lines)
    }
}

impl Row {
    fn label(&self) -> &'static str {
        ALL.iter().find(|entry| entry.key == self.subject).map_or(self.subject, |entry| entry.label)
    }
}

/// One process.
fn measure(script: &Script, key: &str) -> Result<Report, Box<dyn Error>> {
    let program = std::env::current_exe()?;
    let mut child = Command::new(program).args([PART, key]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut pipe = BufWriter::with_capacity(1 << 16, child.stdin.take().ok_or("there is no pipe")?);
    let written = script.write(&mut pipe).and_then(|()| pipe.into_inner().map_err(Into::into));
    // A process that ends early says why.
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        written => drop(written),
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("its process ended with {}", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The end of the process, whose threads wait for each other.
fn fail(what: &str) -> ! {
    eprintln!("error: {what}");
    std::process::exit(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(subject: &'static str, peak: u64, seconds: f64) -> Row {
        Row { subject, peak, mapping: None, metadata: None, huge: 0, seconds, exact: true, rounds: Vec::new() }
    }

    #[test]
    fn the_table_has_multiples_of_what_is_live_and_of_the_time_of_one() {
        let pool = Row { mapping: Some(1250), metadata: Some(50), ..row("pool-allocator", 1300, 3e-6) };
        let other = Row { huge: 2 << 20, ..row("mimalloc", 2000, 2e-6) };
        let program = Program { program: "a, b".into(), events: 100, threads: 1, live: 1000, rows: vec![pool, other] };
        assert_eq!(program.heading(), "a, b: 100 events of 1 thread, 1000 B live");
        assert_eq!(
            program.table(),
            "| allocator                        |  peak | peak (bytes) | metadata | time | time (ns) |\n\
             |----------------------------------|------:|-------------:|---------:|-----:|----------:|\n\
             | PoolAllocator                    | 1.300 |         1300 |          | 1.50 |      30.0 |\n\
             | PoolAllocator, its mapping alone | 1.250 |         1250 |    4.2 % |      |           |\n\
             | mimalloc                         | 2.000 |         2000 |          | 1.00 |      20.0 |"
        );
        assert_eq!(program.huge().unwrap(), "In huge pages: mimalloc 2.00 MiB.");
    }

    #[test]
    fn every_contender_is_a_subject() {
        assert!(CONTENDERS.iter().all(|contender| ALL.iter().any(|entry| entry.key == contender.key)));
        assert!(CONTENDERS.iter().any(|contender| contender.key == AGAINST));
    }
}
