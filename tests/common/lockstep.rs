//! A pool that runs in lockstep with the oracle: every operation is done by both, and what the pool answers is
//! checked against what the oracle says that it must answer.

use std::alloc::Layout;
use std::ptr::NonNull;

use mempool::{
    AllocError, Block, BlockState, HeapId, MemoryPool, OrderStats, PoolBuilder, ReleaseBatchError, ReleaseError,
    ResizeError,
};

use super::at;
use super::oracle::{Oracle, Refusal, Region, cut};

/// One operation of a program. Blocks are named by their place among the live ones, modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Allocates a block of an order.
    Alloc(u32),
    /// The same from one heap, named by its place.
    AllocIn(usize, u32),
    /// Allocates blocks of an order at once: their number.
    AllocBatch(u32, usize),
    /// Releases a block.
    Release(usize),
    /// Releases blocks from one on at once: the first, their number, and the number of bad addresses among them.
    ReleaseBatch(usize, usize, usize),
    /// Makes a block one of another order in place.
    Resize(usize, u32),
    /// Releases an address behind a block, by a number of bytes: an error, unless another block is there.
    ReleaseAt(usize, usize),
    /// Sweeps.
    Sweep,
}

#[derive(Debug)]
pub struct Lockstep {
    pub pool: MemoryPool,
    pub oracle: Oracle,
}

fn any(_: &Region) -> bool {
    true
}

fn non_null(address: usize) -> NonNull<u8> {
    NonNull::new(at(address)).expect("no block is at null")
}

impl Lockstep {
    pub fn new(min_block: usize, max_block: Option<usize>) -> Self {
        Self::with(min_block, max_block, MemoryPool::builder())
    }

    /// A pool without caches: what is free is everybody's.
    #[allow(dead_code, reason = "some of the tests need it")]
    pub fn uncached(min_block: usize, max_block: Option<usize>) -> Self {
        Self::with(min_block, max_block, MemoryPool::builder().thread_cache(0))
    }

    pub fn with(min_block: usize, max_block: Option<usize>, builder: PoolBuilder) -> Self {
        let builder = builder.min_block(min_block);
        let builder = max_block.map_or(builder.clone(), |max| builder.max_block(max));
        Self { pool: builder.build().expect("the sizes are valid"), oracle: Oracle::new(min_block, max_block) }
    }

    /// Adds a heap that must be accepted.
    pub fn add(&mut self, base: usize, size: usize) -> HeapId {
        let id = self.pool.add_heap(at(base), size).expect("the heap is one");
        assert_eq!(id.get() as usize, self.oracle.heaps.len(), "ids are given in order");
        self.oracle.add(id, base, size);
        id
    }

    pub fn run(&mut self, op: Op) {
        let live = self.oracle.live();
        let block = |place: usize| live.get(place % live.len().max(1)).copied();
        match op {
            Op::Alloc(order) => _ = self.alloc(order),
            Op::AllocIn(heap, order) => _ = self.alloc_in(heap, order),
            Op::AllocBatch(order, count) => _ = self.alloc_batch(order, count),
            Op::Release(place) => {
                if let Some((address, _)) = block(place) {
                    self.release(address).expect("the block is live");
                }
            }
            Op::ReleaseBatch(place, count, bad) => {
                let chosen = (place..place + count.min(live.len())).filter_map(block);
                let mut addresses: Vec<usize> = chosen.map(|(address, _)| address).collect();
                for number in 0..bad {
                    // A double, an interior one, null and a foreign one, in turn, between the others.
                    let copied = addresses.get(number).copied().unwrap_or(0);
                    let address = [copied, copied.wrapping_add(1), 0, 1][number % 4];
                    addresses.insert((number * 3).min(addresses.len()), address);
                }
                self.release_batch(&addresses);
            }
            Op::Resize(place, order) => {
                if let Some((address, _)) = block(place) {
                    let _ = self.resize(address, self.oracle.bytes(order));
                }
            }
            Op::ReleaseAt(place, offset) => {
                let address = block(place).map_or(0, |(address, _)| address.wrapping_add(offset));
                // At the end of the address space, null may come after the last block.
                if address != 0 {
                    let _ = self.release(address);
                }
            }
            Op::Sweep => self.sweep(),
        }
    }

    /// Allocates a block of `order`, by a size that needs just that.
    pub fn alloc(&mut self, order: u32) -> Option<usize> {
        // A size that is no power of two, where there is one that wants this order.
        let bytes = self.oracle.bytes(order);
        self.alloc_layout(Layout::from_size_align(bytes - bytes / 4, 1).expect("an order is a layout"))
    }

    pub fn alloc_layout(&mut self, layout: Layout) -> Option<usize> {
        let sweeps = self.pool.stats().sweeps;
        let got = self.pool.alloc(layout);
        let swept = self.pool.stats().sweeps != sweeps;
        self.check_alloc(layout, got, swept, any)
    }

    pub fn alloc_in(&mut self, place: usize, order: u32) -> Option<usize> {
        let id = self.oracle.heaps[place % self.oracle.heaps.len()].id;
        let layout = Layout::from_size_align(1, self.oracle.bytes(order)).expect("an order is an alignment");
        let sweeps = self.pool.stats().sweeps;
        let got = self.pool.alloc_in(id, layout);
        let swept = self.pool.stats().sweeps != sweeps;
        self.check_alloc(layout, got, swept, |heap| heap.id == id)
    }

    fn check_alloc(
        &mut self,
        layout: Layout,
        got: Result<NonNull<u8>, AllocError>,
        swept: bool,
        of: impl Fn(&Region) -> bool,
    ) -> Option<usize> {
        let bytes = layout.size().max(layout.align());
        let order = self.oracle.order_for(bytes);
        let must = self.oracle.may_alloc(order, &of);
        match got {
            Ok(block) => {
                assert_eq!(must, Ok(()), "2^{order} units were handed out that were not there");
                self.oracle.take(block.addr().get(), order, of);
                Some(block.addr().get())
            }
            Err(AllocError::TooLarge { requested, .. }) => {
                assert_eq!((requested, must), (bytes, Err(Refusal::TooLarge)));
                None
            }
            Err(AllocError::OutOfMemory { requested, largest_free, free, capacity, .. }) => {
                assert_eq!((requested, must), (bytes, Err(Refusal::OutOfMemory)));
                let heaps = self.oracle.heaps.iter().filter(|heap| of(heap));
                let units: u64 = heaps.clone().map(|heap| heap.units.end - heap.units.start).sum();
                let free_units: u64 = heaps.flat_map(Region::gaps).map(|gap| gap.end - gap.start).sum();
                assert_eq!(capacity, units as usize * self.oracle.min_block);
                let (true_free, true_largest) =
                    (free_units as usize * self.oracle.min_block, self.oracle.largest_free(of));
                assert!(largest_free < bytes, "{largest_free} bytes would have been enough for {bytes}");
                // An immediate failure has the figures of an earlier search; since then, less is free at most.
                assert!(free >= true_free && largest_free >= true_largest);
                if swept {
                    assert_eq!((free, largest_free), (true_free, true_largest), "a search has exact figures");
                }
                None
            }
            Err(other) => panic!("{other:?} for 2^{order} units, {must:?}"),
        }
    }

    pub fn alloc_batch(&mut self, order: u32, count: usize) -> Vec<usize> {
        let layout = Layout::from_size_align(self.oracle.bytes(order), 1).expect("an order is a layout");
        let untouched = at(usize::MAX);
        let mut blocks = vec![untouched; count];
        let got = match self.pool.alloc_batch(layout, &mut blocks) {
            Ok(got) => {
                assert!(got > 0 || count == 0, "an empty batch is an error");
                got
            }
            Err(AllocError::OutOfMemory { .. }) => {
                assert_eq!(self.oracle.may_alloc(order, any), Err(Refusal::OutOfMemory));
                0
            }
            Err(AllocError::TooLarge { .. }) => {
                assert_eq!(self.oracle.may_alloc(order, any), Err(Refusal::TooLarge));
                0
            }
            Err(other) => panic!("{other:?}"),
        };
        for block in &blocks[..got] {
            self.oracle.take(block.addr(), order, any);
        }
        assert!(blocks[got..].iter().all(|block| *block == untouched), "the rest of the slice was written");
        if got < count {
            assert!(self.oracle.may_alloc(order, any).is_err(), "{got} of {count}, and one more was there");
        }
        blocks[..got].iter().map(|block| block.addr()).collect()
    }

    pub fn release(&mut self, address: usize) -> Result<(), ReleaseError> {
        let size = self.oracle.lookup(address).map(|(_, _, order)| order).map(|order| self.oracle.bytes(order));
        assert_eq!(self.pool.block_size(non_null(address)), size, "size of the block at {address:#x}");
        let expected = self.oracle.release(address);
        assert_eq!(self.pool.hl_release(at(address)), expected, "release of {address:#x}");
        expected
    }

    /// Releases many; 0 stands for null.
    pub fn release_batch(&mut self, addresses: &[usize]) {
        let mut expected: Result<(), (usize, usize, ReleaseError)> = Ok(());
        for (number, address) in addresses.iter().enumerate().filter(|(_, address)| **address != 0) {
            if let Err(error) = self.oracle.release(*address) {
                expected = Err(match expected {
                    Ok(()) => (1, number, error),
                    Err((failed, first, error)) => (failed + 1, first, error),
                });
            }
        }
        let blocks: Vec<*mut u8> = addresses.iter().copied().map(at).collect();
        let got = self.pool.release_batch(&blocks);
        let got = got.map_err(|ReleaseBatchError { failed, first, error, .. }| (failed, first, error));
        assert_eq!(got, expected, "batch {addresses:x?}");
    }

    pub fn resize(&mut self, address: usize, size: usize) -> Result<usize, ResizeError> {
        // What is in a cache is no room to grow into.
        self.pool.flush_thread_cache();
        let to = self.oracle.order_for(size);
        let model = self.oracle.clone();
        let expected = match self.oracle.lookup(address) {
            Err(error) => Err(Some(error)),
            Ok((heap, unit, from)) if model.may_resize(heap, unit, from, to) => {
                heap.live.insert(unit, to);
                Ok(model.bytes(to))
            }
            Ok(_) => Err(None),
        };
        let got = self.pool.resize_in_place(non_null(address), size);
        match (got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got, expected, "resize of {address:#x} to {size} bytes"),
            (Err(ResizeError::NoBlock(got)), Err(Some(expected))) => assert_eq!(got, expected),
            (Err(ResizeError::NoRoom { requested, size: has, .. }), Err(None)) => {
                let from = self.oracle.lookup(address).map(|(_, _, order)| order).expect("there is a block");
                assert_eq!((requested, has), (size, self.oracle.bytes(from)));
            }
            (got, expected) => panic!("resize of {address:#x} to {size} bytes: {got:?} instead of {expected:?}"),
        }
        got
    }

    /// Sweeps, twice: the first sweep merges everything, the second finds nothing left to do.
    pub fn sweep(&mut self) {
        let largest = self.oracle.largest_free(any);
        let report = self.pool.sweep();
        assert_eq!(report.largest_after, largest, "{report}");
        assert!(report.largest_before <= report.largest_after);
        assert_eq!(self.map(), self.merged(), "a sweep leaves the largest blocks that there can be");
        let again = self.pool.sweep();
        assert_eq!((again.merges, again.stale_entries), (0, 0), "the first sweep left something: {again}");
        assert_eq!((again.largest_before, again.blocks), (largest, self.map().len() as u64));
    }

    pub fn map(&self) -> Vec<Block> {
        self.pool.heap_map().collect()
    }

    /// The blocks that there are when everything is merged.
    fn merged(&self) -> Expected {
        let heaps = self.oracle.heaps.iter().map(|heap| {
            let free = heap.gaps().flat_map(|gap| cut(gap, self.oracle.max_order)).map(|block| (block, false));
            let mut blocks: Vec<_> =
                heap.live.iter().map(|(unit, order)| ((*unit, *order), true)).chain(free).collect();
            blocks.sort_unstable();
            (heap.id, heap.base, blocks)
        });
        Expected { min_block: self.oracle.min_block, heaps: heaps.collect() }
    }

    /// Looks at everything that the pool shows, and compares: to be called while nothing runs.
    pub fn check(&self) {
        let map = self.map();
        let mut blocks = map.iter().peekable();
        let mut free_largest = 0;
        for heap in &self.oracle.heaps {
            let mut unit = heap.units.start;
            while let Some(block) = blocks.next_if(|block| block.heap == heap.id) {
                let order = block.order;
                let address = heap.base as u128 + block.offset as u128;
                assert_eq!(address, u128::from(unit) * self.oracle.min_block as u128, "the blocks follow each other");
                assert_eq!(block.size, self.oracle.bytes(order));
                assert!(unit.is_multiple_of(1 << order) && order <= self.oracle.max_order, "{block:?} is no buddy");
                let live = (block.state == BlockState::Live).then_some(order);
                assert_eq!(live, heap.live.get(&unit).copied(), "{block:?}");
                assert_ne!(block.state, BlockState::InTransit, "{block:?} while nothing runs");
                if live.is_none() {
                    free_largest = free_largest.max(block.size);
                }
                unit += 1 << order;
            }
            assert_eq!(unit, heap.units.end, "the blocks fill {}", heap.id);
        }
        assert_eq!(blocks.next(), None, "blocks are in the order of the heaps");
        let states = map.iter().filter(|block| block.state == BlockState::Live).count();
        assert_eq!(states, self.oracle.live_count());
        self.check_stats(&map);
        assert!(free_largest <= self.pool.largest_free_block());
    }

    fn check_stats(&self, map: &[Block]) {
        let stats = self.pool.stats();
        let largest = self.oracle.largest_free(any);
        assert_eq!((stats.heaps, stats.capacity), (self.oracle.heaps.len(), self.oracle.capacity()));
        assert_eq!((stats.live, stats.in_transit), (self.oracle.live_bytes(), 0));
        assert_eq!(stats.live + stats.cached + stats.free, stats.capacity);
        assert!(stats.largest_free <= largest && stats.free + stats.cached >= largest);
        let mut counted = 0;
        for OrderStats { block_size, free, cached, live, .. } in stats.orders() {
            let of = |state| map.iter().filter(|block| block.size == block_size && block.state == state).count();
            assert_eq!((free, cached, live), (of(BlockState::Free), of(BlockState::Cached), of(BlockState::Live)));
            counted += free + cached + live;
        }
        assert_eq!(counted, map.len());
        // That flushes what the thread has cached; then there is more to be seen without it.
        assert_eq!(self.pool.largest_free_block(), largest);
        assert_eq!(self.pool.stats().largest_free, largest);
    }

    /// The end of every program: releases all, in the order that `next` chooses, and sees everything merge.
    pub fn finish(&mut self, mut next: impl FnMut(usize) -> usize) {
        let mut live = self.oracle.live();
        while !live.is_empty() {
            let (address, _) = live.swap_remove(next(live.len()));
            self.release(address).expect("the block is live");
            assert_eq!(self.pool.hl_release(at(address)), Err(ReleaseError::NotLive), "a double release");
        }
        self.sweep();
        self.check();
        let stats = self.pool.stats();
        assert_eq!((stats.live, stats.free), (0, stats.capacity));
    }

    /// As `finish`, where no other thread has used the pool: then what was merged is where an allocation looks first. A
    /// release that is overtaken by a sweep may leave that to a search.
    pub fn finish_alone(&mut self, next: impl FnMut(usize) -> usize) {
        self.finish(next);
        let stats = self.pool.stats();
        let block = self.alloc(self.oracle.order_for(stats.largest_free)).expect("all is free");
        assert_eq!(self.pool.stats().searches, stats.searches, "a sweep left the largest block to a search");
        self.release(block).expect("the block is live");
    }
}

/// Its first unit and its order, and whether it is live.
type ExpectedBlock = ((u64, u32), bool);

/// What a heap map must show.
#[derive(Debug)]
struct Expected {
    min_block: usize,
    /// The id and the base of each heap, and its blocks.
    heaps: Vec<(HeapId, usize, Vec<ExpectedBlock>)>,
}

impl PartialEq<Expected> for Vec<Block> {
    fn eq(&self, expected: &Expected) -> bool {
        let blocks = expected.heaps.iter().flat_map(|(id, base, blocks)| {
            blocks.iter().map(move |((unit, order), live)| {
                let offset = (*unit as usize).wrapping_mul(expected.min_block).wrapping_sub(*base);
                (*id, offset, *order, *live)
            })
        });
        self.iter().map(|block| (block.heap, block.offset, block.order, block.state == BlockState::Live)).eq(blocks)
    }
}
