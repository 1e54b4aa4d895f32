//! Transposed convolution: the gradient of a convolution by its input, forwards. Every element of a row adds its kernel to the
//! result, `stride` apart. Kernels `[kh, kw, in, out]` (series: `[k, in, out]`), then a bias `[out]`.

use serde::{Deserialize, Serialize};

use super::conv::{is_yes, yes};
use super::layer::{Forward, Kind, Params};
use super::spatial::{Padding, Sizes, check_channels, images, kernels_like, row_like, spatial};
use crate::graph::conv::{Conv as Geometry, Window};
use crate::graph::{Graph, Value};
use crate::spec::{Shape, count};

/// A transposed convolution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConvTranspose {
    /// Output channels.
    #[serde(rename = "conv_transpose")]
    pub channels: usize,
    /// Taps of a kernel.
    pub kernel: Sizes,
    /// How many elements of the result an element of the row stands for.
    #[serde(default = "Sizes::one", skip_serializing_if = "Sizes::is_one")]
    pub stride: Sizes,
    /// `same`: the result is `stride` times as long; `valid`: as long as all kernels reach.
    #[serde(default)]
    pub padding: Padding,
    /// Whether a bias is added.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub bias: bool,
}

impl ConvTranspose {
    /// So many channels by kernels of `kernel` taps along each axis, as long as the row ("same"). Another stride is assigned.
    pub fn new(channels: usize, kernel: impl Into<Sizes>) -> ConvTranspose {
        let (kernel, stride) = (kernel.into(), Sizes::one());
        ConvTranspose { channels, kernel, stride, padding: Padding::Same, bias: true }
    }

    /// The convolution that it is the transpose of, the extent of the result, and the input channels.
    pub(crate) fn geometry(&self, row: &[usize]) -> Result<(Geometry, [usize; 2], usize), String> {
        let (extent, channels) = spatial(row, "a transposed convolution")?;
        check_channels(self.channels)?;
        let (kernel, stride) = (self.kernel.over(row)?, self.stride.over(row)?);
        let (mut windows, mut result) = ([Window::new(1); 2], [0; 2]);
        for i in 0..2 {
            let window = Window { size: kernel[i], stride: stride[i], dilation: 1, before: 0 };
            result[i] = match self.padding {
                Padding::Same => extent[i] * stride[i],
                Padding::Valid => (extent[i] - 1) * stride[i] + kernel[i],
                Padding::Causal => return Err("a transposed convolution is padded same or valid".into()),
            };
            let (window, count) = self.padding.lay(window, result[i])?;
            if count != extent[i] {
                return Err(format!(
                    "kernels of {kernel:?} taps {stride:?} apart do not reach all of the result"
                ));
            }
            windows[i] = window;
        }
        Ok((Geometry { windows, groups: 1 }, result, channels))
    }
}

impl Kind for ConvTranspose {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let (_, extent, _) = self.geometry(row)?;
        Ok(row_like(row, extent, self.channels))
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let Ok((geometry, _, channels)) = self.geometry(row) else { return };
        let shape = kernels_like(row, &geometry.windows, [channels, self.channels]);
        // Each result sums over the inputs whose kernels reach it.
        let strides: usize = geometry.windows.iter().map(|w| w.stride).product();
        let fan_in = (count(&shape) / self.channels / strides).max(1);
        to.weight_and_bias(&shape, fan_in, self.bias.then_some(self.channels));
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let name = f.layer();
        let row = g.shape(x)[f.lead..].to_vec();
        let (geometry, extent, channels) = self.geometry(&row).unwrap_or_else(|e| panic!("{e}"));
        let y = g.scope(name.clone(), |g| {
            let [kh, kw] = geometry.windows.map(|w| w.size);
            // Of the convolution that goes the other way, the result's channels are the inputs.
            let shape = [kh, kw, channels, self.channels];
            let x = images(g, x, &row, f, count(&shape));
            let b = g.shape(x)[0];
            let k = f.kernels(g, &format!("{name}.weight"), b, shape);
            let k = g.permute(k, &[0, 1, 2, 4, 3]);
            let y = g.conv_input(geometry, x, k, extent);
            f.add_bias(g, y, self.bias.then(|| format!("{name}.bias")))
        });
        let y = f.rows_again(g, y, &self.output(&row).unwrap_or_default());
        f.gave(y)
    }
}
