//! Which addresses may be samples: one byte for each 65 536th place where a block may begin, with the number of samples
//! there. It is no part of the file, so that a release finds it without a pointer.

use std::sync::atomic::{AtomicU8, Ordering};

static FILTER: [AtomicU8; 1 << 16] = [const { AtomicU8::new(0) }; 1 << 16];

#[inline(always)]
fn place(address: usize) -> &'static AtomicU8 {
    &FILTER[(address >> 4) as u16 as usize]
}

/// May there be a sample?
#[inline(always)]
pub fn may_have(address: usize) -> bool {
    // Relaxed: whoever releases a block got it after its sample was added.
    place(address).load(Ordering::Relaxed) != 0
}

/// A sample is there. A number that reaches the most stays.
pub fn add(address: usize) {
    // Relaxed, all: it publishes nothing.
    _ = place(address).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| number.checked_add(1));
}

/// It is gone.
pub fn remove(address: usize) {
    // Relaxed, all: it publishes nothing.
    _ = place(address).fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| match number {
        u8::MAX | 0 => None,
        number => Some(number - 1),
    });
}
