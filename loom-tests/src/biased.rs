//! Blocks and caches around the protocol of biased releases, with a payload for each block.
//!
//! A block is a unit, with a state as the heaps have it. The payload stands for its memory: loom reports a block that
//! two threads have, or that comes to the next one without all that the last one did.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use mempool::bias::{Bias, Guests, Intent, Released, Restored, Visit, Words};
use mempool::sync::{AtomicU16, AtomicU32, Local, Ordering};

const ORDERS: usize = 2;
const CACHES: usize = 3;

const FREE: u16 = 0;
const CACHED: u16 = 1;
const LIVE: u16 = 2;
const KIND: u16 = 0b11;
const ORDER_SHIFT: u32 = 2;
const OWNER_SHIFT: u32 = 4;

/// A cache: its bias, and the blocks in it.
#[derive(Debug, Default)]
struct Cache {
    intent: Intent,
    words: Words<ORDERS>,
    visit: Visit,
    lease: AtomicU32,
    bin: Local<RefCell<Vec<usize>>>,
}

/// A thread's way to release: from its cache, or without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The thread that has the lease of this cache.
    Cache(usize),
    /// A thread without a cache.
    Guest,
}

/// Blocks, and the caches that handed them out.
pub struct Biased {
    states: Vec<AtomicU16>,
    payloads: Vec<UnsafeCell<()>>,
    caches: [Cache; CACHES],
    guests: Guests,
}

// SAFETY: loom lets one thread run at a time, and reports accesses to a cell that no happens-before orders.
unsafe impl Sync for Biased {}
// SAFETY: as above.
unsafe impl Send for Biased {}

fn live(owner: usize, order: usize) -> u16 {
    LIVE | (order as u16) << ORDER_SHIFT | (owner as u16) << OWNER_SHIFT
}

/// The owner and the order of a block in this state, if it is live.
fn of_live(state: u16) -> Option<(usize, usize)> {
    let order = usize::from(state >> ORDER_SHIFT & 0b11);
    (state & KIND == LIVE).then_some((usize::from(state >> OWNER_SHIFT), order))
}

fn address(block: usize) -> u64 {
    (block as u64 + 1) << 6
}

impl Biased {
    /// Live blocks of order 0, each with the cache that handed it out. The orders of the caches are biased.
    pub fn new(owners: &[usize]) -> Arc<Self> {
        let biased = Self::unbiased(owners);
        biased.caches.iter().for_each(|cache| cache.words.begin());
        biased
    }

    /// The same without bias: as it is without heavy fences, or after a revocation.
    pub fn unbiased(owners: &[usize]) -> Arc<Self> {
        Arc::new(Self {
            states: owners.iter().map(|owner| AtomicU16::new(live(*owner, 0))).collect(),
            payloads: owners.iter().map(|_| UnsafeCell::new(())).collect(),
            caches: Default::default(),
            guests: Guests::new(),
        })
    }

    fn state(&self, block: usize) -> u16 {
        // Acquire: as in the heaps.
        self.states[block].load(Ordering::Acquire)
    }

    /// The caller has the block now, or had it until now.
    pub fn touch(&self, block: usize) {
        self.payloads[block].with_mut(|_| ());
    }

    fn bias(&self, cache: usize) -> Bias<'_, ORDERS> {
        let Cache { intent, words, .. } = &self.caches[cache];
        Bias { intent, words }
    }

    fn bin(&self, cache: usize) -> &RefCell<Vec<usize>> {
        // SAFETY: the caller is the thread that has the lease; loom reports it else.
        unsafe { self.caches[cache].bin.get() }
    }

    fn exchange(&self, block: usize, seen: u16, new: u16) -> Result<(), u16> {
        // AcqRel and Acquire: as in the heaps.
        self.states[block].compare_exchange(seen, new, Ordering::AcqRel, Ordering::Acquire).map(|_| ())
    }

    /// The block that the caller has released goes into its cache, or to the heap.
    fn put(&self, by: By, block: usize) {
        if let By::Cache(cache) = by {
            self.bin(cache).borrow_mut().push(block);
        }
    }

    /// Hands out the youngest block of a cache, as order 0.
    pub fn pop(&self, cache: usize) -> Option<usize> {
        let block = self.bin(cache).borrow_mut().pop()?;
        // From the store on any thread may release it, rightly or not.
        self.touch(block);
        // Release: as in the heaps.
        self.states[block].store(live(cache, 0), Ordering::Release);
        Some(block)
    }

    /// Releases a block that the owner has: into its cache, on the fast path; false, if that could not.
    pub fn push(&self, cache: usize, block: usize) -> bool {
        self.push_as_seen(cache, block, self.state(block))
    }

    fn push_as_seen(&self, cache: usize, block: usize, seen: u16) -> bool {
        let Some((_, order)) = of_live(seen).filter(|(owner, _)| *owner == cache) else { return false };
        let released = self.bias(cache).release(
            order,
            address(block),
            // Release: pairs with the Acquire in `state`; a scan that sees the block cached sees what came before.
            || self.states[block].store(CACHED, Ordering::Release),
            || {
                let held = self.exchange(block, seen, CACHED).is_ok();
                if held {
                    self.touch(block);
                }
                held
            },
        );
        if released == Released::Plainly {
            self.touch(block);
        }
        if released != Released::Not {
            self.put(By::Cache(cache), block);
        }
        released != Released::Not
    }

    /// Releases a block, as the pool does: true, if it was live.
    pub fn release(&self, by: By, block: usize) -> bool {
        if let By::Cache(cache) = by
            && self.push(cache, block)
        {
            return true;
        }
        self.release_slow(by, block)
    }

    /// Releases a block without the fast path: the window is closed, or the block is another cache's.
    pub fn release_slow(&self, by: By, block: usize) -> bool {
        let released = match by {
            By::Cache(_) => self.change(by, block, |_| CACHED),
            By::Guest => self.change(by, block, |_| FREE),
        };
        if released {
            self.touch(block);
            self.put(by, block);
        }
        released
    }

    /// Releases several blocks, in one visit to each owner. Returns how many were live.
    pub fn release_batch(&self, by: By, blocks: &[usize]) -> usize {
        blocks.iter().filter(|block| self.release_slow(by, **block)).count()
    }

    /// Gives a live block another order where it is; false, if it is not live.
    pub fn resize(&self, by: By, block: usize, order: usize) -> bool {
        self.change(by, block, |owner| live(owner, order))
    }

    /// Changes the state of a live block by compare-exchange.
    fn change(&self, by: By, block: usize, new: impl Fn(usize) -> u16) -> bool {
        let mut seen = self.state(block);
        while let Some((owner, order)) = of_live(seen) {
            let changed = if by == By::Cache(owner) {
                self.exchange(block, seen, new(owner))
            } else {
                self.begin_visit(by, owner);
                let may = self.bias(owner).may_release(order, address(block));
                let changed = may.then(|| self.exchange(block, seen, new(owner)));
                self.end_visit(by);
                // The owner is releasing it.
                let Some(changed) = changed else { return false };
                changed
            };
            match changed {
                Ok(()) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    fn begin_visit(&self, by: By, owner: usize) {
        match by {
            By::Cache(cache) => self.caches[cache].visit.begin(owner),
            By::Guest => self.guests.begin(),
        }
    }

    fn end_visit(&self, by: By) {
        match by {
            By::Cache(cache) => self.caches[cache].visit.end(),
            By::Guest => self.guests.end(),
        }
    }

    /// The owner takes the bias of order 0 back, if nobody visits it.
    pub fn restore(&self, cache: usize) -> bool {
        let is_visited = || self.caches.iter().any(|other| other.visit.is_to(cache)) || self.guests.is_any();
        self.bias(cache).restore(0, is_visited) == Restored::Yes
    }

    /// Gives the blocks of a cache back to the heap.
    pub fn flush(&self, cache: usize) {
        for block in self.bin(cache).borrow_mut().drain(..) {
            self.touch(block);
            // Release: as in the heaps.
            self.states[block].store(FREE, Ordering::Release);
        }
    }

    /// The thread takes the lease of a cache that no thread has.
    pub fn adopt(&self, cache: usize) -> bool {
        // Acquire: pairs with the Release in `leave`. Relaxed on failure: nothing is done.
        self.caches[cache].lease.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The thread ends, and leaves its cache to others.
    pub fn leave(&self, cache: usize) {
        // Release: pairs with the Acquire in `adopt`.
        self.caches[cache].lease.store(0, Ordering::Release);
    }

    /// Is the block live?
    pub fn is_live(&self, block: usize) -> bool {
        of_live(self.state(block)).is_some()
    }

    /// The end of a model: `live` blocks are live, each other one is in one cache, or free.
    ///
    /// # Panics
    ///
    /// When they are not.
    pub fn end(&self, live: usize) {
        let mut cached = Vec::from_iter((0..CACHES).flat_map(|cache| self.bin(cache).borrow().clone()));
        cached.sort_unstable();
        let of_kind = |kind: u16| (0..self.states.len()).filter(move |block| self.state(*block) & KIND == kind);
        assert_eq!(cached, Vec::from_iter(of_kind(CACHED)), "each cached block is in one cache");
        assert_eq!(of_kind(LIVE).count(), live);
        (0..self.states.len()).for_each(|block| self.touch(block));
    }
}

impl fmt::Debug for Biased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Biased").field("caches", &self.caches).finish_non_exhaustive()
    }
}
