//! What the environment asks of `malloc`. `heapmaster run` sets it.
//!
//! | variable | value | meaning |
//! |---|---|---|
//! | `HEAPMASTER_LIMIT` | bytes, in decimal digits | `malloc` has at most that number of bytes of heap |
//! | `HEAPMASTER_CHECKED` | `report` or `stop` | each release is checked, and a wrong one told on standard error |
//! | `HEAPMASTER_STATS` | a file | at its end the process appends its figures there |
//! | `HEAPMASTER_TRACE` | a folder | the process records its allocations into a file there |
//! | `HEAPMASTER_PROFILE` | a folder | the process writes a heap profile there, unless it is checked or recorded |
//! | `HEAPMASTER_PROFILE_RATE` | bytes, in decimal digits | from sample to sample of the profile, in the mean; 524288 |
//!
//! It is read without the C library, whose copy may not be there yet when `malloc` is first called. A program with
//! another user's rights ignores it.

use core::ffi::{CStr, c_int};

/// Most bytes of a path, with a 0 at the end.
const PATH: usize = 512;

/// A path.
#[derive(Clone, Copy, Debug)]
pub struct Path([u8; PATH]);

impl Path {
    /// `None`: it is too long.
    fn new(text: &[u8]) -> Option<Self> {
        let mut path = [0; PATH];
        path[..PATH - 1].get_mut(..text.len())?.copy_from_slice(text);
        Some(Self(path))
    }

    /// It as C has it.
    pub fn get(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// What a wrong release leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A report.
    Report,
    /// A report, and the end of the program.
    Stop,
}

/// The options of this process.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bytes of heap.
    pub limit: usize,
    /// Whether releases are checked.
    pub checked: Option<Wrong>,
    /// Where the figures go at the end.
    pub stats: Option<Path>,
    /// The folder of recordings.
    pub trace: Option<Path>,
    /// The folder of heap profiles.
    pub profile: Option<Path>,
    /// Bytes from sample to sample of a heap profile.
    pub rate: u64,
}

impl Options {
    /// As the environment says; `None`: it asks for nothing. It neither allocates nor changes `errno`.
    pub fn read() -> Option<Self> {
        // SAFETY: it returns a number.
        if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
            return None;
        }
        let mut options = Self {
            limit: usize::MAX,
            checked: None,
            stats: None,
            trace: None,
            profile: None,
            rate: record::profile::SAMPLED,
        };
        for_each_variable(|variable| {
            let Some(asked) = variable.strip_prefix(b"HEAPMASTER_") else { return };
            let Some(equals) = asked.iter().position(|byte| *byte == b'=') else { return };
            let (name, value) = (&asked[..equals], &asked[equals + 1..]);
            match (name, value) {
                (b"LIMIT", bytes) => options.limit = number(bytes).unwrap_or(options.limit),
                (b"CHECKED", b"report") => options.checked = Some(Wrong::Report),
                (b"CHECKED", b"stop") => options.checked = Some(Wrong::Stop),
                (b"STATS", path) => options.stats = Path::new(path),
                (b"TRACE", folder) => options.trace = Path::new(folder),
                (b"PROFILE", folder) => options.profile = Path::new(folder),
                (b"PROFILE_RATE", bytes) => options.rate = number(bytes).map_or(options.rate, |bytes| bytes as u64),
                _ => {}
            }
        });
        let asks = options.limit != usize::MAX || options.stats.is_some() || options.watches() || options.profiles();
        asks.then_some(options)
    }

    /// Whether each call is looked at.
    pub fn watches(&self) -> bool {
        self.checked.is_some() || self.trace.is_some()
    }

    /// Whether allocations are sampled.
    pub fn profiles(&self) -> bool {
        self.profile.is_some() && !self.watches()
    }
}

/// A number in decimal digits.
fn number(text: &[u8]) -> Option<usize> {
    let digit = |number: usize, byte: &u8| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, digit) }
}

/// Most bytes of a variable that is looked at.
const MOST: usize = 8192;

/// Visits the variables with which the program was started, `NAME=VALUE`. Longer ones than [`MOST`] are left out.
fn for_each_variable(mut visit: impl FnMut(&[u8])) {
    unsafe extern "C" {
        static environ: *const *const core::ffi::c_char;
    }
    // SAFETY: the C library's array of texts, up to a null; or null, before the C library has one. Nobody changes it
    // while `malloc` is called for the first time.
    let mut place = unsafe { environ };
    if place.is_null() {
        return for_each_in_proc(visit);
    }
    // SAFETY: as above.
    while let Some(text) = unsafe { (*place).as_ref() } {
        // SAFETY: as above.
        visit(unsafe { CStr::from_ptr(text) }.to_bytes());
        place = place.wrapping_add(1);
    }
}

/// The same, of what the system has kept.
fn for_each_in_proc(visit: impl FnMut(&[u8])) {
    // SAFETY: where the calling thread has it; the calls below may change it.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before: c_int = unsafe { *errno };
    // SAFETY: a path.
    let file = unsafe { libc::open(c"/proc/self/environ".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file >= 0 {
        for_each_in_file(file, visit);
        // SAFETY: opened above.
        unsafe { libc::close(file) };
    }
    // SAFETY: as above.
    unsafe { *errno = before };
}

fn for_each_in_file(file: c_int, mut visit: impl FnMut(&[u8])) {
    let (mut buffer, mut len, mut skips) = ([0_u8; MOST], 0, false);
    loop {
        let room = &mut buffer[len..];
        // SAFETY: that many bytes may be written there.
        let count = unsafe { libc::read(file, room.as_mut_ptr().cast(), room.len()) };
        let Ok(count @ 1..) = usize::try_from(count) else { return };
        len += count;
        let mut begin = 0;
        while let Some(end) = buffer[begin..len].iter().position(|byte| *byte == 0) {
            if !core::mem::replace(&mut skips, false) {
                visit(&buffer[begin..begin + end]);
            }
            begin += end + 1;
        }
        buffer.copy_within(begin..len, 0);
        len -= begin;
        if len == MOST {
            // Too long: its rest is no variable.
            (len, skips) = (0, true);
        }
    }
}
