//! The one source of memory for the crate's own tables. README.md has the files in order.

mod bump;
mod global;
mod owned;
mod source;
mod table;
mod zeroed;

pub(crate) use bump::Bump;
#[cfg(not(modelled))]
pub(crate) use bump::room;
pub(crate) use owned::Owned;
pub(crate) use source::Source;
pub(crate) use table::Table;
pub use zeroed::Unavailable;
pub(crate) use zeroed::Zeroed;
