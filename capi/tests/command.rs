//! The command `heapmaster`: what it passes on, what it asks of `malloc`, and how it ends.
#![cfg(target_os = "linux")]

mod common;

use std::path::PathBuf;
use std::process::{Command, Output};

use common::{built, compile, folder, has, output};

fn heapmaster(options: &[&str]) -> Command {
    let mut command = Command::new(built().join("heapmaster"));
    command.args(options);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A program of `tests/c`, if there is a compiler.
fn program(source: &str, folder: &std::path::Path) -> Option<PathBuf> {
    let program = folder.join("program");
    compile(&format!("tests/c/{source}"), &program, &["-O0", "-w", "-rdynamic"]).then_some(program)
}

#[test]
fn it_ends_as_the_program_does() {
    if !has("bash") {
        return;
    }
    let code = |script: &str| heapmaster(&["run", "--", "bash", "-c", script]).output().expect("it runs").status.code();
    assert_eq!(code("exit 0"), Some(0));
    assert_eq!(code("exit 3"), Some(3));
    assert_eq!(code("kill -9 $$"), Some(128 + 9));
    let missing = heapmaster(&["run", "--", "/no/such/program"]).output().expect("it runs");
    assert_eq!(missing.status.code(), Some(127));
    assert!(text(&missing.stderr).contains("/no/such/program"), "{missing:?}");
    assert_eq!(heapmaster(&["run"]).output().expect("it runs").status.code(), Some(2));
    // Arguments and input pass through, and another preload stays.
    let said =
        output(heapmaster(&["run", "--", "bash", "-c", "echo \"$1 $LD_PRELOAD\"", "-", "a  b"]).env("LD_PRELOAD", ""));
    assert!(text(&said.stdout).starts_with("a  b ") && text(&said.stdout).ends_with("libheapmaster.so\n"), "{said:?}");
}

#[test]
fn a_limit() {
    let folder = folder("command-limit");
    if let Some(program) = program("limit.c", &folder) {
        let program = program.to_str().expect("text");
        let count = |limit: &str| {
            let said = output(&mut heapmaster(&["run", "--limit", limit, "--", program]));
            text(&said.stdout).trim().parse::<usize>().expect("a number")
        };
        assert!((48..=64).contains(&count("64MiB")));
        assert!((200..=256).contains(&count("0.25GiB")));
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

#[test]
fn figures_at_the_end() {
    if has("bash") && has("cat") {
        let said = output(&mut heapmaster(&["run", "--stats", "--", "bash", "-c", "cat /proc/self/maps; :"]));
        let figures = text(&said.stderr);
        // Of both processes, also of `cat`, which closes standard error before it ends.
        assert!(figures.contains(", cat\n") && figures.contains(", bash\n"), "{figures}");
        assert_eq!(figures.matches("caches 1").count(), 2, "{figures}");
        assert!(text(&said.stdout).contains("libheapmaster.so"));
    }
}

/// Each wrong release of a program that has four is told, with its function; the program goes on, or ends.
#[test]
fn wrong_releases_are_told() {
    let folder = folder("command-checked");
    if let Some(program) = program("wrong.c", &folder) {
        let path = program.to_str().expect("text");
        let run = |options: &[&str]| -> Output {
            heapmaster(&[&["run"], options, &["--", path]].concat()).output().expect("it runs")
        };
        let reported = run(&["--checked"]);
        let told = text(&reported.stderr);
        assert!(reported.status.success() && reported.stdout == b"the end\n", "{reported:?}");
        assert_eq!(told.matches("heapmaster: process").count(), 4, "{told}");
        assert_eq!(told.matches("released 0x").count(), 3, "{told}");
        assert_eq!(told.matches("resized 0x").count(), 1, "{told}");
        assert_eq!(told.matches("no live block is at the address").count(), 2, "{told}");
        assert_eq!(told.matches("inside a live block").count(), 1, "{told}");
        assert_eq!(told.matches("in none of the pool's heaps").count(), 1, "{told}");
        if cfg!(target_env = "gnu") {
            ["free_twice", "free_inside", "free_foreign", "resize_freed"]
                .iter()
                .for_each(|function| assert!(told.contains(function), "{function}\n{told}"));
        }
        let stopped = run(&["--checked=stop"]);
        assert_eq!(stopped.status.code(), Some(128 + 6));
        assert_eq!(text(&stopped.stderr).matches("heapmaster: process").count(), 1);
        assert!(stopped.stdout.is_empty());
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// Programs without a fault have no report, and say the same.
#[test]
fn sound_programs_pass_the_checks() {
    let scripts = [
        ("python3", "print(sum(len(str(i)) for i in range(100000)))", "488890\n"),
        ("perl", "my %h; $h{$_ % 100} .= $_ for 1..10000; print scalar(keys %h), qq{\\n}", "100\n"),
    ];
    for (program, script, expected) in scripts {
        if has(program) {
            let option = if program == "perl" { "-e" } else { "-c" };
            let said = output(&mut heapmaster(&["run", "--checked=stop", "--", program, option, script]));
            assert_eq!((text(&said.stdout).as_str(), text(&said.stderr).as_str()), (expected, ""), "{program}");
        }
    }
    let folder = folder("command-sound");
    if let Some(program) = program("threads.c", &folder) {
        let program = program.to_str().expect("text");
        let said = output(&mut heapmaster(&["run", "--checked=stop", "--", program]));
        assert_eq!((said.stdout.as_slice(), text(&said.stderr).as_str()), (&b"every byte came back\n"[..], ""));
    }
    if let Some(program) = self::program("malloc.c", &folder) {
        output(&mut heapmaster(&["run", "--checked=stop", "--", program.to_str().expect("text")]));
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// A trace is drawn, fitted and compared; and what is none is an error that names the file.
#[test]
fn traces_are_looked_into() {
    let folder = folder("command-trace");
    let path = |name: &str| folder.join(name).to_str().expect("text").to_owned();
    let trace = path("sound.trace");
    std::fs::write(&trace, "# program: small, twice\na 0 0 5000\nz 0 1 100 64\na 1 2 3000\nr 1 2 5000\nf 0 0\n")
        .expect("written");

    let (strip, page) = (path("heap.svg"), path("heap.html"));
    let drawn = output(&mut heapmaster(&["map", &trace, "--svg", &strip, "--html", &page, "--frames", "4"]));
    assert!(text(&drawn.stdout).starts_with("small, twice\n5 allocations and releases\n"), "{drawn:?}");
    assert!(std::fs::read_to_string(&strip).expect("a strip").starts_with("<svg"));
    assert!(std::fs::read_to_string(&page).expect("a page").contains("<html"));
    // A heap that is too small draws what there was, and fails.
    let small = heapmaster(&["map", &trace, "--heap", "8192"]).output().expect("it runs");
    assert_eq!(small.status.code(), Some(1));
    assert!(text(&small.stderr).contains("allocations failed"), "{small:?}");

    let fits = output(&mut heapmaster(&["fit", &trace, &trace]));
    assert!(
        text(&fits.stdout).contains("| most live                              | 9.86 KiB | 9.86 KiB |"),
        "{fits:?}"
    );

    let compared = output(&mut heapmaster(&["compare", &trace, "--quick", "--threads", "1"]));
    let table = text(&compared.stdout);
    assert!(["PoolAllocator", "mimalloc", "system"].iter().all(|subject| table.contains(subject)), "{table}");
    assert!(text(&compared.stderr).contains("note: 1 blocks are left out"), "{compared:?}");

    std::fs::write(path("bad"), "a 0 0 8\nf 0 1\n").expect("written");
    std::fs::write(path("empty"), "# program: none\n").expect("written");
    for command in ["map", "fit", "compare"] {
        for (name, reason) in [
            ("bad", "line 2: the object was never allocated: `f 0 1`"),
            ("empty", "the trace has no allocations"),
            ("missing", "No such file"),
        ] {
            let refused = heapmaster(&[command, &path(name)]).output().expect("it runs");
            let said = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{command} {name}: {said}");
            assert!(said.starts_with("error: ") && said.contains(&format!("{name}: {reason}")), "{command}: {said}");
        }
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}
