//! Targets of a sweeper: pools and allocators.

use alloc::sync::Weak;
use core::ops::Deref;
use core::ptr;

use super::settings::Settings;
use crate::offsets::OffsetPool;
use crate::pool::{Cycle, MemoryPool};
use crate::sync::current;
use crate::wakers::Seat;

#[cfg(feature = "allocator")]
pub(super) use of_allocator::OfAllocator;

/// A target, which is swept in steps.
pub(super) trait Target: Send {
    /// The calling thread sweeps the target from now on. `early`: allocations wake it.
    fn enter(&mut self, early: bool);

    /// The calling thread sweeps it no more.
    fn leave(&mut self);

    /// The target is still there.
    fn is_there(&self) -> bool;

    /// An allocation has called since the last pass began.
    fn has_called(&self) -> bool;

    /// A pass begins here. `None`: the target has ended.
    fn begin_pass(&mut self, settings: &Settings) -> Option<()>;

    /// The next step of the target's cycle, over `units` units at most. `None`: the target has ended.
    fn sweep_step(&mut self, units: u32) -> Option<Step>;
}

/// The result of a step.
pub(super) struct Step {
    /// Units that the step passed over.
    pub units: u32,
    /// Pairs of buddies that were merged.
    pub merges: u64,
    /// Bytes that went back to the operating system.
    pub trimmed: u64,
    /// The cycle is over. The next step begins another one.
    pub is_last: bool,
}

/// A pool that a [`Sweeper`](crate::Sweeper) sweeps: a [`MemoryPool`] or an [`OffsetPool`]. No other type can be one.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use mempool::{MemoryPool, OffsetPool, Sweeper, SweptPool};
///
/// fn swept<P: SweptPool + Send + Sync + 'static>(pool: P) -> std::io::Result<(Arc<P>, Sweeper)> {
///     let pool = Arc::new(pool);
///     let sweeper = Sweeper::spawn(Arc::clone(&pool))?;
///     Ok((pool, sweeper))
/// }
/// let _memory = swept(MemoryPool::new())?;
/// let _offsets = swept(OffsetPool::new())?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait SweptPool {
    /// The pool that has the heaps.
    #[doc(hidden)]
    fn core(&self) -> core_of::Core<'_>;
}

mod core_of {
    /// A pool, for this crate only. No other one can name this type, and so none can make a pool of its own.
    #[derive(Debug)]
    pub struct Core<'a>(pub(super) &'a crate::pool::MemoryPool);
}

impl SweptPool for MemoryPool {
    fn core(&self) -> core_of::Core<'_> {
        core_of::Core(self)
    }
}

impl SweptPool for OffsetPool {
    fn core(&self) -> core_of::Core<'_> {
        core_of::Core(&self.pool)
    }
}

/// The way to a pool.
pub(super) trait Source: Send {
    /// Calls `run` with the pool, if that is still there.
    fn with<R>(&self, run: impl FnOnce(&MemoryPool) -> R) -> Option<R>;
}

/// A pool that is kept alive.
pub(super) struct Shared<D>(pub D);

impl<P: SweptPool, D: Deref<Target = P> + Send> Source for Shared<D> {
    fn with<R>(&self, run: impl FnOnce(&MemoryPool) -> R) -> Option<R> {
        Some(run(self.0.core().0))
    }
}

impl<P: SweptPool + Send + Sync> Source for Weak<P> {
    fn with<R>(&self, run: impl FnOnce(&MemoryPool) -> R) -> Option<R> {
        self.upgrade().map(|pool| run(pool.core().0))
    }
}

/// A cycle, and the address of its pool or allocator. A `Deref` may yield another one each time, even for two steps of
/// one pass. Then the cycle begins anew.
#[derive(Default)]
struct CycleOf<R> {
    cycle: R,
    of: usize,
}

impl<R: Default> CycleOf<R> {
    /// Goes on with the cycle if it is one over `of`; else begins one.
    fn go_on<T>(&mut self, of: &T) {
        let of = ptr::from_ref(of).addr();
        if self.of != of {
            *self = Self { cycle: R::default(), of };
        }
    }
}

/// A pool as a target.
pub(super) struct OfPool<S> {
    source: S,
    cycle: CycleOf<Cycle>,
    /// The thread's seat among the pool's wakers. `None`: it is not to be woken, or there was no memory for a seat.
    seat: Option<Seat>,
    /// The pool's count of calls when the last pass began.
    calls: u64,
}

impl<S: Source> OfPool<S> {
    pub fn new(source: S) -> Self {
        Self { source, cycle: CycleOf::default(), seat: None, calls: 0 }
    }
}

impl<S: Source> Target for OfPool<S> {
    fn enter(&mut self, early: bool) {
        let seat = |pool: &MemoryPool| early.then(|| pool.wakers.enter(current()).ok()).flatten();
        let known = self.source.with(|pool| (seat(pool), pool.wakers.calls()));
        (self.seat, self.calls) = known.unwrap_or_default();
    }

    fn leave(&mut self) {
        if let Some(seat) = self.seat.take() {
            self.source.with(|pool| pool.wakers.leave(seat));
        }
    }

    fn is_there(&self) -> bool {
        self.source.with(|_| ()).is_some()
    }

    fn has_called(&self) -> bool {
        self.source.with(|pool| pool.wakers.calls() != self.calls).unwrap_or_default()
    }

    fn begin_pass(&mut self, _: &Settings) -> Option<()> {
        let Self { source, cycle, .. } = self;
        self.calls = source.with(|pool| {
            cycle.go_on(pool);
            pool.wakers.calls()
        })?;
        Some(())
    }

    fn sweep_step(&mut self, units: u32) -> Option<Step> {
        let step = self.source.with(|pool| pool.sweep_step(&mut self.cycle.cycle, units))?;
        Some(Step { units: step.units, merges: step.merges, trimmed: 0, is_last: step.is_last })
    }
}

#[cfg(feature = "allocator")]
mod of_allocator {
    extern crate std;

    use std::time::{Duration, Instant};

    use alloc::boxed::Box;
    use core::ops::Deref;

    use crate::allocator::PoolAllocator;
    use crate::raw::slabs::{Cycle, Discards};
    use crate::sweeper::settings::Settings;
    use crate::sweeper::target::{CycleOf, Step, Target};
    use crate::sync::current;
    use crate::wakers::Seat;

    /// An allocator as a target.
    pub struct OfAllocator {
        source: Box<dyn Deref<Target = PoolAllocator> + Send>,
        cycle: CycleOf<Cycle>,
        trim_after: Option<Duration>,
        /// The end of the last cycle that marked free pages as old.
        looked: Option<Instant>,
        /// The cycle that has begun marks them.
        looks: bool,
        /// As for a pool.
        seat: Option<Seat>,
        calls: u64,
    }

    impl OfAllocator {
        pub fn new(source: Box<dyn Deref<Target = PoolAllocator> + Send>) -> Self {
            let cycle = CycleOf::default();
            Self { source, cycle, trim_after: None, looked: None, looks: false, seat: None, calls: 0 }
        }
    }

    /// The pages that a cycle discards if it begins now. `trim_after` the end of the last cycle that marked pages, it
    /// discards those that were free then and have been since.
    fn discards(trim_after: Option<Duration>, looked: Option<Instant>) -> Discards {
        match trim_after {
            None => Discards::Nothing,
            Some(Duration::ZERO) => Discards::All,
            Some(time) if looked.is_some_and(|looked| looked.elapsed() < time) => Discards::Nothing,
            Some(_) => Discards::Old,
        }
    }

    impl Target for OfAllocator {
        fn enter(&mut self, early: bool) {
            self.seat = early.then(|| self.source.wakers.enter(current()).ok()).flatten();
            self.calls = self.source.wakers.calls();
        }

        fn leave(&mut self) {
            if let Some(seat) = self.seat.take() {
                self.source.wakers.leave(seat);
            }
        }

        fn is_there(&self) -> bool {
            true
        }

        fn has_called(&self) -> bool {
            self.source.wakers.calls() != self.calls
        }

        fn begin_pass(&mut self, settings: &Settings) -> Option<()> {
            self.trim_after = settings.trim_after;
            let allocator = &**self.source;
            self.cycle.go_on(allocator);
            self.calls = allocator.wakers.calls();
            Some(())
        }

        fn sweep_step(&mut self, units: u32) -> Option<Step> {
            let Self { source, cycle, trim_after, looked, looks, .. } = self;
            let (step, trimmed) = source.sweep_step(&mut cycle.cycle, units, || {
                let discards = discards(*trim_after, *looked);
                *looks = discards == Discards::Old;
                discards
            });
            if step.is_last && *looks {
                (*looked, *looks) = (Some(Instant::now()), false);
            }
            Some(Step { units: step.pages, merges: step.merges, trimmed: trimmed as u64, is_last: step.is_last })
        }
    }
}
