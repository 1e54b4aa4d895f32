//! Memory: what an agent carries from step to step, and from episode to episode of a trial, so that it finds out what world it is in and acts
//! by that (RL², Duan et al. 2016; Wang et al. 2016).

use super::worlds::Worlds;
use crate::graph::{Graph, Value};
use crate::net::{Cell, Layer, Net, ParamLayout, Recurrent, Weights};
use crate::rng::Rng;

/// A memory: recurrent layers that read, at every step, what is seen, the action before, what it gave, and whether an episode ended with it.
///
/// A trial is one or more episodes in one world. The memory is kept from episode to episode, and empty at the start of the next trial.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Memory {
    /// The layers, over one step.
    pub encoder: Net,
    /// Steps after which each episode of a trial is cut off, in their order.
    pub trial: Vec<usize>,
    /// What is believed of the world, where the policy reads that instead of what is remembered.
    pub belief: Option<Belief>,
}

/// What is believed of a world, from what is remembered: a normal distribution over a latent, whose mean and deviation the policy reads (VariBAD, Zintgraf et al. 2020), or
/// a draw from it at every step (as Thompson samples). It is learned by the evidence lower bound of what differs between worlds, which the latent says by one
/// dense layer ([`Policy::inferring`](super::Policy::inferring)), and not by what is got.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Belief {
    /// Numbers of the latent.
    pub width: usize,
    /// Whether the policy reads a draw.
    pub sampled: bool,
    /// Weight of the divergence from the prior, the standard normal distribution: twice the variance of what is said of the world.
    pub prior: f64,
}

impl Belief {
    /// Of so many numbers, of which the policy reads mean and deviation.
    #[must_use]
    pub fn new(width: usize) -> Belief {
        Belief { width, sampled: false, prior: 0.02 }
    }

    /// The dense layer that gives mean and logarithm of the deviation.
    fn layer(self, units: usize) -> Net {
        Net::rows([units]).dense(2 * self.width)
    }

    /// What it is off from what a world is, by the evidence lower bound: of what differs, `told` `[.., told]`, the mean square of what the latent's mean says less than
    /// that, and what its deviation adds to it, as the layer `[width, told]` with its biases is linear; and the divergence from the prior. Each a mean over rows and
    /// numbers told; `[]`.
    pub(super) fn missed(
        self,
        g: &mut Graph,
        [mean, ln]: [Value; 2],
        [weight, bias]: [Value; 2],
        told: Value,
    ) -> Value {
        let said = g.matmul(mean, weight);
        let numbers = *g.shape(told).last().expect("there are numbers") as f64;
        let e = g.expr();
        let [said, bias, told, mean, ln, weight] = [said, bias, told, mean, ln, weight].map(|v| e.of(v));
        let rows = mean.shape().iter().product::<usize>() as f64 / self.width as f64;
        let off = said + bias - told;
        let variance = (ln * 2.0).exp();
        let spread = variance * (weight * weight).sum_to(&[self.width, 1]).reshape(&[1, 1, self.width]);
        let divergence = (mean * mean + variance - 1.0 - ln * 2.0) * 0.5;
        let all = (off * off).total() + spread.total() + divergence.total() * self.prior;
        (all / (rows * numbers)).value()
    }
}

/// Logarithms of deviations of a latent at least and at most.
const DEVIATIONS: [f64; 2] = [-5.0, 1.0];
/// Stream of random numbers.
pub(super) const LUCK: u32 = 0x75;

impl Memory {
    /// So many units of a cell, for trials of episodes of so many steps.
    #[must_use]
    pub fn new(worlds: &Worlds, cell: Cell, units: usize, trial: Vec<usize>) -> Memory {
        let reads = worlds.environment.widths().observation + Memory::before(worlds);
        Memory { encoder: Net::rows([1, reads]).recurrent(Recurrent::new(cell, units)), trial, belief: None }
    }

    /// The same with a policy that reads what is believed.
    #[must_use]
    pub fn believing(mut self, belief: Belief) -> Memory {
        self.belief = Some(belief);
        self
    }

    /// Parameters: of the layers, and of what is believed.
    pub(super) fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::default();
        layout.extend("encoder", &self.encoder.layout());
        if let Some(belief) = self.belief {
            layout.extend("belief", &belief.layer(self.encoder.outputs()).layout());
        }
        layout
    }

    /// Random numbers that a step draws a latent by.
    pub(super) fn luck(&self) -> usize {
        self.belief.filter(|b| b.sampled).map_or(0, |b| b.width)
    }

    /// Numbers that are read at every step, the luck of a draw behind them.
    pub(super) fn reads(&self) -> usize {
        self.encoder.inputs() + self.luck()
    }

    /// Initial parameters: gates are open for as long as something may matter, from one step to a whole trial, evenly in the logarithm (Tallec and
    /// Ollivier 2018). As layers begin elsewhere half of a state is forgotten with each step, and nothing is learned of what is long ago.
    pub(super) fn init(&self, rng: &mut Rng) -> Vec<f32> {
        let layout = self.encoder.layout();
        let mut all = self.layout().init(rng);
        let longest = self.trial.iter().sum::<usize>().max(3) as f64 - 1.0;
        let layers = self.encoder.layers().iter().filter_map(|layer| match layer {
            Layer::Recurrent(layer) => Some(layer),
            _ => None,
        });
        for (layer, bias) in layers.zip(layout.params.iter().filter(|p| p.name.ends_with(".bias"))) {
            let bias = &mut all[bias.range()];
            for i in 0..layer.units {
                let open = rng.range(1.0, longest).ln() as f32;
                match layer.cell {
                    Cell::Gru => bias[layer.units + i] += open,
                    Cell::Lstm => {
                        bias[i] -= open;
                        bias[layer.units + i] += open;
                    }
                    _ => {}
                }
            }
        }
        all
    }

    /// Numbers of what was before: the action, what it gave, and whether the episode ended.
    pub(super) fn before(worlds: &Worlds) -> usize {
        worlds.environment.action().width() + 2
    }

    /// Numbers that a policy reads of it.
    pub fn width(&self) -> usize {
        match self.belief {
            Some(belief) if belief.sampled => belief.width,
            Some(belief) => 2 * belief.width,
            None => self.encoder.outputs(),
        }
    }

    /// What a policy reads of the memory after a step `[g, r, reads]`, and the states that are carried on.
    pub(super) fn next(
        &self,
        g: &mut Graph,
        flat: Value,
        states: &[Value],
        read: Value,
    ) -> (Value, Vec<Value>) {
        let (remembered, next) = self.remembered(g, flat, states, read);
        (self.believed(g, flat, remembered, read).0, next)
    }

    /// What is remembered after a step, and the states that are carried on.
    fn remembered(&self, g: &mut Graph, flat: Value, states: &[Value], read: Value) -> (Value, Vec<Value>) {
        let read = g.slice(read, g.shape(read).len() - 1, 0, self.encoder.inputs());
        let layout = self.encoder.layout();
        let flat = g.slice(flat, 0, 0, layout.len());
        self.encoder.apply_from(g, Weights { flat, layout: &layout }, states, read)
    }

    /// What a policy reads, of what is remembered `[.., units]` and the luck behind what was read `[.., reads]`; and mean and logarithm of the deviation of what is
    /// believed, where anything is.
    fn believed(
        &self,
        g: &mut Graph,
        flat: Value,
        remembered: Value,
        read: Value,
    ) -> (Value, Option<[Value; 2]>) {
        let Some(belief) = self.belief else { return (remembered, None) };
        let (axes, width, start) = (g.shape(read).len(), belief.width, self.encoder.layout().len());
        let net = belief.layer(self.encoder.outputs());
        let layout = net.layout();
        let flat = g.slice(flat, 0, start, layout.len());
        let rows = g.shape(remembered)[..axes - 1].to_vec();
        let units = g.reshape(remembered, &[1, rows.iter().product(), self.encoder.outputs()]);
        let both = net.apply(g, Weights { flat, layout: &layout }, units);
        let both = g.reshape(both, &[&rows[..], &[2 * width]].concat());
        let (mean, ln) = (g.slice(both, axes - 1, 0, width), g.slice(both, axes - 1, width, width));
        let e = g.expr();
        let ln: crate::graph::expr::Expr<'_> = e.of(ln).clip(DEVIATIONS[0], DEVIATIONS[1]);
        let at = e.of(mean);
        let held = match belief.sampled {
            true => at + ln.exp() * e.of(read).slice(axes - 1, self.encoder.inputs(), width),
            false => crate::graph::expr::Expr::columns(&[at, ln]),
        };
        // It is learned by what it says of the world alone.
        (held.stop_gradient().value(), Some([mean, ln.value()]))
    }

    /// What a policy reads of the memory at each of `n` steps `[g, n, r, reads]`, from an empty memory, which is empty again behind each step that ended a trial
    /// (`over`, `[g, n, r, 1]`): `[g, n, r, width]`; and mean and logarithm of the deviation of what is believed, where anything is.
    pub(super) fn over(
        &self,
        g: &mut Graph,
        flat: Value,
        read: Value,
        over: Value,
    ) -> (Value, Option<[Value; 2]>) {
        let &[groups, n, worlds, _] = g.shape(read) else { panic!("steps have four axes") };
        let zero = g.constant(0.0);
        let widths = self.encoder.states();
        let empty: Vec<Value> = widths.iter().map(|w| g.expand(zero, &[groups, worlds, *w])).collect();
        let (_, given) = g.scan(n, &empty, &[flat], &[read, over], |g, args| {
            let (said, next) = self.remembered(g, args.constants[0], args.carried, args.rows[0]);
            let kept = next.into_iter().map(|v| kept(g, v, args.rows[1])).collect();
            (kept, vec![said])
        });
        self.believed(g, flat, given[0], read)
    }
}

/// 0 where a trial is over.
pub(super) fn kept(g: &mut Graph, v: Value, over: Value) -> Value {
    let e = g.expr();
    let over: crate::graph::expr::Expr<'_> = e.of(over);
    (e.of(v) * (1.0 - over)).value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::golden::{Job, run_f64};

    /// What a draw says is off on the mean, by a fine sum over what may be drawn, and the divergence, by a sum over the latent.
    #[test]
    fn the_bound_is_the_mean_over_draws() {
        let (mean, ln, weight, bias) =
            ([0.2, -0.4], [-0.5, 0.3], [0.7, 1.1, -0.2, 0.5, -0.9, 0.3], [0.1, 0.0, -0.2]);
        let told = [0.3, -0.6, 0.8];
        let belief = Belief::new(2);
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        let data = |job: &mut Job, name: &str, shape: &[usize], values: &[f64]| {
            job.inputs.push((name.into(), values.to_vec()));
            job.graph.data(name, shape)
        };
        let stats = [("mean", mean), ("ln", ln)].map(|(name, x)| data(&mut job, name, &[1, 1, 2], &x));
        let layer = [data(&mut job, "weight", &[2, 3], &weight), data(&mut job, "bias", &[3], &bias)];
        let told_of = data(&mut job, "told", &[1, 1, 3], &told);
        let missed = belief.missed(&mut job.graph, stats, layer, told_of);
        job.graph.output("missed", missed);
        job.read = vec!["missed".into()];
        let found = run_f64(&job).expect("it runs").values[0][0];

        let (width, steps) = (16.0, 800);
        let normal = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let (mut off, mut divergence) = (0.0, 0.0);
        for i in 0..steps * steps {
            let at = |k: usize| (k as f64 + 0.5) / steps as f64 * width - width / 2.0;
            let luck = [at(i / steps), at(i % steps)];
            let share = normal(luck[0]) * normal(luck[1]) * (width / steps as f64).powi(2);
            let z: Vec<f64> = (0..2).map(|k| mean[k] + f64::exp(ln[k]) * luck[k]).collect();
            for k in 0..3 {
                off += share * (z[0] * weight[k] + z[1] * weight[3 + k] + bias[k] - told[k]).powi(2);
            }
            for k in 0..2 {
                divergence += share * (-0.5 * luck[k] * luck[k] - ln[k] + 0.5 * z[k] * z[k]);
            }
        }
        let want = (off + belief.prior * divergence) / 3.0;
        assert!((found - want).abs() < 1e-6, "{found}, by a sum {want}");
    }
}
