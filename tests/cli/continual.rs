//! Tasks one after another from outside: learned, stopped, resumed, predicted with, and refused.

use hyperloom::experiment::continual::{ContinualConfig, ContinualRun, ContinualStatus};
use hyperloom::experiment::{Observer, Silent};

use crate::*;

const TRAIN: [&str; 5] = ["train", "--task", "continual", "--device", "cpu"];

/// Rows of four classes, a corner of a square each, and of three people who see the square turned.
fn corners(place: &Place, name: &str) {
    let mut text = String::from("who,a,b,what,height\n");
    for i in 0..96 {
        let (class, who) = (i % 4, i / 32);
        let (x, y) =
            (f64::from(class % 2) + 0.01 * f64::from(i % 7), f64::from(class / 2) - 0.01 * f64::from(i % 5));
        let (x, y) = if who == 1 { (-y, x) } else { (x, y) };
        writeln!(text, "p{who},{x},{y},c{class},{}", x + y * f64::from(who)).unwrap();
    }
    fs::write(place.path(name), text).unwrap();
}

#[test]
fn polynomials_and_what_they_leave() {
    let place = Place::new();
    let words = place.ok(&[&TRAIN[..], &["--source", "polynomials", "--steps", "40", "--out", "a"]].concat());
    for part in [
        "3 tasks one after another",
        "hypernetwork",
        "fine-tune",
        "ewc",
        "si",
        "replay",
        "joint",
        "separate",
        "squared error by task",
    ] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    let files =
        ["continual.toml", "continual.safetensors", "metrics.csv", "report.json", "matrix.svg", "tasks.svg"];
    for file in files.iter().copied().chain(["networks/task-1.safetensors", "networks/task-3.safetensors"]) {
        assert!(place.path("a").join(file).is_file(), "{file}");
    }
    let report = place.json("a/report.json");
    let own = &report["continual"];
    assert_eq!(own["mse"].as_array().map(Vec::len), Some(3));
    assert_eq!(own["mse"], own["matrix"][2]);
    assert_eq!(
        (own["bytes_per_task"].as_u64(), report["beside"].as_array().map(Vec::len)),
        (Some(8), Some(6))
    );
    let metrics = place.read("a/metrics.csv");
    assert!(metrics.starts_with("method,task,step,loss,gradient,apart\nhypernetwork,1,40,"), "{metrics}");
    // Finished: it says the same again.
    let again = place.ok(&["train", "--resume", "--out", "a", "--json", "--device", "cpu"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again, report);
    // The network of a task predicts rows of files.
    fs::write(place.path("q.csv"), "x\n-3\n-2.5\n").unwrap();
    place.ok(&[
        "predict",
        "a/networks/task-1.safetensors",
        "--query",
        "q.csv",
        "--out",
        "y.csv",
        "--device",
        "cpu",
    ]);
    assert!(place.read("y.csv").starts_with("x,") && place.read("y.csv").lines().count() == 3);
}

#[test]
fn classes_groups_and_orders() {
    let place = Place::new();
    corners(&place, "rows.csv");
    let short = ["--steps", "30", "--set", "beside=['joint']", "--set", "hidden=[8]"];
    let ways: [(&str, &[&str], usize); 4] = [
        ("parts", &["--label", "what", "--drop", "who,height", "--tasks", "2"], 2),
        ("orders", &["--label", "what", "--drop", "who,height", "--set", "permuted=true", "--tasks", "3"], 3),
        ("people", &["--group", "who", "--target", "what", "--drop", "height", "--scenario", "domain"], 3),
        ("heights", &["--group", "who", "--target", "height", "--drop", "what"], 3),
    ];
    for (out, more, tasks) in ways {
        let words = [&TRAIN[..], &["--source", "rows.csv", "--out", out], &short[..], more].concat();
        place.ok(&words);
        let own = &place.json(&format!("{out}/report.json"))["continual"];
        assert_eq!(own["matrix"].as_array().map(Vec::len), Some(tasks), "{out}");
        assert_eq!(own["task_found"].is_null(), out != "people", "{out}");
    }
    // Among the classes of all tasks; the network of the second predicts none of the first.
    let all =
        [&TRAIN[..], &["--source", "rows.csv", "--scenario", "class", "--out", "all"], &short[..], ways[0].1]
            .concat();
    place.ok(&all);
    place.ok(&[
        "predict",
        "all/networks/task-2.safetensors",
        "--query",
        "rows.csv",
        "--out",
        "said.csv",
        "--device",
        "cpu",
    ]);
    let said = place.read("said.csv");
    let mut lines = said.lines();
    let at = lines.next().and_then(|l| l.split(',').position(|c| c == "prediction")).expect("a column");
    assert!(lines.all(|l| l.split(',').nth(at).is_some_and(|c| c == "c2" || c == "c3")), "{said}");
}

/// Several files with the same classes: scales and columns are those of all of them.
#[test]
fn several_files() {
    let place = Place::new();
    let rows = |scale: f64, z: bool| {
        let line = |i: usize| {
            let (class, x) = (i % 2, (i * 7 % 11) as f64);
            format!("{},{},{}\n", x * scale, if z { class as f64 * scale } else { 7.0 }, ["no", "yes"][class])
        };
        format!("x,z,l\n{}", (0..60).map(line).collect::<String>())
    };
    fs::write(place.path("a.csv"), rows(1.0, false)).unwrap();
    fs::write(place.path("b.csv"), rows(100.0, true)).unwrap();
    let files = [
        "--source",
        "a.csv",
        "b.csv",
        "--label",
        "l",
        "--steps",
        "200",
        "--set",
        "beside=['separate']",
        "--out",
        "two",
    ];
    place.ok(&[&TRAIN[..], &files].concat());
    let found = place.json("two/report.json")["beside"][0]["matrix"][1][1].as_f64().unwrap();
    assert!(found > 0.95, "what tells the second file's classes apart is read: {found}");
    place.refused(&["predict", "two", "--query", "a.csv", "--out", "y.csv"], &["two", "task-1.safetensors"]);
    fs::write(place.path("c.csv"), "x,l\n1,no\n2,yes\n").unwrap();
    place.refused(
        &[&TRAIN[..], &["--source", "a.csv", "c.csv", "--label", "l"]].concat(),
        &["c.csv", "columns"],
    );
    // Rows that changed behind a stop.
    fs::remove_file(place.path("two/report.json")).unwrap();
    fs::write(place.path("a.csv"), rows(2.0, false)).unwrap();
    place.refused(
        &["train", "--resume", "--out", "two", "--device", "cpu"],
        &["continual.safetensors", "other rows"],
    );
}

/// Says when to stop.
struct After(std::cell::Cell<usize>);

impl Observer for After {
    fn stop(&self) -> bool {
        self.0.set(self.0.get() + 1);
        self.0.get().is_multiple_of(3)
    }
}

#[test]
fn a_stopped_run_ends_with_the_same_bits() {
    let place = Place::new();
    let over = ["learning.steps=70", "tasks=2", "beside=['si', 'replay']"].map(String::from);
    let config = ContinualConfig::parse("device = 'cpu'", "", &over).unwrap();
    let device = hyperloom::Device::Cpu;
    let report = |status| match status {
        ContinualStatus::Finished(report) => Some(report),
        ContinualStatus::Stopped(_) => None,
    };
    let whole =
        ContinualRun::open(&config, &device, &place.path("whole"), false).unwrap().run(&mut Silent).unwrap();
    let whole = report(whole).expect("it ended");
    let (mut parts, mut turns) = (None, 0);
    while parts.is_none() {
        let mut run = ContinualRun::open(&config, &device, &place.path("parts"), turns > 0).unwrap();
        parts = report(run.run(&mut After(std::cell::Cell::new(0))).unwrap());
        turns += 1;
    }
    let parts = parts.expect("it ended");
    assert!(turns > 2, "it was stopped");
    assert_eq!(whole.continual.matrix, parts.continual.matrix);
    for (a, b) in whole.beside.iter().zip(&parts.beside) {
        assert_eq!(a.matrix, b.matrix, "{}", a.method);
    }
    assert_eq!(
        place.read("whole/metrics.csv").lines().last(),
        place.read("parts/metrics.csv").lines().last()
    );
    for task in ["networks/task-1.safetensors", "networks/task-2.safetensors"] {
        assert_eq!(
            fs::read(place.path("whole").join(task)).unwrap(),
            fs::read(place.path("parts").join(task)).unwrap()
        );
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let place = Place::new();
    corners(&place, "rows.csv");
    let refused = |more: &[&str], parts: &[&str]| {
        place.refused(&[&TRAIN[..], more].concat(), parts);
    };
    let rows: &[&str] = &["--source", "rows.csv", "--label", "what", "--drop", "who,height"];
    let with = |more: &[&'static str]| [rows, more].concat();
    refused(&with(&["--tasks", "3"]), &["tasks", "4 classes", "1, 2"]);
    refused(&with(&["--set", "ways=3", "--tasks", "2"]), &["ways", "up to 1 tasks"]);
    refused(&["--scenario", "class"], &["scenario", "predict values"]);
    refused(&["--scenario", "tusk"], &["scenario", "'tusk'", "did you mean 'task'?"]);
    refused(&["--method", "ecw"], &["method", "'ecw'", "did you mean 'ewc'?"]);
    refused(&["--method", "ewc", "--set", "beside=['ewc']"], &["beside", "ewc"]);
    refused(&["--source", "none.csv", "--label", "x"], &["none.csv"]);
    refused(&["--source", "rows.csv", "--group", "who"], &["group", "target"]);
    refused(&["--group", "who", "--target", "what"], &["polynomials"]);
    refused(
        &["--source", "rows.csv", "--group", "who", "--target", "what", "--tasks", "9"],
        &["tasks", "3 groups"],
    );
    refused(&["--set", "learning.beta=-1"], &["learning.beta", "-1"]);
    refused(&["--set", "learning.betta=1"], &["betta"]);
    refused(&["--shots", "3"], &["--shots", "--source"]);
    refused(&["--steps", "3", "--set", "learning.steps=4"], &["--steps", "leave one out"]);
    refused(&["--set", "generator='shared'"], &["generator"]);
    refused(&["--source", "rows.csv"], &["label", "--group"]);
    refused(&["--source", "rows.csv", "none", "--label", "what"], &["source", "one kind"]);
    refused(&["--drop", "a"], &["polynomials", "drop"]);
    refused(&["--learner", "ppo"], &["--learner", "environments"]);
    refused(&["--set", "beside=['ewc', 'ewc']"], &["beside", "twice"]);
    refused(&["--net", "mlp", "--set", "hidden=[3]"], &["hidden", "net"]);
    refused(&["--set", "generator='film'", "--set", "hidden=[]"], &["film", "hidden"]);
    place.refused(
        &[
            "train",
            "--task",
            "sine",
            "--set",
            "model.generator=film",
            "--set",
            "model.target=[]",
            "--device",
            "cpu",
        ],
        &["model.generator", "film"],
    );
    place.refused(&["train", "--task", "sine", "--tasks", "3"], &["--tasks", "--task continual"]);
    place.refused(&["train", "--source", "de"], &["--source", "pairs or continual"]);
}
