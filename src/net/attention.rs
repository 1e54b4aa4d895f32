//! Attention (Vaswani et al. 2017, "Attention is all you need") of the elements of a sequence to one another: each asks by a query, and is
//! answered by the mean of the others' values, weighed by how well their keys agree with it. In each of several heads, equal parts of
//! the width d, `softmax(q kᵀ / √(d / heads)) v`; then all heads together through a dense layer. A transformer's block is
//! two residual branches: a layer norm and attention, a layer norm and two dense layers.
//!
//! With `rotary = true` queries and keys are turned by their places before they meet (Su et al. 2021, "RoFormer"), so that what they say of each other
//! depends on how far apart they stand: in each head of width e the channels i and i + e/2 are a plane, turned by `l 10000^(-2i/e)` at place l.
//!
//! Parameters: `query [c, d]`, `query_bias [d]`, the same for `key` and `value`, then `weight [d, c]` and `bias [c]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::layout::Init;
use super::recurrent::sequences;
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// What logits of elements that nobody may look at are: their weight is exactly 0 in any precision.
const HIDDEN: f64 = -1e9;

/// Elements of a sequence that look at one another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Attention {
    /// Heads: they part the width evenly.
    #[serde(rename = "attention")]
    pub heads: usize,
    /// Width of queries, keys and values; 0: that of the elements.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub width: usize,
    /// Whether an element looks only at itself and those before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub causal: bool,
    /// Whether queries and keys are turned by their places.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotary: bool,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Attention {
    /// So many heads, as wide together as an element; all elements look at all.
    #[must_use]
    pub fn new(heads: usize) -> Attention {
        Attention { heads, width: 0, causal: false, rotary: false }
    }

    /// The same, where no element looks at a later one.
    #[must_use]
    pub fn causal(heads: usize) -> Attention {
        Attention { causal: true, ..Attention::new(heads) }
    }

    fn width(&self, channels: usize) -> usize {
        if self.width == 0 { channels } else { self.width }
    }
}

/// The parameters of a layer in their order: the name of a weight, and that of its bias.
pub(super) const PARTS: [[&str; 2]; 4] =
    [["query", "query_bias"], ["key", "key_bias"], ["value", "value_bias"], ["weight", "bias"]];

impl Kind for Attention {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let &[length, channels] = row else {
            return Err(format!("attention reads sequences [length, channels], not rows {row:?}"));
        };
        let width = self.width(channels);
        if self.heads == 0 || width > 65_536 || !width.is_multiple_of(self.heads) {
            return Err(format!("{} heads do not part a width of {width} evenly", self.heads));
        }
        if self.rotary && !(width / self.heads).is_multiple_of(2) {
            return Err(format!(
                "rotary = true turns pairs of channels, and a head has {} of them: an even number is needed",
                width / self.heads
            ));
        }
        Ok(vec![length, channels])
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let &[_, channels] = row else { return };
        let (name, role, width) = (to.layer(), to.role, self.width(channels));
        for [weight, bias] in PARTS {
            let [i, o] = if weight == "weight" { [width, channels] } else { [channels, width] };
            // What softmax begins with should be even: biases are 0, and weights as large as keeps sizes (Glorot and Bengio 2010).
            let init = Init::Uniform((6.0 / (i + o) as f64).sqrt());
            to.layout.push(format!("{name}.{weight}"), &[i, o], init).role = role;
            to.layout.push(format!("{name}.{bias}"), &[o], Init::Constant(0.0)).role = role;
        }
    }

    fn is_causal(&self) -> bool {
        self.causal
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let shape = g.shape(x).to_vec();
        let y = g.scope(name.clone(), |g| {
            let x = sequences(g, x, f);
            let &[b, n, length, _] = g.shape(x) else { panic!("sequences have four axes") };
            let parameters = PARTS.map(|part| part.map(|what| f.weights.get(g, &format!("{name}.{what}"))));
            let before = self.causal.then(|| causal(g, length));
            let there = f.there(g, &[b, n, 1, 1, length]);
            let seen = match (before, there) {
                (Some(before), Some(there)) => Some(g.mul(before, there)),
                (before, there) => before.or(there),
            };
            let (y, weights) = attend(g, [x, x], &parameters, (self.heads, self.rotary), seen);
            if let Some(watched) = &mut f.watched {
                watched.attention.push((name.clone(), weights));
            }
            y
        });
        let y = g.reshape(y, &shape);
        f.gave(y)
    }
}

/// 1 where the element of a row may look at that of a column, `[length, length]`.
fn causal(g: &mut Graph, length: usize) -> Value {
    let seen: Vec<f64> =
        (0..length * length).map(|i| f64::from(u8::from(i % length <= i / length))).collect();
    g.constants(&[length, length], &seen)
}

/// The wave that the first plane of channels turns by takes this to the power of 0, the last nearly this to the power of 1.
const LONGEST: f64 = 10_000.0;

/// Queries or keys `[b, n, heads, l, e]`, each turned by its place.
fn turned(g: &mut Graph, x: Value) -> Value {
    let &[.., length, each] = g.shape(x) else { panic!("heads have five axes") };
    let half = each / 2;
    let angle = |i: usize| (i / half) as f64 * LONGEST.powf(-((i % half) as f64) / half as f64);
    let angles: Vec<f64> = (0..length * half).map(angle).collect();
    let [cos, sin] = [f64::cos, f64::sin].map(|of| {
        let all: Vec<f64> = angles.iter().map(|a| of(*a)).collect();
        g.constants(&[length, half], &all)
    });
    let (a, b) = (g.slice(x, 4, 0, half), g.slice(x, 4, half, half));
    let [a_cos, b_sin, b_cos, a_sin] = [(a, cos), (b, sin), (b, cos), (a, sin)].map(|(x, by)| g.mul(x, by));
    let (first, second) = (g.sub(a_cos, b_sin), g.add(b_cos, a_sin));
    g.concat(&[first, second], 4)
}

/// Elements of sequences `[b, n, l, c]` to `[b, n, l, d]` by a weight and a bias, shared or of each b.
pub(super) fn dense(g: &mut Graph, x: Value, [weight, bias]: [Value; 2]) -> Value {
    let &[b, n, l, c] = g.shape(x) else { panic!("sequences have four axes") };
    let rows = g.reshape(x, &[b, n * l, c]);
    let sum = g.matmul(rows, weight);
    let d = g.shape(sum)[2];
    let bias = if g.shape(bias).len() == 2 { g.reshape(bias, &[b, 1, d]) } else { bias };
    let sum = g.add(sum, bias);
    g.reshape(sum, &[b, n, l, d])
}

/// x `[b, n, l, c]` as it asks about y `[b, n, m, c]`. Parameters, in the order of [`PARTS`], are shared or lead with an axis b; what is seen has a 1
/// where an element may be looked at, broadcast to `[b, n, heads, l, m]` (`None`: all). Gives what is found, `[b, n, l, c]`, and how much each
/// element looks at each, `[b, n, heads, l, m]`.
/// With rotary places, x and y stand at the same.
pub(crate) fn attend(
    g: &mut Graph,
    [x, y]: [Value; 2],
    [query, key, value, last]: &[[Value; 2]; 4],
    (heads, rotary): (usize, bool),
    seen: Option<Value>,
) -> (Value, Value) {
    let parted = |g: &mut Graph, x: Value, part: &[Value; 2]| {
        let x = dense(g, x, *part);
        let &[b, n, l, d] = g.shape(x) else { panic!("sequences have four axes") };
        let x = g.reshape(x, &[b, n, l, heads, d / heads]);
        g.permute(x, &[0, 1, 3, 2, 4])
    };
    let (q, k, v) = (parted(g, x, query), parted(g, y, key), parted(g, y, value));
    let (q, k) = if rotary { (turned(g, q), turned(g, k)) } else { (q, k) };
    let each = g.shape(q)[4];
    // The smaller of what could be scaled.
    let q = g.scale(q, 1.0 / (each as f64).sqrt());
    let logits = g.matmul_t(q, false, k, true);
    let logits = match seen {
        Some(seen) => {
            let hidden = g.constant(HIDDEN);
            g.select(seen, logits, hidden)
        }
        None => logits,
    };
    let logs = g.log_softmax(logits);
    let weights = g.map(Func::Exp, logs);
    let found = g.matmul(weights, v);
    let found = g.permute(found, &[0, 1, 3, 2, 4]);
    let &[b, n, l, heads, each] = g.shape(found) else { panic!("heads have five axes") };
    let found = g.reshape(found, &[b, n, l, heads * each]);
    (dense(g, found, *last), weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Layer, Net, Weights};
    use crate::plan::{Caps, lower};
    use crate::rng::Rng;
    use crate::run::Device;

    /// What attention with rotary places finds depends on how far apart elements stand, not on where; without places it does not see the
    /// order at all.
    #[test]
    fn rotary_places_are_relative() -> Result<(), crate::error::Error> {
        for rotary in [true, false] {
            let layer = Attention { rotary, ..Attention::new(2) };
            let net = Net::rows([6, 8]).with(Layer::Attention(layer));
            net.check().expect("it fits");
            let layout = net.layout();
            let weights = layout.init(&mut Rng::new(1, 0));
            let mut rng = Rng::new(2, 0);
            let elements: Vec<f32> = (0..2 * 8).map(|_| rng.normal() as f32).collect();
            // Two elements, each in a row of its own; all others are hidden.
            let said = |places: [usize; 2]| -> Result<Vec<f32>, crate::error::Error> {
                let (mut x, mut there) = (vec![0.0; 6 * 8], vec![0.0; 6]);
                for (place, element) in places.into_iter().zip(elements.chunks(8)) {
                    x[place * 8..][..8].copy_from_slice(element);
                    there[place] = 1.0;
                }
                let mut g = Graph::new();
                let flat = g.data("w", &[layout.len()]);
                let (xs, seen) = (g.data("x", &[1, 48]), g.data("there", &[1, 6]));
                let y = net.apply_ragged(&mut g, Weights { flat, layout: &layout }, seen, xs);
                g.output("y", y);
                let mut s = Device::Cpu.prepare(lower(&g, Caps::cpu(1))?)?;
                s.write("w", &weights)?;
                s.write("x", &x)?;
                s.write("there", &there)?;
                s.run(1)?;
                let y = s.read("y")?;
                Ok(places.into_iter().flat_map(|p| y[p * 8..][..8].to_vec()).collect())
            };
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            let (first, moved, apart) = (said([0, 2])?, said([3, 5])?, said([0, 4])?);
            assert!(near(&first, &moved), "{first:?} {moved:?}");
            assert_eq!(near(&first, &apart), !rotary);
        }
        Ok(())
    }
}
