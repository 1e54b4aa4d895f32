//! What a user does: train, look at the report, judge, adapt, predict, inspect.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::*;

/// The files that a finished run leaves, and nothing else.
const LEFT: [&str; 9] = [
    "calibration.svg",
    "checkpoint.safetensors",
    "config.toml",
    "loss.svg",
    "map.svg",
    "metrics.csv",
    "report.json",
    "steps.svg",
    "tasks.svg",
];

/// Checks a finished run's folder; its report.
#[track_caller]
fn finished(place: &Place, run: &str, rows: usize, metric: &str) -> Value {
    let mut names: Vec<String> = fs::read_dir(place.path(run))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut left = LEFT.to_vec();
    if metric == "accuracy" {
        left.insert(0, "accuracy.svg");
    }
    assert_eq!(names, left);
    for name in left.iter().filter(|n| n.ends_with(".svg")) {
        let svg = place.read(&format!("{run}/{name}"));
        assert!(svg.trim_start().starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{name}");
        assert!(!svg.contains("NaN") && svg.len() > 1000, "{name}");
    }
    let metrics = columns(&place.read(&format!("{run}/metrics.csv")));
    let steps: Vec<String> = (1..=rows).map(|i| i.to_string()).collect();
    assert_eq!(metrics["step"], steps);
    for name in ["loss", "grad_norm", "learning_rate", "tasks_per_second"] {
        assert!(metrics[name].iter().all(|v| v.parse::<f64>().unwrap().is_finite()), "{name}");
    }
    let report = place.json(&format!("{run}/report.json"));
    for name in ["seconds", "tasks_per_second"] {
        assert!(report[name].as_f64().unwrap() > 0.0, "{name}");
    }
    assert_eq!(report["device"], "cpu");
    let held_out = &report["held_out"];
    assert_eq!(held_out["metric"], metric);
    let by_steps = held_out["by_steps"].as_object().unwrap();
    assert!(by_steps.contains_key(&held_out["chosen_steps"].to_string()), "{held_out}");
    assert!(by_steps.values().all(|v| v.as_f64().unwrap().is_finite()), "{held_out}");
    if held_out["gate"].is_null() {
        assert_eq!(held_out["chosen"], by_steps[&held_out["chosen_steps"].to_string()]);
    }
    honest(held_out, metric);
    instruments(&report["instruments"]);
    for name in ["support_mean", "pooled", "pooled_residual", "pooled_fine_tuned"] {
        let value = held_out["baselines"][name].as_f64().unwrap();
        assert!(
            value.is_finite() && (metric != "accuracy" || (0.0..=1.0).contains(&value)),
            "{name} {value}"
        );
    }
    report
}

/// Intervals are wider where they cover more; probabilities are between 0 and 1.
#[track_caller]
fn honest(held_out: &Value, metric: &str) {
    let rows = |name: &str, key: &str| -> Vec<f64> {
        held_out[name].as_array().unwrap().iter().map(|c| c[key].as_f64().unwrap()).collect()
    };
    let (widths, covered) = (rows("coverage", "width"), rows("coverage", "covered"));
    assert_eq!(widths.len(), if metric == "accuracy" { 0 } else { 10 });
    assert!(widths.windows(2).all(|w| w[0] <= w[1]) && covered.windows(2).all(|w| w[0] <= w[1]));
    let bins = [rows("reliability", "confidence"), rows("reliability", "accuracy")].concat();
    assert_eq!(bins.is_empty(), metric != "accuracy");
    assert!(bins.iter().all(|v| (0.0..=1.0).contains(v)));
}

/// What the instruments show is there and finite.
#[track_caller]
fn instruments(i: &Value) {
    let list = |name: &str| i[name].as_array().unwrap().clone();
    assert_eq!((list("activations").len(), list("sensitivity").len()), (2, 4));
    assert!(list("activations").iter().all(|a| a["mean_square"].as_f64().unwrap() > 0.0));
    assert!(i["output_sensitivity"].as_f64().unwrap() > 0.0);
    assert!(list("dead_units").iter().all(|d| (0.0..=1.0).contains(&d.as_f64().unwrap())));
    assert!(!list("map").is_empty() && list("refused_steps").is_empty());
}

#[test]
fn sine() {
    let place = Place::with([("sine.toml", SINE)]);
    let printed: Value =
        serde_json::from_str(&place.ok(&["train", "sine.toml", "--out", "run", "--json"])).unwrap();
    let report = finished(&place, "run", 60, "mse");
    assert_eq!(printed, report);
    assert_eq!(report["task"], "sine");
    assert_eq!((&report["seed"], &report["steps"]), (&3.into(), &60.into()));
    assert_eq!((&report["held_out"]["tasks"], &report["held_out"]["shots"]), (&3.into(), &4.into()));
    assert_eq!(
        report["held_out"]["by_steps"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["0", "1", "3"]
    );

    // The configuration left in the folder gives the same run again; another seed another.
    place.ok(&["train", "run/config.toml", "--out", "again"]);
    assert_eq!(weights(&place.path("again")), weights(&place.path("run")));
    assert_eq!(place.read("again/config.toml"), place.read("run/config.toml"));
    place.ok(&["train", "run/config.toml", "--out", "other", "--seed", "4"]);
    assert_ne!(weights(&place.path("other")), weights(&place.path("run")));
}

#[test]
fn a_report_in_words_and_folders_by_number() {
    let place = Place::with([("sine.toml", SINE)]);
    let words = place.ok(&["train", "sine.toml", "--steps", "1"]);
    for part in ["mse on 3 unseen tasks, 4 shots", "support mean", "pooled network", "chosen", "runs/sine"] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    finished(&place, "runs/sine", 1, "mse");
    place.ok(&["train", "sine.toml", "--steps", "2"]);
    finished(&place, "runs/sine-2", 2, "mse");
    finished(&place, "runs/sine", 1, "mse");
    // Without --out the latest is the one to go on with.
    assert!(place.ok(&["train", "--resume"]).contains("runs/sine-2"));
}

#[test]
fn shapes() {
    let place = Place::with([("shapes.toml", SHAPES)]);
    place.ok(&["train", "shapes.toml", "--out", "run"]);
    explain::explained(&place, "run");
    finished(&place, "run", 20, "mse");
    place.write("support.csv", "x,y,distance\n0,0,-0.5\n0.5,0,0\n1,0,0.5\n");
    place.write("query.csv", "name,y,x\nmiddle,0,0\ncorner,1,1\n");
    place.ok(&[
        "predict",
        "run",
        "--support",
        "support.csv",
        "--query",
        "query.csv",
        "--out",
        "p.csv",
        "--device",
        "cpu",
    ]);
    let p = columns(&place.read("p.csv"));
    assert_eq!(p["name"], ["middle", "corner"]);
    assert!(p["prediction"].iter().all(|v| v.parse::<f64>().unwrap().is_finite()));
}

/// A file's groups, with a number to predict: predictions are in its own units.
#[test]
fn regression() {
    let place = plant(&LINES_RUN);
    // Two members, a row a step of each.
    let report = finished(&place, "run", 120, "rmse");
    assert_eq!(report["members"], 2);
    let std = report["held_out"]["target_std"].as_f64().unwrap();
    assert!((10.0..60.0).contains(&std), "{std}");
    assert!(report["held_out"]["baselines"]["support_mean"].as_f64().unwrap() < 2.0 * std);

    place.write("support.csv", "x,mood,height\n-1,calm,1041\n0,wild,1050\n1,calm,1059\n");
    place.write("query.csv", "id,mood,x\na,calm,-2\nb,\"so, so\",0.5\nc,wild,2\n");
    let cpu = ["--device", "cpu"];
    let with = |args: &[&'static str]| [args, &cpu].concat();
    place.ok(&with(&["adapt", "run", "--support", "support.csv", "--out", "net.safetensors"]));
    place.ok(&with(&["predict", "net.safetensors", "--query", "query.csv", "--out", "by_net.csv"]));
    place.ok(&with(&[
        "predict",
        "run",
        "--support",
        "support.csv",
        "--query",
        "query.csv",
        "--out",
        "by_run.csv",
    ]));
    assert_eq!(place.read("by_net.csv"), place.read("by_run.csv"));
    let p = columns(&place.read("by_net.csv"));
    assert_eq!(
        (&p["id"], &p["mood"][1]),
        (&vec!["a".to_string(), "b".into(), "c".into()], &"so, so".to_string())
    );
    for v in &p["prediction"] {
        assert!((900.0..1200.0).contains(&v.parse::<f64>().unwrap()), "{v}");
    }
    // Another number of steps gives another network, in either way.
    place.ok(&with(&[
        "adapt",
        "run",
        "--support",
        "support.csv",
        "--steps",
        "7",
        "--out",
        "net7.safetensors",
    ]));
    place.ok(&with(&["predict", "net7.safetensors", "--query", "query.csv", "--out", "by_net7.csv"]));
    place.ok(&with(&[
        "predict",
        "run",
        "--support",
        "support.csv",
        "--steps",
        "7",
        "--query",
        "query.csv",
        "--out",
        "by_run7.csv",
    ]));
    assert_eq!(place.read("by_net7.csv"), place.read("by_run7.csv"));
    assert_ne!(place.read("by_net7.csv"), place.read("by_net.csv"));
}

/// With the group column in both files every group is a task; one without support rows gets the pooled network.
#[test]
fn several_groups_at_once() {
    let place = plant(&LINES_RUN);
    let support = |g: &str, h: i32| format!("{g},-1,calm,{}\n{g},1,calm,{}\n", h - 5, h + 5);
    let query = |g: &str| format!("{g},0,calm\n{g},2,wild\n");
    let (head_s, head_q) = ("site,x,mood,height\n", "site,x,mood\n");
    place.write("support.csv", format!("{head_s}{}{}", support("north", 1020), support("south", 1080)));
    place.write("query.csv", format!("{head_q}{}{}{}", query("south"), query("north"), query("stranger")));
    place.write("north.csv", format!("{head_s}{}", support("north", 1020)));
    place.write("south.csv", format!("{head_s}{}", support("south", 1080)));
    place.write("one.csv", "x,mood\n0,calm\n2,wild\n");
    let predict = |support: Option<&str>, query: &str, out: &str| {
        let mut args =
            vec!["predict", "run", "--query", query, "--out", out, "--device", "cpu", "--steps", "3"];
        args.extend(support.into_iter().flat_map(|s| ["--support", s]));
        place.ok(&args);
        columns(&place.read(out))["prediction"].clone()
    };
    let all = predict(Some("support.csv"), "query.csv", "all.csv");
    let south = predict(Some("south.csv"), "one.csv", "south_p.csv");
    let north = predict(Some("north.csv"), "one.csv", "north_p.csv");
    let pooled = predict(None, "one.csv", "pooled.csv");
    assert_eq!(all, [south.clone(), north.clone(), pooled.clone()].concat());
    assert!(north != south && south != pooled && north != pooled, "{north:?} {south:?} {pooled:?}");
}

/// Rows of several groups as one task are used, but not without a word.
#[test]
fn several_groups_as_one_task() {
    let place = plant(&LINES_RUN);
    place.write("support.csv", "site,x,mood,height\na,1,calm,1000\nb,2,wild,1010\n");
    place.write("query.csv", "x,mood\n1,calm\n");
    for args in [
        &["adapt", "run", "--support", "support.csv", "--out", "n"][..],
        &["predict", "run", "--support", "support.csv", "--query", "query.csv", "--out", "p.csv"],
    ] {
        let done = place.command(args).args(["--device", "cpu"]).env("RUST_LOG", "warn").output().unwrap();
        let err = String::from_utf8(done.stderr).unwrap();
        assert!(done.status.success() && err.starts_with("warn: support.csv: the 2 groups"), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

/// A file's groups, with a class to predict: predictions are its names, with a probability each.
#[test]
fn classification() {
    let place = plant(&CLASSES_RUN);
    finished(&place, "run", 120, "accuracy");
    place.write("support.csv", "x,state\n0,cold\n1,cold\n5,warm\n6,warm\n");
    place.write("query.csv", "x\n0\n7\n3\n");
    place.ok(&[
        "predict",
        "run",
        "--support",
        "support.csv",
        "--query",
        "query.csv",
        "--out",
        "p.csv",
        "--device",
        "cpu",
    ]);
    let p = columns(&place.read("p.csv"));
    for i in 0..3 {
        let [cold, warm] =
            ["cold", "warm"].map(|c| p[&format!("probability_{c}")][i].parse::<f64>().unwrap());
        assert!((cold + warm - 1.0).abs() < 1e-5, "{cold} {warm}");
        assert_eq!(p["prediction"][i], if cold > warm { "cold" } else { "warm" });
    }
    assert_eq!(&p["prediction"][..2], ["cold", "warm"]);
}

#[test]
fn eval() {
    for (files, metric, shots) in [(&*SINE_RUN, "mse", [2, 4]), (&*LINES_RUN, "rmse", [1, 3])] {
        let place = plant(files);
        let before = tree(&place.path("run"));
        let words = place.ok(&["eval", "run", "--device", "cpu"]);
        for part in [" unseen tasks", "after 0 steps", "pooled", "(chosen)", "eval.json"] {
            assert!(words.contains(part), "{part} is not in {words}");
        }
        assert!(place.read("run/eval.svg").contains("<svg"));
        let found = place.json("run/eval.json");
        let of = |i: usize| found[i]["shots"].as_u64().unwrap();
        assert_eq!([of(0), of(1)], shots);
        assert_eq!(found[0]["metric"], metric);
        // The report's own shots give the report's own numbers.
        assert_eq!(found[1], place.json("run/report.json")["held_out"]);
        let printed: Value =
            serde_json::from_str(&place.ok(&["eval", "run", "--device", "cpu", "--shots", "3,1", "--json"]))
                .unwrap();
        assert_eq!((&printed[0]["shots"], &printed[1]["shots"]), (&3.into(), &1.into()));
        assert_eq!(printed, place.json("run/eval.json"));
        // Judging changes nothing that training left.
        let mut after = tree(&place.path("run"));
        after.retain(|name, _| !name.starts_with("eval."));
        assert!(before == after);
    }
}

/// Groups of four and of eleven rows: none is said to have more known rows than it has.
#[test]
fn shots_that_some_groups_do_not_have() {
    let mut text = String::from("site,x,mood,height\n");
    for g in 0..30 {
        for r in 0..[4, 11][g % 2] {
            writeln!(text, "g{g},{r},calm,{}", 3 * g + (g + 1) * r).unwrap();
        }
    }
    let place = Place::with([("settings.toml", SETTINGS), ("lines.csv", &text)]);
    place.ok(&train(&LINES, "run"));
    let out = place
        .command(&["eval", "run", "--shots", "2,3,9,10", "--device", "cpu"])
        .env("RUST_LOG", "warn")
        .output()
        .unwrap();
    let [said, warned] = [out.stdout, out.stderr].map(|text| String::from_utf8(text).unwrap());
    let found = place.json("run/eval.json");
    assert_eq!(found[1], place.json("run/report.json")["held_out"]);
    let groups = found[0]["groups"].as_u64().unwrap();
    assert!(said.contains(&format!("unseen tasks ({groups} groups, 5 draws of each)")), "{said}");
    // Of four rows three are known at most, of eleven ten.
    assert!(found[0].get("support_rows").is_none() && found[1].get("support_rows").is_none());
    for (i, shots) in [(2, 9), (3, 10)] {
        let rows: Vec<f64> =
            found[i]["support_rows"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        assert_eq!((rows[0], rows[2]), (3.0, shots as f64));
        let enough = (groups as f64 * (rows[1] - 3.0) / (shots as f64 - 3.0)).round() as u64;
        assert!(0 < enough && enough < groups);
        let part = format!("{shots} shots: {enough} of the {groups} test groups have {shots} known rows");
        assert!(warned.contains(&part) && warned.contains("3 rows are known"), "{part:?} is not in {warned}");
        assert!(said.contains(&format!("{shots} shots (3 to {shots} known rows")), "{said}");
    }
    assert_ne!(found[0]["chosen"], found[2]["chosen"]);
    place
        .refused(&["eval", "run", "--shots", "11", "--device", "cpu"], &["eval.shots", "the largest has 11"]);
}

/// Where the first rows of a group are known, as in a forecast, these are judged from; drawn ones lie among those that are asked about.
#[test]
fn the_first_rows_are_known() {
    let place = Place::with([("settings.toml", SETTINGS), ("lines.csv", &lines_csv())]);
    let run = |args: &[&str]| {
        let out = place.command(args).env("RUST_LOG", "warn").output().unwrap();
        assert!(out.status.success(), "{out:?}");
        [out.stdout, out.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let [_, warned] = run(&train(&LINES, "drawn"));
    assert!(
        warned.contains("'x' rises from row to row in each group") && warned.contains("--order 'x'"),
        "{warned}"
    );
    let mut ordered = train(&LINES, "first");
    ordered.extend(["--order", "x"]);
    let [said, warned] = run(&ordered);
    assert!(
        said.contains("unseen tasks, first rows by 'x' known, 3 shots") && !warned.contains("rises"),
        "{said}{warned}"
    );
    let of = |run: &str| place.json(&format!("{run}/report.json"))["held_out"].clone();
    let (drawn, first) = (of("drawn"), of("first"));
    assert_eq!((first["first_by"].as_str(), drawn["first_by"].as_str()), (Some("x"), None));
    assert!(
        first["groups"].is_null() && drawn["tasks"].as_u64() > first["tasks"].as_u64(),
        "one draw of each"
    );
    // The mean of what is known says less of what is far from it.
    let mean = |of: &Value| of["baselines"]["support_mean"].as_f64().expect("a number");
    assert!(mean(&first) > 1.2 * mean(&drawn), "{first} {drawn}");
    let said = place.ok(&["eval", "first", "--shots", "2", "--device", "cpu"]);
    assert!(said.contains("first rows by 'x' known"), "{said}");
    place.refused(
        &["eval", "drawn", "first", "--shots", "2", "--device", "cpu"],
        &["first rows by 'x' known", "runs on the same tasks"],
    );
    assert_eq!(place.json("first/eval.json")[0]["first_by"], "x");
    let mut series = train(&LINES, "no");
    series.extend(["--order", "x", "--task", "series", "--time", "x"]);
    place.refused(&series, &["--order"]);
    place.refused(&["train", "--images", "nothing", "--order", "x"], &["--order", "--task csv"]);
}

#[test]
fn plan() {
    let place = Place::with([("sine.toml", SINE)]);
    let plan = place.ok(&["plan", "sine.toml"]);
    // Parameters by what they belong to, and what it takes to write the 25 weights of a 1-8-1 network by a trunk of 8 units over 9 numbers.
    assert!(plan.contains("writes 25 of 25 weights, 100 B a task"), "{plan}");
    assert!(plan.contains("trunk 80, head 200, base 25"), "{plan}");
    for kind in ["chunked", "low-rank", "film", "masked", "mixture", "recurrent", "transformer"] {
        let set = format!("model.generator={kind}");
        let other = place.ok(&["plan", "sine.toml", "--set", &set]);
        assert!(other.lines().nth(1).is_some_and(|l| l.contains("parameters")), "{kind}: {other}");
    }
    for part in ["matmul", "adamw", "slots", "launches"] {
        assert!(plan.contains(part), "{part} is not in {plan}");
    }
    assert!(place.ok(&["plan", "sine.toml", "--graph"]).len() > plan.len());
    assert_eq!(tree(place.0.path()).len(), 1, "a plan leaves nothing behind");
}

/// A reader that has seen enough (`| head`) is no mistake, and no reason to panic.
#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::with([("sine.toml", SINE)]);
    // The reading end is gone before the command starts, so that no write can be in time.
    let nobody = || std::io::pipe().unwrap().1;
    let mut child = place
        .command(&["plan", "sine.toml", "--graph"])
        .stdout(nobody())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let err = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!((wait(&mut child).code(), err.as_str()), (Some(141), ""));
    // Nor does training stop when nobody reads its progress.
    let mut child = place
        .command(&["train", "sine.toml", "--out", "run"])
        .stdout(nobody())
        .stderr(nobody())
        .spawn()
        .unwrap();
    assert_eq!(wait(&mut child).code(), Some(141));
    finished(&place, "run", 60, "mse");
}

#[cfg(feature = "gpu")]
#[test]
fn check_devices_and_kernels() {
    let place = Place::new();
    let words = place.ok(&["check", "--device", "cpu", "--kernel", "map"]);
    assert!(words.contains("map") && words.contains("all within their bounds"), "{words}");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let found: Value = serde_json::from_str(
        &place.ok(&["check", "--device", "cpu", "--kernel", "fill", "--golden", golden, "--json"]),
    )
    .unwrap();
    assert_eq!(found["failures"], 0);
    assert!(!found["golden"].as_array().unwrap().is_empty());

    let done = place.run(&["check", "--device", "cpu", "--kernel", "fill", "--golden", "none"]);
    assert!(done.code == Some(2) && done.err.starts_with("error: none"), "{done:?}");
    place.write("file", "mine");
    place.refused(&["kernels", "--out", "file"], &["file", "cannot create"]);

    assert!(place.ok(&["devices"]).contains("cpu    the CPU path"));
    let found: Value = serde_json::from_str(&place.ok(&["devices", "--json"])).unwrap();
    assert!(found["adapters"].is_array() && found["auto"].is_string());

    place.ok(&["kernels", "--out", "wgsl"]);
    for kernel in hyperloom::kernel::ALL {
        assert!(place.read(&format!("wgsl/{}.wgsl", kernel.name)).contains("fn main"), "{}", kernel.name);
        assert!(place.json(&format!("wgsl/{}.constants.json", kernel.name)).is_array());
    }
    // One of tanh, one of each other function.
    assert!(place.read("wgsl/map.2.wgsl").contains("fn apply("));

    place.ok(&["kernels", "--of", "adapt", "--of", "gemm", "--device-class", "portable", "--out", "plans"]);
    assert!(place.read("plans/adapt-region.wgsl").contains("workgroupBarrier"));
    assert!(place.read("plans/matmul.wgsl").contains("fn main"));
    place
        .refused(&["kernels", "--of", "nothing", "--out", "plans"], &["'nothing'", "no run folder", "maml2"]);
}
