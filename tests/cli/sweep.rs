//! `hyperloom sweep` from outside.

use super::*;

#[test]
fn a_sweep_is_a_table_a_picture_and_the_best_settings() {
    let place = Place::with([("sine.toml", SINE)]);
    let command =
        ["sweep", "sine.toml", "--over", "train.learning_rate=0.01,0.0001", "--seeds", "2", "--out", "sweep"];
    let words = place.ok(&command);
    let lines: Vec<&str> = words.lines().filter(|l| l.contains("train.learning_rate")).collect();
    assert!(lines.len() == 2 && lines[0].contains("0.01") && lines[0].contains("<- best"), "{words}");
    // The same again is told from what is there.
    let first = fs::metadata(place.path("sweep/runs/train.learning_rate=0.01,seed=3/checkpoint.safetensors"));
    assert_eq!(place.ok(&command).lines().nth(4), words.lines().nth(4));
    let again = fs::metadata(place.path("sweep/runs/train.learning_rate=0.01,seed=3/checkpoint.safetensors"));
    assert_eq!(first.unwrap().modified().unwrap(), again.unwrap().modified().unwrap());
    let table: Value = serde_json::from_str(&place.ok(&[&command[..], &["--json"]].concat())).unwrap();
    assert_eq!(table["runs"].as_array().unwrap().len(), 4);
    assert_eq!(table["configurations"][0]["settings"]["train.learning_rate"], "0.01");
    for file in ["sweep.json", "sweep.svg", "best.toml"] {
        assert!(place.path("sweep").join(file).is_file(), "{file}");
    }
    // The best is a configuration, and a folder of a sweep holds runs.
    place.ok(&["train", "sweep/best.toml", "--out", "best"]);
    place.ok(&["eval", "sweep/runs/train.learning_rate=0.01,seed=4"]);
}

#[test]
fn senseless_sweeps_say_what_would_be_right() {
    let place = Place::with([("sine.toml", SINE)]);
    let sweep = |rest: &[&'static str]| [&["sweep", "sine.toml", "--out", "s"], rest].concat();
    place.refused(&sweep(&[]), &["over what", "--seeds 3"]);
    for task in ["cartpole", "continual"] {
        place.refused(&["sweep", "--task", task, "--seeds", "2", "--out", "s"], &[task, "has no sweep"]);
    }
    place.refused(&sweep(&["--over", "adapt.rate"]), &["adapt.rate", "KEY=VALUE"]);
    place.refused(&sweep(&["--over", "adapt.rate=fast"]), &["a number"]);
    place.refused(&sweep(&["--over", "train.stepz=1,2"]), &["did you mean `steps`"]);
    place.refused(&sweep(&["--seeds", "0"]), &["--seeds", "one at least"]);
    place.refused(&sweep(&["--jobs", "0", "--seeds", "2"]), &["--jobs", "one at least"]);
    let done = place.run(&sweep(&["--over", "train.learning_rate=1e30,1e31"]));
    assert!(done.code == Some(2) && done.err.contains("error: sweep: no run could be trained"), "{done:?}");
    assert!(!place.path("s/best.toml").is_file());
}
