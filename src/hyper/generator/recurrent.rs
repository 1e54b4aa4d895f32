//! A GRU walks over the layers of the target, told what was read of the task and which layer it is at by a learned embedding, and what it
//! gives at each writes that layer: `h_k = GRU([trunk(z), e_k], h_(k - 1))`, `w_k = h_k head_l + w`. A layer is written knowing what was
//! written before it, by one small cell for all. Large layers are walked over in several tiles.

use serde::{Deserialize, Serialize};

use super::Generate;
use super::tiles::{Tiles, check};
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{self, Cell, Init, Net, ParamLayout, Weights};

/// A recurrent cell that writes one layer after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recurrent {
    /// Width of the cell's state.
    pub units: usize,
    /// Width of the embedding of a tile.
    pub embedding: usize,
    /// Most weights that are written at once.
    pub tile: usize,
}

impl Default for Recurrent {
    fn default() -> Recurrent {
        Recurrent { units: 64, embedding: 16, tile: 1024 }
    }
}

impl Recurrent {
    /// The walk over `tiles` tiles, with what is read of a task in so many numbers.
    fn walk(&self, features: usize, tiles: usize) -> Net {
        Net::rows([tiles, features + self.embedding]).recurrent(net::Recurrent::new(Cell::Gru, self.units))
    }
}

impl Generate for Recurrent {
    fn may_draw(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        check(&[
            ("units", self.units, 1..=65_536),
            ("embedding", self.embedding, 1..=4096),
            ("tile", self.tile, 1..=1 << 20),
        ])
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let (inputs, tiles) = (spec.condition.width(), Tiles::of(spec, self.tile));
        to.push("tiles", &[tiles.len(), self.embedding], Init::Normal(1.0));
        spec.add_trunk(to, inputs);
        to.extend("walk", &self.walk(spec.features(inputs), 1).layout());
        tiles.params(spec, self.units, to);
    }

    fn written(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        read: Option<&Read>,
    ) -> Option<Value> {
        let read = read?;
        let z = spec.trunk_gave(g, params, read.condition);
        let tiles = Tiles::of(spec, self.tile);
        let (&[t, width], k, m) = (g.shape(z), tiles.len(), self.embedding) else {
            panic!("what is read of tasks is [T, E]")
        };
        let embedded = params.get(g, "tiles");
        let embedded = g.expand(embedded, &[t, k, m]);
        let z = g.reshape(z, &[t, 1, width]);
        let z = g.expand(z, &[t, k, width]);
        let x = g.concat(&[z, embedded], 2);
        let x = g.reshape(x, &[t, k * (width + m)]);
        let states = g.scope("walk", |g| self.walk(width, k).apply_named(g, params, "walk", x));
        let states = g.reshape(states, &[t, k, self.units]);
        Some(tiles.write(g, spec, params, states))
    }
}
