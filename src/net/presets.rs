//! Nets that the field has names for, without the head that they end in.

use super::{
    Attention, BatchNorm, Cell, Conv, Layer, Net, Places, Position, Recurrent, Residual, Sizes, Statistics,
};
use crate::error::nearest;
use crate::spec::Activation;

/// Heads of a transformer.
const HEADS: usize = 4;

/// The layers of a net that has a name; `NAME-CHANNELS` has other channels than the field's. Norms take the statistics of a task's
/// support, so that no prediction depends on what else is asked; with `-batch` behind the name those of the rows that are asked about
/// together, as many published figures have it.
///
/// | name | layers | source |
/// |---|---|---|
/// | `conv4` | four times a convolution 3 × 3 to 64 channels, batch norm, relu, max pool 2; flatten | Vinyals et al. 2016 |
/// | `resnet8` | a convolution 3 × 3 to 16 channels and residual blocks of two to 16, 32 and 64, each with batch norm, strides 2 between; global pool | He et al. 2016, n = 1 |
/// | `cnn` | two times a convolution 3 × 3 to 32 and 64 channels, relu, max pool 2; flatten; 128 dense, relu | LeCun et al. 1998, as tutorials have it |
/// | `mlp` | flatten; twice 256 dense, relu | |
/// | `transformer` | 64 dense, places by sines, two blocks of causal attention with four heads (layer norms before, 256 between), layer norm | Vaswani et al. 2017, Xiong et al. 2020 |
/// | `rnn`, `gru`, `lstm` | a recurrent cell of 128 units over a sequence, with its states after all elements | |
/// | `gru_attention` | the states of a GRU of 128 units, plus what causal attention with four heads finds among those before; 128 dense, tanh | Bahdanau et al. 2015, Luong et al. 2015 |
///
/// ```
/// use hyperloom::net::{Net, preset};
///
/// let net = Net::image([28, 28, 1]).with_all(preset("conv4-32")?).dense(5);
/// assert_eq!(net.outputs(), 5);
/// # Ok::<(), String>(())
/// ```
///
/// # Errors
/// The names there are, and which is nearest.
pub fn preset(name: &str) -> Result<Vec<Layer>, String> {
    const NAMES: [&str; 9] =
        ["conv4", "resnet8", "cnn", "mlp", "rnn", "gru", "lstm", "gru_attention", "transformer"];
    const CELLS: [(&str, Cell); 3] = [("rnn", Cell::Rnn), ("gru", Cell::Gru), ("lstm", Cell::Lstm)];
    let (rest, statistics) = match name.strip_suffix("-batch") {
        Some(rest) => (rest, Statistics::Batch),
        None => (name, Statistics::Support),
    };
    let (base, width) = match rest.split_once('-') {
        Some((base, width)) => {
            let width = width.parse().ok().filter(|w| (1..=4096).contains(w));
            let width = width
                .ok_or_else(|| format!("'{name}': a number from 1 to 4096 is needed behind '{base}-'"))?;
            (base, Some(width))
        }
        None => (rest, None),
    };
    let normed = |net: Net| net.with(Layer::BatchNorm(BatchNorm::new(statistics)));
    let start = Net::rows([]);
    let attention = Layer::Attention(Attention::causal(HEADS));
    let parted = |d: usize| match d.is_multiple_of(HEADS) {
        true => Ok(d),
        false => Err(format!("'{name}': {HEADS} heads do not part {d} channels evenly")),
    };
    let net = match base {
        "conv4" => {
            let block = |net: Net, _| normed(net.conv(width.unwrap_or(64), 3)).relu().max_pool(2);
            (0..4).fold(start, block).flatten()
        }
        "resnet8" => {
            let c = width.unwrap_or(16);
            let first = normed(start.with(unbiased(c, 3, 1))).relu();
            let block = |net, (channels, stride)| residual_block(net, channels, stride, &normed);
            [(c, 1), (2 * c, 2), (4 * c, 2)].into_iter().fold(first, block).global_pool()
        }
        "cnn" => {
            let c = width.unwrap_or(32);
            let convs = start.conv(c, 3).relu().max_pool(2).conv(2 * c, 3).relu().max_pool(2);
            convs.flatten().dense(4 * c).relu()
        }
        "mlp" => {
            let width = width.unwrap_or(256);
            start.flatten().dense(width).relu().dense(width).relu()
        }
        "gru_attention" => {
            let d = parted(width.unwrap_or(128))?;
            let asking = |branch: Net| branch.layer_norm().with(attention.clone());
            start.recurrent(Recurrent::new(Cell::Gru, d)).residual(asking).dense(d).tanh()
        }
        "transformer" => {
            let d = parted(width.unwrap_or(64))?;
            let block = |net: Net, _| {
                let asking = |branch: Net| branch.layer_norm().with(attention.clone());
                let thinking =
                    |branch: Net| branch.layer_norm().dense(4 * d).activation(Activation::Gelu).dense(d);
                net.residual(asking).residual(thinking)
            };
            let start = start.dense(d).with(Layer::Position(Position::new(Places::Sine)));
            (0..2).fold(start, block).layer_norm()
        }
        _ if let Some((_, cell)) = CELLS.iter().find(|(cell, _)| *cell == base) => {
            start.recurrent(Recurrent::new(*cell, width.unwrap_or(128)))
        }
        _ => {
            let hint = nearest(base, NAMES).map_or(String::new(), |n| format!(" (did you mean '{n}'?)"));
            return Err(format!("no net is called '{name}'{hint}: there are {}", NAMES.join(", ")));
        }
    };
    Ok(net.into())
}

/// A convolution whose bias the norm behind it would take off again.
fn unbiased(channels: usize, size: usize, stride: usize) -> Layer {
    Layer::Conv(Conv { stride: Sizes::Both(stride), bias: false, ..Conv::new(channels, size) })
}

/// `relu(s(x) + f(x))`: two convolutions, and a projection of what they read where the shape changes.
fn residual_block(net: Net, channels: usize, stride: usize, normed: &dyn Fn(Net) -> Net) -> Net {
    let conv = |size, stride| unbiased(channels, size, stride);
    let branch = normed(normed(Net::rows([]).with(conv(3, stride))).relu().with(conv(3, 1)));
    let mut block = Residual::new(branch.into());
    if stride > 1 {
        block.shortcut = normed(Net::rows([]).with(conv(1, stride))).into();
    }
    net.with(Layer::Residual(block)).relu()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nets_are_those_of_the_field() {
        let net =
            |name: &str, row: [usize; 3]| Net::image(row).with_all(preset(name).expect("a net")).dense(10);
        for (name, row, parameters) in [
            // 9·1·64 + 64 + 128, three times 9·64·64 + 64 + 128, 64·10 + 10.
            ("conv4", [28, 28, 1], 112_586),
            ("conv4-32", [84, 84, 3], 896 + 64 + 3 * (9_248 + 64) + 800 * 10 + 10),
            // 432 + 4,608 + 14,336 + 57,344 of convolutions, 672 of norms, 650 of the head.
            ("resnet8", [32, 32, 3], 78_042),
        ] {
            assert_eq!(net(name, row).layout().len(), parameters, "{name}");
        }
        assert!(net("conv4-8-batch", [28, 28, 1]).mixes_rows() && !net("conv4-8", [28, 28, 1]).mixes_rows());
        assert!(net("cnn", [28, 28, 1]).check().is_ok() && net("mlp-32", [28, 28, 1]).check().is_ok());
        // A series has one axis beside its channels.
        assert!(Net::rows([40, 1]).with_all(preset("conv4").expect("a net")).dense(10).check().is_ok());
        let wrong = preset("con4").expect_err("no such net");
        assert!(wrong.contains("did you mean 'conv4'"), "{wrong}");
        assert!(preset("conv4-x").expect_err("no number").contains("'conv4-'"));
    }
}
