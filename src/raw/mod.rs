//! The lock-free buddy core of one heap, in indices only: no pointer, no unsafe code. `README.md` has the files in
//! order, the protocol of the states, and the rules.
#![forbid(unsafe_code)]

pub mod batch;
pub mod buddy;
pub mod class;
mod looked;
mod merged;
mod near;
pub mod order;
#[cfg_attr(not(any(feature = "allocator", modelled)), allow(dead_code, reason = "only an allocator has outlines"))]
pub mod outline;
pub mod owner;
mod parts;
pub mod reserve;
pub mod resize;
mod rows;
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
mod version;
pub mod visits;
#[cfg(any(feature = "allocator", modelled))]
pub mod watermark;
pub mod withheld;

pub use batch::Batch;
pub(crate) use buddy::Listing;
pub use buddy::{Buddy, NotLive};
pub use class::{Class, Sizes};
pub use order::{BlockIndex, Geometry, Order};
pub use owner::Owner;
pub use reserve::Occupied;
pub use resize::CantResize;
pub use scan::{Coalescer, Scan};
pub use search::{Exhausted, LastFailure, search};
pub use shards::Shard;
#[cfg(any(feature = "allocator", modelled))]
pub use slabs::Slots;
pub use state::{Kind, State, StateWord};
pub use sweep::Sweep;
pub use visits::Visits;
