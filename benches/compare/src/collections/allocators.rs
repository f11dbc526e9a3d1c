//! The allocators that collections can have.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use allocator_api2::alloc::{AllocError, Allocator, Global};
use bumpalo::Bump;

use super::work::Work;
use crate::measure::{self, Plan};
use crate::subjects::{REGION, general, regions};

/// An allocator, as it is called in options and in tables.
#[derive(Debug)]
pub struct Contender {
    pub key: &'static str,
    pub label: &'static str,
    round: fn(Work, &Plan) -> f64,
}

impl Contender {
    /// Does one round of a work; nanoseconds of an element.
    pub fn round(&self, work: Work, plan: &Plan) -> f64 {
        (self.round)(work, plan)
    }
}

/// All of this build.
pub const CONTENDERS: &[Contender] = &[
    Contender {
        key: "pool-allocator",
        label: "PoolAllocator",
        round: |work, plan| round(&mut Shared(&general::POOL), work, plan),
    },
    Contender {
        key: "mimalloc",
        label: "mimalloc",
        round: |work, plan| round(&mut Shared(Called(&general::MIMALLOC)), work, plan),
    },
    #[cfg(feature = "peers")]
    Contender {
        key: "jemalloc",
        label: "jemalloc",
        round: |work, plan| round(&mut Shared(Called(&general::JEMALLOC)), work, plan),
    },
    // The program's, which is the system's.
    Contender { key: "system", label: "Global", round: |work, plan| round(&mut Shared(Global), work, plan) },
    Contender { key: "bumpalo", label: "bumpalo", round: |work, plan| round(&mut Arena(Bump::new()), work, plan) },
    Contender { key: "talc", label: "talc, spin lock", round: |work, plan| round(&mut Shared(talc()), work, plan) },
];

/// What gives its allocator to collections, for one turn after the other.
trait Source {
    type Allocator<'s>: Allocator + Copy
    where
        Self: 's;

    fn allocator(&self) -> Self::Allocator<'_>;

    /// After a turn; nothing of it is left.
    fn end_turn(&mut self) {}
}

/// An allocator in which each block is released for itself.
struct Shared<A>(A);

impl<A: Allocator + Copy> Source for Shared<A> {
    type Allocator<'s>
        = A
    where
        A: 's;

    fn allocator(&self) -> A {
        self.0
    }
}

/// One in which all blocks are released at once.
struct Arena(Bump);

impl Source for Arena {
    type Allocator<'s> = &'s Bump;

    fn allocator(&self) -> &Bump {
        &self.0
    }

    fn end_turn(&mut self) {
        self.0.reset();
    }
}

fn round<S: Source>(source: &mut S, work: Work, plan: &Plan) -> f64 {
    measure::alone(plan, || {
        let elements = work.turn(source.allocator());
        source.end_turn();
        elements
    })
}

/// talc's `Allocator` is that of `allocator-api2` 0.4, which hashbrown and bumpalo don't know; by `GlobalAlloc` it
/// does the same.
fn talc() -> impl Allocator + Copy {
    static TALC: OnceLock<regions::Talc> = OnceLock::new();
    Called(TALC.get_or_init(|| regions::talc(REGION)).0)
}

/// An `Allocator` from a `GlobalAlloc`.
#[derive(Debug)]
struct Called<A: 'static>(&'static A);

impl<A> Clone for Called<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Called<A> {}

impl<A: GlobalAlloc> Called<A> {
    /// Resizes a block where its alignment stays.
    ///
    /// # Safety
    ///
    /// As `Allocator::grow` or `shrink`.
    unsafe fn resize(&self, block: NonNull<u8>, from: Layout, to: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if from.size() == 0 || to.size() == 0 || from.align() != to.align() {
            let new = self.allocate(to)?;
            let len = from.size().min(to.size());
            // SAFETY: both are that long, and no two blocks overlap.
            unsafe { new.cast::<u8>().copy_from_nonoverlapping(block, len) };
            // SAFETY: the caller vouches for the block.
            unsafe { self.deallocate(block, from) };
            return Ok(new);
        }
        // SAFETY: the caller vouches for the block and its layout; the new size is not 0, and one that a layout has.
        let new = unsafe { self.0.realloc(block.as_ptr(), from, to.size()) };
        slice(new, to)
    }
}

fn slice(block: *mut u8, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    NonNull::new(block).map(|block| NonNull::slice_from_raw_parts(block, layout.size())).ok_or(AllocError)
}

// SAFETY: blocks are those of the allocator, which lives as long as the program.
unsafe impl<A: GlobalAlloc> Allocator for Called<A> {
    #[inline]
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let block = match layout.size() {
            0 => ptr::without_provenance_mut(layout.align()),
            // SAFETY: the size is not 0.
            _ => unsafe { self.0.alloc(layout) },
        };
        slice(block, layout)
    }

    #[inline]
    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: the caller vouches for the block and its layout.
            unsafe { self.0.dealloc(block.as_ptr(), layout) };
        }
    }

    unsafe fn grow(&self, block: NonNull<u8>, from: Layout, to: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the same contract.
        unsafe { self.resize(block, from, to) }
    }

    unsafe fn shrink(&self, block: NonNull<u8>, from: Layout, to: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the same contract.
        unsafe { self.resize(block, from, to) }
    }
}

#[cfg(test)]
mod tests {
    use allocator_api2::vec::Vec;
    use mempool::PoolAllocator;

    use super::*;

    #[test]
    fn every_contender_does_every_work() {
        for contender in CONTENDERS {
            for work in Work::all() {
                assert!(contender.round(work, &Plan::brief(1)) > 0.0, "{}, {}", contender.key, work.label());
            }
        }
    }

    #[test]
    fn nothing_is_left_of_a_turn() {
        let pool = PoolAllocator::with_capacity(64 << 20).unwrap();
        for work in Work::all() {
            let elements = work.turn(&pool);
            pool.sweep();
            let stats = pool.stats();
            assert_eq!(stats.free, stats.heap, "{}", work.label());
            assert!(elements > 0 && stats.heap > 0, "{}", work.label());
        }
    }

    #[test]
    fn an_allocator_that_is_called_moves_what_it_must() {
        let mut numbers: Vec<u64, _> = Vec::new_in(Called(&general::SYSTEM));
        numbers.shrink_to_fit();
        for number in 0..10_000 {
            numbers.push(number);
            if number % 1000 == 0 {
                numbers.shrink_to_fit();
            }
        }
        assert!(numbers.iter().copied().eq(0..10_000));
        numbers.clear();
        numbers.shrink_to_fit();
        assert_eq!(numbers.capacity(), 0);
    }
}
