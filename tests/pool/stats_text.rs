//! Figures that are printed: each is there, and says the same as the statistics.

use std::collections::HashMap;

use crate::common::cached::{UNIT, UNITS};
use crate::stats::pool_of;
use mempool::{MemoryPool, PoolStats};

/// A pool in which every kind of figure is above 0.
fn busy() -> (MemoryPool, PoolStats) {
    let pool = pool_of(&[UNITS * UNIT, 100 * UNIT], MemoryPool::builder());
    let blocks = [UNIT, UNIT, 3 * UNIT, UNITS * UNIT / 4].map(|size| pool.hl_alloc(size));
    pool.sweep();
    pool.hl_release(blocks[0]).expect("it is live");
    assert!(pool.hl_alloc(UNITS * UNIT).is_null());
    pool.hl_release(pool.hl_alloc(UNIT)).expect("it is live");
    let stats = pool.stats();
    assert!(
        stats.live > 0 && stats.cached > 0 && stats.free > 0 && stats.failures > 0 && stats.searches > 0,
        "{stats}"
    );
    (pool, stats)
}

/// What a log line must have besides `orders`.
fn expected(stats: &PoolStats) -> [(&'static str, u64); 25] {
    [
        ("heaps", stats.heaps as u64),
        ("capacity_bytes", stats.capacity as u64),
        ("live_bytes", stats.live as u64),
        ("cached_bytes", stats.cached as u64),
        ("free_bytes", stats.free as u64),
        ("in_transit_bytes", stats.in_transit as u64),
        ("largest_free_bytes", stats.largest_free as u64),
        ("largest_possible_bytes", stats.largest_possible as u64),
        ("misaligned_heaps", stats.misaligned_heaps as u64),
        ("caches", stats.caches as u64),
        ("cache_tables_bytes", stats.cache_tables as u64),
        ("cache_allocations_total", stats.cache_allocations),
        ("cache_releases_total", stats.cache_releases),
        ("cache_sent_blocks_total", stats.cache_sent),
        ("cache_refilled_blocks_total", stats.cache_refilled),
        ("cache_flushed_blocks_total", stats.cache_flushed),
        ("heap_allocations_total", stats.heap_allocations),
        ("heap_releases_total", stats.heap_releases),
        ("biased_sizes", stats.biased_sizes as u64),
        ("heavy_fences_total", stats.heavy_fences),
        ("refused_fences_total", stats.refused_fences),
        ("failures_total", stats.failures),
        ("searches_total", stats.searches),
        ("sweeps_total", stats.sweeps),
        ("merges_total", stats.merges),
    ]
}

#[test]
fn a_log_line_has_every_figure() {
    let (_, busy) = busy();
    for stats in [busy, MemoryPool::new().stats()] {
        let line = stats.log_line().to_string();
        let mut pairs: HashMap<&str, &str> = HashMap::new();
        for pair in line.split(' ') {
            let (key, value) = pair.split_once('=').expect("a pair");
            assert!(!value.contains(['=', '"', '\n']) && !value.is_empty());
            assert_eq!(pairs.insert(key, value), None, "{key} is there twice");
        }
        for (key, value) in expected(&stats) {
            assert_eq!(pairs.remove(key).map(str::parse), Some(Ok(value)), "{key} in {line}");
        }
        let ratio: f64 = pairs.remove("external_fragmentation_ratio").expect("it is there").parse().expect("a number");
        assert!((ratio - stats.external_fragmentation()).abs() <= 0.00005);
        let orders = pairs.remove("orders").map_or(Vec::new(), |orders| orders.split(',').collect());
        let numbers =
            orders.iter().map(|order| order.split([':', '/']).map(|number| number.parse().expect("a number")));
        let expected = stats.orders().map(|order| vec![order.block_size, order.live, order.cached, order.free]);
        assert_eq!(numbers.map(Vec::from_iter).collect::<Vec<Vec<usize>>>(), expected.collect::<Vec<_>>());
        assert_eq!(pairs.keys().next(), None, "nothing else is there");
    }
}

#[test]
fn a_page_has_every_figure_that_is_not_0() {
    let (_, busy) = busy();
    for stats in [busy, MemoryPool::new().stats()] {
        let page = stats.to_string();
        let mut lines = page.lines();
        let heading = lines.next().expect("a heading");
        assert!(heading.starts_with(&format!("{} heap", stats.heaps)), "{heading}");
        let (figures, orders): (Vec<&str>, Vec<&str>) = {
            let lines: Vec<&str> = lines.collect();
            let middle = lines.iter().position(|line| line.contains("block size")).unwrap_or(lines.len());
            (lines[..middle].to_vec(), lines[middle..].iter().skip(1).copied().collect())
        };
        for (key, value) in expected(&stats).into_iter().filter(|(key, _)| !["heaps", "capacity_bytes"].contains(key)) {
            // "cache_sent_blocks_total" is "cache blocks sent".
            let mut words: Vec<&str> = key
                .trim_end_matches("_total")
                .trim_end_matches("_bytes")
                .trim_end_matches("_blocks")
                .split('_')
                .collect();
            if key.ends_with("_blocks_total") {
                words.insert(1, "blocks");
            }
            let label = words.join(" ");
            let found = figures.iter().find_map(|line| line.trim().strip_prefix(&label)?.strip_prefix("  "));
            assert_eq!(found.is_some(), value > 0, "{label} in\n{page}");
            let Some(found) = found else { continue };
            let exact = found.trim().trim_end_matches(" B").rsplit(' ').next().map(str::parse);
            assert_eq!(exact, Some(Ok(value)), "{label} in\n{page}");
        }
        let mut widths = orders.iter().map(|line| line.chars().count());
        assert!(widths.next().is_none_or(|first| widths.all(|width| width == first)), "columns are aligned in\n{page}");
        assert_eq!(orders.len(), stats.orders().count());
        for (line, order) in orders.iter().zip(stats.orders()) {
            let mut words = line.split_whitespace();
            let size: usize = words.next().and_then(|number| number.parse().ok()).expect("a number");
            let unit = ["B", "KiB", "MiB", "GiB"].iter().position(|unit| words.clone().next() == Some(unit));
            assert_eq!(size << (10 * unit.expect("a unit")), order.block_size);
            let counts: Vec<usize> = words.clone().skip(1).take(3).map(|count| count.parse().unwrap_or(0)).collect();
            assert_eq!(counts, [order.live, order.cached, order.free]);
            let bar = words.nth(4).expect("a bar");
            for (character, count) in [('█', order.live), ('c', order.cached), ('·', order.free)] {
                let (drawn, of) = (bar.matches(character).count(), order.live + order.cached + order.free);
                assert!((drawn as f64 - 16.0 * count as f64 / of as f64).abs() <= 1.0, "{line}");
            }
        }
    }
}

#[test]
fn heaps_and_sweeps_are_lines() {
    let (pool, _) = busy();
    for heap in pool.heap_stats() {
        let line = heap.to_string();
        assert!(line.starts_with(&format!("{}: ", heap.heap)) && line.lines().count() == 1, "{line}");
        for (label, bytes) in [("live", heap.live), ("cached", heap.cached), ("in transit", heap.in_transit)] {
            assert_eq!(line.contains(&format!(", {label} ")), bytes > 0, "{line}");
        }
    }
    let report = pool.sweep();
    assert!(report.to_string().starts_with(&format!("{} blocks visited, {} merges", report.blocks, report.merges)));
}

#[test]
fn a_pool_in_a_message_is_one_line() {
    let pool = pool_of(&[UNITS * UNIT, UNIT], MemoryPool::builder());
    let line = format!("{pool:#?}");
    assert_eq!(line, format!("{pool:?}"));
    assert!(line.starts_with("MemoryPool { heaps: 2, capacity: ") && line.ends_with(" }"), "{line}");
    assert!(line.lines().count() == 1 && line.len() < 120, "{line}");
}
