//! A mailbox with room for one message, whose messages lie in blocks of a [`MemoryPool`].
//!
//! It stands for a lock-free structure of your own. `tests/model.rs` is its loom model; `README.md` says how to run it,
//! and what to copy.

mod sync;

use std::alloc::Layout;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use mempool::MemoryPool;

use sync::UnsafeCell;
use sync::atomic::{AtomicPtr, Ordering};

/// Release: pairs with the Acquire in `receive`, which sees the message as it was written. Acquire: for the message
/// that is replaced.
#[cfg(not(feature = "seeded-bug"))]
const SEND: Ordering = Ordering::AcqRel;
/// The seeded bug: without Release nothing orders the write of a message before its read.
#[cfg(feature = "seeded-bug")]
const SEND: Ordering = Ordering::Acquire;

/// A message in its block. Under loom the cell reports a write and a read that nothing orders.
#[derive(Debug)]
struct Message<T>(UnsafeCell<T>);

/// Room for one message. Any number of threads send and receive, and none of them waits for another.
#[derive(Debug)]
pub struct Mailbox<T> {
    pool: Arc<MemoryPool>,
    /// Null: there is none.
    message: AtomicPtr<Message<T>>,
    owns: PhantomData<T>,
}

// SAFETY: a message goes from thread to thread as a whole, and one thread at a time has it.
unsafe impl<T: Send> Sync for Mailbox<T> {}

impl<T> Mailbox<T> {
    /// An empty mailbox over a pool.
    pub fn new(pool: Arc<MemoryPool>) -> Self {
        Self { pool, message: AtomicPtr::new(ptr::null_mut()), owns: PhantomData }
    }

    /// Leaves a message. Returns the one before, if nobody has received it.
    ///
    /// # Errors
    ///
    /// The pool has no block for the message, which is returned.
    pub fn send(&self, body: T) -> Result<Option<T>, T> {
        let Ok(block) = self.pool.alloc(Layout::new::<Message<T>>()) else { return Err(body) };
        let message = block.cast::<Message<T>>();
        // SAFETY: the block is this thread's, and as large and as aligned as its layout says.
        unsafe { message.write(Message(UnsafeCell::new(body))) };
        Ok(self.open(self.message.swap(message.as_ptr(), SEND)))
    }

    /// Takes the message, if there is one.
    pub fn receive(&self) -> Option<T> {
        // Acquire: pairs with the Release in `send`.
        self.open(self.message.swap(ptr::null_mut(), Ordering::Acquire))
    }

    /// Takes a message out of its block, which goes back to the pool.
    fn open(&self, message: *mut Message<T>) -> Option<T> {
        let message = NonNull::new(message)?;
        // SAFETY: the exchange that returned the message made this thread its owner, and nobody reads its block again.
        let body = unsafe { message.as_ref() }.0.with_mut(|body| unsafe { body.read() });
        self.pool.release(message.cast()).expect("the block is live");
        Some(body)
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        drop(self.receive());
    }
}
