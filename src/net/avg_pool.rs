//! The mean of each window, channel by channel.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use super::spatial::Sizes;
use super::window::Pooling;
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// A pool of means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AvgPool {
    /// Elements of a window.
    #[serde(rename = "avg_pool")]
    pub size: Sizes,
    /// Distance of two windows; not given: their size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Sizes>,
}

impl AvgPool {
    /// Windows of `size`, side by side. Another stride is assigned.
    #[must_use]
    pub fn new(size: impl Into<Sizes>) -> AvgPool {
        AvgPool { size: size.into(), stride: None }
    }
}

impl Kind for AvgPool {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        Pooling::new(self.size, self.stride, row)?.output(row)
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let row = &g.shape(x)[f.lead..];
        let pool = Pooling::new(self.size, self.stride, row).unwrap_or_else(|e| panic!("{e}"));
        g.scope("avg_pool", |g| {
            let sum = pool.reduce(g, x, f.lead, |g, a, b| g.add(a, b));
            g.scale(sum, 1.0 / pool.elements() as f64)
        })
    }
}
