//! Whose neighbours a block lies among: threads that each have blocks of one cache line of states wait for each other with
//! every operation.
//!
//! A stretch of units has a *owner*: the cache that carved it up. That stays so, whoever gets single blocks of it, until the
//! owner has no room for them, or the stretch is merged and carved anew. So blocks that went astray, while the thread at owner was
//! not running or had too many, find back the next time that they leave a cache: to the owner's depot, or into its shard of the
//! heap, where it looks first. If the stretch went with the first of them, the others would follow it, and a mixture would spread.

use crate::heaps::Heap;
use crate::raw::{BlockIndex, Order, Owner};

use super::bin::Entry;
use super::cache::OwnCache;
use super::caches::Reach;

/// Blocks, sorted by what became of them when they were to be brought owner.
#[derive(Debug)]
pub(super) struct Sorted<'a> {
    /// These are at owner here, or nowhere.
    pub(super) own: &'a [Entry],
    /// At the owner of these there is no room for them.
    pub(super) refused: &'a [Entry],
    /// So many were brought owner.
    pub(super) sent: usize,
}

impl<'a> Sorted<'a> {
    /// None was to be brought owner.
    pub(super) fn unsorted(blocks: &'a [Entry]) -> Self {
        Self { own: blocks, refused: &[], sent: 0 }
    }
}

impl OwnCache<'_> {
    /// Leaves those blocks of `order` that lie among the ones of another running thread in that thread's depot, as far as
    /// there is room. `owner` tells whose neighbours a block lies among.
    pub(super) fn bring_owner<'a>(
        self,
        order: Order,
        blocks: &'a mut [Entry],
        owner: impl Fn(Entry) -> Owner,
        reach: &Reach<'_>,
    ) -> Sorted<'a> {
        let magazine = reach.limit().magazine(order);
        if magazine == 0 || order.units() >= Heap::TILE {
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
            let run = next..next + 1 + alike.take(magazine - 1).count();
            if !reach.running(first).is_some_and(|owner| owner.depot.put(order, &others[run.clone()], magazine)) {
                others.copy_within(run.clone(), refused);
                refused += run.len();
            }
            next = run.end;
        }
        Sorted { own, sent: next - refused, refused: &others[..refused] }
    }

    /// The stretch that a block lies in is this cache's from now on.
    pub(super) fn settle(self, heap: &Heap, block: BlockIndex) {
        heap.set_tile_owner(block, self.owner());
    }
}
