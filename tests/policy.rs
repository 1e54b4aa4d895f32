//! Environments, advantages and objectives against numbers made elsewhere; roll-outs, learning, and what is refused.

use std::path::Path;
use std::sync::Arc;

use hyperloom::check::golden::{Job, LIMIT_F64, Outcome, run_f64, run_on};
use hyperloom::checkpoint::{Checkpoint, TensorData, read_safetensors};
use hyperloom::graph::expr::Expr;
use hyperloom::net::Cell;
use hyperloom::policy::{
    ActionSpace, Adaptation, Behaviour, Belief, Distribution, Environment, Evolution, Learning, Memory,
    Moment, Objective, Policy, PolicyTrainer, Rewards, Steps, Worlds, advantages, environment, environments,
};
use hyperloom::{Device, Result};

fn file(name: &str) -> Checkpoint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/policies").join(name);
    read_safetensors(&path).unwrap_or_else(|e| panic!("{e}"))
}

/// Numbers of a file, whole ones as floats.
fn numbers(file: &Checkpoint, name: &str) -> Vec<f64> {
    match &file.tensors[name].data {
        TensorData::F64(x) => x.clone(),
        TensorData::I64(x) => x.iter().map(|x| *x as f64).collect(),
        other => panic!("{name}: {other:?}"),
    }
}

fn setting(file: &Checkpoint, name: &str) -> f64 {
    serde_json::from_str(&file.metadata[name]).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn flag(file: &Checkpoint, name: &str) -> bool {
    serde_json::from_str(&file.metadata[name]).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// How each runner runs a job, and how near it has to come: of f32 as a share of the largest number.
type Runner = fn(&Job) -> Result<Outcome>;
const RUNNERS: [(&str, Runner, f64); 3] = [
    ("f64", run_f64, LIMIT_F64),
    ("cpu", |job| run_on(&Device::Cpu, job), 2e-5),
    ("cpu by launch", |job| run_on(&Device::Cpu.without_regions(), job), 2e-5),
];

fn near(what: &str, got: &[f64], want: &[f64], limit: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-300, |m: f64, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= limit * scale, "{what}, number {i}: {g}, not {w}");
    }
}

fn data(job: &mut Job, name: &str, shape: &[usize], values: Vec<f64>) -> hyperloom::graph::Value {
    job.inputs.push((name.into(), values));
    job.graph.data(name, shape)
}

/// Steps of Gymnasium 1.4, 200 of each environment.
#[test]
fn steps_of_environments() {
    let files = [
        ("cartpole", "env_cartpole-v1.safetensors"),
        ("cartpole", "env_cartpole-physics.safetensors"),
        ("pendulum", "env_pendulum-v1.safetensors"),
        ("acrobot", "env_acrobot-v1.safetensors"),
        ("mountain-car-continuous", "env_mountain_car_continuous-v0.safetensors"),
        ("navigation", "env_particles2d.safetensors"),
    ];
    for (name, path) in files {
        let (env, file) = (environment(name, "--task").expect("it is there"), file(path));
        let (state, n) = (env.widths().state, 200);
        let action: Vec<f64> = match env.action() {
            ActionSpace::Discrete(k) => numbers(&file, "action")
                .iter()
                .flat_map(|a| (0..k).map(move |i| if i as f64 == *a { 1.0 } else { 0.0 }))
                .collect(),
            _ => numbers(&file, "action"),
        };
        let told = ["physics", "goal"].into_iter().find(|key| file.tensors.contains_key(*key));
        let own = told.map(|key| numbers(&file, key)).unwrap_or_default();
        let columns = own.len() / n;
        let context: Vec<f64> = (0..n)
            .flat_map(|i| {
                let usual = env.context().iter().enumerate();
                let own = &own;
                usual.map(move |(c, usual)| if c < columns { own[i * columns + c] } else { usual.usual })
            })
            .collect();
        for (runner, run, limit) in RUNNERS {
            let mut job = Job { steps: vec![vec![]], ..Job::default() };
            let width = env.context().len();
            let at = data(&mut job, "at", &[n, 1, state], numbers(&file, "state"));
            let act = data(&mut job, "act", &[n, 1, env.action().width()], action.clone());
            let context = data(&mut job, "context", &[n, 1, width], context.clone());
            let e = job.graph.expr();
            let [at, act, context] = [at, act, context].map(|v| e.of(v));
            let done = env.step(Moment { state: at, action: act, context, noise: at });
            let found = [done.state, done.reward, done.terminated].map(Expr::value);
            for (name, v) in ["next_state", "reward", "terminated"].into_iter().zip(found) {
                job.graph.output(name, v);
                job.read.push(name.into());
            }
            let got = run(&job).expect("it runs").values;
            for (key, got) in job.read.iter().zip(&got) {
                let mut want = numbers(&file, key);
                // At the seam of an angle a turn more is the same.
                if name == "acrobot" && key == "next_state" {
                    for (w, g) in want.iter_mut().zip(got) {
                        let turn = std::f64::consts::TAU;
                        *w += if (*w - g).abs() > 6.0 { turn * (g - *w).signum() } else { 0.0 };
                    }
                }
                // Fast states of four stages in f32: as the file says.
                let limit = if runner == "f64" { limit } else { 1e-4f64.max(limit) };
                near(&format!("{path} {key}, {runner}"), got, &want, limit);
            }
        }
    }
}

/// A car that is pushed with whole numbers goes as the continuous one does, by another force.
#[test]
fn both_mountain_cars() {
    let [whole, any] =
        ["mountain-car", "mountain-car-continuous"].map(|n| environment(n, "").expect("it is there"));
    let places = [[-0.5f64, 0.01], [-1.19, -0.06], [0.55, 0.07], [0.449, 0.03]];
    let mut job = Job { steps: vec![vec![]], ..Job::default() };
    let n = places.len() * 3;
    let at: Vec<f64> = places.iter().flat_map(|p| p.repeat(3)).collect();
    let hot: Vec<f64> = (0..n).flat_map(|i| (0..3).map(move |k| f64::from(i % 3 == k))).collect();
    let push: Vec<f64> = (0..n).map(|i| (i % 3) as f64 - 1.0).collect();
    let at = data(&mut job, "at", &[n, 1, 2], at);
    let hot = data(&mut job, "hot", &[n, 1, 3], hot);
    let push = data(&mut job, "push", &[n, 1, 1], push);
    let context = data(&mut job, "context", &[n, 1, 2], [0.001, 0.0025].repeat(n));
    let e = job.graph.expr();
    let [at, hot, push, context] = [at, hot, push, context].map(|v| e.of(v));
    let one = whole.step(Moment { state: at, action: hot, context, noise: at });
    let other = any.step(Moment { state: at, action: push, context, noise: at });
    let found = [one.state, other.state, one.terminated, other.terminated, one.reward].map(Expr::value);
    for (i, v) in found.into_iter().enumerate() {
        job.graph.output(&i.to_string(), v);
        job.read.push(i.to_string());
    }
    let got = run_f64(&job).expect("it runs").values;
    near("states", &got[0], &got[1], 1e-12);
    assert_eq!(got[2][6..], [1.0, 1.0, 1.0, 0.0, 0.0, 0.0], "0.5 or further to the right");
    assert_eq!(got[3][6..], [1.0; 6], "0.45 or further");
    assert!(got[4].iter().all(|r| *r == -1.0));
    assert_eq!(got[0][6..8], [-1.2, 0.0], "the wall stops it");
}

#[test]
fn advantages_of_roll_outs() {
    for name in ["rl_gae-terminated.safetensors", "rl_gae-truncated.safetensors"] {
        let file = file(name);
        let [t, b, s] = file.tensors["reward"].shape[..] else { panic!("{name}") };
        // Time is the last axis there, the second here.
        let turned = |x: &[f64]| -> Vec<f64> {
            let at = |i: usize| x[(i / (s * b) * b + i % b) * s + i / b % s];
            (0..t * b * s).map(at).collect()
        };
        let read = |key: &str| turned(&numbers(&file, key));
        let (value, last, end) = (read("value"), numbers(&file, "last_value"), read("final_value"));
        let [terminated, truncated] = ["terminated", "truncated"].map(read);
        let next: Vec<f64> = (0..t * b * s)
            .map(|i| match (truncated[i] != 0.0, i / b % s + 1 == s) {
                (true, _) => end[i],
                (false, true) => last[i / (s * b) * b + i % b],
                (false, false) => value[i + b],
            })
            .collect();
        let ended: Vec<f64> = terminated.iter().zip(&truncated).map(|(a, b)| a.max(*b)).collect();
        for (runner, run, limit) in RUNNERS {
            let mut job = Job { steps: vec![vec![]], ..Job::default() };
            let mut of = |key: &str, values: &[f64]| data(&mut job, key, &[t, s, b, 1], values.to_vec());
            let of = Rewards {
                reward: of("reward", &read("reward")),
                value: of("value", &value),
                next: of("next", &next),
                terminated: of("terminated", &terminated),
                ended: of("ended", &ended),
            };
            let advantage = advantages(&mut job.graph, of, setting(&file, "gamma"), setting(&file, "lam"));
            let target = job.graph.add(advantage, of.value);
            for (key, v) in [("advantage", advantage), ("value_target", target)] {
                job.graph.output(key, v);
                job.read.push(key.into());
            }
            let got = run(&job).expect("it runs").values;
            near(&format!("{name} advantage, {runner}"), &got[0], &read("advantage"), limit);
            near(&format!("{name} target, {runner}"), &got[1], &read("value_target"), limit);
        }
    }
}

/// `[t, n]` as `[t, 1, n]`.
fn row(v: Expr<'_>) -> Expr<'_> {
    let [t, n] = v.shape()[..] else { panic!("two axes") };
    v.reshape(&[t, 1, n])
}

/// Losses and gradients of PPO and REINFORCE.
#[test]
fn objectives_and_their_gradients() {
    for (name, discrete) in [("rl_ppo-categorical.safetensors", true), ("rl_ppo-gaussian.safetensors", false)]
    {
        let file = file(name);
        let [t, n, seen] = file.tensors["obs"].shape[..] else { panic!("{name}") };
        let wide = file.tensors["a_b2"].shape[1];
        let space = match discrete {
            true => ActionSpace::Discrete(wide),
            false => ActionSpace::Continuous(vec![[-1.0, 1.0]; wide]),
        };
        let action: Vec<f64> = match discrete {
            true => numbers(&file, "action")
                .iter()
                .flat_map(|a| (0..wide).map(move |i| f64::from(i as f64 == *a)))
                .collect(),
            false => numbers(&file, "action"),
        };
        let mut objective = Objective::default();
        objective.clip = Some(setting(&file, "eps"));
        objective.clip_value = flag(&file, "clip_value");
        objective.normalise = flag(&file, "normalise_advantage");
        (objective.value, objective.entropy) = (setting(&file, "c_v"), setting(&file, "c_e"));
        let mut plain = Objective::default();
        (plain.clip, plain.normalise, plain.value, plain.entropy) = (None, false, 0.0, 0.0);
        for (runner, run, limit) in RUNNERS {
            let mut job = Job { steps: vec![vec![]], ..Job::default() };
            let mut names = vec!["a_w1", "a_b1", "a_w2", "a_b2", "v_w1", "v_b1", "v_w2", "v_b2"];
            names.extend((!discrete).then_some("log_std"));
            let params: Vec<_> = names
                .iter()
                .map(|key| data(&mut job, key, &file.tensors[*key].shape.clone(), numbers(&file, key)))
                .collect();
            let obs = data(&mut job, "obs", &[t, n, seen], numbers(&file, "obs"));
            let action = data(&mut job, "action", &[t, n, wide], action.clone());
            let column = |job: &mut Job, key: &str| data(job, key, &[t, n, 1], numbers(&file, key));
            let [old, advantage, target] =
                ["old_log_prob", "advantage", "value_target"].map(|key| column(&mut job, key));
            let before = if objective.clip_value { column(&mut job, "old_value") } else { target };
            let e = job.graph.expr();
            let p: Vec<Expr<'_>> = params.iter().map(|v| e.of(*v)).collect();
            let net = |k: usize| (e.of(obs).dot(p[k]) + row(p[k + 1])).tanh().dot(p[k + 2]) + row(p[k + 3]);
            let said = Distribution::new(&space, net(0), p.get(8).map(|d| row(*d)));
            let steps = Steps {
                action: e.of(action),
                log_probability: e.of(old),
                advantage: e.of(advantage),
                value: e.of(before),
                target: e.of(target),
            };
            let parts = objective.of(&said, net(4), steps);
            let reinforce = plain.of(&said, net(4), steps);
            let mut outputs: Vec<(String, Expr<'_>)> = vec![
                ("loss".into(), parts.all),
                ("policy_loss".into(), parts.policy),
                ("value_loss".into(), parts.value),
                ("entropy".into(), parts.entropy),
                ("log_prob".into(), said.log_probability(e.of(action))),
                ("reinforce_loss".into(), reinforce.policy),
            ];
            let gradients = parts.all.total().grad(&p);
            outputs.extend(names.iter().zip(gradients).map(|(key, v)| (format!("grad_{key}"), v)));
            let acts: Vec<usize> = (0..names.len()).filter(|i| !names[*i].starts_with('v')).collect();
            let gradients = reinforce.policy.total().grad(&acts.iter().map(|i| p[*i]).collect::<Vec<_>>());
            let named = acts.iter().map(|i| format!("grad_reinforce_{}", names[*i]));
            outputs.extend(named.zip(gradients));
            let values: Vec<_> = outputs.into_iter().map(|(key, v)| (key, v.value())).collect();
            for (key, v) in &values {
                job.graph.output(&format!("got {key}"), *v);
                job.read.push(format!("got {key}"));
            }
            let got = run(&job).expect("it runs").values;
            for ((key, _), got) in values.iter().zip(&got) {
                near(&format!("{name} {key}, {runner}"), got, &numbers(&file, key), limit);
            }
        }
    }
}

/// Small worlds to learn in.
fn small(name: &str, tasks: usize, each: usize) -> Worlds {
    let env = environment(name, "--task").expect("it is there");
    let varied = match name {
        "cartpole" => "length=0.25..1,sign=-1..1",
        "pendulum" => "mass=0.5..2,length=0.5..1.5",
        "navigation" => "goal_x=-0.5..0.5,goal_y=-0.5..0.5",
        "acrobot" => "mass_2=0.5..2",
        "grid" => "goal_y=0..4",
        "lane" | "lane-discrete" => "grip=0.4..1",
        _ if env.is_family() => "",
        _ => "gravity=0.002..0.003",
    };
    let varied = Worlds::varied(&*env, varied, "--context").expect("it is a range");
    Worlds::drawn(env, varied, [tasks, each], 5)
}

fn policies(worlds: &Worlds) -> Vec<Policy> {
    vec![
        Policy::shared(worlds, &[8, 8], 0),
        Policy::shared(worlds, &[8], worlds.descriptor()),
        Policy::own(worlds, &[8, 8]),
        Policy::generated(worlds, &[8, 8], vec![16]),
        Policy::generated(worlds, &[8], vec![16]).with_generated_critic(worlds, &[8], vec![4]),
        Policy::remembering(worlds, &[8], memory(worlds, Cell::Gru)),
        Policy::remembering(worlds, &[], memory(worlds, Cell::Lstm)).inferring(worlds, &[8]),
        Policy::generated_by_memory(worlds, &[8], vec![16], memory(worlds, Cell::Gru)),
        believing(worlds, &memory(worlds, Cell::Gru), true),
    ]
}

/// Reads what is believed, or a draw from it.
fn believing(worlds: &Worlds, memory: &Memory, sampled: bool) -> Policy {
    let mut belief = Belief::new(3);
    belief.sampled = sampled;
    Policy::remembering(worlds, &[8], memory.clone().believing(belief)).inferring(worlds, &[8])
}

/// Of trials of two episodes.
fn memory(worlds: &Worlds, cell: Cell) -> Memory {
    Memory::new(worlds, cell, 8, vec![5, 9])
}

fn short(frames: u64) -> Learning {
    let mut learning = Learning::new(frames);
    (learning.steps, learning.epochs, learning.minibatches, learning.horizon) = (16, 2, 2, 24);
    learning
}

/// Every environment with every kind of weights: numbers are finite, launches by themselves say what regions do, and what was stopped goes on with
/// the same bits.
#[test]
fn policies_of_every_kind() {
    for env in environments() {
        let worlds = small(env.name(), 3, 2);
        for policy in policies(&worlds) {
            let weights = format!("{:?}", policy.weights);
            let weights = weights.split('(').next().unwrap_or_default();
            let what = format!("{}, {weights}, remembers: {}", env.name(), policy.memory.is_some());
            let learning = short(4 * 16 * 6);
            let new = |device: &Device| {
                PolicyTrainer::new(device, worlds.clone(), policy.clone(), learning, 3)
                    .unwrap_or_else(|e| panic!("{what}: {e}"))
            };
            let mut whole = new(&Device::Cpu);
            let found = whole.advance(8).expect("it learns");
            assert_eq!((found.len(), whole.left()), (4, 0), "{what}");
            let last = found[3];
            assert!(
                last.losses.iter().chain([&last.gradient, &last.reward]).all(|x| x.is_finite()),
                "{what}: {last:?}"
            );
            assert_ne!(whole.params().expect("read"), policy.init(3, 3), "{what}: it learned");
            let mut first = new(&Device::Cpu);
            first.advance(1).expect("it learns");
            let mut then = new(&Device::Cpu);
            then.restore(&first.state().expect("read")).expect("it goes on");
            then.advance(8).expect("it learns");
            assert_eq!(then.state().expect("read"), whole.state().expect("read"), "{what}: resumed");
            let mut launches = new(&Device::Cpu.without_regions());
            let by_launch = launches.advance(1).expect("it learns")[0];
            let near = (by_launch.reward - found[0].reward).abs() <= 1e-4 * (1.0 + found[0].reward.abs());
            assert!(near, "{what}: {by_launch:?} and {:?}", found[0]);
            for how in [Behaviour::Greedy, Behaviour::Drawn, Behaviour::Random] {
                let episodes = whole.evaluate(&worlds, how, 1).expect("they are played");
                assert_eq!(episodes.returns.len(), 6, "{what}");
                assert!(episodes.lengths.iter().all(|l| (1.0..=24.0).contains(l)), "{what}: {episodes:?}");
                let sum: f64 = episodes.by_episode.iter().sum();
                assert!((sum - episodes.mean()).abs() < 1e-4 * (1.0 + sum.abs()), "{what}: {episodes:?}");
                assert_eq!(episodes.by_episode.len(), if policy.memory.is_some() { 2 } else { 1 });
            }
        }
    }
}

/// What regions draw in their loops is what launches by themselves draw, and other numbers in each repetition: episodes are the same, one by one.
#[test]
fn regions_draw_what_launches_draw() {
    let worlds = small("cartpole", 4, 16);
    for policy in policies(&worlds) {
        let of = |device: Device| {
            let mut trainer =
                PolicyTrainer::new(&device, worlds.clone(), policy.clone(), short(1), 2).expect("it fits");
            trainer.evaluate(&worlds, Behaviour::Random, 1).expect("they are played")
        };
        let (regions, launches) = (of(Device::Cpu), of(Device::Cpu.without_regions()));
        let same = regions.lengths.iter().zip(&launches.lengths).filter(|(a, b)| a == b).count();
        assert!(same >= 63, "{regions:?} and {launches:?}");
        // A pole that is pushed one way alone falls within eleven steps; trials end after 14.
        let least = if policy.memory.is_some() { 13.0 } else { 15.0 };
        assert!(regions.mean() > least, "{regions:?}");
    }
}

/// What adapts learns to adapt: after a step it gets more than before. Launches by themselves say what regions do, and what was stopped goes on with the same
/// bits.
#[test]
fn policies_that_adapt() {
    for name in ["navigation", "cartpole"] {
        let worlds = small(name, 10, 8);
        let mut adaptation = Adaptation::default();
        adaptation.dice = name == "cartpole";
        let policy = Policy::adapted(&worlds, &[16, 16], adaptation);
        let mut learning = short(4 * 80 * 24 * 2);
        (learning.steps, learning.epochs, learning.minibatches) = (24, 3, 1);
        (learning.lambda, learning.objective.entropy) = (1.0, 0.0);
        let new = |device: &Device, learning| {
            PolicyTrainer::new(device, worlds.clone(), policy.clone(), learning, 3).expect("it fits")
        };
        let mut whole = new(&Device::Cpu, learning);
        let found = whole.advance(8).expect("it learns");
        assert_eq!((found.len(), whole.left(), found[0].episodes), (4, 0, 80.0), "{name}");
        let mut first = new(&Device::Cpu, learning);
        first.advance(1).expect("it learns");
        let mut then = new(&Device::Cpu, learning);
        then.restore(&first.state().expect("read")).expect("it goes on");
        then.advance(8).expect("it learns");
        assert_eq!(then.state().expect("read"), whole.state().expect("read"), "{name}: resumed");
        let by_launch = new(&Device::Cpu.without_regions(), learning).advance(1).expect("it learns")[0];
        let near =
            (by_launch.return_mean - found[0].return_mean).abs() <= 1e-3 * (1.0 + found[0].return_mean.abs());
        assert!(near, "{name}: {by_launch:?} and {:?}", found[0]);
        if name == "cartpole" {
            continue;
        }
        learning.frames = 200_000;
        let mut trainer = new(&Device::Cpu, learning);
        while trainer.left() > 0 {
            trainer.advance(8).expect("it learns");
        }
        let test = Worlds::drawn(worlds.environment.clone(), worlds.varied.clone(), [40, 8], 77);
        let all = trainer.adapt(&test, 2, 1).expect("it is played");
        let means: Vec<f64> = all.iter().map(|[drawn, _]| drawn.mean()).collect();
        assert!(means[1] > means[0] + 1.0 && means[2] > means[0], "{means:?}");
    }
}

/// Members with noise on their weights show the way: the pole stands longer, and launches by themselves say what regions do.
#[test]
fn a_policy_that_evolves() {
    let worlds = Worlds::usual(environment("cartpole", "--task").expect("it is there"), 1, 2);
    let mut evolution = Evolution::default();
    (evolution.members, evolution.deviation) = (64, 0.2);
    let policy = Policy::evolved(&worlds, &[8], evolution);
    let mut learning = Learning::new(64 * 2 * 200 * 16);
    (learning.steps, learning.horizon) = (200, 200);
    (learning.epochs, learning.minibatches, learning.rate) = (1, 1, 0.1);
    let new = |device: &Device| {
        PolicyTrainer::new(device, worlds.clone(), policy.clone(), learning, 0).expect("it fits")
    };
    let mut whole = new(&Device::Cpu);
    let first = whole.advance(1).expect("it evolves")[0];
    assert_eq!((first.episodes, first.frames), (128.0, 64 * 2 * 200));
    let mut then = new(&Device::Cpu);
    then.restore(&whole.state().expect("read")).expect("it goes on");
    for trainer in [&mut whole, &mut then] {
        while trainer.left() > 0 {
            trainer.advance(8).expect("it evolves");
        }
    }
    assert_eq!(then.state().expect("read"), whole.state().expect("read"), "resumed");
    let by_launch = new(&Device::Cpu.without_regions()).advance(1).expect("it evolves")[0];
    assert!((by_launch.return_mean - first.return_mean).abs() < 1.0, "{by_launch:?} and {first:?}");
    let now = whole.evaluate(&worlds, Behaviour::Greedy, 1).expect("it is played").mean();
    assert!(now > 150.0, "{now} of 200, at first {}", first.return_mean);
}

/// Through the physics: a goal is found in few steps, launches by themselves say what regions do, what was stopped goes on with the same bits, and choices are refused.
#[test]
fn gradients_through_the_physics() {
    let mut learning = Learning::new(60_000);
    (learning.analytic, learning.steps, learning.epochs, learning.minibatches) = (true, 32, 1, 1);
    learning.rate = 5e-3;
    learning.objective.entropy = 0.0;
    let usual = |name: &str| Worlds::usual(environment(name, "--task").expect("it is there"), 1, 16);
    let worlds = usual("navigation");
    let policy = Policy::shared(&worlds, &[32], 0);
    let new = |device: &Device| {
        PolicyTrainer::new(device, worlds.clone(), policy.clone(), learning, 0).expect("it fits")
    };
    let mut whole = new(&Device::Cpu);
    let first = whole.advance(1).expect("it learns")[0];
    let mut then = new(&Device::Cpu);
    then.restore(&whole.state().expect("read")).expect("it goes on");
    for trainer in [&mut whole, &mut then] {
        while trainer.left() > 0 {
            trainer.advance(8).expect("it learns");
        }
    }
    assert_eq!(then.state().expect("read"), whole.state().expect("read"), "resumed");
    let by_launch = new(&Device::Cpu.without_regions()).advance(1).expect("it learns")[0];
    assert!(
        (by_launch.reward - first.reward).abs() < 1e-4 * first.reward.abs(),
        "{by_launch:?} and {first:?}"
    );
    assert!(
        (by_launch.gradient - first.gradient).abs() < 1e-3 * first.gradient,
        "{by_launch:?} and {first:?}"
    );
    let mean = whole.evaluate(&worlds, Behaviour::Greedy, 1).expect("it is played").mean();
    assert!(mean > -2.0, "{mean}, at random -60");
    // Every kind of weights.
    let worlds = small("pendulum", 3, 2);
    learning.frames = 32 * 6 * 2;
    for policy in [Policy::own(&worlds, &[8]), Policy::generated(&worlds, &[8], vec![8])] {
        let mut trainer =
            PolicyTrainer::new(&Device::Cpu, worlds.clone(), policy.clone(), learning, 0).expect("it fits");
        let last = trainer.advance(2).expect("it learns")[1];
        assert!(last.gradient.is_finite() && trainer.params().expect("read") != policy.init(3, 0));
    }
    // A single step is a roll-out, too.
    learning.steps = 1;
    let single =
        PolicyTrainer::new(&Device::Cpu, worlds.clone(), Policy::shared(&worlds, &[8], 0), learning, 0);
    assert!(single.expect("it fits").advance(1).expect("it learns")[0].gradient.is_finite());
    let worlds = usual("cartpole");
    let policy = Policy::shared(&worlds, &[8], 0);
    let refused = PolicyTrainer::new(&Device::Cpu, worlds, policy, learning, 0).expect_err("choices");
    assert!(refused.to_string().contains("continuous"), "{refused}");
}

/// What is remembered of a roll-out when it is learned from is what was remembered while it was made, trials that ended in it or not: probabilities are the
/// same, so that nothing has changed before the first update.
#[test]
fn what_is_learned_from_is_what_was_remembered() {
    for (name, trial) in [("cartpole", vec![3, 12]), ("bandit-3", vec![4]), ("pendulum", vec![2, 2, 5])] {
        let worlds = small(name, 4, 2);
        for cell in [Cell::Rnn, Cell::Gru, Cell::Lstm] {
            let memory = Memory::new(&worlds, cell, 8, trial.clone());
            for policy in [
                Policy::remembering(&worlds, &[8], memory.clone()),
                Policy::generated_by_memory(&worlds, &[8], vec![8], memory.clone()),
                believing(&worlds, &memory, false),
                believing(&worlds, &memory, true),
            ] {
                let mut learning = short(1);
                (learning.steps, learning.epochs, learning.minibatches) = (40, 1, 1);
                let mut trainer =
                    PolicyTrainer::new(&Device::Cpu, worlds.clone(), policy.clone(), learning, 3)
                        .expect("it fits");
                // Weights as they are after some steps say more than those at first.
                let mut state = trainer.state().expect("read");
                state.values[0].1.iter_mut().for_each(|w| *w *= 3.0);
                trainer.restore(&state).expect("they are written");
                let found = trainer.advance(1).expect("it learns")[0];
                let trials = 40 / trial.iter().sum::<usize>() * 8;
                assert!(found.episodes >= trials as f64, "{name}, {cell:?}: {found:?}");
                let [_, _, entropy, divergence] = found.losses;
                assert!(divergence.abs() < 1e-6 && entropy.abs() > 0.01, "{name}, {cell:?}: {found:?}");
            }
        }
    }
}

/// Who has no memory does not know what world it is in, and who has one finds out: a bandit of two arms, of which one always pays, and the sign of a
/// push.
#[test]
fn a_memory_finds_out_what_world_it_is_in() {
    let worlds = small("bandit-2", 64, 1);
    let memory = Memory::new(&worlds, Cell::Gru, 16, vec![10]);
    let policy = Policy::remembering(&worlds, &[16], memory).inferring(&worlds, &[16]);
    let mut learning = Learning::new(100_000);
    (learning.steps, learning.rate) = (10, 3e-3);
    (learning.lambda, learning.gamma) = (0.3, 0.9);
    let mut trainer = PolicyTrainer::new(&Device::Cpu, worlds.clone(), policy, learning, 0).expect("it fits");
    while trainer.left() > 0 {
        trainer.advance(8).expect("it learns");
    }
    let test = Worlds::drawn(worlds.environment.clone(), worlds.varied.clone(), [1000, 1], 77);
    let [learned, random] = [Behaviour::Greedy, Behaviour::Random]
        .map(|how| trainer.evaluate(&test, how, 7).expect("they are played").mean());
    // Thompson's sampling gets 5.9 of 10, a random arm 5, the better one 6.7.
    assert!((random - 5.0).abs() < 0.2 && learned > 5.7, "{learned}, at random {random}");
}

/// Known rules of bandits and of decision processes get what Duan et al. 2016 say that they get, within the errors of their 1,000 instances and ours.
#[test]
fn rules_get_what_is_published() {
    for (name, trial, published) in [
        ("bandit-10", vec![100], vec![("gittins", 82.8), ("thompson", 76.7), ("ucb", 82.4)]),
        ("bandit-5", vec![100], vec![("gittins", 78.3), ("thompson", 74.7), ("ucb", 78.0)]),
        ("mdp", vec![10; 10], vec![("psrl", 138.1)]),
        ("mdp", vec![10; 50], vec![("psrl", 904.0)]),
    ] {
        let env = environment(name, "--task").expect("it is there");
        let varied = Worlds::varied(&*env, "", "--context").expect("all of them");
        let worlds = Worlds::drawn(env.clone(), varied, [1000, 1], 1);
        let contexts: Vec<&[f32]> = (0..1000).map(|task| worlds.numbers_of(task)).collect();
        let found = env.rules(&contexts, &trial, 1);
        for (rule, want) in published {
            let got = found.iter().find(|(n, _)| *n == rule).expect("it is there").1;
            // Whose posterior of rewards theirs was is not said.
            let limit = if rule == "psrl" { 0.05 } else { 0.02 };
            assert!((got - want).abs() < limit * want, "{name} {rule}: {got}, published {want}");
            println!("{name} {rule} {got:.2}, published {want}");
        }
        let oracle: f64 = contexts
            .iter()
            .map(|c| trial.iter().map(|steps| env.oracle(c, *steps).expect("known")).sum::<f64>())
            .sum();
        assert!(found.iter().all(|(_, got)| oracle / 1000.0 > *got), "{name}: {}", oracle / 1000.0);
    }
}

/// Steps of a decision process go where its table says, and bring what it says.
#[test]
fn tables_are_what_happens() {
    let env = environment("mdp-3-2", "--task").expect("it is there");
    let (n, width) = (4000, env.context().len());
    let mut job = Job { steps: vec![vec![]], ..Job::default() };
    // Of state 2 and action 1, the last pair, the chances are .1, .3 and .6, the mean reward is 5.
    let mut table = vec![1.0; width];
    (table[15], table[16], table[17], table[width - 1]) = (1.0, 3.0, 6.0, 5.0);
    let state = data(&mut job, "state", &[n, 1, 3], [0.0, 0.0, 1.0].repeat(n));
    let action = data(&mut job, "action", &[n, 1, 2], [0.0, 1.0].repeat(n));
    let context = data(&mut job, "context", &[n, 1, width], table.repeat(n));
    let mut rng = hyperloom::rng::Rng::new(3, 0);
    let noise = data(&mut job, "noise", &[n, 1, 3], (0..3 * n).map(|_| rng.uniform()).collect());
    let e = job.graph.expr();
    let [state, action, context, noise] = [state, action, context, noise].map(|v| e.of(v));
    let done = env.step(Moment { state, action, context, noise });
    for (name, v) in [("state", done.state.value()), ("reward", done.reward.value())] {
        job.graph.output(&format!("next {name}"), v);
        job.read.push(format!("next {name}"));
    }
    let got = run_f64(&job).expect("it runs").values;
    for (k, want) in [0.1, 0.3, 0.6].into_iter().enumerate() {
        let often = got[0].iter().skip(k).step_by(3).sum::<f64>() / n as f64;
        assert!((often - want).abs() < 0.03, "state {k}: {often}");
    }
    let mean = got[1].iter().sum::<f64>() / n as f64;
    let square = got[1].iter().map(|r| (r - 5.0).powi(2)).sum::<f64>() / n as f64;
    assert!((mean - 5.0).abs() < 0.06 && (square - 1.0).abs() < 0.1, "{mean} and {square}");
}

/// Random numbers choose actions as often as the policy says.
#[test]
fn actions_are_drawn_as_often_as_they_are_likely() {
    let space = ActionSpace::Discrete(3);
    let mut job = Job { steps: vec![vec![]], ..Job::default() };
    let n = 3000;
    let logits = data(&mut job, "logits", &[1, 1, 3], vec![0.0, 1.0, -1.0]);
    let noise = data(&mut job, "noise", &[1, n, 1], (0..n).map(|i| (i as f64 + 0.5) / n as f64).collect());
    let e = job.graph.expr();
    let said = Distribution::new(&space, e.of(logits).expand(&[1, n, 3]), None);
    let (drawn, mode, any) = (said.draw(e.of(noise)), said.mode(), Distribution::any(&space, e.of(noise)));
    for (key, v) in [("drawn", drawn.value()), ("mode", mode.value()), ("any", any.value())] {
        job.graph.output(key, v);
        job.read.push(key.into());
    }
    let got = run_f64(&job).expect("it runs").values;
    let often = |of: &[f64]| [0, 1, 2].map(|k| of.iter().skip(k).step_by(3).sum::<f64>() / n as f64);
    for (got, want) in often(&got[0]).into_iter().zip([0.2447, 0.6652, 0.0900]) {
        assert!((got - want).abs() < 1e-3, "{got}, not {want}");
    }
    assert_eq!(often(&got[1]), [0.0, 1.0, 0.0]);
    assert!(often(&got[2]).iter().all(|x| (x - 1.0 / 3.0).abs() < 1e-3));
    assert!(got.iter().all(|of| of.chunks(3).all(|row| row.iter().sum::<f64>() == 1.0)), "one action each");
}

#[test]
fn what_is_no_context_is_refused() {
    let env = environment("cartpole", "--task").expect("it is there");
    let says = |text: &str| Worlds::parse(&*env, text, "--context").expect_err("it is refused").to_string();
    assert!(says("lenght=1..2").contains("did you mean 'length'"), "{}", says("lenght=1..2"));
    assert!(says("length=2..1").contains("no range"), "{}", says("length=2..1"));
    assert!(says("length=0..1").contains("0.01"), "{}", says("length=0..1"));
    assert!(says("length").contains("NAME=LOW..HIGH"), "{}", says("length"));
    assert!(says("length=1,length=2").contains("twice"), "{}", says("length=1,length=2"));
    assert!(says("length=nan").contains("no range"), "{}", says("length=nan"));
    for (name, part) in [("bandit-1", "2 to 32 arms"), ("mdp-4", "mdp-10-5"), ("bandit-x", "bandit-5")] {
        let unknown = environment(name, "--task").expect_err("there is none").to_string();
        assert!(unknown.contains(part), "{name}: {unknown}");
    }
    let unknown = environment("cartpool", "--task").expect_err("there is none").to_string();
    assert!(unknown.contains("did you mean 'cartpole'"), "{unknown}");
}

/// An agent in a world of one's own.
#[test]
fn it_learns() {
    let worlds = Worlds::usual(environment("cartpole", "--task").expect("it is there"), 1, 8);
    let policy = Policy::shared(&worlds, &[32, 32], 0);
    let mut trainer =
        PolicyTrainer::new(&Device::Cpu, worlds.clone(), policy, Learning::new(40_000), 0).expect("it fits");
    while trainer.left() > 0 {
        trainer.advance(8).expect("it learns");
    }
    let mut mean = |how| trainer.evaluate(&worlds, how, 1).expect("they are played").mean();
    let (learned, random) = (mean(Behaviour::Greedy), mean(Behaviour::Random));
    assert!(learned > 5.0 * random, "{learned} after learning, {random} at random");
}

/// What is usual is allowed.
#[test]
fn environments_are_values() {
    let all: Vec<Arc<dyn Environment>> = environments();
    assert!(all.iter().all(|e| e.context().iter().all(|c| (c.range[0]..=c.range[1]).contains(&c.usual))));
}
