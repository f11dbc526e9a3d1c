//! The header in the tree is what cbindgen makes of the source.

use std::path::Path;

#[test]
fn the_header_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("a configuration");
    let files = ["process", "status", "pool", "inspect", "offsets"]
        .map(|name| root.join("src").join(name).with_extension("rs"));
    let builder =
        files.iter().fold(cbindgen::Builder::new().with_config(config), |builder, file| builder.with_src(file));
    let mut text = Vec::new();
    builder.generate().expect("the source is fit for C").write(&mut text);
    let text = String::from_utf8(text).expect("text");
    let path = root.join("include/heapmaster.h");
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, &text).expect("the tree may be written");
    }
    let tree = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(tree == text, "it is not; `RENEW=1 cargo test -p heapmaster-capi --test header` writes it");
}
