//! Writes the raw file. Between `start` and `stop`, an event is three words in memory that is shared with the file: the
//! system writes them, also if the program is killed.
//!
//! Nothing in here allocates, but the `start` with a `Path`, or has a lock: it runs within `malloc`. A forked child is
//! not recorded: its copy of [`OWNER`]'s page is zero.

use std::ffi::{CStr, CString, c_int, c_void};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::file::{PATH, errno, new_file, own_page, read_whole};
use crate::raw::{CHUNK, Header, Kind, MAGIC, RECORD, RECORDS, first_word};
use crate::words::words;

/// The beginning of the mapped file; null while nothing is recorded.
static BASE: AtomicPtr<Header> = AtomicPtr::new(ptr::null_mut());
/// Chunks that the file has room for.
static ROOM: AtomicU64 = AtomicU64::new(0);
/// A word that is 1 in the process that records, and 0 in its children.
static OWNER: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// Bytes of the file at most: the first that the system has addresses for.
const SIZES: [usize; 4] = [64 << 30, 8 << 30, 1 << 30, 128 << 20];

/// Begins to record, into a new file in this folder, and returns its path.
///
/// # Errors
///
/// When the file can't be made, or something is recorded already.
pub fn start(folder: &Path) -> io::Result<PathBuf> {
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    let mut path = [0; PATH];
    let made = start_in(&folder, &mut path).ok_or_else(io::Error::last_os_error)?;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(made.to_bytes())))
}

/// The same without an allocation; `path` has room for the path.
pub fn start_in<'p>(folder: &CStr, path: &'p mut [u8; PATH]) -> Option<&'p CStr> {
    // Acquire: pairs with the Release below.
    if !BASE.load(Ordering::Acquire).is_null() {
        return None;
    }
    let (file, len) = new_file(path, folder)?;
    let header = map(file);
    // SAFETY: opened above. The mapping stays.
    unsafe { libc::close(file) };
    let owner = own_page()?;
    let (header, room) = header?;
    name(header);
    // Relaxed: published by the Release below.
    ROOM.store(room, Ordering::Relaxed);
    OWNER.store(owner, Ordering::Relaxed);
    // Release: pairs with the Acquire in `slot`; makes the header, the room and the owner visible. Relaxed on failure:
    // another thread began to record just now.
    BASE.compare_exchange(ptr::null_mut(), header, Ordering::Release, Ordering::Relaxed).ok()?;
    CStr::from_bytes_with_nul(&path[..=len]).ok()
}

/// Ends the recording. What other threads record in this moment may be written, or not.
pub fn stop() {
    // Relaxed: nothing is read because of it. The mapping stays, for threads that still write.
    BASE.store(ptr::null_mut(), Ordering::Relaxed);
}

/// Maps a new file; returns its header and the number of chunks behind it.
fn map(file: c_int) -> Option<(*mut Header, u64)> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: it may be written.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &raw mut limit) };
    SIZES.into_iter().filter(|bytes| *bytes as u64 <= limit.rlim_cur).find_map(|bytes| {
        let (prot, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE);
        // SAFETY: a file that is open; a new mapping, at addresses that are free.
        let base: *mut c_void = unsafe {
            if libc::ftruncate(file, bytes as libc::off_t) != 0 {
                return None;
            }
            libc::mmap(ptr::null_mut(), bytes, prot, flags, file, 0)
        };
        (base != libc::MAP_FAILED).then_some((base.cast(), (bytes / CHUNK - 1) as u64))
    })
}

/// Writes what the header says of the process.
fn name(header: *mut Header) {
    // SAFETY: the mapping is new, this thread's, and long enough for a header.
    let header = unsafe { &mut *header };
    header.name_len = read_whole(c"/proc/self/cmdline", &mut header.name) as u64;
    header.magic = MAGIC;
}

/// Brings a chunk into memory, by one call instead of a fault for each page. False: the file system has no room for it.
/// An older kernel does not know the call, and each page comes when it is written to.
#[cold]
fn populate(chunk: *mut u64) -> bool {
    // Since Linux 5.14.
    const POPULATE_WRITE: c_int = 23;
    let before = errno();
    // SAFETY: a chunk of the mapping, whose contents stay.
    let is_full = unsafe { libc::madvise(chunk.cast(), CHUNK, POPULATE_WRITE) } != 0 && errno() == libc::EFAULT;
    // SAFETY: where the calling thread has it: `free` does not change it.
    unsafe { *libc::__errno_location() = before };
    !is_full
}

/// The place of the calling thread's next record, and the header. `None`: nothing is recorded, or there is no room.
#[inline]
fn slot() -> Option<(*mut u64, *const Header)> {
    // Acquire: pairs with the Release in `start_in`; makes visible what is stored before.
    let header = BASE.load(Ordering::Acquire);
    if header.is_null() {
        return None;
    }
    // Relaxed, both: made visible by the Acquire above; nobody writes to the word.
    // SAFETY: the page is never unmapped.
    if unsafe { (*OWNER.load(Ordering::Relaxed)).load(Ordering::Relaxed) } == 0 {
        return None;
    }
    let words = words();
    // SAFETY: the calling thread's.
    let words = unsafe { &mut *words };
    if words.next == words.end {
        // SAFETY: the mapping of the file is never unmapped.
        let header = unsafe { &*header };
        // Relaxed: only that each is given once matters.
        let chunk = header.chunks.0.fetch_add(1, Ordering::Relaxed) + 1;
        // Relaxed: made visible as above.
        if chunk > ROOM.load(Ordering::Relaxed) {
            header.lost.0.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let begin = ptr::from_ref(header).cast_mut().cast::<u8>().wrapping_add(chunk as usize * CHUNK).cast::<u64>();
        if !populate(begin) {
            header.lost.0.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        words.thread = if words.thread == 0 { chunk } else { words.thread };
        // SAFETY: the chunk is this thread's, and within the mapping.
        unsafe { begin.write(words.thread) };
        words.next = begin.wrapping_byte_add(RECORD);
        words.end = words.next.wrapping_byte_add(RECORD * RECORDS);
    }
    let place = words.next;
    words.next = place.wrapping_byte_add(RECORD);
    Some((place, header))
}

#[inline]
fn record(kind: Kind, block: *mut u8, size: usize, align: usize) {
    let Some((place, header)) = slot() else { return };
    // Relaxed: each event has a number of its own. Of two events, one of which happens before the other, the first has
    // the smaller one.
    // SAFETY: the mapping is never unmapped.
    let sequence = unsafe { (*header).sequence.0.fetch_add(1, Ordering::Relaxed) } + 1;
    // SAFETY: three words of this thread's chunk.
    unsafe {
        place.add(1).write(block.addr() as u64);
        place.add(2).write(size as u64);
        // Release: a process that dies here leaves the first word only with the others.
        (*place.cast::<AtomicU64>()).store(first_word(sequence, kind, align), Ordering::Release);
    }
}

/// A block was allocated, unless it is null: `zeroed`, all of it is zero. Call it before anybody else can free it.
#[inline]
pub fn allocated(block: *mut u8, size: usize, align: usize, zeroed: bool) {
    if !block.is_null() {
        record(if zeroed { Kind::Zeroed } else { Kind::Allocated }, block, size, align);
    }
}

/// A block is about to be freed. Call it before anybody else can have its address.
#[inline]
pub fn freed(block: *mut u8) {
    record(Kind::Freed, block, 0, 1);
}

/// A block is about to be resized. The thread's next event is [`resize_ended`].
#[inline]
pub fn resize_begins(block: *mut u8) {
    record(Kind::ResizeBegins, block, 0, 1);
}

/// A block was resized, and is here now; null if it stays as it is.
#[inline]
pub fn resize_ended(block: *mut u8, size: usize) {
    record(Kind::ResizeEnded, block, size, 1);
}
