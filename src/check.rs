//! Assertions that only the unit tests have, and what an index out of range does.

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

/// The value at an index, which is within the slice. Another one would be a bug of this crate: it ends the process, see
/// [`out_of_range`].
#[inline(always)]
pub(crate) fn at<T>(slice: &[T], index: usize) -> &T {
    match slice.get(index) {
        Some(value) => value,
        None => out_of_range(),
    }
}

/// The same, to change it.
#[inline(always)]
pub(crate) fn at_mut<T>(slice: &mut [T], index: usize) -> &mut T {
    match slice.get_mut(index) {
        Some(value) => value,
        None => out_of_range(),
    }
}

/// Ends the process, without a message. A panic would unwind through a user's allocation, or allocate for its message
/// while the allocator is in the middle of something.
#[cold]
#[inline(never)]
#[cfg(all(feature = "std", not(test), not(modelled)))]
pub(crate) fn out_of_range() -> ! {
    // C's, of which the compiler knows that it does not unwind.
    #[cfg(unix)]
    // SAFETY: it may be called anywhere.
    unsafe {
        libc::abort()
    }
    #[cfg(not(unix))]
    {
        extern crate std;
        std::process::abort()
    }
}

/// Panics: tests and models want to know where, and without the standard library there is nothing else.
#[cold]
#[inline(never)]
#[track_caller]
#[cfg(not(all(feature = "std", not(test), not(modelled))))]
pub(crate) fn out_of_range() -> ! {
    panic!("an index is out of range")
}
