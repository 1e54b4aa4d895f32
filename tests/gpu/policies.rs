//! Policies on the GPU: an iteration launch by launch beside the CPU, and whole episodes.

use hyperloom::net::Cell;
use hyperloom::policy::{
    Adaptation, Behaviour, Evolution, Learning, Memory, Policy, PolicyTrainer, Worlds, environment,
    environments,
};
use hyperloom::run::Device;

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
            _ => vec![Policy::shared(&worlds, &[8, 8], 1)],
        };
        if env.name() == "cartpole" {
            policies.push(Policy::own(&worlds, &[8, 8]));
            policies.push(Policy::generated(&worlds, &[8, 8], vec![16]));
        }
        if env.name() == "lane" {
            let mut squashed = Policy::generated(&worlds, &[8, 8], vec![16]);
            squashed.squashed = true;
            policies.push(squashed);
        }
        if env.name() == "navigation" {
            policies.push(Policy::adapted(&worlds, &[8], Adaptation::default()));
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
        for (policy, learning) in ways {
            let device = Device::Gpu(gpu.clone());
            let mut trainer =
                PolicyTrainer::new(&device, worlds.clone(), policy, learning, 3).expect("it fits");
            let report = trainer.lockstep(&gpu, 1).unwrap_or_else(|e| panic!("{}: {e}", env.name()));
            assert!(report.divergence.is_none(), "{}: {report:?}", env.name());
        }
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
