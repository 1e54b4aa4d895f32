//! `w_t = 2 σ(m(z_t)) w`: all tasks share weights, and a gate between 0 and 2 lets each of them through or not, for each task (in the manner of Książek and Spurek 2023, "HyperMask").
//! The gates are written in chunks ([`Chunked`]), and begin at 1.

use serde::{Deserialize, Serialize};

use super::{Chunked, Generate};
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{ParamLayout, Weights};
use crate::spec::Activation;

/// Gates on shared weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Masked {
    /// Gates of a chunk.
    pub chunk: usize,
    /// Width of the embedding of a chunk.
    pub embedding: usize,
}

impl Default for Masked {
    fn default() -> Masked {
        let Chunked { chunk, embedding, .. } = Chunked::default();
        Masked { chunk, embedding }
    }
}

impl Masked {
    /// What writes the arguments of the gates.
    fn gates(&self) -> Chunked {
        Chunked { chunk: self.chunk, embedding: self.embedding, base: true }
    }
}

impl Generate for Masked {
    fn check(&self) -> Result<(), String> {
        self.gates().check()
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        self.gates().params(spec, to);
    }

    fn trunk(&self, g: &mut Graph, spec: &HyperSpec, params: Weights<'_>, read: &Read) -> Vec<Value> {
        self.gates().trunk(g, spec, params, read)
    }

    fn written(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        read: Option<&Read>,
    ) -> Option<Value> {
        let m = self.gates().written(g, spec, params, read)?;
        Some(g.scope("gates", |g| {
            let base = params.get(g, "head.bias");
            let parts: Vec<Value> = (spec.segments().into_iter().filter(|s| s.1))
                .map(|(range, _)| g.slice(base, 0, range.start, range.len()))
                .collect();
            let own = g.concat(&parts, 0);
            let gate = g.act(Activation::Sigmoid, m);
            // What is added to the shared weights: w (2 σ(m) - 1).
            let away = g.affine(gate, 2.0, -1.0);
            g.mul(away, own)
        }))
    }
}
