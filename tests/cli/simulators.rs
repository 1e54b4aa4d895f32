//! Policies in simulators of one's own: other programs, which answer lines of JSON.

use crate::policies::same_in_parts;
use crate::*;

/// The tank of `examples/own_simulator.rs`; it is built where it was not yet (`cargo test` builds it).
fn tank() -> String {
    let folder = Path::new(env!("CARGO_BIN_EXE_hyperloom")).parent().unwrap().join("examples");
    let tank = folder.join(format!("own_simulator{}", std::env::consts::EXE_SUFFIX));
    if !tank.is_file() {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--example", "own_simulator"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.is_ok_and(|status| status.success()), "the example is built");
    }
    format!("exec:{}", tank.display())
}

const SHORT: [&str; 8] =
    ["--frames", "10240", "--device", "cpu", "--set", "learning.steps=32", "--set", "test.episodes=8"];

#[test]
fn a_simulator_is_learned_in() {
    let place = Place::new();
    let tank = tank();
    place.ok(&[&["train", "--task", &tank, "--out", "a"], &SHORT[..]].concat());
    let test = place.json("a/report.json")["test"].clone();
    let of = |key: &str| test[key].as_f64().unwrap();
    assert!(of("return_mean") > 20.0 && of("random") < 15.0, "it learns: {test}");
    place.ok(&["rollout", "a", "--device", "cpu", "--context", "leak=0.05", "--out", "way.csv"]);
    let way = place.read("way.csv");
    assert!(way.starts_with("step,seen_0,action_0,action_1,action_2,reward,terminated,truncated\n"), "{way}");
    assert!(!place.path("way.svg").exists(), "nobody drew it");
    place.refused(
        &["rollout", "a", "--device", "cpu", "--out", "way.csv", "--map", "map.svg"],
        &["--map", "tank runs on the host"],
    );

    // Where leaks differ: told of them, and what a memory finds out.
    let varied = ["--context", "leak=0.02..0.18", "--set", "test.tasks=4"];
    for (out, more) in [
        ("told", &["--weights", "generated"][..]),
        (
            "memory",
            &["--learner", "rl2", "--trial", "10,30", "--set", "learning.steps=40", "--set", "tasks=8"],
        ),
    ] {
        let short = if out == "told" { &SHORT[..] } else { &["--frames", "640", "--device", "cpu"][..] };
        place.ok(&[&["train", "--task", &tank, "--out", out], short, &varied[..], more].concat());
        assert_eq!(place.json(&format!("{out}/report.json"))["test"]["contexts"], 4, "{out}");
    }
    let judged = place.ok(&["eval", "told", "--device", "cpu", "--tasks", "3", "--episodes", "2", "--json"]);
    let judged: Value = serde_json::from_str(&judged).unwrap();
    assert_eq!(judged["episodes"], 6, "{judged}");
    let wrong = [&["train", "--task", &tank, "--out", "b", "--context", "leek=0.1"], &SHORT[..]].concat();
    place.refused(&wrong, &["--context", "tank has no 'leek'", "did you mean 'leak'?"]);
    let apg = [&["train", "--task", &tank, "--out", "b", "--learner", "apg"], &SHORT[..]].concat();
    place.refused(&apg, &["learner", "apg"]);
}

/// Stopped after some steps, it ends as if it was not: the tank says where it was.
#[test]
fn a_simulator_goes_on_where_it_was() {
    let place = Place::new();
    let tank = tank();
    place.ok(&[&["train", "--task", &tank, "--out", "whole"], &SHORT[..]].concat());
    same_in_parts(&place, 3);
}

/// What a program says that does not fit is named, with what was asked.
#[test]
#[cfg(unix)]
fn what_a_simulator_may_not_say() {
    let place = Place::new();
    let about = r#"{"name": "box", "observation": 1, "actions": 2, "horizon": 4}"#;
    // One answer a line; behind the last it ends.
    let answers = |name: &str, lines: &[&str]| {
        let says: Vec<String> = lines.iter().map(|l| format!("read -r line; echo '{l}'")).collect();
        place.write(name, says.join("\n"));
        format!("exec:sh {name}")
    };
    let many = ["--set", "worlds=2", "--set", "learning.steps=4", "--set", "test.episodes=2"];
    for (what, lines, parts) in [
        ("ends", &[][..], &["it ended", "\"about\""][..]),
        ("words", &["hello"], &["no JSON", "hello"]),
        ("nothing", &["{}"], &["\"about\"", "there is no \"name\""]),
        ("typo", &[r#"{"name": "box", "observations": 1}"#], &["\"observations\", which is not known here"]),
        (
            "none",
            &[r#"{"name": "box", "observation": 0, "actions": 2, "horizon": 4}"#],
            &["\"observation\"", "from 1"],
        ),
        ("one", &[r#"{"name": "box", "observation": 1, "actions": 1, "horizon": 4}"#], &["\"actions\""]),
        (
            "turned",
            &[r#"{"name": "box", "observation": 1, "actions": [[1, -1]], "horizon": 4}"#],
            &["\"actions\"", "ranges"],
        ),
        (
            "out",
            &[
                r#"{"name": "box", "observation": 1, "actions": 2, "horizon": 4, "context": [{"name": "m", "usual": 5, "range": [0, 1]}]}"#,
            ],
            &["m is usually within its range"],
        ),
    ] {
        let task = answers(what, lines);
        place.refused(
            &[&["train", "--task", &task, "--out", "a", "--device", "cpu"], &many[..]].concat(),
            parts,
        );
    }
    // Later answers; a run may have begun.
    for (what, lines, parts) in [
        ("refuses", &[r#"{"error": "no room"}"#][..], &["\"worlds\": no room"][..]),
        ("nan", &["{}", r#"{"observation": [[NaN], [0]]}"#], &["JSON has no NaN", "\"start\""]),
        ("list", &["[1]"], &["no object", "\"worlds\""]),
        ("more", &[r#"{"worlds": 2}"#], &["\"worlds\", which is not known here"]),
        (
            "flags",
            &[
                "{}",
                r#"{"observation": [[0], [0]]}"#,
                r#"{"observation": [[0], [0]], "reward": [1, 2], "terminated": [0, 1]}"#,
            ],
            &["\"terminated\" is to be true or false for each world, not [0,1]"],
        ),
        ("rows", &["{}", r#"{"observation": [[0.5]]}"#], &["has 1 rows for 2 worlds"]),
        ("wide", &["{}", r#"{"observation": [[0.5], [1, 2]]}"#], &["row 1", "2 numbers, not 1"]),
        ("big", &["{}", r#"{"observation": [[0.5], [1e300]]}"#], &["world 1"]),
        (
            "stops",
            &[
                "{}",
                r#"{"observation": [[0], [0]]}"#,
                r#"{"observation": [[0], [0]], "reward": [1, 2], "terminated": [false, false]}"#,
            ],
            &["it ended", "\"step\""],
        ),
        (
            "short",
            &[
                "{}",
                r#"{"observation": [[0], [0]]}"#,
                r#"{"observation": [[0], [0]], "reward": [1], "terminated": [false, false]}"#,
            ],
            &["\"reward\" has 1 values for 2 worlds"],
        ),
    ] {
        // Who is asked what it is says it; who has worlds begins behind that.
        let says: Vec<String> = lines.iter().map(|l| format!("echo '{l}'; read -r line")).collect();
        let text =
            format!("read -r line\ncase $line in *about*) echo '{about}'; exit;; esac\n{}", says.join("\n"));
        place.write(what, text);
        let _ = fs::remove_dir_all(place.path("run"));
        let task = format!("exec:sh {what}");
        let run = [&["train", "--task", &task, "--out", "run", "--device", "cpu"], &many[..]].concat();
        let done = place.run(&run);
        assert_eq!(done.code, Some(2), "{what}: {done:?}");
        for part in parts.iter().chain(&["environment '"]) {
            assert!(done.err.contains(part), "{what}: {part} is not in {done:?}");
        }
        assert!(!done.err.contains("panicked"), "{done:?}");
    }
    // Neither what is no text nor an output that is closed is waited for.
    for (what, text, part) in [
        ("bytes", "read -r line; printf '\\377\\n'; exec sleep 60", "no JSON"),
        ("closed", "exec >&-; exec sleep 60", "it ended"),
    ] {
        place.write(what, text);
        place.refused(&["train", "--task", &format!("exec:sh {what}"), "--out", "a"], &[part]);
    }
    // The shell says something of it, too.
    let done = place.run(&["train", "--task", "exec:/nowhere/at all", "--out", "a"]);
    assert!(
        done.code == Some(2) && done.err.contains("environment 'exec:/nowhere/at all': it ended"),
        "{done:?}"
    );
}
