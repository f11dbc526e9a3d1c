//! The calling thread gets its index.

use super::current::{Index, known_index, registry, set_index};
use super::registry::ThreadIndex;
use crate::sys::exit::{Registered, at_exit, registered};

/// The index of the calling thread, or one for it. `None`: all are taken, and the next call tries again; or the thread
/// is about to exit, or is being given one now, or nobody would tell when it exits.
pub fn take_index() -> Option<ThreadIndex> {
    match known_index() {
        Index::Is(index) => Some(index),
        Index::NotYet => take(),
        Index::Never => None,
    }
}

#[cold]
fn take() -> Option<ThreadIndex> {
    // Without a cache until it is certain that the index will be given back: that may allocate, and so use this very
    // pool.
    set_index(Index::Never);
    match registered() {
        Registered::Nothing => {}
        Registered::Index(index) => {
            set_index(Index::Is(index));
            return Some(index);
        }
        Registered::Called => return None,
    }
    let Some(index) = registry().take() else {
        set_index(Index::NotYet);
        return None;
    };
    if !at_exit(index) {
        registry().release(index);
        return None;
    }
    set_index(Index::Is(index));
    Some(index)
}
