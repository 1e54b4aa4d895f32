//! Pictures in files: the classes of a task as folders, pictures to be sorted into them, and what a trained model says about each.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use hyperloom::Device;
//! use hyperloom::experiment::picture_files::sort_pictures;
//! use hyperloom::experiment::run_folder::RunFolder;
//!
//! let (model, format) = RunFolder::open(Path::new("runs/prototypes"))?.model()?;
//! let (known, new) = (Path::new("known"), Path::new("new"));
//! let sorted = sort_pictures(&Device::Cpu, &model, &format, known, new, None)?;
//! for (file, shares) in sorted.files.iter().zip(&sorted.shares) {
//!     println!("{file}: {:?} {shares:?}", sorted.classes);
//! }
//! # Ok::<(), hyperloom::Error>(())
//! ```

use std::path::Path;

use crate::data::format::Format;
use crate::data::images::{ImageOptions, ImageSet, is_cifar, pictures_in};
use crate::data::labelled::{ChannelScale, pixel};
use crate::error::{Error, Result};
use crate::meta::model::{Model, Network, Prediction};
use crate::net::Net;
use crate::run::Device;
use crate::task::{Task, softmax};

/// Pictures, and the classes that they are sorted into.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sorted {
    /// Paths of the pictures inside the folder that was asked about.
    pub files: Vec<String>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Probability of each class for each picture.
    pub shares: Vec<Vec<f64>>,
    /// How far the networks that noise makes of a task disagree on each picture, in nats; empty where there is no noise.
    pub disagreement: Vec<f32>,
}

impl Sorted {
    fn new(files: Vec<String>, classes: &[String], outputs: usize, said: &Prediction) -> Sorted {
        // Outputs beyond the classes of the support stand for none.
        let shares = said.values.chunks(outputs).map(|y| softmax(&y[..classes.len()])).collect();
        Sorted { files, classes: classes.to_vec(), shares, disagreement: said.disagreement.clone() }
    }

    /// A row a picture: its path, the most probable class, the probability of each, and where there is noise how far networks disagree.
    ///
    /// # Errors
    /// [`Error::Data`] where a row cannot be written.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut out = csv::Writer::from_writer(Vec::new());
        let fail = |e: &dyn std::fmt::Display| Error::data(Path::new("predictions"), "", e.to_string());
        let probabilities = self.classes.iter().map(|c| format!("probability_{c}"));
        let header: Vec<String> =
            ["file".into(), "prediction".into()].into_iter().chain(probabilities).collect();
        let header =
            [header, vec!["disagreement".into(); usize::from(!self.disagreement.is_empty())]].concat();
        out.write_record(&header).map_err(|e| fail(&e))?;
        for (row, (file, shares)) in self.files.iter().zip(&self.shares).enumerate() {
            let likeliest = self.classes.iter().zip(shares).max_by(|a, b| a.1.total_cmp(b.1));
            let first = [file.clone(), likeliest.map_or_else(String::new, |(class, _)| class.clone())];
            let apart = self.disagreement.get(row).map(f32::to_string);
            let cells = first.into_iter().chain(shares.iter().map(|p| format!("{p:.6}"))).chain(apart);
            out.write_record(cells).map_err(|e| fail(&e))?;
        }
        out.into_inner().map_err(|e| fail(&e))
    }
}

/// What a format of pictures says.
struct OfPictures<'f> {
    shape: [usize; 3],
    /// Classes of a task.
    ways: usize,
    /// Their names, where they are known.
    classes: &'f [String],
    scales: &'f [ChannelScale],
}

fn of_pictures(format: &Format) -> Result<OfPictures<'_>> {
    match format {
        Format::Pictures { shape, ways, classes, scales } => {
            Ok(OfPictures { shape: *shape, ways: *ways, classes, scales })
        }
        _ => Err(Error::config("--support", "the model was not trained on pictures: it reads CSV files")),
    }
}

impl OfPictures<'_> {
    /// Pixels as a network reads them.
    fn numbers(&self, pixels: &[u8]) -> impl Iterator<Item = f32> {
        let channels = self.shape[2];
        pixels.iter().enumerate().map(move |(i, p)| pixel(self.scales, i % channels, *p))
    }
}

/// A task whose classes are the folders in a folder, and their names. Pictures are brought to the shape that the model reads. Where the
/// model knows its classes, they are found by the names of the folders.
///
/// # Errors
/// [`Error::Data`] naming what is no picture, or how many classes the model tells apart.
pub fn support_of_folder(format: &Format, folder: &Path) -> Result<(Task, Vec<String>)> {
    let of = of_pictures(format)?;
    let OfPictures { shape, ways, classes: known, .. } = of;
    if !folder.is_dir() && !is_cifar(folder) {
        let message =
            "is no folder: the model reads pictures, and each folder in the support is a class of the task";
        return Err(Error::data(folder, "", message));
    }
    let options = ImageOptions { size: Some([shape[0], shape[1]]), colour: Some(shape[2] == 3) };
    let set = ImageSet::read(folder, None, options)?;
    let n = set.classes.len();
    let unknown = set.classes.iter().find(|c| !known.is_empty() && !known.contains(c));
    if let Some(class) = unknown {
        let message = format!("has the class '{class}', and the model was trained on {}", known.join(", "));
        return Err(Error::data(folder, "", message));
    }
    if n < 2 && known.is_empty() {
        let message =
            format!("holds the class '{}' alone: two at least are needed to tell apart", set.classes[0]);
        return Err(Error::data(folder, "", message));
    }
    if n > ways {
        let message = format!(
            "holds {n} classes, and the model tells up to {ways} apart: more take a model that was trained with images.ways = {n}"
        );
        return Err(Error::data(folder, "", message));
    }
    let (mut xs, mut ys) = (vec![], vec![]);
    for (class, images) in set.images.iter().enumerate() {
        let class = known.iter().position(|c| *c == set.classes[class]).unwrap_or(class);
        for image in images {
            xs.extend(of.numbers(image));
            ys.extend((0..ways).map(|w| f32::from(w == class)));
        }
    }
    let classes = if known.is_empty() { set.classes } else { known.to_vec() };
    Ok((Task::from_support(xs, ys), classes))
}

/// Pictures in a file or a folder, at any depth: their paths, and what a network reads of them.
pub(super) fn pictures_asked(format: &Format, path: &Path) -> Result<(Vec<String>, Vec<f32>)> {
    let of = of_pictures(format)?;
    let found = pictures_in(path, of.shape)?;
    let (files, pictures): (Vec<String>, Vec<Vec<u8>>) = found.into_iter().unzip();
    Ok((files, pictures.iter().flat_map(|p| of.numbers(p)).collect()))
}

/// Says so where a network looks at all pictures that it is asked about together.
fn warn_of_batches(net: &Net) {
    if net.mixes_rows() {
        log::warn!(
            "the network normalises over the pictures that are asked about together (batch_norm = \"batch\"): what it says of few pictures, \
             or of pictures of one class alone, is not what it was judged by"
        );
    }
}

/// Sorts the pictures of `pictures` into the classes of `support`, a folder with a folder for each. `steps` of adaptation; `None`: as
/// was chosen on validation tasks.
///
/// # Errors
/// Those of [`support_of_folder`], and those of the device.
pub fn sort_pictures(
    device: &Device,
    model: &Model,
    format: &Format,
    support: &Path,
    pictures: &Path,
    steps: Option<usize>,
) -> Result<Sorted> {
    warn_of_batches(&model.spec.target);
    let (task, classes) = support_of_folder(format, support)?;
    let (files, xq) = pictures_asked(format, pictures)?;
    let o = model.likelihood.outputs;
    let yq = vec![0.0; files.len() * o];
    let found = model.predict(device, &[Task { xq, yq, ..task }], steps)?;
    Ok(Sorted::new(files, &classes, o, &found[0]))
}

/// The same by a network that has been adapted to its classes.
///
/// # Errors
/// [`Error::Data`] naming what is no picture, and those of the device.
pub fn sort_by_network(
    device: &Device,
    network: &Network,
    format: &Format,
    pictures: &Path,
) -> Result<Sorted> {
    warn_of_batches(&network.spec);
    let (files, x) = pictures_asked(format, pictures)?;
    let said = network.prediction(device, &x)?;
    Ok(Sorted::new(files, &format.classes(), network.likelihood.outputs, &said))
}
