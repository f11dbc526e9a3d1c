//! One cache of one thread in one pool: the fast paths.

use core::cell::Cell;
use core::marker::PhantomData;

use crossbeam_utils::CachePadded;

use crate::check::check;
use crate::heaps::Heap;
use crate::raw::{Class, Kind, Owner, Shard, Sizes, State};
use crate::sync::{AtomicU32, AtomicU64, Local, Ordering};
use crate::thread;
use crate::thread::lease::Lease;
use crate::thread::registry::ThreadIndex;

use super::bias::{Intent, Patience, Released, Visit, Words};
use super::bin::{BinIndex, Bins, OwnBins, Tops};
use super::budget::BinBudget;
use super::counts::{Counts, Past, Served, add, add_wide};
use super::depot::Depot;
use super::layout::{MAGAZINE, OUTBOXES};
use super::limit::Limit;
use super::outbox::Outbox;
use super::window::{Aside, HeapCopy, OwnWindow, Window};

/// In place of the code of a class: none.
const NO_CLASS: u32 = u32::MAX;

/// A cache. The fields of the fast paths stand close together, behind the depot, so that they don't begin with a page:
/// blocks often do, and take their places in the processor's cache.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Cache {
    pub(super) depot: Depot,
    pub(super) counts: Counts,
    pub(super) lease: Lease,
    pub(super) tops: Tops,
    pub(crate) window: Window,
    /// Is the owner asked to flush?
    asked: AtomicU32,
    /// Whose block the owner is releasing, if it is another cache's.
    pub(super) visit: Visit,
    pub(super) intent: Intent,
    own: Local<Own>,
    past: Past,
    /// The sizes of its blocks.
    pub(super) sizes: Sizes,
    /// Others read the words all the time. They are hardly ever written, so they have lines of their own.
    pub(super) words: CachePadded<Words<{ Class::COUNT }>>,
    /// Does the model have biases? Those without have fewer schedules.
    #[cfg(modelled)]
    pub(super) is_biased: bool,
}

/// The part of a cache that only its owner uses.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Own {
    copy: HeapCopy,
    /// The state, as bits, of a block of one unit that this cache handed out.
    mine: Cell<u16>,
    /// The cache itself, as the owner of tiles.
    owner: Cell<Owner>,
    /// The block that was handed out last: its unit, and the code of its class. Often it is the next to be released.
    /// Then the release knows the class before it knows anything else: the class is a word of its own, which does not
    /// wait for the bin that the block came from.
    last: Cell<u32>,
    last_class: Cell<u32>,
    bins: Bins,
    pub(super) outboxes: [Outbox; OUTBOXES],
    pub(super) budget: BinBudget,
    aside: Aside,
    pub(super) patience: Patience<{ Class::COUNT }>,
}

/// A cache for its owner: the thread that uses it now, as [`Lease`] has it.
#[derive(Clone, Copy, Debug)]
pub struct OwnCache<'a> {
    cache: &'a Cache,
    /// Not for other threads.
    here: PhantomData<*const ()>,
}

impl Cache {
    /// The cache for its owner.
    ///
    /// # Safety
    ///
    /// The calling thread has the lease of the cache for as long as it has the `OwnCache`.
    #[inline]
    pub unsafe fn owner(&self) -> OwnCache<'_> {
        OwnCache { cache: self, here: PhantomData }
    }

    /// Prepares a cache of zeroes, which others don't see yet, for the threads of index `index`.
    pub(super) fn prepare(&mut self, index: ThreadIndex, limit: &Limit) {
        self.sizes = limit.sizes();
        self.depot.share_out(limit.magazine_entries());
        // SAFETY: `&mut self`: no other thread has the cache.
        let owner = unsafe { self.owner() };
        let name = Owner::of(index.place());
        owner.own().mine.set(State::live_from(name).bits());
        owner.own().owner.set(name);
        owner.forget_last();
        let classes = limit.bin_entries().map(|(class, entries)| (BinIndex::of(class), entries));
        let outboxes = (0..OUTBOXES).map(|outbox| (BinIndex::of_outbox(outbox), MAGAZINE));
        // The place before each bin is for the entry that is no block. Bins without places share one.
        let mut first = 1;
        for (bin, entries) in classes.chain(outboxes) {
            owner.bins().place(bin, first, entries);
            first += entries + usize::from(entries > 0);
        }
    }

    /// Asks the owner to flush. Its next operation does, unless it releases the block that it allocated last.
    pub fn ask(&self) {
        // Relaxed: ordered by the fence in `close`.
        self.asked.store(1, Ordering::Relaxed);
        self.window.close();
    }

    /// Is the owner asked to flush?
    fn is_asked(&self) -> bool {
        // Relaxed: ordered by the fence in `show_only`, or seen later.
        self.asked.load(Ordering::Relaxed) != 0
    }

    /// Has it no blocks outside of its depot? For other threads than the owner a hint.
    pub fn is_empty(&self) -> bool {
        BinIndex::all(self.sizes).all(|bin| self.tops.len(bin) == 0)
    }

    /// What it has served.
    pub fn served(&self) -> Served {
        // Relaxed, all: statistics.
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bins = || self.sizes.classes().map(BinIndex::of);
        // Never counted under loom, see `count_past`.
        let past = |past: &AtomicU64| if cfg!(modelled) { 0 } else { count(past) };
        let popped = past(&self.past.popped).wrapping_add(bins().map(|bin| self.tops.popped(bin)).sum());
        let in_bins = bins().map(|bin| self.tops.len(bin) as u64).sum::<u64>();
        let Counts { refilled, flushed, sent } = &self.counts;
        let [refilled, flushed, sent] = [refilled, flushed, sent].map(count);
        // A block in a bin was refilled or released, and not allocated or flushed.
        let pushed = in_bins.wrapping_add(popped).wrapping_add(flushed).wrapping_sub(refilled);
        Served {
            allocations: popped,
            releases: pushed.wrapping_add(sent),
            sent,
            refilled,
            flushed,
            past_allocations: past(&self.past.allocations),
            past_releases: past(&self.past.releases),
        }
    }
}

impl<'a> OwnCache<'a> {
    #[inline]
    pub(super) fn cache(self) -> &'a Cache {
        self.cache
    }

    #[inline]
    pub(super) fn own(self) -> &'a Own {
        // SAFETY: an `OwnCache` stays in the thread that has the lease of the cache, and there is one at a time.
        unsafe { self.cache.own.get() }
    }

    #[inline]
    pub(super) fn bins(self) -> OwnBins<'a> {
        OwnBins { tops: &self.cache.tops, bins: &self.own().bins }
    }

    #[inline]
    pub(super) fn window(self) -> OwnWindow<'a> {
        let Own { copy, aside, .. } = self.own();
        OwnWindow { window: &self.cache.window, copy, aside }
    }

    /// Counts operations of the owner that went past the cache. Not under loom: models have more schedules with each
    /// access.
    pub fn count_past(self, allocations: usize, releases: usize) {
        if cfg!(not(modelled)) {
            add(&self.cache.past.allocations, allocations);
            add(&self.cache.past.releases, releases);
        }
    }

    /// Moves the counts of pops out of the tops that have many, so that they can't wrap there. Not under loom: as
    /// above.
    pub(super) fn move_counts(self, classes: impl Iterator<Item = Class>) {
        if cfg!(not(modelled)) {
            let take = |class: Class| {
                let many = self.bins().take_many_pops(BinIndex::of(class));
                if many > 0 {
                    self.patience().count_anew(class.place());
                }
                many
            };
            add_wide(&self.cache.past.popped, classes.map(take).sum());
        }
    }

    #[inline]
    fn mine(self) -> State {
        State::from_bits(self.own().mine.get())
    }

    /// Hands out a block of `class`, if the bin has one in the window.
    #[inline]
    pub fn pop(self, class: Class, address_shift: u32) -> Option<*mut u8> {
        let (bins, window) = (self.bins(), self.window());
        let bin = BinIndex::of(class);
        let (entry, top) = bins.youngest(bin);
        let unit = window.unit_of(entry)?;
        bins.take(bin, top);
        window.state(unit).hand_out(self.mine().of_class(class));
        self.own().last.set(unit.index());
        self.own().last_class.set(class.code().into());
        Some(window.pointer(unit, address_shift))
    }

    /// Takes the block that begins at `address` back, if this cache handed it out, it is in the window, and the bin has
    /// room. `None`: nothing was changed. Where the owner is to look whether it takes a bias, it calls `look` at last.
    #[inline]
    pub fn push(self, address: usize, address_shift: u32, look: impl FnOnce(Self, Class)) -> Option<()> {
        let (bins, window) = (self.bins(), self.window());
        let index = window.index_at(address, address_shift);
        let (unit, class) = if self.own().last.get() as usize == index {
            let class = Class::from_code(u8::try_from(self.own().last_class.get()).ok()?);
            // SAFETY: `last` was a unit of the heap in the window, and is forgotten when the window shows another.
            let unit = unsafe { window.was_inside(index) };
            if self.cache.has_bias() && window.state(unit).read() != self.mine().of_class(class) {
                return None;
            }
            (unit, class)
        } else {
            let unit = window.inside(index)?;
            (unit, window.state(unit).read().class_if_like(self.mine())?)
        };
        let bin = BinIndex::of(class);
        let room = bins.room(bin)?;
        // Of several releases of a block, one changes the state that it has: by a locked operation, or by a store where
        // no other thread can do so.
        let state = window.state(unit);
        let exchange = || state.hold(self.mine().of_class(class), class).is_ok();
        let released = if self.cache.has_bias() {
            self.cache.bias().release(class.place(), address as u64, || state.hold_by_store(class), exchange)
        } else if exchange() {
            Released::ByExchange
        } else {
            Released::Not
        };
        if released == Released::Not {
            return None;
        }
        bins.put(bin, room, window.entry(unit));
        if released == Released::ByExchange
            && self.cache.has_bias()
            && self.patience().is_due(class.place(), room.popped())
        {
            look(self, class);
        }
        Some(())
    }

    /// [`pop`](Self::pop) from the heap aside.
    pub fn pop_aside(self, class: Class, address_shift: u32) -> Option<*mut u8> {
        let bin = BinIndex::of(class);
        let (entry, top) = self.bins().youngest(bin);
        let block = self.window().entry_aside(entry, address_shift)?;
        self.bins().take(bin, top);
        block.state.hand_out(self.mine().of_class(class));
        self.count_aside();
        Some(block.pointer)
    }

    /// [`push`](Self::push) of a block of the heap aside.
    pub fn push_aside(self, address: usize, address_shift: u32) -> Option<()> {
        let block = self.window().block_aside(address, address_shift)?;
        let class = block.state.read().class_if_like(self.mine())?;
        let bin = BinIndex::of(class);
        let room = self.bins().room(bin)?;
        block.state.hold(self.mine().of_class(class), class).ok()?;
        self.bins().put(bin, room, block.entry);
        self.count_aside();
        Some(())
    }

    /// The heap aside was of use.
    fn count_aside(self) {
        if let Some(heap) = self.window().count_aside() {
            self.forget_last();
            self.window().show_only(heap, || self.cache.is_asked());
        }
    }

    /// Makes the window show `heap`, which the caller has found in the set.
    pub(super) fn show(self, heap: &Heap) {
        self.forget_last();
        self.window().show(heap, || self.cache.is_asked());
    }

    /// Makes the window show no heap.
    pub(super) fn leave(self) {
        self.forget_last();
        self.window().leave();
    }

    /// The window is about to show another heap, or none.
    fn forget_last(self) {
        // A release of the unit with that number in the next heap is one like all others.
        self.own().last.set(u32::MAX);
        self.own().last_class.set(NO_CLASS);
    }

    /// The owner is about to do what it was asked for. True, if it was.
    pub(super) fn take_request(self) -> bool {
        let asked = self.cache.is_asked();
        if asked {
            // Relaxed: a request that comes after this is served anew, and one that is overwritten here was made before
            // the flush that follows.
            self.cache.asked.store(0, Ordering::Relaxed);
        }
        asked
    }

    /// The cache as the owner of tiles, and of blocks as far as their states can tell.
    pub(super) fn owner(self) -> Owner {
        self.own().owner.get()
    }

    /// The sizes of its blocks.
    pub(super) fn sizes(self) -> Sizes {
        self.cache.sizes
    }

    /// The shard in which it looks first, and others leave its blocks.
    pub fn shard(self) -> Shard {
        thread::shard_of(self.owner())
    }

    /// Is a block in this state one that this cache may keep: its own, or one without an owner?
    pub(super) fn keeps(self, seen: State) -> bool {
        check!(seen.kind() == Kind::Live);
        seen.owner() == Owner::NONE || seen.owner() == self.owner()
    }

    /// Blocks of a magazine of `class`; 0 where one block is too much.
    pub(super) fn magazine(self, class: Class, limit: &Limit) -> usize {
        limit.magazine(class).min(self.cache.depot.room(class))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::cache::layout::PLACE_BITS;
    use crate::cache::limit::Allowance;
    use crate::metadata::Owned;
    use crate::raw::Order;

    #[test]
    fn counts_of_pops_do_not_wrap() {
        let mut cache = Owned::<Cache>::zeroed().expect("there is memory for it");
        cache.prepare(
            ThreadIndex::new(0).expect("it is an index"),
            &Limit::new(Allowance::DEFAULT, 0, 6, Sizes::PowersOfTwo),
        );
        // SAFETY: nobody else knows the cache.
        let owner = unsafe { cache.owner() };
        let (bin, other) = (BinIndex::of(Class::UNIT), BinIndex::of(Order::MAX.into()));
        let pop = |bin: BinIndex, times: u64| {
            cache.tops.add_pops(bin, times);
        };
        pop(other, 5);
        // As many as the bits of a top can count, several times.
        let most = (1 << (u64::BITS - PLACE_BITS)) - 1;
        for times in 1..=20 {
            pop(bin, most);
            assert_eq!(cache.served().allocations, 5 + times * most);
            owner.move_counts(Sizes::PowersOfTwo.classes());
            assert_eq!(cache.served().allocations, 5 + times * most);
            assert_eq!((cache.tops.popped(bin), cache.tops.popped(other)), (0, 5), "few stay where they are");
            assert_eq!((cache.tops.len(bin), owner.bins().len(bin)), (0, 0));
        }
        assert_eq!((cache.served().releases, cache.served().past_allocations), (5 + 20 * most, 0));
    }
}
