//! Runs a model with a bug.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use wait_timeout::ChildExt;

use crate::switch;

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
        }
    }
}

/// Runs the model `test` of a program with the bug of this number.
pub(crate) fn run(program: &Path, test: &str, number: usize) -> io::Result<Verdict> {
    let log = program.with_extension(format!("{test}.{number}.log"));
    let mut command = Command::new(program);
    command.args([test, "--exact", "--nocapture"]).env("RUST_BACKTRACE", "0");
    // An execution with few preemptions is one of those with more, and most bugs need few.
    command.env("LOOM_TESTS_SHALLOW_FIRST", "1").env(switch::VARIABLE, number.to_string());
    let write = File::create(&log)?;
    command.stdout(write.try_clone()?).stderr(write);
    let Some(status) = within_limit(command)? else { return Ok(Verdict::Endless) };
    let said = fs::read(&log)?;
    fs::remove_file(&log)?;
    let log = String::from_utf8_lossy(&said);
    if status.success() {
        // A name that names no test passes, too.
        assert!(log.contains("1 passed"), "there is no model {test}");
        return Ok(Verdict::Survived);
    }
    let mut lines = log.lines().skip_while(|line| !line.contains("panicked at")).skip(1);
    let message = lines.find(|line| !line.trim().is_empty());
    // A bug that frees what is in use may end without one.
    Ok(Verdict::Killed(message.map_or_else(|| status.to_string(), |message| message.trim().to_owned())))
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
