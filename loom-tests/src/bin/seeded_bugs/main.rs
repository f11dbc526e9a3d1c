//! Proves that each model can fail: puts all bugs into a copy of the shipped source and demands that the models named
//! with a bug fail when their process is told to have it.
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
mod seed;
mod switch;

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use std::{env, io, thread};

use all::bug::Bug;
use copy::Copy;
use run::Verdict;

/// What came of all bugs.
#[derive(Debug, Default)]
struct Outcome {
    failures: u32,
    open: u32,
    ran: Duration,
}

fn main() -> ExitCode {
    let (flags, parts) = env::args().skip(1).partition::<Vec<_>, _>(|argument| argument.starts_with("--"));
    let part = parts.into_iter().next().unwrap_or_default();
    let wanted = |bug: &Bug| bug.name.contains(&part) || bug.models.iter().any(|model| model.contains(&part));
    let bugs = Vec::from_iter(all::numbered().filter(|(_, bug)| wanted(bug)));
    let done = match flags.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => seed_all(&bugs),
        ["--check"] => check(&bugs),
        ["--matrix"] => matrix::print(&bugs).map(|()| true),
        _ => Err(io::Error::other("there are --check and --matrix")),
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

/// The file and the name of a model.
fn parts_of(model: &str) -> (&str, &str) {
    model.split_once("::").expect("FILE::TEST")
}

/// Runs all models with their bugs, as many at a time as there are processors. True if all were found.
fn seed_all(bugs: &[(usize, &Bug)]) -> io::Result<bool> {
    let begun = Instant::now();
    let models = bugs.iter().flat_map(|(number, bug)| bug.models.iter().map(move |model| (*number, *bug, *model)));
    let models = Vec::from_iter(models);
    let copy = Copy::new("seeded-bugs", seed::seed)?;
    let programs = copy
        .compile(&models.iter().map(|(.., model)| parts_of(model).0).collect())
        .map_err(|error| io::Error::other(seed::errors(&copy.folder, &error.to_string())))?;
    let compiled = begun.elapsed();
    let (left, outcome) = (Mutex::new(models.iter()), Mutex::new(Outcome::default()));
    thread::scope(|scope| {
        let work = || -> io::Result<()> {
            loop {
                let next = left.lock().expect("nobody panics with it").next();
                let Some((number, bug, model)) = next else { return Ok(()) };
                let (begun, (file, test)) = (Instant::now(), parts_of(model));
                let verdict = run::run(&programs[file], test, *number)?;
                judge(bug, model, &verdict, begun.elapsed(), &mut outcome.lock().expect("nobody panics with it"));
            }
        };
        let count = thread::available_parallelism()?.get();
        let workers = Vec::from_iter((0..count).map(|_| scope.spawn(work)));
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker panicked"))
    })?;

    let Outcome { failures, open, ran } = outcome.into_inner().expect("nobody panics with it");
    println!(
        "{} bugs; {failures} times a model's verdict was wrong, and {open} times it is known to miss the bug; {} s to compile, {} s in models",
        bugs.len(),
        compiled.as_secs(),
        ran.as_secs()
    );
    Ok(failures == 0 && !bugs.is_empty())
}

fn judge(bug: &Bug, model: &str, verdict: &Verdict, ran: Duration, outcome: &mut Outcome) {
    let is_open = open::MODELS.contains(&(bug.name, model));
    println!("{}, {model}: {verdict}{}, {:.1} s", bug.name, if is_open { " (open)" } else { "" }, ran.as_secs_f32());
    let as_known = is_open && matches!(verdict, Verdict::Survived);
    // What is open no more is to be taken off the list.
    let is_right = if is_open { as_known } else { verdict.is_killed() };
    outcome.open += u32::from(as_known);
    outcome.failures += u32::from(!is_right);
    outcome.ran += ran;
}

/// Looks whether each bug can be put into its source, and whether each model is there.
fn check(bugs: &[(usize, &Bug)]) -> io::Result<bool> {
    let mut faults = Vec::new();
    for (_, bug) in bugs {
        faults.extend(bug.faults(copy::root())?.into_iter().map(|fault| format!("{}, {fault}", bug.name)));
    }
    faults.iter().for_each(|fault| println!("{fault}"));
    println!("{} bugs, {} faults", bugs.len(), faults.len());
    if faults.is_empty() {
        seed::check()?;
    }
    Ok(faults.is_empty())
}
