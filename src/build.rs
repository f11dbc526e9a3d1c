//! Names for builds with `--cfg loom`. A user's own `--cfg loom` does not switch them on by itself.
//!
//! - `modelled`, with the feature `loom-models`: models check the crate itself, which is built on loom's atomics.
//! - `in_turns`, with the feature `loom` alone: a user's model takes the crate as it is (`src/pool/turns.rs`).
//!
//! And `initial_exec`, with the feature of that name where the crate knows how (`src/thread/initial_exec.rs`).

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rustc-check-cfg=cfg(modelled, in_turns, initial_exec)");
    let is_on = |name| std::env::var_os(name).is_some();
    let is_known = |name, values: &[&str]| std::env::var(name).is_ok_and(|value| values.contains(&value.as_str()));
    let is_target = is_known("CARGO_CFG_TARGET_OS", &["linux"])
        && is_known("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"])
        && is_known("CARGO_CFG_TARGET_POINTER_WIDTH", &["64"]);
    if is_on("CARGO_FEATURE_INITIAL_EXEC") && is_target && !is_on("CARGO_CFG_LOOM") && !is_on("CARGO_CFG_MIRI") {
        println!("cargo::rustc-cfg=initial_exec");
    }
    if is_on("CARGO_CFG_LOOM") && is_on("CARGO_FEATURE_LOOM_MODELS") {
        println!("cargo::rustc-cfg=modelled");
    } else if is_on("CARGO_CFG_LOOM") && is_on("CARGO_FEATURE_LOOM") {
        println!("cargo::rustc-cfg=in_turns");
    }
}
