//! What differs from system to system: memory, the end of a thread, and how a thread is woken. `README.md` here says how
//! to add a system.

pub(crate) mod exit;
#[cfg(feature = "allocator")]
mod memory;

#[cfg(feature = "allocator")]
pub(crate) use memory::*;

/// Is a thread unparked without a lock, as with a futex or a semaphore? Elsewhere the standard library has a lock there,
/// and who may not wait does not wake anybody.
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
