//! Settings of a run over tasks that come one after another.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::SETTINGS;
use crate::continual::{Inference, Learning, Method, Networks, Scenario, Sequence};
use crate::data::encoder::TargetKind;
use crate::error::{Error, Result, nearest};
use crate::experiment::config;
use crate::experiment::source::is_table;
use crate::hyper::{Chunked, Generator};
use crate::net::{Layer, Net};
use crate::optim::Optimiser;
use crate::spec::Activation;

/// How it is learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ContinualLearning {
    /// Steps of a task.
    pub steps: u64,
    /// Rows of a batch.
    pub batch: usize,
    /// Learning rate at the start of a task; it falls to 0 by a cosine.
    pub rate: f64,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Weight of what holds a hypernetwork to what it wrote.
    pub beta: f64,
    /// Past tasks that it is held to in a step, drawn anew each time (0: all of them).
    pub past: usize,
    /// Whether what was written for earlier tasks is stored; else it is written again by the hypernetwork as it was before the present task.
    pub stored: bool,
    /// Whether it is held behind the step that the present task alone would take.
    pub look_ahead: bool,
    /// Weight of elastic weight consolidation.
    pub ewc: f64,
    /// Rows of a task that its importances are taken from.
    pub fisher_rows: usize,
    /// Weight of synaptic intelligence.
    pub si: f64,
    /// What is added to squared moves of weights before they divide, in synaptic intelligence.
    pub damping: f64,
    /// Rows of each task that replay stores.
    pub memory: usize,
}

impl Default for ContinualLearning {
    fn default() -> ContinualLearning {
        let l = Learning::new(Method::default());
        ContinualLearning {
            steps: l.steps,
            batch: l.batch,
            rate: l.rate,
            clip: l.clip,
            beta: l.beta,
            past: l.past,
            stored: l.stored,
            look_ahead: l.look_ahead,
            ewc: l.ewc,
            fisher_rows: l.fisher_rows,
            si: l.si,
            damping: l.damping,
            memory: l.memory,
        }
    }
}

/// Settings of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ContinualConfig {
    /// `continual`.
    pub task: String,
    /// `polynomials`, or where rows come from: one file or folder, whose classes or groups are parted into tasks, or several, each a task.
    pub source: Vec<String>,
    /// Rows to be judged on, of one file (not given: a sixth of each class).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The column of a CSV file that holds the class.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The column by which the rows of a CSV file are tasks; `target` is then what is predicted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The column to predict, of a CSV file with groups.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// regression or classification (not given: by the target's cells).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<TargetKind>,
    /// Columns to leave out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<String>,
    /// Number of tasks (0: 3 polynomials, 5 parts of the classes, 10 orders of the inputs, or as many as there are files or groups).
    pub tasks: usize,
    /// Classes of a task (0: all classes are shared out).
    pub ways: usize,
    /// Whether tasks have all classes, and each another order of the inputs.
    pub permuted: bool,
    /// What is known when a network is asked: task, domain or class.
    pub scenario: Scenario,
    /// How a hypernetwork finds out which task a row belongs to, where it is not said: classifier or entropy.
    pub inference: Inference,
    /// How what was learned is kept.
    pub method: Method,
    /// Other methods on the same tasks, to compare.
    pub beside: Vec<Method>,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// auto, cpu, gpu or gpu:N.
    pub device: String,
    /// The network of a task before its last layer: a name, or a list of layers (not given: dense ones by `hidden`).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "config::net")]
    pub net: Option<Vec<Layer>>,
    /// Hidden widths of the network of a task.
    pub hidden: Vec<usize>,
    /// Their activation.
    pub activation: Activation,
    /// Numbers of a task's embedding.
    pub embedding: usize,
    /// Hidden widths of the hypernetwork.
    pub trunk: Vec<usize>,
    /// Activation of the hypernetwork.
    pub hyper_activation: Activation,
    /// How it writes weights: linear, chunked, low-rank, film, masked, mixture or recurrent (not given: linear for up to 2,000 weights, else in a hundred chunks without base weights).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "some_generator")]
    pub generator: Option<Generator>,
    /// How it is learned.
    pub learning: ContinualLearning,
}

fn some_generator<'de, D: serde::Deserializer<'de>>(
    from: D,
) -> std::result::Result<Option<Generator>, D::Error> {
    config::generator(from).map(Some)
}

impl Default for ContinualConfig {
    fn default() -> ContinualConfig {
        ContinualConfig {
            task: "continual".into(),
            source: vec!["polynomials".into()],
            test: None,
            label: String::new(),
            group: String::new(),
            target: String::new(),
            kind: None,
            drop: vec![],
            tasks: 0,
            ways: 0,
            permuted: false,
            scenario: Scenario::default(),
            inference: Inference::default(),
            method: Method::default(),
            beside: Method::ALL[1..].iter().map(|(_, m)| *m).collect(),
            seed: 0,
            device: "auto".into(),
            net: None,
            hidden: vec![100, 100],
            activation: Activation::Relu,
            embedding: 16,
            trunk: vec![32, 32],
            hyper_activation: Activation::Relu,
            generator: None,
            learning: ContinualLearning::default(),
        }
    }
}

/// Weights that are written at once, and chunks that more are written in, where nothing is said.
const FEW: usize = 2_000;
const CHUNKS: usize = 100;

/// What von Oswald et al. learn polynomials with, but for the activation and the weight of the regulariser: with sigmoids and .005 one seed in two forgets the second.
const OF_POLYNOMIALS: &str = "hidden = [10, 10]\nactivation = 'tanh'\nembedding = 2\ntrunk = [10, 10]\nhyper_activation = 'sigmoid'\n\
     [learning]\nsteps = 4001\nbatch = 32\nrate = 0.01\nbeta = 0.05\n";

impl ContinualConfig {
    /// Settings as a file holds them, with single ones (`learning.beta=0.1`) over it. What is not said depends on the source.
    ///
    /// # Errors
    /// What no such run has, or what is out of range.
    pub fn parse(text: &str, origin: &str, over: &[String]) -> Result<ContinualConfig> {
        let wrong = |e: toml::de::Error| Error::config(origin, e.message().to_string());
        let mut table: toml::Table = text.parse().map_err(wrong)?;
        for one in over {
            config::set(&mut table, one)?;
        }
        for (key, known) in [
            ("method", Method::ALL.map(|(n, _)| n).to_vec()),
            ("scenario", Scenario::ALL.map(|(n, _)| n).to_vec()),
            ("inference", vec!["entropy", "classifier"]),
        ] {
            check_name(&table, key, &known)?;
        }
        let of_one = |table: &toml::Table| match table.get("source") {
            None => true,
            Some(toml::Value::Array(all)) => all.len() == 1 && all[0].as_str() == Some("polynomials"),
            Some(_) => false,
        };
        let said: Vec<&str> =
            ["hidden", "activation"].into_iter().filter(|k| table.contains_key(*k)).collect();
        if of_one(&table) {
            let mut usual: toml::Table = OF_POLYNOMIALS.parse().map_err(wrong)?;
            config::merge(&mut usual, table);
            table = usual;
        }
        if let Some(key) =
            ["hidden", "activation"].iter().find(|k| table.contains_key("net") && said.contains(*k))
        {
            return Err(Error::config(
                *key,
                "is of dense networks, and net says what the layers are: leave one out",
            ));
        }
        let says_beside = table.contains_key("beside");
        let mut config: ContinualConfig = toml::Value::Table(table).try_into().map_err(wrong)?;
        if !says_beside {
            config.beside = Method::ALL.iter().map(|(_, m)| *m).filter(|m| *m != config.method).collect();
        }
        config.validate()?;
        Ok(config)
    }

    /// The settings of a run.
    ///
    /// # Errors
    /// A folder that holds no such run, and those of [`ContinualConfig::parse`].
    pub fn read(run: &Path) -> Result<ContinualConfig> {
        let file = run.join(SETTINGS);
        if !file.is_file() {
            return Err(Error::checkpoint(
                run,
                format!("there is no run over tasks one after another in it (no {SETTINGS})"),
            ));
        }
        let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        ContinualConfig::parse(&text, &file.display().to_string(), &[])
    }

    /// As a file holds them.
    ///
    /// # Errors
    /// None of settings that were read.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config(SETTINGS, e.to_string()))
    }

    /// Refuses what is out of range, or does not fit.
    ///
    /// # Errors
    /// The setting, and what would be right.
    pub fn validate(&self) -> Result<()> {
        let l = &self.learning;
        let fail = |key: &str, message: String| Err(Error::config(key, message));
        config::within(&[
            ("tasks", self.tasks, 0, 1_000),
            ("ways", self.ways, 0, 10_000),
            ("embedding", self.embedding, 1, 4_096),
            ("learning.steps", l.steps as usize, 1, 100_000_000),
            ("learning.batch", l.batch, 1, 65_536),
            ("learning.past", l.past, 0, 1_000),
            ("learning.fisher_rows", l.fisher_rows, 1, 1_000_000),
            ("learning.memory", l.memory, 1, 1_000_000),
        ])?;
        config::within(&[
            ("learning.rate", l.rate, 1e-9, 1.0),
            ("learning.clip", l.clip, 1e-9, 1e9),
            ("learning.beta", l.beta, 0.0, 1e6),
            ("learning.ewc", l.ewc, 0.0, 1e12),
            ("learning.si", l.si, 0.0, 1e12),
            ("learning.damping", l.damping, 1e-12, 1e6),
        ])?;
        for (name, widths) in [("hidden", &self.hidden), ("trunk", &self.trunk)] {
            if widths.len() > 16 || widths.iter().any(|w| !(1..=4_096).contains(w)) {
                return fail(
                    name,
                    format!("{widths:?} are no hidden widths: up to 16 of them, each from 1 to 4096"),
                );
            }
        }
        if self.task != "continual" {
            return fail(
                "task",
                format!("is '{}', and these are settings of task = \"continual\"", self.task),
            );
        }
        if self.source.is_empty() || self.source.iter().any(String::is_empty) {
            return fail("source", "names nothing: polynomials, or files".into());
        }
        let made = self.source == ["polynomials"];
        let names = [("label", &self.label), ("group", &self.group), ("target", &self.target)];
        if let Some((key, _)) = names.iter().find(|(_, v)| made && !v.is_empty()) {
            return fail(key, "names a column, and polynomials have none".into());
        }
        if made
            && (self.permuted
                || self.ways > 0
                || self.test.is_some()
                || !self.drop.is_empty()
                || self.kind.is_some())
        {
            return fail(
                "source",
                "polynomials have neither classes nor files: leave permuted, ways, test, drop and kind out"
                    .into(),
            );
        }
        let tables = self.source.iter().filter(|s| is_table(Path::new(s))).count();
        if !made && tables != 0 && tables != self.source.len() {
            return fail("source", "names CSV files and others: files of one kind are needed".into());
        }
        if !made && tables == 0 && !self.label.is_empty() {
            return fail("label", "names a column of a CSV file, and pictures have their classes from their folders or label files".into());
        }
        if tables > 0 && self.label.is_empty() && self.group.is_empty() {
            return fail("label", "is needed for a CSV file: --label names the column of its classes; or --group the one by which rows are tasks, with --target".into());
        }
        if self.kind.is_some() && self.group.is_empty() {
            return fail("kind", "says what the target of groups is: with group and target".into());
        }
        if let Some(test) = self.test.as_ref().filter(|test| !test.exists()) {
            return fail("test", format!("{}: there is no such file", test.display()));
        }
        if let Some(twice) = self.beside.iter().enumerate().find(|(i, m)| self.beside[..*i].contains(m)) {
            return fail("beside", format!("names {} twice", twice.1.name()));
        }
        if self.group.is_empty() != self.target.is_empty() {
            return fail(
                "group",
                "and target go together: the column by which rows are tasks, and the one to predict".into(),
            );
        }
        if !self.group.is_empty()
            && (!self.label.is_empty() || self.permuted || self.ways > 0 || self.test.is_some())
        {
            return fail("group", "makes the tasks: leave label, test, permuted and ways out".into());
        }
        if self.source.len() > 1
            && (!self.group.is_empty() || self.permuted || self.ways > 0 || self.test.is_some())
        {
            return fail(
                "source",
                "names several files, which are the tasks: leave group, permuted, ways and test out".into(),
            );
        }
        if self.permuted && self.ways > 0 {
            return fail("ways", "parts classes, and with permuted every task has all".into());
        }
        if self.beside.contains(&self.method) {
            return fail("beside", format!("names {}, which is the method itself", self.method.name()));
        }
        if self.generator.as_ref().is_some_and(|g| !g.reads()) {
            return fail(
                "generator",
                "reads nothing of a task: linear, chunked, low-rank, film, masked, mixture or recurrent"
                    .into(),
            );
        }
        if self.generator.as_ref().is_some_and(Generator::reads_rows) {
            return fail(
                "generator",
                "reads rows of a support, and these tasks have none: linear, chunked, low-rank, film, masked, mixture or recurrent".into(),
            );
        }
        Ok(())
    }

    /// How it is learned by a method.
    pub(super) fn learning(&self, method: Method) -> Learning {
        let l = &self.learning;
        let mut to = Learning::new(method);
        to.optimiser = Optimiser::default();
        (to.steps, to.batch, to.rate, to.clip) = (l.steps, l.batch, l.rate, l.clip);
        (to.beta, to.past, to.stored, to.look_ahead) = (l.beta, l.past, l.stored, l.look_ahead);
        (to.ewc, to.fisher_rows, to.si, to.damping, to.memory) =
            (l.ewc, l.fisher_rows, l.si, l.damping, l.memory);
        to.inference = self.inference;
        to
    }

    /// The networks for these tasks.
    ///
    /// # Errors
    /// Layers that do not fit the rows.
    pub(super) fn networks(&self, sequence: &Sequence) -> Result<Networks> {
        let start = Net::rows(sequence.row.clone());
        let body = match &self.net {
            Some(layers) => start.with_all(layers.iter().cloned()),
            None => {
                let start = if sequence.row.len() > 1 { start.flatten() } else { start };
                self.hidden.iter().fold(start, |net, width| net.dense(*width).activation(self.activation))
            }
        };
        // What is said of a series as a whole is read from what all of its elements became.
        let several = body.row_behind().is_some_and(|row| row.len() > 1);
        let body = if several { body.flatten() } else { body };
        body.clone().dense(sequence.outputs).check().map_err(|m| Error::config("net", m))?;
        let mut networks = Networks::new(&body, self.scenario, sequence, self.embedding, &self.trunk);
        if networks.target().head().is_none() {
            return Err(Error::config(
                "net",
                "has to give rows of one axis: flatten = true or global_pool = true at its end",
            ));
        }
        networks.hyper.activation = self.hyper_activation;
        let weights = networks.target().layout().len();
        networks.hyper.generator = match &self.generator {
            Some(generator) => generator.clone(),
            None if weights <= FEW => Generator::default(),
            None => Generator::Chunked(Chunked {
                chunk: weights.div_ceil(CHUNKS),
                base: false,
                ..Chunked::default()
            }),
        };
        Ok(networks)
    }
}

/// Refuses a name that is none of those that are known.
fn check_name(table: &toml::Table, key: &str, known: &[&str]) -> Result<()> {
    let Some(name) = table.get(key).and_then(toml::Value::as_str).filter(|name| !known.contains(name)) else {
        return Ok(());
    };
    let near =
        nearest(name, known.iter().copied()).map_or(String::new(), |n| format!("; did you mean '{n}'?"));
    Err(Error::config(key, format!("'{name}' is none of {}{near}", known.join(", "))))
}
