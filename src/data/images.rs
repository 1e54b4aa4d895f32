//! Pictures sorted into classes: from an IDX file with its labels, from a folder with a folder for each class, or from records in the
//! binary layout of CIFAR-10.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::idx::{Idx, unpacked};
use super::picture::Picture;
use crate::error::{Error, Result};

/// Levels of 255 between the darkest and the brightest pixel of all: with fewer nothing is to be seen.
const LEAST_CONTRAST: u8 = 8;

/// A record of CIFAR-10: a label, then planes of red, green and blue.
const CIFAR_SIDE: usize = 32;
const CIFAR_RECORD: usize = 1 + 3 * CIFAR_SIDE * CIFAR_SIDE;

/// How pictures are read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImageOptions {
    /// Height and width that all are brought to; not given, all must have one.
    pub size: Option<[usize; 2]>,
    /// Whether they have three channels or one; not given, three where any has.
    pub colour: Option<bool>,
}

/// Pictures of one shape, sorted into classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSet {
    /// Height, width and channels.
    pub shape: [usize; 3],
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Pictures of each class, row by row from the top left, channels last, 0 to 255.
    pub images: Vec<Vec<Vec<u8>>>,
}

impl ImageSet {
    /// Reads pictures:
    ///
    /// - an IDX file `[n, height, width]` or `[n, height, width, 3]`, with the file of its labels `[n]` (not given: the one beside it
    ///   that is called the same, but for `labels` in the place of `images`);
    /// - a file `*.bin` or `*.bin.gz` in CIFAR-10's layout, or a folder of such: records of a label and planes of 32 x 32 red, green and
    ///   blue;
    /// - a folder: each folder in it that holds PNG or JPEG files, at any depth, is a class, called by its path. What begins with a
    ///   dot is left out.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] naming the file and what is wrong with it.
    pub fn read(path: &Path, labels: Option<&Path>, options: ImageOptions) -> Result<ImageSet> {
        check_there(path)?;
        let beside = if labels.is_none() && path.is_file() { labels_beside(path) } else { None };
        let found = match (path.is_dir(), labels.or(beside.as_deref())) {
            (true, None) => folder(path)?,
            (true, Some(labels)) => {
                return Err(Error::data(
                    labels,
                    "",
                    "labels go with an IDX file; a folder's classes are its folders",
                ));
            }
            (false, None) if is_cifar(path) => cifar(path)?,
            (false, Some(labels)) => idx(path, labels)?,
            (false, None) => {
                return Err(Error::data(
                    path,
                    "",
                    "is an IDX file or nothing: the file of its labels is needed beside it (or give a folder of PNG or JPEG \
                     files with a folder for each class, or a file *.bin in CIFAR-10's layout)",
                ));
            }
        };
        if found.is_empty() {
            return Err(Error::data(path, "", "holds no class with pictures"));
        }
        of_one_shape(path, found, options)
    }

    /// Reads pictures whatever their classes: as [`ImageSet::read`], without labels; a picture file alone, and a folder that holds
    /// pictures itself, too. A class is called by its folder, or nothing.
    ///
    /// # Errors
    /// Those of [`ImageSet::read`].
    pub fn unsorted(path: &Path, options: ImageOptions) -> Result<ImageSet> {
        check_there(path)?;
        let found = match path.is_dir() {
            true => match records(path)? {
                Some(found) => found,
                None => in_folders(path)?,
            },
            false if is_cifar(path) => cifar(path)?,
            false if Picture::is_one(path)? => {
                vec![Found { class: String::new(), from: path.into(), picture: Picture::read(path)? }]
            }
            false => {
                let class = |picture| Found { class: String::new(), from: path.into(), picture };
                idx_pictures(path)?.map(class).collect()
            }
        };
        if found.is_empty() {
            return Err(Error::data(path, "", "holds no PNG or JPEG file"));
        }
        of_one_shape(path, found, options)
    }

    /// Numbers of a picture.
    pub fn pixels(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Pictures in a file, or in a folder at any depth: the path of each inside it, and its pixels.
///
/// # Errors
/// [`Error::Io`], and [`Error::Data`] naming the file and what is wrong with it.
pub(crate) fn pictures_in(path: &Path, shape: [usize; 3]) -> Result<Vec<(String, Vec<u8>)>> {
    check_there(path)?;
    if path.is_file() && !Picture::is_one(path)? && !Picture::begins_like_one(path)? {
        // Records, or an IDX file: numbered from 1.
        let records = match is_cifar(path) {
            true => cifar(path)?.into_iter().map(|f| f.picture).collect(),
            false => idx_pictures(path)?.collect::<Vec<Picture>>(),
        };
        let named = |(k, p): (usize, Picture)| ((k + 1).to_string(), p.shaped(shape).pixels);
        return Ok(records.into_iter().enumerate().map(named).collect());
    }
    let mut files = Vec::new();
    match path.is_dir() {
        true => list(path, "", &mut Vec::new(), &mut files)?,
        false => files.push((String::new(), path.to_path_buf())),
    }
    if files.is_empty() {
        return Err(Error::data(path, "", "holds no PNG or JPEG file"));
    }
    let read = |(folder, file): &(String, PathBuf)| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        Ok((name, Picture::read(file)?.shaped(shape).pixels))
    };
    files.par_iter().map(read).collect()
}

fn check_there(path: &Path) -> Result<()> {
    match path.exists() {
        true => Ok(()),
        false => Err(Error::data(path, "", "is not there: no such file or folder")),
    }
}

/// A picture with the name of its class, and where it comes from.
struct Found {
    class: String,
    from: PathBuf,
    picture: Picture,
}

/// Brings pictures to one shape, and sorts them.
fn of_one_shape(path: &Path, found: Vec<Found>, options: ImageOptions) -> Result<ImageSet> {
    let colour = options.colour.unwrap_or_else(|| found.iter().any(|f| f.picture.channels == 3));
    let first = found[0].picture.size;
    if options.size.is_none()
        && let Some(other) = found.iter().find(|f| f.picture.size != first)
    {
        let ([h, w], [h0, w0]) = (other.picture.size, first);
        let message = format!(
            "is {w} by {h} pixels, and '{}' is {w0} by {h0}: size = [height, width] among the settings of the task (images.size, pictures.size, \
             fields.size or decoders.size) brings all to one",
            found[0].from.display()
        );
        return Err(Error::data(&other.from, "", message));
    }
    let size = options.size.unwrap_or(first);
    if size.contains(&0) {
        return Err(Error::config("images.size", format!("{size:?}: sides have one pixel at least")));
    }
    let shape = [size[0], size[1], if colour { 3 } else { 1 }];
    let found: Vec<Found> =
        found.into_par_iter().map(|f| Found { picture: f.picture.shaped(shape), ..f }).collect();
    let range = |f: &Found| {
        let pixels = &f.picture.pixels;
        (pixels.iter().copied().min().unwrap_or(0), pixels.iter().copied().max().unwrap_or(0))
    };
    let both = |a: (u8, u8), b: (u8, u8)| (a.0.min(b.0), a.1.max(b.1));
    let (darkest, brightest) = found.par_iter().map(range).reduce(|| (255, 0), both);
    if brightest - darkest < LEAST_CONTRAST {
        let message = format!(
            "holds pictures whose pixels all lie between {darkest} and {brightest} of 0 to 255: nothing is to be seen in them. Scans of \
             16 bits that use a narrow range have to be stretched first"
        );
        return Err(Error::data(path, "", message));
    }
    let mut classes: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for f in found {
        classes.entry(f.class).or_default().push(f.picture.pixels);
    }
    // Numbers in their order, not in that of their digits.
    let mut sorted: Vec<(String, Vec<Vec<u8>>)> = classes.into_iter().collect();
    sorted.sort_by_key(|(name, _)| (name.parse::<i64>().unwrap_or(i64::MAX), name.clone()));
    let (classes, images) = sorted.into_iter().unzip();
    Ok(ImageSet { shape, classes, images })
}

/// The file of labels beside a file of pictures, as those of MNIST and its kin are called: `train-images-idx3-ubyte.gz` has
/// `train-labels-idx1-ubyte.gz`. `None` where there is none, or more than one.
fn labels_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let start = format!("{}labels", &name[..name.find("images")?]);
    let is_one = |p: &PathBuf| p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(&start));
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut found = entries(folder).ok()?.into_iter().filter(is_one);
    found.next().filter(|_| found.next().is_none())
}

fn idx(path: &Path, labels: &Path) -> Result<Vec<Found>> {
    let names = Idx::read(labels)?;
    let pictures = idx_pictures(path)?;
    let n = pictures.len();
    if names.shape != [n] {
        let message = format!("has the shape {:?}, and there are {n} pictures: [{n}] is needed", names.shape);
        return Err(Error::data(labels, "", message));
    }
    let found = names.values.iter().zip(pictures);
    Ok(found.map(|(label, picture)| Found { class: label.to_string(), from: path.into(), picture }).collect())
}

/// The pictures of an IDX file.
fn idx_pictures(path: &Path) -> Result<impl ExactSizeIterator<Item = Picture>> {
    let pixels = Idx::read(path)?;
    let (n, size, channels) = match pixels.shape[..] {
        [n, h, w] => (n, [h, w], 1),
        [n, h, w, 3] => (n, [h, w], 3),
        _ => {
            let message = format!(
                "has the shape {:?}; pictures are [n, height, width], or [n, height, width, 3]",
                pixels.shape
            );
            return Err(Error::data(path, "", message));
        }
    };
    let each = size[0] * size[1] * channels;
    if each == 0 {
        return Err(Error::data(path, "", format!("holds pictures of {} by {}", size[1], size[0])));
    }
    if let Some(at) = pixels.values.iter().position(|v| !(0..=255).contains(v)) {
        let message =
            format!("picture {} has a pixel of {}: 0 to 255 are read", at / each, pixels.values[at]);
        return Err(Error::data(path, "", message));
    }
    let picture = move |k: usize| Picture {
        size,
        channels,
        pixels: pixels.values[k * each..(k + 1) * each].iter().map(|v| *v as u8).collect(),
    };
    Ok((0..n).map(picture))
}

fn cifar(path: &Path) -> Result<Vec<Found>> {
    let bytes = unpacked(path)?;
    if bytes.is_empty() || bytes.len() % CIFAR_RECORD != 0 {
        let message = format!(
            "has {} bytes, which are no whole records of {CIFAR_RECORD} (a label and 3 planes of {CIFAR_SIDE} x {CIFAR_SIDE}): \
             is it cut off?",
            bytes.len()
        );
        return Err(Error::data(path, "", message));
    }
    let record = |record: &[u8]| {
        let plane = CIFAR_SIDE * CIFAR_SIDE;
        let pixels = (0..plane).flat_map(|i| [0, 1, 2].map(|c| record[1 + c * plane + i])).collect();
        let picture = Picture { size: [CIFAR_SIDE; 2], channels: 3, pixels };
        Found { class: record[0].to_string(), from: path.into(), picture }
    };
    Ok(bytes.chunks(CIFAR_RECORD).map(record).collect())
}

fn folder(path: &Path) -> Result<Vec<Found>> {
    if let Some(found) = records(path)? {
        return Ok(found);
    }
    let found = in_folders(path)?;
    if let Some(alone) = found.iter().find(|f| f.class.is_empty()) {
        let message = "lies in the folder itself: each folder inside it is a class, and holds the pictures of that class";
        return Err(Error::data(&alone.from, "", message));
    }
    Ok(found)
}

/// The records of all files in CIFAR-10's layout in a folder; `None` where there are none.
fn records(path: &Path) -> Result<Option<Vec<Found>>> {
    let mut files: Vec<PathBuf> = entries(path)?.into_iter().filter(|p| is_cifar(p)).collect();
    if files.is_empty() {
        return Ok(None);
    }
    // As the data set is handed round, its test records lie beside those to train on.
    if !files.iter().all(|p| is_test_records(p)) {
        files.retain(|p| !is_test_records(p));
    }
    let all: Vec<Vec<Found>> = files.iter().map(|file| cifar(file)).collect::<Result<_>>()?;
    Ok(Some(all.into_iter().flatten().collect()))
}

/// Pictures in a folder at any depth, each with the path of its folder in that.
fn in_folders(path: &Path) -> Result<Vec<Found>> {
    let mut files = Vec::new();
    list(path, "", &mut Vec::new(), &mut files)?;
    files
        .into_par_iter()
        .map(|(class, from)| Ok(Found { class, picture: Picture::read(&from)?, from }))
        .collect()
}

/// Whether a file has records of CIFAR-10 to be judged on, by its name.
pub(crate) fn is_test_records(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    is_cifar(path) && name.starts_with("test")
}

/// Whether a file has records of CIFAR-10, by its name.
pub(crate) fn is_cifar(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.ends_with(".bin") || name.ends_with(".bin.gz")
}

/// Pictures in a folder and those in it, each with the path of its folder. A folder that has been `seen`, as links can lead to it
/// again, is not read twice.
fn list(path: &Path, class: &str, seen: &mut Vec<PathBuf>, files: &mut Vec<(String, PathBuf)>) -> Result<()> {
    let real = path.canonicalize().map_err(Error::io("read", path))?;
    if seen.contains(&real) {
        return Ok(());
    }
    seen.push(real);
    for entry in entries(path)? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        if entry.is_dir() {
            let inner = if class.is_empty() { name } else { format!("{class}/{name}") };
            list(&entry, &inner, seen, files)?;
        } else if Picture::is_one(&entry)? {
            files.push((class.to_string(), entry));
        }
    }
    Ok(())
}

/// Files and folders in a folder, by name.
fn entries(path: &Path) -> Result<Vec<PathBuf>> {
    let list = std::fs::read_dir(path).map_err(Error::io("read", path))?;
    let mut all = list
        .map(|e| e.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(Error::io("read", path))?;
    all.sort();
    Ok(all)
}
