//! IDX files, in which MNIST, Fashion-MNIST and their kin are handed round, plain or gzipped: a magic number (two zero bytes, a
//! type, the number of axes), the lengths of the axes, then the numbers, all big-endian.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// An array of whole numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Idx {
    /// Lengths of its axes.
    pub shape: Vec<usize>,
    /// Its numbers, row-major.
    pub values: Vec<i32>,
}

/// Largest file, unpacked, that is read: 4 GiB.
const MOST: u64 = 1 << 32;

/// The bytes of a file; of one that starts like gzip, those that it packs.
///
/// # Errors
/// [`Error::Io`], and [`Error::Data`] where there are too many.
pub(super) fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MOST {
        return Err(Error::data(path, "", format!("has {size} bytes; up to {MOST} are read")));
    }
    let packed = std::fs::read(path).map_err(Error::io("read", path))?;
    if !packed.starts_with(&[0x1f, 0x8b]) {
        return Ok(packed);
    }
    let mut bytes = Vec::new();
    let mut unpack = flate2::read::MultiGzDecoder::new(&packed[..]).take(MOST);
    unpack.read_to_end(&mut bytes).map_err(Error::io("unpack", path))?;
    Ok(bytes)
}

impl Idx {
    /// Reads a file; one that starts like gzip is unpacked.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] naming what is not as the format has it.
    pub fn read(path: &Path) -> Result<Idx> {
        let bytes = unpacked(path)?;
        Idx::parse(&bytes).map_err(|m| Error::data(path, "", m))
    }

    fn parse(bytes: &[u8]) -> std::result::Result<Idx, String> {
        let &[0, 0, kind, axes] = bytes.get(..4).unwrap_or_default() else {
            return Err(
                "is no IDX file: it does not start with two zero bytes, a type and a number of axes".into()
            );
        };
        let size = match kind {
            0x08 | 0x09 => 1,
            0x0b => 2,
            0x0c => 4,
            other => {
                return Err(format!(
                    "holds numbers of type 0x{other:02X}; bytes (0x08, 0x09), short (0x0B) and int (0x0C) are read"
                ));
            }
        };
        let start = 4 + 4 * axes as usize;
        let Some(lengths) = bytes.get(4..start) else {
            return Err(format!("ends before the lengths of its {axes} axes"));
        };
        let shape: Vec<usize> =
            lengths.chunks(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
        let count = shape.iter().try_fold(size, |n: usize, d| n.checked_mul(*d));
        let rest = &bytes[start..];
        if axes == 0 || count != Some(rest.len()) {
            return Err(format!(
                "has {} bytes of numbers, which is not {shape:?} of {size} bytes each: is it cut off?",
                rest.len()
            ));
        }
        let values = rest
            .chunks(size)
            .map(|b| match (kind, b) {
                (0x09, b) => b[0] as i8 as i32,
                (_, &[a]) => a as i32,
                (_, &[a, b]) => i16::from_be_bytes([a, b]) as i32,
                (_, b) => i32::from_be_bytes([b[0], b[1], b[2], b[3]]),
            })
            .collect();
        Ok(Idx { shape, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_each_type_and_what_is_wrong() {
        let short = [0, 0, 0x0b, 1, 0, 0, 0, 2, 0xff, 0xff, 1, 0];
        assert_eq!(Idx::parse(&short), Ok(Idx { shape: vec![2], values: vec![-1, 256] }));
        let bytes = [0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 2, 7, 255];
        assert_eq!(Idx::parse(&bytes), Ok(Idx { shape: vec![1, 2], values: vec![7, 255] }));
        for (wrong, says) in [
            (&b"PK\x03\x04"[..], "no IDX"),
            (&[0, 0, 0x0d, 1, 0, 0, 0, 0], "0x0D"),
            (&[0, 0, 8, 2, 0, 0], "2 axes"),
            (&short[..11], "cut off"),
            (&[0, 0, 8, 2, 255, 255, 255, 255, 255, 255, 255, 255, 1], "cut off"),
        ] {
            let e = Idx::parse(wrong).err().unwrap_or_default();
            assert!(e.contains(says), "{wrong:?}: {e}");
        }
    }
}
