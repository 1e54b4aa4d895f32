//! Weights in files: as they are, or in fewer bytes as a [`Compression`] says. What is read is what was written, to the bit, where the weights are those that the compression makes.
//!
//! | tensor | what |
//! |---|---|
//! | `NAME` | weights as they are, `[P]` |
//! | `NAME.matrices` | else the numbers of all matrices, one after another: F32, F16, I8, or U8 with two of four bits each, plus 8, the lower bits first |
//! | `NAME.scales` | their scales, matrix by matrix |
//! | `NAME.kept` | where zeros are left out: a bit for each number of all matrices, from the lowest of a byte, 1 where it is there |
//! | `NAME.vectors` | all other parameters |

use half::f16;

use crate::checkpoint::{Checkpoint, Tensor};
use crate::error::{Error, Result};
use crate::net::{Compression, Numbers, ParamLayout, Quantised};
use crate::spec::count;

/// What is added to numbers of four bits.
const FOUR_BITS_ZERO: i8 = 8;

/// The parts of weights as files hold them.
#[derive(Default)]
struct Parts {
    /// Numbers of matrices that are there: as they are, or whole.
    plain: Vec<f32>,
    whole: Vec<i8>,
    scales: Vec<f32>,
    kept: Vec<bool>,
    vectors: Vec<f32>,
}

/// Bytes of weights in a file, names and hashes aside.
pub fn stored_bytes(layout: &ParamLayout, weights: &[f32], compression: &Compression) -> usize {
    let mut c = Checkpoint::default();
    put(&mut c, "", layout, weights, compression);
    c.tensors.values().map(|t| t.data.len() * t.data.width()).sum()
}

/// Puts weights into a checkpoint.
pub(crate) fn put(
    c: &mut Checkpoint,
    name: &str,
    layout: &ParamLayout,
    weights: &[f32],
    compression: &Compression,
) {
    if compression.is_none() || layout.len() != weights.len() {
        c.tensors.insert(name.into(), Tensor::f32(&[weights.len()], weights.to_vec()));
        return;
    }
    let parts = parts(layout, weights, compression);
    let mut add = |part: &str, tensor: Tensor| {
        if !tensor.data.is_empty() {
            c.tensors.insert(format!("{name}.{part}"), tensor);
        }
    };
    let halves = |values: &[f32]| Tensor::f16(values.iter().map(|v| f16::from_f32(*v)).collect());
    let floats = |values: &[f32]| Tensor::f32(&[values.len()], values.to_vec());
    add(
        "matrices",
        match compression.numbers {
            Numbers::F32 => floats(&parts.plain),
            Numbers::F16 => halves(&parts.plain),
            Numbers::Int8 | Numbers::Int8Tensor => Tensor::i8(parts.whole),
            Numbers::Int4 => Tensor::u8(nibbles(&parts.whole)),
        },
    );
    add("scales", floats(&parts.scales));
    add("kept", Tensor::u8(bits(&parts.kept)));
    add("vectors", if compression.numbers == Numbers::F16 { halves } else { floats }(&parts.vectors));
}

fn parts(layout: &ParamLayout, weights: &[f32], compression: &Compression) -> Parts {
    let mut parts = Parts::default();
    for param in &layout.params {
        let values = &weights[param.range()];
        if !Compression::reads(param) {
            parts.vectors.extend(values);
            continue;
        }
        let there: Vec<bool> = values.iter().map(|v| compression.prune == 0.0 || *v != 0.0).collect();
        let is_there = |i: &usize| there[*i];
        match Quantised::of(compression.numbers, values, &param.shape) {
            Some(q) => {
                parts.whole.extend((0..values.len()).filter(is_there).map(|i| q.whole[i]));
                parts.scales.extend(q.scales);
            }
            None => parts.plain.extend((0..values.len()).filter(is_there).map(|i| values[i])),
        }
        if compression.prune > 0.0 {
            parts.kept.extend(there);
        }
    }
    parts
}

/// Reads weights from a checkpoint.
///
/// # Errors
/// [`Error::Shape`] naming the tensor that is missing or does not fit.
pub(crate) fn get(
    c: &Checkpoint,
    name: &str,
    layout: &ParamLayout,
    compression: &Compression,
) -> Result<Vec<f32>> {
    if compression.is_none() {
        return Ok(c.f32(name, &[layout.len()])?.to_vec());
    }
    let matrices: Vec<_> = layout.params.iter().filter(|p| Compression::reads(p)).collect();
    let all: usize = matrices.iter().map(|p| count(&p.shape)).sum();
    let part = |part: &str| format!("{name}.{part}");
    let kept = match compression.prune > 0.0 && all > 0 {
        true => booleans(c.u8(&part("kept"), &[all.div_ceil(8)])?, all).ok_or_else(|| {
            Error::Shape(format!("tensor '{}' has bits behind the last number", part("kept")))
        })?,
        false => vec![true; all],
    };
    let there = kept.iter().filter(|kept| **kept).count();
    let widened = |name: &str, n: usize| -> Result<Vec<f32>> {
        match n {
            0 => Ok(vec![]),
            n => Ok(c.f16(name, &[n])?.iter().map(|v| v.to_f32()).collect()),
        }
    };
    let mut parts = Parts { kept, ..Parts::default() };
    let name = part("matrices");
    match compression.numbers {
        _ if there == 0 => {}
        Numbers::F32 => parts.plain = c.f32(&name, &[there])?.to_vec(),
        Numbers::F16 => parts.plain = widened(&name, there)?,
        Numbers::Int8 | Numbers::Int8Tensor => parts.whole = c.i8(&name, &[there])?.to_vec(),
        Numbers::Int4 => parts.whole = from_nibbles(c.u8(&name, &[there.div_ceil(2)])?, there),
    }
    let scales: usize = matrices
        .iter()
        .map(|p| compression.numbers.scales(count(&p.shape), p.shape[p.shape.len() - 1]))
        .sum();
    if scales > 0 {
        parts.scales = c.f32(&part("scales"), &[scales])?.to_vec();
        if let Some(wrong) = parts.scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(Error::Shape(format!("tensor '{}' has a scale of {wrong}", part("scales"))));
        }
    }
    let vectors = layout.len() - all;
    parts.vectors = match compression.numbers {
        Numbers::F16 => widened(&part("vectors"), vectors)?,
        _ if vectors == 0 => vec![],
        _ => c.f32(&part("vectors"), &[vectors])?.to_vec(),
    };
    Ok(joined(layout, &parts, compression))
}

fn joined(layout: &ParamLayout, parts: &Parts, compression: &Compression) -> Vec<f32> {
    let (mut plain, mut whole) = (parts.plain.iter(), parts.whole.iter());
    let (mut scales, mut kept, mut vectors) = (&parts.scales[..], parts.kept.iter(), parts.vectors.iter());
    let mut weights = Vec::with_capacity(layout.len());
    for param in &layout.params {
        let n = count(&param.shape);
        if !Compression::reads(param) {
            weights.extend(vectors.by_ref().take(n));
            continue;
        }
        let there: Vec<bool> = kept.by_ref().take(n).copied().collect();
        if compression.numbers.largest().is_none() {
            weights.extend(there.iter().map(|t| if *t { plain.next().copied().unwrap_or(0.0) } else { 0.0 }));
            continue;
        }
        let row = param.shape[param.shape.len() - 1];
        let (own, rest) = scales.split_at(compression.numbers.scales(n, row));
        scales = rest;
        let whole = there.iter().map(|t| if *t { whole.next().copied().unwrap_or(0) } else { 0 }).collect();
        weights.extend(Quantised { numbers: compression.numbers, row, whole, scales: own.to_vec() }.values());
    }
    weights
}

fn nibbles(whole: &[i8]) -> Vec<u8> {
    let four = |q: i8| (q + FOUR_BITS_ZERO) as u8 & 15;
    whole.chunks(2).map(|pair| four(pair[0]) | pair.get(1).map_or(0, |q| four(*q) << 4)).collect()
}

fn from_nibbles(bytes: &[u8], n: usize) -> Vec<i8> {
    let of = |i: usize| ((bytes[i / 2] >> (4 * (i % 2))) & 15) as i8 - FOUR_BITS_ZERO;
    (0..n).map(of).collect()
}

fn bits(all: &[bool]) -> Vec<u8> {
    all.chunks(8).map(|eight| eight.iter().enumerate().fold(0, |b, (i, on)| b | u8::from(*on) << i)).collect()
}

/// So many bits; `None`: there are more behind them.
fn booleans(bytes: &[u8], n: usize) -> Option<Vec<bool>> {
    let all: Vec<bool> = bytes.iter().flat_map(|b| (0..8).map(move |i| b >> i & 1 == 1)).collect();
    (!all[n..].contains(&true)).then(|| all[..n].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;
    use crate::rng::Rng;

    #[test]
    fn what_is_written_is_read() -> Result<()> {
        let net = Net::rows([5, 5, 3]).conv(7, 3).relu().layer_norm().flatten().dense(5);
        let layout = net.layout();
        let mut bytes = vec![];
        for numbers in Numbers::ALL {
            for prune in [0.0, 0.8] {
                let compression = Compression::new(numbers, prune);
                let mut weights = layout.init(&mut Rng::new(1, 0));
                layout.compress(&compression, &mut weights);
                let mut c = Checkpoint::default();
                put(&mut c, "w", &layout, &weights, &compression);
                assert_eq!(get(&c, "w", &layout, &compression)?, weights, "{compression:?}");
                bytes.push(stored_bytes(&layout, &weights, &compression));
                // Numbers of another compression are missed, not misread.
                let other = Compression::new(numbers, if prune == 0.0 { 0.5 } else { 0.0 });
                assert!(get(&c, "w", &layout, &other).is_err());
            }
        }
        let [f32, f32_pruned, f16, _, int8, int8_pruned, _, _, int4, _] = bytes[..] else {
            panic!("{bytes:?}")
        };
        assert_eq!(f32, 4 * layout.len());
        assert!(f32_pruned < f32 / 3 && f16 == f32 / 2 && int8 < f32 * 28 / 100 && int4 < f32 * 18 / 100);
        assert!(int8_pruned < f32 / 8, "{bytes:?}");
        Ok(())
    }

    #[test]
    fn damaged_bits_are_refused() {
        let layout = Net::rows([3]).dense(3).layout();
        let compression = Compression::new(Numbers::F32, 0.5);
        let mut c = Checkpoint::default();
        let mut weights = layout.init(&mut Rng::new(1, 0));
        layout.compress(&compression, &mut weights);
        put(&mut c, "w", &layout, &weights, &compression);
        c.tensors.insert("w.kept".into(), Tensor::u8(vec![255, 255]));
        let e = get(&c, "w", &layout, &compression).map_err(|e| e.to_string());
        assert!(e.is_err_and(|e| e.contains("bits behind the last number")));
    }
}
