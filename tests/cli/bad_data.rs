//! Files of data that cannot be used. Nothing is written then, not even a folder.

use crate::*;

/// Trains on `text` in place of a good file; the refusal.
#[track_caller]
fn refuse(text: impl AsRef<[u8]>, parts: &[&str]) {
    let place = Place::with([("settings.toml", SETTINGS)]);
    place.write("lines.csv", text);
    place.refused(&train(&LINES, "run"), parts);
}

#[test]
fn files_that_are_no_table() {
    let good = lines_csv();
    refuse("", &["lines.csv", "empty"]);
    refuse("site,x,mood,height\n", &["lines.csv", "only a header"]);
    refuse(good.replacen("g1,", "g1,7,", 1), &["lines.csv, line 10", "5 cells", "4 columns"]);
    refuse(good.replacen("g1,", "", 1), &["lines.csv, line 10", "3 cells", "4 columns"]);
    refuse(
        good.replace("\"so, so\"", "so").replacen(",so", ",\"so", 1),
        &["lines.csv, line 4", "never closed"],
    );
    refuse(good.replacen("wild", "\"wi\"ld", 1), &["lines.csv, line 3", "after a closing quote"]);
    let mut bytes = good.clone().into_bytes();
    bytes[25] = 0xe9;
    refuse(bytes, &["lines.csv, line 2", "UTF-8"]);
    let noise: Vec<u8> =
        (0..50_000u64).map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8).collect();
    refuse(noise, &["lines.csv, line"]);
    refuse(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".repeat(100), &["lines.csv, line 1"]);
    let wide: Vec<String> = (0..1_000_000).map(|i| format!("c{i}")).collect();
    refuse(wide.join(",") + "\n", &["lines.csv, line 1", "1000000 columns"]);
    refuse(good.replace(',', ";"), &["lines.csv"]);
    refuse(good.replacen("site,x,", "site,site,", 1), &["line 1", "both called 'site'"]);
}

#[test]
fn cells_and_groups_that_teach_nothing() {
    let good = lines_csv();
    refuse(good.replacen("g1,-2,", "g1,inf,", 1), &["lines.csv, line 10", "'x'", "'inf'", "finite"]);
    refuse(good.replacen("g1,-2,", "g1,two,", 1), &["lines.csv"]);
    refuse(good.replacen(",1040", ",NaN", 1), &["lines.csv, line", "'height'", "missing"]);
    refuse(good.replacen(",1040", ",-1e999", 1), &["lines.csv, line", "'height'", "finite"]);
    refuse(good.replacen(",1040", ",high", 1), &["lines.csv, line", "'height'", "'high'"]);
    refuse(good.replacen("g1,", ",", 1), &["lines.csv, line 10", "'site'", "missing"]);
    let one: String = good.lines().take(9).map(|l| format!("{l}\n")).collect();
    refuse(&one, &["lines.csv", "'site'", "'g0'", "tells tasks apart"]);
    let two: String = good.lines().take(17).map(|l| format!("{l}\n")).collect();
    refuse(&two, &["2 groups", "at least 3"]);
    // Where one value would divide by zero.
    let flat: String = good.lines().map(|l| l.rsplit_once(',').unwrap().0.to_string() + ",5\n").collect();
    refuse(flat.replacen(",5", ",height", 1), &["'height'", "same in every training row"]);

    let place = Place::with([("settings.toml", SETTINGS), ("lines.csv", good.as_str())]);
    let args = |shots| [train(&LINES, "run"), vec!["--shots", shots]].concat();
    place.refused(&args("8"), &["lines.csv", "0 of 8 groups", "8 rows", "fewer shots"]);
    place.refused(&args("99999"), &["lines.csv", "fewer shots"]);
}

#[test]
fn columns_and_files_that_are_not_there() {
    let place = Place::with([("settings.toml", SETTINGS), ("lines.csv", lines_csv().as_str())]);
    let csv = |file, group, target| {
        ["train", "settings.toml", "--out", "run", "--csv", file, "--group", group, "--target", target]
    };
    place.refused(&csv("lines.csv", "site", "hieght"), &["lines.csv", "'hieght'", "did you mean 'height'"]);
    place.refused(&csv("lines.csv", "Sites", "height"), &["'Sites'", "did you mean 'site'"]);
    place.refused(&csv("lines.csv", "site", "site"), &["target", "'site'"]);
    place.refused(&csv("none.csv", "site", "height"), &["none.csv", "cannot read"]);
    place.refused(&csv(".", "site", "height"), &[".", "cannot read"]);
    let more = |more: &[&'static str]| [csv("lines.csv", "site", "height").to_vec(), more.to_vec()].concat();
    place.refused(&more(&["--inputs", "x,moood"]), &["'moood'", "did you mean 'mood'"]);
    place.refused(&more(&["--drop", "x", "mood"]), &["no input column"]);
    place.refused(&more(&["--splits", "none.json"]), &["none.json", "cannot read"]);
    place.write("splits.json", "[1, 2");
    place.refused(&more(&["--splits", "splits.json"]), &["splits.json", "not a split file"]);
    place.refused(&more(&["--kind", "clasification"]), &["--kind", "'clasification'"]);
    let text = [&csv("lines.csv", "site", "mood")[..], &["--kind", "regression"]].concat();
    place.refused(&text, &["lines.csv, line", "'mood'", "not a number"]);
}

/// A test group whose draws would leave no row to be judged on keeps one; one task judged is no division by zero.
#[test]
fn one_test_group_all_of_whose_rows_are_drawn() {
    let place = Place::with([("settings.toml", SETTINGS), ("lines.csv", lines_csv().as_str())]);
    place.write(
        "splits.json",
        r#"{"0": {"train": ["g0", "g1", "g2", "g3"], "test": {"g7": [[7, 6, 5, 4, 3, 2, 1, 0]]}}}"#,
    );
    let args = [train(&LINES, "run"), vec!["--splits", "splits.json", "--shots", "8"]].concat();
    place.ok(&args);
    let report = place.json("run/report.json");
    assert_eq!(report["held_out"]["tasks"], 1);
    assert!(report["held_out"]["chosen"].as_f64().unwrap().is_finite(), "{report}");
    place.ok(&["eval", "run", "--shots", "1,50", "--device", "cpu"]);
    assert!(place.json("run/eval.json").to_string().find("null").is_none());
}

/// As few rows and groups as are allowed.
#[test]
fn the_smallest_file() {
    let place = Place::with([("settings.toml", SETTINGS)]);
    place.write("lines.csv", "site,x,height\na,1,1\na,2,3\nb,1,2\nb,3,1\nc,1,4\nc,2,5\n");
    place.ok(&[train(&LINES, "run"), vec!["--shots", "1"]].concat());
    assert!(place.json("run/report.json")["held_out"]["chosen"].as_f64().unwrap().is_finite());
    place.write("classes.csv", "site,x,state\na,1,on\na,2,off\nb,1,on\nb,3,off\nc,1,on\nc,2,off\n");
    place.ok(&[train(&CLASSES, "classes"), vec!["--shots", "1"]].concat());
    assert!(place.json("classes/report.json")["held_out"]["chosen"].as_f64().unwrap().is_finite());
    place.ok(&["eval", "classes", "--device", "cpu"]);
}

/// A descriptor is asked for where no column is constant inside the groups: the hypernetwork would read nothing.
#[test]
fn nothing_to_describe_a_task_by() {
    let settings = SETTINGS.replace("encoder = [8]", "encoder = []\ndescriptor = true");
    let place = Place::with([("settings.toml", settings.as_str()), ("lines.csv", lines_csv().as_str())]);
    place.refused(&train(&LINES, "run"), &["model.descriptor", "no column", "model.encoder"]);
}

#[test]
fn support_and_query_files() {
    let place = plant(&CLASSES_RUN);
    place.write("query.csv", "x\n1\n");
    place.write("support.csv", "x,state\n1,cold\n7,warm\n");
    let adapt = |text: &str, parts: &[&str]| {
        place.write("bad.csv", text);
        place.refused(
            &["adapt", "run", "--support", "bad.csv", "--out", "n.safetensors", "--device", "cpu"],
            parts,
        );
        let predict = ["predict", "run", "--support", "bad.csv", "--query", "query.csv", "--out", "p.csv"];
        place.refused(&[&predict[..], &["--device", "cpu"]].concat(), parts);
    };
    adapt("x,state\n1,cold\n2,tepid\n", &["bad.csv, line 3", "'state'", "'tepid'", "'cold', 'warm'"]);
    adapt("x\n1\n", &["bad.csv", "'state'"]);
    adapt("y,state\n1,cold\n", &["bad.csv", "no column 'x'"]);
    adapt("x,state\n1,\n", &["bad.csv, line 2", "'state'", "missing"]);
    adapt("x,state\ninf,cold\n", &["bad.csv, line 2", "'x'", "finite"]);
    adapt("x,state\nmany,cold\n", &["bad.csv, line 2", "'x'", "'many'"]);
    adapt("x,state\n", &["bad.csv", "only a header"]);
    adapt("", &["bad.csv", "empty"]);
    adapt("x,state\n1,cold\n\"2,warm\n", &["bad.csv, line 3", "quote"]);

    let predict = |text: &[u8], parts: &[&str]| {
        place.write("bad.csv", text);
        let args = ["predict", "run", "--support", "support.csv", "--query", "bad.csv", "--out", "p.csv"];
        place.refused(&[&args[..], &["--device", "cpu"]].concat(), parts);
    };
    predict(b"state\ncold\n", &["bad.csv", "no column 'x'"]);
    predict(b"X\n1\n", &["bad.csv", "did you mean", "'X'"]);
    predict(b"x\n1\nnear\n", &["bad.csv, line 3", "'x'", "'near'"]);
    predict(b"x\n1\n-Inf\n", &["bad.csv, line 3", "'x'", "finite"]);
    predict(b"x\n1e300\n", &["bad.csv, line 2", "'x'", "too far"]);
    predict(b"x\n\xff\n", &["bad.csv, line 2", "UTF-8"]);
    predict(b"x,prediction\n1,2\n", &["bad.csv", "'prediction'"]);
    predict(b"", &["bad.csv", "empty"]);
    let names = ["predict", "run", "--query"];
    place.refused(&[&names[..], &["none.csv", "--out", "p.csv"]].concat(), &["none.csv", "cannot read"]);
    place.refused(&[&names[..], &["run", "--out", "p.csv"]].concat(), &["run", "is a folder"]);

    // The families without a file read plain numbers.
    let sine = plant(&SINE_RUN);
    sine.write("support.csv", "x,y\n1,2\n2,nan\n");
    sine.refused(
        &["adapt", "run", "--support", "support.csv", "--out", "n", "--device", "cpu"],
        &["support.csv, line 3", "'y'", "finite number"],
    );
}
