//! Decay: memory that a program has not used for a while goes back to the operating system. No thread and no timer does
//! that, only the calls of the program that take a slow path.
//!
//! Such a call *visits* at its end. If little is unused, that is all. Else, once the time of the decay has passed, one
//! thread begins a cycle over the heap (`raw/slabs/cycle`), and goes on with it at its visits. The cycle gives back
//! pages that were free and dirty in the cycle before, and nobody used since. Each thread empties the bins that it did
//! not use. If the thread that has a cycle visits no more, another one begins a new cycle after some time. So nobody
//! waits for it.
//!
//! A program that goes on with little may never take a slow path: its caches serve it. So *after a peak*, that is,
//! while more is unused than used, the allocator is *closed*: all calls take the slow paths, and one in 16 visits. A
//! busy program does not pay for that for long: each page that becomes unused grants it some closed calls, and when
//! these were made the allocator opens.

use crate::raw::slabs::{Cycle, Discards};
use crate::sync::Ordering;
use crate::sys;

use super::cache::Cache;
use super::class::PAGE;
use super::decay::Driven;
use super::instance::Instance;
use super::pool_allocator::PoolAllocator;

/// Bytes that may be unused for ever: free pages, idle slabs, and what caches may hold.
const LEAST: usize = 1 << 20;
/// After a peak, at least this many bytes more are unused than used.
const PEAK: usize = 4 << 20;
/// Of the calls that take a slow path only because they always do, one in this many visits.
const GLANCES: u32 = 16;
/// A cycle lasts this part of the time of the decay, if its thread visits often enough.
const CYCLE_PART: u64 = 4;
/// A multiple of the decay's time. If the thread of a cycle does not visit for that, another one begins a new cycle.
const PATIENCE: u64 = 2;
/// After a peak, between the beginnings of two cycles is at least a millisecond for each `PAGES` pages of the heap.
const PAGES: u64 = 4096;
/// At other times, for each `BUSY_PAGES` pages: a cycle takes a thousandth of that.
const BUSY_PAGES: u64 = 32;
/// To pass over a heap and discard all of its pages is as much work as to pass over `WORK` heaps.
const WORK: u64 = 16;
/// Cycles after those that found more than [`LEAST`] unused. They discard clean pages, too: a page that is in use for a
/// while may keep its huge page in memory. And they see what caches release late.
const REST: u32 = 3;
/// A multiple of the decay's time. That long after a peak the allocator opens at the latest.
const CLOSED: u64 = 6;
/// Work of a visit, in pages that are passed over: at least this, which discards 4 MiB.
const LEAST_WORK: u64 = 1 << 14;
/// And at most this, which discards 64 MiB.
const MOST_WORK: u64 = 1 << 18;

impl PoolAllocator {
    /// The end of a call that took a slow path, and found its cache as a fast path would. One in [`GLANCES`] visits.
    #[inline(always)]
    pub(super) fn glance(&self, instance: &Instance, cache: &Cache) {
        let glances = cache.visits.glances.get() + 1;
        cache.visits.glances.set(glances);
        if glances >= GLANCES {
            self.glance_slow(instance, cache);
        }
    }

    #[cold]
    fn glance_slow(&self, instance: &Instance, cache: &Cache) {
        self.visit(instance, || Some(cache));
        cache.visits.glances.set(0);
    }

    /// The end of a call that took a slow path. `own`: the calling thread's cache, if it has one.
    #[inline]
    pub(super) fn visit<'a>(&self, instance: &'a Instance, own: impl FnOnce() -> Option<&'a Cache>) {
        // Most programs have little. Then nothing more is looked at.
        if (instance.unused() + instance.backend.held() >= LEAST || self.is_closed())
            && let Some(after) = instance.decay.after
        {
            self.visit_slow(instance, own(), after);
        }
    }

    /// Do all calls take the slow paths, as they do after a peak?
    fn is_closed(&self) -> bool {
        !self.is_checked() && !self.root.is_open()
    }

    #[cold]
    fn visit_slow(&self, instance: &Instance, own: Option<&Cache>, after: u64) {
        let (Some(own), Some(now)) = (own, sys::milliseconds()) else { return };
        instance.decay_at(now, after, own);
        if self.is_checked() {
            return;
        }
        let left = instance.decay.grant(own.visits.glances.take(), instance.backend.heap.slabs.unused());
        match left > 0 && instance.is_to_close(now, after, self.is_closed()) {
            true if self.root.is_open() => self.root.close(),
            false if !self.root.is_open() => self.root.open(instance),
            _ => {}
        }
    }
}

impl Instance {
    /// Bytes in memory that nobody uses, without those of caches and depots.
    fn unused(&self) -> usize {
        self.backend.heap.slabs.unused() as usize * PAGE
    }

    /// Is enough unused for a cycle to be worth it?
    fn is_much(&self) -> bool {
        self.unused() >= LEAST
    }

    /// Are there cycles to come, though little is unused?
    fn has_rest(&self) -> bool {
        // Relaxed: a number.
        self.decay.rest.load(Ordering::Relaxed) > 0
    }

    /// Is the allocator to close, or to stay closed? It is after a peak; or it was, no more is used than then, and
    /// there are cycles to come.
    fn is_to_close(&self, now: u64, after: u64, is_closed: bool) -> bool {
        let (decay, used) = (&self.decay, self.backend.heap.slabs.used());
        // Relaxed, all: numbers, which only bound what closed calls cost.
        if self.unused() >= used as usize * PAGE + PEAK {
            decay.opens.store(now + CLOSED * after, Ordering::Relaxed);
            decay.used.store(used, Ordering::Relaxed);
            return true;
        }
        let no_more = || used as usize * PAGE <= decay.used.load(Ordering::Relaxed) as usize * PAGE + PEAK;
        is_closed && self.has_rest() && no_more() && now < decay.opens.load(Ordering::Relaxed)
    }

    /// Milliseconds by which the next cycle begins later, since the heap is large.
    fn pause(&self, after: u64) -> u64 {
        let slabs = &self.backend.heap.slabs;
        let pages = if slabs.unused() > slabs.used() { PAGES } else { BUSY_PAGES };
        (u64::from(slabs.grown()) / pages).saturating_sub(after)
    }

    /// A visit at the time `now`: does what is due.
    pub(super) fn decay_at(&self, now: u64, after: u64, own: &Cache) {
        let visits = &own.visits;
        if now.saturating_sub(visits.looked.get()) >= after {
            visits.looked.set(now);
            own.empty_unused(&self.backend);
        }
        // Relaxed: what this thread stored itself, or a guess, which the exchange checks.
        let next = self.decay.next.load(Ordering::Relaxed);
        match visits.driven.get().filter(|driven| driven.until == next) {
            // At most one step in a tick of the clock.
            Some(driven) if driven.stepped == now => {}
            Some(driven) => visits.driven.set(self.go_on(driven, now, after)),
            None if now < next || now < next + self.pause(after) || !(self.is_much() || self.has_rest()) => {}
            None => {
                let until = now + PATIENCE * after;
                if self.decay.change(next, until) {
                    // The blocks of depots and of ended threads.
                    self.collect(None);
                    let mut cycle = Cycle::default();
                    let rest =
                        if self.is_much() { REST } else { self.decay.rest.load(Ordering::Relaxed).saturating_sub(1) };
                    cycle.set_discards(if rest == REST { Discards::Old } else { Discards::OldAndClean });
                    // Relaxed: a number. The next cycle begins later.
                    self.decay.rest.store(rest, Ordering::Relaxed);
                    let driven = Driven { cycle, begun: now, stepped: now, until };
                    visits.driven.set(self.go_on(driven, now, after));
                }
            }
        }
    }

    /// Steps of a cycle, of as much work as the time since the last one asks for. `None`: it is over, or another
    /// thread's.
    fn go_on(&self, driven: Driven, now: u64, after: u64) -> Option<Driven> {
        let heap = &self.backend.heap;
        let Driven { mut cycle, begun, stepped, until } = driven;
        let all = u64::from(heap.slabs.grown()) * WORK;
        let due = all * (now - stepped).min(after) * CYCLE_PART / after.max(1);
        let mut left = due.clamp(LEAST_WORK, MOST_WORK) as u32;
        while left > 0 {
            let (step, _) = heap.sweep_step(&mut cycle, left);
            if step.is_last {
                self.decay.change(until, begun + after);
                return None;
            }
            left = left.saturating_sub(step.pages.max(1));
        }
        let later = now + PATIENCE * after;
        let driven = Driven { cycle, begun, stepped: now, until: later };
        self.decay.change(until, later).then_some(driven)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use alloc::vec::Vec;
    use core::alloc::{GlobalAlloc, Layout};
    use core::time::Duration;
    use std::sync::Barrier;

    use super::*;
    use crate::allocator::decay::MOST_GRANTED;

    const AFTER: u64 = 1000;
    const BYTES: usize = 64 << 20;

    /// Its time is what the tests say.
    fn allocator() -> PoolAllocator {
        PoolAllocator::builder().checked(false).decay(Duration::MAX).on_demand(usize::MAX)
    }

    fn alloc(allocator: &PoolAllocator, size: usize, bytes: usize) -> Vec<(*mut u8, Layout)> {
        let layout = Layout::from_size_align(size, 8).expect("a small one");
        // SAFETY: the layout has a size.
        (0..bytes / size).map(|_| (unsafe { allocator.alloc(layout) }, layout)).collect()
    }

    fn release(allocator: &PoolAllocator, blocks: Vec<(*mut u8, Layout)>) {
        // SAFETY: `alloc` allocated them.
        blocks.into_iter().for_each(|(block, layout)| unsafe { allocator.dealloc(block, layout) });
    }

    /// The calling thread visits in each millisecond of `times`.
    fn visit(allocator: &PoolAllocator, times: core::ops::Range<u64>) {
        let instance = allocator.started().expect("it was used");
        let own = instance.own_cache().expect("there are few threads");
        times.for_each(|now| instance.decay_at(now, AFTER, own));
    }

    /// Bytes that may be in memory, and those of them that nobody uses.
    fn resident(allocator: &PoolAllocator) -> (usize, usize) {
        let instance = allocator.started().expect("it was used");
        let pinned = instance.own_cache().map_or(0, Cache::pinned);
        (instance.backend.heap.slabs.resident() as usize * PAGE, instance.unused() + pinned)
    }

    #[test]
    fn what_nobody_used_for_a_while_goes_back() {
        for size in [16, 64, 1000, 20_000, 70_000, 16 << 20] {
            let allocator = allocator();
            release(&allocator, alloc(&allocator, size, BYTES));
            let (before, unused) = resident(&allocator);
            assert!(unused >= BYTES, "{size} {}", allocator.stats());
            visit(&allocator, AFTER..2 * AFTER);
            assert_eq!(resident(&allocator).0, before, "not before its time");
            visit(&allocator, 2 * AFTER..7 * AFTER);
            let (is, unused) = resident(&allocator);
            assert!(is < 2 * LEAST && unused <= is, "{size} {is} {unused} {}", allocator.stats());
        }
    }

    #[test]
    fn what_comes_and_goes_in_turn_stays() {
        let bytes = BYTES / 4;
        for size in [200, 5000, 70_000] {
            let allocator = allocator();
            for start in (AFTER..10 * AFTER).step_by(200) {
                let blocks = alloc(&allocator, size, bytes);
                let (before, _) = resident(&allocator);
                visit(&allocator, start..start + 100);
                release(&allocator, blocks);
                visit(&allocator, start + 100..start + 200);
                let (is, _) = resident(&allocator);
                assert!(is >= before - LEAST, "{size} at {start}: {is} of {before}, {}", allocator.stats());
            }
        }
    }

    #[test]
    fn a_thread_that_visits_no_more_is_not_waited_for() {
        let (allocator, begun, end) = (&allocator(), &Barrier::new(2), &Barrier::new(2));
        release(allocator, alloc(allocator, 70_000, BYTES));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // The other thread has one more cycle to wait for than it would have alone.
                visit(allocator, AFTER..AFTER + 1);
                begun.wait();
                end.wait();
            });
            begun.wait();
            visit(allocator, AFTER..8 * AFTER);
            let (is, _) = resident(allocator);
            end.wait();
            assert!(is < 2 * LEAST, "{is} {}", allocator.stats());
        });
    }

    /// In some milliseconds nothing goes back, so the calls must open it.
    #[test]
    fn a_busy_program_makes_few_closed_calls() {
        let allocator = PoolAllocator::builder().checked(false).decay(Duration::from_secs(100)).on_demand(usize::MAX);
        release(&allocator, alloc(&allocator, 64, BYTES));
        assert!(!allocator.root.is_open(), "{}", allocator.stats());
        let closed = (0..MOST_GRANTED).take_while(|_| {
            release(&allocator, alloc(&allocator, 64, 64));
            !allocator.root.is_open()
        });
        assert!(closed.count() as u32 <= MOST_GRANTED / 2);
        // While most is used, it is not after a peak.
        let live = alloc(&allocator, 64, BYTES);
        assert!(allocator.root.is_open());
        release(&allocator, live);
        // Nor when all has gone back.
        assert!(!allocator.root.is_open());
        allocator.trim();
        release(&allocator, alloc(&allocator, 64, 64 * GLANCES as usize));
        assert!(allocator.root.is_open());
    }
}
