//! A key of Windows: `TlsAlloc`; and a callback of the image, which the loader calls when a thread exits.
//!
//! Keys with a callback (`FlsAlloc`) won't do. They belong to fibers: the end of a fiber would give up the index of a
//! thread that goes on. And to delete such a key calls it for all threads.

use core::ffi::c_void;
use core::num::NonZero;
use core::ptr;

use windows_sys::Win32::System::SystemServices::{DLL_PROCESS_DETACH, DLL_THREAD_DETACH};
use windows_sys::Win32::System::Threading::{TLS_OUT_OF_INDEXES, TlsAlloc, TlsFree, TlsGetValue, TlsSetValue};

use super::Registered;
use super::key::{self, Key, System};
use crate::thread::registry::ThreadIndex;

type Callback = unsafe extern "system" fn(*mut c_void, u32, *mut c_void);

/// Callbacks are called in the order of their sections' names: the array begins in `.CRT$XLA`, and the standard
/// library's is in `.CRT$XLB`. That one may free thread-locals. A write to one afterwards would allocate it again, for
/// ever.
#[used]
// SAFETY: the section is an array of functions of this type.
#[unsafe(link_section = ".CRT$XLAA")]
static CALLBACK: Callback = called;

unsafe extern "system" fn called(_image: *mut c_void, reason: u32, _reserved: *mut c_void) {
    match reason {
        DLL_THREAD_DETACH => key::thread_ends::<Windows>(),
        DLL_PROCESS_DETACH => key::end::<Windows>(),
        _ => {}
    }
}

/// The keys of Windows.
struct Windows;

impl System for Windows {
    fn create() -> Option<Key> {
        // It makes the linker keep the callback, which nothing else names. The standard library keeps the image's table
        // of callbacks. SAFETY: a static.
        _ = unsafe { (&raw const CALLBACK).read_volatile() };
        // SAFETY: it takes a number.
        let key = unsafe { TlsAlloc() };
        (key != TLS_OUT_OF_INDEXES).then_some(Key(key.into()))
    }

    unsafe fn delete(key: Key) {
        // SAFETY: the caller vouches for it.
        unsafe { TlsFree(key.0 as u32) };
    }

    fn set(key: Key, value: NonZero<usize>) -> bool {
        // SAFETY: a number, which is never dereferenced. A deleted key is an error.
        unsafe { TlsSetValue(key.0 as u32, ptr::without_provenance(value.get())) != 0 }
    }

    fn get(key: Key) -> usize {
        // SAFETY: as above; then it is null.
        unsafe { TlsGetValue(key.0 as u32) }.addr()
    }
}

/// See [`key::registered`].
pub fn registered() -> Registered {
    key::registered::<Windows>()
}

/// See [`key::at_exit`].
pub fn at_exit(index: ThreadIndex) -> bool {
    key::at_exit::<Windows>(index)
}
