//! A Rust program records itself: every call of the wrapper is in the trace.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout};
use std::thread;

use mempool::PoolAllocator;
use record::Recorded;
use recordings::{Event, Trace};

static ALLOCATOR: Recorded<PoolAllocator> = Recorded::new(PoolAllocator::new());

/// Two blocks of a size that tells the thread; one of them is resized.
fn work(number: usize) {
    let layout = Layout::from_size_align(1000 + number, 64).expect("a small one");
    // SAFETY: the sizes are not 0, and each block is released once, with its layout.
    unsafe {
        let (one, two) = (ALLOCATOR.alloc(layout), ALLOCATOR.alloc_zeroed(layout));
        let one = ALLOCATOR.realloc(one, layout, 50_000);
        assert!(!one.is_null() && !two.is_null());
        ALLOCATOR.dealloc(two, layout);
        ALLOCATOR.dealloc(one, Layout::from_size_align(50_000, 64).expect("a small one"));
    }
}

#[test]
fn every_call_is_in_the_trace() {
    let folder = std::env::temp_dir().join(format!("record-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    // Before the beginning: a block that the trace does not know.
    let layout = Layout::new::<[u64; 4]>();
    // SAFETY: the size is not 0.
    let early = unsafe { ALLOCATOR.alloc(layout) };
    let raw = record::start(&folder).expect("a file");
    assert!(record::start(&folder).is_err(), "one recording at a time");
    thread::scope(|scope| (0..8).for_each(|number| _ = scope.spawn(move || (0..1000).for_each(|_| work(number)))));
    // SAFETY: live, and of this layout.
    unsafe { ALLOCATOR.dealloc(early, layout) };
    record::stop();
    work(9);
    let path = folder.join("own.trace.zst");
    let summary = record::convert(&raw, &path).expect("a trace");
    let trace = Trace::open(Some(&path)).expect("it is one");
    assert_eq!((trace.events.len(), trace.objects), (8 * 1000 * 5, 8 * 1000 * 2));
    assert_eq!((summary.events, summary.objects, summary.live, summary.lost), (40_000, 16_000, 0, 1));
    for number in 0..8 {
        let layout = Layout::from_size_align(1000 + number, 64).expect("a small one");
        let is_meant = |event: &&Event| matches!(event, Event::Allocate { layout: found, .. } if *found == layout);
        assert_eq!(trace.events.iter().filter(is_meant).count(), 2000);
    }
    std::fs::remove_dir_all(&folder).expect("it was made");
}
