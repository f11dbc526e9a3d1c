// README is the crate's documentation. Its links to files are for whoever reads it in a checkout. Of two definitions of
// a link the first one counts, so these are the ones of rustdoc; and a picture can't be a file there, so it stands
// before the text.
#![cfg_attr(doc, doc = "[heap]: data:image/gif;base64,R0lGODlhAQABAAAAACw=")]
#![cfg_attr(doc, doc = "[guide]: crate::guide")]
#![cfg_attr(doc, doc = "[choosing]: crate::guide::choosing")]
#![cfg_attr(doc, doc = "[guarantees]: crate::guide::guarantees")]
#![cfg_attr(doc, doc = "[any program]: crate::guide::any_program")]
#![cfg_attr(doc, doc = "[regions]: crate::guide::regions")]
#![cfg_attr(doc, doc = "[offsets]: crate::guide::offsets")]
#![cfg_attr(doc, doc = "[models]: crate::guide::model_checking")]
#![cfg_attr(doc, doc = "[figures]: https://docs.rs/crate/heapmaster/latest/source/benches/README.md")]
#![cfg_attr(doc, doc = "[map]: https://docs.rs/crate/heapmaster/latest/source/src/README.md")]
#![cfg_attr(doc, doc = "\n<div class=\"picture\"><style>.picture svg { max-width: 100%; height: auto }</style>")]
#![cfg_attr(doc, doc = include_str!("guide/heap.svg"))]
#![cfg_attr(doc, doc = "</div>\n")]
// It shows all that the default features have; its examples are tested where they are on.
#![cfg_attr(any(not(doctest), all(feature = "std", feature = "allocator")), doc = include_str!("../README.md"))]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![no_std]

#[cfg(any(feature = "alloc", test))]
extern crate alloc;
#[cfg(test)]
#[macro_use]
extern crate std;

#[cfg(not(target_has_atomic = "64"))]
compile_error!("heapmaster needs atomics of 64 bits, which this target does not have (`target_has_atomic = \"64\"`)");

#[cfg(all(feature = "allocator", not(modelled)))]
mod allocator;
mod board;
mod board_place;
#[cfg_attr(not(feature = "std"), allow(dead_code, reason = "only the standard library tells threads apart"))]
mod cache;
mod check;
mod commit;
mod error;
// Only for rustdoc: the library has nothing of it.
#[cfg(any(doc, doctest))]
pub mod guide;
mod heaps;
mod id;
mod map;
mod metadata;
mod offsets;
mod pool;
// The models in `loom-tests/` call the core itself.
#[cfg(modelled)]
#[doc(hidden)]
pub mod raw;
#[cfg(not(modelled))]
mod raw;
mod stats;
#[cfg(all(test, feature = "std", not(loom)))]
mod stops;
#[cfg(all(feature = "std", not(modelled)))]
mod sweeper;
// As for `raw`.
#[cfg(modelled)]
#[allow(missing_docs, reason = "the operations are those of the standard library")]
#[doc(hidden)]
pub mod sync;
#[cfg(not(modelled))]
mod sync;
#[cfg(all(feature = "std", not(modelled)))]
mod sys;
mod thread;
mod units;
// As for `raw`.
#[cfg(modelled)]
#[doc(hidden)]
pub mod wakers;
#[cfg(all(feature = "std", not(modelled)))]
mod wakers;

#[cfg(all(feature = "allocator", not(modelled)))]
#[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
pub use allocator::{AllocatorBuilder, PoolAllocator};
#[cfg(modelled)]
#[doc(hidden)]
pub use cache::bias;
#[cfg(all(feature = "allocator", not(modelled)))]
#[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
pub use error::AllocatorBuildError;
pub use error::{AddHeapError, AllocError, ConfigError, ReleaseBatchError, ReleaseError, RemoveHeapError, ResizeError};
pub use id::HeapId;
#[cfg(feature = "alloc")]
#[cfg_attr(docsrs, doc(cfg(feature = "alloc")))]
pub use map::SvgMap;
pub use map::{Block, BlockState, HeapMap, TextMap};
pub use offsets::{AddRangeError, OffsetPool, OffsetPoolBuilder, OffsetRange, ReserveError};
pub use pool::MemoryPool;
pub use pool::PoolBuilder;
pub use raw::Sizes;
#[cfg(all(feature = "allocator", not(modelled)))]
#[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
pub use stats::AllocatorStats;
#[cfg(all(feature = "std", not(modelled)))]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
pub use stats::SweeperStats;
#[cfg(feature = "metrics")]
pub use stats::describe_metrics;
pub use stats::{HeapStats, OrderStats, PoolStats, SweepReport};
#[cfg(all(feature = "std", not(modelled)))]
#[cfg_attr(docsrs, doc(cfg(feature = "std")))]
pub use sweeper::{Budget, Sweeper, SweeperBuilder, SweptPool};

/// What users rely on: values of these types may be sent to other threads, and shared.
#[cfg(not(modelled))]
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<(MemoryPool, PoolBuilder, HeapId)>();
    is_send_and_sync::<(AddHeapError, AllocError, ConfigError, ReleaseBatchError, ReleaseError)>();
    is_send_and_sync::<(RemoveHeapError, ResizeError)>();
    is_send_and_sync::<(OffsetPool, OffsetPoolBuilder, OffsetRange, AddRangeError, ReserveError)>();
    is_send_and_sync::<(Block, BlockState, HeapMap<'static>, TextMap<'static>)>();
    #[cfg(feature = "alloc")]
    is_send_and_sync::<SvgMap<'static>>();
    is_send_and_sync::<(HeapStats, OrderStats, PoolStats, SweepReport)>();
    #[cfg(feature = "allocator")]
    is_send_and_sync::<(PoolAllocator, AllocatorBuilder, AllocatorStats, AllocatorBuildError)>();
    #[cfg(feature = "std")]
    is_send_and_sync::<(Sweeper, SweeperStats, Budget)>();
};
