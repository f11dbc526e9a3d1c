//! The words of the calling thread, of the initial-exec model, as those of the library itself
//! (`src/thread/initial_exec.rs` says why): `malloc` uses them.

/// What a thread has. A new one has zeroes.
#[repr(C)]
pub struct Words {
    /// Where its next record goes.
    pub next: *mut u64,
    /// Where its chunk ends.
    pub end: *mut u64,
    /// Its first chunk, which is its number; 0 before that.
    pub thread: u64,
    /// Of the profile: bytes that it allocates until the next sample; below zero, it is due.
    pub left: i64,
    /// Of the profile: the state of its random numbers; 0 before the first one.
    pub random: u64,
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
core::arch::global_asm!(
    ".pushsection .tbss.heapmaster_record,\"awT\",%nobits",
    ".globl heapmaster_record",
    ".hidden heapmaster_record",
    ".type heapmaster_record,%object",
    ".size heapmaster_record,40",
    ".p2align 3",
    "heapmaster_record:",
    ".zero 40",
    ".popsection",
);

const _: () = assert!(size_of::<Words>() == 40);

/// The words of the calling thread.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
pub fn words() -> *mut Words {
    let words: *mut Words;
    // SAFETY: it computes an address, which is the same for as long as the thread lives, and touches nothing else.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "mov {words}, qword ptr fs:[0]",
            "add {words}, qword ptr [rip + heapmaster_record@GOTTPOFF]",
            words = out(reg) words,
            options(pure, nomem, nostack),
        );
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!(
            "adrp {offset}, :gottprel:heapmaster_record",
            "ldr {offset}, [{offset}, :gottprel_lo12:heapmaster_record]",
            "mrs {words}, tpidr_el0",
            "add {words}, {words}, {offset}",
            offset = out(reg) _,
            words = out(reg) words,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    words
}

/// The words of the calling thread.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn words() -> *mut Words {
    use std::cell::UnsafeCell;
    use std::ptr::null_mut;

    std::thread_local! {
        static WORDS: UnsafeCell<Words> =
            const { UnsafeCell::new(Words { next: null_mut(), end: null_mut(), thread: 0, left: 0, random: 0 }) };
    }
    WORDS.with(UnsafeCell::get)
}
