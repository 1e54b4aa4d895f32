//! Convolution over pictures `[height, width, channels]` or series `[length, channels]`: kernels `[kh, kw, in / groups, out]`
//! (series: `[k, in / groups, out]`), then a bias `[out]`.

use serde::{Deserialize, Serialize};

use super::layer::{Forward, Kind, Params};
use super::spatial::{Padding, Sizes, check_channels, images, kernels_like, one, row_like, spatial};
use crate::graph::conv::{Conv as Geometry, Window};
use crate::graph::{Graph, Value};
use crate::spec::{Shape, count};

/// A convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Conv {
    /// Output channels.
    #[serde(rename = "conv")]
    pub channels: usize,
    /// Taps of a kernel, along each axis or along both.
    pub kernel: Sizes,
    /// Distance of two windows.
    #[serde(default = "Sizes::one", skip_serializing_if = "Sizes::is_one")]
    pub stride: Sizes,
    /// Distance of two taps.
    #[serde(default = "Sizes::one", skip_serializing_if = "Sizes::is_one")]
    pub dilation: Sizes,
    /// Zeros around the rows.
    #[serde(default)]
    pub padding: Padding,
    /// Groups of channels that are convolved by themselves; as many as input channels: a depthwise convolution.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub groups: usize,
    /// Whether a bias is added.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub bias: bool,
}

fn is_one(groups: &usize) -> bool {
    *groups == 1
}

pub(super) fn yes() -> bool {
    true
}

pub(super) fn is_yes(bias: &bool) -> bool {
    *bias
}

impl Conv {
    /// So many channels by kernels of `kernel` taps along each axis, one at each element, zeros around ("same").
    pub fn new(channels: usize, kernel: impl Into<Sizes>) -> Conv {
        Conv {
            channels,
            kernel: kernel.into(),
            stride: Sizes::one(),
            dilation: Sizes::one(),
            padding: Padding::Same,
            groups: 1,
            bias: true,
        }
    }

    /// The windows over rows of shape `row`, how many there are along each axis, and the input channels.
    pub(crate) fn geometry(&self, row: &[usize]) -> Result<(Geometry, [usize; 2], usize), String> {
        let (extent, channels) = spatial(row, "a convolution")?;
        if self.groups == 0
            || !channels.is_multiple_of(self.groups)
            || !self.channels.is_multiple_of(self.groups)
        {
            return Err(format!(
                "{} groups do not part {channels} channels and {} evenly",
                self.groups, self.channels
            ));
        }
        check_channels(self.channels)?;
        let (kernel, stride, dilation) =
            (self.kernel.over(row)?, self.stride.over(row)?, self.dilation.over(row)?);
        let (mut windows, mut counts) = ([Window::new(1); 2], [0; 2]);
        for i in 0..2 {
            let window = Window { size: kernel[i], stride: stride[i], dilation: dilation[i], before: 0 };
            (windows[i], counts[i]) = self.padding.lay(window, extent[i])?;
        }
        Ok((Geometry { windows, groups: self.groups }, counts, channels))
    }
}

impl Kind for Conv {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let (_, windows, _) = self.geometry(row)?;
        Ok(row_like(row, windows, self.channels))
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let Ok((geometry, _, channels)) = self.geometry(row) else { return };
        let shape = kernels_like(row, &geometry.windows, [channels / self.groups, self.channels]);
        to.weight_and_bias(&shape, count(&shape) / self.channels, self.bias.then_some(self.channels));
    }

    fn is_causal(&self) -> bool {
        self.padding == Padding::Causal && self.stride.is_one()
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let row = g.shape(x)[f.lead..].to_vec();
        let (geometry, windows, channels) = self.geometry(&row).unwrap_or_else(|e| panic!("{e}"));
        let y = g.scope(name.clone(), |g| {
            let [kh, kw] = geometry.windows.map(|w| w.size);
            let shape = [kh, kw, channels / self.groups, self.channels];
            let x = f.product_reads(g, x);
            let x = images(g, x, &row, f, count(&shape));
            let b = g.shape(x)[0];
            let k = f.kernels(g, &format!("{name}.weight"), b, shape);
            let y = g.conv(geometry, x, k, windows);
            f.add_bias(g, y, self.bias.then(|| format!("{name}.bias")))
        });
        let y = f.rows_again(g, y, &self.output(&row).unwrap_or_default());
        f.gave(y)
    }
}
