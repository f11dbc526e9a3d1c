//! Assertions that only the unit tests have.

/// Asserts in the unit tests. A user's program has no such assertion, in debug builds either. A failed one would be a
/// panic of the global allocator, which may neither unwind nor allocate a message.
macro_rules! check {
    ($($assertion:tt)*) => {
        if cfg!(test) {
            assert!($($assertion)*);
        }
    };
}
pub(crate) use check;
