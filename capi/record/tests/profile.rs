//! A Rust program profiles itself: its sites, what they have, and what they pin, as pprof's format says it.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Read;
use std::path::Path;
use std::{fs, thread};

use flate2::read::GzDecoder;
use libdd_profiling_protobuf::prost_impls::Profile;
use mempool::PoolAllocator;
use prost::Message;
use record::profile::{Profiled, convert};

#[global_allocator]
static ALLOCATOR: Profiled<PoolAllocator> = Profiled::new(PoolAllocator::new());

/// Bytes of a block: a class of its own.
const SIZE: usize = 208;
/// Bytes from sample to sample: so few that estimates are close.
const MEAN: u64 = 1024;

#[inline(never)]
fn stays() -> Box<[u8; SIZE]> {
    black_box(Box::new([1; SIZE]))
}

#[inline(never)]
fn goes() -> Box<[u8; SIZE]> {
    black_box(Box::new([2; SIZE]))
}

#[inline(never)]
fn grows(bytes: usize) -> Vec<u8> {
    let mut list = Vec::<u8>::with_capacity(1000);
    while list.capacity() < bytes {
        list.reserve_exact(2 * list.capacity());
    }
    black_box(list)
}

/// Of each figure's name, what the sites with this function have.
fn figures(profile: &Profile, function: &str) -> HashMap<String, i64> {
    let text = |number: i64| profile.string_table[number as usize].as_str();
    let ids = |is: &dyn Fn(&str) -> bool| -> Vec<u64> {
        let functions: Vec<u64> = profile.functions.iter().filter(|f| is(text(f.name))).map(|f| f.id).collect();
        let has = |lines: &[libdd_profiling_protobuf::prost_impls::Line]| {
            lines.iter().any(|line| functions.contains(&line.function_id))
        };
        profile.locations.iter().filter(|location| has(&location.lines)).map(|location| location.id).collect()
    };
    let meant = ids(&|name| name.ends_with(function));
    let mut sums = HashMap::new();
    for sample in &profile.samples {
        if sample.location_ids.iter().any(|id| meant.contains(id)) {
            for (kind, value) in profile.sample_types.iter().zip(&sample.values) {
                *sums.entry(text(kind.r#type).to_owned()).or_default() += value;
            }
        }
    }
    sums
}

fn read(path: &Path) -> Profile {
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(path).expect("it was written")).read_to_end(&mut bytes).expect("gzip");
    Profile::decode(bytes.as_slice()).expect("a profile")
}

/// An estimate is within an eighth: eight deviations of the smallest one.
fn assert_near(found: i64, expected: usize) {
    assert!((found - expected as i64).unsigned_abs() < expected as u64 / 8, "{found}, not {expected}");
}

#[test]
fn sites_have_what_they_allocated_and_pin() {
    let folder = std::env::temp_dir().join(format!("profile-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    let raw = ALLOCATOR.start(&folder, MEAN).expect("a file");
    assert!(ALLOCATOR.start(&folder, MEAN).is_err(), "one profile at a time");
    // Of each slab one block stays, in the mean.
    const KEPT: usize = 20_000;
    const EACH: usize = 16;
    let mut kept = Vec::with_capacity(KEPT);
    let mut gone = Vec::with_capacity(KEPT * EACH);
    for _ in 0..KEPT {
        kept.push(stays());
        gone.extend((0..EACH).map(|_| goes()));
    }
    // Another thread releases, which has no caches afterwards.
    thread::spawn(move || drop(gone)).join().expect("it ends");
    drop(grows(32 << 20));
    ALLOCATOR.inner().sweep();
    let pinned_in_all: usize =
        kept.iter().map(|block| ALLOCATOR.inner().pinned_by(std::ptr::NonNull::from(&**block).cast())).sum();
    ALLOCATOR.stop();
    let path = folder.join("own.pb.gz");
    let summary = convert(&raw, &path).expect("a profile");
    drop(kept);

    let profile = read(&path);
    assert_eq!(profile.period, MEAN as i64);
    assert_eq!(summary.lost, 0);
    let stays = figures(&profile, "stays");
    assert_near(stays["alloc_space"], KEPT * SIZE);
    assert_near(stays["alloc_objects"], KEPT);
    assert_near(stays["inuse_space"], KEPT * SIZE);
    assert_near(stays["peak_space"], KEPT * SIZE);
    assert_near(stays["pinned_space"], pinned_in_all);
    assert!(pinned_in_all > KEPT * SIZE * EACH / 2, "{pinned_in_all}");
    let goes = figures(&profile, "goes");
    assert_near(goes["alloc_space"], KEPT * EACH * SIZE);
    assert_near(goes["peak_space"], KEPT * EACH * SIZE);
    assert_eq!((goes["inuse_space"], goes["pinned_space"]), (0, 0));
    // It was moved, and each size counts.
    let grows = figures(&profile, "grows");
    assert!(grows["alloc_space"] > 32 << 20 && grows["inuse_space"] == 0, "{grows:?}");
    // The innermost function is the program's.
    let text = |number: i64| profile.string_table[number as usize].as_str();
    assert!(profile.functions.iter().all(|function| !text(function.name).contains("record::profile")));

    let folded = fs::read_to_string(folder.join("own.pinned.folded")).expect("beside it");
    // Debug information of lines only has no paths in names.
    let line = folded.lines().find(|line| line.contains("stays")).unwrap_or_else(|| panic!("no site in {folded}"));
    assert!(line.contains(';'), "{line}");
    fs::remove_dir_all(&folder).expect("it was made");
}
