//! Tokens of the support rows, and one learned token for each layer of the target, look at one another in blocks of a transformer; what
//! the token of a layer becomes writes it (Zhmoginov et al. 2022, "HyperTransformer"; Knyazev et al. 2023, "GHN-3", has a token for each
//! node of an architecture). Nothing is averaged before the layers have asked. A large layer has a token for each of its tiles.
//!
//! `[rows W + b, (given V + d,) tokens]` through `blocks` pre-norm blocks (attention, then two dense layers with gelu, each a residual branch)
//! and a layer norm; then `w_l = token_l head_l + w`. What is read beside the support (an embedding, a descriptor) is a further
//! token, `given`. The trunk is not used.

use serde::{Deserialize, Serialize};

use super::Generate;
use super::tiles::{Tiles, check};
use crate::graph::{Graph, Value};
use crate::hyper::condition::present;
use crate::hyper::{HyperSpec, Read};
use crate::net::{Attention, Init, Layer, Net, ParamLayout, Weights};
use crate::spec::Activation;

/// Attention over support rows and layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Transformer {
    /// Width of a token.
    pub width: usize,
    /// Heads of attention: they part the width evenly.
    pub heads: usize,
    /// Blocks.
    pub blocks: usize,
    /// Width of the hidden layer of a block.
    pub hidden: usize,
    /// Most weights that a token writes.
    pub tile: usize,
}

impl Default for Transformer {
    fn default() -> Transformer {
        Transformer { width: 64, heads: 4, blocks: 2, hidden: 128, tile: 1024 }
    }
}

impl Transformer {
    /// The blocks over so many tokens.
    fn net(&self, tokens: usize) -> Net {
        let block = |net: Net| {
            let attention = Layer::Attention(Attention::new(self.heads));
            net.residual(|branch| branch.layer_norm().with(attention)).residual(|branch| {
                branch.layer_norm().dense(self.hidden).activation(Activation::Gelu).dense(self.width)
            })
        };
        (0..self.blocks).fold(Net::rows([tokens, self.width]), |net, _| block(net)).layer_norm()
    }

    /// Width of what is read beside the support.
    fn given(spec: &HyperSpec) -> usize {
        let support = spec.condition.support.as_ref().map_or(0, |s| s.width() + 1);
        spec.condition.width() - support
    }
}

impl Generate for Transformer {
    fn may_draw(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), String> {
        check(&[
            ("width", self.width, 2..=65_536),
            ("heads", self.heads, 1..=self.width),
            ("blocks", self.blocks, 1..=64),
            ("hidden", self.hidden, 1..=65_536),
            ("tile", self.tile, 1..=1 << 20),
        ])?;
        match self.width.is_multiple_of(self.heads) {
            true => Ok(()),
            false => Err(format!("{} heads do not part a width of {} evenly", self.heads, self.width)),
        }
    }

    fn reads_rows(&self) -> bool {
        true
    }

    fn params(&self, spec: &HyperSpec, to: &mut ParamLayout) {
        let mut dense = |name: &str, inputs: usize| {
            let init = Init::Uniform(1.0 / (inputs as f64).sqrt());
            to.push(format!("{name}.weight"), &[inputs, self.width], init);
            to.push(format!("{name}.bias"), &[self.width], Init::Constant(0.0));
        };
        if let Some(support) = &spec.condition.support {
            dense("rows", support.features());
        }
        if Transformer::given(spec) > 0 {
            dense("given", Transformer::given(spec));
        }
        let tiles = Tiles::of(spec, self.tile);
        to.push("tokens", &[tiles.len(), self.width], Init::Normal(1.0));
        to.extend("blocks", &self.net(1).layout());
        tiles.params(spec, self.width, to);
    }

    fn written(
        &self,
        g: &mut Graph,
        spec: &HyperSpec,
        params: Weights<'_>,
        read: Option<&Read>,
    ) -> Option<Value> {
        let read = read?;
        let (t, e) = (g.shape(read.condition)[0], g.shape(read.condition)[1]);
        let one = g.constant(1.0);
        let tiles = Tiles::of(spec, self.tile);
        let dense = |g: &mut Graph, name: &str, x: Value| {
            let &[t, n, f] = g.shape(x) else { panic!("rows are [T, n, f]") };
            let rows = g.reshape(x, &[t * n, f]);
            let y = g.scope(name, |g| params.linear(g, name, rows));
            g.reshape(y, &[t, n, self.width])
        };
        let (mut tokens, mut there) = (Vec::new(), Vec::new());
        if let Some([rows, weights]) = read.rows {
            tokens.push(dense(g, "rows", rows));
            there.push(present(g, weights));
        }
        let given = Transformer::given(spec);
        if given > 0 {
            let x = g.slice(read.condition, 1, e - given, given);
            let x = g.reshape(x, &[t, 1, given]);
            tokens.push(dense(g, "given", x));
            there.push(g.expand(one, &[t, 1]));
        }
        let k = tiles.len();
        let own = params.get(g, "tokens");
        tokens.push(g.expand(own, &[t, k, self.width]));
        there.push(g.expand(one, &[t, k]));
        let (tokens, there) = (g.concat(&tokens, 1), g.concat(&there, 1));
        let n = g.shape(tokens)[1];
        let flat = g.reshape(tokens, &[t, n * self.width]);
        let net = self.net(n);
        let told = g.scope("blocks", |g| net.apply_named_ragged(g, params, "blocks", there, flat));
        let told = g.reshape(told, &[t, n, self.width]);
        let own = g.slice(told, 1, n - k, k);
        Some(tiles.write(g, spec, params, own))
    }
}
