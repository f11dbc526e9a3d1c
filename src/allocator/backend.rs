//! Below the caches: the heap, metadata and depots of an allocator, with the bounds of what caches and depots hold.

use core::ptr::{self, NonNull};

use crate::raw::search::is_enough;
use crate::raw::slabs::Growth;
use crate::raw::{Order, Shard};
use crate::sync::{AtomicU32, AtomicU64, MAX_WAITS, Ordering, wait};
use crate::thread;

use super::class::PAGE;
use super::crowd::Crowd;
use super::depot::{Depots, MAGAZINE};
use super::meta::Meta;
use super::page_heap::PageHeap;

/// Bytes that caches may hold.
struct Bound {
    /// All together: this part of the heap.
    part: usize,
    /// All together, of the smallest heap.
    least: usize,
    /// One cache.
    most: usize,
}

/// While the heap rises.
const RISING: Bound = Bound { part: 12, least: 544 << 10, most: 2 << 20 };
/// While it does not.
const CALM: Bound = Bound { part: 2, least: 8 * RISING.least, most: 32 << 20 };
/// Threads that only hold blocks leave the others at least this part of the bound.
const LEAST_PART: usize = 4;
/// All depots together may have this part of the heap, once there are two caches.
const DEPOTS_PART: usize = 64;
/// Bytes that all depots together may have in the smallest heap.
const LEAST_IN_DEPOTS: usize = 128 << 10;

/// The heap, its metadata, and the depots.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) heap: PageHeap,
    pub(super) meta: Meta,
    pub(super) depots: Depots,
    /// The caches that miss.
    pub(super) crowd: Crowd,
    /// Number of caches.
    made: AtomicU32,
    /// Bytes of blocks that the bins of all caches may hold.
    held: AtomicU64,
}

impl Backend {
    pub(super) fn new(heap: PageHeap, meta: Meta, depots: Depots) -> Self {
        let (made, held) = (AtomicU32::new(0), AtomicU64::new(0));
        Self { heap, meta, depots, crowd: Crowd::new(), made, held }
    }

    /// Counts a new cache.
    pub(super) fn note_cache(&self) {
        // Relaxed: a number.
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// Number of caches.
    pub(super) fn caches(&self) -> usize {
        // Relaxed: a number.
        self.made.load(Ordering::Relaxed) as usize
    }

    /// Bytes of blocks that a cache may hold, if its bins may hold `own` of them now; `is_calm`: the heap has not risen
    /// for a while. Each cache that misses has an equal part of what the others leave, and a small part of all in any
    /// case.
    pub(super) fn cache_limit(&self, is_calm: bool, own: usize) -> usize {
        let Bound { part, least, most } = if is_calm { CALM } else { RISING };
        let all = (self.heap.bytes() / part).max(least);
        let equal = all / self.crowd.len();
        let others = self.held().saturating_sub(own);
        equal.min(all.saturating_sub(others)).max(equal / LEAST_PART).max(all / self.caches().max(1)).min(most)
    }

    /// Bytes of blocks that the bins of all caches may hold.
    pub(super) fn held(&self) -> usize {
        // Relaxed: a number.
        self.held.load(Ordering::Relaxed) as usize
    }

    /// Counts that the bins of a cache may hold `now` bytes instead of `before`.
    pub(super) fn note_held(&self, before: usize, now: usize) {
        // Relaxed: a number.
        self.held.fetch_add((now as u64).wrapping_sub(before as u64), Ordering::Relaxed);
    }

    /// Bytes of blocks that may wait in depots.
    pub(super) fn depots_limit(&self) -> usize {
        if self.caches() < 2 { 0 } else { (self.heap.bytes() / DEPOTS_PART).max(LEAST_IN_DEPOTS) }
    }

    /// Leaves a magazine of a few blocks in the depot of their shard, the first block's, if all depots have at most
    /// `most` bytes then. False for blocks of the caller's shard: they go to their slabs, where it finds them.
    pub(super) fn send_to_depot(&self, class: usize, magazine: &[*mut u8], most: usize) -> bool {
        let shard = magazine.first().map_or_else(thread::shard, |first| self.heap.shard_of(*first));
        shard != thread::shard() && self.depots.put(class, shard, magazine, most, &self.meta)
    }

    /// Takes blocks of a class past the caches; returns how many. Takes magazines of all shards before the heap grows.
    pub(super) fn take(&self, class: usize, growth: Growth, out: &mut [*mut u8]) -> usize {
        let mut taken = self.heap.take_slots(class, Growth::No, out);
        if taken == 0 && self.depots.count(class) > 0 {
            taken = self.take_waiting(class, out);
        }
        if taken == 0 { self.heap.take_slots(class, growth, out) } else { taken }
    }

    /// Takes blocks of a magazine of any shard; the rest of it goes to their slabs.
    fn take_waiting(&self, class: usize, out: &mut [*mut u8]) -> usize {
        let mut magazine = [ptr::null_mut(); MAGAZINE];
        let mut counts = Shard::all().map(|shard| self.depots.take(class, shard, &mut magazine, &self.meta));
        let count = counts.find(|count| *count > 0).unwrap_or(0);
        let blocks = magazine.get(..count).unwrap_or(&[]);
        let (taken, rest) = blocks.split_at_checked(out.len()).unwrap_or((blocks, &[]));
        out.iter_mut().zip(taken).for_each(|(place, block)| *place = *block);
        self.heap.give_slots(rest);
        taken.len()
    }

    /// Takes one block of a class past the caches.
    pub(super) fn take_one(&self, class: usize, growth: Growth) -> Option<NonNull<u8>> {
        let mut block = [ptr::null_mut()];
        self.take(class, growth, &mut block);
        NonNull::new(block[0])
    }

    /// A span past the caches; see [`PageHeap::alloc_span`].
    pub(super) fn alloc_span(&self, pages: u32, align: Order, growth: Growth) -> Option<(*mut u8, bool)> {
        self.heap.alloc_span(pages, align, growth)
    }

    /// The last attempts of an allocation. Another thread may withhold free pages, to merge or to discard them. Then
    /// the caller waits, and tries again each time that the others have come to something, for a bounded time and a
    /// bounded work. The next allocation that fails does not wait for the same threads again.
    ///
    /// Where there is no block in as many addresses as the limit has bytes, the heap grows beyond them: other threads
    /// may have cached a little in many places.
    pub(super) fn insist<R>(&self, attempt: impl Fn(Growth) -> Option<R>) -> Option<R> {
        // Another thread may have given slots back since the caller swept, and withholds them no more. So slabs are
        // idle whose pages the attempt needs.
        let attempt = || {
            attempt(Growth::ToLimit).or_else(|| {
                if self.heap.slabs.idle() > 0 {
                    self.heap.slabs.sweep();
                } else if !self.heap.slabs.has_room_beyond() {
                    return None;
                }
                attempt(Growth::Beyond)
            })
        };
        // Each attempt may be two searches.
        let searches = 1 + u32::from(self.heap.slabs.has_room_beyond());
        let (mut seen, mut attempts) = (self.heap.slabs.progress(), searches);
        if let Some(certain) = self.heap.slabs.attempt(attempt) {
            return certain;
        }
        if self.heap.slabs.has_waited() {
            return None;
        }
        for times in 0..MAX_WAITS {
            wait(times);
            let now = self.heap.slabs.progress();
            // The last attempt is made in any case.
            if now == seen && times + 1 < MAX_WAITS {
                continue;
            }
            (seen, attempts) = (now, attempts + searches);
            if let Some(certain) = self.heap.slabs.attempt(attempt) {
                return certain;
            }
            if is_enough(attempts, u64::from(attempts) * (self.heap.bytes() / PAGE) as u64) {
                break;
            }
        }
        self.heap.slabs.note_waited();
        None
    }

    /// Resizes a span in place; see [`PageHeap::resize_span`].
    pub(super) fn resize_span(&self, address: usize, pages: u32) -> bool {
        self.heap.resize_span(address, pages)
    }
}
