//! An allocator in the world: under limits of addresses and of data, locked, beside hundreds of others. Each program
//! that has a limit is this one again, as a child that is told what to do; its own allocator is the one that is tested.
#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout};
use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};
use std::sync::Barrier;
use std::thread;

use mempool::PoolAllocator;

#[global_allocator]
static GLOBAL: PoolAllocator = PoolAllocator::new();

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: usize = 1 << 30;

type Resource = i32;
const ADDRESSES: Resource = libc::RLIMIT_AS as Resource;
const DATA: Resource = libc::RLIMIT_DATA as Resource;

/// What a child is to do, by the name that it is told.
const PROGRAMS: [(&str, fn()); 5] =
    [("threads", threads), ("fill", fill), ("little", little), ("locked", locked), ("locked later", locked_later)];
const NAME: &str = "ALLOCATOR_OS_PROGRAM";

/// Not a test, but what a child runs.
#[test]
fn child() {
    if let Ok(name) = env::var(NAME) {
        let program = PROGRAMS.iter().find(|(program, _)| *program == name).expect("a program");
        program.1();
    }
}

/// Runs a program under limits, and returns what it has written.
fn run(name: &str, limits: &[(Resource, usize)]) -> String {
    let mut command = Command::new(env::current_exe().expect("its own path"));
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).env(NAME, name);
    let limits = limits.to_vec();
    let limit = move || {
        limits.iter().try_for_each(|(resource, bytes)| {
            let limit = libc::rlimit { rlim_cur: *bytes as u64, rlim_max: *bytes as u64 };
            // SAFETY: it reads the limit.
            if unsafe { libc::setrlimit(*resource as _, &raw const limit) } == 0 { Ok(()) } else { Err(last_error()) }
        })
    };
    // SAFETY: between `fork` and `exec`, where only the one call is made.
    unsafe { command.pre_exec(limit) };
    let Output { status, stdout, stderr } = command.output().expect("a child");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{name}: {status}\n{text}\n{}", String::from_utf8_lossy(&stderr));
    text
}

fn last_error() -> std::io::Error {
    std::io::Error::last_os_error()
}

/// A number that a program has written.
fn number(text: &str, name: &str) -> usize {
    let line = text.lines().find_map(|line| line.split_once(&format!("{name}=")));
    line.and_then(|(_, number)| number.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// A figure of `/proc/self/status`, in bytes.
fn status(name: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    line.and_then(|number| number.trim().parse::<usize>().ok()).expect("a number") * KIB
}

/// Many threads, all there at once, each with some memory.
fn threads() {
    const THREADS: usize = 200;
    println!("size={}", status("VmSize:"));
    let all = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let start = thread::Builder::new().spawn_scoped(scope, || {
                let text = vec![b'x'; 10_000];
                all.wait();
                drop(text);
            });
            start.unwrap_or_else(|error| panic!("thread {number}: {error}"));
        }
    });
}

/// As many blocks as there are to be had; then they go, and as many are to be had again.
fn fill() {
    let fill = || {
        let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(100_000);
        loop {
            let mut block = Vec::new();
            if blocks.len() == blocks.capacity() || block.try_reserve_exact(100 * KIB).is_err() {
                break blocks.len();
            }
            block.resize(100 * KIB, 1);
            blocks.push(block);
        }
    };
    println!("first={}", fill());
    println!("second={}", fill());
}

/// Little memory, and how much a core dump of it would have.
fn little() {
    let text: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let smaps = fs::read_to_string("/proc/self/smaps").expect("Linux has it");
    let mut is_accessible = false;
    let mut bytes = 0;
    let mut flags = String::new();
    let mut here = false;
    let block = text.as_ptr().addr();
    for line in smaps.lines() {
        if let Some((addresses, rest)) = line.split_once(' ')
            && let Some((start, end)) = addresses.split_once('-')
        {
            is_accessible = !rest.starts_with("---");
            let of = |number| usize::from_str_radix(number, 16).expect("an address");
            here = (of(start)..of(end)).contains(&block);
        } else if let Some(size) = line.strip_prefix("Size:").filter(|_| is_accessible) {
            bytes += size.trim().trim_end_matches(" kB").parse::<usize>().expect("a size") * KIB;
        } else if let Some(all) = line.strip_prefix("VmFlags:").filter(|_| here) {
            flags = all.to_owned();
        }
    }
    println!("accessible={bytes}");
    // Kernels without huge pages have no such flag.
    let is_small = flags.contains(" nh") || !fs::exists("/sys/kernel/mm/transparent_hugepage").is_ok_and(|is| is);
    println!("small={}", usize::from(is_small));
}

fn lock_all(what: i32) {
    // SAFETY: it changes no contents.
    assert_eq!(unsafe { libc::mlockall(what) }, 0, "{}", last_error());
}

fn print_resident(since: usize) {
    println!("resident={}", status("VmRSS:") - since);
}

/// Everything is locked that there is and will be, after the allocator came into use.
fn locked() {
    let text: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let before = status("VmRSS:");
    lock_all(libc::MCL_CURRENT | libc::MCL_FUTURE);
    let more = vec![1u8; 10 * MIB];
    print_resident(before);
    drop((text, more));
}

/// The same for an allocator that comes into use when everything is locked.
fn locked_later() {
    lock_all(libc::MCL_CURRENT | libc::MCL_FUTURE);
    let before = status("VmRSS:");
    let allocator = PoolAllocator::new();
    use_it(&allocator);
    print_resident(before);
}

/// Allocates some blocks, writes to them, and releases them.
fn use_it(allocator: &PoolAllocator) {
    for size in [64, 3000, 100_000, MIB] {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: the size is not 0, the block is that long, and is released once.
        unsafe {
            let block = allocator.alloc(layout);
            assert!(!block.is_null(), "{size} of {}", allocator.stats());
            block.write_bytes(1, size);
            allocator.dealloc(block, layout);
        }
    }
}

#[test]
fn threads_start_under_a_limit_of_addresses() {
    let text = run("threads", &[(ADDRESSES, 3 * GIB)]);
    let size = number(&text, "size");
    assert!(size < 3 * GIB / 2 + 100 * MIB, "{size}");
}

#[test]
fn a_few_addresses_are_enough() {
    let text = run("fill", &[(ADDRESSES, 160 * MIB)]);
    let [first, second] = ["first", "second"].map(|name| number(&text, name));
    assert!(first * 100 * KIB > 20 * MIB && second >= first * 9 / 10, "{first} {second}");
}

#[test]
fn a_limit_of_addresses_makes_allocations_fail() {
    let text = run("fill", &[(ADDRESSES, 500 * MIB)]);
    let [first, second] = ["first", "second"].map(|name| number(&text, name));
    assert!(first * 100 * KIB > 100 * MIB && second >= first * 9 / 10, "{first} {second}");
}

/// As where the system promises no more memory than it has, which it counts by the same rule.
#[test]
fn a_limit_of_data_makes_allocations_fail() {
    let text = run("fill", &[(DATA, 128 * MIB)]);
    let [first, second] = ["first", "second"].map(|name| number(&text, name));
    assert!(first * 100 * KIB > 90 * MIB && second >= first * 9 / 10, "{first} {second}");
}

#[test]
fn a_core_dump_has_what_is_used() {
    let text = run("little", &[]);
    let (accessible, small) = (number(&text, "accessible"), number(&text, "small"));
    // The program, its libraries, and the stacks of two threads.
    assert!(accessible < 40 * MIB, "{accessible}");
    assert_eq!(small, 1, "huge pages may come where little is used");
}

#[test]
fn to_lock_everything_locks_what_is_used() {
    // Only where it may lock that.
    // SAFETY: a question.
    if unsafe { libc::geteuid() } != 0 {
        return;
    }
    let resident = number(&run("locked", &[]), "resident");
    // Besides the block the rests of stacks and libraries.
    assert!((10 * MIB..40 * MIB).contains(&resident), "{resident}");
    let resident = number(&run("locked later", &[]), "resident");
    assert!(resident < 8 * MIB, "{resident}");
}

#[test]
fn hundreds_of_allocators_work_in_one_process() {
    let allocators: Vec<PoolAllocator> = (0..300).map(|_| PoolAllocator::new()).collect();
    allocators.iter().for_each(use_it);
    // While all are there.
    allocators.iter().for_each(use_it);
    let limits: Vec<usize> = allocators.iter().map(|allocator| allocator.stats().limit).collect();
    assert!(limits.iter().all(|limit| *limit >= GIB), "{limits:?}");
}
