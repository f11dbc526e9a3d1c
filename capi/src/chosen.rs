//! The allocator that is `malloc`: chosen by the first call, from what the environment asks.
//!
//! The first call may come from the loader, long before `main`, so there is no other moment. Two threads may choose at
//! the same time. They choose the same, and the first one to store its allocator wins.

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use mempool::PoolAllocator;

use crate::environment::Options;

/// `malloc`, unless something is asked for.
static PLAIN: PoolAllocator = PoolAllocator::builder().checked(false).on_demand(usize::MAX);

/// The allocator of the fast paths; null until it is chosen, and for ever if each call is looked at or counted.
static FAST: AtomicPtr<PoolAllocator> = AtomicPtr::new(ptr::null_mut());
/// The allocator whose calls are counted for a heap profile; else null.
static PROFILED: AtomicPtr<PoolAllocator> = AtomicPtr::new(ptr::null_mut());
/// The allocator that was asked for; null until it is chosen, and for ever if nothing is.
static ASKED: AtomicPtr<Asked> = AtomicPtr::new(ptr::null_mut());

/// An allocator that the environment asked for.
pub struct Asked {
    /// The allocator.
    pub allocator: PoolAllocator,
    /// What was asked.
    pub options: Options,
}

/// The allocator, if no call is looked at.
#[inline(always)]
pub fn fast() -> Option<&'static PoolAllocator> {
    // Acquire: pairs with the Release in `choose`; makes the allocator visible.
    // SAFETY: null, or an allocator that lives for ever.
    unsafe { FAST.load(Ordering::Acquire).as_ref() }
}

/// The allocator, if it has a heap profile.
#[inline(always)]
pub fn profiled() -> Option<&'static PoolAllocator> {
    // Acquire: pairs with the Release in `choose`; makes the allocator visible.
    // SAFETY: null, or an allocator that lives for ever.
    unsafe { PROFILED.load(Ordering::Acquire).as_ref() }
}

/// What was asked for, if it was.
pub fn asked() -> Option<&'static Asked> {
    // Acquire: pairs with the Release in `choose`; makes it visible.
    // SAFETY: null, or one that lives for ever.
    unsafe { ASKED.load(Ordering::Acquire).as_ref() }
}

/// The allocator that is `malloc`.
pub fn allocator() -> &'static PoolAllocator {
    fast().unwrap_or_else(|| watched().map_or_else(|allocator| allocator, |asked| &asked.allocator))
}

/// The allocator where `fast` has none: one each of whose calls is looked at; or, at the first call of all, the fast
/// one as an error.
#[cold]
pub fn watched() -> Result<&'static Asked, &'static PoolAllocator> {
    match asked() {
        // No call of it is fast, or this thread overtakes the one that chooses.
        Some(asked) if asked.options.watches() => Ok(asked),
        Some(asked) => Err(&asked.allocator),
        None => choose(),
    }
}

fn choose() -> Result<&'static Asked, &'static PoolAllocator> {
    let mut fast = &PLAIN;
    if let Some(new) = Options::read().and_then(make) {
        // AcqRel: the Release pairs with the Acquire in `asked`. Acquire on failure: pairs with that Release, of a
        // faster thread.
        let first = ASKED.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire);
        // SAFETY: both live for ever. What this thread has made in vain stays: it has nothing in it but its pages.
        let asked: &'static Asked = unsafe { &*first.map_or_else(|first| first, |_| ptr::from_mut(new)) };
        if let Some(folder) = asked.options.trace {
            // Once for a process: the second call is refused. Where there is no file, nothing is recorded.
            _ = record::start_in(folder.get(), &mut [0; 1024]);
        }
        if asked.options.watches() {
            return Ok(asked);
        }
        if asked.options.profiles() {
            let allocator = &asked.allocator;
            // Release: pairs with the Acquire in `profiled`. All threads that choose store the same.
            PROFILED.store(ptr::from_ref(allocator).cast_mut(), Ordering::Release);
            return Err(allocator);
        }
        fast = &asked.allocator;
    }
    // Release: pairs with the Acquire in `fast`. All threads that choose store the same.
    FAST.store(ptr::from_ref(fast).cast_mut(), Ordering::Release);
    Err(fast)
}

/// An allocator with these options, in pages of its own: there is no allocator yet that could have it. `None`: the
/// system has none, so the program can't go on in any case.
fn make(options: Options) -> Option<&'static mut Asked> {
    const BYTES: usize = size_of::<Asked>().next_multiple_of(4096);
    let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
    // SAFETY: a new mapping, at addresses that are free.
    let pages = unsafe { libc::mmap(ptr::null_mut(), BYTES, prot, flags, -1, 0) };
    if pages == libc::MAP_FAILED {
        return None;
    }
    let place = pages.cast::<Asked>();
    let allocator = PoolAllocator::builder().checked(options.checked.is_some()).on_demand(options.limit);
    // SAFETY: the pages are this thread's, have room for it, and are aligned to more than it needs.
    unsafe {
        place.write(Asked { allocator, options });
        Some(&mut *place)
    }
}
