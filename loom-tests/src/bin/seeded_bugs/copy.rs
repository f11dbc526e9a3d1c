//! A copy of the workspace to put bugs into.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace")
}

/// The place of a source file.
pub(crate) fn original(source: &str) -> PathBuf {
    root().join("src").join(source)
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// How copies are compiled: for each bug only what it changes, and without what only a debugger needs. `.ci/run`
/// compiles the models alike.
const PROFILE: [&str; 2] = ["profile.release.debug=0", "profile.release.incremental=true"];

/// A copy of the workspace, without what no model needs. Each has a target folder of its own: cargo names what it
/// builds for a member of a workspace alike in all of them. What was built of loom for the models themselves serves
/// here, too, where it is in `loom` in cargo's folder; and these folders stay.
#[derive(Debug)]
pub(crate) struct Copy {
    folder: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Copies the workspace to `folder`, afresh.
    pub(crate) fn new(folder: PathBuf, target: PathBuf) -> io::Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        copy_folder(root(), &folder)?;
        let (built, place) = (self::target().join("loom/release"), target.join("release"));
        if built.exists() && !place.exists() {
            for part in ["build", "deps", ".fingerprint"] {
                copy_built(&built.join(part), &place.join(part))?;
            }
        }
        Ok(Self { folder, target })
    }

    /// The place of a source file in the copy.
    pub(crate) fn source(&self, source: &str) -> PathBuf {
        self.folder.join("src").join(source)
    }

    /// Puts a source file back as it was; its time is new, so that cargo builds it again.
    pub(crate) fn restore(&self, source: &str) -> io::Result<()> {
        fs::write(self.source(source), fs::read_to_string(original(source))?)
    }

    /// A command that compiles a file of models.
    pub(crate) fn compile(&self, file: &str) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["test", "--release", "-p", "loom-tests", "--no-run", "--test", file]);
        command.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
        command.current_dir(&self.folder);
        command.env("RUSTFLAGS", "--cfg loom").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.env("CARGO_TARGET_DIR", &self.target);
        command.env("CARGO_TERM_COLOR", "never").env_remove("CARGO_INCREMENTAL");
        command
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (name, place) = (entry.file_name(), to.join(entry.file_name()));
        let skip = ["target", "bin"].map(OsStr::new).contains(&&*name) || name.as_encoded_bytes().starts_with(b".");
        match entry.file_type()? {
            kind if kind.is_dir() && !skip => copy_folder(&entry.path(), &place)?,
            kind if kind.is_file() && !skip => drop(fs::copy(entry.path(), place)?),
            _ => {}
        }
    }
    Ok(())
}

/// Copies what cargo has built, with its times, without which it would be built again.
fn copy_built(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, place) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() {
            copy_built(&entry, &place)?;
            continue;
        }
        fs::copy(&entry, &place)?;
        File::options().write(true).open(&place)?.set_modified(entry.metadata()?.modified()?)?;
    }
    Ok(())
}
