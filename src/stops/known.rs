//! The faults that are known, and still there: the one place where they are listed.

use super::run::Fault;

/// A part of the names of operations, and what is wrong where one of them stops. All that is listed must be there.
pub const KNOWN: &[(&str, Fault)] = &[
    // The block that it is to have is more than half of the pool.
    ("hl_alloc, of what a gone thread left", Fault::Withheld),
    // The heap that is to be removed is more than half of the pool, and in transit as a whole.
    ("remove_heap, in use", Fault::Withheld),
    // What is merged as it is released is in transit as a whole.
    ("allocator: ", Fault::Withheld),
];
