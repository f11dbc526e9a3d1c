//! Merging: the sweep of a heap.
//!
//! A file uses only the ones before it: [`stop`] (ends what may take long), [`marks`] (a bit for each gathered node), [`walk`] (along detached
//! stacks on many paths), `skip` (over blocks that a sweep leaves alone), `gather` (takes the nodes off the stacks, and tidies), [`merge`]
//! (one pass), [`steps`] (the same in bounded steps).

mod gather;
pub mod marks;
pub mod merge;
mod skip;
#[cfg(any(feature = "std", modelled))]
pub mod steps;
pub(in crate::raw) mod tables;
pub mod walk;

pub use merge::Sweep;
