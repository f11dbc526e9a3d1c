//! Replaced snapshots and removed heaps, until nobody can hold them.
//!
//! Readers hold a snapshot; readers and windows of caches hold a heap. Each item knows the eras in which the set had
//! it. When no reader is in one of these, the next thread that looks frees it.

use core::ptr::{self, NonNull};

use crate::metadata::Owned;
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

use super::readers::Eras;

/// The part of an item for the time after it was replaced.
#[derive(Debug)]
pub(super) struct Link<T> {
    next: AtomicPtr<T>,
    /// The first era in which the item was in sight, or an earlier one.
    first: u64,
    /// The last one.
    last: AtomicU64,
}

/// An item that can be retired.
pub(super) trait Linked: Sized {
    fn link(&self) -> &Link<Self>;

    /// It is about to be freed; for models.
    fn end_of_life(&self);
}

impl<T> Link<T> {
    /// Of an item that is about to be published in this era.
    pub(super) fn since(era: u64) -> Self {
        Self { next: AtomicPtr::new(ptr::null_mut()), first: era, last: AtomicU64::new(0) }
    }
}

/// A list of items that were retired and are not freed yet.
#[derive(Debug)]
pub(super) struct Retired<T: Linked>(AtomicPtr<T>);

impl<T: Linked> Retired<T> {
    crate::sync::const_unless_loom! {
        pub(super) fn new() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// Takes an item that was in sight until this era, to be freed when nobody holds it.
    ///
    /// # Safety
    ///
    /// The caller has replaced it, and owns it. It came from `Owned::into_raw`.
    pub(super) unsafe fn retire(&self, item: NonNull<T>, last: u64) {
        // SAFETY: it is freed by `free` or `drop` only, when it was pushed.
        // Relaxed: published by the exchange in `push`.
        unsafe { item.as_ref() }.link().last.store(last, Ordering::Relaxed);
        self.push(item);
    }

    /// Puts an item into the list that only the caller has.
    pub(super) fn push(&self, item: NonNull<T>) {
        // SAFETY: it is in no list, and so not freed.
        let link = unsafe { item.as_ref() }.link();
        // Relaxed: checked by the exchange.
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            // Relaxed: published by the exchange.
            link.next.store(head, Ordering::Relaxed);
            // Release: pairs with the Acquire in `take`. Relaxed on failure: as above.
            match self.0.compare_exchange_weak(head, item.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Is there nothing? A hint.
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: a thread that finds nothing leaves it to others.
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Takes all items, for the caller alone. They are freed by eras that are read after that.
    pub(super) fn take(&self) -> Taken<'_, T> {
        // Acquire: pairs with the Release in `push`; the caller looks at the readers after the fence of the retirement.
        Taken { list: self, first: self.0.swap(ptr::null_mut(), Ordering::Acquire) }
    }
}

/// Items that were taken from a list.
pub(super) struct Taken<'a, T: Linked> {
    list: &'a Retired<T>,
    first: *mut T,
}

impl<T: Linked> Taken<'_, T> {
    pub(super) fn pop(&mut self) -> Option<NonNull<T>> {
        let item = NonNull::new(self.first)?;
        // Relaxed: made visible by the swap in `take`.
        // SAFETY: it was in the list, and so not freed.
        self.first = unsafe { item.as_ref() }.link().next.load(Ordering::Relaxed);
        Some(item)
    }

    /// Frees items that nobody holds any more, and puts the rest back. `eras` were read since; without them nothing is
    /// freed. `free` drops an item.
    pub(super) fn free(mut self, eras: Option<&Eras>, is_kept: impl Fn(&T) -> bool, free: impl Fn(Owned<T>)) {
        while let Some(item) = self.pop() {
            // SAFETY: as in `pop`.
            let held = unsafe { item.as_ref() };
            // Relaxed: as in `pop`.
            let in_sight = held.link().first..=held.link().last.load(Ordering::Relaxed);
            if eras.is_none_or(|eras| eras.meet(&in_sight)) || is_kept(held) {
                self.list.push(item);
            } else {
                // SAFETY: no reader has it, nor any window. Only this thread has it from the list, which forgets it.
                let item = unsafe { Owned::from_raw(item) };
                item.end_of_life();
                free(item);
            }
        }
    }
}

impl<T: Linked> Drop for Retired<T> {
    fn drop(&mut self) {
        let mut all = self.take();
        while let Some(item) = all.pop() {
            // SAFETY: the set is dropped, so nobody reads it; it was in the list once, and came from `Owned::into_raw`.
            drop(unsafe { Owned::from_raw(item) });
        }
    }
}
