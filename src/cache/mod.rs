//! Thread caches: a thread's blocks in front of the heaps, so that its allocations and releases touch nothing that
//! another thread touches. `README.md` has the files in their order, the picture and the rules.

pub mod bias;
mod bin;
mod budget;
#[expect(clippy::module_inception, reason = "the folder is about what the file is")]
mod cache;
mod caches;
mod counts;
mod current;
mod depot;
mod entry;
mod flush;
mod layout;
mod limit;
mod outbox;
mod overflow;
mod refill;
mod tiles;
mod visitor;
mod window;

pub use cache::OwnCache;
pub use caches::{Caches, Reach};
pub use counts::Served;
#[cfg(modelled)]
pub use current::exit;
pub use current::{current, registry, return_to, with_current};
pub use limit::Allowance;
pub use visitor::Visitor;
