//! The key: made by the first thread that asks for it, and deleted at the end.

use core::num::NonZero;

use super::{Registered, system};
use crate::cache::{ThreadIndex, exit};
use crate::sync::{AtomicU64, Ordering};

/// The key, and 1; or one of the following.
static KEY: AtomicU64 = AtomicU64::new(NOT_YET);
const NOT_YET: u64 = 0;
const NEVER: u64 = u64::MAX;

/// A value of a thread that was called; no number, and 1, is so large.
const CALLED: usize = usize::MAX;

/// A key of the system's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(pub(super) system::RawKey);

impl Key {
    #[allow(clippy::unnecessary_cast, reason = "keys have different types")]
    fn of_word(word: u64) -> Option<Self> {
        (word != NOT_YET && word != NEVER).then(|| Self((word - 1) as system::RawKey))
    }
}

#[allow(clippy::unnecessary_cast, reason = "keys have different types")]
fn word_of(key: Key) -> u64 {
    key.0 as u64 + 1
}

/// The key, if there is one.
fn key() -> Option<Key> {
    // Acquire: pairs with the Release in `key_or_new`; the key is seen as it was created.
    Key::of_word(KEY.load(Ordering::Acquire))
}

/// The key, created by the first that asks. `None`: the program has no more of them, or is about to end.
fn key_or_new() -> Option<Key> {
    // Acquire: pairs with the Release below; the key is seen as it was created.
    let word = KEY.load(Ordering::Acquire);
    if word != NOT_YET {
        return Key::of_word(word);
    }
    let key = system::create()?;
    // Release: pairs with the Acquire above and in `key`. Acquire on failure: as above.
    match KEY.compare_exchange(NOT_YET, word_of(key), Ordering::Release, Ordering::Acquire) {
        Ok(_) => Some(key),
        Err(word) => {
            // SAFETY: created above, and nobody else knows it.
            unsafe { system::delete(key) };
            Key::of_word(word)
        }
    }
}

/// The program is about to end, or the library that this is in is about to be unloaded: nobody may call it any more.
/// Threads that exit later don't give their numbers back. (What the standard library registers would keep the library
/// loaded.)
#[allow(dead_code, reason = "not every system says when that is")]
pub(super) fn end() {
    // Acquire: as in `key`. Relaxed for the store, which publishes nothing.
    if let Some(key) = Key::of_word(KEY.swap(NEVER, Ordering::Acquire)) {
        // SAFETY: `key_or_new` created it, and nobody else deletes it.
        unsafe { system::delete(key) };
    }
}

/// The calling thread exits, and had this value.
#[cfg(unix)]
pub(super) fn called(value: usize) {
    exit(ThreadIndex::new(value.wrapping_sub(1)));
}

/// The calling thread exits. Destructors of thread-locals that run afterwards must know that, even if it has had no number.
#[cfg(windows)]
pub(super) fn thread_ends() {
    if let Some(key) = key_or_new() {
        let registered = of_value(system::get(key));
        system::set(key, const { NonZero::new(CALLED).unwrap() });
        if let Registered::Number(index) = registered {
            exit(Some(index));
        }
    }
}

fn of_value(value: usize) -> Registered {
    match value {
        CALLED => Registered::Called,
        value => value.checked_sub(1).and_then(ThreadIndex::new).map_or(Registered::Nothing, Registered::Number),
    }
}

/// What the operating system has of the calling thread. Where the standard library takes memory for thread-locals, it may
/// have given that back before the thread is called here: then the thread knows its number no more.
pub fn registered() -> Registered {
    key().map_or(Registered::Nothing, |key| of_value(system::get(key)))
}

/// Has [`exit`] be called with this number when the calling thread is about to exit. False: that can't be had.
pub fn at_exit(index: ThreadIndex) -> bool {
    // Not 0, for which nobody would be called.
    let value = NonZero::<usize>::MIN.saturating_add(index.slot());
    key_or_new().is_some_and(|key| system::set(key, value))
}
