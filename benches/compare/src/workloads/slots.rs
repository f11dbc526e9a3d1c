//! Random ones of many blocks are replaced.

use std::sync::Mutex;

use fastrand::Rng;

use super::{Block, Workload, give_back, take};
use crate::subject::Subject;

/// Rng sizes, drawn beforehand.
#[derive(Debug)]
struct Sizes(Vec<u32>);

impl Sizes {
    const COUNT: usize = 1 << 13;

    fn draw(mut size: impl FnMut(&mut Rng) -> u32) -> Self {
        let mut random = Rng::with_seed(1000);
        Self((0..Self::COUNT).map(|_| size(&mut random)).collect())
    }

    /// `slots` blocks.
    fn fill<S: Subject>(&self, subject: &S, random: &mut Rng, slots: usize) -> Vec<Block> {
        (0..slots).map(|_| take(subject, self.0[random.usize(..Self::COUNT)])).collect()
    }

    /// Replaces `count` random blocks.
    #[inline(always)]
    fn replace<S: Subject>(&self, subject: &S, random: &mut Rng, slots: &mut [Block], count: usize) {
        for _ in 0..count {
            let number = random.u64(..);
            let slot = (((number >> 32) * slots.len() as u64) >> 32) as usize;
            let size = self.0[number as usize % Self::COUNT];
            // The old block is released first, as Larson's program does: what holds its place meanwhile is no block.
            let hole = Block { at: std::ptr::null_mut(), size: 0 };
            give_back(subject, std::mem::replace(&mut slots[slot], hole));
            slots[slot] = take(subject, size);
        }
    }
}

/// 1 000 blocks of 16 to 1 024 bytes a thread. After every 10 000 replacements a thread exchanges its blocks for those
/// that another thread has left, so that blocks are released by other threads than those which allocated them (Larson
/// and Krishnan: Memory allocation for long-running server applications, 1998).
#[derive(Debug)]
pub struct Larson {
    sizes: Sizes,
    /// The blocks that no thread has at the moment.
    left: Mutex<Vec<Block>>,
}

#[derive(Debug)]
pub struct Worker {
    random: Rng,
    slots: Vec<Block>,
    steps: usize,
}

impl Larson {
    const SLOTS: usize = 1000;
    const STEP: usize = 1000;
    /// Steps between two exchanges.
    const PERIOD: usize = 10;

    pub fn new() -> Self {
        Self { sizes: Sizes::draw(|random| 16 + random.usize(..1009) as u32), left: Mutex::default() }
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Vec<Block>> {
        self.left.lock().expect("no panic under the lock")
    }
}

impl Workload for Larson {
    type Local = Worker;

    fn begin<S: Subject>(&self, subject: &S, thread: usize) -> Worker {
        let mut random = Rng::with_seed(thread as u64);
        let mut fill = || self.sizes.fill(subject, &mut random, Self::SLOTS);
        if thread == 0 {
            *self.left() = fill();
        }
        Worker { slots: fill(), random, steps: 0 }
    }

    fn step<S: Subject>(&self, subject: &S, worker: &mut Worker) -> u64 {
        let Worker { random, slots, steps } = worker;
        *steps += 1;
        if steps.is_multiple_of(Self::PERIOD) {
            std::mem::swap(slots, &mut self.left());
        }
        self.sizes.replace(subject, random, slots, Self::STEP);
        2 * Self::STEP as u64
    }

    fn end<S: Subject>(&self, subject: &S, worker: Worker) {
        worker.slots.into_iter().for_each(|block| give_back(subject, block));
    }

    fn end_shared<S: Subject>(&self, subject: &S) {
        self.left().drain(..).for_each(|block| give_back(subject, block));
    }
}

/// 4 096 blocks a thread of 16 bytes to 64 KiB, each doubling as likely as the others.
#[derive(Debug)]
pub struct Mixed {
    sizes: Sizes,
}

impl Mixed {
    const SLOTS: usize = 4096;
    const STEP: usize = 1000;

    pub fn new() -> Self {
        Self { sizes: Sizes::draw(|random| (16.0 * (12.0 * random.f64()).exp2()) as u32) }
    }
}

impl Workload for Mixed {
    type Local = (Rng, Vec<Block>);

    fn begin<S: Subject>(&self, subject: &S, thread: usize) -> Self::Local {
        let mut random = Rng::with_seed(thread as u64);
        let slots = self.sizes.fill(subject, &mut random, Self::SLOTS);
        (random, slots)
    }

    fn step<S: Subject>(&self, subject: &S, (random, slots): &mut Self::Local) -> u64 {
        self.sizes.replace(subject, random, slots, Self::STEP);
        2 * Self::STEP as u64
    }

    fn end<S: Subject>(&self, subject: &S, (_, slots): Self::Local) {
        slots.into_iter().for_each(|block| give_back(subject, block));
    }
}
