//! A heap profile by call site: which stacks allocated how much, how much of it is live, and how much free memory it
//! *pins*.
//!
//! Bytes are sampled: each byte with the same chance, one of 512 KiB unless said otherwise. So an allocation of `s`
//! bytes is sampled with the chance `1 - exp(-s / mean)`, and stands for as many as that is one of. A thread counts
//! down to its next sample; that is all of the work for most allocations. A release looks at one byte of a table that
//! says whether such an address may be a sample.
//!
//! Nothing in here allocates, or has a lock: it runs within `malloc`. The tables are a file that is mapped, so that a
//! program that is killed leaves its profile. A forked child is not profiled.
//!
//! A program profiles itself by a wrapper around its allocator:
//!
//! ```
//! use mempool::PoolAllocator;
//! use record::profile::{Profiled, SAMPLED, convert};
//!
//! #[global_allocator]
//! static ALLOCATOR: Profiled<PoolAllocator> = Profiled::new(PoolAllocator::new());
//!
//! # let folder = std::env::temp_dir().join(format!("profile-doc-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder)?;
//! let path = ALLOCATOR.start(&folder, SAMPLED)?;
//! let blocks: Vec<Vec<u8>> = (0..1000).map(|_| vec![1; 100_000]).collect();
//! ALLOCATOR.stop();
//! let summary = convert(&path, &folder.join("program.pb.gz"))?;
//! assert!(summary.total > 10_000_000 && summary.sites > 0);
//! # drop(blocks);
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod filter;
mod look;
mod rate;
mod report;
mod stack;
mod tables;
mod wrapper;

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use crate::file::{PATH, new_file, own_page, read_whole};
use crate::words::words;
use stack::Stack;
use tables::{MAGIC, Sample, Tables};

pub use report::{Summary, convert};
pub use wrapper::{Pins, Profiled};

/// Bytes from sample to sample in the mean, unless said otherwise.
pub const SAMPLED: u64 = 512 << 10;

/// The mapped file; null while nothing is profiled.
static TABLES: AtomicPtr<Tables> = AtomicPtr::new(ptr::null_mut());
/// A word that is 1 in the process that is profiled, and 0 in its children.
static OWNER: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// After this number of bytes a thread looks again whether something is profiled.
const AGAIN: i64 = 64 << 10;

/// Begins a profile, in a new file in this folder, with `mean` bytes from sample to sample; returns the path.
///
/// # Errors
///
/// When the file can't be made, or something is profiled already.
fn start(folder: &Path, mean: u64) -> io::Result<PathBuf> {
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    let mut path = [0; PATH];
    let made = start_in(&folder, mean, &mut path).ok_or_else(io::Error::last_os_error)?;
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(made.to_bytes())))
}

/// Begins a profile without an allocation; `path` has room for the path. Call it when the loader is done: from then on
/// stacks are walked.
pub fn start_in<'p>(folder: &CStr, mean: u64, path: &'p mut [u8; PATH]) -> Option<&'p CStr> {
    // Acquire: pairs with the Release below.
    if !TABLES.load(Ordering::Acquire).is_null() {
        return None;
    }
    let (file, len) = new_file(path, folder)?;
    let tables = tables::map(file, true);
    // SAFETY: opened above. The mapping stays.
    unsafe { libc::close(file) };
    let (tables, owner) = (tables?, own_page()?);
    // SAFETY: the mapping is new, and this thread's.
    let new = unsafe { &mut *tables };
    new.mean = mean.max(1);
    new.name_len = read_whole(c"/proc/self/cmdline", &mut new.name) as u64;
    *new.sites_len.get_mut() = 1;
    new.magic = MAGIC;
    // Relaxed: published by the Release below.
    OWNER.store(owner, Ordering::Relaxed);
    // Release: pairs with the Acquire in `tables`; makes them visible. Relaxed on failure: another thread began just
    // now.
    TABLES.compare_exchange(ptr::null_mut(), tables, Ordering::Release, Ordering::Relaxed).ok()?;
    CStr::from_bytes_with_nul(&path[..=len]).ok()
}

/// Ends the profile with a last look at what is live, of which `pins` says what each block pins.
pub fn stop(pins: &dyn Fn(*mut u8) -> usize) {
    if let Some(tables) = tables() {
        look::look(tables, pins);
        // Relaxed: nothing is read because of it. The mapping stays, for threads that still write.
        TABLES.store(ptr::null_mut(), Ordering::Relaxed);
    }
}

/// The tables, if this process is profiled.
fn tables() -> Option<&'static Tables> {
    // Acquire: pairs with the Release in `start_in`; makes the tables and the owner visible.
    // SAFETY: null, or a mapping that stays.
    let tables = unsafe { TABLES.load(Ordering::Acquire).as_ref() }?;
    // Relaxed, both: made visible by the Acquire above; nobody writes to the word.
    // SAFETY: the page is never unmapped.
    let owner = unsafe { (*OWNER.load(Ordering::Relaxed)).load(Ordering::Relaxed) };
    (owner != 0).then_some(tables)
}

/// Counts an allocation of `size` bytes. True: call [`sample`] with the block.
#[inline(always)]
pub fn count(size: usize) -> bool {
    // SAFETY: the calling thread's.
    let words = unsafe { &mut *words() };
    words.left = words.left.wrapping_sub(size as i64);
    words.left < 0
}

/// May this block be a sample? If so, call [`forget`] before anybody else can have its address.
#[inline(always)]
pub fn may_be_sample(block: *mut u8) -> bool {
    filter::may_have(block.addr())
}

/// A block was allocated for which [`count`] said true.
#[cold]
#[inline(never)]
pub fn sample(block: *mut u8, size: usize, pins: &dyn Fn(*mut u8) -> usize) {
    // The thread may allocate in here: then it does not come back.
    let next = |left| {
        // SAFETY: the calling thread's.
        unsafe { (*words()).left = left };
    };
    let Some(tables) = tables() else { return next(AGAIN) };
    next(i64::MAX);
    // SAFETY: as above.
    let (random, is_first) = rate::random(unsafe { &mut (*words()).random });
    if is_first {
        let until = rate::until_next(random, tables.mean);
        if until >= size as i64 {
            return next(until - size as i64);
        }
    }
    if !block.is_null() {
        let site = tables.site(&Stack::of_caller());
        let (objects, bytes) = rate::weight(size, tables.mean);
        tables.allocated(block.addr(), Sample { site, objects, bytes });
        look::look_if_due(tables, pins);
    }
    // Drawn anew: chances have no memory.
    // SAFETY: as above.
    let (random, _) = rate::random(unsafe { &mut (*words()).random });
    next(rate::until_next(random, tables.mean));
}

/// What [`forget`] took out of the profile.
#[derive(Clone, Copy, Debug)]
pub struct Forgotten(Sample);

/// A block is about to be released, or moved, for which [`may_be_sample`] said true.
#[cold]
#[inline(never)]
pub fn forget(block: *mut u8) -> Option<Forgotten> {
    tables()?.released(block.addr()).map(Forgotten)
}

/// The block stays where it is, as there was no memory to move it.
#[cold]
pub fn remember(block: *mut u8, forgotten: Forgotten) {
    if let Some(tables) = tables() {
        tables.insert(block.addr(), forgotten.0);
    }
}
