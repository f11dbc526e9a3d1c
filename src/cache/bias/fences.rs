//! A pair of fences of which the rare one pays for both (Dekker's algorithm made asymmetric).
//!
//! Of a light fence and a heavy one, one comes first, and the thread of the second sees what the thread of the first
//! did before it. Two light fences order nothing.
//!
//! | | in a program | in a model |
//! |---|---|---|
//! | light | a fence for the compiler | `SeqCst` |
//! | heavy | each running thread of the process has passed a full fence when it returns | `SeqCst` |
//!
//! A model can't have two light fences that order nothing. `README.md` says how it was tested that no proof needs more.

pub(super) use crate::sync::light_fence as light;
#[cfg(modelled)]
use crate::sync::{Ordering, fence};

/// The fence of the rare one. False: the system has none, or refused it.
#[must_use = "without the fence nothing is ordered"]
pub(super) fn heavy() -> bool {
    #[cfg(all(feature = "std", not(modelled)))]
    return crate::sys::heavy_fence();
    #[cfg(modelled)]
    fence(Ordering::SeqCst);
    #[cfg(not(all(feature = "std", not(modelled))))]
    return cfg!(modelled);
}

/// Waits for so long that each store which another thread had made before is visible by then, a quarter of a
/// millisecond or more. For a system that refuses the heavy fence though it made others before: nothing else is left
/// then. `README.md` has it.
#[cold]
pub(super) fn wait_instead() {
    /// A pause of a processor takes 10 to 50 ns.
    const PAUSES: u32 = 25_000;
    if cfg!(not(modelled)) {
        (0..PAUSES).for_each(|_| core::hint::spin_loop());
    }
}
