//! Why the network of a task is what it is: which support rows moved its predictions, which weights are its own, which known tasks are like it, and what lies between
//! it and another.

mod colours;
mod pictures;
mod task;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Experiment;
use super::instruments::{components, from_mean};
use crate::error::{Error, Result};
use crate::meta::influence::{ByGradient, Influence};
use crate::meta::model::{Model, Network};
use crate::net::{Net, Param};
use crate::task::{Likelihood, Loss, Task, argmax};
use colours::colours;
use task::{Chosen, chosen, named};

/// Known tasks that are looked at, at most.
const MOST_KNOWN: usize = 200;
/// Known tasks that are said to be nearest.
const NEAREST: usize = 5;
/// Support rows from which on it takes a while to leave each out.
const MANY_ROWS: usize = 200;
/// Parts of the way between two tasks.
const PARTS: usize = 20;

/// What is to be explained.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ExplainOptions {
    /// The known rows of a new task; `None`: one of the run's own unseen tasks is explained.
    pub support: Option<PathBuf>,
    /// Rows that it is asked about; `None`: the known ones.
    pub query: Option<PathBuf>,
    /// Which of the run's tasks, or of those in the files; `None`: the first of the run's.
    pub of: Option<String>,
    /// Known rows of the run's own tasks; `None`: as they were judged.
    pub shots: Option<usize>,
    /// Steps of adaptation; `None`: as many as were chosen.
    pub steps: Option<usize>,
    /// What colours the map of tasks: `target`, `rows`, `error`, or a column.
    pub by: Option<String>,
    /// The task at the other end of the way; `None`: the nearest known one.
    pub between: Option<String>,
}

/// What was found of a task.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Its name.
    pub task: String,
    /// Steps of adaptation.
    pub steps: usize,
    /// The unit of what moves: `probability` of the class that is said, `value` in the target's own units, or the root mean square of what a row's outputs stand for.
    pub unit: &'static str,
    /// The support rows, in their order.
    pub rows: Vec<RowInfluence>,
    /// The query rows, in their order.
    pub asked: Vec<String>,
    /// Correlation of what leaving rows out changes with what the gradient says; none where there is no gradient, or nothing changes.
    pub gradient_agrees: Option<f64>,
    /// Why no gradient is there.
    pub no_gradient: Option<&'static str>,
    /// What else has to be known to read the numbers.
    pub remarks: Vec<String>,
    /// What scores are: the run's metric.
    pub metric: String,
    /// How good it is on its query rows; none where their targets are not known.
    pub score: Option<f64>,
    /// How far its weights are from those of known tasks.
    pub tensors: Vec<TensorDistance>,
    /// The known tasks that are most like it, the nearest first.
    pub nearest: Vec<NearTask>,
    /// The map of tasks.
    pub map: TaskMap,
    /// The way to another task.
    pub way: Option<TaskWay>,
}

/// What a support row does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RowInfluence {
    /// Which row it is.
    pub row: String,
    /// Root mean square of what leaving it out changes, over the query rows.
    pub moved: f64,
    /// The same by the gradient, over those query rows that it was taken of.
    pub moved_by_gradient: Option<f64>,
    /// How much larger the mean loss of the query rows is without it: squared errors in the target's own units, or nats. None where their targets are not known.
    pub helps: Option<f64>,
    /// The same by the gradient.
    pub helps_by_gradient: Option<f64>,
    /// What leaving it out changes of each query row.
    pub changes: Vec<f64>,
}

/// How far a tensor of the task's network is from those of known tasks, as shares of the size of their mean.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TensorDistance {
    /// Its name.
    pub tensor: String,
    /// Of this task.
    pub this_task: f64,
    /// Of known tasks, a root mean square.
    pub known_tasks: f64,
}

/// A known task that is like the one that is explained.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NearTask {
    /// Its name.
    pub task: String,
    /// How far apart what is read of both is (of weights that all tasks share: what adapts of them): a root mean square over its numbers, in their deviations among known tasks.
    pub distance: f64,
    /// Root mean square of how different the two networks' predictions of the query rows are, in [`Explanation::unit`].
    pub difference: f64,
    /// How good its network is on the query rows; none where their targets are not known.
    pub score: Option<f64>,
}

/// Tasks on a plane: the first two principal components of what is read of them, each number in its deviations.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskMap {
    /// What colours it.
    pub by: String,
    /// Names of levels, where it is coloured by one.
    pub levels: Vec<String>,
    /// The known tasks, then the one that is explained.
    pub tasks: Vec<TaskPoint>,
}

/// A task on the map.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskPoint {
    /// Its name.
    pub task: String,
    /// First component.
    pub x: f64,
    /// Second component.
    pub y: f64,
    /// What colours it: a number, or the number of a level; null where nothing is known.
    pub value: f64,
}

/// Networks between two tasks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskWay {
    /// The task at the other end.
    pub to: String,
    /// Shares of the way.
    pub shares: Vec<f64>,
    /// Networks written from a mixture of what is read of both, before any adaptation; none where those cannot be.
    pub conditions: Option<WayScores>,
    /// Networks whose weights are a mixture of those of both adapted networks.
    pub weights: WayScores,
    /// What the networks say of the query rows, each at some shares: of tasks with one input and one output.
    #[serde(skip)]
    functions: Vec<(f64, Vec<(f64, f64)>)>,
}

/// How good networks on the way are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WayScores {
    /// On the task that is explained; none where its targets are not known.
    pub this_task: Option<Vec<f64>>,
    /// On the one at the other end.
    pub other_task: Vec<f64>,
}

/// Explains a task of a finished run.
///
/// # Errors
/// [`Error::Config`] naming an option, [`Error::Data`] a line of a file, and those of the device.
pub fn explain(experiment: &Experiment<'_>, options: &ExplainOptions) -> Result<Explanation> {
    let (model, device) = (experiment.model(), experiment.device);
    if experiment.setup().source().single().is_some() {
        let message = "is a run over one task, whose network reads no support: there is nothing to leave out";
        return Err(Error::config(experiment.folder().path().display().to_string(), message));
    }
    if model.adaptation.rule.is_closed_form() && options.steps.is_some_and(|steps| steps > 1) {
        return Err(Error::config("--steps", "the closed form is one step: 0 or 1"));
    }
    let chosen = chosen(experiment, options)?;
    // What is not there is refused before anything is adapted.
    let known = known_tasks(experiment);
    let other = other_end(experiment, &known, &chosen, options.between.as_deref())?;
    let colours = colours(experiment, options.by.as_deref().unwrap_or("target"), &known, &chosen)?;
    if chosen.rows.len() >= MANY_ROWS {
        log::info!("{} networks are adapted, each without one of the rows", chosen.rows.len());
    }
    let influence = model.influence(device, &chosen.task, options.steps)?;
    let (rows, gradient_agrees) = rows(&model.likelihood, &chosen, &influence);
    let no_gradient = match influence.gradient {
        ByGradient::Nothing(why) => Some(why),
        _ => None,
    };
    let places = Places::of(experiment, &known, &chosen.task, options.steps)?;
    let nearest = nearest_tasks(experiment, &known, &chosen, &places, &influence, options.steps)?;
    let other = match (other, nearest.first()) {
        (None, Some(near)) => Some(named(&known, Some(&near.task), "--between")?.clone()),
        (other, _) => other,
    };
    let way = other.map(|other| way(experiment, &chosen, &other, options.steps)).transpose()?;
    let tasks = known.iter().chain([&chosen.task]).zip(places.map()).zip(&colours.values);
    let tasks =
        tasks.map(|((task, (x, y)), value)| TaskPoint { task: task.name.clone(), x, y, value: *value });
    Ok(Explanation {
        task: chosen.task.name.clone(),
        steps: options.steps.unwrap_or(model.choice.steps),
        unit: unit(&model.likelihood),
        rows,
        asked: chosen.asked.clone(),
        gradient_agrees,
        no_gradient,
        remarks: remarks(model, &chosen, options.steps),
        metric: model.likelihood.metric.name().into(),
        score: chosen.judged.then(|| {
            model
                .likelihood
                .score(std::slice::from_ref(&chosen.task), std::slice::from_ref(&influence.values))
        }),
        tensors: places.tensors(),
        nearest,
        map: TaskMap { by: colours.by, levels: colours.levels, tasks: tasks.collect() },
        way,
    })
}

/// What else has to be known to read the numbers.
fn remarks(model: &Model, chosen: &Chosen, steps: Option<usize>) -> Vec<String> {
    let mut all = vec![];
    if !chosen.judged {
        all.push(
            "what the query rows should be is not known, so not how good networks are on this task"
                .to_string(),
        );
    }
    if model.choice.correction == 0.0 {
        all.push("of the correction to the pooled network nothing is kept (chosen on validation tasks): what is written depends on no row".into());
    }
    match (&model.choice.gate, steps) {
        (Some(_), None) => all.push("predictions weigh the task's network with the pooled one by evidence, which rows change, too; networks on the way stand alone".into()),
        (Some(_), Some(_)) => all.push("with --steps the task's network stands alone; otherwise predictions weigh it with the pooled one".into()),
        _ => {}
    }
    all
}

fn unit(likelihood: &Likelihood) -> &'static str {
    match () {
        () if likelihood.has_classes() => "probability",
        () if likelihood.has_values() && likelihood.outputs == 1 => "value",
        () => "root mean square",
    }
}

/// How different two statements about query rows are, a number a row, in [`unit`]: `a - b`, of what `said` says is the class of each row.
fn differences(likelihood: &Likelihood, said: &[f64], change: &[f64]) -> Vec<f64> {
    let o = likelihood.outputs;
    (said.chunks(o).zip(change.chunks(o)))
        .map(|(said, change)| match unit(likelihood) {
            "probability" => change[argmax(&said.iter().map(|p| *p as f32).collect::<Vec<_>>())],
            "value" => likelihood.unit * change[0],
            _ => likelihood.unit * root_mean_square(change),
        })
        .collect()
}

fn root_mean_square(values: &[f64]) -> f64 {
    (values.iter().map(|v| v * v).sum::<f64>() / values.len().max(1) as f64).sqrt()
}

/// What each support row does, and how far the gradient agrees.
fn rows(likelihood: &Likelihood, chosen: &Chosen, found: &Influence) -> (Vec<RowInfluence>, Option<f64>) {
    let with = likelihood.said(&found.values);
    let q = chosen.asked.len();
    let scale = if likelihood.has_values() { likelihood.unit * likelihood.unit } else { 1.0 };
    let loss = |y: &[f32]| scale * likelihood.cost(&chosen.task.yq, y) / q as f64;
    let (mut exact, mut linear) = (vec![], vec![]);
    let rows = (chosen.rows.iter().zip(&found.without).enumerate())
        .map(|(i, (row, without))| {
            let change: Vec<f64> = likelihood.said(without).iter().zip(&with).map(|(a, b)| a - b).collect();
            let changes = differences(likelihood, &with, &change);
            let helps = chosen.judged.then(|| loss(without) - loss(&found.values));
            let (moved_by_gradient, helps_by_gradient) = match &found.gradient {
                ByGradient::Said(moved) => {
                    let by_row = differences(likelihood, &with[..moved[i].len()], &moved[i]);
                    exact.extend(&changes[..by_row.len()]);
                    linear.extend(&by_row);
                    let whole = chosen.judged && moved[i].len() == with.len();
                    let helps =
                        whole.then(|| linear_loss(likelihood, &chosen.task.yq, &with, &moved[i])).flatten();
                    (Some(root_mean_square(&by_row)), helps.map(|sum| scale * sum / q as f64))
                }
                ByGradient::Loss(loss) if chosen.judged => {
                    exact.extend(helps);
                    linear.push(loss[i]);
                    (None, Some(loss[i] * losses_a_row(likelihood, &chosen.task)))
                }
                _ => (None, None),
            };
            let moved = root_mean_square(&changes);
            let row = row.clone();
            RowInfluence { row, moved, moved_by_gradient, helps, helps_by_gradient, changes }
        })
        .collect();
    (rows, correlation(&exact, &linear))
}

/// What a change of what is said changes of the sum of losses, to first order; `None` of pixels, whose divergence moves, too.
fn linear_loss(likelihood: &Likelihood, targets: &[f32], said: &[f64], change: &[f64]) -> Option<f64> {
    let each = targets.iter().zip(said).zip(change).map(|((t, y), d)| (f64::from(*t), *y, *d));
    if likelihood.has_values() {
        return Some(each.map(|(t, y, d)| 2.0 * (y - t) * d).sum());
    }
    let probabilities = likelihood.has_classes() || likelihood.kinds > 0;
    probabilities.then(|| each.filter(|e| e.0 != 0.0).map(|(t, p, d)| -t * d / p.max(1e-9)).sum())
}

/// How much of what is minimised a query row has, in the units of [`RowInfluence::helps`]: the mean loss is over numbers or symbols, in nats or bits.
fn losses_a_row(likelihood: &Likelihood, task: &Task) -> f64 {
    let o = likelihood.outputs;
    match likelihood.loss {
        Loss::Mse => likelihood.unit * likelihood.unit * o as f64,
        Loss::Symbols => task.yq.iter().map(|t| f64::from(*t)).sum::<f64>() / task.queries(o) as f64,
        Loss::Elbo => (o - 1) as f64 * std::f64::consts::LN_2,
        _ => 1.0,
    }
}

fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len() as f64;
    // Of two numbers it is always 1; of numbers that are the same but for rounding, nothing.
    let varies = |v: &[f64]| {
        let mean = v.iter().sum::<f64>() / n;
        let spread: f64 = v.iter().map(|x| (x - mean).powi(2)).sum();
        spread > 1e-8 * v.iter().map(|x| x * x).sum::<f64>()
    };
    if a.len() < 3 || !varies(a) || !varies(b) {
        return None;
    }
    let [ma, mb] = [a, b].map(|v| v.iter().sum::<f64>() / n);
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    let (ab, aa, bb) = (sum(&|x, y| x * y), sum(&|x, _| x * x), sum(&|_, y| y * y));
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

/// Tasks that the run knows, one of each name.
fn known_tasks(experiment: &Experiment<'_>) -> Vec<Task> {
    let mut tasks = experiment.setup().source().known();
    let mut seen = std::collections::HashSet::new();
    tasks.retain(|task| task.name.is_empty() || seen.insert(task.name.clone()));
    tasks.truncate(MOST_KNOWN);
    tasks
}

/// Where tasks lie: what is read of them (of weights that all share: what adapts of them), and the weights that they get. The last is the one that is explained.
struct Places {
    /// In deviations among the known tasks, `[tasks][numbers]`.
    coordinates: Vec<Vec<f32>>,
    /// Weights `[tasks][P]`.
    weights: Vec<Vec<f32>>,
    /// The network that they are weights of.
    net: Net,
}

impl Places {
    fn of(experiment: &Experiment<'_>, known: &[Task], task: &Task, steps: Option<usize>) -> Result<Places> {
        let (model, device) = (experiment.model(), experiment.device);
        let member = &model.members[0];
        let (mut read, mut weights) = (vec![], vec![]);
        let adapts = !model.spec.condition.reads_new_tasks();
        let target = &model.spec.target;
        // Context parameters are folded into adapted networks, and statistics of the support into their norms.
        let net = if adapts { target.without_context().settled() } else { target.clone() };
        // Apart from the known ones: rows may be as many as they like.
        for tasks in [known, std::slice::from_ref(task)].into_iter().filter(|tasks| !tasks.is_empty()) {
            if adapts {
                let steps = steps.unwrap_or(model.choice.steps).max(1);
                let [codes, networks] = model.adapted(device, member, tasks, steps)?;
                read.extend(codes);
                weights.extend(networks);
            } else {
                let written = model.written(device, member, tasks)?;
                let width = written.condition.len() / tasks.len();
                read.extend(written.condition.chunks(width).map(<[f32]>::to_vec));
                weights.extend(written.weights);
            }
        }
        let n = known.len().max(1) as f64;
        for at in 0..read.first().map_or(0, Vec::len) {
            let mean = read[..known.len()].iter().map(|r| f64::from(r[at])).sum::<f64>() / n;
            let square = |r: &Vec<f32>| (f64::from(r[at]) - mean).powi(2);
            let deviation = (read[..known.len()].iter().map(square).sum::<f64>() / n).sqrt();
            // A number that is the same of all says nothing.
            let factor = if deviation > 1e-6 * mean.abs().max(1e-6) { 1.0 / deviation } else { 0.0 };
            read.iter_mut().for_each(|r| r[at] = ((f64::from(r[at]) - mean) * factor) as f32);
        }
        Ok(Places { coordinates: read, weights, net })
    }

    /// The places on a plane.
    fn map(&self) -> Vec<(f64, f64)> {
        components(&self.coordinates.concat(), self.coordinates.len())
    }

    /// How far each known task is from the one that is explained.
    fn distances(&self) -> Vec<f64> {
        let Some((own, known)) = self.coordinates.split_last() else { return vec![] };
        let apart =
            |other: &Vec<f32>| -> Vec<f64> { other.iter().zip(own).map(|(a, b)| f64::from(a - b)).collect() };
        known.iter().map(|other| root_mean_square(&apart(other))).collect()
    }

    fn tensors(&self) -> Vec<TensorDistance> {
        let Some((own, known)) = self.weights.split_last().filter(|(_, known)| !known.is_empty()) else {
            return vec![];
        };
        let own = std::slice::from_ref(own);
        let of = |p: &Param| TensorDistance {
            tensor: p.name.clone(),
            this_task: from_mean(p, known, own),
            known_tasks: from_mean(p, known, known),
        };
        self.net.layout().params.iter().map(of).collect()
    }
}

/// The known tasks that are most like one.
fn nearest_tasks(
    experiment: &Experiment<'_>,
    known: &[Task],
    chosen: &Chosen,
    places: &Places,
    influence: &Influence,
    steps: Option<usize>,
) -> Result<Vec<NearTask>> {
    let (model, device, likelihood) = (experiment.model(), experiment.device, experiment.model().likelihood);
    let distances = places.distances();
    let mut order: Vec<usize> = (0..known.len()).filter(|k| known[*k].name != chosen.task.name).collect();
    order.sort_by(|a, b| distances[*a].total_cmp(&distances[*b]));
    let said = likelihood.said(&influence.values);
    (order.into_iter().take(NEAREST))
        .map(|k| {
            // Its network on the rows that are asked about.
            let asked = Task { xq: chosen.task.xq.clone(), yq: chosen.task.yq.clone(), ..known[k].clone() };
            let y = model.predict(device, std::slice::from_ref(&asked), steps)?.remove(0).values;
            let change: Vec<f64> = likelihood.said(&y).iter().zip(&said).map(|(a, b)| a - b).collect();
            let difference = root_mean_square(&differences(&likelihood, &said, &change));
            let score = chosen.judged.then(|| likelihood.score(std::slice::from_ref(&asked), &[y]));
            Ok(NearTask { task: known[k].name.clone(), distance: distances[k], difference, score })
        })
        .collect()
}

/// The task of this name, known or unseen, at the other end of the way.
fn other_end(
    experiment: &Experiment<'_>,
    known: &[Task],
    chosen: &Chosen,
    between: Option<&str>,
) -> Result<Option<Task>> {
    let Some(name) = between else { return Ok(None) };
    if name == chosen.task.name {
        return Err(Error::config("--between", "is the task itself: name another"));
    }
    let unseen = experiment.setup().source().test(experiment.config().eval.shots);
    let all: Vec<Task> = known.iter().cloned().chain(unseen).collect();
    Ok(Some(named(&all, Some(name), "--between")?.clone()))
}

/// The networks between a task and another.
fn way(experiment: &Experiment<'_>, chosen: &Chosen, other: &Task, steps: Option<usize>) -> Result<TaskWay> {
    let (model, device, likelihood) = (experiment.model(), experiment.device, experiment.model().likelihood);
    let steps = steps.unwrap_or(model.choice.steps);
    let shares: Vec<f64> = (0..=PARTS).map(|p| p as f64 / PARTS as f64).collect();
    let both = [&chosen.task, other];
    let scores = |networks: &[Network]| -> Result<WayScores> {
        let of = |task: &Task| -> Result<Vec<f64>> {
            let score = |network: &Network| {
                let y = network.predict(device, &task.xq)?;
                Ok(likelihood.score(std::slice::from_ref(task), &[y]))
            };
            networks.iter().map(score).collect()
        };
        let this_task = chosen.judged.then(|| of(&chosen.task)).transpose()?;
        Ok(WayScores { this_task, other_task: of(other)? })
    };
    let by_weights = model.between_weights(device, both, &shares, steps)?;
    let by_conditions = model.between_conditions(device, both, &shares)?;
    let mut functions = vec![];
    if model.spec.target.inputs() == 1 && likelihood.has_values() && likelihood.outputs == 1 {
        let mut x = chosen.task.xq.clone();
        x.sort_by(f32::total_cmp);
        for at in (0..=PARTS).step_by(PARTS / 4) {
            let networks = by_conditions.as_ref().unwrap_or(&by_weights);
            let y = networks[at].predict(device, &x)?;
            let points = x.iter().zip(&y).map(|(x, y)| (f64::from(*x), f64::from(*y))).collect();
            functions.push((shares[at], points));
        }
    }
    Ok(TaskWay {
        to: other.name.clone(),
        conditions: by_conditions.map(|networks| scores(&networks)).transpose()?,
        weights: scores(&by_weights)?,
        shares,
        functions,
    })
}

impl Explanation {
    /// Draws what was found into a folder: the files.
    ///
    /// # Errors
    /// [`Error::Io`] where a file cannot be written.
    pub fn draw(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        pictures::draw(self, folder)
    }
}
