//! Proves that each model can fail: patches a copy of the shipped source with one bug at a time and demands that the
//! models named with the bug fail.
//!
//! `cargo run --release -p loom-tests --bin seeded_bugs [--check] [PART OF A BUG'S NAME OR MODEL]`. It ends in failure when a
//! model survives a bug that it is not known to miss (`open`) or finds one that it is, when a patch no longer applies to the source
//! exactly once, or when a patched source does not compile. With `--check` it only looks whether the patches apply, which takes no time.

mod blocks;
mod bug;
mod caches;
mod copy;
mod cycles;
mod heaps;
mod open;
mod run;
mod slabs;
mod spans;
mod sweepers;
mod words;

use std::process::ExitCode;
use std::sync::Mutex;
use std::{env, fs, io, thread};

use bug::Bug;
use copy::Copy;

/// As many bugs at a time: while one's model runs, the next one compiles.
const COPIES: usize = 2;

fn main() -> io::Result<ExitCode> {
    let (flags, parts) = env::args().skip(1).partition::<Vec<_>, _>(|argument| argument.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| *flag != "--check") {
        eprintln!("unknown flag {unknown}; there is --check");
        return Ok(ExitCode::FAILURE);
    }
    let part = parts.into_iter().next().unwrap_or_default();
    let wanted = |bug: &&Bug| bug.name.contains(&part) || bug.models.iter().any(|model| model.contains(&part));
    let all =
        [words::BUGS, blocks::BUGS, caches::BUGS, heaps::BUGS, sweepers::BUGS, slabs::BUGS, spans::BUGS, cycles::BUGS];
    let bugs = Vec::from_iter(all.into_iter().flatten().filter(wanted));

    if !flags.is_empty() {
        return check(&bugs);
    }
    let folder = copy::target().join("seeded-bugs");
    fs::create_dir_all(&folder)?;
    let bugs_left = Mutex::new(bugs.iter());
    let (failures, open) = (Mutex::new(0), Mutex::new(0));
    thread::scope(|scope| {
        let workers = Vec::from_iter((0..COPIES).map(|number| {
            let (bugs_left, failures, open, folder) = (&bugs_left, &failures, &open, &folder);
            scope.spawn(move || -> io::Result<()> {
                let copy = Copy::new(folder.join(format!("copy-{number}")), folder.join(format!("target-{number}")))?;
                loop {
                    let next = bugs_left.lock().expect("nobody panics with it").next();
                    let Some(bug) = next else { return Ok(()) };
                    for (model, verdict) in run::seed(&copy, bug)? {
                        let is_open = open::MODELS.contains(&(bug.name, model));
                        println!("{}, {model}: {verdict}{}", bug.name, if is_open { " (open)" } else { "" });
                        let as_known = is_open && matches!(verdict, run::Verdict::Survived);
                        *open.lock().expect("nobody panics with it") += u32::from(as_known);
                        // What is open no more is to be taken off the list.
                        let is_right = if is_open { as_known } else { verdict.is_killed() };
                        *failures.lock().expect("nobody panics with it") += u32::from(!is_right);
                    }
                }
            })
        }));
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker panicked"))
    })?;

    let [failures, open] = [failures, open].map(|count| *count.lock().expect("nobody panics with it"));
    println!(
        "{} bugs; {failures} times a model's verdict was wrong, and {open} times it is known to miss the bug",
        bugs.len()
    );
    Ok(if failures == 0 && !bugs.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Looks whether each patch applies to its source exactly once, and whether its models are there.
fn check(bugs: &[&Bug]) -> io::Result<ExitCode> {
    let mut failures = 0;
    for bug in bugs {
        if bug.apply(&fs::read_to_string(copy::original(bug.source))?).is_none() {
            println!("{}, {}: {}", bug.name, bug.source, run::Verdict::DoesNotApply);
            failures += 1;
        }
        for model in bug.models.iter().filter(|model| !copy::has_model(model)) {
            println!("{}: there is no model {model}", bug.name);
            failures += 1;
        }
    }
    println!("{} patches, {failures} faults", bugs.len());
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
