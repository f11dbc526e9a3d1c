//! Large blocks in a fragmented heap: pairs of them beside 25 000 free blocks of 4 KiB, each between two live ones.
//!
//! ```text
//! cargo run --release -p compare -- fragmented
//! ```

use std::fmt;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use indicatif::ProgressBar;

use crate::measure::{self, Plan, interleave};
use crate::results::geometric_mean;
use crate::subject::Subject;
use crate::subjects::{ALL, Entry, Measured};
use crate::table::{markdown, number};

/// Measures pairs of large blocks beside many free small ones
#[derive(Debug, Args)]
pub struct Options {
    /// Allocators [default: both of ours and the best known]; the one to compare with is always among them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = keys())]
    subject: Vec<String>,
    /// The allocator to compare with
    #[arg(long, value_name = "NAME", value_parser = keys(), default_value = "mimalloc")]
    against: String,
    /// Rounds, the fastest of which counts
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 40)]
    rounds: u16,
    /// Milliseconds of a round: short ones, some of which nothing disturbs
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 2)]
    round_ms: u16,
}

/// All but those that never merge what was released.
fn entries() -> impl Iterator<Item = &'static Entry> {
    ALL.iter().filter(|entry| !entry.key.starts_with("limit"))
}

fn keys() -> PossibleValuesParser {
    PossibleValuesParser::new(entries().map(|entry| entry.key))
}

/// Bytes of the small blocks.
const SMALL: u32 = 4096;
/// Half of them are live.
const SMALL_BLOCKS: usize = 50_000;

/// A workload: sizes of the blocks, one after the other.
#[derive(Clone, Copy, Debug)]
struct Pairs {
    kib: u32,
    /// Four sizes in turn: 1, 5/4, 1 and 3/2 times `kib` KiB. Else the same one each time.
    turns: bool,
}

impl Pairs {
    fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|turns| [68, 256, 1024, 4096, 16384].map(|kib| Self { kib, turns }))
    }

    fn sizes(self) -> [u32; 4] {
        let quarters = if self.turns { [4, 5, 4, 6] } else { [4; 4] };
        quarters.map(|quarters| self.kib * 256 * quarters)
    }

    /// Four pairs. Nobody touches the blocks.
    fn turn(self, subject: &dyn Subject) -> u64 {
        for size in self.sizes() {
            let block = subject.alloc(size);
            assert!(!block.is_null(), "an allocation of {size} bytes failed");
            // SAFETY: it was just allocated with that size, and nobody uses it.
            unsafe { subject.release(block, size) };
        }
        4
    }
}

impl fmt::Display for Pairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kib, turns } = self;
        write!(f, "{kib} KiB{}", if *turns { ", sizes in turn" } else { "" })
    }
}

/// Measures all and prints the table.
pub fn run(options: &Options, progress: &ProgressBar) {
    let results = Results::measure(options, SMALL_BLOCKS, progress);
    progress.finish_and_clear();
    println!(
        "Time of a pair of one large block, untouched, beside {} free blocks of {SMALL} bytes: a multiple of\n\
         the first allocator's, whose time is in nanoseconds. In turn: 1, 5/4, 1 and 3/2 times the size.\n\
         Minimum of {} rounds, one allocator after the other in each round; one thread.\n\n{}",
        SMALL_BLOCKS / 2,
        options.rounds,
        results.table()
    );
}

/// All that was measured.
#[derive(Debug)]
struct Results {
    /// The first is the one to compare with.
    labels: Vec<&'static str>,
    /// For each workload the nanoseconds of a pair of each allocator.
    rows: Vec<(Pairs, Vec<f64>)>,
}

impl Results {
    fn measure(options: &Options, small: usize, progress: &ProgressBar) -> Self {
        let is_asked = |entry: &&Entry| match options.subject.as_slice() {
            [] => entry.is_main,
            keys => keys.iter().any(|key| key == entry.key),
        };
        let is_first = |entry: &&Entry| entry.key == options.against;
        let others = entries().filter(|entry| is_asked(entry) && !is_first(entry));
        let entries: Vec<&Entry> = entries().filter(is_first).chain(others).collect();
        let subjects: Vec<Box<dyn Measured>> = entries.iter().map(|entry| entry.make()).collect();
        let live: Vec<_> = subjects.iter().map(|subject| fragment(&**subject, small)).collect();
        let (rounds, plan) = (options.rounds.into(), Plan::new(1, Duration::from_millis(options.round_ms.into())));
        progress.set_length((Pairs::all().count() * rounds * subjects.len()) as u64);
        let row = |pairs: Pairs| {
            let figures = interleave(rounds, subjects.len(), |place| {
                progress.set_message(format!("{pairs}, {}", entries[place].label));
                progress.inc(1);
                measure::alone(&plan, || pairs.turn(&*subjects[place]))
            });
            (pairs, figures.into_iter().map(|rounds| rounds.into_iter().fold(f64::INFINITY, f64::min)).collect())
        };
        let results =
            Self { labels: entries.iter().map(|entry| entry.label).collect(), rows: Pairs::all().map(row).collect() };
        for (subject, live) in subjects.iter().zip(live) {
            // SAFETY: `fragment` allocated them with that size, and nobody uses them.
            live.into_iter().for_each(|block| unsafe { subject.release(block, SMALL) });
        }
        results
    }

    fn table(&self) -> String {
        let mut heading = vec![String::from("size"), format!("{} (ns)", self.labels[0])];
        heading.extend(self.labels.iter().skip(1).map(|label| label.to_string()));
        let mut lines = vec![heading];
        for (pairs, figures) in &self.rows {
            let ratios = figures.iter().skip(1).map(|figure| number(Some(figure / figures[0]), 2));
            lines.push([pairs.to_string(), number(Some(figures[0]), 1)].into_iter().chain(ratios).collect());
        }
        let mean =
            |place: usize| geometric_mean(self.rows.iter().map(|(_, figures)| Some(figures[place] / figures[0])));
        let means = (1..self.labels.len()).map(|place| number(mean(place), 2));
        lines.push([String::from("geometric mean"), String::new()].into_iter().chain(means).collect());
        markdown(&lines)
    }
}

/// Allocates `small` small blocks, writes to each, and releases each second one. Returns the others.
fn fragment(subject: &dyn Subject, small: usize) -> Vec<*mut u8> {
    let block = |_| {
        let block = subject.alloc(SMALL);
        assert!(!block.is_null(), "an allocation of {SMALL} bytes failed");
        // SAFETY: a block of that length, which nobody else has.
        unsafe { block.write(1) };
        block
    };
    let mut blocks: Vec<_> = (0..small).map(block).collect();
    blocks.sort_unstable();
    for freed in blocks.iter().step_by(2) {
        // SAFETY: it was just allocated with that size, and is used no more.
        unsafe { subject.release(*freed, SMALL) };
    }
    blocks.into_iter().skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_multiples_of_the_first() {
        let row = |kib, turns, figures: [f64; 2]| (Pairs { kib, turns }, figures.into());
        let rows = vec![row(68, false, [10.0, 20.0]), row(68, true, [40.0, 20.0])];
        assert_eq!(
            Results { labels: vec!["A", "B"], rows }.table(),
            "| size                  | A (ns) |    B |\n\
             |-----------------------|-------:|-----:|\n\
             | 68 KiB                |   10.0 | 2.00 |\n\
             | 68 KiB, sizes in turn |   40.0 | 0.50 |\n\
             | geometric mean        |        | 1.00 |"
        );
    }

    #[test]
    fn each_allocator_has_a_figure_of_each_workload() {
        let options =
            Options { subject: vec!["pool-allocator".into()], against: "system".into(), rounds: 2, round_ms: 1 };
        let results = Results::measure(&options, 100, &ProgressBar::hidden());
        assert_eq!(results.labels, ["system", "PoolAllocator"]);
        assert_eq!(results.rows.len(), 10);
        assert!(results.rows.iter().all(|(_, figures)| figures.len() == 2 && figures.iter().all(|ns| *ns > 0.0)));
    }
}
