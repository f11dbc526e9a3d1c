//! The rows that SQLite sees and how it fails are what they are with its own malloc. The program looks at the memory
//! by itself.

use std::process::Command;

/// Runs the program, with its choice of memory, and returns what it says.
fn run(memory: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sqlite")).arg(memory).output().expect("it runs");
    assert!(output.status.success(), "{memory}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_same_rows_as_with_its_own_malloc() {
    let own = run("own");
    assert_eq!(own.matches("Digest").count(), 5, "{own}");
    for _ in 0..5 {
        assert_eq!(run("pool"), own);
    }
}

#[test]
fn at_a_limit_statements_fail_and_connections_go_on() {
    run("limit");
}
