//! Written weights in tiles: a token for each, `[D]`, and for each layer of the target a head `[D, weights of a tile]`. A layer of at most
//! `tile` weights is one tile; a larger one is cut into several as even ones, which share its head.

use crate::graph::{Graph, Value};
use crate::hyper::HyperSpec;
use crate::net::{ParamLayout, Weights};

/// A layer of the target, as far as it is written.
struct Written {
    /// The first part of its parameters' names.
    layer: String,
    weights: usize,
    /// Number of its tiles, and their weights.
    tiles: usize,
    each: usize,
}

/// The tiles of a target.
pub(super) struct Tiles(Vec<Written>);

impl Tiles {
    /// Those of at most so many weights.
    pub(super) fn of(spec: &HyperSpec, tile: usize) -> Tiles {
        let mut all: Vec<Written> = Vec::new();
        let written = spec.written_params();
        for (name, weights) in written {
            let layer = name.split('.').next().unwrap_or_default().to_string();
            match all.last_mut().filter(|last| last.layer == layer) {
                Some(last) => last.weights += weights,
                None => all.push(Written { layer, weights, tiles: 0, each: 0 }),
            }
        }
        for written in &mut all {
            written.tiles = written.weights.div_ceil(tile);
            written.each = written.weights.div_ceil(written.tiles);
        }
        Tiles(all)
    }

    /// Number of tokens.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|w| w.tiles).sum()
    }

    /// Appends the heads, for tokens of that width.
    pub(super) fn params(&self, spec: &HyperSpec, width: usize, to: &mut ParamLayout) {
        for w in &self.0 {
            to.push(format!("head.{}.weight", w.layer), &[width, w.each], spec.head_init(width));
        }
    }

    /// What tokens `[T, K, D]` write, `[T, W]`.
    pub(super) fn write(&self, g: &mut Graph, spec: &HyperSpec, params: Weights<'_>, tokens: Value) -> Value {
        let t = g.shape(tokens)[0];
        g.scope("head", |g| {
            let tokens = spec.levelled(g, tokens);
            let mut at = 0;
            let parts: Vec<Value> = (self.0.iter())
                .map(|w| {
                    let own = g.slice(tokens, 1, at, w.tiles);
                    at += w.tiles;
                    let head = params.get(g, &format!("head.{}.weight", w.layer));
                    let y = g.matmul(own, head);
                    let y = g.reshape(y, &[t, w.tiles * w.each]);
                    // The last tile may reach beyond the weights.
                    g.slice(y, 1, 0, w.weights)
                })
                .collect();
            g.concat(&parts, 1)
        })
    }
}

/// Refuses sizes beyond any use, each with its name, and what is possible.
pub(super) fn check(sizes: &[(&str, usize, std::ops::RangeInclusive<usize>)]) -> Result<(), String> {
    match sizes.iter().find(|(_, n, range)| !range.contains(n)) {
        Some((name, n, range)) => {
            Err(format!("{name} = {n}: {} to {} are possible", range.start(), range.end()))
        }
        None => Ok(()),
    }
}
