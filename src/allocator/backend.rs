//! What all threads share: a mapping with a heap, its tables, and the caches.

use core::ptr::{self, NonNull};

use crate::cache::{ThreadIndex, ThreadRegistry, next_name};
use crate::commit::{Commit, Parts};
use crate::error::AllocatorBuildError;
use crate::metadata::{Source, Table, room};
use crate::raw::search::is_enough;
use crate::raw::slabs::MOST_PAGES;
use crate::raw::{Order, Shard};
use crate::stats::AllocatorStats;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, MAX_WAITS, Ordering, wait};
use crate::sys::{self, Pages, Reservation};

use super::builder::Options;
use super::cache::Cache;
use super::class::{self, PAGE};
use super::crowd::Crowd;
use super::depot::{Depots, MAGAZINE};
use super::meta::Meta;
use super::page_heap::{Backing, PageHeap};

/// The region begins at a multiple of so many bytes, which are those of a huge page.
const ALIGN: usize = 2 << 20;
/// Metadata pieces have this part of the bytes of the heap.
const SLAB_PART: usize = 64;
/// And these at least and at most.
const LEAST_SLAB: usize = 8 << 20;
const MOST_SLAB: usize = u32::MAX as usize / PAGE * PAGE;
/// Memory for a heap is asked for, for so many pages at least,
const LEAST_STEP: u32 = 64;
/// and from this one on huge pages are wanted: where a heap is larger, each fault for one page of 4 KiB takes as long as it does to fill some of them,
/// and there are hundreds of thousands; where it is smaller, the end of the last huge page would be a part of it that counts.
const HUGE_FROM: u32 = (32 << 20) / PAGE as u32;
/// Bytes that all caches together may hold: this part of the heap.
const CACHES_PART: usize = 12;
/// Bytes that one cache may hold, whatever the heap.
const MOST_CACHED: usize = 2 << 20;
/// Bytes that all caches together may hold of the smallest heap.
const LEAST_CACHED: usize = 544 << 10;
/// The same while the region does not rise.
const CALM_CACHES_PART: usize = 2;
const MOST_CACHED_CALM: usize = 32 << 20;
const LEAST_CACHED_CALM: usize = 8 * LEAST_CACHED;
/// What threads that sleep have in their caches is withheld from the others, but this part of it.
const LEAST_PART: usize = 4;
/// Bytes that all depots together may have, once there are two caches: this part of the heap.
const DEPOTS_PART: usize = 64;
/// And of the smallest one.
const LEAST_IN_DEPOTS: usize = 128 << 10;
/// Everything but the place where it is known.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) heap: PageHeap,
    pub(super) meta: Meta,
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
    /// Is it one of [`GROWING`]?
    grows: bool,
    /// The memory that all of this is in.
    reservation: Reservation,
}

/// How many allocators there are that took as many addresses as were to be had.
static GROWING: AtomicU32 = AtomicU32::new(0);

/// Bytes of what an allocator of so many bytes of meta and so many pages has besides its heap.
const fn metadata(meta: usize, pages: usize, checked: bool) -> usize {
    let tables =
        PageHeap::room(pages, checked) + Meta::room(meta) + Depots::ROOM + room::<AtomicPtr<Cache>>(ThreadIndex::COUNT);
    (OWN + meta + tables).next_multiple_of(PAGE)
}

/// What is backend, in whole cache lines.
const OWN: usize = size_of::<Backend>().next_multiple_of(128);

/// Bytes of metadata pieces for so many bytes of heap.
const fn meta_bytes(bytes: usize) -> usize {
    let part = bytes / SLAB_PART;
    let part = if part < LEAST_SLAB { LEAST_SLAB } else { part };
    (if part > MOST_SLAB { MOST_SLAB } else { part }).next_multiple_of(PAGE)
}

/// Bytes of addresses that an allocator which grows takes at most.
#[cfg(target_pointer_width = "64")]
const ADDRESSES: usize = 1 << 39;
#[cfg(not(target_pointer_width = "64"))]
const ADDRESSES: usize = 1 << 30;
const _: () = assert!(ADDRESSES / PAGE <= MOST_PAGES as usize);
/// It does without less than this, unless there are no more.
const FEWEST_ADDRESSES: usize = 16 << 20;

/// Where the pages of a region are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Memory {
    /// From the operating system, so many bytes at most.
    Reserved(usize),
    /// The caller's.
    Given(*mut u8, usize),
}

impl Backend {
    /// Maps all that is needed.
    pub(super) fn map(memory: Memory, options: &Options) -> Result<NonNull<Self>, AllocatorBuildError> {
        let (given, bytes) = match memory {
            Memory::Reserved(bytes) => (None, bytes),
            Memory::Given(base, bytes) => {
                let skip = base.addr().wrapping_neg() % PAGE;
                (Some(base.wrapping_add(skip)), bytes.saturating_sub(skip))
            }
        };
        let pages = match bytes / PAGE {
            0 => return Err(AllocatorBuildError::TooSmall { bytes, page: PAGE }),
            pages if pages > MOST_PAGES as usize => {
                return Err(AllocatorBuildError::TooLarge { bytes, max: (MOST_PAGES as usize).saturating_mul(PAGE) });
            }
            pages => pages,
        };
        let unavailable = AllocatorBuildError::Unavailable { bytes };
        // These are parts of the address space: the pages are few enough for that.
        let meta_bytes = meta_bytes(bytes);
        let before = metadata(meta_bytes, pages, options.checked);
        let behind = if given.is_none() { (pages * PAGE).checked_add(ALIGN) } else { Some(0) };
        let len = behind.and_then(|behind| before.checked_add(behind)).ok_or(unavailable)?;
        let reservation = Reservation::new(len).ok_or(unavailable)?;
        let start = reservation.base();
        // Where the system has huge pages for everybody, a program with little to do would be resident with one for each table.
        sys::wish(start.as_ptr(), len, Pages::Small);
        // SAFETY: the beginning of the reservation.
        if !unsafe { sys::commit(start.as_ptr(), OWN) } {
            return Err(unavailable);
        }

        // SAFETY: all of these offsets are within the reservation.
        let (meta_base, tables_base, end) = unsafe { (start.add(OWN), start.add(OWN + meta_bytes), start.add(before)) };
        // SAFETY: the tables' part of the reservation, which is zero.
        let mut source = unsafe { Source::area(tables_base, before - OWN - meta_bytes) };
        let base = given.unwrap_or_else(|| {
            let skip = end.addr().get().wrapping_neg() % ALIGN;
            end.as_ptr().wrapping_add(skip)
        });
        let (is_own, bytes) = (given.is_none(), pages * PAGE);
        // SAFETY: the meta's part of the reservation.
        let meta = unsafe { Meta::new(meta_base, meta_bytes, &mut source) }.map_err(|_| unavailable)?;
        let backing = Backing { is_zero: is_own, stays: options.prefault || options.lock };
        let commit = match NonNull::new(base).filter(|_| is_own) {
            None => Commit::given(),
            Some(base) => {
                let mut heap = Parts::default();
                // SAFETY: the pages of the heap, which are in the reservation.
                unsafe { heap.add(base, bytes) };
                let huge_from = if options.huge_pages { 0 } else { HUGE_FROM };
                heap.commit(pages as u32, LEAST_STEP).with_huge_pages(huge_from, (ALIGN / PAGE) as u32)
            }
        };
        if backing.stays && is_own {
            if !commit.reach(pages as u32) {
                return Err(unavailable);
            }
            // SAFETY: both: the pages of the heap, which are committed now, and not used yet.
            unsafe {
                if options.prefault {
                    sys::prefault(base, bytes);
                }
                if options.lock && !sys::lock(base, bytes) {
                    return Err(AllocatorBuildError::NotLocked { bytes });
                }
            }
        }
        let heap = PageHeap::new(base, pages as u32, backing, options.checked, commit, &mut source);
        let heap = heap.map_err(|_| unavailable)?;
        let backend = Self {
            heap,
            depots: Depots::new(&mut source).map_err(|_| unavailable)?,
            meta,
            name: next_name(),
            limit: u32::try_from(options.limit / PAGE).unwrap_or(u32::MAX),
            made: AtomicU32::new(0),
            crowd: Crowd::new(),
            held: AtomicU64::new(0),
            caches: source.table(ThreadIndex::COUNT).map_err(|_| unavailable)?,
            grows: false,
            reservation,
        };
        let place = start.cast::<Self>();
        // SAFETY: the first part of the reservation, which begins at a page.
        unsafe { place.write(backend) };
        Ok(place)
    }

    /// Maps what is needed for as many bytes of heap as an allocator may have that takes memory on demand: as it was told, if there are twice as
    /// many addresses at least, so that half of what there is stays for others. Where there are fewer, the first one takes half of them, the
    /// second a fourth of the rest, and so on, so that there may be hundreds.
    pub(super) fn map_growing(options: &Options) -> Option<NonNull<Self>> {
        let most = options.limit.min(ADDRESSES);
        let needed = |bytes: usize| {
            let metadata = metadata(meta_bytes(bytes), bytes / PAGE, options.checked);
            metadata.saturating_add(bytes).saturating_add(ALIGN)
        };
        // Relaxed: a number.
        let part = 2 * (1 + GROWING.load(Ordering::Relaxed) as usize);
        let share = sys::room(needed(most).saturating_mul(part)) / part;
        let smaller = |bytes: &usize| Some(bytes - bytes / 8).filter(|bytes| *bytes >= FEWEST_ADDRESSES);
        let fitting = core::iter::successors(Some(most), smaller).filter(|bytes| needed(*bytes) <= share);
        // Few addresses are better than none, whoever needs some, too.
        let mut sizes = fitting.chain([most.min(FEWEST_ADDRESSES)]);
        let mut new = sizes.find_map(|bytes| Self::map(Memory::Reserved(bytes), options).ok())?;
        // SAFETY: mapped just now, and nobody else knows it.
        unsafe { new.as_mut() }.grows = true;
        // Relaxed: a number.
        GROWING.fetch_add(1, Ordering::Relaxed);
        Some(new)
    }

    /// Gives all of it back to the operating system.
    ///
    /// # Safety
    ///
    /// It came from [`map`](Self::map), and nobody uses it any more, or any block of it.
    pub(super) unsafe fn unmap(backend: NonNull<Self>) {
        // SAFETY: the caller vouches for it.
        if unsafe { backend.as_ref() }.grows {
            // Relaxed: a number.
            GROWING.fetch_sub(1, Ordering::Relaxed);
        }
        // SAFETY: as above. The reservation is moved out, and everything else is in it and needs no drop.
        drop(unsafe { ptr::read(&raw const (*backend.as_ptr()).reservation) });
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
        let cache = self.meta.alloc_for_ever(size_of::<Cache>())?.cast::<Cache>();
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
        let all = (self.heap.bytes() / part).max(least);
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
        if self.made.load(Ordering::Relaxed) < 2 { 0 } else { (self.heap.bytes() / DEPOTS_PART).max(LEAST_IN_DEPOTS) }
    }

    /// Leaves a magazine of a few blocks for the shard that the first of them is at home in, if depots have no more than `most` bytes then. Not
    /// for the calling thread's own: what is at home with who has it goes to its slabs, where that one finds it.
    pub(super) fn send_to_depot(&self, class: usize, magazine: &[*mut u8], most: usize) -> bool {
        let shard = magazine.first().map_or_else(Shard::here, |first| self.heap.shard_of(*first));
        shard != Shard::here() && self.depots.put(class, shard, magazine, most, &self.meta)
    }

    /// Takes blocks of a class past the caches; returns how many. Before the heap grows, what waits in the depots of other shards is taken.
    pub(super) fn take(&self, class: usize, out: &mut [*mut u8]) -> usize {
        let mut taken = self.heap.take_slots(class, self.limit, false, out);
        if taken == 0 && self.depots.count(class) > 0 {
            taken = self.take_waiting(class, out);
        }
        if taken == 0 { self.heap.take_slots(class, self.limit, true, out) } else { taken }
    }

    /// Takes blocks of a magazine of any shard; what is too much of it goes to its slabs.
    fn take_waiting(&self, class: usize, out: &mut [*mut u8]) -> usize {
        let mut magazine = [ptr::null_mut(); MAGAZINE];
        let mut counts = Shard::all().map(|shard| self.depots.take(class, shard, &mut magazine, &self.meta));
        let count = counts.find(|count| *count > 0).unwrap_or(0);
        let (taken, rest) = magazine[..count].split_at(count.min(out.len()));
        out[..taken.len()].copy_from_slice(taken);
        self.heap.give_slots(rest);
        taken.len()
    }

    /// Takes one block of a class past the caches.
    pub(super) fn take_one(&self, class: usize) -> Option<NonNull<u8>> {
        let mut block = [ptr::null_mut()];
        self.take(class, &mut block);
        NonNull::new(block[0])
    }

    /// A span past the caches; see [`PageHeap::alloc_span`].
    pub(super) fn alloc_span(&self, pages: u32, align: Order) -> Option<(*mut u8, bool)> {
        self.heap.alloc_span(pages, align, self.limit)
    }

    /// The last attempt of an allocation. While another thread has free pages in its hand, to merge them or to give the memory behind them
    /// back, which takes the operating system a while, it has what this one does not find; then this one waits, and tries again when the others
    /// have come to something, for a bounded time and a bounded work. Who fails next does not wait for the same threads again.
    pub(super) fn insist<R>(&self, attempt: impl Fn() -> Option<R>) -> Option<R> {
        let (mut seen, mut attempts) = (self.heap.progress(), 1);
        if let Some(certain) = self.heap.attempt(&attempt) {
            return certain;
        }
        if self.heap.has_waited() {
            return None;
        }
        for times in 0..MAX_WAITS {
            wait(times);
            let now = self.heap.progress();
            // The last time in any case.
            if now == seen && times + 1 < MAX_WAITS {
                continue;
            }
            (seen, attempts) = (now, attempts + 1);
            if let Some(certain) = self.heap.attempt(&attempt) {
                return certain;
            }
            if is_enough(attempts, u64::from(attempts) * (self.heap.bytes() / PAGE) as u64) {
                break;
            }
        }
        self.heap.note_waited();
        None
    }

    /// Resizes a span where it is; see [`PageHeap::resize_span`].
    pub(super) fn resize_span(&self, address: usize, pages: u32) -> bool {
        self.heap.resize_span(address, pages, self.limit)
    }

    /// Gives back what can be had at once, and merges what is free.
    pub(super) fn reclaim(&self, own: Option<&Cache>, registry: &ThreadRegistry) {
        self.collect(own, registry);
        self.heap.sweep();
    }

    /// Gives back what can be had at once: by this thread, if it has a cache, in the depots, and by threads that are gone.
    /// What it has in its hand meanwhile counts as in [`Slabs::attempt`](crate::raw::slabs::Slabs::attempt).
    pub(super) fn collect(&self, own: Option<&Cache>, registry: &ThreadRegistry) {
        self.heap.withholding(|| self.collect_now(own, registry));
    }

    fn collect_now(&self, own: Option<&Cache>, registry: &ThreadRegistry) {
        if let Some(own) = own {
            own.flush(self);
        }
        self.empty_gone(registry);
        let mut magazine = [ptr::null_mut(); MAGAZINE];
        for class in 0..class::COUNT {
            for shard in Shard::all() {
                while let count @ 1.. = self.depots.take(class, shard, &mut magazine, &self.meta) {
                    self.heap.give_slots(&magazine[..count]);
                }
            }
        }
    }

    /// Gives back what threads that are gone have left in their caches.
    pub(super) fn collect_gone(&self, registry: &ThreadRegistry) {
        self.heap.withholding(|| self.empty_gone(registry));
    }

    fn empty_gone(&self, registry: &ThreadRegistry) {
        for (index, cache) in self.caches() {
            if cache.lease.begin_drain(|generation| registry.is_over(index, generation)) {
                cache.empty(self);
                cache.lease.end_drain();
            }
        }
    }

    /// Takes back what all threads have cached, whether they are gone or not, and gives back all that nothing live is in: the memory of free pages, and
    /// the addresses that the heap has not grown to. It grows no more. True: nothing is live.
    ///
    /// Only for who has it alone.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    pub(super) fn give_back_all(&mut self) -> bool {
        for (_, cache) in self.caches() {
            cache.flush(self);
        }
        self.collect(None, crate::cache::thread_registry());
        self.heap.trim();
        let (heap, free) = (self.heap.bytes(), self.heap.free_bytes());
        if let Some(used) = self.heap.end_offset(self.reservation.base()) {
            self.limit = self.limit.min((heap / PAGE) as u32);
            // SAFETY: behind the pages that there are; there will be no other ones.
            unsafe { self.reservation.shorten(used) };
        }
        heap == free
    }

    /// Figures of now.
    pub(super) fn stats(&self) -> AllocatorStats {
        let heap = self.heap.bytes();
        let idle = self.heap.idle_bytes();
        let metadata = size_of::<Self>() + Depots::BYTES + self.meta.bytes() + self.heap.table_bytes();
        AllocatorStats {
            limit: self.heap.most_bytes().min((self.limit as usize).saturating_mul(PAGE)),
            heap,
            resident: self.heap.resident_bytes() + metadata.saturating_sub(self.heap.absent_table_bytes()),
            free: self.heap.free_bytes() + idle,
            idle,
            metadata,
            // Relaxed: a number.
            caches: self.made.load(Ordering::Relaxed) as usize,
            refused_releases: 0,
        }
    }
}
