//! The known faults. They are listed here and nowhere else.

use super::run::Fault;

/// A part of an operation's name, and the fault where it stops. Each one must be there, or the test fails.
pub const KNOWN: &[(&str, Fault)] = &[
    // It merges the block that it wants, or has the memory that it wants, of more than half.
    ("alloc, of what an ended thread left", Fault::Withheld),
    // Half of what it merges is in transit, and it has blocks of one page that it is about to release.
    ("allocator: sweep, of what an ended thread left", Fault::Withheld),
    ("allocator: a sweeper's cycles, of what an ended thread left", Fault::Withheld),
    // The heap is more than half of the pool, and in transit as a whole.
    ("remove_heap, in use", Fault::Withheld),
];
