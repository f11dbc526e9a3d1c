//! A copy of the workspace with changed sources.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a member of the workspace")
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// How the copy is compiled: as `.ci/models` compiles the models, so that loom is built once.
const PROFILE: [&str; 2] = ["profile.release.debug=0", "profile.release.incremental=false"];

/// A file of the workspace, by its path from there, and what it has.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A copy of the workspace, without what no model needs. It has a target folder of its own: cargo names what it builds
/// for a member of a workspace alike in all of them. Both folders stay, so that cargo builds what has changed.
#[derive(Debug)]
pub(crate) struct Copy {
    /// Where it is.
    pub folder: PathBuf,
    target: PathBuf,
}

impl Copy {
    /// Copies the workspace into a folder of this name, as `change` leaves it.
    ///
    /// # Errors
    ///
    /// When `change` fails, too.
    pub(crate) fn new(name: &str, change: impl FnOnce(&mut Files) -> io::Result<()>) -> io::Result<Self> {
        let (folder, place) = (target().join(name), target().join(format!("{name}-target")));
        let mut files = read(&[""])?;
        change(&mut files)?;
        // What is there as it should be keeps its time, so that cargo does not build it again.
        for old in files_in(&folder)? {
            let path = old.strip_prefix(&folder).expect("it is in the folder");
            match files.get(path) {
                Some(content) if fs::read(&old)? == *content => drop(files.remove(path)),
                Some(_) => {}
                None => fs::remove_file(&old)?,
            }
        }
        for (path, content) in files {
            let to = folder.join(path);
            fs::create_dir_all(to.parent().expect("it is in the folder"))?;
            fs::write(to, content)?;
        }
        let (built, release) = (target().join("loom/release"), place.join("release"));
        if built.exists() && !release.exists() {
            for part in ["build", "deps", ".fingerprint"] {
                copy_built(&built.join(part), &release.join(part))?;
            }
        }
        Ok(Self { folder, target: place })
    }

    /// Compiles files of models. Returns the programs, by the names of their files.
    ///
    /// # Errors
    ///
    /// When something does not compile, too: what the compiler says.
    pub(crate) fn compile(&self, models: &BTreeSet<&str>) -> io::Result<BTreeMap<String, PathBuf>> {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["test", "--release", "-p", "loom-tests", "--no-run"]);
        command.args(models.iter().flat_map(|file| ["--test", file]));
        command.args(PROFILE.iter().flat_map(|setting| ["--config", setting]));
        command.current_dir(&self.folder);
        command.env("RUSTFLAGS", "--cfg loom").env_remove("CARGO_ENCODED_RUSTFLAGS");
        command.env("CARGO_TARGET_DIR", &self.target);
        command.env("CARGO_TERM_COLOR", "never").env_remove("CARGO_INCREMENTAL");
        let output = command.output()?;
        let log = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(io::Error::other(log.into_owned()));
        }
        // "Executable tests/FILE.rs (PATH)" for each.
        let program = |line: &str| {
            let (file, program) = line.trim().strip_prefix("Executable tests/")?.split_once(".rs (")?;
            Some((file.to_owned(), PathBuf::from(program.trim_end_matches(')'))))
        };
        Ok(log.lines().filter_map(program).collect())
    }
}

/// Reads folders of the workspace.
pub(crate) fn read(folders: &[&str]) -> io::Result<Files> {
    let mut files = Files::new();
    for folder in folders {
        read_into(Path::new(folder), &mut files)?;
    }
    Ok(files)
}

fn read_into(folder: &Path, files: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(root().join(folder))? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), folder.join(entry.file_name()));
        let skip = ["target", "bin"].map(OsStr::new).contains(&&*name) || name.as_encoded_bytes().starts_with(b".");
        match entry.file_type()? {
            kind if kind.is_dir() && !skip => read_into(&path, files)?,
            kind if kind.is_file() && !skip => drop(files.insert(path.clone(), fs::read(entry.path())?)),
            _ => {}
        }
    }
    Ok(())
}

/// All files in a folder, if there is one.
fn files_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() { files.extend(files_in(&path)?) } else { files.push(path) }
        }
    }
    Ok(files)
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
