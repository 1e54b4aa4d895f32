//! A static hypernetwork (Ha et al. 2016, "HyperNetworks", section 4.1): nothing is read of a task. The kernels of all convolutions are
//! cut into blocks of `block` input by `block` output channels, each with a learned embedding z, and one small generator of two linear
//! layers writes all of them: for each input channel i of a block `a_i = W_i z + c_i` with `features` numbers, and the taps of all
//! output channels are `a_i V + d`. V belongs to a number of taps (3 × 3 and 1 × 1 have one each). Blocks at the rim of a kernel are cut.
//!
//! What a block gives is of order one, and is multiplied by the deviation that the kernel would be drawn with, so that the target starts
//! as large as one that is trained directly. What is no kernel (dense layers, biases, norms) is a parameter of its own, `direct`.

use serde::{Deserialize, Serialize};

use super::Generate;
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{Init, Param, ParamLayout, Weights};
use crate::spec::count;

/// Kernels from an embedding of each of their blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Static {
    /// Input channels of a block, and output channels.
    pub block: usize,
    /// Width of the embedding of a block.
    pub embedding: usize,
    /// Numbers that the taps of an input channel are written from.
    pub features: usize,
}

impl Default for Static {
    fn default() -> Static {
        Static { block: 16, embedding: 32, features: 12 }
    }
}

/// A kernel `[.., in, out]` in blocks.
struct Kernel<'l> {
    param: &'l Param,
    taps: usize,
    channels: [usize; 2],
    /// Number of blocks along both.
    blocks: [usize; 2],
}

impl Static {
    /// The kernel that a parameter is, in blocks; `None` for any other parameter.
    fn kernel<'l>(&self, param: &'l Param) -> Option<Kernel<'l>> {
        match &param.shape[..] {
            [window @ .., inputs, outputs] if param.is_kernel() => {
                let channels = [*inputs, *outputs];
                let blocks = channels.map(|n| n.div_ceil(self.block));
                Some(Kernel { param, taps: count(window), channels, blocks })
            }
            _ => None,
        }
    }

    /// The kernels of a target.
    fn kernels<'l>(&self, target: &'l ParamLayout) -> Vec<Kernel<'l>> {
        target.params.iter().filter_map(|p| self.kernel(p)).collect()
    }

    /// Where parameters that are no kernels lie in the target.
    fn direct<'l>(&self, target: &'l ParamLayout) -> impl Iterator<Item = &'l Param> {
        let this = *self;
        target.params.iter().filter(move |p| this.kernel(p).is_none())
    }
}

/// The name of the second layer for kernels of so many taps.
fn second(taps: usize) -> String {
    format!("taps.{taps}")
}

impl Generate for Static {
    fn reads(&self) -> bool {
        false
    }

    fn has_base(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), String> {
        let Static { block, embedding, features } = *self;
        match (1..=256).contains(&block) && [embedding, features].iter().all(|n| (1..=4096).contains(n)) {
            true => Ok(()),
            false => Err(format!(
                "blocks of {block} channels, embeddings of {embedding} and {features} features: 1 to 256 channels and 1 to 4096 numbers \
                 are possible"
            )),
        }
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let target = spec.target.layout();
        let kernels = self.kernels(&target);
        let blocks: usize = kernels.iter().map(|k| count(&k.blocks)).sum();
        if blocks > 0 {
            let first = self.block * self.features;
            to.push("blocks", &[blocks, self.embedding], Init::Normal(1.0));
            let each = Init::Normal(1.0 / (self.embedding as f64).sqrt());
            to.push("channels.weight", &[self.embedding, first], each);
            to.push("channels.bias", &[first], Init::Constant(0.0));
        }
        let mut sizes: Vec<usize> = kernels.iter().map(|k| k.taps).collect();
        sizes.sort_unstable();
        sizes.dedup();
        for taps in sizes {
            let each = Init::Normal(1.0 / (self.features as f64).sqrt());
            to.push(format!("{}.weight", second(taps)), &[self.features, taps * self.block], each);
            to.push(format!("{}.bias", second(taps)), &[taps * self.block], Init::Constant(0.0));
        }
        let direct: usize = self.direct(&target).map(|p| count(&p.shape)).sum();
        if direct > 0 {
            to.push("direct", &[direct], Init::Constant(0.0));
        }
    }

    fn start(&self, spec: &HyperSpec, layout: &ParamLayout, params: &mut [f32], base: &[f32]) {
        let Some(direct) = layout.get("direct") else { return };
        let start: Vec<f32> =
            self.direct(&spec.target.layout()).flat_map(|p| base[p.range()].iter().copied()).collect();
        params[direct.range()].copy_from_slice(&start);
    }

    fn written(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        _: Option<&Read>,
    ) -> Option<Value> {
        let target = spec.target.layout();
        let any = target.params.iter().any(|p| self.kernel(p).is_some());
        // What each block's input channels are written from, [blocks, block, features].
        let channels = any.then(|| {
            let blocks = params.get(g, "blocks");
            let a = params.linear(g, "channels", blocks);
            let n = g.shape(a)[0];
            g.reshape(a, &[n, self.block, self.features])
        });
        let (mut block, mut direct, mut parts) = (0, 0, Vec::new());
        for param in &target.params {
            let part = match (self.kernel(param), channels) {
                (Some(kernel), Some(channels)) => {
                    let n = count(&kernel.blocks);
                    let mine = g.slice(channels, 0, block, n);
                    block += n;
                    self.write(g, params, &kernel, mine)
                }
                _ => {
                    let (all, n) = (params.get(g, "direct"), count(&param.shape));
                    direct += n;
                    g.slice(all, 0, direct - n, n)
                }
            };
            parts.push(part);
        }
        let all = g.concat(&parts, 0);
        Some(g.reshape(all, &[1, target.len()]))
    }
}

impl Static {
    /// A kernel, flat, from what its blocks are written from, `[blocks, block, features]`.
    fn write(&self, g: &mut Graph, params: Weights<'_>, kernel: &Kernel<'_>, channels: Value) -> Value {
        let Kernel { param, taps, channels: [inputs, outputs], blocks: [across, along] } = *kernel;
        let b = self.block;
        let rows = g.reshape(channels, &[across * along * b, self.features]);
        let written = params.linear(g, &second(taps), rows);
        let written = g.reshape(written, &[across, along, b, taps, b]);
        let written = g.permute(written, &[3, 0, 2, 1, 4]);
        let written = g.reshape(written, &[taps, across * b, along * b]);
        let written = g.slice(written, 1, 0, inputs);
        let written = g.slice(written, 2, 0, outputs);
        let written = g.scale(written, param.init.deviation());
        g.reshape(written, &[count(&param.shape)])
    }
}
