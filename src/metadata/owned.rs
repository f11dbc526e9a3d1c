//! A box whose allocation can fail.

use core::alloc::Layout;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::zeroed::{Unavailable, Zeroed};

/// One value at an address of its own: a box whose allocation can fail.
pub(crate) struct Owned<T>(NonNull<T>);

// SAFETY: `Owned` is the only owner of its value, as `Box` is.
unsafe impl<T: Send> Send for Owned<T> {}
// SAFETY: a shared `Owned` gives only shared access to its value.
unsafe impl<T: Sync> Sync for Owned<T> {}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Result<Self, Unavailable> {
        const { assert!(size_of::<T>() != 0) };
        let layout = Layout::new::<T>();
        // SAFETY: the size of the layout is not 0, asserted above.
        let place = NonNull::new(unsafe { alloc::alloc::alloc(layout) }).ok_or(Unavailable { bytes: layout.size() })?;
        let place = place.cast::<T>();
        // SAFETY: `place` is fresh memory of the layout of `T`.
        unsafe { place.write(value) };
        Ok(Self(place))
    }

    /// A zeroed value, untouched until it is used.
    pub(crate) fn zeroed() -> Result<Self, Unavailable>
    where
        T: Zeroed,
    {
        // loom registers each atomic, and has no zeroed form of them.
        #[cfg(modelled)]
        return Self::new(T::default());
        #[cfg(not(modelled))]
        {
            const { assert!(size_of::<T>() != 0) };
            let layout = Layout::new::<T>();
            // SAFETY: the size of the layout is not 0, asserted above.
            let place = NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) });
            // Zeroes are a valid value, by `Zeroed`.
            Ok(Self(place.ok_or(Unavailable { bytes: layout.size() })?.cast()))
        }
    }

    /// The address of the value.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// Gives the value up as a pointer, to be owned again by [`Owned::from_raw`].
    pub(crate) fn into_raw(self) -> NonNull<T> {
        let place = self.0;
        core::mem::forget(self);
        place
    }

    /// # Safety
    ///
    /// `place` came from [`Owned::into_raw`], and nobody else owns it.
    pub(crate) unsafe fn from_raw(place: NonNull<T>) -> Self {
        Self(place)
    }
}

impl<T> Deref for Owned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the value lives until `drop`, and is borrowed as `self` is.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Owned<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; `self` is borrowed mutably.
        unsafe { self.0.as_mut() }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the value is owned, valid, and not used afterwards.
        unsafe { self.0.drop_in_place() };
        // SAFETY: `new` allocated the place with this layout.
        unsafe { alloc::alloc::dealloc(self.0.as_ptr().cast(), Layout::new::<T>()) };
    }
}

impl<T: fmt::Debug> fmt::Debug for Owned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
