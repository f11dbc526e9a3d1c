//! Reserving: blocks at given places.

use super::MemoryPool;
use crate::heaps::{Heap, Pinned};
use crate::raw::{Buddy, Occupied, Shard};
use crate::sync::{model_or, yield_now};

/// Retries while none of the units is live: blocks in transit or in caches come back soon.
/// Under loom few: each costs executions.
const TRIES: usize = model_or(1, 64);

impl MemoryPool {
    /// Takes units of a heap by `take`: those that are free, and those that are cached within reach. `take` returns how
    /// many blocks they are. Other threads are asked to give theirs back. Those that do so in time help.
    pub(crate) fn reserve(
        &self,
        pinned: &Pinned<'_>,
        heap: &Heap,
        take: impl Fn(&Buddy, Shard) -> Result<u32, Occupied>,
    ) -> Result<u32, Occupied> {
        let (own, reach, shard) = (self.cache(), self.reach(pinned), self.shard());
        let mut tries = 0;
        loop {
            match take(heap.buddy(), shard) {
                // The figures of an error are without what was within reach.
                Err(occupied) if tries == 0 || occupied.live == 0 && tries <= TRIES => {}
                Err(occupied) => return Err(occupied),
                Ok(taken) => {
                    self.count_past_cache(taken as usize, 0);
                    return Ok(taken);
                }
            }
            reach.reclaim(own);
            if tries > 0 {
                reach.ask_others(own);
                yield_now();
            }
            tries += 1;
        }
    }
}
