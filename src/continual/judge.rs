//! How good a learner is on each task: what its networks say of the test rows.

use std::ops::Range;

use super::learner::{Learner, probabilities};
use super::method::{Method, Scenario};
use super::networks::Networks;
use super::sequence::{Sequence, TaskRows};
use super::step::written;
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::net::Weights;
use crate::plan::lower;
use crate::run::{Device, Session};
use crate::task::argmax;

/// Rows that a network is asked about at once.
const ASKED: usize = 256;

/// Plans that networks are asked by, prepared once.
pub(super) struct Asking {
    /// From weights and rows to outputs.
    network: Session,
    inputs: usize,
    outputs: usize,
    /// From a hypernetwork's parameters and a task to weights, where there is one.
    hyper: Option<Session>,
}

impl Asking {
    pub(super) fn new(
        device: &Device,
        sequence: &Sequence,
        networks: &Networks,
        method: Method,
    ) -> Result<Asking> {
        let net = networks.net(method);
        let (inputs, outputs, layout) = (sequence.inputs(), net.outputs(), net.layout());
        let mut g = Graph::new();
        let flat = g.data("weights", &[layout.len()]);
        let x = g.data("x", &[ASKED, inputs]);
        let y = net.apply(&mut g, Weights { flat, layout: &layout }, x);
        g.output("y", y);
        let network = device.prepare(lower(&g, device.caps(1))?)?;
        let hyper = match method {
            Method::Hypernetwork => {
                let mut g = Graph::new();
                let flat = g.data("params", &[networks.layout(method).len()]);
                let number = g.step_u32("task", &[1]);
                let all = written(&mut g, networks, flat, number);
                g.output("weights", all);
                Some(device.prepare(lower(&g, device.caps(1))?)?)
            }
            _ => None,
        };
        Ok(Asking { network, inputs, outputs, hyper })
    }

    /// What the hypernetwork writes for a task.
    pub(super) fn written(&mut self, params: &[f32], task: usize) -> Result<Vec<f32>> {
        let Some(hyper) = &mut self.hyper else {
            return Err(Error::Shape("there is no hypernetwork that writes weights".into()));
        };
        hyper.write("params", params)?;
        hyper.set_step_u32(0, "task", &[task as u32])?;
        hyper.run(1)?;
        hyper.read("weights")
    }

    /// What a network with these weights says of some rows, `[rows, outputs]`.
    pub(super) fn said(&mut self, weights: &[f32], rows: &TaskRows, among: &[usize]) -> Result<Vec<f32>> {
        self.network.write("weights", weights)?;
        let mut said = vec![];
        for some in among.chunks(ASKED) {
            let mut x = vec![];
            some.iter().for_each(|at| rows.put(*at, &mut x));
            x.resize(ASKED * self.inputs, 0.0);
            self.network.write("x", &x)?;
            self.network.run(1)?;
            said.extend(&self.network.read("y")?[..some.len() * self.outputs]);
        }
        Ok(said)
    }
}

impl Learner<'_> {
    pub(super) fn weights_of(&mut self, task: usize) -> Result<Vec<f32>> {
        match self.learning.method {
            Method::Hypernetwork => self.asking.written(&self.params, task),
            Method::Separate => {
                let p = self.networks.target().layout().len();
                let own = self.kept.networks.get(task * p..(task + 1) * p);
                Ok(own.map_or_else(|| self.networks.start(Method::Separate, self.seed), <[f32]>::to_vec))
            }
            _ => Ok(self.params.clone()),
        }
    }

    /// How good it is on each task, when tasks up to `last` are known, and of how many test rows of these the task was found.
    pub(super) fn judged(&mut self, last: Option<usize>) -> Result<(Vec<f64>, [usize; 2])> {
        let tasks = self.sequence.len();
        let own = self.learning.method.has_own();
        let guesses = own && self.networks.scenario != Scenario::Task;
        let weights: Vec<Vec<f32>> = match own {
            true => (0..tasks).map(|t| self.weights_of(t)).collect::<Result<_>>()?,
            false => vec![self.params.clone()],
        };
        let mut found = [0; 2];
        let mut all = Vec::with_capacity(tasks);
        for (task, of) in self.sequence.tasks.iter().enumerate() {
            let among: Vec<usize> = (0..of.test.len()).collect();
            let answers = match last.filter(|_| guesses) {
                None => {
                    let said = self.asking.said(&weights[if own { task } else { 0 }], &of.test, &among)?;
                    let allowed = self.networks.allowed(self.learning.method, task, last.unwrap_or(task));
                    self.answers(&said, &allowed, task)
                }
                Some(last) => {
                    // Also of a task that is still to come: it is taken for one that is known.
                    let (answers, right) = self.guessed(&weights[..=last], task)?;
                    if task <= last {
                        found = [found[0] + right, found[1] + among.len()];
                    }
                    answers
                }
            };
            let worth = answers.iter().enumerate().map(|(at, (task_said, answer))| match of.test.class(at) {
                Some(class) => {
                    let same = self.networks.scenario != Scenario::Class || *task_said == task;
                    f64::from(u8::from(same && *answer as usize == class))
                }
                None => f64::from(*answer - of.test.value(at)).powi(2),
            });
            all.push(worth.sum::<f64>() / among.len() as f64);
        }
        Ok((all, found))
    }

    /// The answers of outputs `[rows, K]`: the task, and the class or the value.
    fn answers(&self, said: &[f32], allowed: &Range<usize>, task: usize) -> Vec<(usize, f32)> {
        let (method, c) = (self.learning.method, self.networks.outputs);
        let width = self.networks.net(method).outputs();
        said.chunks(width)
            .map(|y| {
                let y = &y[allowed.clone()];
                if !self.sequence.has_classes() {
                    return (task, y[0]);
                }
                let best = argmax(y);
                // Outputs of all tasks stand side by side where the class is asked for.
                if y.len() > c { (best / c, (best % c) as f32) } else { (task, best as f32) }
            })
            .collect()
    }

    /// Answers about the test rows of a task by the networks of all tasks that are known, each row by the one that it is taken to belong to; and how
    /// often that was right.
    fn guessed(&mut self, weights: &[Vec<f32>], task: usize) -> Result<(Vec<(usize, f32)>, usize)> {
        let rows = &self.sequence.tasks[task].test;
        let among: Vec<usize> = (0..rows.len()).collect();
        let said: Vec<Vec<f32>> =
            weights.iter().map(|w| self.asking.said(w, rows, &among)).collect::<Result<_>>()?;
        let c = self.networks.outputs;
        let taken: Vec<usize> = match &self.classifier {
            Some(classifier) => classifier.tasks_of(rows),
            None => (0..rows.len())
                .map(|at| {
                    let certain: Vec<f32> = said.iter().map(|y| -entropy(&y[at * c..][..c]) as f32).collect();
                    argmax(&certain)
                })
                .collect(),
        };
        let answers = taken.iter().enumerate().map(|(at, t)| {
            let y = &said[*t][at * c..][..c];
            (*t, if self.sequence.has_classes() { argmax(y) as f32 } else { y[0] })
        });
        let right = taken.iter().filter(|t| **t == task).count();
        Ok((answers.collect(), right))
    }
}

/// Entropy of the probabilities of logits, in nats.
fn entropy(logits: &[f32]) -> f64 {
    probabilities(logits).into_iter().filter(|p| *p > 0.0).map(|p| -p * p.ln()).sum()
}
