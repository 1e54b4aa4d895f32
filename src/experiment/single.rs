//! A source that is one task: its network, how good it is on rows that it was not trained on, and how that grew.

use serde::{Deserialize, Serialize};

use super::Experiment;
use super::choose::SHARPNESS;
use super::observer::{Observer, Progress};
use super::report::Report;
use super::run_folder::{OWN_NETWORK, save_network};
use super::source::SingleTask;
use super::texts::{Drawing, generate};
use super::translations::translate;
use crate::data::format::Format;
use crate::data::labelled::{Labelled, NONE};
use crate::data::pairs::Pair;
use crate::data::score_text::{bleu, chrf, edits};
use crate::error::{Error, Result};
use crate::hyper::HyperSpec;
use crate::meta::model::{Choice, Model, Network};
use crate::run::Device;
use crate::task::{Reliability, Task, argmax, reliability};

/// Rows that a network is asked about at once.
const ROWS_AT_ONCE: usize = 256;
/// Classes up to which there is a confusion matrix.
const MAX_CONFUSION: usize = 100;
/// Points of a validation curve.
const CURVE_POINTS: u64 = 20;
/// Validation rows that a point of the curve looks at, at most.
const CURVE_ROWS: usize = 2_000;

/// Symbols of a sample of a text, and how they are drawn.
const SAMPLED_SYMBOLS: usize = 200;
const SAMPLED_AT: f64 = 0.8;
/// Pairs whose sources a sample says something of.
const SAMPLED_PAIRS: usize = 4;

/// How good a network is on validation rows after some steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CurvePoint {
    /// Steps of training.
    pub step: u64,
    /// Mean negative logarithm of the probability of a row's class.
    pub loss: f64,
    /// Share of rows whose class is right.
    pub accuracy: f64,
    /// Of texts what the network goes on with, of pairs what it says of some sources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<String>,
}

/// How good a network is on the rows to be judged on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TestReport {
    /// Share of rows whose class is right.
    pub accuracy: f64,
    /// Mean negative logarithm of the probability of a row's class.
    pub loss: f64,
    /// Bits that a symbol of a sequence takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits_per_character: Option<f64>,
    /// Rows that it was judged on; of a text its symbols.
    pub rows: usize,
    /// Parameters that were trained.
    pub parameters: usize,
    /// Of them what writes or is the kernels of convolutions, and the weights of these kernels.
    pub kernels: [usize; 2],
    /// How often each row was seen in training.
    pub epochs: f64,
    /// The same network trained directly, where kernels are generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direct: Option<Direct>,
    /// Of pairs: how good what is said of the sources is.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub translations: Option<Translations>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// `[class][predicted]`, numbers of rows; empty beyond 100 classes.
    pub confusion: Vec<Vec<usize>>,
    /// How probabilities agree with what happened.
    pub reliability: Vec<Reliability>,
    /// How good the network was on validation rows, by steps.
    pub validation: Vec<CurvePoint>,
}

/// What is said of the sources of pairs, held against their targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Translations {
    /// Share of the targets that are said exactly, by the likeliest symbol at each place.
    pub exact: f64,
    /// chrF2, 0 to 100.
    pub chrf: f64,
    /// BLEU, 0 to 100.
    pub bleu: f64,
    /// Edits that what is said is away from the targets, in symbols of these (insertions, deletions, exchanges).
    pub character_error: f64,
    /// Number of pairs.
    pub pairs: usize,
}

/// The sources of some pairs.
pub(super) fn sources_of(pairs: &[Pair]) -> Vec<&str> {
    pairs.iter().map(|pair| pair.source.as_str()).collect()
}

impl Translations {
    /// What is said of some pairs.
    pub(super) fn of<S: AsRef<str>>(said: &[S], pairs: &[Pair]) -> Translations {
        let said: Vec<&str> = said.iter().map(AsRef::as_ref).collect();
        let right: Vec<&str> = pairs.iter().map(|pair| pair.target.as_str()).collect();
        let both = || said.iter().zip(&right);
        let exact = both().filter(|(a, b)| a == b).count();
        let symbols: usize = right.iter().map(|b| b.chars().count()).sum();
        Translations {
            exact: exact as f64 / right.len().max(1) as f64,
            chrf: chrf(&said, &right),
            bleu: bleu(&said, &right),
            character_error: both().map(|(a, b)| edits(a, b)).sum::<usize>() as f64 / symbols.max(1) as f64,
            pairs: right.len(),
        }
    }
}

/// A network that was trained directly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Direct {
    /// Share of rows whose class is right.
    pub accuracy: f64,
    /// Mean negative logarithm of the probability of a row's class.
    pub loss: f64,
    /// Parameters that were trained.
    pub parameters: usize,
}

/// What a network says about rows, and how good that is.
pub(super) struct Tested {
    /// Logarithms of class probabilities `[rows, classes]`.
    pub(super) log_probabilities: Vec<f32>,
    pub(super) loss: f64,
    pub(super) accuracy: f64,
    /// How many labels that is about.
    pub(super) asked: usize,
}

impl Tested {
    /// Asks a network about rows.
    pub(super) fn of(device: &Device, network: &Network, rows: &Labelled, among: &[usize]) -> Result<Tested> {
        // Sequences to be judged on may be longer than those that were trained on.
        let longer;
        let network = if network.spec.input() == rows.row {
            network
        } else {
            longer = network.of_length(rows.row[0])?;
            &longer
        };
        let mut all = Vec::with_capacity(among.len() * rows.classes.len());
        for some in among.chunks(ROWS_AT_ONCE) {
            all.extend(network.predict(device, &rows.inputs(some))?);
        }
        let labels = among.iter().flat_map(|row| rows.labels_of(*row));
        let asked = all.chunks(rows.classes.len()).zip(labels).filter(|(_, label)| **label != NONE);
        let found = asked.map(|(y, label)| {
            let label = *label as usize;
            (-f64::from(y[label]), argmax(y) == label)
        });
        let (loss, right, n) = found.fold((0.0, 0usize, 0usize), |(loss, right, n), (l, r)| {
            (loss + l, right + usize::from(r), n + 1)
        });
        let many = n.max(1) as f64;
        Ok(Tested { loss: loss / many, accuracy: right as f64 / many, asked: n, log_probabilities: all })
    }
}

/// The network that a model writes for its only task; what it normalises by stands in its weights.
fn network(device: &Device, model: &Model, task: &SingleTask) -> Result<Network> {
    let support = match model.spec.target.reads_support() {
        true => task.support(),
        // What is not looked at.
        false => {
            let one = &task.statistics[..1];
            Task::from_support(task.rows.inputs(one), task.rows.targets(one))
        }
    };
    model.adapt(device, &support, Some(0))
}

impl Experiment<'_> {
    /// The step after which the validation curve has its next point.
    pub(super) fn next_point(&self, steps: u64, done: u64) -> u64 {
        let each = (steps / CURVE_POINTS).max(1);
        ((done / each + 1) * each).min(steps)
    }

    /// Adds a point to the validation curve, by the parameters in training.
    pub(super) fn add_point(&mut self, step: u64, params: Vec<f32>) -> Result<()> {
        let Some(task) = self.setup.source().single().filter(|task| !task.validation.is_empty()) else {
            return Ok(());
        };
        let mut model = self.model.clone();
        model.members[0].hyper = params;
        let network = network(self.device, &model, task)?;
        let rows =
            &task.validation[..task.validation.len().min(CURVE_ROWS / task.rows.labels_each().min(20))];
        let found = Tested::of(self.device, &network, &task.rows, rows)?;
        let sample = self.sample(task, &network)?;
        self.curve.push(CurvePoint { step, loss: found.loss, accuracy: found.accuracy, sample });
        Ok(())
    }

    /// What a network says by itself, where it is one of texts. It is drawn on the CPU, where it is the same whatever trains.
    fn sample(&self, task: &SingleTask, network: &Network) -> Result<Option<String>> {
        let format = self.setup.source().format();
        let shown = &task.validation[..task.validation.len().min(SAMPLED_PAIRS)];
        let said = match (&format, format.pairs_of(&task.rows, shown)) {
            (_, Some(pairs)) => {
                translate(&Device::Cpu, network, &format, &sources_of(&pairs), 1).map(|said| {
                    let lines =
                        pairs.iter().zip(said).map(|(pair, said)| format!("{} → {said}", pair.source));
                    lines.collect::<Vec<_>>().join("\n")
                })
            }
            (Format::Text { .. }, None) => {
                let drawing =
                    Drawing { length: SAMPLED_SYMBOLS, temperature: SAMPLED_AT, seed: self.config.seed };
                generate(&Device::Cpu, network, &format, b"", drawing, &mut |_| true)
                    .map(|text| String::from_utf8_lossy(&text).into_owned())
            }
            _ => return Ok(None),
        };
        match said {
            Ok(said) => Ok(Some(said)),
            // Training says so itself, where it goes on like that.
            Err(Error::Diverged(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Chooses how much logits are sharpened, by validation rows.
    pub(super) fn choose_single(&mut self) -> Result<()> {
        self.model.choice = Choice::default();
        let source = self.setup.source();
        let (Some(task), Some(_)) = (source.single(), self.model.spec.target.head()) else { return Ok(()) };
        if task.validation.is_empty() {
            return Ok(());
        }
        let network = network(self.device, &self.model, task)?;
        let found = Tested::of(self.device, &network, &task.rows, &task.validation)?;
        let classes = task.rows.classes.len();
        let cost = |sharpness: f64| -> f64 {
            let each = found.log_probabilities.chunks(classes).zip(&task.validation).map(|(y, row)| {
                let label = y[task.rows.labels[*row] as usize];
                // Logits but for a constant.
                let sum: f64 = y.iter().map(|v| (sharpness * f64::from(v - label)).exp()).sum();
                sum.ln()
            });
            each.sum()
        };
        let tried = SHARPNESS.map(|s| (cost(s), s)).into_iter().filter(|t| !t.0.is_nan());
        self.model.choice.sharpness = tried.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(1.0, |best| best.1);
        Ok(())
    }

    /// The trained network of a source that is one task; `None` of others.
    ///
    /// # Errors
    /// Those of the device.
    pub fn network(&self) -> Result<Option<Network>> {
        let task = self.setup.source().single();
        task.map(|task| network(self.device, &self.model, task)).transpose()
    }

    /// How good the network of a source that is one task is on the rows to be judged on; `None` of others.
    ///
    /// # Errors
    /// Those of the device.
    pub fn test(&self) -> Result<Option<TestReport>> {
        let (Some(task), Some(network)) = (self.setup.source().single(), self.network()?) else {
            return Ok(None);
        };
        self.test_by(task, &network).map(Some)
    }

    fn test_by(&self, task: &SingleTask, network: &Network) -> Result<TestReport> {
        let found = Tested::of(self.device, network, &task.test, &task.test_rows)?;
        let classes = task.test.classes.clone();
        let each = task.test.labels_each();
        // Of very many classes nobody looks at it, and it grows with their square.
        let shown = if classes.len() <= MAX_CONFUSION && each == 1 { classes.len() } else { 0 };
        let mut confusion = vec![vec![0; shown]; shown];
        let rows = found.log_probabilities.chunks(classes.len()).zip(&task.test_rows).filter(|_| shown > 0);
        for (y, row) in rows {
            confusion[task.test.labels[*row] as usize][argmax(y)] += 1;
        }
        // What is asked about.
        let targets = task.test.targets(&task.test_rows);
        let (mut truth, mut said) = (vec![], vec![]);
        let both = targets.chunks(classes.len()).zip(found.log_probabilities.chunks(classes.len()));
        for (target, y) in both.filter(|(target, _)| target.contains(&1.0)) {
            truth.extend_from_slice(target);
            said.extend_from_slice(y);
        }
        let truth = Task::from_support(vec![], vec![]).with_query(vec![], truth);
        let spec = &self.model.spec;
        let seen = self.config.train.steps as f64 * self.setup.source().family(0).shape().query as f64;
        Ok(TestReport {
            accuracy: found.accuracy,
            loss: found.loss,
            bits_per_character: (each > 1).then_some(found.loss / std::f64::consts::LN_2),
            rows: found.asked,
            translations: self.translations(task, network)?,
            parameters: spec.layout().len(),
            kernels: kernels(spec),
            epochs: seen / task.trained as f64,
            direct: self.direct(task)?,
            confusion,
            reliability: reliability(&[truth], &[said], classes.len()),
            classes,
            validation: self.curve.clone(),
        })
    }

    /// What a network says of the sources to be judged on, where rows are pairs.
    fn translations(&self, task: &SingleTask, network: &Network) -> Result<Option<Translations>> {
        let format = self.setup.source().format();
        let Some(pairs) = format.pairs_of(&task.test, &task.test_rows) else { return Ok(None) };
        let said = translate(self.device, network, &format, &sources_of(&pairs), 1)?;
        Ok(Some(Translations::of(&said, &pairs)))
    }

    /// How good the same network is that was trained directly.
    fn direct(&self, task: &SingleTask) -> Result<Option<Direct>> {
        if !self.trains_direct_too() {
            return Ok(None);
        }
        let (spec, member) = (HyperSpec::shared(self.model.spec.target.clone()), &self.model.members[0]);
        let parameters = member.pooled.len();
        let model = Model::new(spec, self.model.likelihood, self.model.adaptation, member.pooled.clone())?;
        let network = network(self.device, &model, task)?;
        let Tested { loss, accuracy, .. } = Tested::of(self.device, &network, &task.test, &task.test_rows)?;
        Ok(Some(Direct { accuracy, loss, parameters }))
    }

    /// Whether a run of one task also trains its network directly, to be held against.
    pub(super) fn trains_direct_too(&self) -> bool {
        !self.model.spec.generator.is_shared_weights()
    }

    /// Judges the network of a source that is one task, and leaves it in the run folder.
    pub(super) fn judge_single(&self, task: &SingleTask, observer: &mut dyn Observer) -> Result<Report> {
        observer.progress(&Progress::of("judging on test rows"));
        let network = network(self.device, &self.model, task)?;
        save_network(&self.folder.file(OWN_NETWORK), &network, &self.setup.source().format())?;
        let (rows, refused) = self.recorded()?;
        let instruments = self.instruments(&self.setup.source().test(0), refused)?;
        Ok(Report {
            test: Some(self.test_by(task, &network)?),
            ..self.report(&rows, instruments, self.validation()?)
        })
    }

    /// Rows that were judged wrongly, the surest first (none of sequences): the row, its class, what was predicted, and how probable that was.
    ///
    /// # Errors
    /// Those of the device.
    pub fn mistakes(&self) -> Result<Vec<(usize, usize, usize, f64)>> {
        let (Some(task), Some(network)) = (self.setup.source().single(), self.network()?) else {
            return Ok(vec![]);
        };
        if task.test.labels_each() > 1 {
            return Ok(vec![]);
        }
        let found = Tested::of(self.device, &network, &task.test, &task.test_rows)?;
        let each = found.log_probabilities.chunks(task.test.classes.len()).zip(&task.test_rows);
        let mut wrong: Vec<(usize, usize, usize, f64)> = each
            .map(|(y, row)| {
                let predicted = argmax(y);
                (*row, task.test.labels[*row] as usize, predicted, f64::from(y[predicted]).exp())
            })
            .filter(|(_, label, predicted, _)| label != predicted)
            .collect();
        wrong.sort_by(|a, b| b.3.total_cmp(&a.3).then(a.0.cmp(&b.0)));
        Ok(wrong)
    }
}

/// Parameters that write or are the kernels of convolutions, and weights of these kernels.
fn kernels(spec: &HyperSpec) -> [usize; 2] {
    let (layout, target) = (spec.layout(), spec.target.layout());
    let weights: usize = target.params.iter().filter(|p| p.is_kernel()).map(|p| p.range().len()).sum();
    let beside = target.len() - weights;
    [layout.len() - beside, weights]
}
