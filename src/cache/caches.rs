//! All caches of a pool, by thread index.

use core::fmt;
use core::ptr::{self, NonNull};

use crate::heaps::{Heaps, View};
use crate::metadata::{Owned, Zeroed};
use crate::raw::withheld::Withheld;
use crate::raw::{Owner, Sizes};
#[cfg(not(modelled))]
use crate::sync::AtomicU64;
use crate::sync::{AtomicPtr, AtomicU8, Ordering, const_unless_loom, model_or};

use super::bias::{self, Guests};
use super::cache::Cache;
use super::limit::{Allowance, Limit};
use crate::thread::registry::{ThreadIndex, ThreadRegistry};

/// Caches of a segment of the table.
/// Under loom few: each is a tracked object.
const SEGMENT: usize = model_or(4, 64);

/// Nobody has asked the system for a heavy fence.
const UNKNOWN: u8 = 0;
/// It made one.
const MADE: u8 = 1;
/// It refused one.
const REFUSED: u8 = 2;

const SEGMENTS: usize = ThreadIndex::COUNT.div_ceil(SEGMENT);

/// A part of the table of caches, made when a thread of it first uses the pool.
#[derive(Debug)]
struct Segment([CacheCell; SEGMENT]);

impl Default for Segment {
    fn default() -> Self {
        Self(core::array::from_fn(|_| CacheCell::default()))
    }
}

#[derive(Debug, Default)]
struct CacheCell(AtomicPtr<Cache>);

// SAFETY: atomic pointers, for which zero is null and valid, and which need no drop.
unsafe impl Zeroed for Segment {}
// SAFETY: integers and pointers, atomic ones and cells, for which zero is valid and which need no drop.
unsafe impl Zeroed for Cache {}

/// The caches of a pool. A cache is made when a thread of its index first uses the pool. Caches, and the segments of
/// the table, stay until the pool is dropped.
pub struct Caches {
    /// The name of the pool among all that there ever were; 0 until a thread asks for it.
    #[cfg(not(modelled))]
    id: AtomicU64,
    /// What each cache may hold by the configuration.
    allowed: Allowance,
    sizes: Sizes,
    segments: [AtomicPtr<Segment>; SEGMENTS],
    /// Threads that give back the blocks of depots or of ended threads' caches.
    pub withheld: Withheld,
    /// Threads without a cache that change blocks of caches.
    pub(super) guests: Guests,
    /// Does the system make heavy fences? [`UNKNOWN`], [`MADE`] or [`REFUSED`].
    fences: AtomicU8,
    /// Does the model have biases?
    #[cfg(modelled)]
    is_biased: bool,
    #[cfg(modelled)]
    registry: ThreadRegistry,
}

/// What a cache reaches beyond itself: the parts of its pool.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// The heaps of the pool as of the beginning of the operation.
    pub heaps: View<'a>,
    /// The set of the heaps, to look at it anew: blocks from other threads may be of a younger heap.
    pub set: &'a Heaps,
    /// The caches of the pool.
    pub caches: &'a Caches,
    /// The threads that are running.
    pub registry: &'a ThreadRegistry,
    /// A unit has 2^`address_shift` addresses.
    pub address_shift: u32,
    /// A unit has 2^`min_shift` bytes.
    pub min_shift: u32,
}

impl Reach<'_> {
    /// What a cache may hold.
    pub(super) fn limit(&self) -> Limit {
        self.caches.limit(self.heaps.capacity(), self.min_shift)
    }

    /// The cache of an owner whose thread is running. A hint.
    pub(super) fn running(&self, owner: Owner) -> Option<&Cache> {
        let index = ThreadIndex::new(owner.cache()?)?;
        self.caches.get(index).filter(|cache| cache.lease.generation() == Some(self.registry.generation(index)))
    }
}

impl Caches {
    const_unless_loom! {
        /// None yet. Each will hold at most this much, in blocks of these sizes.
        pub fn new(allowed: Allowance, sizes: Sizes) -> Self {
            #[cfg(not(modelled))]
            let segments = [const { AtomicPtr::new(ptr::null_mut()) }; SEGMENTS];
            #[cfg(modelled)]
            let segments = core::array::from_fn(|_| AtomicPtr::new(ptr::null_mut()));
            Self {
                #[cfg(not(modelled))]
                id: AtomicU64::new(0),
                allowed,
                sizes,
                segments,
                withheld: Withheld::new(),
                guests: Guests::new(),
                fences: AtomicU8::new(UNKNOWN),
                #[cfg(modelled)]
                is_biased: false,
                #[cfg(modelled)]
                registry: ThreadRegistry::new(),
            }
        }
    }

    /// The name of the pool; 0 if no thread has asked for it yet.
    #[cfg(not(modelled))]
    #[inline]
    pub fn id(&self) -> u64 {
        // Relaxed: compared with what this very thread stored in its own memory.
        self.id.load(Ordering::Relaxed)
    }

    /// The name of the pool, from `next` if it has none.
    #[cfg(not(modelled))]
    pub fn id_or(&self, next: impl FnOnce() -> u64) -> u64 {
        match self.id() {
            0 => {
                let id = next();
                // Relaxed, both: only equality of names matters.
                match self.id.compare_exchange(0, id, Ordering::Relaxed, Ordering::Relaxed) {
                    Ok(_) => id,
                    Err(first) => first,
                }
            }
            id => id,
        }
    }

    /// The thread indices of a model.
    #[cfg(modelled)]
    pub fn registry(&self) -> &ThreadRegistry {
        &self.registry
    }

    /// Blocks are biased from now on, before there is a cache.
    #[cfg(modelled)]
    pub fn begin_bias(&mut self) {
        self.is_biased = true;
    }

    /// Is there a bias at all? In a program always: without heavy fences no class gets one.
    #[inline]
    pub(super) fn have_bias(&self) -> bool {
        #[cfg(modelled)]
        return self.is_biased;
        #[cfg(not(modelled))]
        bias::MAY_BE
    }

    /// Did the system refuse a heavy fence?
    pub fn is_refused(&self) -> bool {
        // Relaxed: nothing is published by it.
        self.fences.load(Ordering::Relaxed) == REFUSED
    }

    /// Does the system make heavy fences?
    pub(super) fn has_fences(&self) -> bool {
        // Relaxed: as above.
        cfg!(modelled) || self.fences.load(Ordering::Relaxed) == MADE
    }

    /// Asks the system once whether it makes heavy fences. In a program of several threads the first one may take
    /// milliseconds, so that is not for an allocation or a release.
    pub fn ask_for_fences(&self) {
        // Relaxed, both: nothing is published by it. Threads that ask at once get one answer.
        if cfg!(not(modelled)) && bias::MAY_BE && self.fences.load(Ordering::Relaxed) == UNKNOWN {
            let answer = if bias::is_possible() { MADE } else { REFUSED };
            self.fences.store(answer, Ordering::Relaxed);
        }
    }

    /// What a cache may hold in a pool of `capacity` bytes.
    fn limit(&self, capacity: usize, min_shift: u32) -> Limit {
        Limit::new(self.allowed, capacity, min_shift, self.sizes)
    }

    /// May a cache of a pool of `capacity` bytes hold anything?
    pub fn are_of_use(&self, capacity: impl FnOnce() -> usize, min_shift: u32) -> bool {
        !self.allowed.is_none() && self.limit(capacity(), min_shift).holds_any()
    }

    fn cell(&self, index: ThreadIndex) -> Option<&CacheCell> {
        let segment = self.segments.get(index.place() / SEGMENT)?;
        // Acquire: pairs with the Release in `cell_or_new`; makes the zeroes of the segment visible.
        // SAFETY: null, or a segment that lives as long as `self`.
        let segment = unsafe { segment.load(Ordering::Acquire).as_ref() }?;
        segment.0.get(index.place() % SEGMENT)
    }

    fn cell_or_new(&self, index: ThreadIndex) -> Option<&CacheCell> {
        if self.cell(index).is_none() {
            let segment = self.segments.get(index.place() / SEGMENT)?;
            let new = Owned::<Segment>::zeroed().ok()?.into_raw();
            // Release: pairs with the Acquire in `cell`. Relaxed on failure: `cell` loads again.
            let stored = segment.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Relaxed);
            if stored.is_err() {
                // SAFETY: not stored, so it is still this thread's.
                drop(unsafe { Owned::from_raw(new) });
            }
        }
        self.cell(index)
    }

    /// The cache of a thread index, if one was made.
    pub fn get(&self, index: ThreadIndex) -> Option<&Cache> {
        // Acquire: pairs with the Release in `get_or_new`; makes visible how the cache was prepared.
        let cache = self.cell(index)?.0.load(Ordering::Acquire);
        // SAFETY: null, or a cache that lives as long as `self`.
        unsafe { cache.as_ref() }
    }

    /// The cache of the caller's thread index. `None`: there is no memory for one.
    pub fn get_or_new(&self, index: ThreadIndex, min_shift: u32) -> Option<&Cache> {
        if let Some(cache) = self.get(index) {
            return Some(cache);
        }
        let cell = self.cell_or_new(index)?;
        let mut cache = Owned::<Cache>::zeroed().ok()?;
        cache.prepare(index, &self.limit(0, min_shift));
        #[cfg(modelled)]
        cache.begin_bias(self.is_biased);
        // Release: pairs with the Acquire in `get`. A plain store: only the thread of this index makes its cache.
        cell.0.store(cache.into_raw().as_ptr(), Ordering::Release);
        self.get(index)
    }

    /// All caches, with their thread indices.
    pub fn iter(&self) -> impl Iterator<Item = (ThreadIndex, &Cache)> {
        let indices = self.made().flat_map(|segment| segment * SEGMENT..(segment + 1) * SEGMENT);
        indices.filter_map(|index| {
            let index = ThreadIndex::new(index)?;
            Some((index, self.get(index)?))
        })
    }

    /// The segments that were made.
    fn made(&self) -> impl Iterator<Item = usize> {
        // Relaxed: whoever looks into the segment loads it again, in `cell`.
        let made = self.segments.iter().enumerate().filter(|(_, segment)| !segment.load(Ordering::Relaxed).is_null());
        made.map(|(segment, _)| segment)
    }

    /// Bytes of the caches and of the table of them, without their blocks. Of a cache, pages that its thread never used
    /// have no memory behind them.
    pub fn table_bytes(&self) -> usize {
        self.made().count() * Owned::<Segment>::BYTES + self.iter().count() * Owned::<Cache>::BYTES
    }
}

impl Drop for Caches {
    fn drop(&mut self) {
        for segment in &self.segments {
            // Relaxed, both: `&mut self`, nobody else is there.
            let Some(segment) = NonNull::new(segment.load(Ordering::Relaxed)) else { continue };
            // SAFETY: it came from `Owned::into_raw` in `cell_or_new`, and is dropped once.
            let segment = unsafe { Owned::from_raw(segment) };
            for cell in &segment.0 {
                if let Some(cache) = NonNull::new(cell.0.load(Ordering::Relaxed)) {
                    // SAFETY: it came from `Owned::into_raw` in `get_or_new`, and is dropped once.
                    drop(unsafe { Owned::from_raw(cache) });
                }
            }
        }
    }
}

impl fmt::Debug for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caches")
            .field("allowed", &self.allowed)
            .field("made", &self.iter().count())
            .finish_non_exhaustive()
    }
}
