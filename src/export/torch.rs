//! Networks as PyTorch modules: a Python file with the modules and how rows go through them, and a safetensors file with parameters under the names, in the shapes and in the order of
//! axes of PyTorch's `state_dict`. The same table reads such files back, those of other programs among them.
//!
//! Rows `x` are as the network reads them, channels last. Modules over pictures and series see them with channels first, as PyTorch has them; a dense layer behind a flattened
//! picture has its inputs in that order, so that the file is that of the usual `Conv2d, Flatten, Linear`.
//!
//! ```
//! use hyperloom::export::TorchNet;
//! use hyperloom::net::Net;
//!
//! let torch = TorchNet::of(&Net::image([8, 8, 1]).conv(4, 3).relu().max_pool(2).flatten().dense(5))?;
//! let names: Vec<&str> = torch.params.iter().map(|p| p.name.as_str()).collect();
//! assert_eq!(names, ["0.weight", "0.bias", "1.weight", "1.bias"]);
//! assert_eq!(torch.params[0].shape, [4, 1, 3, 3]);
//! # Ok::<(), hyperloom::Error>(())
//! ```

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::graph::conv::Window;
use crate::meta::model::Network;
use crate::net::{
    Attention, Cell, Conv, ConvTranspose, Layer, Net, Padding, ParamLayout, Places, Recurrent, Sizes,
    Statistics,
};
use crate::spec::{Activation, Shape, count};
use crate::task::{Likelihood, Loss};

/// Parameters by their names: shapes and numbers, row-major.
pub type StateDict = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// What a number of a parameter in PyTorch is here.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// The weight with this number in the flat vector, or a part of a sum that it is: the first part is written, further ones are 0.
    Weight(usize, bool),
    /// Always this number; what is read is not looked at.
    Constant(f32),
}

/// A parameter of a module.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TorchParam {
    /// Its name in the `state_dict`.
    pub name: String,
    /// Its shape there.
    pub shape: Vec<usize>,
    places: Vec<Place>,
}

/// A net as a PyTorch module.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TorchNet {
    /// Its parameters, in the order of the layers.
    pub params: Vec<TorchParam>,
    /// Lines that make the submodules.
    modules: Vec<String>,
    /// Lines of `forward`.
    forward: Vec<String>,
    weights: usize,
}

impl TorchNet {
    /// A net.
    ///
    /// # Errors
    /// [`Error::Shape`] naming a layer that has no counterpart there.
    pub fn of(net: &Net) -> Result<TorchNet> {
        net.check().map_err(Error::Shape)?;
        let mut writer = Writer {
            layout: &net.layout(),
            scales: net.input_scales(),
            products: 0,
            torch: TorchNet { params: vec![], modules: vec![], forward: vec![], weights: net.layout().len() },
            layers: 0,
            variables: 0,
            first: false,
            flattened: None,
        };
        let row = writer
            .list(net.layers(), net.input().to_vec())
            .map_err(|e| Error::Shape(format!("{e}: it has no counterpart in PyTorch")))?;
        writer.last(row.len());
        if row.len() > 1 {
            writer.line("x = x.flatten(1)".into());
        }
        Ok(writer.torch)
    }

    /// The weights `[P]` by their names in PyTorch.
    pub fn state_dict(&self, weights: &[f32]) -> StateDict {
        let number = |place: &Place| match *place {
            Place::Weight(i, true) => weights[i],
            Place::Weight(_, false) => 0.0,
            Place::Constant(value) => value,
        };
        let tensor =
            |p: &TorchParam| (p.name.clone(), (p.shape.clone(), p.places.iter().map(number).collect()));
        self.params.iter().map(tensor).collect()
    }

    /// The weights `[P]` from parameters by their names. Where names are those of other modules, each layer takes the first module, in the natural order of their names (`conv2` before
    /// `conv10`), that has parameters of its shapes.
    ///
    /// # Errors
    /// Which parameter is missing, too many, of another shape or not finite; also where modules of equal shapes have names that say nothing of their order.
    pub fn weights(&self, state: &StateDict) -> std::result::Result<Vec<f32>, String> {
        let is_read = |p: &&TorchParam| p.places.iter().any(|place| matches!(place, Place::Weight(..)));
        let read: Vec<&TorchParam> = self.params.iter().filter(is_read).collect();
        // What counts the batches that were seen says nothing of the network, nor do statistics that it does not use.
        let ignored = |name: &str| {
            ["num_batches_tracked", "running_mean", "running_var"].iter().any(|end| name.ends_with(end))
        };
        let theirs: Vec<&String> = state.keys().filter(|name| !ignored(name)).collect();
        let own_names = read.iter().all(|p| state.contains_key(&p.name)) && theirs.len() == read.len();
        let names: Vec<&String> = match own_names {
            true => read.iter().map(|p| &p.name).collect(),
            false => by_modules(&read, &theirs, state)?,
        };
        let mut weights = vec![0.0; self.weights];
        for (mine, name) in read.iter().zip(names) {
            let (shape, values) = &state[name];
            if *shape != mine.shape {
                return Err(format!("has '{name}' {shape:?} where the network needs {:?}", mine.shape));
            }
            if values.iter().any(|v| !v.is_finite()) {
                return Err(format!("has a number in '{name}' that is not finite"));
            }
            for (place, value) in mine.places.iter().zip(values) {
                if let Place::Weight(i, _) = place {
                    weights[*i] += value;
                }
            }
        }
        Ok(weights)
    }
}

/// The module and the last part of a parameter's name.
fn parted(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// Of other modules' parameters that which each of ours is read from.
fn by_modules<'s>(
    read: &[&TorchParam],
    theirs: &[&'s String],
    state: &StateDict,
) -> std::result::Result<Vec<&'s String>, String> {
    // Modules in natural order, each with its parameters.
    let mut sorted = theirs.to_vec();
    sorted.sort_by_key(|name| natural(name));
    let mut modules: Vec<(&str, Vec<&'s String>)> = vec![];
    for name in sorted {
        let module = parted(name).0;
        match modules.iter_mut().find(|m| m.0 == module) {
            Some((_, params)) => params.push(name),
            None => modules.push((module, vec![name])),
        }
    }
    let shown = |params: &[(&str, &[usize])]| {
        let each = params.iter().map(|(name, shape)| format!("'{name}' {shape:?}"));
        each.collect::<Vec<_>>().join(", ")
    };
    let have = |m: &(&str, Vec<&'s String>)| -> Vec<(&str, Vec<usize>)> {
        m.1.iter().map(|name| (parted(name.as_str()).1, state[*name].0.clone())).collect::<Vec<_>>()
    };
    let (mut found, mut used, mut at) = (vec![], vec![false; modules.len()], 0);
    while at < read.len() {
        let module = parted(&read[at].name).0;
        let mine: Vec<&&TorchParam> = read[at..].iter().take_while(|p| parted(&p.name).0 == module).collect();
        let needs: Vec<(&str, Vec<usize>)> =
            mine.iter().map(|p| (parted(&p.name).1, p.shape.clone())).collect();
        let mut fitting = (0..modules.len()).filter(|m| !used[*m] && have(&modules[*m]) == needs);
        let Some(first) = fitting.next() else {
            let free = (0..modules.len()).filter(|m| !used[*m]);
            let there: Vec<String> = free.map(|m| format!("'{}'", modules[m].0)).take(8).collect();
            let needs: Vec<(&str, &[usize])> = needs.iter().map(|(n, s)| (*n, &s[..])).collect();
            let near = (0..modules.len()).find(|m| !used[*m]);
            let near = near.map_or(String::new(), |m| {
                let have = have(&modules[m]);
                let have: Vec<(&str, &[usize])> = have.iter().map(|(n, s)| (*n, &s[..])).collect();
                format!(": '{}' has {}", modules[m].0, shown(&have))
            });
            return Err(format!(
                "has no module with {} for layer {module} of the network among {}{near}",
                shown(&needs),
                if there.is_empty() { "nothing".into() } else { there.join(", ") }
            ));
        };
        // Others of the same shapes come later, if their numbers say so.
        let words = |m: usize| numbered(modules[m].0).into_iter().map(|part| part.0).collect::<Vec<_>>();
        if let Some(other) = fitting.find(|m| words(*m) != words(first)) {
            return Err(format!(
                "has modules of equal shapes, '{}' and '{}', and their names do not say which comes first: number them",
                modules[first].0, modules[other].0
            ));
        }
        used[first] = true;
        found.extend(&modules[first].1);
        at += mine.len();
    }
    match used.iter().position(|used| !used) {
        Some(left) => {
            Err(format!("has the module '{}', which the network has no layer for", modules[left].0))
        }
        None => Ok(found),
    }
}

/// A name as it is sorted: numbers in it by their size; of a module weights before biases, of recurrent ones a layer after the other, forwards before backwards, what reads the input
/// before what reads the state.
fn natural(name: &str) -> (Vec<(String, u64)>, Vec<(String, u64)>) {
    let (module, param) = name.rsplit_once('.').unwrap_or(("", name));
    let (param, reverse) = match param.strip_suffix("_reverse") {
        Some(param) => (param, "1"),
        None => (param, "0"),
    };
    // `weight_ih_l0`: the layer's number first.
    let (kind, layer) = param.rsplit_once("_l").unwrap_or((param, "0"));
    let kind = kind.replace("weight", "0").replace("bias", "1").replace("_ih", "0").replace("_hh", "1");
    (numbered(module), numbered(&format!("{layer}.{reverse}.{kind}")))
}

/// Words of a text, each with the number behind it.
fn numbered(text: &str) -> Vec<(String, u64)> {
    let (mut parts, mut rest) = (vec![], text);
    while !rest.is_empty() {
        let (words, behind) = rest.split_at(rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len()));
        let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        let (number, behind) = behind.split_at(digits);
        parts.push((words.into(), number.parse().unwrap_or(0)));
        rest = behind;
    }
    parts
}

/// A network as a Python file, which loads the safetensors file beside it, and what that holds.
///
/// # Errors
/// [`Error::Shape`] naming a layer that has no counterpart there, or where what the network says of a row depends on others.
pub fn torch_of(about: &[String], network: &Network) -> Result<(String, StateDict)> {
    crate::meta::whole::check_rows(&network.spec)?;
    let torch = TorchNet::of(&network.spec)?;
    let many = network.members.len() > 1;
    let mut state = StateDict::new();
    for (k, weights) in network.members.iter().enumerate() {
        let prefix = if many { format!("members.{k}.") } else { String::new() };
        state.extend(
            torch.state_dict(weights).into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor)),
        );
    }
    let indented =
        |lines: &[String]| lines.iter().map(|line| format!("        {line}\n")).collect::<String>();
    let said = said(&network.likelihood, &network.shares);
    let (own, class) = if many {
        (
            "Member",
            format!(
                "\n\nclass Network(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.members = nn.ModuleList(Member() for _ in range({}))\n\n    def forward(self, x):\n        each = [member(x) for member in self.members]\n{}",
                network.members.len(),
                indented(&said)
            ),
        )
    } else {
        ("Network", String::new())
    };
    let returned = if many { vec!["return x".to_string()] } else { said };
    let text = format!(
        "\"\"\"{}\n\n`load()` gives the network, with its parameters from the safetensors file beside this one. Rows x: [rows, {}], channels last.\n\"\"\"\n\nimport pathlib\n\nimport torch\nfrom torch import nn\nfrom torch.nn import functional\n\n\nclass {own}(nn.Module):\n    def __init__(self):\n        super().__init__()\n{}\n    def forward(self, x):\n        m = self._modules\n{}{}{class}\n\ndef load(path=None):\n    from safetensors.torch import load_file\n\n    network = Network()\n    network.load_state_dict(load_file(path or pathlib.Path(__file__).with_suffix(\".safetensors\")))\n    return network.eval()\n",
        about.join("\n"),
        network.spec.input().iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
        indented(&torch.modules),
        indented(&torch.forward),
        indented(&returned),
    );
    Ok((text, state))
}

/// What is said of what each member gives: `x` of one, `each` of several.
fn said(likelihood: &Likelihood, shares: &[f64]) -> Vec<String> {
    if shares.len() < 2 {
        return vec![match likelihood.loss {
            Loss::CrossEntropy => "return functional.log_softmax(x, -1)".into(),
            _ => "return x".into(),
        }];
    }
    let shares: Vec<String> = shares.iter().map(f64::to_string).collect();
    let each = match likelihood.loss {
        Loss::CrossEntropy => "functional.softmax(y, -1)",
        Loss::Symbols => "y.exp()",
        _ => "y",
    };
    let sum = format!("x = sum(share * {each} for share, y in zip([{}], each))", shares.join(", "));
    let logs = matches!(likelihood.loss, Loss::CrossEntropy | Loss::Symbols);
    vec![sum, if logs { "return x.clamp(min=1e-30).log()".into() } else { "return x".into() }]
}

struct Writer<'l> {
    layout: &'l ParamLayout,
    /// Scales of what products read.
    scales: &'l [f64],
    products: usize,
    torch: TorchNet,
    /// Layers with parameters so far.
    layers: usize,
    /// Values that were set aside so far.
    variables: usize,
    /// Whether channels lie in front.
    first: bool,
    /// The row that was flattened with its channels in front, until a dense layer reads it.
    flattened: Option<Shape>,
}

type Found = std::result::Result<Shape, String>;

impl Writer<'_> {
    fn line(&mut self, line: String) {
        self.torch.forward.push(line);
    }

    /// Has channels lie last in rows of so many axes.
    fn last(&mut self, axes: usize) {
        if std::mem::take(&mut self.first) && axes > 1 {
            self.line("x = x.movedim(1, -1)".into());
        }
    }

    /// Has them lie in front.
    fn front(&mut self, axes: usize) {
        if !std::mem::replace(&mut self.first, axes > 1) && axes > 1 {
            self.line("x = x.movedim(-1, 1)".into());
        }
    }

    /// Where a parameter of the present layer begins in the flat vector, and its shape.
    fn at(&self, what: &str) -> (usize, Shape) {
        let name = format!("{}.{what}", self.layers);
        let p = self.layout.get(&name).unwrap_or_else(|| panic!("the layout has '{name}'"));
        (p.offset, p.shape.clone())
    }

    /// Puts a parameter of module `name` whose numbers are `place(index)`, an index for each axis.
    fn param(&mut self, name: String, shape: &[usize], place: impl Fn(&[usize]) -> Place) {
        let mut index = vec![0; shape.len()];
        let mut places = Vec::with_capacity(count(shape));
        for _ in 0..count(shape) {
            places.push(place(&index));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        self.torch.params.push(TorchParam { name, shape: shape.to_vec(), places });
    }

    /// A vector of the present layer under another name.
    fn vector(&mut self, name: String, what: &str) {
        let (offset, shape) = self.at(what);
        self.param(name, &shape, |i| Place::Weight(offset + i[0], true));
    }

    /// A matrix `[in, out]` as `[out, in]`, with inputs in the order of `input`.
    fn matrix(&mut self, name: String, what: &str, input: impl Fn(usize) -> usize) {
        let (offset, shape) = self.at(what);
        let (i, o) = (shape[0], shape[1]);
        self.param(name, &[o, i], |at| Place::Weight(offset + input(at[1]) * o + at[0], true));
    }

    /// Makes the module of the present layer, and sends x through it.
    fn module(&mut self, made: String) {
        let name = self.layers;
        self.torch.modules.push(format!("self.add_module(\"{name}\", {made})"));
        self.line(format!("x = m[\"{name}\"](x)"));
    }

    /// What the next dense layer or convolution reads.
    fn product_reads(&mut self) {
        if let Some(scale) = self.scales.get(self.products) {
            self.torch
                .forward
                .push(format!("x = torch.fake_quantize_per_tensor_affine(x, {scale:e}, 0, -128, 127)"));
        }
        self.products += 1;
    }

    fn list(&mut self, layers: &[Layer], mut row: Shape) -> Found {
        for (i, layer) in layers.iter().enumerate() {
            row = self
                .layer(layer, &layers[i + 1..], row)
                .map_err(|e| format!("layer {} ('{}') {e}", i + 1, layer.name()))?;
        }
        Ok(row)
    }

    fn layer(&mut self, layer: &Layer, behind: &[Layer], row: Shape) -> Found {
        let axes = row.len();
        let one = |layer: &Layer| Net::rows(row.clone()).with(layer.clone()).row_behind();
        let out = one(layer).ok_or("does not fit")?;
        let channels = row[axes - 1];
        match layer {
            Layer::Dense(dense) => {
                self.last(axes);
                self.product_reads();
                let (layer, order) = (self.layers, self.flattened.take());
                let input = |at: usize| match &order {
                    // Of channels in front the number with them last.
                    Some(row) => {
                        let (c, places) = (row[row.len() - 1], count(&row[..row.len() - 1]));
                        at % places * c + at / places
                    }
                    None => at,
                };
                self.matrix(format!("{layer}.weight"), "weight", input);
                self.vector(format!("{layer}.bias"), "bias");
                self.module(format!("nn.Linear({channels}, {})", dense.outputs));
                self.layers += 1;
            }
            Layer::Activation(pointwise) => {
                let f = match pointwise.function {
                    Activation::Identity => return Ok(out),
                    Activation::Relu => "torch.relu(x)",
                    Activation::LeakyRelu => "functional.leaky_relu(x, 0.01)",
                    Activation::Tanh => "torch.tanh(x)",
                    Activation::Sigmoid => "torch.sigmoid(x)",
                    Activation::Silu => "functional.silu(x)",
                    Activation::Gelu => "functional.gelu(x, approximate=\"tanh\")",
                    Activation::Softplus => "functional.softplus(x)",
                    Activation::Sin => "torch.sin(x)",
                };
                self.line(format!("x = {f}"));
            }
            Layer::Scale(scale) => self.line(format!("x = x * {:e}", scale.factor)),
            Layer::Flatten(_) => {
                // Only where a dense layer reads it may channels lie in front.
                let passed = behind.iter().find(|l| !matches!(l, Layer::Activation(_) | Layer::Scale(_)));
                match (self.first, passed) {
                    (true, Some(Layer::Dense(_))) => self.flattened = Some(row.clone()),
                    _ => self.last(axes),
                }
                self.first = false;
                self.line("x = x.flatten(1)".into());
            }
            Layer::Reshape(reshape) => {
                self.last(axes);
                let shape: Vec<String> = reshape.shape.iter().map(usize::to_string).collect();
                self.line(format!("x = x.reshape(-1, {})", shape.join(", ")));
            }
            Layer::Conv(conv) => self.conv(conv, &row)?,
            Layer::ConvTranspose(conv) => self.conv_transpose(conv, &row)?,
            Layer::MaxPool(pool) => self.pool("max", pool.size, pool.stride, Padding::Valid, &row)?,
            Layer::AvgPool(pool) => self.pool("avg", pool.size, pool.stride, pool.padding, &row)?,
            Layer::GlobalPool(_) => {
                self.front(axes);
                let axes = if axes == 3 { "(2, 3)" } else { "2" };
                self.line(format!("x = x.mean({axes})"));
                self.first = false;
            }
            Layer::LayerNorm(_) => {
                self.last(axes);
                self.gain_and_shift();
                self.module(format!("nn.LayerNorm({channels})"));
                self.layers += 1;
            }
            Layer::GroupNorm(norm) => {
                self.front(axes);
                self.gain_and_shift();
                self.module(format!("nn.GroupNorm({}, {channels})", norm.groups));
                self.layers += 1;
            }
            Layer::BatchNorm(norm) => {
                self.front(axes);
                let layer = self.layers;
                self.gain_and_shift();
                if norm.statistics == Statistics::Settled {
                    // What is settled stands in gain and shift: nothing is taken off, and divided by 1.
                    self.param(format!("{layer}.running_mean"), &[channels], |_| Place::Constant(0.0));
                    self.param(format!("{layer}.running_var"), &[channels], |_| Place::Constant(1.0 - 1e-5));
                }
                let kind = ["1d", "1d", "2d"][axes - 1];
                self.module(format!("nn.BatchNorm{kind}({channels})"));
                self.layers += 1;
            }
            Layer::OneHot(hot) => {
                self.line(format!("x = functional.one_hot(x.long(), {}).float()", hot.symbols))
            }
            Layer::Embed(embed) if !embed.tied => {
                let table = self.table();
                self.line(format!("x = {table}(x.long())"));
            }
            Layer::Position(position) if position.places == Places::Learned => {
                self.last(axes);
                let table = self.table();
                self.line(format!("x = x + {table}.weight"));
            }
            Layer::LogSoftmax(_) => {
                self.last(axes);
                self.line("x = functional.log_softmax(x, -1)".into());
            }
            Layer::Recurrent(recurrent) if !recurrent.norm => self.recurrent(recurrent, &row),
            Layer::Attention(attention) if attention.width == 0 && !attention.rotary => {
                self.attention(attention, &row)
            }
            Layer::Residual(residual) => {
                self.last(axes);
                let [before, branch] = self.two_variables();
                self.line(format!("{before} = x"));
                self.list(&residual.layers, row.clone())?;
                self.last(out.len());
                self.line(format!("{branch} = x"));
                self.line(format!("x = {before}"));
                self.list(&residual.shortcut, row.clone())?;
                self.last(out.len());
                self.line(format!("x = x + {branch}"));
            }
            Layer::Parallel(parallel) => {
                self.last(axes);
                let [before, _] = self.two_variables();
                self.line(format!("{before} = x"));
                let mut all = vec![];
                for branch in &parallel.branches {
                    self.line(format!("x = {before}"));
                    let row = self.list(branch, row.clone())?;
                    self.last(row.len());
                    let [given, _] = self.two_variables();
                    self.line(format!("{given} = x"));
                    all.push(given);
                }
                self.line(format!("x = torch.cat([{}], -1)", all.join(", ")));
            }
            _ => return Err("is not written out".into()),
        }
        Ok(out)
    }

    /// Makes a table of vectors of the present layer's weight; the module.
    fn table(&mut self) -> String {
        let (layer, (offset, shape)) = (self.layers, self.at("weight"));
        let width = shape[1];
        let place = |i: &[usize]| Place::Weight(offset + i[0] * width + i[1], true);
        self.param(format!("{layer}.weight"), &shape, place);
        let made = format!("self.add_module(\"{layer}\", nn.Embedding({}, {width}))", shape[0]);
        self.torch.modules.push(made);
        self.layers += 1;
        format!("m[\"{layer}\"]")
    }

    fn two_variables(&mut self) -> [String; 2] {
        self.variables += 2;
        [format!("y{}", self.variables - 1), format!("y{}", self.variables)]
    }

    fn gain_and_shift(&mut self) {
        let layer = self.layers;
        self.vector(format!("{layer}.weight"), "gain");
        self.vector(format!("{layer}.bias"), "shift");
    }

    /// Kernels `[.., in, out]` with the axes in another order, and the bias.
    fn kernels(&mut self, bias: bool, turned: [usize; 2]) {
        let (layer, (offset, shape)) = (self.layers, self.at("weight"));
        let taps = shape.len() - 2;
        let theirs: Vec<usize> = turned.iter().map(|axis| taps + axis).chain(0..taps).collect();
        let their_shape: Vec<usize> = theirs.iter().map(|axis| shape[*axis]).collect();
        let place = |at: &[usize]| {
            let mut mine = vec![0; shape.len()];
            theirs.iter().zip(at).for_each(|(axis, i)| mine[*axis] = *i);
            Place::Weight(offset + mine.iter().zip(&shape).fold(0, |n, (i, len)| n * len + i), true)
        };
        self.param(format!("{layer}.weight"), &their_shape, place);
        if bias {
            self.vector(format!("{layer}.bias"), "bias");
        }
    }

    fn conv(&mut self, conv: &Conv, row: &[usize]) -> std::result::Result<(), String> {
        self.front(row.len());
        self.product_reads();
        let (geometry, windows, channels) = conv.geometry(row)?;
        let extents = &[&[1][..], row].concat()[row.len() - 2..row.len()];
        let spatial = 3 - row.len();
        let pads: Vec<[usize; 2]> =
            (spatial..2).map(|i| pads(&geometry.windows[i], windows[i], extents[i])).collect();
        self.padded(&pads);
        self.kernels(conv.bias, [1, 0]);
        let each = |of: fn(&Window) -> usize| tuple(geometry.windows[spatial..].iter().map(of));
        let kind = if row.len() == 2 { "1d" } else { "2d" };
        self.module(format!(
            "nn.Conv{kind}({channels}, {}, {}, stride={}, dilation={}, groups={}, bias={})",
            conv.channels,
            each(|w| w.size),
            each(|w| w.stride),
            each(|w| w.dilation),
            conv.groups,
            if conv.bias { "True" } else { "False" }
        ));
        self.layers += 1;
        Ok(())
    }

    fn conv_transpose(&mut self, conv: &ConvTranspose, row: &[usize]) -> std::result::Result<(), String> {
        self.front(row.len());
        let (geometry, extent, channels) = conv.geometry(row)?;
        self.kernels(conv.bias, [0, 1]);
        let spatial = 3 - row.len();
        let windows = &geometry.windows[spatial..];
        let kind = if row.len() == 2 { "1d" } else { "2d" };
        // What the kernels reach beyond the result is cut off, and before that what they do not reach is added: a bias alone.
        let [sizes, strides] =
            [|w: &Window| w.size, |w: &Window| w.stride].map(|of| tuple(windows.iter().map(of)));
        self.module(format!(
            "nn.ConvTranspose{kind}({channels}, {}, {sizes}, stride={strides}, output_padding=0, bias={})",
            conv.channels,
            if conv.bias { "True" } else { "False" }
        ));
        let extents = &[&[1][..], row].concat()[row.len() - 2..row.len()];
        let mut cut = vec![];
        for (i, window) in windows.iter().enumerate() {
            let reached = (extents[spatial + i] - 1) * window.stride + window.size;
            let (from, to) = (window.before, window.before + extent[spatial + i]);
            if to > reached {
                return Err("has a result that its kernels do not reach".into());
            }
            cut.push(format!("{from}:{to}"));
        }
        self.line(format!("x = x[:, :, {}]", cut.join(", ")));
        self.layers += 1;
        Ok(())
    }

    fn pool(
        &mut self,
        kind: &str,
        size: Sizes,
        stride: Option<Sizes>,
        padding: Padding,
        row: &[usize],
    ) -> std::result::Result<(), String> {
        self.front(row.len());
        let (size, stride) = (size.over(row)?, stride.unwrap_or(size).over(row)?);
        let extents = &[&[1][..], row].concat()[row.len() - 2..row.len()];
        let spatial = 3 - row.len();
        let mut around = vec![];
        for i in spatial..2 {
            let window = Window { size: size[i], stride: stride[i], dilation: 1, before: 0 };
            let (window, windows) = padding.lay(window, extents[i])?;
            around.push(pads(&window, windows, extents[i]));
        }
        self.padded(&around);
        let [size, stride] = [size, stride].map(|of| tuple(of[spatial..].iter().copied()));
        let dims = if row.len() == 2 { "1d" } else { "2d" };
        self.line(format!("x = functional.{kind}_pool{dims}(x, {size}, {stride})"));
        Ok(())
    }

    /// Zeros around x, before and behind each axis.
    fn padded(&mut self, pads: &[[usize; 2]]) {
        if pads.iter().flatten().any(|n| *n > 0) {
            // From the last axis on.
            let all: Vec<String> = pads.iter().rev().flatten().map(usize::to_string).collect();
            self.line(format!("x = functional.pad(x, ({}))", all.join(", ")));
        }
    }

    fn recurrent(&mut self, recurrent: &Recurrent, row: &[usize]) {
        self.last(row.len());
        let (module, units) = (self.layers, recurrent.units);
        let name = match recurrent.cell {
            Cell::Rnn => "RNN",
            Cell::Gru => "GRU",
            Cell::Lstm => "LSTM",
        };
        let both = recurrent.bidirectional;
        self.torch.modules.push(format!(
            "self.add_module(\"{module}\", nn.{name}({}, {units}, batch_first=True, bidirectional={}))",
            row[1],
            if both { "True" } else { "False" }
        ));
        for suffix in ["", "_reverse"].iter().take(1 + usize::from(both)) {
            self.matrix(format!("{module}.weight_ih_l0{suffix}"), "weight", |i| i);
            self.matrix(format!("{module}.weight_hh_l0{suffix}"), "recurrent", |i| i);
            self.vector(format!("{module}.bias_ih_l0{suffix}"), "bias");
            // Two biases that are added up are one here, but for that of a GRU's new state.
            match recurrent.cell {
                Cell::Gru => self.vector(format!("{module}.bias_hh_l0{suffix}"), "recurrent_bias"),
                _ => {
                    let (offset, shape) = self.at("bias");
                    self.param(format!("{module}.bias_hh_l0{suffix}"), &shape, |i| {
                        Place::Weight(offset + i[0], false)
                    });
                }
            }
            self.layers += 1;
        }
        match (recurrent.last, recurrent.cell) {
            (false, _) => self.line(format!("x = m[\"{module}\"](x)[0]")),
            (true, Cell::Lstm) => self.line(format!("x = m[\"{module}\"](x)[1][0].movedim(0, 1).flatten(1)")),
            (true, _) => self.line(format!("x = m[\"{module}\"](x)[1].movedim(0, 1).flatten(1)")),
        }
    }

    fn attention(&mut self, attention: &Attention, row: &[usize]) {
        self.last(row.len());
        let (layer, (length, width)) = (self.layers, (row[0], row[1]));
        let parts = ["query", "key", "value"];
        let starts = parts.map(|part| (self.at(part).0, self.at(&format!("{part}_bias")).0));
        self.param(format!("{layer}.in_proj_weight"), &[3 * width, width], |at| {
            Place::Weight(starts[at[0] / width].0 + at[1] * width + at[0] % width, true)
        });
        self.param(format!("{layer}.in_proj_bias"), &[3 * width], |at| {
            Place::Weight(starts[at[0] / width].1 + at[0] % width, true)
        });
        self.matrix(format!("{layer}.out_proj.weight"), "weight", |i| i);
        self.vector(format!("{layer}.out_proj.bias"), "bias");
        self.torch.modules.push(format!(
            "self.add_module(\"{layer}\", nn.MultiheadAttention({width}, {}, batch_first=True))",
            attention.heads
        ));
        let mask = match attention.causal {
            true => format!(
                ", attn_mask=torch.ones({length}, {length}, dtype=torch.bool, device=x.device).triu(1)"
            ),
            false => String::new(),
        };
        self.line(format!("x = m[\"{layer}\"](x, x, x, need_weights=False{mask})[0]"));
        self.layers += 1;
    }
}

/// Zeros before and behind an axis of `len` elements over which so many windows lie.
fn pads(window: &Window, windows: usize, len: usize) -> [usize; 2] {
    let reached = (windows - 1) * window.stride + window.span();
    [window.before, reached.saturating_sub(window.before + len)]
}

/// `(3, 5)`, or one number of one axis.
fn tuple(numbers: impl Iterator<Item = usize>) -> String {
    let all: Vec<String> = numbers.map(|n| n.to_string()).collect();
    if all.len() == 1 { all[0].clone() } else { format!("({})", all.join(", ")) }
}
