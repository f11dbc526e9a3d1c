//! `heapmaster run`: a program whose `malloc` is ours, by preload, and what is asked of it, by the environment.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Args, ValueEnum};
use recordings::parse_bytes;

use crate::recording::{Kind, Recording};

/// Runs a program on heapmaster's malloc, and ends as it does: with its code, or 128 and the number of its signal.
///
/// Programs that it starts have the same malloc and the same options. A program that is linked statically keeps its
/// own, and so does one with another user's rights.
#[derive(Debug, Args)]
pub struct Options {
    /// The most memory that malloc has in each process, as 67108864 or 64MiB; beyond it, malloc returns null
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    limit: Option<usize>,
    /// Checks each release, and tells wrong ones on standard error, with their stacks
    #[arg(long, value_name = "THEN", num_args = 0..=1, require_equals = true, default_missing_value = "report")]
    checked: Option<Wrong>,
    /// Records the allocations of the program, as a trace that is compressed with zstd. The trace of another process
    /// that it starts has the number of that in its name
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Writes a heap profile of the program, as pprof reads it, and beside it folded stacks for flame graphs. Those of
    /// another process that it starts have the number of that in their names
    #[arg(long, value_name = "FILE", conflicts_with_all = ["trace", "checked"])]
    profile: Option<PathBuf>,
    /// Bytes from sample to sample of the profile, in the mean [default: 512KiB]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, requires = "profile")]
    profile_rate: Option<usize>,
    /// At the end, prints the figures of each process on standard error
    #[arg(long)]
    stats: bool,
    /// The program and its arguments
    #[arg(required = true, last = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// What a wrong release leads to.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wrong {
    /// The program goes on
    Report,
    /// The program ends
    Stop,
}

/// Why nothing was run.
#[derive(Debug)]
pub struct RunError {
    /// The code to end with, as a shell does.
    pub code: u8,
    text: String,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl RunError {
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// The shared library: beside this command, or where `install` puts it.
fn library() -> Result<PathBuf, RunError> {
    const NAME: &str = "libheapmaster.so";
    let own = env::current_exe().map_err(|error| RunError::new(125, error.to_string()))?;
    let places = own.parent().map(|folder| [folder.join(NAME), folder.join("../lib").join(NAME)]);
    let found = places.into_iter().flatten().find(|place| place.exists());
    found.ok_or_else(|| RunError::new(125, format!("there is no {NAME} beside {}", own.display())))
}

/// Runs the program; returns how it ended.
pub fn run(options: &Options) -> Result<ExitCode, RunError> {
    let (program, arguments) =
        options.program.split_first().ok_or_else(|| RunError::new(125, "there is no program"))?;
    let mut preload = library()?.into_os_string();
    if let Some(others) = env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    let mut command = Command::new(program);
    command.args(arguments).env("LD_PRELOAD", preload);
    if let Some(limit) = options.limit {
        command.env("HEAPMASTER_LIMIT", limit.to_string());
    }
    if let Some(wrong) = options.checked {
        command.env("HEAPMASTER_CHECKED", if matches!(wrong, Wrong::Stop) { "stop" } else { "report" });
    }
    let figures = options.stats.then(|| env::temp_dir().join(format!("heapmaster-{}.stats", std::process::id())));
    if let Some(path) = &figures {
        _ = fs::remove_file(path);
        command.env("HEAPMASTER_STATS", path);
    }
    // One of the two: the options exclude each other.
    let recording = match (&options.trace, &options.profile) {
        (Some(file), _) => Some(Recording::begin(Kind::Trace, file)?),
        (None, Some(file)) => Some(Recording::begin(Kind::Profile, file)?),
        (None, None) => None,
    };
    if let Some(recording) = &recording {
        command.env(recording.variable(), recording.folder());
    }
    if let Some(bytes) = options.profile_rate {
        command.env("HEAPMASTER_PROFILE_RATE", bytes.to_string());
    }
    ignore_interrupts();
    let mut child = command.spawn().map_err(|error| {
        let code = if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 };
        RunError::new(code, format!("{}: {error}", program.display()))
    })?;
    let status = child.wait().map_err(|error| RunError::new(125, error.to_string()))?;
    if let Some(path) = figures {
        let none = "no process told its figures: the program is static, or ended by a signal or by _exit\n";
        eprint!("{}", fs::read_to_string(&path).as_deref().unwrap_or(none));
        _ = fs::remove_file(path);
    }
    if let Some(recording) = recording {
        recording.end(child.id())?;
    }
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(125);
    Ok(ExitCode::from(code.to_le_bytes()[0]))
}

/// A key that interrupts is for the program, which decides what it means. This command waits for its end.
fn ignore_interrupts() {
    extern "C" fn nothing(_: i32) {}
    let nothing = nothing as extern "C" fn(i32);
    for signal in [libc::SIGINT, libc::SIGQUIT] {
        // SAFETY: a function that does nothing. The program does not inherit it, as it would a signal that is ignored.
        unsafe { libc::signal(signal, nothing as libc::sighandler_t) };
    }
}
