//! A look at all that is live: how much each site has, and how much it pins. The look that found the most is kept, for
//! both figures.

use std::ptr;
use std::sync::atomic::Ordering;

use super::tables::{Site, Tables};
use crate::file::read_whole;

/// A look is due when this part more is live than at any look before, or when this part more samples came and went.
const PART: u64 = 16;
/// And at least this number of them.
const LEAST: u64 = 64;

/// Looks, if it is time to.
pub fn look_if_due(tables: &Tables, pins: &dyn Fn(*mut u8) -> usize) {
    // Relaxed, all: numbers.
    let (events, live) = (tables.events.load(Ordering::Relaxed), tables.live.load(Ordering::Relaxed));
    let peak = tables.peak.load(Ordering::Relaxed);
    if events >= tables.next_look.load(Ordering::Relaxed) || live > peak + peak / PART {
        look(tables, pins);
    }
}

/// Looks, unless another thread does. `pins` says how many bytes a block pins.
pub fn look(tables: &Tables, pins: &dyn Fn(*mut u8) -> usize) {
    // Acquire: pairs with the Release below: a thread looks after the one before.
    if tables.looks.swap(1, Ordering::Acquire) == 1 {
        return;
    }
    // Relaxed, all: only the thread that looks writes to them.
    let events = tables.events.load(Ordering::Relaxed);
    tables.next_look.store(events + (events / PART).max(LEAST), Ordering::Relaxed);
    let (mut live, mut pinned) = (0, 0);
    let pinned_by = |address, objects: u64| {
        // It only looks the address up.
        let block = ptr::without_provenance_mut(address);
        pins(block) as u64 * objects / 256
    };
    tables.for_each_live(|address, sample| {
        live += sample.bytes;
        pinned += pinned_by(address, sample.objects);
    });
    let keep = |site: &Site, live: Option<u64>, pinned: Option<u64>| {
        if let Some(bytes) = live {
            site.peak_bytes.store(bytes, Ordering::Relaxed);
        }
        if let Some(bytes) = pinned {
            site.pinned_bytes.store(bytes, Ordering::Relaxed);
        }
    };
    let is_peak = live > tables.peak.load(Ordering::Relaxed);
    let is_most_pinned = pinned > tables.pinned.load(Ordering::Relaxed);
    if is_peak || is_most_pinned {
        tables.sites().iter().for_each(|site| keep(site, is_peak.then_some(0), is_most_pinned.then_some(0)));
        tables.for_each_live(|address, sample| {
            let site = &tables.sites[sample.site as usize];
            let peak = site.peak_bytes.load(Ordering::Relaxed) + sample.bytes;
            let pinned = site.pinned_bytes.load(Ordering::Relaxed);
            let more = if is_most_pinned { pinned_by(address, sample.objects) } else { 0 };
            keep(site, is_peak.then_some(peak), is_most_pinned.then_some(pinned + more));
        });
    }
    if is_peak {
        tables.peak.store(live, Ordering::Relaxed);
    }
    if is_most_pinned {
        tables.pinned.store(pinned, Ordering::Relaxed);
    }
    read_maps(tables);
    // Release: pairs with the Acquire above.
    tables.looks.store(0, Ordering::Release);
}

/// Notes where the program and its libraries are, for the names of functions.
fn read_maps(tables: &Tables) {
    // SAFETY: only the thread that looks writes to them, and nobody reads them before the end.
    let len = read_whole(c"/proc/self/maps", unsafe { &mut *tables.maps.get() });
    // Relaxed: a number.
    tables.maps_len.store(len as u64, Ordering::Relaxed);
}
