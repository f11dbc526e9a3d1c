//! The recordings of a program and of what it starts: a folder beside the file while they run, and files afterwards.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use record::{Summary, profile};

use crate::run::RunError;

/// What is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each allocation.
    Trace,
    /// A heap profile.
    Profile,
}

/// A recording that goes on.
#[derive(Debug)]
pub struct Recording {
    kind: Kind,
    /// The file of the program itself.
    file: PathBuf,
    /// Where the processes write.
    folder: PathBuf,
}

/// A raw file: of this process, which has run `number` programs before.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    process: u32,
    number: u32,
    path: PathBuf,
}

impl Part {
    /// `None`: the file is none of ours.
    fn new(path: PathBuf) -> Option<Self> {
        let (process, number) = path.file_name()?.to_str()?.strip_suffix(".raw")?.split_once('-')?;
        Some(Self { process: process.parse().ok()?, number: number.parse().ok()?, path: path.clone() })
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> RunError {
    let path = path.display().to_string();
    move |error| RunError::new(125, format!("{path}: {error}"))
}

impl Recording {
    /// Makes the folder.
    pub fn begin(kind: Kind, file: &Path) -> Result<Self, RunError> {
        let file = std::path::absolute(file).map_err(failed(file))?;
        let mut folder = file.clone().into_os_string();
        folder.push(".parts");
        let folder = PathBuf::from(folder);
        fs::create_dir(&folder).map_err(failed(&folder))?;
        Ok(Self { kind, file, folder })
    }

    /// The folder in which processes record.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The variable of the environment that has it.
    pub fn variable(&self) -> &'static str {
        match self.kind {
            Kind::Trace => "HEAPMASTER_TRACE",
            Kind::Profile => "HEAPMASTER_PROFILE",
        }
    }

    /// Makes files of what was recorded, and says which. `process` is the program itself: the last program that it has
    /// run is the one that was meant, where a script or `env` came before.
    pub fn end(self, process: u32) -> Result<(), RunError> {
        let files = fs::read_dir(&self.folder).map_err(failed(&self.folder))?;
        let mut parts: Vec<Part> = files.flatten().filter_map(|file| Part::new(file.path())).collect();
        parts.sort();
        let own = parts.iter().filter(|part| part.process == process).max().cloned();
        if own.is_none() {
            eprintln!("heapmaster: the program was not recorded: it is static, or it can't write there");
        }
        for part in &parts {
            let file = if Some(part) == own.as_ref() { self.file.clone() } else { self.beside(part) };
            let said = self.convert(&part.path, &file).map_err(failed(&part.path))?;
            fs::remove_file(&part.path).map_err(failed(&part.path))?;
            eprintln!("heapmaster: {}: {said}", file.display());
        }
        fs::remove_dir(&self.folder).map_err(failed(&self.folder))
    }

    /// Makes a file of a raw one; returns its figures.
    fn convert(&self, raw: &Path, file: &Path) -> std::io::Result<String> {
        match self.kind {
            Kind::Trace => {
                let Summary { events, threads, peak, lost, program, .. } = record::convert(raw, file)?;
                let lost = if lost > 0 { format!(" ({lost} left out)") } else { String::new() };
                let (events, threads) = (count(events, "event"), count(threads, "thread"));
                Ok(format!("{events}{lost} of {threads}, at most {peak} bytes live: {program}"))
            }
            Kind::Profile => {
                let profile::Summary { sites, total, peak, pinned, lost, program, .. } = profile::convert(raw, file)?;
                let lost =
                    if lost > 0 { format!(" ({} left out)", count(lost as usize, "sample")) } else { String::new() };
                let sites = count(sites, "call site");
                Ok(format!("{sites}{lost}, {total} bytes, at most {peak} live and {pinned} pinned: {program}"))
            }
        }
    }

    /// The file of another process: its number is before the first end of the name.
    fn beside(&self, part: &Part) -> PathBuf {
        let name = self.file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (stem, end) = name.split_at(name.find('.').unwrap_or(name.len()));
        self.file.with_file_name(OsString::from(format!("{stem}.{}-{}{end}", part.process, part.number)))
    }
}

/// `1 thread`, `2 threads`.
fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}
