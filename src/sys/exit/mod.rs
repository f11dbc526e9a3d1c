//! How a thread learns that it exits: it leaves its number with the operating system, and is called with it.
//!
//! The standard library's thread-locals with a destructor are not asked where there is another way: glibc allocates for
//! each thread that registers one, and aborts where it can't. A system has a key, whose value each thread sets to its
//! number, and calls somebody when a thread exits.
//!
//! | system | file | who is called |
//! |---|---|---|
//! | those of POSIX | `unix` | the destructor of a `pthread_key`, after those of the standard library's thread-locals |
//! | Windows | `windows` | a callback of the image, before that of the standard library |
//! | others | `other` | a destructor of a thread-local |

#[cfg(any(unix, windows))]
mod key;
#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;
#[cfg(not(any(unix, windows)))]
mod other;

#[cfg(any(unix, windows))]
pub use key::{at_exit, registered};
#[cfg(not(any(unix, windows)))]
pub use other::{at_exit, registered};

use crate::cache::ThreadIndex;

/// What the operating system has of the calling thread.
#[derive(Clone, Copy, Debug)]
pub enum Registered {
    /// Nothing yet.
    Nothing,
    /// Its number.
    Number(ThreadIndex),
    /// It was called, and will not be called again.
    Called,
}
