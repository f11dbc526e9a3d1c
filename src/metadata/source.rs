//! The origins of tables: the global allocator, or an area of addresses.

use super::table::Table;
use super::zeroed::{Unavailable, Zeroed};
#[cfg(any(feature = "allocator", modelled))]
use crate::commit::Commit;
#[cfg(all(feature = "allocator", not(modelled)))]
use area::Area;
#[cfg(all(feature = "allocator", not(modelled)))]
pub(crate) use area::room;

/// The origin of tables.
#[derive(Debug)]
#[cfg_attr(
    all(feature = "allocator", not(modelled)),
    expect(clippy::large_enum_variant, reason = "there is one at a time, where an allocator is made")
)]
pub(crate) enum Source {
    /// The global allocator.
    Global,
    /// Addresses in a reservation that outlives all tables. There is enough [`room`] for them.
    #[cfg(all(feature = "allocator", not(modelled)))]
    Area(Area),
}

impl Source {
    /// A table of `len` values.
    pub(crate) fn table<T: Zeroed>(&mut self, len: usize) -> Result<Table<T>, Unavailable> {
        match self {
            Self::Global => Table::new(len),
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => area.table(len, 0),
        }
    }

    /// A table of `len` values, one for each unit, and of `extra` values behind them.
    #[cfg(any(feature = "allocator", modelled))]
    pub(crate) fn table_in_two<T: Zeroed>(&mut self, len: usize, extra: usize) -> Result<Table<T>, Unavailable> {
        match self {
            Self::Global => Table::new(len + extra),
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => area.table(len, extra),
        }
    }

    /// The same as [`Table::in_lines`].
    pub(crate) fn table_in_lines<T: Zeroed>(&mut self, len: usize, lead: usize) -> Result<Table<T>, Unavailable> {
        match self {
            Self::Global => Table::in_lines(len, lead),
            // Heaps that have their tables in an area have no lead.
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => area.table(len, 0),
        }
    }

    /// The commit of the tables that were made since the last one, which have something for each of `units` units.
    #[cfg(any(feature = "allocator", modelled))]
    #[cfg_attr(modelled, expect(unused_variables, reason = "tables of models are committed"))]
    pub(crate) fn commit(&mut self, units: u32, least_step: u32) -> Commit {
        match self {
            Self::Global => Commit::given(),
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => core::mem::take(&mut area.tables).commit(units, least_step),
        }
    }

    /// The same of the values behind those of the units.
    #[cfg(any(feature = "allocator", modelled))]
    #[cfg_attr(modelled, expect(unused_variables, reason = "as above"))]
    pub(crate) fn next_commit(&mut self, units: u32, least_step: u32) -> Commit {
        match self {
            Self::Global => Commit::given(),
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => core::mem::take(&mut area.extra).commit(units, least_step),
        }
    }
}

#[cfg(all(feature = "allocator", not(modelled)))]
mod area {
    use core::ptr::NonNull;

    use super::{Source, Table, Unavailable, Zeroed};
    use crate::check::check;
    use crate::commit::Parts;
    use crate::sys;

    /// Zeroed memory for tables, one after the other.
    #[derive(Debug)]
    pub(crate) struct Area {
        next: NonNull<u8>,
        left: usize,
        /// Long tables, or their parts for units: they have memory as far as the next commit of units reaches.
        pub(super) tables: Parts,
        /// The parts of long tables behind those for units.
        pub(super) extra: Parts,
    }

    /// A table of at least this many bytes is long: it begins at a page, and has memory as far as its heap has grown. A
    /// short one begins at two cache lines, and has memory behind all of it.
    const LONG: usize = 256 << 10;

    const fn align_of(bytes: usize) -> usize {
        if bytes < LONG { 128 } else { 4096 }
    }

    /// Most bytes that a table of `len` values takes in an area.
    pub(crate) const fn room<T>(len: usize) -> usize {
        let bytes = len * size_of::<T>();
        bytes + align_of(bytes)
    }

    impl Source {
        /// An area of `len` bytes at `next`.
        ///
        /// # Safety
        ///
        /// They lie in a [`Reservation`](crate::sys::Reservation), are zero where there is memory behind them, and
        /// nobody else has them for as long as there are tables in them.
        pub(crate) unsafe fn area(next: NonNull<u8>, len: usize) -> Self {
            Self::Area(Area { next, left: len, tables: Parts::default(), extra: Parts::default() })
        }

        /// Adds `bytes` bytes from `base` on to the next commit, if tables are in an area.
        ///
        /// # Safety
        ///
        /// They lie in the reservation of the area.
        pub(crate) unsafe fn add_to_commit(&mut self, base: NonNull<u8>, bytes: usize) {
            if let Self::Area(area) = self {
                // SAFETY: the caller vouches for them.
                let is_added = unsafe { area.tables.add(base, bytes) };
                check!(is_added, "a commit has room for all that there is");
            }
        }
    }

    impl Area {
        /// A table of `len` values, and of `extra` values behind them.
        pub(super) fn table<T: Zeroed>(&mut self, len: usize, extra: usize) -> Result<Table<T>, Unavailable> {
            const { assert!(128 % size_of::<T>() == 0) };
            let bytes = |len: usize| len.checked_mul(size_of::<T>()).ok_or(Unavailable { bytes: usize::MAX });
            let first = self.place(bytes(len)?, bytes(extra)?)?.cast();
            // SAFETY: a part of the area for so many values, which is zeroed, and nobody else's.
            Ok(unsafe { Table::at(first, len + extra) })
        }

        /// A place for a table of `bytes` bytes, and `extra` bytes behind them. If it is long, the next commits are of
        /// it.
        fn place(&mut self, bytes: usize, extra: usize) -> Result<NonNull<u8>, Unavailable> {
            let all = bytes.checked_add(extra).ok_or(Unavailable { bytes: usize::MAX })?;
            let unavailable = Unavailable { bytes: all };
            let skip = self.next.addr().get().wrapping_neg() % align_of(all);
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
                    (bytes == 0 || self.tables.add(first, bytes)) && (extra == 0 || self.extra.add(second, extra))
                }
            };
            if is_there { Ok(first) } else { Err(unavailable) }
        }
    }
}
