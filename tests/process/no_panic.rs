//! No panic is reachable from an allocator's methods, slow paths included, nor from the fast paths of a pool: the
//! program that this is compiled to says so. A panic would be one of the global allocator, which may neither unwind nor
//! allocate for a message.
//!
//! Only builds without debug assertions are looked at, `cargo test --release --test no_panic`, since the standard
//! library has assertions of its own in the others. It takes `objdump`, of GNU's binutils.
#![cfg(all(target_os = "linux", target_arch = "x86_64", not(debug_assertions)))]

use std::alloc::{GlobalAlloc, Layout};
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::hint::black_box;
use std::io::{self, Write};
use std::process::Command;
use std::ptr::NonNull;

use mempool::{MemoryPool, PoolAllocator};

static ALLOCATOR: PoolAllocator = PoolAllocator::builder().checked(false).on_demand(usize::MAX);
static POOL: MemoryPool = MemoryPool::new();

/// The fast paths, as a user's program has them. Functions whose names the linker keeps.
mod entries {
    use super::{ALLOCATOR, GlobalAlloc, Layout, NonNull, POOL};

    const LAYOUT: Layout = Layout::new::<[u64; 8]>();

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_alloc_of_type() -> *mut u8 {
        // SAFETY: the layout has a size.
        unsafe { ALLOCATOR.alloc(LAYOUT) }
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_dealloc_of_type(block: *mut u8) {
        // SAFETY: `entry_alloc_of_type` allocated it.
        unsafe { ALLOCATOR.dealloc(block, LAYOUT) };
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_alloc(size: usize, align: usize) -> *mut u8 {
        // SAFETY: the caller has a layout of these, of a size.
        unsafe { ALLOCATOR.alloc(Layout::from_size_align_unchecked(size, align)) }
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_dealloc(block: *mut u8, size: usize, align: usize) {
        // SAFETY: `entry_alloc` allocated it with these.
        unsafe { ALLOCATOR.dealloc(block, Layout::from_size_align_unchecked(size, align)) };
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_alloc_zeroed(size: usize, align: usize) -> *mut u8 {
        // SAFETY: as in `entry_alloc`.
        unsafe { ALLOCATOR.alloc_zeroed(Layout::from_size_align_unchecked(size, align)) }
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_realloc(block: *mut u8, size: usize, align: usize, new: usize) -> *mut u8 {
        // SAFETY: as in `entry_dealloc`, and the caller has a new size.
        unsafe { ALLOCATOR.realloc(block, Layout::from_size_align_unchecked(size, align), new) }
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_hl_alloc(size: usize) -> *mut u8 {
        POOL.hl_alloc(size)
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_hl_release(block: *mut u8) -> bool {
        POOL.hl_release(block).is_ok()
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_release(block: NonNull<u8>) -> bool {
        POOL.release(block).is_ok()
    }

    /// One that panics, so that the test is seen to find it.
    #[unsafe(no_mangle)]
    #[inline(never)]
    fn entry_that_panics(size: usize) -> u8 {
        [1, 2, 3][size]
    }

    pub fn all() -> bool {
        let block = entry_alloc_of_type();
        entry_dealloc_of_type(block);
        let block = entry_alloc(100, 8);
        entry_dealloc(entry_realloc(block, 100, 8, 1000), 1000, 8);
        entry_dealloc(entry_alloc_zeroed(100, 8), 100, 8);
        let block = NonNull::new(entry_hl_alloc(100));
        entry_that_panics(1) == 2 && block.is_none_or(entry_release) && entry_hl_release(entry_hl_alloc(0))
    }
}

/// Where a fast path ends: what is called there is a slow one.
const SLOW: [&str; 7] =
    ["_slow", "::alloc_large", "::alloc_span", "::send_back", "::release_large", "::release_span", "::resize_large"];

/// What may be called from anywhere.
const HARMLESS: [&str; 4] = ["memset", "memcpy", "memmove", "__tls_get_addr"];

/// Where a slow path may end, besides.
///
/// - The program's allocator: only pools call it, for their tables.
/// - A thread-local without a destructor: it is there at any time.
/// - Functions of the C library, which know no panic. `abort` is called where an index is out of range, a bug.
/// - Functions of the standard library that are one call of the operating system: to let others run, to sleep, and to
///   wake a sweeper.
/// - The last three come after a panic, and there is none.
const SYSTEM: [&str; 9] = [
    "__rustc::__rust_",
    "std::thread::local::LocalKey",
    "@GLIBC",
    "std::thread::functions::sleep",
    "std::thread::functions::yield_now",
    "futex_wake",
    "_Unwind_Resume",
    "panic_in_cleanup",
    "panic_cannot_unwind",
];

/// Names of functions that are looked into: the crate's, and what it is made of. Where these panic, they go to
/// `core::panicking`, or to a function beside them, such as `core::option::unwrap_failed`.
const OURS: [&str; 10] = [
    "mempool::",
    "core::array::",
    "core::cell::",
    "core::iter::",
    "core::mem::",
    "core::num::",
    "core::ops::",
    "core::option::Option<",
    "core::ptr::",
    "core::result::Result<",
];

/// The functions of a program, by their addresses: their names, and where they go.
#[derive(Debug, Default)]
struct Program {
    functions: BTreeMap<u64, (String, Vec<Goal>)>,
    /// What the linker put at an address that a call goes through.
    relocated: BTreeMap<u64, String>,
}

/// Where a call, or a jump out of a function, goes.
#[derive(Clone, Debug)]
enum Goal {
    To(u64),
    /// To what is at this place.
    Through(u64),
    Unknown(String),
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits.trim_start_matches("0x"), 16).ok()
}

fn objdump(arguments: &[&str]) -> Option<String> {
    let program = env::current_exe().expect("the test has a file");
    let output = Command::new("objdump").args(arguments).arg(program).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Program {
    /// `None`: there is no `objdump`.
    fn read() -> Option<Self> {
        let mut program = Self::default();
        for line in objdump(&["-R"])?.lines() {
            // OFFSET TYPE VALUE
            let mut words = line.split_whitespace();
            if let (Some(place), Some(_), Some(value)) = (words.next().and_then(hex), words.next(), words.next()) {
                program.relocated.insert(place, value.to_owned());
            }
        }
        let (mut at, mut loaded, mut ever) = (0, BTreeMap::new(), BTreeMap::new());
        for line in objdump(&["-d", "-C", "--no-show-raw-insn"])?.lines() {
            // ADDRESS <NAME>:
            if let Some((address, name)) = line.strip_suffix(">:").and_then(|line| line.split_once(" <")) {
                at = hex(address).unwrap_or_default();
                program.functions.insert(at, (name.to_owned(), vec![]));
                loaded.clear();
                ever.clear();
            } else if let Some((_, instruction)) = line.split_once(":\t")
                && let Some((_, goals)) = program.functions.get_mut(&at)
            {
                goals.extend(Goal::of(instruction, &mut loaded));
                if instruction.contains("(%rip),") {
                    ever.extend(loaded.clone());
                } else if ["jmp", "ret"].iter().any(|end| instruction.starts_with(end)) {
                    // What follows comes from elsewhere, where a register may still have what it was loaded with.
                    loaded.extend(ever.clone());
                }
            }
        }
        Some(program)
    }

    fn named(&self, name: &str) -> u64 {
        let mut found = self.functions.iter().filter(|(_, (known, _))| known == name);
        *found.next().unwrap_or_else(|| panic!("there is no {name}")).0
    }

    /// The function that an address is in.
    fn function_at(&self, address: u64) -> Option<(u64, &str)> {
        let (start, (name, _)) = self.functions.range(..=address).next_back()?;
        Some((*start, name))
    }

    /// What is reached from a function, `but` for these, and must not be.
    fn faults(&self, entry: &str, but: &[&str], harmless: &[&str]) -> Vec<String> {
        let (mut left, mut seen, mut faults) = (vec![self.named(entry)], BTreeSet::new(), vec![]);
        while let Some(function) = left.pop() {
            if !seen.insert(function) {
                continue;
            }
            let (name, goals) = &self.functions[&function];
            for goal in goals {
                let goal = self.resolve(goal);
                let what = match goal {
                    Goal::To(address) => match self.function_at(address) {
                        Some((start, _)) if start == function => continue,
                        Some((_, name)) if but.iter().any(|slow| name.ends_with(slow)) => continue,
                        Some((start, name)) if OURS.iter().any(|ours| name.contains(ours)) => {
                            left.push(start);
                            continue;
                        }
                        Some((_, name)) => name.to_owned(),
                        None => format!("{address:#x}"),
                    },
                    Goal::Through(place) => format!("what is at {place:#x}"),
                    Goal::Unknown(what) => what,
                };
                if !HARMLESS.iter().chain(harmless).any(|harmless| what.contains(harmless)) {
                    faults.push(format!("{entry}: {name} goes to {what}"));
                }
            }
        }
        faults
    }

    fn resolve(&self, goal: &Goal) -> Goal {
        match goal {
            Goal::Through(place) => match self.relocated.get(place) {
                Some(value) => match value.strip_prefix("*ABS*+").and_then(hex) {
                    Some(address) => Goal::To(address),
                    None => Goal::Unknown(value.clone()),
                },
                None => goal.clone(),
            },
            goal => goal.clone(),
        }
    }
}

impl Goal {
    /// Where an instruction goes, if it calls or jumps. `loaded`: what registers were loaded with before in the
    /// function.
    fn of(instruction: &str, loaded: &mut BTreeMap<String, Self>) -> Option<Self> {
        let (operation, operand) = instruction.trim_start_matches("addr32 ").split_once(' ')?;
        let operand = operand.trim();
        // ... # PLACE <NAME>
        let place = operand.split_once("# ").and_then(|(_, place)| hex(place.split_whitespace().next()?));
        let goal = match operation {
            "mov" => place.map(Self::Through),
            "lea" => place.map(Self::To),
            _ => None,
        };
        if let (Some(goal), Some((_, register))) = (goal, operand.split_once("(%rip),")) {
            loaded.insert(register.split_whitespace().next()?.to_owned(), goal);
        } else if let ("mov", Some((from, to))) = (operation, operand.split_once(',')) {
            match loaded.get(from).cloned() {
                Some(goal) => _ = loaded.insert(to.to_owned(), goal),
                None => _ = loaded.remove(to),
            }
        }
        if !operation.starts_with("call") && !operation.starts_with('j') {
            return None;
        }
        if operation == "jmp" && operand.starts_with("*%") && !loaded.contains_key(&operand[1..]) {
            // By the table of a `match`, within the function.
            return None;
        }
        let unknown = || Self::Unknown(operand.to_owned());
        Some(match (operand.strip_prefix('*'), place) {
            (Some(_), Some(place)) => Self::Through(place),
            (Some(register), None) => loaded.get(register).cloned().unwrap_or_else(unknown),
            (None, _) => operand.split_whitespace().next().and_then(hex).map_or_else(unknown, Self::To),
        })
    }
}

#[test]
fn no_panic_is_reached() {
    assert!(black_box(entries::all as fn() -> bool)());
    let Some(program) = Program::read() else {
        // Straight to the stream, so that the harness does not swallow it.
        let told = io::stderr().write_all(b"NOT CHECKED: there is no objdump, so nobody looks for panics\n");
        return told.expect("stderr is open");
    };
    assert_ne!(program.faults("entry_that_panics", &[], &SYSTEM), [""; 0], "a panic is found where there is one");
    let entries = ["alloc_of_type", "dealloc_of_type", "alloc", "dealloc", "hl_alloc", "hl_release", "release"];
    let faults = entries.map(|entry| program.faults(&format!("entry_{entry}"), &SLOW, &[])).concat();
    assert_eq!(faults, [""; 0], "reached from fast paths");
    let entries = ["alloc", "dealloc", "realloc", "alloc_zeroed"];
    let faults = entries.map(|entry| program.faults(&format!("entry_{entry}"), &[], &SYSTEM)).concat();
    assert_eq!(faults, [""; 0], "reached from an allocator's methods");
}
