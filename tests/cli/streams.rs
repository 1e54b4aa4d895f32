//! `hyperloom predict --stream` from outside.

use super::*;

/// Lines by slope and offset, a group each, and a stream of one that becomes another.
fn lines() -> Place {
    let row = |i: usize| ((i * 37 % 21) as f64 - 10.0) / 10.0;
    let line = |group: usize| ((group * 7 % 11) as f64 / 3.0 - 1.5, (group * 5 % 13) as f64 / 4.0 - 1.5);
    let noise = |i: usize| ((i * 7919 % 101) as f64 / 50.0 - 1.0) * 0.05;
    let mut known = String::from("group,x,y\n");
    for group in 0..30 {
        let (a, b) = line(group);
        for i in 0..12 {
            let x = row(group * 12 + i);
            writeln!(known, "g{group},{x},{}", a * x + b + noise(group * 12 + i)).unwrap();
        }
    }
    let mut stream = String::from("x,y\n");
    for i in 0..90 {
        let (a, b) = if i < 50 { (1.5, -1.0) } else { (-1.5, 1.2) };
        writeln!(stream, "{},{}", row(i), a * row(i) + b + noise(i)).unwrap();
    }
    Place::with([("known.csv", &known[..]), ("stream.csv", &stream[..]), ("settings.toml", SETTINGS)])
}

fn train(place: &Place) {
    let words =
        ["train", "settings.toml", "--csv", "known.csv", "--group", "group", "--target", "y", "--out", "run"];
    place.ok(&[
        &words[..],
        &["--set", "train.steps=1500", "--set", "model.encoder=[32, 32]", "--set", "model.trunk=[32]"],
    ]
    .concat());
}

#[test]
fn a_change_is_noticed_and_learned() {
    let place = lines();
    train(&place);
    let stream = ["predict", "run", "--stream", "--query", "stream.csv", "--device", "cpu"];
    let words = place.ok(&[&stream[..], &["--out", "said.csv"]].concat());
    let report = place.json("said.json");
    // The change lies behind line 51.
    let drifts: Vec<u64> = report["drifts"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap()).collect();
    assert!(drifts.len() == 1 && (53..60).contains(&drifts[0]), "{words}");
    let number = |v: &Value| v.as_f64().unwrap();
    let follows = number(&report["prequential"]);
    for other in ["never_forgets", "adapted_once", "pooled"] {
        assert!(follows < 0.9 * number(&report["beside"][other]), "{other}: {report}");
    }
    // Each row is there with what was said of it; the first by the pooled network.
    let said = place.read("said.csv");
    assert!(
        said.starts_with("x,y,prediction,known,surprise,drift\n") && said.lines().count() == 91,
        "{said}"
    );
    let known =
        |line: usize| said.lines().nth(line).unwrap().split(',').nth(3).unwrap().parse::<usize>().unwrap();
    assert_eq!((known(1), known(2), known(6)), (0, 1, 5));
    assert!(said.lines().nth(drifts[0] as usize - 1).unwrap().ends_with(",1"));
    assert!(place.path("said.svg").is_file());
    // What was known before is known; several at once; and nothing is noticed where that is not asked for.
    let more = ["--support", "stream.csv", "--batch", "10", "--drift", "0", "--out", "more.csv"];
    place.ok(&[&stream[..], &more].concat());
    assert_eq!(place.json("more.json")["drifts"].as_array().unwrap().len(), 0);
    let first = place.read("more.csv").lines().nth(1).unwrap().split(',').nth(3).unwrap().parse::<usize>();
    assert!(first.unwrap() > 0);
    // A row that is far off is no change, and no network is written from it.
    let lines: Vec<String> = place.read("stream.csv").lines().map(String::from).collect();
    let spoilt: Vec<String> = (lines.iter().enumerate())
        .map(
            |(i, line)| {
                if i == 30 { format!("{},80", line.split(',').next().unwrap()) } else { line.clone() }
            },
        )
        .collect();
    place.write("spoilt.csv", spoilt.join("\n") + "\n");
    place.ok(&[
        "predict",
        "run",
        "--stream",
        "--query",
        "spoilt.csv",
        "--device",
        "cpu",
        "--out",
        "kept.csv",
    ]);
    assert_eq!(place.json("kept.json")["drifts"], report["drifts"]);
    let predictions = |file: &str| -> Vec<f64> {
        place
            .read(file)
            .lines()
            .skip(35)
            .take(10)
            .map(|l| l.split(',').nth(2).unwrap().parse().unwrap())
            .collect()
    };
    for (kept, said) in predictions("kept.csv").into_iter().zip(predictions("said.csv")) {
        assert!((kept - said).abs() < 0.2, "{kept} {said}");
    }
    // The same bits again.
    place.ok(&[&stream[..], &["--out", "again.csv"]].concat());
    assert_eq!(place.read("again.csv"), said);
}

#[test]
fn streams_refuse_what_they_cannot_do() {
    let place = lines();
    train(&place);
    let stream = |rest: &[&'static str]| {
        [&["predict", "run", "--stream", "--query", "stream.csv", "--out", "o.csv"], rest].concat()
    };
    place.refused(&stream(&["--steps", "1"]), &["--steps", "--stream"]);
    place.refused(&stream(&["--windows", "0"]), &["windows", "1 to 100000"]);
    place.refused(&stream(&["--drift", "1"]), &["drift", ".002"]);
    place.refused(&stream(&["--batch", "0"]), &["--batch", "one row at least"]);
    place.write("blind.csv", "x\n0.5\n");
    place.refused(
        &["predict", "run", "--stream", "--query", "blind.csv", "--out", "o.csv"],
        &["blind.csv", "'y'"],
    );
    place.write("drift.csv", "x,y,drift\n0.5,1,2\n");
    place.refused(
        &["predict", "run", "--stream", "--query", "drift.csv", "--out", "o.csv"],
        &["'drift'", "rename"],
    );
    place.write("far.csv", "x,y\n0.5,1\n0.5,1e38\n");
    place.refused(
        &["predict", "run", "--stream", "--query", "far.csv", "--out", "o.csv"],
        &["far.csv, line 3"],
    );
    let beside = ["predict", "run", "--stream", "--query", "stream.csv", "--out", "o.json"];
    place.refused(&beside, &["o.json", "ends in .csv"]);
    place.write("o.json", "{}");
    place.refused(&stream(&[]), &["o.json", "not overwritten"]);
}
