//! What a cache does with a block that it can't just keep: make room for it, or send it owner.

use core::cell::Cell;

use crate::error::ReleaseError;
use crate::heaps::Heap;
use crate::raw::{BlockIndex, Kind, Order, Owner, State};

use super::bin::{BinIndex, Entry};
use super::budget::{Limit, OUTBOXES};
use super::cache::{OwnCache, add};
use super::caches::Reach;
use super::depot::MAGAZINE;
use super::tiles::Sorted;

/// What is in the bin of an outbox: blocks of one size that another cache handed out, until they are a magazine. It is the
/// state that they had, which has the order and the owner.
#[derive(Debug, Default)]
pub struct Outbox(Cell<u16>);

impl Outbox {
    pub(super) fn of(&self) -> State {
        State::from_bits(self.0.get())
    }
}

impl OwnCache<'_> {
    /// Releases the block at `block`, when [`push`](Self::push) could not take it: does what the owner is asked for, and
    /// keeps the block, sends it owner, or releases it to its heap.
    ///
    /// # Errors
    ///
    /// When no `Live` block begins there.
    #[cold]
    pub fn push_slow(self, heap: &Heap, block: BlockIndex, reach: &Reach<'_>) -> Result<(), ReleaseError> {
        self.attend(reach);
        let word = heap.buddy().states().at(block);
        let mut seen = word.read();
        while let (Some(start), Kind::Live, false) = (heap.start(), seen.kind(), seen.is_listed()) {
            if heap.buddy().is_closed() {
                // Somebody wants all of it back.
                break;
            }
            let (entry, order) = (Entry(start + block.get()), seen.order());
            let (bin, sent) =
                if self.keeps(seen) { (self.make_room(order, reach), false) } else { (self.outbox(seen, reach), true) };
            let Some((bin, top)) = bin.and_then(|bin| Some((bin, self.room(bin)?))) else { break };
            match word.hold(seen, order) {
                Ok(()) => {
                    self.put(bin, top, entry);
                    add(&self.cache().counts.sent, usize::from(sent));
                    if self.unit_of(entry).is_none() && !sent {
                        // The next one may be of the same heap.
                        self.show_heap_of(reach, entry);
                    }
                    return Ok(());
                }
                Err(now) => seen = now,
            }
        }
        heap.buddy().release(block, self.shard())?;
        self.count_past(0, 1);
        Ok(())
    }

    /// The bin of `order`, with room for a block if it may hold any: grown, or else without its oldest half.
    fn make_room(self, order: Order, reach: &Reach<'_>) -> Option<BinIndex> {
        let bin = BinIndex::of(order);
        if self.room(bin).is_none() {
            let limit = reach.limit();
            self.grow(order, &limit, reach);
            if self.room(bin).is_none() {
                self.make_way(order, self.len(bin).div_ceil(2), &limit, reach);
            }
        }
        Some(bin)
    }

    /// Lets a bin hold no more than `keeps` blocks.
    pub(super) fn reduce(self, order: Order, keeps: usize, limit: &Limit, reach: &Reach<'_>) {
        let bin = BinIndex::of(order);
        self.make_way(order, self.len(bin).saturating_sub(keeps), limit, reach);
        let less = self.capacity(bin) - keeps;
        self.set_capacity(bin, keeps);
        self.own().budget.shrink(limit, order, less);
    }

    /// Takes the oldest blocks out of a bin: to where they are at owner, or into the own depot, where there is a place, or else
    /// to their heaps.
    fn make_way(self, order: Order, count: usize, limit: &Limit, reach: &Reach<'_>) {
        let mut left = count;
        let magazine = limit.magazine(order);
        let mut oldest = [Entry::NONE; MAGAZINE];
        while left > 0 {
            let most = if magazine == 0 { MAGAZINE } else { magazine };
            let taken = self.take_oldest(BinIndex::of(order), &mut oldest[..left.min(most)]);
            if taken == 0 {
                break;
            }
            left -= taken;
            add(&self.cache().counts.flushed, taken);
            let pinned = reach.set.pin();
            let owner_of = |entry: Entry| {
                pinned.view().numbered(entry.0).map_or(Owner::NONE, |(heap, block)| heap.tile_owner(block))
            };
            let Sorted { own, refused, .. } = self.bring_owner(order, &mut oldest[..taken], owner_of, reach);
            reach.flush_to_heaps(order, refused);
            if magazine == 0 || own.is_empty() || !self.cache().depot.put(order, own, magazine) {
                reach.flush_to_heaps(order, own);
            }
        }
    }

    /// The outbox for a block in this state, with room for it. `None`: such blocks are too large to be held.
    fn outbox(self, seen: State, reach: &Reach<'_>) -> Option<BinIndex> {
        let (number, bin) = self.outbox_of(seen);
        let outbox = &self.own().outboxes[number];
        if outbox.of() == seen && self.room(bin).is_some() {
            return Some(bin);
        }
        self.send(number, reach);
        if outbox.of() != seen || self.capacity(bin) == 0 {
            let limit = reach.limit();
            self.close(number, &limit, reach);
            let magazine = limit.magazine(seen.order());
            if magazine == 0 {
                return None;
            }
            while let Some(other) = self.own().budget.open_outbox(&limit, seen.order(), magazine) {
                self.close(other, &limit, reach);
            }
            outbox.0.set(seen.bits());
            self.set_capacity(bin, magazine);
        }
        Some(bin)
    }

    fn outbox_of(self, seen: State) -> (usize, BinIndex) {
        // Neighbouring orders of one owner are apart, and so are neighbouring owners.
        let number = (seen.owner().cache().unwrap_or(0) * 5 + seen.order().slot()) % OUTBOXES;
        (number, BinIndex::of_outbox(number))
    }

    /// Takes the block that begins at `address` back, if it is another cache's, it is in the window, and the outbox for it
    /// is open and has room. `None`: nothing was changed.
    pub fn push_to_outbox(self, address: usize, min_shift: u32) -> Option<()> {
        let unit = self.inside(self.number_at(address, min_shift))?;
        let seen = self.state(unit).read();
        if seen.kind() != Kind::Live || seen.is_listed() || self.keeps(seen) {
            return None;
        }
        let (number, bin) = self.outbox_of(seen);
        if self.own().outboxes[number].of() != seen {
            return None;
        }
        let room = self.room(bin)?;
        self.state(unit).hold(seen, seen.order()).ok()?;
        self.put(bin, room, self.entry(unit));
        add(&self.cache().counts.sent, 1);
        Some(())
    }

    /// Sends what is in an outbox, which may hold nothing then.
    fn close(self, number: usize, limit: &Limit, reach: &Reach<'_>) {
        self.send(number, reach);
        let bin = BinIndex::of_outbox(number);
        let order = self.own().outboxes[number].of().order();
        self.own().budget.close_outbox(limit, order, self.capacity(bin));
        self.set_capacity(bin, 0);
    }

    /// Sends what is in an outbox owner; if there is no place, or nobody at owner, to the heaps.
    fn send(self, outbox: usize, reach: &Reach<'_>) {
        let (state, mut blocks) = (self.own().outboxes[outbox].of(), [Entry::NONE; MAGAZINE]);
        let bin = BinIndex::of_outbox(outbox);
        let (count, magazine) = (self.take_oldest(bin, &mut blocks), self.capacity(bin));
        if count == 0 {
            return;
        }
        let owner = if state.owner() == Owner::NONE { None } else { reach.running(state.owner()) };
        if !owner.is_some_and(|owner| owner.depot.put(state.order(), &blocks[..count], magazine)) {
            reach.flush_to_heaps(state.order(), &blocks[..count]);
        }
    }
}
