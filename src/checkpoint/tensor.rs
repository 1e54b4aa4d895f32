//! One tensor of a checkpoint: a shape and its numbers, and how they lie in the file. Apart from the reading
//! and checking of files, so that code which only makes or takes tensors finds them in one screenful.

use half::f16;
use safetensors::Dtype;
use std::borrow::Cow;

/// The numbers of a [`Tensor`], row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// 32-bit floats: weights, optimiser state.
    F32(Vec<f32>),
    /// 32-bit unsigned integers: counters, random keys.
    U32(Vec<u32>),
    /// 64-bit floats: normalisation constants, reference numbers.
    F64(Vec<f64>),
    /// 64-bit integers, as other tools write them (labels).
    I64(Vec<i64>),
    /// 16-bit floats: weights in fewer bytes.
    F16(Vec<f16>),
    /// 8-bit integers with a sign: the same.
    I8(Vec<i8>),
    /// Bytes: numbers of fewer bits.
    U8(Vec<u8>),
}

/// A shape and as many numbers as it asks for, row-major; an empty shape is one number.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The length of each axis.
    pub shape: Vec<usize>,
    /// The numbers.
    pub data: TensorData,
}

impl TensorData {
    /// How many numbers there are.
    pub fn len(&self) -> usize {
        match self {
            TensorData::F32(v) => v.len(),
            TensorData::U32(v) => v.len(),
            TensorData::F64(v) => v.len(),
            TensorData::I64(v) => v.len(),
            TensorData::F16(v) => v.len(),
            TensorData::I8(v) => v.len(),
            TensorData::U8(v) => v.len(),
        }
    }

    /// Whether there is no number.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type's name in a safetensors header.
    pub fn dtype(&self) -> &'static str {
        match self {
            TensorData::F32(_) => "F32",
            TensorData::U32(_) => "U32",
            TensorData::F64(_) => "F64",
            TensorData::I64(_) => "I64",
            TensorData::F16(_) => "F16",
            TensorData::I8(_) => "I8",
            TensorData::U8(_) => "U8",
        }
    }

    /// Bytes a number.
    pub fn width(&self) -> usize {
        match self {
            TensorData::I8(_) | TensorData::U8(_) => 1,
            TensorData::F16(_) => 2,
            TensorData::F32(_) | TensorData::U32(_) => 4,
            TensorData::F64(_) | TensorData::I64(_) => 8,
        }
    }

    /// The numbers as the file holds them: little-endian whatever the machine.
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        if cfg!(target_endian = "little") {
            return Cow::Borrowed(match self {
                TensorData::F32(v) => bytemuck::cast_slice(v),
                TensorData::U32(v) => bytemuck::cast_slice(v),
                TensorData::F64(v) => bytemuck::cast_slice(v),
                TensorData::I64(v) => bytemuck::cast_slice(v),
                TensorData::F16(v) => bytemuck::cast_slice(v),
                TensorData::I8(v) => bytemuck::cast_slice(v),
                TensorData::U8(v) => v,
            });
        }
        Cow::Owned(match self {
            TensorData::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::F16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::I8(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
            TensorData::U8(v) => v.clone(),
        })
    }

    /// `None` for a type that this crate does not use.
    pub(super) fn from_bytes(dtype: Dtype, bytes: &[u8]) -> Option<TensorData> {
        // The bytes of a tensor may start anywhere in the file, so they are copied, never cast.
        let two = bytes.as_chunks::<2>().0.iter().copied();
        let four = bytes.as_chunks::<4>().0.iter().copied();
        let eight = bytes.as_chunks::<8>().0.iter().copied();
        match dtype {
            Dtype::F32 => Some(TensorData::F32(four.map(f32::from_le_bytes).collect())),
            Dtype::U32 => Some(TensorData::U32(four.map(u32::from_le_bytes).collect())),
            Dtype::F64 => Some(TensorData::F64(eight.map(f64::from_le_bytes).collect())),
            Dtype::I64 => Some(TensorData::I64(eight.map(i64::from_le_bytes).collect())),
            Dtype::F16 => Some(TensorData::F16(two.map(f16::from_le_bytes).collect())),
            Dtype::BF16 => {
                Some(TensorData::F32(two.map(|b| half::bf16::from_le_bytes(b).to_f32()).collect()))
            }
            Dtype::I8 => Some(TensorData::I8(bytes.iter().map(|b| *b as i8).collect())),
            Dtype::U8 => Some(TensorData::U8(bytes.to_vec())),
            _ => None,
        }
    }
}

impl Tensor {
    /// A tensor of 32-bit floats. That the shape asks for as many is checked by [`save`](super::Checkpoint::save).
    pub fn f32(shape: &[usize], data: Vec<f32>) -> Tensor {
        Tensor { shape: shape.to_vec(), data: TensorData::F32(data) }
    }

    /// A tensor of 32-bit unsigned integers.
    pub fn u32(shape: &[usize], data: Vec<u32>) -> Tensor {
        Tensor { shape: shape.to_vec(), data: TensorData::U32(data) }
    }

    /// A tensor of 64-bit floats.
    pub fn f64(shape: &[usize], data: Vec<f64>) -> Tensor {
        Tensor { shape: shape.to_vec(), data: TensorData::F64(data) }
    }

    /// A tensor of 64-bit integers.
    pub fn i64(shape: &[usize], data: Vec<i64>) -> Tensor {
        Tensor { shape: shape.to_vec(), data: TensorData::I64(data) }
    }

    /// A vector of 16-bit floats.
    pub fn f16(data: Vec<f16>) -> Tensor {
        Tensor { shape: vec![data.len()], data: TensorData::F16(data) }
    }

    /// A vector of 8-bit integers.
    pub fn i8(data: Vec<i8>) -> Tensor {
        Tensor { shape: vec![data.len()], data: TensorData::I8(data) }
    }

    /// A vector of bytes.
    pub fn u8(data: Vec<u8>) -> Tensor {
        Tensor { shape: vec![data.len()], data: TensorData::U8(data) }
    }

    /// Type and shape for a message: `F32 [2, 3]`.
    pub(super) fn describe(&self) -> String {
        format!("{} {:?}", self.data.dtype(), self.shape)
    }
}

/// How many numbers a shape asks for; `None` where that overflows.
pub(super) fn element_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}
