//! The stack of the caller, by the unwinder of the C++ library (`libgcc_s`, or LLVM's): it needs no frame pointers,
//! only the tables that every program has for exceptions. With glibc from 2.35 on it finds them without a lock; before,
//! by `dl_iterate_phdr`. It does not allocate.

use std::ffi::{c_int, c_void};

/// Most frames that are kept, from the innermost one on. Each takes the unwinder some 1 500 instructions.
pub const FRAMES: usize = 32;

/// Return addresses, from the innermost one on.
#[derive(Clone, Debug)]
pub struct Stack {
    pub frames: [u64; FRAMES],
    pub len: usize,
}

unsafe extern "C" {
    fn _Unwind_Backtrace(visit: extern "C" fn(*mut c_void, *mut c_void) -> c_int, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

extern "C" fn visit(context: *mut c_void, argument: *mut c_void) -> c_int {
    const GO_ON: c_int = 0;
    const STOP: c_int = 4;
    // SAFETY: the unwinder's, and the argument of `of_caller`.
    let (address, stack) = unsafe { (_Unwind_GetIP(context), &mut *argument.cast::<Stack>()) };
    let Some(frame) = stack.frames.get_mut(stack.len).filter(|_| address != 0) else { return STOP };
    *frame = address as u64;
    stack.len += 1;
    GO_ON
}

impl Stack {
    /// That of the caller.
    pub fn of_caller() -> Self {
        let mut stack = Self { frames: [0; FRAMES], len: 0 };
        // SAFETY: `visit` has this type, and the argument outlives the call.
        unsafe { _Unwind_Backtrace(visit, (&raw mut stack).cast()) };
        stack
    }

    /// Its frames.
    pub fn get(&self) -> &[u64] {
        &self.frames[..self.len]
    }
}
