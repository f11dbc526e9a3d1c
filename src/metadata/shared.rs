//! An `Arc` whose allocation can fail.

use core::fmt;
use core::ops::Deref;
use core::ptr::NonNull;

use super::owned::Owned;
use super::zeroed::Unavailable;
use crate::sync::{AtomicU64, Ordering, fence};

/// One value of several owners.
pub(crate) struct Shared<T>(NonNull<Counted<T>>);

struct Counted<T> {
    owners: AtomicU64,
    value: T,
}

// SAFETY: as `Arc`: all owners share the value, and any of them may drop it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    pub(crate) fn new(value: T) -> Result<Self, Unavailable> {
        Ok(Self(Owned::new(Counted { owners: AtomicU64::new(1), value })?.into_raw()))
    }

    fn counted(&self) -> &Counted<T> {
        // SAFETY: it lives as long as one of its owners, such as this one.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // Relaxed: this owner keeps it.
        self.counted().owners.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.counted().value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // Release: pairs with the fence below.
        if self.counted().owners.fetch_sub(1, Ordering::Release) == 1 {
            // Acquire: pairs with the Release above; the last owner drops the value after all that the others did with
            // it.
            fence(Ordering::Acquire);
            // SAFETY: it came from `Owned::into_raw`, and this was its last owner.
            drop(unsafe { Owned::from_raw(self.0) });
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
