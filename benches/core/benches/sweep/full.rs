//! A heap that a program holds in single units, and the order in which it releases them.

use std::alloc::Layout;
use std::env;

use fastrand::Rng;
use mempool::MemoryPool;
use recordings::Region;

/// Bytes of a unit.
pub const UNIT: usize = 64;
const BATCH: usize = 256;

/// A pool over a region, all of which the program has in single units.
pub struct Full {
    pub pool: MemoryPool,
    region: Region,
    pub units: u32,
}

impl Full {
    pub fn new(size: usize, cache: Option<usize>) -> Self {
        let builder = MemoryPool::builder().min_block(UNIT);
        let builder = if let Some(cache) = cache { builder.thread_cache(cache) } else { builder };
        let pool = builder.build().expect("a right configuration");
        let region = Region::new(size).expect("the system has the memory");
        pool.add_heap(region.base(), size).expect("a fresh region");
        Self { pool, region, units: (size / UNIT) as u32 }
    }

    /// Takes all units, past the caches.
    pub fn fill(&self) {
        let unit = Layout::from_size_align(UNIT, 1).expect("a small size");
        let mut batch = [std::ptr::null_mut(); 1 << 12];
        while self.pool.alloc_batch(unit, &mut batch).is_ok_and(|count| count == batch.len()) {}
        assert_eq!(self.pool.stats().free, 0);
    }

    fn unit(&self, unit: u32) -> *mut u8 {
        self.region.base().wrapping_add(unit as usize * UNIT)
    }

    /// Releases them in this order, past the caches.
    pub fn release(&self, units: impl Iterator<Item = u32>) {
        let mut batch = Vec::with_capacity(BATCH);
        let flush = |batch: &mut Vec<*mut u8>| {
            self.pool.release_batch(batch).expect("they are live");
            batch.clear();
        };
        for unit in units {
            batch.push(self.unit(unit));
            if batch.len() == BATCH {
                flush(&mut batch);
            }
        }
        flush(&mut batch);
    }

    /// Takes the whole again, as one block, and cuts it.
    pub fn refill(&self) {
        self.pool.flush_thread_cache();
        self.pool.sweep();
        let size = self.region.size();
        assert_eq!(self.pool.largest_free_block(), size, "the heap is not merged to one block");
        self.fill();
    }
}

/// In which order blocks are released.
#[derive(Clone, Copy, Debug)]
pub enum By {
    Address,
    Random,
    RandomWithin(usize),
}

impl By {
    pub fn name(self) -> String {
        match self {
            Self::Address => "in address order".into(),
            Self::Random => "in random order".into(),
            Self::RandomWithin(units) => format!("in random order within {units}"),
        }
    }

    /// A heap, all of it in single units that are live, and the order in which they are to be released.
    pub fn prepare(self, cache: Option<usize>) -> (Full, Vec<u32>) {
        let heap = Full::new(heap_size(), cache);
        let order = self.units(heap.units);
        heap.fill();
        (heap, order)
    }

    fn units(self, count: u32) -> Vec<u32> {
        let mut units: Vec<u32> = (0..count).collect();
        let mut random = Rng::with_seed(1);
        match self {
            Self::Address => {}
            Self::Random => random.shuffle(&mut units),
            Self::RandomWithin(within) => units.chunks_mut(within).for_each(|units| random.shuffle(units)),
        }
        units
    }
}

/// Bytes of the heap. `cargo test --benches` wants each case once, to see whether it works.
pub fn heap_size() -> usize {
    let default = if env::args().any(|argument| argument == "--bench") { 1024 } else { 4 };
    env::var("SWEEP_MIB").ok().and_then(|number| number.parse().ok()).unwrap_or(default) << 20
}
