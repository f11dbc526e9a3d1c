//! A key of POSIX: `pthread_key_create`.
//!
//! glibc allocates for a key only from the 33rd of a program on. An allocator is used early and has one of the first.
//! Destructors of keys run after those of the standard library's thread-locals, which so still find the thread's
//! caches.
#![allow(clippy::unnecessary_cast, reason = "keys have different types")]

use core::ffi::c_void;
use core::num::NonZero;
use core::ptr;

use super::Registered;
use super::key::{self, Key, System};
use crate::thread::registry::ThreadIndex;

#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
))]
#[used]
// SAFETY: the section is an array of functions of this type.
#[unsafe(link_section = ".fini_array")]
static END: extern "C" fn() = {
    extern "C" fn end() {
        key::end::<Posix>();
    }
    end
};

unsafe extern "C" fn called(value: *mut c_void) {
    key::called(value.addr());
}

fn raw(key: Key) -> libc::pthread_key_t {
    key.0 as libc::pthread_key_t
}

/// The keys of POSIX.
struct Posix;

impl System for Posix {
    fn create() -> Option<Key> {
        let mut key = 0;
        // SAFETY: `key` may be written, and the destructor may be called by any thread, with what it was given.
        (unsafe { libc::pthread_key_create(&raw mut key, Some(called)) } == 0).then_some(Key(key as u64))
    }

    unsafe fn delete(key: Key) {
        // SAFETY: the caller vouches for it.
        unsafe { libc::pthread_key_delete(raw(key)) };
    }

    fn set(key: Key, value: NonZero<usize>) -> bool {
        let value = ptr::without_provenance::<c_void>(value.get());
        // SAFETY: the value is what the destructor expects. A key that was deleted is an error.
        unsafe { libc::pthread_setspecific(raw(key), value) == 0 }
    }

    fn get(key: Key) -> usize {
        // SAFETY: as above; then it is null.
        unsafe { libc::pthread_getspecific(raw(key)) }.addr()
    }
}

/// See [`key::registered`].
pub fn registered() -> Registered {
    key::registered::<Posix>()
}

/// See [`key::at_exit`].
pub fn at_exit(index: ThreadIndex) -> bool {
    key::at_exit::<Posix>(index)
}
