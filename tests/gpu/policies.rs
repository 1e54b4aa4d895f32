//! Policies on the GPU: an iteration launch by launch beside the CPU, and whole episodes.

use hyperloom::net::Cell;
use std::sync::Arc;

use hyperloom::policy::{
    Adaptation, Behaviour, Belief, Evolution, Learning, Memory, OnHost, Policy, PolicyTrainer, Setting,
    Worlds, environment, environments,
};
use hyperloom::run::Device;

use super::twin::Twin;

use super::gpu;

fn worlds(name: &str, tasks: usize, each: usize) -> Worlds {
    let environment = environment(name, "--task").expect("it is there");
    let first = &environment.context()[0];
    let text = format!("{}={}..{}", first.name, first.usual * 0.8 - 0.01, first.usual * 1.2 + 0.01);
    let text = match name {
        "mountain-car" | "mountain-car-continuous" => "gravity=0.002..0.003",
        "grid" => "goal_y=0..4",
        "lane" | "lane-discrete" => "grip=0.4..1",
        _ if environment.is_family() => "",
        _ => &text,
    };
    let varied = Worlds::varied(&*environment, text, "--context").expect("a range");
    Worlds::drawn(environment, varied, [tasks, each], 5)
}

fn learning() -> Learning {
    let mut learning = Learning::new(1);
    (learning.steps, learning.epochs, learning.minibatches, learning.horizon) = (8, 1, 2, 24);
    learning
}

/// Every environment in lockstep, and every kind of weights in one of them.
#[test]
fn iterations_in_lockstep() {
    let Some(gpu) = gpu(false) else { return };
    for env in environments() {
        let worlds = worlds(env.name(), 3, 4);
        let memory = Memory::new(&worlds, Cell::Gru, 8, vec![3, 5]);
        // Of families of tasks what finds out which it is in.
        let mut policies = match env.name() {
            "bandit" => vec![Policy::generated_by_memory(&worlds, &[8], vec![16], memory)],
            "mdp" => vec![Policy::remembering(&worlds, &[8], memory).inferring(&worlds, &[8])],
            // Read by convolutions.
            "grid-picture" => vec![Policy::shared(&worlds, &[8], 0)],
            _ => vec![Policy::shared(&worlds, &[8, 8], 1)],
        };
        if env.name() == "bandit" {
            let mut belief = Belief::new(3);
            belief.sampled = true;
            let memory = Memory::new(&worlds, Cell::Gru, 8, vec![8]).believing(belief);
            policies.push(Policy::remembering(&worlds, &[8], memory).inferring(&worlds, &[8]));
        }
        if env.name() == "cartpole" {
            policies.push(Policy::own(&worlds, &[8, 8]));
            let generated = Policy::generated(&worlds, &[8, 8], vec![16]);
            policies.push(generated.clone().with_generated_critic(&worlds, &[8], vec![4]));
            policies.push(generated);
        }
        if env.name() == "lane" {
            let mut squashed = Policy::generated(&worlds, &[8, 8], vec![16]);
            squashed.squashed = true;
            policies.push(squashed);
        }
        if env.name() == "navigation" {
            // Of the two objectives of adaptation the one of more operations.
            let mut adaptation = Adaptation::default();
            adaptation.dice = true;
            policies.push(Policy::adapted(&worlds, &[8], adaptation));
            let mut evolution = Evolution::default();
            evolution.members = 6;
            policies.push(Policy::evolved(&worlds, &[8], evolution));
        }
        let mut ways: Vec<_> = policies.into_iter().map(|policy| (policy, learning())).collect();
        if env.name() == "pendulum" {
            let mut analytic = learning();
            (analytic.analytic, analytic.minibatches) = (true, 1);
            ways.push((Policy::generated(&worlds, &[8], vec![8]), analytic));
        }
        if env.name() == "acrobot" {
            let mut noisy = learning();
            noisy.noise = 0.1;
            ways.push((Policy::shared(&worlds, &[8], 0), noisy));
        }
        for (policy, learning) in ways {
            let device = Device::Gpu(gpu.clone());
            let mut trainer =
                PolicyTrainer::new(&device, worlds.clone(), policy, learning, 3).expect("it fits");
            let report = trainer.lockstep(&gpu, 1).unwrap_or_else(|e| panic!("{}: {e}", env.name()));
            assert!(report.divergence.is_none(), "{}: {report:?}", env.name());
        }
    }
}

/// What happened on the host is learned from in lockstep, and agents that act on the GPU get what those on the CPU get.
#[test]
fn worlds_on_the_host() {
    let Some(gpu) = gpu(false) else { return };
    let mut worlds = worlds("navigation", 3, 2);
    worlds.environment = Arc::new(OnHost(Twin(worlds.environment)));
    let device = Device::Gpu(gpu.clone());
    let memory = Memory::new(&worlds, Cell::Gru, 8, vec![3, 5]);
    for policy in [Policy::generated(&worlds, &[8], vec![8]), Policy::remembering(&worlds, &[8], memory)] {
        let mut trainer =
            PolicyTrainer::new(&device, worlds.clone(), policy.clone(), learning(), 3).expect("it fits");
        let report = trainer.lockstep(&gpu, 1).expect("it runs");
        assert!(report.divergence.is_none(), "{report:?}");
        let params = policy.init(3, 1);
        let learning = learning();
        let setting = Setting { worlds: &worlds, policy: &policy, learning: &learning };
        let of =
            |device: &Device| setting.episodes(device, &params, Behaviour::Greedy, 1).expect("played").mean();
        let (here, there) = (of(&Device::Cpu), of(&device));
        assert!((here - there).abs() < 1e-3 * here.abs(), "{here} and {there}");
    }
}

/// What a GPU draws is what the CPU draws: lengths of episodes at random are the same, but where a fall is a matter of rounding.
#[test]
fn episodes_at_random() {
    let Some(gpu) = gpu(false) else { return };
    let worlds = worlds("cartpole", 4, 16);
    for policy in [Policy::shared(&worlds, &[8], 0), Policy::own(&worlds, &[8])] {
        let of = |device: &Device| {
            let mut trainer =
                PolicyTrainer::new(device, worlds.clone(), policy.clone(), learning(), 2).expect("it fits");
            trainer.evaluate(&worlds, Behaviour::Random, 1).expect("they are played")
        };
        let (here, there) = (of(&Device::Cpu), of(&Device::Gpu(gpu.clone())));
        let same = here.lengths.iter().zip(&there.lengths).filter(|(a, b)| a == b).count();
        assert!(same >= 62, "{here:?} and {there:?}");
    }
}
