//! `W_t = W + (α / r) A(z_t) B(z_t)` for every matrix W of the target (a kernel as one matrix over its window): A and B have rank r, so that a head writes `r (in + out)` numbers in the place
//! of `in · out` (Hu et al. 2022, "LoRA", whose factors are written here from what was read of a task). Biases and gains are shared by all tasks.

use serde::{Deserialize, Serialize};

use super::Generate;
use super::tiles::check;
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{Correction, Init, Param, ParamLayout, Weights};
use crate::spec::count;

/// Corrections of low rank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LowRank {
    /// r: the rank.
    pub rank: usize,
    /// α: what corrections are multiplied by, times the rank.
    pub scale: f64,
}

impl Default for LowRank {
    fn default() -> LowRank {
        LowRank { rank: 4, scale: 4.0 }
    }
}

impl LowRank {
    /// Rows, columns and rank of a parameter that is a matrix.
    fn matrix(&self, p: &Param) -> Option<[usize; 3]> {
        p.fans()?;
        let columns = *p.shape.last()?;
        Some([count(&p.shape) / columns, columns, self.rank])
    }
}

impl LowRank {
    /// The factors `[T, rows, r]`, which is multiplied already, and `[T, r, columns]` of a matrix, from what the trunk gave.
    fn factors(&self, g: &mut Graph, params: Weights<'_>, h: Value, p: &Param) -> Option<[Value; 2]> {
        let [rows, columns, rank] = self.matrix(p)?;
        let tasks = g.shape(h)[0];
        let [a, b] = ["a", "b"].map(|of| params.linear(g, &format!("head.{}.{of}", p.name), h));
        let a = g.reshape(a, &[tasks, rows, rank]);
        let a = g.scale(a, self.scale / rank as f64);
        Some([a, g.reshape(b, &[tasks, rank, columns])])
    }
}

impl Generate for LowRank {
    fn corrections(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        read: &Read,
    ) -> Option<Vec<Correction>> {
        if !spec.target.takes_corrections() {
            return None;
        }
        let h = spec.trunk_gave(g, params, read.condition);
        let of = |g: &mut Graph, p: &Param| {
            let factors = self.factors(g, params, h, p)?;
            let layer = p.name.strip_suffix(".weight")?.to_string();
            Some(Correction { layer, factors })
        };
        Some(g.scope("head", |g| spec.written_layout().iter().filter_map(|p| of(g, p)).collect()))
    }

    fn check(&self) -> Result<(), String> {
        check(&[("rank", self.rank, 1..=1024)])?;
        match self.scale.is_finite() && self.scale > 0.0 {
            true => Ok(()),
            false => Err(format!("scale = {}: a positive number is needed", self.scale)),
        }
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let inputs = spec.condition.width();
        spec.add_trunk(to, inputs);
        let width = spec.features(inputs);
        for p in spec.written_layout() {
            let Some([rows, columns, rank]) = self.matrix(&p) else { continue };
            // As in LoRA A is drawn and B is 0, so that corrections begin at 0 and their gradients do not.
            let each = (rows as f64).sqrt().recip();
            let drawn = Init::Normal(each / (width as f64).sqrt());
            to.push(format!("head.{}.a.weight", p.name), &[width, rows * rank], drawn);
            to.push(format!("head.{}.a.bias", p.name), &[rows * rank], Init::Normal(each));
            to.push(format!("head.{}.b.weight", p.name), &[width, rank * columns], Init::Constant(0.0));
            to.push(format!("head.{}.b.bias", p.name), &[rank * columns], Init::Constant(0.0));
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
        let tasks = g.shape(h)[0];
        Some(g.scope("head", |g| {
            let parts: Vec<Value> = (spec.written_layout().iter())
                .map(|p| match self.factors(g, params, h, p) {
                    None => {
                        let zero = g.constant(0.0);
                        g.expand(zero, &[tasks, count(&p.shape)])
                    }
                    Some([a, b]) => {
                        let product = g.matmul(a, b);
                        g.reshape(product, &[tasks, count(&p.shape)])
                    }
                })
                .collect();
            g.concat(&parts, 1)
        }))
    }
}
