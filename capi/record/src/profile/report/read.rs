//! Reads the raw file.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::FIGURES;
use crate::profile::tables::{self, MAGIC, Tables};

/// What is in it.
#[derive(Debug)]
pub struct Raw {
    pub program: String,
    pub mean: u64,
    /// The addresses and figures of each site.
    pub sites: Vec<(Vec<u64>, [u64; FIGURES.len()])>,
    pub mappings: Vec<Mapping>,
    pub peak: u64,
    pub pinned: u64,
    pub lost: u64,
}

/// A part of a file that is mapped, and may be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub begin: u64,
    pub end: u64,
    /// Where it begins in the file.
    pub offset: u64,
    pub file: PathBuf,
}

impl Mapping {
    /// Of a line of the system's. `None`: of none that may be executed.
    fn new(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (begin, end) = words.next()?.split_once('-')?;
        let (begin, end) = (u64::from_str_radix(begin, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        let may = words.next()?;
        let offset = u64::from_str_radix(words.next()?, 16).ok()?;
        // Behind the device and the number of the file, the name is the rest of the line.
        let (_, number) = (words.next()?, words.next()?);
        let name = line.split_once(&format!(" {number} ")).map_or("", |(_, name)| name.trim());
        may.contains('x').then(|| Self { begin, end, offset, file: name.into() })
    }
}

pub fn read(path: &Path) -> io::Result<Raw> {
    let none = || io::Error::new(io::ErrorKind::InvalidData, "it is not a raw profile");
    let file = File::open(path)?;
    if file.metadata()?.len() < size_of::<Tables>() as u64 {
        return Err(none());
    }
    let mapped = tables::map(file.as_raw_fd(), false).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: a mapping as long as tables, which are numbers: all bits are values of them.
    let tables = unsafe { &*mapped };
    let raw = if tables.magic == MAGIC { Ok(of_tables(tables)) } else { Err(none()) };
    // SAFETY: mapped above, and nobody has a reference any more.
    unsafe { libc::munmap(mapped.cast(), size_of::<Tables>()) };
    raw
}

fn of_tables(tables: &Tables) -> Raw {
    // Relaxed: nobody writes to the file any more.
    let get = |number: &AtomicU64| number.load(Ordering::Relaxed);
    let name = &tables.name[..(tables.name_len as usize).min(tables.name.len())];
    let printed = |c: char| if c.is_control() { ' ' } else { c };
    // SAFETY: as above.
    let maps = unsafe { &*tables.maps.get() };
    let maps = String::from_utf8_lossy(&maps[..(get(&tables.maps_len) as usize).min(maps.len())]);
    let figures = |site: &tables::Site| {
        let objects = [&site.all_objects, &site.live_objects].map(|objects| get(objects).div_ceil(256));
        let bytes = [&site.all_bytes, &site.live_bytes, &site.peak_bytes, &site.pinned_bytes].map(get);
        [objects[0], bytes[0], objects[1], bytes[1], bytes[2], bytes[3]]
    };
    Raw {
        program: String::from_utf8_lossy(name).chars().map(printed).collect::<String>().trim().to_owned(),
        mean: tables.mean,
        sites: tables.sites().iter().map(|site| (site.frames().collect(), figures(site))).collect(),
        mappings: maps.lines().filter_map(Mapping::new).collect(),
        peak: get(&tables.peak),
        pinned: get(&tables.pinned),
        lost: get(&tables.lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_mappings() {
        let line = "7f01000-7f02000 r-xp 00001000 08:01 77                     /usr/lib/with blank.so";
        let file = PathBuf::from("/usr/lib/with blank.so");
        let expected = Mapping { begin: 0x7f0_1000, end: 0x7f0_2000, offset: 0x1000, file };
        assert_eq!(Mapping::new(line), Some(expected));
        assert_eq!(Mapping::new(&line.replace("r-xp", "r--p")), None);
        assert_eq!(Mapping::new("1000-2000 r-xp 00000000 00:00 0 ").map(|mapping| mapping.file), Some(PathBuf::new()));
    }
}
