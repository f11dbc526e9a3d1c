//! The lock-free buddy core of one heap, in indices only: no pointer, no unsafe code.
//!
//! A file uses only the ones before it: [`order`] (sizes and buddy arithmetic), [`state`] (the state word), [`states`]
//! (the table of them), [`stack`] (the free stacks), [`shards`] (how many of them there are), [`stop`] (stopping in the
//! middle), [`bits`] (one for each node in hand), [`walk`] (walking along them on many paths), [`buddy`] (publish,
//! take, split, release), `quiet` (passing over what there is nothing to do about), `hand` (the nodes that a sweep has
//! in hand), [`merge`] (the pass of a sweep), [`pieces`] (the same piece by piece), [`resize`] (grow and shrink in
//! place), [`batch`] (many blocks for few atomic operations), [`scan`] (looking at the blocks), [`search`] (when an
//! allocation may fail), [`take_all`] (taking a heap out of use), [`spans`] (any number of units), [`fresh`] (numbers
//! that nobody had), [`group`] and [`groups`] (slots that are smaller than a unit), [`runs`] (pages, and spans of them
//! that are cut into slots), [`live`] (where live blocks begin). The protocol as a whole is on the design page,
//! `src/DESIGN.md`.
#![forbid(unsafe_code)]

pub mod batch;
pub mod buddy;
pub mod order;
pub mod resize;
pub mod scan;
pub mod search;
pub mod shards;
#[cfg(any(feature = "allocator", modelled))]
pub mod slabs;
#[cfg(any(feature = "allocator", modelled))]
pub mod spans;
pub mod stack;
pub mod state;
pub mod states;
pub mod sweep;
pub mod take_all;
#[cfg(any(feature = "allocator", modelled))]
pub mod watermark;

pub use batch::Batch;
pub(crate) use buddy::Listing;
pub use buddy::{Buddy, NotLive};
pub use order::{BlockIndex, Geometry, Order};
pub use resize::CantResize;
pub use scan::{Coalescer, Scan};
pub use search::{Exhausted, LastFailure, search};
pub use shards::Shard;
#[cfg(any(feature = "allocator", modelled))]
pub use slabs::Slots;
pub use state::{Kind, Owner, State, StateWord};
pub use sweep::Sweep;
