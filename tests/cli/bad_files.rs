//! Run folders and checkpoints that are damaged, someone else's, or in the way; a disk that is full.

use hyperloom::experiment::run_folder::RunFolder;

use crate::*;

const CHECKPOINT: &str = "run/checkpoint.safetensors";

/// Every command that reads the checkpoint of `run` refuses it.
#[track_caller]
fn unusable(place: &Place, parts: &[&str]) {
    for args in [
        &["predict", "run", "--query", "query.csv", "--out", "p.csv", "--device", "cpu"][..],
        &["adapt", "run", "--support", "support.csv", "--out", "n", "--device", "cpu"],
        &["eval", "run", "--device", "cpu"],
        &["train", "--resume", "--out", "run", "--device", "cpu"],
    ] {
        place.refused(args, parts);
    }
}

fn with_files(files: &Files) -> Place {
    let place = plant(files);
    place.write("support.csv", "x,y\n1,2\n2,3\n");
    place.write("query.csv", "x\n1\n");
    place
}

#[test]
fn damaged_checkpoints() {
    let place = with_files(&SINE_RUN);
    let good = fs::read(place.path(CHECKPOINT)).unwrap();
    for end in [0, 5, 8, 100, good.len() / 2, good.len() - 1] {
        place.write(CHECKPOINT, &good[..end]);
        unusable(&place, &["checkpoint.safetensors", "truncated"]);
    }
    let header = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
    for at in [9, header / 2, header - 40, header + 9, (header + good.len()) / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        place.write(CHECKPOINT, &bytes);
        unusable(&place, &["checkpoint.safetensors: "]);
    }
    let edited = |from: &str, to: &str| {
        let mut bytes = good.clone();
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        place.write(CHECKPOINT, bytes);
    };
    edited(r#""version":"1""#, r#""version":"7""#);
    unusable(&place, &["checkpoint.safetensors", "version 7", "version 1", "newer hyperloom"]);
    edited(r#""format":"hyper"#, r#""format":"lyper"#);
    unusable(&place, &["checkpoint.safetensors", "format"]);
    // Lies about lengths.
    for length in [0, 7, header as u64 + 1, good.len() as u64, 1 << 40, u64::MAX] {
        let mut bytes = good.clone();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        place.write(CHECKPOINT, bytes);
        unusable(&place, &["checkpoint.safetensors: "]);
    }
    place.write(CHECKPOINT, b"\x89PNG\r\n\x1a\n".repeat(50));
    unusable(&place, &["checkpoint.safetensors", "not a safetensors file"]);
    fs::remove_file(place.path(CHECKPOINT)).unwrap();
    fs::create_dir(place.path(CHECKPOINT)).unwrap();
    unusable(&place, &["checkpoint.safetensors", "folder"]);
}

/// Checkpoints with sound hashes that say something impossible of themselves.
#[test]
fn checkpoints_that_contradict_themselves() {
    let place = with_files(&SINE_RUN);
    let path = place.path(CHECKPOINT);
    let good = Checkpoint::load(&path).unwrap();
    let forged = |key: &str, from: &str, to: &str| {
        let mut c = good.clone();
        let text = c.metadata.get_mut(key).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        *text = text.replacen(from, to, 1);
        c.save(&path).unwrap();
        unusable(&place, &["checkpoint.safetensors"]);
    };
    for other in [
        r#"{"kind":"shared"}"#,
        r#"{"kind":"chunked"}"#,
        r#"{"kind":"chunked","chunk":0}"#,
        r#"{"kind":"chunked","chunk":18446744073709551615}"#,
        r#"{"kind":"chunked","embedding":18446744073709551615}"#,
        r#"{"kind":"of another program"}"#,
    ] {
        forged("model", r#"{"kind":"linear"}"#, other);
    }
    let net = r#"{"input":[1],"layers":[{"dense":8},{"activation":"relu"},{"dense":1}]}"#;
    for other in [
        r#"{"input":[1],"layers":[{"dense":9},{"activation":"relu"},{"dense":1}]}"#,
        r#"{"input":[1],"layers":[{"dense":0},{"activation":"relu"},{"dense":1}]}"#,
        r#"{"input":[1],"layers":[{"dense":18446744073709551615},{"dense":1}]}"#,
        r#"{"input":[2],"layers":[{"dense":8},{"activation":"relu"},{"dense":1}]}"#,
        r#"{"input":[],"layers":[{"dense":8},{"dense":1}]}"#,
        r#"{"input":[4294967296,4294967296,4294967296],"layers":[{"dense":1}]}"#,
        r#"{"input":[1],"layers":[{"residual":[{"dense":8}]},{"dense":1}]}"#,
        r#"{"input":[1],"layers":[{"parallel":[]},{"dense":1}]}"#,
        r#"{"input":[1],"layers":[{"context":3},{"activation":"relu"},{"dense":1}]}"#,
        r#"{"input":[1],"layers":[]}"#,
        r#"{"input":[1],"layers":[{"own":"of another program"},{"dense":1}]}"#,
        // As the first version said it.
        r#"{"widths":[1,9,1],"activation":"relu","context":0}"#,
        r#"{"widths":[1],"activation":"relu","context":0}"#,
        r#"{"widths":[1,8,1],"activation":"relu","context":1}"#,
        r#"{"widths":[1,18446744073709551615,1],"activation":"relu","context":0}"#,
    ] {
        forged("model", net, other);
    }
    forged("model", r#""trunk":[8]"#, r#""trunk":[9]"#);
    forged("model", r#""trunk":[8]"#, r#""trunk":[0]"#);
    forged("model", r#""trunk":[8]"#, r#""trunk":[18446744073709551615,18446744073709551615]"#);
    forged("model", r#""example":2"#, r#""example":3"#);
    forged("model", r#""embedding":null"#, r#""embedding":{"tasks":0,"width":0}"#);
    forged("model", r#""descriptor":0"#, r#""descriptor":18446744073709551615"#);
    forged("model", r#""descriptor":0"#, r#""descriptor":4"#);
    forged("model", r#""outputs":1"#, r#""outputs":0"#);
    forged("model", r#""outputs":1"#, r#""outputs":2"#);
    forged("model", r#""members":1"#, r#""members":2"#);
    forged("model", r#""members":1"#, r#""members":0"#);
    forged("model", r#""members":1"#, r#""members":1000000000000000"#);
    forged("model", r#""steps":"#, r#""steps":900000000000000"#);
    forged("model", "{", "[");
    forged("position", r#""member":1"#, r#""member":7"#);
    forged("position", r#""member":1"#, r#""member":0"#);
    forged("position", r#""trained":true"#, r#""trained":false"#);
    forged("position", r#""trained":true"#, r#""trained":1"#);
    forged("format_of_files", r#""inputs":["x"]"#, r#""inputs":["x","y"]"#);
    forged("format_of_files", "Plain", "Plane");
    forged("config", "steps = 60", "steps = 0");
    forged("config", "steps = 60", "stepz = 60");
    for name in ["member.0.hyper", "member.0.pooled"] {
        let mut c = good.clone();
        c.tensors.remove(name);
        c.save(&path).unwrap();
        unusable(&place, &["checkpoint.safetensors: ", name]);
        let mut c = good.clone();
        c.tensors.insert(name.into(), Tensor::f32(&[3], vec![1.0; 3]));
        c.save(&path).unwrap();
        unusable(&place, &["checkpoint.safetensors: ", name, "[3]"]);
        c.tensors.insert(name.into(), Tensor::u32(&[3], vec![1; 3]));
        c.save(&path).unwrap();
        unusable(&place, &["checkpoint.safetensors: ", name]);
    }
    for key in ["model", "position", "config", "format_of_files"] {
        let mut c = good.clone();
        c.metadata.remove(key);
        c.save(&path).unwrap();
        unusable(&place, &["checkpoint.safetensors: ", key]);
    }
    // Of an unfinished run.
    let unfinished = |position: &str, state: usize| {
        let mut c = good.clone();
        c.metadata.insert("position".into(), position.into());
        c.tensors.insert("state".into(), Tensor::f32(&[state], vec![0.0; state]));
        c.save(&path).unwrap();
        place.refused(&["train", "--resume", "--out", "run"], &["checkpoint.safetensors: "]);
    };
    unfinished(r#"{"member":0,"hyper":true,"step":10,"trained":false,"millis":0}"#, 3);
    unfinished(r#"{"member":0,"hyper":true,"step":61,"trained":false,"millis":0}"#, 3);
    unfinished(r#"{"member":0,"hyper":false,"step":18446744073709551615,"trained":false,"millis":0}"#, 3);
    unfinished(r#"{"member":1,"hyper":false,"step":0,"trained":false,"millis":0}"#, 3);
    let mut c = good.clone();
    c.tensors.clear();
    c.metadata
        .insert("position".into(), r#"{"member":0,"hyper":true,"step":0,"trained":false,"millis":0}"#.into());
    c.save(&path).unwrap();
    place.refused(&["train", "--resume", "--out", "run"], &["checkpoint.safetensors: ", "member.0.pooled"]);
}

/// A model that is sound, but not that of the folder's configuration.
#[test]
fn another_models_checkpoint() {
    let place = with_files(&SINE_RUN);
    let other = SINE.replace("trunk = [8]", "trunk = [9]");
    place.write("other.toml", other);
    place.ok(&["train", "other.toml", "--out", "other"]);
    let path = place.path(CHECKPOINT);
    let mut c = Checkpoint::load(&place.path("other/checkpoint.safetensors")).unwrap();
    c.metadata.insert("config".into(), Checkpoint::load(&path).unwrap().metadata["config"].clone());
    c.save(&path).unwrap();
    for args in [&["train", "--resume", "--out", "run"][..], &["eval", "run", "--device", "cpu"]] {
        place.refused(args, &["run", "not the one that its configuration and data describe"]);
    }
}

#[test]
fn network_files() {
    let place = with_files(&SINE_RUN);
    place.ok(&["adapt", "run", "--support", "support.csv", "--out", "n.safetensors", "--device", "cpu"]);
    let bytes = fs::read(place.path("n.safetensors")).unwrap();
    let predict = |model| ["predict", model, "--query", "query.csv", "--out", "p.csv", "--device", "cpu"];
    place.write("cut.safetensors", &bytes[..bytes.len() - 3]);
    place.refused(&predict("cut.safetensors"), &["cut.safetensors", "truncated"]);
    place.refused(&predict("none.safetensors"), &["none.safetensors", "no such run folder or network"]);
    place.refused(&predict("sine.toml"), &["sine.toml", "not a safetensors file"]);
    place.refused(&predict(CHECKPOINT), &[CHECKPOINT, "network"]);
    let more = [&predict("n.safetensors")[..], &["--support", "support.csv"]].concat();
    place.refused(&more, &["--support", "adapted already"]);
    let more = [&predict("n.safetensors")[..], &["--steps", "3"]].concat();
    place.refused(&more, &["--steps", "adapted already"]);
    let many = [
        "adapt",
        "run",
        "--support",
        "support.csv",
        "--out",
        "m",
        "--steps",
        "9000000000",
        "--device",
        "cpu",
    ];
    place.refused(&many, &["--steps", "9000000000", "100000"]);
    let many =
        ["predict", "run", "--support", "support.csv", "--query", "query.csv", "--out", "m", "--steps"];
    place.refused(&[&many[..], &["9000000000", "--device", "cpu"]].concat(), &["--steps", "100000"]);
    // A run and a network confused.
    fs::create_dir(place.path("folder")).unwrap();
    place.refused(&predict("folder"), &["folder", "no checkpoint"]);
    place.refused(&["eval", "n.safetensors"], &["n.safetensors", "no such run folder"]);
}

#[test]
fn folders_and_files_in_the_way() {
    let place = with_files(&SINE_RUN);
    place.write("p.csv", "mine");
    fs::create_dir(place.path("empty")).unwrap();
    place.refused(&["train", "sine.toml", "--out", "run"], &["run", "exists", "--resume"]);
    place.refused(&["train", "sine.toml", "--out", "p.csv"], &["p.csv", "exists"]);
    place.refused(&["train", "sine.toml", "--out", "p.csv/run"], &["p.csv/run", "cannot create"]);
    place.refused(&["train", "--resume", "--out", "none"], &["none", "no run to go on with"]);
    place.refused(&["train", "--resume", "--out", "empty"], &["empty", "no run to go on with"]);
    place.refused(&["train", "--resume"], &["runs/sine", "no such run"]);
    place.refused(&["eval", "none"], &["none", "no such run folder"]);
    place.refused(
        &["adapt", "none", "--support", "support.csv", "--out", "n"],
        &["none", "no such run folder"],
    );
    let adapt = ["adapt", "run", "--support", "support.csv", "--device", "cpu", "--out"];
    let predict =
        ["predict", "run", "--support", "support.csv", "--query", "query.csv", "--device", "cpu", "--out"];
    for command in [&adapt[..], &predict] {
        place.refused(&[command, &["p.csv"]].concat(), &["--out", "p.csv", "exists"]);
        place.refused(&[command, &["empty"]].concat(), &["--out", "empty", "exists"]);
        place.refused(&[command, &["none/file"]].concat(), &["none/file", "cannot create"]);
    }
    place.ok(&["train", "sine.toml", "--out", "empty", "--steps", "1"]);
    // A run that has a checkpoint, but lost or spoilt another of its files.
    place.write("run/config.toml", "steps = what");
    place.refused(&["train", "--resume", "--out", "run"], &["run/config.toml, line 1"]);
    fs::remove_file(place.path("run/config.toml")).unwrap();
    place.refused(&["train", "--resume", "--out", "run"], &["run", "config.toml"]);
    place.refused(&["eval", "run"], &["run/config.toml", "cannot read"]);
    let place = with_files(&SINE_RUN);
    place.write("run/metrics.csv", "something else\n1,2\n");
    place.refused(&["train", "--resume", "--out", "run"], &["metrics.csv, line 1", "something else"]);
}

/// A file system of 64 KiB that is unmounted when the test ends.
#[cfg(target_os = "linux")]
struct Mounted(PathBuf);

#[cfg(target_os = "linux")]
impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk() {
    // Many steps of a small network: the metrics outgrow the disk long after the first checkpoint.
    let text = SINE.replace("steps = 60", "steps = 4000\ncheckpoint_seconds = 0");
    let place = Place::with([("small.toml", text.as_str())]);
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(&disk).output()
    };
    match mount("size=64k") {
        Ok(done) if done.status.success() => {}
        other => {
            println!("skipped: a small disk cannot be mounted here (it takes root): {other:?}");
            return;
        }
    }
    let _mounted = Mounted(disk.clone());
    let done = place.run(&["train", "small.toml", "--out", "disk/run"]);
    let last = done.err.lines().last().unwrap_or_default();
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(last.starts_with("error: disk/run/") && last.contains("cannot write"), "{done:?}");
    assert_eq!(done.err.matches("error: ").count(), 1, "{done:?}");
    // The last checkpoint that fitted is whole, and nothing half-written takes its room.
    let saved = RunFolder::open(&place.path("disk/run")).unwrap().load().unwrap();
    assert!(saved.position.hyper && saved.position.step >= 50, "{:?}", saved.position);
    assert!(!tree(&place.path("disk/run")).keys().any(|name| name.ends_with(".tmp")));
    // With room again it goes on to the same end as a run that never stopped.
    let larger = mount("remount,size=4m").unwrap();
    assert!(larger.status.success(), "{larger:?}");
    place.ok(&["train", "--resume", "--out", "disk/run"]);
    place.ok(&["train", "small.toml", "--out", "whole"]);
    assert!(weights(&place.path("disk/run")) == weights(&place.path("whole")));
    let steps = |run: &str| columns(&place.read(&format!("{run}/metrics.csv")))["loss"].clone();
    assert_eq!(steps("disk/run"), steps("whole"));
}
