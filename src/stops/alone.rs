//! A test in a process of its own, where no other test's threads have indices.

use std::env;
use std::process::Command;

/// Set in the process of its own, to the name of the test.
const ALONE: &str = "HEAPMASTER_ALONE";

/// Runs the test of this name in a process of its own. Fails if that fails.
pub fn alone(test: &str, run: impl FnOnce()) {
    if env::var(ALONE).is_ok_and(|name| name == test) {
        return run();
    }
    let program = env::current_exe().expect("the tests have a file");
    let mut command = Command::new(program);
    command.args([test, "--exact", "--include-ignored", "--nocapture"]).env(ALONE, test);
    if env::args().any(|argument| argument == "--nocapture") {
        let status = command.status().expect("it can be started");
        assert!(status.success(), "{test} failed: {status}");
    } else {
        let output = command.output().expect("it can be started");
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| alloc::string::String::from_utf8_lossy(bytes));
        println!("{out}{err}");
        assert!(output.status.success(), "{test} failed: {}", output.status);
    }
}
