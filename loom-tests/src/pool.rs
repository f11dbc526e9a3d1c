//! A pool with its caches, whose blocks have a payload, and the check that ends every model on one.

use std::fmt;
use std::ptr;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use mempool::{BlockState, MemoryPool, ReleaseError, Sizes};

/// Bytes of a unit.
const UNIT: usize = 16;

/// Where the heap of number 0 begins; the others follow, as far apart. These are only numbers: nothing is there.
const BASE: usize = 1 << 20;

/// A block of a [`Pool`].
pub type Address = *mut u8;

/// A pool, and for each unit of its heaps a payload that stands for its memory, as in [`Heap`](crate::Heap).
pub struct Pool {
    /// The pool itself.
    pub raw: MemoryPool,
    owned: Vec<Vec<UnsafeCell<bool>>>,
}

// SAFETY: loom lets one thread run at a time, and reports accesses to a cell that no happens-before orders.
unsafe impl Sync for Pool {}
// SAFETY: as above.
unsafe impl Send for Pool {}

impl Pool {
    /// A pool of heaps of these numbers of units, powers of two, all of it free. A cache holds at most `cache` units:
    /// half of them in its bins, the rest in its outboxes.
    pub fn new(heaps: &[usize], cache: usize) -> Arc<Self> {
        Self::to_grow(heaps, &[], cache)
    }

    /// The same with biased releases.
    pub fn biased(heaps: &[usize], cache: usize) -> Arc<Self> {
        Self::of(Self::raw(cache).with_bias(), heaps, &[])
    }

    /// A pool of heaps to which others may be added, of these numbers of units.
    pub fn to_grow(heaps: &[usize], later: &[usize], cache: usize) -> Arc<Self> {
        Self::of(Self::raw(cache), heaps, later)
    }

    /// The same with sizes between two orders.
    pub fn biased_with_parts(heaps: &[usize], cache: usize) -> Arc<Self> {
        let builder = MemoryPool::builder().min_block(UNIT).thread_cache(cache * UNIT).sizes(Sizes::Eighths);
        Self::of(builder.build().expect("a right configuration").with_bias(), heaps, &[])
    }

    fn raw(cache: usize) -> MemoryPool {
        MemoryPool::builder().min_block(UNIT).thread_cache(cache * UNIT).build().expect("a right configuration")
    }

    fn of(raw: MemoryPool, heaps: &[usize], later: &[usize]) -> Arc<Self> {
        for (number, units) in heaps.iter().enumerate() {
            raw.add_heap(ptr::without_provenance_mut((number + 1) * BASE), units * UNIT).expect("a few bytes");
        }
        let payload = |units: &usize| (0..*units).map(|_| UnsafeCell::new(false)).collect();
        Arc::new(Self { raw, owned: heaps.iter().chain(later).map(payload).collect() })
    }

    /// A pool of heaps that came with their tables. Models have no memory for these, but all else is as there.
    pub fn given(heaps: &[usize]) -> Arc<Self> {
        let pool = Self::to_grow(&[], heaps, 0);
        for (number, units) in heaps.iter().enumerate() {
            let added = pool.raw.add_heap_with(Self::address(number, 0).as_ptr(), units * UNIT, &mut []);
            added.expect("the addresses are free");
        }
        pool
    }

    /// Allocates a block of `units` units.
    pub fn try_alloc(&self, units: usize) -> Option<Address> {
        let block = Some(self.raw.hl_alloc(units * UNIT)).filter(|block| !block.is_null())?;
        self.own(block, units);
        Some(block)
    }

    /// Allocates a block of `units` units that is to be had.
    ///
    /// # Panics
    ///
    /// When it is not.
    pub fn alloc(&self, units: usize) -> Address {
        self.try_alloc(units).expect("there is such a block")
    }

    /// Allocates `COUNT` single units, past the caches.
    ///
    /// # Panics
    ///
    /// When they are not to be had.
    pub fn alloc_past_caches<const COUNT: usize>(&self) -> [Address; COUNT] {
        let mut blocks = [ptr::null_mut(); COUNT];
        let unit = std::alloc::Layout::new::<[u8; UNIT]>();
        assert_eq!(self.raw.alloc_batch(unit, &mut blocks), Ok(COUNT));
        blocks.iter().for_each(|block| self.own(*block, 1));
        blocks
    }

    /// Releases a block that the caller owns.
    ///
    /// # Panics
    ///
    /// When it is not live.
    pub fn release(&self, block: Address, units: usize) {
        self.disown(block, units);
        assert_eq!(self.try_release(block), Ok(()));
    }

    /// Releases a block that others may release too. Nobody has its memory.
    ///
    /// # Errors
    ///
    /// When another release was faster.
    pub fn try_release(&self, block: Address) -> Result<(), ReleaseError> {
        self.raw.hl_release(block)
    }

    /// Grows a block in place to `units` units, if it is live and its buddies are free. Nobody has its memory.
    pub fn grow(&self, block: Address, units: usize) -> bool {
        let block = ptr::NonNull::new(block).expect("no block is at null");
        self.raw.resize_in_place(block, units * UNIT).is_ok()
    }

    /// Allocates a unit, releases it, and exits: what is left is an index that is free, and what its cache holds.
    pub fn visit(&self) {
        let block = self.alloc(1);
        self.release(block, 1);
        self.exit();
    }

    /// From now on readers of the set of heaps are counted, since the model removes some. Before its threads start.
    pub fn watch(&self) {
        self.raw.watch_heaps();
    }

    /// Removes the heap of this number, if nobody uses it; then the caller has all its memory.
    pub fn remove(&self, heap: usize) -> bool {
        let id = self.raw.heap_of(Self::address(heap, 0));
        let removed = id.is_some_and(|id| self.raw.remove_heap(id).is_ok());
        if removed {
            self.own(Self::address(heap, 0).as_ptr(), self.owned[heap].len());
        }
        removed
    }

    /// Adds the heap of this number.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn add(&self, heap: usize) {
        let added = self.raw.add_heap(Self::address(heap, 0).as_ptr(), self.owned[heap].len() * UNIT);
        added.expect("the addresses are free, and there is memory for its tables");
    }

    /// Where a unit of a heap is.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn address(heap: usize, unit: usize) -> ptr::NonNull<u8> {
        let address = ptr::without_provenance_mut((heap + 1) * BASE + unit * UNIT);
        ptr::NonNull::new(address).expect("no heap is at null")
    }

    /// The thread is gone.
    pub fn exit(&self) {
        self.raw.exit_thread();
    }

    /// Units in caches.
    pub fn cached(&self) -> usize {
        self.raw.stats().cached / UNIT
    }

    /// The caller owns this block now, and writes to its memory.
    pub fn own(&self, block: Address, units: usize) {
        self.write(block, units, true);
    }

    /// The caller writes to the memory of its block for the last time.
    pub fn disown(&self, block: Address, units: usize) {
        self.write(block, units, false);
    }

    fn write(&self, block: Address, units: usize, owned: bool) {
        let (heap, first) = (block.addr() / BASE - 1, block.addr() % BASE / UNIT);
        for unit in first..first + units {
            self.owned[heap][unit].with_mut(|was| {
                // SAFETY: loom keeps a happens-before between this and each other access, else it reports the race.
                let was = unsafe { &mut *was };
                assert_ne!(*was, owned, "unit {unit} of heap {heap} has two owners, or none");
                *was = owned;
            });
        }
    }

    /// The end of a model, when its threads exited and were joined: `live` are the units that are still out.
    ///
    /// Nothing is lost: when they are released, and this thread is gone too, one sweep gives everything that is cached
    /// anywhere back, and merges each heap to one block.
    ///
    /// # Panics
    ///
    /// When it is not so.
    pub fn end(&self, live: &[Address]) {
        let stats = self.raw.stats();
        assert_eq!((stats.live / UNIT, stats.in_transit), (live.len(), 0), "what is live is what the threads have");
        live.iter().for_each(|block| self.release(*block, 1));
        self.exit();
        self.raw.sweep();
        // Of the heaps that are there.
        let blocks = self.raw.heap_map().map(|block| (block.size / UNIT, block.state));
        let is_there = |number: &usize| self.raw.heap_of(Self::address(*number, 0)).is_some();
        let heaps = (0..self.owned.len()).filter(is_there).map(|number| (self.owned[number].len(), BlockState::Free));
        assert_eq!(Vec::from_iter(blocks), Vec::from_iter(heaps), "everything has come back and coalesced");
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
