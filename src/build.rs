//! One name for builds in which models check the crate: `modelled` is `all(loom, feature = "loom")`. A user's own `--cfg loom` does not
//! switch it on by itself.

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rustc-check-cfg=cfg(modelled)");
    let is_on = |name| std::env::var_os(name).is_some();
    if is_on("CARGO_CFG_LOOM") && is_on("CARGO_FEATURE_LOOM") {
        println!("cargo::rustc-cfg=modelled");
    }
}
