//! Runs operations and stops them.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};
use core::fmt;
use std::sync::mpsc::channel;
use std::{env, thread};

use indicatif::{ProgressBar, ProgressStyle};

#[cfg(feature = "allocator")]
use super::allocator;
use super::hook::{Stop, counted, steps};
use super::known::KNOWN;
use super::pool;
use super::random::Random;

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Sample,
    All,
}

/// An operation of more steps counts as endless.
const ENDLESS: u64 = 1 << 28;

/// More steps than any operation has.
const NEVER: u64 = 1 << 62;

/// About as many steps as a thread's end has.
const EXIT: u64 = 16;

/// Stops of each operation in a sample.
const SAMPLE: usize = 4;

/// An address and a size.
pub type Block = (usize, usize);

/// The blocks of a thread.
#[derive(Debug, Default)]
pub struct Blocks {
    /// The operation leaves these alone.
    pub kept: Vec<Block>,
    /// The operation gets these.
    pub used: Vec<Block>,
}

/// An operation of one thread on a `W`, during which it stops.
#[derive(Debug)]
pub struct Operation<W> {
    pub name: &'static str,
    /// Makes what the operation needs, in the same thread.
    pub prepare: fn(&W) -> Blocks,
    /// The operation. It gets the used blocks, and returns those that the thread has afterwards.
    pub act: fn(&W, Vec<Block>) -> Vec<Block>,
    /// The end of the thread belongs to the operation.
    pub exits: bool,
}

/// A pool or an allocator that several threads operate on.
pub trait World: Sync + Sized {
    fn new() -> Self;

    /// The part of another thread while one is stopped: it does all operations, then takes all that it can get.
    fn others(&self, found: &mut Found) -> Vec<Block>;

    fn release(&self, blocks: Vec<Block>);

    /// Nothing is live and no other thread is there. Checks that all is merged and all figures are exact.
    fn finish(&self, found: &mut Found);
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Another thread's operation did not end within its steps.
    Steps,
    /// Another thread could not get half of what was free.
    Withheld,
    /// A block was handed out twice.
    Overlap,
    /// Live, cached, free and in transit don't add up to the whole.
    Accounts,
    /// An operation failed that must not fail.
    Refused,
    /// At the end not all was merged.
    Scattered,
    /// At the end a figure was wrong.
    Figures,
}

/// Faults and figures from the stops of one operation.
#[derive(Debug, Default)]
pub struct Found {
    pub stops: u64,
    /// Most bytes that another thread could not get.
    pub withheld: usize,
    /// Most steps of an operation of another thread, and the operation.
    pub steps: (u64, &'static str),
    /// The number of faults of each kind, and the first one.
    pub faults: BTreeMap<Fault, (u64, String)>,
    /// The current stop.
    at: u64,
}

impl Found {
    /// Another thread does `act`, which may take `most` steps.
    pub fn operation<R>(&mut self, name: &'static str, most: u64, act: impl FnOnce() -> R) -> R {
        let (result, steps) = counted(ENDLESS, act);
        if steps > most {
            self.fault(Fault::Steps, || format!("{name} took {steps} steps"));
        }
        self.steps = self.steps.max((steps, name));
        result
    }

    /// Notes a fault unless `holds`.
    pub fn demand(&mut self, fault: Fault, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.fault(fault, what);
        }
    }

    pub fn fault(&mut self, fault: Fault, what: impl FnOnce() -> String) {
        let at = self.at;
        let (count, _) = self.faults.entry(fault).or_insert_with(|| (0, format!("at step {at}: {}", what())));
        *count += 1;
    }

    /// No two of these blocks have a byte in common.
    pub fn no_overlap<'a>(&mut self, blocks: impl Iterator<Item = &'a Block>) {
        let mut blocks = blocks.copied().collect::<Vec<_>>();
        blocks.sort_unstable();
        let twice = blocks.windows(2).find(|pair| pair[0].0 + pair[0].1 > pair[1].0);
        self.demand(Fault::Overlap, twice.is_none(), || format!("{twice:x?}"));
    }
}

/// The stopped thread goes on while another one has all that it could get, or when that is released.
#[derive(Clone, Copy, Debug)]
enum Then {
    Full,
    Released,
}

/// An operation without a stop.
#[derive(Clone, Copy, Debug)]
struct Undisturbed {
    /// Steps that it takes.
    steps: u64,
    /// Bytes that another thread can get afterwards, when what the operation took is released.
    available: usize,
}

/// Begins an operation in a thread that stops at a step. Calls `then` with the blocks that it keeps, when it has
/// stopped or ended. Returns the thread's blocks, the result of `then`, and the number of steps.
fn begin<W: World, R>(
    operation: &Operation<W>,
    world: &W,
    (stop, number): (&'static Stop, u64),
    then: impl FnOnce(bool, &[Block]) -> R,
) -> (Blocks, R, u64) {
    let (prepared, told) = channel();
    let act = move || {
        let Blocks { kept, used } = (operation.prepare)(world);
        prepared.send(kept.clone()).expect("somebody waits for it");
        let begun = steps();
        if !operation.exits {
            stop.arm(number);
        }
        let used = (operation.act)(world, used);
        if operation.exits {
            stop.arm(number);
        } else {
            Stop::disarm();
        }
        (Blocks { kept, used }, steps() - begun)
    };
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let ended = thread::scope(|scope| scope.spawn(act).join());
            stop.over();
            ended.expect("the operation does not panic")
        });
        let kept = told.recv().expect("it was prepared");
        let is_stopped = stop.wait();
        let result = then(is_stopped, &kept);
        if is_stopped {
            stop.go_on();
        }
        let (mine, steps) = thread.join().expect("it does not panic");
        (mine, result, steps)
    })
}

/// The part of another thread.
fn others<W: World>(world: &W, found: &mut Found) -> Vec<Block> {
    let others = thread::scope(|scope| scope.spawn(|| world.others(found)).join());
    others.unwrap_or_else(|_| {
        found.fault(Fault::Steps, || "another thread did not end".to_string());
        vec![]
    })
}

fn bytes(blocks: &[Block]) -> usize {
    blocks.iter().map(|(_, size)| size).sum()
}

/// Does an operation without a stop.
fn undisturbed<W: World>(operation: &Operation<W>, stop: &'static Stop, found: &mut Found) -> Undisturbed {
    let world = &W::new();
    let (mine, (), steps) = begin(operation, world, (stop, NEVER), |_, _| ());
    world.release(mine.used);
    let taken = others(world, found);
    let available = bytes(&taken);
    found.no_overlap(taken.iter().chain(&mine.kept));
    [taken, mine.kept].into_iter().for_each(|blocks| world.release(blocks));
    world.finish(found);
    Undisturbed { steps, available }
}

/// Stops an operation at one step, and has another thread do its part then. False: the operation ended before.
fn stop_at<W: World>(
    operation: &Operation<W>,
    (stop, number): (&'static Stop, u64),
    then: Then,
    available: usize,
    found: &mut Found,
) -> bool {
    found.at = number;
    let world = &W::new();
    let (mine, (taken, stopped), _) = begin(operation, world, (stop, number), |stopped, kept| {
        let taken = if stopped { others(world, found) } else { vec![] };
        if stopped {
            found.no_overlap(taken.iter().chain(kept));
            let withheld = available.saturating_sub(bytes(&taken));
            found.withheld = found.withheld.max(withheld);
            let most = available / 2;
            found.demand(Fault::Withheld, withheld <= most, || format!("{withheld} of {available} bytes"));
        }
        match then {
            Then::Full => (taken, stopped),
            Then::Released => {
                world.release(taken);
                (vec![], stopped)
            }
        }
    });
    found.no_overlap(taken.iter().chain(&mine.kept).chain(&mine.used));
    [taken, mine.kept, mine.used].into_iter().for_each(|blocks| world.release(blocks));
    world.finish(found);
    found.stops += u64::from(stopped);
    stopped
}

/// Does all operations of a world. Adds their names and what was found.
fn stop_all<W: World>(operations: &[Operation<W>], how: How, all: &mut Vec<(&'static str, Found)>) {
    let part = env::var("HEAPMASTER_STOPS").unwrap_or_default();
    let mut random = Random::from_environment();
    for operation in operations.iter().filter(|operation| operation.name.contains(&part)) {
        let (mut found, stop, bar) = (Found::default(), Stop::new(), ProgressBar::no_length());
        bar.set_message(operation.name);
        bar.set_style(ProgressStyle::with_template("{msg}: {pos} stops, {elapsed}").expect("it is a template"));
        let Undisturbed { steps, available } = undisturbed(operation, stop, &mut found);
        let mut stops = |number, then| stop_at(operation, (stop, number), then, available, &mut found);
        match how {
            How::All => {
                let mut both = |number| [Then::Full, Then::Released].map(|then| stops(number, then)) != [false; 2];
                (1..).take_while(|number| both(*number)).for_each(|_| bar.inc(1));
            }
            How::Sample => {
                let steps = if operation.exits { steps.max(EXIT) } else { steps };
                for turn in 0..SAMPLE {
                    let number = 1 + random.below(steps.max(1) as usize) as u64;
                    stops(number, [Then::Full, Then::Released][turn % 2]);
                }
            }
        }
        bar.finish_and_clear();
        if how == How::All {
            println!("{:<60} {found}", operation.name);
        }
        all.push((operation.name, found));
    }
}

/// Runs all operations.
///
/// # Panics
///
/// When there is a fault that is not known, or a known one is gone.
pub fn run(how: How) {
    let mut all = Vec::new();
    stop_all(&pool::operations(), how, &mut all);
    #[cfg(feature = "allocator")]
    {
        stop_all(&allocator::operations::<false>(), how, &mut all);
        stop_all(&allocator::operations::<true>(), how, &mut all);
    }
    let mut unknown = 0;
    for (name, found) in &all {
        for (fault, (count, first)) in &found.faults {
            let is_known = KNOWN.iter().any(|(known, kind)| kind == fault && name.contains(known));
            println!("{}{name}: {fault:?} at {count} stops, first {first}", if is_known { "known: " } else { "" });
            unknown += u32::from(!is_known);
        }
    }
    assert_eq!(unknown, 0, "faults that are not known");
    if how == How::All && env::var("HEAPMASTER_STOPS").is_err() {
        for (known, kind) in KNOWN {
            let is_there = all.iter().any(|(name, found)| name.contains(known) && found.faults.contains_key(kind));
            assert!(is_there, "{known}: {kind:?} is listed as known, and is not there any more");
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, operation) = self.steps;
        write!(f, "{:>6} stops {:>8} bytes withheld {steps:>9} steps of {operation}", self.stops, self.withheld)
    }
}
