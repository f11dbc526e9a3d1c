//! The sweeper: a thread in the background that merges what is free, for one pool or many, and for allocators.
//!
//! This file has what users see, `control` what they and the thread tell each other, `work` what the thread does, `target` what it
//! does it to. The thread
//! shares nothing with the users of a pool but the pool: its passes are steps of sweeps (`pool/cycle`), and all that an
//! allocation knows of it is a thread to be woken (`wakers`). The lock in `control` is between it and who started it.

extern crate std;

mod control;
mod target;
mod work;

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Deref;
use core::{fmt, mem};
use std::io;
use std::process;
use std::time::Duration;

use control::{Control, Messages};
use target::{OfPool, Source, Target};
use work::Work;

#[cfg(feature = "allocator")]
use crate::allocator::PoolAllocator;
use crate::pool::MemoryPool;
use crate::stats::SweeperStats;
use crate::sync::{JoinHandle, ThreadBuilder, current};

/// How much a sweeper may do in one pass, over all its pools. What is left over waits for the next pass, which goes on where
/// this one stopped. A pass ends after a step of work of at most 16 384 smallest blocks, so that it may take a few tenths of
/// a millisecond more than it was given. To tidy the free stacks of a heap, once a cycle if anything was merged, is one step of
/// work, however large: 10 ns for each entry, and up to 20 where millions of blocks were released in random order. Only to drop
/// the sweeper ends it early.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use mempool::{Budget, Sweeper};
///
/// let sweeper = Sweeper::builder().budget(Budget::Time(Duration::from_millis(1))).spawn()?;
/// # drop(sweeper);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Budget {
    /// At most this number of units of `min_block` bytes, at least one. Of an allocator a unit is a page of 4 KiB.
    Units(usize),
    /// At most this long.
    Time(Duration),
}

/// A thread in the background that merges the free blocks of one pool or many, so that allocations of large blocks find them
/// and need not sweep by themselves.
///
/// In each *pass* it does as much as its [`Budget`] allows, then it waits for an interval. It goes on where it stopped. A pass
/// comes early after an allocation had to sweep by itself, but not before the sweeper has paused for as long as its last pass
/// took. Who wants one at once has [`wake`](Self::wake), or [`wait_for_pass`](Self::wait_for_pass), which waits for it, too. A
/// heap in which nothing was released since there was nothing left to merge costs next to nothing.
///
/// What threads left in their caches that are gone is given back to the heaps with each cycle; what running ones have in theirs
/// is not, [`MemoryPool::flush_thread_cache`] is for that.
///
#[cfg_attr(
    feature = "allocator",
    doc = "A `PoolAllocator`, also the global one, is swept in the same way; see [`SweeperBuilder::allocator`]."
)]
///
/// To drop the sweeper stops it, also in the middle of a pass, and waits until its thread is gone, which is for a step of work
/// at most, a few tenths of a millisecond. If it was tidying the free stacks of a pool, it leaves the rest to the next sweep; until
/// then an allocation may have to search for what is not in the stacks. (The stacks of an allocator, which have entries for whole pages
/// only, it tidies to the end.) It harms nothing to have none, or several at one pool, or to stop one anywhere.
///
/// # Fork
///
/// In a child process there is no sweeper, only a copy of this value, none of whose methods waits for the thread that is not
/// there: [`add`](Self::add), [`add_weak`](Self::add_weak) and [`wake`](Self::wake) do nothing, but that a pool that was to be
/// added is dropped; [`wait_for_pass`](Self::wait_for_pass) is false; and [`stats`](Self::stats) stay as they were. To drop it
/// there does nothing, so that pools that it kept alive stay alive. The child may start a sweeper of its own.
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

/// Builds a [`Sweeper`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use mempool::{MemoryPool, Sweeper};
///
/// static POOL: MemoryPool = MemoryPool::new();
///
/// let sweeper = Sweeper::builder().interval(Duration::from_millis(20)).pool(&POOL).spawn()?;
/// # drop(sweeper);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a builder does nothing before `spawn`"]
pub struct SweeperBuilder {
    settings: Settings,
    targets: Vec<Box<dyn Target>>,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    interval: Duration,
    budget: Budget,
    /// Do allocations that had to sweep by themselves get a pass early?
    early: bool,
    /// How long pages of allocators are kept.
    #[cfg(feature = "allocator")]
    trim_after: Option<Duration>,
}

impl Sweeper {
    /// A builder: without pools, with an interval of 100 ms and a millisecond for each pass.
    pub fn builder() -> SweeperBuilder {
        let settings = Settings {
            interval: Duration::from_millis(100),
            budget: Budget::Time(Duration::from_millis(1)),
            early: true,
            #[cfg(feature = "allocator")]
            trim_after: None,
        };
        SweeperBuilder { settings, targets: Vec::new() }
    }

    /// Starts a sweeper of one pool, with an interval of 100 ms and a millisecond for each pass.
    ///
    /// # Errors
    ///
    /// As [`SweeperBuilder::spawn`].
    ///
    /// # Progress
    ///
    /// Blocking: it starts a thread.
    pub fn spawn(pool: impl Deref<Target = MemoryPool> + Send + 'static) -> io::Result<Self> {
        Self::builder().pool(pool).spawn()
    }

    /// Adds a pool, as [`SweeperBuilder::pool`] does. The next pass comes at once.
    ///
    /// # Progress
    ///
    /// Blocking: a lock is shared with the sweeper's thread, which holds it for a few instructions at a time.
    pub fn add(&self, pool: impl Deref<Target = MemoryPool> + Send + 'static) {
        self.add_target(OfPool::new(Source::Shared(Box::new(pool))));
    }

    /// Adds a pool that the sweeper does not keep alive, as [`SweeperBuilder::weak_pool`] does.
    ///
    /// # Progress
    ///
    /// As [`add`](Self::add).
    pub fn add_weak(&self, pool: Weak<MemoryPool>) {
        self.add_target(OfPool::new(Source::Weak(pool)));
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

    /// The next pass comes now, whatever the interval, and without a pause before it. In the middle of a pass another one
    /// follows that.
    ///
    /// # Progress
    ///
    /// As [`add`](Self::add).
    pub fn wake(&self) {
        self.tell(|messages| messages.is_woken = true);
    }

    /// Wakes the sweeper, and waits until a pass that began after the call has ended. All that was released before is merged
    /// then, if the budget is enough for all pools, but for what running threads have in their caches.
    ///
    /// False, at once, if there will be no such pass: in the child of a fork, after the thread has died of a pool's `Deref`
    /// that panicked, and on the sweeper's own thread.
    ///
    /// # Progress
    ///
    /// Blocking: it waits for what is left of a pass and for the next one.
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
    /// let builder = Sweeper::builder().interval(Duration::MAX).wake_on_demand(false).budget(Budget::Units(usize::MAX));
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

impl SweeperBuilder {
    /// The time between the end of a pass and the beginning of the next one; 100 ms unless set. With
    /// none the thread never rests.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// How much may be done in one pass; a millisecond unless set.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.settings.budget = budget;
        self
    }

    /// Whether a pass comes early after an allocation had to sweep by itself; it does unless set. If not, a pass comes after
    /// the interval, and when somebody calls [`Sweeper::wake`] or adds a pool.
    pub fn wake_on_demand(mut self, early: bool) -> Self {
        self.settings.early = early;
        self
    }

    /// Adds a pool: a `&'static MemoryPool`, an `Arc<MemoryPool>`, or whatever else keeps one alive. The sweeper keeps it until
    /// it is dropped itself.
    pub fn pool(mut self, pool: impl Deref<Target = MemoryPool> + Send + 'static) -> Self {
        self.targets.push(Box::new(OfPool::new(Source::Shared(Box::new(pool)))));
        self
    }

    /// Adds a pool that the sweeper does not keep alive, but for a step of work at a time, and forgets when it is gone. Whoever
    /// drops the pool may find that the sweeper frees it, a moment later.
    pub fn weak_pool(mut self, pool: Weak<MemoryPool>) -> Self {
        self.targets.push(Box::new(OfPool::new(Source::Weak(pool))));
        self
    }

    /// Adds an allocator: a `&'static PoolAllocator`, such as the global one, an `Arc<PoolAllocator>`, or whatever else keeps one alive.
    /// The sweeper keeps it until it is dropped itself. In each cycle it gives back what threads left in their caches that are gone, and
    /// makes whole pages of what is free, as [`PoolAllocator::sweep`] does. A pass comes early after an allocation had to sweep by itself, before
    /// the heap grew or because it would have failed: on Linux, Android, the BSDs, Apple's systems and Windows, where it takes no lock to wake a thread.
    #[cfg(feature = "allocator")]
    #[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
    pub fn allocator(mut self, allocator: impl Deref<Target = PoolAllocator> + Send + 'static) -> Self {
        self.targets.push(Box::new(target::OfAllocator::new(Box::new(allocator))));
        self
    }

    /// Gives the memory behind pages of allocators back to the operating system, as [`PoolAllocator::trim`] does, when they have been
    /// free for so long: not before, and if the budget is enough before they have been free for twice as long and two intervals. With
    /// [`Duration::ZERO`] each cycle gives back all that is free then. Unless set, none is given back. The memory of pools is the
    /// caller's, who alone can do that.
    ///
    /// What is freed and needed again within this time costs nothing, and what a program needs no more does not stay.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use mempool::{PoolAllocator, Sweeper};
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: PoolAllocator = PoolAllocator::new();
    ///
    /// let sweeper = Sweeper::builder().allocator(&ALLOCATOR).trim_after(Duration::from_secs(1)).spawn()?;
    /// // ... the program ...
    /// println!("{} bytes went back", sweeper.stats().trimmed);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "allocator")]
    #[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
    pub fn trim_after(mut self, time: Duration) -> Self {
        self.settings.trim_after = Some(time);
        self
    }

    /// Starts the sweeper. The first pass comes at once.
    ///
    /// # Errors
    ///
    /// When the operating system gives no thread. The pools are as they were: they don't need a sweeper.
    ///
    /// # Progress
    ///
    /// Blocking: it starts a thread.
    pub fn spawn(self) -> io::Result<Sweeper> {
        let Self { settings, targets } = self;
        let control = Arc::new(Control::new(targets));
        let work = Work::new(settings, Arc::clone(&control));
        let thread = ThreadBuilder::new().name("mempool-sweeper".into()).spawn(move || work.run())?;
        Ok(Sweeper { control, thread: Some(thread), process: process::id() })
    }
}

impl fmt::Debug for SweeperBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SweeperBuilder")
            .field("settings", &self.settings)
            .field("targets", &self.targets.len())
            .finish()
    }
}
