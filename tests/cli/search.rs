//! Architecture search: a run, its files, resuming, tables, refusals.

use hyperloom::Device;
use hyperloom::Observer;
use hyperloom::experiment::search::{Search, SearchConfig, SearchReport, SearchStatus, TableRow, read_table};

use crate::*;

/// Series of eight numbers of two classes: rising and falling, at different heights.
fn rows_csv(n: usize, from: usize) -> String {
    let names: Vec<String> = (0..8).map(|i| format!("x{i}")).collect();
    let mut text = names.join(",") + ",way\n";
    for i in from..from + n {
        let (up, start) = (i % 2 == 0, (i * 7 % 11) as f64 / 5.0 - 1.0);
        let slope = if up { 1.0 } else { -1.0 } * (0.2 + (i * 5 % 7) as f64 / 10.0);
        let value = |t: usize| start + slope * (t as f64 / 4.0) + ((i * 13 + t * 29) % 17) as f64 / 60.0;
        let cells: Vec<String> = (0..8).map(|t| format!("{:.3}", value(t))).collect();
        writeln!(text, "{},{}", cells.join(","), if up { "up" } else { "down" }).unwrap();
    }
    text
}

const SPACE: &str = "[[stages]]\nwidths = [4, 8]\nactivations = ['relu', 'tanh']\ncells = [1, 2]\nnodes = 3\n\
    operations = ['none', 'skip', 'conv1', 'conv3', 'pool']\n";

/// Settings of a search that takes a second or two.
const SMALL: &str = "device = 'cpu'\nevaluator = 'generated'\nchoice = 'evolution'\nspace = 'space.toml'\nbudget = 24\nround = 8\nbest = 2\nseeds = 2\nchecked = 4\n\
    [pictures]\ntrain = 'train.csv'\ntest = 'test.csv'\nlabel = 'way'\nvalidation = 0.25\n\
    [hypernetwork]\nsteps = 60\nwidth = 8\nheads = 2\nhidden = 8\ntile = 4\nblocks = 1\narchitectures = 4\nbatch = 16\n[gradient]\nsteps = 40\nbatch = 16\n\
    [train]\nsteps = 120\nbatch = 16\nrate = 0.02\n";

fn place() -> Place {
    Place::with([
        ("train.csv", rows_csv(64, 0).as_str()),
        ("test.csv", &rows_csv(40, 100)),
        ("space.toml", SPACE),
        ("search.toml", SMALL),
    ])
}

/// Trains the network that a search found by itself.
fn train_best(place: &Place, found: &str, out: &str, steps: &str) {
    let net = format!("{found}/best-1.toml");
    let rows = ["train", "--train", "train.csv", "--test", "test.csv", "--label", "way", "--net", &net];
    let how = ["--set", "pictures.batch=16", "--set", "train.learning_rate=0.02", "--device", "cpu"];
    place.ok(&[&rows[..], &how, &["--steps", steps, "--out", out]].concat());
}

#[test]
fn a_search_and_what_it_leaves() {
    let place = place();
    let words = place.ok(&["search", "search.toml", "--out", "found"]);
    for part in ["24 candidates of", "writes their weights", "rank correlation", "architecture", "found"] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    let report = place.json("found/report.json");
    assert_eq!(report["candidates"], 24);
    assert_eq!(
        (report["best"].as_array().unwrap().len(), report["checked"].as_array().unwrap().len()),
        (2, 4)
    );
    for best in report["best"].as_array().unwrap() {
        let accuracy = best["accuracy"].as_f64().unwrap();
        assert!(best["together"].as_f64().unwrap() > 0.8 && best["r2"].is_null());
        assert!(accuracy > 0.8 && best["from_generated"].as_f64().unwrap() > 0.7, "{report:#}");
        let curves = best["curves"].as_array().unwrap();
        assert_eq!((curves.len(), curves[0].as_array().unwrap().len()), (2, 11));
        let stop = best["steps"].as_u64().unwrap() as usize / 12;
        assert_eq!(curves[0][stop].as_f64().unwrap(), accuracy, "after {stop} of ten pieces of the training");
        assert!(best["parameters"].as_u64().unwrap() > 30 && best["operations"].as_u64().unwrap() > 100);
    }
    // None of the front is larger than another and no better.
    let all: Vec<&Value> =
        report["best"].as_array().unwrap().iter().chain(report["checked"].as_array().unwrap()).collect();
    let front: Vec<&&Value> = report["front"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| all.iter().find(|v| v["key"] == *key).unwrap())
        .collect();
    assert!(!front.is_empty());
    for pair in front.windows(2) {
        assert!(pair[0]["parameters"].as_u64() < pair[1]["parameters"].as_u64(), "{report:#}");
        assert!(pair[0]["accuracy"].as_f64() < pair[1]["accuracy"].as_f64(), "{report:#}");
    }
    let lines = place.read("found/candidates.jsonl");
    assert_eq!(lines.lines().count(), 24);
    let keys: std::collections::BTreeSet<String> = lines
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap()["key"].as_str().unwrap().to_string())
        .collect();
    assert_eq!(keys.len(), 24, "no architecture is judged twice");
    for picture in ["parameters.svg", "operations.svg", "predicted.svg", "best-1.svg", "best-2.svg"] {
        assert!(place.read(&format!("found/{picture}")).contains("<svg"));
    }
    // What was found is trained by itself.
    train_best(&place, "found", "net", "120");
    let trained = place.json("net/report.json");
    let best = report["best"].as_array().unwrap().iter().find(|b| b["net"] == "best-1.toml").unwrap();
    assert_eq!(trained["test"]["parameters"], best["parameters"]);
    assert!(trained["test"]["accuracy"].as_f64().unwrap() > 0.7, "{trained:#}");
    let validation: Vec<f64> =
        report["best"].as_array().unwrap().iter().map(|b| b["validation"].as_f64().unwrap()).collect();
    assert!(validation[0] >= validation[1] && report["best"][0]["net"] == "best-1.toml", "{report:#}");
    // Rows as numbers are read so by what was found, too.
    place.ok(&["search", "search.toml", "--space", "mlp", "--set", "budget=4", "--out", "dense"]);
    train_best(&place, "dense", "dense-net", "3");
    assert_eq!(
        place.json("dense-net/report.json")["test"]["parameters"],
        place.json("dense/report.json")["best"][0]["parameters"]
    );
    // Where nothing is said, series are trained.
    let args = [
        "search",
        "--train",
        "train.csv",
        "--label",
        "way",
        "--space",
        "space.toml",
        "--budget",
        "6",
        "--device",
        "cpu",
    ];
    place.ok(&[&args[..], &["--set", "train.steps=40", "--set", "checked=0", "--out", "plain"]].concat());
    let settings = place.read("plain/search.toml");
    assert!(
        settings.contains("evaluator = \"trained\"") && settings.contains("choice = \"surrogate\""),
        "{settings}"
    );
    // Nothing is overwritten.
    place.refused(&["search", "search.toml", "--out", "found"], &["found", "exists"]);
}

/// Stops at the n-th look.
struct Stopping(std::cell::Cell<u64>);

impl Observer for Stopping {
    fn stop(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }
}

#[test]
fn a_search_that_was_stopped_ends_as_if_it_was_not() {
    for (evaluator, choice, stops) in [
        ("generated", "evolution", &[2, 3, 5, 2][..]),
        ("trained", "surrogate", &[2, 1, 3]),
        ("trained", "reinforce", &[1, 3]),
        ("generated", "gradient", &[3, 4, 3, 2]),
    ] {
        let place = place();
        let text = SMALL
            .replace("'space.toml'", &format!("'{}'", place.path("space.toml").display()))
            .replace("'train.csv'", &format!("'{}'", place.path("train.csv").display()))
            .replace("'test.csv'", &format!("'{}'", place.path("test.csv").display()));
        let config = SearchConfig::parse(
            &text,
            "test",
            &[format!("evaluator={evaluator}"), format!("choice={choice}")],
        )
        .unwrap();
        let never = || Stopping(std::cell::Cell::new(u64::MAX));
        let finish = |name: &str, resume: bool| -> SearchReport {
            let mut search = Search::open(&config, &Device::Cpu, &place.path(name), resume).unwrap();
            match search.run(&mut never()).unwrap() {
                SearchStatus::Finished(report) => *report,
                SearchStatus::Stopped => panic!("nobody stopped it"),
            }
        };
        let whole = finish("whole", false);
        let mut stopped = 0;
        for (i, stop) in stops.iter().enumerate() {
            let mut search = Search::open(&config, &Device::Cpu, &place.path("parts"), i > 0).unwrap();
            let mut watch = Stopping(std::cell::Cell::new(*stop));
            stopped += usize::from(search.run(&mut watch).unwrap() == SearchStatus::Stopped);
        }
        assert!(stopped > 1, "{evaluator} {choice}");
        let parts = finish("parts", true);
        let but_time = |r: &SearchReport| {
            let mut v = serde_json::to_value(r).unwrap();
            let fields = v.as_object_mut().unwrap();
            fields.retain(|name, _| !name.contains("second"));
            v
        };
        assert_eq!(but_time(&whole), but_time(&parts), "{evaluator} {choice}");
        assert_eq!(place.read("whole/candidates.jsonl"), place.read("parts/candidates.jsonl"));
    }
}

#[test]
fn tables_and_what_they_say() {
    let place = place();
    let words = place.ok(&["search", "search.toml", "--table", "12", "--out", "table"]);
    assert!(words.contains("12 architectures trained with 2 seeds each"), "{words}");
    let rows = read_table(&place.path("table/table.jsonl")).unwrap();
    assert_eq!(rows.len(), 12);
    assert!(rows.iter().all(|r| r.test.len() == 2 && r.validation.len() == 2));
    place.refused(
        &["search", "--resume", "--out", "table"],
        &["--resume", "holds a table and no search", "--table"],
    );
    // More of the same go on with the same.
    place.ok(&["search", "--resume", "--table", "15", "--out", "table"]);
    let more = read_table(&place.path("table/table.jsonl")).unwrap();
    assert_eq!((&more[..12], more.len()), (&rows[..], 15));
    for choice in ["random", "greedy", "probability", "surrogate"] {
        let args = ["--choice", choice, "--truth", "table/table.jsonl", "--set", "adapt=5", "--out", choice];
        let words = place.ok(&[&["search", "search.toml"], &args[..]].concat());
        let truth = place.json(&format!("{choice}/report.json"))["truth"].clone();
        // A surrogate is judged by those that the search did not try itself.
        let candidates = place.read(&format!("{choice}/candidates.jsonl"));
        let tried = |r: &&TableRow| candidates.contains(&format!("\"key\":\"{}\"", r.architecture.key()));
        let left = 15 - if choice == "surrogate" { more.iter().filter(tried).count() } else { 0 };
        assert_eq!(truth["architectures"], left);
        assert!(words.contains(&format!("over {left} architectures of the table")), "{words}");
        let names: Vec<&String> = truth["correlations"].as_object().unwrap().keys().collect();
        for name in ["predicted", "parameters", "operations", "grad_norm", "synflow", "jacob_cov"] {
            assert!(names.iter().any(|n| *n == name), "{name} of {names:?}");
        }
        assert!(truth["best"].as_f64() >= truth["chosen"][1].as_f64());
        assert!(truth["chosen"][1].as_f64() >= truth["chosen"][0].as_f64());
    }
    let table = place.read("table/table.jsonl");
    place.write("bad.jsonl", table.replacen("\"test\":[", "\"test\":[7,", 1));
    let args = |name| ["search", "search.toml", "--truth", name, "--out", "x"];
    place.refused(&args("bad.jsonl"), &["bad.jsonl, line 1", "accuracies from 0 to 1"]);
    place.write("cut.jsonl", &table[..table.len() - 20]);
    place.refused(&args("cut.jsonl"), &["cut.jsonl, line 15", "cut off"]);
    place.write("empty.jsonl", "");
    place.refused(&args("empty.jsonl"), &["empty.jsonl", "is empty"]);
    place.write("other.jsonl", table.replacen("\"width\":8", "\"width\":9", 1));
    place.refused(&args("other.jsonl"), &["other.jsonl, line", "of another space", "width 9"]);
    place.refused(&args("none.jsonl"), &["none.jsonl"]);
}

/// Lines with numbers, words and gaps, and a value or a class that hangs on both.
fn lines_csv(n: usize, from: usize, classes: bool) -> String {
    let mut text = "length,colour,noise,worth\n".to_string();
    for i in from..from + n {
        let (length, colour) = ((i * 7 % 23) as f64 / 4.0, ["red", "green", "blue"][i * 5 % 3]);
        let value = 100.0 + 20.0 * if colour == "red" { -length } else { 0.5 * length };
        let worth =
            if classes { if value > 90.0 { "dear" } else { "cheap" }.to_string() } else { value.to_string() };
        let noise = if i % 9 == 4 { String::new() } else { (i * 31 % 17).to_string() };
        writeln!(text, "{length},{colour},{noise},{worth}").unwrap();
    }
    text
}

/// Lines of a table: a value, then a class; networks are handed over that predict other files.
#[test]
fn tables_are_searched() {
    for classes in [false, true] {
        let place = Place::with([
            ("train.csv", lines_csv(120, 0, classes).as_str()),
            ("test.csv", &lines_csv(40, 500, classes)),
        ]);
        let args =
            ["search", "--csv", "train.csv", "--target", "worth", "--test", "test.csv", "--budget", "12"];
        let how = ["--set", "train.steps=300", "--set", "best=2", "--device", "cpu", "--out", "found"];
        let words = place.ok(&[&args[..], &how].concat());
        let report = place.json("found/report.json");
        let best = &report["best"][0];
        let (metric, field) = if classes { ("accuracy", "accuracy") } else { ("r2", "r2") };
        assert_eq!(report["metric"], metric);
        assert!(best[field].as_f64().unwrap() > 0.9 && best["together"].as_f64().unwrap() > 0.9, "{best:#}");
        assert_eq!(report["hypernetwork_parameters"], 0, "candidates are trained where nothing is said");
        let settings = place.read("found/search.toml");
        assert!(
            settings.contains("choice = \"surrogate\"") && settings.contains("share = 1.0"),
            "{settings}"
        );
        place.ok(&[
            "predict",
            "found/best-1.safetensors",
            "--query",
            "test.csv",
            "--out",
            "said.csv",
            "--device",
            "cpu",
        ]);
        let said = place.read("said.csv");
        let rows: Vec<Vec<&str>> = said.lines().skip(1).map(|l| l.split(',').collect()).collect();
        assert_eq!(rows.len(), 40);
        if classes {
            let right = rows.iter().filter(|r| r[3] == r[4]).count() as f64 / 40.0;
            assert!((right - best["together"].as_f64().unwrap()).abs() < 1e-9, "{right} of {best:#}");
        } else {
            let square =
                |r: &Vec<&str>| (r[3].parse::<f64>().unwrap() - r[4].parse::<f64>().unwrap()).powi(2);
            let rmse = (rows.iter().map(square).sum::<f64>() / 40.0).sqrt();
            let told = best["rmse"].as_f64().unwrap();
            assert!((rmse - told).abs() < 1e-3 * told, "{rmse} and {told}");
            assert!(words.contains("root of the mean square"), "{words}");
        }
        // Judged on a sixth of the rows where no others are given; the same again is the same.
        let again = |out: &str| {
            let args =
                ["search", "--csv", "train.csv", "--target", "worth", "--drop", "noise", "--budget", "6"];
            place.ok(&[&args[..], &["--set", "train.steps=60", "--device", "cpu", "--out", out]].concat());
            place.read(&format!("{out}/candidates.jsonl"))
        };
        assert_eq!(again("one"), again("two"));
        // Generated weights, and choices by gradient, of values as of classes.
        let args =
            ["search", "--csv", "train.csv", "--target", "worth", "--budget", "8", "--choice", "gradient"];
        let how =
            ["--evaluator", "generated", "--set", "hypernetwork.steps=40", "--set", "gradient.steps=20"];
        let small =
            ["--set", "train.steps=40", "--set", "checked=2", "--device", "cpu", "--out", "generated"];
        place.ok(&[&args[..], &how, &small].concat());
        assert!(place.json("generated/report.json")["best"][0]["from_generated"].is_f64());
    }
    let place =
        Place::with([("train.csv", lines_csv(120, 0, false).as_str()), ("few.csv", &lines_csv(3, 0, false))]);
    let refused = |args: &[&str], parts: &[&str]| {
        place.refused(&[&["search", "--device", "cpu", "--out", "x"], args].concat(), parts);
    };
    refused(&["--csv", "train.csv"], &["csv.target", "--target COLUMN"]);
    // Values that are all the same where they are judged have no variance to explain.
    let lines = lines_csv(40, 0, false);
    let same: Vec<String> = lines
        .lines()
        .map(|l| match l.rsplit_once(',') {
            Some((rest, worth)) if worth != "worth" => format!("{rest},7"),
            _ => l.to_string(),
        })
        .collect();
    place.write("same.csv", same.join("\n"));
    refused(
        &["--csv", "train.csv", "--target", "worth", "--test", "same.csv"],
        &["csv.target", "40 rows to be judged on are all the same", "no meaning"],
    );
    // Where the best is ahead of all that is proposed, the search ends; a resumed one ends there, too.
    let args = [
        "search",
        "--csv",
        "train.csv",
        "--target",
        "worth",
        "--budget",
        "200",
        "--set",
        "round=8",
        "--device",
        "cpu",
    ];
    let how = [
        "--set",
        "train.steps=30",
        "--set",
        "checked=0",
        "--set",
        "best=1",
        "--set",
        "lead=0",
        "--out",
        "ahead",
    ];
    place.ok(&[&args[..], &how].concat());
    let candidates = place.json("ahead/report.json")["candidates"].as_u64().unwrap();
    assert!((8..200).contains(&candidates), "{candidates}");
    place.ok(&["search", "--resume", "--out", "ahead"]);
    assert_eq!(place.json("ahead/report.json")["candidates"], candidates);
    refused(
        &["--csv", "train.csv", "--target", "worth", "--choice", "random", "--set", "lead=1.0"],
        &["lead", "told by a surrogate"],
    );
    // Rows that change between the parts of a search.
    let args = ["search", "--csv", "train.csv", "--target", "worth", "--budget", "4", "--device", "cpu"];
    place.ok(&[&args[..], &["--set", "train.steps=20", "--set", "checked=0", "--out", "changed"]].concat());
    place.ok(&["search", "--resume", "--out", "changed"]);
    place.write("train.csv", lines_csv(120, 7, false));
    place.refused(&["search", "--resume", "--out", "changed"], &["search.safetensors", "over other rows"]);
    refused(&["--csv", "train.csv", "--target", "worht"], &["worht", "worth"]);
    refused(&["--csv", "none.csv", "--target", "worth"], &["none.csv"]);
    refused(&["--csv", "few.csv", "--target", "worth"], &["few.csv", "3 rows: too few"]);
    place.write(
        "both.toml",
        "[pictures]\ntrain = 'train.csv'\nlabel = 'worth'\n[csv]\nfile = 'train.csv'\ntarget = 'worth'\n",
    );
    refused(&["both.toml"], &["csv.file", "leave one out"]);
    refused(&["--train", "train.csv", "--target", "worth"], &["--target", "--label"]);
    refused(&["--csv", "train.csv", "--target", "worth", "--space", "cell-1d"], &["numbers"]);
    refused(
        &["--csv", "train.csv", "--target", "worth", "--set", "csv.validation=0.9"],
        &["csv.validation: 0.9 is out of range"],
    );
}

/// Recurrent cells and attention are no parts of a largest network: each is trained for a while.
#[test]
fn cells_with_states_are_trained() {
    let place = place();
    let args = [
        "search",
        "search.toml",
        "--space",
        "rnn",
        "--set",
        "budget=4",
        "--set",
        "checked=0",
        "--set",
        "best=1",
    ];
    place
        .refused(&[&args[..], &["--out", "x"]].concat(), &["'gru' is no convolution", "--evaluator trained"]);
    place.ok(&[&args[..], &["--evaluator", "trained", "--set", "train.steps=20", "--out", "rnn"]].concat());
    let report = place.json("rnn/report.json");
    assert_eq!(
        (report["candidates"].as_u64(), report["hypernetwork_parameters"].as_u64()),
        (Some(4), Some(0))
    );
    assert!(report["best"][0]["from_generated"].is_null());
}

#[test]
fn searches_that_cannot_be_are_refused() {
    let place = place();
    let with = |space: &str, parts: &[&str]| {
        place.write("space.toml", space);
        place.refused(&["search", "search.toml", "--out", "x"], parts);
        place.write("space.toml", SPACE);
    };
    with("", &["space.toml", "stages"]);
    with("stages = []", &["space.toml", "0 stages"]);
    with(&SPACE.replace("'conv3'", "'conv4'"), &["space.toml", "'conv4' is no operation", "did you mean"]);
    with(
        &SPACE.replace("'none', 'skip', 'conv1', 'conv3', 'pool'", "'none'"),
        &["none leads through a cell"],
    );
    with(
        &(SPACE.to_string() + "[limits]\nparameters = 20\n"),
        &["limits", "the smallest that was drawn", "20 may be"],
    );
    with(&SPACE.replace("widths = [4, 8]", "widths = [4, 100000]"), &["stage 1: widths: 100000"]);
    // Two rows of each class: one is judged on, one is trained on.
    place.write("few.csv", rows_csv(4, 0));
    place.write("few.toml", SMALL.replace("test = 'test.csv'\n", ""));
    place.refused(
        &["search", "few.toml", "--train", "few.csv", "--out", "x"],
        &["pictures.validation", "leaves no row to choose by"],
    );
    // Fewer architectures keep the limits than were asked for.
    place.write("small.toml", "[limits]\nparameters = 100\n[[stages]]\nwidths = [4, 90]\n");
    place.ok(&["search", "search.toml", "--space", "small.toml", "--out", "small"]);
    assert_eq!(place.json("small/report.json")["candidates"], 1);
    let refused = |args: &[&str], parts: &[&str]| {
        place.refused(&[&["search", "search.toml", "--out", "x"], args].concat(), parts);
    };
    with(&("flat = true\n".to_string() + SPACE), &["'conv1' is not for rows that are numbers"]);
    let wide = SPACE.replace("['none', 'skip', 'conv1', 'conv3', 'pool']", "['conv7']") + "stride = 4\n";
    with(&wide, &["no architecture that was drawn fits rows [8, 1]", "windows of 7 elements over 2"]);
    refused(&["--space", "cells-1d"], &["'cells-1d' is no space", "did you mean 'cell-1d'"]);
    refused(&["--table", "0"], &["--table: 0 is out of range"]);
    refused(&["--table", "3", "--truth", "t.jsonl"], &["--truth", "leave one out"]);
    refused(&["--choice", "best"], &["`best`", "`random`"]);
    refused(&["--evaluator", "guess"], &["`guess`", "`generated`"]);
    refused(&["--budget", "0"], &["budget: 0 is out of range"]);
    refused(&["--set", "gradient.order=3"], &["gradient.order: 3 is out of range: it must lie from 1 to 2"]);
    refused(&["--set", "hypernetwork.heads=3"], &["hypernetwork.heads", "3 heads do not part 8"]);
    refused(&["--set", "budgets=3"], &["budgets"]);
    refused(&["--label", "nothing"], &["nothing"]);
    refused(&["--train", "missing.csv"], &["missing.csv"]);
    refused(&["--resume"], &["there is no search to go on with"]);
    place.refused(&["search", "--resume", "--out", "nowhere"], &["nowhere", "no search.toml"]);
}
