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

#[cfg(all(feature = "allocator", not(modelled)))]
use crate::check::check;
#[cfg(any(feature = "allocator", modelled))]
use crate::commit::Commit;
#[cfg(all(feature = "allocator", not(modelled)))]
use crate::commit::Parts;
use crate::sync::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, SharedU8, fence};
#[cfg(all(feature = "allocator", not(modelled)))]
use crate::sys;

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
unsafe impl Zeroed for SharedU8 {}
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

/// One value of several owners: an `Arc` whose allocation can fail.
pub(crate) struct Shared<T>(NonNull<Counted<T>>);

struct Counted<T> {
    owners: AtomicU64,
    value: T,
}

// SAFETY: as `Arc`: its value is given to all owners, and dropped by any of them.
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
            // Acquire: pairs with the Release above; the last owner drops it after what the others did with it.
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

/// Where tables come from.
#[derive(Debug)]
#[cfg_attr(
    all(feature = "allocator", not(modelled)),
    expect(clippy::large_enum_variant, reason = "there is one at a time, where an allocator is made")
)]
pub(crate) enum Source {
    /// The global allocator.
    Global,
    /// Addresses in a reservation that outlives all tables. It has room for them, as [`room`] says.
    #[cfg(all(feature = "allocator", not(modelled)))]
    Area(Area),
}

/// Zeroed memory for tables, one after the other.
#[cfg(all(feature = "allocator", not(modelled)))]
#[derive(Debug)]
pub(crate) struct Area {
    next: NonNull<u8>,
    left: usize,
    /// Long tables, which have memory behind them only as far as a commit reaches: with something for each of its first units,
    tables: Parts,
    /// and for each of its further ones.
    further: Parts,
}

#[cfg(not(modelled))]
pub(crate) use zeroed::Table;
#[cfg(all(feature = "allocator", not(modelled)))]
pub(crate) use zeroed::room;

#[cfg(not(modelled))]
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

    /// A table of so many bytes in an area is long: it begins at a page, and is used from its beginning on as far as a heap has grown. A short
    /// one begins at two cache lines, and has memory behind all of it.
    #[cfg(feature = "allocator")]
    const LONG: usize = 256 << 10;

    #[cfg(feature = "allocator")]
    const fn area_align(bytes: usize) -> usize {
        if bytes < LONG { 128 } else { 4096 }
    }

    /// Bytes that a table of so many values takes in an area at most.
    #[cfg(feature = "allocator")]
    pub(crate) const fn room<T>(len: usize) -> usize {
        let bytes = len * size_of::<T>();
        bytes + area_align(bytes)
    }

    #[cfg(feature = "allocator")]
    impl Source {
        /// An area of `len` bytes at `next`.
        ///
        /// # Safety
        ///
        /// They lie in a [`Reservation`](crate::sys::Reservation), are zero where there is memory behind them, and nobody else's for as long
        /// as there are tables in them.
        pub(crate) unsafe fn area(next: NonNull<u8>, len: usize) -> Self {
            Self::Area(Area { next, left: len, tables: Parts::default(), further: Parts::default() })
        }
    }

    #[cfg(feature = "allocator")]
    impl Area {
        /// A table of `len` values, and of `further` ones besides.
        fn table<T: Zeroed>(&mut self, len: usize, further: usize) -> Result<Table<T>, Unavailable> {
            const { assert!(128 % size_of::<T>() == 0) };
            let bytes = |len: usize| len.checked_mul(size_of::<T>()).ok_or(Unavailable { bytes: usize::MAX });
            let first = self.place(bytes(len)?, bytes(further)?)?.cast();
            let (allocated, layout) = (NonNull::dangling(), Layout::new::<()>());
            Ok(Table { first, len: len + further, allocated, layout })
        }

        /// A place for a table of so many bytes, and of `further` ones besides. What is long comes to be of the commit that is made next.
        fn place(&mut self, bytes: usize, further: usize) -> Result<NonNull<u8>, Unavailable> {
            let all = bytes.checked_add(further).ok_or(Unavailable { bytes: usize::MAX })?;
            let unavailable = Unavailable { bytes: all };
            let skip = self.next.addr().get().wrapping_neg() % area_align(all);
            let taken = all.checked_add(skip).ok_or(unavailable)?;
            self.left = self.left.checked_sub(taken).ok_or(unavailable)?;
            // SAFETY: all: at most the end of the area.
            let (first, second, end) =
                unsafe { (self.next.add(skip), self.next.add(skip + bytes), self.next.add(taken)) };
            self.next = end;
            let is_there = if all < LONG {
                // SAFETY: a part of the area, which lies in a reservation.
                all == 0 || unsafe { sys::commit(first.as_ptr(), all) }
            } else {
                // SAFETY: both: as above.
                unsafe {
                    (bytes == 0 || self.tables.add(first, bytes)) && (further == 0 || self.further.add(second, further))
                }
            };
            if is_there { Ok(first) } else { Err(unavailable) }
        }
    }

    impl Source {
        /// The commit of the tables that were made since the last one, which have something for each of `units` units.
        #[cfg(feature = "allocator")]
        pub(crate) fn commit(&mut self, units: u32, least_step: u32) -> Commit {
            match self {
                Self::Global => Commit::given(),
                Self::Area(area) => core::mem::take(&mut area.tables).commit(units, least_step),
            }
        }

        /// The same of what they have for further units.
        #[cfg(feature = "allocator")]
        pub(crate) fn next_commit(&mut self, units: u32, least_step: u32) -> Commit {
            match self {
                Self::Global => Commit::given(),
                Self::Area(area) => core::mem::take(&mut area.further).commit(units, least_step),
            }
        }

        /// Adds `bytes` bytes from `base` on to what the next commit is of, if tables are in an area.
        ///
        /// # Safety
        ///
        /// They lie in the reservation of the area.
        #[cfg(feature = "allocator")]
        pub(crate) unsafe fn add_to_commit(&mut self, base: NonNull<u8>, bytes: usize) {
            if let Self::Area(area) = self {
                // SAFETY: the caller vouches for them.
                let is_added = unsafe { area.tables.add(base, bytes) };
                check!(is_added, "a commit has room for all that there is");
            }
        }
    }

    impl Source {
        /// A table of `len` values.
        pub(crate) fn table<T: Zeroed>(&mut self, len: usize) -> Result<Table<T>, Unavailable> {
            match self {
                Self::Global => Table::new(len),
                #[cfg(feature = "allocator")]
                Self::Area(area) => area.table(len, 0),
            }
        }

        /// A table of `len` values, one for each unit, and of `further` ones for further units.
        #[cfg(feature = "allocator")]
        pub(crate) fn table_in_two<T: Zeroed>(&mut self, len: usize, further: usize) -> Result<Table<T>, Unavailable> {
            match self {
                Self::Global => Table::new(len + further),
                Self::Area(area) => area.table(len, further),
            }
        }

        /// The same as [`Table::in_lines`].
        pub(crate) fn table_in_lines<T: Zeroed>(&mut self, len: usize, lead: usize) -> Result<Table<T>, Unavailable> {
            match self {
                Self::Global => Table::in_lines(len, lead),
                // Heaps that have their tables in an area have no lead.
                #[cfg(feature = "allocator")]
                Self::Area(area) => area.table(len, 0),
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
#[cfg(modelled)]
#[derive(Debug)]
pub(crate) struct Table<T>(alloc::vec::Vec<T>);

#[cfg(modelled)]
impl<T: Zeroed> Table<T> {
    pub(crate) fn new(len: usize) -> Result<Self, Unavailable> {
        Ok(Self((0..len).map(|_| T::default()).collect()))
    }
}

#[cfg(modelled)]
impl Source {
    pub(crate) fn table<T: Zeroed>(&mut self, len: usize) -> Result<Table<T>, Unavailable> {
        Table::new(len)
    }

    pub(crate) fn table_in_two<T: Zeroed>(&mut self, len: usize, further: usize) -> Result<Table<T>, Unavailable> {
        Table::new(len + further)
    }

    pub(crate) fn table_in_lines<T: Zeroed>(&mut self, len: usize, _: usize) -> Result<Table<T>, Unavailable> {
        Table::new(len)
    }

    pub(crate) fn commit(&mut self, _: u32, _: u32) -> Commit {
        Commit::given()
    }

    pub(crate) fn next_commit(&mut self, _: u32, _: u32) -> Commit {
        Commit::given()
    }
}

#[cfg(modelled)]
impl<T> Deref for Table<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}
