//! An allocator that was started: one mapping with the backend, its tables, and the caches of all threads.

use core::ptr::{self, NonNull};

use crate::commit::{Commit, Parts};
use crate::error::AllocatorBuildError;
use crate::metadata::{Source, Table, room};
use crate::raw::Shard;
use crate::raw::slabs::MOST_PAGES;
use crate::stats::AllocatorStats;
use crate::sync::{AtomicPtr, AtomicU32, Ordering};
use crate::sys::{self, Pages, Reservation};
use crate::thread::{self, registry::ThreadIndex};

use super::backend::Backend;
use super::cache::Cache;
use super::class::{self, PAGE};
use super::decay::Decay;
use super::depot::{Depots, MAGAZINE};
use super::meta::Meta;
use super::options::Options;
use super::page_heap::{Backing, PageHeap};

/// The heap is aligned to a huge page of this many bytes.
const ALIGN: usize = 2 << 20;
/// `Meta` has this part of the bytes of the heap.
const META_PART: usize = 64;
/// Bytes that `Meta` has at least.
const LEAST_META: usize = 8 << 20;
/// Bytes that `Meta` has at most.
const MOST_META: usize = u32::MAX as usize / PAGE * PAGE;
/// The heap is committed in steps of at least this many pages.
const LEAST_STEP: u32 = 64;
/// Huge pages are asked for from this page on. A larger heap would have hundreds of thousands of faults, each as slow
/// as filling some pages. In a smaller heap, the unused end of the last huge page would be a part that counts.
const HUGE_FROM: u32 = (32 << 20) / PAGE as u32;

/// An allocator that was started. It lies at the beginning of its own mapping.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) backend: Backend,
    /// The name by which threads remember their caches. No other allocator or pool ever has it.
    pub(super) name: u64,
    pub(super) decay: Decay,
    caches: Table<AtomicPtr<Cache>>,
    /// Is it one of [`GROWING`]?
    grows: bool,
    /// The addresses of all of this.
    reservation: Reservation,
}

/// Number of allocators that took as many addresses as they could have.
static GROWING: AtomicU32 = AtomicU32::new(0);

/// Bytes that an allocator with `meta` bytes of `Meta` and `pages` pages has besides its heap.
const fn metadata(meta: usize, pages: usize, checked: bool) -> usize {
    let tables =
        PageHeap::room(pages, checked) + Meta::room(meta) + Depots::ROOM + room::<AtomicPtr<Cache>>(ThreadIndex::COUNT);
    (OWN + meta + tables).next_multiple_of(PAGE)
}

/// Bytes of the instance itself, in whole cache lines.
const OWN: usize = size_of::<Instance>().next_multiple_of(128);

/// Bytes of `Meta` for `bytes` bytes of heap.
const fn meta_bytes(bytes: usize) -> usize {
    let part = bytes / META_PART;
    let part = if part < LEAST_META { LEAST_META } else { part };
    (if part > MOST_META { MOST_META } else { part }).next_multiple_of(PAGE)
}

/// Bytes of addresses that an allocator on demand takes at most.
#[cfg(target_pointer_width = "64")]
const ADDRESSES: usize = 1 << 39;
#[cfg(not(target_pointer_width = "64"))]
const ADDRESSES: usize = 1 << 30;
const _: () = assert!(ADDRESSES / PAGE <= MOST_PAGES as usize);
/// An allocator with a limit takes addresses for this multiple of the limit.
const ADDRESSES_OF_LIMIT: usize = 2;
/// Bytes of addresses below which an allocator on demand goes only if there are no more.
const FEWEST_ADDRESSES: usize = 16 << 20;

/// The origin of an allocator's pages.
#[derive(Clone, Copy, Debug)]
pub(super) enum Memory {
    /// The operating system's, at most this many bytes.
    Reserved(usize),
    /// The caller's, with their number of bytes.
    Given(*mut u8, usize),
}

impl Instance {
    /// Maps an allocator.
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
        // No overflow: these are parts of the address space, since there are few enough pages.
        let meta_bytes = meta_bytes(bytes);
        let before = metadata(meta_bytes, pages, options.checked);
        let behind = if given.is_none() { (pages * PAGE).checked_add(ALIGN) } else { Some(0) };
        let len = behind.and_then(|behind| before.checked_add(behind)).ok_or(unavailable)?;
        let reservation = Reservation::new(len).ok_or(unavailable)?;
        let start = reservation.base();
        // Where the system has huge pages for everybody, each table of a small program would be resident with one.
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
            if !commit.cover(pages as u32) {
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
        let limit = u32::try_from(options.limit / PAGE).unwrap_or(u32::MAX);
        let heap = PageHeap::new(base, pages as u32, limit, backing, options.checked, commit, &mut source);
        let heap = heap.map_err(|_| unavailable)?;
        let instance = Self {
            backend: Backend::new(heap, meta, Depots::new(&mut source).map_err(|_| unavailable)?),
            name: thread::next_name(),
            decay: if backing.stays || !backing.is_zero { Decay::never() } else { Decay::new(options.decay) },
            caches: source.table(ThreadIndex::COUNT).map_err(|_| unavailable)?,
            grows: false,
            reservation,
        };
        let place = start.cast::<Self>();
        // SAFETY: the first part of the reservation, which begins at a page.
        unsafe { place.write(instance) };
        Ok(place)
    }

    /// Maps an allocator that takes memory on demand.
    ///
    /// It has addresses for twice its limit: where what is free is scattered, it has room behind. At least half of all
    /// addresses stay for others. Where there are too few, the first allocator takes half of them, the second a fourth
    /// of the rest, the n-th a 2n-th: there may be hundreds.
    pub(super) fn map_growing(options: &Options) -> Option<NonNull<Self>> {
        let limit = options.limit / PAGE * PAGE;
        let most = limit.saturating_mul(ADDRESSES_OF_LIMIT).min(ADDRESSES);
        let needed = |bytes: usize| {
            let metadata = metadata(meta_bytes(bytes), bytes / PAGE, options.checked);
            metadata.saturating_add(bytes).saturating_add(ALIGN)
        };
        // Relaxed: a number.
        let part = 2 * (1 + GROWING.load(Ordering::Relaxed) as usize);
        let share = sys::room(needed(most).saturating_mul(part)) / part;
        let smaller = |bytes: &usize| Some(bytes - bytes / 8).filter(|bytes| *bytes >= FEWEST_ADDRESSES);
        let fitting = core::iter::successors(Some(most), smaller).filter(|bytes| needed(*bytes) <= share);
        // Few addresses are better than none, even if others need some, too.
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
    /// It came from [`map`](Self::map), and nobody uses it or any block of it any more.
    pub(super) unsafe fn unmap(instance: NonNull<Self>) {
        // SAFETY: the caller vouches for it.
        if unsafe { instance.as_ref() }.grows {
            // Relaxed: a number.
            GROWING.fetch_sub(1, Ordering::Relaxed);
        }
        // SAFETY: as above. The reservation is moved out, and everything else is in it and needs no drop.
        drop(unsafe { ptr::read(&raw const (*instance.as_ptr()).reservation) });
    }

    /// The cache of the thread with this index, made if there is memory for it.
    fn cache(&self, index: ThreadIndex) -> Option<&Cache> {
        let place = self.caches.get(index.place())?;
        // Acquire: pairs with the Release below, for threads that drain the cache. The thread of this index made it, or
        // the exchange that took the index made it visible.
        if let Some(cache) = NonNull::new(place.load(Ordering::Acquire)) {
            // SAFETY: it lives as long as `self`.
            return Some(unsafe { cache.as_ref() });
        }
        let cache = self.backend.meta.alloc_for_ever(size_of::<Cache>())?.cast::<Cache>();
        // SAFETY: its bytes are this thread's.
        unsafe { cache.write(Cache::new()) };
        self.backend.note_cache();
        // Release: pairs with the Acquire above and in `caches`; makes the empty cache visible.
        place.store(cache.as_ptr(), Ordering::Release);
        // SAFETY: as above.
        Some(unsafe { cache.as_ref() })
    }

    /// The cache of the calling thread, if it can have one now.
    pub(super) fn own_cache(&self) -> Option<&Cache> {
        if let Some(cache) = thread::allocator_cache(self.name) {
            // SAFETY: stored below with the name, which no other allocator ever has, so the cache lives as long as
            // `self`.
            return Some(unsafe { cache.cast::<Cache>().as_ref() });
        }
        let index = thread::take_index()?;
        let cache = self.cache(index)?;
        if !cache.lease.enter(thread::registry().generation(index)) {
            return None;
        }
        thread::remember_allocator(self.name, NonNull::from(cache).cast());
        Some(cache)
    }

    fn caches(&self) -> impl Iterator<Item = (ThreadIndex, &Cache)> {
        self.caches.iter().enumerate().filter_map(|(slot, place)| {
            // Acquire: pairs with the Release in `cache`.
            // SAFETY: null, or a cache that lives as long as `self`.
            let cache = unsafe { place.load(Ordering::Acquire).as_ref() }?;
            Some((ThreadIndex::new(slot)?, cache))
        })
    }

    /// Gives back all blocks within reach, and sweeps.
    pub(super) fn reclaim(&self, own: Option<&Cache>) {
        self.collect(own);
        self.backend.heap.slabs.sweep();
    }

    /// Gives back all blocks within reach: the calling thread's, if it has a cache, those in depots, and those of
    /// ended threads. Counts as withholding memory; see [`Slabs::attempt`](crate::raw::slabs::Slabs::attempt).
    pub(super) fn collect(&self, own: Option<&Cache>) {
        self.backend.heap.slabs.withholding(|| self.collect_now(own));
    }

    fn collect_now(&self, own: Option<&Cache>) {
        if let Some(own) = own {
            own.flush(&self.backend);
        }
        self.empty_gone();
        let Backend { heap, meta, depots, .. } = &self.backend;
        let mut magazine = [ptr::null_mut(); MAGAZINE];
        for class in 0..class::COUNT {
            for shard in Shard::all() {
                while let count @ 1.. = depots.take(class, shard, &mut magazine, meta) {
                    heap.give_slots(magazine.get(..count).unwrap_or(&[]));
                }
            }
        }
    }

    /// Gives back the cached blocks of ended threads.
    pub(super) fn collect_gone(&self) {
        self.backend.heap.slabs.withholding(|| self.empty_gone());
    }

    fn empty_gone(&self) {
        let registry = thread::registry();
        for (index, cache) in self.caches() {
            if cache.lease.begin_drain(|generation| registry.is_over(index, generation)) {
                cache.empty(&self.backend);
                cache.lease.end_drain();
            }
        }
    }

    /// Empties the caches of all threads, ended or not. Gives back the memory of free pages, and the addresses that the
    /// heap has not grown to; it grows no more. True: nothing is live. The caller is the only user.
    #[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
    pub(super) fn give_back_all(&mut self) -> bool {
        for (_, cache) in self.caches() {
            cache.flush(&self.backend);
        }
        self.collect(None);
        let heap = &mut self.backend.heap;
        heap.trim();
        if let Some(used) = heap.end_offset(self.reservation.base()) {
            heap.end_growth();
            // SAFETY: these addresses are behind the heap's pages, and it grows no more.
            unsafe { self.reservation.shorten(used) };
        }
        heap.bytes() == heap.free_bytes()
    }

    /// The figures of now.
    pub(super) fn stats(&self) -> AllocatorStats {
        let Backend { heap, meta, .. } = &self.backend;
        let idle = heap.idle_bytes();
        let metadata = size_of::<Self>() + Depots::BYTES + meta.bytes() + heap.table_bytes();
        AllocatorStats {
            limit: heap.limit(),
            heap: heap.bytes(),
            resident: heap.resident_bytes() + metadata.saturating_sub(heap.absent_table_bytes()),
            free: heap.free_bytes() + idle,
            idle,
            metadata,
            caches: self.backend.caches(),
            refused_releases: 0,
        }
    }
}
