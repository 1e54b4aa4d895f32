//! `w_t = w`: one learned initialisation for all tasks (MAML and its kin).

use serde::{Deserialize, Serialize};

use super::Generate;
use crate::graph::{Graph, Value};
use crate::hyper::HyperSpec;
use crate::net::{ParamLayout, Weights};

/// All tasks share the base weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shared {}

impl Generate for Shared {
    fn reads(&self) -> bool {
        false
    }

    fn params(&self, _: &HyperSpec, _: &mut ParamLayout) {}

    fn trunk(&self, _: &mut Graph, _: &HyperSpec, _: Weights<'_>, _: Value) -> Vec<Value> {
        vec![]
    }

    fn correction(&self, _: &mut Graph, _: &HyperSpec, _: Weights<'_>, _: Value) -> Option<Value> {
        None
    }
}
