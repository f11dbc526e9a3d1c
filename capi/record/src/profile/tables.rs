//! The tables, which are a file: the samples that are live, and the sites, with what they allocated. All of them are
//! zero at first, and the file is sparse.
//!
//! ```text
//!  address ──▶ one of 65 536 sets ──▶ 16 keys: 0 free, 1 busy, else the address of a sample
//!                                     16 samples: site, objects, bytes
//!  stack   ──▶ index: 0, or a number from 1 ──▶ site: frames, counts
//! ```

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::filter;
use super::stack::{FRAMES, Stack};
use crate::raw::NAME;

/// The first word of the file.
pub const MAGIC: u64 = u64::from_le_bytes(*b"hmprofl1");
/// Most bytes of the process's mappings that are kept.
const MAPS: usize = 1 << 20;
/// Sets of samples.
const SETS: usize = 1 << 16;
/// Samples of a set. More are lost.
const WAYS: usize = 16;
/// Sites. What more allocate is that of site 0, which has no frames.
pub const SITES: usize = 1 << 16;
const INDEX: usize = 2 * SITES;
/// So many entries of the index are looked at.
const PROBES: usize = 64;

/// The key of a sample that comes or goes.
const BUSY: u64 = 1;

/// The file.
#[repr(C)]
pub struct Tables {
    /// [`MAGIC`].
    pub magic: u64,
    /// Bytes from sample to sample.
    pub mean: u64,
    /// Bytes of the command line.
    pub name_len: u64,
    /// Bytes of the mappings.
    pub maps_len: AtomicU64,
    /// Samples that came or went.
    pub events: AtomicU64,
    /// Samples that had no room.
    pub lost: AtomicU64,
    /// Bytes that are live.
    pub live: AtomicU64,
    /// Bytes of the look that found the most.
    pub peak: AtomicU64,
    /// Pinned bytes of the look that found the most.
    pub pinned: AtomicU64,
    /// 1 while a thread looks.
    pub looks: AtomicU64,
    /// The number of the event from which on the next look is due.
    pub next_look: AtomicU64,
    /// Sites, with site 0.
    pub sites_len: AtomicU64,
    /// The command line, with a 0 between its words.
    pub name: [u8; NAME],
    /// The process's mappings, as the system says them. Only the thread that looks writes to them.
    pub maps: UnsafeCell<[u8; MAPS]>,
    /// A bit for each set that ever had a sample.
    used: [AtomicU64; SETS / 64],
    keys: [[AtomicU64; WAYS]; SETS],
    samples: [[Slot; WAYS]; SETS],
    index: [AtomicU32; INDEX],
    /// The sites.
    pub sites: [Site; SITES],
}

/// A place for a sample.
#[repr(C)]
struct Slot {
    site: AtomicU64,
    objects: AtomicU64,
    bytes: AtomicU64,
}

/// A sample, and what it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// The number of its site.
    pub site: u64,
    /// Objects, in 256ths.
    pub objects: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A call site: a stack.
#[repr(C)]
pub struct Site {
    /// The hash of its frames.
    hash: AtomicU64,
    len: AtomicU64,
    /// Objects that it allocated, in 256ths.
    pub all_objects: AtomicU64,
    /// Bytes that it allocated.
    pub all_bytes: AtomicU64,
    /// Objects of it that are live, in 256ths.
    pub live_objects: AtomicU64,
    /// Bytes of it that are live.
    pub live_bytes: AtomicU64,
    /// Bytes of it that were live in the look that found the most.
    pub peak_bytes: AtomicU64,
    /// Bytes that it pinned in the look that found the most.
    pub pinned_bytes: AtomicU64,
    frames: [AtomicU64; FRAMES],
}

impl Site {
    /// Its frames, from the innermost one on.
    pub fn frames(&self) -> impl Iterator<Item = u64> {
        // Relaxed, both: written before the site had its number.
        let len = self.len.load(Ordering::Relaxed) as usize;
        self.frames.iter().take(len).map(|frame| frame.load(Ordering::Relaxed))
    }
}

/// Maps a file with tables. `is_new`: it is empty, and will be written to.
pub fn map(file: c_int, is_new: bool) -> Option<*mut Tables> {
    let len = size_of::<Tables>();
    let (prot, flags) = if is_new {
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_NORESERVE)
    } else {
        (libc::PROT_READ, libc::MAP_PRIVATE)
    };
    // SAFETY: a file that is open; a new mapping, at addresses that are free.
    let base: *mut c_void = unsafe {
        if is_new && libc::ftruncate(file, len as libc::off_t) != 0 {
            return None;
        }
        libc::mmap(ptr::null_mut(), len, prot, flags, file, 0)
    };
    (base != libc::MAP_FAILED).then_some(base.cast())
}

/// Adds to a count.
fn add(count: &AtomicU64, number: u64) {
    // Relaxed: a count.
    count.fetch_add(number, Ordering::Relaxed);
}

fn subtract(count: &AtomicU64, number: u64) {
    // Relaxed: a count.
    count.fetch_sub(number, Ordering::Relaxed);
}

fn set_of(address: usize) -> usize {
    ((address as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48) as usize
}

impl Tables {
    /// An allocation was sampled.
    pub fn allocated(&self, address: usize, sample: Sample) {
        let site = &self.sites[sample.site as usize];
        add(&site.all_objects, sample.objects);
        add(&site.all_bytes, sample.bytes);
        self.insert(address, sample);
    }

    /// A sample is live.
    pub fn insert(&self, address: usize, sample: Sample) {
        let set = set_of(address);
        // Relaxed, both: the key below publishes the sample; a number that is there is not trusted.
        let take = |key: &&AtomicU64| key.compare_exchange(0, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let Some(way) = self.keys[set].iter().position(|key| take(&key)) else { return add(&self.lost, 1) };
        let slot = &self.samples[set][way];
        // Relaxed, all: published by the Release below.
        slot.site.store(sample.site, Ordering::Relaxed);
        slot.objects.store(sample.objects, Ordering::Relaxed);
        slot.bytes.store(sample.bytes, Ordering::Relaxed);
        // Release: pairs with the Acquire in `released` and `for_each_live`; makes the sample visible.
        self.keys[set][way].store(address as u64, Ordering::Release);
        // Relaxed: a look that comes too early does not see it.
        self.used[set / 64].fetch_or(1 << (set % 64), Ordering::Relaxed);
        filter::add(address);
        let site = &self.sites[sample.site as usize];
        add(&site.live_objects, sample.objects);
        add(&site.live_bytes, sample.bytes);
        add(&self.live, sample.bytes);
        add(&self.events, 1);
    }

    /// The block at an address is released: the sample, if it is one.
    pub fn released(&self, address: usize) -> Option<Sample> {
        let set = set_of(address);
        // Acquire: pairs with the Release in `insert`. Relaxed on failure: it is none.
        let take =
            |key: &AtomicU64| key.compare_exchange(address as u64, BUSY, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let way = self.keys[set].iter().position(take)?;
        let sample = self.samples[set][way].get();
        filter::remove(address);
        // Release: pairs with the Acquire in `insert`; whoever has the place next writes after this has read.
        self.keys[set][way].store(0, Ordering::Release);
        let site = &self.sites[sample.site as usize];
        subtract(&site.live_objects, sample.objects);
        subtract(&site.live_bytes, sample.bytes);
        subtract(&self.live, sample.bytes);
        add(&self.events, 1);
        Some(sample)
    }

    /// Visits the samples that are live. One that comes or goes meanwhile may be visited or not.
    pub fn for_each_live(&self, mut visit: impl FnMut(usize, Sample)) {
        for (number, used) in self.used.iter().enumerate() {
            // Relaxed: a hint.
            let mut bits = used.load(Ordering::Relaxed);
            while bits != 0 {
                let set = number * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                for (key, slot) in self.keys[set].iter().zip(&self.samples[set]) {
                    // Acquire: pairs with the Release in `insert`.
                    let address = key.load(Ordering::Acquire);
                    if address > BUSY {
                        visit(address as usize, slot.get());
                    }
                }
            }
        }
    }

    /// The sites that there are.
    pub fn sites(&self) -> &[Site] {
        // Relaxed: what is not there yet is zero.
        let len = self.sites_len.load(Ordering::Relaxed) as usize;
        &self.sites[..len.min(SITES)]
    }

    /// The number of a stack's site; 0 if there is no room. Two stacks of one hash are taken for one.
    pub fn site(&self, stack: &Stack) -> u64 {
        let step = |hash: u64, frame: &u64| (hash ^ frame).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let hash = stack.get().iter().fold(1, step);
        let begin = (hash >> 40) as usize;
        let mut own = None;
        for place in (begin..begin + PROBES).map(|place| &self.index[place % INDEX]) {
            // Acquire: pairs with the Release below; makes the site visible.
            let mut number = place.load(Ordering::Acquire);
            if number == 0 {
                let Some(new) = own.or_else(|| self.new_site(hash, stack)) else { return 0 };
                own = Some(new);
                // AcqRel: the Release publishes the site. Acquire on failure: pairs with it, of a faster thread.
                match place.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return new.into(),
                    Err(first) => number = first,
                }
            }
            // Relaxed: made visible as above. A site that was made in vain stays, and allocates nothing.
            if self.sites[number as usize].hash.load(Ordering::Relaxed) == hash {
                return number.into();
            }
        }
        0
    }

    fn new_site(&self, hash: u64, stack: &Stack) -> Option<u32> {
        // Relaxed: only that each number is given once matters.
        let number = self.sites_len.fetch_add(1, Ordering::Relaxed);
        let site = self.sites.get(number as usize)?;
        for (to, from) in site.frames.iter().zip(stack.get()) {
            // Relaxed: published with the number.
            to.store(*from, Ordering::Relaxed);
        }
        // Relaxed, both: as above.
        site.len.store(stack.len as u64, Ordering::Relaxed);
        site.hash.store(hash, Ordering::Relaxed);
        Some(number as u32)
    }
}

impl Slot {
    fn get(&self) -> Sample {
        // Relaxed, all: made visible by the caller's Acquire; a look may see a newer one.
        Sample {
            site: self.site.load(Ordering::Relaxed) % SITES as u64,
            objects: self.objects.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }
}
