//! Grows and shrinks a `Live` block where it is.

use super::buddy::{Buddy, NotLive};
use super::class::Class;
use super::order::{BlockIndex, Order};
use super::shards::Shard;
use super::state::Kind;
use super::visits::{Visits, WithoutOwner};

/// Why a block was not resized in place. Nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CantResize {
    /// No `Live` block begins there.
    NotLive(NotLive),
    /// It begins where a block of that size may not, or the units behind it are not all free.
    NoRoom,
}

impl Buddy {
    /// [`resize_by`](Self::resize_by) of a block that no cache has handed out.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn resize(&self, block: BlockIndex, to: impl Into<Class>, shard: Shard) -> Result<Class, CantResize> {
        self.resize_by(block, to, shard, &WithoutOwner)
    }

    /// Gives the `Live` block at `block` the class `to`. A shrink publishes what is behind it, a growth takes the free
    /// units there. Returns the class that it had. Lock-free. A growth is O(units gained), if those are not merged
    /// yet.
    ///
    /// A release that races with it releases the whole block: as it was, and the resize fails; or as it will be.
    ///
    /// # Errors
    ///
    /// When there is no such block, or no room. Then nothing changed.
    pub fn resize_by(
        &self,
        block: BlockIndex,
        to: impl Into<Class>,
        shard: Shard,
        by: &impl Visits,
    ) -> Result<Class, CantResize> {
        let (from, to) = (self.live_class(block).map_err(CantResize::NotLive)?, to.into());
        if from == to {
            return Ok(from);
        }
        if !(from.is_order() && to.is_order()) {
            return self.resize_parts(block, from, to, shard, by);
        }
        let (from, to) = (from.order(), to.order());
        let resized = if to < from { self.shrink(block, to, shard, by) } else { self.grow(block, from, to, shard, by) };
        resized.map(Class::of)
    }

    fn shrink(&self, block: BlockIndex, to: Order, shard: Shard, by: &impl Visits) -> Result<Order, CantResize> {
        let word = self.states.at(block);
        let mut seen = word.read();
        loop {
            if seen.kind() != Kind::Live {
                return Err(CantResize::NotLive(self.why_not_live_slow(block)));
            }
            let from = seen.order();
            if from <= to || !seen.class().is_order() {
                // Another thread resized the same block meanwhile: a misuse, but there is a block.
                return Err(CantResize::NoRoom);
            }
            // The exchange first: a release that comes after it finds the small block, and the halves are still
            // this thread's.
            match by.during(seen, || word.resize(seen, to.into())) {
                Some(Ok(())) => {
                    self.split(block, from, to, shard);
                    return Ok(from);
                }
                Some(Err(now)) => seen = now,
                None => return Err(CantResize::NotLive(NotLive::Vacant)),
            }
        }
    }

    #[cold]
    fn grow(
        &self,
        block: BlockIndex,
        from: Order,
        to: Order,
        shard: Shard,
        by: &impl Visits,
    ) -> Result<Order, CantResize> {
        let geometry = &self.geometry;
        if to > geometry.max_order() || !geometry.is_aligned(block, to) || !geometry.fits(block, to) {
            return Err(CantResize::NoRoom);
        }
        // The buddies first, while the block is still the small one: a release that wins now releases just that.
        for order in from.until(to) {
            if !self.absorb_buddy(block.after(1, order), order, shard) {
                self.publish_absorbed(block, from, order, shard);
                return Err(CantResize::NoRoom);
            }
        }
        let word = self.states.at(block);
        let mut seen = word.read();
        while seen.kind() == Kind::Live && seen.class() == from.into() {
            match by.during(seen, || word.resize(seen, to.into())) {
                Some(Ok(())) => return Ok(from),
                Some(Err(now)) => seen = now,
                // Its owner is releasing it.
                None => break,
            }
        }
        self.publish_absorbed(block, from, to, shard);
        Err(CantResize::NotLive(self.why_not_live_slow(block)))
    }

    /// Takes the free buddy at `buddy` into transit. Merges it before, if it is several blocks.
    fn absorb_buddy(&self, buddy: BlockIndex, order: Order, shard: Shard) -> bool {
        self.absorb_free(buddy, order) || {
            let range = buddy.get()..buddy.after(1, order).get();
            self.merge(range, None, shard).merges > 0 && self.absorb_free(buddy, order)
        }
    }

    fn absorb_free(&self, block: BlockIndex, order: Order) -> bool {
        let absorbed = self.states.at(block).absorb(order).is_ok();
        if absorbed {
            self.note_displaced();
        }
        absorbed
    }

    /// Publishes the buddies that a failed growth had taken: one for each order from `from` up to and without `to`.
    fn publish_absorbed(&self, block: BlockIndex, from: Order, to: Order, shard: Shard) {
        for order in from.until(to) {
            self.publish(block.after(1, order), order, shard);
        }
    }
}
