//! The feature `metrics`: what a recorder gets is what the statistics say.

use std::collections::HashMap;

use crate::common::at;
use crate::common::cached::{BASE, UNIT, UNITS};
use mempool::{MemoryPool, describe_metrics};
use metrics::{Unit, with_local_recorder};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

/// The metrics that something sets, by name and labels.
type Recorded = HashMap<(String, Vec<String>), (MetricKind, f64, Option<Unit>, bool)>;

fn recorded(record: impl FnOnce()) -> Recorded {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    with_local_recorder(&recorder, record);
    let mut found = Recorded::new();
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(value) => value as f64,
            DebugValue::Gauge(value) => value.into_inner(),
            DebugValue::Histogram(_) => panic!("there are no histograms"),
        };
        let described = description.is_some_and(|text| !text.is_empty());
        assert!(
            found.insert((key.name().into(), labels), (kind, value, unit, described)).is_none(),
            "{key} is there twice"
        );
    }
    found
}

fn busy() -> MemoryPool {
    let pool = MemoryPool::new();
    for heap in 1..=2 {
        pool.add_heap(at(heap * BASE), UNITS * UNIT / heap).expect("the heap is one");
    }
    assert!(pool.hl_alloc(2 * UNITS * UNIT).is_null());
    let blocks: Vec<_> = (0..100).map(|number| pool.hl_alloc(UNIT << (number % 5))).collect();
    pool.sweep();
    blocks[..50].iter().for_each(|block| pool.hl_release(*block).expect("it is live"));
    pool
}

#[test]
fn the_figures_of_a_pool_are_recorded() {
    let pool = busy();
    let stats = pool.stats();
    let recorded = recorded(|| {
        describe_metrics();
        stats.record(&[("pool", "one"), ("node", "0")]);
    });
    let labels = vec![String::from("pool=one"), String::from("node=0")];
    are_those_of(&stats.log_line().to_string(), &recorded, &labels);
}

/// A log line has the same names and values as what is recorded.
fn are_those_of(line: &str, recorded: &Recorded, labels: &[String]) {
    let pairs = line.split(' ').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key != "orders");
    let mut count = 0;
    for (key, value) in pairs {
        let name = format!("heapmaster_{key}");
        let (kind, recorded, unit, described) = recorded[&(name, labels.to_vec())];
        let value: f64 = value.parse().expect("a number");
        assert!((value - recorded).abs() < 0.0001, "{key}: {value} {recorded}");
        assert_eq!(kind == MetricKind::Counter, key.ends_with("_total"), "{key}");
        let expected = match key.trim_end_matches("_total").rsplit('_').next() {
            Some("bytes") => Some(Unit::Bytes),
            Some("ratio") => None,
            _ => Some(Unit::Count),
        };
        assert_eq!((unit, described), (expected, true), "{key}");
        count += 1;
    }
    assert_eq!(recorded.len(), count, "nothing else is recorded");
}

#[test]
fn the_figures_of_a_sweeper_are_recorded() {
    static POOL: MemoryPool = MemoryPool::new();
    POOL.add_heap(at(BASE), UNITS * UNIT).expect("the heap is one");
    let sweeper = mempool::Sweeper::spawn(&POOL).expect("there are threads");
    assert!(sweeper.wait_for_pass());
    let stats = sweeper.stats();
    let recorded = recorded(|| {
        describe_metrics();
        stats.record(&[("sweeper", "one")]);
    });
    are_those_of(&stats.log_line().to_string(), &recorded, &[String::from("sweeper=one")]);
    assert!(recorded[&(String::from("heapmaster_sweeper_passes_total"), vec![String::from("sweeper=one")])].1 >= 1.0);
}

#[cfg(feature = "allocator")]
#[test]
fn the_figures_of_an_allocator_are_recorded() {
    use std::alloc::{GlobalAlloc, Layout};

    let allocator = mempool::PoolAllocator::with_limit(1 << 24);
    // SAFETY: the layout has a size above 0.
    assert!(!unsafe { allocator.alloc(Layout::new::<[u8; 100]>()) }.is_null());
    let stats = allocator.stats();
    let recorded = recorded(|| {
        describe_metrics();
        stats.record(&[("allocator", "one")]);
    });
    are_those_of(&stats.log_line().to_string(), &recorded, &[String::from("allocator=one")]);
    let name = String::from("heapmaster_allocator_limit_bytes");
    assert_eq!(recorded[&(name, vec![String::from("allocator=one")])].1, f64::from(1 << 24));
}

#[test]
fn counters_never_go_back() {
    let pool = busy();
    let before = pool.stats();
    pool.sweep();
    let after = pool.stats();
    assert!(after.sweeps > before.sweeps && after.cached < before.cached);
    let recorded = recorded(|| [after, before].iter().for_each(|stats| stats.record(Vec::new())));
    let value = |name: &str| recorded[&(String::from(name), Vec::new())].1;
    assert_eq!(value("heapmaster_sweeps_total"), after.sweeps as f64);
    assert_eq!(value("heapmaster_cached_bytes"), before.cached as f64);
}

#[test]
fn orders_and_heaps_are_recorded() {
    let pool = busy();
    let stats = pool.stats();
    let orders = recorded(|| {
        describe_metrics();
        stats.record_orders(&[("pool", "one")]);
    });
    let mut above_0 = 0;
    for ((name, labels), (kind, value, unit, described)) in &orders {
        assert_eq!(
            (name.as_str(), *kind, *unit, *described),
            ("heapmaster_blocks", MetricKind::Gauge, Some(Unit::Count), true)
        );
        let [pool, size, state] = labels.as_slice() else { panic!("{labels:?}") };
        assert_eq!(pool, "pool=one");
        let size: usize = size.strip_prefix("block_size=").and_then(|size| size.parse().ok()).expect("a size");
        let order = stats.orders().find(|order| order.block_size == size);
        let expected = order.map_or(0, |order| match state.as_str() {
            "state=live" => order.live,
            "state=cached" => order.cached,
            "state=free" => order.free,
            other => panic!("{other}"),
        });
        assert_eq!(*value, expected as f64, "{labels:?}");
        above_0 += usize::from(expected > 0);
    }
    assert!(above_0 >= stats.orders().count());
    // When blocks of a size are gone, their gauges are set to 0.
    let empty: Vec<_> = recorded(|| MemoryPool::new().stats().record_orders(Vec::new())).into_values().collect();
    assert!(empty.len() == orders.len() && empty.iter().all(|(_, value, ..)| *value == 0.0));

    for heap in pool.heap_stats() {
        let recorded = recorded(|| {
            describe_metrics();
            heap.record(&[("pool", "one")]);
        });
        let expected = [
            ("capacity", heap.capacity),
            ("live", heap.live),
            ("cached", heap.cached),
            ("free", heap.free),
            ("in_transit", heap.in_transit),
            ("largest_free", heap.largest_free),
            ("largest_possible", heap.largest_possible),
        ];
        assert_eq!(recorded.len(), expected.len());
        let labels = vec![String::from("pool=one"), format!("heap={}", heap.heap.get())];
        for (name, bytes) in expected {
            let figure = recorded[&(format!("heapmaster_heap_{name}_bytes"), labels.clone())];
            assert_eq!(figure, (MetricKind::Gauge, bytes as f64, Some(Unit::Bytes), true), "{name}");
        }
    }
}

#[test]
fn every_metric_is_in_the_documentation() {
    let source = [
        include_str!("../../src/stats/record.rs"),
        include_str!("../../src/stats/sweeper.rs"),
        #[cfg(feature = "allocator")]
        include_str!("../../src/stats/allocator.rs"),
    ]
    .concat();
    let pool = busy();
    let names = recorded(|| {
        pool.stats().record(Vec::new());
        pool.stats().record_orders(Vec::new());
        pool.heap_stats().for_each(|heap| heap.record(Vec::new()));
        mempool::SweeperStats::default().record(Vec::new());
        #[cfg(feature = "allocator")]
        mempool::AllocatorStats::default().record(Vec::new());
    });
    assert!(names.len() > 30);
    for (name, _) in names.keys() {
        let mut documentation = source.lines().filter(|line| line.trim_start().starts_with("///"));
        assert!(documentation.any(|line| line.contains(&format!("`{name}`"))), "{name}");
    }
}

#[test]
fn nothing_is_recorded_without_a_recorder() {
    busy().stats().record(&[("pool", "one")]);
}
