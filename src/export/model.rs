//! A whole model: what it does to a few examples of a task, the networks that it makes of them, and what these say.

use super::emit::COUNT;
use super::{Function, Learner, Program, Share, check_name, check_rows, onnx, said};
use crate::adapt::{Member, MemberValues};
use crate::error::{Error, Result};
use crate::graph::op::Binary;
use crate::graph::{Graph, Role, Value};
use crate::hyper::Condition;
use crate::meta::model::Model;
use crate::net::{Compression, Net};
use crate::spec::DType;
use crate::task::Rows;

/// What a model makes of at most `shots` support rows of a task, as [`Model::adapt`] does in so many steps (`None`: as many as were chosen, and networks weighed as was chosen), and
/// what the network that comes of it says of a row.
///
/// # Errors
/// [`Error::Shape`] where what the network says of a row depends on other rows, a support has no rows, or the name is none in C.
pub fn program_of_model(name: &str, model: &Model, shots: usize, steps: Option<usize>) -> Result<Program> {
    check_name(name).map_err(Error::Shape)?;
    let net = model.network_spec();
    check_rows(&net)?;
    let most = most_support_rows(model);
    if !(1..=most).contains(&shots) {
        return Err(Error::Shape(format!("room for {shots} support rows: 1 to {most} are possible")));
    }
    let learning = Learning::of(model, shots, steps);
    let [params, pooled] = learning.parts();
    if let Some(m) = model.members.iter().find(|m| m.hyper.len() < params || m.pooled.len() < pooled) {
        return Err(Error::Shape(format!(
            "a member has {} parameters and a pooled network of {} weights; {params} and {pooled} are needed",
            m.hyper.len(),
            m.pooled.len()
        )));
    }
    let mut graph = Graph::new();
    let networks = learning.networks(&mut graph);
    let packed = learning.packed(&mut graph, &networks);
    graph.output("network", packed);
    let len = graph.shape(packed)[0];
    let known = match model.spec.condition.descriptor {
        0 => "",
        _ => ", and of what its descriptor says",
    };
    let about = format!(
        "network: what the model makes of the first `shots` (1 to {shots}) of {shots} rows support_x and support_y of a task{known}; rows behind them do not count. NaN where `shots` is another number."
    );
    let mut adapt = Function::new("adapt", &about, graph);
    if model.spec.condition.embedding.is_some() {
        adapt.indices.insert("task".into(), vec![learning.unknown_task()]);
    }
    let weighed = networks.iter().any(|(_, share)| matches!(share, Share::Given(_)));
    let predict = |rows| learning.predict(rows, networks.len(), weighed);
    Ok(Program {
        name: name.into(),
        inputs: net.inputs(),
        outputs: net.outputs(),
        weights: learning.weights(),
        eight_bits: model.stored.is_of_eight_bits(),
        about: vec![],
        predict: Function::new("predict", "y: what a network of adapt says of a row x.", predict(1)),
        of_rows: onnx::ROWS.map(|rows| learning.whole(rows)),
        learner: Some(Learner {
            shots,
            descriptor: model.spec.condition.descriptor,
            network: len,
            adapt,
            predict_rows: onnx::ROWS.map(predict),
        }),
    })
}

/// Support rows that a program of a model may have room for. Equations take room by the square of their number.
pub fn most_support_rows(model: &Model) -> usize {
    if model.adaptation.rule.is_closed_form() { 1_000 } else { 10_000 }
}

/// A model that is to learn.
struct Learning<'m> {
    model: &'m Model,
    shots: usize,
    steps: usize,
    /// Whether networks are weighed.
    gated: bool,
}

impl<'m> Learning<'m> {
    fn of(model: &'m Model, shots: usize, steps: Option<usize>) -> Learning<'m> {
        let gated = model.choice.gate.is_some() && steps.is_none();
        Learning { model, shots, steps: steps.unwrap_or(model.choice.steps), gated }
    }

    /// Numbers of the parameters and of the pooled network of a member, where this is read.
    fn parts(&self) -> [usize; 2] {
        let Model { spec, adaptation, .. } = self.model;
        let pooled = self.gated || self.model.way(self.steps).reads_pooled();
        [adaptation.layout(spec).len(), if pooled { spec.target.layout().len() } else { 0 }]
    }

    /// Of each member its parameters and its pooled network; then draws of the noise.
    fn weights(&self) -> Vec<f32> {
        let [params, pooled] = self.parts();
        let Model { spec, members, .. } = self.model;
        let of = |m: &Member| [&m.hyper[..params], &m.pooled[..pooled]].concat();
        let noise = spec.condition.noise.map_or(vec![], |noise| noise.table());
        members.iter().flat_map(of).chain(noise).collect()
    }

    /// A network of a task, whose weights are those that it uses.
    fn network(&self) -> Net {
        self.model.network_spec().compressed(Compression::default())
    }

    /// The number that stands for a task that was not trained on.
    fn unknown_task(&self) -> u32 {
        self.model.spec.condition.embedding.as_ref().map_or(0, |e| e.tasks - 1) as u32
    }

    /// The task's networks `[1, P]` with their shares.
    fn networks(&self, g: &mut Graph) -> Vec<(Value, Share)> {
        let Model { spec, likelihood, members, choice, .. } = self.model;
        let [params, pooled] = self.parts();
        let draws = spec.condition.draws();
        let noise = spec.condition.noise.map_or(0, |noise| noise.width);
        let noise_start = members.len() * (params + pooled);
        let all = g.data("weights", &[noise_start + draws * noise]);
        let part = |g: &mut Graph, start: usize, shape: &[usize]| {
            let flat = g.slice(all, 0, start, shape.iter().product());
            g.reshape(flat, shape)
        };
        let (support, sound) = self.support(g);
        let d = spec.condition.descriptor;
        let descriptor = (d > 0).then(|| {
            let flat = g.data("descriptor", &[d]);
            g.reshape(flat, &[1, d])
        });
        let task = spec.condition.embedding.as_ref().map(|_| g.input("task", Role::Data, &[1], DType::U32));
        let known = spec.condition.support.as_ref().map(|_| support);
        let way = self.model.way(self.steps);
        let gate = choice.gate.as_ref().filter(|_| self.gated).map(|gate| (gate, likelihood));
        let mut found = vec![];
        for (i, member) in members.iter().enumerate() {
            let start = i * (params + pooled);
            let pooled = (pooled > 0).then(|| part(g, start + params, &[1, pooled]));
            let values = MemberValues { params: part(g, start, &[params]), pooled, scale: way.scale(member) };
            // Networks of further draws have the shares of those of the first; the pooled one is there once.
            let mut shares = vec![];
            for draw in 0..draws {
                let start = noise_start + draw * noise;
                let noise = spec.condition.noise.map(|_| part(g, start, &[1, noise]));
                let condition = Condition { support: known, task, descriptor, noise };
                let networks = way.networks(g, values, &condition, &support, gate);
                let skipped = if draw > 0 && networks.len() > 1 { 1 } else { 0 };
                for (k, (network, share)) in networks.into_iter().enumerate().skip(skipped) {
                    let network = g.add(network, sound);
                    let alike = if k == 0 && share.is_some() { 1 } else { draws };
                    let each = 1.0 / (members.len() * alike) as f64;
                    let share = match share {
                        None => Share::Known(each),
                        Some(share) if draw == 0 => {
                            shares.push(share);
                            Share::Given(g.scale(share, each))
                        }
                        Some(_) => Share::Given(g.scale(shares[k], each)),
                    };
                    found.push((network, share));
                }
            }
        }
        found
    }

    /// The support rows of the task; those that do not count are 0 whatever they are. Beside them `[1, 1]` 0, or NaN where the number of rows that count is none: networks of it are no networks.
    fn support(&self, g: &mut Graph) -> (Rows, Value) {
        let (target, n) = (&self.model.spec.target, self.shots);
        let (i, o) = (target.inputs(), target.outputs());
        let x = g.data("support_x", &[&[n], target.input()].concat());
        let y = g.data("support_y", &[n, o]);
        let count = g.data(COUNT, &[1]);
        let e = g.expr();
        let given = e.of(count).reshape(&[1, 1]);
        let count = given.clip(1.0, n as f64).floor();
        let log = given.zip(Binary::Equal, count).ln();
        // 0 - 0, or -∞ less itself.
        let sound = log.zip(Binary::Sub, log).value();
        let numbers: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let there = e.build(|g| g.constants(&[1, n], &numbers)).zip(Binary::Less, count);
        let rows = there / count;
        let each = there.reshape(&[1, n, 1]);
        let zero = e.constant(0.0);
        let counting = |v: Value, width: usize| {
            let v = e.of(v).reshape(&[1, n, width]);
            each.expand(&[1, n, width]).choose(v, zero.expand(&[1, n, width])).value()
        };
        let (x, y) = (counting(x, i), counting(y, o));
        (Rows { x, y, rows: rows.value(), count: count.value() }, sound)
    }

    /// Networks one after another, then their shares where these are not known.
    fn packed(&self, g: &mut Graph, networks: &[(Value, Share)]) -> Value {
        let mut parts = vec![];
        let flat = |g: &mut Graph, v: Value| {
            let n = g.shape(v).iter().product();
            g.reshape(v, &[n])
        };
        for (network, _) in networks {
            parts.push(flat(g, *network));
        }
        for (_, share) in networks {
            if let Share::Given(share) = share {
                parts.push(flat(g, *share));
            }
        }
        g.concat(&parts, 0)
    }

    /// What so many networks, which [`Learning::packed`] put together, say of rows; whether their shares stand behind them.
    fn predict(&self, rows: usize, many: usize, weighed: bool) -> Graph {
        let net = self.network();
        let p = net.layout().len();
        let mut graph = Graph::new();
        let g = &mut graph;
        let all = g.data("network", &[many * (p + usize::from(weighed))]);
        let each = 1.0 / many as f64;
        let network = |k: usize| {
            let flat = g.slice(all, 0, k * p, p);
            let flat = g.reshape(flat, &[1, p]);
            if !weighed {
                return (flat, Share::Known(each));
            }
            let share = g.slice(all, 0, many * p + k, 1);
            (flat, Share::Given(g.reshape(share, &[1, 1])))
        };
        let networks: Vec<(Value, Share)> = (0..many).map(network).collect();
        let y = said(g, &net, &self.model.likelihood, &networks, rows);
        g.output("y", y);
        graph
    }

    /// From the support to what is said of rows.
    fn whole(&self, rows: usize) -> Graph {
        let mut graph = Graph::new();
        let g = &mut graph;
        let networks = self.networks(g);
        let y = said(g, &self.network(), &self.model.likelihood, &networks, rows);
        g.output("y", y);
        let packed = self.packed(g, &networks);
        g.output("network", packed);
        graph
    }
}
