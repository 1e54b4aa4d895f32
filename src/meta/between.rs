//! Networks on the straight way between those of two tasks: by what the hypernetwork reads of them, and by the weights themselves.
//!
//! Where a mixture of two conditions gives a network that does well on both tasks' kin, what is read varies smoothly with the task; where the way between two adapted
//! networks' weights crosses no bad ones, both lie in one basin (linear mode connectivity: Frankle et al. 2020).

use super::model::{Model, Network};
use crate::adapt::StartFrom;
use crate::error::Result;
use crate::graph::Graph;
use crate::hyper::Read;
use crate::net::Weights;
use crate::plan::lower;
use crate::run::Device;
use crate::task::Task;

/// `(1 - s) a + s b`
fn mixed(a: &[f32], b: &[f32], s: f64) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| ((1.0 - s) * f64::from(*a) + s * f64::from(*b)) as f32).collect()
}

impl Model {
    /// The networks, without a step of adaptation, that are written for `(1 - s) a + s b`, a and b what is read of two tasks, for each share s. `None` where a condition says nothing of new tasks, or not all: weights that all tasks share, embeddings alone, generators that read each support row, rounds of refinement, and networks that normalise by the support.
    ///
    /// # Errors
    /// Those of the device.
    pub fn between_conditions(
        &self,
        device: &Device,
        tasks: [&Task; 2],
        shares: &[f64],
    ) -> Result<Option<Vec<Network>>> {
        let spec = &self.spec;
        let reads_more = spec.generator.reads_rows() || spec.rounds > 0 || spec.target.reads_support();
        if !spec.condition.reads_new_tasks() || reads_more || shares.is_empty() {
            return Ok(None);
        }
        // A network for each draw of the noise, which stands last in a condition.
        let draws: Vec<Vec<f32>> = match spec.condition.noise {
            Some(noise) => noise.table().chunks(noise.width).map(<[f32]>::to_vec).collect(),
            None => vec![vec![]],
        };
        let (e, layout) = (spec.condition.width(), spec.layout());
        let t = shares.len() * draws.len();
        let mut g = Graph::new();
        let flat = g.data("params", &[layout.len()]);
        let condition = g.data("condition", &[t, e]);
        let w = spec.generate(&mut g, Weights { flat, layout: &layout }, Some(Read::of(condition)), t);
        g.output("weights", w);
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        let mut networks = vec![vec![]; shares.len()];
        for member in &self.members {
            let read = self.written(device, member, &tasks.map(Task::clone))?.condition;
            let (a, b) = read.split_at(e);
            session.write("params", &member.hyper[..layout.len()])?;
            let mut conditions = Vec::with_capacity(t * e);
            for (share, noise) in shares.iter().flat_map(|s| draws.iter().map(move |noise| (s, noise))) {
                conditions.extend(&mixed(a, b, *share)[..e - noise.len()]);
                conditions.extend(noise);
            }
            session.write("condition", &conditions)?;
            session.run(1)?;
            let written = session.read("weights")?;
            let corrected = |w: &[f32]| match self.choice.correction {
                1.0 => w.to_vec(),
                fraction => mixed(&member.pooled, w, fraction),
            };
            for (i, w) in written.chunks(written.len() / t).enumerate() {
                let mut network = self.plain(&corrected(w));
                self.adaptation.sharpen_head(spec, self.likelihood.loss, &member.hyper, &mut network);
                networks[i / draws.len()].push(self.sharpened(network));
            }
        }
        Ok(Some(networks.into_iter().map(|members| self.averaged(members)).collect()))
    }

    /// The networks whose weights are `(1 - s) a + s b`, a and b those of two tasks' networks after so many steps of adaptation, for each share s.
    ///
    /// # Errors
    /// Those of the device.
    pub fn between_weights(
        &self,
        device: &Device,
        tasks: [&Task; 2],
        shares: &[f64],
        steps: usize,
    ) -> Result<Vec<Network>> {
        let mut ends = vec![];
        for member in &self.members {
            let from = StartFrom::Generated(self.choice.correction);
            let adapted = |task: &Task| -> Result<Vec<Vec<f32>>> {
                let (known, draws) = (std::slice::from_ref(task), self.spec.condition.draws());
                let found = self.adapter(device, known, from, draws)?.adapt(member, from, known, steps)?;
                Ok(found.into_iter().map(|network| self.sharpened(network)).collect())
            };
            ends.extend(adapted(tasks[0])?.into_iter().zip(adapted(tasks[1])?));
        }
        let at = |s: &f64| self.averaged(ends.iter().map(|(a, b)| mixed(a, b, *s)).collect());
        Ok(shares.iter().map(at).collect())
    }

    /// The network whose members count alike.
    fn averaged(&self, members: Vec<Vec<f32>>) -> Network {
        let shares = vec![1.0 / members.len() as f64; members.len()];
        Network::new(self.network_spec(), self.likelihood, members, shares)
    }
}
