//! Figures of a sweeper.

use core::fmt;

use super::figures::figures;
use super::text::{Line, Pairs};

/// What a [`Sweeper`](crate::Sweeper) has done so far.
///
/// Printed, it is a line for a person, without the figures that are 0; [`log_line`](Self::log_line) is for logs.
///
/// # Examples
///
/// ```
/// use mempool::{MemoryPool, Sweeper};
///
/// static POOL: MemoryPool = MemoryPool::new();
///
/// let sweeper = Sweeper::spawn(&POOL)?;
/// assert!(sweeper.wait_for_pass());
/// assert!(sweeper.stats().passes >= 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct SweeperStats {
    /// Passes.
    pub passes: u64,
    /// Passes before their time, because an allocation had to sweep by itself.
    pub early: u64,
    /// Times that it came through all heaps of a pool, or through an allocator, with or without something to do.
    pub cycles: u64,
    /// Pairs of buddies that it merged.
    pub merges: u64,
    /// Bytes that it gave back to the operating system.
    #[cfg_attr(feature = "allocator", doc = "See [`SweeperBuilder::trim_after`](crate::SweeperBuilder::trim_after).")]
    pub trimmed: u64,
}

figures! { SweeperStats []
    Total passes, "heapmaster_sweeper_passes_total", "passes", "Passes of a sweeper.";
    Total early, "heapmaster_sweeper_early_passes_total", "of these early",
        "Passes of a sweeper because an allocation had to sweep by itself.";
    Total cycles, "heapmaster_sweeper_cycles_total", "cycles",
        "Times that a sweeper came through a pool or an allocator.";
    Total merges, "heapmaster_sweeper_merges_total", "merges", "Pairs of buddies that a sweeper merged.";
    TotalBytes trimmed, "heapmaster_sweeper_trimmed_bytes_total", "trimmed",
        "Bytes that a sweeper gave back to the operating system.";
}

impl SweeperStats {
    /// The figures in one line of `key=value` pairs ([logfmt](https://brandur.org/logfmt)), for a log that keeps them.
    ///
    /// All figures are there each time, in the same order. All of them only ever grow: their keys end with `_total`. No
    /// value has a space. Keys may be added in later versions.
    ///
    /// ```
    /// let line = mempool::SweeperStats::default().log_line().to_string();
    /// assert!(line.starts_with("sweeper_passes_total=0 sweeper_early_passes_total=0 "));
    /// ```
    pub fn log_line(&self) -> impl fmt::Display + '_ {
        Pairs(self)
    }
}

#[cfg(feature = "metrics")]
impl SweeperStats {
    /// Sets metrics to these figures, in the recorder of the program, or of the calling thread where it has one. The
    /// labels tell sweepers apart; `Vec::new()` for none. The figures are as old as `self`; see
    /// [`PoolStats::record`](crate::PoolStats::record).
    ///
    /// | counter | |
    /// |---|---|
    /// | `heapmaster_sweeper_passes_total` | passes |
    /// | `heapmaster_sweeper_early_passes_total` | of these, because an allocation had to sweep by itself |
    /// | `heapmaster_sweeper_cycles_total` | times that it came through a pool or an allocator |
    /// | `heapmaster_sweeper_merges_total` | pairs of buddies that it merged |
    /// | `heapmaster_sweeper_trimmed_bytes_total` | bytes that it gave back to the operating system |
    ///
    /// # Progress
    ///
    /// As the recorder. It allocates, from the global allocator.
    ///
    /// # Examples
    ///
    /// ```
    /// let sweeper = mempool::Sweeper::builder().spawn()?;
    /// mempool::describe_metrics(); // once
    /// sweeper.stats().record(&[("sweeper", "frames")]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn record(&self, labels: impl ::metrics::IntoLabels) {
        super::record::set(self, &labels.into_labels());
    }
}

impl fmt::Display for SweeperStats {
    /// One line, without the figures that are 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Line(self).fmt(f)
    }
}
