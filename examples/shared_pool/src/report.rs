//! The report for the person who runs the replay.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use indicatif::{HumanBytes, HumanCount};
use mempool::{Block, BlockState, MemoryPool, PoolStats, SweepReport};
use recordings::{Peak, Trace};

use crate::replay::{Replay, Sum};

/// Columns and rows of the picture at the peak.
const PICTURE: (usize, usize) = (64, 16);
/// Rows of the picture at the end, which should be all alike.
const FEW_ROWS: usize = 4;

/// How to write: with colours and bold type, or plain.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colored: bool,
}

impl Style {
    /// With colours if standard output is a terminal and `NO_COLOR` is not set (<https://no-color.org>).
    pub fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colored: io::stdout().is_terminal() && !refused }
    }

    fn paint(self, escape: &'static str, text: impl fmt::Display) -> String {
        if self.colored { format!("\x1b[{escape}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn heading(self, text: impl fmt::Display) -> String {
        self.paint("1", text)
    }

    fn verdict(self, good: bool, text: impl fmt::Display) -> String {
        self.paint(if good { "32" } else { "1;31" }, text)
    }

    fn row(self, name: &str, value: impl fmt::Display) -> String {
        format!("  {name:<24}{value}")
    }
}

/// The replay that is about to begin.
#[derive(Debug)]
pub struct Plan<'a> {
    pub trace: &'a Trace,
    pub peak: Peak,
    pub threads: u32,
    pub handed_over: u32,
    pub heap: usize,
    pub min_block: usize,
}

impl Plan<'_> {
    pub fn print(&self, style: Style, out: &mut impl Write) -> io::Result<()> {
        let Self { trace, peak, threads, handed_over, heap, min_block } = self;
        writeln!(
            out,
            "{}",
            style.heading("The memory of a real program, replayed through one pool by several threads")
        )?;
        writeln!(out, "{}", style.row("program", &trace.program))?;
        let events = HumanCount(trace.events.len() as u64);
        let objects = HumanCount(trace.objects as u64);
        let live = HumanBytes(peak.live as u64);
        writeln!(
            out,
            "{}",
            style.row("trace", format_args!("{events} events, {objects} objects, at most {live} live"))
        )?;
        let handing = match threads {
            1 => String::from("with nobody to hand objects over to"),
            _ => format!("each plays all of it; up to {handed_over} % of its objects are released by the next one"),
        };
        writeln!(out, "{}", style.row("threads", format_args!("{threads}, {handing}")))?;
        let heap = HumanBytes(*heap as u64);
        writeln!(out, "{}", style.row("heap", format_args!("{heap} in blocks from {min_block} B on\n")))
    }
}

/// The pool when all threads were at the peak of the trace.
#[derive(Debug)]
pub struct AtPeak {
    live: usize,
    held: usize,
    stats: PoolStats,
    picture: String,
    colored: String,
}

impl AtPeak {
    /// Looks at the pool while no thread is playing.
    pub fn look(pool: &MemoryPool, replay: &Replay<'_>) -> Self {
        let (live, held) = replay.now();
        let text = pool.heap_map().text(PICTURE.0, PICTURE.1);
        let (picture, colored) = (text.to_string(), text.colored(true).to_string());
        Self { live, held, stats: pool.stats(), picture, colored }
    }

    /// Does the pool count as live what the threads have?
    pub fn is_consistent(&self) -> bool {
        self.stats.live == self.held
    }
}

/// The pool when all was released and swept.
#[derive(Debug)]
pub struct AtEnd<'a> {
    pool: &'a MemoryPool,
    swept: SweepReport,
    blocks: Vec<Block>,
    heap: usize,
}

impl<'a> AtEnd<'a> {
    /// Sweeps the pool and looks at it.
    pub fn look(pool: &'a MemoryPool, heap: usize) -> Self {
        let swept = pool.sweep();
        Self { pool, swept, blocks: pool.heap_map().collect(), heap }
    }

    /// Is everything free, and merged as far as can be?
    pub fn is_whole(&self) -> bool {
        let free = self.blocks.iter().all(|block| block.state == BlockState::Free);
        free && (!self.heap.is_power_of_two() || self.blocks.len() == 1)
    }
}

/// Prints the figures and the pictures.
pub fn print(
    style: Style,
    out: &mut impl Write,
    replay: &Replay<'_>,
    at_peak: &AtPeak,
    at_end: &AtEnd<'_>,
) -> io::Result<()> {
    let tally = replay.tally();
    let rate = tally.operations as f64 / replay.elapsed.as_secs_f64() / 1e6;
    let exact = HumanBytes((replay.threads() * Sum::STEP) as u64);
    let (live, held) = replay.peaks();
    let internal = 100.0 * (1.0 - at_peak.live as f64 / at_peak.held.max(1) as f64);
    let external = 100.0 * at_peak.stats.external_fragmentation();
    let stats = at_end.pool.stats();
    // A reallocation that moves is an allocation and a release; one in place is neither.
    let pools = HumanCount(tally.operations - tally.resized_in_place + tally.moved);
    let served = HumanCount(stats.cache_allocations + stats.cache_releases);
    let share = 100.0 * served.0 as f64 / pools.0.max(1) as f64;
    let row = |name, value: fmt::Arguments<'_>| style.row(name, value);

    writeln!(out, "{}", style.heading("Result"))?;
    let lines = [
        row(
            "operations",
            format_args!(
                "{} in {:.3} s, with all blocks written and checked",
                HumanCount(tally.operations),
                replay.elapsed.as_secs_f64()
            ),
        ),
        row("operations per second", format_args!("{rate:.2} million")),
        row("reallocations", format_args!("{} in place, {} moved", tally.resized_in_place, tally.moved)),
        row("handed over", format_args!("{} blocks released by another thread", HumanCount(tally.handed_over))),
        row("served by caches", format_args!("{served} of the pool's {pools}, {share:.2} %")),
        row("peak live", format_args!("{} requested (to within {exact})", HumanBytes(live as u64))),
        row("peak held", format_args!("{} in blocks (to within {exact})", HumanBytes(held as u64))),
        row("internal fragmentation", format_args!("{internal:.1} % of the bytes held at the peak")),
        row("external fragmentation", format_args!("{external:.1} % of the bytes free at the peak")),
        row("patterns checked", format_args!("{}", HumanCount(tally.checks))),
        row("faults", format_args!("{}", style.verdict(tally.faults == 0, tally.faults))),
        row("failures", format_args!("{}", style.verdict(tally.failures == 0, tally.failures))),
    ];
    for line in lines {
        writeln!(out, "{line}")?;
    }
    if let Some(fault) = &tally.first_fault {
        writeln!(out, "{}", style.row("first fault", style.verdict(false, fault)))?;
    }
    if let Some(failure) = &tally.first_failure {
        writeln!(out, "{}", style.row("first failure", style.verdict(false, failure)))?;
    }
    if !at_peak.is_consistent() {
        let (pool, threads) = (at_peak.stats.live, at_peak.held);
        let text = format!("the pool counts {pool} B as live at the peak, the threads have {threads} B");
        writeln!(out, "{}", style.row("", style.verdict(false, text)))?;
    }

    writeln!(out, "\n{}", style.heading("The heap at the peak: every thread has its most live bytes"))?;
    writeln!(out, "{}", if style.colored { &at_peak.colored } else { &at_peak.picture })?;
    print_orders(style, out, &at_peak.stats)?;

    writeln!(out, "\n{}", style.heading("The heap when everything was released and swept"))?;
    writeln!(out, "{}", at_end.pool.heap_map().text(PICTURE.0, FEW_ROWS).colored(style.colored))?;
    writeln!(out, "{}", style.row("sweep", at_end.swept))?;
    let of = match at_end.blocks.as_slice() {
        [only] => format!("1, of {}", HumanBytes(only.size as u64)),
        several if at_end.heap.is_power_of_two() => several.len().to_string(),
        several => format!("{}; the size of the heap is no power of two", several.len()),
    };
    let verdict = if at_end.is_whole() { "all free, merged as far as can be" } else { "not as they should be" };
    writeln!(out, "{}", style.row("blocks left", style.verdict(at_end.is_whole(), format_args!("{of}: {verdict}"))))
}

/// A line for each size of which there are blocks.
fn print_orders(style: Style, out: &mut impl Write, stats: &PoolStats) -> io::Result<()> {
    let heading = format!("  {:>12} {:>12} {:>12} {:>12}", "block size", "live", "cached", "free");
    writeln!(out, "{}", style.heading(heading))?;
    for order in stats.orders() {
        let [live, cached, free] = [order.live, order.cached, order.free].map(|count| match count {
            0 => String::from("-"),
            count => HumanCount(count as u64).to_string(),
        });
        let size = HumanBytes(order.block_size as u64).to_string();
        writeln!(out, "  {size:>12} {live:>12} {cached:>12} {free:>12}")?;
    }
    Ok(())
}
