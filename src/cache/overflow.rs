//! What a cache does with a block that it can't just keep: make room for it, or send it home.

use crate::error::ReleaseError;
use crate::heap::Heap;
use crate::raw::{BlockIndex, Home, Kind, Order, State};
use crate::sync::{AtomicU16, Ordering};

use super::bin::{BinIndex, Entry};
use super::budget::{Limit, OUTBOXES};
use super::cache::{Cache, add};
use super::caches::Reach;
use super::depot::MAGAZINE;

/// What is in the bin of an outbox: blocks of one size that another cache handed out, until they are a magazine. It is the
/// state that they had, which has the order and the home. The owner's.
#[derive(Debug, Default)]
pub struct Outbox(AtomicU16);

impl Outbox {
    pub(super) fn of(&self) -> State {
        // Relaxed: the owner's.
        State::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Cache {
    /// Releases the block at `block`, when [`push`](Self::push) could not take it: does what the owner is asked for, and
    /// keeps the block, sends it home, or releases it to its heap.
    ///
    /// # Errors
    ///
    /// When no `Live` block begins there.
    #[cold]
    pub fn push_slow(&self, heap: &Heap, block: BlockIndex, reach: &Reach<'_>) -> Result<(), ReleaseError> {
        self.attend(reach);
        let word = heap.buddy().states().at(block);
        let mut seen = word.read();
        while let (Some(start), Kind::Live, false) = (heap.start(), seen.kind(), seen.is_listed()) {
            let (entry, order) = (Entry(start + block.get()), seen.order());
            let (bin, sent) =
                if self.keeps(seen) { (self.make_room(order, reach), false) } else { (self.outbox(seen, reach), true) };
            let Some((bin, top)) = bin.and_then(|bin| Some((bin, self.bins.room(bin)?))) else { break };
            match word.hold(seen, order) {
                Ok(()) => {
                    self.bins.push(bin, top, entry);
                    add(&self.counts.sent, u64::from(sent));
                    if self.window.unit_of(entry).is_none() && !sent {
                        // The next one may be of the same heap.
                        self.show(reach, entry);
                    }
                    return Ok(());
                }
                Err(now) => seen = now,
            }
        }
        heap.buddy().release(block)?;
        Ok(())
    }

    /// The bin of `order`, with room for a block if it may hold any: grown, or else without its oldest half.
    fn make_room(&self, order: Order, reach: &Reach<'_>) -> Option<BinIndex> {
        let bin = BinIndex::of(order);
        if self.bins.room(bin).is_none() {
            let limit = reach.limit();
            self.grow(order, &limit, reach);
            if self.bins.room(bin).is_none() {
                self.make_way(order, self.bins.len(bin).div_ceil(2), &limit, reach);
            }
        }
        Some(bin)
    }

    /// Lets a bin hold no more than `keeps` blocks.
    pub(super) fn reduce(&self, order: Order, keeps: usize, limit: &Limit, reach: &Reach<'_>) {
        let bin = BinIndex::of(order);
        self.make_way(order, self.bins.len(bin).saturating_sub(keeps), limit, reach);
        let less = self.bins.capacity(bin) - keeps;
        self.bins.set_capacity(bin, keeps);
        self.budget.shrink(limit, order, less);
    }

    /// Takes the oldest blocks out of a bin: into the depot, where there is a place, or else to their heaps.
    fn make_way(&self, order: Order, count: usize, limit: &Limit, reach: &Reach<'_>) {
        let mut left = count;
        let magazine = limit.magazine(order);
        let mut oldest = [Entry::NONE; MAGAZINE];
        while left > 0 {
            let most = if magazine == 0 { MAGAZINE } else { magazine };
            let taken = self.bins.take_oldest(BinIndex::of(order), &mut oldest[..left.min(most)]);
            if taken == 0 {
                break;
            }
            left -= taken;
            add(&self.counts.flushed, taken as u64);
            if magazine == 0 || !self.depot.put(order, &oldest[..taken]) {
                self.flush_to_heaps(order, &oldest[..taken], reach);
            }
        }
    }

    /// The outbox for a block in this state, with room for it.
    fn outbox(&self, seen: State, reach: &Reach<'_>) -> Option<BinIndex> {
        let limit = reach.limit();
        let magazine = limit.magazine(seen.order());
        if magazine == 0 {
            return None;
        }
        let home = seen.home().cache().unwrap_or(0);
        // Neighbouring orders of one home are apart, and so are neighbouring homes.
        let outbox = (home * 5 + seen.order().slot()) % OUTBOXES;
        let bin = BinIndex::of_outbox(outbox);
        if self.outboxes[outbox].of() != seen || self.bins.room(bin).is_none() {
            self.send(outbox, reach);
            // Relaxed: the owner's.
            self.outboxes[outbox].0.store(seen.bits(), Ordering::Relaxed);
            self.bins.set_capacity(bin, magazine);
        }
        if self.in_outboxes(&limit) + limit.bytes_of(seen.order(), 1) > limit.outboxes() {
            self.send_all(reach);
        }
        Some(bin)
    }

    fn in_outboxes(&self, limit: &Limit) -> usize {
        let len = |outbox: usize| self.bins.len(BinIndex::of_outbox(outbox));
        let outboxes = self.outboxes.iter().enumerate();
        outboxes.map(|(number, outbox)| limit.bytes_of(outbox.of().order(), len(number))).sum()
    }

    fn send_all(&self, reach: &Reach<'_>) {
        (0..OUTBOXES).for_each(|outbox| self.send(outbox, reach));
    }

    /// Sends what is in an outbox home; if there is no place, or nobody at home, to the heaps.
    fn send(&self, outbox: usize, reach: &Reach<'_>) {
        let (state, mut blocks) = (self.outboxes[outbox].of(), [Entry::NONE; MAGAZINE]);
        let count = self.bins.take_oldest(BinIndex::of_outbox(outbox), &mut blocks);
        if count == 0 {
            return;
        }
        let home = if state.home() == Home::NONE { None } else { reach.running(state.home()) };
        if !home.is_some_and(|home| home.depot.put(state.order(), &blocks[..count])) {
            self.flush_to_heaps(state.order(), &blocks[..count], reach);
        }
    }
}
