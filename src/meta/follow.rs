//! Following rows that arrive one after another: predict, then learn. What a model says of the next rows is said by the network of those that were seen last, of several numbers of these
//! side by side, in one call; the number counts that has been best lately, so that a task that changes slowly is followed by few rows and one that stays by all. Where errors grow at once
//! ([`ChangeDetector`]), all that lies before is forgotten.
//!
//! ```
//! use hyperloom::adapt::{Adaptation, Fast};
//! use hyperloom::hyper::HyperSpec;
//! use hyperloom::meta::follow::{Follower, Following};
//! use hyperloom::net::Net;
//! use hyperloom::rng::Rng;
//! use hyperloom::spec::Activation::Tanh;
//! use hyperloom::task::Likelihood;
//! use hyperloom::{Device, Model};
//!
//! // One network that all tasks start with, whose last layer is fitted to the last rows; a trained model is opened from its file.
//! let hyper = HyperSpec::shared(Net::mlp(&[1, 16, 1], Tanh));
//! let weights = hyper.target.layout().init(&mut Rng::new(0, 0));
//! let mut adaptation = Adaptation::fine_tuning(0.1, 10.0);
//! adaptation.fast = Fast::Head;
//! let mut model = Model::new(hyper, Likelihood::values(1), adaptation, weights)?;
//! model.choice.steps = 100;
//! let mut follower = Follower::new(&model, &Device::Cpu, Following::default())?;
//! for i in 0..30 {
//!     let x = (i % 7) as f32 / 3.0 - 1.0;
//!     let said = follower.ask(&[x], &[])?;
//!     assert!(said.prediction.values[0].is_finite() && said.rows <= i);
//!     // What it is turns out: a line, and from the twentieth row on another.
//!     let y = if i < 20 { 0.5 * x } else { 9.0 - 5.0 * x };
//!     if follower.tell(&[y])?.drift.is_some() {
//!         println!("a change, noticed behind row {i}");
//!     }
//! }
//! assert!(follower.known() < 20);
//! # Ok::<(), hyperloom::Error>(())
//! ```

use crate::adapt::ChangeDetector;
use crate::error::{Error, Result};
use crate::meta::model::{Model, Prediction};
use crate::run::Device;
use crate::task::Task;

/// The level of intervals that deviations are taken from, and how many normal deviations it is.
const FITTED: (f64, f32) = (0.7, 1.036_433_4);

/// How rows are followed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Following {
    /// Numbers of last rows that networks are written from, side by side; the largest is how many are kept at all.
    pub windows: Vec<usize>,
    /// About how probable a change is noticed that is none (0: none is noticed).
    pub confidence: f64,
    /// What an error counts one row later, from 0 to 1.
    pub fading: f64,
}

impl Default for Following {
    fn default() -> Following {
        Following { windows: vec![8, 32, 128], confidence: 0.002, fading: 0.95 }
    }
}

impl Following {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// [`Error::Config`] naming what is out of range.
    pub fn check(&self) -> Result<()> {
        let fail = |key: &str, message: String| Err(Error::config(key, message));
        if self.windows.is_empty() || self.windows.iter().any(|w| !(1..=100_000).contains(w)) {
            return fail(
                "windows",
                "numbers of rows are needed, for example 8,32,128, each from 1 to 100000".into(),
            );
        }
        if !(0.0..1.0).contains(&self.confidence) {
            return fail(
                "drift",
                format!(
                    "{} is out of range: a probability below 1 is needed, for example .002",
                    self.confidence
                ),
            );
        }
        match (0.0..=1.0).contains(&self.fading) {
            true => Ok(()),
            false => fail("fading", format!("{} is out of range: it must lie from 0 to 1", self.fading)),
        }
    }
}

/// What was said of rows, before they were known.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Said {
    /// Values, or logarithms of class probabilities, and deviations.
    pub prediction: Prediction,
    /// Rows that the network was written from; 0: the pooled network, which knows none.
    pub rows: usize,
    /// What the network of the largest window says where nothing is ever forgotten, to be held against.
    pub unforgetting: Prediction,
}

/// What rows turned out to be.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Told {
    /// Of each row how improbable what was said makes it, from 0 to 1: of values the probability of a smaller error, of classes that of another class.
    pub surprise: Vec<f64>,
    /// The row behind which a change was noticed.
    pub drift: Option<usize>,
}

/// Follows the rows of one task, or of one after another.
#[derive(Debug)]
pub struct Follower<'m> {
    model: &'m Model,
    device: &'m Device,
    how: Following,
    /// Known rows, as many as windows reach, and how many of them lie before the last change.
    xs: Vec<f32>,
    ys: Vec<f32>,
    /// Of each whether it is an outlier, from which no network is written unless a change is noticed.
    outliers: Vec<bool>,
    before: usize,
    /// What was said last by each of the windows, and which one counted.
    said: Option<(Vec<f32>, Vec<Prediction>, usize)>,
    /// Errors of the windows, which fade.
    errors: Vec<f64>,
    detector: ChangeDetector,
    /// Mean squared error lately, where a prediction has no deviation.
    square: Option<f64>,
}

impl<'m> Follower<'m> {
    /// Follows rows by a model.
    ///
    /// # Errors
    /// [`Error::Config`] for what makes no sense.
    pub fn new(model: &'m Model, device: &'m Device, how: Following) -> Result<Follower<'m>> {
        how.check()?;
        let mut how = how;
        how.windows.sort_unstable();
        how.windows.dedup();
        let (errors, detector) = (vec![0.0; how.windows.len()], ChangeDetector::new(how.confidence));
        Ok(Follower {
            model,
            device,
            how,
            xs: vec![],
            ys: vec![],
            outliers: vec![],
            before: 0,
            said: None,
            errors,
            detector,
            square: None,
        })
    }

    /// Number of rows that are known since the last change.
    pub fn known(&self) -> usize {
        self.kept() - self.before
    }

    /// Number of rows that are kept.
    fn kept(&self) -> usize {
        self.ys.len() / self.model.likelihood.outputs
    }

    /// Takes in rows that nothing is asked about, inputs `[n, i]` and targets `[n, o]`.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fit the model.
    pub fn learn(&mut self, xs: &[f32], ys: &[f32]) -> Result<()> {
        self.rows(xs, Some(ys))?;
        self.xs.extend_from_slice(xs);
        self.ys.extend_from_slice(ys);
        self.outliers.resize(self.kept(), false);
        // What no window reaches is given up, now and then.
        let most = self.most();
        if self.kept() > 2 * most {
            let (i, o) = (self.model.spec.target.inputs(), self.model.likelihood.outputs);
            let gone = self.kept() - most;
            self.xs.drain(..gone * i);
            self.ys.drain(..gone * o);
            self.outliers.drain(..gone);
            self.before = self.before.saturating_sub(gone);
        }
        Ok(())
    }

    /// The largest window.
    fn most(&self) -> usize {
        self.how.windows.last().copied().unwrap_or(0)
    }

    /// Number of rows.
    fn rows(&self, xs: &[f32], ys: Option<&[f32]>) -> Result<usize> {
        let (i, o) = (self.model.spec.target.inputs(), self.model.likelihood.outputs);
        let rows = xs.len() / i;
        match rows > 0 && xs.len() == rows * i && ys.is_none_or(|ys| ys.len() == rows * o) {
            true => Ok(rows),
            false => Err(Error::Shape(format!(
                "rows of {i} inputs and {o} outputs are needed; {} and {} numbers were given",
                xs.len(),
                ys.map_or(0, <[f32]>::len)
            ))),
        }
    }

    /// Numbers of rows that networks may be written from: of those since the last change, or of all that are kept.
    fn usable(&self, from: usize) -> Vec<usize> {
        (from..self.kept()).filter(|row| !self.outliers[*row]).collect()
    }

    /// The task of these rows, of which rows `x` are asked about.
    fn task(&self, rows: &[usize], x: &[f32], descriptor: &[f32]) -> Task {
        let (i, o) = (self.model.spec.target.inputs(), self.model.likelihood.outputs);
        let gather = |from: &[f32], w: usize| -> Vec<f32> {
            rows.iter().flat_map(|row| from[row * w..(row + 1) * w].iter().copied()).collect()
        };
        let task = Task::from_support(gather(&self.xs, i), gather(&self.ys, o));
        task.with_query(x.to_vec(), vec![0.0; x.len() / i * o]).with_descriptor(descriptor.to_vec())
    }

    /// What is said of the next rows `x` `[n, i]`, with the descriptor of their task, where the model reads one.
    ///
    /// # Errors
    /// [`Error::Shape`] where they do not fit the model, and those of the device.
    pub fn ask(&mut self, x: &[f32], descriptor: &[f32]) -> Result<Said> {
        let rows = self.rows(x, None)?;
        let needed = self.model.spec.condition.descriptor;
        if descriptor.len() != needed {
            return Err(Error::Shape(format!(
                "the model reads a descriptor of {needed} numbers; {} were given",
                descriptor.len()
            )));
        }
        // All rows that are kept go on behind those since the last change: the last ones are the same.
        let all = self.usable(0);
        let known = self.usable(self.before).len();
        let lengths: Vec<usize> = self.how.windows.iter().map(|w| (*w).min(known)).collect();
        let unforgetting = all.len().min(self.most());
        let mut distinct: Vec<usize> =
            lengths.iter().copied().chain([unforgetting]).filter(|n| *n > 0).collect();
        distinct.dedup();
        let tasks: Vec<Task> =
            distinct.iter().map(|n| self.task(&all[all.len() - n..], x, descriptor)).collect();
        let mut found =
            if tasks.is_empty() { vec![] } else { self.model.predict(self.device, &tasks, None)? };
        if known == 0 {
            let values = self.model.pooled().predict(self.device, x)?;
            found.push(Prediction { values, deviation: vec![f32::NAN; rows], ..Prediction::default() });
            distinct.push(0);
        }
        let of = |n: &usize| found[distinct.iter().position(|d| d == n).unwrap_or(0)].clone();
        let all: Vec<Prediction> = lengths.iter().map(of).collect();
        let unforgetting = of(&unforgetting);
        // Of those that are as good the longest.
        let best =
            (0..all.len()).fold(0, |best, i| if self.errors[i] <= self.errors[best] { i } else { best });
        let said = Said { prediction: all[best].clone(), rows: lengths[best], unforgetting };
        self.said = Some((x.to_vec(), all, best));
        Ok(said)
    }

    /// What the rows that were asked about last turned out to be, targets `[n, o]`: from now on they are known.
    ///
    /// # Errors
    /// [`Error::Shape`] where nothing was asked, or about other rows.
    pub fn tell(&mut self, y: &[f32]) -> Result<Told> {
        let Some((x, all, best)) = self.said.take() else {
            return Err(Error::Shape("nothing was asked: ask about rows before they are told".into()));
        };
        let rows = self.rows(&x, Some(y))?;
        let (i, o) = (x.len() / rows, y.len() / rows);
        let mut told = Told { surprise: vec![], drift: None };
        // What intervals that were fitted on validation tasks say of the deviation, where there are any.
        let fitted = all[best].half_widths(FITTED.0).map(|w| w.into_iter().map(|w| w / FITTED.1).collect());
        let deviations: Vec<f32> = fitted.unwrap_or_else(|| all[best].deviation.clone());
        for row in 0..rows {
            let range = row * o..(row + 1) * o;
            let target = &y[range.clone()];
            for (error, p) in self.errors.iter_mut().zip(&all) {
                *error = *error * self.how.fading + cost(self.model, target, &p.values[range.clone()]);
            }
            let said = &all[best];
            let (surprise, evidence, is_outlier) =
                self.surprise(target, &said.values[range], deviations[row]);
            told.surprise.push(surprise);
            self.learn(&x[row * i..(row + 1) * i], target)?;
            if is_outlier {
                self.outliers.last_mut().into_iter().for_each(|last| *last = true);
            }
            if let Some(kept) = self.detector.push(evidence) {
                self.before = self.kept() - kept.min(self.known());
                self.outliers[self.before..].fill(false);
                self.errors.fill(0.0);
                told.drift = Some(row);
            }
        }
        Ok(told)
    }

    /// How improbable a row is by what was said of it, how far it speaks for a change, and whether it is an outlier: a value that is far off would spoil what is written from it; a
    /// class that was thought improbable is what there is to learn.
    fn surprise(&mut self, target: &[f32], said: &[f32], deviation: f32) -> (f64, f64, bool) {
        let cost = cost(self.model, target, said);
        if self.model.likelihood.has_classes() {
            let probability = (-cost).exp();
            return (1.0 - probability, ChangeDetector::of_classes(probability, target.len()), false);
        }
        let variance = match f64::from(deviation) {
            d if d.is_finite() && d > 0.0 => d * d,
            _ => self.square.unwrap_or(cost).max(1e-12),
        };
        let last = self.square.get_or_insert(cost);
        *last += (1.0 - self.how.fading) * (cost - *last);
        let deviations = (cost / variance).sqrt();
        let evidence = ChangeDetector::of_values(deviations);
        (within(deviations), evidence, self.detector.is_outlier(deviations))
    }
}

/// The mean squared error of a row's values, or the negative logarithm of the probability of its class.
fn cost(model: &Model, target: &[f32], said: &[f32]) -> f64 {
    let values = if model.likelihood.has_classes() { 1 } else { target.len() };
    model.likelihood.cost(target, said) / values as f64
}

/// The probability that a normal variable lies within so many deviations (Abramowitz and Stegun 1964, 7.1.26, to seven digits).
fn within(deviations: f64) -> f64 {
    let x = deviations / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    1.0 - polynomial.iter().fold(0.0, |sum, c| (sum + c) * t) * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn shares_of_a_normal_variable() {
        for (deviations, share) in
            [(0.0, 0.0), (1.0, 0.682_689_49), (1.959_964, 0.95), (3.0, 0.997_300_2), (40.0, 1.0)]
        {
            assert!((within(deviations) - share).abs() < 2e-7, "{deviations}");
        }
    }
}
