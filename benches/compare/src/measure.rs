//! Taking the time of one round.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crate::subject::Subject;
use crate::workloads::{
    Burst, BurstOfSizes, Inputs, Kind, Larson, Mixed, Pair, ProducerAndConsumer, Replay, Shuffled, Turns, Workload,
};

/// How a round is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub threads: usize,
    /// Work before the time is taken.
    pub warm_up: Duration,
    /// Work of which the time is taken.
    pub timed: Duration,
}

impl Plan {
    /// A round of `timed`, after an eighth of it that is not timed.
    pub fn new(threads: usize, timed: Duration) -> Self {
        Self { threads, warm_up: timed / 8, timed }
    }

    /// For tests.
    #[cfg(test)]
    pub fn brief(threads: usize) -> Self {
        Self::new(threads, Duration::from_millis(4))
    }
}

/// The figures of each of `subjects` subjects, of all rounds: one subject after the other in each round, so that a
/// machine that is slow for a while is slow for all.
pub fn interleave(rounds: usize, subjects: usize, mut round_of: impl FnMut(usize) -> f64) -> Vec<Vec<f64>> {
    let mut figures = vec![Vec::with_capacity(rounds); subjects];
    for round in 0..rounds {
        for place in 0..subjects {
            // Another one first in each round, in case that the first has it better or worse.
            let subject = (place + round) % subjects;
            figures[subject].push(round_of(subject));
        }
    }
    figures
}

/// The work that one thread has done.
#[derive(Clone, Copy, Debug)]
struct Done {
    elapsed: Duration,
    /// Allocations and releases.
    calls: u64,
}

/// Nanoseconds of one thread for an allocation with its release: the time of all threads together, by the pairs of all
/// threads together. If two threads don't disturb each other, this is the same as for one.
fn pair_time(threads: &[Done]) -> f64 {
    let nanoseconds: f64 = threads.iter().map(|done| done.elapsed.as_secs_f64() * 1e9).sum();
    let calls: u64 = threads.iter().map(|done| done.calls).sum();
    2.0 * nanoseconds / calls as f64
}

/// Does one round of a workload.
pub fn round_of<S: Subject>(kind: Kind, subject: &S, plan: &Plan, inputs: &Inputs) -> f64 {
    match kind {
        Kind::Pair => round(&Pair, subject, plan),
        Kind::Burst => round(&Burst::of(1000), subject, plan),
        Kind::BurstOfSizes => round(&BurstOfSizes, subject, plan),
        Kind::Shuffled => round(&Shuffled::new(plan.threads), subject, plan),
        Kind::ProducerAndConsumer => round(&ProducerAndConsumer::new(plan.threads), subject, plan),
        Kind::Larson => round(&Larson::new(), subject, plan),
        Kind::Mixed => round(&Mixed::new(), subject, plan),
        Kind::Trace => round(&Replay::of(&inputs.program), subject, plan),
        Kind::Million => round(&Turns::of_a_million(plan.threads), subject, plan),
        Kind::Turns => round(&Turns::new(plan.threads, 5000, 5000), subject, plan),
        Kind::Half => round(&Turns::new(plan.threads, 256, 256), subject, plan),
        Kind::Ring => round(&Turns::new(plan.threads, 0, 256), subject, plan),
    }
}

/// New threads do one round of `workload`. They start together, and each looks at its own clock to stop, so that nobody
/// waits for a slower one.
fn round<W: Workload, S: Subject>(workload: &W, subject: &S, plan: &Plan) -> f64 {
    let all = Barrier::new(plan.threads);
    let work = |thread: usize| {
        let mut local = workload.begin(subject, thread);
        all.wait();
        work_for(plan.warm_up, || workload.step(subject, &mut local));
        all.wait();
        let done = work_for(plan.timed, || workload.step(subject, &mut local));
        // Nobody releases what is left while another one's time is taken.
        all.wait();
        workload.end(subject, local);
        if all.wait().is_leader() {
            workload.end_shared(subject);
        }
        done
    };
    let done: Vec<Done> = thread::scope(|scope| {
        let threads: Vec<_> = (0..plan.threads).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().expect("the work does not panic")).collect()
    });
    pair_time(&done)
}

/// This thread does one round; nanoseconds of one of what `step` counts.
pub fn alone(plan: &Plan, mut step: impl FnMut() -> u64) -> f64 {
    work_for(plan.warm_up, &mut step);
    let Done { elapsed, calls } = work_for(plan.timed, step);
    elapsed.as_secs_f64() * 1e9 / calls as f64
}

fn work_for(time: Duration, mut step: impl FnMut() -> u64) -> Done {
    let begun = Instant::now();
    let mut calls = 0;
    loop {
        calls += step();
        let elapsed = begun.elapsed();
        if elapsed >= time {
            return Done { elapsed, calls };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_pair_is_that_of_one_thread() {
        let done = |milliseconds, calls| Done { elapsed: Duration::from_millis(milliseconds), calls };
        // 1 000 pairs in 10 milliseconds are 10 microseconds each, whether one thread does them or two do as many each.
        assert_eq!(pair_time(&[done(10, 2000)]), 10_000.0);
        assert_eq!(pair_time(&[done(10, 2000), done(10, 2000)]), 10_000.0);
        // One allocates, the other one releases: both were at it for the whole time.
        assert_eq!(pair_time(&[done(10, 1000), done(10, 1000)]), 20_000.0);
    }

    #[test]
    fn each_subject_has_each_round_and_each_is_first() {
        let mut order = Vec::new();
        let figures = interleave(3, 2, |subject| {
            order.push(subject);
            order.len() as f64
        });
        assert_eq!(order, [0, 1, 1, 0, 0, 1]);
        assert_eq!(figures, [[1.0, 4.0, 5.0], [2.0, 3.0, 6.0]]);
    }

    /// Has nothing.
    struct Empty;

    impl Subject for Empty {
        fn alloc(&self, _: u32) -> *mut u8 {
            std::ptr::null_mut()
        }

        unsafe fn release(&self, _: *mut u8, _: u32) {}
    }

    #[test]
    #[should_panic = "an allocation of 64 bytes failed"]
    fn an_allocation_that_fails_ends_the_round() {
        Pair.step(&Empty, &mut ());
    }
}
