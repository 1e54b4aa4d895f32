//! Attention over sets (Lee et al. 2019, "Set Transformer"): what it costs grows with the number of elements, not with its square.
//! Both layers are made of one block, pre-norm, in which queries q ask about elements y: `a = q + attention(norm(q), norm(y))`, then
//! `a + gelu(norm(a) wide + wide_bias) narrow + narrow_bias`.
//!
//! - [`SetAttention`]: learned points ask about all elements, then the elements ask about what the points were told (their induced
//!   set attention block). The order of elements makes no difference, but that what is given comes in the same.
//! - [`AttentionPool`]: learned seeds ask about all elements; what they are told is all that is left of these.
//!
//! Parameters: `points [m, c]` or `seeds [k, c]`, and those of a block, called `in` and `out`, or `pool`: `in.query_norm.gain [c]` and
//! `.shift [c]`, those of an attention (`in.query [c, c]`, …), `in.norm.*`, `in.wide [c, hidden]`, `in.wide_bias`, `in.narrow [hidden, c]`,
//! `in.narrow_bias`, `in.key_norm.*`.

use serde::{Deserialize, Serialize};

use super::attention::{PARTS, attend, dense};
use super::layer::{Forward, Kind, Params};
use super::layout::{Init, ParamRole};
use super::norm;
use super::recurrent::sequences;
use crate::graph::{Graph, Value};
use crate::spec::{Activation, Shape};

/// Elements that are told by some points what all of them are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SetAttention {
    /// Points.
    #[serde(rename = "set_attention")]
    pub points: usize,
    /// Heads: they part the width of an element evenly.
    #[serde(default = "heads")]
    pub heads: usize,
    /// Width of a block's hidden layer; 0: twice that of an element.
    #[serde(default)]
    pub hidden: usize,
}

/// What some seeds are told of all elements: `[length, c]` to `[seeds · c]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AttentionPool {
    /// Seeds.
    #[serde(rename = "attention_pool")]
    pub seeds: usize,
    /// Heads: they part the width of an element evenly.
    #[serde(default = "heads")]
    pub heads: usize,
    /// Width of the block's hidden layer; 0: twice that of an element.
    #[serde(default)]
    pub hidden: usize,
}

fn heads() -> usize {
    4
}

impl SetAttention {
    /// So many points; four heads.
    #[must_use]
    pub fn new(points: usize) -> SetAttention {
        SetAttention { points, heads: heads(), hidden: 0 }
    }
}

impl AttentionPool {
    /// So many seeds; four heads.
    #[must_use]
    pub fn new(seeds: usize) -> AttentionPool {
        AttentionPool { seeds, heads: heads(), hidden: 0 }
    }
}

/// What a block is made of.
struct Block {
    heads: usize,
    hidden: usize,
}

impl Block {
    fn of(heads: usize, hidden: usize, channels: usize) -> Block {
        Block { heads, hidden: if hidden == 0 { 2 * channels } else { hidden } }
    }

    fn params(&self, name: &str, channels: usize, to: &mut Params<'_>) {
        let role = to.role;
        let glorot = |i: usize, o: usize| Init::Uniform((6.0 / (i + o) as f64).sqrt());
        let norm = |to: &mut Params<'_>, what: &str| {
            for (part, start) in [("gain", 1.0), ("shift", 0.0)] {
                let of = to.layout.push(format!("{name}.{what}.{part}"), &[channels], Init::Constant(start));
                of.role = ParamRole::Norm;
            }
        };
        let product = |to: &mut Params<'_>, [weight, bias]: [&str; 2], i: usize, o: usize| {
            to.layout.push(format!("{name}.{weight}"), &[i, o], glorot(i, o)).role = role;
            to.layout.push(format!("{name}.{bias}"), &[o], Init::Constant(0.0)).role = role;
        };
        norm(to, "query_norm");
        PARTS.into_iter().for_each(|part| product(to, part, channels, channels));
        norm(to, "norm");
        product(to, ["wide", "wide_bias"], channels, self.hidden);
        product(to, ["narrow", "narrow_bias"], self.hidden, channels);
        norm(to, "key_norm");
    }

    /// Queries q `[b, n, l, c]` that ask about y `[b, n, m, c]` where `seen [b, n, 1, 1, m]` is 1.
    fn apply(
        &self,
        g: &mut Graph,
        f: &Forward<'_>,
        name: &str,
        [q, y]: [Value; 2],
        seen: Option<Value>,
    ) -> Value {
        let norm = |g: &mut Graph, x: Value, what: &str| {
            let mut kept = g.shape(x).to_vec();
            kept[3] = 1;
            let x = norm::standardised(g, x, &kept, None);
            norm::scaled(g, x, &format!("{name}.{what}"), f)
        };
        let get =
            |g: &mut Graph, part: [&str; 2]| part.map(|what| f.weights.get(g, &format!("{name}.{what}")));
        let parts = PARTS.map(|part| get(g, part));
        let (asked, keys) = (norm(g, q, "query_norm"), norm(g, y, "key_norm"));
        let (told, _) = attend(g, [asked, keys], &parts, (self.heads, false), seen);
        let a = g.add(q, told);
        let h = norm(g, a, "norm");
        let (wide, narrow) = (get(g, ["wide", "wide_bias"]), get(g, ["narrow", "narrow_bias"]));
        let h = dense(g, h, wide);
        let h = g.act(Activation::Gelu, h);
        let h = dense(g, h, narrow);
        g.add(a, h)
    }
}

/// Refuses what is no set, and sizes that do not fit; `count` of what is learned.
fn check(row: &[usize], (what, count): (&str, usize), heads: usize, hidden: usize) -> Result<(), String> {
    let &[_, channels] = row else {
        return Err(format!("attention reads sequences [length, channels], not rows {row:?}"));
    };
    if !(1..=65_536).contains(&count) || hidden > 65_536 {
        return Err(format!(
            "{count} {what} and {hidden} hidden units: 1 to 65536 {what} are possible, and 65536 units at most"
        ));
    }
    if heads == 0 || !channels.is_multiple_of(heads) {
        return Err(format!("{heads} heads do not part a width of {channels} evenly"));
    }
    if channels == 1 {
        return Err("the norm of one number is always 0, and elements have one channel".into());
    }
    Ok(())
}

/// Learned elements `[count, c]`, which begin as large as normalised ones.
fn put_learned(name: String, count: usize, channels: usize, to: &mut Params<'_>) {
    to.layout.push(name, &[count, channels], Init::Normal(1.0)).role = to.role;
}

/// Learned elements for every row of elements `[b, n, ..]`.
fn learned(g: &mut Graph, f: &Forward<'_>, name: &str, x: Value) -> Value {
    let &[b, n, _, channels] = g.shape(x) else { panic!("sequences have four axes") };
    let v = f.weights.get(g, name);
    let own = if g.shape(v).len() == 3 { b } else { 1 };
    let count = g.shape(v)[g.shape(v).len() - 2];
    let v = g.reshape(v, &[own, 1, count, channels]);
    g.expand(v, &[b, n, count, channels])
}

/// Where elements of sequences are, as attention to them reads it.
fn seen(g: &mut Graph, f: &Forward<'_>, x: Value) -> Option<Value> {
    let &[b, n, length, _] = g.shape(x) else { panic!("sequences have four axes") };
    f.there(g, &[b, n, 1, 1, length])
}

impl Kind for SetAttention {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        check(row, ("points", self.points), self.heads, self.hidden)?;
        Ok(row.to_vec())
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let &[_, channels] = row else { return };
        let name = to.layer();
        let block = Block::of(self.heads, self.hidden, channels);
        put_learned(format!("{name}.points"), self.points, channels, to);
        block.params(&format!("{name}.in"), channels, to);
        block.params(&format!("{name}.out"), channels, to);
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let shape = g.shape(x).to_vec();
        let y = g.scope(name.clone(), |g| {
            let x = sequences(g, x, f);
            let block = Block::of(self.heads, self.hidden, g.shape(x)[3]);
            let (points, seen) = (learned(g, f, &format!("{name}.points"), x), seen(g, f, x));
            let told = block.apply(g, f, &format!("{name}.in"), [points, x], seen);
            block.apply(g, f, &format!("{name}.out"), [x, told], None)
        });
        let y = g.reshape(y, &shape);
        f.gave(y)
    }
}

impl Kind for AttentionPool {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        check(row, ("seeds", self.seeds), self.heads, self.hidden)?;
        Ok(vec![self.seeds * row[1]])
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let &[_, channels] = row else { return };
        let name = to.layer();
        put_learned(format!("{name}.seeds"), self.seeds, channels, to);
        Block::of(self.heads, self.hidden, channels).params(&format!("{name}.pool"), channels, to);
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let lead = g.shape(x)[..f.lead].to_vec();
        let y = g.scope(name.clone(), |g| {
            let x = sequences(g, x, f);
            let block = Block::of(self.heads, self.hidden, g.shape(x)[3]);
            let (seeds, seen) = (learned(g, f, &format!("{name}.seeds"), x), seen(g, f, x));
            block.apply(g, f, &format!("{name}.pool"), [seeds, x], seen)
        });
        let width = g.shape(y)[2] * g.shape(y)[3];
        let y = g.reshape(y, &[&lead[..], &[width]].concat());
        f.gave(y)
    }
}
