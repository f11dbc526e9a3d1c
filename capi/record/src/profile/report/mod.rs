//! What a profile says, in the formats of others.

mod pprof;
mod read;
mod symbols;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use read::{Raw, read};
use symbols::{Frame, Symbols};

/// Figures of a site: their names in pprof, and in the names of the files with folded stacks.
///
/// | name | file | |
/// |---|---|---|
/// | `alloc_objects` | | objects that were allocated |
/// | `alloc_space` | `total` | bytes that were allocated |
/// | `inuse_objects` | | objects that were live at the end |
/// | `inuse_space` | `end` | bytes that were live at the end |
/// | `peak_space` | `peak` | bytes that were live when the most were |
/// | `pinned_space` | `pinned` | bytes of free memory that its blocks pinned when the most were pinned |
const FIGURES: [(&str, &str, Option<&str>); 6] = [
    ("alloc_objects", "count", None),
    ("alloc_space", "bytes", Some("total")),
    ("inuse_objects", "count", None),
    ("inuse_space", "bytes", Some("end")),
    ("peak_space", "bytes", Some("peak")),
    ("pinned_space", "bytes", Some("pinned")),
];

/// A site and its figures.
#[derive(Debug)]
struct Site {
    /// From the innermost one on, with inlined functions, without those of the allocator.
    frames: Vec<Frame>,
    figures: [u64; FIGURES.len()],
}

/// What was profiled. Bytes are estimates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The command line.
    pub program: String,
    /// Call sites.
    pub sites: usize,
    /// Bytes that were allocated.
    pub total: u64,
    /// Most bytes that were live at a look.
    pub peak: u64,
    /// Bytes that were live at the end.
    pub live: u64,
    /// Most bytes of free memory that were pinned at a look.
    pub pinned: u64,
    /// Samples that had no room.
    pub lost: u64,
}

/// Writes the profile of a raw file as pprof's, and beside it folded stacks: of `program.pb.gz` these are
/// `program.total.folded`, and so with `end`, `peak` and `pinned`.
///
/// # Errors
///
/// When a file can't be read or written, or `raw` is none.
pub fn convert(raw: &Path, profile: &Path) -> io::Result<Summary> {
    let Raw { program, mean, sites, mappings, peak, pinned, lost } = read(raw)?;
    let mut symbols = Symbols::new(mappings);
    let sites: Vec<Site> = sites
        .into_iter()
        .map(|(addresses, figures)| Site { frames: symbols.stack(&addresses), figures })
        .filter(|site| site.figures[0] > 0)
        .collect();
    fs::write(profile, pprof::encode(&program, mean, &sites, &symbols)?)?;
    let sum = |figure: usize| sites.iter().map(|site| site.figures[figure]).sum();
    for (number, (_, _, name)) in FIGURES.iter().enumerate() {
        if let Some(name) = name {
            write_folded(&beside(profile, name), &sites, number)?;
        }
    }
    Ok(Summary { program, sites: sites.len(), total: sum(1), peak, live: sum(3), pinned, lost })
}

fn beside(profile: &Path, name: &str) -> std::path::PathBuf {
    let file = profile.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = file.strip_suffix(".pb.gz").unwrap_or(&file);
    profile.with_file_name(format!("{stem}.{name}.folded"))
}

/// A line for each stack, from the outermost function on, and its figure: the input of a flame graph.
fn write_folded(path: &Path, sites: &[Site], figure: usize) -> io::Result<()> {
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for site in sites.iter().filter(|site| site.figures[figure] > 0) {
        let names: Vec<String> = site.frames.iter().rev().map(|frame| frame.name.replace(';', ":")).collect();
        let line = if names.is_empty() { "unknown".to_owned() } else { names.join(";") };
        *lines.entry(line).or_default() += site.figures[figure];
    }
    let mut file = io::BufWriter::new(fs::File::create(path)?);
    lines.iter().try_for_each(|(line, bytes)| writeln!(file, "{line} {bytes}"))?;
    file.flush()
}
