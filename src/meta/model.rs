//! A trained model: what a run leaves, and what an app loads to adapt to a new task.

use serde::{Deserialize, Serialize};

use super::packed;
use crate::adapt::{
    Adaptation, Adapter, Candidates, Forward, Gate, Generated, Lease, Member, Pool, StartFrom,
    TaskPredictions, Way,
};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::hyper::HyperSpec;
use crate::net::{Compression, Net, ParamLayout, Weights};
use crate::plan::lower;
use crate::run::Device;
use crate::task::{Intervals, Likelihood, Task, support_as_query};

/// What was chosen on validation tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Choice {
    /// Steps of adaptation.
    pub steps: usize,
    /// Fraction of the generated correction to the pooled network that is kept (1: the generated weights).
    pub correction: f64,
    /// How pooled, generated and adapted networks are weighed, where they are.
    #[serde(default)]
    pub gate: Option<Gate>,
    /// What logits are multiplied by, so that probabilities are right as often as they say (temperature scaling: Guo et al.
    /// 2017; the temperature is 1 over this).
    #[serde(default = "one")]
    pub sharpness: f64,
    /// Factors of predictive intervals, of values.
    #[serde(default)]
    pub intervals: Option<Intervals>,
}

fn one() -> f64 {
    1.0
}

impl Default for Choice {
    fn default() -> Choice {
        Choice { steps: 0, correction: 1.0, gate: None, sharpness: 1.0, intervals: None }
    }
}

/// A trained model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Model {
    /// The hypernetwork.
    pub spec: HyperSpec,
    /// How its outputs are read and judged.
    pub likelihood: Likelihood,
    /// How generated weights go on learning.
    pub adaptation: Adaptation,
    /// How the pooled network does, to be held against.
    pub fine_tuning: Adaptation,
    /// Whose predictions are averaged.
    pub members: Vec<Member>,
    /// What was chosen on validation tasks.
    pub choice: Choice,
    /// How files hold its parameters, which it has made of them: what networks use is said by the target ([`Net::compressed`]).
    pub stored: Compression,
    /// Plans that were prepared for earlier calls.
    pub(crate) ready: Pool<Adapter>,
}

/// What a model says about the query rows of a task.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// Values, or logarithms of class probabilities, `[q · o]`.
    pub values: Vec<f32>,
    /// Predictive standard deviation of each row `[q]`; NaN where nothing is known of it.
    pub deviation: Vec<f32>,
    /// How far the networks that noise makes of a task, those of all members, disagree on each row `[q]`: their standard deviation of values, and of classes
    /// what knowing the network would say of the class, in nats. Empty where there is no noise.
    pub disagreement: Vec<f32>,
    /// How wide intervals are by the deviation, of values.
    pub(crate) intervals: Option<Intervals>,
}

impl Prediction {
    /// Points ahead of what is known up to which forecasts of series have intervals.
    pub fn points_ahead(&self) -> usize {
        self.intervals.as_ref().map_or(0, |intervals| intervals.growth.len().max(1))
    }

    /// Half the width of intervals around the values of each row `[q]` that cover the share `level` of rows, from .1 to .95 (the
    /// nearest level that was fitted: [`LEVELS`](crate::task::LEVELS)). NaN where nothing is known of the row's deviation.
    /// `None` where classes are predicted, which have probabilities instead, and where steps were asked for that intervals
    /// were not fitted with.
    #[must_use]
    pub fn half_widths(&self, level: f64) -> Option<Vec<f32>> {
        let factor = self.intervals.as_ref()?.factor(level) as f32;
        Some(self.deviation.iter().map(|d| factor * d).collect())
    }

    /// The same intervals as low and high ends, of each value `[q · o]`.
    #[must_use]
    pub fn intervals(&self, level: f64) -> Option<Vec<[f32; 2]>> {
        let half = self.half_widths(level)?;
        let outputs = self.values.len() / half.len().max(1);
        let ends = |(i, y): (usize, &f32)| [y - half[i / outputs], y + half[i / outputs]];
        Some(self.values.iter().enumerate().map(ends).collect())
    }
}

/// Predictions `[steps][tasks][q · o]`.
pub(crate) type Predictions = Vec<Vec<Vec<f32>>>;

/// Prepared plans by which members are asked about some tasks.
#[derive(Debug)]
pub(crate) struct Adapters {
    /// For generated and adapted networks.
    adapter: Lease<Adapter>,
    /// For the pooled network, on query rows and on support rows, where networks are weighed.
    pooled: Option<[(Lease<Adapter>, Vec<Task>); 2]>,
}

impl Model {
    /// A model of one hypernetwork, by its parameters as [`Adaptation::layout`] has them: trained elsewhere, or yet to be. Nothing is
    /// chosen: no step of adaptation is taken unless it is asked for.
    ///
    /// # Errors
    /// [`Error::Shape`] where the parts do not fit one another.
    pub fn new(
        spec: HyperSpec,
        likelihood: Likelihood,
        adaptation: Adaptation,
        params: Vec<f32>,
    ) -> Result<Model> {
        spec.check().map_err(Error::Shape)?;
        let needed = if adaptation.fits(&spec) { adaptation.layout(&spec).len() } else { 0 };
        if needed == 0 || params.len() != needed || spec.target.outputs() != likelihood.outputs {
            return Err(Error::Shape(format!(
                "a model of {needed} parameters and {} outputs was given {} parameters and a likelihood of {} outputs (0 \
                 parameters: the network has nothing of the kind that adaptation changes)",
                spec.target.outputs(),
                params.len(),
                likelihood.outputs
            )));
        }
        let pooled = spec.layout().get("head.bias").map_or(vec![], |p| params[p.range()].to_vec());
        let members = vec![Member { pooled, hyper: params }];
        let fine_tuning = Adaptation::fine_tuning(adaptation.rate, adaptation.clip);
        let (choice, stored, ready) = Default::default();
        Ok(Model { spec, likelihood, adaptation, fine_tuning, members, choice, stored, ready })
    }

    /// The same model in fewer bytes: its parameters, pooled networks among them, as `stored` says, and the networks that it makes as `networks` says. These are
    /// rounded as they adapt, so that adaptation knows; nothing is trained anew.
    ///
    /// # Errors
    /// [`Error::Shape`] where numbers are too large for 16 bits, or `networks` is nothing that networks use.
    pub fn compressed(&self, stored: Compression, networks: Compression) -> Result<Model> {
        stored.check_share().and_then(|()| networks.check()).map_err(Error::Shape)?;
        let mut model = Model { stored, ready: Pool::default(), ..self.clone() };
        model.spec.target = model.spec.target.compressed(networks);
        let (hyper, target) = (self.layout_in_files(), self.spec.target.layout());
        for member in &mut model.members {
            for (layout, weights) in [(&hyper, &mut member.hyper), (&target, &mut member.pooled)] {
                if layout.len() == weights.len() {
                    compress(layout, &stored, weights)?;
                }
            }
        }
        Ok(model)
    }

    /// What its parameters are, where those that are a network's weights are looked at as such.
    pub(crate) fn layout_in_files(&self) -> ParamLayout {
        layout_in_files(&self.adaptation.layout(&self.spec), &self.spec.target.layout())
    }

    /// The same model, whose networks read numbers of eight bits in their dense layers and convolutions, by scales that have room for what those of these tasks read of their
    /// support rows after so many steps of adaptation (`None`: as many as were chosen). Adaptation knows.
    ///
    /// # Errors
    /// Those of [`Model::adapt_many`].
    pub fn calibrated(&self, device: &Device, tasks: &[Task], steps: Option<usize>) -> Result<Model> {
        let mut model = Model { ready: Pool::default(), ..self.clone() };
        model.spec.target = model.spec.target.reading_eight_bits(vec![]);
        let mut largest: Vec<f32> = vec![0.0; model.spec.target.products()];
        for (network, task) in model.adapt_many(device, tasks, steps)?.iter().zip(tasks) {
            let read = network.largest_read(device, &task.xs)?;
            largest.iter_mut().zip(read).for_each(|(most, read)| *most = most.max(read));
        }
        model.spec.target = model.spec.target.reading_eight_bits(scales(&largest));
        Ok(model)
    }

    /// Predictions of all members together, on the query rows of `tasks`, after each number of steps.
    pub(crate) fn predict_after(
        &self,
        device: &Device,
        tasks: &[Task],
        from: StartFrom,
        steps: &[usize],
    ) -> Result<Predictions> {
        Ok(self.said_after(device, tasks, from, steps)?.0)
    }

    /// The same, and how far the networks of each task disagree on its rows `[steps][tasks][q]`.
    fn said_after(
        &self,
        device: &Device,
        tasks: &[Task],
        from: StartFrom,
        steps: &[usize],
    ) -> Result<(Predictions, Predictions)> {
        let mut found = self.member_predictions(device, tasks, from, steps)?;
        let each = found.iter_mut().flatten().flat_map(|f| &mut f.predictions).flatten();
        each.for_each(|v| *v *= self.sharpness());
        let members = |k: usize, of: fn(&TaskPredictions) -> &Vec<Vec<f32>>| -> Vec<Vec<Vec<f32>>> {
            found.iter().map(|m| of(&m[k]).clone()).collect()
        };
        let said = |k| self.likelihood.combine(&members(k, |f| &f.predictions));
        let apart = |k| {
            let (said, apart) = (members(k, |f| &f.predictions), members(k, |f| &f.disagreement));
            self.disagreement(tasks.len(), &said, &apart)
        };
        Ok(((0..steps.len()).map(said).collect(), (0..steps.len()).map(apart).collect()))
    }

    /// Of each member and number of steps.
    fn member_predictions(
        &self,
        device: &Device,
        tasks: &[Task],
        from: StartFrom,
        steps: &[usize],
    ) -> Result<Vec<Vec<TaskPredictions>>> {
        let mut adapter = self.adapter(device, tasks, from, self.draws(from))?;
        self.members.iter().map(|m| adapter.predict(m, from, tasks, steps)).collect()
    }

    /// Number of prepared sets of plans that are kept for the next call. Numbers of tasks and rows go into buckets (1, 2, 4, 8, 10,
    /// 12, 14, 16, 20, ..), and a call whose sizes lie in known buckets on a known device prepares nothing. Eight are kept at most,
    /// and 256 MiB of their slots; clones of a model share them.
    pub fn prepared(&self) -> usize {
        self.ready.len()
    }

    /// Plans by which members are asked about tasks; also about what a gate needs, where it is asked for or chosen.
    pub(crate) fn adapters(&self, device: &Device, tasks: &[Task], gate: bool) -> Result<Adapters> {
        let from = StartFrom::Generated(self.choice.correction);
        let pooled = |tasks: Vec<Task>| Ok((self.adapter(device, &tasks, StartFrom::Pooled, 1)?, tasks));
        Ok(Adapters {
            adapter: self.adapter(device, tasks, from, self.draws(from))?,
            pooled: (gate || self.choice.gate.is_some())
                .then(|| Ok::<_, Error>([pooled(tasks.to_vec())?, pooled(support_as_query(tasks))?]))
                .transpose()?,
        })
    }

    /// What one member says about tasks: by its pooled, its generated and its adapted network.
    pub(crate) fn candidates(
        &self,
        adapters: &mut Adapters,
        m: &Member,
        tasks: &[Task],
    ) -> Result<Candidates> {
        let mut c = Candidates::default();
        let from = StartFrom::Generated(self.choice.correction);
        let found = adapters.adapter.predict(m, from, tasks, &[0, self.choice.steps])?;
        let [generated, adapted] = <[TaskPredictions; 2]>::try_from(found).unwrap_or_default();
        c.evidence = adapted.evidence.iter().map(|e| e.map(f64::from)).collect();
        (c.variance, c.disagreement) = (adapted.variance, adapted.disagreement);
        if let Some(pooled) = &mut adapters.pooled {
            let [query, support] = pooled.each_mut().map(|(adapter, tasks)| {
                let found = adapter.predict(m, StartFrom::Pooled, tasks, &[0])?;
                Ok::<_, Error>(found.into_iter().next().unwrap_or_default().predictions)
            });
            c.predictions[0] = query?;
            let cost = |(t, y): (&Task, &Vec<f32>)| (self.likelihood.cost(&t.ys, y), t.ys.len() as f64);
            c.pooled = tasks.iter().zip(&support?).map(cost).collect();
        }
        c.predictions[1] = generated.predictions;
        c.predictions[2] = adapted.predictions;
        c.sharpen(self.sharpness());
        Ok(c)
    }

    /// What one member writes for tasks, by the first draw of the noise where there is any.
    pub(crate) fn written(&self, device: &Device, m: &Member, tasks: &[Task]) -> Result<Generated> {
        self.adapter(device, tasks, StartFrom::Generated(1.0), 1)?.written(m, tasks)
    }

    /// What adapts of one member's networks to tasks, after so many steps, and the weights of these networks; by the first draw of the noise where there is any.
    pub(crate) fn adapted(
        &self,
        device: &Device,
        m: &Member,
        tasks: &[Task],
        steps: usize,
    ) -> Result<[Vec<Vec<f32>>; 2]> {
        let from = StartFrom::Generated(self.choice.correction);
        let mut adapter = self.adapter(device, tasks, from, 1)?;
        Ok([adapter.codes(m, tasks, steps)?, adapter.adapt(m, from, tasks, steps)?])
    }

    /// The way to its networks after so many steps.
    pub(crate) fn way(&self, steps: usize) -> Way<'_> {
        Way {
            hyper: &self.spec,
            adaptation: &self.adaptation,
            kind: self.likelihood.loss,
            fraction: self.choice.correction,
            sharpness: self.sharpness(),
            steps,
        }
    }

    /// What the outputs of a network are multiplied by.
    pub(super) fn sharpness(&self) -> f32 {
        if self.likelihood.has_classes() { self.choice.sharpness as f32 } else { 1.0 }
    }

    /// One member's predictions as chosen, and their deviations `[q]` where there are intervals.
    pub(crate) fn combined(&self, tasks: &[Task], c: &Candidates) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
        let y = match &self.choice.gate {
            Some(gate) => gate.mixed(&self.likelihood, c),
            None => c.predictions[2].clone(),
        };
        let unknown = self.choice.intervals.as_ref().map_or(1.0, |i| i.variance);
        let deviation = tasks.iter().enumerate().map(|(t, task)| {
            let rows = task.queries(self.likelihood.outputs);
            let noise = self.choice.intervals.as_ref().map_or(0.0, |i| i.noise);
            let adapted = |row: usize| match (c.variance.get(t), c.disagreement.get(t)) {
                (Some(v), _) => f64::from(v[row]),
                (None, Some(v)) => f64::from(v[row]) + noise,
                (None, None) => unknown,
            };
            let share = match &self.choice.gate {
                Some(gate) => gate.shares(&self.likelihood, c, t)[2],
                None => 1.0,
            };
            (0..rows).map(|r| (share * adapted(r) + (1.0 - share) * unknown).sqrt() as f32).collect()
        });
        (y, deviation.collect())
    }

    /// Predictions on the query rows of `tasks`, after `steps` steps of adaptation (`None`: with the steps, the weighing and the
    /// intervals that were chosen on validation tasks).
    ///
    /// # Errors
    /// [`Error::Shape`] where a task has NaN or infinity; [`Error::Memory`] or [`Error::Device`] where the device refuses.
    pub fn predict(&self, device: &Device, tasks: &[Task], steps: Option<usize>) -> Result<Vec<Prediction>> {
        let (i, o) = (self.spec.target.inputs(), self.likelihood.outputs);
        for task in tasks {
            check_finite("the support's inputs", &task.xs, i)
                .and_then(|()| check_finite("the support's targets", &task.ys, o))
                .and_then(|()| check_finite("the query's inputs", &task.xq, i))
                .map_err(|e| Error::Shape(format!("task '{}': {e}", task.name)))?;
        }
        if let Some(steps) = steps {
            let from = StartFrom::Generated(self.choice.correction);
            let (found, disagreement) = self.said_after(device, tasks, from, &[steps])?;
            let unknown = |(values, disagreement): (Vec<f32>, Vec<f32>)| {
                let deviation = vec![f32::NAN; values.len() / self.likelihood.outputs];
                Prediction { values, deviation, disagreement, intervals: None }
            };
            return Ok(found.concat().into_iter().zip(disagreement.concat()).map(unknown).collect());
        }
        let mut disagreement = vec![];
        let (mut all, mut variance): (Vec<Vec<Vec<f32>>>, Vec<Vec<f64>>) = (vec![], vec![]);
        let mut adapters = self.adapters(device, tasks, false)?;
        for m in &self.members {
            let candidates = self.candidates(&mut adapters, m, tasks)?;
            let (y, d) = self.combined(tasks, &candidates);
            disagreement.push(candidates.disagreement);
            variance.resize_with(tasks.len(), Vec::new);
            for (sum, d) in variance.iter_mut().zip(&d) {
                sum.resize(d.len(), 0.0);
                sum.iter_mut().zip(d).for_each(|(s, d)| *s += (*d as f64).powi(2));
            }
            all.push(y);
        }
        let n = self.members.len() as f64;
        let deviation = variance.iter().map(|v| v.iter().map(|v| (v / n).sqrt() as f32).collect());
        let values = self.likelihood.combine(&all);
        let disagreement = self.disagreement(tasks.len(), &all, &disagreement);
        Ok(values
            .into_iter()
            .zip(deviation)
            .zip(disagreement)
            .map(|((values, deviation), disagreement)| {
                let intervals = self.choice.intervals.clone();
                Prediction { values, deviation, disagreement, intervals }
            })
            .collect())
    }

    /// How far the networks of so many tasks disagree on each of their rows, by what those of each member say `[members][tasks][q · o]` and how far they disagree
    /// `[members][tasks][q]`.
    fn disagreement(&self, tasks: usize, said: &[Vec<Vec<f32>>], apart: &[Vec<Vec<f32>>]) -> Vec<Vec<f32>> {
        let (likelihood, draws) = (self.likelihood, self.spec.condition.draws());
        let of = |t: usize| {
            let members: Vec<(&[f32], &[f32])> = said
                .iter()
                .zip(apart)
                .filter_map(|(said, apart)| Some((&said[t][..], &apart.get(t)?[..])))
                .collect();
            if members.is_empty() {
                return vec![];
            }
            let all = likelihood.loss.disagreement_of_all(&members, draws, likelihood.outputs);
            all.into_iter().map(|v| if likelihood.has_values() { v.sqrt() } else { v }).collect()
        };
        (0..tasks).map(of).collect()
    }

    /// Networks that a member writes for a task; the pooled one is one.
    fn draws(&self, from: StartFrom) -> usize {
        if from == StartFrom::Pooled { 1 } else { self.spec.condition.draws() }
    }

    pub(super) fn adapter(
        &self,
        device: &Device,
        tasks: &[Task],
        from: StartFrom,
        draws: usize,
    ) -> Result<Lease<Adapter>> {
        let adaptation = if from == StartFrom::Pooled { self.fine_tuning } else { self.adaptation };
        Adapter::leased(&self.ready, device, &self.spec, self.likelihood.loss, adaptation, tasks, draws)
    }

    /// The network of one new task: generated from its support rows `xs [n, i]`, `ys [n, o]`, then adapted for
    /// `steps` steps (`None`: as many as were chosen on validation tasks).
    ///
    /// # Errors
    /// [`Error::Shape`] where the arrays do not fit the model, or hold NaN or infinity.
    pub fn adapt(&self, device: &Device, support: &Task, steps: Option<usize>) -> Result<Network> {
        let networks = self.adapt_many(device, std::slice::from_ref(support), steps)?;
        networks.into_iter().next().ok_or_else(|| Error::Shape("no task was given".into()))
    }

    /// The networks of many new tasks, which learn side by side: of a thousand users it is a few batches, and not a thousand calls. What
    /// becomes of a task does not depend on the others, up to the order of sums.
    ///
    /// # Errors
    /// Those of [`Model::adapt`]; also where the network normalises over the rows of a task, and tasks have not as many as each other.
    ///
    /// ```
    /// # use hyperloom::adapt::Adaptation;
    /// # use hyperloom::hyper::HyperSpec;
    /// # use hyperloom::net::Net;
    /// # use hyperloom::rng::Rng;
    /// # use hyperloom::spec::Activation;
    /// # use hyperloom::task::Likelihood;
    /// use hyperloom::{Device, Model, Task};
    /// # let net = Net::mlp(&[1, 8, 1], Activation::Tanh);
    /// # let weights = net.layout().init(&mut Rng::new(0, 0));
    /// # let (adaptation, one) = (Adaptation::fine_tuning(0.1, 10.0), Likelihood::values(1));
    /// # let model = Model::new(HyperSpec::shared(net), one, adaptation, weights)?;
    /// let users: Vec<Task> = (0..100).map(|u| Task::from_support(vec![0.0, 1.0], vec![0.0, u as f32 / 100.0])).collect();
    /// let networks = model.adapt_many(&Device::Cpu, &users, Some(50))?;
    /// let said = networks[80].predict(&Device::Cpu, &[0.5])?;
    /// assert!(networks.len() == 100 && (said[0] - 0.4).abs() < 0.2);
    /// # Ok::<(), hyperloom::Error>(())
    /// ```
    pub fn adapt_many(&self, device: &Device, tasks: &[Task], steps: Option<usize>) -> Result<Vec<Network>> {
        if tasks.is_empty() {
            return Ok(vec![]);
        }
        for (at, task) in tasks.iter().enumerate() {
            let of_many = |e| if tasks.len() > 1 { format!("task {at}: {e}") } else { e };
            self.check_support(task).map_err(|e| Error::Shape(of_many(e)))?;
        }
        let from = StartFrom::Generated(self.choice.correction);
        let mut adapters = self.adapters(device, tasks, false)?;
        let mut found: Vec<(Vec<Vec<f32>>, Vec<f64>)> = vec![Default::default(); tasks.len()];
        for m in &self.members {
            // Of each task as many networks, one after another.
            let mut add = |networks: Vec<Vec<f32>>, share: &dyn Fn(usize) -> f64| {
                let each = networks.len() / tasks.len();
                for (k, w) in networks.into_iter().enumerate() {
                    let (members, shares) = &mut found[k / each];
                    members.push(self.sharpened(w));
                    shares.push(share(k / each) / (self.members.len() * each) as f64);
                }
            };
            // Steps that are asked for are taken as they are.
            if let (Some(gate), None) = (&self.choice.gate, steps) {
                let c = self.candidates(&mut adapters, m, tasks)?;
                let shares: Vec<[f64; 3]> =
                    (0..tasks.len()).map(|t| gate.shares(&self.likelihood, &c, t)).collect();
                let plain = match &mut adapters.pooled {
                    Some([(adapter, tasks), _]) if self.spec.target.reads_support() => {
                        adapter.adapt(m, StartFrom::Pooled, tasks, 0)?
                    }
                    _ => vec![self.plain(&m.pooled); tasks.len()],
                };
                add(plain, &|t| shares[t][0]);
                add(adapters.adapter.adapt(m, from, tasks, 0)?, &|t| shares[t][1]);
                add(adapters.adapter.adapt(m, from, tasks, self.choice.steps)?, &|t| shares[t][2]);
            } else {
                add(adapters.adapter.adapt(m, from, tasks, steps.unwrap_or(self.choice.steps))?, &|_| 1.0);
            }
        }
        let (spec, draws) = (self.network_spec(), self.spec.condition.draws());
        let network = |(members, shares)| Network {
            draws,
            ..Network::new(spec.clone(), self.likelihood, members, shares)
        };
        Ok(found.into_iter().map(network).collect())
    }

    /// Refuses a support set that the model cannot read.
    fn check_support(&self, support: &Task) -> Result<(), String> {
        let (i, o) = (self.spec.target.inputs(), self.likelihood.outputs);
        let rows = support.ys.len() / o;
        if rows == 0 || support.ys.len() != rows * o || support.xs.len() != rows * i {
            return Err(format!(
                "a support set needs rows of {i} inputs and {o} outputs; {} and {} numbers were given",
                support.xs.len(),
                support.ys.len()
            ));
        }
        if support.descriptor.len() != self.spec.condition.descriptor {
            return Err(format!(
                "the model reads a descriptor of {} numbers; {} were given",
                self.spec.condition.descriptor,
                support.descriptor.len()
            ));
        }
        check_finite("the descriptor", &support.descriptor, support.descriptor.len())?;
        check_finite("the support's inputs", &support.xs, i)?;
        check_finite("the support's targets", &support.ys, o)
    }

    /// What of its only member adapts to a task in `steps` steps (`None`: as many as were chosen): the context parameters, the
    /// weights of the last layer, or, where weights are generated, all of the task's network.
    ///
    /// # Errors
    /// [`Error::Shape`] where the arrays do not fit the model, or it has several members or normalises by the support.
    pub fn code(&self, device: &Device, support: &Task, steps: Option<usize>) -> Result<Vec<f32>> {
        let [member] = self.only_member()?;
        if !self.spec.is_shared() {
            let network = self.adapt(device, support, steps)?;
            return Ok(network.members.concat());
        }
        let tasks = [support.clone()];
        let mut adapter = self.adapter(device, &tasks, StartFrom::Generated(1.0), 1)?;
        Ok(adapter.codes(member, &tasks, steps.unwrap_or(self.choice.steps))?.concat())
    }

    /// The network that a code stands for ([`Model::code`]).
    ///
    /// # Errors
    /// [`Error::Shape`] where the code has another length than the model's.
    pub fn network_of_code(&self, device: &Device, code: &[f32]) -> Result<Network> {
        let [member] = self.only_member()?;
        let (spec, shared) = (self.network_spec(), self.spec.is_shared());
        let length = if shared { self.adaptation.width(&self.spec) } else { spec.layout().len() };
        if code.len() != length {
            let message = format!("a code of this model has {length} numbers, and {} were given", code.len());
            return Err(Error::Shape(message));
        }
        let weights = match shared {
            true => {
                // What all tasks start with; no row is looked at.
                let (i, o) = (self.spec.target.inputs(), self.likelihood.outputs);
                let any = [Task::from_support(vec![0.0; i], vec![0.0; o])];
                let start = self.written(device, member, &any)?.weights.concat();
                self.adaptation.network(&self.spec, &start, code)
            }
            false => code.to_vec(),
        };
        Ok(Network::new(spec, self.likelihood, vec![weights], vec![1.0]))
    }

    fn only_member(&self) -> Result<&[Member; 1]> {
        let one = <&[Member; 1]>::try_from(&self.members[..]).ok();
        one.filter(|_| !self.spec.target.reads_support()).ok_or_else(|| {
            Error::Shape(
                "codes are of models of one member whose network does not normalise by its support".into(),
            )
        })
    }

    /// A network with its outputs sharpened: its head is multiplied.
    pub(super) fn sharpened(&self, mut weights: Vec<f32>) -> Vec<f32> {
        if let Some(head) = self.network_spec().head() {
            weights[head.range].iter_mut().for_each(|w| *w *= self.sharpness());
        }
        weights
    }

    /// A network of the target's shape, without context parameters.
    pub(super) fn plain(&self, weights: &[f32]) -> Vec<f32> {
        crate::adapt::without_context(&self.spec.target, weights)
    }

    /// A task's network: the target without context parameters, and done with the support.
    pub(crate) fn network_spec(&self) -> Net {
        self.spec.target.without_context().settled()
    }

    /// The first pooled network, fine-tuned on the support rows of a new task.
    ///
    /// # Errors
    /// As for [`Model::adapt`].
    pub fn fine_tuned(&self, device: &Device, support: &Task, steps: usize) -> Result<Network> {
        let spec = HyperSpec::shared(self.spec.target.without_context());
        let weights = self.plain(&self.members[0].pooled);
        Model::new(spec, self.likelihood, self.fine_tuning, weights)?.adapt(device, support, Some(steps))
    }

    /// The pooled network, for tasks of which nothing is known. One that normalises by a task's support predicts nothing without it.
    pub fn pooled(&self) -> Network {
        let members: Vec<Vec<f32>> =
            self.members.iter().map(|m| self.sharpened(self.plain(&m.pooled))).collect();
        let shares = vec![1.0 / members.len() as f64; members.len()];
        Network::new(self.spec.target.without_context(), self.likelihood, members, shares)
    }
}

/// The network of one task, free of the hypernetwork that wrote it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Network {
    /// Its layers.
    pub spec: Net,
    /// How its outputs are read.
    pub likelihood: Likelihood,
    /// Weights `[P]` of each member.
    pub members: Vec<Vec<f32>>,
    /// Share of each member in the prediction; they sum to one.
    pub shares: Vec<f64>,
    /// Networks that noise made of each member of the model: so many follow one another.
    pub draws: usize,
    /// What its weights were made: files hold them so.
    pub compression: Compression,
    /// Plans that were prepared for earlier calls.
    ready: Pool<Forward>,
}

impl Network {
    /// Weights of a net that is compressed become those that it uses, once: what is left is a plain one.
    pub(crate) fn new(
        spec: Net,
        likelihood: Likelihood,
        mut members: Vec<Vec<f32>>,
        shares: Vec<f64>,
    ) -> Network {
        members.iter_mut().for_each(|weights| spec.compress(weights));
        let compression = spec.compression();
        let spec = spec.compressed(Compression::default());
        Network { spec, likelihood, members, shares, draws: 1, compression, ready: Pool::default() }
    }

    /// The same network in fewer bytes.
    ///
    /// # Errors
    /// [`Error::Shape`] where the share that is to be 0 is none, or numbers are too large for 16 bits.
    pub fn compressed(&self, compression: Compression) -> Result<Network> {
        compression.check_share().map_err(Error::Shape)?;
        let mut network = Network { compression, ready: Pool::default(), ..self.clone() };
        let layout = network.spec.layout();
        network.members.iter_mut().try_for_each(|weights| compress(&layout, &compression, weights))?;
        Ok(network)
    }

    /// The same network, whose dense layers and convolutions read numbers of eight bits: by scales that have room for what each reads of these rows `[n, i]`.
    ///
    /// # Errors
    /// Those of [`Network::predict`].
    pub fn calibrated(&self, device: &Device, x: &[f32]) -> Result<Network> {
        let spec = self.spec.clone().reading_eight_bits(scales(&self.largest_read(device, x)?));
        Ok(Network { spec, ready: Pool::default(), ..self.clone() })
    }

    /// The largest number that each of its dense layers and convolutions reads of rows `[n, i]`, in the order in which they run.
    fn largest_read(&self, device: &Device, x: &[f32]) -> Result<Vec<f32>> {
        self.check_rows(x)?;
        let spec = self.spec.clone().reading_eight_bits(vec![]);
        let layout = spec.layout();
        let mut g = Graph::new();
        let flat = g.data("weights", &[1, layout.len()]);
        let rows = g.data("x", &[1, x.len() / spec.inputs(), spec.inputs()]);
        let read = spec.products_read(&mut g, Weights { flat, layout: &layout }, rows);
        for (i, value) in read.iter().enumerate() {
            g.output(&i.to_string(), *value);
        }
        let mut session = device.prepare(lower(&g, device.caps(1))?)?;
        session.write("x", x)?;
        let mut largest = vec![0f32; read.len()];
        for weights in &self.members {
            session.write("weights", weights)?;
            session.run(1)?;
            for (i, largest) in largest.iter_mut().enumerate() {
                *largest = session.read(&i.to_string())?.iter().fold(*largest, |m, v| m.max(v.abs()));
            }
        }
        Ok(largest)
    }

    /// Bytes of its weights in a file.
    pub fn stored_bytes(&self) -> usize {
        let layout = self.spec.layout();
        self.members.iter().map(|weights| packed::stored_bytes(&layout, weights, &self.compression)).sum()
    }

    /// One network with weights `[P]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are more or fewer, or the network's outputs are others than the likelihood's.
    pub fn of(spec: Net, likelihood: Likelihood, weights: Vec<f32>) -> Result<Network> {
        let (p, o) = (spec.layout().len(), spec.outputs());
        if (p, o) != (weights.len(), likelihood.outputs) {
            return Err(Error::Shape(format!(
                "the network has {p} weights and {o} outputs; {} weights and {} outputs were given",
                weights.len(),
                likelihood.outputs
            )));
        }
        Ok(Network::new(spec, likelihood, vec![weights], vec![1.0]))
    }

    /// A model all of whose tasks start with this network, which has one member, to be fine-tuned by `adaptation`.
    ///
    /// # Errors
    /// [`Error::Shape`] where it has several members, or normalises by support rows.
    pub fn start(&self, adaptation: Adaptation) -> Result<Model> {
        match &self.members[..] {
            [weights] if !self.spec.reads_support() => {
                // Halves are how files hold numbers: they are not learned with.
                let learned = self.compression.check().map_or(Compression::default(), |()| self.compression);
                let spec = HyperSpec::shared(self.spec.clone().compressed(learned));
                Model::new(spec, self.likelihood, adaptation, weights.clone())
            }
            members => Err(Error::Shape(format!(
                "a network of one member, which normalises by no support rows, can be started from; this has {} members",
                members.len()
            ))),
        }
    }

    /// The decoder alone of a variational autoencoder: codes `[n, c]` to logits `[n, D]`. `None` of any other network.
    #[must_use]
    pub fn decoder(&self) -> Option<Network> {
        let (spec, range) = self.spec.decoder()?;
        let members = self.members.iter().map(|w| w[range.clone()].to_vec()).collect();
        let network = Network::new(spec, self.likelihood, members, self.shares.clone());
        Some(Network { compression: self.compression, ..network })
    }

    /// Outputs `[n, o]` for inputs `[n, i]`: values, or logarithms of class probabilities. What is prepared for a number of rows is kept for
    /// the next call, as with [`Model::prepared`].
    ///
    /// # Errors
    /// [`Error::Shape`] where the inputs do not fit the network, or hold NaN or infinity.
    pub fn predict(&self, device: &Device, x: &[f32]) -> Result<Vec<f32>> {
        let all = self.predict_each(device, x)?;
        let all: Vec<&[f32]> = all.iter().map(|y| &y[..]).collect();
        Ok(self.mixture(&all))
    }

    /// The same, and how far the networks disagree that noise made of a task: what [`Model::predict`] says of it, without deviations and intervals.
    ///
    /// # Errors
    /// Those of [`Network::predict`].
    pub fn prediction(&self, device: &Device, x: &[f32]) -> Result<Prediction> {
        let all = self.predict_each(device, x)?;
        let values = self.mixture(&all.iter().map(|y| &y[..]).collect::<Vec<_>>());
        let (loss, o) = (self.likelihood.loss, self.likelihood.outputs);
        let mut disagreement = if self.draws > 1 { loss.disagreement(&all, o) } else { vec![] };
        if self.likelihood.has_values() {
            disagreement.iter_mut().for_each(|v| *v = v.sqrt());
        }
        let deviation = vec![f32::NAN; values.len() / o];
        Ok(Prediction { values, deviation, disagreement, ..Prediction::default() })
    }

    /// The same of each member alone, `[members][n · o]`, values or logits: how far they disagree says how much is left open.
    ///
    /// # Errors
    /// Those of [`Network::predict`].
    pub fn predict_each(&self, device: &Device, x: &[f32]) -> Result<Vec<Vec<f32>>> {
        self.check_rows(x)?;
        let mut forward = Forward::leased(&self.ready, device, &self.spec, x)?;
        self.members.iter().map(|w| forward.run(w, x)).collect()
    }

    fn check_rows(&self, x: &[f32]) -> Result<()> {
        let i = self.spec.inputs();
        if self.spec.reads_support() {
            return Err(Error::Shape(
                "the network normalises by the support rows of a task (batch_norm = \"support\"), and there are none: adapt the model to \
                 a task"
                    .into(),
            ));
        }
        if x.is_empty() || !x.len().is_multiple_of(i) {
            return Err(Error::Shape(format!(
                "the network reads rows of {i} inputs; {} numbers were given",
                x.len()
            )));
        }
        check_finite("the inputs", x, i).map_err(Error::Shape)
    }

    /// The same network over sequences of another length.
    ///
    /// # Errors
    /// [`Error::Shape`] naming a layer that does not go from element to element.
    pub fn of_length(&self, length: usize) -> Result<Network> {
        Ok(self.by(self.spec.of_length(length).map_err(Error::Shape)?))
    }

    /// The same network over the beginnings of its sequences.
    ///
    /// # Errors
    /// [`Error::Shape`] naming a layer that looks at later elements, or has weights for each place.
    pub fn shortened(&self, length: usize) -> Result<Network> {
        Ok(self.by(self.spec.shortened(length).map_err(Error::Shape)?))
    }

    /// These weights as those of another net.
    fn by(&self, spec: Net) -> Network {
        let likelihood = Likelihood { outputs: spec.outputs(), ..self.likelihood };
        let network = Network::new(spec, likelihood, self.members.clone(), self.shares.clone());
        Network { draws: self.draws, compression: self.compression, ..network }
    }

    /// What all members say together.
    pub(crate) fn mixture(&self, each: &[&[f32]]) -> Vec<f32> {
        self.likelihood.mixture(each, &self.shares)
    }
}

/// The layout of a hypernetwork whose weights for networks to begin with, which all tasks share, are those of this network, matrix by matrix.
pub(super) fn layout_in_files(hyper: &ParamLayout, network: &ParamLayout) -> ParamLayout {
    let mut all = ParamLayout::default();
    for p in &hyper.params {
        match p.name == "head.bias" && p.shape[..] == [network.len()] {
            true => all.extend(&p.name, network),
            false => {
                all.push(p.name.clone(), &p.shape, p.init).role = p.role;
            }
        }
    }
    all
}

/// The layout in which names of parameters to freeze are looked up: where tasks share all weights, these have the names of their network, too.
pub(crate) fn layout_to_freeze(layout: ParamLayout, spec: &HyperSpec, names: &[String]) -> ParamLayout {
    let known = |name: &String| layout.params.iter().any(|p| p.is_called(name));
    if !spec.is_shared() || names.iter().all(known) {
        return layout;
    }
    let mut network = layout_in_files(&layout, &spec.target.layout());
    for p in &mut network.params {
        p.name = p.name.strip_prefix("head.bias.").unwrap_or(&p.name).to_string();
    }
    network
}

/// Scales of whole numbers of eight bits that have room for these.
fn scales(largest: &[f32]) -> Vec<f64> {
    // What is always 0 has any.
    largest
        .iter()
        .map(|most| f64::from(if *most > 0.0 { (most / 127.0).max(f32::MIN_POSITIVE) } else { 1.0 }))
        .collect()
}

/// Weights as they are used and stored.
fn compress(layout: &ParamLayout, compression: &Compression, weights: &mut [f32]) -> Result<()> {
    layout.compress(compression, weights);
    match weights.iter().all(|w| w.is_finite()) {
        true => Ok(()),
        false => Err(Error::Shape(format!(
            "some weights are too large for {}, or no numbers: int8 has scales",
            compression.numbers.name()
        ))),
    }
}

/// Refuses rows with NaN or infinity, which a network may take for any number: the larger of NaN and 0 is 0.
fn check_finite(what: &str, rows: &[f32], width: usize) -> Result<(), String> {
    match rows.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => {
            let (row, column) = (at / width.max(1), at % width.max(1));
            Err(format!("{what} hold {} in row {row}, number {column}: all have to be finite", rows[at]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::spec::Activation;

    #[test]
    fn a_network_is_prepared_once_for_like_numbers_of_rows() -> Result<()> {
        let net = Net::mlp(&[2, 5, 1], Activation::Tanh);
        let weights = [0, 1].map(|seed| net.layout().init(&mut Rng::new(seed, 0))).to_vec();
        let network = Network::new(net, Likelihood::values(1), weights, vec![0.5, 0.5]);
        let x: Vec<f32> = (0..18).map(|i| (i as f32).sin()).collect();
        let all = network.predict(&Device::Cpu, &x[..16])?;
        for rows in 5..=8 {
            assert_eq!(network.predict(&Device::Cpu, &x[..2 * rows])?, all[..rows]);
            assert_eq!(network.ready.len(), 1, "{rows} rows");
        }
        assert_eq!((network.predict(&Device::Cpu, &x)?.len(), network.ready.len()), (9, 2));
        network.predict(&Device::CpuByLaunch, &x)?;
        assert_eq!(network.ready.len(), 3, "another device");
        Ok(())
    }
}
