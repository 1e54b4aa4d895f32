//! An environment that is graph code, stepped on the host.

use std::sync::Arc;

use hyperloom::graph::Graph;
use hyperloom::plan::lower;
use hyperloom::policy::{
    ActionSpace, ContextNumber, Environment, HostEnvironment, HostStep, HostWorlds, Moment,
};
use hyperloom::run::Session;
use hyperloom::{Device, Result};

/// An environment that is graph code, stepped on the host.
#[derive(Debug)]
pub(crate) struct Twin(pub(crate) Arc<dyn Environment>);

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

    fn save(&mut self) -> Result<Option<Vec<f32>>> {
        Ok(Some(self.state.clone()))
    }

    fn restore(&mut self, saved: &[f32]) -> Result<()> {
        self.state.copy_from_slice(saved);
        Ok(())
    }
}
