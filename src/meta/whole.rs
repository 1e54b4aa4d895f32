//! A model as graphs: from support rows to the networks that it makes of them, and from these to what they say. What goes out to other languages, and what an application keeps ready.

use super::model::Model;
use crate::adapt::{Member, MemberValues};
use crate::error::{Error, Result};
use crate::graph::op::Binary;
use crate::graph::{Graph, Role, Value};
use crate::hyper::Condition;
use crate::net::{Compression, Net, Weights};
use crate::spec::DType;
use crate::task::{Likelihood, Loss, Rows};

/// The input that says how many support rows count.
pub(crate) const COUNT: &str = "shots";

/// Support rows that a program of a model may have room for. Equations take room by the square of their number.
pub fn most_support_rows(model: &Model) -> usize {
    if model.adaptation.rule.is_closed_form() { 1_000 } else { 10_000 }
}

/// Refuses a network that says of a row what depends on others.
pub(crate) fn check_rows(net: &Net) -> Result<()> {
    if net.mixes_rows() || net.reads_support() {
        return Err(Error::Shape(
            "what the network says of a row depends on other rows (batch_norm): a network that `adapt` wrote, with batch_norm = \"support\", has settled that".into(),
        ));
    }
    Ok(())
}

/// A model that is to learn from support rows, as one graph.
pub(crate) struct Whole<'m> {
    model: &'m Model,
    /// Tasks side by side, which lead each value; `None`: one, without an axis of its own.
    tasks: Option<usize>,
    /// Support rows that there is room for.
    shots: usize,
    steps: usize,
    /// Whether networks are weighed.
    gated: bool,
}

/// How much of what is said is a network's.
#[derive(Clone, Copy)]
pub(crate) enum Share {
    Known(f64),
    /// `[T, 1]`
    Given(Value),
}

impl<'m> Whole<'m> {
    /// In so many steps (`None`: as many as were chosen, and networks weighed as was chosen).
    ///
    /// # Errors
    /// [`Error::Shape`] where what a network says of a row depends on other rows, there is no room for a row, or a member is not trained.
    pub(crate) fn of(
        model: &'m Model,
        tasks: Option<usize>,
        shots: usize,
        steps: Option<usize>,
    ) -> Result<Whole<'m>> {
        check_rows(&model.network_spec())?;
        let most = most_support_rows(model);
        if !(1..=most).contains(&shots) {
            return Err(Error::Shape(format!("room for {shots} support rows: 1 to {most} are possible")));
        }
        let gated = model.choice.gate.is_some() && steps.is_none();
        let whole = Whole { model, tasks, shots, steps: steps.unwrap_or(model.choice.steps), gated };
        let [params, pooled] = whole.parts();
        match model.members.iter().find(|m| m.hyper.len() < params || m.pooled.len() < pooled) {
            None => Ok(whole),
            Some(m) => Err(Error::Shape(format!(
                "a member has {} parameters and a pooled network of {} weights; {params} and {pooled} are needed",
                m.hyper.len(),
                m.pooled.len()
            ))),
        }
    }

    /// The axis of tasks, where there is one, before these.
    fn shape(&self, own: &[usize]) -> Vec<usize> {
        self.tasks.iter().chain(own).copied().collect()
    }

    /// Tasks.
    fn t(&self) -> usize {
        self.tasks.unwrap_or(1)
    }

    /// Numbers of the parameters and of the pooled network of a member, where this is read.
    fn parts(&self) -> [usize; 2] {
        let Model { spec, adaptation, .. } = self.model;
        let pooled = self.gated || self.model.way(self.steps).reads_pooled();
        [adaptation.layout(spec).len(), if pooled { spec.target.layout().len() } else { 0 }]
    }

    /// Of each member its parameters and its pooled network; then draws of the noise.
    pub(crate) fn weights(&self) -> Vec<f32> {
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
    pub(crate) fn unknown_task(&self) -> u32 {
        self.model.spec.condition.embedding.as_ref().map_or(0, |e| e.tasks - 1) as u32
    }

    /// The tasks' networks `[T, P]` with their shares.
    pub(crate) fn networks(&self, g: &mut Graph) -> Vec<(Value, Share)> {
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
            let flat = g.data("descriptor", &self.shape(&[d]));
            g.reshape(flat, &[self.t(), d])
        });
        let task =
            spec.condition.embedding.as_ref().map(|_| g.input("task", Role::Data, &[self.t()], DType::U32));
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
                let noise = spec.condition.noise.map(|_| {
                    let draw = part(g, start, &[1, noise]);
                    g.expand(draw, &[self.t(), noise])
                });
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

    /// The support rows of the tasks; those that do not count are 0 whatever they are. Beside them `[T, 1]` 0, or NaN where the number of rows that count is none: networks of it are no networks.
    fn support(&self, g: &mut Graph) -> (Rows, Value) {
        let (target, n, t) = (&self.model.spec.target, self.shots, self.t());
        let (i, o) = (target.inputs(), target.outputs());
        let x = g.data("support_x", &self.shape(&[&[n], target.input()].concat()));
        let y = g.data("support_y", &self.shape(&[n, o]));
        let count = g.data(COUNT, &[t]);
        let e = g.expr();
        let given = e.of(count).reshape(&[t, 1]);
        let count = given.clip(1.0, n as f64).floor();
        let log = given.zip(Binary::Equal, count).ln();
        // 0 - 0, or -∞ less itself.
        let sound = log.zip(Binary::Sub, log).value();
        let numbers: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let there = e.build(|g| g.constants(&[1, n], &numbers)).zip(Binary::Less, count);
        let rows = there / count;
        let each = there.reshape(&[t, n, 1]);
        let zero = e.constant(0.0);
        let counting = |v: Value, width: usize| {
            let v = e.of(v).reshape(&[t, n, width]);
            each.expand(&[t, n, width]).choose(v, zero.expand(&[t, n, width])).value()
        };
        let (x, y) = (counting(x, i), counting(y, o));
        (Rows { x, y, rows: rows.value(), count: count.value() }, sound)
    }

    /// Networks one after another, then their shares where these are not known.
    pub(crate) fn packed(&self, g: &mut Graph, networks: &[(Value, Share)]) -> Value {
        let shares = networks.iter().filter_map(|(_, share)| match share {
            Share::Given(share) => Some(*share),
            Share::Known(_) => None,
        });
        let parts: Vec<Value> = networks.iter().map(|n| n.0).chain(shares).collect();
        let all = g.concat(&parts, 1);
        let numbers = g.shape(all)[1];
        g.reshape(all, &self.shape(&[numbers]))
    }

    /// What so many networks, which [`Whole::packed`] put together, say of rows; whether their shares stand behind them.
    pub(crate) fn predict(&self, rows: usize, many: usize, weighed: bool) -> Graph {
        let net = self.network();
        let p = net.layout().len();
        let mut graph = Graph::new();
        let g = &mut graph;
        let numbers = many * (p + usize::from(weighed));
        let all = g.data("network", &self.shape(&[numbers]));
        let all = g.reshape(all, &[self.t(), numbers]);
        let each = 1.0 / many as f64;
        let network = |k: usize| {
            let flat = g.slice(all, 1, k * p, p);
            if !weighed {
                return (flat, Share::Known(each));
            }
            (flat, Share::Given(g.slice(all, 1, many * p + k, 1)))
        };
        let networks: Vec<(Value, Share)> = (0..many).map(network).collect();
        let y = said(g, &net, &self.model.likelihood, &networks, self.tasks, rows);
        g.output("y", y);
        graph
    }

    /// From the support to what is said of rows.
    pub(crate) fn whole(&self, rows: usize) -> Graph {
        let mut graph = Graph::new();
        let g = &mut graph;
        let networks = self.networks(g);
        let y = said(g, &self.network(), &self.model.likelihood, &networks, self.tasks, rows);
        g.output("y", y);
        let packed = self.packed(g, &networks);
        g.output("network", packed);
        graph
    }
}

/// What networks `[T, P]` say together of `x [rows, ..]`, which is declared: `[rows, outputs]`, with an axis of tasks in front where there is one.
pub(crate) fn said(
    g: &mut Graph,
    net: &Net,
    likelihood: &Likelihood,
    networks: &[(Value, Share)],
    tasks: Option<usize>,
    rows: usize,
) -> Value {
    let layout = net.layout();
    let (lead, t): (Vec<usize>, usize) = (tasks.into_iter().collect(), tasks.unwrap_or(1));
    let x = g.data("x", &[&lead[..], &[rows], net.input()].concat());
    let x = g.reshape(x, &[t, rows, net.inputs()]);
    let (kind, alone) = (likelihood.loss, networks.len() == 1);
    let mut each = vec![];
    for (flat, _) in networks {
        let y = net.apply(g, Weights { flat: *flat, layout: &layout }, x);
        let e = g.expr();
        each.push(match kind {
            Loss::CrossEntropy if alone => e.build(|g| g.log_softmax(y)).value(),
            Loss::CrossEntropy => e.build(|g| g.log_softmax(y)).exp().value(),
            Loss::Symbols if !alone => e.of(y).exp().value(),
            _ => y,
        });
    }
    let e = g.expr();
    let part = |(y, (_, share)): (&Value, &(Value, Share))| match share {
        Share::Known(share) => e.of(*y).scale(*share),
        Share::Given(share) => e.of(*y) * e.of(*share).reshape(&[t, 1, 1]),
    };
    let said = each.iter().zip(networks).map(part).reduce(|sum, part| sum + part);
    let said = said.map_or(x, |sum| sum.value());
    let said = match kind {
        Loss::CrossEntropy | Loss::Symbols if !alone => {
            let e = g.expr();
            e.of(said).larger(e.constant(LEAST)).ln().value()
        }
        _ => said,
    };
    g.reshape(said, &[&lead[..], &[rows, net.outputs()]].concat())
}

/// The least probability that has a logarithm.
const LEAST: f64 = 1e-30;
