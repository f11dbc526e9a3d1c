//! `peak` as it is run: with a process for each allocator.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const CONTENDERS: &[&str] = &[
    "pool-allocator",
    "mimalloc",
    "jemalloc",
    #[cfg(feature = "snmalloc")]
    "snmalloc",
    "rpmalloc",
    "system",
];

fn compare() -> Command {
    Command::new(env!("CARGO_BIN_EXE_compare"))
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Measures a trace with all allocators.
fn measure(name: &str, trace: &str) -> Value {
    let (trace_file, json_file) = (file(&format!("{name}.trace")), file(&format!("{name}.json")));
    fs::write(&trace_file, trace).unwrap();
    let mut command = compare();
    command.args(["peak", "--rounds", "1", "--trace"]).arg(trace_file).arg("--json").arg(&json_file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let tables = String::from_utf8(output.stdout).unwrap();
    assert!(tables.contains("| PoolAllocator, its mapping alone |"), "{tables}");
    let mut json: Value = serde_json::from_slice(&fs::read(json_file).unwrap()).unwrap();
    json[0].take()
}

/// A process for one allocator, with a script.
fn part(key: &str, script: &[u8]) -> Output {
    let mut child = compare();
    let child = child.args(["peak-part", key]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // A process that has ended already does not read.
    _ = child.stdin.take().unwrap().write_all(script);
    child.wait_with_output().unwrap()
}

#[test]
fn what_is_live_is_resident_and_what_was_released_before_is_used_again() {
    // Three times 16 MiB in blocks of some pages; 32 MiB are live at most.
    let (mut trace, mut live) = (String::from("# program: waves\n"), 0);
    for wave in 0..3 {
        for block in 0..1024 {
            writeln!(trace, "a 0 {} 16384", wave * 1024 + block).unwrap();
        }
        if wave > 0 {
            (0..1024).for_each(|block| writeln!(trace, "f 0 {}", (wave - 1) * 1024 + block).unwrap());
        }
        live = (live + 1024 * 16384).min(32 << 20);
    }
    let program = measure("waves", &trace);
    assert_eq!(
        (&program["program"], &program["live"], &program["threads"]),
        (&"waves".into(), &live.into(), &1.into())
    );
    let rows = program["rows"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| row["subject"].as_str().unwrap()).collect::<Vec<_>>(), CONTENDERS);
    for row in rows {
        let peak = row["peak"].as_u64().unwrap();
        // All of it, and not the third wave besides; some take huge pages, or use other pages first.
        let most = if ["pool-allocator", "system"].map(Value::from).contains(&row["subject"]) {
            live * 7 / 5
        } else {
            4 * live
        };
        assert!((live..most).contains(&peak), "{row}");
        assert!(row["seconds"].as_f64().unwrap() > 0.0 && row["exact"] == true, "{row}");
        // The last wave but one is live when it is looked at.
        let mapping = row["mapping"].as_u64();
        assert_eq!(mapping.is_some(), row["subject"] == "pool-allocator", "{row}");
        assert!(mapping.is_none_or(|mapping| (live..=peak).contains(&mapping)), "{row}");
        // Of some dozen pages at least, and of no more than a part of the heap: where releases are checked, 260 bytes
        // a page besides.
        let metadata = row["metadata"].as_u64();
        let most = live / if cfg!(debug_assertions) { 12 } else { 20 };
        assert!(metadata.is_none_or(|metadata| (64 << 10..most).contains(&metadata)), "{row}");
        assert_eq!(metadata.is_some(), mapping.is_some(), "{row}");
    }
}

#[test]
fn threads_take_turns() {
    // Threads that never have all their blocks at once, and each other's.
    let mut trace = String::new();
    for round in 0..200 {
        writeln!(trace, "a 0 {} 5000\na 1 {} 3000", 2 * round, 2 * round + 1).unwrap();
        writeln!(trace, "f 1 {}\nf {} {}", 2 * round, round % 2, 2 * round + 1).unwrap();
    }
    let program = measure("turns", &trace);
    assert_eq!((&program["live"], &program["threads"], &program["events"]), (&8000.into(), &2.into(), &800.into()));
    for row in program["rows"].as_array().unwrap() {
        // What allocators begin with is a multiple of this, but of no more than this.
        assert!((8000..8 << 20).contains(&row["peak"].as_u64().unwrap()), "{row}");
    }
}

#[test]
fn a_process_reports_one_line_and_nothing_adds_next_to_nothing() {
    for key in CONTENDERS {
        let output = part(key, &[0; 48]);
        assert!(output.status.success(), "{output:?}");
        let line = String::from_utf8(output.stdout).unwrap();
        assert_eq!(line.lines().count(), 1, "{line}");
        let report: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&report["live"], &report["seconds"]), (&0.into(), &0.0.into()), "{line}");
        assert!(report["peak"].as_u64().unwrap() < 64 << 10, "{key}: {line}");
    }
}

#[test]
fn a_process_that_can_not_play_says_so() {
    for (key, script) in [("system", &[0; 47][..]), ("nobody", &[0; 48])] {
        let output = part(key, script);
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "));
    }
    // More than any machine has.
    let trace_file = file("too-large.trace");
    fs::write(&trace_file, "a 0 0 4611686018427387904\n").unwrap();
    let mut command = compare();
    command.args(["peak", "--subject", "system", "--rounds", "1", "--trace"]).arg(trace_file);
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("was not to be had"), "{error}");
}
