//! A thread that does what it is told, so that a test can say which thread does what, and in which order.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Scope, ScopedJoinHandle};

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
        let (done, result) = channel();
        let job = move || done.send(job()).expect("somebody waits for it");
        self.jobs.send(Box::new(job)).expect("the thread waits for jobs");
        result.recv().expect("the job did not panic")
    }

    /// Lets the thread exit, and waits until it is gone.
    pub fn leave(self) {
        drop(self.jobs);
        self.thread.join().expect("the thread did not panic");
    }
}
