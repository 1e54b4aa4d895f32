//! `w_t = w`: one learned initialisation for all tasks (MAML and its kin).

use serde::{Deserialize, Serialize};

use super::Generate;
use crate::graph::{Graph, Value};
use crate::hyper::{HyperSpec, Read};
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

    fn written(&self, _: &mut Graph, _: &HyperSpec, _: Weights<'_>, _: Option<&Read>) -> Option<Value> {
        None
    }
}
