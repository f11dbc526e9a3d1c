//! A [`MemoryPool`](mempool::MemoryPool) in lockstep with the oracle.

use crate::Bytes;
use crate::common::{Lockstep, Op};

/// Runs a program.
pub fn run(data: &[u8]) {
    let bytes = &mut Bytes::new(data);
    let min_shift = 4 + bytes.below(6) as u32;
    let max_order = (bytes.below(4) == 0).then(|| bytes.below(12) as u32);
    let mut pool = Lockstep::new(1 << min_shift, max_order.map(|order| 1 << (min_shift + order)));
    let mut at = 1 + bytes.below(1 << 20);
    for _ in 0..=bytes.below(4) {
        let (gap, size) = (bytes.below(4096), bytes.size(16));
        at += gap;
        // A region that holds no block is refused.
        if !pool.oracle.units_of(at, size).is_empty() {
            pool.add(at, size);
        }
        at += size;
    }
    if pool.oracle.heaps.is_empty() {
        return;
    }
    let mut number = 0;
    while !bytes.is_empty() && number < 400 {
        let op = operation(bytes);
        pool.run(op);
        number += 1;
        if number % 16 == 0 {
            pool.check();
        }
    }
    pool.check();
    pool.finish_alone(|blocks| number * 7 % blocks);
}

fn operation(bytes: &mut Bytes<'_>) -> Op {
    match bytes.below(9) {
        0 | 1 => Op::Alloc(bytes.below(12) as u32),
        2 => Op::AllocIn(bytes.below(8), bytes.below(12) as u32),
        3 => Op::AllocBatch(bytes.below(6) as u32, bytes.below(100)),
        4 => Op::Release(bytes.below(1000)),
        5 => Op::ReleaseBatch(bytes.below(1000), bytes.below(200), bytes.below(5)),
        6 => Op::Resize(bytes.below(1000), bytes.below(12) as u32),
        7 if bytes.next() => Op::ReleaseAt(bytes.below(1000), bytes.next()),
        7 => Op::ReleaseAt(bytes.below(1000), bytes.below(600)),
        _ => Op::Sweep,
    }
}
