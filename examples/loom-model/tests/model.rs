//! The model of the mailbox: a sender and a receiver, in all orders of what they do.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_model::Mailbox;
use mempool::MemoryPool;

/// Room for a few messages.
const HEAP: usize = 1024;

/// The memory of the heap, aligned as its largest block.
#[repr(align(1024))]
struct Memory([u8; HEAP]);

/// Seeded bug: a message is published without Release.
#[test]
#[cfg_attr(feature = "seeded-bug", should_panic(expected = "Causality violation"))]
fn send_receive() {
    loom::model(|| {
        let mut memory = Box::new(Memory([0; HEAP]));
        let pool = Arc::new(MemoryPool::new());
        pool.add_heap(memory.0.as_mut_ptr(), HEAP).expect("the heap is large enough");
        let mailbox = Arc::new(Mailbox::new(Arc::clone(&pool)));

        let receiver = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.receive())
        };
        let replaced = mailbox.send(1).expect("there is a block");
        let received = receiver.join().expect("the receiver does not panic");

        assert_eq!(replaced, None);
        assert_eq!(received.or_else(|| mailbox.receive()), Some(1), "the message is lost, or came twice");

        // All blocks are back.
        drop(mailbox);
        pool.sweep();
        assert_eq!(pool.largest_free_block(), HEAP);
    });
}
