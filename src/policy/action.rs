//! What a policy's network says of actions: their distribution, drawn from and judged.

use super::ActionSpace;
use super::environment::{normal, picked};
use crate::graph::expr::Expr;
use crate::graph::op::Binary;

/// A distribution over actions, for each of `[g, r]` observations.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'g, 's> {
    space: &'s ActionSpace,
    /// Of discrete actions the logarithms of probabilities, of continuous ones means, `[g, r, n]`.
    of: Expr<'g>,
    /// Logarithms of standard deviations, `[g, 1, n]`.
    deviation: Option<Expr<'g>>,
}

/// `ln √(2π)`
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

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
        match space {
            ActionSpace::Discrete(_) => {
                let of = outputs.exprs().build(|g| g.log_softmax(outputs.value()));
                Distribution { space, of, deviation: None }
            }
            ActionSpace::Continuous(_) => {
                assert!(deviation.is_some(), "continuous actions have standard deviations");
                Distribution { space, of: outputs, deviation }
            }
        }
    }

    /// Random numbers that a draw needs for each observation, uniform on [0, 1).
    pub fn noise(space: &ActionSpace) -> usize {
        match space {
            ActionSpace::Discrete(_) => 1,
            ActionSpace::Continuous(ranges) => 2 * ranges.len(),
        }
    }

    /// Actions drawn with uniform numbers `[g, r, noise]`: discrete ones by inverting the cumulative distribution, continuous ones by Box and Muller.
    pub fn draw(&self, noise: Expr<'g>) -> Expr<'g> {
        match self.space {
            ActionSpace::Discrete(n) => picked(noise.column(0), self.of.exp(), *n),
            ActionSpace::Continuous(ranges) => {
                let n = ranges.len();
                let each = |i: usize| normal(noise.column(i), noise.column(n + i));
                let normal = Expr::columns(&(0..n).map(each).collect::<Vec<_>>());
                self.of + normal * self.deviation().exp()
            }
        }
    }

    /// Any action as likely as any other, by the numbers of [`Distribution::draw`].
    pub fn any(space: &ActionSpace, noise: Expr<'g>) -> Expr<'g> {
        let u = noise.column(0);
        let columns: Vec<Expr<'g>> = match space {
            ActionSpace::Discrete(n) => {
                let beyond = |i: usize| u.at_least(i as f64 / *n as f64);
                (0..*n).map(|i| if i + 1 < *n { beyond(i) - beyond(i + 1) } else { beyond(i) }).collect()
            }
            ActionSpace::Continuous(ranges) => {
                (0..ranges.len()).map(|i| noise.column(i) * 2.0 - 1.0).collect()
            }
        };
        Expr::columns(&columns)
    }

    /// The likeliest actions; of discrete ones that are as likely the first.
    pub fn mode(&self) -> Expr<'g> {
        let ActionSpace::Discrete(n) = self.space else { return self.of };
        let of = |i| self.of.column(i);
        let best = (1..*n).fold(of(0), |best, i| best.larger(of(i)));
        let mut open = best * 0.0 + 1.0;
        let columns: Vec<Expr<'g>> = (0..*n)
            .map(|i| {
                let taken = of(i).zip(Binary::Equal, best) * open;
                open = open - taken;
                taken
            })
            .collect();
        Expr::columns(&columns)
    }

    /// Logarithms of the probability, or density, of actions, `[g, r, 1]`.
    pub fn log_probability(&self, action: Expr<'g>) -> Expr<'g> {
        match self.space {
            ActionSpace::Discrete(_) => (self.of * action).sum(2),
            ActionSpace::Continuous(_) => {
                let deviation = self.deviation();
                let off = (action - self.of) * (-deviation).exp();
                let each = off * off * -0.5 - deviation - HALF_LN_TAU;
                each.sum(2)
            }
        }
    }

    /// Entropies, `[g, r, 1]`.
    pub fn entropy(&self) -> Expr<'g> {
        match self.space {
            ActionSpace::Discrete(_) => -(self.of * self.of.exp()).sum(2),
            ActionSpace::Continuous(_) => {
                let each = self.deviation() + (self.of * 0.0 + (0.5 + HALF_LN_TAU));
                each.sum(2)
            }
        }
    }

    /// Actions as an environment takes them: of continuous ones −1 and 1 are the ends of their ranges.
    pub fn scaled(space: &ActionSpace, action: Expr<'g>) -> Expr<'g> {
        let ActionSpace::Continuous(ranges) = space else { return action };
        let columns: Vec<Expr<'g>> = ranges
            .iter()
            .enumerate()
            .map(|(i, [low, high])| action.column(i) * ((high - low) / 2.0) + (high + low) / 2.0)
            .collect();
        Expr::columns(&columns)
    }

    fn deviation(&self) -> Expr<'g> {
        self.deviation.expect("checked when it was made")
    }
}
