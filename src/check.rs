//! Assertions of what is so if the crate is right.

/// Asserts, in the unit tests. A user's program has none of it, whatever it is built with: an assertion that failed there would be a panic of
/// the global allocator, which may neither unwind nor allocate for a message.
macro_rules! check {
    ($($assertion:tt)*) => {
        if cfg!(test) {
            assert!($($assertion)*);
        }
    };
}
pub(crate) use check;
