//! A configured source of tasks: what to train on, choose by and be judged by.

use std::sync::Arc;

use super::config::{Config, ImagesConfig, Method, TaskKind, WeightSource};
use crate::adapt::Adaptation;
use crate::data::csv::{CsvSpec, Groups};
use crate::data::encoder::{Encoder, TargetKind};
use crate::data::format::Format;
use crate::data::grouped::{Grouped, loss_of};
use crate::data::images::ImageSet;
use crate::data::shapes::Shapes;
use crate::data::sine::Sine;
use crate::data::ways::Ways;
use crate::data::{shapes, sine};
use crate::error::{Error, Result, nearest};
use crate::hyper::{ConditionSpec, Embedding, HyperSpec, SetEncoder};
use crate::meta::objective::MetaSpec;
use crate::net::Net;
use crate::plan::{available_memory, bytes};
use crate::rng::Rng;
use crate::task::{Likelihood, Loss, Metric, Task, TaskFamily, TaskShape};

/// Validation tasks of the families that can make any number.
const VALIDATION_TASKS: usize = 200;
/// Query points of a held-out shape.
const FIELD_POINTS: usize = 256;
/// Streams of held-out tasks, apart from those of training.
const VALIDATION_SEED: u64 = 0x7a11_d000;
const TEST_SEED: u64 = 0x7e57_0000;

/// A source of tasks for a configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    config: Config,
    groups: Option<Arc<Groups>>,
    folds: Vec<(Vec<usize>, Vec<usize>)>,
    pictures: Option<Pictures>,
}

/// Classes of pictures for each use; no class has two.
#[derive(Clone, Debug)]
struct Pictures {
    train: Ways,
    validation: Ways,
    test: Ways,
}

impl Setup {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// Those of [`Groups::load`] for a CSV file.
    pub fn load(config: &Config) -> Result<Setup> {
        let mut setup = Setup { config: config.clone(), groups: None, folds: vec![], pictures: None };
        if let (TaskKind::Images, Some(i)) = (config.task, &config.images) {
            setup.pictures = Some(pictures(config, i)?);
        }
        if let (TaskKind::Csv, Some(c)) = (config.task, &config.csv) {
            let spec = CsvSpec {
                path: c.file.clone(),
                group: c.group.clone(),
                target: c.target.clone(),
                inputs: c.inputs.clone(),
                drop: c.drop.clone(),
                shots: config.eval.shots,
                splits: c.splits.clone(),
                seed: config.seed,
                kind: c.kind,
            };
            let groups = Groups::load(&spec)?;
            setup.folds = folds(&groups, config.model.members, config.seed);
            setup.groups = Some(Arc::new(groups));
        }
        Ok(setup)
    }

    /// What should be said about the data before training.
    pub fn warnings(&self) -> &[String] {
        self.groups.as_ref().map_or(&[], |g| &g.warnings)
    }

    /// The table, where there is one.
    pub fn groups(&self) -> Option<&Arc<Groups>> {
        self.groups.as_ref()
    }

    /// What encodes files of this source, where there is one.
    pub fn encoder(&self) -> Option<&Encoder> {
        self.groups.as_ref().map(|g| &g.encoder)
    }

    /// How support and query files of this source are read.
    pub fn format(&self) -> Format {
        if let Some(p) = &self.pictures {
            let names = |what: &str, n: usize| (0..n).map(|i| format!("{what}{i}")).collect();
            let side = p.train.set.side;
            return Format::Plain {
                inputs: names("pixel", side * side),
                outputs: names("class", p.train.ways),
            };
        }
        match (self.config.task, self.encoder()) {
            (_, Some(e)) => Format::Encoded(e.clone()),
            (TaskKind::Shapes, None) => Format::plain(&["x", "y"], &["distance"]),
            _ => Format::plain(&["x"], &["y"]),
        }
    }

    /// Models to train: more than one only where tasks are few enough to be folded.
    pub fn members(&self) -> usize {
        self.folds.len().max(1)
    }

    /// The family that member `member` trains on.
    pub fn family(&self, member: usize) -> Box<dyn TaskFamily> {
        let e = &self.config.eval;
        if let Some(p) = &self.pictures {
            return Box::new(p.train.clone());
        }
        match (self.config.task, &self.groups) {
            (TaskKind::Csv, Some(groups)) => Box::new(self.grouped(groups, member)),
            (TaskKind::Shapes, _) => {
                let min_shots = self.min_shots();
                Box::new(Shapes { shots: e.shots, min_shots, query: e.query, seed: self.config.seed })
            }
            _ => {
                let min_shots = self.min_shots();
                Box::new(Sine { shots: e.shots, min_shots, query: e.query, seed: self.config.seed })
            }
        }
    }

    /// Fewest support rows of a training episode.
    fn min_shots(&self) -> usize {
        let shots = self.config.eval.shots;
        match self.config.train.min_shots {
            0 => shots,
            n => n.min(shots),
        }
    }

    fn grouped(&self, groups: &Arc<Groups>, member: usize) -> Grouped {
        Grouped {
            groups: groups.clone(),
            train: self.folds.get(member).map_or(vec![], |f| f.0.clone()),
            shots: self.config.eval.shots,
            query: self.config.eval.query,
            descriptor: self.config.model.descriptor,
            seed: self.config.seed.wrapping_add((member as u64) << 32),
        }
    }

    /// Tasks that member `member` has not trained on, to choose by.
    pub fn validation(&self, member: usize) -> Vec<Task> {
        if let Some(p) = &self.pictures {
            return p.validation.held_out(VALIDATION_TASKS, self.config.eval.shots, VALIDATION_SEED);
        }
        match &self.groups {
            Some(groups) => {
                let family = self.grouped(groups, member);
                family.drawn_tasks(&self.folds[member].1, self.config.eval.shots, VALIDATION_SEED)
            }
            None => self.made(VALIDATION_SEED, VALIDATION_TASKS, self.config.eval.shots),
        }
    }

    /// Tasks that nothing was trained on or chosen by.
    pub fn test(&self, shots: usize) -> Vec<Task> {
        if let Some(p) = &self.pictures {
            return p.test.held_out(self.config.eval.tasks.max(1), shots, TEST_SEED);
        }
        match &self.groups {
            Some(groups) => self.grouped(groups, 0).test_tasks(shots),
            None => self.made(TEST_SEED, self.config.eval.tasks.max(1), shots),
        }
    }

    /// Held-out tasks of a family that can make any number.
    fn made(&self, stream: u64, count: usize, shots: usize) -> Vec<Task> {
        let seed = self.config.seed ^ stream;
        match self.config.task {
            TaskKind::Shapes => Shapes::held_out(seed, count, shots, FIELD_POINTS),
            _ => Sine::held_out(seed, count, shots),
        }
    }

    /// The first unseen tasks of the shapes family with a grid of `size x size` query points, for pictures.
    pub fn fields(&self, count: usize, size: usize) -> Vec<Task> {
        let seed = self.config.seed ^ TEST_SEED;
        (0..count).map(|i| Shapes::field(seed, i, self.config.eval.shots, size)).collect()
    }

    /// How predictions are judged.
    pub fn likelihood(&self) -> Likelihood {
        if let Some(p) = &self.pictures {
            let (metric, loss) = (Metric::Accuracy, Loss::CrossEntropy);
            return Likelihood { metric, loss, outputs: p.train.ways, unit: 1.0 };
        }
        match self.encoder() {
            None => Likelihood { metric: Metric::Mse, loss: Loss::Mse, outputs: 1, unit: 1.0 },
            Some(e) => {
                let metric = match e.kind() {
                    TargetKind::Regression => Metric::Rmse,
                    TargetKind::Classification => Metric::Accuracy,
                };
                Likelihood { metric, loss: loss_of(e.kind()), outputs: e.outputs(), unit: e.target_scale().1 }
            }
        }
    }

    /// Initial weights of the target network.
    pub fn initial_target(&self, rng: &mut Rng) -> Vec<f32> {
        let layout = self.hyper().target.layout();
        let mut w = layout.init(rng);
        for p in layout.params.iter().take(2) {
            for v in &mut w[p.range()] {
                *v *= self.config.model.omega as f32;
            }
        }
        w
    }

    /// The target network: the layers of `model.net`, or dense ones by the widths of `model.target`, and a head with the outputs
    /// that the tasks need.
    fn target(&self, shape: &TaskShape) -> Net {
        let m = &self.config.model;
        match &m.net {
            Some(layers) => {
                let net = Net::rows(shape.row.clone()).with_all(layers.iter().cloned());
                let net = if m.context > 0 && net.context_width() == 0 {
                    let start = Net::rows(shape.row.clone()).context(m.context);
                    start.with_all(layers.iter().cloned())
                } else {
                    net
                };
                net.dense(shape.outputs)
            }
            None => {
                let widths = [&[shape.inputs()], &m.target[..], &[shape.outputs]].concat();
                Net::mlp_in_context(&widths, m.activation, m.context)
            }
        }
    }

    /// The hypernetwork that the configuration describes, for tasks of this source.
    pub fn hyper(&self) -> HyperSpec {
        let shape = self.family(0).shape();
        let m = &self.config.model;
        let scale = match self.config.task {
            TaskKind::Sine => 1.0 / sine::SCALE,
            TaskKind::Shapes => shapes::SCALE,
            TaskKind::Csv | TaskKind::Images => 1.0,
        };
        let target = self.target(&shape);
        if m.weights == WeightSource::Shared {
            let condition = ConditionSpec::default();
            return HyperSpec { condition, trunk: vec![], activation: m.hyper_activation, target };
        }
        HyperSpec {
            condition: ConditionSpec {
                support: (!m.encoder.is_empty()).then(|| SetEncoder {
                    example: shape.inputs() + shape.outputs,
                    widths: m.encoder.clone(),
                    scale,
                }),
                embedding: (m.embedding > 0)
                    .then_some(Embedding { tasks: shape.known + 1, width: m.embedding }),
                descriptor: shape.descriptor,
            },
            trunk: m.trunk.clone(),
            activation: m.hyper_activation,
            target,
        }
    }

    /// The hypernetwork with its inner learning and its objective.
    pub fn meta(&self) -> MetaSpec {
        let (a, t) = (&self.config.adapt, &self.config.train);
        MetaSpec {
            hyper: self.hyper(),
            adaptation: Adaptation { rule: a.rule, fast: a.fast, rates: a.rates, rate: a.rate, clip: a.clip },
            through: a.through,
            steps: a.train_steps,
            per_step: a.per_step,
            joint_lambda: t.joint_lambda,
            freeze: t.freeze.clone(),
            weight_penalty: t.weight_penalty,
            diversity: t.diversity,
        }
    }

    /// How the pooled network is fine-tuned, to be held against.
    pub fn fine_tuning(&self) -> Adaptation {
        let (a, d) = (&self.config.adapt, Config::with_method(self.config.task, Method::FineTune).adapt);
        let own = Adaptation::fine_tuning(a.rate, a.clip);
        if own == self.meta().adaptation { own } else { Adaptation::fine_tuning(d.rate, d.clip) }
    }

    /// Refuses a model that would read nothing, and a model or held-out tasks that the memory would not hold,
    /// before anything is allocated.
    pub fn check_size(&self) -> Result<()> {
        let hyper = self.hyper();
        if hyper.is_shared() && self.config.model.weights == WeightSource::Generated {
            return Err(Error::config(
                "model.descriptor",
                "no column is constant inside every group, so the hypernetwork would read nothing: give the set \
                 encoder a layer at least, for example model.encoder = [32, 32]",
            ));
        }
        let inputs = hyper.target.inputs();
        if inputs > 65_536 {
            return Err(Error::config(
                "images.train",
                format!(
                    "a network would read {inputs} numbers of each row, and 65536 are the most: make the pictures smaller"
                ),
            ));
        }
        let net = &hyper.target;
        net.check().map_err(|e| Error::config("model.net", e))?;
        if net.outputs() != self.family(0).shape().outputs {
            let message = format!(
                "the layers before the head give rows of several axes, so that the net gives {} numbers a row where {} are \
                 needed: put flatten = true behind them",
                net.outputs(),
                self.family(0).shape().outputs
            );
            return Err(Error::config("model.net", message));
        }
        if !self.meta().adaptation.fits(&hyper) {
            let what = self.config.adapt.fast;
            let message = format!("the network has nothing of the kind that adapt.fast = {what:?} changes");
            return Err(Error::config("adapt.fast", message));
        }
        check_freeze(&self.meta())?;
        // A validated configuration has no widths that overflow here.
        let (p, memory) = (hyper.layout().len() as u64, available_memory());
        if p > 1 << 31 || 4 * p > memory {
            return Err(Error::Memory(format!(
                "the hypernetwork would have {p} parameters, {} of them without their gradients, and {} are there; \
                 smaller model.target or model.trunk would fit",
                bytes(4 * p),
                bytes(memory)
            )));
        }
        self.check_held_out(self.config.eval.shots)
    }

    /// Refuses held-out tasks with `shots` support rows that the memory would not hold.
    pub fn check_held_out(&self, shots: usize) -> Result<()> {
        if self.groups.is_some() {
            return Ok(());
        }
        let shape = self.family(0).shape();
        let rows = match &self.pictures {
            Some(p) => {
                let more = Ways { shots, ..p.test.clone() };
                more.check("the tasks that are judged on")?;
                p.test.ways * (shots + p.test.query)
            }
            None => shots + FIELD_POINTS,
        };
        let tasks = self.config.eval.tasks.max(VALIDATION_TASKS);
        let need = 4 * (tasks * rows * (shape.inputs() + shape.outputs)) as u64;
        match available_memory() {
            memory if need > memory => Err(Error::Memory(format!(
                "{tasks} held-out tasks of {shots} shots need {}, and {} are there; fewer eval.tasks or shots would fit",
                bytes(need),
                bytes(memory)
            ))),
            _ => Ok(()),
        }
    }
}

/// Reads pictures, and parts their classes: a tenth to choose by, and where no other file is given a fifth to be judged on.
fn pictures(config: &Config, i: &ImagesConfig) -> Result<Pictures> {
    let set = Arc::new(ImageSet::read(&i.train, i.train_labels.as_deref())?);
    let n = set.classes.len();
    let order = Rng::new(config.seed, 0xc1a5).choose(n, n);
    let (judged, test_set) = match &i.test {
        Some(path) => {
            let other = ImageSet::read(path, i.test_labels.as_deref())?;
            if other.side != set.side {
                return Err(Error::data(
                    path,
                    "",
                    format!("holds pictures of side {}, and those to train on have {}", other.side, set.side),
                ));
            }
            (0, Arc::new(other))
        }
        None => ((n / 5).max(i.ways).min(n), set.clone()),
    };
    let chosen = (n / 10).max(i.ways).min(n - judged);
    let (test, rest) = order.split_at(judged);
    let (validation, train) = rest.split_at(chosen);
    let ways = |set: &Arc<ImageSet>, classes: &[usize]| Ways {
        set: set.clone(),
        classes: classes.to_vec(),
        ways: i.ways,
        shots: config.eval.shots,
        query: config.eval.query,
        rotations: i.rotations,
        shifts: i.shifts,
        seed: config.seed,
    };
    let all: Vec<usize> = (0..test_set.classes.len()).collect();
    let found = Pictures {
        train: ways(&set, train),
        validation: ways(&set, validation),
        test: ways(&test_set, if i.test.is_some() { &all } else { test }),
    };
    found.train.check("training")?;
    found.validation.check("choosing")?;
    found.test.check("the tasks that are judged on")?;
    Ok(found)
}

/// Training and validation groups of each member: the training groups in `members` folds, each validating once.
/// With one member, or too few groups, the split's own validation groups.
fn folds(groups: &Groups, members: usize, seed: u64) -> Vec<(Vec<usize>, Vec<usize>)> {
    let split = &groups.split;
    let all: Vec<usize> = split.train.iter().chain(&split.validation).copied().collect();
    let members = members.min(all.len() / 2);
    if members <= 1 {
        return vec![(split.train.clone(), split.validation.clone())];
    }
    let order: Vec<usize> =
        Rng::new(seed, 0xf01d).choose(all.len(), all.len()).into_iter().map(|i| all[i]).collect();
    (0..members)
        .map(|m| {
            let (mut train, mut validation) = (vec![], vec![]);
            for (i, &g) in order.iter().enumerate() {
                if i % members == m { validation.push(g) } else { train.push(g) }
            }
            (train, validation)
        })
        .collect()
}

/// Refuses names to freeze that are no parameters, and to freeze all.
fn check_freeze(meta: &MetaSpec) -> Result<()> {
    let layout = meta.layout();
    for name in &meta.freeze {
        if !layout.params.iter().any(|p| p.is_called(name)) {
            let mut known: Vec<&str> =
                layout.params.iter().filter_map(|p| p.name.split('.').next()).collect();
            known.dedup();
            let hint = nearest(name, known.iter().copied())
                .map_or(String::new(), |n| format!(" (did you mean '{n}'?)"));
            return Err(Error::config(
                "train.freeze",
                format!("no parameter is called '{name}'{hint}: there are {}", known.join(", ")),
            ));
        }
    }
    if layout.segments(&meta.freeze).iter().all(|s| s.1) {
        return Err(Error::config("train.freeze", "nothing would be left to train: freeze less"));
    }
    Ok(())
}
