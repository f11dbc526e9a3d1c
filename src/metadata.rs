//! The one source of memory for the crate's own tables: the global allocator, or for what stands in for that, an area that was
//! mapped for them.
//!
//! It is fallible: a table that can't be had is an error value, never an abort. It is zeroed without being touched,
//! so that a table for a huge heap costs only the pages that come into use; therefore zero is a valid start for
//! every table (state 0 is `Inner`).

use core::alloc::Layout;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crate::sync::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// The memory for a table was not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// Bytes that were asked for; `usize::MAX` if they can't be counted in a `usize`.
    pub bytes: usize,
}

/// A value whose all-zero bytes are valid and equal to its `Default`.
///
/// # Safety
///
/// The all-zero bit pattern is a valid value of the type, and dropping a value does nothing.
pub(crate) unsafe trait Zeroed: Default {}

// SAFETY: a transparent wrapper of an atomic integer, which has the bit validity of the integer: zero is valid.
unsafe impl Zeroed for AtomicU8 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU16 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU32 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU64 {}
// SAFETY: a transparent wrapper of an atomic pointer, which has the bit validity of the pointer: null is valid.
unsafe impl<T> Zeroed for AtomicPtr<T> {}

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

    /// A value of zeroes, untouched until it is used.
    pub(crate) fn zeroed() -> Result<Self, Unavailable>
    where
        T: Zeroed,
    {
        // loom registers its atomics one by one and has no zeroed form of them.
        #[cfg(all(loom, feature = "loom"))]
        return Self::new(T::default());
        #[cfg(not(all(loom, feature = "loom")))]
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
    /// `place` came from [`Owned::into_raw`] and is owned by nobody else.
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

/// Where tables come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The global allocator.
    Global,
    /// Zeroed memory that outlives all tables, one after the other. It has room for them, as [`room`] says.
    #[cfg(all(feature = "allocator", unix, not(all(loom, feature = "loom"))))]
    Area { next: NonNull<u8>, left: usize },
}

#[cfg(not(all(loom, feature = "loom")))]
pub(crate) use zeroed::Table;
#[cfg(all(feature = "allocator", unix, not(all(loom, feature = "loom"))))]
pub(crate) use zeroed::room;

#[cfg(not(all(loom, feature = "loom")))]
mod zeroed {
    use super::*;

    /// An array of zeroed values, untouched until it is used.
    pub(crate) struct Table<T> {
        first: NonNull<T>,
        len: usize,
        /// What was allocated: the array, and what lies before it.
        allocated: NonNull<u8>,
        layout: Layout,
    }

    // SAFETY: a `Table` owns its values, as a boxed slice does.
    unsafe impl<T: Send> Send for Table<T> {}
    // SAFETY: a shared `Table` gives only shared access to its values.
    unsafe impl<T: Sync> Sync for Table<T> {}

    impl<T: Zeroed> Table<T> {
        pub(crate) fn new(len: usize) -> Result<Self, Unavailable> {
            Self::with_lead(len, 0, 1)
        }

        /// A table that lies as if `lead` values were before it, the first of them at the beginning of two cache lines: what
        /// belongs together then lies in lines that it has for itself. An allocation of such an alignment would be touched to
        /// be zeroed; so this takes more, and uses what fits.
        pub(crate) fn in_lines(len: usize, lead: usize) -> Result<Self, Unavailable> {
            Self::with_lead(len, lead, 128)
        }

        fn with_lead(len: usize, lead: usize, align: usize) -> Result<Self, Unavailable> {
            const { assert!(128 % size_of::<T>() == 0) };
            let spare = (align - 1) / size_of::<T>();
            let count = len.checked_add(spare).ok_or(Unavailable { bytes: usize::MAX })?;
            let layout = Layout::array::<T>(count).map_err(|_| Unavailable { bytes: usize::MAX })?;
            if layout.size() == 0 {
                return Ok(Self { first: NonNull::dangling(), len, allocated: NonNull::dangling(), layout });
            }
            // SAFETY: the size of the layout is not 0, checked above.
            let allocated = NonNull::new(unsafe { alloc::alloc::alloc_zeroed(layout) });
            let allocated = allocated.ok_or(Unavailable { bytes: layout.size() })?;
            let wanted = lead.wrapping_mul(size_of::<T>());
            // Less than `align`, and so not more than the spare values.
            let skip = wanted.wrapping_sub(allocated.addr().get()) % align / size_of::<T>();
            // SAFETY: at least `len` values follow the ones that are skipped, in one allocation.
            let first = unsafe { allocated.cast::<T>().add(skip) };
            Ok(Self { first, len, allocated, layout })
        }
    }

    /// What a table of so many bytes begins at a multiple of in an area: two cache lines; a long one, which is used from its beginning on as
    /// far as a heap has grown, a page.
    #[cfg(all(feature = "allocator", unix))]
    const fn area_align(bytes: usize) -> usize {
        const LONG: usize = 256 << 10;
        if bytes < LONG { 128 } else { 4096 }
    }

    /// Bytes that a table of so many values takes in an area at most.
    #[cfg(all(feature = "allocator", unix))]
    pub(crate) const fn room<T>(len: usize) -> usize {
        let bytes = len * size_of::<T>();
        bytes + area_align(bytes)
    }

    #[cfg(all(feature = "allocator", unix))]
    impl Source {
        /// An area of `len` bytes at `next`.
        ///
        /// # Safety
        ///
        /// The bytes are zero, and nobody else's for as long as there are tables in them.
        pub(crate) unsafe fn area(next: NonNull<u8>, len: usize) -> Self {
            Self::Area { next, left: len }
        }
    }

    impl Source {
        /// A table of `len` values.
        pub(crate) fn table<T: Zeroed>(&mut self, len: usize) -> Result<Table<T>, Unavailable> {
            match self {
                Self::Global => Table::new(len),
                #[cfg(all(feature = "allocator", unix))]
                Self::Area { next, left } => {
                    const { assert!(128 % size_of::<T>() == 0) };
                    let bytes = len.checked_mul(size_of::<T>()).ok_or(Unavailable { bytes: usize::MAX })?;
                    let skip = next.addr().get().wrapping_neg() % area_align(bytes);
                    let taken = bytes.checked_add(skip).ok_or(Unavailable { bytes })?;
                    *left = left.checked_sub(taken).ok_or(Unavailable { bytes })?;
                    // SAFETY: both: at most the end of the area.
                    let (first, end) = unsafe { (next.add(skip), next.add(taken)) };
                    *next = end;
                    Ok(Table { first: first.cast(), len, allocated: NonNull::dangling(), layout: Layout::new::<()>() })
                }
            }
        }

        /// The same as [`Table::in_lines`].
        pub(crate) fn table_in_lines<T: Zeroed>(&mut self, len: usize, lead: usize) -> Result<Table<T>, Unavailable> {
            match self {
                Self::Global => Table::in_lines(len, lead),
                // Heaps that have their tables in an area have no lead.
                #[cfg(all(feature = "allocator", unix))]
                Self::Area { .. } => self.table(len),
            }
        }
    }

    impl<T> Deref for Table<T> {
        type Target = [T];

        #[inline]
        fn deref(&self) -> &[T] {
            // SAFETY: `first` heads `len` values, zeroed and by `Zeroed` valid, that live as long as `self`.
            unsafe { core::slice::from_raw_parts(self.first.as_ptr(), self.len) }
        }
    }

    impl<T> Drop for Table<T> {
        fn drop(&mut self) {
            // The values need no drop, by `Zeroed`.
            if self.layout.size() != 0 {
                // SAFETY: `with_lead` allocated this with this layout, which has a size.
                unsafe { alloc::alloc::dealloc(self.allocated.as_ptr(), self.layout) };
            }
        }
    }

    impl<T> fmt::Debug for Table<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            // The values of a huge heap's table are for no one to read, and reading would touch them.
            f.debug_struct("Table").field("len", &self.len).finish_non_exhaustive()
        }
    }
}

/// loom registers its atomics one by one and has no zeroed form of them.
#[cfg(all(loom, feature = "loom"))]
#[derive(Debug)]
pub(crate) struct Table<T>(alloc::vec::Vec<T>);

#[cfg(all(loom, feature = "loom"))]
impl<T: Zeroed> Table<T> {
    pub(crate) fn new(len: usize) -> Result<Self, Unavailable> {
        Ok(Self((0..len).map(|_| T::default()).collect()))
    }
}

#[cfg(all(loom, feature = "loom"))]
impl Source {
    pub(crate) fn table<T: Zeroed>(&mut self, len: usize) -> Result<Table<T>, Unavailable> {
        Table::new(len)
    }

    pub(crate) fn table_in_lines<T: Zeroed>(&mut self, len: usize, _: usize) -> Result<Table<T>, Unavailable> {
        Table::new(len)
    }
}

#[cfg(all(loom, feature = "loom"))]
impl<T> Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}
