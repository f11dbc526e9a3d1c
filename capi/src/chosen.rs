//! The allocator that is `malloc`: chosen by the first call, from what the environment asks.
//!
//! The first call may come from the loader, long before `main`, so there is no other moment. Two threads may choose at
//! the same time. They choose the same options, and the first one to store its allocator wins.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use mempool::PoolAllocator;

use crate::environment::Options;

/// `malloc`, unless something else is asked for.
static PLAIN: PoolAllocator = PoolAllocator::builder().checked(false).on_demand(usize::MAX);

/// The allocator; null until it is chosen.
static CHOSEN: AtomicPtr<PoolAllocator> = AtomicPtr::new(ptr::null_mut());

/// The allocator that is `malloc`.
#[inline(always)]
pub fn allocator() -> &'static PoolAllocator {
    // Acquire: pairs with the Release in `choose`; makes the allocator visible.
    // SAFETY: null, or an allocator that lives for ever.
    match unsafe { CHOSEN.load(Ordering::Acquire).as_ref() } {
        Some(chosen) => chosen,
        None => choose(),
    }
}

#[cold]
fn choose() -> &'static PoolAllocator {
    let options = Options::read();
    let new = if options == Options::NONE { None } else { make(options) };
    let chosen = new.map_or((&raw const PLAIN).cast_mut(), ptr::from_mut);
    // AcqRel: the Release pairs with the Acquire in `allocator`. Acquire on failure: pairs with that Release, of a
    // faster thread.
    match CHOSEN.compare_exchange(ptr::null_mut(), chosen, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: it lives for ever.
        Ok(_) => unsafe { &*chosen },
        // SAFETY: as above. What this thread has made has nothing in it, and stays: a page.
        Err(first) => unsafe { &*first },
    }
}

/// An allocator with these options, in a page of its own: there is no allocator yet that could have it. `None`: the
/// system has no page, so the program can't go on in any case.
fn make(options: Options) -> Option<&'static mut PoolAllocator> {
    const BYTES: usize = size_of::<PoolAllocator>().next_multiple_of(4096);
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: a new mapping, at addresses that are free.
    let page = unsafe { libc::mmap(ptr::null_mut(), BYTES, prot, flags, -1, 0) };
    if page == libc::MAP_FAILED {
        return None;
    }
    let place = page.cast::<PoolAllocator>();
    // SAFETY: the page is this thread's, has room for it, and is aligned to more than it needs.
    unsafe {
        place.write(PoolAllocator::builder().checked(false).on_demand(options.limit));
        Some(&mut *place)
    }
}
