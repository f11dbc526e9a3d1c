//! The known faults. They are listed here and nowhere else.

use super::run::Fault;

/// A part of an operation's name, and the fault where it stops. Each one must be there, or the test fails.
pub const KNOWN: &[(&str, Fault)] = &[
    // It merges a block of more than half of the pool.
    ("hl_alloc, of what an ended thread left", Fault::Withheld),
    // The heap is more than half of the pool, and in transit as a whole.
    ("remove_heap, in use", Fault::Withheld),
];
