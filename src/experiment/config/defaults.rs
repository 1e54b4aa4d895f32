//! The defaults of families of tasks and of ways of adaptation.

use super::{
    AdaptConfig, Config, ContextAt, DRAWS, EvalConfig, InitScheme, Method, ModelConfig, Start, TaskKind,
    TrainConfig, WeightSource,
};
use crate::adapt::{Fast, Rates, Rule};
use crate::hyper::{Generator, HyperInit};
use crate::meta::objective::Through;
use crate::net::Numbers;
use crate::optim::Optimiser;
use crate::spec::Activation;

impl Default for Config {
    fn default() -> Config {
        Config::of(TaskKind::Sine)
    }
}
impl Default for TrainConfig {
    fn default() -> TrainConfig {
        Config::of(TaskKind::Sine).train
    }
}
impl Default for ModelConfig {
    fn default() -> ModelConfig {
        Config::of(TaskKind::Sine).model
    }
}
impl Default for AdaptConfig {
    fn default() -> AdaptConfig {
        Config::of(TaskKind::Sine).adapt
    }
}
impl Default for EvalConfig {
    fn default() -> EvalConfig {
        Config::of(TaskKind::Sine).eval
    }
}

impl Config {
    /// The defaults of a family of tasks.
    pub fn of(task: TaskKind) -> Config {
        Config::with_method(task, Method::of(task))
    }

    /// What the defaults of all ways of adaptation have in common.
    fn base(task: TaskKind) -> Config {
        let base = Config {
            task,
            device: "auto".into(),
            seed: 0,
            train: TrainConfig {
                steps: 10_000,
                tasks: 25,
                learning_rate: 1e-3,
                warmup: 100,
                final_rate_fraction: 0.02,
                clip: 10.0,
                weight_penalty: 0.0,
                diversity: 0.0,
                joint_lambda: 0.0,
                freeze: vec![],
                from: None,
                min_shots: 3,
                optimiser: Optimiser::default(),
                pooled_steps: 2_000,
                pooled_rate: 1e-3,
                checkpoint_seconds: 20.0,
            },
            model: ModelConfig {
                weights: WeightSource::Generated,
                context: 0,
                context_at: ContextAt::First,
                target: vec![40, 40],
                net: None,
                head: true,
                activation: Activation::Relu,
                numbers: Numbers::F32,
                prune: 0.0,
                input_scales: vec![],
                init: InitScheme::Uniform,
                omega: 1.0,
                reader: None,
                encoder: vec![64, 64],
                set: None,
                embedding: 0,
                generator: Generator::default(),
                hyper_init: HyperInit::Bias,
                writes: vec![],
                rounds: 0,
                trunk: vec![128],
                hyper_activation: Activation::Relu,
                start: Start::Fresh,
                initial: None,
                base: None,
                descriptor: false,
                circle: false,
                noise: 0,
                draws: DRAWS,
                members: 1,
            },
            adapt: AdaptConfig {
                method: Method::FineTune,
                rule: Rule::Sgd,
                fast: Fast::All,
                rates: Rates::Fixed,
                rate: 0.01,
                clip: 10.0,
                through: Through::None,
                train_steps: 1,
                per_step: 0.0,
                gate: false,
                steps: vec![0, 1, 5, 10],
            },
            eval: EvalConfig { shots: 10, query: 10, tasks: 2_000, sweep: vec![5, 10, 20] },
            csv: None,
            images: None,
            pictures: None,
            fields: None,
            decoders: None,
            text: None,
            pairs: None,
            dictionaries: None,
            texts: None,
            series: None,
        };
        task.defaults(base)
    }

    /// The defaults of a family of tasks with a way of adaptation.
    pub fn with_method(task: TaskKind, method: Method) -> Config {
        let mut c = Config::base(task);
        let (a, m) = (&mut c.adapt, &mut c.model);
        a.method = method;
        if !matches!(method, Method::Auto | Method::FineTune | Method::Ridge) {
            m.weights = WeightSource::Shared;
            m.start = Start::Fresh;
            a.through = Through::Second;
            a.train_steps = 5;
            // Steps that training sees are long; a cosine down to nothing leaves much to be learned.
            a.clip = 50.0;
            c.train.final_rate_fraction = 0.3;
            c.train.min_shots = 0;
        }
        if m.weights == WeightSource::Shared {
            m.writes.clear();
            m.rounds = 0;
        }
        match method {
            // One task is trained on directly, unless that is asked for.
            Method::FineTune if task.is_single() => m.weights = WeightSource::Shared,
            Method::Auto | Method::FineTune => m.weights = WeightSource::Generated,
            Method::Maml => {}
            Method::Fomaml => a.through = Through::First,
            Method::Reptile => a.through = Through::Reptile,
            Method::Anil => a.fast = Fast::Head,
            Method::Cavia => {
                m.context = 5;
                (a.fast, a.rate, a.train_steps) = (Fast::Context, 1.0, 1);
                if task == TaskKind::Fields {
                    // A code of each picture that shifts all layers, with a learned step size of each of its numbers.
                    (m.context, m.context_at) = (128, ContextAt::All);
                    (a.rates, a.rate, a.train_steps) = (Rates::Weight, 10.0, 3);
                }
            }
            Method::MetaSgd => (a.rates, a.train_steps) = (Rates::Weight, 1),
            Method::Ridge => {
                (a.rule, a.fast, a.through, a.train_steps) = (Rule::Ridge, Fast::Head, Through::Second, 1);
                a.steps = vec![0, 1];
                a.gate = matches!(task, TaskKind::Csv | TaskKind::Series);
            }
            Method::Prototypes => {
                (a.rule, a.fast, a.train_steps) = (Rule::Prototypes, Fast::Head, 1);
                a.steps = vec![0, 1];
            }
        }
        c
    }
}
