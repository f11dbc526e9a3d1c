//! What all threads share.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mempool::{MemoryPool, OffsetPool, PoolAllocator, Sizes};

use crate::worker::Block;

const MIB: usize = 1 << 20;
/// Bytes of each allocator that may be in use.
pub const LIMIT: usize = 32 * MIB;
/// Heaps of the pool that stay.
const STAY: [usize; 2] = [24 * MIB, 5 * MIB + 4242];
/// Heaps that come and go.
const COME: [usize; 4] = [MIB / 4, MIB, 2 * MIB, 4 * MIB];
/// Most blocks that wait for another thread.
pub const PILE: usize = 4096;

/// Memory for a heap.
#[derive(Debug)]
pub struct Region(Vec<u64>);

impl Region {
    /// All of it is resident from the beginning.
    fn new(bytes: usize) -> Self {
        Self(vec![u64::MAX; bytes / 8])
    }

    pub fn base(&self) -> *mut u8 {
        self.0.as_ptr().cast::<u8>().cast_mut()
    }

    pub fn len(&self) -> usize {
        self.0.len() * 8
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub allocations: u64,
    pub failures: u64,
    /// Of the pool alone, whose statistics say the same.
    pub pool: [u64; 2],
    pub threads: u64,
    pub heaps: u64,
    pub stops: u64,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { allocations, failures, threads, heaps, stops, .. } = self;
        write!(
            f,
            "{allocations} allocations and {failures} that failed, {threads} short threads, {heaps} heaps that came and \
             went, {stops} stops"
        )
    }
}

/// The sums of all threads.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; 7]);

impl Counts {
    pub fn add(&self, count: Count) {
        let Count { allocations, failures, pool: [pool, released], threads, heaps, stops } = count;
        for (sum, number) in self.0.iter().zip([allocations, failures, pool, released, threads, heaps, stops]) {
            sum.fetch_add(number, Ordering::Relaxed);
        }
    }

    pub fn sum(&self) -> Count {
        let [allocations, failures, pool, released, threads, heaps, stops] =
            self.0.each_ref().map(|sum| sum.load(Ordering::Relaxed));
        Count { allocations, failures, pool: [pool, released], threads, heaps, stops }
    }
}

#[derive(Debug)]
pub struct World {
    pub pool: Arc<MemoryPool>,
    pub offsets: OffsetPool,
    /// One checks releases, one does not.
    pub allocators: [Arc<PoolAllocator>; 2],
    /// Regions of heaps that come and go.
    pub regions: Vec<Region>,
    /// Blocks that another thread is to release.
    pub pile: Mutex<Vec<Block>>,
    pub count: Counts,
    _stay: Vec<Region>,
}

impl World {
    pub fn new() -> Self {
        let pool = MemoryPool::new();
        let stay: Vec<_> = STAY.into_iter().map(Region::new).collect();
        for region in &stay {
            pool.add_heap(region.base(), region.len()).expect("a region");
        }
        let offsets = OffsetPool::builder().sizes(Sizes::Eighths).build().expect("the sizes are valid");
        offsets.add_range(0, 1 << 28).expect("a range");
        offsets.add_range(1 << 40, (1 << 26) + 4096 * 333).expect("a range");
        let allocator = |checked| {
            Arc::new(PoolAllocator::builder().checked(checked).decay(Duration::from_millis(200)).on_demand(LIMIT))
        };
        Self {
            pool: Arc::new(pool),
            offsets,
            allocators: [allocator(false), allocator(true)],
            regions: COME.into_iter().map(Region::new).collect(),
            pile: Mutex::new(Vec::with_capacity(PILE)),
            count: Counts::default(),
            _stay: stay,
        }
    }
}
