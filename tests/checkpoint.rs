//! Checkpoints as a disk may give them back: whole, cut off, changed, or something else altogether.

use hyperloom::checkpoint::{Checkpoint, Tensor, TensorData, read_safetensors};
use hyperloom::error::Error;
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

fn sample() -> Checkpoint {
    let mut c = Checkpoint::default();
    c.tensors.insert("trunk.w".into(), Tensor::f32(&[2, 3], vec![1.0, -2.5, 3.0e-39, f32::MAX, -0.0, 0.1]));
    c.tensors.insert("adam.step".into(), Tensor::u32(&[], vec![u32::MAX]));
    c.tensors.insert("scale".into(), Tensor::f64(&[3], vec![0.1, f64::MIN_POSITIVE, -1e300]));
    c.tensors.insert("labels".into(), Tensor::i64(&[1, 2], vec![i64::MIN, 7]));
    c.tensors.insert("nothing \"quoted\" é".into(), Tensor::f32(&[0, 4], vec![]));
    c.metadata.insert("config".into(), "steps = 3\nname = \"π\"".into());
    c.metadata.insert("step".into(), "1200".into());
    c
}

/// A folder of the test's own, and a file name in it.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.safetensors");
    (folder, path)
}

fn saved(c: &Checkpoint) -> Vec<u8> {
    let (_folder, path) = place();
    c.save(&path).unwrap();
    fs::read(path).unwrap()
}

fn load(bytes: &[u8]) -> Result<Checkpoint, Error> {
    let (_folder, path) = place();
    fs::write(&path, bytes).unwrap();
    Checkpoint::load(&path)
}

/// The message of a load that must fail, which names the file.
fn refusal(bytes: &[u8]) -> String {
    let message = load(bytes).unwrap_err().to_string();
    assert!(message.contains("c.safetensors: "), "{message}");
    message
}

fn replace(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
    let mut bytes = bytes.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

/// A file with this header and body.
fn file(header: &str, body: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), body].concat()
}

#[test]
fn round_trip() {
    let bytes = saved(&sample());
    assert_eq!(load(&bytes).unwrap(), sample());
    assert_eq!(saved(&load(&bytes).unwrap()), bytes);
    assert_eq!(load(&saved(&Checkpoint::default())).unwrap(), Checkpoint::default());
}

#[test]
fn the_same_content_gives_the_same_bytes() {
    assert!((0..10).all(|_| saved(&sample()) == saved(&sample())));
}

#[test]
fn nan_keeps_its_bits() {
    let mut c = Checkpoint::default();
    let nan = f32::from_bits(0x7fc1_2345);
    c.tensors.insert("x".into(), Tensor::f32(&[1], vec![nan]));
    let back = load(&saved(&c)).unwrap();
    assert_eq!(back.f32("x", &[1]).unwrap()[0].to_bits(), nan.to_bits());
}

#[test]
fn other_tools_can_read_it() {
    let bytes = saved(&sample());
    let view = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(view.tensor("trunk.w").unwrap().shape(), [2, 3]);
    assert_eq!(view.len(), 5);
    // Every tensor starts at a multiple of its width.
    let start = bytes.as_ptr() as usize;
    for (name, tensor) in view.iter() {
        let width = tensor.dtype().bitsize() / 8;
        assert_eq!((tensor.data().as_ptr() as usize - start) % width, 0, "{name}");
    }
}

#[test]
fn truncated_anywhere() {
    let bytes = saved(&sample());
    for length in 0..bytes.len() {
        let message = refusal(&bytes[..length]);
        assert!(
            message.contains("truncated") && message.contains("earlier checkpoint"),
            "{length}: {message}"
        );
    }
    let message = refusal(&[&bytes[..], b"x"].concat());
    assert!(message.contains("promises"), "{message}");
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = saved(&sample());
    let (_folder, path) = place();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bad).unwrap();
        // A flip between blanks of the header changes nothing.
        if let Ok(c) = Checkpoint::load(&path) {
            assert_eq!(c, sample(), "bit {bit}");
        }
    }
}

#[test]
fn changes_that_keep_the_numbers() {
    let bytes = saved(&sample());
    let changes = [
        (r#""dtype":"F32","shape":[2,3]"#, r#""dtype":"F32","shape":[3,2]"#, "header"),
        (r#""dtype":"F32","shape":[2,3]"#, r#""dtype":"U32","shape":[2,3]"#, "header"),
        (r#""shape":[0,4]"#, r#""shape":[0,5]"#, "header"),
        (r#""trunk.w":{"#, r#""trunk.v":{"#, "header"),
        ("1200", "1300", "header"),
        ("header_hash", "header_hush", "header_hash"),
        ("hyperloom-checkpoint", "hyperloom-chockpoint", "hyperloom-checkpoint"),
        (r#""version":"1""#, r#""version":"2""#, "version 2, but this program reads version 1"),
        (r#""version":"1""#, r#""version":"x""#, "version 'x'"),
    ];
    for (from, to, expected) in changes {
        let message = refusal(&replace(&bytes, from, to));
        assert!(message.contains(expected), "{from} -> {to}: {message}");
    }
    let mut last = bytes.clone();
    *last.last_mut().unwrap() ^= 1;
    assert!(refusal(&last).contains("tensor 'trunk.w' does not match its hash"));
}

#[test]
fn something_else() {
    let plain = file(r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, &[0; 4]);
    assert!(refusal(&plain).contains("not a checkpoint of this program"));
    assert!(refusal(b"steps,loss\n1,0.5\n").contains("not a safetensors file"));
    assert!(refusal(b"").contains("truncated"));
}

#[test]
fn lying_headers() {
    // Lengths that would take all memory if they were believed.
    for length in [u64::MAX, u64::MAX - 7, 1 << 63, 1 << 40, 100_000_001] {
        let message = refusal(&[&length.to_le_bytes()[..], b"{}"].concat());
        assert!(message.contains("not a safetensors file"), "{length}: {message}");
    }
    assert!(refusal(&[&99_999_999u64.to_le_bytes()[..], b"{}"].concat()).contains("truncated"));
    let headers = [
        "{",
        "{}  x",
        "[]",
        "null",
        r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
        r#"{"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#,
        r#"{"x":{"dtype":"F32","shape":[9223372036854775807,4],"data_offsets":[0,4]}}"#,
        r#"{"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"__metadata__":{"a":1}}"#,
    ];
    for header in headers {
        refusal(&file(header, b""));
    }
    // Tensors that together have nearly as many bytes as a u64 counts; each alone could be right.
    let each = 1u64 << 60;
    let entries: Vec<_> = (0..16)
        .map(|i| {
            let (start, end) = (i * each, if i == 15 { u64::MAX - 3 } else { (i + 1) * each });
            let length = end - start;
            format!(r#""{i:02}":{{"dtype":"U8","shape":[{length}],"data_offsets":[{start},{end}]}}"#)
        })
        .collect();
    let message = refusal(&file(&format!("{{{}}}", entries.join(",")), b""));
    assert!(message.contains("truncated"), "{message}");
    // Deep nesting must not overflow the stack.
    refusal(&file(&format!("{{\"x\":{}", "[".repeat(100_000)), b""));
}

#[test]
fn not_a_file() {
    let (folder, path) = place();
    let message = Checkpoint::load(folder.path()).unwrap_err().to_string();
    assert!(message.contains("a folder, not a file"), "{message}");
    let error = Checkpoint::load(&path).unwrap_err();
    assert!(matches!(error, Error::Io { action: "read", .. }), "{error}");
    let error = sample().save(&folder.path().join("missing/c.safetensors")).unwrap_err();
    assert!(matches!(error, Error::Io { action: "create", .. }), "{error}");
    assert!(sample().save(folder.path()).is_err());
}

#[test]
fn what_cannot_be_saved() {
    let (_folder, path) = place();
    sample().save(&path).unwrap();
    let before = fs::read(&path).unwrap();
    let mut wrong_count = sample();
    wrong_count.tensors.insert("w".into(), Tensor::f32(&[2, 2], vec![0.0; 3]));
    let mut overflow = sample();
    overflow.tensors.insert("w".into(), Tensor::f32(&[usize::MAX, 2], vec![]));
    let mut name = sample();
    name.tensors.insert("__metadata__".into(), Tensor::f32(&[], vec![0.0]));
    let mut key = sample();
    key.metadata.insert("hashes".into(), "{}".into());
    for (c, expected) in
        [(wrong_count, "holds 3 numbers"), (overflow, "holds 0"), (name, "__metadata__"), (key, "'hashes'")]
    {
        let message = c.save(&path).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }
}

#[test]
fn asked_for_something_else() {
    let c = sample();
    assert_eq!(c.f32("trunk.w", &[2, 3]).unwrap().len(), 6);
    assert_eq!(c.u32("adam.step", &[]).unwrap(), [u32::MAX]);
    assert_eq!(c.f64("scale", &[3]).unwrap()[0], 0.1);
    assert_eq!(c.i64("labels", &[1, 2]).unwrap()[1], 7);
    let message = |e: Error| e.to_string();
    let shape = message(c.f32("trunk.w", &[3, 2]).unwrap_err());
    assert!(shape.contains("'trunk.w' is F32 [2, 3], expected F32 [3, 2]"), "{shape}");
    let dtype = message(c.u32("trunk.w", &[2, 3]).unwrap_err());
    assert!(dtype.contains("is F32 [2, 3], expected U32 [2, 3]"), "{dtype}");
    let name = message(c.f64("scales", &[3]).unwrap_err());
    assert!(name.contains("no tensor 'scales'; did you mean 'scale'?"), "{name}");
}

#[test]
fn files_of_other_tools() {
    let (_folder, path) = place();
    let header = r#"{"__metadata__":{"format":"pt"},"y":{"dtype":"I64","shape":[1],"data_offsets":[4,12]},"x":{"dtype":"F32","shape":[],"data_offsets":[0,4]}} "#;
    fs::write(&path, file(header, &[0, 0, 128, 63, 254, 255, 255, 255, 255, 255, 255, 255])).unwrap();
    let c = read_safetensors(&path).unwrap();
    assert_eq!(c.tensors["x"].data, TensorData::F32(vec![1.0]));
    assert_eq!(c.tensors["y"].data, TensorData::I64(vec![-2]));
    assert_eq!(c.metadata["format"], "pt");
    fs::write(&path, file(r#"{"h":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}"#, &[0x80, 0x3f]))
        .unwrap();
    assert_eq!(read_safetensors(&path).unwrap().tensors["h"].data, TensorData::F32(vec![1.0]));
    fs::write(&path, file(r#"{"h":{"dtype":"I16","shape":[1],"data_offsets":[0,2]}}"#, &[0; 2])).unwrap();
    let message = read_safetensors(&path).unwrap_err().to_string();
    assert!(message.contains("'h' holds I16; only F32"), "{message}");
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Delete(prop::sample::Index),
    Cut(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    // Half of what is written are characters that a header is made of.
    let byte = || prop_oneof![any::<u8>(), prop::sample::select(b"0123456789{}[],:\" F3U2e-".to_vec())];
    prop_oneof![
        (at(), 0..8u8).prop_map(|(i, b)| Damage::Flip(i, b)),
        (at(), byte()).prop_map(|(i, b)| Damage::Set(i, b)),
        (at(), byte()).prop_map(|(i, b)| Damage::Insert(i, b)),
        at().prop_map(Damage::Delete),
        at().prop_map(Damage::Cut),
        (at(), at()).prop_map(|(i, j)| Damage::Swap(i, j)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_noticed_or_harmless(all in prop::collection::vec(damage(), 1..6)) {
        static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| saved(&sample()));
        let mut bytes = GOOD.clone();
        for one in all {
            if bytes.is_empty() {
                break;
            }
            let n = bytes.len();
            match one {
                Damage::Flip(i, bit) => bytes[i.index(n)] ^= 1 << bit,
                Damage::Set(i, b) => bytes[i.index(n)] = b,
                Damage::Insert(i, b) => bytes.insert(i.index(n), b),
                Damage::Delete(i) => { bytes.remove(i.index(n)); }
                Damage::Cut(i) => bytes.truncate(i.index(n)),
                Damage::Swap(i, j) => bytes.swap(i.index(n), j.index(n)),
            }
        }
        if let Ok(c) = load(&bytes) {
            prop_assert_eq!(c, sample());
        }
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(load(&bytes).is_err());
        let with_header = [&(bytes.len() as u64 / 2 + 1).to_le_bytes()[..], b"{", &bytes].concat();
        prop_assert!(load(&with_header).is_err());
    }
}
