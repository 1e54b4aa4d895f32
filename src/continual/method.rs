//! How tasks are learned one after another, and what is known of them when a network is asked.

use serde::{Deserialize, Serialize};

use crate::optim::Optimiser;

/// How what was learned before is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Method {
    /// A hypernetwork writes the weights of each task's network from a learned embedding, and is held to what it wrote for earlier tasks
    /// (von Oswald et al. 2020).
    #[default]
    Hypernetwork,
    /// One network goes on learning; nothing keeps what it knew.
    FineTune,
    /// Elastic weight consolidation: weights are held to what they were behind each task, by how much its likelihood hangs on them
    /// (Kirkpatrick et al. 2017).
    Ewc,
    /// Synaptic intelligence: by how much of the loss's fall each weight brought while it moved (Zenke et al. 2017).
    Si,
    /// Experience replay: half of each batch are rows of earlier tasks, of which a few are stored.
    Replay,
    /// One network learns from the rows of all tasks up to now: what can be reached with one.
    Joint,
    /// A network of its own for each task: nothing is forgotten, and nothing shared.
    Separate,
}

impl Method {
    /// All of them, with their names.
    pub const ALL: [(&str, Method); 7] = [
        ("hypernetwork", Method::Hypernetwork),
        ("fine-tune", Method::FineTune),
        ("ewc", Method::Ewc),
        ("si", Method::Si),
        ("replay", Method::Replay),
        ("joint", Method::Joint),
        ("separate", Method::Separate),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Method::ALL.iter().find(|(_, m)| *m == self).map_or("", |(name, _)| name)
    }

    /// Whether each task has weights of its own.
    pub(super) fn has_own(self) -> bool {
        matches!(self, Method::Hypernetwork | Method::Separate)
    }

    /// Whether weights are held to what they were, by their importance.
    pub(super) fn weighs(self) -> bool {
        matches!(self, Method::Ewc | Method::Si)
    }
}

/// What is known when a network is asked (van de Ven and Tolias 2019).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scenario {
    /// Which task a row belongs to is known: outputs are those of its own classes.
    #[default]
    Task,
    /// It is not known, and does not matter for the answer: all tasks have the same classes.
    Domain,
    /// It is not known, and is part of the answer: one of the classes of all tasks so far.
    Class,
}

impl Scenario {
    /// All of them, with their names.
    pub const ALL: [(&str, Scenario); 3] =
        [("task", Scenario::Task), ("domain", Scenario::Domain), ("class", Scenario::Class)];

    /// Its name.
    pub fn name(self) -> &'static str {
        Scenario::ALL.iter().find(|(_, s)| *s == self).map_or("", |(name, _)| name)
    }
}

/// How a hypernetwork finds out which task a row belongs to, where nobody says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Inference {
    /// That of the network which is most certain: whose probabilities have the least entropy (HNET+ENT of von Oswald et al. 2020).
    Entropy,
    /// By a classifier of the rows: means of classes and one covariance for all, which no later task changes but by its own rows (streaming linear
    /// discriminant analysis, Hayes and Kanan 2020).
    #[default]
    Classifier,
}

/// Settings of learning.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Learning {
    /// How what was learned before is kept.
    pub method: Method,
    /// Steps of a task.
    pub steps: u64,
    /// Rows of a batch; of replay and behind the first task twice as many, with the stored ones.
    pub batch: usize,
    /// The optimiser, which begins anew with each task.
    pub optimiser: Optimiser,
    /// Learning rate at the start of a task; it falls to 0 by a cosine.
    pub rate: f64,
    /// Largest norm of a gradient.
    pub clip: f64,
    /// Weight of the output regulariser of hypernetworks.
    pub beta: f64,
    /// Past tasks that it looks at in a step, drawn anew each time (0: all of them).
    pub past: usize,
    /// Whether weights that were written for earlier tasks are stored, each behind its task; else the hypernetwork as it was before the present task writes
    /// them again.
    pub stored: bool,
    /// Whether it looks at what would be written behind the step that the present task alone would take (von Oswald et al. 2020, equation 2).
    pub look_ahead: bool,
    /// How a hypernetwork finds out the task, where nobody says it.
    pub inference: Inference,
    /// Weight of elastic weight consolidation.
    pub ewc: f64,
    /// Rows of a task that its importances are taken from.
    pub fisher_rows: usize,
    /// Weight of synaptic intelligence.
    pub si: f64,
    /// What is added to squared moves of weights before they divide (ξ of synaptic intelligence).
    pub damping: f64,
    /// Rows of each task that replay stores.
    pub memory: usize,
}

impl Learning {
    /// Usual settings.
    #[must_use]
    pub fn new(method: Method) -> Learning {
        Learning {
            method,
            steps: 2_000,
            batch: 64,
            optimiser: Optimiser::default(),
            rate: 1e-3,
            clip: 100.0,
            beta: 0.1,
            past: 0,
            stored: false,
            look_ahead: true,
            inference: Inference::default(),
            ewc: 1_000.0,
            fisher_rows: 256,
            si: 0.1,
            damping: 0.1,
            memory: 100,
        }
    }
}
