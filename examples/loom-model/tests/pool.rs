//! How a model sees a pool: in all orders of its operations, and with no more order between threads than the pool
//! promises.
#![cfg(loom)]

use std::collections::BTreeSet;
use std::ptr;
use std::sync::{Arc, Mutex};

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread::{self, JoinHandle};
use mempool::MemoryPool;

/// A heap, and a cell beside it that threads write to. Nothing is at its addresses, which a pool never looks at.
struct Shared {
    pool: MemoryPool,
    cell: UnsafeCell<u32>,
}

// SAFETY: loom lets one thread run at a time, and reports accesses to the cell that nothing orders.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

impl Shared {
    fn new(heap: usize) -> Arc<Self> {
        let pool = MemoryPool::new();
        pool.add_heap(ptr::without_provenance_mut(1 << 20), heap).expect("the heap is large enough");
        Arc::new(Self { pool, cell: UnsafeCell::new(0) })
    }

    fn write(&self) {
        // SAFETY: loom reports whoever else is there.
        self.cell.with_mut(|cell| unsafe { *cell += 1 });
    }

    /// Allocates a block; writes, if there is one; and releases it.
    fn write_with_block(&self) -> bool {
        let block = self.pool.hl_alloc(64);
        if !block.is_null() {
            self.write();
            self.pool.hl_release(block).expect("the block is live");
        }
        !block.is_null()
    }
}

fn start<R: 'static>(shared: &Arc<Shared>, act: impl FnOnce(&Shared) -> R + 'static) -> JoinHandle<R> {
    let shared = Arc::clone(shared);
    thread::spawn(move || act(&shared))
}

fn join<R>(thread: JoinHandle<R>) -> R {
    thread.join().expect("no thread panics")
}

/// What a thread has cached comes back once it has ended, in heaps with caches and in ones too small for any.
#[test]
fn all_comes_back() {
    for heap in [256, 4096, 1 << 16] {
        loom::model(move || {
            let shared = Shared::new(heap);
            let use_it = |shared: &Shared| {
                let block = shared.pool.hl_alloc(64);
                assert!(!block.is_null());
                shared.pool.hl_release(block).expect("the block is live");
            };
            let other = start(&shared, use_it);
            use_it(&shared);
            join(other);
            shared.pool.sweep();
            assert_eq!(shared.pool.largest_free_block(), heap);
        });
    }
}

/// Two threads want the only block: each of them alone gets it, or both do, one after the other.
#[test]
fn operations_happen_in_all_orders() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let all = Arc::clone(&seen);
    loom::model(move || {
        let shared = Shared::new(64);
        let other = start(&shared, Shared::write_with_block);
        let mine = shared.write_with_block();
        seen.lock().expect("nobody panics with it").insert((mine, join(other)));
    });
    let all = all.lock().expect("nobody panics with it").clone();
    assert_eq!(all, BTreeSet::from([(false, true), (true, false), (true, true)]));
}

/// Who has a block, or a part of it, sees what its last owner wrote before the release.
#[test]
fn the_next_owner_sees_what_the_last_one_wrote() {
    loom::model(|| {
        let shared = Shared::new(64);
        let other = start(&shared, Shared::write_with_block);
        shared.write_with_block();
        join(other);
    });
}

/// To use a pool orders nothing else: the model finds the race.
#[test]
#[should_panic(expected = "Causality violation")]
fn blocks_of_two_threads_order_nothing() {
    loom::model(|| {
        let shared = Shared::new(128);
        let has_written = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&has_written);
        let other = start(&shared, move |shared| {
            shared.write();
            assert!(!shared.pool.hl_alloc(64).is_null());
            // Relaxed: that nothing is visible by it is what this is about.
            tell.store(true, Ordering::Relaxed);
        });
        // Relaxed: as above.
        if has_written.load(Ordering::Relaxed) {
            assert!(!shared.pool.hl_alloc(64).is_null());
            shared.write();
        }
        join(other);
    });
}
