//! A constructor, which runs before `main`, destructors of the main thread's thread-locals, handlers of `atexit` and
//! destructors of the program allocate, grow and release, also what threads allocated that are gone, while another
//! thread goes on. This program starts itself once for each way to end, and looks at its output and at its exit code.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::process::{self, Command, ExitCode};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use mempool::PoolAllocator;

#[global_allocator]
static ALLOCATOR: PoolAllocator = PoolAllocator::new();

/// In the environment of a program that was started: how it is to end.
const WAY: &str = "GLOBAL_ALLOCATOR_EXIT";

/// A way to end: its name, its exit code, and who says something then, in this order.
type Way = (&'static str, i32, &'static [&'static str]);

const WAYS: &[Way] = &[
    ("return", 7, &["constructor", "thread", "thread-local", "second", "first", "destructor"]),
    // The main thread does not end, so what is local to it stays.
    ("exit in another thread", 8, &["constructor", "thread", "second", "first", "destructor"]),
    // With its backtrace.
    ("panic", 101, &["constructor", "thread", "thread-local", "second", "first", "destructor"]),
];

/// What everybody who works goes on with.
static LEFT: Mutex<BTreeMap<usize, Vec<String>>> = Mutex::new(BTreeMap::new());

/// Allocates, grows, and releases what others allocated; then says so.
fn work(who: &str) {
    let mut left = LEFT.lock().expect("nobody panics with the lock");
    let had = left.len();
    let (mut bytes, mut large) = (Vec::new(), vec![1u8; 300_000]);
    for number in 0..3000usize {
        bytes.push(1);
        let texts = left.entry(number % 500).or_default();
        if texts.len() > 3 {
            texts.clear();
        }
        texts.push(format!("{number:>width$}", width = number % 90));
    }
    large.append(&mut bytes);
    large.resize(2_000_000, 1);
    assert!(large.iter().all(|byte| *byte == 1));
    assert!(left.values().flatten().all(|text| text.trim().parse().is_ok_and(|number: usize| number < 3000)));
    left.retain(|number, _| number % 7 != 0);
    println!("{who}: {had}");
}

/// Before `main`.
extern "C" fn constructor() {
    // Nothing works in the program that waits for others.
    if env::var_os(WAY).is_some() {
        work("constructor");
    }
}

extern "C" fn first() {
    work("first");
}

extern "C" fn second() {
    work("second");
}

/// After all handlers.
extern "C" fn destructor() {
    if env::var_os(WAY).is_some() {
        work("destructor");
        std::mem::take(&mut *LEFT.lock().expect("nobody panics with the lock"));
        let stats = ALLOCATOR.stats();
        assert!(stats.heap > 2_000_000 && stats.free < stats.heap, "{stats}");
    }
}

#[used]
// SAFETY: the section is for pointers to such functions, which the C library calls once it is ready itself.
#[unsafe(link_section = ".init_array")]
static BEFORE: extern "C" fn() = constructor;

#[used]
// SAFETY: as above; the C library calls these before it ends itself.
#[unsafe(link_section = ".fini_array")]
static AFTER: extern "C" fn() = destructor;

struct Works(&'static str);

impl Drop for Works {
    fn drop(&mut self) {
        work(self.0);
    }
}

thread_local! {
    static LOCAL: RefCell<Option<Works>> = const { RefCell::new(None) };
}

fn end(way: &str) -> ExitCode {
    // SAFETY: both: the handlers may be called at any time, and don't unwind.
    unsafe {
        assert_eq!(libc::atexit(first), 0);
        assert_eq!(libc::atexit(second), 0);
    }
    LOCAL.set(Some(Works("thread-local")));
    thread::spawn(|| work("thread")).join().expect("no panic");
    // This one is there until the end of the program, in the middle of some call.
    let (send, receive) = channel();
    thread::spawn(move || {
        for number in 0.. {
            let texts: Vec<String> = (number..number + 50).map(|number: usize| "x".repeat(number % 2000)).collect();
            if number == 100 {
                send.send(texts).expect("one receives");
            }
        }
    });
    assert_eq!(receive.recv().expect("one sends").len(), 50);
    match way {
        "return" => ExitCode::from(7),
        "exit in another thread" => thread::spawn(|| process::exit(8)).join().expect("it does not return"),
        _ => panic!("{}", format!("{way} with a message").repeat(100)),
    }
}

pub fn main() -> ExitCode {
    if let Ok(way) = env::var(WAY) {
        return end(&way);
    }
    for (way, code, all) in WAYS {
        let mut command = Command::new(env::current_exe().expect("a program has a name"));
        let output = command.env(WAY, way).env("RUST_BACKTRACE", "1").output().expect("it starts");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let who: Vec<&str> = out.lines().filter_map(|line| line.split_once(": ")).map(|(who, _)| who).collect();
        assert_eq!((who.as_slice(), output.status.code()), (*all, Some(*code)), "{way}: {out}{err}");
        assert_eq!(err.contains("panic with a message") && err.contains("stack backtrace"), *way == "panic", "{err}");
        println!("{way}: {}", out.lines().collect::<Vec<_>>().join(", "));
    }
    ExitCode::SUCCESS
}
