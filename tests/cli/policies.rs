//! Policies from outside: learned, stopped, resumed, rolled out, and refused.

use hyperloom::experiment::policies::{PolicyConfig, PolicyRun, PolicyStatus};

use crate::*;

const SHORT: [&str; 8] =
    ["--frames", "2048", "--device", "cpu", "--set", "learning.steps=32", "--set", "test.episodes=4"];

#[test]
fn a_policy_and_what_it_leaves() {
    let place = Place::new();
    let words = place.ok(&[&["train", "--task", "cartpole", "--out", "a"], &SHORT[..]].concat());
    for part in ["9155 parameters", "mean return of 4 episodes", "at random"] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    for file in ["policy.toml", "policy.safetensors", "metrics.csv", "report.json", "returns.svg"] {
        assert!(place.path("a").join(file).is_file(), "{file}");
    }
    let report = place.json("a/report.json");
    assert_eq!(report["environment"], "cartpole");
    assert_eq!(report["steps"], 2048);
    let test = &report["test"];
    for key in ["return_mean", "return_std", "drawn", "random", "length"] {
        assert!(test[key].as_f64().is_some_and(f64::is_finite), "{key}: {test}");
    }
    assert_eq!(test["episodes"], 4);
    let metrics = place.read("a/metrics.csv");
    assert_eq!(metrics.lines().count(), 1 + 2048 / (8 * 32));

    // Finished: it is judged again, and says the same.
    let again = place.ok(&["train", "--resume", "--out", "a", "--json", "--device", "cpu"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    assert_eq!(again["test"], report["test"]);

    place.ok(&["rollout", "a", "--device", "cpu", "--out", "way.csv"]);
    let way = place.read("way.csv");
    let lines: Vec<&str> = way.lines().collect();
    assert_eq!(lines[0], "step,seen_0,seen_1,seen_2,seen_3,action_0,action_1,reward,terminated,truncated");
    assert!(lines[1].starts_with("0,") && lines[lines.len() - 1].ends_with(",1,1,0"), "one episode: {way}");
    // Beside it a picture that moves; of four numbers there is no map.
    let picture = place.read("way.svg");
    assert!(picture.contains("<animate") && picture.contains("cartpole, "), "{picture}");
    place.refused(
        &["rollout", "a", "--device", "cpu", "--out", "way.csv", "--map", "map.svg"],
        &["--map", "pendulum"],
    );
    place.refused(&["rollout", "a", "--device", "cpu", "--out", "way.svg"], &["--out", "way.svg"]);
    let rollout = ["rollout", "a", "--device", "cpu", "--out"];
    for (out, parts) in [
        (&["way.csv", "--map", "./way.csv"][..], ["--map", "another .svg"]),
        (&["way.csv", "--map", "./way.svg"], ["--map", "another .svg"]),
        (&["a/returns.csv"], ["--out", "a file of the run"]),
        (&["./a/metrics.csv"], ["--out", "a file of the run"]),
    ] {
        place.refused(&[&rollout[..], out].concat(), &parts);
    }
    let how = ["--steps", "30", "--actions", "random", "--context", "length=0.9"];
    place.ok(&[&["rollout", "a", "--device", "cpu", "--out", "way.csv"], &how[..]].concat());
    assert_eq!(place.read("way.csv").lines().count(), 31);
}

#[test]
fn contexts_and_where_weights_come_from() {
    let place = Place::new();
    for (weights, more) in [("shared", "told=true"), ("own", "tasks=3"), ("generated", "trunk=[8]")] {
        let args = [
            "train",
            "--task",
            "pendulum",
            "--context",
            "mass=0.5..2",
            "--weights",
            weights,
            "--out",
            weights,
            "--set",
            more,
        ];
        let own = ["--set", "learning.minibatches=2", "--set", "learning.epochs=1"];
        place.ok(&[&args[..], &SHORT[..], &own[..]].concat());
        let report = place.json(&format!("{weights}/report.json"));
        let tasks = report["test"]["tasks"].as_array().expect("tasks");
        assert_eq!(tasks.len(), if weights == "own" { 3 } else { 64 }, "{weights}");
        assert_eq!(tasks[0][0][0][0], "mass");
    }
    place.ok(&["rollout", "generated", "--device", "cpu", "--context", "mass=9", "--out", "way.csv"]);
    let map = ["rollout", "generated", "--device", "cpu", "--out", "way.csv", "--map", "map.svg"];
    place.ok(&map);
    assert!(place.read("map.svg").contains("pendulum: what the policy does"));
    let refuse = |run: &str, context: &str, parts: &[&str]| {
        place
            .refused(&["rollout", run, "--device", "cpu", "--context", context, "--out", "other.csv"], parts);
    };
    refuse("own", "mass=1", &["--context", "networks of their own", "--world"]);
    let world = |run: &str, number: &str, out: &str| {
        place.ok(&["rollout", run, "--device", "cpu", "--world", number, "--steps", "20", "--out", out]);
        place.read(out)
    };
    // Each world has its network and its mass; where none is named it is the first.
    let own = ["0", "2"].map(|number| world("own", number, "own.csv"));
    assert_ne!(own[0], own[1]);
    place.ok(&["rollout", "own", "--device", "cpu", "--steps", "20", "--out", "first.csv"]);
    assert_eq!(place.read("first.csv"), own[0]);
    assert_ne!(world("generated", "1", "generated.csv"), world("generated", "2", "generated.csv"));
    let beyond = ["rollout", "own", "--device", "cpu", "--world", "3", "--out", "other.csv"];
    place.refused(&beyond, &["--world: is 3", "0 to 2"]);
    refuse("generated", "mass=1..2", &["--context", "one mass, not a range"]);
    refuse("generated", "mas=1", &["--context", "did you mean 'mass'"]);
    refuse("nowhere", "", &["nowhere", "no run of a policy"]);
}

/// Runs side by side: each in the same worlds, seeds together.
#[test]
fn policies_side_by_side() {
    let place = Place::new();
    let small = ["--set", "test.tasks=5", "--set", "test.episodes=3", "--set", "hidden=[8]"];
    let train = |out: &str, more: &[&str]| {
        let args = ["train", "--task", "cartpole", "--context", "length=0.25..1", "--out", out];
        place.ok(&[&args[..], &SHORT[..6], &small[..], more].concat());
    };
    train("a", &["--seed", "1"]);
    train("b", &["--seed", "2"]);
    train("told", &["--set", "told=true"]);
    let words = place.ok(&["eval", "a", "b", "told", "--device", "cpu", "--out", "all"]);
    for part in ["cartpole: 15 episodes in 5 contexts", "2 seeds, as a", "95 %", "at random"] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    let found = place.json("all/compare.json");
    assert_eq!(found["groups"].as_array().map(Vec::len), Some(2));
    let runs = found["runs"].as_array().expect("runs");
    // All meet the same contexts.
    let contexts = |run: &Value| -> Vec<Value> {
        run["test"]["tasks"].as_array().unwrap().iter().map(|task| task[0].clone()).collect()
    };
    assert_eq!(contexts(&runs[0]), contexts(&runs[2]));
    let mean = |i: usize| runs[i]["returns"]["mean"].as_f64().unwrap();
    let group = &found["groups"][0]["returns"];
    assert!((group["mean"].as_f64().unwrap() - (mean(0) + mean(1)) / 2.0).abs() < 1e-9, "{group}");
    assert!(group["interval"][0].as_f64() < group["interval"][1].as_f64(), "{group}");
    for picture in ["compare.svg", "compare.seconds.svg"] {
        assert!(place.read(&format!("all/{picture}")).contains("mean of 2 seeds"), "{picture}");
    }
    // Elsewhere than it was trained, and as JSON.
    let one = place.ok(&[
        "eval",
        "told",
        "--device",
        "cpu",
        "--context",
        "length=0.5,gravity=5..6",
        "--json",
        "--tasks",
        "2",
    ]);
    let one: Value = serde_json::from_str(&one).expect("JSON");
    let context = &one["runs"][0]["test"]["tasks"][0][0];
    assert_eq!((one["contexts"].as_u64(), &context[0][1]), (Some(2), &Value::from(0.5)), "{one}");

    // Networks of the tasks' own are judged in their contexts, and so are the others beside them.
    train("own", &["--weights", "own", "--set", "tasks=5", "--set", "learning.minibatches=2", "--seed", "3"]);
    place.ok(&["eval", "told", "own", "--device", "cpu", "--out", "all"]);
    let both = place.json("all/compare.json");
    let runs = both["runs"].as_array().expect("runs");
    assert_eq!(contexts(&runs[0]), contexts(&runs[1]));
    place.refused(&["eval", "a", "./a/", "--device", "cpu"], &["twice"]);
    let heavy = ["train", "--task", "cartpole", "--context", "gravity=9..10", "--out", "heavy"];
    place.ok(&[&heavy[..], &SHORT[..6], &small[..]].concat());
    place.refused(
        &["eval", "a", "heavy", "--device", "cpu"],
        &["heavy", "other contexts than a", "--context"],
    );
    let both = "length=0.4..0.6,gravity=9.5";
    place.ok(&["eval", "a", "heavy", "--device", "cpu", "--context", both, "--out", "all"]);
    // Who learned in them does not meet worlds never seen there.
    train("same", &["--set", "told=true", "--seed", "3"]);
    place.refused(&["eval", "same", "own", "--device", "cpu"], &["same", "was trained in contexts"]);
    train(
        "own 2",
        &["--weights", "own", "--set", "tasks=5", "--set", "learning.minibatches=2", "--seed", "9"],
    );
    place.refused(&["eval", "own", "own 2", "--device", "cpu"], &["own 2", "other contexts"]);
    place.refused(&["eval", "own", "--tasks", "3", "--device", "cpu"], &["--tasks", "their own 5"]);
    place.refused(
        &["eval", "own", "--context", "length=1", "--device", "cpu"],
        &["--context", "of their own"],
    );

    train("other", &["--set", "horizon=20"]);
    place.refused(&["eval", "a", "other", "--device", "cpu"], &["other", "horizon"]);
    place.refused(
        &["eval", "a", "--device", "cpu", "--shots", "5"],
        &["--shots", "a policy has no support rows"],
    );
    place.refused(
        &["eval", "a", "--device", "cpu", "--context", "lenght=1"],
        &["--context", "did you mean 'length'"],
    );
    place.refused(&["eval", "a", "--device", "cpu", "--tasks", "0"], &["--tasks", "from 1"]);
    place.refused(&["eval", "a", "nowhere", "--device", "cpu"], &["nowhere", "no run of a policy"]);
}

#[test]
fn memories_and_adaptation() {
    let place = Place::new();
    let small = ["--device", "cpu", "--set", "test.tasks=20", "--set", "hidden=[8]"];
    let trial = ["--frames", "2048", "--set", "tasks=16", "--set", "memory.units=8"];
    let of = |args: &[&str], more: &[&str], out: &str| {
        let words = place.ok(&[&["train"], args, &small[..], more, &["--out", out]].concat());
        (words, place.json(&format!("{out}/report.json"))["test"].clone())
    };

    let (words, test) = of(&["--task", "bandit-3", "--learner", "rl2"], &trial, "arms");
    for part in ["mean return of 20 trials in 20 contexts never seen", "gittins", "who knows the context"] {
        assert!(words.contains(part), "{part} is not in {words}");
    }
    let rules: Vec<&str> = test["rules"].as_array().unwrap().iter().filter_map(|r| r[0].as_str()).collect();
    assert_eq!(rules, ["gittins", "thompson", "ucb", "greedy"]);
    assert!(test["oracle"].as_f64() > test["random"].as_f64(), "{test}");
    assert_eq!(test["by_episode"], Value::Null);

    let inferring = [&trial[..], &["--set", "memory.infers=true", "--weights", "generated"]].concat();
    let context = ["--task", "cartpole", "--context", "sign=-1..1", "--learner", "rl2", "--trial", "4,2x9"];
    let (words, test) = of(&context, &inferring, "poles");
    assert!(words.contains("last episode of a trial"), "{words}");
    let episodes = test["by_episode"].as_array().expect("a list");
    let sum: f64 = episodes.iter().filter_map(Value::as_f64).sum();
    assert_eq!(episodes.len(), 3);
    assert!((sum - test["return_mean"].as_f64().unwrap()).abs() < 1e-3, "{test}");
    place.ok(&["rollout", "poles", "--device", "cpu", "--context", "sign=-1", "--out", "way.csv"]);
    let (way, ends) = (place.read("way.csv"), |way: &str| way.lines().filter(|l| l.ends_with('1')).count());
    assert!(way.lines().count() > 3 && ends(&way) >= 1, "{way}");

    let (words, test) = of(&["--task", "mdp-3-2", "--learner", "rl2", "--trial", "2x4"], &trial, "tables");
    assert!(words.contains("psrl"), "{words}");
    assert!(test["tasks"].is_null(), "24 numbers are not listed: {test}");

    let goals = ["--task", "navigation", "--context", "goal_x=-0.5..0.5", "--learner", "maml"];
    let few = ["--frames", "12800", "--set", "tasks=8", "--set", "worlds=4", "--set", "test.updates=2"];
    let (words, test) = of(&goals, &few, "goals");
    assert!(words.contains("after 2 steps of adaptation"), "{words}");
    assert_eq!(test["by_update"].as_array().map(Vec::len), Some(3), "{test}");
    assert_eq!(test["by_update"][2][0], test["return_mean"]);

    let few = ["--frames", "4096", "--set", "evolution.members=8", "--set", "horizon=16"];
    let (words, test) = of(&["--task", "pendulum", "--learner", "es"], &few, "swing");
    assert!(words.contains("learned by es") && test["return_mean"].is_number(), "{words}");
}

#[test]
fn what_is_refused_of_policies() {
    let place = Place::new();
    for (args, part) in [
        (&["--task", "cartpole", "--csv", "x.csv"][..], "environments have none"),
        (&["--task", "sine", "--context", "length=1..2"], "is for environments"),
        (&["--task", "cartpole", "--weights", "generated"], "--context gravity=LOW..HIGH"),
        (&["--task", "cartpole", "--context", "lenght=1..2"], "did you mean 'length'"),
        (&["--task", "cartpole", "--context", "length=9..20"], "may be from 0.01 to 10"),
        (&["--task", "cartpole", "--frames", "0"], "out of range"),
        (&["--task", "cartpole", "--learner", "pp"], "did you mean 'ppo'"),
        (&["--task", "cartpole", "--weights", "foo"], "`shared`, `own`, `generated`"),
        (&["--task", "cartpole", "--set", "learning.minibatches=3"], "even minibatches"),
        (&["--task", "grid", "--learner", "apg"], "learner: apg is for continuous actions"),
        (&["--task", "grid", "--context", "goal_x=4.5"], "goal_x is a whole number"),
        (&["--task", "lane-discrete", "--set", "squash=true"], "squash: is for continuous actions"),
        (
            &["--task", "cartpole", "--learner", "a2c", "--set", "learning.epochs=2"],
            "one update from a roll-out",
        ),
        (&["--task", "cartpole", "--set", "told=true"], "where contexts differ"),
        (
            &["--task", "cartpole", "--set", "told=true", "--weights", "own"],
            "told: is for weights that all tasks share",
        ),
        (&["--task", "cartpole", "--set", "nonsense=1"], "nonsense"),
        (&["--task", "cartpole", "--context", "sign=0.5"], "a sign is -1 or 1"),
        (&["--task", "bandit-1"], "2 to 32 arms"),
        (&["--task", "cartpole", "--trial", "16,500"], "--learner rl2"),
        (&["--task", "cartpole", "--learner", "rl2", "--trial", "16,x"], "16,500"),
        (&["--task", "cartpole", "--learner", "rl2", "--trial", "9000,9000"], "10000 steps at most"),
        (&["--task", "cartpole", "--learner", "rl2", "--weights", "own"], "each world is met once"),
        (&["--task", "cartpole", "--learner", "rl2", "--set", "told=true"], "finds out what differs"),
        (&["--task", "cartpole", "--learner", "rl2", "--set", "horizon=9"], "--trial says"),
        (&["--task", "cartpole", "--set", "horizon=0"], "horizon: is 1 or more"),
        (&["--task", "exec: "], "stands the command"),
        (&["--task", "cartpole", "--set", "memory.units=9"], "is for --learner rl2"),
        (&["--task", "cartpole", "--learner", "rl2", "--set", "memory.infers=true"], "contexts that differ"),
        (
            &["--task", "cartpole", "--learner", "rl2", "--trial", "16,500", "--set", "learning.steps=16"],
            "more than 16, best the whole trial, 516",
        ),
        (&["--task", "navigation", "--set", "adaptation.rate=9"], "is for --learner maml"),
        (&["--task", "cartpole", "--learner", "es", "--set", "evolution.members=3"], "an even number"),
        (&["--task", "cartpole", "--set", "evolution.members=8"], "is for --learner es"),
        (&["--task", "navigation", "--learner", "maml", "--weights", "own"], "that all tasks begin with"),
        (
            &["--task", "navigation", "--learner", "maml", "--set", "learning.steps=9"],
            "one episode (100, as horizon",
        ),
        (&["--task", "cartpole", "--learner", "rl2", "--set", "adaptation.rate=9"], "is for --learner maml"),
        (&["--task", "navigation", "--learner", "maml", "--set", "memory.units=9"], "is for --learner rl2"),
        (&["--task", "cartpole", "--set", "test.updates=9"], "is for --learner maml"),
        (&["--task", "mdp", "--context", "weight_0_0_0=0"], "may be from"),
        (&["--task", "lanes", "--frames", "9"], "'lanes' is no environment"),
        (&["--task", "cartpole", "--context", "size=1"], "length (0.01 to 10)"),
        (
            &["--task", "cartpole", "--set", "generated_critic=true"],
            "generated_critic: is for --weights generated",
        ),
        (
            &["--task", "cartpole", "--learner", "es", "--set", "learning.noise=1"],
            "learning.noise: is for ppo",
        ),
        (&["--task", "mdp", "--learner", "rl2", "--set", "memory.latent=4"], "memory.infers = true"),
        (
            &["--task", "bandit-5", "--learner", "rl2", "--set", "memory.sampled=true"],
            "memory.latent: says how many",
        ),
        (&["--task", "mdp", "--context", "reward_0_0=1..2"], "not drawn from a range"),
        (&["--task", "cartpole", "--frames", "9", "--set", "frames=8"], "says what --set frames"),
        (&["--resume", "--out", "nowhere", "--task", "cartpole"], "no run of a policy"),
    ] {
        place.refused(&[&["train"], args].concat(), &[part]);
    }
}

/// Trains what the run `whole` was trained by in `parts`, stopped after so many windows of iterations, and then resumed: the same bits.
pub(crate) fn same_in_parts(place: &Place, windows: usize) {
    struct After(std::cell::Cell<usize>, usize);
    impl hyperloom::Observer for After {
        fn stop(&self) -> bool {
            self.0.set(self.0.get() + 1);
            self.0.get() > self.1
        }
    }
    let config = PolicyConfig::parse(&place.read("whole/policy.toml"), "policy.toml", &[]).expect("settings");
    let parts = place.path("parts");
    let mut run = PolicyRun::open(&config, &hyperloom::Device::Cpu, &parts, false).expect("it opens");
    let stopped = run.run(&mut After(std::cell::Cell::new(0), windows)).expect("it stops");
    assert!(matches!(stopped, PolicyStatus::Stopped(_)), "{stopped:?}");
    drop(run);
    place.ok(&["train", "--resume", "--out", "parts"]);
    let state = |run: &str| Checkpoint::load(&place.path(run).join("policy.safetensors")).unwrap().tensors;
    assert!(state("whole") == state("parts"), "the same bits");
}

/// Stopped after some steps, it ends as if it was not.
#[test]
fn a_policy_that_was_stopped_ends_as_if_it_was_not() {
    let place = Place::new();
    let args = [
        "train",
        "--task",
        "navigation",
        "--context",
        "goal_x=-0.5..0.5",
        "--weights",
        "generated",
        "--device",
        "cpu",
    ];
    let many = [
        "--frames",
        "40960",
        "--set",
        "learning.steps=10",
        "--set",
        "test.tasks=4",
        "--set",
        "test.episodes=2",
    ];
    place.ok(&[&args[..], &many[..], &["--out", "whole"]].concat());
    same_in_parts(&place, 1);
    let test = |run: &str| place.json(&format!("{run}/report.json"))["test"].clone();
    assert_eq!(test("whole"), test("parts"));
    let rows = |run: &str| place.read(&format!("{run}/metrics.csv")).lines().count();
    assert_eq!(rows("whole"), rows("parts"));

    // Other settings than it was begun with are refused.
    let settings = place.read("whole/policy.toml");
    fs::write(place.path("parts/policy.toml"), settings.replace("gamma = 0.99", "gamma = 0.9"))
        .expect("a file");
    place.refused(&["train", "--resume", "--out", "parts"], &["other settings"]);
}
