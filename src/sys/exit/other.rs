//! A destructor of a thread-local, for systems that this crate does not know.

extern crate std;

use core::cell::Cell;
use std::thread_local;

use super::Registered;
use crate::thread::exit;
use crate::thread::registry::ThreadIndex;

struct Exit(Cell<Option<ThreadIndex>>);

impl Drop for Exit {
    fn drop(&mut self) {
        exit(self.0.take());
    }
}

thread_local! {
    static EXIT: Exit = const { Exit(Cell::new(None)) };
}

/// The registration of the calling thread.
pub fn registered() -> Registered {
    match EXIT.try_with(|exit| exit.0.get()) {
        Ok(None) => Registered::Nothing,
        Ok(Some(index)) => Registered::Index(index),
        Err(_) => Registered::Called,
    }
}

/// Registers a call of [`exit`] with this index for the end of the calling thread. False: the system can't.
pub fn at_exit(index: ThreadIndex) -> bool {
    EXIT.try_with(|exit| exit.0.set(Some(index))).is_ok()
}
