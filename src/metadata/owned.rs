//! A box whose allocation can fail.

use core::alloc::Layout;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use super::global;
use super::zeroed::{Unavailable, Zeroed};

/// One value at an address of its own: a box whose allocation can fail. The pointer is to a [`Place`].
pub(crate) struct Owned<T>(NonNull<T>);

/// The place of a value. That comes first, so a pointer to it is one to the place.
#[repr(C)]
struct Place<T> {
    value: T,
    /// The memory is not the global allocator's, and is not freed.
    is_given: bool,
}

// SAFETY: `Owned` is the only owner of its value, as `Box` is.
unsafe impl<T: Send> Send for Owned<T> {}
// SAFETY: a shared `Owned` gives only shared access to its value.
unsafe impl<T: Sync> Sync for Owned<T> {}

impl<T> Owned<T> {
    /// Bytes that it takes.
    pub(crate) const BYTES: usize = Self::LAYOUT.size();

    /// The layout of its place.
    pub(super) const LAYOUT: Layout = Layout::new::<Place<T>>();

    pub(crate) fn new(value: T) -> Result<Self, Unavailable> {
        let place = global::allocate(Self::LAYOUT, false)?;
        // SAFETY: fresh memory of this layout, from the global allocator.
        Ok(unsafe { Self::at(place, value, false) })
    }

    /// # Safety
    ///
    /// There is memory of [`LAYOUT`](Self::LAYOUT), and nobody else has it for as long as the value. If it is not
    /// given, it is the global allocator's, of that layout.
    pub(super) unsafe fn at(place: NonNull<u8>, value: T, is_given: bool) -> Self {
        let place = place.cast::<Place<T>>();
        // SAFETY: as the caller says.
        unsafe { place.write(Place { value, is_given }) };
        Self(place.cast())
    }

    /// A zeroed value, untouched until it is used.
    pub(crate) fn zeroed() -> Result<Self, Unavailable>
    where
        T: Zeroed,
    {
        // loom registers each atomic, and has no zeroed form of them.
        #[cfg(modelled)]
        return Self::new(T::default());
        // Zeroes are a valid value, by `Zeroed`, and say that it is not given.
        #[cfg(not(modelled))]
        Ok(Self(global::allocate(Self::LAYOUT, true)?.cast()))
    }

    /// The address of the value.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.0.as_ptr()
    }

    /// The same.
    pub(crate) fn pointer(&self) -> NonNull<T> {
        self.0
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
        let place = self.0.cast::<Place<T>>();
        // SAFETY: the place is owned and valid.
        let is_given = unsafe { (&raw const (*place.as_ptr()).is_given).read() };
        // SAFETY: the value is owned, valid, and not used afterwards.
        unsafe { self.0.drop_in_place() };
        if !is_given {
            // SAFETY: it was allocated with this layout.
            unsafe { global::free(place.cast(), Self::LAYOUT) };
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Owned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
