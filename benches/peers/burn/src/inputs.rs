//! The inputs of the workloads: numbers from an integer hash, the same in every language.

use burn::tensor::{Device, Shape, Tensor, TensorData};

/// A hashed 32-bit word: element `i` of a stream.
fn hashed(stream: u32, i: u32) -> u32 {
    let mut x = i.wrapping_add(stream.wrapping_mul(0x9E37_79B9));
    x ^= x >> 16;
    x = x.wrapping_mul(0x7FEB_352D);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846C_A68B);
    x ^ x >> 16
}

/// Numbers in [-scale, scale).
fn numbers(stream: u32, scale: f32, count: usize) -> Vec<f32> {
    (0..count as u32)
        .map(|i| {
            let u = (hashed(stream, i) >> 8) as f32 * (1.0 / (1 << 24) as f32);
            scale * (2.0 * u - 1.0)
        })
        .collect()
}

/// A tensor of such numbers.
pub fn tensor<const D: usize>(stream: u32, scale: f32, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = numbers(stream, scale, shape.iter().product());
    Tensor::from_data(TensorData::new(values, Shape::from(shape)), device)
}

/// Rows of sine tasks: x `[tasks, rows, width]`, and y, the sine of their sum.
pub fn waves(stream: u32, shape: [usize; 3], device: &Device) -> (Tensor<3>, Tensor<3>) {
    let x = numbers(stream, 2.0, shape.iter().product());
    let y: Vec<f32> = x.chunks(shape[2]).map(|row| row.iter().sum::<f32>().sin()).collect();
    let y = TensorData::new(y, Shape::from([shape[0], shape[1], 1]));
    (Tensor::from_data(TensorData::new(x, Shape::from(shape)), device), Tensor::from_data(y, device))
}
