//! What a hypernetwork writes before its first step. By [`HyperInit::Bias`] every task starts with the same network, drawn as one that is trained directly;
//! by the others every task starts with one of its own, which is as large: the head is drawn so that what it gives has variance 1, and each tensor is
//! multiplied by the deviation that it should have. A head that were drawn as any other layer would write weights that are too large or too small by the
//! square root of their fans, and more so with each layer (Chang et al. 2020, "Principled weight initialization for hypernetworks").

use serde::{Deserialize, Serialize};

use super::{HyperSpec, Read};
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::net::{Init, Param, Weights};
use crate::rng::Rng;
use crate::spec::{Activation, count};

/// How far what is not drawn, biases and gains, is written from what it starts with.
const AWAY: f64 = 0.1;

/// Added to mean squares, as in layer norms.
const EPSILON: f64 = 1e-5;

/// What is written at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HyperInit {
    /// The head writes 0 and base weights are all there is: Bias-HyperInit (Beck et al. 2022).
    #[default]
    Bias,
    /// Weights of variance gain / fan-in, which keeps the size of activations (Chang et al. 2020).
    HyperfanIn,
    /// Weights of variance gain / fan-out, which keeps the size of gradients.
    HyperfanOut,
}

impl HyperInit {
    /// The deviation that a parameter of the target has at first, where it is drawn for every task.
    fn deviation(self, p: &Param) -> f64 {
        match (p.init.deviation(), p.fans()) {
            (0.0, _) => AWAY,
            (deviation, Some((fan_in, fan_out))) if self == HyperInit::HyperfanOut => {
                deviation * (fan_in as f64 / fan_out as f64).sqrt()
            }
            (deviation, _) => deviation,
        }
    }
}

impl HyperSpec {
    /// Whether each task starts with a network of its own.
    pub(crate) fn draws(&self) -> bool {
        self.init != HyperInit::Bias || (self.generator.may_draw() && !self.generator.has_base())
    }

    /// How the head of a generator begins, whose weights each read so many numbers.
    pub(super) fn head_init(&self, features: usize) -> Init {
        match self.draws() {
            true => Init::Normal(1.0 / (features as f64).sqrt()),
            false => Init::Constant(0.0),
        }
    }

    /// Refuses to draw weights by what writes something else.
    pub(super) fn check_init(&self) -> Result<(), String> {
        match self.init != HyperInit::Bias && !self.generator.may_draw() {
            true => Err("it begins with weights that all tasks share, by what it is: model.hyper_init = \"bias\" (the generators linear, chunked, \
                         recurrent and transformer may draw a network for each task)"
                .into()),
            false => Ok(()),
        }
    }

    /// The target's parameters that are written, as they are drawn where no hypernetwork draws them.
    pub(crate) fn drawn(&self) -> Vec<Param> {
        let layout = match self.init {
            HyperInit::Bias => self.target.layout(),
            _ => self.target.layout_he(Activation::Identity),
        };
        layout.params.into_iter().filter(|p| self.is_written(p)).collect()
    }

    /// A network as it is drawn directly, where each task starts with its own: weights `[P]`, of what is not written those of `base`; else these.
    pub(crate) fn draw(&self, rng: &mut Rng, base: &[f32]) -> Vec<f32> {
        let mut w = base.to_vec();
        if self.draws() {
            for p in self.drawn() {
                let (deviation, middle) = (self.init.deviation(&p), p.init.middle());
                let drawn = p.init.deviation() > 0.0;
                w[p.range()]
                    .fill_with(|| (middle + if drawn { deviation * rng.normal() } else { 0.0 }) as f32);
            }
        }
        w
    }

    /// Takes out of base weights what the head draws.
    pub(super) fn make_room(&self, base: &mut [f32]) {
        if self.draws() {
            for p in self.drawn() {
                base[p.range()].fill(p.init.middle() as f32);
            }
        }
    }

    /// What the generator writes, `[T, W]` or `[1, P]`, each tensor as large as it should be.
    pub(super) fn spread(&self, g: &mut Graph, params: Weights<'_>, read: Option<&Read>) -> Option<Value> {
        let written = self.generator.kind().written(g, self, params, read)?;
        if !self.draws() {
            return Some(written);
        }
        let mut at = 0;
        let parts: Vec<Value> = (self.drawn().iter())
            .map(|p| {
                let part = g.slice(written, 1, at, count(&p.shape));
                at += count(&p.shape);
                // Base weights hold the middle, where there are any.
                let middle = if self.generator.has_base() { 0.0 } else { p.init.middle() };
                g.affine(part, self.init.deviation(p), middle)
            })
            .collect();
        Some(g.scope("spread", |g| g.concat(&parts, 1)))
    }

    /// What a head reads, `[T, F]`, or `[T, K, F]` for K parts that it writes one after another: where it draws, of mean square 1, and of mean 0 over the
    /// parts. What all parts read alike would repeat in all of them, and sums over such weights grow with every layer.
    pub(super) fn levelled(&self, g: &mut Graph, h: Value) -> Value {
        if !self.draws() {
            return h;
        }
        let shape = g.shape(h).to_vec();
        let mean = |g: &mut Graph, x: Value, axis: usize| {
            let mut to = shape.clone();
            let n = std::mem::replace(&mut to[axis], 1);
            let sum = g.sum_to(x, &to);
            g.scale(sum, 1.0 / n as f64)
        };
        g.scope("level", |g| {
            let h = match shape[..] {
                [_, parts, _] if parts > 1 => {
                    let common = mean(g, h, 1);
                    g.sub(h, common)
                }
                _ => h,
            };
            let square = g.mul(h, h);
            let square = mean(g, square, shape.len() - 1);
            let square = g.affine(square, 1.0, EPSILON);
            let size = g.map(Func::Sqrt, square);
            g.div(h, size)
        })
    }
}
