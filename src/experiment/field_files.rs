//! Pictures as codes: what a model of fields learns of a picture, in a file, and the picture that such a code stands for.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use hyperloom::Device;
//! use hyperloom::experiment::field_files::{Code, decode, encode};
//! use hyperloom::experiment::run_folder::RunFolder;
//!
//! let (model, format) = RunFolder::open(Path::new("runs/fields"))?.model()?;
//! let code = encode(&Device::Cpu, &model, &format, Path::new("cat.png"), None)?;
//! code.save(Path::new("cat.safetensors"))?;
//! let code = Code::load(Path::new("cat.safetensors"))?;
//! decode(&Device::Cpu, &model, &format, &code, code.size)?.write(Path::new("cat-again.png"))?;
//! # Ok::<(), hyperloom::Error>(())
//! ```

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::checkpoint::{Checkpoint, Tensor};
use crate::data::fields::{colours, pixels, places};
use crate::data::format::Format;
use crate::data::picture::Picture;
use crate::error::{Error, Result};
use crate::meta::model::Model;
use crate::meta::store::{field, json, parse};
use crate::run::Device;
use crate::task::Task;

/// Sides of pictures that are encoded or decoded, at most.
const MAX_SIDE: usize = 1024;
/// Pixels that a network is asked about at once.
const PIXELS_AT_ONCE: usize = 1 << 14;

/// What is kept of a picture.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Code {
    /// What adapted to it: the context parameters, the weights of the last layer, or of a generated network all weights.
    pub values: Vec<f32>,
    /// Height and width of the picture.
    pub size: [usize; 2],
    /// Which model it is a code of.
    model: String,
}

/// What a file says beside the values.
#[derive(Serialize, Deserialize)]
struct About {
    size: [usize; 2],
    model: String,
}

impl Code {
    /// Writes it whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut c = Checkpoint::default();
        c.tensors.insert("code".into(), Tensor::f32(&[self.values.len()], self.values.clone()));
        let about = About { size: self.size, model: self.model.clone() };
        c.metadata.insert("picture".into(), json(&about));
        c.save(path)
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file holds no code.
    pub fn load(path: &Path) -> Result<Code> {
        let c = Checkpoint::load(path)?;
        if field(path, &c, "picture").is_err() {
            return Err(Error::checkpoint(
                path,
                "the file holds no code of a picture; `hyperloom encode` writes one",
            ));
        }
        let About { size, model } = parse(path, &c, "picture")?;
        if size.iter().any(|n| !(1..=MAX_SIDE).contains(n)) {
            return Err(Error::checkpoint(path, format!("a picture of {} by {}", size[1], size[0])));
        }
        let shape = c.tensors.get("code").map_or(vec![], |t| t.shape.clone());
        let values = c.f32("code", &shape).map_err(|e| Error::checkpoint(path, e.to_string()))?.to_vec();
        match values.iter().all(|v| v.is_finite()) {
            true => Ok(Code { values, size, model }),
            false => Err(Error::checkpoint(path, "a number of the code is not finite")),
        }
    }
}

/// Channels of the pictures that a model of fields reads.
fn channels(format: &Format) -> Result<usize> {
    match format {
        Format::Fields { shape } => Ok(shape[2]),
        _ => Err(Error::config("run", "the model was not trained on pictures as fields (--task fields)")),
    }
}

/// What tells one trained model from another.
fn fingerprint(model: &Model) -> String {
    let mut hash = Sha256::new();
    model.members.iter().flat_map(|m| &m.hyper).for_each(|v| hash.update(v.to_le_bytes()));
    hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Learns a picture in `steps` steps (`None`: as many as were chosen on validation tasks), from all its pixels.
///
/// # Errors
/// [`Error::Data`] where the file is no picture, or larger than 1024 on a side; [`Error::Config`] where the model is none of fields.
pub fn encode(
    device: &Device,
    model: &Model,
    format: &Format,
    picture: &Path,
    steps: Option<usize>,
) -> Result<Code> {
    let channels = channels(format)?;
    let found = Picture::read(picture)?;
    let size = found.size;
    if size.iter().any(|n| *n > MAX_SIDE) {
        let message = format!("is {} by {} pixels: up to {MAX_SIDE} on a side are learned", size[1], size[0]);
        return Err(Error::data(picture, "", message));
    }
    let found = found.shaped([size[0], size[1], channels]);
    let task = Task::from_support(places(size), colours(&found.pixels).collect());
    Ok(Code { values: model.code(device, &task, steps)?, size, model: fingerprint(model) })
}

/// The picture that a code stands for, of any height and width: the field is asked about the middles of its pixels.
///
/// # Errors
/// [`Error::Config`] where the code is of another model, or the size is beyond 1024.
pub fn decode(
    device: &Device,
    model: &Model,
    format: &Format,
    code: &Code,
    size: [usize; 2],
) -> Result<Picture> {
    let channels = channels(format)?;
    if size.iter().any(|n| !(1..=MAX_SIDE).contains(n)) {
        let message = format!("{} by {}: sides must lie from 1 to {MAX_SIDE}", size[1], size[0]);
        return Err(Error::config("--size", message));
    }
    if code.model != fingerprint(model) {
        return Err(Error::config(
            "--code",
            "the code was written by another model: name the run that it was encoded with",
        ));
    }
    let network = model.network_of_code(device, &code.values)?;
    let mut all = Vec::with_capacity(size[0] * size[1] * channels);
    for some in places(size).chunks(2 * PIXELS_AT_ONCE) {
        all.extend(network.predict(device, some)?);
    }
    Ok(Picture { size, channels, pixels: pixels(&all) })
}
