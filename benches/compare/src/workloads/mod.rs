//! The workloads: what is done with a subject, step by step.
//!
//! Every workload writes to the beginning of every block, because a program would; which of the allocators has the
//! block in the cache by then is a part of the comparison.

mod handed;
mod private;
mod slots;
mod trace;
mod turns;

use std::hint::black_box;

use clap::ValueEnum;

pub use handed::{ProducerAndConsumer, Shuffled};
pub use private::{Burst, BurstOfSizes, Pair};
pub use slots::{Larson, Mixed};
pub use trace::{Program, Replay};
pub use turns::Turns;

use crate::subject::Subject;

/// One round of one workload, by several threads.
pub trait Workload: Sync {
    /// The state of one thread.
    type Local;

    /// Before the time is taken; every thread does it, and no thread goes on before all have.
    fn begin<S: Subject>(&self, subject: &S, thread: usize) -> Self::Local;

    /// Some work of one thread: so much that looking at the clock afterwards costs little, and no more. How many
    /// allocations and releases it was. Waits for nobody for long: others may have stopped.
    fn step<S: Subject>(&self, subject: &S, local: &mut Self::Local) -> u64;

    /// After the time was taken: releases what the thread has.
    fn end<S: Subject>(&self, subject: &S, local: Self::Local);

    /// After all threads have ended: one of them releases what no thread has.
    fn end_shared<S: Subject>(&self, _: &S) {}
}

/// The input of all workloads.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub program: Program,
}

impl Inputs {
    /// With the trace that is built in.
    #[cfg(test)]
    pub fn built_in() -> Result<Self, Box<dyn std::error::Error>> {
        Ok(Self { program: Program::read(None)? })
    }
}

/// The workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    /// A block of 64 bytes, released at once
    Pair,
    /// 1 000 blocks of 64 bytes, then 1 000 releases in the same order
    Burst,
    /// The same with random sizes from 8 to 1 024 bytes
    BurstOfSizes,
    /// Bursts of 500 after the threads have exchanged and released blocks in random order
    Shuffled,
    /// Batches of 256 blocks of 64 to 512 bytes, which the next thread releases
    ProducerAndConsumer,
    /// Random ones of 1 000 blocks of 16 B to 1 KiB are replaced; threads exchange their blocks
    Larson,
    /// Random ones of 4 096 blocks of 16 B to 64 KiB are replaced; each doubling is as likely
    Mixed,
    /// Each thread plays what a real program did
    Trace,
    /// A million blocks of 64 bytes, which the next thread releases
    Million,
    /// 5 000 blocks of 64 bytes, released by the thread itself, then 5 000 that the next thread releases
    Turns,
    /// Batches of 256 blocks of 64 bytes, released by the thread itself, and as many that the next thread releases
    Half,
    /// Batches of 256 blocks of 64 bytes, which the next thread releases
    Ring,
}

impl Kind {
    pub fn all() -> impl Iterator<Item = Self> {
        Self::value_variants().iter().copied()
    }

    /// Those that are measured unless others are asked for: not those that look for what one way to be fast may lose.
    pub fn usual() -> impl Iterator<Item = Self> {
        Self::all().filter(|kind| *kind <= Self::Trace)
    }

    /// In options and in JSON.
    pub fn key(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| String::from(value.get_name()))
    }

    /// In tables and plots.
    pub fn label(self) -> &'static str {
        match self {
            Self::Pair => "pair, 64 B",
            Self::Burst => "burst, 64 B",
            Self::BurstOfSizes => "burst, 8 to 1 024 B",
            Self::Shuffled => "burst after a shuffle",
            Self::ProducerAndConsumer => "producer and consumer",
            Self::Larson => "larson",
            Self::Mixed => "mixed, 16 B to 64 KiB",
            Self::Trace => "trace of a program",
            Self::Million => "a million for the next thread",
            Self::Turns => "turns of 10 000 operations",
            Self::Half => "half for the next thread",
            Self::Ring => "all for the next thread",
        }
    }

    /// As a heading of a narrow column, and below the plot.
    pub fn short(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Burst => "burst",
            Self::BurstOfSizes => "sizes",
            Self::Shuffled => "shuffle",
            Self::ProducerAndConsumer => "handed",
            Self::Larson => "larson",
            Self::Mixed => "mixed",
            Self::Trace => "trace",
            Self::Million => "million",
            Self::Turns => "turns",
            Self::Half => "half",
            Self::Ring => "ring",
        }
    }

    /// In a sentence.
    pub fn description(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Is it among those of C's calls? Others show nothing else there, or have resizings, which C's calls have none of.
    pub fn is_of_c(self) -> bool {
        !matches!(self, Self::Shuffled | Self::Trace)
    }

    /// Do the threads share nothing but the allocator?
    pub fn is_private(self) -> bool {
        matches!(self, Self::Pair | Self::Burst | Self::Shuffled)
    }
}

/// A block and what it was asked for.
#[derive(Debug)]
pub struct Block {
    at: *mut u8,
    size: u32,
}

// SAFETY: a block is its holder's, whatever thread that is.
unsafe impl Send for Block {}

/// Allocates a block and writes to its beginning.
///
/// # Panics
///
/// When there is none: a subject that fails can't be compared.
#[inline(always)]
fn take<S: Subject>(subject: &S, size: u32) -> Block {
    let at = subject.alloc(size);
    if at.is_null() {
        failed(size);
    }
    let block = Block { at, size };
    touch(&block);
    block
}

#[inline(always)]
fn touch(block: &Block) {
    let Block { at, size } = *block;
    // SAFETY: the block is that long, and is aligned to 8 if it has 8.
    unsafe { if size >= 8 { at.cast::<u64>().write(u64::from(size)) } else { at.write(size as u8) } }
    black_box(at);
}

/// Releases a block of this subject.
#[inline(always)]
fn give_back<S: Subject>(subject: &S, block: Block) {
    // SAFETY: a block comes from `take`, or was resized, and in one round there is one subject; it is moved here, and
    // can't be copied, so nobody uses it any more.
    unsafe { subject.release(block.at, block.size) };
}

#[cold]
fn failed(size: u32) -> ! {
    panic!("an allocation of {size} bytes failed");
}
