//! The table of the state words of a heap.

use super::order::{BlockIndex, Geometry};
use super::state::StateWord;
use crate::metadata::{Source, Table, Unavailable};
use crate::sync::AtomicU16;

/// The state words of a heap.
#[derive(Debug)]
pub struct States(Table<AtomicU16>);

impl States {
    /// The states of a heap in which nothing was published yet.
    pub(crate) fn new(geometry: &Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        // Blocks of whole cache lines of states begin at the beginning of one.
        source.table_in_lines(geometry.units() as usize, geometry.lead() as usize).map(Self)
    }

    /// The state word of `block`.
    #[inline]
    pub fn at(&self, block: BlockIndex) -> StateWord<'_> {
        StateWord(&self.0[block.place()])
    }

    /// All of them, for a reader elsewhere that makes [`StateWord`]s of them.
    #[inline]
    pub(crate) fn words(&self) -> &[AtomicU16] {
        &self.0
    }
}
