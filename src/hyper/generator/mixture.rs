//! `w_t = Σ_k a_k(z_t) W_k`: K networks are learned, and what was read of a task says how much of each it gets, shares that sum to one (Yang et al. 2019, "CondConv", with a mixture for the
//! whole network).

use serde::{Deserialize, Serialize};

use super::Generate;
use super::tiles::check;
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{Init, ParamLayout, Weights};
use crate::rng::Rng;

/// A mixture of learned networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mixture {
    /// K: their number.
    pub networks: usize,
}

impl Default for Mixture {
    fn default() -> Mixture {
        Mixture { networks: 8 }
    }
}

/// How far networks begin from the one that they are drawn around, as a share of the deviation that weights are drawn with.
const APART: f64 = 0.3;

impl Generate for Mixture {
    fn check(&self) -> Result<(), String> {
        check(&[("networks", self.networks, 2..=1024)])
    }

    fn has_base(&self) -> bool {
        false
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let inputs = spec.condition.width();
        spec.add_trunk(to, inputs);
        let width = spec.features(inputs);
        let each = Init::Normal(1.0 / (width as f64).sqrt());
        to.push("shares.weight", &[width, self.networks], each);
        to.push("shares.bias", &[self.networks], Init::Constant(0.0));
        to.push("networks", &[self.networks, spec.target.layout().len()], Init::Normal(1.0));
    }

    fn start(&self, spec: &HyperSpec, layout: &ParamLayout, params: &mut [f32], base: &[f32]) {
        let Some(networks) = layout.get("networks") else { return };
        let target = spec.target.layout();
        // Numbers of deviation 1, drawn as parameters: each network lies around the one to start with.
        let mut around = target.init(&mut Rng::new(0x313, base.len() as u64));
        for p in &target.params {
            let middle = p.init.middle() as f32;
            let spread: f64 = around[p.range()].iter().map(|v| f64::from(v - middle).powi(2)).sum();
            let deviation = (spread / p.range().len().max(1) as f64).sqrt() as f32;
            around[p.range()].fill(APART as f32 * deviation);
        }
        for network in params[networks.range()].chunks_mut(base.len()) {
            for ((w, start), spread) in network.iter_mut().zip(base).zip(&around) {
                *w = start + *w * spread;
            }
        }
    }

    fn written(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        read: Option<&Read>,
    ) -> Option<Value> {
        let z = read?.condition;
        let h = spec.trunk_gave(g, params, z);
        Some(g.scope("mixture", |g| {
            let logits = params.linear(g, "shares", h);
            let logs = g.log_softmax(logits);
            let shares = g.map(Func::Exp, logs);
            let networks = params.get(g, "networks");
            g.matmul(shares, networks)
        }))
    }
}
