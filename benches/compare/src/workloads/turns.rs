//! Threads that release their own blocks and those of others in turn: where a pool whose threads release their own
//! blocks faster than others could lose more than it gains.

use crossbeam_channel::{Receiver, Sender, bounded};
use crossbeam_utils::Backoff;

use super::{Block, Workload, give_back, take};
use crate::subject::Subject;

type Batch = Vec<Block>;

/// Each thread allocates and releases blocks of its own, then allocates a batch for the next thread, and releases the
/// one that it has from the thread before. The vectors that carry the blocks go back and forth.
#[derive(Debug)]
pub struct Turns {
    /// Blocks of its own in a turn, at most 1 000 of them at once.
    own: usize,
    /// Blocks in a batch.
    batch: usize,
    /// For each thread, what the one before has for it.
    full: Vec<(Sender<Batch>, Receiver<Batch>)>,
    /// For each thread, what the next one gave back.
    empty: Vec<(Sender<Batch>, Receiver<Batch>)>,
}

/// One thread of them.
#[derive(Debug)]
pub struct Place {
    thread: usize,
    own: Batch,
}

impl Turns {
    /// Batches between two threads.
    const AHEAD: usize = 2;
    /// How often a thread looks for a batch before it looks at its clock: the other one may have stopped. Where there
    /// are more threads than processors each time may take milliseconds.
    const PATIENCE: usize = 20;
    /// Blocks at once.
    const CHUNK: usize = 1000;

    pub fn new(threads: usize, own: usize, batch: usize) -> Self {
        let channels = || (0..threads).map(|_| bounded(Self::AHEAD)).collect::<Vec<_>>();
        let (full, empty) = (channels(), channels());
        for (sender, _) in &empty {
            (0..Self::AHEAD).for_each(|_| Self::send(sender, Vec::with_capacity(batch)));
        }
        Self { own, batch, full, empty }
    }

    /// A million blocks in each batch; fewer where so many threads would have too many at once.
    pub fn of_a_million(threads: usize) -> Self {
        const MANY: usize = if cfg!(test) { 10_000 } else { 1_000_000 };
        Self::new(threads, 0, MANY.min(4 * MANY / threads))
    }

    fn send(channel: &Sender<Batch>, batch: Batch) {
        // There are no more batches than either channel has room for.
        channel.try_send(batch).expect("there is room");
    }

    /// Without falling asleep, as in `ProducerAndConsumer`.
    fn receive(channel: &Receiver<Batch>) -> Option<Batch> {
        let backoff = Backoff::new();
        (0..Self::PATIENCE).find_map(|_| channel.try_recv().inspect_err(|_| backoff.snooze()).ok())
    }
}

impl Workload for Turns {
    type Local = Place;

    fn begin<S: Subject>(&self, _: &S, thread: usize) -> Place {
        Place { thread, own: Vec::with_capacity(Self::CHUNK) }
    }

    fn step<S: Subject>(&self, subject: &S, Place { thread, own }: &mut Place) -> u64 {
        let mut left = self.own;
        while left > 0 {
            let chunk = left.min(Self::CHUNK);
            own.extend((0..chunk).map(|_| take(subject, 64)));
            own.drain(..).for_each(|block| give_back(subject, block));
            left -= chunk;
        }
        let (mut calls, threads) = (2 * self.own, self.full.len());
        if let Ok(mut batch) = self.empty[*thread].1.try_recv() {
            batch.extend((0..self.batch).map(|_| take(subject, 64)));
            Self::send(&self.full[(*thread + 1) % threads].0, batch);
            calls += self.batch;
        }
        if let Some(mut batch) = Self::receive(&self.full[*thread].1) {
            calls += batch.len();
            batch.drain(..).for_each(|block| give_back(subject, block));
            Self::send(&self.empty[(*thread + threads - 1) % threads].0, batch);
        }
        calls as u64
    }

    fn end<S: Subject>(&self, _: &S, _: Place) {}

    fn end_shared<S: Subject>(&self, subject: &S) {
        let batches = self.full.iter().flat_map(|(_, receiver)| receiver.try_iter());
        batches.flatten().for_each(|block| give_back(subject, block));
    }
}
