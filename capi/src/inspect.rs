//! What a pool for C has: figures, blocks, text and pictures.

use core::ffi::{CStr, c_char, c_void};
use core::fmt::{self, Write};

use mempool::{BlockState, HeapMap};

use crate::pool::Pool;

/// The figures of a pool.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PoolStats {
    /// Number of regions.
    pub regions: usize,
    /// Bytes in blocks, of whatever state.
    pub capacity: usize,
    /// Bytes of blocks with the program.
    pub live: usize,
    /// Bytes of blocks in the caches of threads.
    pub cached: usize,
    /// Bytes of free blocks.
    pub free: usize,
    /// Bytes of blocks that some thread was splitting, merging or resizing.
    pub in_transit: usize,
    /// The largest block in bytes that merging forms of what is free now.
    pub largest_free: usize,
    /// The largest block in bytes that a region forms when all of it is free.
    pub largest_possible: usize,
    /// Number of caches of threads.
    pub caches: usize,
    /// Bytes of the caches themselves.
    pub cache_tables: usize,
    /// Blocks handed out.
    pub allocations: u64,
    /// Blocks taken back.
    pub releases: u64,
    /// Allocations that failed.
    pub failures: u64,
    /// Sweeps.
    pub sweeps: u64,
    /// Pairs of blocks that were merged.
    pub merges: u64,
}

/// The state of a block in a map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "C's names")]
pub enum State {
    /// Nobody has it.
    HM_FREE = 0,
    /// The cache of a thread has it.
    HM_CACHED,
    /// The program has it.
    HM_LIVE,
    /// A thread is splitting or merging it.
    HM_IN_TRANSIT,
}

/// A block in a map.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Its region.
    pub region: u64,
    /// Bytes from the beginning of the region to it.
    pub offset: usize,
    /// Its bytes.
    pub size: usize,
    /// Its state.
    pub state: State,
}

/// The largest block in bytes that merging forms of what is free now.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_largest_free(pool: &Pool) -> usize {
    pool.0.largest_free_block()
}

/// Writes the figures of the pool to `stats`. O(blocks).
///
/// # Safety
///
/// The pool is one; `stats` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_stats(pool: &Pool, stats: *mut PoolStats) {
    // SAFETY: the caller vouches for it.
    unsafe { stats.write(pool.0.stats().into()) };
}

impl From<mempool::PoolStats> for PoolStats {
    fn from(now: mempool::PoolStats) -> Self {
        Self {
            regions: now.heaps,
            capacity: now.capacity,
            live: now.live,
            cached: now.cached,
            free: now.free,
            in_transit: now.in_transit,
            largest_free: now.largest_free,
            largest_possible: now.largest_possible,
            caches: now.caches,
            cache_tables: now.cache_tables,
            allocations: now.allocations(),
            releases: now.releases(),
            failures: now.failures,
            sweeps: now.sweeps,
            merges: now.merges,
        }
    }
}

/// Calls `visit` with each block, region by region, until it returns false.
///
/// # Safety
///
/// The pool is one; `visit` may be called with `argument`, and does not free the pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_for_each_block(
    pool: &Pool,
    visit: unsafe extern "C" fn(block: *const Block, argument: *mut c_void) -> bool,
    argument: *mut c_void,
) {
    // SAFETY: the caller vouches for it.
    unsafe { for_each(pool.0.heap_map(), visit, argument) };
}

/// What C has to be called with for each block.
pub(crate) type Visit = unsafe extern "C" fn(block: *const Block, argument: *mut c_void) -> bool;

/// Calls `visit` with each block, until it returns false.
///
/// # Safety
///
/// `visit` may be called with `argument`.
pub(crate) unsafe fn for_each(map: HeapMap<'_>, visit: Visit, argument: *mut c_void) {
    for block in map {
        let state = match block.state {
            BlockState::Free => State::HM_FREE,
            BlockState::Cached => State::HM_CACHED,
            BlockState::Live => State::HM_LIVE,
            _ => State::HM_IN_TRANSIT,
        };
        let block = Block { region: block.heap.get(), offset: block.offset, size: block.size, state };
        // SAFETY: the caller vouches for it.
        if !unsafe { visit(&raw const block, argument) } {
            return;
        }
    }
}

/// Text for a buffer of the caller's: as much as fits, with a 0 at its end; and how much there is.
pub(crate) struct Text {
    place: *mut u8,
    room: usize,
    len: usize,
}

impl Text {
    /// # Safety
    ///
    /// So many bytes may be written at `place`, for as long as this lives; none, if it is null.
    pub(crate) unsafe fn new(place: *mut c_char, room: usize) -> Self {
        Self { place: place.cast(), room: if place.is_null() { 0 } else { room }, len: 0 }
    }

    /// Writes what there is; returns its bytes.
    pub(crate) fn write(mut self, text: impl fmt::Display) -> usize {
        // It does not fail: `write_str` never does.
        _ = write!(self, "{text}");
        if self.room > 0 {
            // SAFETY: within the room.
            unsafe { self.place.add(self.len.min(self.room - 1)).write(0) };
        }
        self.len
    }

    /// Writes a map as SVG, with a title, which may be null; returns its bytes.
    ///
    /// # Safety
    ///
    /// The title is null or a text.
    pub(crate) unsafe fn write_svg(self, map: &HeapMap<'_>, title: *const c_char) -> usize {
        let title = if title.is_null() {
            None
        } else {
            // SAFETY: the caller vouches for the text.
            unsafe { CStr::from_ptr(title) }.to_str().ok()
        };
        match title {
            Some(title) => self.write(map.svg().title(title)),
            None => self.write(map.svg()),
        }
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The last byte is for the 0.
        let fits = self.room.saturating_sub(self.len + 1).min(text.len());
        if fits > 0 {
            // SAFETY: within the room.
            unsafe { self.place.add(self.len).copy_from_nonoverlapping(text.as_ptr(), fits) };
        }
        self.len += text.len();
        Ok(())
    }
}

/// Writes the figures of the pool as text, as `snprintf` does: `room` bytes at most, with a 0 at the end. Returns
/// how many bytes the whole text has, without that 0.
///
/// # Safety
///
/// The pool is one; `room` bytes may be written at `buffer`, which may be null if `room` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_stats_text(pool: &Pool, buffer: *mut c_char, room: usize) -> usize {
    // SAFETY: the caller vouches for the buffer.
    unsafe { Text::new(buffer, room) }.write(pool.0.stats())
}

/// Draws the regions in characters, in at most `columns` columns and `rows` rows; else as `hm_pool_stats_text`.
///
/// # Safety
///
/// As `hm_pool_stats_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_map_text(
    pool: &Pool,
    columns: usize,
    rows: usize,
    buffer: *mut c_char,
    room: usize,
) -> usize {
    // SAFETY: the caller vouches for the buffer.
    unsafe { Text::new(buffer, room) }.write(pool.0.heap_map().text(columns, rows))
}

/// Draws the regions as a picture in SVG, with a title, which may be null; else as `hm_pool_stats_text`.
///
/// # Safety
///
/// As `hm_pool_stats_text`; the title is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_map_svg(pool: &Pool, title: *const c_char, buffer: *mut c_char, room: usize) -> usize {
    // SAFETY: the caller vouches for the title and the buffer.
    unsafe { Text::new(buffer, room).write_svg(&pool.0.heap_map(), title) }
}
