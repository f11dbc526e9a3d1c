//! Releases that a bin has no room for, or of other caches' blocks: the cache makes room, or sends the block to its
//! owner.

use crate::error::ReleaseError;
use crate::heaps::Heap;
use crate::raw::{BlockIndex, Class, Kind, NotLive, Owner, State, Visits};

use super::bin::BinIndex;
use super::cache::OwnCache;
use super::caches::Reach;
use super::counts::add;
use super::entry::Entry;
use super::layout::MAGAZINE;
use super::limit::Limit;
use super::outbox::Outbox;
use super::tiles::Sorted;
use super::visitor::Visitor;

impl OwnCache<'_> {
    /// Releases a block that [`push`](Self::push) could not take. Does what the owner is asked for, and keeps the
    /// block, sends it to its owner, or releases it to its heap.
    ///
    /// # Errors
    ///
    /// When no `Live` block begins there.
    #[cold]
    pub fn push_slow(self, heap: &Heap, block: BlockIndex, reach: &Reach<'_>) -> Result<(), ReleaseError> {
        self.attend(reach);
        let by = Visitor::new(reach.caches, Some(self), heap.pointer(block).addr().get());
        let word = heap.buddy().states().at(block);
        let mut seen = word.read();
        while let (Some(start), Kind::Live, false) = (heap.start(), seen.kind(), seen.is_listed()) {
            if heap.buddy().is_closed() {
                // The heap is being removed: it wants all of it back.
                break;
            }
            let (entry, class) = (Entry(start + block.get()), seen.class());
            let (bin, sent) =
                if self.keeps(seen) { (self.make_room(class, reach), false) } else { (self.outbox(seen, reach), true) };
            let Some((bin, top)) = bin.and_then(|bin| Some((bin, self.bins().room(bin)?))) else { break };
            match by.during(seen, || word.hold(seen, class)).ok_or(NotLive::Vacant)? {
                Ok(()) => {
                    self.bins().put(bin, top, entry);
                    add(&self.cache().counts.sent, usize::from(sent));
                    if self.window().unit_of(entry).is_none() && !sent {
                        // The next block may be of the same heap.
                        self.show_heap_of(reach, entry);
                    }
                    return Ok(());
                }
                Err(now) => seen = now,
            }
        }
        heap.buddy().release_by(block, self.shard(), &by)?;
        self.count_past(0, 1);
        Ok(())
    }

    /// The bin of `class`, with room for a block if it may hold any. It grows, or else gives its oldest half away.
    fn make_room(self, class: Class, reach: &Reach<'_>) -> Option<BinIndex> {
        let bin = BinIndex::of(class);
        if self.bins().room(bin).is_none() {
            let limit = reach.limit();
            self.grow(class, &limit, reach);
            if self.bins().room(bin).is_none() {
                self.make_way(class, self.bins().len(bin).div_ceil(2), &limit, reach);
            }
        }
        Some(bin)
    }

    /// Lets a bin hold no more than `keeps` blocks.
    pub(super) fn reduce(self, class: Class, keeps: usize, limit: &Limit, reach: &Reach<'_>) {
        let bin = BinIndex::of(class);
        self.make_way(class, self.bins().len(bin).saturating_sub(keeps), limit, reach);
        let less = self.bins().capacity(bin) - keeps;
        self.bins().set_capacity(bin, keeps);
        self.own().budget.shrink(limit, class, less);
    }

    /// Takes the oldest blocks out of a bin: to the owners of their tiles, else into the own depot, else to their
    /// heaps.
    fn make_way(self, class: Class, count: usize, limit: &Limit, reach: &Reach<'_>) {
        let mut left = count;
        let magazine = self.magazine(class, limit);
        let mut oldest = [Entry::NONE; MAGAZINE];
        while left > 0 {
            let most = if magazine == 0 { MAGAZINE } else { magazine };
            let taken = self.bins().take_oldest(BinIndex::of(class), &mut oldest[..left.min(most)]);
            if taken == 0 {
                break;
            }
            left -= taken;
            add(&self.cache().counts.flushed, taken);
            let pinned = reach.set.pin();
            let owner_of = |entry: Entry| {
                pinned.view().numbered(entry.0).map_or(Owner::NONE, |(heap, block)| heap.tile_owner(block))
            };
            let Sorted { own, refused, .. } = self.send_to_owners(class, &mut oldest[..taken], owner_of, reach);
            reach.flush_to_heaps(class, refused);
            if magazine == 0 || own.is_empty() || !self.cache().depot.put(class, own, magazine) {
                reach.flush_to_heaps(class, own);
            }
        }
    }

    /// The bin of the outbox for a block in this state, with room for it. `None`: such blocks are too large to be held.
    fn outbox(self, seen: State, reach: &Reach<'_>) -> Option<BinIndex> {
        let number = Outbox::number_for(seen);
        let (bin, outbox) = (BinIndex::of_outbox(number), &self.own().outboxes[number]);
        if outbox.of() == seen && self.bins().room(bin).is_some() {
            return Some(bin);
        }
        self.send(number, reach);
        if outbox.of() != seen || self.bins().capacity(bin) == 0 {
            let limit = reach.limit();
            self.close(number, &limit, reach);
            let magazine = self.magazine(seen.class(), &limit);
            if magazine == 0 {
                return None;
            }
            while let Some(other) = self.own().budget.open_outbox(&limit, seen.class(), magazine) {
                self.close(other, &limit, reach);
            }
            outbox.set(seen, Visitor::words_of(reach.caches, seen));
            self.bins().set_capacity(bin, magazine);
        }
        Some(bin)
    }

    /// Takes the block that begins at `address` back, if it is another cache's, it is in the window, and the outbox for
    /// it is open and has room. `None`: nothing was changed.
    #[inline]
    pub fn push_to_outbox(self, address: usize, address_shift: u32) -> Option<()> {
        let window = self.window();
        let unit = window.inside(window.index_at(address, address_shift))?;
        let seen = window.state(unit).read();
        if seen.kind() != Kind::Live || seen.is_listed() || self.keeps(seen) {
            return None;
        }
        let number = Outbox::number_for(seen);
        if self.own().outboxes[number].of() != seen {
            return None;
        }
        let bin = BinIndex::of_outbox(number);
        let room = self.bins().room(bin)?;
        // SAFETY: the pool lives as long as this.
        let words = unsafe { self.own().outboxes[number].words() };
        let visit = &self.cache().visit;
        if let Some(words) = words {
            visit.begin(seen.owner().cache()?);
            if !words.see(seen.class().place()).allows(address as u64) {
                // Its owner has a bias, or has just had one: the slow path sees to that.
                visit.end();
                return None;
            }
        }
        let held = window.state(unit).hold(seen, seen.class());
        if words.is_some() {
            visit.end();
        }
        held.ok()?;
        self.bins().put(bin, room, window.entry(unit));
        add(&self.cache().counts.sent, 1);
        Some(())
    }

    /// Sends the blocks of an outbox, which may hold none from then on.
    fn close(self, number: usize, limit: &Limit, reach: &Reach<'_>) {
        self.send(number, reach);
        let bin = BinIndex::of_outbox(number);
        let class = self.own().outboxes[number].of().class();
        self.own().budget.close_outbox(limit, class, self.bins().capacity(bin));
        self.bins().set_capacity(bin, 0);
    }

    /// Sends the blocks of an outbox to their owner's depot; to the heaps if that has no place, or the owner has ended.
    fn send(self, outbox: usize, reach: &Reach<'_>) {
        let (state, mut blocks) = (self.own().outboxes[outbox].of(), [Entry::NONE; MAGAZINE]);
        let bin = BinIndex::of_outbox(outbox);
        let (count, magazine) = (self.bins().take_oldest(bin, &mut blocks), self.bins().capacity(bin));
        if count == 0 {
            return;
        }
        let owner = if state.owner() == Owner::NONE { None } else { reach.running(state.owner()) };
        if !owner.is_some_and(|owner| owner.depot.put(state.class(), &blocks[..count], magazine)) {
            reach.flush_to_heaps(state.class(), &blocks[..count]);
        }
    }
}
