//! Among whose blocks a block lies. Threads that each have blocks with states in one cache line wait for each other
//! with every operation.
//!
//! A tile of units has an *owner*: the cache that carved it up. It keeps its owner, whoever gets single blocks of it,
//! until it is merged and carved anew. So a block that went astray, while its owner's thread was not running or had too
//! many, finds back the next time that it leaves a cache: to the owner's depot, or into the owner's shard of the heap,
//! where the owner looks first.

use crate::heaps::Heap;
use crate::raw::{Class, Owner};

use super::cache::OwnCache;
use super::caches::Reach;
use super::entry::Entry;

/// Blocks that were to be sent to the owners of their tiles.
#[derive(Debug)]
pub(super) struct Sorted<'a> {
    /// Those of this cache's tiles, and of tiles without a running owner.
    pub(super) own: &'a [Entry],
    /// Those of owners whose depots have no room.
    pub(super) refused: &'a [Entry],
    /// How many were sent.
    pub(super) sent: usize,
}

impl<'a> Sorted<'a> {
    /// None was to be sent.
    pub(super) fn unsorted(blocks: &'a [Entry]) -> Self {
        Self { own: blocks, refused: &[], sent: 0 }
    }
}

impl OwnCache<'_> {
    /// Leaves blocks of `class` that lie in other running threads' tiles in the depots of those threads, as far as
    /// there is room. `owner` tells whose tile a block lies in.
    pub(super) fn send_to_owners<'a>(
        self,
        class: Class,
        blocks: &'a mut [Entry],
        owner: impl Fn(Entry) -> Owner,
        reach: &Reach<'_>,
    ) -> Sorted<'a> {
        let magazine = self.magazine(class, &reach.limit());
        if magazine == 0 || class.units() >= Heap::TILE {
            return Sorted::unsorted(blocks);
        }
        let mut own = 0;
        for place in 0..blocks.len() {
            let owner = owner(blocks[place]);
            if owner == Owner::NONE || owner == self.owner() || reach.running(owner).is_none() {
                blocks.swap(own, place);
                own += 1;
            }
        }
        let (own, others) = blocks.split_at_mut(own);
        let (mut refused, mut next) = (0, 0);
        while next < others.len() {
            let first = owner(others[next]);
            let alike = others[next + 1..].iter().take_while(|block| owner(**block) == first);
            let batch = next..next + 1 + alike.take(magazine - 1).count();
            if !reach.running(first).is_some_and(|owner| owner.depot.put(class, &others[batch.clone()], magazine)) {
                others.copy_within(batch.clone(), refused);
                refused += batch.len();
            }
            next = batch.end;
        }
        Sorted { own, sent: next - refused, refused: &others[..refused] }
    }
}
