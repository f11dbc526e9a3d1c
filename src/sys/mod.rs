//! All that differs from system to system: memory, the end of a thread, a fence for all threads, and how a thread is
//! woken. `README.md` says how to add a system.

#[cfg(feature = "allocator")]
mod clock;
pub(crate) mod exit;
mod fence;
#[cfg(feature = "allocator")]
mod memory;
mod refusal;

#[cfg(feature = "allocator")]
pub(crate) use clock::milliseconds;
pub(crate) use fence::{HAS_HEAVY_FENCE, heavy_fence};
#[cfg(feature = "allocator")]
pub(crate) use memory::*;
#[cfg(test)]
pub(crate) use refusal::Refusal;

/// Whether the standard library unparks a thread without a lock, as with a futex or a semaphore. Elsewhere it takes a
/// lock, so an allocation, which must not wait, wakes nobody.
#[cfg(feature = "allocator")]
pub(crate) const WAKES: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "openbsd",
    target_os = "netbsd",
    target_os = "dragonfly",
    target_vendor = "apple",
    all(windows, not(target_vendor = "win7")),
));
