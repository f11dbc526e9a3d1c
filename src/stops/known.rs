//! The faults that are known, and still there: the one place where they are listed.

use super::run::Fault;

/// A part of the names of operations, and what is wrong where one of them stops. All that is listed must be there.
pub const KNOWN: &[(&str, Fault)] = &[
    // A failing allocation walks the units in transit one by one, again and again.
    ("", Fault::Steps),
    // A block that is split is in transit as a whole.
    ("", Fault::Withheld),
    // Who drains a cache that an operation counted past.
    ("", Fault::Figures),
];
