//! For the tests of the C library: the library itself, programs that a C compiler builds, and their output.
#![allow(dead_code, reason = "each test uses some of it")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The folder of this package.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder with the built libraries and the command. They are built as releases, whatever the tests are.
pub fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = env::current_exe().ok().and_then(|test| Some(test.ancestors().nth(3)?.to_path_buf()));
        let target = target.expect("tests lie in a folder of a profile");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--release", "--quiet", "-p", "heapmaster-capi", "--target-dir"]).arg(&target);
        assert!(build.current_dir(root()).status().expect("cargo").success());
        target.join("release")
    })
}

/// The shared library.
pub fn library() -> PathBuf {
    built().join("libheapmaster.so")
}

/// A folder of this test's own, empty.
pub fn folder(name: &str) -> PathBuf {
    let folder = built().join("capi-tests").join(format!("{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Whether a program is there; if not, says that a test does without it.
pub fn has(program: &str) -> bool {
    let found = env::split_paths(&env::var_os("PATH").unwrap_or_default()).any(|path| path.join(program).is_file());
    if !found {
        println!("SKIPPED, as there is no {program}");
    }
    found
}

/// Compiles C or C++ by the system's compiler; the second value: it was there.
pub fn compile(source: &str, to: &Path, options: &[&str]) -> bool {
    let cxx = source.ends_with(".cpp");
    let (compiler, standard) = if cxx { ("c++", "-std=c++17") } else { ("cc", "-std=gnu11") };
    if !has(compiler) {
        return false;
    }
    let mut command = Command::new(compiler);
    // A compiler knows what malloc does, and leaves calls out.
    command.args([standard, "-g", "-O1", "-fno-builtin", "-Wall", "-pthread"]);
    command.arg(root().join(source)).arg("-o").arg(to).args(options);
    let output = command.output().expect("a compiler");
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// A command whose `malloc` is ours.
pub fn preloaded(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("LD_PRELOAD", library());
    command
}

/// The output of a command that succeeds.
pub fn output(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
