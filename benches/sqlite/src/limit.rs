//! SQLite at the limit of its allocator: one connection runs into it again and again, while other threads work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::database::{Code, Database};
use crate::memory;
use crate::work::{Digest, NoMemory, fill_and_ask};

/// How often there is no memory.
const ROUNDS: i64 = 20;
/// Threads that work meanwhile.
const OTHERS: u64 = 2;
/// Persons in the database of each.
const PERSONS: usize = 400;

/// Inserts blobs until there is no memory; how many.
fn fill(database: &Database, bytes: usize, limit: usize) -> i64 {
    let before = database.number("SELECT count(*) FROM ballast").expect("there is memory");
    let insert = format!("INSERT INTO ballast VALUES (NULL, randomblob({bytes}))");
    let mut count = before;
    loop {
        match database.run(&insert) {
            Ok(()) => {
                count += 1;
                assert!(memory::used() <= limit);
            }
            Err(code) => {
                assert_eq!(code, Code::NO_MEMORY);
                return count - before;
            }
        }
    }
}

fn ballast() -> Result<Database, Code> {
    let database = Database::open(":memory:")?;
    database.run("CREATE TABLE ballast (id INTEGER PRIMARY KEY, bytes BLOB)")?;
    Ok(database)
}

/// A connection that is kept, and others that take all memory from it and are closed. Panics where anything fails
/// otherwise than by `SQLITE_NOMEM`, or something is lost.
fn run_into_it(limit: usize) -> usize {
    let kept = ballast().expect("there is memory");
    kept.run("CREATE TABLE done (round INTEGER PRIMARY KEY)").expect("there is memory");
    let (mut rows, mut large, mut refused) = (0, 0, 0);
    let no_memory = AtomicUsize::new(0);
    let again = NoMemory::Again(&no_memory);
    for round in 1..=ROUNDS {
        let other = again.run(ballast);
        // None, where the kept one and the other threads have it all.
        large += again.run(|| Ok(fill(&other, 60_000, limit)));
        refused += 1;
        // Less than one of those is left.
        rows += again.run(|| Ok(fill(&kept, 2_000, limit)));
        refused += 1;
        drop(other);
        again.run(|| kept.run(&format!("INSERT INTO done VALUES ({round})")));
        assert_eq!(again.run(|| kept.number("SELECT count(*) FROM done")), round);
        assert_eq!(again.run(|| kept.number("SELECT count(*) FROM ballast WHERE length(bytes) = 2000")), rows);
        if round % 5 == 0 {
            again.run(|| kept.run("DELETE FROM ballast"));
            rows = 0;
        }
    }
    assert!(large > 0);
    let sound = again.run(|| {
        let (mut sound, mut read) = (false, Ok(()));
        kept.query("PRAGMA integrity_check", |row| read = row.columns(|_, text| sound = text == b"ok"))?;
        read.map(|()| sound)
    });
    assert!(sound);
    let highest = memory::highest();
    assert!(highest > limit / 3 * 2 && highest <= limit, "{highest} of {limit}");
    refused + no_memory.into_inner()
}

/// The state that the other threads see.
pub fn undisturbed() -> Vec<Digest> {
    (0..OTHERS).map(|seed| fill_and_ask(":memory:", seed, PERSONS, &NoMemory::Fails).1).collect()
}

/// How often there was no memory: for the one that runs into the limit, and for the others.
pub fn run(limit: usize) -> (usize, usize) {
    let expected = undisturbed();
    let (ended, refused) = (&AtomicBool::new(false), &AtomicUsize::new(0));
    let at_limit = thread::scope(|scope| {
        let others: Vec<_> = (0..)
            .zip(expected)
            .map(|(seed, expected)| {
                scope.spawn(move || {
                    let mut rounds = 0;
                    // Relaxed: nothing is published by it.
                    while rounds == 0 || !ended.load(Ordering::Relaxed) {
                        let (_, digest) = fill_and_ask(":memory:", seed, PERSONS, &NoMemory::Again(refused));
                        assert_eq!(digest, expected, "as without a limit");
                        rounds += 1;
                    }
                })
            })
            .collect();
        let at_limit = thread::scope(|inner| inner.spawn(|| run_into_it(limit)).join());
        // Relaxed: as above.
        ended.store(true, Ordering::Relaxed);
        for other in others {
            other.join().expect("no thread panics");
        }
        at_limit.expect("no thread panics")
    });
    // Nobody has anything now, and nothing is stranded.
    let rows = fill(&ballast().expect("there is memory"), 60_000, limit);
    assert!(rows as usize * 60_000 > limit / 10 * 7, "{rows} rows of 60 000 bytes");
    // Relaxed: those that counted are gone.
    (at_limit, refused.load(Ordering::Relaxed))
}
