//! The mean of each window, channel by channel.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind};
use super::spatial::{Padding, Sizes};
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
    /// Elements around rows: none (`valid`), or zeros that count as elements (`same`).
    #[serde(default = "valid", skip_serializing_if = "is_valid")]
    pub padding: Padding,
}

fn valid() -> Padding {
    Padding::Valid
}

fn is_valid(padding: &Padding) -> bool {
    *padding == Padding::Valid
}

impl AvgPool {
    /// Windows of `size`, side by side. Another stride and padding are assigned.
    #[must_use]
    pub fn new(size: impl Into<Sizes>) -> AvgPool {
        AvgPool { size: size.into(), stride: None, padding: Padding::Valid }
    }
}

impl Kind for AvgPool {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        Pooling::padded(self.size, self.stride, self.padding, row)?.output(row)
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let row = &g.shape(x)[f.lead..];
        let pool =
            Pooling::padded(self.size, self.stride, self.padding, row).unwrap_or_else(|e| panic!("{e}"));
        g.scope("avg_pool", |g| {
            let sum = pool.reduce(g, x, f.lead, |g, a, b| g.add(a, b));
            g.scale(sum, 1.0 / pool.elements() as f64)
        })
    }
}
