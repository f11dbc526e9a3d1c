//! Figures as text: a report for a person, a line for a log.

use core::fmt::{self, Write};

use super::figures::{Figure, Figures, Value};
use super::{HeapStats, OrderStats, PoolStats, SweepReport};
use crate::units::{Bytes, Percent};

/// Cells of the bar of an order.
const BAR: u128 = 16;

impl PoolStats {
    /// The figures in one line of `key=value` pairs ([logfmt](https://brandur.org/logfmt)), for a log that keeps them.
    ///
    /// All figures are there each time, in the same order, with their unit in the key: `_bytes`, `_ratio`, and `_total`
    /// for what only ever grows. The last key is there if there are blocks: `orders` has the counts of each size as
    /// `SIZE:LIVE/CACHED/FREE`, with commas between. No value has a space. Keys may be added in later versions.
    ///
    /// ```
    /// # let pool = mempool::MemoryPool::builder().thread_cache(0).build()?;
    /// # #[repr(align(8192))]
    /// # struct Aligned([u8; 8192]);
    /// # let mut heap = Aligned([0; 8192]);
    /// # let heap = &mut heap.0;
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?; // 8 KiB, aligned to 8 KiB
    /// let block = pool.hl_alloc(2048);
    /// let line = pool.stats().log_line().to_string();
    /// assert!(line.starts_with("heaps=1 capacity_bytes=8192 live_bytes=2048 cached_bytes=0 free_bytes=6144 "));
    /// assert!(line.ends_with(" orders=2048:1/0/1,4096:0/0/1"));
    /// # assert!(!block.is_null());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn log_line(&self) -> impl fmt::Display + '_ {
        LogLine(self)
    }
}

struct LogLine<'a>(&'a PoolStats);

impl fmt::Display for LogLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(stats) = self;
        Pairs(*stats).fmt(f)?;
        for (number, OrderStats { block_size, free, cached, live, .. }) in stats.orders().enumerate() {
            f.write_str(if number == 0 { " orders=" } else { "," })?;
            write!(f, "{block_size}:{live}/{cached}/{free}")?;
        }
        Ok(())
    }
}

/// All figures as `key=value`.
pub(super) struct Pairs<'a, S>(pub(super) &'a S);

impl<S: Figures> fmt::Display for Pairs<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, figure) in S::FIGURES.iter().enumerate() {
            if number > 0 {
                f.write_char(' ')?;
            }
            let key = figure.key();
            match figure.value(self.0) {
                Value::Number(value) | Value::Bytes(value) => write!(f, "{key}={value}")?,
                Value::Ratio(value) => write!(f, "{key}={value:.4}")?,
            }
        }
        Ok(())
    }
}

/// The figures that are not 0 in a line for a person, with commas between.
pub(super) struct Line<'a, S>(pub(super) &'a S);

impl<S: Figures> fmt::Display for Line<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value_of = |figure: &Figure<S>| figure.value(self.0);
        for (number, figure) in S::FIGURES.iter().filter(|figure| !value_of(figure).is_zero()).enumerate() {
            if number > 0 {
                f.write_str(", ")?;
            }
            let label = figure.label;
            match value_of(figure) {
                Value::Number(value) => write!(f, "{label} {value}")?,
                Value::Bytes(value) => write!(f, "{label} {}", Bytes(value))?,
                Value::Ratio(value) => write!(f, "{label} {:.1} %", value * 100.0)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for PoolStats {
    /// A report for a person. It has a line for each figure that is not 0. Each size of which there are blocks has a
    /// line with a bar: live (`█`), cached (`c`) and free (`·`) blocks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.heaps == 1 { "" } else { "s" };
        write!(f, "{} heap{plural}, {}", self.heaps, Bytes(self.capacity as u64))?;
        let whole = self.capacity as u64;
        for figure in Self::FIGURES.iter().filter(|figure| !["heaps", "capacity"].contains(&figure.label)) {
            let label = figure.label;
            match figure.value(self) {
                value if value.is_zero() => {}
                Value::Number(value) => write!(f, "\n  {label:<22} {value:>12}")?,
                Value::Bytes(part) => {
                    let (bytes, share) = (Bytes(part), Percent { part, whole });
                    write!(f, "\n  {label:<22} {bytes:>12} {share:>8} {part:>16} B")?;
                }
                Value::Ratio(value) => write!(f, "\n  {label:<22} {:>12} {:>6.1} %", "", value * 100.0)?,
            }
        }
        if self.orders().next().is_some() {
            write!(f, "\n  {:>10} {:>10} {:>10} {:>10}", "block size", "live", "cached", "free")?;
        }
        for order in self.orders() {
            write!(f, "\n  {:>10}", Bytes(order.block_size as u64))?;
            for count in [order.live, order.cached, order.free] {
                match count {
                    0 => write!(f, " {:>10}", "-")?,
                    count => write!(f, " {count:>10}")?,
                }
            }
            f.write_str("  ")?;
            bar(f, &order)?;
        }
        Ok(())
    }
}

/// Draws of what kind the blocks of an order are.
fn bar(f: &mut fmt::Formatter<'_>, order: &OrderStats) -> fmt::Result {
    let parts = [(order.live, '█'), (order.cached, 'c'), (order.free, '·')];
    let whole: u128 = parts.iter().map(|(count, _)| *count as u128).sum();
    let (mut before, mut drawn) = (0, 0);
    for (count, character) in parts {
        before += count as u128;
        // Rounded to the nearest cell. The counts are below 2^64.
        let end = (2 * before * BAR + whole).checked_div(2 * whole).unwrap_or(0);
        for _ in drawn..end {
            f.write_char(character)?;
        }
        drawn = end;
    }
    Ok(())
}

impl fmt::Display for HeapStats {
    /// One line, without the figures that are 0; at its end what a better base would give, if there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.heap, Line(self))?;
        if self.is_misaligned() {
            let better = Bytes(self.largest_if_aligned as u64);
            write!(f, " (at a base that is a multiple of {better}: {better})")?;
        }
        Ok(())
    }
}

impl fmt::Display for SweepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, merges, stale_entries, largest_before, largest_after } = self;
        let [before, after] = [largest_before, largest_after].map(|bytes| Bytes(*bytes as u64));
        write!(
            f,
            "{blocks} blocks visited, {merges} merges, {stale_entries} stale entries dropped, largest free block {before} \
             before and {after} after"
        )
    }
}
