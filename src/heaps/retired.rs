//! What was replaced: snapshots, and with them the heaps that were removed, until nobody can hold them.
//!
//! A snapshot is held by who pinned it, a heap by that and by windows of caches. The first is over when the epochs say so,
//! which they do on any thread and at any time, maybe after the pool is gone; then who comes second frees. Only removals ask
//! the epochs, since that takes memory, and a heap must not fail to be added for want of it: when the readers of one
//! snapshot are gone, those of all before it are.

use core::ptr::{self, NonNull};

use super::epoch::Guard;
use super::snapshot::Snapshot;
use crate::heap::Heap;
use crate::metadata::Owned;
use crate::sync::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// The states of a [`Link`], 0 where the epochs were not asked. The epochs are going to say that it is over.
const RUNNING: u8 = 1;
/// They said it.
const OVER: u8 = 2;
/// The pool is gone: who says it frees.
const ABANDONED: u8 = 3;

/// What a snapshot has in it for the time after it was replaced.
#[derive(Debug, Default)]
pub(super) struct Link {
    next: AtomicPtr<Snapshot>,
    /// The heap that its successor does not have.
    removed: AtomicPtr<Heap>,
    grace: AtomicU8,
    /// How many snapshots the pool had before.
    number: AtomicU64,
}

impl Link {
    /// Of the snapshot after this one.
    pub(super) fn next(&self) -> Self {
        // Relaxed, as it is published with its snapshot.
        Self { number: AtomicU64::new(self.number() + 1), ..Self::default() }
    }

    fn number(&self) -> u64 {
        // Relaxed: never changed.
        self.number.load(Ordering::Relaxed)
    }
}

/// The replaced snapshots of a set.
#[derive(Debug)]
pub(super) struct Retired(AtomicPtr<Snapshot>);

impl Retired {
    crate::sync::const_unless_loom! {
        pub(super) fn new() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// Takes a snapshot that was replaced, and the heap that was removed by it, to be freed when nobody holds them.
    ///
    /// # Safety
    ///
    /// The caller, who made `guard` before, replaced the snapshot. It came from `Owned::into_raw`, as did the heap, if there is one.
    pub(super) unsafe fn retire(&self, snapshot: NonNull<Snapshot>, removed: Option<NonNull<Heap>>, guard: &Guard<'_>) {
        // SAFETY: it is freed by `collect` or `drop`, or by the closure, if that is the second.
        let link = unsafe { &snapshot.as_ref().link };
        let Some(removed) = removed else { return self.push(snapshot) };
        // Relaxed, both: published by the Release in `push`, or for the closure by the epochs.
        link.removed.store(removed.as_ptr(), Ordering::Relaxed);
        link.grace.store(RUNNING, Ordering::Relaxed);
        let over = move || {
            // SAFETY: as above.
            let link = unsafe { &snapshot.as_ref().link };
            // AcqRel: pairs with the Acquire in `collect`, so that who frees comes after all who held it; and with the Release
            // in `drop`.
            if link.grace.swap(OVER, Ordering::AcqRel) == ABANDONED {
                // SAFETY: the pool left it to this closure.
                unsafe { free(snapshot) };
            }
        };
        // SAFETY: the closure has nothing but a pointer, to what lives until it was called.
        if !unsafe { guard.after(over) } {
            // Relaxed: nobody else looks before `push`.
            link.grace.store(OVER, Ordering::Relaxed);
        }
        self.push(snapshot);
    }

    fn push(&self, snapshot: NonNull<Snapshot>) {
        // SAFETY: it is in no list, and so not freed.
        let link = unsafe { &snapshot.as_ref().link };
        // Relaxed: checked by the exchange.
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the exchange.
            link.next.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire in `take`. Relaxed on failure: as above.
            match self.0.compare_exchange_weak(head, snapshot.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// All that there are, for the caller alone.
    fn take(&self) -> *mut Snapshot {
        // Acquire: pairs with the Release in `push`.
        self.0.swap(ptr::null_mut(), Ordering::Acquire)
    }

    /// What was taken, from this one on.
    ///
    /// # Safety
    ///
    /// `first` is null or from `take`, and nothing of it was freed.
    unsafe fn chain(first: *mut Snapshot) -> impl Iterator<Item = NonNull<Snapshot>> {
        let mut next = NonNull::new(first);
        core::iter::from_fn(move || {
            let snapshot = next?;
            // Relaxed: made visible by the swap.
            // SAFETY: it was in the list, and so not freed.
            next = NonNull::new(unsafe { snapshot.as_ref() }.link.next.load(Ordering::Relaxed));
            Some(snapshot)
        })
    }

    /// Frees what nobody holds any more; `is_quiet` tells whether there is no reader that the epochs don't know, `in_window`
    /// whether a window of a cache shows a heap. Lock-free.
    pub(super) fn collect(&self, is_quiet: impl Fn() -> bool, in_window: impl Fn(*const Heap) -> bool) {
        // Relaxed: who finds nothing leaves it to others.
        if self.0.load(Ordering::Relaxed).is_null() {
            return;
        }
        let taken = self.take();
        // SAFETY: it was taken just now.
        let links = unsafe { Self::chain(taken) }.map(|snapshot| {
            // SAFETY: it was in the list, and so not freed.
            unsafe { &snapshot.as_ref().link }
        });
        // Acquire: pairs with the Release in `retire`. Windows are looked at after that: who could still show a heap in one did it
        // before the grace was over.
        let last = links.filter(|link| link.grace.load(Ordering::Acquire) == OVER).map(Link::number).max();
        let last = last.filter(|_| is_quiet());
        // SAFETY: the next one is read before one is freed or pushed.
        for snapshot in unsafe { Self::chain(taken) } {
            // SAFETY: it was in the list, and so not freed.
            let link = unsafe { &snapshot.as_ref().link };
            // That the epochs have said it of a later one says it of this one; but this one's closure may have a pointer to it.
            // Acquire: pairs with the Release in `retire`, for a closure that was called since.
            let over = Some(link.number()) <= last && link.grace.load(Ordering::Acquire) != RUNNING;
            // Relaxed: written before `push`.
            let removed = link.removed.load(Ordering::Relaxed);
            if over && (removed.is_null() || !in_window(removed)) {
                // SAFETY: no reader has it, no window shows the heap, and the list, which only this thread has it from, forgets it.
                unsafe { free(snapshot) };
            } else {
                self.push(snapshot);
            }
        }
    }
}

impl Drop for Retired {
    fn drop(&mut self) {
        // SAFETY: it was taken just now, and the next one is read before one is freed.
        for snapshot in unsafe { Self::chain(self.take()) } {
            // SAFETY: it was in the list, and so not freed.
            let link = unsafe { &snapshot.as_ref().link };
            // Release: pairs with the Acquire of the swap in `retire`: who frees it there comes after all that was done with the
            // pool. Acquire: for this thread, if it frees.
            if link.grace.swap(ABANDONED, Ordering::AcqRel) != RUNNING {
                // SAFETY: the pool is dropped, so nobody reads; the closure was called, or never will be.
                unsafe { free(snapshot) };
            }
        }
    }
}

/// # Safety
///
/// The caller owns the snapshot, and the heap that was removed by its successor.
unsafe fn free(snapshot: NonNull<Snapshot>) {
    // SAFETY: the caller owns it, and it came from `Owned::into_raw`.
    let snapshot = unsafe { Owned::from_raw(snapshot) };
    // Relaxed: the caller's.
    if let Some(heap) = NonNull::new(snapshot.link.removed.load(Ordering::Relaxed)) {
        // SAFETY: as above.
        let heap = unsafe { Owned::from_raw(heap) };
        heap.end_of_life();
    }
}
