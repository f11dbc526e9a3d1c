//! Blocks that stay with their thread.

use fastrand::Rng;

use super::{Block, Workload, give_back, take};
use crate::subject::Subject;

/// 64 bytes, released at once.
#[derive(Debug)]
pub struct Pair;

impl Workload for Pair {
    type Local = ();

    fn begin<S: Subject>(&self, _: &S, _: usize) {}

    fn step<S: Subject>(&self, subject: &S, (): &mut ()) -> u64 {
        const PAIRS: u64 = 4096;
        for _ in 0..PAIRS {
            give_back(subject, take(subject, 64));
        }
        2 * PAIRS
    }

    fn end<S: Subject>(&self, _: &S, (): ()) {}
}

/// Blocks of 64 bytes, then as many releases, in the order of allocation.
#[derive(Debug)]
pub struct Burst {
    length: usize,
}

impl Burst {
    pub fn of(length: usize) -> Self {
        Self { length }
    }
}

impl Workload for Burst {
    type Local = Vec<Block>;

    fn begin<S: Subject>(&self, _: &S, _: usize) -> Vec<Block> {
        Vec::with_capacity(self.length)
    }

    fn step<S: Subject>(&self, subject: &S, blocks: &mut Vec<Block>) -> u64 {
        const BURSTS: usize = 4;
        for _ in 0..BURSTS {
            blocks.extend((0..self.length).map(|_| take(subject, 64)));
            blocks.drain(..).for_each(|block| give_back(subject, block));
        }
        2 * (BURSTS * self.length) as u64
    }

    fn end<S: Subject>(&self, _: &S, _: Vec<Block>) {}
}

/// The same with random sizes from 8 to 1 024 bytes.
#[derive(Debug)]
pub struct BurstOfSizes;

impl BurstOfSizes {
    const LENGTH: usize = 1000;
    const BURSTS: usize = 4;
}

impl Workload for BurstOfSizes {
    type Local = (Vec<u32>, Vec<Block>);

    fn begin<S: Subject>(&self, _: &S, thread: usize) -> Self::Local {
        let mut random = Rng::with_seed(thread as u64);
        let sizes = (0..Self::BURSTS * Self::LENGTH).map(|_| 8 + random.usize(..1017) as u32).collect();
        (sizes, Vec::with_capacity(Self::LENGTH))
    }

    fn step<S: Subject>(&self, subject: &S, (sizes, blocks): &mut Self::Local) -> u64 {
        for sizes in sizes.chunks(Self::LENGTH) {
            blocks.extend(sizes.iter().map(|size| take(subject, *size)));
            blocks.drain(..).for_each(|block| give_back(subject, block));
        }
        2 * sizes.len() as u64
    }

    fn end<S: Subject>(&self, _: &S, _: Self::Local) {}
}
