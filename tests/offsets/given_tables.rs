//! Tables from the caller.

use mempool::{AddRangeError, OffsetPool};

#[test]
fn a_range_lives_in_the_tables_that_came_with_it() {
    let pool = OffsetPool::builder().thread_cache(0).build().expect("valid");
    let size = OffsetPool::tables_size(1 << 30, 4096);
    // 49 bits for each smallest block, and some KiB.
    assert!((size as u64) < (1 << 18) * 50 / 8 + (16 << 10), "{size}");
    let range = pool.add_range_with(1 << 30, 1 << 30, 7, vec![0xff; size].leak()).expect("they suffice");
    assert_eq!(pool.word_of(1 << 30), Some(7));
    let block = pool.alloc(1 << 29, 1).expect("there is room");
    let few = vec![0; 4096].leak();
    let error = pool.add_range_with(0, 1 << 30, 0, few).expect_err("they are too few");
    assert!(matches!(error, AddRangeError::TablesTooSmall { size: 4096, needed } if needed > 4096), "{error}");
    assert_eq!(pool.take_tables().map(|tables| tables.len()), Some(4096));
    let error = pool.add_range_with(0, 0, 0, few_again()).expect_err("it is empty");
    assert_eq!(error, AddRangeError::Empty);
    assert!(pool.take_tables().is_some(), "what was wrong was the range");
    pool.release(block).expect("it is live");
    pool.remove_range(range).expect("it is free");
    assert!(pool.take_tables().is_some());
}

fn few_again() -> &'static mut [u8] {
    vec![0; 4096].leak()
}

#[test]
fn sizes_of_tables_are_known_beforehand() {
    const HUGE: usize = OffsetPool::tables_size(1 << 63, 1 << 40);
    assert!((1 << 20..70 << 20).contains(&HUGE), "{HUGE}");
    assert_eq!(OffsetPool::tables_size(u64::MAX, 16), usize::MAX, "no range has as many blocks");
}
