//! Proves that each model can fail: patches a copy of the shipped source with one bug at a time and demands that the
//! models named with the bug fail.
//!
//! `cargo run --release -p loom-tests --bin seeded_bugs [--check | --matrix] [PART OF A BUG'S NAME OR MODEL]`. It ends
//! in failure when a model survives a bug that it is not known to miss (`open`) or finds one that it is, when a patch
//! no longer applies to the source exactly once, or when a patched source does not compile. `--check` only looks
//! whether the patches apply and the models are there, which takes no time.
//! `--matrix` prints as Markdown which model holds which line.

mod all;
mod copy;
mod matrix;
mod open;
mod run;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;
use std::{env, fs, io, thread};

use all::bug::Bug;
use copy::Copy;

/// As many bugs at a time: while one's model runs, the next one compiles.
const COPIES: usize = 2;

/// What came of all bugs so far.
#[derive(Debug, Default)]
struct Outcome {
    failures: u32,
    open: u32,
    compiled: Duration,
    ran: Duration,
}

fn main() -> io::Result<ExitCode> {
    let (flags, parts) = env::args().skip(1).partition::<Vec<_>, _>(|argument| argument.starts_with("--"));
    let part = parts.into_iter().next().unwrap_or_default();
    let wanted = |bug: &&Bug| bug.name.contains(&part) || bug.models.iter().any(|model| model.contains(&part));
    let bugs = Vec::from_iter(all::all().filter(wanted));
    match flags.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => seed_all(&bugs),
        ["--check"] => check(&bugs),
        ["--matrix"] => matrix::print(&bugs),
        _ => {
            eprintln!("there are --check and --matrix");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn seed_all(bugs: &[&Bug]) -> io::Result<ExitCode> {
    let folder = copy::target().join("seeded-bugs");
    fs::create_dir_all(&folder)?;
    let (bugs_left, outcome) = (Mutex::new(bugs.iter()), Mutex::new(Outcome::default()));
    thread::scope(|scope| {
        let workers = Vec::from_iter((0..COPIES).map(|number| {
            let (bugs_left, outcome, folder) = (&bugs_left, &outcome, &folder);
            scope.spawn(move || -> io::Result<()> {
                let copy = Copy::new(folder.join(format!("copy-{number}")), folder.join(format!("target-{number}")))?;
                loop {
                    let next = bugs_left.lock().expect("nobody panics with it").next();
                    let Some(bug) = next else { return Ok(()) };
                    for found in run::seed(&copy, bug)? {
                        judge(bug, &found, &mut outcome.lock().expect("nobody panics with it"));
                    }
                }
            })
        }));
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker panicked"))
    })?;

    let Outcome { failures, open, compiled, ran } = outcome.into_inner().expect("nobody panics with it");
    println!(
        "{} bugs; {failures} times a model's verdict was wrong, and {open} times it is known to miss the bug; {} s to compile, {} s in models",
        bugs.len(),
        compiled.as_secs(),
        ran.as_secs()
    );
    Ok(if failures == 0 && !bugs.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn judge(bug: &Bug, found: &run::Found, outcome: &mut Outcome) {
    let run::Found { model, verdict, compiled, ran } = found;
    let is_open = open::MODELS.contains(&(bug.name, model));
    println!("{}, {model}: {verdict}{}, {:.1} s", bug.name, if is_open { " (open)" } else { "" }, ran.as_secs_f32());
    let as_known = is_open && matches!(verdict, run::Verdict::Survived);
    // What is open no more is to be taken off the list.
    let is_right = if is_open { as_known } else { verdict.is_killed() };
    outcome.open += u32::from(as_known);
    outcome.failures += u32::from(!is_right);
    outcome.compiled += *compiled;
    outcome.ran += *ran;
}

/// Looks whether each patch applies to its source exactly once, and whether each model is there.
fn check(bugs: &[&Bug]) -> io::Result<ExitCode> {
    let mut failures = 0;
    for bug in bugs {
        for fault in bug.faults(copy::root())? {
            println!("{}, {fault}", bug.name);
            failures += 1;
        }
    }
    println!("{} bugs, {failures} faults", bugs.len());
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
