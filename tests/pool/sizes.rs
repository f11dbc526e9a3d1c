//! Sizes between the powers of two: an oracle in units says which allocation must succeed, and what lies where.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;
use std::thread;

use mempool::{AllocError, Block, BlockState, MemoryPool, PoolBuilder, ReleaseError, ResizeError, Sizes};

use crate::common::{Gate, Owners, Random, at};

const UNIT: usize = 64;

/// A pool of one heap, and what it must have. Units are counted from address 0.
struct Eighths {
    pool: MemoryPool,
    units: Range<usize>,
    /// The first unit and the units of each live block.
    live: BTreeMap<usize, usize>,
}

fn builder() -> PoolBuilder {
    MemoryPool::builder().min_block(UNIT).sizes(Sizes::Eighths)
}

/// The smallest of the sizes that is no smaller.
fn rounded(units: usize) -> usize {
    let sizes = (0..32).flat_map(|order| (8..16).map(move |eighths: usize| eighths << order));
    sizes.filter(|size| size.is_multiple_of(8)).map(|size| size / 8).find(|size| *size >= units).expect("there is one")
}

fn alignment(units: usize) -> usize {
    1 << units.trailing_zeros()
}

impl Eighths {
    fn new(builder: PoolBuilder, units: Range<usize>) -> Self {
        let pool = builder.build().expect("valid");
        pool.add_heap(at(units.start * UNIT), units.len() * UNIT).expect("the only heap");
        Self { pool, units, live: BTreeMap::new() }
    }

    fn gaps(&self) -> Vec<Range<usize>> {
        let ends = self.live.keys().copied().chain([self.units.end]);
        let starts = [self.units.start].into_iter().chain(self.live.iter().map(|(unit, units)| unit + units));
        starts.zip(ends).map(|(start, end)| start..end).filter(|gap| !gap.is_empty()).collect()
    }

    fn is_free(&self, units: &Range<usize>) -> bool {
        self.gaps().iter().any(|gap| gap.start <= units.start && units.end <= gap.end)
    }

    /// Could the heap have it if all were free: an aligned power of two that is as large?
    fn could_have(&self, units: usize) -> bool {
        let whole = units.next_power_of_two();
        self.units.start.next_multiple_of(whole) + whole <= self.units.end
    }

    fn has(&self, units: usize) -> bool {
        let fits = |gap: &Range<usize>| gap.start.next_multiple_of(alignment(units)) + units <= gap.end;
        self.could_have(units) && self.gaps().iter().any(fits)
    }

    fn alloc(&mut self, layout: Layout) -> Option<usize> {
        let units = rounded(layout.size().next_multiple_of(layout.align()).div_ceil(UNIT));
        match self.pool.alloc(layout) {
            Ok(block) => {
                let address = block.addr().get();
                assert!(
                    self.has(units),
                    "{units} units of {:?} at {address:#x}, where {:?} are free",
                    self.units,
                    self.gaps()
                );
                assert!(
                    address.is_multiple_of(layout.align().max(alignment(units) * UNIT)),
                    "{units} units at {address:#x}"
                );
                self.take(address, units);
                Some(address)
            }
            Err(AllocError::TooLarge { .. }) => {
                assert!(!self.could_have(units), "{units} units");
                None
            }
            Err(error) => {
                assert!(
                    self.could_have(units) && !self.has(units),
                    "{units} units are there: {error}, {:?}",
                    self.gaps()
                );
                None
            }
        }
    }

    fn take(&mut self, address: usize, units: usize) {
        let unit = address / UNIT;
        assert!(self.is_free(&(unit..unit + units)), "{units} units at {unit} were handed out");
        self.live.insert(unit, units);
    }

    /// Asks for `count` at once, and takes what there is.
    fn alloc_batch(&mut self, units: usize, count: usize) {
        let layout = Layout::from_size_align(units * UNIT, 1).expect("a layout");
        let mut blocks = vec![std::ptr::null_mut(); count];
        let got = self.pool.alloc_batch(layout, &mut blocks).unwrap_or(0);
        blocks[..got].iter().for_each(|block| self.take(block.addr(), rounded(units)));
        assert!(got == count || !self.has(rounded(units)), "{got} of {count}, and one more was there");
    }

    /// Releases an address that may be any.
    fn release(&mut self, address: usize) {
        let (unit, block) = (address / UNIT, NonNull::new(at(address)).expect("not null"));
        let around = self.live.range(..=unit).next_back().filter(|(head, units)| unit < **head + **units);
        let expected = match around.map(|(head, units)| (*head, *units)) {
            _ if !(self.units.start * UNIT..self.units.end * UNIT).contains(&address) => Err(ReleaseError::Foreign),
            Some((head, units)) if head * UNIT == address => Ok((head, units)),
            Some(_) => Err(ReleaseError::Interior),
            None => Err(ReleaseError::NotLive),
        };
        assert_eq!(self.pool.block_size(block), expected.map(|(_, units)| units * UNIT), "{address:#x}");
        assert_eq!(self.pool.release(block), expected.map(|_| ()), "{address:#x}");
        if let Ok((head, _)) = expected {
            self.live.remove(&head);
            assert_eq!(self.pool.release(block), Err(ReleaseError::NotLive), "twice");
        }
    }

    fn resize(&mut self, unit: usize, bytes: usize) {
        let (from, to) = (self.live[&unit], rounded(bytes.div_ceil(UNIT)));
        // What is in a cache is no room to grow into.
        self.pool.flush_thread_cache();
        let block = NonNull::new(at(unit * UNIT)).expect("not null");
        let is_power = |units: usize| units.is_power_of_two();
        let has_room = to <= from || self.is_free(&(unit + from..unit + to));
        let fits = has_room && unit.is_multiple_of(alignment(to)) && self.could_have(to);
        let fits = fits || to == from || is_power(from) && is_power(to) && to < from;
        match self.pool.resize_in_place(block, bytes) {
            Ok(size) => {
                assert!(fits && size == to * UNIT, "{from} to {to} units");
                self.live.insert(unit, to);
            }
            Err(ResizeError::NoRoom { size, .. }) => assert!(!fits && size == from * UNIT, "{from} to {to} units"),
            Err(error) => panic!("{error}"),
        }
    }

    /// What the map, the statistics and the oracle say of the heap.
    fn check(&self) {
        let (mut unit, mut live) = (self.units.start, BTreeMap::new());
        for Block { offset, size, state, .. } in self.pool.heap_map() {
            assert_eq!(offset, (unit - self.units.start) * UNIT, "the blocks follow each other");
            match state {
                BlockState::Live => _ = live.insert(unit, size / UNIT),
                BlockState::Free => assert!((unit * UNIT).is_multiple_of(size) && size.is_power_of_two()),
                other => assert_eq!(other, BlockState::Cached),
            }
            unit += size / UNIT;
        }
        assert_eq!((unit, &live), (self.units.end, &self.live));
        let stats = self.pool.stats();
        assert_eq!(stats.live, self.live.values().sum::<usize>() * UNIT);
        assert_eq!(stats.live + stats.cached + stats.free, stats.capacity);
    }

    /// Releases all, and sees everything merge.
    fn finish(mut self) {
        while let Some(unit) = self.live.keys().next_back().copied() {
            self.release(unit * UNIT);
        }
        self.pool.sweep();
        let fresh = Self::new(builder(), self.units.clone());
        assert_eq!(self.pool.heap_map().collect::<Vec<_>>(), fresh.pool.heap_map().collect::<Vec<_>>());
    }
}

fn program(mut pool: Eighths, random: &mut Random) {
    let units = pool.units.len();
    let place =
        |random: &mut Random, pool: &Eighths| pool.live.keys().copied().nth(random.below(pool.live.len().max(1)));
    for number in 0..300 {
        let most = UNIT << random.below(9);
        let size = 1 + random.below(most);
        match random.below(16) {
            0..6 => _ = pool.alloc(Layout::from_size_align(size, 1 << random.below(10)).expect("a layout")),
            6 => _ = pool.alloc(Layout::from_size_align(1 + random.below(2 * units * UNIT), 1).expect("a layout")),
            7 => pool.alloc_batch(1 + random.below(20), random.below(40)),
            8..13 => {
                if let Some(unit) = place(random, &pool) {
                    pool.release(unit * UNIT);
                }
            }
            13 => pool.release(pool.units.start * UNIT + random.below(units * UNIT + UNIT)),
            14 => {
                if let Some(unit) = place(random, &pool) {
                    pool.resize(unit, size);
                }
            }
            _ => _ = pool.pool.sweep(),
        }
        if number % 8 == 0 {
            pool.check();
        }
    }
    pool.check();
    pool.finish();
}

#[test]
fn programs_of_all_operations() {
    let mut random = Random::from_environment();
    for round in 0..200 {
        let (start, most) = (1 + random.below(4096), 40 << random.below(6));
        let units = 1 + random.below(most);
        let builder = if round % 2 == 0 { builder().thread_cache(0) } else { builder() };
        program(Eighths::new(builder, start..start + units), &mut random);
    }
}

#[test]
fn a_batch_fills_a_heap() {
    for units in [3, 5, 9, 15, 18, 23, 36] {
        let count = 512 / rounded(units);
        let mut pool = Eighths::new(builder(), 1 << 20..(1 << 20) + 512);
        pool.alloc_batch(units, count);
        assert!(pool.live.len() >= count - count / 32, "{} of {count} blocks of {units} units", pool.live.len());
        pool.check();
        pool.finish();
    }
}

#[test]
fn threads_of_all_sizes_own_what_they_have_and_all_merges() {
    const THREADS: usize = 4;
    let units = 1 << 20..(1 << 20) + 700;
    for thread_cache in [Some(0), None] {
        let builder = thread_cache.map_or(builder(), |bytes| builder().thread_cache(bytes));
        let pool = Eighths::new(builder, units.clone());
        let owners = &Owners::new(units.start * UNIT, UNIT, units.len());
        let (shared, gate, random) = (&pool.pool, &Gate::new(THREADS), Random::from_environment());
        thread::scope(|scope| {
            for number in 0..THREADS {
                let mut random = random.stream(number as u64);
                scope.spawn(move || {
                    let mut blocks: Vec<(*mut u8, usize)> = Vec::new();
                    gate.pass();
                    for _ in 0..1500 {
                        let units = rounded(1 + random.below(40));
                        if blocks.len() < 12 && random.below(2) == 0 {
                            let block = shared.hl_alloc(units * UNIT);
                            if !block.is_null() {
                                owners.claim(block, units * UNIT);
                                blocks.push((block, units * UNIT));
                            }
                        } else if !blocks.is_empty() {
                            let place = random.below(blocks.len());
                            let (block, size) = blocks.swap_remove(place);
                            owners.resign(block, size);
                            assert_eq!(shared.hl_release(block), Ok(()));
                        }
                        if random.below(200) == 0 {
                            shared.sweep();
                        }
                    }
                    for (block, size) in blocks {
                        owners.resign(block, size);
                        assert_eq!(shared.hl_release(block), Ok(()));
                    }
                    shared.flush_thread_cache();
                });
            }
        });
        pool.check();
        pool.finish();
    }
}

/// Of threads that release one block at once, one is told that it was there.
#[test]
fn a_block_released_by_several_threads_at_once() {
    const THREADS: usize = 3;
    let pool = Eighths::new(builder().thread_cache(0), 1 << 20..(1 << 20) + 64);
    let (shared, gate) = (&pool.pool, &Gate::new(THREADS));
    for round in 0..2000 {
        let block = shared.hl_alloc((9 + round % 7) * UNIT);
        let address = block.addr();
        let released: usize = thread::scope(|scope| {
            let release = move || {
                gate.pass();
                usize::from(shared.hl_release(at(address)).is_ok())
            };
            let threads = [(); THREADS].map(|()| scope.spawn(release));
            threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
        });
        assert_eq!(released, 1);
    }
    pool.check();
    pool.finish();
}
