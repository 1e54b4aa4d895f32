//! Drawings of a class that was never seen: a trained model of decoders reads a few, and the network that it writes makes more.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use hyperloom::Device;
//! use hyperloom::experiment::drawings::{sample, support_of_drawings, tiled};
//! use hyperloom::experiment::run_folder::RunFolder;
//!
//! let (model, format) = RunFolder::open(Path::new("runs/decoders"))?.model()?;
//! let known = support_of_drawings(&format, Path::new("a-character/"))?;
//! let network = model.adapt(&Device::Cpu, &known, None)?;
//! let drawings = sample(&Device::Cpu, &network, &format, 16, 0)?;
//! tiled(&drawings, 4).write(Path::new("more.png"))?;
//! # Ok::<(), hyperloom::Error>(())
//! ```

use std::collections::BTreeSet;
use std::path::Path;

use crate::data::format::Format;
use crate::data::images::pictures_in;
use crate::data::one_class::{binary, rows};
use crate::data::picture::Picture;
use crate::error::{Error, Result};
use crate::meta::model::Network;
use crate::rng::Rng;
use crate::run::Device;
use crate::spec::count;
use crate::task::Task;

/// Codes that a decoder is asked about at once.
const AT_ONCE: usize = 256;
/// Pixels between two pictures side by side, and their level.
const GAP: usize = 1;
const GAP_LEVEL: u8 = 128;

/// Shape of the pictures that a model of decoders writes, and numbers of a code.
fn of_drawings(format: &Format) -> Result<([usize; 3], usize)> {
    match format {
        Format::Decoders { shape, code } => Ok((*shape, *code)),
        _ => Err(Error::config(
            "run",
            "the model was not trained to write pictures from codes (--task decoders)",
        )),
    }
}

/// The pictures in a file, or in a folder at any depth, as the known ones of a class.
///
/// # Errors
/// [`Error::Data`] naming what is no picture; [`Error::Config`] where the model is none of decoders.
pub fn support_of_drawings(format: &Format, path: &Path) -> Result<Task> {
    let (shape, code) = of_drawings(format)?;
    if path.is_file() && !Picture::is_one(path)? && !Picture::begins_like_one(path)? {
        return Err(Error::data(
            path,
            "",
            "is no PNG or JPEG file, and no folder of such: a few of one class are known",
        ));
    }
    let found = pictures_in(path, shape)?;
    let folder = |name: &str| name.rsplit_once('/').map_or("", |(folder, _)| folder).to_string();
    let folders: BTreeSet<String> = found.iter().map(|(name, _)| folder(name)).collect();
    if let [first, second, ..] = &folders.iter().collect::<Vec<_>>()[..] {
        let message = format!(
            "holds pictures in several folders ('{first}', '{second}', …), which are classes: name the folder of one"
        );
        return Err(Error::data(path, "", message));
    }
    let pixels: Vec<f32> = found.iter().flat_map(|(_, picture)| binary(picture)).collect();
    let (x, y) = rows(&pixels, count(&shape), code, &mut Rng::new(0, 0));
    Ok(Task::from_support(x, y))
}

/// `many` pictures by the decoder of a network, from codes that are drawn: a pixel's level is the probability that it is 1.
///
/// # Errors
/// [`Error::Config`] where the network is no decoder's, and those of the device.
pub fn sample(
    device: &Device,
    network: &Network,
    format: &Format,
    many: usize,
    seed: u64,
) -> Result<Vec<Picture>> {
    let ([h, w, channels], code) = of_drawings(format)?;
    let decoder = network.decoder().ok_or_else(|| {
        Error::config("run", "the network is no variational autoencoder: it has no decoder")
    })?;
    let mut rng = Rng::new(seed, 0xd4a7);
    let codes: Vec<f32> = (0..many * code).map(|_| rng.normal() as f32).collect();
    let mut all = Vec::with_capacity(many);
    for some in codes.chunks(AT_ONCE * code) {
        let logits = decoder.predict(device, some)?;
        if !logits.iter().all(|y| y.is_finite()) {
            return Err(Error::Diverged(
                "the decoder writes what is no finite number: train again, at a smaller train.learning_rate"
                    .into(),
            ));
        }
        let level = |y: &f32| (255.0 / (1.0 + (-y).exp())).round() as u8;
        let picture = |y: &[f32]| Picture { size: [h, w], channels, pixels: y.iter().map(level).collect() };
        all.extend(logits.chunks(h * w * channels).map(picture));
    }
    Ok(all)
}

/// Pictures of one size side by side, so many in a line.
///
/// # Panics
/// Where there are none, or their sizes differ.
pub fn tiled(pictures: &[Picture], columns: usize) -> Picture {
    let Picture { size: [h, w], channels, .. } = pictures[0];
    let columns = columns.clamp(1, pictures.len());
    let lines = pictures.len().div_ceil(columns);
    let (high, wide) = (lines * (h + GAP) - GAP, columns * (w + GAP) - GAP);
    let mut pixels = vec![GAP_LEVEL; high * wide * channels];
    for (i, picture) in pictures.iter().enumerate() {
        assert_eq!((picture.size, picture.channels), ([h, w], channels), "pictures of one size");
        let start = i / columns * (h + GAP) * wide + i % columns * (w + GAP);
        for (y, line) in picture.pixels.chunks(w * channels).enumerate() {
            let at = (start + y * wide) * channels;
            pixels[at..at + line.len()].copy_from_slice(line);
        }
    }
    Picture { size: [high, wide], channels, pixels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_by_side() {
        let grey = |level| Picture { size: [1, 2], channels: 1, pixels: vec![level; 2] };
        let all = tiled(&[grey(1), grey(2), grey(3)], 2);
        assert_eq!(all.size, [3, 5]);
        assert_eq!(all.pixels, [1, 1, 128, 2, 2, 128, 128, 128, 128, 128, 3, 3, 128, 128, 128]);
    }
}
