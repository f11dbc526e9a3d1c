//! `malloc` and its family, and C++'s operators, as programs see them: with the C library's own, which says that the
//! expectations are right, and with ours, by preload and linked in, shared and static.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{built, compile, folder, library, output, preloaded, root};

/// Runs a program of `tests/c` in each way. `options` are the linker's for a program that has all in it.
fn run(source: &str, allocates: &str) {
    let folder = folder(source);
    let path = format!("tests/c/{source}");
    let plain = folder.join("plain");
    if !compile(&path, &plain, &[]) {
        return;
    }
    output(&mut Command::new(&plain));
    output(&mut preloaded(plain.to_str().expect("text")));

    let search = format!("-L{}", built().display());
    let found = format!("-Wl,-rpath,{}", built().display());
    let linked = folder.join("linked");
    assert!(compile(&path, &linked, &[&search, &found, "-lheapmaster"]));
    output(&mut Command::new(&linked));
    // It is ours, and not only beside.
    let bound = output(Command::new(&linked).env("LD_DEBUG", "bindings"));
    let is_bound = |line: &str| line.contains(&format!("`{allocates}'")) && line.contains("linked [0] to");
    let text = String::from_utf8_lossy(&bound.stderr);
    let ours = text.lines().filter(|line| is_bound(line)).all(|line| line.contains("libheapmaster.so"));
    assert!(ours && text.lines().any(is_bound), "{allocates}");

    let archive = built().join("libheapmaster.a");
    let archive = archive.to_str().expect("text");
    let inside = folder.join("inside");
    assert!(compile(&path, &inside, &[archive, "-lgcc_s", "-ldl"]));
    output(&mut Command::new(&inside));
    assert!(defines(&inside, allocates), "{allocates}");
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// Does a program have a function of this name in it?
fn defines(program: &Path, name: &str) -> bool {
    let symbols = output(Command::new("nm").arg(program));
    let defined = format!(" T {name}");
    String::from_utf8_lossy(&symbols.stdout).lines().any(|line| line.ends_with(&defined))
}

#[test]
fn malloc_and_its_family() {
    run("malloc.c", "malloc");
}

#[test]
fn operators_new_and_delete() {
    run("operators.cpp", "_Znwm");
}

/// Locked pages can't be given back, which the system tells by `errno`.
#[test]
fn free_keeps_errno_where_pages_are_locked() {
    let folder = folder("locked");
    let program = folder.join("locked");
    if compile("tests/c/locked.c", &program, &[]) {
        output(&mut preloaded(program.to_str().expect("text")));
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

#[test]
fn a_program_that_is_static_in_all() {
    let folder = folder("static");
    let archive = built().join("libheapmaster.a");
    let program = folder.join("static");
    let options = ["-static", archive.to_str().expect("text"), "-lgcc_eh"];
    if common::has("cc") {
        compile("tests/c/malloc.c", &program, &options);
        output(&mut Command::new(&program));
        assert!(defines(&program, "hm_malloc_trim") || defines(&program, "malloc"));
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// What the library shows: the family, the operators and `hm_`, and nothing of Rust.
#[test]
fn the_library_shows_what_it_should() {
    if !common::has("nm") {
        return;
    }
    let symbols =
        output(Command::new("nm").args(["--dynamic", "--defined-only", "--format=just-symbols"]).arg(library()));
    let header = std::fs::read_to_string(root().join("include/heapmaster.h")).expect("the header");
    let family = [
        "aligned_alloc",
        "calloc",
        "free",
        "free_aligned_sized",
        "free_sized",
        "malloc",
        "malloc_trim",
        "malloc_usable_size",
        "memalign",
        "posix_memalign",
        "pvalloc",
        "realloc",
        "reallocarray",
        "valloc",
    ];
    let (mut functions, mut operators) = (Vec::new(), 0);
    let text = String::from_utf8_lossy(&symbols.stdout);
    for name in text.lines() {
        match name {
            name if name.starts_with("hm_") => assert!(header.contains(&format!("{name}(")), "{name}"),
            name if ["_Zn", "_Zd"].iter().any(|begin| name.starts_with(begin)) => operators += 1,
            name => functions.push(name),
        }
    }
    functions.sort_unstable();
    assert_eq!(functions, family);
    assert_eq!(operators, 20, "the operators of C++17");
}
