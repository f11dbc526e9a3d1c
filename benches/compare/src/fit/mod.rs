//! The smallest heap in which a program runs: how much of its memory an allocator loses to rounding, to what it notes
//! about blocks, and to fragmentation.
//!
//! ```text
//! cargo run --release -p compare -- fit
//! cargo run --release -p compare -- fit --trace one.trace.zst --trace other.trace.zst
//! ```
//!
//! Each allocator gets one region, and one thread plays the trace in its recorded order with the recorded sizes and
//! alignments; reallocations are done in the allocator's own way. Ours has the cache of a thread as by default. The
//! region begins where a block of any size may begin, so that buddies don't lose by where it is.

mod allocators;
mod replay;
mod search;

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use indicatif::{HumanBytes, ProgressBar};
use recordings::{Region, Trace};

use self::allocators::{CONTENDERS, Contender};
use self::search::Found;
use crate::table::{markdown, number, turned};

/// Finds the smallest heap in which a program runs without a failed allocation
#[derive(Debug, Args)]
pub struct Options {
    /// Traces to play, plain or compressed with zstd [default: a run of sqlite3, built in]
    #[arg(long, value_name = "FILE")]
    trace: Vec<PathBuf>,
}

/// Heaps of more than this multiple of the most live bytes are not tried.
const MOST: usize = 16;

/// Finds all heaps and prints the table.
pub fn run(options: &Options, progress: &ProgressBar) -> Result<(), Box<dyn Error>> {
    find(&options.trace, progress)
}

/// Finds the heaps of these traces; without one, of that which is built in.
pub fn find(traces: &[PathBuf], progress: &ProgressBar) -> Result<(), Box<dyn Error>> {
    let traces = match traces {
        [] => vec![Trace::open(None)?],
        paths => paths.iter().map(|path| Trace::open(Some(path))).collect::<Result<_, _>>()?,
    };
    progress.set_length((traces.len() * CONTENDERS.len()) as u64);
    let rows = traces.iter().map(|trace| Row::find(trace, progress)).collect::<Result<Vec<_>, _>>()?;
    progress.finish_and_clear();
    println!(
        "The smallest heap in which a program runs, as a multiple of its most live bytes; one thread.\n\
         Brackets: some larger heaps fail; no heap from this size on does.\n\
         With tables: the tables of heapmaster, which lie outside of the heap, are added.\n\
         Heaps grow by 1 % from try to try, then by {} B.\n\n{}",
        search::STEP,
        table(&rows)
    );
    Ok(())
}

/// The result for one program.
#[derive(Debug)]
struct Row {
    program: String,
    /// Most live requested bytes.
    live: usize,
    /// Most bytes of live blocks, if each is a power of two of 64 bytes or more.
    rounded: usize,
    /// Of each contender, if one was found.
    heaps: Vec<Option<Found>>,
}

impl Row {
    fn find(trace: &Trace, progress: &ProgressBar) -> Result<Self, Box<dyn Error>> {
        let peak = trace.peak(64);
        let most = peak.live.max(1).checked_mul(MOST).ok_or("the trace has more live bytes than can be addressed")?;
        let region = Region::new(most).ok_or("there is no memory for the region")?;
        let program = trace.name();
        let heap_of = |contender: &Contender| {
            progress.set_message(format!("{program}, {}", contender.label));
            let heap = search::search(peak.live, most, |size| {
                // SAFETY: a part of the region, which outlives the allocator; the one before is gone.
                let mut allocator = unsafe { contender.make(region.base(), size) };
                replay::play(trace, &mut *allocator) == trace.events.len()
            });
            progress.inc(1);
            heap
        };
        let heaps = CONTENDERS.iter().map(heap_of).collect();
        Ok(Self { program: program.into(), live: peak.live, rounded: peak.held, heaps })
    }
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![vec![String::from("program"), String::from("most live"), String::from("in powers of two")]];
    for contender in CONTENDERS {
        lines[0].push(contender.label.into());
        if contender.min_block.is_some() {
            lines[0].push(format!("{}, with tables", contender.label));
        }
    }
    for row in rows {
        let multiple = |bytes: usize| number(Some(bytes as f64 / row.live as f64), 2);
        let mut line = vec![row.program.clone(), HumanBytes(row.live as u64).to_string(), multiple(row.rounded)];
        for (contender, heap) in CONTENDERS.iter().zip(&row.heaps) {
            line.push(match heap {
                Some(Found { smallest, sure }) if multiple(*smallest) != multiple(*sure) => {
                    format!("{} ({})", multiple(*smallest), multiple(*sure))
                }
                Some(Found { smallest, .. }) => multiple(*smallest),
                None => number(None, 2),
            });
            if contender.min_block.is_some() {
                let with_tables = heap.map(|heap| multiple(heap.smallest + contender.tables(heap.smallest)));
                line.push(with_tables.unwrap_or_else(|| number(None, 2)));
            }
        }
        lines.push(line);
    }
    markdown(&turned(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row_of(text: &str) -> Row {
        Row::find(&Trace::read(text.as_bytes()).unwrap(), &ProgressBar::hidden()).unwrap()
    }

    #[test]
    fn what_rounding_costs_is_found() {
        // Two blocks of 8 KiB for those who round to powers of two, and 10 000 bytes with a word or a few for others.
        let row = row_of("# program: two, and no more\na 0 0 5000\na 0 1 5000\nf 0 0\na 0 2 4000\n");
        assert_eq!((row.program.as_str(), row.live, row.rounded), ("two", 10_000, 16_384));
        let in_powers =
            |label: &str| label.starts_with("heapmaster") && !label.contains("eighths") || label.contains("buddy");
        let powers = |contender: &Contender| in_powers(contender.label);
        for (contender, heap) in CONTENDERS.iter().zip(&row.heaps) {
            let expected = if powers(contender) { 16_384 } else { 12_288 };
            assert_eq!(heap.map(|heap| heap.smallest), Some(expected), "{}", contender.label);
        }
    }

    #[test]
    fn every_contender_plays_alignments_and_resizings() {
        let row =
            row_of("a 0 0 9000\nz 0 1 100 64\nr 0 0 20000\na 0 2 0\nr 0 1 9\nr 0 1 3000\nf 0 0\na 0 3 8000 4096\n");
        assert!(row.heaps.iter().all(|heap| heap.is_some_and(|heap| heap.smallest >= row.live)), "{row:?}");
    }

    #[test]
    fn tables_are_for_ours_alone() {
        let found = |sure| Some(Found { smallest: 1 << 20, sure });
        // Of the four pools, and of the others.
        let heaps = [vec![found(1 << 20); 4], vec![found(5 << 18), None, found(1 << 20)]].concat();
        let text = table(&[Row { program: "p".into(), live: 1 << 20, rounded: 3 << 19, heaps }]);
        let cells: Vec<&str> = text.lines().map(|line| line.split('|').nth(2).unwrap().trim()).collect();
        let pools = ["1.00", "1.10", "1.00", "1.38", "1.00", "1.10", "1.00", "1.38"];
        let expected = [&["p", "1.00 MiB", "1.50"][..], &pools, &["1.00 (1.25)", "–", "1.00"]].concat();
        assert_eq!([&cells[..1], &cells[2..]].concat(), expected);
    }
}
