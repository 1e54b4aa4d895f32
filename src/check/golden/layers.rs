//! Files of single layers and of small stacks of them, each task with weights of its own: results, losses, gradients, and
//! gradients of the squared norm of gradients. And learning through gradient descent of a convolutional network.

use super::{File, Job, Named, Outcome};
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::net::attend;
use crate::net::{
    Attention, AttentionPool, AvgPool, BatchNorm, Cell, Conv, ConvTranspose, GlobalPool, HyperLstm, Layer,
    LayerNorm, MaxPool, Net, Padding, Recurrent, Residual, SetAttention, Sizes, Statistics, Weights,
};
use crate::plan::KEEP;
use crate::spec::{Activation, count};
use crate::task::{Loss, loss};

/// The parameters of a pre-norm block of attention, in their order.
pub(super) const BLOCK: [&str; 16] = [
    "ln1_gain",
    "ln1_shift",
    "wq",
    "bq",
    "wk",
    "bk",
    "wv",
    "bv",
    "wo",
    "bo",
    "ln2_gain",
    "ln2_shift",
    "w1",
    "b1",
    "w2",
    "b2",
];

impl File<'_> {
    /// The network that a file is about, and its parameters in the order of the layout; `None` for another file.
    fn stack(&self, kind: &str) -> Result<Option<(Net, Vec<String>)>> {
        // Files of learning name the weights that it starts from, and its support.
        let (kind, input, start) = match kind.strip_prefix("maml_") {
            Some(kind) => (kind, "xs", "init_"),
            None => (kind, "x", ""),
        };
        let row = self.tensor(input)?.shape.get(2..).unwrap_or_default().to_vec();
        let net = Net::rows(row);
        let last =
            |name: &str| -> Result<usize> { Ok(self.tensor(name)?.shape.last().copied().unwrap_or(0)) };
        let named = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        let kernel = |name: &str| -> Result<Sizes> {
            match self.tensor(name)?.shape[..] {
                [_, kh, kw, _, _] => Ok(Sizes::Each([kh, kw])),
                _ => Err(Error::checkpoint(self.path, format!("'{name}' holds no kernels"))),
            }
        };
        let conv = |name: &str, stride: Sizes, bias: bool| -> Result<Layer> {
            let mut conv = Conv::new(last(name)?, kernel(name)?);
            (conv.stride, conv.bias) = (stride, bias);
            Ok(Layer::Conv(conv))
        };
        let norm = Layer::BatchNorm(BatchNorm::new(Statistics::Batch));
        Ok(Some(match kind {
            "conv2d" | "conv_grouped" => {
                let Layer::Conv(layer) = conv("w", Sizes::Each(self.setting("stride")?), true)? else {
                    return Ok(None);
                };
                let (groups, padding): (usize, Padding) = (self.setting("groups")?, self.setting("padding")?);
                (net.with(Layer::Conv(Conv { groups, padding, ..layer })), named(&["w", "b"]))
            }
            "conv_transpose" => {
                let layer = ConvTranspose {
                    channels: last("w")?,
                    kernel: kernel("w")?,
                    stride: Sizes::Each(self.setting("stride")?),
                    padding: self.setting("padding")?,
                    bias: true,
                };
                (net.with(Layer::ConvTranspose(layer)), named(&["w", "b"]))
            }
            "pool_max" => (net.with(Layer::MaxPool(MaxPool::new(2))), vec![]),
            "pool_avg" => (net.with(Layer::AvgPool(AvgPool::new(2))), vec![]),
            "pool_gap" => (net.with(Layer::GlobalPool(GlobalPool::on())), vec![]),
            "batchnorm" => (net.with(norm), named(&["gain", "shift"])),
            "layernorm" => (net.with(Layer::LayerNorm(LayerNorm::on())), named(&["gain", "shift"])),
            "residual_conv" => {
                let stride: usize = self.setting("stride")?;
                let mut names = named(&["k1", "gain1", "shift1", "k2", "gain2", "shift2"]);
                let branch = Net::rows([]).with(conv("k1", stride.into(), false)?).with(norm.clone()).relu();
                let branch = branch.with(conv("k2", 1.into(), false)?).with(norm.clone());
                let mut shortcut = vec![];
                if self.content.tensors.contains_key("ks") {
                    shortcut = vec![conv("ks", stride.into(), false)?, norm];
                    names.extend(named(&["ks", "gains", "shifts"]));
                }
                let residual = Residual { layers: branch.into(), shortcut };
                (net.with(Layer::Residual(residual)).relu(), names)
            }
            "residual_mlp" => {
                let blocks =
                    (1..).take_while(|l| self.content.tensors.contains_key(&format!("u{l}"))).count();
                let (width, inner) = (last("w0")?, last("u1")?);
                let mut names = named(&["w0", "b0"]);
                let mut net = net.dense(width);
                for l in 1..=blocks {
                    net = net.residual(|branch| branch.dense(inner).tanh().dense(width));
                    names.extend(["u", "ub", "v", "vb"].map(|n| format!("{n}{l}")));
                }
                names.extend(named(&["wy", "by"]));
                (net.dense(last("wy")?), names)
            }
            "rnn" | "gru" | "lstm" => {
                let (cell, biases): (_, &[&str]) = match kind {
                    "rnn" => (Cell::Rnn, &["b"]),
                    "gru" => (Cell::Gru, &["bx", "bh"]),
                    _ => (Cell::Lstm, &["b"]),
                };
                let units =
                    self.tensor(&format!("{start}wh"))?.shape.iter().rev().nth(1).copied().unwrap_or(0);
                let net = net.recurrent(Recurrent::new(cell, units)).dense(last(&format!("{start}wy"))?);
                (net, named(&[&["wx", "wh"], biases, &["wy", "by"]].concat()))
            }
            "attention_block" | "attention" => {
                let layer = Attention {
                    heads: self.setting("heads")?,
                    width: last(&format!("{start}wq"))?,
                    causal: start.is_empty() && self.setting("causal")?,
                    rotary: false,
                };
                let mut names = named(&["wq", "bq", "wk", "bk", "wv", "bv", "wo", "bo"]);
                let (first, rest) =
                    (Layer::Attention(layer), named(&["ln2_gain", "ln2_shift", "w1", "b1", "w2", "b2"]));
                if kind == "attention" && start.is_empty() {
                    return Ok(Some((net.with(first), names)));
                }
                let (width, hidden) = (last(&format!("{start}wo"))?, last(&format!("{start}w1"))?);
                let net = net.residual(|branch| branch.layer_norm().with(first)).residual(|branch| {
                    branch.layer_norm().dense(hidden).activation(Activation::Gelu).dense(width)
                });
                names = [named(&["ln1_gain", "ln1_shift"]), names, rest].concat();
                match start {
                    "" => (net, names),
                    _ => (net.global_pool().dense(last("init_wy")?), [names, named(&["wy", "by"])].concat()),
                }
            }
            "conv" => {
                let channels = last("init_kb1")?;
                let block = |net: Net| net.conv(channels, 3).with(norm.clone()).relu().max_pool(2);
                let names = ["k1", "kb1", "gain1", "shift1", "k2", "kb2", "gain2", "shift2", "w", "b"];
                (block(block(net)).flatten().dense(last("init_b")?), named(&names))
            }
            _ => return Ok(None),
        }))
    }

    /// Whether this is a file of layers.
    pub(super) fn is_of_layers(kind: &str) -> bool {
        const KINDS: [&str; 15] = [
            "conv2d",
            "conv_grouped",
            "conv_transpose",
            "pool_max",
            "pool_avg",
            "pool_gap",
            "batchnorm",
            "layernorm",
            "residual_conv",
            "residual_mlp",
            "rnn",
            "gru",
            "lstm",
            "attention",
            "attention_block",
        ];
        KINDS.contains(&kind)
    }

    /// Some tasks, each with its own weights.
    pub(super) fn layers(&self, kind: &str, run: &mut dyn FnMut(&Job) -> Result<Outcome>) -> Result<Named> {
        let Some((net, names)) = self.stack(kind)? else {
            return Err(Error::checkpoint(self.path, format!("'{kind}' is no kind of layer")));
        };
        net.check().map_err(|e| Error::checkpoint(self.path, e))?;
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        job.graph.keep(KEEP);
        let x = self.data(&mut job, "x")?;
        let target = self.data(&mut job, "target")?;
        let mut inputs = vec![("x".to_string(), x)];
        for name in names {
            let v = self.data(&mut job, &name)?;
            inputs.push((name, v));
        }
        // States that recurrent layers begin with.
        let mut starts = Vec::new();
        for name in ["h0", "c0"].into_iter().filter(|n| self.content.tensors.contains_key(*n)) {
            let v = self.data(&mut job, name)?;
            starts.push(v);
        }
        // What attention asks about where it is another sequence, and where there are elements.
        let has = |name: &str| self.content.tensors.contains_key(name);
        let context = if has("ctx") { Some(self.data(&mut job, "ctx")?) } else { None };
        let there = if has("mask") { Some(self.flags(&mut job, "mask")?) } else { None };
        let g = &mut job.graph;
        let [t, n] = g.shape(x)[..2] else { return Err(Error::checkpoint(self.path, "x has no rows")) };
        let rows = g.reshape(x, &[t, n, net.inputs()]);
        let layout = net.layout();
        let params: Vec<Value> =
            inputs[1..].iter().map(|(_, v)| g.reshape(*v, &[t, count(&g.shape(*v)[1..])])).collect();
        let flat = match params.is_empty() {
            true => {
                let zero = g.constant(0.0);
                g.expand(zero, &[t, 1])
            }
            false => g.concat(&params, 1),
        };
        let weights = Weights { flat, layout: &layout };
        let y = match (&context, there) {
            (Some(context), there) => {
                let &[t, n, m, _] = g.shape(*context) else { panic!("a context has four axes") };
                let seen = there.map(|there| g.reshape(there, &[t, n, 1, 1, m]));
                let mut parts = inputs[1..].chunks(2).map(|pair| [pair[0].1, pair[1].1]);
                let parts = std::array::from_fn(|_| parts.next().unwrap_or([x, x]));
                inputs.push(("ctx".into(), *context));
                attend(g, [x, *context], &parts, (self.setting("heads")?, false), seen).0
            }
            (None, Some(there)) => net.apply_ragged(g, weights, there, rows),
            (None, None) if starts.is_empty() => net.apply(g, weights, rows),
            (None, None) => net.apply_from(g, weights, &starts, rows).0,
        };
        let shape = g.shape(target).to_vec();
        let y = g.reshape(y, &shape);
        let squashed = g.act(Activation::Tanh, y);
        let d = g.sub(squashed, target);
        let square = g.mul(d, d);
        let each = count(&shape[1..]);
        let square = g.reshape(square, &[t, each]);
        let losses = g.sum_to(square, &[t, 1]);
        let losses = g.scale(losses, 1.0 / each as f64);
        let losses = g.reshape(losses, &[t]);
        let total = g.sum_to(losses, &[]);
        inputs.extend(["h0", "c0"].map(String::from).into_iter().zip(starts));
        let wrt: Vec<Value> = inputs.iter().map(|(_, v)| *v).collect();
        let gradients = g.grad(total, &wrt);
        let mut outputs = vec![("y".to_string(), y), ("loss".to_string(), losses)];
        for ((name, _), gradient) in inputs.iter().zip(&gradients) {
            outputs.push((format!("grad_{name}"), *gradient));
            outputs.push((format!("grad_{name}_first"), *gradient));
        }
        if self.content.metadata.contains_key("gg") {
            let said: String = self.setting("gg")?;
            let of = |name: &str| said.contains(&format!("'{name}'"));
            let mut norm = g.constant(0.0);
            for (_, gradient) in inputs.iter().zip(&gradients).filter(|((name, _), _)| of(name)) {
                let square = g.mul(*gradient, *gradient);
                let sum = g.sum_to(square, &[]);
                norm = g.add(norm, sum);
            }
            for ((name, _), second) in inputs.iter().zip(g.grad(norm, &wrt)) {
                outputs.push((format!("gg_{name}"), second));
            }
        }
        let outputs: Vec<(&str, Value)> = outputs.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        self.outputs(run, job, &outputs)
    }

    /// The network of a file about one set of weights for all rows, and its parameters in the order of the layout; `None` for another file.
    fn shared_stack(&self, kind: &str) -> Result<Option<(Net, Vec<String>)>> {
        let size = |name: &str, axis: usize| -> Result<usize> {
            Ok(self.tensor(name)?.shape.get(axis).copied().unwrap_or(0))
        };
        let named = |names: &[&str]| names.iter().map(|n| n.to_string()).collect::<Vec<_>>();
        Ok(Some(match kind {
            "hyperlstm" => {
                let mut layer = HyperLstm::new(size("wh", 0)?);
                (layer.hyper, layer.embedding) = (size("hyper_wh", 0)?, size("dh", 1)?);
                let row = [size("x", 2)?, size("x", 3)?];
                let names = [
                    "wx", "wh", "hyper_wx", "hyper_wh", "hyper_b", "zh_w", "zh_b", "zx_w", "zx_b", "zb_w",
                    "dh", "dx", "db", "b0", "wy", "by",
                ];
                (Net::rows(row).with(Layer::HyperLstm(layer)).dense(size("by", 0)?), named(&names))
            }
            "set_encoder" => {
                let (mut set, mut pool) = (SetAttention::new(size("induced", 0)?), AttentionPool::new(1));
                (set.heads, set.hidden) = (self.setting("heads")?, size("in_b1", 0)?);
                (pool.heads, pool.hidden) = (set.heads, size("pool_b1", 0)?);
                let net = Net::rows([size("x", 1)?, size("x", 2)?]).dense(size("be", 0)?);
                let net = net.with(Layer::SetAttention(set)).with(Layer::AttentionPool(pool));
                let block = |of: &str| {
                    let parts = BLOCK.into_iter().chain(["lnc_gain", "lnc_shift"]);
                    parts.map(|part| format!("{of}_{part}")).collect::<Vec<_>>()
                };
                let blocks = [block("in"), block("out"), named(&["seed"]), block("pool")].concat();
                let names = [named(&["we", "be", "induced"]), blocks, named(&["wo", "bo"])].concat();
                (net.dense(size("bo", 0)?), names)
            }
            _ => return Ok(None),
        }))
    }

    /// Whether this is a file of layers with one set of weights for all rows.
    pub(super) fn is_of_shared_layers(kind: &str) -> bool {
        ["hyperlstm", "set_encoder"].contains(&kind)
    }

    /// Layers with one set of weights for all rows, their loss and gradients.
    pub(super) fn shared_layers(
        &self,
        kind: &str,
        run: &mut dyn FnMut(&Job) -> Result<Outcome>,
    ) -> Result<Named> {
        let Some((net, names)) = self.shared_stack(kind)? else {
            return Err(Error::checkpoint(self.path, format!("'{kind}' is no kind of layer")));
        };
        net.check().map_err(|e| Error::checkpoint(self.path, e))?;
        let layout = net.layout();
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        job.graph.keep(KEEP);
        let has = |name: &&str| self.content.tensors.contains_key(*name);
        let mut all = |names: &[&str]| -> Result<Vec<Value>> {
            names.iter().filter(|n| has(n)).map(|name| self.data(&mut job, name)).collect()
        };
        let (rows, starts) = (all(&["x", "target"])?, all(&["h0", "c0", "hyper_h0", "hyper_c0"])?);
        let parts = all(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let there = if has(&"mask") { Some(self.flags(&mut job, "mask")?) } else { None };
        let g = &mut job.graph;
        let &[x, target] = &rows[..] else { return Err(Error::checkpoint(self.path, "x is missing")) };
        let lead = g.shape(x)[..g.shape(x).len() - 2].to_vec();
        let rows = g.reshape(x, &[&lead[..], &[net.inputs()]].concat());
        let flats: Vec<Value> = parts.iter().map(|v| g.reshape(*v, &[count(g.shape(*v))])).collect();
        let weights = Weights { flat: g.concat(&flats, 0), layout: &layout };
        let y = match there {
            Some(there) => net.apply_ragged(g, weights, there, rows),
            None if starts.is_empty() => net.apply(g, weights, rows),
            None => net.apply_from(g, weights, &starts, rows).0,
        };
        let shape = g.shape(target).to_vec();
        let y = g.reshape(y, &shape);
        let told = if kind == "set_encoder" { "e" } else { "y" };
        let squashed = if kind == "set_encoder" { g.act(Activation::Tanh, y) } else { y };
        let d = g.sub(squashed, target);
        let square = g.mul(d, d);
        let mean = g.mean(square);
        let mut outputs = vec![(told.to_string(), y), ("loss".to_string(), g.reshape(mean, &[1]))];
        let gradients = g.grad(mean, &parts);
        outputs.extend(names.iter().zip(gradients).map(|(name, v)| (format!("grad_{name}"), v)));
        let outputs: Vec<(&str, Value)> = outputs.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        self.outputs(run, job, &outputs)
    }

    /// Whether this is a file of learning with such layers.
    pub(super) fn is_of_learning_layers(kind: &str) -> bool {
        ["maml_conv", "maml_rnn", "maml_gru", "maml_lstm", "maml_attention"].contains(&kind)
    }

    /// Steps of gradient descent of a network from shared weights, and the gradient of the query loss by them. Pictures have classes,
    /// sequences a number for every element.
    pub(super) fn learning_layers(
        &self,
        kind: &str,
        run: &mut dyn FnMut(&Job) -> Result<Outcome>,
    ) -> Result<Named> {
        let Some((net, names)) = self.stack(kind)? else {
            return Err(Error::checkpoint(self.path, format!("'{kind}' is no kind of learning")));
        };
        net.check().map_err(|e| Error::checkpoint(self.path, e))?;
        let layout = net.layout();
        let (rate, steps): (f64, usize) = (self.setting("inner_lr")?, self.setting("inner_steps")?);
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        job.graph.keep(KEEP);
        let mut inits = Vec::new();
        for name in &names {
            inits.push(self.data(&mut job, &format!("init_{name}"))?);
        }
        let [xs, xq] = [self.data(&mut job, "xs")?, self.data(&mut job, "xq")?];
        let (what, [ys, yq]) = if kind == "maml_conv" {
            let mut classes = |name: &str| self.one_hot(&mut job, name, net.outputs());
            (Loss::CrossEntropy, [classes("labels_s")?, classes("labels_q")?])
        } else {
            (Loss::Mse, [self.data(&mut job, "ys")?, self.data(&mut job, "yq")?])
        };
        let g = &mut job.graph;
        let tasks = g.shape(xs)[0];
        let [xs, xq, ys, yq] = [xs, xq, ys, yq].map(|v| {
            let &[_, n, ..] = g.shape(v) else { panic!("rows of tasks") };
            let width = count(&g.shape(v)[2..]);
            g.reshape(v, &[tasks, n, width])
        });
        let parts: Vec<Value> = inits.iter().map(|v| g.reshape(*v, &[count(g.shape(*v))])).collect();
        let start = g.concat(&parts, 0);
        let of = |g: &mut Graph, w: Value, x: Value, y: Value| {
            let prediction = net.apply(g, Weights { flat: w, layout: &layout }, x);
            loss(g, what, prediction, y, None)
        };
        let mut outputs: Vec<(String, Value)> = Vec::new();
        for exact in [true, false] {
            let w = g.expand(start, &[tasks, layout.len()]);
            if exact {
                let before = of(g, w, xs, ys);
                outputs.push(("support_loss_before".into(), before));
            }
            let (finals, _) = g.scan(steps, &[w], &[xs, ys], &[], |g, args| {
                let w = args.carried[0];
                let support = of(g, w, args.constants[0], args.constants[1]);
                let total = g.sum_to(support, &[]);
                let gradient = g.grad(total, &[w])[0];
                let gradient = if exact { gradient } else { g.stop_gradient(gradient) };
                let step = g.scale(gradient, rate);
                (vec![g.sub(w, step)], vec![])
            });
            let query = of(g, finals[0], xq, yq);
            let mean = g.mean(query);
            let gradients = g.grad(mean, &inits);
            let what = if exact { "second" } else { "first" };
            outputs.extend(names.iter().zip(gradients).map(|(n, v)| (format!("grad_{what}_{n}"), v)));
            if exact {
                outputs.push(("query_loss".into(), query));
                outputs.push(("loss".into(), g.reshape(mean, &[1])));
                for (name, p) in names.iter().zip(&layout.params) {
                    let own = g.slice(finals[0], 1, p.offset, count(&p.shape));
                    outputs.push((format!("adapted_{name}"), own));
                }
            }
        }
        let outputs: Vec<(&str, Value)> = outputs.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        self.outputs(run, job, &outputs)
    }
}
