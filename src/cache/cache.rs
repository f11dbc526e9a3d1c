//! One cache of one thread in one pool: the fast paths.

use crate::raw::{Home, Kind, Order, State};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

use super::bin::{BinIndex, Bins};
use super::budget::{Budget, Limit, OUTBOXES};
use super::depot::{Depot, MAGAZINE};
use super::indices::ThreadIndex;
use super::overflow::Outbox;
use super::window::Window;

/// A value that is no unit and no order.
const NONE: u64 = u64::MAX;

/// A cache. All but the depot, and what the window says, is its owner's, who has the thread's number.
///
/// What the fast paths use stands first, close together.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Cache {
    pub(super) window: Window,
    /// The block that was handed out last: its order and its unit. Often it is the one that is released next; then the
    /// release need not read the state to know the order, which would wait for the store of the allocation.
    last: AtomicU64,
    /// The state of a block of the smallest order that this cache handed out.
    mine: AtomicU32,
    /// Is the owner asked to flush?
    asked: AtomicU32,
    pub(super) bins: Bins,
    pub(super) outboxes: [Outbox; OUTBOXES],
    pub(super) budget: Budget,
    pub(super) counts: Counts,
    pub(super) depot: Depot,
}

/// What a cache counts when it is not on a fast path. Written by the owner alone.
#[derive(Debug, Default)]
pub struct Counts {
    /// Blocks that came into the bins from elsewhere than by a release.
    pub(super) refilled: AtomicU64,
    /// Blocks that left the bins other than by an allocation.
    pub(super) flushed: AtomicU64,
    /// Releases of other caches' blocks.
    pub(super) sent: AtomicU64,
}

/// Adds to a count of the owner's.
pub(super) fn add(count: &AtomicU64, more: u64) {
    // Relaxed, both: a statistic, written by one thread.
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Cache {
    /// Prepares a cache for the threads of number `index`.
    pub(super) fn prepare(&self, index: ThreadIndex, limit: &Limit) {
        // Relaxed, both: the owner's.
        self.mine.store(u32::from(State::live_from(Home::of(index.slot())).bits()), Ordering::Relaxed);
        self.forget_last();
        // A place before each bin is for the entry that is no block.
        let mut first = 1;
        for order in Order::ZERO.through(Order::MAX) {
            self.bins.place(BinIndex::of(order), first);
            first += limit.room(order) + 1;
        }
        for outbox in 0..OUTBOXES {
            self.bins.place(BinIndex::of_outbox(outbox), first);
            first += MAGAZINE + 1;
        }
    }

    #[inline]
    pub(super) fn mine(&self) -> State {
        // Relaxed: the owner's, and never changed.
        State::from_bits(self.mine.load(Ordering::Relaxed) as u16)
    }

    /// Hands out a block of `order`, if the bin has one in the window.
    #[inline]
    pub fn pop(&self, order: Order, min_shift: u32) -> Option<*mut u8> {
        let bin = BinIndex::of(order);
        let (entry, top) = self.bins.youngest(bin);
        let unit = self.window.unit_of(entry)?;
        self.bins.pop(bin, top);
        self.window.state(unit).hand_out(self.mine().of_order(order));
        // Relaxed: the owner's.
        self.last.store(u64::from(order.get()) << u32::BITS | u64::from(Window::number(unit)), Ordering::Relaxed);
        Some(self.window.pointer(unit, min_shift))
    }

    /// Takes the block that begins at `address` back, if this cache handed it out, it is in the window, and the bin has
    /// room. `None`: nothing was changed.
    #[inline]
    pub fn push(&self, address: usize, min_shift: u32) -> Option<()> {
        let number = self.window.number_at(address, min_shift);
        // Relaxed: the owner's.
        let last = self.last.load(Ordering::Relaxed);
        let (unit, order) = if last as u32 as usize == number {
            let order = Order::new((last >> u32::BITS) as u32)?;
            // SAFETY: `last` was a unit of the heap in the window, and is forgotten when the window shows another.
            (unsafe { self.window.was_inside(number) }, order)
        } else {
            let unit = self.window.inside(number)?;
            (unit, self.window.state(unit).read().order_if_like(self.mine())?)
        };
        let bin = BinIndex::of(order);
        let top = self.bins.room(bin)?;
        // The one locked operation: of several releases of a block, one changes the state that it has.
        self.window.state(unit).hold(self.mine().of_order(order), order).ok()?;
        self.bins.push(bin, top, self.window.entry(unit));
        Some(())
    }

    /// The window is about to show another heap, or none.
    pub(super) fn forget_last(&self) {
        // Relaxed: the owner's.
        self.last.store(NONE, Ordering::Relaxed);
    }

    /// Asks the owner to flush: its next operation does.
    pub fn ask(&self) {
        // Relaxed: ordered by the fence in `close`.
        self.asked.store(1, Ordering::Relaxed);
        self.window.close();
    }

    /// Is the owner asked to flush?
    pub(super) fn is_asked(&self) -> bool {
        // Relaxed: ordered by the fence in `Window::show`, or seen later.
        self.asked.load(Ordering::Relaxed) != 0
    }

    /// The owner is about to do what it was asked for. True, if it was.
    pub(super) fn take_request(&self) -> bool {
        // Relaxed, both: what comes after this is done anew for who asks again. A request that is overwritten here was made
        // before the flush that follows.
        let asked = self.is_asked();
        if asked {
            self.asked.store(0, Ordering::Relaxed);
        }
        asked
    }

    /// Are the bins and the outboxes empty? For other threads a hint.
    pub fn is_empty(&self) -> bool {
        BinIndex::all().all(|bin| self.bins.len(bin) == 0)
    }

    /// Allocations and releases that were served without a visit to a heap's stacks, over all its time.
    pub fn served(&self) -> (u64, u64) {
        // Relaxed, all: statistics.
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let bins = || Order::ZERO.through(Order::MAX).map(BinIndex::of);
        let popped = bins().map(|bin| self.bins.popped(bin)).sum::<u64>();
        let in_bins = bins().map(|bin| self.bins.len(bin) as u64).sum::<u64>();
        let Counts { refilled, flushed, sent } = &self.counts;
        // What is in the bins was refilled or released, and not allocated or flushed.
        let pushed = in_bins.wrapping_add(popped).wrapping_add(count(flushed)).wrapping_sub(count(refilled));
        (popped, pushed.wrapping_add(count(sent)))
    }

    /// Is a block in this state one that this cache may keep: its own, or one without a home?
    pub(super) fn keeps(&self, seen: State) -> bool {
        debug_assert_eq!(seen.kind(), Kind::Live);
        seen.home() == Home::NONE || seen.home() == self.mine().home()
    }
}
