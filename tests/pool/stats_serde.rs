//! The feature `serde`: what is written is read again as it was, and what is no configuration is not read as one.

use std::fmt::Debug;

use crate::common::at;
use crate::common::cached::{BASE, UNIT, UNITS};
use mempool::{Block, HeapId, HeapStats, MemoryPool, PoolBuilder, PoolStats, SweepReport};
use serde_json::{Value, from_str, from_value, json, to_string, to_value};

/// A pool with live, cached and free blocks, and what it reports.
fn busy() -> (MemoryPool, SweepReport) {
    let pool = MemoryPool::new();
    for heap in 1..=2 {
        pool.add_heap(at(heap * BASE), UNITS * UNIT / heap).expect("the heap is one");
    }
    let blocks: Vec<_> = (0..100).map(|number| pool.hl_alloc(UNIT << (number % 5))).collect();
    assert!(pool.hl_alloc(2 * UNITS * UNIT).is_null());
    let report = pool.sweep();
    blocks[..50].iter().for_each(|block| pool.hl_release(*block).expect("it is live"));
    (pool, report)
}

/// Through text, and through a value.
fn again<T: serde::Serialize + for<'de> serde::Deserialize<'de> + PartialEq + Debug>(written: &T) -> Value {
    let text = to_string(written).expect("it can be written");
    assert_eq!(&from_str::<T>(&text).expect("it can be read"), written, "{text}");
    let value = to_value(written).expect("it can be written");
    assert_eq!(&from_value::<T>(value.clone()).expect("it can be read"), written, "{value}");
    value
}

#[test]
fn what_is_written_is_read_as_it_was() {
    let (pool, report) = busy();
    let stats = pool.stats();
    assert!(stats.cached > 0 && stats.failures > 0 && report.blocks > 0, "{stats}");
    let value = again(&stats);
    assert_eq!(value["capacity"], json!(stats.capacity));
    assert_eq!(value["orders"].as_array().map(Vec::len), Some(stats.orders().count()));
    again(&MemoryPool::new().stats());
    again(&report);
    for order in stats.orders() {
        again(&order);
    }
    let heaps: Vec<HeapStats> = pool.heap_stats().collect();
    again(&heaps);
    let blocks: Vec<Block> = pool.heap_map().collect();
    let value = again(&blocks);
    assert_eq!(value[0]["heap"], json!(0));
    let states = value.as_array().expect("a sequence").iter().map(|block| block["state"].as_str());
    assert!(states.clone().all(|state| ["free", "cached", "live"].contains(&state.expect("text"))));
    // An id that was read is as good as the one that was written.
    let id: HeapId = from_value(again(&heaps[1].heap)).expect("it can be read");
    assert_eq!(pool.stats_of(id), Some(heaps[1]));
}

#[test]
fn statistics_of_other_versions_are_read() {
    let (pool, _) = busy();
    let stats = pool.stats();
    // A later version has more, an earlier one had less.
    let mut value = to_value(stats).expect("it can be written");
    let fields = value.as_object_mut().expect("a map");
    fields.insert("of_later".into(), json!({ "some": ["thing"] }));
    fields.remove("merges");
    let mut expected = stats;
    expected.merges = 0;
    assert_eq!(from_value::<PoolStats>(value).expect("it can be read"), expected);
    assert_eq!(from_str::<PoolStats>("{}").expect("it can be read"), PoolStats::default());
}

#[test]
fn statistics_that_can_not_be_are_no_panic() {
    for (orders, fault) in [
        (json!([{ "order": 32, "live": 1 }]), "order 32 is above 31"),
        (json!([{ "order": u32::MAX, "live": 1 }]), "is above 31"),
        (json!([{ "order": 3, "live": 1 }, { "order": 3, "free": 1 }]), "order 3 is there twice"),
        (json!({ "order": 3 }), "a sequence of orders"),
        (json!([{ "order": -1 }]), "invalid value"),
    ] {
        let error = from_value::<PoolStats>(json!({ "orders": orders })).expect_err("it is none").to_string();
        assert!(error.contains(fault), "{error}");
    }
    let most = json!({
        "heaps": usize::MAX, "capacity": 1, "live": usize::MAX, "free": 1, "largest_free": usize::MAX,
        "cache_allocations": u64::MAX, "heap_allocations": u64::MAX,
        "orders": [{ "order": 31, "block_size": usize::MAX, "live": usize::MAX, "cached": usize::MAX, "free": usize::MAX }],
    });
    let stats: PoolStats = from_value(most).expect("it can be read");
    assert_eq!((stats.orders().count(), stats.allocations()), (1, u64::MAX - 1));
    assert!(stats.external_fragmentation() < 0.0 && !stats.to_string().is_empty());
    assert!(!stats.log_line().to_string().is_empty());
}

#[test]
fn configurations_are_checked() {
    let read = |value: Value| from_value::<PoolBuilder>(value);
    let same = |one: &PoolBuilder, other: &PoolBuilder| assert_eq!(format!("{one:?}"), format!("{other:?}"));
    same(&read(json!({})).expect("all is as by default"), &MemoryPool::builder());
    let builder = MemoryPool::builder().min_block(256).max_block(1 << 20).thread_cache(0);
    same(&read(to_value(&builder).expect("it can be written")).expect("it can be read"), &builder);
    let built = read(json!({ "min_block": 4096 })).expect("it is one").build().expect("it was checked");
    built.add_heap(at(BASE), 1 << 20).expect("the heap is one");
    assert_eq!(built.heap_map().map(|block| block.size).min(), Some(1 << 20));
    assert_eq!(built.block_size(std::ptr::NonNull::new(built.hl_alloc(1)).expect("there is room")), Ok(4096));
    for (value, fault) in [
        (json!({ "min_block": 100 }), MemoryPool::builder().min_block(100).build().unwrap_err().to_string()),
        (json!({ "min_block": 0 }), MemoryPool::builder().min_block(0).build().unwrap_err().to_string()),
        (json!({ "max_block": 32 }), MemoryPool::builder().max_block(32).build().unwrap_err().to_string()),
        (json!({ "min_blocks": 64 }), "unknown field `min_blocks`".into()),
        (json!({ "min_block": -64 }), "invalid value".into()),
    ] {
        let error = read(value).expect_err("it is no configuration").to_string();
        assert!(error.contains(&fault), "{error}");
    }
    // What was built from parts that don't fit is written as it is, and not read again.
    let wrong = to_value(MemoryPool::builder().min_block(3)).expect("it can be written");
    assert!(read(wrong).is_err());
}

/// Statistics in which each number is another one, and those numbers.
fn distinct<T: serde::Serialize + for<'de> serde::Deserialize<'de> + Default>() -> (T, Vec<u64>) {
    let mut value = to_value(T::default()).expect("it can be written");
    let fields = value.as_object_mut().expect("a map").values_mut().filter(|value| value.is_number());
    let numbers: Vec<u64> = (1_000..).zip(fields).map(|(number, field)| (*field = json!(number), number).1).collect();
    (from_value(value).expect("it can be read"), numbers)
}

/// Every field has its row in the table of figures, in the line for a log and in what is printed.
fn has_every_number(numbers: &[u64], line: &str) {
    let values = line.split(' ').filter_map(|pair| pair.split_once('=')?.1.parse::<u64>().ok());
    assert_eq!(values.collect::<std::collections::BTreeSet<_>>(), numbers.iter().copied().collect(), "{line}");
}

#[test]
fn every_field_is_a_figure() {
    let (stats, numbers) = distinct::<PoolStats>();
    has_every_number(&numbers, &stats.log_line().to_string());
    #[cfg(feature = "std")]
    {
        let (stats, numbers) = distinct::<mempool::SweeperStats>();
        has_every_number(&numbers, &stats.log_line().to_string());
        assert_eq!(stats.to_string().split(", ").count(), numbers.len(), "{stats}");
        again(&stats);
    }
    #[cfg(feature = "allocator")]
    {
        let (stats, numbers) = distinct::<mempool::AllocatorStats>();
        has_every_number(&numbers, &stats.log_line().to_string());
        assert_eq!(stats.to_string().split(", ").count(), numbers.len(), "{stats}");
        again(&stats);
    }
}
