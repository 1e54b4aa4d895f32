//! Which support rows moved a prediction: each is left out, for good and to first order.
//!
//! Leaving out a row changes its weight among n rows from 1/n to 0, and those of the others to 1/(n-1). To first order what is said moves by the
//! gradient, through the hypernetwork and all steps of adaptation, times these changes: the infinitesimal jackknife (Jaeckel 1972; Giordano et al. 2019), or an
//! influence function (Koh and Liang 2017) that is taken through the steps themselves and needs no Hessian. One gradient says it of all rows, where leaving each
//! out takes a network a row, which are adapted side by side.
//!
//! ```
//! use hyperloom::adapt::Adaptation;
//! use hyperloom::hyper::HyperSpec;
//! use hyperloom::net::Net;
//! use hyperloom::rng::Rng;
//! use hyperloom::spec::Activation::Tanh;
//! use hyperloom::task::{Likelihood, Task};
//! use hyperloom::{Device, Model};
//!
//! let net = Net::mlp(&[1, 8, 1], Tanh);
//! let weights = net.layout().init(&mut Rng::new(0, 0));
//! let (spec, how) = (HyperSpec::shared(net), Adaptation::fine_tuning(0.1, 10.0));
//! let model = Model::new(spec, Likelihood::values(1), how, weights)?;
//! let task = Task::from_support(vec![-1.0, 0.0, 1.0], vec![-0.5, 0.0, 5.0]).with_query(vec![0.9], vec![0.0]);
//! let found = model.influence(&Device::Cpu, &task, Some(10))?;
//! let moved = |row: usize| (found.without[row][0] - found.values[0]).abs();
//! assert!(moved(2) > moved(0)); // the nearest row, and the largest target
//! # Ok::<(), hyperloom::Error>(())
//! ```

use crate::adapt::{Asked, Rule, row_gradients};
use crate::error::{Error, Result};
use crate::meta::model::Model;
use crate::run::Device;
use crate::task::Task;

/// Outputs that gradients are taken of at most, over all query rows.
const MOST_OUTPUTS: usize = 512;
/// A share in the prediction that is none.
const NO_SHARE: f64 = 1e-6;

/// What leaving out each support row of a task changes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Influence {
    /// What is said of the query rows with all support rows, as [`Model::predict`] gives it, `[q · o]`.
    pub values: Vec<f32>,
    /// The same without each of the support rows.
    pub without: Vec<Vec<f32>>,
    /// What the gradient says of it.
    pub gradient: ByGradient,
}

/// What leaving out each support row moves to first order.
#[derive(Clone, Debug, PartialEq)]
pub enum ByGradient {
    /// What outputs of the first query rows stand for ([`Likelihood::said`](crate::task::Likelihood::said)): `[rows · o]` a support row.
    Said(Vec<Vec<f64>>),
    /// Where a query row has too many outputs, the mean loss of the query rows: a number a support row.
    Loss(Vec<f64>),
    /// Nothing: why.
    Nothing(&'static str),
}

impl Model {
    /// What leaving out each support row of a task changes in what is said of its query rows, after `steps` steps of adaptation (`None`: as [`Model::predict`]).
    ///
    /// # Errors
    /// [`Error::Shape`] where there are fewer than two support rows or no query rows, and those of [`Model::predict`].
    pub fn influence(&self, device: &Device, task: &Task, steps: Option<usize>) -> Result<Influence> {
        let (i, o) = (self.spec.target.inputs(), self.likelihood.outputs);
        let (n, q) = (task.shots(o), task.queries(o));
        if n < 2 || q == 0 {
            return Err(Error::Shape(format!(
                "a task of {n} support and {q} query rows: leaving a row out takes two support rows at least, and a query row that it may move"
            )));
        }
        let without = |row: usize| {
            let (mut xs, mut ys) = (task.xs.clone(), task.ys.clone());
            xs.drain(row * i..(row + 1) * i);
            ys.drain(row * o..(row + 1) * o);
            Task { xs, ys, ..task.clone() }
        };
        let tasks: Vec<Task> = (0..n).map(without).collect();
        let said = |tasks: &[Task]| -> Result<Vec<Vec<f32>>> {
            Ok(self.predict(device, tasks, steps)?.into_iter().map(|p| p.values).collect())
        };
        let values = said(std::slice::from_ref(task))?.concat();
        Ok(Influence { values, without: said(&tasks)?, gradient: self.by_gradient(device, task, steps)? })
    }

    /// The same to first order.
    fn by_gradient(&self, device: &Device, task: &Task, steps: Option<usize>) -> Result<ByGradient> {
        let attends = self.spec.condition.support.as_ref().is_some_and(|s| !s.set.is_empty());
        if attends || self.spec.generator.reads_rows() {
            return Ok(ByGradient::Nothing(
                "attention over the support asks whether a row is there, not how much it counts",
            ));
        }
        let o = self.likelihood.outputs;
        let rows_of = |class: usize| task.ys.iter().skip(class).step_by(o).filter(|y| **y > 0.0).count();
        if self.adaptation.rule == Rule::Prototypes && (0..o).any(|class| rows_of(class) == 1) {
            return Ok(ByGradient::Nothing(
                "the mean of a class with one row is that row, however much it counts",
            ));
        }
        let (rows, inputs) = (task.queries(o).min(MOST_OUTPUTS / o), self.spec.target.inputs());
        let parts = self.parts(device, task, steps)?;
        if rows == 0 {
            let ([(member, steps, _)], 1) = (&parts[..], self.spec.condition.draws()) else {
                return Ok(ByGradient::Nothing(
                    "several networks say together what a row with so many outputs is",
                ));
            };
            let found = self.gradients(device, Asked::Loss, *member, *steps, std::slice::from_ref(task))?;
            return Ok(ByGradient::Loss(found.concat()));
        }
        // A copy of the task for each output of each row, which asks for that one.
        let mut asked = Vec::with_capacity(rows * o);
        for (row, output) in (0..rows).flat_map(|row| (0..o).map(move |output| (row, output))) {
            let mut copy = task.clone();
            let at = if self.spec.target.mixes_rows() {
                row * o + output
            } else {
                copy.xq = task.xq[row * inputs..(row + 1) * inputs].to_vec();
                copy.yq.truncate(o);
                output
            };
            copy.yq.fill(0.0);
            copy.yq[at] = 1.0;
            asked.push(copy);
        }
        let mut moved = vec![vec![0.0; rows * o]; task.shots(o)];
        for (member, steps, share) in parts {
            let found = self.gradients(device, Asked::Said, member, steps, &asked)?;
            for (at, by_row) in found.iter().enumerate() {
                moved.iter_mut().zip(by_row).for_each(|(m, change)| m[at] += share * change);
            }
        }
        Ok(ByGradient::Said(moved))
    }

    /// What leaving out each support row moves of what is asked of each task, by one member's network.
    fn gradients(
        &self,
        device: &Device,
        asked: Asked,
        member: usize,
        steps: usize,
        tasks: &[Task],
    ) -> Result<Vec<Vec<f64>>> {
        let found = row_gradients(device, self.way(steps), asked, &self.members[member], tasks)?;
        Ok(found.iter().map(|g| g.left_out()).collect())
    }

    /// The networks that a prediction is made of: of which member, after how many steps, with which share. The pooled network, which no support row moves, is left out; shares
    /// that the support decides are taken as they are.
    fn parts(&self, device: &Device, task: &Task, steps: Option<usize>) -> Result<Vec<(usize, usize, f64)>> {
        let each = 1.0 / self.members.len() as f64;
        let (Some(gate), None) = (&self.choice.gate, steps) else {
            let steps = steps.unwrap_or(self.choice.steps);
            return Ok((0..self.members.len()).map(|m| (m, steps, each)).collect());
        };
        let tasks = std::slice::from_ref(task);
        let mut adapters = self.adapters(device, tasks, false)?;
        let mut parts = vec![];
        for (m, member) in self.members.iter().enumerate() {
            let c = self.candidates(&mut adapters, member, tasks)?;
            let [_, generated, adapted] = gate.shares(&self.likelihood, &c, 0);
            let of_member = [(0, generated), (self.choice.steps, adapted)];
            parts.extend(
                of_member
                    .map(|(steps, share)| (m, steps, each * share))
                    .into_iter()
                    .filter(|p| p.2 > NO_SHARE),
            );
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::Adaptation;
    use crate::hyper::HyperSpec;
    use crate::net::Net;
    use crate::rng::Rng;
    use crate::spec::Activation::Tanh;
    use crate::task::Likelihood;

    /// What stands for rows of many outputs: the loss of all query rows, whose gradient is what leaving out one row of many adds to it.
    #[test]
    fn the_loss_moves_as_its_gradient_says() -> Result<()> {
        for (likelihood, outputs) in [(Likelihood::values(2), 2), (Likelihood::classes(3), 3)] {
            let net = Net::mlp(&[1, 6, outputs], Tanh);
            let weights = net.layout().init(&mut Rng::new(4, 0));
            let how = Adaptation::fine_tuning(0.3, 10.0);
            let model = Model::new(HyperSpec::shared(net), likelihood, how, weights)?;
            let mut rng = Rng::new(5, 0);
            let mut rows = |n: usize| {
                let x: Vec<f32> = (0..n).map(|_| rng.range(-1.0, 1.0) as f32).collect();
                let classes = likelihood.has_classes();
                let target = |(row, x): (usize, &f32)| -> Vec<f32> {
                    let of = |o: usize| {
                        if classes { f32::from((row % outputs) == o) } else { (x * (o + 2) as f32).sin() }
                    };
                    (0..outputs).map(of).collect()
                };
                let y = x.iter().enumerate().flat_map(target).collect();
                (x, y)
            };
            let ((xs, ys), (xq, yq)) = (rows(100), rows(7));
            let task = Task::from_support(xs, ys).with_query(xq, yq);
            let found = model.influence(&Device::Cpu, &task, Some(3))?;
            let loss = |y: &[f32]| {
                let each = if likelihood.has_values() { 7.0 * outputs as f64 } else { 7.0 };
                likelihood.cost(&task.yq, y) / each
            };
            let by_gradient =
                &model.gradients(&Device::Cpu, Asked::Loss, 0, 3, std::slice::from_ref(&task))?[0];
            let (mut wrong, mut size) = (0.0, 0.0);
            for (without, gradient) in found.without.iter().zip(by_gradient) {
                let change = loss(without) - loss(&found.values);
                wrong += (change - gradient).powi(2);
                size += change.powi(2);
            }
            assert!(size > 0.0 && wrong < 0.01 * size, "{outputs} outputs: {wrong:.2e} of {size:.2e}");
        }
        Ok(())
    }
}
