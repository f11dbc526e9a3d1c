//! Pools for C: `MemoryPool`, method by method.
//!
//! A pool's tables come from the program's `malloc`, which may be this library's, or not.

use core::alloc::Layout;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use std::alloc::{alloc, dealloc};

use mempool::{HeapId, MemoryPool, Sizes};

use crate::status::Status::{self, HM_INVALID, HM_OK};

/// A pool of regions that the program owns. All functions may be called by any thread at any time, but
/// `hm_pool_free`. No function reads or writes a region, but `hm_pool_resize`. The pool of a call is not null, but
/// `hm_pool_free`'s.
#[allow(missing_debug_implementations, reason = "C has none")]
pub struct Pool(pub(crate) MemoryPool);

/// How a pool is. 0 is the default of each.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolOptions {
    /// Bytes of the smallest block, a power of two, at least 16. The default is 64.
    pub min_block: usize,
    /// Bytes of the largest block, a power of two. By default there is no limit.
    pub max_block: usize,
    /// Bytes that the cache of each thread may hold. By default that depends on the pool's size. `SIZE_MAX`: none.
    pub thread_cache: usize,
    /// Eight sizes of blocks from one power of two to the next. The default is powers of two only.
    pub eighths: bool,
}

/// Makes a pool without regions, and writes it to `place`. `options` may be null.
///
/// # Safety
///
/// `place` may be written, and `options` is null or may be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_new(options: *const PoolOptions, place: *mut *mut Pool) -> Status {
    // SAFETY: the caller vouches for it.
    let options = unsafe { options.as_ref() }.copied().unwrap_or_default();
    let mut builder = MemoryPool::builder();
    if options.min_block > 0 {
        builder = builder.min_block(options.min_block);
    }
    if options.max_block > 0 {
        builder = builder.max_block(options.max_block);
    }
    match options.thread_cache {
        0 => {}
        usize::MAX => builder = builder.thread_cache(0),
        bytes => builder = builder.thread_cache(bytes),
    }
    if options.eighths {
        builder = builder.sizes(Sizes::Eighths);
    }
    match builder.build() {
        // SAFETY: the caller vouches for `place`.
        Ok(pool) => unsafe { own(Pool(pool), place) },
        Err(error) => error.into(),
    }
}

/// Puts a pool into memory of its own, and writes where to `place`.
///
/// # Safety
///
/// `place` may be written.
pub(crate) unsafe fn own<P>(pool: P, place: *mut *mut P) -> Status {
    // SAFETY: a pool has bytes.
    let own = unsafe { alloc(Layout::new::<P>()) }.cast::<P>();
    if own.is_null() {
        return Status::HM_NO_MEMORY;
    }
    // SAFETY: `own` is new, and a place for a pool; the caller vouches for `place`.
    unsafe {
        own.write(pool);
        place.write(own);
    }
    HM_OK
}

/// Drops a pool of `own`. Null is nothing.
///
/// # Safety
///
/// `pool` is null, or came from `own`, and nobody uses it any more.
pub(crate) unsafe fn disown<P>(pool: *mut P) {
    if !pool.is_null() {
        // SAFETY: the caller vouches for it.
        unsafe {
            ptr::drop_in_place(pool);
            dealloc(pool.cast(), Layout::new::<P>());
        }
    }
}

/// Writes a value to a place, unless that is null.
///
/// # Safety
///
/// `place` is null or may be written.
pub(crate) unsafe fn tell<T>(place: *mut T, value: T) -> Status {
    if !place.is_null() {
        // SAFETY: the caller vouches for it.
        unsafe { place.write(value) };
    }
    HM_OK
}

/// Frees a pool. Its regions are the program's, whatever was live in them. Null is nothing.
///
/// # Safety
///
/// `pool` is null, or came from `hm_pool_new`, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_free(pool: *mut Pool) {
    // SAFETY: the caller vouches for it.
    unsafe { disown(pool) };
}

/// Adds a region of any base and size, and writes its number to `region`, unless that is null.
///
/// # Safety
///
/// The pool is one; `region` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_add_region(pool: &Pool, base: *mut c_void, size: usize, region: *mut u64) -> Status {
    match pool.0.add_heap(base.cast(), size) {
        // SAFETY: the caller vouches for it.
        Ok(id) => unsafe { tell(region, id.get()) },
        Err(error) => error.into(),
    }
}

/// Removes a region, all of which is free. Its memory is the program's again.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_remove_region(pool: &Pool, region: u64) -> Status {
    Status::of(pool.0.remove_heap(HeapId::new(region)))
}

/// Allocates a block of at least `size` bytes. It is aligned to the largest power of two that divides its size. Null
/// when there is none, or for 0 bytes.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_alloc(pool: &Pool, size: usize) -> *mut c_void {
    pool.0.hl_alloc(size).cast()
}

fn layout(size: usize, align: usize) -> Option<Layout> {
    Layout::from_size_align(size, align).ok()
}

/// The same, aligned to `align`, a power of two.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_alloc_aligned(pool: &Pool, align: usize, size: usize) -> *mut c_void {
    let block = layout(size, align).and_then(|layout| pool.0.alloc(layout).ok());
    block.map_or(ptr::null_mut(), |block| block.as_ptr().cast())
}

/// The same, of one region.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_alloc_in(pool: &Pool, region: u64, align: usize, size: usize) -> *mut c_void {
    let block = layout(size, align).and_then(|layout| pool.0.alloc_in(HeapId::new(region), layout).ok());
    block.map_or(ptr::null_mut(), |block| block.as_ptr().cast())
}

/// Releases a block. Null is nothing, and `HM_OK`. A wrong address changes nothing, and is `HM_FOREIGN`,
/// `HM_INTERIOR` or `HM_NOT_LIVE`, also when threads race.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_release(pool: &Pool, block: *mut c_void) -> Status {
    Status::of(pool.0.hl_release(block.cast()))
}

/// Gives a block another size, in place, or elsewhere with its contents; as C's `realloc`. Null when there is none;
/// then the block is as it was.
///
/// # Safety
///
/// The pool is one; the block is null, or the memory behind it may be read and written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_resize(pool: &Pool, block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller vouches for the block.
    unsafe { pool.0.hl_resize(block.cast(), size) }.cast()
}

/// Gives a block another size where it is. The bytes that it has then are written to `now`, unless that is null.
///
/// # Safety
///
/// The pool is one; `now` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_resize_in_place(
    pool: &Pool,
    block: *mut c_void,
    size: usize,
    now: *mut usize,
) -> Status {
    let Some(block) = NonNull::new(block.cast()) else { return HM_INVALID };
    match pool.0.resize_in_place(block, size) {
        // SAFETY: the caller vouches for it.
        Ok(bytes) => unsafe { tell(now, bytes) },
        Err(error) => error.into(),
    }
}

/// Bytes of a live block; 0 if none is at the address.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_block_size(pool: &Pool, block: *mut c_void) -> usize {
    NonNull::new(block.cast()).and_then(|block| pool.0.block_size(block).ok()).unwrap_or(0)
}

/// The region in which an address lies is written to `region`. False: it lies in none.
///
/// # Safety
///
/// The pool is one; `region` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_region_of(pool: &Pool, address: *mut c_void, region: *mut u64) -> bool {
    let found = NonNull::new(address.cast()).and_then(|address| pool.0.heap_of(address));
    if let Some(id) = found {
        // SAFETY: the caller vouches for it.
        unsafe { region.write(id.get()) };
    }
    found.is_some()
}

/// Gives back what the calling thread has cached.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_flush_thread_cache(pool: &Pool) {
    pool.0.flush_thread_cache();
}

/// Merges all free blocks, and returns how many pairs there were.
///
/// # Safety
///
/// The pool is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hm_pool_sweep(pool: &Pool) -> u64 {
    pool.0.sweep().merges
}
