//! The lock-free buddy core of one heap, in indices only: no pointer, no unsafe code.
//!
//! A file uses only the ones before it: [`order`] (sizes and buddy arithmetic), [`state`] (the state word),
//! [`stack`] (the free stacks), [`buddy`] (publish, take, split, release), [`resize`] (grow and shrink in place),
//! [`batch`] (many blocks for few atomic operations), [`merge`] (the pass of a sweep), [`pieces`] (the same piece
//! by piece), [`scan`] (looking at the blocks), [`search`] (when an allocation may fail), [`seize`] (taking a heap out of
//! use), [`spans`] (any number of units), [`group`] and [`groups`] (slots that are smaller than a unit), [`runs`] (pages, and
//! spans of them that are cut into slots). The protocol as a whole is on the design page, `src/DESIGN.md`.
#![forbid(unsafe_code)]

pub mod batch;
pub mod buddy;
#[cfg(any(all(feature = "allocator", unix), all(loom, feature = "loom")))]
pub mod group;
#[cfg(any(all(feature = "allocator", unix), all(loom, feature = "loom")))]
pub mod groups;
pub mod merge;
pub mod order;
#[cfg(feature = "std")]
pub mod pieces;
pub mod resize;
#[cfg(any(all(feature = "allocator", unix), all(loom, feature = "loom")))]
pub mod runs;
pub mod scan;
pub mod search;
pub mod seize;
#[cfg(any(all(feature = "allocator", unix), all(loom, feature = "loom")))]
pub mod spans;
pub mod stack;
pub mod state;

pub use batch::Batch;
pub use buddy::{Buddy, NotLive};
#[cfg(any(all(feature = "allocator", unix), all(loom, feature = "loom")))]
pub use group::Slots;
pub use merge::Sweep;
pub use order::{BlockIndex, Geometry, Order};
pub use resize::CantResize;
pub use scan::{Coalescer, Scan};
pub use search::{Exhausted, LastFailure, search};
pub use state::{Home, Kind, State, StateWord};
