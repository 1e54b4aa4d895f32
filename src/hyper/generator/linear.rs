//! `w_t = trunk(z_t) · W + w`: a linear head writes all P weights at once; W `[h, P]` is nearly all of the hypernetwork.

use serde::{Deserialize, Serialize};

use super::Generate;
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
use crate::net::{ParamLayout, Weights};

/// A linear head on the trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {}

impl Generate for Linear {
    fn may_draw(&self) -> bool {
        true
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let inputs = spec.condition.width();
        spec.add_trunk(to, inputs);
        let features = spec.features(inputs);
        to.push("head.weight", &[features, spec.written()], spec.head_init(features));
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
            let h = spec.levelled(g, h);
            let w = params.get(g, "head.weight");
            g.matmul(h, w)
        }))
    }
}
