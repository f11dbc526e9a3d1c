//! The key. The first thread that asks for it makes it; the end of the program or library deletes it.

use core::num::NonZero;

use super::Registered;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::refusal::is_refused;
use crate::thread::exit;
use crate::thread::registry::ThreadIndex;

/// The key, and 1; or one of the following.
static KEY: AtomicU64 = AtomicU64::new(NOT_YET);
const NOT_YET: u64 = 0;
const NEVER: u64 = u64::MAX;

/// The value of a thread that was called. It is greater than any index and 1.
const CALLED: usize = usize::MAX;

/// A key of the system's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key(pub(super) u64);

/// What a system has for keys.
pub(super) trait System {
    /// A new key, if there is one.
    fn create() -> Option<Key>;

    /// Deletes a key.
    ///
    /// # Safety
    ///
    /// It was created, and no thread uses it any more.
    unsafe fn delete(key: Key);

    /// Sets the value of the calling thread. False: it can't, or the key was deleted.
    fn set(key: Key, value: NonZero<usize>) -> bool;

    /// The value of the calling thread, 0 if it has none.
    fn get(key: Key) -> usize;
}

impl Key {
    fn of_word(word: u64) -> Option<Self> {
        (word != NOT_YET && word != NEVER).then(|| Self(word - 1))
    }
}

/// The key, if there is one.
fn key() -> Option<Key> {
    // Acquire: pairs with the Release in `key_or_new`; the key is seen as it was created.
    Key::of_word(KEY.load(Ordering::Acquire))
}

/// The key, created by the first that asks. `None`: the program has no more of them, or is about to end.
fn key_or_new<S: System>() -> Option<Key> {
    // Acquire: pairs with the Release below; the key is seen as it was created.
    let word = KEY.load(Ordering::Acquire);
    if word != NOT_YET {
        return Key::of_word(word);
    }
    let key = if is_refused("key") { None } else { S::create() }?;
    // Release: pairs with the Acquire above and in `key`. Acquire on failure: as above.
    match KEY.compare_exchange(NOT_YET, key.0 + 1, Ordering::Release, Ordering::Acquire) {
        Ok(_) => Some(key),
        Err(word) => {
            // SAFETY: created above. No other thread knows it.
            unsafe { S::delete(key) };
            Key::of_word(word)
        }
    }
}

/// The program is about to end, or this library is about to be unloaded. From then on its code must not be called.
/// Threads that exit later don't give their indices back. (A thread-local of the standard library with a destructor
/// would keep the library loaded.)
#[allow(dead_code, reason = "not every system says when that is")]
pub(super) fn end<S: System>() {
    // Acquire: as in `key`. Relaxed for the store, which publishes nothing.
    if let Some(key) = Key::of_word(KEY.swap(NEVER, Ordering::Acquire)) {
        // SAFETY: `key_or_new` created it, and only this function deletes it.
        unsafe { S::delete(key) };
    }
}

/// The calling thread exits, and had this value.
#[cfg(unix)]
pub(super) fn called(value: usize) {
    exit(ThreadIndex::new(value.wrapping_sub(1)));
}

/// The calling thread exits. Destructors of thread-locals that run afterwards must know that, even if it has had no
/// index.
#[cfg(windows)]
pub(super) fn thread_ends<S: System>() {
    if let Some(key) = key_or_new::<S>() {
        let registered = of_value(S::get(key));
        S::set(key, const { NonZero::new(CALLED).unwrap() });
        if let Registered::Index(index) = registered {
            exit(Some(index));
        }
    }
}

fn of_value(value: usize) -> Registered {
    match value {
        CALLED => Registered::Called,
        value => value.checked_sub(1).and_then(ThreadIndex::new).map_or(Registered::Nothing, Registered::Index),
    }
}

/// The value that the operating system has for the calling thread. Where the standard library takes memory for
/// thread-locals, it may have freed them before this call. Then the thread no longer knows its index, and the system
/// does.
pub(super) fn registered<S: System>() -> Registered {
    key().map_or(Registered::Nothing, |key| of_value(S::get(key)))
}

/// Registers a call of [`exit`] with this index for the end of the calling thread. False: the system can't.
pub(super) fn at_exit<S: System>(index: ThreadIndex) -> bool {
    // Not 0: for that value there is no call.
    let value = NonZero::<usize>::MIN.saturating_add(index.place());
    key_or_new::<S>().is_some_and(|key| !is_refused("at_exit") && S::set(key, value))
}
