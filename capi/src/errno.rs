//! C's `errno`.

use core::ffi::{c_int, c_void};
use core::ptr;

/// Sets `errno`, and returns null.
#[cold]
pub fn fail(why: c_int) -> *mut c_void {
    // SAFETY: where the calling thread has it.
    unsafe { *libc::__errno_location() = why };
    ptr::null_mut()
}
