//! The table of layers, and what each of them has to say.

use std::collections::VecDeque;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use super::compression::in_eight_bits;
use super::layout::Init;
use super::{ParamLayout, ParamRole, Weights};
use crate::error::nearest;
use crate::graph::{Graph, Value};
use crate::spec::{Activation, Shape, count};

/// What a layer says about itself; its file has nothing else to do.
pub(super) trait Kind {
    /// The shape that a row `row` comes out with, or what would be right instead.
    fn output(&self, row: &[usize]) -> Result<Shape, String>;

    /// Appends the layer's parameters for rows of shape `row`. A layer that has some begins with [`Params::layer`].
    fn params(&self, _row: &[usize], _to: &mut Params<'_>) {}

    /// Whether what a row becomes depends on the rows of its task beside it.
    fn mixes_rows(&self) -> bool {
        false
    }

    /// Whether it normalises by the support rows of a task.
    fn reads_support(&self) -> bool {
        false
    }

    /// Whether what it makes of an element of a sequence depends on no other element, but by states.
    fn is_of_elements(&self) -> bool {
        false
    }

    /// Whether what it makes of an element of a sequence depends on no later one.
    fn is_causal(&self) -> bool {
        self.is_of_elements()
    }

    /// Widths of the states that it carries from one element of a sequence to the next.
    fn states(&self) -> Vec<usize> {
        vec![]
    }

    /// Rows `[.., row]`, with [`Forward::lead`] axes before the row's own. A layer that has parameters begins with
    /// [`Forward::layer`] and ends with [`Forward::gave`].
    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value;
}

/// One row a layer: its name in files, its variant, its file.
macro_rules! table {
    ($($(#[$doc:meta])* $name:literal $variant:ident($layer:ty),)*) => {
        /// A layer of a [`Net`](super::Net).
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Layer { $($(#[$doc])* $variant($layer),)* }

        impl Layer {
            /// All names, for messages.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its name in files.
            pub(crate) fn name(&self) -> &'static str {
                match self { $(Layer::$variant(_) => $name,)* }
            }

            /// What is wrong with the `i`-th of a list: layers are counted from 1.
            pub(super) fn refused(&self, i: usize, why: &str) -> String {
                format!("layer {} ('{}'): {why}", i + 1, self.name())
            }

            pub(super) fn kind(&self) -> &dyn Kind {
                match self { $(Layer::$variant(layer) => layer,)* }
            }

            /// Settings that name the layer: `{ dense = 32 }`.
            fn read(settings: Settings) -> Result<Layer, String> {
                $(if settings.contains_key($name) {
                    let layer = serde_json::from_value(settings.into());
                    return layer.map(Layer::$variant).map_err(|e| format!("layer '{}': {e}", $name));
                })*
                let keys: Vec<&str> = settings.keys().map(String::as_str).collect();
                // The one that is most like a layer's name.
                let near = keys.iter().find_map(|k| nearest(k, Layer::NAMES.iter().copied()));
                let hint = near.map_or(String::new(), |n| format!("; did you mean '{n}'?"));
                Err(format!("none of {keys:?} is the name of a layer: there are {}{hint}", Layer::NAMES.join(", ")))
            }
        }

        impl Serialize for Layer {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                match self { $(Layer::$variant(layer) => layer.serialize(to),)* }
            }
        }
    };
}

table! {
    /// `x W + b` over the last axis.
    "dense" Dense(super::dense::Dense),
    /// A pointwise function.
    "activation" Activation(super::activation::Pointwise),
    /// Convolution over pictures or series.
    "conv" Conv(super::conv::Conv),
    /// Transposed convolution.
    "conv_transpose" ConvTranspose(super::conv_transpose::ConvTranspose),
    /// The largest element of each window.
    "max_pool" MaxPool(super::max_pool::MaxPool),
    /// The mean of each window.
    "avg_pool" AvgPool(super::avg_pool::AvgPool),
    /// The mean over a whole row, channel by channel.
    "global_pool" GlobalPool(super::global_pool::GlobalPool),
    /// Channels normalised over the rows of a task.
    "batch_norm" BatchNorm(super::batch_norm::BatchNorm),
    /// Rows normalised along their last axis.
    "layer_norm" LayerNorm(super::layer_norm::LayerNorm),
    /// Logarithms of probabilities along the last axis.
    "log_softmax" LogSoftmax(super::log_softmax::LogSoftmax),
    /// Groups of channels normalised over a row.
    "group_norm" GroupNorm(super::group_norm::GroupNorm),
    /// Symbols as vectors with a single 1.
    "one_hot" OneHot(super::embed::OneHot),
    /// Symbols as learned vectors.
    "embed" Embed(super::embed::Embed),
    /// Logits of symbols by the vectors that a net begins with.
    "tied_head" Tied(super::embed::Tied),
    /// A recurrent cell over the elements of a sequence.
    "recurrent" Recurrent(super::recurrent::Recurrent),
    /// A recurrent cell whose weights change as it reads.
    "hyper_lstm" HyperLstm(super::hyper_lstm::HyperLstm),
    /// Elements of a sequence that look at one another.
    "attention" Attention(super::attention::Attention),
    /// Elements of a set that are told by some points what all of them are.
    "set_attention" SetAttention(super::set_attention::SetAttention),
    /// What some seeds are told of all elements of a set.
    "attention_pool" AttentionPool(super::set_attention::AttentionPool),
    /// The place of each element of a sequence.
    "position" Position(super::position::Position),
    /// Times a constant.
    "scale" Scale(super::scale::Scale),
    /// All axes of a row as one.
    "flatten" Flatten(super::flatten::Flatten),
    /// The numbers of a row with other axes.
    "reshape" Reshape(super::reshape::Reshape),
    /// Encoder, code and decoder of a variational autoencoder.
    "variational" Variational(super::variational::Variational),
    /// The task's context parameters behind every row.
    "context" Context(super::context::Context),
    /// `x + f(x)`
    "residual" Residual(super::residual::Residual),
    /// Several branches side by side along the last axis.
    "parallel" Parallel(super::parallel::Parallel),
    /// Branches that meet: a graph of nodes.
    "nodes" Nodes(super::nodes::Nodes),
    /// A layer of a program's own.
    "own" Own(super::own::Own),
}

impl Layer {
    /// The lists of layers inside it.
    pub(super) fn branches(&self) -> Vec<&Vec<Layer>> {
        match self {
            Layer::Residual(r) => vec![&r.layers, &r.shortcut],
            Layer::Parallel(p) => p.branches.iter().collect(),
            Layer::Nodes(n) => n.branches().collect(),
            Layer::Variational(v) => vec![&v.encoder, &v.decoder],
            _ => vec![],
        }
    }

    /// The same, to be changed.
    pub(super) fn branches_mut(&mut self) -> Vec<&mut Vec<Layer>> {
        match self {
            Layer::Residual(r) => vec![&mut r.layers, &mut r.shortcut],
            Layer::Parallel(p) => p.branches.iter_mut().collect(),
            Layer::Nodes(n) => n.branches_mut().collect(),
            Layer::Variational(v) => vec![&mut v.encoder, &mut v.decoder],
            _ => vec![],
        }
    }
}

type Settings = serde_json::Map<String, serde_json::Value>;

/// Reads a list of layers. Beside the settings of any layer `activation = "relu"` may stand: a layer of its own after it.
pub(crate) fn layers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Layer>, D::Error> {
    let mut all = Vec::new();
    for (i, mut settings) in Vec::<Settings>::deserialize(from)?.into_iter().enumerate() {
        let after = if settings.len() > 1 { settings.remove("activation") } else { None };
        let after = after.map(|function| Settings::from_iter([("activation".to_string(), function)]));
        for settings in [Some(settings), after].into_iter().flatten() {
            all.push(Layer::read(settings).map_err(|e| D::Error::custom(format!("entry {}: {e}", i + 1)))?);
        }
    }
    Ok(all)
}

/// How weights start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// Weights and biases uniform in ±1/√fan_in, the scale that PyTorch's linear layers start with.
    Uniform,
    /// Weights `N(0, gain/fan_in)` (He et al. 2015), biases 0.
    He,
}

/// Where layers put their parameters.
#[derive(Debug)]
pub(super) struct Params<'l> {
    pub(super) layout: &'l mut ParamLayout,
    pub(super) scheme: Scheme,
    /// What the layers' parameters are for.
    pub(super) role: ParamRole,
    /// Layers with parameters so far.
    pub(super) layers: usize,
    /// The activation after the present layer.
    pub(super) activation: Activation,
    /// Context parameters that the next dense layer reads.
    pub(super) context: Option<usize>,
}

impl Params<'_> {
    /// The name of the next layer that has parameters.
    pub(super) fn layer(&mut self) -> String {
        self.layers += 1;
        (self.layers - 1).to_string()
    }

    /// Puts the next layer's weight of this shape, each result a sum of `fan_in` products, and a bias of so many channels.
    pub(super) fn weight_and_bias(&mut self, shape: &[usize], fan_in: usize, bias: Option<usize>) {
        let name = self.layer();
        let (weight, start) = match self.scheme {
            Scheme::Uniform => {
                let init = Init::Uniform(1.0 / (fan_in as f64).sqrt());
                (init, init)
            }
            Scheme::He => {
                (Init::Normal((self.activation.gain() / fan_in as f64).sqrt()), Init::Constant(0.0))
            }
        };
        let role = self.role;
        self.layout.push(format!("{name}.weight"), shape, weight).role = role;
        if let Some(width) = self.context.take() {
            let each = Init::Uniform(1.0 / (width as f64).sqrt());
            self.layout.push(format!("{name}.context"), &[width, shape[shape.len() - 1]], each).role = role;
        }
        if let Some(channels) = bias {
            self.layout.push(format!("{name}.bias"), &[channels], start).role = role;
        }
    }

    /// Puts a list of layers' parameters, for rows of shape `row`.
    pub(super) fn list(&mut self, layers: &[Layer], row: &[usize]) {
        let (mut row, after) = (row.to_vec(), self.activation);
        for (i, layer) in layers.iter().enumerate() {
            self.activation = match layers.get(i + 1) {
                Some(Layer::Activation(a)) => a.function,
                Some(_) => Activation::Identity,
                None => after,
            };
            layer.kind().params(&row, self);
            row = shape_after(layer, &row);
        }
        self.activation = after;
    }
}

/// The row shape behind a layer of a net that was checked.
#[track_caller]
pub(super) fn shape_after(layer: &Layer, row: &[usize]) -> Shape {
    layer.kind().output(row).unwrap_or_else(|e| panic!("{e}"))
}

/// The row shape behind a list of layers, or which of them does not fit.
pub(super) fn output(layers: &[Layer], row: &[usize]) -> Result<Shape, String> {
    layers.iter().enumerate().try_fold(row.to_vec(), |row, (i, layer)| {
        layer.kind().output(&row).map_err(|e| format!("its {}", layer.refused(i, &e)))
    })
}

/// Whether what a row becomes in these layers depends on the rows beside it.
pub(super) fn mix_rows(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| layer.kind().mixes_rows())
}

/// Whether some of these layers normalise by the support rows of a task.
pub(super) fn read_support(layers: &[Layer]) -> bool {
    layers.iter().any(|layer| layer.kind().reads_support())
}

/// A forward pass in the making.
#[derive(Debug)]
pub(super) struct Forward<'w> {
    pub(super) weights: Weights<'w>,
    /// The net's name in the layout, with a dot behind it.
    pub(super) prefix: String,
    /// Layers with parameters so far.
    pub(super) layers: usize,
    /// Axes before those of a row: `[T, n]`, or one where all tasks share the weights.
    pub(super) lead: usize,
    /// Lengths of these axes.
    pub(super) rows: Shape,
    /// Whether these are the rows of a single task, `[n, 1]`: they lie where tasks do.
    pub(super) single: bool,
    /// Scales by which what products read is rounded, in the order in which they run; empty: it is not.
    pub(super) input_scales: Vec<f64>,
    /// What products read so far.
    pub(super) products: Vec<Value>,
    /// Context parameters `[T, c]`; `None`: 0.
    pub(super) context: Option<Value>,
    /// Whether the next dense layer reads them.
    pub(super) reads_context: bool,
    /// How many of each task's rows are its support, which they begin with, and the weights `[T, n]` of these; `None`: unknown.
    pub(super) support: Option<(usize, Value)>,
    /// Gains and shifts `[T, c]` that do what layers did that normalised by the support, by the layers' names.
    pub(super) settled: Vec<(String, [Value; 2])>,
    /// Of sequences, where there is an element: 1 `[rows.., length]`, and 0 behind the end of a short one; `None`: everywhere.
    pub(super) there: Option<Value>,
    /// States that recurrent layers begin with, in the order of the layers; `None`: zeros.
    pub(super) starts: Option<VecDeque<Value>>,
    /// States that they end with.
    pub(super) ends: Vec<Value>,
    /// What each layer with parameters gave.
    pub(super) given: Vec<Value>,
    /// What tasks add to weights that they share, by the names of layers.
    pub(super) corrections: Vec<Correction>,
    /// What else is noted of layers over sequences; `None`: nothing is.
    pub(super) watched: Option<WatchedSequences>,
}

/// What each task adds to the weight `[in, out]` of a dense layer that all share: a product of factors `[T, in, r]` and `[T, r, out]`.
#[derive(Clone, Debug)]
pub(crate) struct Correction {
    pub(crate) layer: String,
    pub(crate) factors: [Value; 2],
}

/// What goes on in layers over sequences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchedSequences {
    /// The vectors that symbols are read as, rows by rows and element by element.
    pub(crate) symbols: Option<Value>,
    /// Of recurrent layers, in their order: the layer, the gate, and its values `[b, length, n, units]`.
    pub(crate) gates: Vec<(String, &'static str, Value)>,
    /// Of attention over a sequence: the layer, and how much each element looks at each, `[b, n, heads, length, length]`.
    pub(crate) attention: Vec<(String, Value)>,
}

impl Forward<'_> {
    /// The name of the next layer that has parameters.
    pub(super) fn layer(&mut self) -> String {
        self.layers += 1;
        self.layer_now()
    }

    /// The name of the layer with parameters that is being run.
    pub(super) fn layer_now(&self) -> String {
        format!("{}{}", self.prefix, self.layers - 1)
    }

    /// Of rows `[T, n, .., c]` those of the support, and the weight of each element for means over all but tasks and channels.
    #[track_caller]
    pub(super) fn support_rows(&self, g: &mut Graph, x: Value) -> (Value, Value) {
        let Some((n, weights)) = self.support else {
            panic!("a batch normalisation by the support needs the support: see Net::apply_by")
        };
        let shape = g.shape(x).to_vec();
        let rows = if n < shape[1] { g.slice(x, 1, 0, n) } else { x };
        let mut each = vec![1; shape.len()];
        (each[0], each[1]) = if self.single { (shape[0], 1) } else { (shape[0], n) };
        let weights = g.reshape(weights, &each);
        let elements = count(&shape[2..shape.len() - 1]);
        (rows, g.scale(weights, 1.0 / elements as f64))
    }

    /// Where there are elements of sequences `[b, n, length, ..]`, in this shape.
    pub(super) fn there(&self, g: &mut Graph, shape: &[usize]) -> Option<Value> {
        self.there.map(|there| g.reshape(there, shape))
    }

    /// The next state that a recurrent layer begins with.
    #[track_caller]
    pub(super) fn state(&mut self, g: &mut Graph, shape: &[usize]) -> Value {
        let Some(starts) = &mut self.starts else {
            let zero = g.constant(0.0);
            return g.expand(zero, shape);
        };
        let Some(state) = starts.pop_front() else {
            panic!("the net has more states than were given: see Net::states")
        };
        g.reshape(state, shape)
    }

    /// Notes a gain and a shift that do what `(x - mean) · factor + shift` does.
    pub(super) fn settle(&mut self, g: &mut Graph, name: &str, [mean, factor, shift]: [Value; 3]) {
        let shape = g.shape(factor).to_vec();
        let flat = [shape[0], shape[shape.len() - 1]];
        let moved = g.mul(mean, factor);
        let moved = g.sub(shift, moved);
        let both = [factor, moved].map(|v| g.reshape(v, &flat));
        self.settled.push((name.to_string(), both));
    }

    /// What a dense layer gives, `[T, n, out]`, shifted by the context where the layer reads it.
    /// What a dense layer gave of rows x, with what tasks add to its weight: taken through the factors, so that no task has a whole matrix.
    pub(super) fn corrected(&self, g: &mut Graph, y: Value, x: Value, name: &str) -> Value {
        let Some(Correction { factors: [a, b], .. }) = self.corrections.iter().find(|c| c.layer == name)
        else {
            return y;
        };
        let &[t, inputs, _] = g.shape(*a) else { panic!("factors are [T, in, r]") };
        let n = count(g.shape(x)) / (t * inputs);
        let x = g.reshape(x, &[t, n, inputs]);
        let narrow = g.matmul(x, *a);
        let added = g.matmul(narrow, *b);
        let shape = g.shape(y).to_vec();
        let added = g.reshape(added, &shape);
        g.add(y, added)
    }

    pub(super) fn shifted(&mut self, g: &mut Graph, y: Value, name: &str) -> Value {
        let reads = std::mem::take(&mut self.reads_context);
        let Some(context) = self.context.filter(|_| reads) else { return y };
        let weight = self.weights.get(g, &format!("{name}.context"));
        let (&[t, c], out) = (g.shape(context), g.shape(y)[g.shape(y).len() - 1]) else {
            panic!("context parameters are [T, c]")
        };
        let shift = match self.weights.per_task(g) {
            true => {
                let context = g.reshape(context, &[t, 1, c]);
                g.matmul(context, weight)
            }
            false => g.matmul(context, weight),
        };
        let shift = g.reshape(shift, &[t, 1, out]);
        g.add(y, shift)
    }

    /// Notes the vectors that symbols are read as.
    pub(super) fn read(&mut self, vectors: Value) {
        if let Some(watched) = &mut self.watched {
            watched.symbols = Some(vectors);
        }
    }

    /// What the next dense layer or convolution reads.
    pub(super) fn product_reads(&mut self, g: &mut Graph, x: Value) -> Value {
        self.products.push(x);
        match self.input_scales.get(self.products.len() - 1) {
            Some(scale) => in_eight_bits(g, x, *scale),
            None => x,
        }
    }

    /// Notes what a layer with parameters gave, before any activation.
    pub(super) fn gave(&mut self, y: Value) -> Value {
        self.given.push(y);
        y
    }

    /// Images `[b, n, h, w, c]` plus the bias of their channels, of the parameter called so, if there is one.
    pub(super) fn add_bias(&self, g: &mut Graph, y: Value, name: Option<String>) -> Value {
        let Some(name) = name else { return y };
        let bias = self.weights.get(g, &name);
        let [b, .., c] = g.shape(y)[..] else { panic!("images have five axes") };
        let own = if self.weights.per_task(g) { b } else { 1 };
        let bias = g.reshape(bias, &[own, 1, 1, 1, c]);
        g.add(y, bias)
    }

    /// The kernels `name`, of this shape, for `b` tasks: `[b, ..]`, the same for all where tasks share them.
    pub(super) fn kernels(&self, g: &mut Graph, name: &str, b: usize, shape: [usize; 4]) -> Value {
        let kernels = self.weights.get(g, name);
        let own = if self.weights.per_task(g) { b } else { 1 };
        let kernels = g.reshape(kernels, &[&[own], &shape[..]].concat());
        g.expand(kernels, &[&[b], &shape[..]].concat())
    }

    /// Images `[b, n, ..]` as rows of shape `row` again, behind the axes that rows had before.
    pub(super) fn rows_again(&self, g: &mut Graph, y: Value, row: &[usize]) -> Value {
        let [b, n] = g.shape(y)[..2] else { panic!("images have five axes") };
        let lead: &[usize] = match (self.weights.per_task(g), &self.rows) {
            (true, _) => &[b, n],
            (false, rows) => rows,
        };
        g.reshape(y, &[lead, row].concat())
    }

    /// A list of layers, one after another.
    pub(super) fn list(&mut self, g: &mut Graph, layers: &[Layer], x: Value) -> Value {
        layers.iter().fold(x, |x, layer| layer.kind().apply(g, x, self))
    }
}
