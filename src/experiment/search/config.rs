//! Settings of a search.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::rows::TableConfig;
use crate::error::{Error, Result};
use crate::experiment::config;
use crate::experiment::source::PicturesConfig;
use crate::search::{ChoiceRule, GeneratorSettings, GradientSettings, TrainSettings};

/// How a candidate's accuracy is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Evaluator {
    /// By the network with weights that a hypernetwork writes, on validation rows.
    #[default]
    Generated,
    /// By the network trained for a part of the steps of a whole training.
    Trained,
}

/// Settings of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SearchConfig {
    /// Seed of all that is drawn.
    pub seed: u64,
    /// auto, cpu, gpu or gpu:N.
    pub device: String,
    /// A space by its name, or a TOML file (empty: `cell-2d` for pictures, `cell-1d` for series, `mlp` for tables).
    pub space: String,
    /// Candidates at most.
    pub budget: usize,
    /// How candidates are chosen.
    pub choice: ChoiceRule,
    /// How their accuracy is predicted.
    pub evaluator: Evaluator,
    /// Candidates of a round.
    pub round: usize,
    /// Rounds without a better candidate after which the search ends (not given: none).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// Of `surrogate`: the search ends when nothing that is proposed would be better than the best so far if it were better than expected by so many standard
    /// deviations (not given: it goes on).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead: Option<f64>,
    /// Of `probability`: a difference in predicted accuracy that makes a candidate e times as likely.
    pub temperature: f64,
    /// Of `trained`: the share of the steps of a whole training.
    pub share: f64,
    /// Of `generated`: steps of training from the generated weights before a candidate is judged.
    pub adapt: u64,
    /// A table of trained architectures of the space (`--table`), by which predictions are judged; the hypernetwork does not learn on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truth: Option<PathBuf>,
    /// Of `generated`: the share of the hypernetwork's steps that are done between rounds, half of them on leading candidates.
    pub feedback: f64,
    /// How many of the best candidates are trained.
    pub best: usize,
    /// Seeds with which each of them is trained.
    pub seeds: usize,
    /// Other candidates that are trained once, evenly over all predictions, to tell how good these are.
    pub checked: usize,
    /// The rows: pictures or series with a class each.
    pub pictures: PicturesConfig,
    /// The rows instead: a table's lines, with a class or a value each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csv: Option<TableConfig>,
    /// The hypernetwork.
    pub hypernetwork: GeneratorSettings,
    /// Of `choice = "gradient"`: how the shares of choices are learned.
    pub gradient: GradientSettings,
    /// How the best are trained.
    pub train: TrainSettings,
}

impl Default for SearchConfig {
    fn default() -> SearchConfig {
        SearchConfig {
            seed: 0,
            device: "auto".into(),
            space: String::new(),
            budget: 256,
            choice: ChoiceRule::default(),
            evaluator: Evaluator::default(),
            round: 32,
            patience: None,
            lead: None,
            temperature: 0.02,
            share: 0.1,
            adapt: 0,
            truth: None,
            feedback: 0.2,
            best: 3,
            seeds: 3,
            checked: 12,
            pictures: PicturesConfig { validation: 0.2, ..PicturesConfig::default() },
            csv: None,
            hypernetwork: GeneratorSettings::default(),
            gradient: GradientSettings::default(),
            train: TrainSettings::default(),
        }
    }
}

impl SearchConfig {
    /// Settings as a file holds them, with single ones (`budget=64`) over it. Where rows are a table's lines (`[csv]`) or series (`pictures.label`), what is not said is
    /// `evaluator = "trained"`, `choice = "surrogate"`, `share = 1`, `budget = 48` and `round = 16`.
    ///
    /// # Errors
    /// What no search has, or what is out of range.
    pub fn parse(text: &str, origin: &str, over: &[String]) -> Result<SearchConfig> {
        let wrong = |e: toml::de::Error| Error::config(origin, e.message().to_string());
        let mut table: toml::Table = text.parse().map_err(wrong)?;
        for one in over {
            config::set(&mut table, one)?;
        }
        let label = table.get("pictures").and_then(|p| p.get("label")).and_then(toml::Value::as_str);
        if table.contains_key("csv") || label.is_some_and(|label| !label.is_empty()) {
            // Networks over lines and series are quick to train: candidates are, and a surrogate says which.
            let usual: [(&str, toml::Value); 5] = [
                ("evaluator", "trained".into()),
                ("choice", "surrogate".into()),
                ("share", 1.0.into()),
                ("budget", 48.into()),
                ("round", 16.into()),
            ];
            for (key, value) in usual {
                table.entry(key).or_insert(value);
            }
        }
        let config: SearchConfig = toml::Value::Table(table).try_into().map_err(wrong)?;
        config.validate()?;
        Ok(config)
    }

    /// As a file holds them.
    ///
    /// # Errors
    /// None of settings that were read.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("search.toml", e.to_string()))
    }

    /// Refuses what is out of range.
    ///
    /// # Errors
    /// The setting, and its range.
    pub fn validate(&self) -> Result<()> {
        let (h, g) = (&self.hypernetwork, &self.gradient);
        config::within(&[
            ("budget", self.budget, 1, 100_000),
            ("round", self.round, 1, 4_096),
            ("best", self.best, 1, 100),
            ("seeds", self.seeds, 1, 100),
            ("checked", self.checked, 0, 10_000),
            ("patience", self.patience.unwrap_or(1), 1, 100_000),
            ("train.batch", self.train.batch, 1, 65_536),
            ("train.steps", self.train.steps as usize, 1, 10_000_000),
            ("adapt", self.adapt as usize, 0, 10_000_000),
            ("hypernetwork.steps", h.steps as usize, 1, 10_000_000),
            ("hypernetwork.architectures", h.architectures, 1, 4_096),
            ("hypernetwork.batch", h.batch, 1, 65_536),
            ("hypernetwork.width", h.width, 1, 4_096),
            ("hypernetwork.tile", h.tile, 1, 4_096),
            ("hypernetwork.hidden", h.hidden, 1, 4_096),
            ("hypernetwork.blocks", h.blocks, 0, 64),
            ("hypernetwork.heads", h.heads, 1, 64),
            ("gradient.steps", g.steps as usize, 1, 10_000_000),
            ("gradient.batch", g.batch, 1, 65_536),
            ("gradient.order", g.order, 1, 2),
            ("gradient.samples", g.samples, 1, 4_096),
        ])?;
        config::within(&[
            ("temperature", self.temperature, 1e-6, 1e3),
            ("share", self.share, 1e-4, 1.0),
            ("lead", self.lead.unwrap_or(2.0), 0.0, 100.0),
            ("feedback", self.feedback, 0.0, 0.9),
            ("pictures.validation", self.pictures.validation, 0.01, 0.5),
            ("csv.validation", self.csv.as_ref().map_or(0.2, |c| c.validation), 0.01, 0.5),
            ("train.rate", self.train.rate, 1e-9, 10.0),
            ("train.decay", self.train.decay, 0.0, 10.0),
            ("train.clip", self.train.clip, 1e-9, 1e9),
            ("hypernetwork.rate", h.rate, 1e-9, 10.0),
            ("hypernetwork.decay", h.decay, 0.0, 10.0),
            ("hypernetwork.clip", h.clip, 1e-9, 1e9),
            ("gradient.temperature", g.temperature, 1e-3, 1e3),
            ("gradient.rate", g.rate, 1e-9, 10.0),
            ("gradient.logits_rate", g.logits_rate, 1e-9, 10.0),
            ("gradient.decay", g.decay, 0.0, 10.0),
            ("gradient.clip", g.clip, 1e-9, 1e9),
        ])?;
        if let Some(table) = &self.csv {
            for (key, missing, flag) in [
                ("csv.file", table.file.as_os_str().is_empty(), "--csv FILE"),
                ("csv.target", table.target.is_empty(), "--target COLUMN"),
            ] {
                if missing {
                    return Err(Error::config(key, format!("is missing: give {flag}")));
                }
            }
            if !self.pictures.train.as_os_str().is_empty() {
                let message =
                    "a search has the lines of a table as rows, or what --train names: leave one out";
                return Err(Error::config("csv.file", message));
            }
        }
        if self.lead.is_some() && self.choice != ChoiceRule::Surrogate {
            let message = "is told by a surrogate: choice = \"surrogate\", or leave it out";
            return Err(Error::config("lead", message));
        }
        match h.width.is_multiple_of(h.heads) {
            true => Ok(()),
            false => {
                let message = format!("{} heads do not part {} channels evenly", h.heads, h.width);
                Err(Error::config("hypernetwork.heads", message))
            }
        }
    }
}
