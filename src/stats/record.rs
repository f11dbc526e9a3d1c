//! Figures as metrics of the `metrics` facade. Whoever has the figures says when; nothing here is on the path of an
//! allocation.

extern crate std;

use std::string::ToString;
use std::vec::Vec;

use ::metrics::{IntoLabels, Key, Label, Level, Metadata, Recorder, Unit, with_recorder};

use super::figures::{Figures, Of};
use super::{HeapStats, PoolStats};

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, Some(module_path!()));

/// Blocks by size and state.
const BLOCKS: (&str, &str) = ("heapmaster_blocks", "Blocks of one size in one state.");

fn gauge(recorder: &dyn Recorder, name: &'static str, labels: Vec<Label>, value: f64) {
    recorder.register_gauge(&Key::from_parts(name, labels), &METADATA).set(value);
}

/// Sets the metrics of all figures of `stats`.
pub(super) fn set<S: Figures>(stats: &S, labels: &[Label]) {
    with_recorder(|recorder| {
        for figure in S::FIGURES {
            let (name, labels) = (figure.name, labels.to_vec());
            match figure.of {
                Of::Count(of) | Of::Bytes(of) => gauge(recorder, name, labels, of(stats) as f64),
                Of::Ratio(of) => gauge(recorder, name, labels, of(stats)),
                Of::Total(of) | Of::TotalBytes(of) => {
                    recorder.register_counter(&Key::from_parts(name, labels), &METADATA).absolute(of(stats));
                }
            }
        }
    });
}

/// Says what the figures of `S` are.
fn describe<S: Figures>(recorder: &dyn Recorder) {
    for figure in S::FIGURES {
        let (name, description) = (figure.name.into(), figure.description.into());
        match figure.of {
            Of::Bytes(_) => recorder.describe_gauge(name, Some(Unit::Bytes), description),
            Of::Count(_) => recorder.describe_gauge(name, Some(Unit::Count), description),
            Of::Ratio(_) => recorder.describe_gauge(name, None, description),
            Of::Total(_) => recorder.describe_counter(name, Some(Unit::Count), description),
            Of::TotalBytes(_) => recorder.describe_counter(name, Some(Unit::Bytes), description),
        }
    }
}

impl PoolStats {
    /// Sets metrics to these figures, in the recorder of the program, or of the calling thread where it has one. The
    /// labels tell pools apart; `Vec::new()` for none.
    ///
    /// The figures are as old as `self`: a program calls this now and then, for instance before it is scraped. Counters
    /// never go back, so older figures don't change them.
    ///
    /// | gauge | |
    /// |---|---|
    /// | `heapmaster_heaps` | heaps |
    /// | `heapmaster_capacity_bytes` | bytes in blocks, of whatever state |
    /// | `heapmaster_live_bytes` | bytes of blocks with the user |
    /// | `heapmaster_cached_bytes` | bytes of blocks in caches |
    /// | `heapmaster_free_bytes` | bytes of free blocks |
    /// | `heapmaster_in_transit_bytes` | bytes of blocks being split, merged or resized |
    /// | `heapmaster_largest_free_bytes` | the largest block that merging forms of what is free |
    /// | `heapmaster_largest_possible_bytes` | the largest block that a heap forms when all of it is free |
    /// | `heapmaster_misaligned_heaps` | heaps whose base keeps them from forming a block twice as large |
    /// | `heapmaster_external_fragmentation_ratio` | 1 − largest free block / free bytes |
    /// | `heapmaster_caches` | threads that have a cache, or left one |
    /// | `heapmaster_cache_tables_bytes` | bytes of the tables of caches, without their blocks |
    /// | `heapmaster_biased_sizes` | sizes of caches whose blocks their threads release without a locked operation |
    ///
    /// | counter | |
    /// |---|---|
    /// | `heapmaster_cache_allocations_total` | allocations that caches served |
    /// | `heapmaster_cache_releases_total` | releases that caches took |
    /// | `heapmaster_cache_sent_blocks_total` | of these, blocks that went back to another thread's cache |
    /// | `heapmaster_cache_refilled_blocks_total` | blocks that caches took in for allocations |
    /// | `heapmaster_cache_flushed_blocks_total` | blocks that caches gave away |
    /// | `heapmaster_heap_allocations_total` | allocations that went past a thread's cache |
    /// | `heapmaster_heap_releases_total` | releases that went past a thread's cache |
    /// | `heapmaster_heavy_fences_total` | fences for all threads of the process at once |
    /// | `heapmaster_refused_fences_total` | 1 where the system refused such a fence |
    /// | `heapmaster_failures_total` | allocations that failed |
    /// | `heapmaster_searches_total` | allocations that the free stacks could not serve |
    /// | `heapmaster_sweeps_total` | sweeps |
    /// | `heapmaster_merges_total` | pairs of buddies that were merged |
    ///
    /// # Progress
    ///
    /// As the recorder. It allocates, from the global allocator.
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// mempool::describe_metrics(); // once
    /// pool.stats().record(&[("pool", "frames")]);
    /// ```
    pub fn record(&self, labels: impl IntoLabels) {
        set(self, &labels.into_labels());
    }

    /// Sets the gauges `heapmaster_blocks` to the numbers of blocks, with the labels `block_size`, in bytes, and
    /// `state`: `live`, `cached` or `free`, besides those that are given. That is up to 96 of them, for the sizes
    /// that a pool can have; sizes without blocks are 0.
    ///
    /// # Progress
    ///
    /// As [`record`](Self::record).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// pool.stats().record_orders(&[("pool", "frames")]);
    /// ```
    pub fn record_orders(&self, labels: impl IntoLabels) {
        let labels = labels.into_labels();
        with_recorder(|recorder| {
            // Sizes that a `usize` can't count have no blocks, nor have those of which nothing was read.
            for order in self.orders.0.iter().filter(|order| order.block_size.is_power_of_two()) {
                let size = Label::new("block_size", order.block_size.to_string());
                for (state, count) in [("live", order.live), ("cached", order.cached), ("free", order.free)] {
                    let mut labels = labels.clone();
                    labels.extend([size.clone(), Label::from_static_parts("state", state)]);
                    gauge(recorder, BLOCKS.0, labels, count as f64);
                }
            }
        });
    }
}

impl HeapStats {
    /// Sets gauges to the figures of this heap, with the label `heap`, its number, besides those that are given. They
    /// are `heapmaster_heap_capacity_bytes`, `heapmaster_heap_live_bytes`, `heapmaster_heap_cached_bytes`,
    /// `heapmaster_heap_free_bytes`, `heapmaster_heap_in_transit_bytes`, `heapmaster_heap_largest_free_bytes` and
    /// `heapmaster_heap_largest_possible_bytes`.
    ///
    /// # Progress
    ///
    /// As [`PoolStats::record`].
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// for heap in pool.heap_stats() {
    ///     heap.record(&[("pool", "frames")]);
    /// }
    /// ```
    pub fn record(&self, labels: impl IntoLabels) {
        let mut labels = labels.into_labels();
        labels.push(Label::new("heap", self.heap.get().to_string()));
        set(self, &labels);
    }
}

/// Tells the recorder what the metrics of all `record` methods are, and in which units. To be called once, after the
/// recorder was installed: all pools have the same metrics, and so have all allocators and all sweepers.
///
/// # Progress
///
/// As the recorder.
pub fn describe_metrics() {
    with_recorder(|recorder| {
        describe::<PoolStats>(recorder);
        recorder.describe_gauge(BLOCKS.0.into(), Some(Unit::Count), BLOCKS.1.into());
        describe::<HeapStats>(recorder);
        #[cfg(all(feature = "allocator", not(modelled)))]
        describe::<super::AllocatorStats>(recorder);
        #[cfg(not(modelled))]
        describe::<super::SweeperStats>(recorder);
    });
}
