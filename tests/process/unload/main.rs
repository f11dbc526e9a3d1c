//! A library with an allocator is unloaded: what it does not use goes, and what is live stays.
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]

use std::env;
use std::ffi::{CString, c_void};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;

const GIB: usize = 1 << 30;

/// One test at a time: what is mapped is all of the process's.
static ALONE: Mutex<()> = Mutex::new(());

/// Where cargo has put the library; it is built if only this test was.
fn library() -> CString {
    let test = env::current_exe().expect("its own path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("a folder of the profile");
    let library: PathBuf = profile.join("examples").join("libunloaded.so");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--example", "unloaded", "--manifest-path"]);
    build.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(library.exists() || build.status().expect("cargo").success());
    CString::new(library.into_os_string().into_encoded_bytes()).expect("a path")
}

struct Library(*mut c_void);

// SAFETY: a handle, for functions that any thread may call.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    fn load() -> Self {
        static PATH: Mutex<Option<CString>> = Mutex::new(None);
        let mut path = PATH.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path.get_or_insert_with(library);
        // SAFETY: its constructors do no harm.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!handle.is_null(), "{path:?}");
        Self(handle)
    }

    fn function(&self, name: &std::ffi::CStr) -> *mut c_void {
        // SAFETY: a handle that is open.
        let function = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        assert!(!function.is_null(), "{name:?}");
        function
    }

    fn work(&self, count: usize) {
        // SAFETY: the library's function of this name is one of this type.
        let work = unsafe { std::mem::transmute::<*mut c_void, extern "C" fn(usize) -> usize>(self.function(c"work")) };
        assert_eq!(work(count), 10 * count + count * (count - 1) / 2);
    }

    fn keep(&self, count: usize) -> *mut u8 {
        // SAFETY: as above.
        let keep =
            unsafe { std::mem::transmute::<*mut c_void, extern "C" fn(usize) -> *mut u8>(self.function(c"keep")) };
        keep(count)
    }

    fn unload(&self) {
        // SAFETY: nobody is in the library.
        assert_eq!(unsafe { libc::dlclose(self.0) }, 0);
    }
}

/// Bytes of addresses, and resident ones.
fn mapped() -> (usize, usize) {
    let text = fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let mut numbers = text.split(' ').map(|number| number.parse::<usize>().expect("a number") * 4096);
    (numbers.next().expect("all"), numbers.next().expect("resident"))
}

#[test]
fn what_has_nothing_live_goes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cycle = || {
        let library = Library::load();
        let (used, unloaded) = (Barrier::new(4), Barrier::new(4));
        library.work(1000);
        thread::scope(|scope| {
            // Their caches have something when the library goes.
            for _ in 0..3 {
                scope.spawn(|| {
                    library.work(500);
                    used.wait();
                    unloaded.wait();
                });
            }
            used.wait();
            library.unload();
            unloaded.wait();
        });
    };
    (0..3).for_each(|_| cycle());
    let before = mapped();
    (0..300).for_each(|_| cycle());
    let after = mapped();
    assert!(after.0 < before.0 + GIB / 4, "addresses: {before:?} {after:?}");
    assert!(after.1 < before.1 + (8 << 20), "resident: {before:?} {after:?}");
}

#[test]
fn what_is_live_stays() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let before = mapped();
    let kept: Vec<*mut u8> = (0..10)
        .map(|_| {
            let library = Library::load();
            library.work(1000);
            let block = library.keep(100_000);
            library.unload();
            block
        })
        .collect();
    for block in kept {
        // SAFETY: that many bytes, which live for ever.
        assert!(unsafe { std::slice::from_raw_parts(block, 100_000) }.iter().all(|byte| *byte == 7));
    }
    // Tables keep their addresses, those of checked allocators a tenth of the heap's; but the heap doesn't, which has
    // 512 GiB.
    let after = mapped();
    assert!(after.0 < before.0 + 10 * 64 * GIB, "{before:?} {after:?}");
}
