//! The end of a thread. A thread leaves its index with the operating system, which calls back with it when the thread
//! exits.
//!
//! Thread-locals with a destructor are the last resort: glibc allocates for each thread that registers one, and aborts
//! where it can't. A system has a key instead. Each thread sets the key's value to its index, and the system calls a
//! function at its end.
//!
//! | system | file | who is called |
//! |---|---|---|
//! | those of POSIX | `unix` | the destructor of a `pthread_key`, after those of the standard library's thread-locals |
//! | Windows | `windows` | a callback of the image, before that of the standard library |
//! | others | `other` | a destructor of a thread-local |

#[cfg(any(unix, windows))]
mod key;
#[cfg(not(any(unix, windows)))]
mod other;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(not(any(unix, windows)))]
pub use other::{at_exit, registered};
#[cfg(unix)]
pub use unix::{at_exit, registered};
#[cfg(windows)]
pub use windows::{at_exit, registered};

use crate::thread::registry::ThreadIndex;

/// The operating system's value for the calling thread.
#[derive(Clone, Copy, Debug)]
pub enum Registered {
    /// Nothing yet.
    Nothing,
    /// Its index.
    Index(ThreadIndex),
    /// The call was made, and will not be made again.
    Called,
}
