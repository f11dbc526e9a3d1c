//! SQLite, a library in C that knows nothing of this crate, with all its memory from a `PoolAllocator`.
//!
//! ```text
//! cargo run --release -p sqlite
//! cargo test --release -p sqlite
//! ```
//!
//! Which memory SQLite has is chosen once in a process, so this program runs itself: with SQLite's own malloc and
//! with the allocator, which must see the same rows, and at a limit, where SQLite must fail cleanly and go on. What
//! goes wrong is a panic.
#![allow(clippy::disallowed_types, reason = "the lint is for the library, whose atomics are loom's in its models")]

mod database;
mod limit;
mod memory;
mod work;

use std::process::Command;
use std::sync::Barrier;
use std::time::{Duration, Instant};
use std::{env, process, thread};

use libsqlite3_sys as ffi;
use mempool::PoolAllocator;

use database::Database;
use work::{Digest, NoMemory};

/// Threads, each with a database of its own; the last one's is a file.
const THREADS: usize = 4;
/// Persons in the database of each.
const PERSONS: usize = 8000;
/// Rows of each thread in the database that all use.
const SHARED: usize = 300;
/// More than is needed.
const PLENTY: usize = 512 << 20;
/// Less than is asked for.
const LITTLE: usize = 12 << 20;

fn work(pool: Option<&PoolAllocator>) -> Vec<Digest> {
    let file = env::temp_dir().join(format!("heapmaster-sqlite-{}", process::id()));
    _ = std::fs::remove_file(&file);
    let name = file.to_str().expect("a folder with a name");
    let all = &Database::open(":memory:").expect("there is memory");
    all.run("CREATE TABLE shared (id INTEGER PRIMARY KEY, thread INTEGER, text TEXT)").expect("there is memory");
    let (full, checked) = (&Barrier::new(THREADS + 1), &Barrier::new(THREADS + 1));
    let mut digests = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    let name = if thread == THREADS - 1 { name } else { ":memory:" };
                    let done = work::fill_and_ask(name, thread as u64, PERSONS, &NoMemory::Fails);
                    work::share(all, thread, SHARED).expect("there is memory");
                    full.wait();
                    checked.wait();
                    done.1
                })
            })
            .collect();
        full.wait();
        if let Some(pool) = pool {
            let (stats, used) = (pool.stats(), memory::used());
            assert_eq!(used, memory::live(), "SQLite has no memory but the allocator's");
            assert!(used > THREADS << 20, "{used}");
            assert!(stats.heap - stats.free >= used, "{stats}");
            eprintln!("{used} bytes in use: {stats}");
        }
        checked.wait();
        threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect::<Vec<_>>()
    });
    digests.push(work::shared(all));
    _ = std::fs::remove_file(&file);
    digests
}

/// SQLite has given all back, and so has the allocator.
fn end(pool: Option<&PoolAllocator>) {
    // SAFETY: nobody uses SQLite any more.
    assert_eq!(unsafe { ffi::sqlite3_shutdown() }, ffi::SQLITE_OK);
    if let Some(pool) = pool {
        pool.sweep();
        let stats = pool.stats();
        assert_eq!((memory::live(), stats.free, stats.idle), (0, stats.heap, 0), "{stats}");
        eprintln!("at the end: {stats}");
    }
}

fn child(memory: &str) -> (String, Duration) {
    let program = env::current_exe().expect("this program");
    let start = Instant::now();
    let output = Command::new(program).arg(memory).output().expect("it runs");
    let time = start.elapsed();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{memory}: {}", output.status);
    (String::from_utf8(output.stdout).expect("text"), time)
}

fn main() {
    match env::args().nth(1).as_deref() {
        Some("own") => {
            println!("{:x?}", work(None));
            end(None);
        }
        Some("pool") => {
            let pool = Some(memory::install(PLENTY));
            println!("{:x?}", work(pool));
            end(pool);
        }
        Some("limit") => {
            let pool = Some(memory::install(LITTLE));
            let (at_limit, others) = limit::run(LITTLE);
            println!("{at_limit} times no memory, and {others} times for the other threads");
            end(pool);
        }
        Some(other) => panic!("own, pool or limit, not {other}"),
        None => {
            let ((own, own_time), (pool, pool_time)) = (child("own"), child("pool"));
            assert_eq!(own, pool, "the same rows");
            println!(
                "the same rows, with SQLite's own malloc in {own_time:.2?}, with the allocator in {pool_time:.2?}"
            );
            print!("at a limit of {} MiB: {}", LITTLE >> 20, child("limit").0);
        }
    }
}
