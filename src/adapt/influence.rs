//! How what adapted networks say moves with the weights of support rows: the gradient through the hypernetwork, all steps of adaptation and the
//! prediction.

use super::adapter::{BatchSizes, PaddedBatch, as_many_as_fit, condition, data, support, write_noise};
use super::{Member, Way};
use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::plan::lower;
use crate::run::Device;
use crate::task::{Loss, Task, loss};

/// What gradients are taken of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    /// What is said of the query rows (values, logits of pixels, probabilities of classes and of symbols) times the targets of the task, which say how much each counts.
    Said,
    /// The loss of the query rows.
    Loss,
}

/// A gradient by the weights of the support rows of a task, each 1 over their number, by how often a rule that solves counts each, and by their number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RowGradient {
    /// By the weight of each row, `[n]`.
    pub rows: Vec<f32>,
    /// By how often it counts, `[n]`.
    pub times: Vec<f32>,
    /// By the number of rows.
    pub count: f32,
}

impl RowGradient {
    /// What leaving out each row moves, to first order: its own weight goes to 0, those of the others from 1/n to 1/(n-1), and there is a row less.
    pub(crate) fn left_out(&self) -> Vec<f64> {
        let n = self.rows.len() as f64;
        let all: f64 = self.rows.iter().map(|g| f64::from(*g)).sum();
        let more = 1.0 / (n * (n - 1.0));
        let of = |(row, times): (&f32, &f32)| {
            more * (all - f64::from(*row)) - f64::from(*row) / n - f64::from(*times) - f64::from(self.count)
        };
        self.rows.iter().zip(&self.times).map(of).collect()
    }
}

/// Outputs of the plan: gradients by the rows' weights, by how often they count, and by their number.
const GRADIENTS: [&str; 3] = ["by rows", "by times", "by count"];

/// The gradient of what is `asked` of each task, of one member.
///
/// # Errors
/// [`Error::Memory`](crate::Error::Memory) with numbers where not even one task fits the device, and those of [`super::Adapter::new`].
pub(crate) fn row_gradients(
    device: &Device,
    way: Way<'_>,
    asked: Asked,
    member: &Member,
    tasks: &[Task],
) -> Result<Vec<RowGradient>> {
    let draws = way.hyper.condition.draws();
    let most = BatchSizes::of(way.hyper, tasks, draws)?.with_steps(way.hyper, way.steps);
    let mut at_once = most.tasks();
    let of = |tasks| lower(&graph(way, asked, most.for_tasks(tasks)), device.caps(1));
    let plan = as_many_as_fit(&mut at_once, of)?;
    let sizes = most.for_tasks(at_once);
    let store = device.store();
    let mut session = store.prepare(plan)?;
    write_noise(&store, way.hyper, sizes)?;
    session.write("times", &vec![1.0; sizes.t * sizes.n])?;
    session.write("params", &member.hyper[..way.adaptation.layout(way.hyper).len()])?;
    if way.fraction != 1.0 {
        session.write("pooled", &member.pooled)?;
    }
    let (mut all, o) = (Vec::with_capacity(tasks.len()), sizes.outputs);
    for chunk in tasks.chunks(at_once) {
        PaddedBatch::new(chunk, sizes).write(&store)?;
        let (mut yq, mut weights) = (vec![], vec![]);
        for i in 0..sizes.t {
            let task = chunk.get(i / draws).unwrap_or(&chunk[0]);
            let q = task.queries(o);
            yq.extend(&task.yq);
            yq.resize((i + 1) * sizes.q * o, 0.0);
            weights.extend(vec![1.0 / q.max(1) as f32; q]);
            weights.resize((i + 1) * sizes.q, 0.0);
        }
        session.write("yq", &yq)?;
        if asked == Asked::Loss {
            session.write("query_rows", &weights)?;
        }
        session.run(1)?;
        let [rows, times, count] = GRADIENTS.map(|name| session.read(name));
        let (rows, times, count) = (rows?, times?, count?);
        all.extend(chunk.iter().enumerate().map(|(i, task)| {
            // What several networks say together is the mean of what each says.
            let of = |all: &[f32], room: usize, len: usize| -> Vec<f32> {
                let of_row = |row: usize| {
                    let each = (i * draws..(i + 1) * draws).map(|n| all[n * room + row]);
                    each.sum::<f32>() / draws as f32
                };
                (0..len).map(of_row).collect()
            };
            let rows = of(&rows, sizes.n, task.shots(o));
            let times = of(&times, sizes.n, task.shots(o));
            RowGradient { rows, times, count: of(&count, 1, 1)[0] }
        }));
    }
    Ok(all)
}

/// Predictions of a batch, and their gradient by the weights of its support rows.
fn graph(way: Way<'_>, asked: Asked, s: BatchSizes) -> Graph {
    let mut graph = Graph::new();
    let (g, hyper, inner) = (&mut graph, way.hyper, way.inner());
    let params = data(g, "params", &[way.adaptation.layout(hyper).len()]);
    let support = support(g, s.t, s.n, s.inputs, s.outputs);
    let condition = condition(g, hyper, support, s.t);
    let pooled = |g: &mut Graph| g.data("pooled", &[1, hyper.target.layout().len()]);
    let problem = way.problem(g, params, pooled, &condition, &support);
    let times = g.data("times", &[s.t, s.n]);
    let problem = problem.counted(times);
    let fast = way.learned(g, &problem);
    let xq = data(g, "xq", &[s.t, s.q, s.inputs]);
    let xq = inner.inputs(g, &problem, xq);
    let y = inner.predict(g, &problem, fast, xq);
    let y = g.scale(y, f64::from(way.sharpness));
    let yq = g.data("yq", &[s.t, s.q, s.outputs]);
    let counted = match asked {
        Asked::Loss => {
            let rows = g.data("query_rows", &[s.t, s.q]);
            loss(g, way.kind, y, yq, Some(rows))
        }
        Asked::Said => {
            let said = said(g, way.kind, y);
            g.mul(said, yq)
        }
    };
    let total = g.sum_to(counted, &[]);
    for (name, gradient) in GRADIENTS.into_iter().zip(g.grad(total, &[support.rows, times, support.count])) {
        g.output(name, gradient);
    }
    graph
}

/// What outputs stand for, as [`Likelihood::said`](crate::task::Likelihood::said).
fn said(g: &mut Graph, kind: Loss, y: Value) -> Value {
    if !matches!(kind, Loss::CrossEntropy | Loss::Symbols) {
        return y;
    }
    let zero = g.constant(0.0);
    let shape = g.shape(y).to_vec();
    let zero = g.expand(zero, &shape);
    let wrong = kind.errors(g, y, zero);
    g.scale(wrong, -1.0)
}
