//! The origins of tables: the global allocator, memory that a caller gave, or an area of addresses.

use super::bump::Bump;
#[cfg(not(modelled))]
use super::bump::room;
use super::owned::Owned;
use super::table::Table;
use super::zeroed::{Unavailable, Zeroed};
#[cfg(any(feature = "allocator", modelled))]
use crate::commit::Commit;
#[cfg(all(feature = "allocator", not(modelled)))]
use area::Area;

/// The origin of tables.
#[derive(Debug)]
#[cfg_attr(
    all(feature = "allocator", not(modelled)),
    expect(clippy::large_enum_variant, reason = "there is one at a time, where an allocator is made")
)]
pub(crate) enum Source {
    /// The global allocator.
    Global,
    /// Memory that a caller gave.
    #[cfg(not(modelled))]
    Given(Bump),
    /// Addresses in a reservation that outlives all tables. There is enough [`room`] for them.
    #[cfg(all(feature = "allocator", not(modelled)))]
    Area(Area),
}

impl Source {
    /// Memory that a caller gave. In models, whose atomics take more bytes, it is the global allocator's.
    pub(crate) fn given(bump: Bump) -> Self {
        #[cfg(not(modelled))]
        return Self::Given(bump);
        #[cfg(modelled)]
        {
            let _ = bump;
            Self::Global
        }
    }

    /// Bytes that are left of what a caller gave.
    pub(crate) fn left(&self) -> usize {
        match self {
            #[cfg(not(modelled))]
            Self::Given(bump) => bump.left(),
            _ => 0,
        }
    }

    /// A value.
    pub(crate) fn owned<T>(&mut self, value: T) -> Result<Owned<T>, Unavailable> {
        match self {
            Self::Global => Owned::new(value),
            // SAFETY: a part of the memory, aligned as `ROOM` asserts, and nobody else's.
            #[cfg(not(modelled))]
            Self::Given(bump) => Ok(unsafe { Owned::at(bump.take(Owned::<T>::LAYOUT.size(), 0)?, value, true) }),
            #[cfg(all(feature = "allocator", not(modelled)))]
            // SAFETY: as above.
            Self::Area(area) => Ok(unsafe { Owned::at(area.place(Owned::<T>::LAYOUT.size(), 0)?, value, true) }),
        }
    }

    /// A table of `len` values.
    pub(crate) fn table<T: Zeroed>(&mut self, len: usize) -> Result<Table<T>, Unavailable> {
        match self {
            Self::Global => Table::new(len),
            #[cfg(not(modelled))]
            Self::Given(bump) => bump.table(len, 0),
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => area.table(len, 0),
        }
    }

    /// A table of `len` values, one for each unit, and of `extra` values behind them.
    #[cfg(any(feature = "allocator", modelled))]
    pub(crate) fn table_in_two<T: Zeroed>(&mut self, len: usize, extra: usize) -> Result<Table<T>, Unavailable> {
        match self {
            Self::Global => Table::new(len + extra),
            #[cfg(not(modelled))]
            Self::Given(bump) => bump.table(len + extra, 0),
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => area.table(len, extra),
        }
    }

    /// The same as [`Table::in_lines`].
    pub(crate) fn table_in_lines<T: Zeroed>(&mut self, len: usize, lead: usize) -> Result<Table<T>, Unavailable> {
        match self {
            Self::Global => Table::in_lines(len, lead),
            #[cfg(not(modelled))]
            Self::Given(bump) => bump.table(len, lead),
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
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => core::mem::take(&mut area.tables).commit(units, least_step),
            _ => Commit::given(),
        }
    }

    /// The same of the values behind those of the units.
    #[cfg(any(feature = "allocator", modelled))]
    #[cfg_attr(modelled, expect(unused_variables, reason = "as above"))]
    pub(crate) fn next_commit(&mut self, units: u32, least_step: u32) -> Commit {
        match self {
            #[cfg(all(feature = "allocator", not(modelled)))]
            Self::Area(area) => core::mem::take(&mut area.extra).commit(units, least_step),
            _ => Commit::given(),
        }
    }
}

#[cfg(not(modelled))]
impl<T> Owned<T> {
    /// Most bytes that it takes of what a caller gave.
    pub(crate) const ROOM: usize = {
        // So that its place is aligned as it has to be.
        assert!(Self::LAYOUT.align() <= 128 && Self::LAYOUT.size() >= Self::LAYOUT.align());
        room::<u8>(Self::LAYOUT.size())
    };
}

#[cfg(not(modelled))]
impl Bump {
    /// A table of `len` values that lies as if `lead` values were before it, the first of them at a line.
    fn table<T: Zeroed>(&mut self, len: usize, lead: usize) -> Result<Table<T>, Unavailable> {
        const { assert!(128 % size_of::<T>() == 0) };
        let bytes = len.checked_mul(size_of::<T>()).ok_or(Unavailable { bytes: usize::MAX })?;
        let first = self.take(bytes, lead.wrapping_mul(size_of::<T>()))?;
        // SAFETY: a part of the range for that many values, which is zeroed, and nobody else's.
        Ok(unsafe { Table::at(first.cast(), len) })
    }
}

#[cfg(all(feature = "allocator", not(modelled)))]
mod area {
    use core::ptr::NonNull;

    use super::{Bump, Source, Table, Unavailable, Zeroed};
    use crate::check::check;
    use crate::commit::Parts;
    use crate::metadata::bump::LONG;
    use crate::sys;

    /// Zeroed memory for tables, one after the other.
    #[derive(Debug)]
    pub(crate) struct Area {
        rest: Bump,
        /// Long tables, or their parts for units: they have memory as far as the next commit of units reaches.
        pub(super) tables: Parts,
        /// The parts of long tables behind those for units.
        pub(super) extra: Parts,
    }

    impl Source {
        /// An area of `len` bytes at `next`.
        ///
        /// # Safety
        ///
        /// They lie in a [`Reservation`](crate::sys::Reservation), are zero where there is memory behind them, and
        /// nobody else has them for as long as there are tables in them.
        pub(crate) unsafe fn area(next: NonNull<u8>, len: usize) -> Self {
            // SAFETY: as the caller says.
            let rest = unsafe { Bump::new(NonNull::slice_from_raw_parts(next, len)) };
            Self::Area(Area { rest, tables: Parts::default(), extra: Parts::default() })
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
            // SAFETY: a part of the area for that many values, which is zeroed, and nobody else's.
            Ok(unsafe { Table::at(first, len + extra) })
        }

        /// A place for a table of `bytes` bytes, and `extra` bytes behind them. If it is long, the next commits are of
        /// it.
        pub(super) fn place(&mut self, bytes: usize, extra: usize) -> Result<NonNull<u8>, Unavailable> {
            let all = bytes.checked_add(extra).ok_or(Unavailable { bytes: usize::MAX })?;
            let first = self.rest.take(all, 0)?;
            let is_there = if all < LONG {
                // SAFETY: a part of the area, which lies in a reservation.
                all == 0 || unsafe { sys::commit(first.as_ptr(), all) }
            } else {
                // SAFETY: at most the end of the table.
                let second = unsafe { first.add(bytes) };
                // SAFETY: both: as above.
                unsafe {
                    (bytes == 0 || self.tables.add(first, bytes)) && (extra == 0 || self.extra.add(second, extra))
                }
            };
            if is_there { Ok(first) } else { Err(Unavailable { bytes: all }) }
        }
    }
}
