//! The publishing process: so many threads with one session and one provider.

use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Args;
use zenoh::qos::CongestionControl;
use zenoh::shm::{BlockOn, Defragment, GarbageCollect, ShmProvider, ShmProviderBuilder};
use zenoh::{Session, Wait};

use crate::kind::{Backend, Kind};
use crate::message::Stamp;
use crate::{Failure, HELLO, config, data_key};

/// What the process is told. Messages are those of each thread.
#[derive(Args, Clone, Debug)]
pub struct Publish {
    #[arg(long)]
    pub kind: Kind,
    #[arg(long)]
    pub threads: u32,
    #[arg(long)]
    pub messages: u32,
    #[arg(long)]
    pub heap: usize,
    /// The heap is drawn there, in the middle.
    #[arg(long)]
    pub svg: Option<PathBuf>,
}

/// Says where it listens, then how far it is; and is told when to begin and when to end.
pub fn publish(told: &Publish) -> Result<(), Failure> {
    let session = zenoh::open(config("listen", "tcp/127.0.0.1:0")?).wait()?;
    let locator = session.info().locators().wait().into_iter().next().ok_or("it listens nowhere")?;
    say(&format!("locator {locator}"));
    let backend = told.kind.backend(told.heap)?;
    let pool = backend.pool.clone();
    let provider = ShmProviderBuilder::backend(backend).wait();

    let mut lines = io::stdin().lock().lines();
    greet(&session, &mut lines)?;
    thread::scope(|scope| {
        let threads = (0..told.threads).map(|thread| {
            let (session, provider, pool) = (&session, &provider, &pool);
            scope.spawn(move || {
                publish_all(session, provider, told, thread, || match (&told.svg, pool) {
                    (Some(path), Some(pool)) if thread == 0 => draw(pool.pool(), path),
                    _ => Ok(()),
                })
            })
        });
        threads.collect::<Vec<_>>().into_iter().try_for_each(|thread| thread.join().expect("it returns its errors"))
    })?;
    say("sent");
    // What is in flight is in this process's memory: it stays until the subscribers have it.
    lines.next();
    session.close().wait()
}

/// Greets the subscribers, again and again, until the first process says that all have heard it.
fn greet(session: &Session, lines: &mut impl Iterator<Item = io::Result<String>>) -> zenoh::Result<()> {
    let go = AtomicBool::new(false);
    thread::scope(|scope| {
        let greeter = scope.spawn(|| -> zenoh::Result<()> {
            // Relaxed: nothing but the end of the loop hangs on it.
            while !go.load(Ordering::Relaxed) {
                session.put(HELLO, "hello").wait()?;
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        });
        let line = lines.next();
        go.store(true, Ordering::Relaxed);
        greeter.join().expect("it returns its errors")?;
        line.ok_or("nobody is there any more")??;
        Ok(())
    })
}

fn publish_all(
    session: &Session,
    provider: &ShmProvider<Backend>,
    told: &Publish,
    thread: u32,
    in_the_middle: impl Fn() -> zenoh::Result<()>,
) -> zenoh::Result<()> {
    let publisher = session.declare_publisher(data_key(thread)).congestion_control(CongestionControl::Block).wait()?;
    for number in 0..told.messages {
        let stamp = Stamp { thread, number };
        // When the heap is full: what the subscribers have let go is freed, or the thread waits for it.
        let mut message = provider.alloc(stamp.size()).with_policy::<BlockOn<Defragment<GarbageCollect>>>().wait()?;
        stamp.write(&mut message);
        publisher.put(message).wait()?;
        if number == told.messages / 2 {
            in_the_middle()?;
        }
        if number % (told.messages / 20).max(1) == 0 {
            say(&format!("at {thread} {number}"));
        }
    }
    publisher.undeclare().wait()
}

fn draw(pool: &mempool::MemoryPool, path: &Path) -> zenoh::Result<()> {
    let svg = pool.heap_map().svg().title("a segment of shared memory, messages on their way").to_string();
    fs::write(path, svg).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Tells the first process a line. If that is gone, so is the reason to go on.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
