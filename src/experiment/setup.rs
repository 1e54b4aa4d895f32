//! A configuration with its source of tasks, and the models that they describe.

use std::sync::Arc;

use super::base::initial_weights;
use super::config::{BASE, Config, ContextAt, InitScheme, Method, WeightSource};
use super::source::Source;
use crate::adapt::{Adaptation, Fast};
use crate::error::{Error, Result, nearest};
use crate::hyper::{ConditionSpec, Embedding, Generator, HyperSpec, Noise, SetEncoder};
use crate::meta::model::layout_to_freeze;
use crate::meta::objective::MetaSpec;
use crate::net::{Compression, GlobalPool, Layer, Net};
use crate::plan::bytes;
use crate::rng::Rng;
use crate::run::available_memory;
use crate::spec::Activation;
use crate::task::TaskShape;

/// A configuration with its source of tasks: what is trained, and on what.
#[derive(Clone, Debug)]
pub struct Setup {
    config: Config,
    source: Arc<dyn Source>,
    /// Weights that networks start with, where they are not drawn.
    initial: Option<Arc<Vec<f32>>>,
}

impl Setup {
    /// Opens the source that the configuration names. A way of adaptation that is left to the data
    /// ([`Method::Auto`]) is settled.
    ///
    /// # Errors
    /// Those of reading the data.
    pub fn load(config: &Config) -> Result<Setup> {
        Setup::on(config.task.open(config)?, config)
    }

    /// The same for a source that is open.
    ///
    /// # Errors
    /// [`Error::Config`] for settings that the way of adaptation that is settled on does not allow, and initial weights that are those of another network.
    pub fn on(source: Arc<dyn Source>, config: &Config) -> Result<Setup> {
        let mut config = config.settled(&source.likelihood())?;
        source.settle(&mut config);
        let mut setup = Setup { config, source, initial: None };
        if let Some(path) = &setup.config.model.initial {
            let (target, format) = (setup.hyper().target, setup.source.format());
            target.check().map_err(|e| Error::config("model.net", e))?;
            setup.initial = Some(initial_weights(path, &target, &format)?.into());
        }
        Ok(setup)
    }

    /// The configuration, settled.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The source of tasks.
    pub fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// The same, to be shared.
    pub(super) fn shared_source(&self) -> Arc<dyn Source> {
        self.source.clone()
    }

    /// Initial weights of a member's target network, and what its other initial parameters are drawn by: a function of the seed, so that they are drawn
    /// again on every start.
    pub(super) fn first_draw(&self, member: usize) -> (Rng, Vec<f32>) {
        let mut rng = Rng::new(self.config.seed, 0x1217 + member as u64);
        let base = self.initial_target(&mut rng);
        (rng, base)
    }

    /// Initial weights of the target network.
    pub fn initial_target(&self, rng: &mut Rng) -> Vec<f32> {
        let target = self.hyper().target;
        if let Some(initial) = &self.initial {
            return initial.to_vec();
        }
        let layout = match self.config.model.init {
            InitScheme::Uniform => target.layout(),
            InitScheme::He => target.layout_he(Activation::Identity),
        };
        let mut w = layout.init(rng);
        for p in layout.params.iter().filter(|p| ["0.weight", "0.bias"].contains(&&p.name[..])) {
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
            Some(layers) if let Some(symbols) = shape.symbols() => {
                Net::language_model(shape.inputs(), symbols, layers, m.head)
            }
            Some(layers) => {
                let net = Net::rows(shape.row.clone()).with_all(layers.iter().cloned());
                // What is said of a series as a whole is read from what all of its elements became.
                let is_series = |row: &[usize]| row.len() == 2;
                let states = is_series(&shape.row) && net.row_behind().is_some_and(|row| is_series(&row));
                let net = if states && m.head { net.flatten() } else { net };
                let net = if m.context > 0 && net.context_width() == 0 && shape.row.len() > 1 {
                    // Rows of several axes have no place for them before the head.
                    net.flatten().context(m.context)
                } else if m.context > 0 && net.context_width() == 0 {
                    let start = Net::rows(shape.row.clone()).context(m.context);
                    start.with_all(layers.iter().cloned())
                } else {
                    net
                };
                if m.head { net.dense(shape.outputs) } else { net }
            }
            None => {
                let widths = [&[shape.inputs()], &m.target[..], &[shape.outputs]].concat();
                match m.context_at {
                    ContextAt::All if m.context > 0 => Net::modulated_mlp(&widths, m.activation, m.context),
                    _ => Net::mlp_in_context(&widths, m.activation, m.context),
                }
            }
        }
    }

    /// The hypernetwork that the configuration describes, for tasks of this source.
    pub fn hyper(&self) -> HyperSpec {
        let shape = self.source.family(0).shape();
        let m = &self.config.model;
        let target = self.target(&shape).compressed(Compression::new(m.numbers, m.prune));
        let target = target.reading_eight_bits(m.input_scales.clone());
        if m.weights == WeightSource::Shared {
            return HyperSpec { activation: m.hyper_activation, ..HyperSpec::shared(target) };
        }
        let spec = HyperSpec {
            condition: if !m.generator.reads() {
                ConditionSpec::default()
            } else {
                ConditionSpec {
                    support: (!m.encoder.is_empty()).then(|| self.set_encoder(&target, &shape)),
                    embedding: (m.embedding > 0)
                        .then_some(Embedding { tasks: shape.known + 1, width: m.embedding }),
                    descriptor: shape.descriptor,
                    circle: m.circle,
                    noise: (m.noise > 0).then(|| Noise::new(m.noise, m.draws)),
                }
            },
            generator: m.generator.clone(),
            init: m.hyper_init,
            writes: m.writes.clone(),
            // A transformer has blocks instead.
            trunk: if m.generator.reads() && !m.generator.reads_rows() { m.trunk.clone() } else { vec![] },
            activation: m.hyper_activation,
            target,
            rounds: 0,
        };
        spec.refined(m.rounds)
    }

    /// What reads the support of a task.
    fn set_encoder(&self, target: &Net, shape: &TaskShape) -> SetEncoder {
        let m = &self.config.model;
        let reader = m.reader.as_deref().unwrap_or_default();
        // What is read of sequences is what follows in them: the targets hold nothing else.
        let (mut reader, alone) = match target.symbols() {
            Some(symbols) if shape.symbols().is_some() => {
                (Net::language_model(0, symbols, reader, false).layers().to_vec(), true)
            }
            _ => (reader.to_vec(), self.source.encoder_inputs().is_some()),
        };
        let row = Net::rows(shape.row.clone()).with_all(reader.iter().cloned()).row_behind();
        // Of rows of several axes a recurrent layer gives its last state, another the mean.
        if row.is_some_and(|row| row.len() > 1) && !reader.is_empty() {
            match reader.last_mut() {
                Some(Layer::Recurrent(recurrent)) => recurrent.last = true,
                _ => reader.push(Layer::GlobalPool(GlobalPool::on())),
            }
        }
        let net = Net::rows(shape.row.clone()).with_all(reader.iter().cloned());
        let inputs = if net.check().is_ok() { net.outputs() } else { shape.inputs() };
        let example = match self.source.encoder_inputs() {
            Some(n) if reader.is_empty() => n,
            _ if alone => inputs,
            _ => inputs + shape.outputs,
        };
        SetEncoder {
            row: if reader.is_empty() { vec![] } else { shape.row.clone() },
            reader,
            set: m.set.clone().unwrap_or_default(),
            ..SetEncoder::new(example, m.encoder.clone(), self.source.encoder_scale())
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
            freeze: self.config.frozen(),
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
        if hyper.condition.is_empty() && hyper.generator.reads() {
            return Err(Error::config(
                "model.descriptor",
                "no column is constant inside every group, so the hypernetwork would read nothing: give the set \
                 encoder a layer at least, for example model.encoder = [32, 32]",
            ));
        }
        let inputs = hyper.target.inputs();
        if inputs > 65_536 && hyper.condition.support.is_some() {
            return Err(Error::config(
                "model.net",
                format!(
                    "the set encoder would read {inputs} numbers of each row, and 65536 are the most: images.size makes pictures smaller"
                ),
            ));
        }
        let net = &hyper.target;
        net.check().map_err(|e| {
            let size = match net.input() {
                [h, w, _] => {
                    let task = self.config.task.name();
                    format!(" (pictures are {w} by {h}; {task}.size brings them to another size)")
                }
                _ => String::new(),
            };
            Error::config("model.net", format!("{e}{size}"))
        })?;
        if let Some(symbols) = self.source.family(0).shape().symbols() {
            let fail = |message: String| Err(Error::config("model.net", message));
            if let Some(said) = net.symbols().filter(|said| *said != symbols) {
                return fail(format!("the text has {symbols} symbols, and the first layer {said}"));
            }
            net.check_causal().map_err(|e| Error::config("model.net", e))?;
            let length = self.source.family(0).shape().inputs();
            if net.row_behind().as_deref() != Some(&[length, symbols]) {
                return fail(format!(
                    "the net gives rows {:?}: a language model gives one number for each of {symbols} symbols at each of {length} places",
                    net.row_behind().unwrap_or_default()
                ));
            }
        }
        if let Some(support) = &hyper.condition.support {
            support.check(net).map_err(|e| Error::config("model.reader, model.encoder and model.set", e))?;
        }
        hyper.check_writes().map_err(|e| Error::config("model.writes", e))?;
        if net.outputs() != self.source.family(0).shape().outputs {
            let why = match self.config.model.head {
                true => {
                    "the layers before the head give rows of several axes: put flatten = true behind them"
                }
                false => "the last layer has to give as many, or take model.head = true",
            };
            let message = format!(
                "the net gives {} numbers a row where {} are needed; {why}",
                net.outputs(),
                self.source.family(0).shape().outputs
            );
            return Err(Error::config("model.net", message));
        }
        if net.mixes_rows() && self.source.single().is_some() {
            return Err(Error::config(
                "model.net",
                "batch_norm = \"batch\" makes what is said of a row depend on those that are asked about beside it: \"support\" takes the \
                 statistics of the batch in training and keeps those of the training rows (a name without -batch)",
            ));
        }
        if net.mixes_rows() && !self.source.family(0).rows_are_even() {
            return Err(Error::config(
                "model.net",
                "batch_norm takes mean and variance over the rows of a task, and tasks of this source have different numbers \
                 of rows: batch_norm = \"support\" takes those of the support alone, layer_norm and group_norm look at each row by itself",
            ));
        }
        if self.config.adapt.rule.needs_classes() && !self.source.likelihood().has_classes() {
            return Err(Error::config(
                "adapt.rule",
                "prototypes are means of classes, and these tasks have values to predict: adapt.method = \"ridge\" is the closed \
                 form for those",
            ));
        }
        if hyper.condition.noise.is_some() {
            let likelihood = self.source.likelihood();
            let why = if !(likelihood.has_classes() || likelihood.has_values()) {
                "is for values and classes, and neither is predicted here: leave it out"
            } else if self.config.adapt.rule.is_closed_form() && likelihood.has_values() {
                "the closed form of values knows itself how sure it is: take --method fine-tune, or leave model.noise out"
            } else if self.config.adapt.gate {
                "networks that noise makes are not weighed against others: adapt.gate = false"
            } else {
                ""
            };
            if !why.is_empty() {
                return Err(Error::config("model.noise", why));
            }
        }
        if !self.meta().adaptation.fits(&hyper) {
            let what = self.config.adapt.fast;
            let lacks = match what {
                Fast::Head => "it ends in no dense layer over rows of one axis",
                Fast::Context => "none of its layers reads context parameters",
                _ => "it has none of these",
            };
            let message = format!(
                "the network has nothing that adapt.fast = \"{}\" changes ({lacks}): adapt.fast = \"all\", as with adapt.method = \"maml\", takes \
                 any",
                what.name()
            );
            return Err(Error::config("adapt.fast", message));
        }
        let kernels = || net.layout().params.iter().any(|p| p.is_kernel());
        if matches!(hyper.generator, Generator::Static(_)) && !kernels() {
            return Err(Error::config(
                "model.net",
                "the net has no convolution, and a static hypernetwork writes kernels: take another net, or leave --generated out",
            ));
        }
        if let Err(message) = hyper.check() {
            return Err(Error::config("model.generator", message));
        }
        if self.config.model.base.is_some() && hyper.layout().get(BASE).is_none() {
            return Err(Error::config(
                "model.base",
                "this generator writes all there is, and no correction to base weights: take another (of chunked: base = true)",
            ));
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
        self.source.check_held_out(self.config.eval.shots)
    }
}

/// Refuses names to freeze that are no parameters, and to freeze all.
fn check_freeze(meta: &MetaSpec) -> Result<()> {
    let layout = layout_to_freeze(meta.layout(), &meta.hyper, &meta.freeze);
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
