//! What all threads share: a mapping with a region, its tables, and the caches.

use core::ptr::{self, NonNull};
use core::time::Duration;

use crate::cache::{Indices, ThreadIndex, next_name};
use crate::error::MapError;
use crate::metadata::{Source, Table, room};
use crate::pages::{self, Reservation};
use crate::raw::runs::MOST_PAGES;
use crate::raw::search::is_enough;
use crate::raw::{Lane, Order};
use crate::stats::AllocatorStats;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, sleep, yield_now};

use super::builder::Options;
use super::cache::Cache;
use super::class::{self, PAGE};
use super::crowd::Crowd;
use super::depot::{Depots, MAGAZINE};
use super::region::{Backing, Region};
use super::slab::Slab;

/// The region begins at a multiple of so many bytes.
const ALIGN: usize = 2 << 20;
/// Metadata pieces have this part of the bytes of the region.
const SLAB_PART: usize = 64;
/// And these at least and at most.
const LEAST_SLAB: usize = 8 << 20;
const MOST_SLAB: usize = u32::MAX as usize / PAGE * PAGE;
/// Bytes that all caches together may hold: this part of the region.
const CACHES_PART: usize = 12;
/// Bytes that one cache may hold, whatever the region.
const MOST_CACHED: usize = 2 << 20;
/// Bytes that all caches together may hold of the smallest region.
const LEAST_CACHED: usize = 544 << 10;
/// The same while the region does not rise.
const CALM_CACHES_PART: usize = 2;
const MOST_CACHED_CALM: usize = 32 << 20;
const LEAST_CACHED_CALM: usize = 8 * LEAST_CACHED;
/// What threads that sleep have in their caches is withheld from the others, but this part of it.
const LEAST_PART: usize = 4;
/// Bytes that all depots together may have, once there are two caches: this part of the region.
const DEPOTS_PART: usize = 64;
/// And of the smallest one.
const LEAST_IN_DEPOTS: usize = 128 << 10;
/// So often an allocation that would fail lets a thread go on that has pages in its hand.
const PATIENCE: usize = 1000;
/// And so often it sleeps then, for one that waits for a processor.
const SLEEPS: usize = 100;
const SLEEP: Duration = Duration::from_micros(100);

/// Everything but the place where it is known.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) region: Region,
    pub(super) slab: Slab,
    pub(super) depots: Depots,
    /// What threads remember their caches by. No other allocator or pool ever has it.
    pub(super) name: u64,
    /// Pages that the region may grow to.
    limit: u32,
    /// How many caches there are.
    made: AtomicU32,
    /// The caches that miss.
    pub(super) crowd: Crowd,
    /// Bytes of blocks that the bins of all caches may hold.
    held: AtomicU64,
    caches: Table<AtomicPtr<Cache>>,
    /// The memory that all of this is in.
    reservation: Reservation,
}

/// Where the pages of a region are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Memory {
    /// From the operating system, so many bytes at most.
    Reserved(usize),
    /// The caller's.
    Given(*mut u8, usize),
}

impl Shared {
    /// Maps all that is needed.
    pub(super) fn map(memory: Memory, options: &Options) -> Result<NonNull<Self>, MapError> {
        let (given, bytes) = match memory {
            Memory::Reserved(bytes) => (None, bytes),
            Memory::Given(base, bytes) => {
                let skip = base.addr().wrapping_neg() % PAGE;
                (Some(base.wrapping_add(skip)), bytes.saturating_sub(skip))
            }
        };
        let pages = match bytes / PAGE {
            0 => return Err(MapError::TooSmall { bytes, page: PAGE }),
            pages if pages > MOST_PAGES as usize => {
                return Err(MapError::TooLarge { bytes, max: MOST_PAGES as usize * PAGE });
            }
            pages => pages,
        };
        let unavailable = MapError::Unavailable { bytes };
        // These are parts of the address space: the pages are few enough for that.
        let slab_bytes = (bytes / SLAB_PART).clamp(LEAST_SLAB, MOST_SLAB).next_multiple_of(PAGE);
        let tables = Region::room(pages, options.checked)
            + Slab::room(slab_bytes)
            + Depots::ROOM
            + room::<AtomicPtr<Cache>>(ThreadIndex::COUNT);
        // Whole cache lines.
        let own = const { size_of::<Self>().next_multiple_of(128) };
        let before = (own + slab_bytes + tables).next_multiple_of(PAGE);
        let behind = if given.is_none() { (pages * PAGE).checked_add(ALIGN) } else { Some(0) };
        let whole = behind.and_then(|behind| before.checked_add(behind)).ok_or(unavailable)?;
        let reservation = Reservation::new(whole).ok_or(unavailable)?;
        let start = reservation.base();

        // SAFETY: all of these offsets are within the reservation.
        let (slab_base, tables_base, end) = unsafe { (start.add(own), start.add(own + slab_bytes), start.add(before)) };
        // SAFETY: the tables' part of the reservation, which is zero.
        let mut source = unsafe { Source::area(tables_base, before - own - slab_bytes) };
        let base = given.unwrap_or_else(|| {
            let skip = end.addr().get().wrapping_neg() % ALIGN;
            end.as_ptr().wrapping_add(skip)
        });
        let (is_own, bytes) = (given.is_none(), pages * PAGE);
        let slab = Slab::new(slab_base, slab_bytes, &mut source).map_err(|_| unavailable)?;
        let backing = Backing { is_zero: is_own, stays: options.prefault || options.lock };
        let region = Region::new(base, pages as u32, backing, options.checked, &mut source).map_err(|_| unavailable)?;
        if is_own && options.huge_pages {
            pages::wish_huge(base, bytes);
        }
        // SAFETY: both: the pages of the region, which are in the reservation and not used yet.
        unsafe {
            if is_own && options.prefault {
                pages::prefault(base, bytes);
            }
            if is_own && options.lock && !pages::lock(base, bytes) {
                return Err(MapError::NotLocked { bytes });
            }
        }
        let shared = Self {
            region,
            depots: Depots::new(&mut source).map_err(|_| unavailable)?,
            slab,
            name: next_name(),
            limit: u32::try_from(options.limit / PAGE).unwrap_or(u32::MAX),
            made: AtomicU32::new(0),
            crowd: Crowd::new(),
            held: AtomicU64::new(0),
            caches: source.table(ThreadIndex::COUNT).map_err(|_| unavailable)?,
            reservation,
        };
        let place = start.cast::<Self>();
        // SAFETY: the first part of the reservation, which begins at a page.
        unsafe { place.write(shared) };
        Ok(place)
    }

    /// Gives all of it back to the operating system.
    ///
    /// # Safety
    ///
    /// It came from [`map`](Self::map), and nobody uses it any more, or any block of it.
    pub(super) unsafe fn unmap(shared: NonNull<Self>) {
        // SAFETY: the caller vouches for it. The reservation is moved out, and everything else is in it and needs no drop.
        drop(unsafe { ptr::read(&raw const (*shared.as_ptr()).reservation) });
    }

    /// The cache of the thread of this number, made if there is memory for it.
    pub(super) fn cache(&self, index: ThreadIndex) -> Option<&Cache> {
        let place = self.caches.get(index.slot())?;
        // Acquire: pairs with the Release below, for who drains it; the thread of this number made it, or was told by the claim of the
        // number.
        if let Some(cache) = NonNull::new(place.load(Ordering::Acquire)) {
            // SAFETY: it lives as long as `self`.
            return Some(unsafe { cache.as_ref() });
        }
        // Zeroes are an empty cache.
        let cache = self.slab.alloc_for_ever(size_of::<Cache>())?.cast::<Cache>();
        // Relaxed: a number.
        self.made.fetch_add(1, Ordering::Relaxed);
        // Release: pairs with the Acquire above and in `caches`; makes the zeroes visible.
        place.store(cache.as_ptr(), Ordering::Release);
        // SAFETY: as above.
        Some(unsafe { cache.as_ref() })
    }

    fn caches(&self) -> impl Iterator<Item = (ThreadIndex, &Cache)> {
        self.caches.iter().enumerate().filter_map(|(slot, place)| {
            // Acquire: pairs with the Release in `cache`.
            // SAFETY: null, or a cache that lives as long as `self`.
            let cache = unsafe { place.load(Ordering::Acquire).as_ref() }?;
            Some((ThreadIndex::new(slot)?, cache))
        })
    }

    /// Bytes of blocks that a cache may hold now whose bins may hold `own` of them; `is_calm`: the region has not risen for a while. An equal part
    /// for each that misses of what others, who don't, have left; but a small part of all in any case.
    pub(super) fn cache_limit(&self, is_calm: bool, own: usize) -> usize {
        let (part, least, most) = if is_calm {
            (CALM_CACHES_PART, LEAST_CACHED_CALM, MOST_CACHED_CALM)
        } else {
            (CACHES_PART, LEAST_CACHED, MOST_CACHED)
        };
        let all = (self.region.bytes() / part).max(least);
        let equal = all / self.crowd.len();
        // Relaxed, both: numbers.
        let others = (self.held.load(Ordering::Relaxed) as usize).saturating_sub(own);
        let caches = self.made.load(Ordering::Relaxed).max(1) as usize;
        equal.min(all.saturating_sub(others)).max(equal / LEAST_PART).max(all / caches).min(most)
    }

    /// The bins of a cache may hold `now` bytes, after `before`.
    pub(super) fn note_held(&self, before: usize, now: usize) {
        // Relaxed: a number.
        self.held.fetch_add((now as u64).wrapping_sub(before as u64), Ordering::Relaxed);
    }

    /// Bytes of blocks that may go from cache to cache in magazines.
    pub(super) fn depots_limit(&self) -> usize {
        // Relaxed: a number.
        if self.made.load(Ordering::Relaxed) < 2 { 0 } else { (self.region.bytes() / DEPOTS_PART).max(LEAST_IN_DEPOTS) }
    }

    /// Leaves a magazine of a few blocks for the lane that the first of them is at home in, if depots have no more than `most` bytes then. Not
    /// for the calling thread's own: what is at home with who has it goes to its runs, where that one finds it.
    pub(super) fn send_home(&self, class: usize, magazine: &[*mut u8], most: usize) -> bool {
        let home = magazine.first().map_or_else(Lane::here, |first| self.region.home(*first));
        home != Lane::here() && self.depots.put(class, home, magazine, most, &self.slab)
    }

    /// Takes blocks of a class past the caches; returns how many. Before the heap grows, what waits in the depots of other lanes is taken.
    pub(super) fn take(&self, class: usize, out: &mut [*mut u8]) -> usize {
        let mut taken = self.region.take_slots(class, self.limit, false, out);
        if taken == 0 && self.depots.count(class) > 0 {
            taken = self.take_waiting(class, out);
        }
        if taken == 0 { self.region.take_slots(class, self.limit, true, out) } else { taken }
    }

    /// Takes blocks of a magazine of any lane; what is too much of it goes to its runs.
    fn take_waiting(&self, class: usize, out: &mut [*mut u8]) -> usize {
        let mut magazine = [ptr::null_mut(); MAGAZINE];
        let mut counts = Lane::all().map(|lane| self.depots.take(class, lane, &mut magazine, &self.slab));
        let count = counts.find(|count| *count > 0).unwrap_or(0);
        let (taken, rest) = magazine[..count].split_at(count.min(out.len()));
        out[..taken.len()].copy_from_slice(taken);
        self.region.give_slots(rest);
        taken.len()
    }

    /// Takes one block of a class past the caches.
    pub(super) fn take_one(&self, class: usize) -> Option<NonNull<u8>> {
        let mut block = [ptr::null_mut()];
        self.take(class, &mut block);
        NonNull::new(block[0])
    }

    /// A span past the caches; see [`Region::alloc_span`].
    pub(super) fn alloc_span(&self, pages: u32, align: Order) -> Option<(*mut u8, bool)> {
        self.region.alloc_span(pages, align, self.limit)
    }

    /// The last attempt of an allocation. While another thread has free pages in its hand, to merge them or to give the memory behind them
    /// back, which takes the operating system a while, it has what this one does not find; then this one waits, and tries again when the others
    /// have come to something, for a bounded time and a bounded work. Who fails next does not wait for the same threads again.
    pub(super) fn insist<R>(&self, attempt: impl Fn() -> Option<R>) -> Option<R> {
        let (mut seen, mut attempts) = (self.region.progress(), 1);
        if let Some(certain) = self.region.attempt(&attempt) {
            return certain;
        }
        if self.region.has_waited() {
            return None;
        }
        for number in 1..PATIENCE + SLEEPS {
            if number < PATIENCE {
                yield_now()
            } else {
                sleep(SLEEP)
            }
            let now = self.region.progress();
            // The last time in any case.
            if now == seen && number + 1 < PATIENCE + SLEEPS {
                continue;
            }
            (seen, attempts) = (now, attempts + 1);
            if let Some(certain) = self.region.attempt(&attempt) {
                return certain;
            }
            if is_enough(attempts, u64::from(attempts) * (self.region.bytes() / PAGE) as u64) {
                break;
            }
        }
        self.region.note_waited();
        None
    }

    /// Resizes a span where it is; see [`Region::resize_span`].
    pub(super) fn resize_span(&self, address: usize, pages: u32) -> bool {
        self.region.resize_span(address, pages, self.limit)
    }

    /// Gives back what can be had at once, and merges what is free.
    pub(super) fn reclaim(&self, own: Option<&Cache>, indices: &Indices) {
        self.collect(own, indices);
        self.region.sweep();
    }

    /// Gives back what can be had at once: by this thread, if it has a cache, in the depots, and by threads that are gone.
    /// What it has in its hand meanwhile counts as in [`Runs::attempt`](crate::raw::runs::Runs::attempt).
    pub(super) fn collect(&self, own: Option<&Cache>, indices: &Indices) {
        self.region.with_in_hand(|| self.collect_now(own, indices));
    }

    fn collect_now(&self, own: Option<&Cache>, indices: &Indices) {
        if let Some(own) = own {
            own.flush(self);
        }
        self.empty_gone(indices);
        let mut magazine = [ptr::null_mut(); MAGAZINE];
        for class in 0..class::COUNT {
            for lane in Lane::all() {
                while let count @ 1.. = self.depots.take(class, lane, &mut magazine, &self.slab) {
                    self.region.give_slots(&magazine[..count]);
                }
            }
        }
    }

    /// Gives back what threads that are gone have left in their caches.
    pub(super) fn collect_gone(&self, indices: &Indices) {
        self.region.with_in_hand(|| self.empty_gone(indices));
    }

    fn empty_gone(&self, indices: &Indices) {
        for (index, cache) in self.caches() {
            if cache.user.begin_drain(|term| indices.is_over(index, term)) {
                cache.empty(self);
                cache.user.end_drain();
            }
        }
    }

    /// Figures of now.
    pub(super) fn stats(&self) -> AllocatorStats {
        let heap = self.region.bytes();
        let idle = self.region.idle_bytes();
        AllocatorStats {
            limit: self.region.most_bytes().min((self.limit as usize).saturating_mul(PAGE)),
            heap,
            free: self.region.free_bytes() + idle,
            idle,
            metadata: size_of::<Self>() + Depots::BYTES + self.slab.bytes() + self.region.table_bytes(),
            // Relaxed: a number.
            caches: self.made.load(Ordering::Relaxed) as usize,
            refused_releases: 0,
        }
    }
}
