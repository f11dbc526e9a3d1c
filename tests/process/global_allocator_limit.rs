//! A program whose global allocator has a hard limit: what goes beyond fails politely, and the program goes on.

use std::collections::HashMap;

use mempool::PoolAllocator;

const LIMIT: usize = 64 << 20;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::with_limit(LIMIT);

#[test]
fn a_program_goes_on_at_its_limit() {
    for _ in 0..3 {
        let mut kept: Vec<Vec<u8>> = Vec::with_capacity(1 << 12);
        let refused = loop {
            let mut bytes: Vec<u8> = Vec::new();
            match bytes.try_reserve_exact(100_000) {
                Ok(()) => kept.push(bytes),
                Err(error) => break error,
            }
        };
        let (blocks, stats) = (kept.len(), ALLOCATOR.stats());
        // Before anything is asserted: to say what failed takes memory.
        kept.truncate(blocks / 2);
        assert!(refused.to_string().contains("memory"), "{refused}");
        assert!(blocks * 100_000 > LIMIT / 10 * 9, "{blocks} blocks, {stats}");
        assert!(stats.heap - stats.free <= LIMIT, "{stats}");
        // There is room for other things now.
        let map: HashMap<u32, String> = (0..10_000).map(|number| (number, number.to_string())).collect();
        assert_eq!(map[&77], "77");
    }
    let mut huge: Vec<u8> = Vec::new();
    assert!(huge.try_reserve(2 * LIMIT).is_err());
    assert!(huge.try_reserve(LIMIT / 2).is_ok());
}
