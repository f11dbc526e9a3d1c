//! The C library, loaded as a plug-in is: `malloc` and its family, and `hm_pool_*` with any argument. A block is
//! filled, and a wrong address is refused. Build it first: `cargo build --release -p heapmaster-capi`.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::LazyLock;

use libloading::Library;

use crate::Bytes;

type Pointer = *mut c_void;

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let at = std::env::var("HEAPMASTER_C").unwrap_or_else(|_| "target/release/libheapmaster.so".into());
    // SAFETY: loading it runs none but its own code.
    unsafe { Library::new(&at) }.unwrap_or_else(|error| panic!("cargo build --release -p heapmaster-capi: {error}"))
});

macro_rules! c {
    ($name:ident($($argument:expr),*): fn($($type:ty),*) $(-> $result:ty)?) => {{
        // SAFETY: the header has this function with these types, and the arguments are such.
        unsafe {
            let function = LIBRARY.get::<unsafe extern "C" fn($($type),*) $(-> $result)?>(stringify!($name).as_bytes());
            function.expect(stringify!($name))($($argument),*)
        }
    }};
}

/// Runs a program.
pub fn run(data: &[u8]) {
    let bytes = &mut Bytes::new(data);
    if bytes.next() { family(bytes) } else { pool(bytes) }
}

fn filled(block: Pointer, size: usize, byte: u8) {
    // SAFETY: a live block of so many bytes.
    unsafe { block.cast::<u8>().write_bytes(byte, size) };
}

fn check(block: Pointer, size: usize, byte: u8) {
    // SAFETY: a live block of so many bytes, all of which were written.
    let bytes = unsafe { std::slice::from_raw_parts(block.cast::<u8>(), size) };
    assert!(bytes.iter().all(|is| *is == byte), "{block:?} of {size} bytes");
}

fn family(bytes: &mut Bytes<'_>) {
    let mut live: Vec<(Pointer, usize, u8)> = Vec::new();
    for number in 0..1000 {
        if bytes.is_empty() {
            break;
        }
        let (size, byte) = (bytes.size(19), number as u8 | 1);
        let place = bytes.below(live.len().max(1));
        let mut align = 1;
        let new = match bytes.below(7) {
            0 => c!(malloc(size): fn(usize) -> Pointer),
            1 => {
                let count = 1 + bytes.below(4);
                let block = c!(calloc(count, size.div_ceil(count)): fn(usize, usize) -> Pointer);
                if !block.is_null() {
                    check(block, size, 0);
                }
                block
            }
            2 => {
                align = 1 << bytes.below(16);
                c!(aligned_alloc(align, size): fn(usize, usize) -> Pointer)
            }
            3 => {
                align = bytes.next::<u16>() as usize;
                let mut block = null_mut();
                let is_valid = align.is_power_of_two() && align >= size_of::<usize>();
                let got = c!(posix_memalign(&raw mut block, align, size): fn(*mut Pointer, usize, usize) -> c_int);
                assert!(is_valid || got == libc::EINVAL);
                if got == 0 { block } else { null_mut() }
            }
            4 => {
                // Products that are none.
                let block = c!(calloc(usize::MAX / 2, 2 + size): fn(usize, usize) -> Pointer);
                assert!(block.is_null());
                let block = c!(malloc(usize::MAX - size): fn(usize) -> Pointer);
                assert!(block.is_null());
                c!(free(block): fn(Pointer));
                block
            }
            5 if !live.is_empty() => {
                let (block, old, byte) = live[place];
                check(block, old, byte);
                let new = c!(realloc(block, size): fn(Pointer, usize) -> Pointer);
                if !new.is_null() {
                    check(new, old.min(size), byte);
                    filled(new, size, byte);
                    live[place] = (new, size, byte);
                }
                continue;
            }
            _ if !live.is_empty() => {
                let (block, size, byte) = live.swap_remove(place);
                check(block, size, byte);
                c!(free(block): fn(Pointer));
                continue;
            }
            _ => continue,
        };
        if !new.is_null() {
            assert!(new.addr().is_multiple_of(align.max(1)));
            assert!(c!(malloc_usable_size(new): fn(Pointer) -> usize) >= size);
            filled(new, size, byte);
            live.push((new, size, byte));
        }
    }
    for (block, size, byte) in live {
        check(block, size, byte);
        c!(free(block): fn(Pointer));
    }
}

fn pool(bytes: &mut Bytes<'_>) {
    let mut pool: Pointer = null_mut();
    assert_eq!(c!(hm_pool_new(std::ptr::null(), &raw mut pool): fn(*const c_void, *mut Pointer) -> c_int), 0);
    let (mut live, mut regions) = (BTreeMap::new(), Vec::new());
    for _ in 0..400 {
        if bytes.is_empty() {
            break;
        }
        let wild = if bytes.next() { bytes.next::<usize>() } else { bytes.below(1 << 24) };
        let (at, size): (Pointer, _) = (without_provenance_mut(wild), bytes.size(24));
        let some = live.keys().copied().nth(bytes.below(live.len().max(1)));
        match bytes.below(9) {
            0 | 1 => {
                let mut id = 0_u64;
                let got =
                    c!(hm_pool_add_region(pool, at, size, &raw mut id): fn(Pointer, Pointer, usize, *mut u64) -> c_int);
                if got == 0 {
                    regions.push(id);
                }
            }
            2 if !regions.is_empty() => {
                let place = bytes.below(regions.len());
                if c!(hm_pool_remove_region(pool, regions[place]): fn(Pointer, u64) -> c_int) == 0 {
                    regions.swap_remove(place);
                }
            }
            3 | 4 => {
                let align = if bytes.next() { 1 << bytes.below(24) } else { bytes.next::<usize>() };
                let block = if bytes.next() {
                    c!(hm_pool_alloc(pool, size): fn(Pointer, usize) -> Pointer)
                } else {
                    c!(hm_pool_alloc_aligned(pool, align, size): fn(Pointer, usize, usize) -> Pointer)
                };
                if !block.is_null() {
                    let has = c!(hm_pool_block_size(pool, block): fn(Pointer, Pointer) -> usize);
                    assert!(has >= size, "{has} of {size}");
                    live.insert(block.addr(), has);
                }
            }
            5 => {
                // A wrong address, unless a block is there.
                let expected = live.remove(&wild).is_some() || wild == 0;
                let got = c!(hm_pool_release(pool, at): fn(Pointer, Pointer) -> c_int);
                assert_eq!(got == 0, expected, "{wild:#x}: {got}");
            }
            6 => {
                if let Some(block) = some {
                    live.remove(&block);
                    let block = without_provenance_mut(block);
                    assert_eq!(c!(hm_pool_release(pool, block): fn(Pointer, Pointer) -> c_int), 0);
                }
            }
            7 => {
                if let Some(block) = some {
                    let mut now = 0;
                    let at = without_provenance_mut(block);
                    let got = c!(hm_pool_resize_in_place(pool, at, size, &raw mut now): fn(Pointer, Pointer, usize, *mut usize) -> c_int);
                    if got == 0 {
                        live.insert(block, now);
                    }
                }
            }
            _ => _ = c!(hm_pool_sweep(pool): fn(Pointer) -> u64),
        }
        let mut ends = 0;
        for (block, size) in &live {
            assert!(*block >= ends, "{block:#x} overlaps the one before");
            ends = block.saturating_add(*size);
        }
    }
    for block in live.into_keys() {
        assert_eq!(c!(hm_pool_release(pool, without_provenance_mut(block)): fn(Pointer, Pointer) -> c_int), 0);
    }
    c!(hm_pool_flush_thread_cache(pool): fn(Pointer));
    for region in regions {
        assert_eq!(c!(hm_pool_remove_region(pool, region): fn(Pointer, u64) -> c_int), 0, "all is free");
    }
    c!(hm_pool_free(pool): fn(Pointer));
}
