//! The shard of a thread.

use super::index;
use crate::raw::owner::Owner;
use crate::raw::shards::Shard;

/// The shard of the calling thread: that of its index, and so that of its caches. A thread without an index hashes the
/// address of its stack: a guess. The stacks of threads lie side by side, so that Fibonacci hashing spreads them
/// (Knuth, The art of computer programming 3, 6.4).
#[inline]
pub fn shard() -> Shard {
    if cfg!(modelled) {
        return Shard::FIRST;
    }
    if let Some(index) = index() {
        return Shard::of(index);
    }
    /// Address bits within which a stack, or the part of it that is in use, lies as a rule.
    const STACK_BITS: u32 = 20;
    let local = 0_u8;
    let place = (&raw const local).addr() as u64 >> STACK_BITS;
    Shard::of((place.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - Shard::BITS)) as usize)
}

/// The shard in which the calling thread leaves swept blocks: that of its index, where it finds them again itself. A
/// thread without an index, such as a sweeper's, uses the first one. So where blocks are does not depend on where its
/// stack lies.
pub fn sweep_shard() -> Shard {
    index().map_or(Shard::FIRST, Shard::of)
}

/// The shard of a cache. A block without an owner belongs into that of the calling thread.
#[inline]
pub fn shard_of(owner: Owner) -> Shard {
    owner.cache().map_or_else(shard, Shard::of)
}

#[cfg(all(test, not(modelled)))]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_thread_stays_in_its_shard_and_threads_spread() {
        let barrier = std::sync::Barrier::new(Shard::COUNT);
        let number = || {
            let here = shard();
            assert_eq!(here, shard());
            barrier.wait();
            here.number()
        };
        let shards: std::collections::HashSet<usize> = std::thread::scope(|scope| {
            let threads: std::vec::Vec<_> = (0..Shard::COUNT).map(|_| scope.spawn(number)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
        });
        assert!(shards.len() > Shard::COUNT / 4, "{} threads are in shards {shards:?}", Shard::COUNT);
        assert!(shards.iter().all(|number| *number < Shard::COUNT));
    }
}
