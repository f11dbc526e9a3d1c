//! Collections that have an allocator of their own, by the trait `Allocator` of `allocator-api2`: what a program does
//! that gives an allocator to some of its collections only.
//!
//! ```text
//! cargo run --release -p compare -- collections
//! cargo run --release -p compare -- collections --work map,tree --subject pool-allocator,bumpalo --against system
//! ```
//!
//! One thread builds collections and drops them, again and again. bumpalo is an arena: what is dropped in it is free
//! only when all is, so it is reset after each turn, when nothing is left; it can't be used where something stays.

mod allocators;
mod work;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use indicatif::ProgressBar;
use serde::Serialize;

use self::allocators::{CONTENDERS, Contender};
use self::work::Work;
use crate::measure::{Plan, interleave};
use crate::results::geometric_mean;
use crate::table::{markdown, number, turned};

/// Measures collections that have an allocator of their own, by the trait `Allocator`
#[derive(Debug, Args)]
pub struct Options {
    /// What is done [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_enum)]
    work: Vec<Work>,
    /// Allocators [default: all]; the one to compare with is always among them
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = keys())]
    subject: Vec<String>,
    /// The allocator to compare with
    #[arg(long, value_name = "NAME", value_parser = keys(), default_value = "mimalloc")]
    against: String,
    /// Rounds, the fastest of which counts
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 5)]
    rounds: u16,
    /// Milliseconds of a round
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..), default_value_t = 150)]
    round_ms: u16,
    /// Also writes everything into a file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn keys() -> PossibleValuesParser {
    PossibleValuesParser::new(CONTENDERS.iter().map(|contender| contender.key))
}

/// Measures all and prints the table.
pub fn run(options: &Options, progress: &ProgressBar) -> Result<(), Box<dyn Error>> {
    let results = Results::measure(options, progress);
    progress.finish_and_clear();
    let reference = results.reference();
    println!(
        "Time of an element of a collection, from its allocation to its release, with all that the\n\
         collection does: a multiple of {reference}'s, and {reference}'s in nanoseconds. Lower is faster.\n\
         Minimum of {} rounds, one allocator after the other in each round; one thread.\n\n{}",
        options.rounds,
        results.table()
    );
    if let Some(path) = &options.json {
        crate::write(path, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}

/// All that was measured.
#[derive(Debug, Serialize)]
struct Results {
    against: String,
    rows: Vec<Row>,
}

/// What was measured of one work.
#[derive(Debug, Serialize)]
struct Row {
    work: &'static str,
    cells: Vec<Cell>,
}

/// What was measured of one allocator at one work.
#[derive(Debug, Serialize)]
struct Cell {
    subject: &'static str,
    #[serde(skip)]
    label: &'static str,
    /// Nanoseconds of an element, of each round.
    rounds_ns: Vec<f64>,
}

impl Cell {
    fn min(&self) -> f64 {
        self.rounds_ns.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

impl Row {
    fn cell(&self, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.subject == subject)
    }

    fn ratio(&self, subject: &str, against: &str) -> Option<f64> {
        Some(self.cell(subject)?.min() / self.cell(against)?.min())
    }
}

impl Results {
    fn measure(options: &Options, progress: &ProgressBar) -> Self {
        let is_wanted = |contender: &&Contender| {
            let is_named = options.subject.is_empty() || options.subject.iter().any(|key| key == contender.key);
            is_named || contender.key == options.against
        };
        let contenders: Vec<&Contender> = CONTENDERS.iter().filter(is_wanted).collect();
        let mut works: Vec<Work> = options.work.clone();
        if works.is_empty() {
            works.extend(Work::all());
        }
        let rounds = usize::from(options.rounds);
        let plan = Plan::new(1, Duration::from_millis(options.round_ms.into()));
        progress.set_length((works.len() * contenders.len() * rounds) as u64);
        let row = |work: Work| {
            let figures = interleave(rounds, contenders.len(), |contender| {
                progress.set_message(format!("{}, {}", work.label(), contenders[contender].label));
                let figure = contenders[contender].round(work, &plan);
                progress.inc(1);
                figure
            });
            let cell = |(contender, rounds_ns): (&&Contender, Vec<f64>)| Cell {
                subject: contender.key,
                label: contender.label,
                rounds_ns,
            };
            Row { work: work.label(), cells: contenders.iter().zip(figures).map(cell).collect() }
        };
        Self { against: options.against.clone(), rows: works.into_iter().map(row).collect() }
    }

    /// All cells of a row but the reference's.
    fn others<'r>(&self, row: &'r Row) -> impl Iterator<Item = &'r Cell> {
        row.cells.iter().filter(|cell| cell.subject != self.against)
    }

    fn reference(&self) -> &str {
        let cell = self.rows.first().and_then(|row| row.cell(&self.against));
        cell.map_or(&self.against, |cell| cell.label)
    }

    fn table(&self) -> String {
        let Some(first) = self.rows.first() else { return String::new() };
        let mut lines = vec![vec![String::from("collections"), format!("{} (ns)", self.reference())]];
        lines[0].extend(self.others(first).map(|cell| cell.label.to_string()));
        for row in &self.rows {
            let mut line = vec![row.work.to_string(), number(row.cell(&self.against).map(Cell::min), 1)];
            line.extend(self.others(row).map(|cell| number(row.ratio(cell.subject, &self.against), 2)));
            lines.push(line);
        }
        let mean = |cell: &Cell| geometric_mean(self.rows.iter().map(|row| row.ratio(cell.subject, &self.against)));
        let mut line = vec![String::from("geometric mean"), String::new()];
        line.extend(self.others(first).map(|cell| number(mean(cell), 2)));
        lines.push(line);
        markdown(&turned(&lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_multiples_of_one() {
        let cell = |subject, label, rounds: &[f64]| Cell { subject, label, rounds_ns: rounds.into() };
        let row = |work, rounds: [&[f64]; 3]| Row {
            work,
            cells: vec![
                cell("a", "A", rounds[0]),
                cell("mimalloc", "Mi", rounds[1]),
                cell("system", "The system's", rounds[2]),
            ],
        };
        let rows = vec![
            row("lists", [&[2.0, 3.0], &[4.0, 5.0], &[8.0, 9.0]]),
            row("trees", [&[40.0, 41.0], &[20.0, 30.0], &[40.0, 50.0]]),
        ];
        assert_eq!(
            Results { against: "mimalloc".into(), rows }.table(),
            "| collections  | lists | trees | geometric mean |\n\
             |--------------|------:|------:|---------------:|\n\
             | Mi (ns)      |   4.0 |  20.0 |                |\n\
             | A            |  0.50 |  2.00 |           1.00 |\n\
             | The system's |  2.00 |  2.00 |           2.00 |"
        );
    }

    #[test]
    fn the_reference_is_always_measured_and_all_works_are() {
        let options = Options {
            work: Vec::new(),
            subject: vec!["bumpalo".into()],
            against: "system".into(),
            rounds: 2,
            round_ms: 1,
            json: None,
        };
        let results = Results::measure(&options, &ProgressBar::hidden());
        assert_eq!(results.rows.len(), Work::all().count());
        for row in &results.rows {
            assert_eq!(row.cells.iter().map(|cell| cell.subject).collect::<Vec<_>>(), ["system", "bumpalo"]);
            assert!(row.cells.iter().all(|cell| cell.rounds_ns.len() == 2 && cell.min() > 0.0), "{row:?}");
        }
    }
}
