//! How a thread learns that it exits: it leaves its number with the operating system, and is called with it.
//!
//! Where there are threads of POSIX that is a `pthread_key`. The standard library's thread-locals with a destructor are not asked,
//! since glibc allocates for each thread that registers one, and aborts where it can't; for a key, only beyond the 32nd of a program,
//! so that an allocator, which is used early, has one of the first. What has a destructor for a key is called after all of those
//! thread-locals are gone: what they release still finds the thread's caches.

pub use system::at_exit;

#[cfg(unix)]
mod system {
    use core::ffi::c_void;
    use core::ptr;

    use crate::cache::ThreadIndex;
    use crate::cache::current::exit;
    use crate::sync::{AtomicU64, Ordering};

    /// The key, and 1; or one of the following.
    static KEY: AtomicU64 = AtomicU64::new(NOT_YET);
    const NOT_YET: u64 = 0;
    const NEVER: u64 = u64::MAX;

    /// The program is about to end, or the library that this is in is about to be unloaded: nobody may call it any more. Threads
    /// that exit later don't give their numbers back. (What the standard library registers would keep the library loaded.)
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
            // Acquire: as in `key`. Relaxed for the store, which publishes nothing.
            let word = KEY.swap(NEVER, Ordering::Acquire);
            if let Some(key) = of_word(word) {
                // SAFETY: `key` created it, and nobody else deletes it.
                unsafe { libc::pthread_key_delete(key) };
            }
        }
        end
    };

    #[expect(clippy::cast_possible_truncation, reason = "it was a key before")]
    fn of_word(word: u64) -> Option<libc::pthread_key_t> {
        (word != NOT_YET && word != NEVER).then(|| (word - 1) as libc::pthread_key_t)
    }

    /// The key, created by the first that asks. `None`: the program has no more of them, or is about to end.
    fn key() -> Option<libc::pthread_key_t> {
        // Acquire: pairs with the Release below; the key is seen as it was created.
        let word = KEY.load(Ordering::Acquire);
        if word != NOT_YET {
            return of_word(word);
        }
        let mut key = 0;
        // SAFETY: `key` may be written, and the destructor may be called by any thread, with what it was given.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(called)) } != 0 {
            return None;
        }
        // Release: pairs with the Acquire above. Acquire on failure: as above.
        match KEY.compare_exchange(NOT_YET, key as u64 + 1, Ordering::Release, Ordering::Acquire) {
            Ok(_) => Some(key),
            Err(word) => {
                // SAFETY: created above, and nobody else knows it.
                unsafe { libc::pthread_key_delete(key) };
                of_word(word)
            }
        }
    }

    unsafe extern "C" fn called(value: *mut c_void) {
        exit(ThreadIndex::new(value.addr().wrapping_sub(1)));
    }

    /// Has [`exit`] be called with this number when the calling thread is about to exit. False: that can't be had.
    pub fn at_exit(index: ThreadIndex) -> bool {
        // Not null, which would not be called.
        let value = ptr::without_provenance::<c_void>(index.slot() + 1);
        // SAFETY: the key was created, and the value is what its destructor expects.
        key().is_some_and(|key| unsafe { libc::pthread_setspecific(key, value) } == 0)
    }
}

#[cfg(not(unix))]
mod system {
    extern crate std;

    use core::cell::Cell;
    use std::thread_local;

    use crate::cache::ThreadIndex;
    use crate::cache::current::exit;

    struct Exit(Cell<Option<ThreadIndex>>);

    impl Drop for Exit {
        fn drop(&mut self) {
            exit(self.0.take());
        }
    }

    thread_local! {
        static EXIT: Exit = const { Exit(Cell::new(None)) };
    }

    /// Has [`exit`] be called with this number when the calling thread is about to exit. False: that can't be had.
    pub fn at_exit(index: ThreadIndex) -> bool {
        EXIT.try_with(|exit| exit.0.set(Some(index))).is_ok()
    }
}
