//! Arrays of zeroes.

#[cfg(modelled)]
pub(crate) use modelled::Table;
#[cfg(not(modelled))]
pub(crate) use zeroed::Table;

#[cfg(not(modelled))]
mod zeroed {
    use core::alloc::Layout;
    use core::fmt;
    use core::ops::{Deref, Index};
    use core::ptr::NonNull;

    use crate::check::at;
    use crate::metadata::global;
    use crate::metadata::zeroed::{Unavailable, Zeroed};

    /// An array of zeroed values, untouched until it is used.
    pub(crate) struct Table<T> {
        first: NonNull<T>,
        len: usize,
        /// The allocation: the array, and the values that were skipped before it.
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

        /// A table that lies as if `lead` values were before it, the first of them at the beginning of two cache lines.
        /// So values that belong together share no line with others. An aligned allocation would be touched to be
        /// zeroed; this one takes more, and uses the part that fits.
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
            let allocated = global::allocate(layout, true)?;
            let wanted = lead.wrapping_mul(size_of::<T>());
            // Less than `align`, and so not more than the spare values.
            let skip = (wanted.wrapping_sub(allocated.addr().get()) & (align - 1)) / size_of::<T>();
            // SAFETY: at least `len` values follow the ones that are skipped, in one allocation.
            let first = unsafe { allocated.cast::<T>().add(skip) };
            Ok(Self { first, len, allocated, layout })
        }

        /// A table of `len` values at `first`, which is not freed.
        ///
        /// # Safety
        ///
        /// `first` heads `len` values of memory that is zeroed where it is committed, and that nobody else has for as
        /// long as the table.
        pub(crate) unsafe fn at(first: NonNull<T>, len: usize) -> Self {
            Self { first, len, allocated: NonNull::dangling(), layout: Layout::new::<()>() }
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

    /// Of a table itself, not of its slice: no index panics.
    impl<T> Index<usize> for Table<T> {
        type Output = T;

        #[inline(always)]
        fn index(&self, index: usize) -> &T {
            at(self, index)
        }
    }

    impl<T> Drop for Table<T> {
        fn drop(&mut self) {
            // The values need no drop, by `Zeroed`.
            if self.layout.size() != 0 {
                // SAFETY: `with_lead` allocated this with this layout, which has a size.
                unsafe { global::free(self.allocated, self.layout) };
            }
        }
    }

    impl<T> fmt::Debug for Table<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            // Nobody wants to read the values of a huge heap's table, and reading would touch them.
            f.debug_struct("Table").field("len", &self.len).finish_non_exhaustive()
        }
    }
}

/// loom registers each atomic, and has no zeroed form of them.
#[cfg(modelled)]
mod modelled {
    use core::ops::Deref;

    use crate::metadata::zeroed::{Unavailable, Zeroed};

    #[derive(Debug)]
    pub(crate) struct Table<T>(alloc::vec::Vec<T>);

    impl<T: Zeroed> Table<T> {
        pub(crate) fn new(len: usize) -> Result<Self, Unavailable> {
            Ok(Self((0..len).map(|_| T::default()).collect()))
        }

        pub(crate) fn in_lines(len: usize, _: usize) -> Result<Self, Unavailable> {
            Self::new(len)
        }
    }

    impl<T> Deref for Table<T> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.0
        }
    }
}
