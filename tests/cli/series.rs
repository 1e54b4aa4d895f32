//! Series: what comes next in one that was not seen, of which the first points are known.

use crate::explain::explained;
use crate::resume::ends_alike;
use crate::*;

const SETTINGS: &str = "task = 'series'\ndevice = 'cpu'\n[train]\nsteps = 150\npooled_steps = 100\nwarmup = 5\ntasks = 8\n\
    [model]\nnet = 'gru-6'\nreader = 'gru-6'\nencoder = [12]\ntrunk = [12]\n[eval]\nshots = 8\nquery = 6\nsweep = [4, 8]\n\
    [series]\nfile = 'waves.csv'\ngroup = 'who'\ntime = 'day'\ntarget = 'value'\nlength = 6\n";

/// Waves of lengths and heights of their own, with a gap now and then, beginning at a day of their own.
fn wave(i: usize, t: usize) -> f64 {
    (2.0 + (i % 7) as f64) * (t as f64 * (0.5 + 0.11 * (i % 6) as f64) + i as f64).sin() + (i % 5) as f64
}

fn row(i: usize, t: usize, value: &str) -> String {
    format!("w{i},2024-02-{:02},{value}\n", 1 + t)
}

fn rows(i: usize, points: std::ops::Range<usize>) -> String {
    points.map(|t| row(i, t, &if (t + i) % 9 == 5 { "NA".into() } else { wave(i, t).to_string() })).collect()
}

const HEADER: &str = "who,day,value\n";

fn place() -> Place {
    let place = Place::with([("settings.toml", SETTINGS)]);
    let all: String = (0..30).map(|i| rows(i, 0..20)).collect();
    place.write("waves.csv", format!("{HEADER}{all}"));
    place
}

/// The predictions of a file, of which some may be empty.
fn said(place: &Place, file: &str) -> Vec<Option<f64>> {
    let text = place.read(file);
    let at = text.lines().next().unwrap().split(',').position(|c| c == "prediction").unwrap();
    text.lines().skip(1).map(|l| l.split(',').nth(at).unwrap().parse().ok()).collect()
}

#[test]
fn trained_forecast_and_judged() {
    let place = place();
    let flags = [
        "train",
        "settings.toml",
        "--csv",
        "waves.csv",
        "--group",
        "who",
        "--time",
        "day",
        "--target",
        "value",
        "--out",
        "run",
    ];
    let out = place.command(&flags).env("RUST_LOG", "warn").output().unwrap();
    let warned = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.success() && warned.contains("'day' holds dates"), "{warned}");
    explained(&place, "run");
    let held_out = &place.json("run/report.json")["held_out"];
    let of = |key: &str| held_out["baselines"][key].as_f64().expect("a number");
    let chosen = held_out["chosen"].as_f64().expect("a number");
    assert!(chosen < 0.8 * of("naive") && chosen < 0.8 * of("exponential_smoothing"), "{held_out}");
    assert_eq!((&held_out["metric"], &held_out["tasks"]), (&"rmse".into(), &6.into()));
    // The first point ahead is one of those that are predicted from the points before them.
    let ahead = held_out["points_ahead"].as_array().expect("a list");
    assert_eq!((ahead.len(), &ahead[0]["ahead"], &ahead[5]["ahead"]), (6, &1.into(), &6.into()));
    let ahead_of = ahead.clone();
    assert!(place.path("run/tasks.svg").exists());

    // What is predicted one after another is what is predicted when its past is filled in with it.
    let predict = |support: &str, query: &str, out: &str| {
        let args =
            ["predict", "run", "--device", "cpu", "--support", support, "--query", query, "--out", out];
        place.ok(&[&args[..], &["--interval", "0.8"]].concat());
        said(&place, out)
    };
    let known: String = (40..43).map(|i| rows(i, 0..10)).collect();
    place.write("known.csv", format!("{HEADER}{known}"));
    let ahead = |values: &dyn Fn(usize, usize) -> String| -> String {
        let all = (40..43).flat_map(|i| (10..14).map(move |t| (i, t)));
        HEADER.to_string() + &all.map(|(i, t)| row(i, t, &values(i, t))).collect::<String>()
    };
    place.write("ahead.csv", ahead(&|_, _| String::new()));
    let first = predict("known.csv", "ahead.csv", "p.csv");
    assert!(first.iter().all(Option::is_some), "{first:?}");
    place.write("filled.csv", ahead(&|i, t| first[(i - 40) * 4 + t - 10].unwrap().to_string()));
    let second = predict("known.csv", "filled.csv", "q.csv");
    for (a, b) in first.iter().zip(&second) {
        assert!((a.unwrap() - b.unwrap()).abs() < 1e-3, "{first:?} {second:?}");
    }
    // Intervals grow with the points ahead of what is known, as far as series were judged; where the past is given they do not.
    let widths = |file: &str| -> Vec<Option<f64>> {
        let text = place.read(file);
        let cells = text
            .lines()
            .skip(1)
            .map(|l| l.rsplitn(3, ',').map(|c| c.parse::<f64>().ok()).collect::<Vec<_>>());
        cells.map(|c| Some(c[0]? - c[1]?)).collect()
    };
    let (grown, even) = (widths("p.csv"), widths("q.csv"));
    for (of_one, given) in grown.chunks(4).zip(even.chunks(4)) {
        let of_one: Vec<f64> = of_one.iter().map(|w| w.expect("a width")).collect();
        assert!((of_one[0] - given[0].unwrap()).abs() < 1e-3 && given.iter().all(Option::is_some));
        assert!(of_one[1] > 1.1 * of_one[0], "{grown:?}");
    }
    assert!(ahead_of.iter().all(|p| p["covered"].as_f64().is_some_and(|c| (0.0..=1.0).contains(&c))));
    let far: String = (10..20).map(|t| row(40, t, "")).collect();
    place.write("far.csv", format!("{HEADER}{far}"));
    predict("known.csv", "far.csv", "f.csv");
    assert_eq!(
        widths("f.csv").iter().map(Option::is_some).collect::<Vec<_>>(),
        [[true; 6].as_slice(), &[false; 4]].concat()
    );
    let empty = |file: &str| place.read(file).lines().filter(|l| l.ends_with(",,")).count();
    // An empty cell with a known one behind it is a gap: nothing is predicted from what was predicted.
    place.write("gap.csv", ahead(&|i, t| if t == 11 { "?".into() } else { wave(i, t).to_string() }));
    assert!(predict("known.csv", "gap.csv", "g.csv").iter().all(Option::is_some));
    assert_eq!(empty("g.csv"), 0);
    // The order of the rows is nothing.
    let mut lines: Vec<String> = place.read("ahead.csv").lines().skip(1).map(String::from).collect();
    lines.reverse();
    place.write("back.csv", format!("{HEADER}{}\n", lines.join("\n")));
    let mut back = predict("known.csv", "back.csv", "b.csv");
    back.reverse();
    assert_eq!(back, first);

    // A network of one series goes on with it; of its first point nothing can be said.
    place.write("one.csv", HEADER.to_string() + &rows(40, 0..10));
    place.ok(&["adapt", "run", "--device", "cpu", "--support", "one.csv", "--out", "one.safetensors"]);
    place.write("one-ahead.csv", HEADER.to_string() + &rows(40, 0..10) + &row(40, 10, ""));
    place.ok(&[
        "predict",
        "one.safetensors",
        "--device",
        "cpu",
        "--query",
        "one-ahead.csv",
        "--out",
        "o.csv",
    ]);
    let own = said(&place, "o.csv");
    assert!(own[0].is_none() && own[1..].iter().all(Option::is_some), "{own:?}");
    assert!((own[10].unwrap() - first[0].unwrap()).abs() < 1e-3, "{own:?} {first:?}");

    // Of the numbers that nobody named those that are too large are left out.
    let config = place.read("run/config.toml").replace("sweep = [4, 8]", "sweep = [4, 8, 50]");
    place.write("run/config.toml", config);
    place.ok(&["eval", "run", "--device", "cpu", "--out", "judged"]);
    assert_eq!(place.json("judged/eval.json").as_array().map(Vec::len), Some(2));
    assert!(place.json("judged/eval.json")[0]["baselines"]["naive"].is_number());
    place.refused(
        &["eval", "run", "--device", "cpu", "--shots", "20", "--out", "x"],
        &["20 known points", "the longest has 20"],
    );
    refused_to_predict(&place);
}

/// What `predict` and `adapt` refuse.
fn refused_to_predict(place: &Place) {
    let predict = |support: &'static str, query: &'static str| {
        ["predict", "run", "--device", "cpu", "--support", support, "--query", query, "--out", "x.csv"]
    };
    place.refused(&predict("known.csv", "known.csv"), &["known.csv, line 2", "in the support, too"]);
    place.refused(&["predict", "run", "--query", "ahead.csv", "--out", "x.csv"], &["--support"]);
    place.refused(
        &["adapt", "run", "--support", "known.csv", "--out", "x"],
        &["known.csv", "3 series", "'w40', 'w41'"],
    );
    place.write("nobody.csv", "day,value\n2024-02-20,\n");
    place.refused(&predict("known.csv", "nobody.csv"), &["nobody.csv", "no column 'who'"]);
    place.write("early.csv", HEADER.to_string() + &row(40, 0, ""));
    place.write("late.csv", HEADER.to_string() + &rows(40, 1..8));
    place.refused(&predict("late.csv", "early.csv"), &["early.csv, line 2", "no value is known"]);
    place.write("when.csv", format!("{HEADER}w40,soon,\n"));
    place.refused(&predict("known.csv", "when.csv"), &["when.csv, line 2", "'soon' is not a date"]);
    place.write("compact.csv", format!("{HEADER}w40,20240220,\n"));
    place.refused(&predict("known.csv", "compact.csv"), &["compact.csv, line 2", "'20240220' is not a date"]);
    place.refused(
        &["predict", "one.safetensors", "--query", "ahead.csv", "--out", "x.csv"],
        &["ahead.csv", "3 series", "a network is for the one"],
    );
    place.write("single.csv", HEADER.to_string() + &rows(40, 0..1));
    place.refused(&predict("single.csv", "ahead.csv"), &["single.csv", "fewer than two values"]);
}

#[test]
fn killed_and_resumed_with_the_same_bits() {
    ends_alike(&place(), &["train", "settings.toml"], 11);
}

/// Columns beside the target, those known ahead, seasons, times that are numbers and uneven, and a target with an offset.
#[test]
fn more_columns() {
    let place = Place::with([("settings.toml", SETTINGS)]);
    let mut text = "who,day,value,heat,sale,kind\n".to_string();
    for i in 0..20 {
        for t in 0..20 {
            let (heat, sale) = (((i + t) % 4) as f64, usize::from((t * 7 + i) % 3 == 0));
            let value = 1e6 + 10.0 * heat + 30.0 * sale as f64;
            let day = t as f64 + 0.2 * (t % 2) as f64;
            let _ = writeln!(text, "{i},{day},{value},{heat},{sale},{}", ["a", "b"][t % 2]);
        }
    }
    place.write("waves.csv", text);
    let more =
        ["series.inputs=['heat', 'kind']", "series.ahead=['sale']", "series.season=4", "train.steps=300"];
    let mut args = vec!["train", "settings.toml", "--out", "run"];
    more.iter().for_each(|setting| args.extend(["--set", setting]));
    place.ok(&args);
    let held_out = &place.json("run/report.json")["held_out"];
    let (chosen, of) = (held_out["chosen"].as_f64().unwrap(), &held_out["baselines"]);
    // Of what is to come only the sales are known: heat says as little of it as a column that is not there.
    let ahead = held_out["points_ahead"].as_array().unwrap();
    assert!(ahead[3]["chosen"].as_f64().unwrap() > 2.0, "{held_out}");
    place.write(
        "known.csv",
        place.read("waves.csv").lines().take(11).fold(String::new(), |all, l| all + l + "\n"),
    );
    place.write("ahead.csv", "who,day,sale\n0,10,1\n0,11.2,0\n");
    let args = ["predict", "run", "--device", "cpu", "--support", "known.csv", "--query", "ahead.csv"];
    place.ok(&[&args[..], &["--out", "p.csv"]].concat());
    let said = said(&place, "p.csv");
    assert!(said[0].unwrap() > said[1].unwrap() && (said[0].unwrap() - 1e6).abs() < 100.0, "{said:?}");
    // What was not known of a column that is known ahead.
    place.write("ahead.csv", "who,day\n0,10\n");
    place.refused(&[&args[..], &["--out", "x.csv"]].concat(), &["ahead.csv", "no column 'sale'"]);
    // What is on sale tomorrow says most of tomorrow's value.
    assert!(chosen < 0.5 * of["naive"].as_f64().unwrap(), "{held_out}");
    assert!(of["seasonal_naive"].is_number(), "{held_out}");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = place();
    let train = |more: &[&'static str]| -> Vec<&'static str> {
        [&["train", "settings.toml"][..], more, &["--out", "x"]].concat()
    };
    place.refused(&["train", "--task", "series", "--out", "x"], &["series.file", "--csv FILE"]);
    place.refused(&train(&["--time", "dya"]), &["no column 'dya'", "did you mean 'day'"]);
    place.refused(&train(&["--time", "value"]), &["series.target", "'value' is named twice"]);
    place.refused(&train(&["--shots", "1"]), &["eval.shots", "2 at least"]);
    place
        .refused(&train(&["--shots", "20"]), &["0 of 30 series have more than the 20 points", "fewer shots"]);
    place.refused(&train(&["--set", "series.length=0"]), &["series.length", "1 to 4096"]);
    place.refused(&train(&["--set", "series.season=1"]), &["series.season", "2 to"]);
    place.refused(&train(&["--drop", "value"]), &["--drop", "'series'"]);
    place.refused(
        &["train", "--csv", "waves.csv", "--task", "csv", "--time", "day", "--out", "x"],
        &["--time", "--task series"],
    );
    let with = |name: &str, old: &str, new: &str| {
        place.write(name, place.read("waves.csv").replacen(old, new, 1));
    };
    with("twice.csv", "w3,2024-02-02", "w3,2024-02-01");
    place.refused(
        &train(&["--csv", "twice.csv"]),
        &["twice.csv, line 63, column 'day'", "line 62 has this time, too"],
    );
    with("gap.csv", "w3,2024-02-02", "w3,");
    place.refused(&train(&["--csv", "gap.csv"]), &["gap.csv, line 63", "the time is missing"]);
    with("number.csv", "w3,2024-02-02", "w3,7");
    place.refused(&train(&["--csv", "number.csv"]), &["number.csv, line 63", "'7' is not a date"]);
    with("text.csv", &wave(3, 3).to_string(), "high");
    place.refused(&train(&["--csv", "text.csv"]), &["text.csv, line 65", "'high' is not a number"]);
    with("zero.csv", "w0,2024-02-01", "w0,0");
    place.refused(&train(&["--csv", "zero.csv"]), &["zero.csv, line 3", "'2024-02-02' is not a number"]);
    with("never.csv", "w0,2024-02-01", "w0,2024-02-30");
    place.refused(&train(&["--csv", "never.csv"]), &["never.csv, line 2", "neither a number nor a date"]);
    with("compact.csv", "w0,2024-02-01", "w0,20240201");
    place.refused(&train(&["--csv", "compact.csv"]), &["compact.csv, line 2", "write dates as"]);
    place.write("two.csv", HEADER.to_string() + &rows(0, 0..20) + &rows(1, 0..20));
    place.refused(&train(&["--csv", "two.csv"]), &["two.csv", "2 series", "at least 3"]);
    let numbers: String = (0..9).map(|i| format!("{i},{i},1\n{i},{},2\n", i + 1)).collect();
    place.write("short.csv", format!("{HEADER}{numbers}"));
    place.refused(&train(&["--csv", "short.csv"]), &["0 of 9 series", "the longest has 2"]);
    place.write(
        "flat.csv",
        HEADER.to_string()
            + &place
                .read("waves.csv")
                .lines()
                .skip(1)
                .fold(String::new(), |all, l| all + &l[..l.rfind(',').unwrap()] + ",5\n"),
    );
    place.refused(&train(&["--csv", "flat.csv"]), &["flat.csv", "the same in every training row"]);
}

const GESTURES: &str = "task = 'csv'\ndevice = 'cpu'\n[train]\nsteps = 300\npooled_steps = 50\nwarmup = 5\ntasks = 16\n\
    [model]\nmembers = 1\nreader = 'gru-8'\nencoder = [16]\ntrunk = [16]\n[[model.net]]\nrecurrent = 'gru'\nunits = 6\nlast = true\n\
    [adapt]\nsteps = [0, 1, 5]\n[eval]\nshots = 4\nquery = 4\nsweep = [2, 4]\n[csv]\nfile = 'g.csv'\ngroup = 'who'\n\
    target = 'way'\nseries = 'id'\ntime = 'at'\n";

/// Turns to both sides, whose sign is that of each one's hand, of several lengths, a line an element.
fn gestures(who: std::ops::Range<usize>, series: std::ops::Range<usize>, hand: usize) -> String {
    let mut lines = String::new();
    for (w, s) in who.flat_map(|w| series.clone().map(move |s| (w, s))) {
        let left = (w * 7 + s * 5 + s / 3) % 2 == 0;
        let sign = if left == (w % 2 == hand) { 1.0 } else { -1.0 };
        let length = 4 + (w + s) % 3;
        for i in (0..length).rev() {
            let x = sign * (1.0 + 0.1 * (i as f64 + w as f64).sin()) * f64::from(u8::from(i > 1));
            lines += &format!("p{w},{s},{},{x:.3},{}\n", 10 * i + i % 2, if left { "left" } else { "right" });
        }
    }
    lines
}

const GESTURE_HEADER: &str = "who,id,at,x,way\n";

fn gesture_place() -> Place {
    let place = Place::with([("g.toml", GESTURES)]);
    place.write("g.csv", format!("{GESTURE_HEADER}{}", gestures(0..24, 0..8, 0)));
    place
}

/// A whole series is a row: what it is depends on whose it is, which only the support says.
#[test]
fn whole_series_have_classes() {
    let place = gesture_place();
    place.ok(&["train", "g.toml", "--out", "run"]);
    let held_out = &place.json("run/report.json")["held_out"];
    let (chosen, pooled) =
        (held_out["chosen"].as_f64().unwrap(), held_out["baselines"]["pooled"].as_f64().unwrap());
    assert!(chosen > 0.95 && pooled < 0.7, "{held_out}");
    let gradient = &place.json("run/report.json")["instruments"]["gradient_by_element"];
    assert_eq!(gradient.as_array().map(Vec::len), Some(6));

    explained(&place, "run");
    // Two people that were not seen, each with series of their own.
    place.write("few.csv", format!("{GESTURE_HEADER}{}", gestures(30..32, 0..4, 0)));
    let query = gestures(30..32, 4..8, 0);
    place.write("ask.csv", format!("{GESTURE_HEADER}{query}"));
    place.ok(&[
        "predict",
        "run",
        "--support",
        "few.csv",
        "--query",
        "ask.csv",
        "--device",
        "cpu",
        "--out",
        "said.csv",
    ]);
    let said = place.read("said.csv");
    let lines: Vec<Vec<&str>> = said.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!(lines[0], ["who", "id", "way", "prediction", "probability_left", "probability_right"]);
    assert!(lines.len() == 1 + 8 && lines[1..].iter().all(|l| l[2] == l[3]), "{said}");
    // The network of one of them alone says the same, where the target is not there, too.
    place.write("one.csv", format!("{GESTURE_HEADER}{}", gestures(30..31, 0..4, 0)));
    place.ok(&["adapt", "run", "--support", "one.csv", "--device", "cpu", "--out", "one.safetensors"]);
    let ask: String =
        gestures(30..31, 4..8, 0).lines().map(|l| l.rsplit_once(',').unwrap().0.to_string() + "\n").collect();
    place.write("ask.csv", format!("who,id,at,x\n{ask}"));
    place.ok(&["predict", "one.safetensors", "--query", "ask.csv", "--device", "cpu", "--out", "alone.csv"]);
    let alone = place.read("alone.csv");
    let ways: Vec<&str> = alone.lines().skip(1).map(|l| l.split(',').nth(2).unwrap()).collect();
    assert_eq!(ways, lines[1..5].iter().map(|l| l[3]).collect::<Vec<_>>());

    let refused = |header: &str, rows: &str, what: &[&str]| {
        place.write("bad.csv", format!("{header}{rows}"));
        place.refused(&["predict", "run", "--query", "bad.csv", "--device", "cpu", "--out", "x"], what);
    };
    refused(GESTURE_HEADER, "p1,1,1,2,left\np1,1,1,3,left\n", &["line 3", "'at'", "line 2 has this time"]);
    refused(GESTURE_HEADER, "p1,1,1,2,left\np1,1,2,3,right\n", &["line 3", "'way'", "'left' in line 2"]);
    let long: String = (0..7).map(|i| format!("p1,1,{i},2,left\n")).collect();
    refused(GESTURE_HEADER, &long, &["'1' has 7 elements, and 6 are the most"]);
    refused("who,id,x\n", "p1,1,2\n", &["no column 'at'"]);
    // Everybody has eight series: of eight known ones nothing is left to be judged on, of six too little.
    place.refused(&["eval", "run", "--shots", "8", "--device", "cpu"], &["eval.shots", "the largest has 8"]);
    let out = place
        .command(&["eval", "run", "--shots", "6", "--device", "cpu"])
        .env("RUST_LOG", "warn")
        .output()
        .unwrap();
    let warned = String::from_utf8(out.stderr).unwrap();
    assert!(warned.is_empty(), "{warned}");
    // What does not fit is said, refined or not.
    place.refused(
        &["train", "g.toml", "--net", "conv4-8", "--set", "model.rounds=1", "--out", "x"],
        &["model.net", "layer 1"],
    );
    place.refused(
        &["train", "--method", "maml", "--set", "model.rounds=1", "--out", "x"],
        &["model.rounds", "--generated"],
    );
    let train =
        ["train", "--csv", "g.csv", "--group", "who", "--target", "way", "--series", "id", "--out", "x"];
    place.refused(&train, &["csv.time", "--time COLUMN"]);
    place.refused(&[&train[..], &["--time", "id"]].concat(), &["'id'", "columns of their own"]);
    place.refused(&["train", "--files", "g.csv", "--series", "id", "--out", "x"], &["--series"]);
}

#[test]
fn whole_series_are_resumed_with_the_same_bits() {
    ends_alike(
        &gesture_place(),
        &["train", "g.toml", "--set", "train.steps=40", "--set", "model.rounds=1"],
        12,
    );
}

/// Series that are the rows of one task.
#[test]
fn whole_series_of_one_task() {
    let place = Place::new();
    // Everybody holds it alike.
    let all: String = (0..30)
        .map(|w| gestures(2 * w..2 * w + 1, 0..4, 0).replace(&format!("p{},", 2 * w), &format!("p{w},{w}-")))
        .collect();
    place.write("g.csv", format!("{GESTURE_HEADER}{all}"));
    let train = [
        "train", "--train", "g.csv", "--series", "id", "--time", "at", "--label", "way", "--drop", "who",
        "--net", "gru-8",
    ];
    place.ok(&[
        &train[..],
        &["--epochs", "60", "--set", "train.learning_rate=0.02", "--device", "cpu", "--out", "run"],
    ]
    .concat());
    let test = &place.json("run/report.json")["test"];
    assert!(test["accuracy"].as_f64().unwrap() > 0.95 && test["rows"] == 20, "{test}");
    place.ok(&["predict", "run", "--query", "g.csv", "--device", "cpu", "--out", "said.csv"]);
    let said = place.read("said.csv");
    assert!(said.starts_with("id,way,prediction,") && said.lines().count() == 121, "{said}");
    place.refused(&[&train[..7], &["--out", "x"]].concat(), &["pictures.label", "--label COLUMN"]);
}
