//! A network: the shape of its rows, and its layers.

use std::ops::Range;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

use super::compression::in_eight_bits;
use super::first_version::DenseSpec;
use super::layer::{
    Correction, Forward, Params, Scheme, WatchedSequences, layers, mix_rows, output, read_support,
    shape_after,
};
use super::{
    AvgPool, BatchNorm, Compression, Context, Conv, Dense, Flatten, GlobalPool, GroupNorm, Layer, LayerNorm,
    MaxPool, Own, OwnLayer, Parallel, ParamLayout, ParamRole, Pointwise, Recurrent, Residual, Scale, Sizes,
    Statistics, Variational, Weights,
};
use crate::graph::{Graph, Value};
use crate::spec::{Activation, Shape, count};

/// Layers of a net, branches included, at most.
const MAX_LAYERS: usize = 256;
/// Numbers of a row at most, before and behind every layer.
const MAX_ROW: usize = 1 << 24;

/// A network as a value: it says what weights it has and how rows go through, and holds none.
///
/// Built layer by layer ([`Net::rows`]), or read from a file. A net that is built wrongly panics where it is used as
/// [`Net::check`] says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Net {
    /// Shape of a row.
    pub(super) input: Shape,
    pub(super) layers: Vec<Layer>,
    /// What its matrices are wherever they are used.
    #[serde(default, skip_serializing_if = "Compression::is_none")]
    pub(super) compression: Compression,
    /// Scales by which what its dense layers and convolutions read is rounded, in the order in which they run; empty: it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) input_scales: Vec<f64>,
}

impl<'de> Deserialize<'de> for Net {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Net, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Stored {
            input: Shape,
            #[serde(deserialize_with = "layers")]
            layers: Vec<Layer>,
            #[serde(default)]
            compression: Compression,
            #[serde(default)]
            input_scales: Vec<f64>,
        }
        let settings = serde_json::Value::deserialize(from)?;
        if settings.get("widths").is_some() {
            let old: DenseSpec = serde_json::from_value(settings).map_err(D::Error::custom)?;
            return Net::try_from(old).map_err(D::Error::custom);
        }
        let Stored { input, layers, compression, input_scales } =
            serde_json::from_value(settings).map_err(D::Error::custom)?;
        Ok(Net { input, layers, compression, input_scales })
    }
}

/// The dense layer that a net ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Width of what it reads.
    pub features: usize,
    /// Width of what it gives.
    pub outputs: usize,
    /// Where its weight `[features, outputs]` and then its bias `[outputs]` lie in the flat vector: at its end.
    pub range: Range<usize>,
}

/// Building.
impl Net {
    /// A net without layers over rows of this shape: `[2]`, `[28, 28, 1]` (height, width, channels), `[length, channels]`.
    #[must_use]
    pub fn rows(shape: impl Into<Shape>) -> Net {
        let (layers, compression, input_scales) = Default::default();
        Net { input: shape.into(), layers, compression, input_scales }
    }

    /// A net over pictures `[height, width, channels]`.
    #[must_use]
    pub fn image(shape: [usize; 3]) -> Net {
        Net::rows(shape)
    }

    /// Dense layers from `widths[0]` inputs to the last width, the activation after all but the last.
    ///
    /// # Panics
    /// Where there are fewer than two widths.
    #[must_use]
    #[track_caller]
    pub fn mlp(widths: &[usize], activation: Activation) -> Net {
        Net::mlp_in_context(widths, activation, 0)
    }

    /// The same with so many context parameters behind the inputs.
    #[must_use]
    #[track_caller]
    pub fn mlp_in_context(widths: &[usize], activation: Activation, context: usize) -> Net {
        assert!(widths.len() >= 2, "a net needs inputs and outputs: {widths:?} are not enough widths");
        let start = Net::rows([widths[0]]);
        let start = if context > 0 { start.context(context) } else { start };
        widths[1..].iter().enumerate().fold(start, |net, (i, &width)| {
            let net = net.dense(width);
            if i + 2 < widths.len() { net.activation(activation) } else { net }
        })
    }

    /// The same with so many context parameters in front of every dense layer but the last: they shift all of them.
    #[must_use]
    #[track_caller]
    pub fn modulated_mlp(widths: &[usize], activation: Activation, context: usize) -> Net {
        assert!(widths.len() >= 2, "a net needs inputs and outputs: {widths:?} are not enough widths");
        let (last, hidden) = (widths.len() - 1, &widths[1..widths.len() - 1]);
        let layer = |net: Net, width: &usize| net.context(context).dense(*width).activation(activation);
        hidden.iter().fold(Net::rows([widths[0]]), layer).dense(widths[last])
    }

    /// With another layer.
    #[must_use]
    pub fn with(mut self, layer: Layer) -> Net {
        self.layers.push(layer);
        self
    }

    /// With these layers.
    #[must_use]
    pub fn with_all(mut self, layers: impl IntoIterator<Item = Layer>) -> Net {
        self.layers.extend(layers);
        self
    }

    /// A dense layer over the last axis of a row.
    #[must_use]
    pub fn dense(self, outputs: usize) -> Net {
        self.with(Layer::Dense(Dense::new(outputs)))
    }

    /// A pointwise function.
    #[must_use]
    pub fn activation(self, function: Activation) -> Net {
        self.with(Layer::Activation(Pointwise::new(function)))
    }

    /// A convolution to so many channels by kernels of so many taps along each axis, zeros around.
    #[must_use]
    pub fn conv(self, channels: usize, kernel: impl Into<Sizes>) -> Net {
        self.with(Layer::Conv(Conv::new(channels, kernel)))
    }

    /// The largest element of each window of `size`, windows side by side.
    #[must_use]
    pub fn max_pool(self, size: impl Into<Sizes>) -> Net {
        self.with(Layer::MaxPool(MaxPool::new(size)))
    }

    /// The mean of each window of `size`, windows side by side.
    #[must_use]
    pub fn avg_pool(self, size: impl Into<Sizes>) -> Net {
        self.with(Layer::AvgPool(AvgPool::new(size)))
    }

    /// The mean over a whole row, channel by channel.
    #[must_use]
    pub fn global_pool(self) -> Net {
        self.with(Layer::GlobalPool(GlobalPool::on()))
    }

    /// Channels normalised over the rows of a task that are asked about together ([`BatchNorm`]).
    #[must_use]
    pub fn batch_norm(self) -> Net {
        self.with(Layer::BatchNorm(BatchNorm::new(Statistics::Batch)))
    }

    /// Channels normalised by mean and variance of the task's support rows ([`Statistics::Support`]): what is predicted for a query row
    /// depends on no other query row.
    #[must_use]
    pub fn batch_norm_of_support(self) -> Net {
        self.with(Layer::BatchNorm(BatchNorm::new(Statistics::Support)))
    }

    /// Rows normalised along their last axis.
    #[must_use]
    pub fn layer_norm(self) -> Net {
        self.with(Layer::LayerNorm(LayerNorm::on()))
    }

    /// Groups of channels normalised over a row.
    #[must_use]
    pub fn group_norm(self, groups: usize) -> Net {
        self.with(Layer::GroupNorm(GroupNorm::new(groups)))
    }

    /// `max(x, 0)`
    #[must_use]
    pub fn relu(self) -> Net {
        self.activation(Activation::Relu)
    }

    /// `tanh x`
    #[must_use]
    pub fn tanh(self) -> Net {
        self.activation(Activation::Tanh)
    }

    /// `sin x`
    #[must_use]
    pub fn sin(self) -> Net {
        self.activation(Activation::Sin)
    }

    /// Times a constant.
    #[must_use]
    pub fn scale(self, factor: f64) -> Net {
        self.with(Layer::Scale(Scale::new(factor)))
    }

    /// Encoder, code and decoder of a variational autoencoder, on rows of what is coded and noise.
    #[must_use]
    pub fn variational(self, layer: Variational) -> Net {
        self.with(Layer::Variational(layer))
    }

    /// A recurrent cell over the elements of rows `[length, channels]`.
    #[must_use]
    pub fn recurrent(self, layer: Recurrent) -> Net {
        self.with(Layer::Recurrent(layer))
    }

    /// All axes of a row as one.
    #[must_use]
    pub fn flatten(self) -> Net {
        self.with(Layer::Flatten(Flatten::on()))
    }

    /// So many context parameters behind every row, for the dense layer that has to follow. Several such layers read the same.
    #[must_use]
    pub fn context(self, width: usize) -> Net {
        self.with(Layer::Context(Context::new(width)))
    }

    /// `x + f(x)`: the branch is built from an empty net.
    #[must_use]
    pub fn residual(self, branch: impl FnOnce(Net) -> Net) -> Net {
        let layers = branch(Net::rows([])).layers;
        self.with(Layer::Residual(Residual::new(layers)))
    }

    /// A layer that a program writes itself.
    #[must_use]
    pub fn own(self, layer: impl OwnLayer + 'static) -> Net {
        self.with(Layer::Own(Own::new(layer)))
    }

    /// Branches side by side along the last axis, each built from an empty net.
    #[must_use]
    pub fn parallel<const N: usize>(self, branches: [fn(Net) -> Net; N]) -> Net {
        let branches = branches.map(|branch| branch(Net::rows([])).layers).into();
        self.with(Layer::Parallel(Parallel::new(branches)))
    }
}

/// What its matrices are wherever they are used.
impl Net {
    /// A net whose matrices are compressed wherever they are used.
    #[must_use]
    pub fn compressed(self, compression: Compression) -> Net {
        Net { compression, ..self }
    }

    /// How its matrices are compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// A net whose dense layers and convolutions read numbers of eight bits: whole ones from -128 to 127 times these scales, a layer each, in the order in which they
    /// run. Gradients go straight through. No scales: they read what there is.
    #[must_use]
    pub fn reading_eight_bits(self, scales: Vec<f64>) -> Net {
        Net { input_scales: scales, ..self }
    }

    /// The scales of what its dense layers and convolutions read.
    pub fn input_scales(&self) -> &[f64] {
        &self.input_scales
    }

    /// How many dense layers and convolutions it has.
    pub fn products(&self) -> usize {
        products(&self.layers)
    }

    /// What each of its dense layers and convolutions reads of rows `[T, n, inputs]`, in the order in which they run.
    pub(crate) fn products_read(&self, g: &mut Graph, weights: Weights<'_>, x: Value) -> Vec<Value> {
        self.run(g, weights, "", x, Beside::default(), self.layers.len()).1.products
    }

    /// Makes of flat weights `[P]` those that it uses.
    pub fn compress(&self, weights: &mut [f32]) {
        if !self.compression.is_none() {
            self.layout().compress(&self.compression, weights);
        }
    }

    /// The same of weights `[T, P]` in a graph.
    pub(crate) fn compress_all(&self, g: &mut Graph, flat: Value) -> Value {
        if self.compression.is_none() {
            return flat;
        }
        self.folded(g, Weights { flat, layout: &self.layout() }, None)
    }
}

/// Layers of a program's own.
impl Net {
    /// The layers of a program's own, branches included.
    pub fn own_layers(&self) -> Vec<Own> {
        own_layers(&self.layers)
    }

    /// Hands the layers of a program's own over to a net that was read from a file, which holds only their names. Those that are
    /// still missing [`Net::check`] names.
    pub fn hand_over(&mut self, own: &[Own]) {
        hand_over(&mut self.layers, own);
    }
}

/// The layers of a program's own, branches included.
pub(crate) fn own_layers(layers: &[Layer]) -> Vec<Own> {
    let inside = |layer: &Layer| match layer {
        Layer::Own(own) => vec![own.clone()],
        other => other.branches().into_iter().flat_map(|b| own_layers(b)).collect(),
    };
    layers.iter().flat_map(inside).collect()
}

fn hand_over(layers: &mut [Layer], from: &[Own]) {
    for layer in layers {
        match layer {
            Layer::Own(own) => own.fill(from),
            other => other.branches_mut().into_iter().for_each(|b| hand_over(b, from)),
        }
    }
}

impl From<Net> for Vec<Layer> {
    /// The layers alone.
    fn from(net: Net) -> Vec<Layer> {
        net.layers
    }
}

/// Looking at it.
impl Net {
    /// The layers.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Shape of a row.
    pub fn input(&self) -> &[usize] {
        &self.input
    }

    /// Numbers of a row.
    pub fn inputs(&self) -> usize {
        count(&self.input)
    }

    /// Numbers that a row becomes.
    ///
    /// # Panics
    /// Where [`Net::check`] refuses.
    #[track_caller]
    pub fn outputs(&self) -> usize {
        count(&output(&self.layers, &self.input).unwrap_or_else(|e| panic!("{e}")))
    }

    /// The shape that a row comes out with, where the layers fit one another.
    pub fn row_behind(&self) -> Option<Shape> {
        output(&self.layers, &self.input).ok()
    }

    /// Numbers that a row has at most, before the first layer or behind one (branches aside).
    pub(crate) fn largest_row(&self) -> usize {
        let behind = self.layers.iter().scan(self.input.clone(), |row, layer| {
            *row = shape_after(layer, row);
            Some(count(row))
        });
        behind.fold(self.inputs(), usize::max)
    }

    /// Refuses layers that do not fit one another, and sizes beyond any use.
    ///
    /// # Errors
    /// What does not fit, which layer it is, and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let sound = |row: &Shape| {
            let size = row.iter().try_fold(1usize, |size, n| size.checked_mul(*n));
            (1..=4).contains(&row.len()) && size.is_some_and(|size| (1..=MAX_ROW).contains(&size))
        };
        let refuse = |row: &Shape| {
            Err(format!("rows of shape {row:?}: one to four axes, and up to {MAX_ROW} numbers, are possible"))
        };
        self.compression.check()?;
        let (scales, products) = (&self.input_scales, self.products());
        if !scales.is_empty() && scales.len() != products {
            return Err(format!(
                "{} scales for what {products} dense layers and convolutions read",
                scales.len()
            ));
        }
        if let Some(scale) = scales.iter().find(|s| !(s.is_finite() && **s >= f64::from(f32::MIN_POSITIVE))) {
            return Err(format!("a scale of {scale}: it must be positive and finite"));
        }
        if !sound(&self.input) {
            return refuse(&self.input);
        }
        if branched(&self.layers) > MAX_LAYERS {
            return Err(format!("more than {MAX_LAYERS} layers"));
        }
        let mut row = self.input.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            // An activation beside a layer is one of its own.
            let here = |e: String| layer.refused(i, &e);
            if let Layer::Tied(tied) = layer {
                tied.check(self.layers.first(), &row).map_err(here)?;
            }
            row = layer.kind().output(&row).map_err(here)?;
            if !sound(&row) {
                return refuse(&row).map_err(here);
            }
            if let Layer::Context(context) = layer {
                if !matches!(self.layers.get(i + 1), Some(Layer::Dense(_))) {
                    return Err(here("context parameters need a dense layer behind them".into()));
                }
                if context.width != self.context_width() {
                    let first = self.context_width();
                    return Err(here(format!(
                        "{} context parameters, and {first} before: all layers read the same",
                        context.width
                    )));
                }
            }
        }
        let nested = |layers: &Vec<Layer>| layers.iter().any(|l| matches!(l, Layer::Context(_)));
        if self.layers.iter().any(|layer| layer.branches().into_iter().any(nested)) {
            return Err("context parameters stand in no branch".into());
        }
        Ok(())
    }

    /// The dense layer that the net ends in; `None` where it ends otherwise.
    pub fn head(&self) -> Option<Head> {
        let Some((Layer::Dense(dense), before)) = self.layers.split_last() else { return None };
        if let Some(Layer::Context(_)) = before.last() {
            return None;
        }
        let features = match output(before, &self.input).ok()?[..] {
            [features] => features,
            _ => return None,
        };
        let (outputs, end) = (dense.outputs, self.layout().len());
        Some(Head { features, outputs, range: end - (features + 1) * outputs..end })
    }

    /// The decoder of a net that is a variational autoencoder, on rows that are codes, and where its weights lie in the flat vector: at its
    /// end. `None` of any other net.
    ///
    /// ```
    /// use hyperloom::net::{Net, Variational};
    ///
    /// let net = Net::rows([784 + 8]).variational(Variational::of_pictures([28, 28, 1], 8));
    /// let (decoder, range) = net.decoder().ok_or("a decoder")?;
    /// assert_eq!((decoder.inputs(), decoder.outputs()), (8, 784));
    /// assert_eq!((decoder.layout().len(), net.layout().len()), (range.len(), range.end));
    /// # Ok::<(), &str>(())
    /// ```
    pub fn decoder(&self) -> Option<(Net, Range<usize>)> {
        let [Layer::Variational(v)] = &self.layers[..] else { return None };
        let net = Net { input: vec![v.code], layers: v.decoder.clone(), ..self.clone() }.flatten();
        let end = self.layout().len();
        Some((net.clone(), end - net.layout().len()..end))
    }

    /// The head of a net that is known to have one.
    ///
    /// # Panics
    /// Where it has none.
    #[track_caller]
    pub fn expect_head(&self) -> Head {
        self.head().unwrap_or_else(|| panic!("the net does not end in a dense layer over rows of one axis"))
    }

    /// Whether what a row becomes depends on the rows of its task beside it, as with batch normalisation.
    pub fn mixes_rows(&self) -> bool {
        mix_rows(&self.layers)
    }

    /// Whether it normalises by the support rows of a task, so that it cannot do without them.
    pub fn reads_support(&self) -> bool {
        read_support(&self.layers)
    }

    /// The net that does without the support: what statistics of it had to say stands in gains and shifts ([`Net::settle`]).
    #[must_use]
    pub fn settled(&self) -> Net {
        fn all(layers: &[Layer]) -> Vec<Layer> {
            let one = |layer: &Layer| match layer {
                Layer::BatchNorm(BatchNorm { statistics: Statistics::Support }) => {
                    Layer::BatchNorm(BatchNorm { statistics: Statistics::Settled })
                }
                other => {
                    let mut other = other.clone();
                    other.branches_mut().into_iter().for_each(|b| *b = all(b));
                    other
                }
            };
            layers.iter().map(one).collect()
        }
        Net { layers: all(&self.layers), ..self.clone() }
    }

    /// Number of context parameters.
    pub fn context_width(&self) -> usize {
        let width = |layer: &Layer| match layer {
            Layer::Context(c) => Some(c.width),
            _ => None,
        };
        self.layers.iter().find_map(width).unwrap_or(0)
    }

    /// Flat layout: layers that have parameters are numbered from 0 in the order in which they run, `0.weight`, `0.bias`, …; all
    /// uniform in ±1/√fan_in (the scale PyTorch's linear layers start with).
    pub fn layout(&self) -> ParamLayout {
        self.layout_by(Scheme::Uniform, Activation::Identity)
    }

    /// Flat layout with He initialisation: weights `N(0, gain/fan_in)` for the activation behind them, biases 0. `after` is the
    /// activation that outputs go through.
    pub fn layout_he(&self, after: Activation) -> ParamLayout {
        self.layout_by(Scheme::He, after)
    }

    fn layout_by(&self, scheme: Scheme, after: Activation) -> ParamLayout {
        let mut layout = ParamLayout { compression: self.compression, ..ParamLayout::default() };
        let mut to = Params {
            layout: &mut layout,
            scheme,
            role: ParamRole::Body,
            layers: 0,
            activation: after,
            context: None,
        };
        to.list(&self.layers, &self.input);
        if matches!(self.layers.last(), Some(Layer::Dense(_))) {
            layout.params.iter_mut().rev().take(2).for_each(|p| p.role = ParamRole::Head);
        }
        layout
    }

    /// The net without context parameters.
    #[must_use]
    pub fn without_context(&self) -> Net {
        let layers = self.layers.iter().filter(|l| !matches!(l, Layer::Context(_)));
        Net { layers: layers.cloned().collect(), ..self.clone() }
    }

    /// Weights of [`Net::without_context`] that do the same: context parameters go into the biases of the layers that read them.
    pub fn fold_context(&self, weights: &[f32], context: &[f32]) -> Vec<f32> {
        let (mut all, mut shift): (Vec<f32>, Option<Vec<f32>>) = (Vec::with_capacity(weights.len()), None);
        for p in &self.layout().params {
            let values = &weights[p.range()];
            if p.name.ends_with(".context") {
                let outputs = p.shape[1];
                let of =
                    |j: usize| context.iter().zip(values.chunks(outputs)).map(|(c, row)| c * row[j]).sum();
                shift = Some((0..outputs).map(of).collect());
                continue;
            }
            match shift.take_if(|_| p.name.ends_with(".bias")) {
                Some(shift) => all.extend(values.iter().zip(shift).map(|(b, s)| b + s)),
                None => all.extend(values),
            }
        }
        all
    }
}

impl Net {
    /// [`Net::fold_context`] in a graph: weights `[T, P]` and context parameters `[T, c]` (`None`: they are 0) to weights of [`Net::without_context`].
    pub(crate) fn folded(&self, g: &mut Graph, weights: Weights<'_>, context: Option<Value>) -> Value {
        let (mut all, mut shift): (Vec<Value>, Option<Value>) = (vec![], None);
        let t = g.shape(weights.flat)[0];
        for p in &weights.layout.params {
            let values = weights.get(g, &p.name);
            if p.name.ends_with(".context") {
                shift = context.map(|context| {
                    let row = g.reshape(context, &[t, 1, p.shape[0]]);
                    let shift = g.matmul(row, values);
                    g.reshape(shift, &[t, p.shape[1]])
                });
                continue;
            }
            let flat = g.reshape(values, &[t, count(&p.shape)]);
            all.push(match shift.take_if(|_| p.name.ends_with(".bias")) {
                Some(shift) => g.add(flat, shift),
                None => flat,
            });
        }
        g.concat(&all, 1)
    }
}

/// Number of dense layers and convolutions, branches included.
fn products(layers: &[Layer]) -> usize {
    let inside = |layer: &Layer| layer.branches().into_iter().map(|b| products(b)).sum::<usize>();
    let own = |layer: &Layer| usize::from(matches!(layer, Layer::Dense(_) | Layer::Conv(_)));
    layers.iter().map(|layer| own(layer) + inside(layer)).sum()
}

/// Number of layers, branches included.
fn branched(layers: &[Layer]) -> usize {
    let inside = |layer: &Layer| layer.branches().into_iter().map(|b| branched(b)).sum::<usize>();
    layers.iter().map(|layer| 1 + inside(layer)).sum()
}

/// Support rows of tasks, by which a net may normalise.
#[derive(Clone, Copy, Debug)]
pub struct SupportRows {
    /// Inputs `[T, n, inputs]`.
    pub x: Value,
    /// Weights of the rows `[T, n]` that sum to one over n.
    pub weights: Value,
}

/// What a net runs on beside its rows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Beside {
    context: Option<Value>,
    support: Option<SupportRows>,
    /// Whether the rows begin with the support's.
    included: bool,
    /// Whether what goes on in layers over sequences is noted.
    watched: bool,
}

/// Running it, as graph.
impl Net {
    /// Rows x `[.., inputs]` to `[.., outputs]`; with a row of weights a task, x is `[T, n, inputs]`. Context parameters are 0.
    #[track_caller]
    pub fn apply(&self, g: &mut Graph, weights: Weights<'_>, x: Value) -> Value {
        self.run(g, weights, "", x, Beside::default(), self.layers.len()).0
    }

    /// Rows `[T, n, inputs]` of tasks with these support rows, which a net with [`Net::batch_norm_of_support`] normalises by (another does
    /// not look at them). The rows may be the support's own.
    #[track_caller]
    pub fn apply_by(&self, g: &mut Graph, weights: Weights<'_>, support: SupportRows, x: Value) -> Value {
        let beside = Beside { support: Some(support), ..Beside::default() };
        self.run(g, weights, "", x, beside, self.layers.len()).0
    }

    /// The same for rows `[T, n + m, inputs]` that begin with the support's.
    #[track_caller]
    pub(crate) fn apply_behind(
        &self,
        g: &mut Graph,
        weights: Weights<'_>,
        support: SupportRows,
        x: Value,
    ) -> Value {
        let beside = Beside { support: Some(support), included: true, ..Beside::default() };
        self.run(g, weights, "", x, beside, self.layers.len()).0
    }

    /// Whether all of its matrices are those of dense layers, to which tasks may add products of factors: rounded are sums of both.
    pub(crate) fn takes_corrections(&self) -> bool {
        let plain = |layer: &Layer| {
            matches!(layer, Layer::Dense(_) | Layer::Activation(_) | Layer::Flatten(_) | Layer::LayerNorm(_))
        };
        self.compression.is_none() && self.input_scales.is_empty() && self.layers.iter().all(plain)
    }

    /// Rows `[T, n, inputs]` by weights `[P]` that tasks share and what each adds to those of its dense layers.
    #[track_caller]
    pub(crate) fn apply_corrected(
        &self,
        g: &mut Graph,
        weights: Weights<'_>,
        corrections: Vec<Correction>,
        x: Value,
    ) -> Value {
        let mut f = self.forward(g, weights, "", x, Beside::default());
        f.corrections = corrections;
        let rows = self.rows_of(g, x, &f);
        let y = f.list(g, &self.layers, rows);
        let [t, n, _] = g.shape(x)[..] else { panic!("rows of tasks are [T, n, inputs]") };
        g.reshape(y, &[t, n, self.outputs()])
    }

    /// Weights `[T, P]` with which [`Net::settled`] does for each of these tasks what this net does beside their support.
    #[track_caller]
    pub fn settle(&self, g: &mut Graph, weights: Weights<'_>, support: SupportRows) -> Value {
        let beside = Beside { support: Some(support), ..Beside::default() };
        let mut f = self.forward(g, weights, "", support.x, beside);
        let rows = self.rows_of(g, support.x, &f);
        f.list(g, &self.layers, rows);
        let t = g.shape(support.x)[0];
        let p = weights.layout.len();
        let flat = g.expand(weights.flat, &[t, p]);
        let parts: Vec<Value> = (weights.layout.params.iter())
            .map(|param| {
                let known = f.settled.iter().find_map(|(layer, [gain, shift])| {
                    let what = param.name.strip_prefix(layer.as_str())?;
                    [(".gain", *gain), (".shift", *shift)]
                        .into_iter()
                        .find_map(|(n, v)| (n == what).then_some(v))
                });
                known.unwrap_or_else(|| g.slice(flat, 1, param.offset, count(&param.shape)))
            })
            .collect();
        g.concat(&parts, 1)
    }

    /// The same for a net whose parameters are called `prefix.0.weight`, … in the layout.
    #[track_caller]
    pub fn apply_named(&self, g: &mut Graph, weights: Weights<'_>, prefix: &str, x: Value) -> Value {
        self.run(g, weights, prefix, x, Beside::default(), self.layers.len()).0
    }

    /// Rows `[T, n, inputs]` whose tasks have context parameters `[T, c]` and, for a net that normalises by it, a support.
    #[track_caller]
    pub fn apply_in_context(
        &self,
        g: &mut Graph,
        weights: Weights<'_>,
        support: Option<SupportRows>,
        x: Value,
        context: Value,
    ) -> Value {
        let beside = Beside { context: Some(context), support, ..Beside::default() };
        self.run(g, weights, "", x, beside, self.layers.len()).0
    }

    /// What the last layer reads: rows `[.., inputs]` to `[.., features]`, for a net that normalises by it beside a support.
    #[track_caller]
    pub fn features(
        &self,
        g: &mut Graph,
        weights: Weights<'_>,
        support: Option<SupportRows>,
        x: Value,
    ) -> Value {
        self.run(g, weights, "", x, Beside { support, ..Beside::default() }, self.layers.len() - 1).0
    }

    /// Predictions, what each layer that has parameters gives before any activation, and what goes on in layers over sequences.
    #[track_caller]
    pub(crate) fn apply_watched(
        &self,
        g: &mut Graph,
        weights: Weights<'_>,
        x: Value,
    ) -> (Value, Vec<Value>, WatchedSequences) {
        let beside = Beside { watched: true, ..Beside::default() };
        let (y, f) = self.run(g, weights, "", x, beside, self.layers.len());
        (y, f.given, f.watched.unwrap_or_default())
    }

    /// The head alone, by a flat row of its weight and bias a task `[T, (features + 1) · outputs]`, on features `[T, n, features]`.
    #[track_caller]
    pub fn apply_head(&self, g: &mut Graph, head: Value, features: Value) -> Value {
        let Head { features: f, outputs: o, .. } = self.expect_head();
        let t = g.shape(head)[0];
        let w = g.slice(head, 1, 0, f * o);
        let w = g.reshape(w, &[t, f, o]);
        let w = self.compression.of(g, w, &[f, o]);
        let features = match self.input_scales.last() {
            Some(scale) => in_eight_bits(g, features, *scale),
            None => features,
        };
        let b = g.slice(head, 1, f * o, o);
        let b = g.reshape(b, &[t, 1, o]);
        let y = g.matmul(features, w);
        g.add(y, b)
    }

    #[track_caller]
    fn run<'w>(
        &self,
        g: &mut Graph,
        weights: Weights<'w>,
        prefix: &str,
        x: Value,
        beside: Beside,
        most: usize,
    ) -> (Value, Forward<'w>) {
        let layers = &self.layers[..most];
        let row = layers.iter().fold(self.input.clone(), |row, layer| shape_after(layer, &row));
        // The support goes first, where it is read and is not what is asked about.
        let first = beside.support.filter(|s| read_support(layers) && !beside.included && s.x != x);
        let all = first.map_or(x, |s| g.concat(&[s.x, x], 1));
        let mut f = self.forward(g, weights, prefix, all, beside);
        let rows = self.rows_of(g, all, &f);
        let y = f.list(g, layers, rows);
        let lead = g.shape(all)[..g.shape(all).len() - 1].to_vec();
        let y = g.reshape(y, &[&lead[..], &[count(&row)]].concat());
        let y = match first {
            Some(s) => {
                let n = g.shape(s.x)[1];
                g.slice(y, 1, n, lead[1] - n)
            }
            None => y,
        };
        (y, f)
    }

    /// A pass over rows x `[.., inputs]`.
    pub(super) fn forward<'w>(
        &self,
        g: &Graph,
        weights: Weights<'w>,
        prefix: &str,
        x: Value,
        beside: Beside,
    ) -> Forward<'w> {
        let shape = g.shape(x);
        let before = &shape[..shape.len() - 1];
        // Shared weights see all rows of all tasks as one matrix, unless rows of a task are mixed.
        let mixes = self.mixes_rows() || self.reads_support();
        let apart = weights.per_task(g) || (mixes && before.len() == 2);
        let lead = if apart { before.to_vec() } else { vec![count(before)] };
        // Rows of a single task are worked on like tasks: what belongs to a row stays in a cache.
        let n = count(before);
        let whole = beside.support.is_none_or(|s| g.shape(s.x)[1] == n);
        let single = !weights.per_task(g) && before.len() == 2 && before[0] == 1 && n > 1 && whole;
        let lead = if single { vec![n, 1] } else { lead };
        Forward {
            single,
            weights,
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}.") },
            layers: 0,
            lead: lead.len(),
            rows: lead,
            input_scales: self.input_scales.clone(),
            products: vec![],
            context: beside.context,
            reads_context: false,
            support: beside.support.map(|s| (g.shape(s.x)[1], s.weights)),
            settled: vec![],
            there: None,
            starts: None,
            ends: vec![],
            given: vec![],
            corrections: vec![],
            watched: beside.watched.then(WatchedSequences::default),
        }
    }

    /// Rows x `[.., inputs]` with the axes that layers see.
    pub(super) fn rows_of(&self, g: &mut Graph, x: Value, f: &Forward<'_>) -> Value {
        g.reshape(x, &[&f.rows[..], &self.input[..]].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Reshape;

    #[test]
    fn layouts_are_flat_and_gapless() {
        let layout = Net::mlp(&[1, 40, 40, 1], Activation::Relu).layout();
        assert_eq!(layout.len(), 1761);
        assert_eq!(layout.get("1.weight").map(|p| (p.offset, p.fans())), Some((80, Some((40, 40)))));
        let roles: Vec<ParamRole> = layout.params.iter().map(|p| p.role).collect();
        assert!(roles[..4].iter().all(|r| *r == ParamRole::Body) && roles[4..] == [ParamRole::Head; 2]);
    }

    #[test]
    fn files_and_builders_agree() -> Result<(), serde_json::Error> {
        let net = Net::rows([4, 4, 1])
            .flatten()
            .dense(8)
            .relu()
            .residual(|branch| branch.dense(8).tanh().dense(8))
            .parallel([|a| a.dense(3), |b| b.scale(2.0)])
            .dense(2);
        net.check().expect("it fits");
        assert_eq!((net.outputs(), net.expect_head().features), (2, 11));
        let text = r#"{"input": [4, 4, 1], "layers": [{"flatten": true}, {"dense": 8, "activation": "relu"},
            {"residual": [{"dense": 8, "activation": "tanh"}, {"dense": 8}]},
            {"parallel": [[{"dense": 3}], [{"scale": 2.0}]]}, {"dense": 2}]}"#;
        assert_eq!(serde_json::from_str::<Net>(text)?, net);
        assert_eq!(serde_json::from_str::<Net>(&serde_json::to_string(&net)?)?, net);
        let names: Vec<String> = net.layout().params.iter().map(|p| p.name.clone()).collect();
        assert_eq!(names.iter().filter(|n| n.ends_with("weight")).count(), 5);
        Ok(())
    }

    #[test]
    fn the_first_version_is_read() -> Result<(), serde_json::Error> {
        let old = r#"{"widths": [3, 4, 1], "activation": "tanh", "context": 2}"#;
        let net: Net = serde_json::from_str(old)?;
        assert_eq!(net, Net::rows([1]).context(2).dense(4).tanh().dense(1));
        assert_eq!((net.inputs(), net.context_width(), net.layout().len()), (1, 2, 21));
        let weights: Vec<f32> = (0..21).map(|i| i as f32).collect();
        let folded = net.fold_context(&weights, &[0.5, 2.0]);
        assert_eq!(folded.len(), net.without_context().layout().len());
        // bias 12 + ½ · 4 + 2 · 8
        assert_eq!((folded[0], folded[4]), (0.0, 30.0));
        Ok(())
    }

    #[test]
    fn pictures_and_series() -> Result<(), serde_json::Error> {
        let net = Net::image([28, 28, 1]).conv(16, 3).relu().max_pool(2).batch_norm().flatten().dense(5);
        net.check().expect("it fits");
        assert_eq!((net.outputs(), net.expect_head().features), (5, 14 * 14 * 16));
        assert_eq!(net.layout().get("0.weight").map(|p| p.shape.clone()), Some(vec![3, 3, 1, 16]));
        assert!(net.mixes_rows() && !Net::rows([3]).layer_norm().mixes_rows());
        let text = r#"{"input": [9, 4], "layers": [
            {"conv": 6, "kernel": 3, "padding": "causal", "dilation": 2, "groups": 2, "bias": false, "activation": "silu"},
            {"conv_transpose": 2, "kernel": 2, "stride": 2, "padding": "valid"}, {"avg_pool": 3, "stride": 2},
            {"group_norm": 2}, {"global_pool": true}]}"#;
        let net: Net = serde_json::from_str(text)?;
        net.check().expect("it fits");
        assert_eq!(net.outputs(), 2);
        let shapes: Vec<Shape> = net.layout().params.iter().map(|p| p.shape.clone()).collect();
        assert_eq!(shapes, [vec![3, 2, 6], vec![2, 6, 2], vec![2], vec![2], vec![2]]);
        assert_eq!(serde_json::from_str::<Net>(&serde_json::to_string(&net)?)?, net);
        Ok(())
    }

    #[test]
    fn autoencoders() -> Result<(), serde_json::Error> {
        let net = Net::rows([27 + 2]).variational(Variational::of_pictures([3, 3, 3], 2));
        net.check().expect("it fits");
        assert_eq!((net.outputs(), net.head()), (28, None));
        let text = r#"{"input": [6], "layers": [{"variational": 2, "row": [2, 2], "encoder": [{"dense": 3, "activation": "tanh"}],
            "decoder": [{"dense": 4}]}]}"#;
        let small: Net = serde_json::from_str(text)?;
        small.check().expect("it fits");
        assert_eq!(serde_json::from_str::<Net>(&serde_json::to_string(&small)?)?, small);
        // 2·3 + 3 of the encoder on rows of two, 6·4 + 4 of the code, 2·4 + 4 of the decoder.
        assert_eq!(small.layout().len(), 9 + 28 + 12);
        assert_eq!(small.decoder().map(|(decoder, range)| (decoder.outputs(), range)), Some((4, 37..49)));
        assert!(Net::rows([3]).dense(2).decoder().is_none());
        let roles: Vec<ParamRole> = small.layout().params.iter().map(|p| p.role).collect();
        assert_eq!(roles, [[ParamRole::Body; 2], [ParamRole::Code; 2], [ParamRole::Decoder; 2]].concat());
        let said = |row: usize, decoder: Net| {
            let layer = Variational::new(2, [2, 2], vec![], decoder.into());
            Net::rows([row]).variational(layer).check().expect_err("it does not fit")
        };
        assert!(
            said(5, Net::rows([2]).dense(4))
                .contains("the 4 numbers of row = [2, 2] and 2 random ones, 6 in all")
        );
        assert!(said(6, Net::rows([2]).dense(3)).contains("writes [3], 3 numbers, and 4 are coded"));
        assert!(said(6, Net::rows([2]).dense(4).relu()).contains("'relu', and has to write logits"));
        assert!(said(6, Net::rows([2]).conv(3, 3)).contains("its decoder: its layer 1 ('conv')"));
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let said = |net: Net| net.check().expect_err("it does not fit");
        assert!(said(Net::rows([3]).residual(|b| b.dense(4))).contains("both must be the same"));
        assert!(said(Net::rows([3]).context(2).relu().dense(1)).contains("dense layer behind"));
        assert!(said(Net::rows([3]).dense(0)).contains("layer 1 ('dense')"));
        assert!(said(Net::rows([3]).conv(4, 3)).contains("[height, width, channels]"));
        assert!(said(Net::image([4, 4, 1]).max_pool(5)).contains("do not lie inside"));
        assert!(said(Net::image([4, 4, 3]).group_norm(2)).contains("evenly"));
        assert!(said(Net::image([4, 4, 3]).conv(2, 0)).contains("1 to 4096"));
        let wide = said(Net::image([12, 12, 3]).conv(2, 100));
        assert!(wide.contains("100 elements over 12: beyond 23"), "{wide}");
        let far = Layer::Conv(Conv { stride: 50.into(), ..Conv::new(2, 3) });
        let far = said(Net::image([12, 12, 3]).with(far));
        assert!(far.contains("a stride of 50 over 12 elements"), "{far}");
        let inner = said(Net::rows([3]).residual(|b| b.dense(3).conv(3, 3)));
        assert!(inner.contains("layer 1 ('residual'): its layer 2 ('conv')"), "{inner}");
        let reshaped = |shape: [usize; 2]| Net::rows([6]).with(Layer::Reshape(Reshape::new(shape)));
        assert!(said(reshaped([2, 4])).contains("6 numbers, which are no row [2, 4]"));
        assert!(said(reshaped([usize::MAX, 2])).contains("which are no row"));
        assert!(said(Net::rows([3]).residual(|b| b)).contains("without layers"));
        assert!(said(Net::rows([3]).dense(1).layer_norm()).contains("always 0"));
        assert!(said(Net::rows([3]).dense(6).group_norm(6)).contains("always 0"));
        let branches = Layer::Parallel(Parallel::new(vec![vec![], vec![Layer::Conv(Conv::new(2, 3))]]));
        assert!(said(Net::rows([3]).with(branches)).contains("its branch 2: its layer 1 ('conv')"));
        assert!(
            said(Net::rows([3]).with(Layer::Parallel(Parallel::new(vec![vec![], vec![]]))))
                .contains("only repeat")
        );
        let e = serde_json::from_str::<Net>(r#"{"input": [1], "layers": [{"dens": 3}]}"#)
            .map_err(|e| e.to_string());
        assert!(e.expect_err("no layer").contains("there are dense, activation"));
        assert_eq!(Net::rows([3]).dense(4).relu().head(), None);
    }
}
