//! `w_t = trunk(z_t) · W + w`: a linear head writes all P weights at once; W `[h, P]` is nearly all of the hypernetwork.

use serde::{Deserialize, Serialize};

use super::Generate;
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{Init, ParamLayout, Weights};

/// A linear head on the trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {}

impl Generate for Linear {
    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let inputs = spec.condition.width();
        spec.add_trunk(to, inputs);
        to.push("head.weight", &[spec.features(inputs), spec.written()], Init::Constant(0.0));
    }

    fn written(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        read: Option<&Read>,
    ) -> Option<Value> {
        let read = read?;
        let h = spec.trunk_gave(g, params, read.condition);
        Some(g.scope("head", |g| {
            let w = params.get(g, "head.weight");
            g.matmul(h, w)
        }))
    }
}
