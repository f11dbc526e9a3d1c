//! Nothing of a `PoolAllocator` reaches the C library's malloc, so that it can stand in for it: here malloc counts.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::disallowed_types, reason = "tests are not modelled, so their atomics need not be the crate's")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use mempool::PoolAllocator;

thread_local! {
    /// What malloc counts for this thread.
    static COUNTED: Cell<Option<&'static AtomicUsize>> = const { Cell::new(None) };
}

fn count() {
    if let Some(calls) = COUNTED.get() {
        calls.fetch_add(1, Ordering::Relaxed);
    }
}

/// The functions of the C library, in the place of which the program's own are called.
mod own {
    use super::{c_int, c_void, count};

    unsafe extern "C" {
        fn __libc_malloc(size: usize) -> *mut c_void;
        fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
        fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
        fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
        count();
        // SAFETY: the C library's own.
        unsafe { __libc_malloc(size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn calloc(number: usize, size: usize) -> *mut c_void {
        count();
        // SAFETY: the C library's own.
        unsafe { __libc_calloc(number, size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
        count();
        // SAFETY: the C library's own, as is the block.
        unsafe { __libc_realloc(block, size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
        count();
        // SAFETY: the C library's own.
        unsafe { __libc_memalign(align, size) }
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn posix_memalign(place: *mut *mut c_void, align: usize, size: usize) -> c_int {
        count();
        // SAFETY: the C library's own; the caller vouches for the place.
        unsafe { place.write(__libc_memalign(align, size)) };
        // SAFETY: as above.
        if unsafe { *place }.is_null() { libc::ENOMEM } else { 0 }
    }
}

/// How often a new thread that does this calls malloc for it, until it is gone.
fn calls(work: impl FnOnce() + Send + 'static) -> usize {
    let calls: &AtomicUsize = Box::leak(Box::default());
    let counted = move || {
        COUNTED.set(Some(calls));
        work();
    };
    thread::spawn(counted).join().expect("no panic");
    calls.load(Ordering::Relaxed)
}

/// Many blocks of all sizes at once, which are resized, and released with a layout and without.
fn work(allocator: &PoolAllocator) {
    let layout = |size| Layout::from_size_align(size, 8).expect("a small one");
    for round in 0..3 {
        let mut blocks = [(std::ptr::null_mut::<u8>(), 0); 600];
        for (number, block) in blocks.iter_mut().enumerate() {
            let size = (1 << (number % 18)) + number;
            // SAFETY: the size is not 0.
            *block = (unsafe { allocator.alloc(layout(size)) }, size);
            // SAFETY: a live block of this layout; the new size is not 0.
            *block = (unsafe { allocator.realloc(block.0, layout(size), size * 2 + round) }, size * 2 + round);
        }
        for (number, (block, size)) in blocks.into_iter().enumerate() {
            let block = NonNull::new(block).expect("there is memory");
            // SAFETY: live blocks of these layouts, which nobody uses any more.
            unsafe {
                if number % 2 == 0 {
                    assert!(allocator.usable_size(block) >= size);
                    allocator.release(block);
                } else {
                    allocator.dealloc(block.as_ptr(), layout(size));
                }
            }
        }
        allocator.sweep();
        allocator.trim();
        assert!(allocator.stats().heap > 0);
    }
}

#[test]
fn malloc_is_counted() {
    let vector = || drop(std::hint::black_box(vec![0_u8; 100]));
    assert!(calls(vector) > 0);
}

#[test]
fn first_and_later_threads() {
    static ALLOCATOR: PoolAllocator = PoolAllocator::new();
    assert_eq!(calls(|| work(&ALLOCATOR)), 0, "the first thread");
    assert_eq!(calls(|| work(&ALLOCATOR)), 0, "a second one");
}

#[test]
fn allocators_that_are_made_and_dropped() {
    let made = || {
        work(&PoolAllocator::with_capacity(256 << 20).expect("a mapping"));
        work(&PoolAllocator::builder().huge_pages(true).prefault(true).build(256 << 20).expect("a mapping"));
    };
    assert_eq!(calls(made), 0);
}

#[test]
fn a_limit() {
    static ALLOCATOR: PoolAllocator = PoolAllocator::with_limit(1 << 20);
    let layout = Layout::from_size_align(1000, 8).expect("a small one");
    let fill = move || {
        let mut blocks = [std::ptr::null_mut(); 1200];
        // SAFETY: the size is not 0.
        blocks.iter_mut().for_each(|block| *block = unsafe { ALLOCATOR.alloc(layout) });
        let live = || blocks.iter().filter(|block| !block.is_null());
        assert!((900..1200).contains(&live().count()));
        // SAFETY: live blocks, which nobody uses any more.
        live().for_each(|block| unsafe { ALLOCATOR.dealloc(*block, layout) });
    };
    assert_eq!(calls(fill), 0);
}
