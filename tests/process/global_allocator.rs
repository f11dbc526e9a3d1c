//! The crate's allocator as the global allocator of a program that does what programs do.

use std::alloc::{GlobalAlloc, Layout};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::panic;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use mempool::{PoolAllocator, Sweeper};
use rayon::prelude::*;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

#[test]
fn collections_and_formatting() {
    let mut map = HashMap::new();
    let mut tree = BTreeMap::new();
    for number in 0..20_000u32 {
        map.insert(number, format!("{number:>width$}", width = number as usize % 300));
        tree.insert(number.reverse_bits(), vec![number; number as usize % 70]);
    }
    map.retain(|number, _| number % 3 != 0);
    assert!(map.iter().all(|(number, text)| text.trim_start() == number.to_string()));
    assert!(tree.values().all(|values| values.iter().all(|value| *value as usize % 70 == values.len())));
}

#[test]
fn blocks_grow_and_keep_their_contents() {
    let mut all = Vec::new();
    for round in 0..200usize {
        let mut bytes: Vec<u8> = Vec::new();
        for _ in 0..round * 37 {
            bytes.push(round as u8);
        }
        all.push(bytes);
    }
    let large: Vec<u64> = (0..1 << 20).collect();
    assert_eq!(large.iter().sum::<u64>(), (1 << 19) * ((1 << 20) - 1));
    assert!(all.iter().enumerate().all(|(round, bytes)| bytes.iter().all(|byte| *byte == round as u8)));
}

#[test]
fn zeroed_blocks_are_zero() {
    for size in [1, 100, 5000, 70_000, 1 << 20] {
        for _ in 0..20 {
            let mut block = vec![0u8; size];
            assert!(block.iter().all(|byte| *byte == 0));
            block.fill(0xa5);
        }
    }
}

#[test]
fn alignments() {
    for shift in 0..22 {
        for size in [1usize, 24, 1000, 5000, 100_000] {
            let layout = Layout::from_size_align(size, 1 << shift).expect("a small one");
            // SAFETY: the size is not 0.
            let block = unsafe { ALLOCATOR.alloc(layout) };
            assert!(!block.is_null() && block.addr() % (1 << shift) == 0, "{layout:?}");
            // SAFETY: the block is that long.
            unsafe { block.write_bytes(0xff, size) };
            // SAFETY: it was allocated with this layout.
            unsafe { ALLOCATOR.dealloc(block, layout) };
        }
    }
}

#[test]
fn threads_hand_blocks_on() {
    let (send, receive) = channel::<Vec<String>>();
    thread::scope(|scope| {
        for thread in 0..4 {
            let send = send.clone();
            scope.spawn(move || {
                for batch in 0..200 {
                    send.send((0..100).map(|number| format!("{thread} {batch} {number}")).collect())
                        .expect("one receives");
                }
            });
        }
        drop(send);
        let received = receive.into_iter().flatten().filter(|text| text.ends_with(" 7")).count();
        assert_eq!(received, 800);
    });
}

#[test]
fn unwinding() {
    for number in 0..100 {
        let result = panic::catch_unwind(|| {
            let text = format!("number {number}");
            let _held = vec![text.clone(); 10];
            panic::resume_unwind(Box::new(text));
        });
        let payload = result.expect_err("it panics");
        assert_eq!(payload.downcast_ref::<String>(), Some(&format!("number {number}")));
    }
}

#[test]
fn threads_that_panic() {
    for number in 0..30 {
        let panics = move || {
            let held: Vec<String> = (0..number).map(|number| number.to_string()).collect();
            panic!("{} texts, the last of them {:?}", held.len(), held.last());
        };
        let payload: Box<dyn Any + Send> = thread::spawn(panics).join().expect_err("it panics");
        let text = payload.downcast_ref::<String>().expect("a text with figures");
        assert!(text.starts_with(&format!("{number} texts")), "{text}");
    }
}

#[test]
fn rayon_sorts() {
    let mut numbers: Vec<u64> = (0..200_000).map(|number| number * 2_654_435_761 % 1_000_003).collect();
    numbers.par_sort();
    assert!(numbers.is_sorted());
    let texts: Vec<String> = numbers.par_iter().map(|number| number.to_string()).collect();
    assert_eq!(texts.len(), numbers.len());
}

struct Allocates(Vec<u8>);

impl Drop for Allocates {
    fn drop(&mut self) {
        let more: Vec<Vec<u8>> = (0..50).map(|size| vec![1; size * 10]).collect();
        assert_eq!(more.len() + self.0.len(), 60);
    }
}

thread_local! {
    static LATE: Allocates = Allocates(vec![0; 10]);
}

#[test]
fn destructors_of_thread_locals_allocate() {
    for _ in 0..50 {
        thread::spawn(|| LATE.with(|late| assert_eq!(late.0.len(), 10))).join().expect("no panic");
    }
}

/// All threads allocate from the allocator that is swept all the time, as does the sweeper's own; it begins and ends
/// again and again.
#[test]
fn the_global_allocator_is_swept_while_all_use_it() {
    for round in 0..20 {
        let builder = Sweeper::builder().interval(Duration::ZERO).trim_after(Duration::from_nanos(round % 2));
        let sweeper = builder.allocator(&ALLOCATOR).spawn().expect("a thread");
        thread::scope(|scope| {
            for thread in 0..3 {
                let sweeper = &sweeper;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for number in 0..300_usize {
                        let size = if number % 20 == 0 { 200_000 } else { 1 + number * (thread + 13) % 5000 };
                        kept.push(vec![number as u8; size]);
                        if number % 3 == 0 {
                            let bytes = kept.swap_remove(number * 7 % kept.len());
                            assert!(bytes.iter().all(|byte| *byte == bytes[0]));
                        }
                        if number % 100 == 99 {
                            // Messages are allocated, too.
                            sweeper.add_allocator(&ALLOCATOR);
                            assert!(sweeper.wait_for_pass());
                        }
                    }
                });
            }
        });
        drop(sweeper);
    }
}
