//! A heap cut into cells of equal size, for the pictures to draw: how many bytes of each cell are in which state.
//!
//! One pass over the blocks, in order, without a table: a large block comes as one run of cells, so that the work is by
//! blocks and not by bytes.

use core::iter::Sum;
use core::ops::Add;

use super::{BlockState, look};
use crate::heaps::Heap;
use crate::raw::{Coalescer, Order, Scan};

/// Bytes by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) live: u64,
    pub(super) cached: u64,
    pub(super) free: u64,
    pub(super) in_transit: u64,
}

impl Shares {
    fn of(state: BlockState, bytes: u64) -> Self {
        let mut shares = Self::default();
        match state {
            BlockState::Live => shares.live = bytes,
            BlockState::Cached => shares.cached = bytes,
            BlockState::Free => shares.free = bytes,
            BlockState::InTransit => shares.in_transit = bytes,
        }
        shares
    }

    pub(super) fn total(&self) -> u64 {
        self.live + self.cached + self.free + self.in_transit
    }

    /// `bytes` in proportion to the total, as one of `scale`.
    pub(super) fn scaled(&self, bytes: u64, scale: u64) -> u64 {
        // No more than `scale`, because the bytes are no more than the total.
        (u128::from(bytes) * u128::from(scale)).checked_div(u128::from(self.total())).unwrap_or(0) as u64
    }
}

impl Add for Shares {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            live: self.live + other.live,
            cached: self.cached + other.cached,
            free: self.free + other.free,
            in_transit: self.in_transit + other.in_transit,
        }
    }
}

impl Sum for Shares {
    fn sum<I: Iterator<Item = Self>>(shares: I) -> Self {
        shares.fold(Self::default(), Add::add)
    }
}

/// Neighbouring cells that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// How many; not 0.
    pub(super) cells: u64,
    /// What is in each of them.
    pub(super) shares: Shares,
    /// The state and the size of the one block that all of them are in, where there is one.
    pub(super) block: Option<(BlockState, u64)>,
}

/// What a whole heap has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) shares: Shares,
    /// The largest block in bytes that can be had, after merging.
    pub(super) largest_free: u64,
}

/// The cells of one heap, ascending. They begin with the heap's first block, and the last one may be smaller.
#[derive(Clone, Debug)]
pub(super) struct Cells<'a> {
    scan: Scan<'a>,
    min_shift: u32,
    cell_size: u64,
    /// The cell that is being filled.
    partial: Shares,
    /// The block that the scan came to last: its state and size, and how many of its bytes are in no cell yet.
    block: (BlockState, u64),
    rest: u64,
    totals: Shares,
    coalescer: Coalescer,
}

impl<'a> Cells<'a> {
    /// Cuts a heap into cells of the smallest power of two of bytes, so that there are at most `most`, which is not 0.
    pub(super) fn new(heap: &'a Heap, min_shift: u32, most: u64) -> Self {
        let units = u64::from(heap.buddy().geometry().units());
        // Units have 32 bits, so the shift ends far below 64.
        let cell_units = units.div_ceil(most.max(1)).next_power_of_two();
        Self {
            scan: heap.buddy().scan(),
            min_shift,
            cell_size: cell_units << min_shift,
            partial: Shares::default(),
            block: (BlockState::Free, 0),
            rest: 0,
            totals: Shares::default(),
            coalescer: Coalescer::new(heap.buddy().geometry()),
        }
    }

    /// Bytes of a cell.
    pub(super) fn cell_size(&self) -> u64 {
        self.cell_size
    }

    /// What the cells so far have together.
    pub(super) fn totals(&self) -> Totals {
        let bytes = |order: Order| u64::from(order.units()) << self.min_shift;
        Totals { shares: self.totals, largest_free: self.coalescer.largest().map_or(0, bytes) }
    }

    fn next_block(&mut self) -> Option<()> {
        let (block, seen) = self.scan.next()?;
        let (state, class) = look(seen);
        if state == BlockState::Free {
            self.coalescer.free(block, class.order());
        }
        self.rest = u64::from(class.units()) << self.min_shift;
        self.block = (state, self.rest);
        self.totals = self.totals + Shares::of(state, self.rest);
        Some(())
    }
}

impl Iterator for Cells<'_> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        loop {
            let (state, _) = self.block;
            let filled = self.partial.total();
            if filled == 0 && self.rest >= self.cell_size {
                let cells = self.rest / self.cell_size;
                self.rest %= self.cell_size;
                return Some(Run { cells, shares: Shares::of(state, self.cell_size), block: Some(self.block) });
            }
            let added = self.rest.min(self.cell_size - filled);
            self.partial = self.partial + Shares::of(state, added);
            self.rest -= added;
            let full = filled + added == self.cell_size;
            if full || (self.rest == 0 && self.next_block().is_none()) {
                let shares = core::mem::take(&mut self.partial);
                return (shares.total() > 0).then_some(Run { cells: 1, shares, block: None });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::ptr;

    use super::*;
    use crate::MemoryPool;

    #[test]
    fn cells_add_up_to_the_statistics() {
        // 1 000 units from an odd address on, of which a mixture is live.
        let pool = MemoryPool::builder().min_block(16).build().expect("a power of two");
        pool.add_heap(ptr::without_provenance_mut(0x12345), 16_100).expect("it is the only heap");
        let mut random = 1u32;
        let mut live = Vec::new();
        for _ in 0..400 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match random >> 24 {
                0..160 => live.push(pool.hl_alloc(1 << (random >> 20 & 7))),
                _ => pool.hl_release(live.pop().unwrap_or(ptr::null_mut())).expect("it is live, or null"),
            }
            let stats = pool.stats();
            let pinned = pool.heap_map().heaps.pin();
            let heap = pinned.view().by_age().next().expect("there is a heap");
            for most in [1, 2, 3, 10, 64, 1000, u64::MAX] {
                let mut cells = Cells::new(heap, 4, most);
                let runs: Vec<_> = cells.by_ref().collect();
                let count: u64 = runs.iter().map(|run| run.cells).sum();
                assert_eq!(count, (stats.capacity as u64).div_ceil(cells.cell_size()));
                assert!(count <= most && (cells.cell_size() == 16 || count * 2 > most));
                let (last, before) = runs.split_last().expect("there is a cell");
                assert!(before.iter().all(|run| run.shares.total() == cells.cell_size()));
                assert!(last.shares.total() <= cells.cell_size());
                let sum: Shares = runs.iter().flat_map(|run| (0..run.cells).map(|_| run.shares)).sum();
                assert_eq!((sum.live, sum.free), (stats.live as u64, stats.free as u64));
                assert_eq!(cells.totals().shares, sum);
                assert_eq!(cells.totals().largest_free, stats.largest_free as u64);
            }
        }
    }
}
