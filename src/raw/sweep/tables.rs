//! The tables that a sweep needs to gather nodes.

use super::marks::Marks;
use super::walk::Paths;
use crate::metadata::{Source, Unavailable};
use crate::raw::order::Geometry;
use crate::sync::AtomicU32;

/// The tables of a heap. One sweep at a time has them, the others do without.
#[derive(Debug)]
pub(in crate::raw) struct GatherTables {
    /// 1 while a sweep has them. Else all marks are clear.
    pub(in crate::raw) taken: AtomicU32,
    /// The nodes that the sweep owns.
    pub(in crate::raw) nodes: Marks,
    /// For the walk that finds them.
    pub(in crate::raw) paths: Paths,
}

impl GatherTables {
    /// The tables of a heap of `geometry`: one bit for each unit, and a little.
    pub(in crate::raw) fn new(geometry: &Geometry, source: &mut Source) -> Result<Self, Unavailable> {
        Ok(Self { taken: AtomicU32::new(0), nodes: Marks::of(geometry, source)?, paths: Paths::of(geometry, source)? })
    }

    /// Most bytes that they take, for `units` units.
    #[cfg(not(modelled))]
    pub(in crate::raw) const fn room(units: usize) -> usize {
        Marks::room(units) + Paths::room(units)
    }
}
