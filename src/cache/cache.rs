//! One cache of one thread in one pool: the fast paths.

use core::cell::Cell;
use core::marker::PhantomData;

use crate::check::check;
use crate::raw::{Kind, Order, Owner, Shard, State};
use crate::sync::{AtomicU32, AtomicU64, Local, Ordering};

use super::bin::{BinIndex, Bins, Tops};
use super::budget::{BinBudget, Limit, OUTBOXES};
use super::depot::{Depot, MAGAZINE};
use super::overflow::Outbox;
use super::window::{Aside, HeapCopy, Window};
use crate::thread;
use crate::thread::lease::Lease;
use crate::thread::registry::ThreadIndex;

/// A value that is no unit and no order.
const NONE: u64 = u64::MAX;

/// A cache. What the fast paths use stands close together, behind the rest: where it began with a page, as blocks often do,
/// their lines were in each other's way, and a pair took three times as long in one process of four.
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
    own: Local<Own>,
    past: Past,
}

/// What only the owner of a cache uses.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Own {
    pub(super) view: HeapCopy,
    /// The state, as bits, of a block of the smallest order that this cache handed out.
    mine: Cell<u16>,
    /// The block that was handed out last: its order and its unit. Often it is the one that is released next; then the
    /// release need not read the state to know the order, which would wait for the store of the allocation.
    last: Cell<u64>,
    pub(super) bins: Bins,
    pub(super) outboxes: [Outbox; OUTBOXES],
    pub(super) budget: BinBudget,
    pub(super) aside: Aside,
}

/// What a cache counts when it is not on a fast path. Written by the owner alone. 64 bits each, as all counts of operations: at one a
/// nanosecond they wrap after 584 years.
#[derive(Debug, Default)]
pub struct Counts {
    /// Blocks that came into the bins of the orders from elsewhere than by a release.
    pub(super) refilled: AtomicU64,
    /// Blocks that left them other than by an allocation.
    pub(super) flushed: AtomicU64,
    /// Releases of other caches' blocks.
    pub(super) sent: AtomicU64,
}

/// What the owner did past the cache, with the heaps. Behind all that the fast paths use, so that their lines stay as they are.
#[derive(Debug, Default)]
struct Past {
    allocations: AtomicU64,
    releases: AtomicU64,
    /// Pops that the tops no longer count.
    popped: AtomicU64,
}

/// What a cache has served, over all its time.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Allocations without a visit to a heap's stacks.
    pub allocations: u64,
    /// Releases without a visit to a heap's stacks.
    pub releases: u64,
    /// Of these, the ones of other caches' blocks.
    pub sent: u64,
    /// Blocks that came into the bins of the orders from elsewhere than by a release.
    pub refilled: u64,
    /// Blocks that left them other than by an allocation.
    pub flushed: u64,
    /// Allocations of the owner that went past the cache.
    pub past_allocations: u64,
    /// Releases that did.
    pub past_releases: u64,
}

/// Adds to a count of the owner's.
pub(super) fn add(count: &AtomicU64, more: usize) {
    add_wide(count, more as u64);
}

fn add_wide(count: &AtomicU64, more: u64) {
    // Relaxed, both: a statistic, written by one thread.
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// A cache in the hands of its owner: the thread that uses it now, as [`Lease`] has it.
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
    /// The calling thread is the user of the cache for as long as it has the `OwnCache`.
    #[inline]
    pub unsafe fn owner(&self) -> OwnCache<'_> {
        OwnCache { cache: self, here: PhantomData }
    }

    /// Asks the owner to flush: its next operation does, but for a release of the block that it allocated last.
    pub fn ask(&self) {
        // Relaxed: ordered by the fence in `close`.
        self.asked.store(1, Ordering::Relaxed);
        self.window.close();
    }

    /// Is the owner asked to flush?
    pub(super) fn is_asked(&self) -> bool {
        // Relaxed: ordered by the fence in `show`, or seen later.
        self.asked.load(Ordering::Relaxed) != 0
    }

    /// Has it no blocks? For other threads than the owner a hint. What was left for it in the depot does not count.
    pub fn is_empty(&self) -> bool {
        BinIndex::all().all(|bin| self.tops.len(bin) == 0)
    }

    /// What it has served.
    pub fn served(&self) -> Served {
        // Relaxed, all: statistics.
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bins = || Order::ZERO.through(Order::MAX).map(BinIndex::of);
        // Never counted under loom, see `count_past`.
        let past = |past: &AtomicU64| if cfg!(modelled) { 0 } else { count(past) };
        let popped = past(&self.past.popped).wrapping_add(bins().map(|bin| self.tops.popped(bin)).sum());
        let in_bins = bins().map(|bin| self.tops.len(bin) as u64).sum::<u64>();
        let Counts { refilled, flushed, sent } = &self.counts;
        let [refilled, flushed, sent] = [refilled, flushed, sent].map(count);
        // What is in the bins was refilled or released, and not allocated or flushed.
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
        // SAFETY: an `OwnCache` stays in the thread that is the user of the cache, and there is one at a time.
        unsafe { self.cache.own.get() }
    }

    /// Counts operations of the owner that went past the cache. Not under loom: models have more schedules with each access.
    pub fn count_past(self, allocations: usize, releases: usize) {
        if cfg!(not(modelled)) {
            add(&self.cache.past.allocations, allocations);
            add(&self.cache.past.releases, releases);
        }
    }

    /// Moves the counts of pops out of the tops that have many, so that they can't wrap there. Not under loom: as above.
    pub(super) fn move_counts(self, orders: impl Iterator<Item = Order>) {
        if cfg!(not(modelled)) {
            let many: u64 = orders.map(|order| self.take_many_pops(BinIndex::of(order))).sum();
            add_wide(&self.cache.past.popped, many);
        }
    }

    /// Prepares a cache of zeroes for the threads of number `index`.
    pub(super) fn prepare(self, index: ThreadIndex, limit: &Limit) {
        self.own().mine.set(State::live_from(Owner::of(index.slot())).bits());
        self.forget_last();
        // A place before each bin is for the entry that is no block.
        let mut first = 1;
        for (order, room) in limit.rooms() {
            self.place_bin(BinIndex::of(order), first);
            first += room + 1;
        }
        for outbox in 0..OUTBOXES {
            self.place_bin(BinIndex::of_outbox(outbox), first);
            first += MAGAZINE + 1;
        }
    }

    #[inline]
    pub(super) fn mine(self) -> State {
        State::from_bits(self.own().mine.get())
    }

    /// Hands out a block of `order`, if the bin has one in the window.
    #[inline]
    pub fn pop(self, order: Order, min_shift: u32) -> Option<*mut u8> {
        let bin = BinIndex::of(order);
        let (entry, top) = self.youngest(bin);
        let unit = self.unit_of(entry)?;
        self.take(bin, top);
        self.state(unit).hand_out(self.mine().of_order(order));
        self.own().last.set(u64::from(order.get()) << u32::BITS | u64::from(unit.number()));
        Some(self.pointer(unit, min_shift))
    }

    /// Takes the block that begins at `address` back, if this cache handed it out, it is in the window, and the bin has
    /// room. `None`: nothing was changed.
    #[inline]
    pub fn push(self, address: usize, min_shift: u32) -> Option<()> {
        let number = self.number_at(address, min_shift);
        let last = self.own().last.get();
        let (unit, order) = if last as u32 as usize == number {
            let order = Order::new((last >> u32::BITS) as u32)?;
            // SAFETY: `last` was a unit of the heap in the window, and is forgotten when the window shows another.
            (unsafe { self.was_inside(number) }, order)
        } else {
            let unit = self.inside(number)?;
            (unit, self.state(unit).read().order_if_like(self.mine())?)
        };
        let bin = BinIndex::of(order);
        let room = self.room(bin)?;
        // The one locked operation: of several releases of a block, one changes the state that it has.
        self.state(unit).hold(self.mine().of_order(order), order).ok()?;
        self.put(bin, room, self.entry(unit));
        Some(())
    }

    /// The window is about to show another heap, or none.
    pub(super) fn forget_last(self) {
        self.own().last.set(NONE);
    }

    /// The owner is about to do what it was asked for. True, if it was.
    pub(super) fn take_request(self) -> bool {
        let asked = self.cache.is_asked();
        if asked {
            // Relaxed: what comes after this is done anew for who asks again, and a request that is overwritten here was made
            // before the flush that follows.
            self.cache.asked.store(0, Ordering::Relaxed);
        }
        asked
    }

    /// What its blocks have as their owner.
    pub(super) fn owner(self) -> Owner {
        self.mine().owner()
    }

    /// The shard in which it looks first, and others leave its blocks.
    pub fn shard(self) -> Shard {
        thread::shard_of(self.owner())
    }

    /// Is a block in this state one that this cache may keep: its own, or one without a owner?
    pub(super) fn keeps(self, seen: State) -> bool {
        check!(seen.kind() == Kind::Live);
        seen.owner() == Owner::NONE || seen.owner() == self.owner()
    }
}
