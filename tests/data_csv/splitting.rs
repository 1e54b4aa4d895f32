//! Which groups train, choose and judge.

use std::fmt::Write as _;
use std::sync::Arc;

use hyperloom::data::Split;
use hyperloom::data::grouped::Grouped;
use hyperloom::error::Error;

use crate::{consistent, good, load, says};

#[test]
fn split_by_seed() {
    for groups in [3, 4, 5, 10, 33] {
        let a = load(&good(groups, 4), |_| {}).unwrap();
        consistent(&a);
        assert_eq!(a.split, load(&good(groups, 4), |_| {}).unwrap().split);
        assert!(a.split.draws.is_empty());
    }
    let s = Split::draw(100, 1).unwrap();
    assert_eq!((s.train.len(), s.validation.len(), s.test.len()), (60, 20, 20));
    assert_ne!(s, Split::draw(100, 2).unwrap());
    assert_eq!(Split::draw(2, 0), None);
}

#[test]
fn rows_of_a_group_need_not_be_together() {
    let text = "g,a,y\nu,1,1\nv,2,2\nw,3,3\nu,4,4\nv,5,5\nw,6,6\nw,7,7\nv,8,8\nu,9,9\n";
    let g = load(text, |_| {}).unwrap();
    consistent(&g);
    assert_eq!(g.groups.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["u", "v", "w"]);
    assert_eq!(g.table_rows, [0, 3, 8, 1, 4, 7, 2, 5, 6]);
}

#[test]
fn small_groups_are_left_out() {
    let text = good(6, 4) + "1,tiny,1,1,f,1,1\n2,tiny,1,1,f,1,1\n";
    let g = load(&text, |_| {}).unwrap();
    assert_eq!(g.groups.len(), 6);
    assert!(
        g.warnings.iter().any(|w| w.contains("1 group of 7") && w.contains("2 rows")),
        "{:?}",
        g.warnings
    );
    says(load(&text, |s| s.shots = 4), &["t.csv", "'g'", "0 of 7", "largest has 4", "at least 3"]);
    says(load(&good(2, 4), |_| {}), &["'g'", "2 groups", "at least 3"]);
    says(load(&good(1, 4), |_| {}), &["'g'", "one group 'g0'"]);
    says(load(&good(5, 4), |s| s.shots = 0), &["shots", "at least 1"]);
    says(load(&good(5, 4), |s| s.group = "y".into()), &["target", "'y'"]);
    says(load(&good(5, 4).replacen("g0", "", 1), |_| {}), &["line 2", "'g'", "missing"]);
}

#[test]
fn split_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let with = |json: &str| {
        std::fs::write(file.path(), json).unwrap();
        load(&good(8, 4), |s| (s.splits, s.seed) = (Some(file.path().into()), 3))
    };
    let g = with(r#"{"3": {"train": ["g6","g1","g2","g5"], "test": {"g7": [[3,0],[1,2]], "g4": [[2,1]]}}, "4": {"train":[],"test":{}}}"#)
        .unwrap();
    consistent(&g);
    let names = |part: &[usize]| part.iter().map(|&i| g.groups[i].name.as_str()).collect::<Vec<_>>();
    assert_eq!((g.groups.len(), g.split.train.len(), g.split.validation.len()), (6, 3, 1));
    assert_eq!(names(&g.split.test), ["g4", "g7"]);
    assert_eq!(g.split.draws, [vec![vec![2, 1]], vec![vec![3, 0], vec![1, 2]]]);

    let split =
        |train: &str, test: &str| with(&format!(r#"{{"3": {{"train": [{train}], "test": {{{test}}}}}}}"#));
    let (three, one) = (r#""g1","g2","g3""#, r#""g4": [[0]]"#);
    assert!(split(three, one).unwrap().warnings.iter().any(|w| w.contains("1 draw")));
    says(split(r#""g1","g2""#, one), &["seed 3", "2 training groups", "at least 3"]);
    says(split(three, ""), &["seed 3", "0 test groups"]);
    says(split(r#""g1","g2","g33""#, one), &["seed 3", "'g33'", "did you mean 'g3'"]);
    says(split(three, r#""g3": [[0]]"#), &["seed 3", "'g3'", "twice"]);
    says(split(three, r#""g4": [[0, 4]]"#), &["'g4'", "row 4", "4 rows"]);
    says(split(three, r#""g4": [[1, 1]]"#), &["'g4'", "row 1", "twice"]);
    says(split(three, r#""g4": [[]]"#), &["'g4'", "empty"]);
    says(split(three, r#""g4": []"#), &["'g4'", "no draw"]);
    says(with(r#"{"0": {"train":[],"test":{}}, "1": {"train":[],"test":{}}}"#), &["seed 3", "'0', '1'"]);
    says(with(r#"{"3": {"train": 5}}"#), &["not a split file", "line 1"]);
    says(with("not json"), &["not a split file"]);
    std::fs::remove_file(file.path()).unwrap();
    assert!(matches!(load(&good(8, 4), |s| s.splits = Some(file.path().into())), Err(Error::Io { .. })));
}

/// By a column of numbers or dates the first rows of a group are known: to train, to choose and to judge.
#[test]
fn the_first_rows_are_known_by_an_order() {
    // Weeks in any order in the file; the value says which.
    let weeks = [3, 1, 4, 0, 2];
    let mut numbers = String::from("g,week,date,x,y\n");
    for g in 0..12 {
        for w in weeks {
            writeln!(numbers, "g{g},{w},2024-01-{:02},{},{}", 1 + 7 * w, (w * 7 + g) % 5, 10 * w + g)
                .unwrap();
        }
    }
    for order in ["week", "date"] {
        let groups = load(&numbers, |s| s.order = Some(order.into())).unwrap();
        consistent(&groups);
        let train = groups.split.train.clone();
        let (_, scale) = groups.encoder.target_scale();
        let grouped =
            Grouped { groups: Arc::new(groups), train, shots: 2, query: 4, descriptor: true, seed: 1 };
        let test = grouped.test_tasks(2);
        assert_eq!(test.len(), grouped.groups.split.test.len(), "one draw of each group");
        for task in &test {
            // Each later week's value is larger by 10.
            let far = |a: f32, b: f32| f64::from(b - a) * scale;
            assert_eq!((task.ys.len(), task.yq.len()), (2, 3));
            let all = [&task.ys[..], &task.yq[..]].concat();
            assert!(all.windows(2).all(|w| (far(w[0], w[1]) - 10.0).abs() < 1e-4), "{order}: {all:?}");
        }
    }
    let said = load(&numbers, |_| ()).unwrap().warnings;
    assert!(said.iter().all(|w| !w.contains("rises")), "{said:?}");
    // In order of the file, and drawn at random: said.
    let mut lines: Vec<&str> = numbers.lines().collect();
    lines[1..].sort_by_key(|l| l.split(',').take(2).map(String::from).collect::<Vec<_>>());
    let said = load(&lines.join("\n"), |_| ()).unwrap().warnings;
    assert!(said.iter().any(|w| w.contains("'week' rises") && w.contains("--order 'week'")), "{said:?}");

    let refused = |text: &str, order: &str, parts: &[&str]| {
        says(load(text, |s| s.order = Some(order.into())), parts);
    };
    refused(&numbers, "weak", &["no column 'weak'", "did you mean 'week'"]);
    refused(&numbers, "y", &["order", "'y' is the column of the target"]);
    refused(
        &numbers.replacen("g0,3,", "g0,,", 1),
        "week",
        &["line 2", "the cell is missing", "numbers in every row"],
    );
    refused(&numbers.replacen("2024-01-08", "soon", 1), "date", &["line 3", "'soon' is no date"]);
    refused(&numbers.replace("2024-01-", "1/"), "date", &["line 2", "'1/22' is no number", "2024-05-31"]);
    let tied =
        load(&numbers.replacen("g0,3,", "g0,1,", 1), |s| s.order = Some("week".into())).unwrap().warnings;
    assert!(
        tied.iter().any(|w| w.contains("1 of 12 groups have rows with one and the same 'week'")),
        "{tied:?}"
    );
}
