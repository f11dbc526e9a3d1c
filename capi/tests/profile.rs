//! Heap profiles of programs: which functions allocate, what stays of that, and what it pins.
#![cfg(target_os = "linux")]

mod common;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};

use common::{built, compile, folder};

const STAY: u64 = 4000 * 200;
const GO: u64 = 32 * STAY;

fn profile(folder: &Path, program: &[&str]) -> Output {
    let mut command = Command::new(built().join("heapmaster"));
    let file = folder.join("program.pb.gz");
    command.args(["run", "--profile-rate", "1KiB", "--profile"]).arg(file).arg("--").args(program);
    command.output().expect("it runs")
}

/// Of a file with folded stacks: the bytes of each innermost function.
fn folded(folder: &Path, name: &str) -> HashMap<String, u64> {
    let text = std::fs::read_to_string(folder.join(format!("program.{name}.folded"))).expect("it was written");
    let mut sums = HashMap::new();
    for line in text.lines() {
        let (stack, bytes) = line.rsplit_once(' ').expect("a figure");
        let function = stack.rsplit(';').next().expect("a function").to_owned();
        *sums.entry(function).or_default() += bytes.parse::<u64>().expect("a number");
    }
    sums
}

/// An estimate is within a quarter: seven deviations of the smallest one.
fn assert_near(found: Option<&u64>, expected: u64) {
    assert!(found.is_some_and(|found| found.abs_diff(expected) < expected / 4), "{found:?}, not {expected}");
}

/// Ended by itself or killed, the profile has the program's functions, and those that pin memory.
#[test]
fn a_program_that_ends_or_is_killed() {
    let folder = folder("profile");
    let program = folder.join("pins");
    if compile("tests/c/pins.c", &program, &[]) {
        let program = program.to_str().expect("text");
        for killed in [false, true] {
            let said = profile(&folder, &[program, if killed { "killed" } else { "whole" }]);
            assert_eq!(said.status.code(), Some(if killed { 128 + 9 } else { 0 }), "{said:?}");
            assert_eq!(said.stdout, if killed { &b""[..] } else { b"the end\n" });
            let (total, peak) = (folded(&folder, "total"), folded(&folder, "peak"));
            assert_near(total.get("session"), STAY);
            assert_near(total.get("request"), GO + 100_000 * 200);
            assert_near(peak.get("session"), STAY);
            assert_near(peak.get("request"), GO);
            assert_near(peak.get("table"), 8 << 20);
            let pinned = folded(&folder, "pinned");
            let [session, request] = ["session", "request"].map(|name| pinned.get(name).copied().unwrap_or(0));
            assert!(session > GO / 2 && session > 4 * request, "{pinned:?}");
            let end = folded(&folder, "end");
            assert_near(end.get("session"), STAY);
            assert_eq!(end.contains_key("table"), killed, "{end:?}");
        }
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}
