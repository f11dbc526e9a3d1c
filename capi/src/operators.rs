//! C++'s operators `new` and `delete`: every form of C++17, by the names that the ABI gives them.
//!
//! `new` that can't calls the program's new-handler until there is memory or no handler, and then throws
//! `std::bad_alloc`. Both are functions of the C++ library, which is there only in C++ programs; so they are weak here.

use core::ffi::{CStr, c_void};
use core::{arch, mem, ptr};

use crate::malloc::{ALIGN, alloc, release};

type Handler = Option<unsafe extern "C-unwind" fn()>;

arch::global_asm!(".weak _ZSt15get_new_handlerv", ".weak _ZSt17__throw_bad_allocv");

/// The address of a weak function, or null.
macro_rules! weak {
    ($name:literal) => {{
        let place: *const c_void;
        // SAFETY: it reads the address that the loader has left for the name.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            arch::asm!(
                concat!("mov {place}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                place = out(reg) place,
                options(pure, readonly, nostack, preserves_flags),
            );
            #[cfg(target_arch = "aarch64")]
            arch::asm!(
                concat!("adrp {place}, :got:", $name),
                concat!("ldr {place}, [{place}, :got_lo12:", $name, "]"),
                place = out(reg) place,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        place
    }};
}

/// A function of the C++ library: the weak one; or that of a C++ library that was loaded for a plug-in only, whose
/// names nobody else sees.
fn cxx(weak: *const c_void, name: &CStr) -> *const c_void {
    if !weak.is_null() {
        return weak;
    }
    for library in [c"libstdc++.so.6", c"libc++.so.1"] {
        // SAFETY: names. Nothing is loaded.
        let loaded = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
        if !loaded.is_null() {
            // SAFETY: a library that is loaded, and stays: whoever called is a part of a program that needs it.
            let found = unsafe { libc::dlsym(loaded, name.as_ptr()) };
            // SAFETY: as above.
            unsafe { libc::dlclose(loaded) };
            if !found.is_null() {
                return found;
            }
        }
    }
    ptr::null()
}

/// The program's new-handler.
fn handler() -> Handler {
    let get = cxx(weak!("_ZSt15get_new_handlerv"), c"_ZSt15get_new_handlerv");
    // SAFETY: null, or the function of that name, which is `std::get_new_handler`.
    let get = unsafe { mem::transmute::<*const c_void, Option<unsafe extern "C" fn() -> Handler>>(get) };
    // SAFETY: it takes nothing.
    get.and_then(|get| unsafe { get() })
}

#[cold]
fn throw() -> ! {
    let throw = cxx(weak!("_ZSt17__throw_bad_allocv"), c"_ZSt17__throw_bad_allocv");
    // SAFETY: null, or the function of that name, which throws `std::bad_alloc`.
    if let Some(throw) = unsafe { mem::transmute::<*const c_void, Handler>(throw) } {
        // SAFETY: it takes nothing, and the exception leaves through functions that let it.
        unsafe { throw() };
    }
    crate::process::die(c"heapmaster: operator new has no memory, and no C++ library to throw std::bad_alloc\n")
}

/// Without memory: asks the program's handler for some, as long as it has one. Null: it has none.
#[cold]
unsafe extern "C-unwind" fn new_slow(size: usize, align: usize) -> *mut c_void {
    while let Some(handler) = handler() {
        // SAFETY: the program's own. It may throw.
        unsafe { handler() };
        let block = alloc(size, align);
        if !block.is_null() {
            return block;
        }
    }
    ptr::null_mut()
}

/// A block of `new`.
#[inline(always)]
unsafe fn new(size: usize, align: usize) -> *mut c_void {
    let block = alloc(size, align);
    if !block.is_null() {
        return block;
    }
    // SAFETY: the caller lets exceptions through.
    let block = unsafe { new_slow(size, align) };
    if block.is_null() { throw() } else { block }
}

/// Without memory, for `new` that returns null. A handler may throw, and only C++ can catch that. So the C++ library's
/// operator of this name goes on: it calls the one above, which throws, and catches that. In a program without a
/// shared C++ library a handler that throws ends the program.
#[cold]
unsafe fn nothrow_slow(size: usize, align: Option<usize>, tag: *const c_void, name: &CStr) -> *mut c_void {
    if handler().is_none() {
        return ptr::null_mut();
    }
    // SAFETY: a name.
    let next: *const c_void = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    // SAFETY: null, or the operator of that name, which takes these arguments.
    unsafe {
        match align {
            _ if next.is_null() => new_slow(size, align.unwrap_or(ALIGN)),
            None => {
                type New = unsafe extern "C" fn(usize, *const c_void) -> *mut c_void;
                mem::transmute::<*const c_void, New>(next)(size, tag)
            }
            Some(align) => {
                type New = unsafe extern "C" fn(usize, usize, *const c_void) -> *mut c_void;
                mem::transmute::<*const c_void, New>(next)(size, align, tag)
            }
        }
    }
}

/// A block of `new`, or null.
#[inline(always)]
unsafe fn new_nothrow(size: usize, align: Option<usize>, tag: *const c_void, name: &CStr) -> *mut c_void {
    let block = alloc(size, align.unwrap_or(ALIGN).max(ALIGN));
    // SAFETY: the caller vouches for what C++ asks.
    if block.is_null() { unsafe { nothrow_slow(size, align, tag, name) } } else { block }
}

/// Defines operators: the ABI, the names, the arguments, and what they do.
macro_rules! operators {
    ($($abi:literal [$($name:ident),*] $arguments:tt $result:tt $body:tt)*) => {
        $($(operators!(@one $abi $name $arguments $result $body);)*)*
    };
    (@one $abi:literal $name:ident $arguments:tt ($($result:tt)*) $body:tt) => {
        /// The operator of this name.
        ///
        /// # Safety
        ///
        /// As C++'s.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case, reason = "the ABI's name")]
        pub unsafe extern $abi fn $name $arguments $($result)* {
            // SAFETY: the caller vouches for what C++ asks of it.
            unsafe $body
        }
    };
}

operators! {
    "C-unwind" [_Znwm, _Znam] (size: usize) (-> *mut c_void) { new(size, ALIGN) }
    "C-unwind" [_ZnwmSt11align_val_t, _ZnamSt11align_val_t] (size: usize, align: usize) (-> *mut c_void) {
        new(size, align.max(ALIGN))
    }
    "C" [_ZnwmRKSt9nothrow_t, _ZnamRKSt9nothrow_t] (size: usize, tag: *const c_void) (-> *mut c_void) {
        new_nothrow(size, None, tag, c"_ZnwmRKSt9nothrow_t")
    }
    "C" [_ZnwmSt11align_val_tRKSt9nothrow_t, _ZnamSt11align_val_tRKSt9nothrow_t]
    (size: usize, align: usize, tag: *const c_void) (-> *mut c_void) {
        new_nothrow(size, Some(align), tag, c"_ZnwmSt11align_val_tRKSt9nothrow_t")
    }
    "C" [_ZdlPv, _ZdaPv] (block: *mut c_void) () { release(block) }
    "C" [_ZdlPvm, _ZdaPvm, _ZdlPvSt11align_val_t, _ZdaPvSt11align_val_t] (block: *mut c_void, _size_or_align: usize) () {
        release(block)
    }
    "C" [_ZdlPvRKSt9nothrow_t, _ZdaPvRKSt9nothrow_t] (block: *mut c_void, _tag: *const c_void) () { release(block) }
    "C" [_ZdlPvmSt11align_val_t, _ZdaPvmSt11align_val_t] (block: *mut c_void, _size: usize, _align: usize) () {
        release(block)
    }
    "C" [_ZdlPvSt11align_val_tRKSt9nothrow_t, _ZdaPvSt11align_val_tRKSt9nothrow_t]
    (block: *mut c_void, _align: usize, _tag: *const c_void) () { release(block) }
}
