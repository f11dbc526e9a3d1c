//! When an allocation may fail: only with a certificate that the block was not there.
//!
//! A failing allocation reads the version, sweeps, and looks at every block. It may fail if it saw nothing unsettled
//! and the version did not move: then what it saw at different times it could have seen at one. Why that is enough:
//!
//! - A block that was free all the time would have been seen, and taken.
//! - A block that became free meanwhile was published. Its publisher's version bump is either counted, and the search
//!   goes on, or has not come yet: then that release has not returned, and may be said to come after this failure.
//!   A thread with such a release pending holds nothing else back, so that N threads that have at most one block each
//!   can't hide one of N blocks from each other.
//! - A block that was being split, merged or resized shows as transit, and the search goes on. Two free buddies that
//!   nobody has merged are merged by the search itself, or it loses a race for them and goes on.
//! - Another sweep that merges keeps the version until its pass ends. It hides nothing: a pass that finds an upper buddy
//!   free and the lower one not looks at the upper one again, and if that was taken meanwhile, the search goes on.

use super::buddy::Buddy;
use super::merge::Sweep;
use super::order::{BlockIndex, Order};
use crate::sync::{AtomicU64, Ordering, const_unless_loom, yield_now};

/// Most rounds of one search. Four threads on four blocks had 2 failures in 10 million with 16 rounds, none with
/// 1 000.
#[cfg(not(all(loom, feature = "loom")))]
const MAX_ROUNDS: u32 = 1000;
/// Under loom few: a round costs an execution for every interleaving.
#[cfg(all(loom, feature = "loom"))]
const MAX_ROUNDS: u32 = 3;

/// Rounds that every search gets, and blocks visited beyond which it gets no more: in a heap of millions of blocks that
/// others keep busy, an allocation shall fail within a second, not after a thousand passes.
const MIN_ROUNDS: u32 = 8;
const MAX_BLOCKS: u64 = 1 << 24;

/// No block: what there was instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exhausted {
    /// The order of the largest free block.
    pub largest: Option<Order>,
    /// Free units, in all heaps together.
    pub free_units: u64,
}

/// The last certified failure: while nothing is published, failures as hard as that one are immediate.
#[derive(Debug)]
pub struct LastFailure {
    /// Version and, in the low bits, order.
    certificate: AtomicU64,
    /// Free units and, in the low bits, one more than the largest order, 0 for none.
    figures: AtomicU64,
}

const ORDER_BITS: u32 = 6;
const ORDER_MASK: u64 = (1 << ORDER_BITS) - 1;
const _: () = assert!(Order::COUNT < ORDER_MASK as usize);

impl LastFailure {
    const_unless_loom! {
        /// None yet.
        pub fn new() -> Self {
            Self { certificate: AtomicU64::new(u64::MAX), figures: AtomicU64::new(0) }
        }
    }

    fn read(&self) -> u64 {
        // Acquire: pairs with the Release in `note`; orders the readings behind the certificate before the reader's
        // own reading of the version, which is then as large in every counter, so that equal sums mean equal counters.
        self.certificate.load(Ordering::Acquire)
    }

    fn covers(certificate: u64, version: u64, want: Order) -> bool {
        certificate >> ORDER_BITS == version & (u64::MAX >> ORDER_BITS)
            && certificate & ORDER_MASK <= u64::from(want.get())
    }

    fn note(&self, version: u64, want: Order, exhausted: Exhausted) {
        let largest = exhausted.largest.map_or(0, |order| u64::from(order.get()) + 1);
        // Relaxed: for a person to read; nothing depends on their agreement with the certificate.
        self.figures.store(exhausted.free_units << ORDER_BITS | largest, Ordering::Relaxed);
        // Release: pairs with the Acquire in `read`.
        self.certificate.store(version << ORDER_BITS | u64::from(want.get()), Ordering::Release);
    }

    fn figures(&self) -> Exhausted {
        // Relaxed: as in `note`.
        let figures = self.figures.load(Ordering::Relaxed);
        let largest = (figures & ORDER_MASK).checked_sub(1).and_then(|order| Order::new(order as u32));
        Exhausted { largest, free_units: figures >> ORDER_BITS }
    }
}

impl Default for LastFailure {
    fn default() -> Self {
        Self::new()
    }
}

/// How a search ended, and what it took.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The place of the heap among the ones that were searched, and the block, `Live` now.
    pub found: Result<(usize, BlockIndex), Exhausted>,
    /// Sweeps over all heaps that it took; 0 where the last failure answered.
    pub rounds: u32,
    /// Blocks that these visited, but for the last one if it found the block.
    pub blocks: u64,
    /// Pairs of buddies that it merged.
    pub merges: u64,
}

/// Has a search been going on for long enough, after so many rounds that visited so many blocks?
pub fn is_enough(rounds: u32, blocks: u64) -> bool {
    rounds >= MAX_ROUNDS || rounds >= MIN_ROUNDS && blocks > MAX_BLOCKS
}

/// Searches `heaps` for a block of `want` when their stacks had none. Lock-free: it goes on only while others publish
/// or have blocks in transit, and not for ever. O(blocks) a round.
///
/// It fails when the block was certainly not there; or after a bounded number of rounds in each of which another thread
/// published something or was seen in the middle of something. Closed heaps are passed over; `past_version` is what heaps
/// that are no longer there add to the version.
#[cold]
pub fn search<'a, H>(heaps: H, past_version: u64, want: Order, last: &LastFailure) -> Outcome
where
    H: Iterator<Item = &'a Buddy> + Clone,
{
    // Of closed heaps, too: the version must not fall behind one that was remembered.
    let version = || heaps.clone().map(Buddy::version).fold(past_version, u64::wrapping_add);
    let (mut rounds, mut blocks, mut merges) = (0, 0, 0);
    loop {
        // The certificate before the version: see `LastFailure::read`.
        let certificate = last.read();
        let before = version();
        if LastFailure::covers(certificate, before, want) {
            return Outcome { found: Err(last.figures()), rounds, blocks, merges };
        }
        rounds += 1;
        let mut seen = Sweep::default();
        for (place, heap) in heaps.clone().enumerate().filter(|(_, heap)| !heap.is_closed()) {
            let sweep = heap.sweep(Some(want));
            seen.add(&sweep);
            if let Some(block) = sweep.taken {
                return Outcome { found: Ok((place, block)), rounds, blocks, merges: merges + seen.merges };
            }
        }
        blocks += seen.blocks;
        merges += seen.merges;
        let exhausted = Exhausted { largest: seen.largest, free_units: seen.free_units };
        let certified = !seen.unsettled && version() == before;
        if certified {
            last.note(before, want, exhausted);
        }
        if certified || is_enough(rounds, blocks) {
            return Outcome { found: Err(exhausted), rounds, blocks, merges };
        }
        if seen.unsettled {
            yield_now();
        }
    }
}
