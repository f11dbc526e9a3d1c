//! Random programs of operations against the oracle, on spaces of random shape: at 0, anywhere, and up to the last
//! offset. proptest shrinks what fails and keeps its seed.

use std::ops::Range;

use mempool::{OffsetPool, Sizes};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use crate::space::Space;

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Bytes, and the alignment as a power of two.
    Alloc(u64, u32),
    AllocIn(usize, u64, u32),
    AllocBatch(u64, usize),
    Release(usize),
    /// Any offset.
    ReleaseWild(u64),
    /// A byte of the ranges.
    ReleaseNear(u64),
    Resize(usize, u64),
    /// A byte of the ranges, bytes, exactly.
    Reserve(u64, u64, bool),
    Sweep,
}

/// Shares of the ranges' bytes: a number of 16 bits is a part of 2^16 of them.
fn operation() -> impl Strategy<Value = Op> {
    let len = || prop_oneof![4 => 1..200u64, 2 => 1..4000u64, 1 => 1..60_000u64];
    let place = || any::<u64>();
    prop_oneof![
        8 => (len(), 0..8u32).prop_map(|(len, align)| Op::Alloc(len, align)),
        1 => (any::<u64>(), 0..64u32).prop_map(|(len, align)| Op::Alloc(len.max(1), align)),
        2 => (0..8usize, len(), 0..8u32).prop_map(|(range, len, align)| Op::AllocIn(range, len, align)),
        1 => (len(), 0..40usize).prop_map(|(len, count)| Op::AllocBatch(len, count)),
        6 => any::<usize>().prop_map(Op::Release),
        1 => any::<u64>().prop_map(Op::ReleaseWild),
        2 => place().prop_map(Op::ReleaseNear),
        3 => (any::<usize>(), len()).prop_map(|(block, len)| Op::Resize(block, len)),
        6 => (place(), len(), any::<bool>()).prop_map(|(at, len, exact)| Op::Reserve(at, len, exact)),
        1 => Just(Op::Sweep),
    ]
}

/// Ranges behind each other, of some units, and where they begin: at 0, somewhere, or so that they end with the space.
fn ranges(shapes: &[(u64, u64)], start: u64, min_shift: u32) -> Vec<Range<u64>> {
    let mut at = 0;
    let mut ranges: Vec<_> = shapes
        .iter()
        .map(|(gap, units)| {
            at += gap + units;
            at - units..at
        })
        .collect();
    let whole = u64::MAX >> min_shift;
    let by = match start % 3 {
        0 => 0,
        1 => start % (whole - at),
        _ => whole - at + 1,
    };
    // The last byte of a space is no part of any range, as a length has to be a `u64`; so only a part can end with it.
    ranges.iter_mut().for_each(|units| *units = units.start + by..units.end + by);
    ranges
}

fn run(min_shift: u32, sizes: Sizes, cached: bool, units: &[Range<u64>], ops: &[Op]) {
    // Lengths of operations are in 16ths of a smallest block.
    let scale = |len: u64| len.saturating_mul(1 << (min_shift - 4));
    let builder = if cached { OffsetPool::builder() } else { OffsetPool::builder().thread_cache(0) };
    let mut space = Space::new(builder, 1 << min_shift, sizes, units);
    let byte = |space: &Space, at: u64| {
        let units = &space.ranges[at as usize % space.ranges.len()].1;
        let bytes = (units.end - units.start) << min_shift;
        (units.start << min_shift) + ((u128::from(at) * u128::from(bytes)) >> 64) as u64
    };
    let block = |space: &Space, number: usize| space.live.keys().copied().nth(number % space.live.len().max(1));
    for (number, op) in ops.iter().enumerate() {
        match *op {
            Op::Alloc(len, align) => _ = space.alloc(scale(len), 1 << (align + min_shift - 4).min(63)),
            Op::AllocIn(range, len, align) => {
                _ = space.alloc_in(range, scale(len), 1 << (align + min_shift - 4).min(63))
            }
            Op::AllocBatch(len, count) => space.alloc_batch(scale(len), count),
            Op::Release(number) => {
                if let Some(unit) = block(&space, number) {
                    space.release(unit << min_shift).expect("it is live");
                }
            }
            Op::ReleaseWild(offset) => _ = space.release(offset),
            Op::ReleaseNear(at) => _ = space.release(byte(&space, at)),
            Op::Resize(number, len) => {
                if let Some(unit) = block(&space, number) {
                    space.resize(unit, scale(len));
                }
            }
            Op::Reserve(at, len, exact) => {
                // At a block's boundary as a rule.
                let at = byte(&space, at);
                let at = if len % 4 == 0 { at } else { at >> min_shift << min_shift };
                space.reserve(at, scale(len), exact);
            }
            Op::Sweep => _ = space.pool.sweep(),
        }
        if number % 16 == 0 {
            space.check();
        }
    }
    space.finish();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn programs_match_the_oracle(
        min_shift in prop_oneof![Just(4u32), Just(12), Just(21), Just(40)],
        is_eighths in any::<bool>(),
        cached in any::<bool>(),
        start in any::<u64>(),
        shapes in vec((0..40u64, 1..700u64), 1..4),
        ops in vec(operation(), 1..200),
    ) {
        let sizes = if is_eighths { Sizes::Eighths } else { Sizes::PowersOfTwo };
        run(min_shift, sizes, cached, &ranges(&shapes, start, min_shift), &ops);
    }
}
