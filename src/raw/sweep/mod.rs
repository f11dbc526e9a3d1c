//! Merging: the sweep of a heap. `README.md` has the picture and the rules.
//!
//! A file uses only the ones before it: [`marks`] (a bit for each gathered node), [`walk`] (along detached stacks on
//! many paths), `tables` (both, for one heap), `skim` (looks at many states at once), `skip` (over blocks that a sweep
//! leaves alone), `gather` (takes the nodes off the stacks, and tidies), [`merge`] (one pass), [`steps`] (a pass in
//! bounded steps).

mod gather;
pub mod marks;
pub mod merge;
mod skim;
mod skip;
#[cfg(any(feature = "std", modelled))]
pub mod steps;
pub(in crate::raw) mod tables;
pub mod walk;

pub use merge::Sweep;
