//! What is refused: at the border, so that inner code may assert.

use std::fmt::Display;

use super::{Config, DRAWS, MAX_ADAPT_STEPS, Start, TaskKind, WeightSource};
use crate::adapt::{Fast, Rates};
use crate::error::{Error, Result};
use crate::hyper::{Generator, HyperInit, MAX_ROUNDS};
use crate::meta::objective::Through;
use crate::net::{Compression, Layer, Numbers};

/// Refuses the first of these settings that lies below the first or beyond the second of its numbers.
pub(in crate::experiment) fn within<N: PartialOrd + Display>(settings: &[(&str, N, N, N)]) -> Result<()> {
    match settings.iter().find(|(_, value, low, high)| !(low..=high).contains(&value)) {
        None => Ok(()),
        Some((key, value, low, high)) => {
            Err(Error::config(*key, format!("{value} is out of range: it must lie from {low} to {high}")))
        }
    }
}

impl Config {
    /// Refuses what makes no sense; each message says what would be right.
    pub fn validate(&self) -> Result<()> {
        let fail = |key: &str, message: String| Err(Error::config(key, message));
        let t = &self.train;
        within(&[
            ("train.steps", t.steps as f64, 1.0, 1e9),
            ("train.tasks", t.tasks as f64, 1.0, 1e6),
            ("train.pooled_steps", t.pooled_steps as f64, 1.0, 1e9),
            ("train.min_shots", t.min_shots as f64, 0.0, 1e5),
            ("adapt.train_steps", self.adapt.train_steps as f64, 1.0, 1e4),
            ("model.context", self.model.context as f64, 0.0, 4096.0),
            ("eval.shots", self.eval.shots as f64, 1.0, 1e5),
            ("eval.query", self.eval.query as f64, 1.0, 1e5),
            ("eval.tasks", self.eval.tasks as f64, 0.0, 1e6),
            ("model.members", self.model.members as f64, 1.0, 100.0),
            ("model.noise", self.model.noise as f64, 0.0, 4096.0),
            ("model.draws", self.model.draws as f64, 2.0, 256.0),
        ])?;
        for (key, value) in [
            ("train.learning_rate", t.learning_rate),
            ("train.pooled_rate", t.pooled_rate),
            ("train.clip", t.clip),
            ("model.omega", self.model.omega),
            ("adapt.rate", self.adapt.rate),
            ("adapt.clip", self.adapt.clip),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return fail(
                    key,
                    format!("{value} is not a step size or bound: it must be positive and finite"),
                );
            }
        }
        let numbers = Compression::new(self.model.numbers, 0.0);
        numbers.check().map_err(|e| Error::config("model.numbers", e))?;
        let prune = Compression::new(Numbers::F32, self.model.prune);
        prune.check().map_err(|e| Error::config("model.prune", e))?;
        if !(0.0..=1.0).contains(&t.final_rate_fraction) {
            return fail(
                "train.final_rate_fraction",
                format!("{} is no fraction: it must lie from 0 to 1", t.final_rate_fraction),
            );
        }
        for (key, value) in [("train.weight_penalty", t.weight_penalty), ("train.diversity", t.diversity)] {
            if !(value >= 0.0 && value.is_finite()) {
                return fail(key, format!("{value} is out of range: it must be 0 or more"));
            }
        }
        for (key, value) in [("train.joint_lambda", t.joint_lambda), ("adapt.per_step", self.adapt.per_step)]
        {
            if !(0.0..=1.0).contains(&value) {
                return fail(key, format!("{value} is out of range: it must lie from 0 to 1"));
            }
        }
        if t.checkpoint_seconds.is_nan() || t.checkpoint_seconds < 0.0 {
            return fail("train.checkpoint_seconds", format!("{} must be 0 or more", t.checkpoint_seconds));
        }
        for (key, widths) in [
            ("model.target", &self.model.target),
            ("model.encoder", &self.model.encoder),
            ("model.trunk", &self.model.trunk),
        ] {
            if let Some(w) = widths.iter().find(|w| !(1..=65_536).contains(*w)) {
                return fail(key, format!("a layer of width {w}: widths lie from 1 to 65536"));
            }
            if widths.len() > 64 {
                return fail(key, format!("{} layers: at most 64", widths.len()));
            }
        }
        // TOML has no larger integers: the file in the run folder could not say it.
        if i64::try_from(self.seed).is_err() {
            return fail(
                "seed",
                format!("{} is out of range: it must lie from 0 to {}", self.seed, i64::MAX),
            );
        }
        t.optimiser
            .validate()
            .map_err(|(key, message)| Error::config(format!("train.optimiser.{key}"), message))?;
        let known_tasks = self.task == TaskKind::Csv;
        if self.model.embedding > 4096 || (self.model.embedding > 0 && !known_tasks) {
            return fail(
                "model.embedding",
                "an embedding of known tasks needs the task 'csv', and at most 4096 numbers".into(),
            );
        }
        if self.model.descriptor && !known_tasks {
            return fail("model.descriptor", "only the task 'csv' has columns to describe a task by".into());
        }
        if self.model.circle && !self.model.descriptor && self.task != TaskKind::Own {
            return fail("model.circle", "numbers of a descriptor lie on it: model.descriptor = true".into());
        }
        self.validate_adaptation()?;
        let generated = self.model.weights == WeightSource::Generated;
        self.validate_init(generated)?;
        self.validate_base(generated)?;
        self.validate_noise(generated)?;
        let reads = generated && self.model.generator.reads() && !self.task.is_single();
        if reads && self.model.encoder.is_empty() && self.model.embedding == 0 && !self.model.descriptor {
            return fail(
                "model.encoder",
                "the hypernetwork would read nothing: give the set encoder a layer at least, for example [64, 64]".into(),
            );
        }
        if !self.model.head && self.model.net.is_none() && self.task != TaskKind::Decoders {
            return fail("model.head", "only the layers of model.net may end without a dense layer".into());
        }
        if !self.model.writes.is_empty() && !generated {
            return fail(
                "model.writes",
                "weights that all tasks share are not written: model.writes = []".into(),
            );
        }
        if self.model.rounds > 0 {
            let rounds = self.model.rounds;
            let whole = [TaskKind::Texts, TaskKind::Dictionaries, TaskKind::Decoders].contains(&self.task);
            let why = if self.task.is_single() {
                "one task has no support rows"
            } else if whole {
                "what is read of texts, pairs and drawings is not parted into inputs and targets"
            } else if !generated {
                "weights that all tasks share are not refined (model.weights = \"generated\", --generated)"
            } else if !reads || self.model.encoder.is_empty() {
                "no support rows are read (model.encoder)"
            } else {
                ""
            };
            if !why.is_empty() {
                let message = format!(
                    "generated weights are refined by what their network gets wrong of support rows, and {why}: model.rounds = 0"
                );
                return fail("model.rounds", message);
            }
            if self.adapt.fast == Fast::Embedding {
                return fail(
                    "model.rounds",
                    "an embedding that adapts writes weights without refining them: model.rounds = 0".into(),
                );
            }
            if rounds > MAX_ROUNDS {
                return fail(
                    "model.rounds",
                    format!("{rounds} is out of range: it must lie from 0 to {MAX_ROUNDS}"),
                );
            }
        }
        self.model.generator.check().map_err(|e| Error::config("model.generator", e))?;
        if generated && matches!(self.model.generator, Generator::Shared(_)) {
            return fail(
                "model.generator",
                "weights that all tasks share are not generated: model.weights = \"shared\"".into(),
            );
        }
        if self.adapt.steps.is_empty() || self.adapt.steps.iter().any(|k| *k > MAX_ADAPT_STEPS) {
            return fail(
                "adapt.steps",
                "a list of step numbers is needed, for example [0, 1, 5, 10], none above 100000".into(),
            );
        }
        if self.eval.sweep.is_empty() || self.eval.sweep.iter().any(|k| !(1..=100_000).contains(k)) {
            return fail(
                "eval.sweep",
                "a list of numbers of shots is needed, for example [5, 10, 20], each from 1 to 100000".into(),
            );
        }
        TaskKind::ALL.iter().try_for_each(|source| source.validate(self))
    }
}

impl Config {
    /// Refuses base weights where nothing is a correction to them.
    fn validate_base(&self, generated: bool) -> Result<()> {
        if self.model.base.is_none() {
            return Ok(());
        }
        let fail = |message: &str| Err(Error::config("model.base", message));
        if self.task.is_single() {
            return fail("one task is no correction to another network: `hyperloom adapt` fine-tunes one");
        }
        if !generated {
            return fail(
                "weights that all tasks share have no corrections: add --generated, or take --method fine-tune",
            );
        }
        if self.train.joint_lambda > 0.0 {
            return fail(
                "the base weights are the main network, which a share of the loss trains: leave train.joint_lambda out",
            );
        }
        Ok(())
    }

    /// Refuses noise that nothing reads, or that another objective would train away.
    fn validate_noise(&self, generated: bool) -> Result<()> {
        if self.model.noise == 0 {
            return match self.model.draws == DRAWS {
                true => Ok(()),
                false => Err(Error::config(
                    "model.draws",
                    "without noise a task has one network: set model.noise = 8, too, or leave model.draws out",
                )),
            };
        }
        let fail = |key: &str, message: &str| Err(Error::config(key, message));
        if self.task.is_single() {
            return fail(
                "model.noise",
                "one task has no support that could leave anything open: leave model.noise out",
            );
        }
        if !generated || !self.model.generator.reads() {
            return fail(
                "model.noise",
                "weights that all tasks share read no noise: take --method fine-tune, or add --generated",
            );
        }
        if self.adapt.through == Through::Reptile {
            return fail(
                "adapt.through",
                "Reptile draws all networks of a task to one place: take --method fine-tune, or leave model.noise out",
            );
        }
        if self.adapt.per_step > 0.0 {
            return fail(
                "adapt.per_step",
                "losses after each step are of single networks, and noise is trained by what all of a task say: adapt.per_step = 0",
            );
        }
        Ok(())
    }

    /// Refuses to draw a network for each task where all start with one.
    fn validate_init(&self, generated: bool) -> Result<()> {
        if self.model.hyper_init == HyperInit::Bias {
            return Ok(());
        }
        let fail = |key: &str, message: &str| Err(Error::config(key, message));
        if !generated {
            return fail(
                "model.hyper_init",
                "weights that all tasks share are not drawn by a hypernetwork: model.hyper_init = \"bias\"",
            );
        }
        if self.model.starts_at() == Start::Pooled {
            return fail(
                "model.hyper_init",
                "every task would start with a network of its own, and not with the pooled one: model.hyper_init = \"bias\", or model.start = \"fresh\"",
            );
        }
        if self.train.joint_lambda > 0.0 {
            return fail(
                "model.hyper_init",
                "the main network is the base weights, and these are nearly 0 where the head draws: model.hyper_init = \"bias\"",
            );
        }
        Ok(())
    }

    /// Refuses a way of adaptation that lacks what it works on.
    fn validate_adaptation(&self) -> Result<()> {
        let (a, m, t) = (&self.adapt, &self.model, &self.train);
        let fail = |key: &str, message: &str| Err(Error::config(key, message));
        let generated = m.weights == WeightSource::Generated;
        let ridge = a.rule.is_closed_form();
        if ridge && a.fast != Fast::Head {
            return fail("adapt.fast", "the closed form is for the last layer: adapt.fast = \"head\"");
        }
        if ridge && !matches!(a.through, Through::Second) {
            return fail(
                "adapt.through",
                "the closed form learns its prior by being trained through: adapt.through = \"second\"",
            );
        }
        if ridge && (a.train_steps != 1 || a.steps.iter().any(|k| *k > 1)) {
            return fail(
                "adapt.steps",
                "the closed form is one step: adapt.train_steps = 1 and adapt.steps = [0, 1]",
            );
        }
        if ridge && a.rates != Rates::Fixed {
            return fail("adapt.rates", "the closed form has no step size: adapt.rates = \"fixed\"");
        }
        if t.diversity > 0.0 && t.tasks < 2 {
            return fail("train.diversity", "one task a step differs from none: train.tasks = 2 at least");
        }
        let layers = m.net.as_deref().unwrap_or_default();
        let context = m.context > 0 || layers.iter().any(|l| matches!(l, Layer::Context(_)));
        if context && a.fast != Fast::Context {
            return fail(
                "model.context",
                "context parameters that nothing adapts stay 0: adapt.fast = \"context\"",
            );
        }
        if a.gate && !a.rule.has_evidence() {
            return fail(
                "adapt.gate",
                "only the closed form knows the evidence that networks are weighed by: adapt.method = \"ridge\", or adapt.gate = false",
            );
        }
        if a.fast == Fast::Context && !context {
            return fail("model.context", "adaptation of context parameters needs some: model.context = 5");
        }
        if a.fast == Fast::Embedding && (m.embedding == 0 || !generated) {
            return fail(
                "model.embedding",
                "adaptation of the embedding needs one that a hypernetwork reads: model.embedding = 8 and \
                 model.weights = \"generated\"",
            );
        }
        if a.through == Through::Reptile && a.fast != Fast::All {
            return fail("adapt.fast", "Reptile moves all weights: adapt.fast = \"all\"");
        }
        if a.rates != Rates::Fixed && matches!(a.through, Through::None | Through::Reptile) {
            return fail(
                "adapt.rates",
                "step sizes are learned by training through adaptation: adapt.through = \"second\" (or \"first\")",
            );
        }
        if a.per_step > 0.0 && (matches!(a.through, Through::None | Through::Reptile) || ridge) {
            return fail(
                "adapt.per_step",
                "losses after each step need training through gradient steps: adapt.through = \"second\" (or \"first\")",
            );
        }
        if !generated && a.through == Through::None && !self.task.is_single() {
            return fail(
                "adapt.through",
                "shared weights that are not trained through adaptation are the pooled network: adapt.through = \
                 \"second\", \"first\" or \"reptile\", or model.weights = \"generated\"",
            );
        }
        if t.joint_lambda > 0.0 && !self.model.generator.has_base() {
            return fail(
                "train.joint_lambda",
                "the main network is the base weights, and this generator has none: another, or chunks with base = true",
            );
        }
        if !generated && (t.diversity > 0.0 || t.joint_lambda > 0.0) {
            let key = if t.joint_lambda > 0.0 { "train.joint_lambda" } else { "train.diversity" };
            return fail(
                key,
                "weights that all tasks share do not differ: 0, or model.weights = \"generated\"",
            );
        }
        Ok(())
    }
}
