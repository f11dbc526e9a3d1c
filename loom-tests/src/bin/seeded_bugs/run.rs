//! Runs the models of a bug on a copy that has it.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use wait_timeout::ChildExt;

use crate::all::bug::Bug;
use crate::copy::Copy;

/// No model takes as long even without a bug.
const LIMIT: Duration = Duration::from_secs(180);

/// What came of a bug in one model.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The model failed, with this message.
    Killed(String),
    /// The model passed.
    Survived,
    /// The model did not end.
    Endless,
    /// The patch does not fit the source any more.
    DoesNotApply,
    /// The patched source does not compile; the compiler's first error.
    DoesNotCompile(String),
}

impl Verdict {
    /// Did the model find the bug?
    pub(crate) fn is_killed(&self) -> bool {
        matches!(self, Self::Killed(_))
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Killed(message) => write!(f, "killed: {message}"),
            Self::Survived => f.write_str("SURVIVED"),
            Self::Endless => write!(f, "SURVIVED, and was stopped after {} s", LIMIT.as_secs()),
            Self::DoesNotApply => f.write_str("DOES NOT APPLY: the patched line is not there exactly once"),
            Self::DoesNotCompile(error) => write!(f, "DOES NOT COMPILE: {error}"),
        }
    }
}

/// A model's verdict on a bug, and what that took.
#[derive(Debug)]
pub(crate) struct Found {
    pub model: &'static str,
    pub verdict: Verdict,
    pub compiled: Duration,
    pub ran: Duration,
}

/// Puts the bug into the copy, runs its models there, and takes it out again.
pub(crate) fn seed(copy: &Copy, bug: &Bug) -> io::Result<Vec<Found>> {
    let place = copy.source(bug.source);
    let Some(patched) = bug.apply(&fs::read_to_string(&place)?) else {
        let (compiled, ran) = Default::default();
        return Ok(vec![Found { model: bug.source, verdict: Verdict::DoesNotApply, compiled, ran }]);
    };
    fs::write(&place, patched)?;
    let found = bug.models.iter().map(|model| {
        let begun = Instant::now();
        let program = compile(copy, model)?;
        let compiled = begun.elapsed();
        let verdict = match program {
            Ok(program) => run(copy, model, &program)?,
            Err(error) => Verdict::DoesNotCompile(error),
        };
        Ok(Found { model, verdict, compiled, ran: begun.elapsed() - compiled })
    });
    let found = found.collect();
    copy.restore(bug.source)?;
    found
}

/// The program of a model, or the compiler's first error.
fn compile(copy: &Copy, model: &str) -> io::Result<Result<String, String>> {
    let (file, _) = model.split_once("::").expect("FILE::TEST");
    let output = copy.compile(file).output()?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    // "Executable tests/FILE.rs (PATH)" is cargo's last line.
    let program = log.lines().rev().find_map(|line| line.trim().strip_prefix("Executable ")?.split_once('('));
    let Some((_, program)) = program.filter(|_| output.status.success()) else {
        let error = log.lines().find(|line| line.starts_with("error"));
        return Ok(Err(error.unwrap_or("no message").to_owned()));
    };
    Ok(Ok(program.trim_end_matches(')').to_owned()))
}

fn run(copy: &Copy, model: &str, program: &str) -> io::Result<Verdict> {
    let (_, test) = model.split_once("::").expect("FILE::TEST");
    let log = copy.source("model.log");
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture"]).env("RUST_BACKTRACE", "0");
    // An execution with few preemptions is one of those with more, and most bugs need few.
    command.env("LOOM_TESTS_SHALLOW_FIRST", "1");
    let write = File::create(&log)?;
    command.stdout(write.try_clone()?).stderr(write);
    let Some(status) = within_limit(command)? else { return Ok(Verdict::Endless) };
    let log = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    if status.success() {
        // A name that names no test passes, too.
        assert!(log.contains("1 passed"), "there is no model {model}");
        return Ok(Verdict::Survived);
    }
    let mut lines = log.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    let message = lines.find(|line| !line.trim().is_empty());
    Ok(Verdict::Killed(message.unwrap_or("without a message").trim().to_owned()))
}

/// Runs a command; None when it took too long and was stopped.
fn within_limit(mut command: Command) -> io::Result<Option<ExitStatus>> {
    let mut child = command.spawn()?;
    let status = child.wait_timeout(LIMIT)?;
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(status)
}
