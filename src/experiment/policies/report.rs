//! What a run of a policy found.

use serde::{Deserialize, Serialize};

/// `report.json` of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyReport {
    /// The environment.
    pub environment: String,
    /// `ppo`, `a2c`, `reinforce`, `rl2`, `maml` or `es`.
    pub learner: String,
    /// `shared`, `own` or `generated`.
    pub weights: String,
    /// What it was trained on.
    pub device: String,
    /// The seed.
    pub seed: u64,
    /// Numbers that are learned.
    pub parameters: usize,
    /// Steps of all worlds.
    pub steps: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Steps of all worlds in a second.
    pub steps_per_second: f64,
    /// How good it is, in contexts that it was not trained in.
    pub test: PolicyTest,
}

/// Returns of whole episodes; of a policy with a memory those of whole trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PolicyTest {
    /// Mean return where the likeliest action is taken.
    pub return_mean: f64,
    /// Standard deviation over episodes.
    pub return_std: f64,
    /// Number of episodes.
    pub episodes: usize,
    /// Their mean number of steps.
    pub length: f64,
    /// Share of episodes that ended by themselves, not by the time limit: of `lane` those in which the car left the lane or hit something.
    #[serde(default)]
    pub terminated: f64,
    /// Mean return where actions are drawn from the policy.
    pub drawn: f64,
    /// Mean return of actions at random.
    pub random: f64,
    /// Mean return of who knows the contexts and acts best, where that is worked out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub oracle: Option<f64>,
    /// Mean returns of known rules that learn within a trial, where there are some.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rules: Vec<(String, f64)>,
    /// Of trials of several episodes the mean return of the first, of the second, and so on, where the likeliest action is taken.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub by_episode: Vec<f64>,
    /// Of policies that adapt the mean return before the first step of adaptation, after it, and so on: of the likeliest actions, and of drawn ones. What else is said
    /// is of the last.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub by_update: Vec<[f64; 2]>,
    /// Contexts that it was judged in.
    pub contexts: usize,
    /// Contexts, where they differ and are few and short, each with its mean return.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub tasks: Vec<(Vec<(String, f32)>, f64)>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyStatus {
    /// Trained and judged.
    Finished(Box<PolicyReport>),
    /// Stopped by the observer after so many steps; the folder goes on from there.
    Stopped(u64),
}
