//! Names for builds with `--cfg loom`. A user's own `--cfg loom` does not switch them on by itself.
//!
//! - `modelled`, with the feature `loom-models`: models check the crate itself, which is built on loom's atomics.
//! - `in_turns`, with the feature `loom` alone: a user's model takes the crate as it is (`src/pool/turns.rs`).

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rustc-check-cfg=cfg(modelled, in_turns)");
    let is_on = |name| std::env::var_os(name).is_some();
    if is_on("CARGO_CFG_LOOM") && is_on("CARGO_FEATURE_LOOM_MODELS") {
        println!("cargo::rustc-cfg=modelled");
    } else if is_on("CARGO_CFG_LOOM") && is_on("CARGO_FEATURE_LOOM") {
        println!("cargo::rustc-cfg=in_turns");
    }
}
