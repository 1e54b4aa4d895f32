//! A graph as an ONNX file (opset 17): nodes of that standard, weights as they are used, rows as an axis of any length.

mod conv;
mod equations;
mod formula;
mod proto;
mod writer;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use self::proto::Message;
use self::writer::{Axis, Pair, Writer, described, operands};
use crate::error::{Error, Result};
use crate::graph::op::Op;
use crate::graph::{Graph, Value};
use crate::plan::lower;
use crate::run::Device;

/// Numbers of rows that a graph is made for: primes that no layer has by chance.
pub(super) const ROWS: [usize; 2] = [499, 503];

/// The version of the operations that are used: what all readers of the last years know.
const OPSET: i64 = 17;
/// The version of the file's format that came with it.
const FORMAT: i64 = 8;
/// What a file can hold.
const MOST_BYTES: usize = i32::MAX as usize;

/// An ONNX file but for its graph: what it says of itself, and which inputs of the graph stand in it as constants.
///
/// ```
/// use hyperloom::export::OnnxFile;
/// use hyperloom::graph::Graph;
///
/// let bytes = OnnxFile::new("doubled").write(|rows| {
///     let mut g = Graph::new();
///     let x = g.data("x", &[rows, 2]);
///     let y = g.scale(x, 2.0);
///     g.output("y", y);
///     g
/// })?;
/// assert!(bytes.windows(7).any(|part| part == b"doubled"));
/// # Ok::<(), hyperloom::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct OnnxFile<'a> {
    /// Its name.
    pub name: &'a str,
    /// What is said of it.
    pub about: String,
    /// Further facts, by their names.
    pub facts: &'a [(&'a str, String)],
    /// Inputs of the graph that are constants of the file.
    pub numbers: BTreeMap<String, Vec<f32>>,
    /// Those that are whole numbers (u32): rows of tables.
    pub indices: BTreeMap<String, Vec<u32>>,
    /// Whether constants that are exactly whole numbers of eight bits times scales stand so in the file, with a `DequantizeLinear` each.
    pub eight_bits: bool,
}

impl OnnxFile<'_> {
    /// A file that says nothing of itself but its name.
    #[must_use]
    pub fn new(name: &str) -> OnnxFile<'_> {
        OnnxFile { name, ..OnnxFile::default() }
    }

    /// The bytes of a graph, which `of` makes for a number of rows: the first axis of one of its inputs. The file is for any number of rows; inputs and outputs have the graph's names.
    ///
    /// # Errors
    /// [`Error::Shape`] naming an operation that has no counterpart, or does something else for another number of rows.
    pub fn write(&self, of: impl Fn(usize) -> Graph) -> Result<Vec<u8>> {
        file(self, ROWS.map(of).each_ref())
    }
}

/// The file of a graph that was made for both numbers of rows. What is not given is an input of the file.
pub(super) fn file(given: &OnnxFile<'_>, graphs: [&Graph; 2]) -> Result<Vec<u8>> {
    let pair = Pair::new(graphs[0], graphs[1])?;
    let graph = graphs[0];
    let input_of = |v: usize| match graph.nodes()[v].op {
        Op::Input(k) => Some(graph.inputs()[k].name.as_str()),
        _ => None,
    };
    let (mut inputs, mut rows, mut grows) = (vec![], None, false);
    for v in 0..graph.nodes().len() {
        let Some(name) = input_of(v) else { continue };
        if given.numbers.contains_key(name) || given.indices.contains_key(name) {
            continue;
        }
        let v = Value(v as u32);
        let axes = pair.axes(v)?;
        grows |= axes.iter().any(|a| matches!(a, Axis::Rows(_)));
        if axes.first() == Some(&Axis::Rows(1)) {
            rows = Some(name);
        }
        inputs.push((name, v, axes));
    }
    if grows && rows.is_none() {
        return Err(Error::Shape(
            "no input has the number of rows as its first axis, which is that of a file's rows".into(),
        ));
    }
    let all = || inputs.iter().map(|i| i.0).chain(graph.outputs().iter().map(|o| o.0.as_str()));
    if let Some(name) = all().find(|name| name.contains('/') || all().filter(|n| n == name).count() > 1) {
        return Err(Error::Shape(format!(
            "'{name}' cannot be the name of an input or output: each has one of its own, without '/'"
        )));
    }
    let mut writer = Writer::new(rows.unwrap_or_default(), &given.indices, given.eight_bits);
    let mut names: HashMap<Value, String> = inputs.iter().map(|(name, v, _)| (*v, (*name).into())).collect();
    let outputs: Vec<Value> = graph.outputs().iter().map(|o| o.1).collect();
    let known = known(pair, given, &outputs)?;
    for (v, values) in known.iter().zip(evaluated(graph, given, &known)?) {
        let node = graph.node(*v);
        let start = match input_of(v.index()) {
            Some(name) => name.to_string(),
            None if node.label.is_empty() => "weights".into(),
            None => format!("{}/weights", node.label),
        };
        let name = writer.name(&start);
        names.insert(*v, writer.constant(&name, &node.shape, values));
    }
    let values = writer.values(pair, names, &outputs)?;
    for ((name, _), value) in graph.outputs().iter().zip(values) {
        writer.named(value, name);
    }
    let [nodes, constants] = writer.finish();
    let mut message = Message::default().messages(1, &nodes).text(2, given.name).messages(5, &constants);
    for (name, _, axes) in &inputs {
        message = message.message(11, &described(name, axes));
    }
    for (name, v) in graph.outputs() {
        message = message.message(12, &described(name, &pair.axes(*v)?));
    }
    let opset = Message::default().text(1, "").int(2, OPSET);
    let mut file = Message::default()
        .int(1, FORMAT)
        .text(2, "hyperloom")
        .text(3, env!("CARGO_PKG_VERSION"))
        .text(6, &given.about)
        .message(7, &message)
        .message(8, &opset);
    for (key, value) in given.facts {
        file = file.message(14, &Message::default().text(1, key).text(2, value));
    }
    if file.0.len() > MOST_BYTES {
        return Err(Error::Shape(format!(
            "an ONNX file holds {MOST_BYTES} bytes; {} are needed",
            file.0.len()
        )));
    }
    Ok(file.0)
}

/// The values that follow from what is given alone and are read beside what does not: they stand in the file as they are.
fn known(pair: Pair<'_>, given: &OnnxFile<'_>, outputs: &[Value]) -> Result<Vec<Value>> {
    let graph = pair.0;
    let n = graph.nodes().len();
    let (mut fixed, mut folded) = (vec![false; n], vec![false; n]);
    for (i, node) in graph.nodes().iter().enumerate() {
        let all = node.inputs.iter().all(|x| fixed[x.index()]);
        fixed[i] = match node.op {
            Op::Input(k) => {
                let name = &graph.inputs()[k].name;
                given.numbers.contains_key(name) || given.indices.contains_key(name)
            }
            Op::Scan(_) | Op::Result(_) | Op::Random { .. } => false,
            _ => all && pair.axes(Value(i as u32))?.iter().all(|a| matches!(a, Axis::Fixed(_))),
        };
        // Constants have nodes of their own; what is spread out takes room for nothing.
        folded[i] = match node.op {
            Op::Input(k) => fixed[i] && given.numbers.contains_key(&graph.inputs()[k].name),
            Op::Const(_) | Op::Constants(_) | Op::Expand => false,
            _ => fixed[i],
        };
    }
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open: BTreeSet<Value> = outputs.iter().copied().collect();
    while let Some(v) = open.pop_last() {
        if folded[v.index()] {
            found.insert(v);
        } else if seen.insert(v) {
            open.extend(operands(graph, v));
        }
    }
    Ok(found.into_iter().collect())
}

/// What these values are, by the CPU path.
fn evaluated(graph: &Graph, given: &OnnxFile<'_>, values: &[Value]) -> Result<Vec<Vec<f32>>> {
    if values.is_empty() {
        return Ok(vec![]);
    }
    let name = |v: &Value| format!("value {}", v.index());
    let graph = graph.for_outputs(values.iter().map(|v| (name(v), *v)).collect());
    let device = Device::Cpu;
    let mut session = device.prepare(lower(&graph, device.caps(1))?)?;
    for (name, numbers) in &given.numbers {
        session.write(name, numbers)?;
    }
    for (name, numbers) in &given.indices {
        session.write_u32(name, numbers)?;
    }
    session.run(1)?;
    values.iter().map(|v| session.read(&name(v))).collect()
}
