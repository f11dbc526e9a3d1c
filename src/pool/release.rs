//! Release.

use core::ptr::NonNull;

use super::MemoryPool;
use crate::cache::{OwnCache, Visitor, current, return_to};
use crate::error::{ReleaseBatchError, ReleaseError};
use crate::heaps::Heap;
use crate::heaps::View;
use crate::raw::{Batch, Class};

impl MemoryPool {
    /// Releases the block at `block`. Null is fine, and does nothing.
    ///
    /// Exact in every build. If a block is released more than once, even by several threads at once, one release
    /// succeeds and the others get an error. This holds until the address is handed out again. Then it is that
    /// allocation's block.
    ///
    /// # Errors
    ///
    /// When no live block begins there. Nothing is changed then.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(1) in one heap, O(log heaps) in several.
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::ReleaseError;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 4096];
    /// pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.hl_alloc(256);
    /// assert_eq!(pool.hl_release(block.wrapping_add(8)), Err(ReleaseError::Interior));
    /// assert_eq!(pool.hl_release(block), Ok(()));
    /// assert_eq!(pool.hl_release(block), Err(ReleaseError::NotLive));
    /// assert_eq!(pool.hl_release(1 as *mut u8), Err(ReleaseError::Foreign));
    /// # Ok::<(), mempool::AddHeapError>(())
    /// ```
    #[inline]
    pub fn hl_release(&self, block: *mut u8) -> Result<(), ReleaseError> {
        self.begin_release(block.addr(), 0);
        // Null is in no window, so that the fast path need not ask for it.
        match self.push(block.addr()) {
            Some(()) => Ok(()),
            None if block.is_null() => Ok(()),
            None => self.release_slow(block.addr()),
        }
    }

    /// Releases the block at `block`, as [`hl_release`](Self::hl_release) does.
    ///
    /// # Errors
    ///
    /// As [`hl_release`](Self::hl_release).
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// As [`hl_release`](Self::hl_release).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    /// use mempool::ReleaseError;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// let block = pool.alloc(Layout::new::<[u8; 100]>())?;
    /// pool.release(block)?;
    /// assert_eq!(pool.release(block), Err(ReleaseError::NotLive));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn release(&self, block: NonNull<u8>) -> Result<(), ReleaseError> {
        self.release_at(block.addr().get())
    }

    /// Releases the block at an address.
    #[inline]
    fn release_at(&self, address: usize) -> Result<(), ReleaseError> {
        self.begin_release(address, 0);
        match self.push(address) {
            Some(()) => Ok(()),
            None => self.release_slow(address),
        }
    }

    /// Pushes a block into the cache of this thread.
    #[inline]
    pub(crate) fn push(&self, address: usize) -> Option<()> {
        self.push_to(current(&self.caches)?, address)
    }

    /// Pushes a block into this cache of this thread.
    #[inline]
    fn push_to(&self, cache: OwnCache<'_>, address: usize) -> Option<()> {
        cache.push(address, self.config.address_shift, |cache, class| cache.look_slow(class, &self.caches))
    }

    /// The calling thread, that changes the block at an address.
    pub(super) fn visitor(&self, address: usize) -> Visitor<'_> {
        Visitor::new(&self.caches, current(&self.caches).or_else(|| return_to(&self.caches)), address)
    }

    #[cold]
    pub(crate) fn release_slow(&self, address: usize) -> Result<(), ReleaseError> {
        let address_shift = self.config.address_shift;
        let pushed = match current(&self.caches) {
            Some(cache) => {
                let pushed = cache.push_aside(address, address_shift);
                pushed.or_else(|| cache.push_to_outbox(address, address_shift))
            }
            // It may have used another pool since.
            None => return_to(&self.caches)
                .and_then(|cache| self.push_to(cache, address).or_else(|| cache.push_aside(address, address_shift))),
        };
        if pushed.is_some() {
            return Ok(());
        }
        let pinned = self.pin();
        let (heap, block) = pinned.view().locate(address)?;
        match self.cache() {
            Some(cache) => cache.push_slow(heap, block, &self.reach(&pinned)),
            None => {
                heap.buddy().release_by(block, heap.shard(block), &self.visitor(address))?;
                self.count_past_cache(0, 1);
                Ok(())
            }
        }
    }

    /// Releases many blocks. It takes few atomic operations where blocks of one size and heap follow each other. It
    /// releases every block that can be released, whatever the others are, and passes over nulls.
    ///
    /// # Errors
    ///
    /// When some could not be released: how many, the number of the first, and why.
    ///
    /// # Progress
    ///
    /// Lock-free.
    ///
    /// # Complexity
    ///
    /// O(blocks); in several heaps O(blocks × log heaps).
    ///
    /// # Examples
    ///
    /// ```
    /// let pool = mempool::MemoryPool::new();
    /// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// let blocks = [(); 4].map(|()| pool.hl_alloc(64));
    /// pool.release_batch(&blocks)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn release_batch(&self, blocks: &[*mut u8]) -> Result<(), ReleaseBatchError> {
        let all = blocks.iter().enumerate().filter(|(_, block)| !block.is_null());
        self.release_all(all.map(|(number, block)| (number, Ok(block.addr()))))
    }

    /// Releases the blocks at addresses, each with its number, as [`release_batch`](Self::release_batch). Instead of an
    /// address there may be the reason why there is none.
    pub(crate) fn release_all(
        &self,
        addresses: impl Iterator<Item = (usize, Result<usize, ReleaseError>)> + Clone,
    ) -> Result<(), ReleaseBatchError> {
        addresses.clone().filter_map(|(_, address)| address.ok()).for_each(|address| self.begin_release(address, 0));
        let (mut result, mut released) = (Ok(()), 0);
        let pinned = self.heaps.pin();
        let mut batch: Option<(&Heap, Batch<'_>)> = None;
        for (number, address) in addresses {
            let release = |address| release_into(pinned.view(), &mut batch, address, &self.visitor(address));
            match address.and_then(release) {
                Ok(()) => released += 1,
                Err(error) => {
                    let (failed, first, error) = match result {
                        Ok(()) => (1, number, error),
                        Err(ReleaseBatchError { failed, first, error }) => (failed + 1, first, error),
                    };
                    result = Err(ReleaseBatchError { failed, first, error });
                }
            }
        }
        self.count_past_cache(0, released);
        result
    }

    /// The size of the live block at `block` in bytes: the requested size, rounded up to the next of the pool's
    /// [sizes](crate::Sizes).
    ///
    /// # Errors
    ///
    /// When no live block begins there, as [`release`](Self::release).
    ///
    /// # Progress
    ///
    /// Lock-free. It starts again only where a heap is added or removed as it starts.
    ///
    /// # Complexity
    ///
    /// As [`hl_release`](Self::hl_release).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::alloc::Layout;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// pool.add_heap(std::ptr::without_provenance_mut(1 << 20), 4096)?;
    /// let block = pool.alloc(Layout::new::<[u8; 100]>())?;
    /// assert_eq!(pool.block_size(block)?, 128);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn block_size(&self, block: NonNull<u8>) -> Result<usize, ReleaseError> {
        self.begin();
        self.class_at(block.addr().get()).map(|class| self.config.bytes(class))
    }

    /// The class of the live block at an address.
    pub(crate) fn class_at(&self, address: usize) -> Result<Class, ReleaseError> {
        let pinned = self.heaps.pin();
        let (heap, block) = pinned.view().locate(address)?;
        Ok(heap.buddy().live_class(block)?)
    }
}

/// Releases one block of a batch.
fn release_into<'a>(
    heaps: View<'a>,
    batch: &mut Option<(&'a Heap, Batch<'a>)>,
    address: usize,
    by: &Visitor<'_>,
) -> Result<(), ReleaseError> {
    let (heap, block) = heaps.locate(address)?;
    let shard = heap.shard(block);
    match batch {
        Some((current, batch)) if current.id == heap.id => batch.release_by(block, shard, by)?,
        _ => batch.insert((heap, heap.buddy().release_batch())).1.release_by(block, shard, by)?,
    };
    Ok(())
}

#[cfg(all(test, feature = "std", not(loom)))]
mod tests {
    extern crate std;

    use core::ptr;
    use std::thread;

    use crate::MemoryPool;
    use crate::sync::{AtomicU64, Ordering};

    /// Sizes of a round: 64 bytes, and so on by powers of two.
    const SIZES: usize = 8;
    /// Blocks of a round.
    const BLOCKS: usize = 128 * SIZES;
    /// The owner takes a bias again each time that it has released so many blocks.
    const OFTEN: usize = 4;

    /// Waits a random moment.
    fn dawdle(random: &mut fastrand::Rng) {
        for _ in 0..random.u32(..8) {
            core::hint::spin_loop();
        }
    }

    fn wait_until(is_it: impl Fn() -> bool) {
        for times in 0_u64.. {
            if is_it() {
                return;
            }
            // Not too soon: the others come at once where there are processors for all.
            if times % 4096 == 4095 {
                thread::yield_now();
            }
        }
    }

    /// In each round the owner of some blocks has a bias for each size, and all threads release all blocks in one
    /// order. Meanwhile the owner takes the biases again and again.
    fn race(rounds: u64, others: u64) {
        let pool = MemoryPool::new();
        pool.add_heap(ptr::without_provenance_mut(1 << 30), 1 << 26).expect("the addresses are free");
        let [places, counts] = [(); 2].map(|()| [const { AtomicU64::new(0) }; BLOCKS]);
        let (begun, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let release_all = |round: u64, random: &mut fastrand::Rng, is_owner: bool| {
            let mut order = core::array::from_fn::<_, BLOCKS, _>(|place| place);
            fastrand::Rng::with_seed(round).shuffle(&mut order);
            for (number, place) in order.into_iter().enumerate() {
                if is_owner && number % OFTEN == 0 {
                    pool.take_bias((place % SIZES) as u32);
                }
                dawdle(random);
                let block = ptr::without_provenance_mut(places[place].load(Ordering::Relaxed) as usize);
                let released = match random.u32(..4) {
                    0 if !is_owner => pool.release_batch(&[block]).is_ok(),
                    _ => pool.hl_release(block).is_ok(),
                };
                counts[place].fetch_add(released.into(), Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            for other in 0..others {
                let (release_all, begun, done) = (&release_all, &begun, &done);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(other);
                    for round in 1..=rounds {
                        // Acquire: pairs with the Release of `begun` below; this thread sees the blocks of the round.
                        wait_until(|| begun.load(Ordering::Acquire) >= round);
                        release_all(round, &mut random, false);
                        // Release: pairs with the Acquire of `done` below; the owner sees the counts of the round.
                        done.fetch_add(1, Ordering::Release);
                    }
                });
            }
            let mut random = fastrand::Rng::with_seed(others);
            let mut biased = 0;
            for round in 1..=rounds {
                for (place, (block, count)) in places.iter().zip(&counts).enumerate() {
                    let new = pool.hl_alloc(64 << (place % SIZES));
                    assert!(!new.is_null());
                    block.store(new.addr() as u64, Ordering::Relaxed);
                    count.store(0, Ordering::Relaxed);
                }
                (0..SIZES as u32).for_each(|order| pool.take_bias(order));
                biased += pool.caches.iter().map(|(_, cache)| cache.biased().0 as u64).sum::<u64>();
                // Release, and Acquire below: as above.
                begun.store(round, Ordering::Release);
                release_all(round, &mut random, true);
                wait_until(|| done.load(Ordering::Acquire) == others * round);
                for count in &counts {
                    assert_eq!(count.load(Ordering::Relaxed), 1, "each block is released once, in round {round}");
                }
            }
            let most = rounds * SIZES as u64;
            assert!(biased > most / 2 || pool.caches.is_refused(), "{biased} of {most} times there was a bias");
        });
        assert_eq!(pool.stats().live, 0);
    }

    #[test]
    fn of_raced_releases_of_a_biased_block_one_succeeds() {
        race(30, 1);
        race(30, 2);
    }

    /// `RACES`: how many blocks, 10^7 unless set.
    #[test]
    #[ignore = "takes half a minute"]
    fn of_many_raced_releases_of_biased_blocks_one_succeeds() {
        let rounds: u64 = std::env::var("RACES").map_or(10_000_000, |races| races.parse().expect("a number"));
        race(rounds.div_ceil(BLOCKS as u64), 1);
    }
}
