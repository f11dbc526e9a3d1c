//! Requests that no well-meaning program makes: each is an error with figures, and changes nothing.

use mempool::{AddRangeError, AllocError, ConfigError, OffsetPool, ReleaseError, ReserveError, ResizeError, Sizes};

const LARGE: [u64; 8] =
    [1 << 31, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, u64::MAX - 1, u64::MAX];

fn pool() -> OffsetPool {
    let pool = OffsetPool::new();
    pool.add_range(0, 1 << 20).expect("the only range");
    pool
}

fn figures(pool: &OffsetPool) -> [usize; 3] {
    let stats = pool.stats();
    [stats.live, stats.free + stats.cached, stats.heaps]
}

#[test]
fn any_length_and_any_alignment_is_answered() {
    let pool = pool();
    let before = figures(&pool);
    for len in [1, 4096, 1 << 20, (1 << 20) + 1].into_iter().chain(LARGE) {
        for shift in 0..64 {
            match pool.alloc(len, 1 << shift) {
                Ok(offset) => {
                    assert!(len <= 1 << 20 && shift <= 20 && offset % (1 << shift) == 0, "{len} bytes of 2^{shift}");
                    pool.release(offset).expect("it is live");
                }
                Err(AllocError::TooLarge { largest_block, .. }) => {
                    assert!(len > 1 << 20 || shift > 20);
                    assert_eq!(largest_block, 1 << 20);
                }
                Err(error) => panic!("{error}"),
            }
        }
        for align in [0, 3, 4097, u64::MAX] {
            let error = pool.alloc(len, align).expect_err("no power of two");
            assert_eq!(error, AllocError::Alignment { align });
            assert!(error.to_string().contains(&align.to_string()), "{error}");
        }
    }
    assert_eq!(pool.alloc(0, 1), Err(AllocError::ZeroSize));
    assert_eq!(pool.alloc_batch(0, 1, &mut [0; 4]), Err(AllocError::ZeroSize));
    assert_eq!(pool.alloc_batch(4096, 1, &mut []), Ok(0));
    assert_eq!(OffsetPool::new().alloc(5, 1), Err(AllocError::NoHeap { requested: 5 }));
    assert_eq!(figures(&pool), before);
}

#[test]
fn any_offset_is_answered() {
    let pool = pool();
    let block = pool.alloc(8192, 1).expect("there is room");
    let before = figures(&pool);
    for shift in 0..64 {
        for offset in [1 << shift, (1u64 << shift) - 1, (1 << shift) + 1, u64::MAX - (1 << shift), u64::MAX << shift] {
            let expected = match offset {
                _ if offset == block => continue,
                _ if offset > block && offset < block + 8192 => ReleaseError::Interior,
                0..0x10_0000 => ReleaseError::NotLive,
                _ => ReleaseError::Foreign,
            };
            assert_eq!(pool.release(offset), Err(expected), "{offset:#x}");
            assert_eq!(pool.block_size(offset), Err(expected), "{offset:#x}");
            assert_eq!(pool.resize_in_place(offset, 5), Err(ResizeError::NoBlock(expected)), "{offset:#x}");
            assert_eq!(pool.release_batch(&[offset]).map_err(|error| error.error), Err(expected), "{offset:#x}");
        }
    }
    for len in LARGE {
        assert!(matches!(pool.resize_in_place(block, len), Err(ResizeError::NoRoom { size: 8192, .. })), "{len}");
    }
    assert_eq!(pool.resize_in_place(block, 0), Err(ResizeError::ZeroSize));
    assert_eq!(figures(&pool), before);
    pool.release(block).expect("it is live");
    assert_eq!(pool.release(block), Err(ReleaseError::NotLive));
    let error = pool.release_batch(&[block, 3, block]).expect_err("none of them is live");
    assert_eq!((error.failed, error.first, error.error), (3, 0, ReleaseError::NotLive));
}

#[test]
fn any_range_is_answered() {
    let pool = pool();
    let before = figures(&pool);
    let error = |start, len| pool.add_range(start, len).expect_err("it is refused");
    assert_eq!(error(5, 0), AddRangeError::Empty);
    assert_eq!(error(u64::MAX, 0), AddRangeError::Empty);
    for start in LARGE {
        let len = u64::MAX - start;
        assert_eq!(error(start, len + 2.min(start)), AddRangeError::Overflow { start, len: len + 2.min(start) });
    }
    for (start, len) in [(u64::MAX, 1), (u64::MAX - 4094, 4095), (4097, 4096), (1 << 63, 1)] {
        assert_eq!(error(start, len), AddRangeError::TooSmall { start, len, min_block: 4096 });
    }
    for start in [0, 1 << 20] {
        let (len, max) = (u64::MAX - start, u64::from(u32::MAX) << 12);
        let refused = error(start, len);
        if usize::BITS > 32 || start > 0 {
            assert_eq!(refused, AddRangeError::TooLarge { len, max });
        }
        assert!(refused.to_string().contains(&len.to_string()), "{refused}");
    }
    assert!(matches!(error(0, 1 << 20), AddRangeError::Overlap { .. }));
    assert!(matches!(error(4096, 4096), AddRangeError::Overlap { .. }));
    assert_eq!(figures(&pool), before);
    #[cfg(target_pointer_width = "32")]
    assert!(matches!(error(1 << 44, 1 << 20), AddRangeError::OutOfReach { most, .. } if most == (1 << 44) - 4097));
}

#[test]
fn any_reservation_is_answered() {
    let pool = pool();
    let before = figures(&pool);
    assert_eq!(pool.reserve_at(5, 0), Err(ReserveError::ZeroSize));
    assert_eq!(pool.reserve_exact(5, 0), Err(ReserveError::ZeroSize));
    for (start, len) in LARGE.into_iter().flat_map(|large| [(large, large), (large, 1), (0, large), (5, large)]) {
        for got in [pool.reserve_at(start, len), pool.reserve_exact(start, len)] {
            assert_eq!(got, Err(ReserveError::Foreign { start, len }));
        }
    }
    for (start, len) in [(0, (1 << 20) + 1), ((1 << 20) - 1, 2), (1 << 20, 1)] {
        assert_eq!(pool.reserve_at(start, len), Err(ReserveError::Foreign { start, len }));
    }
    assert_eq!(figures(&pool), before);
    assert_eq!(pool.reserve_at(0, 1 << 20), Ok(1));
    let error = pool.reserve_exact(4095, 2).expect_err("it is live");
    let in_use = ReserveError::InUse { start: 4095, len: 2, first: 0, live: 8192, cached: 0, in_transit: 0 };
    assert!(
        matches!(error, ReserveError::InUse { first: 0, live: 8192, cached: 0, in_transit: 0, .. }),
        "{error} {in_use}"
    );
    for figure in ["2 bytes", "0xfff", "8192 bytes are live"] {
        assert!(error.to_string().contains(figure), "{error}");
    }
    pool.release(0).expect("it is one block");
}

#[test]
fn only_powers_of_two_are_sizes_of_blocks() {
    for bytes in [0, 1, 8, 17, u64::MAX] {
        let refused = OffsetPool::builder().min_block(bytes).build().expect_err("no size");
        assert!(matches!(refused, ConfigError::MinBlock { .. }), "{refused}");
    }
    assert!(matches!(OffsetPool::builder().max_block(2048).build(), Err(ConfigError::MaxBlock { .. })));
    let pool = OffsetPool::builder().max_block(8192).build().expect("valid");
    pool.add_range(0, 1 << 20).expect("the only range");
    assert!(matches!(pool.alloc(8193, 1), Err(AllocError::TooLarge { largest_block: 8192, .. })));
    assert_eq!(pool.reserve_at(0, 1 << 20), Ok(128), "none is larger");
}

/// A space up to the last offset, in the largest blocks.
#[cfg(target_pointer_width = "64")]
#[test]
fn the_largest_space_is_served() {
    for sizes in [Sizes::PowersOfTwo, Sizes::Eighths] {
        let pool = OffsetPool::builder().min_block(1 << 44).sizes(sizes).build().expect("valid");
        let id = pool.add_range(0, u64::MAX).expect("the only range");
        let half = pool.alloc(1 << 63, 1 << 63).expect("there is room");
        assert_eq!(half, 0, "all but the last block is there, so this is the lower half");
        assert_eq!(pool.block_size(half), Ok(1 << 63));
        let next = pool.alloc(1, 1 << 62).expect("there is room");
        assert_eq!(next, 1 << 63);
        assert_eq!(pool.reserve_at(u64::MAX - (2 << 44) + 1, 1 << 44), Ok(1), "the last block");
        assert!(matches!(pool.reserve_at(u64::MAX, 1), Err(ReserveError::Foreign { .. })));
        assert_eq!(pool.largest_free(), 1 << 61);
        for offset in [half, next, u64::MAX - (2 << 44) + 1] {
            assert_eq!(pool.release(offset), Ok(()));
            assert_eq!(pool.release(offset), Err(ReleaseError::NotLive));
        }
        pool.remove_range(id).expect("it is free");
        pool.add_range(u64::MAX - (1 << 45) + 1, 1 << 45).expect("it ends with the last offset");
        assert_eq!(pool.alloc(1 << 45, 1), Ok(u64::MAX - (1 << 45) + 1));
    }
}
