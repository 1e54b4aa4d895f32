//! How the first version described a network: widths of dense layers. Only read, from its checkpoints.

use serde::Deserialize;

use super::Net;
use crate::spec::Activation;

/// `widths[0]` inputs, the last `context` of them context parameters, hidden layers with `activation`, a linear output layer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DenseSpec {
    widths: Vec<usize>,
    activation: Activation,
    #[serde(default)]
    context: usize,
}

impl TryFrom<DenseSpec> for Net {
    type Error = String;

    fn try_from(spec: DenseSpec) -> Result<Net, String> {
        let DenseSpec { mut widths, activation, context } = spec;
        if widths.len() < 2 || context >= widths[0] {
            return Err(format!("widths {widths:?} with {context} context parameters are no dense network"));
        }
        widths[0] -= context;
        Ok(Net::mlp_in_context(&widths, activation, context))
    }
}
