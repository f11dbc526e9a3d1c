//! The sweeper: a thread in the background that merges free blocks, for pools and allocators.
//!
//! `README.md` has the files. The thread shares nothing with the users of a pool but the pool: its passes are steps of
//! sweeps (`pool/cycle`), and an allocation knows only a thread to wake (`wakers`).

extern crate std;

mod builder;
mod control;
mod settings;
mod target;
mod work;

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use core::ops::Deref;
use core::{fmt, mem};
use std::process;

pub use builder::SweeperBuilder;
use control::{Control, Messages};
pub use settings::Budget;
pub use target::SweptPool;
use target::{OfPool, Shared, Target};

#[cfg(feature = "allocator")]
use crate::allocator::PoolAllocator;
use crate::stats::SweeperStats;
use crate::sync::{JoinHandle, current};

/// A thread in the background that merges the free blocks of pools and allocators, so that allocations of large
/// blocks need not sweep by themselves.
///
/// In each *pass* it does as much as its [`Budget`] allows, over everything that it sweeps. Then it waits for an
/// interval, and goes on where it stopped. A pass comes early after an allocation had to sweep by itself, but not
/// before the sweeper has paused for as long as its last pass took. [`wake`](Self::wake) and
/// [`wait_for_pass`](Self::wait_for_pass) ask for one at once. A heap in which nothing was released since the last
/// way through it costs next to nothing.
///
/// Blocks in the caches of ended threads go back to the heaps. Those of running threads don't:
/// [`MemoryPool::flush_thread_cache`](crate::MemoryPool::flush_thread_cache) is for that.
///
/// Nothing needs a sweeper. It harms nothing to have several of them at one pool, or to stop one anywhere.
///
/// # Dropping it
///
/// To drop the sweeper stops it, also in the middle of a pass, and waits for the end of its step. A step of merging
/// takes a few tenths of a millisecond. To tidy the free stacks of a heap is one step: 10 to 20 ns for each entry, so
/// 0.2 s in a heap of 16 million entries.
///
/// # Fork
///
/// In a child process there is no sweeper, only a copy of this value. None of its methods waits for the thread that
/// is not there. [`add`](Self::add), [`add_weak`](Self::add_weak) and [`wake`](Self::wake) do nothing, except that a
/// pool that was to be added is dropped. [`wait_for_pass`](Self::wait_for_pass) is false. [`stats`](Self::stats) stay
/// as they were. To drop it does nothing, so pools that it kept alive stay alive. The child may start a sweeper of
/// its own.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mempool::{Budget, MemoryPool, Sweeper};
///
/// static POOL: MemoryPool = MemoryPool::new();
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut heaps = [vec![0u8; 1 << 20], vec![0u8; 1 << 20]];
/// POOL.add_heap(heaps[0].as_mut_ptr(), heaps[0].len())?;
/// let other = Arc::new(MemoryPool::new());
/// other.add_heap(heaps[1].as_mut_ptr(), heaps[1].len())?;
///
/// let sweeper = Sweeper::builder()
///     .interval(Duration::from_millis(20))
///     .budget(Budget::Time(Duration::from_millis(1)))
///     .pool(&POOL)
///     .pool(Arc::clone(&other))
///     .spawn()?;
/// // ... the program ...
/// println!("{:?}", sweeper.stats());
/// # Ok(())
/// # }
/// ```
#[must_use = "a sweeper stops when it is dropped"]
pub struct Sweeper {
    control: Arc<Control>,
    thread: Option<JoinHandle<()>>,
    /// The process that has the thread.
    process: u32,
}

impl Sweeper {
    /// Adds a pool, as [`SweeperBuilder::pool`]. The next pass comes at once.
    ///
    /// # Progress
    ///
    /// Blocking: the sweeper's thread shares a lock, which it holds for a few instructions at a time.
    pub fn add<P: SweptPool>(&self, pool: impl Deref<Target = P> + Send + 'static) {
        self.add_target(OfPool::new(Shared(pool)));
    }

    /// Adds a pool that the sweeper does not keep alive, as [`SweeperBuilder::weak_pool`] does.
    ///
    /// # Progress
    ///
    /// As [`add`](Self::add).
    pub fn add_weak<P: SweptPool + Send + Sync + 'static>(&self, pool: Weak<P>) {
        self.add_target(OfPool::new(pool));
    }

    /// Adds an allocator, as [`SweeperBuilder::allocator`] does. The next pass comes at once.
    ///
    /// # Progress
    ///
    /// As [`add`](Self::add).
    #[cfg(feature = "allocator")]
    #[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
    pub fn add_allocator(&self, allocator: impl Deref<Target = PoolAllocator> + Send + 'static) {
        self.add_target(target::OfAllocator::new(Box::new(allocator)));
    }

    fn add_target(&self, target: impl Target + 'static) {
        // Not under the lock: it may be that this allocates.
        let target: Box<dyn Target> = Box::new(target);
        self.tell(|messages| messages.added.push(target));
    }

    /// The next pass comes now, whatever the interval, and without a pause before it. If the sweeper is in the middle
    /// of a pass, another one follows.
    ///
    /// # Progress
    ///
    /// As [`add`](Self::add).
    pub fn wake(&self) {
        self.tell(|messages| messages.is_woken = true);
    }

    /// Wakes the sweeper, and waits for the end of a pass that began after the call. Everything that was released
    /// before is merged then, if the budget is enough for all pools, except for blocks in the caches of running
    /// threads.
    ///
    /// False, at once, if there will be no such pass: in the child of a fork, after the thread has died because a
    /// pool's `Deref` panicked, and on the sweeper's own thread.
    ///
    /// # Progress
    ///
    /// Blocking: it waits for the rest of a pass and for the next one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use mempool::{Budget, MemoryPool, Sweeper};
    ///
    /// static POOL: MemoryPool = MemoryPool::new();
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut heap = vec![0u8; 1 << 20];
    /// POOL.add_heap(heap.as_mut_ptr(), heap.len())?;
    ///
    /// // Passes only when this program says so, and each over the whole pool.
    /// let builder = Sweeper::builder().interval(Duration::MAX).wake_on_demand(false);
    /// let builder = builder.budget(Budget::Units(usize::MAX));
    /// let sweeper = builder.pool(&POOL).spawn()?;
    /// // ... a part of the program ...
    /// assert!(sweeper.wait_for_pass());
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for_pass(&self) -> bool {
        if self.is_copy() || self.is_own_thread() {
            return false;
        }
        self.control.wait_for_pass(|| self.rouse())
    }

    fn tell(&self, tell: impl FnOnce(&mut Messages)) {
        // The lock may be that of a thread that is not in this process.
        if !self.is_copy() {
            self.control.tell(tell);
            self.rouse();
        }
    }

    /// Ends whatever the thread waits for.
    fn rouse(&self) {
        self.control.rouse();
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Is this the copy that the child of a fork has?
    fn is_copy(&self) -> bool {
        self.process != process::id()
    }

    /// A pool's `Deref` may have this sweeper.
    fn is_own_thread(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.thread().id() == current().id())
    }

    /// What it has done so far.
    ///
    /// # Progress
    ///
    /// Wait-free.
    pub fn stats(&self) -> SweeperStats {
        self.control.stats()
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if self.is_copy() {
            // No thread to wait for, and none to detach: the handle may by now name one that the child has started.
            mem::forget(self.thread.take());
            return;
        }
        self.control.stop();
        self.rouse();
        // If it is a pool's `Deref` that drops it, on the thread itself, nobody waits.
        let own = self.is_own_thread();
        if let Some(thread) = self.thread.take().filter(|_| !own) {
            // An error is a panic in a pool's `Deref`, and was reported where it was.
            _ = thread.join();
        }
    }
}

impl fmt::Debug for Sweeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweeper").field("thread", &self.thread).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
