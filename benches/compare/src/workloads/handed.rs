//! Blocks that are handed to other threads.

use std::sync::{Barrier, Mutex};

use crossbeam_channel::{Receiver, Sender, bounded};
use crossbeam_utils::Backoff;

use fastrand::Rng;

use super::{Block, Burst, Workload, give_back, take};
use crate::subject::Subject;

type Batch = Vec<Block>;

/// Batches of 256 blocks of 64 to 512 bytes: half of the threads allocate them and the other half releases them. The
/// vectors that carry the blocks go back and forth, so that the hand-over allocates nothing.
#[derive(Debug)]
pub struct ProducerAndConsumer {
    threads: usize,
    full: (Sender<Batch>, Receiver<Batch>),
    empty: (Sender<Batch>, Receiver<Batch>),
}

/// The part of a thread.
#[derive(Debug)]
pub enum Role {
    Both(Batch),
    Producer,
    Consumer,
}

impl ProducerAndConsumer {
    const BATCH: usize = 256;
    /// Batches on the way, at most, for each producer.
    const AHEAD: usize = 8;
    /// How often a thread looks for a batch before it looks at its clock: the other one may have stopped.
    const PATIENCE: usize = 1000;

    pub fn new(threads: usize) -> Self {
        let batches = threads.div_ceil(2) * Self::AHEAD;
        let (full, empty) = (bounded(batches), bounded(batches));
        for _ in 0..batches {
            empty.0.try_send(Vec::with_capacity(Self::BATCH)).expect("there is room for all of them");
        }
        Self { threads, full, empty }
    }

    fn produce<S: Subject>(subject: &S, batch: &mut Batch) {
        batch.extend((0..Self::BATCH).map(|place| take(subject, 64 << (place % 4))));
    }

    fn consume<S: Subject>(subject: &S, batch: &mut Batch) {
        batch.drain(..).for_each(|block| give_back(subject, block));
    }

    /// Without falling asleep: to be woken takes longer than all that is done with a batch, and who would wait for
    /// it, and how often, would be chance.
    fn receive(channel: &Receiver<Batch>) -> Option<Batch> {
        let backoff = Backoff::new();
        (0..Self::PATIENCE).find_map(|_| {
            let batch = channel.try_recv().ok();
            if batch.is_none() {
                backoff.snooze();
            }
            batch
        })
    }

    fn send(channel: &Sender<Batch>, batch: Batch) {
        // There are no more batches than either channel has room for.
        channel.try_send(batch).expect("there is room");
    }
}

impl Workload for ProducerAndConsumer {
    type Local = Role;

    fn begin<S: Subject>(&self, _: &S, thread: usize) -> Role {
        match (self.threads, thread % 2) {
            (1, _) => Role::Both(Vec::with_capacity(Self::BATCH)),
            (_, 0) => Role::Producer,
            (_, _) => Role::Consumer,
        }
    }

    fn step<S: Subject>(&self, subject: &S, role: &mut Role) -> u64 {
        match role {
            Role::Both(batch) => {
                Self::produce(subject, batch);
                Self::consume(subject, batch);
                2 * Self::BATCH as u64
            }
            Role::Producer => {
                let Some(mut batch) = Self::receive(&self.empty.1) else { return 0 };
                Self::produce(subject, &mut batch);
                Self::send(&self.full.0, batch);
                Self::BATCH as u64
            }
            Role::Consumer => {
                let Some(mut batch) = Self::receive(&self.full.1) else { return 0 };
                Self::consume(subject, &mut batch);
                Self::send(&self.empty.0, batch);
                Self::BATCH as u64
            }
        }
    }

    fn end<S: Subject>(&self, _: &S, _: Role) {}

    fn end_shared<S: Subject>(&self, subject: &S) {
        self.full.1.try_iter().for_each(|mut batch| Self::consume(subject, &mut batch));
    }
}

/// Each thread allocates 2 000 blocks of 64 bytes, exchanges a random half of them with the next thread, and releases
/// what it has then, in random order. After that it does bursts on its own, which is what is timed: are blocks that
/// came from everywhere as good as new ones?
#[derive(Debug)]
pub struct Shuffled {
    bursts: Burst,
    /// The blocks that each thread gives to the next one.
    given: Vec<Mutex<Batch>>,
    all: Barrier,
}

impl Shuffled {
    const BLOCKS: usize = 2000;
    const BURST: usize = 500;

    pub fn new(threads: usize) -> Self {
        let given = (0..threads).map(|_| Mutex::default()).collect();
        Self { bursts: Burst::of(Self::BURST), given, all: Barrier::new(threads) }
    }

    fn given(&self, thread: usize) -> std::sync::MutexGuard<'_, Batch> {
        self.given[thread % self.given.len()].lock().expect("no panic under the lock")
    }
}

impl Workload for Shuffled {
    type Local = Vec<Block>;

    fn begin<S: Subject>(&self, subject: &S, thread: usize) -> Vec<Block> {
        let mut random = Rng::with_seed(thread as u64);
        let mut blocks: Vec<Block> = (0..Self::BLOCKS).map(|_| take(subject, 64)).collect();
        random.shuffle(&mut blocks);
        *self.given(thread) = blocks.split_off(Self::BLOCKS / 2);
        self.all.wait();
        blocks.append(&mut self.given(thread + 1));
        random.shuffle(&mut blocks);
        blocks.into_iter().for_each(|block| give_back(subject, block));
        // Nobody begins while others release.
        self.all.wait();
        self.bursts.begin(subject, thread)
    }

    fn step<S: Subject>(&self, subject: &S, blocks: &mut Vec<Block>) -> u64 {
        self.bursts.step(subject, blocks)
    }

    fn end<S: Subject>(&self, subject: &S, blocks: Vec<Block>) {
        self.bursts.end(subject, blocks);
    }
}
