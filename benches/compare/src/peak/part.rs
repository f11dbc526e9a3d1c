//! The process that is measured: one program with one allocator.

use std::error::Error;
use std::io;

use serde::{Deserialize, Serialize};

use super::resident::{AtStart, Parts};
use super::script::Script;
use super::stage::{self, How, Measured};
use crate::subjects::general;

/// The output of the process: one line, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of all calls, one after the other, without changes of thread.
    pub seconds: f64,
    /// Most resident bytes that there were not before.
    pub peak: u64,
    /// Most live requested bytes.
    pub live: u64,
    /// Most bytes in huge pages.
    pub huge: u64,
    /// Most resident bytes of the mapping that has all of the allocator, if it has one.
    pub mapping: Option<u64>,
    /// Those of them that are metadata.
    pub metadata: Option<u64>,
    /// The peak is the kernel's; else it is the most of some hundred looks.
    pub exact: bool,
}

/// An allocator that a program can have.
#[derive(Debug)]
pub struct Contender {
    /// As of the subject.
    pub key: &'static str,
    play: fn(&'static Script, AtStart) -> io::Result<Measured>,
}

/// All of this build.
pub const CONTENDERS: &[Contender] = &[
    Contender {
        key: "pool-allocator",
        play: |script, start| stage::play(&general::POOL, script, start, How { asks_for_mapping: true, ..PLAIN }),
    },
    Contender { key: "mimalloc", play: |script, start| stage::play(&general::MIMALLOC, script, start, PLAIN) },
    #[cfg(feature = "peers")]
    Contender { key: "jemalloc", play: |script, start| stage::play(&general::JEMALLOC, script, start, PLAIN) },
    #[cfg(feature = "snmalloc")]
    Contender { key: "snmalloc", play: |script, start| stage::play(&general::SNMALLOC, script, start, PLAIN) },
    #[cfg(feature = "peers")]
    Contender {
        key: "rpmalloc",
        play: |script, start| stage::play(&general::RPMALLOC, script, start, How { threads_as_linked: true, ..PLAIN }),
    },
    Contender { key: "system", play: |script, start| stage::play(&general::SYSTEM, script, start, PLAIN) },
];

const PLAIN: How = How { asks_for_mapping: false, threads_as_linked: false };

/// Plays the script that comes on standard input, and prints the report.
pub fn run(key: &str) -> Result<(), Box<dyn Error>> {
    let contender = CONTENDERS.iter().find(|contender| contender.key == key).ok_or("no such allocator")?;
    let at_start = AtStart::note()?;
    let script: &'static Script = Box::leak(Box::new(Script::read(&mut io::stdin().lock())?));
    let Measured { time, peak, kept, huge, mapping } = (contender.play)(script, at_start)?;
    let report = Report {
        seconds: time.as_secs_f64(),
        peak,
        live: script.live,
        huge,
        mapping: mapping.map(Parts::sum),
        metadata: mapping.map(|parts| parts.metadata),
        exact: kept,
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
