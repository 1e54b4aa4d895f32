//! `w_t = [trunk(z_t, e_1) · W, …, trunk(z_t, e_C) · W] + w`: one small network writes the weights in C chunks, one after another,
//! told which by a learned embedding e of each chunk (von Oswald et al. 2020, "Continual learning with hypernetworks"). W is
//! `[h, chunk]` instead of `[h, P]`: the parameters grow by P for the base weights and by an embedding a chunk, so that large
//! targets can be afforded.

use serde::{Deserialize, Serialize};

use super::Generate;
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{Init, ParamLayout, Weights};

/// Trunk and head once for each chunk of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Chunked {
    /// Weights of a chunk.
    pub chunk: usize,
    /// Width of the embedding of a chunk.
    pub embedding: usize,
    /// Whether what is written is a correction to weights that all tasks share; else it is all there is, and parameters grow with the size of a chunk and
    /// the number of chunks alone, as in the paper.
    #[serde(skip_serializing_if = "is_true")]
    pub base: bool,
}

fn is_true(yes: &bool) -> bool {
    *yes
}

impl Default for Chunked {
    fn default() -> Chunked {
        Chunked { chunk: 256, embedding: 16, base: true }
    }
}

impl Chunked {
    /// C: the number of chunks of `weights` weights.
    fn chunks(&self, weights: usize) -> usize {
        weights.div_ceil(self.chunk)
    }

    /// What the trunk reads of every chunk: the condition, then the chunk's embedding, `[T, C, E + m]`.
    fn inputs(&self, g: &mut Graph, params: Weights<'_>, z: Value) -> Value {
        let chunks = params.get(g, "chunks");
        let (&[t, e], &[c, m]) = (g.shape(z), g.shape(chunks)) else { panic!("both are matrices") };
        let z = g.reshape(z, &[t, 1, e]);
        let z = g.expand(z, &[t, c, e]);
        let chunks = g.expand(chunks, &[t, c, m]);
        g.concat(&[z, chunks], 2)
    }
}

impl Generate for Chunked {
    fn may_draw(&self) -> bool {
        true
    }

    fn has_base(&self) -> bool {
        self.base
    }

    fn check(&self) -> Result<(), String> {
        let sound = (1..=1 << 20).contains(&self.chunk) && (1..=4096).contains(&self.embedding);
        match sound {
            true => Ok(()),
            false => Err(format!(
                "chunks of {} weights with embeddings of {} numbers: 1 to {} weights and 1 to 4096 numbers are possible",
                self.chunk,
                self.embedding,
                1 << 20
            )),
        }
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let inputs = spec.condition.width() + self.embedding;
        to.push("chunks", &[self.chunks(spec.written()), self.embedding], Init::Normal(1.0));
        spec.add_trunk(to, inputs);
        let features = spec.features(inputs);
        to.push("head.weight", &[features, self.chunk], spec.head_init(features));
        if !self.base {
            to.push("head.offset", &[self.chunk], Init::Constant(0.0));
        }
    }

    fn trunk(&self, g: &mut Graph, spec: &HyperSpec, params: Weights<'_>, read: &Read) -> Vec<Value> {
        let x = self.inputs(g, params, read.condition);
        spec.run_trunk(g, params, x)
    }

    fn written(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        read: Option<&Read>,
    ) -> Option<Value> {
        let x = self.inputs(g, params, read?.condition);
        let h = spec.trunk_gave(g, params, x);
        Some(g.scope("head", |g| {
            let h = spec.levelled(g, h);
            let w = params.get(g, "head.weight");
            let mut y = g.matmul(h, w);
            if !self.base {
                let offset = params.get(g, "head.offset");
                y = g.add(y, offset);
            }
            let [t, c, len] = g.shape(y)[..] else { panic!("chunks are [T, C, chunk]") };
            let y = g.reshape(y, &[t, c * len]);
            // The last chunk may reach beyond the weights.
            g.slice(y, 1, 0, spec.written())
        }))
    }
}
