//! A static pool without an operating system, the standard library or a global allocator.
//!
//! For a bare machine; it would not link if anything in it wanted an allocator:
//!
//! ```text
//! rustup target add x86_64-unknown-none
//! cargo build -p bare_metal --example bare_metal --target x86_64-unknown-none
//! ```
//!
//! The same code as a program of this system, tested: `cargo test -p bare_metal`.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![allow(clippy::disallowed_types, reason = "the lint is for the library, whose atomics are loom's in its models")]

mod messages;

/// A bare machine begins here: the loader jumps to `_start`, and there is nothing to come back to.
#[cfg(target_os = "none")]
mod machine {
    use core::panic::PanicInfo;
    use core::sync::atomic::{AtomicUsize, Ordering};

    /// A debugger reads here how many messages went through.
    static DONE: AtomicUsize = AtomicUsize::new(0);

    // SAFETY: no other symbol has this name.
    #[unsafe(no_mangle)]
    extern "C" fn _start() -> ! {
        // Relaxed: nothing else is to be visible by it.
        DONE.store(super::messages::run().map_or(0, |summary| summary.messages), Ordering::Relaxed);
        halt()
    }

    #[panic_handler]
    fn panic(_: &PanicInfo<'_>) -> ! {
        halt()
    }

    fn halt() -> ! {
        loop {
            core::hint::spin_loop();
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    match messages::run() {
        Ok(messages::Summary { messages, capacity, most, free }) => {
            println!("{messages} messages, of {most} bytes at most, in {capacity} bytes; {free} are free at the end");
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::messages;

    #[test]
    fn messages_go_through_and_all_memory_comes_back() {
        let summary = messages::run().expect("the region is large enough");
        assert_eq!(summary.messages, 1000);
        // Nine tenths of the region are blocks, and the most that was in use fits into them.
        assert!(summary.capacity > messages::REGION / 10 * 9 - 8192, "{summary:?}");
        assert!(0 < summary.most && summary.most <= summary.capacity, "{summary:?}");
        assert_eq!(summary.free, summary.capacity, "{summary:?}");
        assert!(messages::run().is_err(), "the region is given once");
    }
}
