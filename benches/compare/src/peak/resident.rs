//! The resident memory of this process, as the kernel tells it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::sync::OnceLock;

/// Bytes for the longest file that is read.
const TEXT: usize = 1 << 20;
/// A mapping of which less was used is not the allocator's: one page can be by chance, because processors look ahead,
/// and one can be another allocator's, if the kernel made one mapping of theirs.
const LEAST_USED: u64 = 8 << 10;

/// What allocators made resident before `main`, from constructors. All allocators of the build do, not only the one
/// that is measured: which mappings are that one's is seen by which are used when it is.
#[derive(Debug)]
pub struct AtStart(Vec<Mapping>);

#[derive(Debug, PartialEq, Eq)]
struct Mapping {
    addresses: Range<usize>,
    resident: u64,
}

/// What was mapped before the constructors: the program, its libraries, and what the loader needed.
static BEFORE_CONSTRUCTORS: OnceLock<Vec<Range<usize>>> = OnceLock::new();

/// The C library calls what stands in this section before all constructors.
#[used]
// SAFETY: the section is for pointers to such functions. This one uses memory and files only, which are there by then.
#[unsafe(link_section = ".preinit_array")]
static NOTE: extern "C" fn() = note_before_constructors;

extern "C" fn note_before_constructors() {
    // Without it, nothing counts as made by constructors.
    if let Ok(maps) = fs::read_to_string("/proc/self/maps") {
        _ = BEFORE_CONSTRUCTORS.set(maps.lines().filter_map(mapping).map(|(addresses, _)| addresses).collect());
    }
}

impl AtStart {
    /// To be called before anything large is allocated.
    pub fn note() -> io::Result<Self> {
        let Some(before) = BEFORE_CONSTRUCTORS.get() else { return Ok(Self(Vec::new())) };
        let new = new_mappings(&fs::read_to_string("/proc/self/maps")?, before);
        for addresses in &new {
            // By what the kernel is told about them, they stay apart from other mappings beside them.
            // SAFETY: it is only about core dumps.
            unsafe { libc::madvise(pointer(addresses.start), addresses.len(), libc::MADV_DONTDUMP) };
        }
        let smaps = fs::read_to_string("/proc/self/smaps")?;
        let resident = |addresses: &Range<usize>| value_at(&smaps, addresses.start, "Rss:").unwrap_or(0);
        Ok(Self(new.into_iter().map(|addresses| Mapping { resident: resident(&addresses), addresses }).collect()))
    }
}

/// The mappings without a name that were not there before, as far as they were not; neither the heap nor the stack.
fn new_mappings(maps: &str, before: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut new = Vec::new();
    let unnamed = maps.lines().filter_map(mapping).filter(|(_, rest)| rest.split_whitespace().count() == 4);
    for (addresses, _) in unnamed {
        // Both are in the order of addresses.
        let mut rest = addresses;
        for old in before.iter().filter(|old| old.start < old.end) {
            if old.end <= rest.start || old.start >= rest.end {
                continue;
            }
            if rest.start < old.start {
                new.push(rest.start..old.start);
            }
            rest.start = rest.end.min(old.end);
        }
        if !rest.is_empty() {
            new.push(rest);
        }
    }
    new
}

/// Takes the resident size, and looks for its peak from then on. After it was made, it allocates nothing.
#[derive(Debug)]
pub struct Meter {
    text: Vec<u8>,
    at_start: AtStart,
    before: u64,
    /// The kernel keeps the peak since `before`.
    kept: bool,
    /// The most that was seen.
    seen: u64,
    huge: u64,
    mapping: Parts,
}

/// The resident bytes of an allocator that has everything in one reservation, its metadata first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    pub metadata: u64,
    pub heap: u64,
}

impl Parts {
    pub fn sum(self) -> u64 {
        self.metadata + self.heap
    }
}

impl Meter {
    /// Takes memory for what it reads.
    pub fn new(at_start: AtStart) -> Self {
        // Written, so that it is resident.
        Self { text: vec![1; TEXT], at_start, before: 0, kept: false, seen: 0, huge: 0, mapping: Parts::default() }
    }

    /// Takes what is resident now. From here on the caller allocates nothing but what is to be measured.
    pub fn begin(&mut self) -> io::Result<()> {
        // The files are read once before, so that whatever that brings in is there.
        self.look()?;
        self.look_at(0)?;
        self.peak()?;
        // 1 sets all pages to unused, and 5 the peak to what is resident now.
        let clear = |what| fs::write("/proc/self/clear_refs", what).is_ok();
        self.kept = clear("1") && clear("5");
        (self.seen, self.huge, self.mapping) = (0, 0, Parts::default());
        self.look()?;
        self.before = self.seen;
        Ok(())
    }

    /// Looks at what is resident now.
    pub fn look(&mut self) -> io::Result<()> {
        // Exact, which the kernel's quick sum in `status` is not everywhere.
        let text = read("/proc/self/smaps_rollup", &mut self.text)?;
        self.seen = self.seen.max(find(text, "Rss:")?);
        self.huge = self.huge.max(find(text, "AnonHugePages:")?);
        Ok(())
    }

    /// Makes two mappings of the one that `border` is in, so that what is before it is looked at apart.
    pub fn part_at(&mut self, border: usize) -> io::Result<()> {
        let text = read("/proc/self/smaps", &mut self.text)?;
        let found = text.lines().filter_map(mapping).find(|(addresses, _)| addresses.contains(&border));
        if let Some((addresses, _)) = found {
            // By what the kernel is told about it, it stays apart from what is beside it, before it too.
            // SAFETY: it is only about children, and this process has none.
            unsafe { libc::madvise(pointer(addresses.start), border - addresses.start, libc::MADV_DONTFORK) };
        }
        Ok(())
    }

    /// Looks at what is resident before a border and behind it, each as far as mappings lie side by side for which
    /// somebody has said whether huge pages may be there; of those that nobody has, as far as one goes.
    pub fn look_at(&mut self, border: usize) -> io::Result<()> {
        let parts = parts_at(read("/proc/self/smaps", &mut self.text)?, border);
        if parts.sum() > self.mapping.sum() {
            self.mapping = parts;
        }
        Ok(())
    }

    /// The peak: bytes more than at the beginning, with those that were there at the start and were used since.
    pub fn peak(&mut self) -> io::Result<u64> {
        self.look()?;
        if self.kept {
            // Where memory was given back, this may be too little by some dozen pages, which a look may have seen.
            self.seen = self.seen.max(find(read("/proc/self/status", &mut self.text)?, "VmHWM:")?);
        }
        Ok(self.seen.saturating_sub(self.before) + self.used_of_start()?)
    }

    /// What was there at the start and was used since the beginning.
    fn used_of_start(&mut self) -> io::Result<u64> {
        let text = read("/proc/self/smaps", &mut self.text)?;
        let is_used = |mapping: &&Mapping| {
            value_at(text, mapping.addresses.start, "Referenced:").is_some_and(|used| used >= LEAST_USED)
        };
        Ok(self.at_start.0.iter().filter(is_used).map(|mapping| mapping.resident).sum())
    }

    /// Did the kernel keep the peak? If not, it is the most that was seen.
    pub fn is_kept(&self) -> bool {
        self.kept
    }

    /// The most that was seen in huge pages.
    pub fn huge(&self) -> u64 {
        self.huge
    }

    /// The most that was resident on both sides of the border.
    pub fn mapping(&self) -> Parts {
        self.mapping
    }
}

fn read<'t>(path: &str, text: &'t mut [u8]) -> io::Result<&'t str> {
    let (mut file, mut len) = (File::open(path)?, 0);
    loop {
        match file.read(&mut text[len..])? {
            0 if len < text.len() => break,
            0 => return Err(ErrorKind::FileTooLarge.into()),
            more => len += more,
        }
    }
    std::str::from_utf8(&text[..len]).map_err(|_| ErrorKind::InvalidData.into())
}

/// Bytes, if the line is `name` and a number of kilobytes.
fn kilobytes(line: &str, name: &str) -> Option<u64> {
    Some(line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

fn find(text: &str, name: &str) -> io::Result<u64> {
    text.lines().find_map(|line| kilobytes(line, name)).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// The line that begins a mapping in `smaps` and `maps`: its addresses, and the rest of the line.
fn mapping(line: &str) -> Option<(Range<usize>, &str)> {
    let (addresses, rest) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?, rest.trim_end()))
}

/// A value of the mapping that an address is in, in a text of `smaps`.
fn value_at(smaps: &str, address: usize, name: &str) -> Option<u64> {
    let mut lines = smaps.lines();
    lines.find(|line| mapping(line).is_some_and(|(addresses, _)| addresses.contains(&address)))?;
    lines.take_while(|line| mapping(line).is_none()).find_map(|line| kilobytes(line, name))
}

/// The resident bytes on both sides of a border, in a text of `smaps`.
fn parts_at(smaps: &str, border: usize) -> Parts {
    let mut parts = Parts::default();
    // Where the last one ended that belongs to the others, and whether something was said of it.
    let (mut end, mut last_is_told) = (0, false);
    let (mut addresses, mut resident) = (0..0, 0);
    for line in smaps.lines() {
        if let Some((next, _)) = mapping(line) {
            (addresses, resident) = (next, 0);
        } else if let Some(bytes) = kilobytes(line, "Rss:") {
            resident = bytes;
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            let is_told = flags.split_whitespace().any(|flag| flag == "nh" || flag == "hg");
            let goes_on = addresses.start == end && is_told && last_is_told;
            if addresses.end <= border {
                parts.metadata = if goes_on { parts.metadata + resident } else { resident };
            } else if addresses.start <= border {
                // A mapping that ends elsewhere belongs to another allocator.
                parts.metadata = if end == border { parts.metadata } else { 0 };
                parts.heap = resident;
            } else if goes_on {
                parts.heap += resident;
            } else {
                break;
            }
            (end, last_is_told) = (addresses.end, is_told);
        }
    }
    parts
}

fn pointer(address: usize) -> *mut libc::c_void {
    std::ptr::without_provenance_mut(address)
}

/// Brings in all pages of files that are mapped: the program and its libraries, which are not what is measured.
pub fn bring_files_in() -> io::Result<()> {
    for line in fs::read_to_string("/proc/self/maps")?.lines() {
        let Some((addresses, rest)) = mapping(line) else { continue };
        // `r-xp 0001c000 fe:00 1234 /usr/lib/…`
        if rest.starts_with('r') && rest.contains(" /") {
            // SAFETY: reading ahead changes no contents. Kernels that don't know the advice refuse it: then pages
            // come in as they are used, and count.
            unsafe { libc::madvise(pointer(addresses.start), addresses.len(), libc::MADV_POPULATE_READ) };
        }
    }
    Ok(())
}

#[cfg(test)]
pub mod tests {
    use std::hint::black_box;
    use std::sync::Mutex;

    use super::*;

    /// For tests that begin to measure: what the kernel keeps of a process, it keeps once.
    pub static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

    #[test]
    fn a_mapping_is_found_by_an_address_in_it() {
        let smaps = "5000-7000 rw-p 00000000 00:00 0 \nSize:          8 kB\nRss:           4 kB\nVmFlags: rd wr\n\
                     7000-a000 r--p 00000000 fe:00 12 /lib/a b\nSize:         12 kB\nRss:          12 kB\n\
                     a000-b000 rw-p 00000000 00:00 0 \nRss:           0 kB\nReferenced:    0 kB\n";
        assert_eq!(value_at(smaps, 0x6fff, "Rss:"), Some(4 << 10));
        assert_eq!(value_at(smaps, 0x7000, "Rss:"), Some(12 << 10));
        assert_eq!(value_at(smaps, 0x7000, "Referenced:"), None);
        assert_eq!(value_at(smaps, 0xb000, "Rss:"), None);
    }

    #[test]
    fn parts_are_mappings_side_by_side() {
        let smaps = "1000-2000 rw-p 00000000 00:00 0 \nRss:           4 kB\nVmFlags: rd nh\n\
                     3000-4000 rw-p 00000000 00:00 0 \nRss:           8 kB\nVmFlags: rd nh\n\
                     4000-5000 ---p 00000000 00:00 0 \nRss:          16 kB\nVmFlags: nh\n\
                     5000-6000 rw-p 00000000 00:00 0 \nRss:          32 kB\nVmFlags: rd nh\n\
                     6000-7000 rw-p 00000000 00:00 0 \nRss:          64 kB\nVmFlags: rd hg\n\
                     7000-8000 rw-p 00000000 00:00 0 \nRss:         128 kB\nVmFlags: rd\n";
        let parts = |border| {
            let Parts { metadata, heap } = parts_at(smaps, border);
            (metadata >> 10, heap >> 10)
        };
        assert_eq!(parts(0x5000), (24, 96));
        assert_eq!(parts(0x3000), (0, 120));
        assert_eq!(parts(0x7000), (120, 128));
    }

    #[test]
    fn constructors_made_what_is_new_and_has_no_name() {
        let maps = "1000-2000 rw-p 00000000 00:00 0 \n3000-9000 rw-p 00000000 00:00 0 \n\
                    9000-b000 r--p 00000000 fe:00 12 /lib/a b\nd000-e000 rw-p 00000000 00:00 0          [heap]\n\
                    f000-10000 rw-p 00000000 00:00 0\n";
        let before = [0x1000..0x2000, 0x4000..0x5000, 0x8000..0x9000];
        assert_eq!(new_mappings(maps, &before), [0x3000..0x4000, 0x5000..0x8000, 0xf000..0x10000]);
    }

    #[test]
    fn the_mappings_before_the_constructors_are_known() {
        let here = std::ptr::from_ref(&LEAST_USED).addr();
        assert!(BEFORE_CONSTRUCTORS.get().unwrap().iter().any(|addresses| addresses.contains(&here)));
    }

    const BYTES: usize = 48 << 20;

    #[test]
    fn memory_that_is_gone_counts_for_the_peak() {
        let _one = ONE_AT_A_TIME.lock();
        let mut meter = Meter::new(AtStart(Vec::new()));
        meter.begin().unwrap();
        let block = vec![1u8; BYTES];
        let border = (block.as_ptr().addr() + BYTES / 4).next_multiple_of(TEXT);
        meter.part_at(border).unwrap();
        meter.look_at(border).unwrap();
        drop(black_box(block));
        // What other tests give back meanwhile is missing.
        let peak = meter.peak().unwrap();
        assert!(peak >= BYTES as u64 / 2, "{peak}");
        let Parts { metadata, heap } = meter.mapping();
        assert!(meter.is_kept() && metadata >= BYTES as u64 / 4 && heap >= BYTES as u64 / 2, "{metadata} {heap}");
        assert!(metadata < BYTES as u64 / 2 && metadata + heap >= BYTES as u64, "{metadata} {heap}");
    }

    #[test]
    fn memory_of_the_start_counts_if_it_was_used_since() {
        let _one = ONE_AT_A_TIME.lock();
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, of which the kernel is told something, so that no other one joins it.
        let start = unsafe {
            let start = libc::mmap(std::ptr::null_mut(), BYTES, prot, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            libc::madvise(start, BYTES, libc::MADV_DONTDUMP);
            start.cast::<u8>()
        };
        // SAFETY: all of the mapping.
        unsafe { black_box(start).write_bytes(1, BYTES) };
        let addresses = start.addr()..start.addr() + BYTES;
        let mut meter = Meter::new(AtStart(vec![Mapping { addresses, resident: BYTES as u64 }]));
        meter.begin().unwrap();
        assert_eq!(meter.used_of_start().unwrap(), 0);
        // SAFETY: as above.
        unsafe { black_box(start).write_bytes(2, 5 * 4096) };
        assert_eq!(meter.used_of_start().unwrap(), BYTES as u64);
        assert!(meter.peak().unwrap() >= BYTES as u64);
        // SAFETY: the mapping, which nobody uses any more.
        unsafe { libc::munmap(start.cast(), BYTES) };
    }
}
