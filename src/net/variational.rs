//! A variational autoencoder (Kingma and Welling 2014, "Auto-encoding variational Bayes", appendix B): an encoder reads what is coded, a
//! row of D numbers, and says how its code is distributed, `N(μ, diag σ²)`; a decoder writes the D logits of its numbers being 1 from a
//! draw `z = μ + σ ε`.
//!
//! A row is what is coded and then ε, which is drawn outside, as all that is random: `[D + c]`. It becomes the logits and
//! then the divergence of the code from `N(0, 1)` in nats, `½ Σ (μ² + σ² - ln σ² - 1)`: `[D + 1]`, as
//! [`Loss::Elbo`](crate::task::Loss::Elbo) reads it. The layer between encoder and decoder, `[features, 2 c]`, gives μ and ln σ².

use serde::{Deserialize, Serialize};

use super::ParamRole;
use super::layer::{Forward, Kind, Layer, Params, layers, mix_rows, output, read_support, shape_after};
use crate::graph::op::Func;
use crate::graph::{Graph, Value};
use crate::spec::{Activation, Shape, count};

/// Widest code.
const MAX_CODE: usize = 1024;

/// Encoder, code and decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Variational {
    /// c: numbers of a code.
    #[serde(rename = "variational")]
    pub code: usize,
    /// Shape of what is coded.
    pub row: Shape,
    /// From that to the features that a code is read off.
    #[serde(default, deserialize_with = "layers")]
    pub encoder: Vec<Layer>,
    /// From a code to as many numbers as are coded.
    #[serde(deserialize_with = "layers")]
    pub decoder: Vec<Layer>,
}

impl Variational {
    /// Codes of so many numbers of rows of shape `row`.
    #[must_use]
    pub fn new(code: usize, row: impl Into<Shape>, encoder: Vec<Layer>, decoder: Vec<Layer>) -> Variational {
        Variational { code, row: row.into(), encoder, decoder }
    }

    /// For pictures of this shape: dense layers around the code, or from sides that are multiples of 4 on two transposed convolutions in the
    /// decoder, whose kernels are few weights for a hypernetwork to write.
    #[must_use]
    pub fn of_pictures(shape: [usize; 3], code: usize) -> Variational {
        use super::{Conv, ConvTranspose, Net, Reshape, Sizes};
        let [h, w, channels] = shape;
        let encoder = Net::rows(shape).flatten().dense(256).relu();
        let decoder = match (h % 4, w % 4) {
            (0, 0) => {
                let up = |channels| {
                    let doubled = ConvTranspose::new(channels, 4);
                    Layer::ConvTranspose(ConvTranspose { stride: Sizes::Both(2), ..doubled })
                };
                let (h, w) = (h / 4, w / 4);
                let start = Net::rows([code]).dense(h * w * 16).relu();
                let start = start.with(Layer::Reshape(Reshape::new([h, w, 16])));
                let large = start.with(up(16)).relu().with(up(8)).relu();
                large.with(Layer::Conv(Conv::new(channels, 3)))
            }
            _ => Net::rows([code]).dense(256).relu().dense(h * w * channels),
        };
        Variational::new(code, shape, encoder.into(), decoder.into())
    }

    /// Numbers of the encoder's features.
    fn features(&self) -> usize {
        count(&self.encoder.iter().fold(self.row.clone(), |row, layer| shape_after(layer, &row)))
    }
}

impl Kind for Variational {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        if !(1..=MAX_CODE).contains(&self.code) {
            return Err(format!("a code of {} numbers: 1 to {MAX_CODE} are possible", self.code));
        }
        let coded = self.row.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).unwrap_or(0);
        if row.len() != 1 || row[0] != coded.saturating_add(self.code) {
            return Err(format!(
                "reads rows of --task decoders: the {coded} numbers of row = {:?} and {} random ones, {} in all, and a row here is {row:?}",
                self.row,
                self.code,
                coded.saturating_add(self.code)
            ));
        }
        if let Some(Layer::Activation(last)) = self.decoder.last() {
            return Err(format!(
                "its decoder ends in '{}', and has to write logits, which are any numbers: leave it out",
                last.function.name()
            ));
        }
        output(&self.encoder, &self.row).map_err(|e| format!("its encoder: {e}"))?;
        let written = output(&self.decoder, &[self.code]).map_err(|e| format!("its decoder: {e}"))?;
        match count(&written) == coded {
            true => Ok(vec![coded + 1]),
            false => Err(format!(
                "its decoder writes {written:?}, {} numbers, and {coded} are coded",
                count(&written)
            )),
        }
    }

    fn params(&self, _: &[usize], to: &mut Params<'_>) {
        let (after, role) = (to.activation, to.role);
        to.activation = Activation::Identity;
        to.list(&self.encoder, &self.row);
        let features = self.features();
        to.role = ParamRole::Code;
        to.weight_and_bias(&[features, 2 * self.code], features, Some(2 * self.code));
        to.role = ParamRole::Decoder;
        to.list(&self.decoder, &[self.code]);
        (to.activation, to.role) = (after, role);
    }

    fn mixes_rows(&self) -> bool {
        mix_rows(&self.encoder) || mix_rows(&self.decoder)
    }

    fn reads_support(&self) -> bool {
        read_support(&self.encoder) || read_support(&self.decoder)
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let (lead, c, coded) = (g.shape(x)[..f.lead].to_vec(), self.code, count(&self.row));
        let shaped = |g: &mut Graph, v: Value, row: &[usize]| g.reshape(v, &[&lead[..], row].concat());
        let axis = f.lead;
        let picture = g.slice(x, axis, 0, coded);
        let picture = shaped(g, picture, &self.row);
        let features = f.list(g, &self.encoder, picture);
        let features = shaped(g, features, &[self.features()]);
        let name = f.layer();
        let both = g.scope("code", |g| f.weights.linear(g, &name, features));
        let both = f.gave(both);
        let (mean, log) = (g.slice(both, axis, 0, c), g.slice(both, axis, c, c));
        let (code, divergence) = g.scope("code", |g| {
            let noise = g.slice(x, axis, coded, c);
            let half = g.scale(log, 0.5);
            let deviation = g.map(Func::Exp, half);
            let moved = g.mul(deviation, noise);
            let code = g.add(mean, moved);
            let (square, variance) = (g.mul(mean, mean), g.map(Func::Exp, log));
            let both = g.add(square, variance);
            let each = g.sub(both, log);
            let each = g.affine(each, 0.5, -0.5);
            let sum = g.sum_to(each, &[&lead[..], &[1]].concat());
            (code, sum)
        });
        let logits = f.list(g, &self.decoder, code);
        let logits = shaped(g, logits, &[coded]);
        g.concat(&[logits, divergence], axis)
    }
}
