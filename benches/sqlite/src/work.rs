//! The work of the threads: the same in every run, whatever memory SQLite has.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fastrand::Rng;

use crate::database::{Code, Database, Row, Value};

/// A digest of all rows that a thread saw (FNV-1a, Fowler, Noll and Vo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(pub u64);

impl Digest {
    const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn add_row(&mut self, row: &Row<'_>) -> Result<(), Code> {
        row.columns(|kind, bytes| {
            self.add(&kind.to_le_bytes());
            self.add(&bytes.len().to_le_bytes());
            self.add(bytes);
        })
    }
}

fn bytes(random: &mut Rng, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    random.fill(&mut bytes);
    bytes
}

fn text(random: &mut Rng, count: usize) -> String {
    (0..count).map(|_| char::from(b"abcdefghij klmno"[random.usize(..16)])).collect()
}

const SCHEMA: [&str; 4] = [
    "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT NOT NULL, town INTEGER, picture BLOB)",
    "CREATE TABLE item (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES person ON DELETE CASCADE, price INTEGER, note TEXT)",
    "CREATE INDEX item_by_owner ON item (owner, price)",
    "CREATE VIRTUAL TABLE words USING fts5 (name)",
];

const CHANGES: [&str; 9] = [
    "CREATE INDEX person_by_name ON person (name COLLATE NOCASE)",
    "UPDATE person SET name = name || ' of ' || town, picture = zeroblob(length(picture) * 2) WHERE town % 5 = 1",
    "INSERT INTO words (rowid, name) SELECT id, name FROM person WHERE id % 3 = 0",
    "CREATE TABLE total AS SELECT town, sum(price) AS price, group_concat(note, '/') AS notes
         FROM item JOIN person ON item.owner = person.id GROUP BY town",
    "UPDATE item SET note = printf('%s %08d', note, price), price = price + 1 WHERE owner % 2 = 0",
    "DELETE FROM person WHERE town % 7 = 3",
    "DELETE FROM words WHERE rowid NOT IN (SELECT id FROM person)",
    "DROP INDEX person_by_name",
    "REINDEX",
];

const QUESTIONS: [&str; 10] = [
    "PRAGMA integrity_check",
    "PRAGMA foreign_key_check",
    "SELECT * FROM person ORDER BY id",
    "SELECT * FROM total ORDER BY town",
    "SELECT town, count(*), min(price), avg(price), length(group_concat(note))
         FROM item JOIN person ON item.owner = person.id GROUP BY town HAVING count(*) > 2 ORDER BY town",
    "SELECT a.name, b.name FROM person a JOIN person b ON a.town = b.town AND a.id < b.id ORDER BY a.name, b.name, a.id, b.id LIMIT 500",
    "SELECT id, sum(price) OVER (PARTITION BY owner ORDER BY price, id) FROM item ORDER BY id",
    "SELECT rowid, highlight(words, 0, '<', '>') FROM words WHERE words MATCH 'a* OR k*' ORDER BY rowid",
    "WITH RECURSIVE line (n, text) AS (SELECT 1, 'x' UNION ALL SELECT n + 1, text || n FROM line WHERE n < 300)
         SELECT hex(text) FROM line",
    "SELECT json_group_array(json_object('id', id, 'name', name)) FROM (SELECT * FROM person ORDER BY id LIMIT 200)",
];

/// The answer of a thread when SQLite has no memory.
#[derive(Debug)]
pub enum NoMemory<'a> {
    /// None of it is to happen.
    Fails,
    /// Once more, after others had a turn. Counts how often.
    Again(&'a AtomicUsize),
}

impl NoMemory<'_> {
    pub fn run<T>(&self, mut work: impl FnMut() -> Result<T, Code>) -> T {
        loop {
            match (work(), self) {
                (Ok(done), _) => return done,
                (Err(Code::NO_MEMORY), Self::Again(count)) => {
                    // Relaxed: a number.
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                }
                (Err(code), _) => panic!("{code:?}"),
            }
        }
    }
}

/// Fills a new database with `persons` persons, changes it, and asks about it.
pub fn fill_and_ask(name: &str, seed: u64, persons: usize, no_memory: &NoMemory<'_>) -> (Database, Digest) {
    let database = no_memory.run(|| Database::open(name));
    let change = |sql: &str| no_memory.run(|| database.run(sql));
    ["PRAGMA synchronous = OFF", "PRAGMA temp_store = MEMORY", "PRAGMA cache_spill = OFF"].into_iter().for_each(change);
    SCHEMA.into_iter().for_each(change);
    no_memory.run(|| database.transaction(|| insert(&database, seed, persons)));
    CHANGES.into_iter().for_each(change);
    change("VACUUM");
    let mut digest = Digest::EMPTY;
    for (number, question) in QUESTIONS.into_iter().enumerate() {
        digest = no_memory.run(|| {
            let (mut digest, mut rows, mut sound, mut read) = (digest, 0, false, Ok(()));
            database.query(question, |row| {
                rows += 1;
                read = read
                    .and_then(|()| digest.add_row(row))
                    .and_then(|()| row.columns(|_, bytes| sound = bytes == b"ok"));
            })?;
            read?;
            match number {
                0 => assert!(sound, "the database is not whole"),
                1 => assert_eq!(rows, 0, "items without an owner"),
                _ => assert!(rows > 0, "no rows: {question}"),
            }
            Ok(digest)
        });
    }
    (database, digest)
}

fn insert(database: &Database, seed: u64, persons: usize) -> Result<(), Code> {
    let mut random = Rng::with_seed(seed);
    let mut person = database.prepare("INSERT INTO person VALUES (?, ?, ?, ?)")?;
    let mut item = database.prepare("INSERT INTO item VALUES (NULL, ?, ?, ?)")?;
    for id in 1..=persons as i64 {
        let length = 5 + random.usize(..100);
        let name = text(&mut random, length);
        // Most are small, and some need pages of their own.
        let length = random.usize(..if id % 50 == 0 { 40_000 } else { 600 });
        let picture = bytes(&mut random, length);
        let town = random.usize(..persons / 20) as i64;
        person.run(&[Value::Integer(id), Value::Text(&name), Value::Integer(town), Value::Blob(&picture)])?;
        for _ in 0..random.usize(..5) {
            let (price, length) = (random.usize(..10_000) as i64, random.usize(..60));
            let note = text(&mut random, length);
            item.run(&[Value::Integer(id), Value::Integer(price), Value::Text(&note)])?;
        }
    }
    Ok(())
}

/// One thread's part of the work on a database that all use at once: rows that it updates often, and some that it
/// deletes.
pub fn share(database: &Database, thread: usize, rows: usize) -> Result<(), Code> {
    for row in 0..rows {
        let id = row * 100 + thread;
        database.run(&format!("INSERT INTO shared VALUES ({id}, {thread}, printf('%.*c', {row}, 'x'))"))?;
        database.run(&format!("UPDATE shared SET text = text || hex(text) WHERE id = {}", row / 2 * 100 + thread))?;
        if row % 3 == 0 {
            database.run(&format!("DELETE FROM shared WHERE id = {}", row / 3 * 100 + thread))?;
        }
    }
    Ok(())
}

/// A digest of the database that all threads use.
pub fn shared(database: &Database) -> Digest {
    let mut digest = Digest::EMPTY;
    let mut add = |row: &Row<'_>| digest.add_row(row).expect("there is memory");
    database.query("SELECT * FROM shared ORDER BY id", &mut add).expect("there is memory");
    database.query("PRAGMA integrity_check", &mut add).expect("there is memory");
    digest
}
