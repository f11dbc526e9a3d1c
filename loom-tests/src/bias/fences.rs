//! A pair of fences of which the rare one pays for both (Dekker's algorithm made asymmetric).
//!
//! Of a light fence and a heavy one, one comes first, and the thread of the second sees what the thread of the first
//! did before it. Two light fences order nothing.
//!
//! | | in a program | in a model |
//! |---|---|---|
//! | light | a fence for the compiler | `SeqCst` |
//! | heavy | `membarrier`: each running thread of the process has passed a full fence when it returns | `SeqCst` |
//!
//! A model can't have two light fences that order nothing. `README.md` says how it was tested that no proof needs more.

use crate::sync::{Ordering, fence};

/// The fence of the frequent one.
#[inline]
pub(super) fn light() {
    // SeqCst: pairs with `heavy`.
    fence(Ordering::SeqCst);
}

/// The fence of the rare one.
pub(super) fn heavy() {
    // SeqCst: pairs with `light`.
    fence(Ordering::SeqCst);
}
