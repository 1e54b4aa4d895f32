//! `y = φ((x W + b) (1 + gain(z_t)) + shift(z_t))`: all tasks share the weights, and what was read of a task scales and shifts what each layer but the last gives (Perez et al. 2018, "FiLM").
//! Written as weights, the gains multiply the columns of W and what they shift is added to b, so that a task's network has the size of the target and nothing beside.

use serde::{Deserialize, Serialize};

use super::Generate;
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{Init, Param, ParamLayout, ParamRole, Weights};
use crate::spec::count;

/// Gains and shifts of layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Film {}

/// What is modulated: a weight, and the bias that lies behind it, where there is one.
struct Layer {
    weight: Param,
    bias: bool,
    width: usize,
}

/// The layers but the last.
fn layers(all: &[Param]) -> Vec<Layer> {
    let modulated = all.iter().enumerate().filter(|(_, p)| p.fans().is_some() && p.role != ParamRole::Head);
    modulated
        .map(|(at, p)| {
            let own = p.name.strip_suffix(".weight").map(|layer| format!("{layer}.bias"));
            let bias = all.get(at + 1).is_some_and(|next| own.as_deref() == Some(&next.name));
            Layer { weight: p.clone(), bias, width: p.shape.last().copied().unwrap_or(1) }
        })
        .collect()
}

impl Generate for Film {
    fn check_target(&self, spec: &HyperSpec) -> Result<(), String> {
        match layers(&spec.written_layout()).is_empty() {
            true => {
                Err("there is no layer before the last to modulate: generator = \"film\" needs a hidden one"
                    .into())
            }
            false => Ok(()),
        }
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let inputs = spec.condition.width();
        spec.add_trunk(to, inputs);
        let numbers: usize = layers(&spec.written_layout()).iter().map(|l| 2 * l.width).sum();
        to.push("head.weight", &[spec.features(inputs), numbers], Init::Constant(0.0));
        to.push("head.offset", &[numbers], Init::Constant(0.0));
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
        let tasks = g.shape(h)[0];
        Some(g.scope("head", |g| {
            let [weight, offset] = ["head.weight", "head.offset"].map(|name| params.get(g, name));
            let all = g.matmul(h, weight);
            let all = g.add(all, offset);
            let base = params.get(g, "head.bias");
            let params = spec.written_layout();
            let layers = layers(&params);
            let mut at = 0;
            let mut next = None;
            let parts: Vec<Value> = (params.iter())
                .map(|p| {
                    let own = g.slice(base, 0, p.offset, count(&p.shape));
                    if let Some(layer) = layers.iter().find(|l| l.weight.name == p.name) {
                        let [gain, shift] =
                            [0, 1].map(|i| g.slice(all, 1, at + i * layer.width, layer.width));
                        at += 2 * layer.width;
                        next = layer.bias.then_some((gain, shift));
                        let rows = count(&p.shape) / layer.width;
                        let own = g.reshape(own, &[1, rows, layer.width]);
                        let gain = g.reshape(gain, &[tasks, 1, layer.width]);
                        let part = g.mul(own, gain);
                        return g.reshape(part, &[tasks, rows * layer.width]);
                    }
                    match next.take() {
                        Some((gain, shift)) => {
                            let part = g.mul(gain, own);
                            g.add(part, shift)
                        }
                        None => {
                            let zero = g.constant(0.0);
                            g.expand(zero, &[tasks, count(&p.shape)])
                        }
                    }
                })
                .collect();
            g.concat(&parts, 1)
        }))
    }
}
