//! Random programs of operations, run in lockstep with the oracle, on pools of random shape: a few small odd heaps, or
//! huge ones of which only a little is used. proptest shrinks what fails and keeps its seed.

use crate::common::{Lockstep, Op};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// A heap: how far behind the end of the one before it begins, and its size, in bytes.
type Shape = (usize, usize);

fn pool(min_shift: u32, max_order: Option<u32>, start: usize, heaps: &[Shape]) -> Lockstep {
    let mut pool = Lockstep::new(1 << min_shift, max_order.map(|order| 1 << (min_shift + order)));
    let mut at = start;
    for (gap, size) in heaps {
        at += gap;
        // A region that holds no block is refused; that is tested elsewhere.
        if !pool.oracle.units_of(at, *size).is_empty() {
            pool.add(at, *size);
        }
        at += size;
    }
    pool
}

/// Operations whose blocks go up to `orders`.
fn operation(orders: u32) -> impl Strategy<Value = Op> {
    let place = || 0..1000usize;
    // Small orders most of the time, but every order at times.
    let order = move || prop_oneof![3 => 0..orders.min(3), 2 => 0..orders];
    prop_oneof![
        8 => order().prop_map(Op::Alloc),
        2 => (0..8usize, order()).prop_map(|(heap, order)| Op::AllocIn(heap, order)),
        2 => (order(), 0..100usize).prop_map(|(order, count)| Op::AllocBatch(order, count)),
        6 => place().prop_map(Op::Release),
        2 => (place(), 0..200usize, 0..5usize).prop_map(|(at, count, bad)| Op::ReleaseBatch(at, count, bad)),
        4 => (place(), order()).prop_map(|(at, order)| Op::Resize(at, order)),
        1 => (place(), any::<usize>()).prop_map(|(at, offset)| Op::ReleaseAt(at, offset)),
        2 => (place(), 0..600usize).prop_map(|(at, offset)| Op::ReleaseAt(at, offset)),
        1 => Just(Op::Sweep),
    ]
}

fn run(mut pool: Lockstep, ops: &[Op]) {
    if pool.oracle.heaps.is_empty() {
        return;
    }
    for (number, op) in ops.iter().enumerate() {
        pool.run(*op);
        if number % 16 == 0 {
            pool.check();
        }
    }
    pool.check();
    pool.finish_alone(|blocks| ops.len() * 7 % blocks);
}

/// How far apart huge heaps may be, and how large, in addresses of 64 and of 32 bits.
const APART: usize = if usize::BITS > 32 { 1 << (usize::BITS - 24) } else { 1 << 20 };
const HUGE: usize = if usize::BITS > 32 { 1 << (usize::BITS - 28) } else { 1 << 28 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("proptest-regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn on_small_heaps(
        min_shift in 4..8u32,
        max_order in proptest::option::weighted(0.3, 0..8u32),
        start in 1..5000usize,
        heaps in vec((prop_oneof![Just(0), 0..3000usize], 1..20_000usize), 1..5),
        ops in vec(operation(11), 1..120),
    ) {
        run(pool(min_shift, max_order, start, &heaps), &ops);
    }

    #[test]
    fn on_huge_heaps(
        min_shift in 6..14u32,
        start in 1..usize::MAX / 2,
        heaps in vec((0..APART, 1 << 20..HUGE), 1..4),
        ops in vec(operation(31), 1..120),
    ) {
        run(pool(min_shift, None, start, &heaps), &ops);
    }

    #[test]
    fn on_heaps_of_middle_size_kept_full(
        skew in 0..4096usize,
        ops in vec(operation(6), 300..600),
    ) {
        let mut pool = pool(4, None, (1 << 20) + skew * 16, &[(0, 700 * 16), (0, 300 * 16)]);
        pool.alloc_batch(0, 600);
        pool.alloc_batch(2, 60);
        run(pool, &ops);
    }
}
