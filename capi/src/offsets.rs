//! Pools of offsets for C: `OffsetPool`, method by method.

use core::ffi::{c_char, c_void};

use mempool::{HeapId, OffsetPool, Sizes};

use crate::inspect::{Block, PoolStats, Text, for_each};
use crate::pool::{disown, own, tell};
use crate::status::Status;

/// A pool of ranges of offsets: device memory, registered memory, a file. All functions may be called by any thread at
/// any time, but `hm_offset_free`. The pool of a call is not null, but `hm_offset_free`'s.
#[allow(missing_debug_implementations, reason = "C has none")]
pub struct Offsets(OffsetPool);

/// How a pool of offsets is. 0 is the default of each.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct OffsetOptions {
    /// Bytes of the smallest block, a power of two, at least 16. The default is 4096. Tables have 49 bits for each.
    pub min_block: u64,
    /// Bytes of the largest block, a power of two. By default there is no limit.
    pub max_block: u64,
    /// Bytes that the cache of each thread may hold. By default that depends on the pool's size. `UINT64_MAX`: none.
    pub thread_cache: u64,
    /// Eight sizes of blocks from one power of two to the next. The default is powers of two only.
    pub eighths: bool,
}

/// A range of a pool of offsets.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OffsetRange {
    /// Its number.
    pub range: u64,
    /// The offset of its first block.
    pub start: u64,
    /// Bytes in blocks.
    pub len: u64,
    /// The word that it was added with.
    pub word: u64,
}

/// Makes a pool without ranges, and writes it to `place`. `options` may be null.
///
/// # Safety
///
/// `place` may be written, and `options` is null or may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_new(options: *const OffsetOptions, place: *mut *mut Offsets) -> Status {
    // SAFETY: the caller vouches for it.
    let options = unsafe { options.as_ref() }.copied().unwrap_or_default();
    let mut builder = OffsetPool::builder();
    if options.min_block > 0 {
        builder = builder.min_block(options.min_block);
    }
    if options.max_block > 0 {
        builder = builder.max_block(options.max_block);
    }
    match options.thread_cache {
        0 => {}
        u64::MAX => builder = builder.thread_cache(0),
        bytes => builder = builder.thread_cache(bytes),
    }
    if options.eighths {
        builder = builder.sizes(Sizes::Eighths);
    }
    match builder.build() {
        // SAFETY: the caller vouches for `place`.
        Ok(pool) => unsafe { own(Offsets(pool), place) },
        Err(error) => error.into(),
    }
}

/// Frees a pool, whatever was live in it. Null is nothing.
///
/// # Safety
///
/// `pool` is null, or came from `hm_offset_new`, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_free(pool: *mut Offsets) {
    // SAFETY: the caller vouches for it.
    unsafe { disown(pool) };
}

/// Adds the `len` bytes from offset `start` on, with a word of the program's own. Writes the number of the range to
/// `range`, unless that is null.
///
/// # Safety
///
/// The pool is one; `range` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_add_range(
    pool: &Offsets,
    start: u64,
    len: u64,
    word: u64,
    range: *mut u64,
) -> Status {
    match pool.0.add_range_for(start, len, word) {
        // SAFETY: the caller vouches for it.
        Ok(id) => unsafe { tell(range, id.get()) },
        Err(error) => error.into(),
    }
}

/// Removes a range, all of which is free.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_remove_range(pool: &Offsets, range: u64) -> Status {
    Status::of(pool.0.remove_range(HeapId::new(range)))
}

/// Allocates a block of at least `len` bytes, and writes its offset to `offset`: a multiple of `align`, a power of two,
/// and of the largest power of two that divides the block's size. `HM_NO_BLOCK` when there is none.
///
/// # Safety
///
/// The pool is one; `offset` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_alloc(pool: &Offsets, len: u64, align: u64, offset: *mut u64) -> Status {
    match pool.0.alloc(len, align) {
        // SAFETY: the caller vouches for it.
        Ok(block) => unsafe { tell(offset, block) },
        Err(error) => error.into(),
    }
}

/// The same, of one range.
///
/// # Safety
///
/// The pool is one; `offset` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_alloc_in(
    pool: &Offsets,
    range: u64,
    len: u64,
    align: u64,
    offset: *mut u64,
) -> Status {
    match pool.0.alloc_in(HeapId::new(range), len, align) {
        // SAFETY: the caller vouches for it.
        Ok(block) => unsafe { tell(offset, block) },
        Err(error) => error.into(),
    }
}

/// Takes `len` bytes from offset `start` on, to rebuild a pool from what is live. Writes how many blocks that are to
/// `blocks`, unless that is null. It is one where a block for `len` bytes may begin at `start`. Else it is all smallest
/// blocks that the bytes touch, as by `hm_offset_reserve_exact`. `HM_IN_USE` when they are not all free.
///
/// # Safety
///
/// The pool is one; `blocks` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_reserve_at(pool: &Offsets, start: u64, len: u64, blocks: *mut u64) -> Status {
    match pool.0.reserve_at(start, len) {
        // SAFETY: the caller vouches for it.
        Ok(count) => unsafe { tell(blocks, count) },
        Err(error) => error.into(),
    }
}

/// Takes the smallest blocks in which these bytes lie, and no more. They are joined to the fewest powers of two, which
/// follow each other, and each is released by its own offset.
///
/// # Safety
///
/// The pool is one; `blocks` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_reserve_exact(pool: &Offsets, start: u64, len: u64, blocks: *mut u64) -> Status {
    match pool.0.reserve_exact(start, len) {
        // SAFETY: the caller vouches for it.
        Ok(count) => unsafe { tell(blocks, count) },
        Err(error) => error.into(),
    }
}

/// Releases the block at an offset. A wrong offset changes nothing, and is `HM_FOREIGN`, `HM_INTERIOR` or
/// `HM_NOT_LIVE`, also when threads race.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_release(pool: &Offsets, offset: u64) -> Status {
    Status::of(pool.0.release(offset))
}

/// Gives a block another size where it is. The bytes that it has then are written to `now`, unless that is null.
///
/// # Safety
///
/// The pool is one; `now` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_resize_in_place(pool: &Offsets, offset: u64, len: u64, now: *mut u64) -> Status {
    match pool.0.resize_in_place(offset, len) {
        // SAFETY: the caller vouches for it.
        Ok(bytes) => unsafe { tell(now, bytes) },
        Err(error) => error.into(),
    }
}

/// Bytes of a live block; 0 if none is at the offset.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_block_size(pool: &Offsets, offset: u64) -> u64 {
    pool.0.block_size(offset).unwrap_or(0)
}

/// The range in which an offset lies is written to `range`. False: it lies in none.
///
/// # Safety
///
/// The pool is one; `range` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_range_of(pool: &Offsets, offset: u64, range: *mut OffsetRange) -> bool {
    let found = pool.0.range_of(offset);
    if let Some(found) = found {
        let found = OffsetRange { range: found.id.get(), start: found.start, len: found.len, word: found.word };
        // SAFETY: the caller vouches for it.
        unsafe { range.write(found) };
    }
    found.is_some()
}

/// Gives back what the calling thread has cached.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_flush_thread_cache(pool: &Offsets) {
    pool.0.flush_thread_cache();
}

/// Merges all free blocks, and returns how many pairs there were.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_sweep(pool: &Offsets) -> u64 {
    pool.0.sweep().merges
}

/// The largest block in bytes that the next allocation can have.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_largest_free(pool: &Offsets) -> u64 {
    pool.0.largest_free()
}

/// Writes the figures of the pool to `stats`, in which a range is a region. O(blocks).
///
/// # Safety
///
/// The pool is one; `stats` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_stats(pool: &Offsets, stats: *mut PoolStats) {
    // SAFETY: the caller vouches for it.
    unsafe { stats.write(pool.0.stats().into()) };
}

/// Calls `visit` with each block, range by range, until it returns false. A block's offset counts from the start of its
/// range.
///
/// # Safety
///
/// The pool is one; `visit` may be called with `argument`, and does not free the pool.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_for_each_block(
    pool: &Offsets,
    visit: unsafe extern "C" fn(block: *const Block, argument: *mut c_void) -> bool,
    argument: *mut c_void,
) {
    // SAFETY: the caller vouches for it.
    unsafe { for_each(pool.0.heap_map(), visit, argument) };
}

/// Writes the figures of the pool as text, as `hm_pool_stats_text`.
///
/// # Safety
///
/// The pool is one; `room` bytes may be written at `buffer`, which may be null if `room` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_stats_text(pool: &Offsets, buffer: *mut c_char, room: usize) -> usize {
    // SAFETY: the caller vouches for the buffer.
    unsafe { Text::new(buffer, room) }.write(pool.0.stats())
}

/// Draws the ranges in characters, as `hm_pool_map_text`.
///
/// # Safety
///
/// As `hm_offset_stats_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_map_text(
    pool: &Offsets,
    columns: usize,
    rows: usize,
    buffer: *mut c_char,
    room: usize,
) -> usize {
    // SAFETY: the caller vouches for the buffer.
    unsafe { Text::new(buffer, room) }.write(pool.0.heap_map().text(columns, rows))
}

/// Draws the ranges as a picture in SVG, as `hm_pool_map_svg`.
///
/// # Safety
///
/// As `hm_offset_stats_text`; the title is null or a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_offset_map_svg(
    pool: &Offsets,
    title: *const c_char,
    buffer: *mut c_char,
    room: usize,
) -> usize {
    // SAFETY: the caller vouches for the title and the buffer.
    unsafe { Text::new(buffer, room).write_svg(&pool.0.heap_map(), title) }
}
