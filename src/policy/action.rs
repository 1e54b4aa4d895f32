//! What a policy's network says of actions: their distribution, drawn from and judged.

use super::ActionSpace;
use super::environment::{normal, picked};
use crate::graph::expr::Expr;
use crate::graph::op::Binary;

/// A distribution over actions, for each of `[g, r]` observations.
#[derive(Clone, Debug)]
pub struct Distribution<'g, 's> {
    space: &'s ActionSpace,
    /// Of discrete actions the logarithms of probabilities, of each choice, of continuous ones means, `[g, r, n]`.
    of: Vec<Expr<'g>>,
    /// Logarithms of standard deviations, `[g, 1, n]`.
    deviation: Option<Expr<'g>>,
    /// Whether continuous actions are tanh of what is drawn.
    squashed: bool,
}

/// `ln √(2π)`
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// Nodes of a mean over the standard normal distribution and their weights, each for both signs (Gauss and Hermite, twelve nodes).
const NODES: [(f64, f64); 6] = [
    (0.444_403_001_944_138_95, 0.321_664_361_512_830_7),
    (1.340_375_197_151_617_3, 0.146_967_048_045_329_94),
    (2.259_464_451_000_799_3, 0.029_116_687_912_364_17),
    (3.223_709_828_770_097_2, 0.002_203_380_687_533_204_5),
    (4.271_825_847_932_281, 4.837_184_922_590_65e-5),
    (5.500_901_704_467_747, 1.499_927_167_637_166_6e-7),
];

impl<'g, 's> Distribution<'g, 's> {
    /// By what the network gave, `[g, r, n]`, and of continuous actions the logarithms of standard deviations, `[g, 1, n]`.
    ///
    /// # Panics
    /// Where continuous actions have no deviations.
    pub fn new(
        space: &'s ActionSpace,
        outputs: Expr<'g>,
        deviation: Option<Expr<'g>>,
    ) -> Distribution<'g, 's> {
        match space.choices() {
            Some(choices) => {
                let log = |logits: Expr<'g>| logits.exprs().build(|g| g.log_softmax(logits.value()));
                let of = parts(outputs, &choices).into_iter().map(log).collect();
                Distribution { space, of, deviation: None, squashed: false }
            }
            None => {
                assert!(deviation.is_some(), "continuous actions have standard deviations");
                Distribution { space, of: vec![outputs], deviation, squashed: false }
            }
        }
    }

    /// The same, but of continuous actions each is tanh of what is drawn, so that none lies outside of its range (Haarnoja et al. 2018). Actions are passed
    /// around as they are drawn; [`Distribution::taken`] squashes them.
    #[must_use]
    pub fn squashed(mut self, squashed: bool) -> Distribution<'g, 's> {
        self.squashed = squashed && matches!(self.space, ActionSpace::Continuous(_));
        self
    }

    /// Random numbers that a draw needs for each observation, uniform on [0, 1).
    pub fn noise(space: &ActionSpace) -> usize {
        match space {
            ActionSpace::Discrete(_) => 1,
            ActionSpace::MultiDiscrete(choices) => choices.len(),
            ActionSpace::Continuous(ranges) => 2 * ranges.len(),
        }
    }

    /// Actions drawn with uniform numbers `[g, r, noise]`: discrete ones by inverting the cumulative distribution, continuous ones by Box and Muller.
    pub fn draw(&self, noise: Expr<'g>) -> Expr<'g> {
        match (self.space.choices(), self.space) {
            (Some(choices), _) => {
                let each = self.of.iter().zip(choices).enumerate();
                joined(each.map(|(i, (of, n))| picked(noise.column(i), of.exp(), n)).collect())
            }
            (None, space) => {
                let n = space.width();
                let each = |i: usize| normal(noise.column(i), noise.column(n + i));
                let normal = Expr::columns(&(0..n).map(each).collect::<Vec<_>>());
                self.of[0] + normal * self.deviation().exp()
            }
        }
    }

    /// Any action as likely as any other, by the numbers of [`Distribution::draw`]; of continuous ones as they are taken.
    pub fn any(space: &ActionSpace, noise: Expr<'g>) -> Expr<'g> {
        match space.choices() {
            Some(choices) => {
                let one = |(part, n): (usize, usize)| {
                    let u = noise.column(part);
                    let beyond = |i: usize| u.at_least(i as f64 / n as f64);
                    let columns: Vec<Expr<'g>> = (0..n)
                        .map(|i| if i + 1 < n { beyond(i) - beyond(i + 1) } else { beyond(i) })
                        .collect();
                    Expr::columns(&columns)
                };
                joined(choices.into_iter().enumerate().map(one).collect())
            }
            None => {
                let columns: Vec<Expr<'g>> =
                    (0..space.width()).map(|i| noise.column(i) * 2.0 - 1.0).collect();
                Expr::columns(&columns)
            }
        }
    }

    /// The likeliest actions; of discrete ones that are as likely the first. Of squashed ones the middle of what is drawn.
    pub fn mode(&self) -> Expr<'g> {
        let Some(choices) = self.space.choices() else { return self.of[0] };
        let likeliest = |(log, n): (&Expr<'g>, usize)| {
            let of = |i| log.column(i);
            let best = (1..n).fold(of(0), |best, i| best.larger(of(i)));
            let mut open = best * 0.0 + 1.0;
            let columns: Vec<Expr<'g>> = (0..n)
                .map(|i| {
                    let taken = of(i).zip(Binary::Equal, best) * open;
                    open = open - taken;
                    taken
                })
                .collect();
            Expr::columns(&columns)
        };
        joined(self.of.iter().zip(choices).map(likeliest).collect())
    }

    /// Logarithms of the probability, or density, of actions, `[g, r, 1]`; of squashed ones the density of what they are squashed to, from −1 to 1.
    pub fn log_probability(&self, action: Expr<'g>) -> Expr<'g> {
        match self.space.choices() {
            Some(choices) => {
                let each = self.of.iter().zip(parts(action, &choices)).map(|(of, one)| (*of * one).sum(2));
                each.reduce(|a, b| a + b).expect("there is a choice")
            }
            None => {
                let deviation = self.deviation();
                let off = (action - self.of[0]) * (-deviation).exp();
                let each = off * off * -0.5 - deviation - HALF_LN_TAU;
                let each = if self.squashed { each - log_slope(action) } else { each };
                each.sum(2)
            }
        }
    }

    /// Entropies, `[g, r, 1]`; of squashed ones the mean over what is drawn by twelve nodes.
    pub fn entropy(&self) -> Expr<'g> {
        match self.deviation {
            None => {
                let each = self.of.iter().map(|of| -(*of * of.exp()).sum(2));
                each.reduce(|a, b| a + b).expect("there is a choice")
            }
            Some(deviation) => {
                let mean = self.of[0];
                let normal = deviation + (mean * 0.0 + (0.5 + HALF_LN_TAU));
                let each = match self.squashed {
                    false => normal,
                    true => NODES.iter().fold(normal, |sum, (node, weight)| {
                        let off = deviation.exp() * *node;
                        sum + (log_slope(mean + off) + log_slope(mean - off)) * *weight
                    }),
                };
                each.sum(2)
            }
        }
    }

    /// Actions as they are taken: of continuous ones −1 and 1 are the ends of their ranges.
    pub fn taken(&self, action: Expr<'g>) -> Expr<'g> {
        if self.squashed { action.tanh() } else { action }
    }

    /// What is taken, as an environment gets it.
    pub fn scaled(space: &ActionSpace, taken: Expr<'g>) -> Expr<'g> {
        let ActionSpace::Continuous(ranges) = space else { return taken };
        let columns: Vec<Expr<'g>> = ranges
            .iter()
            .enumerate()
            .map(|(i, [low, high])| taken.column(i) * ((high - low) / 2.0) + (high + low) / 2.0)
            .collect();
        Expr::columns(&columns)
    }

    fn deviation(&self) -> Expr<'g> {
        self.deviation.expect("checked when it was made")
    }
}

/// The columns of each of several choices.
fn parts<'g>(of: Expr<'g>, choices: &[usize]) -> Vec<Expr<'g>> {
    let [_] = choices else {
        let mut start = 0;
        let part = |n: &usize| {
            start += n;
            of.slice(2, start - n, *n)
        };
        return choices.iter().map(part).collect();
    };
    vec![of]
}

/// Columns of several choices behind one another.
fn joined(parts: Vec<Expr<'_>>) -> Expr<'_> {
    match parts[..] {
        [one] => one,
        _ => Expr::columns(&parts),
    }
}

/// `ln (1 − tanh² x)`, the logarithm of the slope of tanh: `2 (ln 2 − |x| − ln (1 + e^(−2 |x|)))`, which neither overflows nor cancels.
fn log_slope(x: Expr<'_>) -> Expr<'_> {
    let size = x.larger(-x);
    let tail = ((size * -2.0).exp() + 1.0).ln();
    (size + tail) * -2.0 + 2.0 * std::f64::consts::LN_2
}
