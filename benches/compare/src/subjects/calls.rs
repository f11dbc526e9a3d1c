//! Allocators as C calls them: `malloc` has a size and nothing else, `free` a pointer and nothing else. Their bodies
//! are behind indirect calls, as those of a library that is loaded before a program.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr::{self, NonNull};

use super::general::POOL;
use crate::subject::Subject;

type Malloc = unsafe extern "C" fn(usize) -> *mut c_void;
type Free = unsafe extern "C" fn(*mut c_void);

/// Two functions.
#[derive(Debug)]
pub struct Calls {
    malloc: Malloc,
    free: Free,
}

mod system {
    use std::ffi::c_void;

    unsafe extern "C" {
        pub fn malloc(size: usize) -> *mut c_void;
        pub fn free(block: *mut c_void);
    }
}

/// As that of the C library in `capi/`.
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    match Layout::from_size_align(size.max(1), 16) {
        // SAFETY: the size is not 0.
        Ok(layout) => unsafe { POOL.alloc(layout) }.cast(),
        Err(_) => ptr::null_mut(),
    }
}

/// As that of the C library in `capi/`.
unsafe extern "C" fn free(block: *mut c_void) {
    if let Some(block) = NonNull::new(block.cast()) {
        // SAFETY: the caller vouches for the block.
        unsafe { POOL.release(block) };
    }
}

impl Calls {
    fn new(malloc: Malloc, free: Free) -> Self {
        Self { malloc: black_box(malloc), free: black_box(free) }
    }

    pub fn pool_allocator() -> Self {
        Self::new(malloc, free)
    }

    pub fn mimalloc() -> Self {
        Self::new(libmimalloc_sys::mi_malloc, libmimalloc_sys::mi_free)
    }

    pub fn system() -> Self {
        Self::new(system::malloc, system::free)
    }
}

impl Subject for Calls {
    #[inline]
    fn alloc(&self, size: u32) -> *mut u8 {
        // SAFETY: a function that allocates.
        unsafe { (self.malloc)(size as usize) }.cast()
    }

    #[inline]
    unsafe fn release(&self, block: *mut u8, _: u32) {
        // SAFETY: the caller vouches for the block.
        unsafe { (self.free)(block.cast()) };
    }
}
