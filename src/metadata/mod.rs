//! The one source of memory for the crate's own tables. README.md has the files in order.

mod owned;
mod shared;
mod source;
mod table;
mod zeroed;

pub(crate) use owned::Owned;
pub(crate) use shared::Shared;
pub(crate) use source::Source;
#[cfg(all(feature = "allocator", not(modelled)))]
pub(crate) use source::room;
pub(crate) use table::Table;
pub use zeroed::Unavailable;
pub(crate) use zeroed::Zeroed;
