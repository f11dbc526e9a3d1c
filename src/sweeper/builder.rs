//! The builder of a sweeper.

extern crate std;

use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use std::io;
use std::process;
use std::time::Duration;

use super::Sweeper;
use super::control::Control;
use super::settings::{Budget, Settings};
#[cfg(feature = "allocator")]
use super::target::OfAllocator;
use super::target::{OfPool, Shared, SweptPool, Target};
use super::work::Work;
#[cfg(feature = "allocator")]
use crate::allocator::PoolAllocator;
use crate::sync::ThreadBuilder;

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

/// How to get one.
impl Sweeper {
    /// A builder: without pools, with an interval of 100 ms and a millisecond for each pass.
    pub fn builder() -> SweeperBuilder {
        let settings = Settings {
            interval: Duration::from_millis(100),
            budget: Budget::Time(Duration::from_millis(1)),
            wakes_on_demand: true,
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
    pub fn spawn<P: SweptPool>(pool: impl Deref<Target = P> + Send + 'static) -> io::Result<Self> {
        Self::builder().pool(pool).spawn()
    }
}

impl SweeperBuilder {
    /// The time between the end of a pass and the beginning of the next one. Unless set, 100 ms. With no interval the
    /// thread never rests.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.settings.interval = interval;
        self
    }

    /// How much may be done in one pass. Unless set, a millisecond of work.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.settings.budget = budget;
        self
    }

    /// Whether a pass comes early after an allocation had to sweep by itself. Unless set, it does. If not, a pass
    /// comes after the interval, and when somebody calls [`Sweeper::wake`] or adds a pool.
    pub fn wake_on_demand(mut self, wake: bool) -> Self {
        self.settings.wakes_on_demand = wake;
        self
    }

    /// Adds a pool of memory or of offsets: a `&'static MemoryPool`, an `Arc<OffsetPool>`, or anything else that keeps
    /// one alive. The sweeper keeps it until it is dropped itself.
    pub fn pool<P: SweptPool>(mut self, pool: impl Deref<Target = P> + Send + 'static) -> Self {
        self.targets.push(Box::new(OfPool::new(Shared(pool))));
        self
    }

    /// Adds a pool that the sweeper keeps alive only during each step. It forgets the pool once that was dropped. If
    /// the last other owner drops the pool during a step, the sweeper frees it after the step.
    pub fn weak_pool<P: SweptPool + Send + Sync + 'static>(mut self, pool: Weak<P>) -> Self {
        self.targets.push(Box::new(OfPool::new(pool)));
        self
    }

    /// Adds an allocator: a `&'static PoolAllocator`, such as the global one, an `Arc<PoolAllocator>`, or anything
    /// else that keeps one alive. The sweeper keeps it until it is dropped itself. It gives back what ended threads
    /// have cached, and makes whole pages of what is free, as [`PoolAllocator::sweep`].
    ///
    /// A pass comes early after an allocation had to sweep by itself: before the heap grew, or because it would have
    /// failed. That works on Linux, Android, the BSDs, Apple's systems and Windows, where it takes no lock to wake a
    /// thread.
    #[cfg(feature = "allocator")]
    #[cfg_attr(docsrs, doc(cfg(feature = "allocator")))]
    pub fn allocator(mut self, allocator: impl Deref<Target = PoolAllocator> + Send + 'static) -> Self {
        self.targets.push(Box::new(OfAllocator::new(Box::new(allocator))));
        self
    }

    /// Gives the memory behind free pages of allocators back to the operating system, as [`PoolAllocator::trim`] does.
    /// A page goes back after it was free for `time`, and at most `2 × time + 2 × interval` if the budget suffices.
    /// With [`Duration::ZERO`] all free pages go back each time. Unless set, nothing goes back. The memory of pools is
    /// the caller's, who alone can give it back.
    ///
    /// Memory that is needed again within `time` costs nothing.
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
    /// When the operating system gives no thread. The pools are then as they were; they don't need a sweeper.
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
