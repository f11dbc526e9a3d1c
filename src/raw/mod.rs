//! The lock-free buddy core of one heap, in indices only: no pointer, no unsafe code.
//!
//! A file uses only the ones before it: [`order`] (sizes and buddy arithmetic), [`state`] (the state word), [`states`] (the table
//! of them), [`stack`] (the free stacks), [`lanes`] (how many of them there are), [`stop`] (stopping in the middle), [`bits`] (one for each node in hand), [`walk`] (walking along them on many paths), [`buddy`] (publish, take, split, release),
//! `quiet` (passing over what there is nothing to do about), `hand` (the nodes that a sweep has in hand), [`merge`] (the pass of a
//! sweep), [`pieces`] (the same piece by piece), [`resize`] (grow and shrink in place), [`batch`] (many blocks for few atomic
//! operations), [`scan`] (looking at the blocks), [`search`] (when an allocation may fail), [`seize`] (taking a heap out of
//! use), [`spans`] (any number of units), [`fresh`] (numbers that nobody had), [`group`] and [`groups`] (slots that are smaller than a unit), [`runs`] (pages, and
//! spans of them that are cut into slots), [`live`] (where live blocks begin). The protocol as a whole is on the design page, `src/DESIGN.md`.
#![forbid(unsafe_code)]

pub mod batch;
pub mod bits;
pub mod buddy;
#[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
pub mod fresh;
#[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
pub mod group;
#[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
pub mod groups;
mod hand;
pub mod lanes;
#[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
pub mod live;
pub mod merge;
pub mod order;
#[cfg(any(feature = "std", all(loom, feature = "loom")))]
pub mod pieces;
mod quiet;
pub mod resize;
#[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
pub mod runs;
pub mod scan;
pub mod search;
pub mod seize;
#[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
pub mod spans;
pub mod stack;
pub mod state;
pub mod states;
pub mod stop;
pub mod walk;

pub use batch::Batch;
pub(crate) use buddy::Listing;
pub use buddy::{Buddy, NotLive};
#[cfg(any(feature = "allocator", all(loom, feature = "loom")))]
pub use group::Slots;
pub use lanes::Lane;
pub use merge::Sweep;
pub use order::{BlockIndex, Geometry, Order};
pub use resize::CantResize;
pub use scan::{Coalescer, Scan};
pub use search::{Exhausted, LastFailure, search};
pub use state::{Home, Kind, State, StateWord};
