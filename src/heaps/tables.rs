//! Memory for the tables of heaps: the global allocator's, or what the caller gave with a heap.
//!
//! ```text
//!   what was given    | tables of the heap | the heap itself | two places for snapshots | board, its tree |
//!                       until the heap was removed; then they can be had back            until the pool is dropped
//! ```
//!
//! The board comes with the first heap of a pool, and a tree when there are more heaps than the last one has room for.

use core::ptr::NonNull;

use super::given::{Given, Memory};
use super::heap::{Heap, Region};
use super::retired::Link;
use super::snapshot::Member;
#[cfg(not(modelled))]
use super::snapshot::Snapshot;
#[cfg(not(modelled))]
use crate::board::Board;
use crate::error::AddHeapError;
use crate::metadata::{Owned, Source, Unavailable};
use crate::raw::Order;

/// Heaps of a pool for which [`size`] has room.
#[cfg(not(modelled))]
pub(crate) const HEAPS: usize = 8;

/// Bytes that suffice for the tables of a heap of `units` units at most, in a pool of at most [`HEAPS`] heaps.
#[cfg(not(modelled))]
pub(crate) const fn size(units: usize) -> usize {
    needed(units, HEAPS) + Board::ROOM + Board::room(HEAPS)
}

/// The same of a pool of `slots` heaps, without the pool's own tables.
#[cfg(not(modelled))]
const fn needed(units: usize, entries: usize) -> usize {
    Heap::room(units) + Owned::<Member>::ROOM + 2 * Snapshot::room(entries)
}

/// The origin of the tables of a heap that is about to be added.
#[derive(Debug)]
pub(crate) enum Tables {
    /// The global allocator.
    #[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "without the feature there is none"))]
    Global,
    /// Memory that the caller gave.
    Given {
        memory: Memory,
        /// The end without what is cut off for the pool.
        end: usize,
    },
}

impl Tables {
    /// Of memory that is the pool's from now on.
    pub(crate) fn given(memory: &'static mut [u8]) -> Self {
        let end = memory.len();
        Self::Given { memory: Memory { all: NonNull::from(memory), values: end, places: end }, end }
    }

    /// Is there enough for a heap of `units` units, in a set of `entries` entries, and for `kept` bytes of the pool's
    /// own?
    #[cfg_attr(modelled, expect(unused_variables, reason = "models have their tables from the global allocator"))]
    pub(super) fn check(&self, units: u32, entries: usize, kept: usize) -> Result<(), AddHeapError> {
        #[cfg(not(modelled))]
        if let Self::Given { memory, .. } = self {
            let (size, needed) = (memory.all.len(), needed(units as usize, entries) + kept);
            if size < needed {
                return Err(AddHeapError::TablesTooSmall { size, needed });
            }
        }
        Ok(())
    }

    /// A heap in these tables.
    pub(super) fn member(&mut self, region: Region, max_order: Order) -> Result<Owned<Member>, Unavailable> {
        let mut source = match self {
            Self::Global => Source::Global,
            Self::Given { memory, .. } => {
                memory.zero();
                memory.source(0..memory.all.len())
            }
        };
        let heap = Heap::new(region, max_order, &mut source)?;
        if let Self::Given { memory, .. } = self {
            memory.values = memory.all.len() - source.left();
        }
        let member = source.owned(Member { heap, link: Link::since(0), given: None })?;
        if let Self::Given { memory, .. } = self {
            memory.places = memory.all.len() - source.left();
        }
        Ok(member)
    }

    /// Begins anew to cut off what is kept for the pool.
    pub(super) fn reset(&mut self) {
        if let Self::Given { memory, end } = self {
            *end = memory.all.len();
        }
    }

    /// Memory for something that is kept for the pool, at most `room` bytes, cut off the end. Once in each attempt.
    pub(super) fn cut(&mut self, room: usize) -> Result<Source, Unavailable> {
        match self {
            Self::Global => Ok(Source::Global),
            Self::Given { memory, end } => {
                let begin = end.checked_sub(room).filter(|begin| *begin >= memory.places);
                let begin = begin.ok_or(Unavailable { bytes: room })?;
                let source = memory.zeroed(begin..*end);
                *end = begin;
                Ok(source)
            }
        }
    }

    /// What was cut off is kept.
    pub(super) fn keep(&mut self) {
        if let Self::Given { memory, end } = self {
            memory.all = memory.part(0..*end);
        }
    }

    /// The part of a heap that is about to be published, if its tables are given.
    pub(super) fn of_heap(&self) -> Option<Given> {
        match self {
            Self::Global => None,
            Self::Given { memory, end } => {
                let memory = Memory { all: memory.part(0..*end), ..*memory };
                Some(Given { memory, places: memory.two_places() })
            }
        }
    }
}
