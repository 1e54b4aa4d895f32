//! The largest element of each window, channel by channel. Of equal ones the first in row-major order takes the gradient, as in
//! PyTorch and JAX.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use super::spatial::Sizes;
use super::window::Pooling;
use crate::graph::op::Binary;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// A pool of maxima.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MaxPool {
    /// Elements of a window.
    #[serde(rename = "max_pool")]
    pub size: Sizes,
    /// Distance of two windows; not given: their size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Sizes>,
}

impl MaxPool {
    /// Windows of `size`, side by side. Another stride is assigned.
    #[must_use]
    pub fn new(size: impl Into<Sizes>) -> MaxPool {
        MaxPool { size: size.into(), stride: None }
    }
}

impl Kind for MaxPool {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        Pooling::new(self.size, self.stride, row)?.output(row)
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let row = &g.shape(x)[f.lead..];
        let pool = Pooling::new(self.size, self.stride, row).unwrap_or_else(|e| panic!("{e}"));
        g.scope("max_pool", |g| pool.reduce(g, x, f.lead, |g, a, b| g.zip(Binary::Max, a, b)))
    }
}
