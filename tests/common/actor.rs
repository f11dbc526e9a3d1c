//! A thread that does what it is told, so that a test can say which thread does what, and in which order.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

use super::Gate;

type Job<'scope> = Box<dyn FnOnce() + Send + 'scope>;

/// Waits until it is told something; does it; waits again.
#[derive(Debug)]
pub struct Actor<'scope> {
    jobs: Sender<Job<'scope>>,
    thread: ScopedJoinHandle<'scope, ()>,
}

impl<'scope> Actor<'scope> {
    pub fn new(scope: &'scope Scope<'scope, '_>) -> Self {
        let (jobs, told): (_, Receiver<Job<'scope>>) = channel();
        Self { jobs, thread: scope.spawn(move || told.into_iter().for_each(|job| job())) }
    }

    /// Has the thread do something, and waits until that is done.
    pub fn run<R: Send + 'scope>(&self, job: impl FnOnce() -> R + Send + 'scope) -> R {
        self.begin(job).recv().expect("the job did not panic")
    }

    /// Has the thread do something while this one goes on. The result comes when that is done.
    pub fn begin<R: Send + 'scope>(&self, job: impl FnOnce() -> R + Send + 'scope) -> Receiver<R> {
        let (done, result) = channel();
        let job = move || done.send(job()).expect("somebody waits for it");
        self.jobs.send(Box::new(job)).expect("the thread waits for jobs");
        result
    }

    /// Has all of these threads do something at the same moment, each with its place among them, and waits until all is
    /// done.
    pub fn all<R: Send + 'scope>(threads: &[Self], job: impl Fn(usize) -> R + Clone + Send + 'scope) -> Vec<R> {
        let gate = Arc::new(Gate::new(threads.len()));
        let begin = |(place, thread): (usize, &Self)| {
            let (gate, job) = (Arc::clone(&gate), job.clone());
            thread.begin(move || {
                let _watch = gate.watch();
                gate.pass();
                job(place)
            })
        };
        let begun: Vec<_> = threads.iter().enumerate().map(begin).collect();
        begun.into_iter().map(|done| done.recv().expect("the job did not panic")).collect()
    }

    /// Lets the thread exit, and waits until it is gone.
    pub fn leave(self) {
        drop(self.jobs);
        self.thread.join().expect("the thread did not panic");
    }
}
