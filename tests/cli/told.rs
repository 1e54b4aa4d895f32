//! What a run tells while it goes on, and what its files are: `--progress`, `--log-level`, `--tensorboard`, `inspect`.

use super::*;

const SHORT: &str = "[model]\nencoder = [8]\ntrunk = [8]\ntarget = [8]\n[train]\nsteps = 30\npooled_steps = 20\n[eval]\ntasks = 10\n\
                     [adapt]\nsteps = [0, 1]\n";

fn short() -> Place {
    Place::with([("short.toml", SHORT)])
}

#[test]
fn progress_is_told_as_lines_of_json() {
    let place = short();
    let args = ["train", "short.toml", "--device", "cpu", "--out", "run", "--progress", "json"];
    let done = place.command(&args).env("RUST_LOG", "info").output().unwrap();
    assert!(done.status.success());
    let told: Vec<Value> = String::from_utf8(done.stderr)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect();
    let of = |phase: &str| told.iter().rev().find(|line| line["phase"] == phase).unwrap();
    assert_eq!((&of("hypernetwork")["step"], &of("hypernetwork")["steps"]), (&30.into(), &30.into()));
    assert!(of("hypernetwork")["loss"].as_f64().unwrap() > 0.0 && of("hypernetwork")["unit"] == "tasks");
    assert!(of("judging on unseen tasks")["step"].is_null());
    // The log, too.
    assert!(told.iter().any(|line| line["level"] == "info" && line["message"].is_string()));
    let done = place.run(&["--progress", "json", "eval", "nowhere"]);
    let error: Value = serde_json::from_str(&done.err).unwrap();
    assert!(done.code == Some(2) && error["level"] == "error", "{done:?}");
}

#[test]
fn what_is_not_wanted_is_not_told() {
    let place = short();
    let quiet = |out: &str, flags: &[&str]| {
        let all = [&["train", "short.toml", "--device", "cpu", "--out", out][..], flags].concat();
        let done = place.command(&all).env_remove("RUST_LOG").output().unwrap();
        assert!(done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    assert_eq!(quiet("a", &["--progress", "none", "--log-level", "warn"]), "");
    assert!(quiet("b", &["--progress", "none"]).starts_with("info: device"));
    let told = quiet("c", &["--log-level", "off"]);
    assert!(told.contains("hypernetwork") && !told.contains("info:"), "{told}");
}

/// Of colours nothing is left where NO_COLOR asks for none.
#[test]
fn colours_can_be_done_without() {
    let place = Place::new();
    let with = |name: &str| {
        let done = place.command(&["trian"]).env("CLICOLOR_FORCE", "1").env(name, "1").output().unwrap();
        String::from_utf8(done.stderr).unwrap().contains('\u{1b}')
    };
    assert!(with("CLICOLOR") && !with("NO_COLOR"));
}

/// The scalars of an event file: step, tag and value, as TensorBoard's format has them.
fn events(bytes: &[u8]) -> Vec<(i64, String, f32)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (byte, rest) = bytes.split_first().expect("a byte");
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }
    /// The fields of a message: their numbers, and the bytes or the number of each.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
        let mut all = vec![];
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let (number, length) = match key & 7 {
                0 => (varint(&mut bytes), 0),
                1 => (0, 8),
                2 => (0, varint(&mut bytes) as usize),
                5 => (0, 4),
                wire => panic!("wire type {wire}"),
            };
            let (value, rest) = bytes.split_at(length);
            all.push((key >> 3, number, value));
            bytes = rest;
        }
        all
    }
    let (mut rest, mut all, mut first) = (bytes, vec![], true);
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let event = fields(&rest[12..12 + length]);
        rest = &rest[16 + length..];
        if std::mem::take(&mut first) {
            assert!(event.iter().any(|f| f.0 == 3 && f.2 == b"brain.Event:2"));
            continue;
        }
        let step = event.iter().find(|f| f.0 == 2).unwrap().1 as i64;
        let summary = event.iter().find(|f| f.0 == 5).unwrap().2;
        for (_, _, value) in fields(summary) {
            let parts = fields(value);
            let tag = String::from_utf8(parts[0].2.to_vec()).unwrap();
            all.push((step, tag, f32::from_le_bytes(parts[1].2.try_into().unwrap())));
        }
    }
    all
}

/// The event file has what metrics.csv has, also behind a stop.
#[test]
fn tensorboard_is_told_what_metrics_are() {
    let place = short();
    place.ok(&["train", "short.toml", "--device", "cpu", "--out", "plain"]);
    assert!(!place.path("plain/events.out.tfevents.hyperloom").exists());
    place.ok(&["train", "short.toml", "--device", "cpu", "--out", "run", "--tensorboard"]);
    let agree = |run: &str| {
        let told = events(&fs::read(place.path(&format!("{run}/events.out.tfevents.hyperloom"))).unwrap());
        let losses: Vec<(i64, f32)> = told.iter().filter(|e| e.1 == "loss").map(|e| (e.0, e.2)).collect();
        let rows = place.read(&format!("{run}/metrics.csv"));
        let want: Vec<(i64, f32)> = rows
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect::<Vec<_>>())
            .map(|cells| (cells[0].parse().unwrap(), cells[1].parse().unwrap()))
            .collect();
        assert!(!want.is_empty());
        assert_eq!(losses, want, "{run}");
        assert!(told.iter().any(|e| e.1 == "learning_rate") && told.iter().all(|e| e.1 != "accuracy"));
    };
    agree("run");
    // Goes on with it, unasked.
    let rows: Vec<String> = place.read("run/metrics.csv").lines().map(str::to_string).collect();
    place.write("run/metrics.csv", rows[..rows.len() - 1].join("\n") + "\n");
    place.ok(&["train", "--resume", "--device", "cpu", "--out", "run"]);
    agree("run");
}

#[test]
fn policies_and_tasks_one_after_another_have_event_files_too() {
    let place = Place::new();
    let cpu = ["--device", "cpu", "--tensorboard", "--set"];
    let policy = ["train", "--task", "cartpole", "--out", "policy", "--frames", "2048"];
    place.ok(&[&policy[..], &cpu, &["learning.steps=32"]].concat());
    let of =
        |run: &str| events(&fs::read(place.path(&format!("{run}/events.out.tfevents.hyperloom"))).unwrap());
    let told = of("policy");
    assert!(told.iter().any(|e| e.1 == "return" && e.0 == 2048), "{told:?}");
    let tasks =
        ["train", "--task", "continual", "--source", "polynomials", "--steps", "20", "--out", "tasks"];
    place.ok(&[&tasks[..], &cpu, &["seed=1"]].concat());
    let told = of("tasks");
    assert!(told.iter().any(|e| e.1 == "loss/hypernetwork") && told.iter().any(|e| e.1 == "loss/ewc"));
    assert_eq!(
        place.read("tasks/metrics.csv").lines().count() - 1,
        told.iter().map(|e| e.0).max().unwrap() as usize
    );
}

#[test]
fn inspect_says_what_files_are() {
    let place = short();
    place.ok(&["train", "short.toml", "--device", "cpu", "--out", "run"]);
    place.write("known.csv", "x,y\n0,1\n1,2\n");
    place.ok(&["adapt", "run", "--support", "known.csv", "--device", "cpu", "--out", "net.safetensors"]);
    let said = |path: &str| place.ok(&["inspect", path]);
    let run = said("run");
    for part in [
        "run: a run,",
        "finished           true",
        "task               sine",
        "loss.svg",
        "the checkpoint of a run",
    ] {
        assert!(run.contains(part), "{part}: {run}");
    }
    let checkpoint = said("run/checkpoint.safetensors");
    assert!(
        checkpoint.contains("member.0.hyper") && checkpoint.contains("trained            true"),
        "{checkpoint}"
    );
    assert!(
        said("net.safetensors").contains("the network of a task")
            && said("net.safetensors").contains("F32 [25]")
    );
    assert!(said("run/report.json").contains("held out chosen"));
    assert!(said("run/metrics.csv").contains("rows               30"));
    assert!(said("run/config.toml").contains("settings"));
    assert!(said("known.csv").contains("a table"));
    let json: Value =
        serde_json::from_str(&place.ok(&["inspect", "--json", "run/checkpoint.safetensors"])).unwrap();
    assert_eq!(json["what"], "the checkpoint of a run");
    assert_eq!(json["tensors"][0]["shape"].as_array().unwrap().len(), 1);

    // What is damaged, foreign or not there.
    let mut bytes = fs::read(place.path("net.safetensors")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    place.write("damaged.safetensors", &bytes);
    place.refused(&["inspect", "damaged.safetensors"], &["damaged.safetensors", "does not match its hash"]);
    place.write("words.txt", "a");
    place.refused(&["inspect", "words.txt"], &["words.txt", ".safetensors"]);
    place.refused(&["inspect", "nowhere"], &["nowhere", "No such file"]);
    place.write("empty/x.txt", "a");
    place.refused(&["inspect", "empty"], &["empty", "holds no run"]);
    place.ok(&["export", "net.safetensors", "--out", "net.h"]);
    assert!(said("net.h").contains("a program that was exported"));
    place.write("other.h", "int x;");
    place.refused(&["inspect", "other.h"], &["other.h"]);
    let folder = said(".");
    assert!(
        folder.contains(": a folder,")
            && folder.contains("damaged.safetensors")
            && folder.contains("another file")
    );
    let header = br#"{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let mut foreign = (header.len() as u64).to_le_bytes().to_vec();
    foreign.extend(header);
    foreign.extend(f32::NAN.to_le_bytes());
    place.write("foreign.safetensors", &foreign);
    let said = said("foreign.safetensors");
    assert!(said.contains("another program") && said.contains("1 not finite"), "{said}");
}
