//! Weakens each ordering of `src/`, one at a time, and tells which model fails, or that none does.
//!
//! `cargo run --release -p loom-tests --bin orderings [--check | --write | --again] [PART]`; with PART, only in files
//! whose names have it. It goes on where it was stopped: what `loom-tests/orderings.md` has is not tried again, unless
//! `--again` says so; then the models that failed come first. `--check` runs nothing: it looks whether each ordering
//! has a row there, and each survivor an argument in a comment. `--write` writes the table with the orderings and the
//! arguments that are in the source now.
//!
//! All sites are compiled at once. Each asks for its ordering, and the process is told which one is weaker.

#[allow(dead_code, reason = "only which model is for which file")]
#[path = "../seeded_bugs/all.rs"]
mod all;
#[path = "../seeded_bugs/copy.rs"]
mod copy;
mod models;
mod sites;
mod table;
mod weaken;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::{env, io, thread};

use copy::Copy;
use indicatif::{ProgressBar, ProgressStyle};
use models::{Depth, Model, Verdict};
use sites::Site;
use table::{Decision, Row};

fn main() -> ExitCode {
    let (flags, parts) = env::args().skip(1).partition::<Vec<_>, _>(|argument| argument.starts_with("--"));
    let part = parts.into_iter().next().unwrap_or_default();
    let done = match flags.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => weaken_all(&part, false),
        ["--again"] => weaken_all(&part, true),
        ["--check"] => check(),
        ["--write"] => write(),
        _ => Err(io::Error::other("there are --check, --write and --again")),
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

/// Writes the table with the arguments that are in the source now. True if nothing is wrong with it.
fn write() -> io::Result<bool> {
    let sites = sites::all(&copy::read(&["src"])?)?;
    conclude(&sites, &table::rows(&sites)?)
}

/// Looks whether the table is that of the source. True if it is.
fn check() -> io::Result<bool> {
    let sites = sites::all(&copy::read(&["src"])?)?;
    let rows = table::rows(&sites)?;
    let faults = table::faults(&sites, &rows)?;
    faults.iter().for_each(|fault| println!("{fault}"));
    println!("{} orderings, {} weaker ones, {} faults", sites.len(), rows.len(), faults.len());
    Ok(faults.is_empty())
}

/// Tries what the table does not have. True if each survivor has an argument.
fn weaken_all(part: &str, again: bool) -> io::Result<bool> {
    let sites = sites::all(&copy::read(&["src"])?)?;
    let mut rows = table::rows(&sites)?;
    // The models that are likely to fail, by files: those of seeded bugs. Those that failed come before others, too.
    let seeded = all::all().flat_map(|bug| bug.models.iter().map(|model| (bug.source.to_owned(), (*model).to_owned())));
    let likely: BTreeSet<(String, String)> = seeded.collect();
    let mut failed = BTreeSet::new();
    for row in &mut rows {
        let file = &sites[row.site].file;
        if let Some(Decision::Killed(model, _)) = &row.decision {
            failed.insert((file.clone(), model.clone()));
        }
        if again && file.contains(part) {
            row.decision = None;
        }
    }
    let is_left = |row: &Row, depth: Depth| {
        sites[row.site].file.contains(part)
            && match &row.decision {
                None => true,
                Some(Decision::Survives(_, _, done)) => *done < depth,
                Some(_) => false,
            }
    };
    let copy = Copy::new("orderings", |files| weaken::weaken(files, &sites))?;
    let mut models = models::all(&copy)?;
    measure(&mut models, &sites)?;
    models.sort_by(|one, other| one.seconds[0].total_cmp(&other.seconds[0]));

    let (rows, failed) = (Mutex::new(rows), Mutex::new(failed));
    for depth in Depth::EACH {
        let mut left = Vec::new();
        for (at, row) in rows.lock().expect("nobody panics with it").iter().enumerate() {
            left.extend(is_left(row, depth).then(|| (at, row.clone())));
        }
        each(left, &format!("orderings, preemptions {depth}"), |(at, row): (usize, Row)| {
            let site = &sites[row.site];
            let failed_before = failed.lock().expect("nobody panics with it").clone();
            let is_in = |set: &BTreeSet<_>, model: &Model| set.contains(&(site.file.clone(), model.name.clone()));
            let runs = models.iter().filter(|model| model.reaches.contains(&site.name()));
            let runs = runs.map(|model| (model, model.has(depth, is_in(&likely, model))));
            let mut runs = Vec::from_iter(runs);
            runs.sort_by_key(|(model, _)| !is_in(&failed_before, model) && !is_in(&likely, model));
            let decision = decide(&row, &runs, depth)?;
            if let Decision::Killed(model, _) = &decision {
                failed.lock().expect("nobody panics with it").insert((site.file.clone(), model.clone()));
            }
            let said = format!("{} -> {}: {decision:?}", site.name(), row.weaker);
            let mut rows = rows.lock().expect("nobody panics with it");
            rows[at].decision = Some(decision);
            table::write(&sites, &rows)?;
            Ok(said)
        })?;
    }
    conclude(&sites, &rows.into_inner().expect("nobody panics with it"))
}

/// Writes the table, and says what is wrong with it. True if nothing is.
fn conclude(sites: &[Site], rows: &[Row]) -> io::Result<bool> {
    table::write(sites, rows)?;
    let faults = table::faults(sites, rows)?;
    faults.iter().for_each(|fault| println!("{fault}"));
    Ok(faults.is_empty())
}

/// Finds out what each model reaches, unless an earlier run did.
fn measure(models: &mut [Model], sites: &[Site]) -> io::Result<()> {
    let path = copy::target().join("orderings.measured");
    let names = Vec::from_iter(sites.iter().map(Site::name));
    models::read(&path, models, &names)?;
    let new = models.iter().enumerate().filter(|(_, model)| model.deepest.is_none());
    let new = Vec::from_iter(new.map(|(at, model)| (at, model.clone())));
    let models = Mutex::new(models);
    each(new, "models as they are", |(at, mut model): (usize, Model)| {
        model.measure(&names)?;
        let said = format!("{} reaches {}, {:?} s", model.name, model.reaches.len(), model.seconds);
        let mut models = models.lock().expect("nobody panics with it");
        models[at] = model;
        models::write(&path, &models, &names)?;
        Ok(said)
    })
}

/// Runs the models that reach a site and are to run at this depth, until one fails.
fn decide(row: &Row, reaching: &[(&Model, bool)], depth: Depth) -> io::Result<Decision> {
    if reaching.is_empty() {
        return Ok(Decision::NotReached);
    }
    let mut undecided = match &row.decision {
        Some(Decision::Survives(_, undecided, _)) => undecided.clone(),
        _ => Vec::new(),
    };
    for (model, runs) in reaching {
        if !runs || undecided.contains(&model.name) {
            continue;
        }
        match model.judge(row.site, row.weaker, depth)? {
            Verdict::Failed => return Ok(Decision::Killed(model.name.clone(), depth.whole())),
            Verdict::Undecided => undecided.push(model.name.clone()),
            Verdict::Passed => {}
        }
    }
    Ok(Decision::Survives(reaching.len() - undecided.len(), undecided, depth))
}

/// Works on all items, as many at a time as there are processors, and shows how far it is.
fn each<T: Send>(items: Vec<T>, title: &str, work: impl Fn(T) -> io::Result<String> + Sync) -> io::Result<()> {
    let style =
        ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len}, {elapsed} {msg}").expect("it is a template");
    let bar = ProgressBar::new(items.len() as u64).with_style(style).with_prefix(title.to_owned());
    let left = Mutex::new(items.into_iter());
    let loops = || -> io::Result<()> {
        loop {
            let next = left.lock().expect("nobody panics with it").next();
            let Some(item) = next else { return Ok(()) };
            let said = work(item)?;
            bar.suspend(|| println!("{said}"));
            bar.inc(1);
        }
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism()?.get();
        let workers = Vec::from_iter((0..count).map(|_| scope.spawn(loops)));
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker panicked"))
    })?;
    bar.finish_and_clear();
    Ok(())
}
