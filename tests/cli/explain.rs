//! `hyperloom explain` from outside.

use super::*;

/// Lines by slope and offset, a group each, with the slope's sign as a word that is not read; and a new one, whose last row lies far off.
fn lines() -> Place {
    let noise = |i: usize| ((i * 7919 % 101) as f64 / 50.0 - 1.0) * 0.05;
    let mut known = String::from("group,x,y,way,offset,day\n");
    for group in 0..40 {
        let (a, b) = ((group * 7 % 11) as f64 / 3.0 - 1.5, (group * 5 % 13) as f64 / 4.0 - 1.5);
        for i in 0..12 {
            let x = ((group * 12 + i) * 37 % 21) as f64 / 10.0 - 1.0;
            let way = if a < 0.0 { "down" } else { "up" };
            let y = a * x + b + noise(group * 12 + i);
            writeln!(known, "g{group},{x},{y},{way},{b},2024-01-{:02}", 1 + (group + i) % 20).unwrap();
        }
    }
    let new = "x,y,way,offset\n-1,-1.4,up,-.4\n-.5,-.9,up,-.4\n0,-.4,up,-.4\n.5,.1,up,-.4\n1,5,up,-.4\n";
    Place::with([
        ("known.csv", &known[..]),
        ("new.csv", new),
        ("ahead.csv", "x\n.9\n-.9\n"),
        ("settings.toml", SETTINGS),
    ])
}

fn train(place: &Place) {
    let words = [
        "train",
        "settings.toml",
        "--csv",
        "known.csv",
        "--group",
        "group",
        "--target",
        "y",
        "--drop",
        "way,offset,day",
        "--out",
        "run",
    ];
    let more = ["--set", "train.steps=1500", "--set", "model.encoder=[32, 32]", "--set", "model.trunk=[32]"];
    place.ok(&[&words[..], &more].concat());
}

/// A task of a finished run, explained; every source has some.
pub(crate) fn explained(place: &Place, run: &str) -> Value {
    let out = format!("{run}-explained");
    place.ok(&["explain", run, "--device", "cpu", "--shots", "3", "--out", &out]);
    let found = place.json(&format!("{out}/explain.json"));
    let rows = list(&found["rows"]);
    assert!(rows.len() >= 2 && rows.iter().any(|r| r["moved"].as_f64().unwrap() > 0.0), "{found}");
    assert!(rows.iter().all(|r| r["helps"].as_f64().is_some()), "{found}");
    let by_gradient =
        |r: &Value| ["moved_by_gradient", "helps_by_gradient"].iter().any(|k| r[k].as_f64().is_some());
    assert_eq!(rows.iter().all(by_gradient), found["no_gradient"].is_null(), "{found}");
    assert!(!list(&found["nearest"]).is_empty() && !list(&found["tensors"]).is_empty(), "{found}");
    assert!(list(&found["way"]["weights"]["this_task"]).iter().all(|s| s.as_f64().is_some()), "{found}");
    for name in ["rows", "tensors", "map", "way"] {
        assert!(place.path(&format!("{out}/{name}.svg")).is_file(), "{name}");
    }
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

#[test]
fn a_task_of_a_table_is_explained() {
    let place = lines();
    train(&place);
    let explain = ["explain", "run", "--device", "cpu", "--support", "new.csv"];
    let words = place.ok(&[&explain[..], &["--query", "ahead.csv", "--by", "way", "--out", "why"]].concat());
    let found = place.json("why/explain.json");
    // The row that lies far off moves most, by both, and lines of the file are named.
    let moved =
        |key: &str| -> Vec<f64> { list(&found["rows"]).iter().map(|r| r[key].as_f64().unwrap()).collect() };
    for key in ["moved", "moved_by_gradient"] {
        let all = moved(key);
        assert!(all[..4].iter().all(|m| *m < all[4]), "{key}: {all:?}");
    }
    assert_eq!((&found["rows"][4]["row"], list(&found["asked"]).len()), (&Value::from("line 6"), 2));
    assert!(found["gradient_agrees"].as_f64().unwrap() > 0.8, "{words}");
    // What the query should be is not known.
    assert!(found["rows"][0]["helps"].is_null() && found["nearest"][0]["score"].is_null());
    // A column that the model does not read colours the map, the new task's own row with it.
    assert_eq!(found["map"]["levels"], serde_json::json!(["down", "up"]));
    let map = list(&found["map"]["tasks"]);
    assert_eq!((map.len(), &map.last().unwrap()["value"]), (found_tasks(&found), &Value::from(1.0)));
    for name in ["rows", "tensors", "map", "way"] {
        assert!(place.path(&format!("why/{name}.svg")).is_file(), "{name}");
    }
    // Without a query the support is asked about: what each row helps is known, and the far one does harm to the others.
    place.ok(&[&explain[..], &["--by", "offset", "--between", "g3", "--out", "more"]].concat());
    let more = place.json("more/explain.json");
    assert!(more["rows"][4]["helps"].as_f64().unwrap() > 0.0);
    let way = &more["way"];
    assert_eq!((&way["to"], list(&way["shares"]).len()), (&Value::from("g3"), 21));
    // Both ends of both ways are networks of their tasks: the other's error falls along the way.
    for how in ["conditions", "weights"] {
        let errors = list(&way[how]["other_task"]);
        assert!(errors[20].as_f64() < errors[0].as_f64(), "{how}: {errors:?}");
    }
    // One of the run's own tasks, and the same again.
    let own = place.ok(&["explain", "run", "--device", "cpu", "--by", "error", "--out", "own"]);
    assert!(own.contains("support rows") && own.contains("nearest known tasks"), "{own}");
    assert_eq!(
        place.ok(&["explain", "run", "--device", "cpu", "--by", "error", "--out", "again"]).lines().next(),
        own.lines().next()
    );
    assert_eq!(place.read("own/explain.json"), place.read("again/explain.json"));
    // Its rows have lines in the file, and those have the targets that are told; dates are days.
    place.ok(&["explain", "run", "--device", "cpu", "--by", "day", "--out", "dates"]);
    let own = place.json("dates/explain.json");
    assert_eq!(list(&own["map"]["levels"]).len(), 0);
    assert!(
        list(&own["map"]["tasks"])
            .iter()
            .all(|t| (19_000.0..20_000.0).contains(&t["value"].as_f64().unwrap())),
        "{}",
        own["map"]
    );
    let file = place.read("known.csv");
    for row in list(&own["rows"]) {
        let (line, rest) = row["row"].as_str().unwrap().split_once(", y ").expect("a line and a target");
        let number: usize = line.strip_prefix("line ").unwrap().parse().unwrap();
        let cells: Vec<&str> = file.lines().nth(number - 1).unwrap().split(',').collect();
        let said: f64 = rest.parse().unwrap();
        assert!(
            (cells[2].parse::<f64>().unwrap() - said).abs() < 1e-3 && cells[0] == own["task"],
            "{row}: {cells:?}"
        );
    }
}

fn found_tasks(found: &Value) -> usize {
    list(&found["map"]["tasks"]).iter().filter(|t| t["task"].as_str().unwrap().starts_with('g')).count() + 1
}

#[test]
fn ways_without_a_condition_are_explained_by_what_adapts() {
    let place = Place::with([("sine.toml", SINE)]);
    for method in ["maml", "anil", "cavia", "ridge"] {
        let ridge = method == "ridge";
        let tried = if ridge { "adapt.steps=[0,1]" } else { "adapt.steps=[0,1,3]" };
        place.ok(&["train", "sine.toml", "--method", method, "--set", tried, "--out", method]);
        let (out, steps) = (format!("{method}-why"), if ridge { "1" } else { "3" });
        place.ok(&["explain", method, "--steps", steps, "--by", "y", "--out", &out]);
        let found = place.json(&format!("{out}/explain.json"));
        let moved = |row: &Value| row["moved"].as_f64().unwrap() > 0.0;
        assert!(list(&found["rows"]).len() == 4 && list(&found["rows"]).iter().all(moved), "{method}");
        // Of these the closed form alone stands on generated features.
        assert_eq!(found["way"]["conditions"].is_null(), !ridge, "{method}");
        assert!(found["gradient_agrees"].as_f64().is_some(), "{method}");
        assert!(place.path(&format!("{out}/functions.svg")).is_file(), "{method}");
    }
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let place = lines();
    train(&place);
    let refused = |more: &[&str], parts: &[&str]| {
        let all = [&["explain", "run", "--device", "cpu", "--out", "why"], more].concat();
        place.refused(&all, parts);
    };
    refused(&["--of", "g99"], &["--of", "no task 'g99'"]);
    refused(&["--support", "known.csv"], &["--support", "40 tasks by 'group'", "--of"]);
    refused(&["--support", "known.csv", "--of", "gg"], &["--support", "no rows of 'gg'"]);
    refused(&["--between", "g3", "--support", "known.csv", "--of", "g3"], &["--between", "the task itself"]);
    refused(&["--support", "new.csv", "--of", "g3"], &["--of", "no column that tells tasks apart"]);
    refused(&["--support", "new.csv", "--shots", "3"], &["--shots", "all rows are known"]);
    refused(&["--by", "wey"], &["--by", "did you mean 'way'?"]);
    refused(&["--between", "g399"], &["--between", "no task 'g399'"]);
    refused(&["--shots", "1"], &["one support row"]);
    place.write("one.csv", "x,y\n1,2\n");
    refused(&["--support", "one.csv"], &["--support", "one support row"]);
    place.write("sine.toml", SINE);
    place.ok(&["train", "sine.toml", "--out", "sine"]);
    place.refused(&["explain", "run", "--out", "sine"], &["--out", "sine exists"]);
    assert!(!place.path("why").exists());
}
