//! Pages of a heap that grows: spans of them, and slabs, which are spans cut into slots of one class. `README.md` has
//! the files in the order of their use, and the rules.

pub mod bitmap;
mod cycle;
mod discard;
mod extra;
pub mod lists;
pub mod live;
mod page_map;
mod pages;
mod resident;
mod retire;
mod shape;
mod slots;
mod spans;
pub mod spares;
mod tidy;

pub use bitmap::Slots;
pub use cycle::{Cycle, Discards, Step};
pub use discard::Extent;
pub use extra::{MOST_PAGES, have_room};
pub use page_map::Found;
pub use pages::Slabs;
pub use shape::{BITMAPS, BitmapId, STRIDE, Shape};
pub use spans::Growth;
