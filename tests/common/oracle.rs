//! The oracle: a model of a pool that is plain enough to be seen to be right. It knows which blocks are live, and
//! derives everything else from that by going through all of them.
//!
//! It does not say *which* block an allocation gets; it says whether one must succeed, and checks the one that was got.

use std::collections::BTreeMap;
use std::ops::Range;

use mempool::{HeapId, ReleaseError};

/// One heap of the model. Units are counted from address 0, so that the end of the address space is a number too.
#[derive(Clone, Debug)]
pub struct Region {
    pub id: HeapId,
    pub base: usize,
    pub size: usize,
    pub units: Range<u64>,
    /// The first unit and the order of each live block.
    pub live: BTreeMap<u64, u32>,
}

/// What the model knows about a whole pool.
#[derive(Clone, Debug)]
pub struct Oracle {
    pub min_block: usize,
    pub max_order: u32,
    pub heaps: Vec<Region>,
}

/// Why an allocation must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No heap, even if all were free, has such a block.
    TooLarge,
    /// It is not there now.
    OutOfMemory,
}

impl Region {
    /// The runs of units in which nothing is live.
    pub fn gaps(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let ends = self.live.keys().copied().chain([self.units.end]);
        let starts = [self.units.start].into_iter().chain(self.live.iter().map(|(unit, order)| unit + (1 << order)));
        starts.zip(ends).map(|(start, end)| start..end).filter(|gap| !gap.is_empty())
    }

    /// Is there an aligned run of 2^`order` free units?
    pub fn has(&self, order: u32) -> bool {
        self.gaps().any(|gap| gap.start.next_multiple_of(1 << order) + (1 << order) <= gap.end)
    }

    /// Would there be one if all were free?
    pub fn could_have(&self, order: u32) -> bool {
        self.units.start.next_multiple_of(1 << order) + (1 << order) <= self.units.end
    }

    /// The live block that `unit` lies in.
    pub fn covering(&self, unit: u64) -> Option<(u64, u32)> {
        let (head, order) = self.live.range(..=unit).next_back()?;
        (unit < head + (1 << order)).then_some((*head, *order))
    }

    /// Are these units all inside the heap, and free?
    pub fn is_free(&self, run: &Range<u64>) -> bool {
        self.gaps().any(|gap| gap.start <= run.start && run.end <= gap.end)
    }

    pub fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < self.size
    }
}

/// Cuts free units into the largest aligned blocks, none above `max_order`: what must be left after a sweep.
pub fn cut(mut run: Range<u64>, max_order: u32) -> Vec<(u64, u32)> {
    let mut blocks = Vec::new();
    while !run.is_empty() {
        let fits = |order: &u32| run.start.is_multiple_of(1 << order) && run.start + (1 << order) <= run.end;
        let order = (0..=max_order).rev().find(fits).expect("a single unit always fits");
        blocks.push((run.start, order));
        run.start += 1 << order;
    }
    blocks
}

impl Oracle {
    pub fn new(min_block: usize, max_block: Option<usize>) -> Self {
        let max_order = max_block.map_or(31, |max| (max / min_block).ilog2().min(31));
        Self { min_block, max_order, heaps: Vec::new() }
    }

    /// The units that lie wholly within a region.
    pub fn units_of(&self, base: usize, size: usize) -> Range<u64> {
        let unit = self.min_block as u128;
        let (base, end) = (base as u128, base as u128 + size as u128);
        (base.div_ceil(unit) as u64)..((end / unit) as u64)
    }

    pub fn add(&mut self, id: HeapId, base: usize, size: usize) {
        let units = self.units_of(base, size);
        assert!(!units.is_empty(), "a heap without a single block was accepted");
        self.heaps.push(Region { id, base, size, units, live: BTreeMap::new() });
    }

    /// The order of a block of `bytes`, which is not 0; it may be above every order that there is.
    pub fn order_for(&self, bytes: usize) -> u32 {
        (0..).find(|order| (self.min_block as u128) << order >= bytes as u128).expect("some order is large enough")
    }

    pub fn bytes(&self, order: u32) -> usize {
        self.min_block << order
    }

    /// Must an allocation of `order` from the heaps that `of` selects succeed?
    pub fn may_alloc(&self, order: u32, of: impl Fn(&Region) -> bool) -> Result<(), Refusal> {
        let heaps = || self.heaps.iter().filter(|heap| of(heap));
        if order > self.max_order || !heaps().any(|heap| heap.could_have(order)) {
            return Err(Refusal::TooLarge);
        }
        if heaps().any(|heap| heap.has(order)) { Ok(()) } else { Err(Refusal::OutOfMemory) }
    }

    /// A block was handed out: checks that it is one that could be, and notes it.
    pub fn take(&mut self, address: usize, order: u32, of: impl Fn(&Region) -> bool) {
        assert_eq!(address % self.bytes(order), 0, "{address:#x} is not aligned to its size, 2^{order} units");
        let heap = self.heaps.iter_mut().find(|heap| heap.contains(address)).expect("the block is in a heap");
        assert!(of(heap), "the block is from {}, which was not asked for it", heap.id);
        let unit = (address / self.min_block) as u64;
        let run = unit..unit + (1 << order);
        assert!(heap.is_free(&run), "units {run:?} were handed out, live are {:?} of {:?}", heap.live, heap.units);
        heap.live.insert(unit, order);
    }

    /// What is at an address: the heap and the live block that begins there.
    pub fn lookup(&mut self, address: usize) -> Result<(&mut Region, u64, u32), ReleaseError> {
        let min_block = self.min_block;
        let heap = self.heaps.iter_mut().find(|heap| heap.contains(address)).ok_or(ReleaseError::Foreign)?;
        let unit = (address / min_block) as u64;
        match heap.covering(unit) {
            _ if !heap.units.contains(&unit) => Err(ReleaseError::NotLive),
            Some((head, order)) if head == unit && address.is_multiple_of(min_block) => Ok((heap, head, order)),
            Some(_) => Err(ReleaseError::Interior),
            None => Err(ReleaseError::NotLive),
        }
    }

    /// Releases what is at an address.
    pub fn release(&mut self, address: usize) -> Result<(), ReleaseError> {
        let (heap, unit, _) = self.lookup(address)?;
        heap.live.remove(&unit);
        Ok(())
    }

    /// May the block of `from` at `unit` become one of `to` where it is?
    pub fn may_resize(&self, heap: &Region, unit: u64, from: u32, to: u32) -> bool {
        to <= from
            || to <= self.max_order
                && unit.is_multiple_of(1 << to)
                && heap.is_free(&(unit + (1 << from)..unit + (1 << to)))
    }

    /// The live blocks, by heap and address: address and order.
    pub fn live(&self) -> Vec<(usize, u32)> {
        let blocks = self.heaps.iter().flat_map(|heap| &heap.live);
        blocks.map(|(unit, order)| (*unit as usize * self.min_block, *order)).collect()
    }

    pub fn live_count(&self) -> usize {
        self.heaps.iter().map(|heap| heap.live.len()).sum()
    }

    pub fn capacity(&self) -> usize {
        self.heaps.iter().map(|heap| (heap.units.end - heap.units.start) as usize * self.min_block).sum()
    }

    pub fn live_bytes(&self) -> usize {
        self.live().iter().map(|(_, order)| self.bytes(*order)).sum()
    }

    /// The largest block in bytes that can be had.
    pub fn largest_free(&self, of: impl Fn(&Region) -> bool) -> usize {
        let order = (0..=self.max_order).rev().find(|order| self.may_alloc(*order, &of).is_ok());
        order.map_or(0, |order| self.bytes(order))
    }

    /// The largest block in bytes that an empty pool could have.
    pub fn largest_block(&self) -> usize {
        let possible = |order: &u32| self.heaps.iter().any(|heap| heap.could_have(*order));
        (0..=self.max_order).rev().find(possible).map_or(0, |order| self.bytes(order))
    }
}
