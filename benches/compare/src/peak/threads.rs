//! The threads of a stage: how they are started, their stacks, and the time that they take.
//!
//! They have their stacks from the stage, because those that the C library makes lose pages when a thread exits,
//! which would count against what the allocator takes.

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::io;
use std::mem::{self, MaybeUninit};
use std::time::Duration;

use super::blocks::PAGE;

/// Bytes of the stack of a thread.
pub const STACK: usize = 64 * PAGE;

/// The input of a thread.
type Begin = extern "C" fn(*mut c_void) -> *mut c_void;

/// `pthread_create`.
pub type Create = unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Begin, *mut c_void) -> c_int;

/// The function of the C library, though the program may have another one of this name. If it is not found, that one.
pub fn create_of_the_library() -> Create {
    // SAFETY: the name ends with a zero.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr()) };
    if found.is_null() {
        return libc::pthread_create;
    }
    // SAFETY: the C library has it with this signature.
    unsafe { mem::transmute::<*mut c_void, Create>(found) }
}

/// Starts a thread by `create`.
///
/// # Safety
///
/// The stack is nobody else's, now and later, and the argument is what `begin` takes.
pub unsafe fn start(
    create: Create,
    stack: *mut [u8],
    begin: Begin,
    argument: *mut c_void,
) -> io::Result<libc::pthread_t> {
    let done = |error: c_int| if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) };
    let (mut attributes, mut thread) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the attributes are initialized first and destroyed last; the caller vouches for the stack and the
    // argument.
    unsafe {
        done(libc::pthread_attr_init(attributes.as_mut_ptr()))?;
        done(libc::pthread_attr_setstack(attributes.as_mut_ptr(), stack.cast(), stack.len()))?;
        done(create(thread.as_mut_ptr(), attributes.as_ptr(), begin, argument))?;
        done(libc::pthread_attr_destroy(attributes.as_mut_ptr()))?;
        Ok(thread.assume_init())
    }
}

/// How long this thread has had a processor.
pub fn thread_time() -> Duration {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the time is where it is written to; it is if there is no error, and every thread has this clock.
    let time = unsafe {
        let error = libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, time.as_mut_ptr());
        assert_eq!(error, 0, "every thread has a clock");
        time.assume_init()
    };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// As deep as an allocator may go, so that this part of the stack is resident.
#[inline(never)]
pub fn use_stack() {
    black_box(&mut [1u8; STACK / 2]);
}
