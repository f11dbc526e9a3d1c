//! Removing a heap.

use super::MemoryPool;
use crate::error::RemoveHeapError;
use crate::heaps::Heap;
use crate::heaps::Pinned;
use crate::id::HeapId;
use crate::raw::Kind;
use crate::sync::{model_or, yield_now};
use crate::thread;

/// Retries while none of the heap is live: blocks in transit or in caches come back soon.
/// Under loom few: each costs executions.
const TRIES: usize = model_or(1, 64);

impl MemoryPool {
    /// Removes a heap that nobody uses any more, also while other threads use the pool. Its memory is the caller's
    /// again, and its addresses may be added as a new heap.
    ///
    /// The heap is closed to allocations. Blocks of it go back to it from the caller's cache, from caches of ended
    /// threads, and from depots. If all of it is free then, it is taken out; else it is opened again. Allocations that
    /// come meanwhile do without the heap, and may fail because of that.
    ///
    /// The heap's tables are freed when no thread can be reading them any more: by this call, by a later
    /// [`add_heap`](Self::add_heap) or [`sweep`](Self::sweep), or with the pool. Two kinds of threads keep them: one
    /// that last worked with this heap and does nothing since, and one that was stopped while it read the set of
    /// heaps. The second keeps what the set had before and after one change, however many heaps come and go. (There are
    /// 128 words for readers. If 128 readers are stopped after different changes, one more stopped reader keeps *all*
    /// removed tables.) Tables that [came with the heap](Self::add_heap_with) are not freed: they can be
    /// [taken back](Self::take_tables) then.
    ///
    /// # Errors
    ///
    /// When the pool has no such heap, when another thread is removing it, when some of it is live or in the cache of
    /// another running thread, or when there is no memory for the new set of heaps. Threads with some of it in their
    /// caches are asked to give it back at their next operation, so a second try may succeed.
    ///
    /// # Progress
    ///
    /// Lock-free, except for the global allocator.
    ///
    /// # Complexity
    ///
    /// O(blocks of the heap + heaps).
    ///
    /// # Examples
    ///
    /// ```
    /// use mempool::RemoveHeapError;
    ///
    /// let pool = mempool::MemoryPool::new();
    /// let mut heap = vec![0u8; 1 << 16];
    /// let id = pool.add_heap(heap.as_mut_ptr(), heap.len())?;
    /// let block = pool.hl_alloc(1000);
    /// assert!(matches!(pool.remove_heap(id), Err(RemoveHeapError::InUse { live: 1024, .. })));
    /// pool.hl_release(block)?;
    /// pool.remove_heap(id)?;
    /// drop(heap);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_heap(&self, heap: HeapId) -> Result<(), RemoveHeapError> {
        self.begin();
        let removed = self.remove(heap);
        self.collect();
        removed
    }

    fn remove(&self, id: HeapId) -> Result<(), RemoveHeapError> {
        let pinned = self.pin();
        let heap = pinned.view().get(id).ok_or(RemoveHeapError::UnknownHeap { heap: id })?;
        if !heap.buddy().close() {
            return Err(RemoveHeapError::BeingRemoved { heap: id });
        }
        let removed = self.take_all(&pinned, heap).and_then(|()| {
            self.heaps.remove(heap).map_err(|unavailable| {
                heap.buddy().give_back(thread::sweep_shard());
                RemoveHeapError::MetadataUnavailable { bytes: unavailable.bytes }
            })
        });
        if removed.is_err() {
            heap.buddy().open();
        }
        removed
    }

    /// Takes all of a closed heap.
    fn take_all(&self, pinned: &Pinned<'_>, heap: &Heap) -> Result<(), RemoveHeapError> {
        let (own, reach) = (self.cache(), self.reach(pinned));
        let mut tries = 0;
        loop {
            reach.reclaim(own);
            heap.buddy().sweep(None, thread::sweep_shard());
            if heap.buddy().take_all(thread::sweep_shard()) {
                return Ok(());
            }
            tries += 1;
            let (mut live, mut cached, mut in_transit) = (0, 0, 0);
            // A range of offsets may have more bytes than a `usize` can count.
            let add = usize::saturating_add;
            for (_, seen) in heap.buddy().scan() {
                match seen.kind() {
                    Kind::Inner => in_transit = add(in_transit, self.config.bytes_of(1)),
                    Kind::Free => {}
                    Kind::Cached => cached = add(cached, self.config.bytes(seen.class())),
                    Kind::Live | Kind::Tail => live = add(live, self.config.bytes(seen.size())),
                }
            }
            if live > 0 || tries >= TRIES {
                let caches = reach.others(own).count();
                return Err(RemoveHeapError::InUse { heap: heap.id, live, cached, caches, in_transit });
            }
            reach.ask_others(own);
            yield_now();
        }
    }

    /// What `sweep` does besides: frees what can be freed.
    #[cfg(modelled)]
    #[doc(hidden)]
    pub fn free_removed(&self) {
        self.collect();
    }

    /// Frees the tables of heaps that were removed, if nobody can be reading them any more.
    pub(super) fn collect(&self) {
        self.heaps.collect(|heap| self.caches.iter().any(|(_, cache)| cache.window.shows(heap)));
    }
}
