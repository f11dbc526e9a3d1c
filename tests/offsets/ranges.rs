//! Ranges: words, ids, and what is at an offset.

use mempool::{AddRangeError, AllocError, OffsetPool, RemoveHeapError};

#[test]
fn words_and_ranges_are_found_by_offset() {
    let pool = OffsetPool::default();
    let words = [(0, 9), (1 << 20, u64::MAX), (1 << 40, 0)];
    let ids = words.map(|(start, word)| pool.add_range_for(start, 1 << 20, word).expect("they don't overlap"));
    for ((start, word), id) in words.into_iter().zip(ids) {
        for offset in [start, start + 1, start + (1 << 20) - 1] {
            let range = pool.range_of(offset).expect("it is in one");
            assert_eq!((range.id, range.start, range.len, range.word), (id, start, 1 << 20, word));
            assert_eq!(pool.word_of(offset), Some(word));
        }
        let block = pool.alloc_in(id, 5000, 1).expect("it is empty");
        assert_eq!(pool.word_of(block), Some(word));
        pool.release(block).expect("it is live");
    }
    for offset in [2 << 20, (1 << 40) - 1, u64::MAX] {
        assert_eq!((pool.range_of(offset), pool.word_of(offset)), (None, None));
    }
    assert_eq!(pool.ranges().map(|range| range.id).collect::<Vec<_>>(), ids);
    pool.remove_range(ids[1]).expect("it is free");
    assert_eq!(pool.word_of(1 << 20), None);
    assert_eq!(pool.ranges().count(), 2);
    assert!(matches!(pool.alloc_in(ids[1], 1, 1), Err(AllocError::UnknownHeap { .. })));
    assert_eq!(pool.remove_range(ids[1]), Err(RemoveHeapError::UnknownHeap { heap: ids[1] }));
}

#[test]
fn a_range_has_the_whole_blocks_of_what_was_added() {
    let pool = OffsetPool::new();
    pool.add_range(1, 3 * 4096).expect("two blocks");
    let range = pool.ranges().next().expect("there is one");
    assert_eq!((range.start, range.len), (4096, 8192));
    // The rest of the ends is nobody's.
    let below = pool.add_range(0, 4096).expect("they share no block");
    assert_eq!(pool.add_range(8192, 100_000), Err(AddRangeError::Overlap { range: range.id }));
    assert_eq!(pool.add_range(0, 4096), Err(AddRangeError::Overlap { range: below }));
    pool.add_range(3 * 4096, 4096).expect("they share no block");
    assert_eq!(pool.stats().capacity, 4 * 4096);
    assert_eq!(pool.stats_of(range.id).map(|heap| heap.capacity), Some(8192));
}

/// The figures and the pictures are those of a pool.
#[test]
fn figures_and_pictures_tell_of_it() {
    let pool = OffsetPool::builder().min_block(2 << 20).build().expect("valid");
    pool.add_range(0, 64 << 30).expect("the only range");
    let block = pool.alloc(20 << 30, 1).expect("there is room");
    let stats = pool.stats();
    assert_eq!((stats.live, stats.capacity, stats.largest_free), (32 << 30, 64 << 30, 32 << 30));
    assert!(stats.to_string().contains("64 GiB"), "{stats}");
    let text = pool.heap_map().text(32, 2).to_string();
    assert!(text.starts_with("heap 0: 64 GiB, each character 1 GiB"), "{text}");
    assert!(text.contains("live 32 GiB (50.0 %)"), "{text}");
    assert!(pool.heap_map().svg().to_string().contains("64 GiB"));
    assert_eq!(
        format!("{pool:?}"),
        "OffsetPool { pool: MemoryPool { heaps: 1, capacity: 64 GiB, blocks: 2 MiB to 4 PiB } }"
    );
    pool.release(block).expect("it is live");
    assert_eq!(pool.sweep().largest_after, 64 << 30);
}
