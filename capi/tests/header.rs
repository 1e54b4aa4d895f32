//! The header that stands in the repository is the one that the source says: HYPERLOOM_HEADER=write cargo test -p hyperloom-c --test header

use std::fs;
use std::path::Path;

#[test]
fn the_header_says_what_the_source_says() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut written = vec![];
    cbindgen::generate_with_config(here, config).expect("a header").write(&mut written);
    let (header, written) = (here.join("include/hyperloom.h"), String::from_utf8(written).expect("text"));
    if std::env::var_os("HYPERLOOM_HEADER").is_some() {
        fs::write(&header, &written).expect("the header");
    }
    let there = fs::read_to_string(&header).expect("the header");
    assert!(
        there == written,
        "{} is not what cbindgen writes; HYPERLOOM_HEADER=write writes it",
        header.display()
    );
}
