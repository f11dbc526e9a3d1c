//! What is installed: the examples are built against it, by pkg-config, and the pages can be read.
#![cfg(target_os = "linux")]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{built, compile, folder, has, output, root};

/// The library, installed in a folder.
fn install(name: &str) -> PathBuf {
    let folder = folder(name);
    let target = built().parent().expect("a target folder");
    output(Command::new("bash").arg(root().join("install")).arg(&folder).env("CARGO_TARGET_DIR", target));
    folder
}

fn flags(prefix: &std::path::Path) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.args(["--cflags", "--libs", "heapmaster"]).env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    String::from_utf8_lossy(&output(&mut command).stdout).split_whitespace().map(String::from).collect()
}

#[test]
fn the_examples_are_built_against_it_and_do_what_they_say() {
    if !has("pkg-config") || !has("bash") {
        return;
    }
    let prefix = install("examples");
    let flags = flags(&prefix);
    let run = |source: &str, expected: &[&str]| {
        let program = prefix.join(source.replace('/', "-")).with_extension("run");
        let found = format!("-Wl,-rpath,{}", prefix.join("lib").display());
        let options: Vec<&str> =
            flags.iter().map(String::as_str).chain(["-Wextra", "-Werror", found.as_str()]).collect();
        if compile(source, &program, &options) {
            let said = output(&mut Command::new(&program));
            let said = String::from_utf8_lossy(&said.stdout);
            expected.iter().for_each(|line| assert!(said.contains(line), "{line}\n{said}"));
        }
    };
    run(
        "examples/pool.c",
        &["a block of 1024 bytes", "1024 bytes are live", "1 allocations, 0 bytes live of 65536", "has 65536 bytes"],
    );
    run(
        "examples/offsets.c",
        &[
            "the block lies in the device of word 8, from 0 on",
            "the tensor has 3145728 bytes",
            "1 block, and 4096 bytes",
            "2 blocks of a reservation; 3162112 bytes are live",
            "0 bytes live; the largest free block has 1073741824 bytes",
        ],
    );
    run("examples/pool.cpp", &["the last square is 998001", "4 MiB don't fit", "0 bytes are live at the end"]);
    std::fs::remove_dir_all(prefix).expect("it was made");
}

#[test]
fn the_pages_are_without_fault() {
    if !has("groff") {
        return;
    }
    let pages = std::fs::read_dir(root().join("man")).expect("a folder").map(|page| page.expect("a file").path());
    let pages: Vec<PathBuf> = pages.collect();
    assert!(pages.len() >= 2);
    for page in pages {
        let said = output(Command::new("groff").args(["-man", "-Tascii", "-P-cbou", "-ww", "-rLL=100n"]).arg(&page));
        assert!(said.stderr.is_empty(), "{}: {}", page.display(), String::from_utf8_lossy(&said.stderr));
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(text.contains("NAME") && text.contains("SEE ALSO"), "{}", page.display());
    }
}

/// Each function of the header is in a page.
#[test]
fn each_function_has_its_page() {
    let header = std::fs::read_to_string(root().join("include/heapmaster.h")).expect("the header");
    let page = |name: &str| std::fs::read_to_string(root().join("man").join(name)).expect("a page");
    let pages = page("hm_pool.3") + &page("hm_offset.3");
    let functions = header.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let functions = functions.filter(|word| word.starts_with("hm_") && header.contains(&format!("{word}(")));
    let missing: Vec<&str> = functions.filter(|name| !pages.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
