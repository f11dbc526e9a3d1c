//! The words of the calling thread, at a fixed distance from its thread pointer: the *initial-exec* model of
//! thread-locals, which stable Rust can't ask for.
//!
//! Without it a thread-local of a shared library is found by a call of the loader (`__tls_get_addr`). That call takes
//! time, and may itself allocate when libraries were loaded since: in a library that defines `malloc`, from within
//! `malloc`. With it, a library has its words in the block that the loader lays out for what is loaded with the
//! program; one that is loaded later needs a place in what the loader has kept there, which is little.

use core::arch::{asm, global_asm};

/// The words of a thread.
pub const WORDS: usize = 5;

/// What the words of a new thread are.
pub const FIRST: [u64; WORDS] = [0, u64::MAX, 8, u64::MAX, 8];

// Hidden: each library that has this crate in it has words of its own.
global_asm!(
    ".pushsection .tdata.heapmaster_thread,\"awT\",%progbits",
    ".globl heapmaster_thread",
    ".hidden heapmaster_thread",
    ".type heapmaster_thread,%object",
    ".size heapmaster_thread,40",
    ".p2align 3",
    "heapmaster_thread:",
    ".quad {0}, {1}, {2}, {3}, {4}",
    ".popsection",
    const FIRST[0],
    const FIRST[1],
    const FIRST[2],
    const FIRST[3],
    const FIRST[4],
);

/// The words of the calling thread. They live as long as it, and are not freed before any of its destructors.
#[inline(always)]
pub fn words() -> *mut [u64; WORDS] {
    let words: *mut [u64; WORDS];
    // SAFETY: it computes an address, which is the same for as long as the thread lives, and touches nothing else.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov {words}, qword ptr fs:[0]",
            "add {words}, qword ptr [rip + heapmaster_thread@GOTTPOFF]",
            words = out(reg) words,
            options(pure, nomem, nostack),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "adrp {offset}, :gottprel:heapmaster_thread",
            "ldr {offset}, [{offset}, :gottprel_lo12:heapmaster_thread]",
            "mrs {words}, tpidr_el0",
            "add {words}, {words}, {offset}",
            offset = out(reg) _,
            words = out(reg) words,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    words
}
