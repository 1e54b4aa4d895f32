//! Environments on the host: what is learned in them is what is learned in the same physics as graph code, number by number; they go on where they
//! stopped; and what they may not say is refused.

use std::sync::Arc;

use hyperloom::graph::Graph;
use hyperloom::net::Cell;
use hyperloom::plan::lower;
use hyperloom::policy::{
    ActionSpace, Adaptation, Behaviour, ContextNumber, Environment, Evolution, HostEnvironment, HostStep,
    HostWorlds, Learning, Memory, Moment, OnHost, Policy, PolicyTrainer, Setting, Worlds, environment,
};
use hyperloom::run::Session;
use hyperloom::{Device, Result};

/// An environment that is graph code, stepped on the host.
#[derive(Debug)]
struct Twin(Arc<dyn Environment>);

impl HostEnvironment for Twin {
    fn name(&self) -> &str {
        "twin"
    }

    fn observation(&self) -> usize {
        self.0.widths().observation
    }

    fn action(&self) -> ActionSpace {
        self.0.action()
    }

    fn context(&self) -> &[ContextNumber] {
        self.0.context()
    }

    fn horizon(&self) -> usize {
        self.0.horizon()
    }

    fn reward_scale(&self) -> f64 {
        self.0.reward_scale()
    }

    fn worlds(&self, many: usize) -> Result<Box<dyn HostWorlds>> {
        let (widths, wide) = (self.0.widths(), self.0.context().len());
        let mut g = Graph::new();
        let noise = g.data("noise", &[1, many, widths.noise]);
        let state = g.state("state", &[1, many, widths.state]);
        let fresh = g.data("fresh", &[1, many, 1]);
        let (context, action) =
            (g.data("context", &[1, many, wide]), g.data("action", &[1, many, self.0.action().width()]));
        let e = g.expr();
        let [noise, was, fresh, context, action] = [noise, state, fresh, context, action].map(|v| e.of(v));
        let start = self.0.start(context, noise);
        let done = self.0.step(Moment { state: was, action, context, noise });
        let found = [self.0.observe(done.state, context), done.reward, done.terminated];
        let [begun, after] = [fresh.choose(start, was), done.state];
        let first = self.0.observe(begun, context);
        let [seen, reward, terminated] = found.map(|x| x.value());
        let named = [
            ("seen", seen),
            ("reward", reward),
            ("terminated", terminated),
            ("begun", begun.value()),
            ("after", after.value()),
            ("first", first.value()),
        ];
        named.into_iter().for_each(|(name, v)| g.output(name, v));
        let plan = lower(&g, Device::Cpu.caps(1))?;
        let mut session = Device::Cpu.prepare(plan)?;
        // Starts and steps of what is twinned here use no chance.
        session.write("noise", &vec![0.0; many * widths.noise])?;
        session.write("action", &vec![0.0; many * self.0.action().width()])?;
        session.write("state", &vec![0.0; many * widths.state])?;
        Ok(Box::new(Twins { session, state: vec![0.0; many * widths.state] }))
    }
}

#[derive(Debug)]
struct Twins {
    session: Session,
    state: Vec<f32>,
}

impl HostWorlds for Twins {
    fn meet(&mut self, contexts: &[f32], _seed: u64) -> Result<()> {
        self.session.write("context", contexts)
    }

    fn start(&mut self, which: &[bool], seen: &mut [f32]) -> Result<()> {
        let fresh: Vec<f32> = which.iter().map(|w| f32::from(u8::from(*w))).collect();
        self.session.write("fresh", &fresh)?;
        self.session.write("state", &self.state)?;
        self.session.run(1)?;
        self.state = self.session.read("begun")?;
        let wide = seen.len() / which.len();
        let first = self.session.read("first")?;
        for i in (0..which.len()).filter(|i| which[*i]) {
            seen[i * wide..][..wide].copy_from_slice(&first[i * wide..][..wide]);
        }
        Ok(())
    }

    fn step(&mut self, actions: &[f32], found: HostStep<'_>) -> Result<()> {
        self.session.write("action", actions)?;
        self.session.write("state", &self.state)?;
        self.session.run(1)?;
        self.state = self.session.read("after")?;
        found.seen.copy_from_slice(&self.session.read("seen")?);
        found.reward.copy_from_slice(&self.session.read("reward")?);
        for (to, e) in found.terminated.iter_mut().zip(self.session.read("terminated")?) {
            *to = e != 0.0;
        }
        Ok(())
    }

    fn save(&self) -> Result<Option<Vec<f32>>> {
        Ok(Some(self.state.clone()))
    }

    fn restore(&mut self, saved: &[f32]) -> Result<()> {
        self.state.copy_from_slice(saved);
        Ok(())
    }
}

/// Goals in the plane, which begin at the origin, by graph code and on the host.
fn both(tasks: usize, each: usize) -> [Worlds; 2] {
    let own = environment("navigation", "").expect("it is there");
    let varied = Worlds::varied(&*own, "goal_x=-0.5..0.5,goal_y=-0.5..0.5", "--context").expect("it fits");
    let twin: Arc<dyn Environment> = Arc::new(OnHost(Twin(own.clone())));
    [own, twin].map(|env| Worlds::drawn(env, varied.clone(), [tasks, each], 3))
}

fn learning() -> Learning {
    let mut learning = Learning::new(1 << 20);
    (learning.steps, learning.epochs, learning.minibatches, learning.horizon) = (12, 2, 2, 7);
    learning
}

/// Policies of every kind, and how they learn.
fn policies(worlds: &Worlds) -> Vec<(&'static str, Policy, Learning)> {
    let memory = Memory::new(worlds, Cell::Gru, 5, vec![5, 7]);
    let (mut episode, mut trial) = (learning(), learning());
    (episode.steps, episode.minibatches, trial.horizon) = (7, 1, 0);
    let mut generation = episode;
    generation.epochs = 1;
    let (mut adaptation, mut evolution) = (Adaptation::default(), Evolution::default());
    (adaptation.updates, evolution.members) = (2, 6);
    let mut squashed = Policy::shared(worlds, &[6], 2);
    squashed.squashed = true;
    let generated = Policy::generated(worlds, &[6], vec![4]);
    let (mut noisy, mut noisy_trial) = (learning(), trial);
    (noisy.noise, noisy_trial.noise) = (0.1, 0.1);
    vec![
        ("shared", Policy::shared(worlds, &[6], 0), learning()),
        ("with noise on its weights", Policy::shared(worlds, &[6], 0), noisy),
        ("written, with noise", generated.clone(), noisy),
        ("remembering, with noise", Policy::remembering(worlds, &[6], memory.clone()), noisy_trial),
        (
            "with a generated critic",
            generated.clone().with_generated_critic(worlds, &[6], vec![3]),
            learning(),
        ),
        ("told and squashed", squashed, learning()),
        ("own", Policy::own(worlds, &[6]), learning()),
        ("generated", generated, learning()),
        ("remembering", Policy::remembering(worlds, &[6], memory.clone()).inferring(worlds, &[6]), trial),
        ("generated by memory", Policy::generated_by_memory(worlds, &[6], vec![4], memory), trial),
        ("adapted", Policy::adapted(worlds, &[6], adaptation), episode),
        ("evolved", Policy::evolved(worlds, &[6], evolution), generation),
    ]
}

fn near(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let scale = want.iter().fold(1e-3, |m: f32, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 1e-5 * scale, "{what}, number {i}: {g}, not {w}");
    }
}

#[test]
fn the_host_learns_what_the_graph_learns() {
    let [graph, host] = both(4, 2);
    for (name, policy, learning) in policies(&graph) {
        let mut found = [&graph, &host].map(|worlds| {
            let mut trainer =
                PolicyTrainer::new(&Device::Cpu, worlds.clone(), policy.clone(), learning, 1).expect(name);
            let mut told = vec![];
            for _ in 0..3 {
                told.extend(trainer.advance(1).expect(name));
            }
            (trainer, told)
        });
        let [(a, told), (b, told_of_host)] = &mut found;
        let params = [a, b].map(|t| t.params().expect(name));
        near(&format!("{name}: parameters"), &params[1], &params[0]);
        for (i, (want, got)) in told.iter().zip(&*told_of_host).enumerate() {
            let of = |p: &hyperloom::policy::Progressed| {
                [p.episodes, p.return_mean, p.length, p.reward].map(|x| x as f32).to_vec()
            };
            near(&format!("{name}: iteration {i}"), &of(got), &of(want));
        }
    }
}

#[test]
fn episodes_and_trajectories_are_the_same() {
    let [graph, host] = both(3, 2);
    for (name, policy, learning) in policies(&graph) {
        let params = policy.init(3, 5);
        let of = |worlds| Setting { worlds, policy: &policy, learning: &learning };
        for how in [Behaviour::Drawn, Behaviour::Greedy, Behaviour::Random] {
            let [want, got] =
                [&graph, &host].map(|w| of(w).episodes(&Device::Cpu, &params, how, 2).expect(name));
            near(&format!("{name}: returns"), &got.returns, &want.returns);
            assert_eq!(got.lengths, want.lengths, "{name}");
            assert_eq!(got.by_episode.len(), want.by_episode.len(), "{name}");
        }
        let many = 9;
        let [want, got] = [&graph, &host]
            .map(|w| of(w).trajectory(&Device::Cpu, &params, Behaviour::Greedy, many, 2).expect(name));
        near(&format!("{name}: seen"), &got.seen, &want.seen);
        near(&format!("{name}: done"), &got.action, &want.action);
        near(&format!("{name}: rewards"), &got.reward, &want.reward);
        assert_eq!((got.ended, got.over), (want.ended, want.over), "{name}");
        if name == "adapted" {
            let [want, got] =
                [&graph, &host].map(|w| of(w).adapted(&Device::Cpu, &params, 3, 2).expect(name));
            for (want, got) in want.iter().flatten().zip(got.iter().flatten()) {
                near("returns while it adapts", &got.returns, &want.returns);
            }
        }
    }
}

#[test]
fn it_goes_on_with_the_same_bits() {
    let [_, worlds] = both(2, 2);
    for (name, policy, learning) in policies(&worlds) {
        let new =
            || PolicyTrainer::new(&Device::Cpu, worlds.clone(), policy.clone(), learning, 1).expect(name);
        let mut whole = new();
        whole.advance(1).expect(name);
        let state = whole.state().expect(name);
        whole.advance(1).expect(name);
        let mut again = new();
        again.restore(&state).expect(name);
        again.advance(1).expect(name);
        assert_eq!(again.state().expect(name), whole.state().expect(name), "{name}");
    }
}

/// Worlds that say what they may not.
#[derive(Debug)]
struct Broken(&'static str);

impl HostEnvironment for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn observation(&self) -> usize {
        2
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::MultiDiscrete(vec![2, 3])
    }

    fn horizon(&self) -> usize {
        4
    }

    fn worlds(&self, _many: usize) -> Result<Box<dyn HostWorlds>> {
        Ok(Box::new(Broken(self.0)))
    }
}

impl HostWorlds for Broken {
    fn meet(&mut self, contexts: &[f32], _seed: u64) -> Result<()> {
        assert!(contexts.is_empty(), "nothing differs");
        Ok(())
    }

    fn start(&mut self, which: &[bool], seen: &mut [f32]) -> Result<()> {
        let bad = if self.0 == "start" { f32::INFINITY } else { 0.5 };
        seen.iter_mut().zip(which.repeat(2)).filter(|(_, w)| *w).for_each(|(x, _)| *x = bad);
        Ok(())
    }

    fn step(&mut self, actions: &[f32], found: HostStep<'_>) -> Result<()> {
        for row in actions.chunks(5) {
            assert!(row[..2].iter().sum::<f32>() == 1.0 && row[2..].iter().sum::<f32>() == 1.0, "{row:?}");
        }
        match self.0 {
            "reward" => found.reward[1] = f32::NAN,
            "seen" => found.seen[5] = f32::NAN,
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    let run = |what: &'static str, analytic: bool| {
        let worlds = Worlds::usual(Arc::new(OnHost(Broken(what))), 1, 4);
        let policy = Policy::shared(&worlds, &[4], 0);
        let mut learning = learning();
        (learning.analytic, learning.steps, learning.minibatches, learning.epochs) = (analytic, 8, 1, 1);
        let mut trainer = PolicyTrainer::new(&Device::Cpu, worlds, policy, learning, 0)?;
        trainer.advance(1).map(|found| found[0].episodes)
    };
    assert_eq!(run("nothing", false).expect("it runs"), 4.0);
    for (what, message) in [
        ("start", "environment 'broken': what is seen at the start of an episode is inf: world 0, number 0"),
        ("seen", "environment 'broken': what is seen after a step is NaN: world 2, number 1"),
        ("reward", "environment 'broken': the reward of a step is NaN: world 1, number 0"),
    ] {
        assert_eq!(run(what, false).expect_err(what).to_string(), message);
    }
    let message = run("nothing", true).expect_err("there is no gradient").to_string();
    assert!(
        message.contains("apg needs an environment that is graph code: broken runs on the host"),
        "{message}"
    );
}
