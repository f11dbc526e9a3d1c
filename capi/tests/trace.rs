//! Recorded programs: the output is the program's, and the trace is one, which has every call.
#![cfg(target_os = "linux")]

mod common;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{built, compile, folder, has, output};
use recordings::{Event, Trace};

/// Runs a program, recorded into a file of this folder.
fn record(folder: &Path, program: &[&str]) -> (Output, PathBuf) {
    let trace = folder.join("program.trace.zst");
    let mut command = Command::new(built().join("heapmaster"));
    command.arg("run").arg("--trace").arg(&trace).arg("--").args(program);
    let said = command.output().expect("it runs");
    // Nothing is left out: the end of each object comes before the next one at its address.
    assert!(!String::from_utf8_lossy(&said.stderr).contains("left out"), "{said:?}");
    (said, trace)
}

fn read(trace: &Path) -> Trace {
    // An event that can't be is an error: of an object that is live already, or that is not live.
    Trace::open(Some(trace)).unwrap_or_else(|error| panic!("{error}"))
}

fn threads(trace: &Trace) -> usize {
    trace.stretches.iter().map(|stretch| stretch.thread).collect::<HashSet<_>>().len()
}

/// How many allocations there are of this size and alignment.
fn allocations(trace: &Trace, size: usize, align: usize) -> usize {
    let is_meant = |event: &&Event| matches!(event, Event::Allocate { layout, .. } if layout.size() == size && layout.align() == align);
    trace.events.iter().filter(is_meant).count()
}

#[test]
fn python_is_recorded() {
    if !has("python3") {
        return;
    }
    let folder = folder("trace-python");
    let program = ["python3", "-c", "print(sum(len(str(i) * 200) for i in range(20000)))"];
    let (said, trace) = record(&folder, &program);
    let expected = output(Command::new(program[0]).args(&program[1..])).stdout;
    assert!(said.status.success() && said.stdout == expected, "{said:?}");
    let trace_text = read(&trace);
    assert!(trace_text.events.len() > 10_000 && trace_text.program.contains("python"), "{}", trace_text.program);
    if has("zstd") {
        let text = output(Command::new("zstd").arg("-dc").arg(&trace)).stdout;
        let text = String::from_utf8_lossy(&text);
        let events = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(events, trace_text.events.len());
        assert!(text.contains(&format!("# events {events} objects {} threads 1 ", trace_text.objects)), "{text:.300}");
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// A program that is killed leaves every call up to that one, of every thread.
#[test]
fn a_killed_program_is_recorded_to_its_end() {
    let folder = folder("trace-killed");
    let program = folder.join("crash");
    if compile("tests/c/crash.c", &program, &[]) {
        let (said, trace) = record(&folder, &[program.to_str().expect("text")]);
        assert_eq!(said.status.code(), Some(128 + 9), "{said:?}");
        let trace = read(&trace);
        assert_eq!(allocations(&trace, 7771, 16), 30_000);
        assert_eq!(allocations(&trace, 7777, 16), 30_000);
        assert_eq!(allocations(&trace, 7168, 512), 30_000);
        let resized = trace.events.iter().filter(|event| matches!(event, Event::Reallocate { size: 33331, .. }));
        assert_eq!(resized.count(), 30_000);
        let freed = trace.events.iter().filter(|event| matches!(event, Event::Free { .. })).count();
        assert!((87_000..88_000).contains(&freed), "{freed}");
        assert!(matches!(trace.events.last(), Some(Event::Allocate { layout, .. }) if layout.size() == 99991));
        assert_eq!(threads(&trace), 4);
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

#[test]
fn threads_and_forks_are_recorded_in_order() {
    let folder = folder("trace-threads");
    let program = folder.join("threads");
    if compile("tests/c/threads.c", &program, &[]) {
        let (said, trace) = record(&folder, &[program.to_str().expect("text"), "fork"]);
        assert_eq!((said.status.code(), said.stdout.as_slice()), (Some(0), &b"every byte came back\n"[..]), "{said:?}");
        let trace = read(&trace);
        // The first one, one beside the forks, and 64.
        assert_eq!(threads(&trace), 66);
        assert!(trace.events.len() > 64 * 4000 * 2);
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// Each process that runs a program of its own has a trace of its own.
#[test]
fn each_process_has_a_trace() {
    if !has("bash") || !has("sort") || !has("seq") {
        return;
    }
    let folder = folder("trace-processes");
    let (said, trace) = record(&folder, &["bash", "-c", "seq 1000 | sort -r | tail -1; true"]);
    assert!(said.status.success() && said.stdout == b"1\n", "{said:?}");
    assert!(read(&trace).program.starts_with("bash"));
    let files = std::fs::read_dir(&folder).expect("it is there").map(|file| file.expect("a file").path());
    let mut programs: Vec<String> = files.map(|file| read(&file).name().to_owned()).collect();
    programs.sort();
    let begins = ["bash -c", "seq 1000", "sort -r", "tail -1"];
    assert_eq!(programs.len(), begins.len(), "{programs:?}");
    assert!(programs.iter().zip(begins).all(|(program, begin)| program.starts_with(begin)), "{programs:?}");
    std::fs::remove_dir_all(folder).expect("it was made");
}
