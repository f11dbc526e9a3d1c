//! The recordings of a program and of what it starts: a folder beside the trace while they run, and traces afterwards.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::run::RunError;

/// What is being recorded.
#[derive(Debug)]
pub struct Recording {
    /// The trace of the program itself.
    trace: PathBuf,
    /// Where the processes write.
    folder: PathBuf,
}

/// A raw file: of this process, which has run so many programs before.
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
    pub fn begin(trace: &Path) -> Result<Self, RunError> {
        let trace = std::path::absolute(trace).map_err(failed(trace))?;
        let mut folder = trace.clone().into_os_string();
        folder.push(".parts");
        let folder = PathBuf::from(folder);
        fs::create_dir(&folder).map_err(failed(&folder))?;
        Ok(Self { trace, folder })
    }

    /// The folder in which processes record.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes traces of what was recorded, and says which. `process` is the program itself: the last program that it has
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
            let trace = if Some(part) == own.as_ref() { self.trace.clone() } else { self.beside(part) };
            let summary = record::convert(&part.path, &trace).map_err(failed(&part.path))?;
            fs::remove_file(&part.path).map_err(failed(&part.path))?;
            eprintln!(
                "heapmaster: {}: {} events of {} threads, at most {} bytes live: {}",
                trace.display(),
                summary.events,
                summary.threads,
                summary.peak,
                summary.program
            );
            if summary.lost > 0 {
                eprintln!("heapmaster: {} events had to be left out", summary.lost);
            }
        }
        fs::remove_dir(&self.folder).map_err(failed(&self.folder))
    }

    /// The trace of another process: its number is before the first end of the name.
    fn beside(&self, part: &Part) -> PathBuf {
        let name = self.trace.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (stem, end) = name.split_at(name.find('.').unwrap_or(name.len()));
        self.trace.with_file_name(OsString::from(format!("{stem}.{}-{}{end}", part.process, part.number)))
    }
}
