//! Slots are taken and given, and slabs opened for them.

use super::bitmap::Slots;
use super::extra::SlabId;
use super::lists::{Class, Whose};
use super::page_map::Entry;
use super::pages::Slabs;
use super::retire::Closed;
use super::shape::{BITMAPS, BitmapId};
use super::spans::Growth;
use crate::raw::order::Order;
use crate::raw::shards::Shard;
use crate::sync::{Ordering, model_or};

/// Dirty pages are many if they are more than this part of the heap.
const PLENTY_PART: u32 = 16;
/// Idle slabs may have this part of the heap.
/// Under loom a larger part: no model has 48 pages.
const IDLE_PART: u32 = model_or(8, 48);
/// Idle slabs may have this part of a calm heap.
const CALM_IDLE_PART: u32 = 6;
/// Idle slabs may have at least this many pages.
/// Under loom none, so that slabs are closed.
const LEAST_IDLE: u32 = model_or(0, 8);

impl<const CLASSES: usize> Slabs<CLASSES> {
    /// Takes up to `most` slots of a class for a thread of a shard, and hands them to `put`, bitmap by bitmap; returns
    /// how many.
    ///
    /// It looks into slabs of the shard first. Then, if there are other shards, it opens a new slab and looks into
    /// slabs of other shards, in this order or the other one. The heap does not grow for it. Lock-free.
    pub fn take(&self, class: Class, most: u32, shard: Shard, mut put: impl FnMut(BitmapId, Slots)) -> u32 {
        let put = &mut put;
        let mut taken = self.take_listed(class, most, shard, Whose::Own, put);
        if taken > 0 || !self.bitmaps.are_in_shards() {
            return taken;
        }
        let rather = self.opens_rather(class, most);
        for opens in [rather, !rather] {
            if taken == 0 {
                taken = match opens {
                    true => self.open(class, most, Growth::No, shard, put),
                    false => self.take_listed(class, most, shard, Whose::Others, put),
                };
            }
        }
        taken
    }

    /// The same from a new slab, for which the heap may grow. Lock-free.
    pub fn take_new(
        &self,
        class: Class,
        most: u32,
        growth: Growth,
        shard: Shard,
        mut put: impl FnMut(BitmapId, Slots),
    ) -> u32 {
        self.open(class, most, growth, shard, &mut put)
    }

    /// Is a new slab better than free slots of other shards? It is if half of a bitmap is used at once, or if many free
    /// pages are dirty. Then the blocks of two threads lie apart, and the heap needs hardly more memory for it.
    fn opens_rather(&self, class: Class, most: u32) -> bool {
        let slots = self.shape(class).slots_of(0).count();
        most >= slots.div_ceil(2) || self.dirty() > self.grown() / PLENTY_PART
    }

    /// Takes up to `most` slots of slabs that are open.
    fn take_listed(
        &self,
        class: Class,
        most: u32,
        shard: Shard,
        whose: Whose,
        put: &mut impl FnMut(BitmapId, Slots),
    ) -> u32 {
        let mut taken = 0;
        while taken < most {
            let slab_of = |bitmap| self.slab(self.id_of(bitmap).head).map(|slab| (slab.class, slab.shard));
            let next = self.bitmaps.take(class, most - taken, shard, whose, slab_of);
            let Some((now, bitmap, got)) = next else { break };
            let id = self.id_of(bitmap);
            if now != class {
                // This ends: the bitmap has left the wrong stack.
                self.put_back(now, id, got.before, got.slots);
                continue;
            }
            self.count_idle(class, id, got.before, false);
            put(id, got.slots);
            taken += got.slots.count();
        }
        taken
    }

    /// Opens a new slab in a shard.
    #[cold]
    fn open(
        &self,
        class: Class,
        most: u32,
        growth: Growth,
        shard: Shard,
        put: &mut impl FnMut(BitmapId, Slots),
    ) -> u32 {
        let shape = self.shape(class);
        let Some((head, _)) = self.take_span(shape.pages, Order::ZERO, growth) else { return 0 };
        let set = match shape.extra() {
            0 => None,
            count => {
                let Some(set) = self.extra.take(count, SlabId { class, head, shard }) else {
                    // There are as many sets as pages may need, but there may be no memory for them.
                    self.release_pages(head, shape.pages);
                    return 0;
                };
                Some(set)
            }
        };
        for before in 0..shape.pages {
            self.set(head + before, set.map_or(Entry::slab(class, before, shard), Entry::several));
        }
        let mut taken = 0;
        for nth in 0..BITMAPS {
            let (id, all) = (BitmapId { head, nth }, shape.slots_of(nth));
            let mine = all.lowest(most - taken);
            if !mine.is_empty() {
                put(id, mine);
                taken += mine.count();
            }
            let rest = all.without(mine);
            if !rest.is_empty()
                && let Some(bitmap) = self.bitmap(id)
            {
                // Nothing was free before: nobody else had a slot of it.
                _ = self.bitmaps.give(class, bitmap, rest, shard);
            }
        }
        taken
    }

    /// Gives back slots of the caller; returns those that were free already. The slab may be closed then. Lock-free.
    pub fn give(&self, class: Class, id: BitmapId, slots: Slots) -> Slots {
        let shape = self.shape(class);
        let all = shape.slots_of(id.nth);
        // Without a bitmap, the caller has no slot of it.
        let Some(bitmap) = self.bitmap(id) else { return slots };
        // A slab of several bitmaps is closed as soon as it can be: it has the smallest slots, so that is rare.
        let close = || !shape.is_one_bitmap() || self.is_too_idle(shape.pages);
        let outcome = self.bitmaps.give_or_close(class, bitmap, slots, all, self.shard_of(id.head), close);
        if outcome.closed {
            let mut closed: Closed = [false; BITMAPS as usize];
            closed[id.in_slab()] = true;
            self.close(class, id.head, closed);
        } else if outcome.full {
            self.count_idle(class, id, all, true);
        }
        outcome.given.twice
    }

    #[cfg_attr(loom, allow(clippy::unnecessary_min_or_max, reason = "the least is 0 there"))]
    fn is_too_idle(&self, more: u32) -> bool {
        let (idle, grown) = (self.idle() + more, self.grown());
        idle > (grown / IDLE_PART).max(LEAST_IDLE) && (idle > grown / CALM_IDLE_PART || !self.resident.is_calm())
    }

    /// Counts a slab of one bitmap as idle (`more`), or as idle no longer, if `free` are all its slots.
    pub(super) fn count_idle(&self, class: Class, id: BitmapId, free: Slots, more: bool) {
        let shape = self.shape(class);
        if shape.is_one_bitmap() && free == shape.slots_of(id.nth) {
            // Relaxed, both: a number.
            if more {
                self.idle.fetch_add(shape.pages, Ordering::Relaxed);
            } else {
                self.idle.fetch_sub(shape.pages, Ordering::Relaxed);
            }
        }
    }
}
