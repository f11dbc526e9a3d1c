//! An [`OffsetPool`] in lockstep with the oracle.

use mempool::{OffsetPool, Sizes};

use crate::Bytes;
use crate::space::Space;

/// Runs a program.
pub fn run(data: &[u8]) {
    let bytes = &mut Bytes::new(data);
    let min_shift = [4, 12, 21, 40][bytes.below(4)];
    let sizes = if bytes.next() { Sizes::Eighths } else { Sizes::PowersOfTwo };
    let builder = if bytes.next() { OffsetPool::builder() } else { OffsetPool::builder().thread_cache(0) };
    // At 0, anywhere, or up to the end of the space.
    let mut at = 0;
    let shapes: Vec<_> = (0..=bytes.below(3))
        .map(|_| {
            at += bytes.below(40) as u64;
            let units = 1 + bytes.below(700) as u64;
            at += units;
            at - units..at
        })
        .collect();
    let whole = u64::MAX >> min_shift;
    let by = match bytes.below(3) {
        0 => 0,
        1 => bytes.next::<u64>() % (whole - at),
        _ => whole - at + 1,
    };
    let units: Vec<_> = shapes.into_iter().map(|units| units.start + by..units.end + by).collect();
    let mut space = Space::new(builder, 1 << min_shift, sizes, &units);
    let mut number = 0;
    while !bytes.is_empty() && number < 400 {
        operation(bytes, &mut space, min_shift);
        number += 1;
        if number % 16 == 0 {
            space.check();
        }
    }
    space.finish();
}

fn operation(bytes: &mut Bytes<'_>, space: &mut Space, min_shift: u32) {
    // In 16ths of a smallest block.
    let len = |bytes: &mut Bytes<'_>| (bytes.size(13) as u64).saturating_mul(1 << (min_shift - 4));
    let align = |bytes: &mut Bytes<'_>| 1 << (bytes.below(8) as u32 + min_shift - 4).min(63);
    let near = |bytes: &mut Bytes<'_>, space: &Space| {
        let units = &space.ranges[bytes.below(space.ranges.len())].1;
        let of = bytes.below((units.end - units.start) as usize) as u64;
        ((units.start + of) << min_shift) + bytes.next::<u64>() % (1 << min_shift)
    };
    let block = |bytes: &mut Bytes<'_>, space: &Space| {
        let number = bytes.below(space.live.len().max(1));
        space.live.keys().copied().nth(number)
    };
    match bytes.below(11) {
        0 | 1 => _ = space.alloc(len(bytes), align(bytes)),
        2 => _ = space.alloc(bytes.next::<u64>().max(1), 1 << bytes.below(64)),
        3 => _ = space.alloc_in(bytes.below(8), len(bytes), align(bytes)),
        4 => space.alloc_batch(len(bytes), bytes.below(40)),
        5 => {
            if let Some(unit) = block(bytes, space) {
                space.release(unit << min_shift).expect("it is live");
            }
        }
        6 => _ = space.release(bytes.next()),
        7 => _ = space.release(near(bytes, space)),
        8 => {
            if let Some(unit) = block(bytes, space) {
                space.resize(unit, len(bytes));
            }
        }
        9 => {
            let at = near(bytes, space);
            let at = if bytes.below(4) == 0 { at } else { at >> min_shift << min_shift };
            space.reserve(at, len(bytes), bytes.next());
        }
        _ => _ = space.pool.sweep(),
    }
}
