//! A soak: pools and allocators under a load that changes, for as long as one likes.
//!
//! ```text
//! cargo run --release --example soak -- --minutes 120
//! ```
//!
//! The time is cut into seasons. In each of them
//!
//! - some threads allocate and release blocks whose sizes drift, up to the limits,
//! - short threads come and go, and leave blocks to others,
//! - heaps come and go,
//! - a sweeper runs,
//! - now and then one thread is stopped wherever it is, until each of the others has gone on.
//!
//! At the end of a season all is released. Then everything has coalesced, all figures are exact, and the memory of the
//! process is as it was (`look`).
#![allow(clippy::disallowed_types, reason = "the lint is for the library, whose atomics are loom's in its models")]

mod look;
mod season;
mod stop;
mod worker;
mod world;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use look::Memory;
use world::{Count, World};

/// Pools and allocators under a changing load. Ends with success if nothing was lost.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// How long
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// The length of a season in seconds
    #[arg(long, default_value_t = 20.0)]
    season: f64,
    /// Threads that stay for a season
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(2..=64))]
    threads: u64,
    /// The seed of the random numbers [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs it, and returns what was done. Panics if something was lost.
fn run(options: &Options) -> (u64, Count) {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("--seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let time = Duration::from_secs_f64(options.minutes * 60.0);
    let season = Duration::from_secs_f64(options.season).min(time / 3);
    let bar = ProgressBar::new(time.as_secs());
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {eta} left, {msg}");
    bar.set_style(style.expect("a template"));
    let (began, world) = (Instant::now(), World::new());
    let (mut seasons, mut first) = (0, None);
    while began.elapsed() < time {
        season::run(&world, options.threads, season, random.u64(..));
        let memory = look::look(&world);
        // What the first season needed stays.
        Memory::compare(first.get_or_insert(memory), &memory);
        seasons += 1;
        bar.set_position(began.elapsed().as_secs());
        bar.set_message(format!("{seasons} seasons, {}, {memory}", world.count.sum()));
    }
    bar.finish();
    (seasons, world.count.sum())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let began = Instant::now();
    let (seasons, count) = run(&options);
    println!("{} s, {seasons} seasons, {count}: nothing was lost", began.elapsed().as_secs());
    ExitCode::SUCCESS
}

#[test]
fn three_seasons_of_a_second() {
    let (seasons, count) = run(&Options { minutes: 0.05, season: 1.0, threads: 3, seed: None });
    assert!(seasons >= 3 && count.allocations > 1000 && count.threads > 10, "{seasons} seasons, {count}");
}
