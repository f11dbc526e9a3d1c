//! A pool is rebuilt from what is live: by offsets, and by the lengths and alignments that were asked for.

use mempool::{BlockState, OffsetPool, ReserveError, Sizes};

use crate::common::Random;

const GIB: u64 = 1 << 30;

fn pool(sizes: Sizes, min_block: u64) -> OffsetPool {
    let pool = OffsetPool::builder().min_block(min_block).sizes(sizes).build().expect("valid");
    pool.add_range(GIB, 3 * GIB).expect("the only range");
    pool
}

fn live(pool: &OffsetPool) -> Vec<(usize, usize)> {
    let live = pool.heap_map().filter(|block| block.state == BlockState::Live);
    live.map(|block| (block.offset, block.size)).collect()
}

#[test]
fn what_was_allocated_is_had_back_as_it_was() {
    let mut random = Random::from_environment();
    for (sizes, min_block) in [(Sizes::PowersOfTwo, 4096), (Sizes::Eighths, 4096), (Sizes::Eighths, 1 << 16)] {
        let old = pool(sizes, min_block);
        let mut blocks = Vec::new();
        for _ in 0..2000 {
            let most = 1 << (8 + random.below(16));
            let (len, align) = (1 + random.below(most) as u64, 1 << random.below(20));
            blocks.push((old.alloc(len, align).expect("there is room"), len));
            if random.below(3) == 0 {
                let (offset, _) = blocks.swap_remove(random.below(blocks.len()));
                old.release(offset).expect("it is live");
            }
        }
        random.shuffle(&mut blocks);
        let new = pool(sizes, min_block);
        for (offset, len) in &blocks {
            assert_eq!(new.reserve_at(*offset, *len), Ok(1), "{len} bytes at {offset:#x}");
            assert!(new.block_size(*offset).expect("live") <= old.block_size(*offset).expect("live"));
            assert!(matches!(new.reserve_at(*offset, 1), Err(ReserveError::InUse { .. })));
        }
        // By their sizes, which has the room for alignments.
        let same = pool(sizes, min_block);
        for (offset, _) in &blocks {
            assert_eq!(same.reserve_at(*offset, old.block_size(*offset).expect("live")), Ok(1));
        }
        assert_eq!(live(&same), live(&old));
        // What it hands out now lies elsewhere, until it is full.
        let mut more = Vec::new();
        while let Ok(offset) = same.alloc(1 << 22, 1) {
            more.push((offset, 1 << 22));
        }
        for (offset, _) in blocks.iter().chain(&more) {
            same.release(*offset).expect("it is live, and nobody else's");
            assert!(same.release(*offset).is_err());
        }
        for (offset, _) in &blocks {
            new.release(*offset).expect("it is live");
        }
        for pool in [&same, &new] {
            pool.sweep();
            assert_eq!((live(pool).len(), pool.largest_free()), (0, 2 * GIB));
        }
    }
}

#[test]
fn bytes_of_others_are_taken_exactly() {
    let pool = pool(Sizes::PowersOfTwo, 4096);
    let free = || pool.stats().free as u64;
    let before = free();
    // From inside the first smallest block to inside the seventh.
    assert_eq!(pool.reserve_exact(GIB + 5, 6 * 4096), Ok(3));
    assert_eq!(before - free(), 7 * 4096);
    assert_eq!(pool.reserve_at(GIB + 7 * 4096, 4096), Ok(1), "the neighbour is free");
    let mut at = GIB;
    while at < GIB + 7 * 4096 {
        let size = pool.block_size(at).expect("the blocks follow each other");
        pool.release(at).expect("each is released by its own offset");
        at += size;
    }
    pool.release(GIB + 7 * 4096).expect("it is live");
    // No block for that number of bytes begins there.
    assert_eq!(pool.reserve_at(GIB + 4096, 3 * 4096), Ok(2));
    assert_eq!((pool.block_size(GIB + 4096), pool.block_size(GIB + 8192)), (Ok(4096), Ok(8192)));
}

#[test]
fn all_of_a_range_is_reserved_and_nothing_is_left() {
    let pool = pool(Sizes::Eighths, 4096);
    assert_eq!(pool.reserve_exact(GIB, 3 * GIB), Ok(2), "1 GiB at 1 GiB, and 2 GiB");
    assert!(pool.alloc(1, 1).is_err());
    assert_eq!(pool.stats().free, 0);
    pool.release(GIB).expect("it is live");
    assert_eq!(pool.alloc(1, 1), Ok(GIB));
}

/// What this thread has in its cache is free for it.
#[test]
fn what_is_cached_is_reserved() {
    let pool = pool(Sizes::PowersOfTwo, 4096);
    let blocks: Vec<u64> = (0..50).map(|_| pool.alloc(4096, 1).expect("there is room")).collect();
    blocks.iter().for_each(|block| pool.release(*block).expect("it is live"));
    #[cfg(feature = "std")]
    assert!(pool.stats().cached > 0);
    for block in &blocks {
        assert_eq!(pool.reserve_at(*block, 4096), Ok(1));
    }
}
