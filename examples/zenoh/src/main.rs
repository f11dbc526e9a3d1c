//! zenoh's shared memory on a pool: a publisher and subscribers, each a process of its own, and one of them killed.
//! Here: the options, the roles, and the run from beginning to end.
//!
//! ```text
//! cargo run --release --manifest-path examples/zenoh/Cargo.toml
//! ```
#![allow(clippy::disallowed_types, reason = "the lint is for the library, whose atomics are loom's in its models")]

mod abandoned;
mod backend;
mod kind;
mod message;
mod publisher;
mod round;
mod subscriber;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use zenoh::Config;
use zenoh::shm::cleanup_orphaned_shm_segments;

use crate::kind::{Kind, alone};
use crate::publisher::{Publish, publish};
use crate::round::{Outcome, Round};
use crate::subscriber::{Subscribe, subscribe};

/// Where the messages of a thread go, those of all, and what comes before them.
const DATA: &str = "mempool/data/*";
const HELLO: &str = "mempool/hello";

fn data_key(thread: u32) -> String {
    format!("mempool/data/{thread}")
}

/// Messages through shared memory by zenoh, with its own backends and with a pool.
///
/// Ends with success if each subscriber that lived had every message once, in order, and unbroken, but for those that
/// zenoh's watchdog dropped.
#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    role: Option<Role>,
    /// Messages of a round
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(100..), default_value = "100000")]
    messages: u32,
    /// Rounds with each backend, of which the best one counts
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), default_value = "3")]
    rounds: u32,
    /// Subscribing processes
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(2..=16), default_value = "3")]
    subscribers: u32,
    /// Shared memory, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(16..=1024), default_value = "64")]
    heap: u32,
    /// Where the heap is drawn, with messages on their way
    #[arg(long, value_name = "FILE", default_value = "zenoh.svg")]
    svg: PathBuf,
}

/// The program starts itself again as these.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Publish(Publish),
    #[command(hide = true)]
    Subscribe(Subscribe),
}

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.role {
        None => run(&options),
        Some(Role::Publish(told)) => publish(told).map(|()| true),
        Some(Role::Subscribe(told)) => subscribe(told).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

const THREADS: [u32; 2] = [1, 2];

/// Did each message arrive?
fn run(options: &Options) -> Result<bool, Failure> {
    let Options { messages, rounds, subscribers, .. } = *options;
    let heap = (options.heap as usize) << 20;
    let round = |kind, threads| Round { kind, threads, messages: messages / threads, subscribers, heap, kill: None };

    let columns = THREADS.len() as u64;
    let bar = progress_bar(columns * u64::from(rounds * messages) * Kind::ALL.len() as u64 + u64::from(messages))?;
    let mut best = [[0.0_f64; THREADS.len()]; Kind::ALL.len()];
    let mut is_well = true;
    let mut note = |outcome: &Outcome| {
        if !outcome.is_comparable() {
            bar.suspend(|| eprintln!("{}", outcome.told()));
            is_well &= outcome.is_well();
        }
    };
    // In turn, so that what else the machine does hits all alike.
    for _ in 0..rounds {
        for (kind, row) in Kind::ALL.into_iter().zip(&mut best) {
            for (threads, best) in THREADS.into_iter().zip(row) {
                let outcome = round(kind, threads).play(&bar)?;
                note(&outcome);
                // One that dropped messages had less to do.
                *best = best.max(if outcome.is_comparable() { outcome.rate } else { 0.0 });
            }
        }
    }
    let killed = Round { kill: Some(options.svg.clone()), ..round(Kind::Heapmaster, THREADS[1]) }.play(&bar)?;
    note(&killed);
    bar.finish_and_clear();

    println!("messages of 256 B to 16 KiB to {subscribers} subscribers, a second; threads that publish:\n");
    table(best.iter().map(|row| row.to_vec()));
    println!("\nthe backend alone: chunks allocated and freed, a second; threads:\n");
    let mut fastest = vec![vec![0.0_f64; THREADS.len()]; Kind::ALL.len()];
    for _ in 0..rounds {
        for (kind, row) in Kind::ALL.into_iter().zip(&mut fastest) {
            for (threads, best) in THREADS.into_iter().zip(row) {
                *best = best.max(alone(kind, heap, threads as usize, u64::from(messages) * 20)?);
            }
        }
    }
    table(fastest.into_iter());
    println!("\none of {subscribers} subscribers killed in the middle; {}", killed.told());
    println!("the heap in the middle is in {}", options.svg.display());
    // What a killed process left. zenoh would find it some day.
    cleanup_orphaned_shm_segments();
    Ok(is_well)
}

/// A row for each backend. Where no round was one to compare, there is no rate.
fn table(rows: impl Iterator<Item = Vec<f64>>) {
    println!("| {:<22} | {:>11} | {:>11} |\n|---|--:|--:|", "backend", 1, 2);
    for (kind, row) in Kind::ALL.into_iter().zip(rows) {
        let rate = |rate: f64| if rate > 0.0 { format!("{rate:.0}") } else { "none".to_owned() };
        println!("| {:<22} | {:>11} | {:>11} |", kind.name(), rate(row[0]), rate(row[1]));
    }
}

/// Of all messages of all rounds, on standard error; hidden where that is not a terminal.
fn progress_bar(messages: u64) -> Result<ProgressBar, Failure> {
    let template = "  {bar:40.blue} {percent:>3} %  {human_pos} of {human_len} messages, {msg}";
    Ok(ProgressBar::new(messages).with_style(ProgressStyle::with_template(template)?.progress_chars("█▉▊▋▌▍▎▏·")))
}

/// A session that knows nobody but who it is told of.
fn config(way: &str, locator: &str) -> zenoh::Result<Config> {
    let mut config = Config::default();
    for (key, value) in [
        ("mode", r#""peer""#),
        ("listen/endpoints", "[]"),
        ("scouting/multicast/enabled", "false"),
        ("scouting/gossip/enabled", "false"),
        // Only what the program puts into shared memory itself.
        ("transport/shared_memory/transport_optimization/enabled", "false"),
        // In microseconds: a subscriber that the machine lets wait is not one that is gone.
        ("transport/link/tx/queue/congestion_control/block/wait_before_close", "60000000"),
    ] {
        config.insert_json5(key, value)?;
    }
    config.insert_json5(&format!("{way}/endpoints"), &format!("[{locator:?}]"))?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_are_consistent() {
        <Options as clap::CommandFactory>::command().debug_assert();
        config("listen", "tcp/127.0.0.1:0").expect("zenoh knows all of it");
    }
}
