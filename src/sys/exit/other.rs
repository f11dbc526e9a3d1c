//! A destructor of a thread-local of the standard library's, for systems that this crate knows nothing of.

extern crate std;

use core::cell::Cell;
use std::thread_local;

use super::Registered;
use crate::cache::{ThreadIndex, exit};

struct Exit(Cell<Option<ThreadIndex>>);

impl Drop for Exit {
    fn drop(&mut self) {
        exit(self.0.take());
    }
}

thread_local! {
    static EXIT: Exit = const { Exit(Cell::new(None)) };
}

/// What was registered of the calling thread.
pub fn registered() -> Registered {
    match EXIT.try_with(|exit| exit.0.get()) {
        Ok(None) => Registered::Nothing,
        Ok(Some(index)) => Registered::Number(index),
        Err(_) => Registered::Called,
    }
}

/// Has [`exit`] be called with this number when the calling thread is about to exit. False: that can't be had.
pub fn at_exit(index: ThreadIndex) -> bool {
    EXIT.try_with(|exit| exit.0.set(Some(index))).is_ok()
}
