//! A subscribing process: counts the messages, and looks at both ends of each.

use std::io;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard};

use clap::Args;
use zenoh::Wait;
use zenoh::sample::Sample;

use crate::message::Stamp;
use crate::publisher::say;
use crate::{DATA, Failure, HELLO, abandoned, config};

/// What the process is told. Messages are those of each thread.
#[derive(Args, Clone, Debug)]
pub struct Subscribe {
    #[arg(long)]
    pub locator: String,
    #[arg(long)]
    pub threads: u32,
    #[arg(long)]
    pub messages: u32,
}

/// What came.
#[derive(Debug)]
struct Seen {
    /// The next message of each thread.
    next: Vec<u32>,
    received: u64,
    /// Messages that were broken, or came twice or out of order.
    wrong: u64,
    /// Messages that came by TCP: zenoh found no shared memory with the publisher, or not in time.
    copied: u64,
    /// Messages that zenoh dropped.
    abandoned: u64,
    /// Messages that are still to come.
    left: u64,
    ended: Sender<()>,
}

impl Seen {
    fn see(&mut self, sample: &Sample) {
        let payload = sample.payload();
        self.copied += u64::from(payload.as_shm().is_none());
        match Stamp::read(&payload.to_bytes())
            .and_then(|stamp| Some((stamp, self.next.get_mut(stamp.thread as usize)?)))
        {
            // One that is missing shows in the count.
            Some((stamp, next)) if stamp.number >= *next => {
                *next = stamp.number + 1;
                self.received += 1;
            }
            _ => self.wrong += 1,
        }
        self.count();
    }

    fn abandon(&mut self) {
        self.abandoned += 1;
        self.count();
    }

    fn count(&mut self) {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            // The first end is enough.
            _ = self.ended.send(());
        }
    }
}

/// Says when it has heard the publisher, and at the end what came.
pub fn subscribe(told: &Subscribe) -> Result<(), Failure> {
    let (greeted, hello) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let next = vec![0; told.threads as usize];
    let left = u64::from(told.threads * told.messages);
    let seen = Arc::new(Mutex::new(Seen { next, received: 0, wrong: 0, copied: 0, abandoned: 0, left, ended }));
    let [dropped, came] = [Arc::clone(&seen), Arc::clone(&seen)];
    abandoned::watch(move || lock(&dropped).abandon())?;

    let session = zenoh::open(config("connect", &told.locator)?).wait()?;
    let _data = session.declare_subscriber(DATA).callback(move |sample| lock(&came).see(&sample)).wait()?;
    let _greetings = session.declare_subscriber(HELLO).callback(move |_| _ = greeted.send(())).wait()?;
    hello.recv()?;
    say("linked");
    end.recv()?;
    let Seen { received, wrong, abandoned, copied, .. } = *lock(&seen);
    say(&format!("received {received} {wrong} {abandoned} {copied}"));
    // It is told to end when all have everything.
    io::stdin().lines().next();
    session.close().wait()
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().expect("nobody panics with it")
}
