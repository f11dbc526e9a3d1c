//! SQLite's memory from a `PoolAllocator`: the functions that `SQLITE_CONFIG_MALLOC` takes. They know blocks by their
//! pointers alone.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use libsqlite3_sys as ffi;
use mempool::PoolAllocator;

/// SQLite wants its blocks aligned to this number of bytes.
const ALIGN: usize = 8;

/// The functions have no parameter of their own, so there is one allocator in a process.
static POOL: OnceLock<PoolAllocator> = OnceLock::new();
/// Bytes of the blocks that SQLite has.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Has SQLite take its memory from an allocator with this limit, in bytes. Before anything else of SQLite.
pub fn install(limit: usize) -> &'static PoolAllocator {
    let pool = POOL.get_or_init(|| PoolAllocator::with_limit(limit));
    let methods = ffi::sqlite3_mem_methods {
        xMalloc: Some(malloc),
        xFree: Some(free),
        xRealloc: Some(realloc),
        xSize: Some(size),
        xRoundup: Some(round_up),
        xInit: Some(init),
        xShutdown: Some(shutdown),
        pAppData: ptr::null_mut(),
    };
    // SAFETY: SQLite copies the functions, which keep to what it wants of them; nothing of it runs yet.
    let code = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods) };
    assert_eq!(code, ffi::SQLITE_OK, "nobody uses SQLite yet");
    pool
}

/// Bytes of the blocks that SQLite has of the allocator.
pub fn live() -> usize {
    // Relaxed: asked when nobody uses SQLite.
    LIVE.load(Ordering::Relaxed)
}

/// SQLite's own count of the bytes that it has.
pub fn used() -> usize {
    // SAFETY: it may be called at any time.
    let used = unsafe { ffi::sqlite3_memory_used() };
    usize::try_from(used).expect("not less than nothing")
}

/// The most bytes that it had, as it counts.
pub fn highest() -> usize {
    // SAFETY: it may be called at any time.
    let highest = unsafe { ffi::sqlite3_memory_highwater(0) };
    usize::try_from(highest).expect("not less than nothing")
}

unsafe extern "C" fn malloc(bytes: c_int) -> *mut c_void {
    let (Some(pool), Ok(bytes @ 1..)) = (POOL.get(), usize::try_from(bytes)) else { return ptr::null_mut() };
    let Ok(layout) = Layout::from_size_align(bytes, ALIGN) else { return ptr::null_mut() };
    // SAFETY: the size is not 0.
    let Some(block) = NonNull::new(unsafe { pool.alloc(layout) }) else { return ptr::null_mut() };
    // SAFETY: a live block. Relaxed: a number.
    LIVE.fetch_add(unsafe { pool.usable_size(block) }, Ordering::Relaxed);
    block.as_ptr().cast()
}

unsafe extern "C" fn free(block: *mut c_void) {
    let (Some(pool), Some(block)) = (POOL.get(), NonNull::new(block.cast::<u8>())) else { return };
    // SAFETY: a live block, as SQLite vouches. Relaxed: a number.
    LIVE.fetch_sub(unsafe { pool.usable_size(block) }, Ordering::Relaxed);
    // SAFETY: a live block, which SQLite does not use any more.
    unsafe { pool.release(block) };
}

unsafe extern "C" fn realloc(block: *mut c_void, bytes: c_int) -> *mut c_void {
    // SAFETY: a live block, as SQLite vouches.
    let has = unsafe { size(block) };
    if bytes <= has && bytes > has / 2 {
        return block;
    }
    // SAFETY: as SQLite vouches.
    let new = unsafe { malloc(bytes) };
    if new.is_null() {
        return if bytes <= has { block } else { new };
    }
    let kept = usize::try_from(has.min(bytes)).unwrap_or(0);
    // SAFETY: both are that long, and no two blocks overlap.
    unsafe { new.cast::<u8>().copy_from_nonoverlapping(block.cast(), kept) };
    // SAFETY: SQLite does not use the old block any more.
    unsafe { free(block) };
    new
}

unsafe extern "C" fn size(block: *mut c_void) -> c_int {
    let (Some(pool), Some(block)) = (POOL.get(), NonNull::new(block.cast::<u8>())) else { return 0 };
    // SAFETY: a live block, as SQLite vouches.
    c_int::try_from(unsafe { pool.usable_size(block) }).unwrap_or(c_int::MAX)
}

unsafe extern "C" fn round_up(bytes: c_int) -> c_int {
    // SQLite asks for less than 2^31 bytes by 2^8 at least.
    (bytes + (ALIGN as c_int - 1)) & !(ALIGN as c_int - 1)
}

unsafe extern "C" fn init(_: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn shutdown(_: *mut c_void) {}
