//! Pictures sorted into classes: from an IDX file with its labels, or from a folder of PNG files with a folder for each class.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::idx::Idx;
use crate::error::{Error, Result};

/// Grey pictures of one size, sorted into classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageSet {
    /// Pixels along each side.
    pub side: usize,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Pictures of each class, row-major from the top left, 0 to 255.
    pub images: Vec<Vec<Vec<u8>>>,
}

impl ImageSet {
    /// Reads pictures: an IDX file `[n, side, side]` with the file of its labels `[n]`, or a folder.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] naming the file and what is wrong with it.
    pub fn read(path: &Path, labels: Option<&Path>) -> Result<ImageSet> {
        let set = match (path.is_dir(), labels) {
            (true, None) => ImageSet::folder(path)?,
            (true, Some(labels)) => {
                return Err(Error::data(
                    labels,
                    "",
                    "labels go with an IDX file; a folder's classes are its folders",
                ));
            }
            (false, Some(labels)) => ImageSet::idx(path, labels)?,
            (false, None) => {
                return Err(Error::data(
                    path,
                    "",
                    "is an IDX file or nothing: the file of its labels is needed beside it (or give a folder of PNG files, \
                     with a folder for each class)",
                ));
            }
        };
        if set.classes.is_empty() {
            return Err(Error::data(path, "", "holds no class with pictures"));
        }
        Ok(set)
    }

    fn idx(path: &Path, labels: &Path) -> Result<ImageSet> {
        let (pixels, names) = (Idx::read(path)?, Idx::read(labels)?);
        let &[n, side, width] = &pixels.shape[..] else {
            return Err(Error::data(
                path,
                "",
                format!("has the shape {:?}; pictures are [n, side, side]", pixels.shape),
            ));
        };
        if side != width || side == 0 {
            return Err(Error::data(
                path,
                "",
                format!("holds pictures of {side} by {width}; square ones are needed"),
            ));
        }
        if names.shape != [n] {
            let message =
                format!("has the shape {:?}, and there are {n} pictures: [{n}] is needed", names.shape);
            return Err(Error::data(labels, "", message));
        }
        let mut classes: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
        for (label, image) in names.values.iter().zip(pixels.values.chunks(side * side)) {
            let image = image.iter().map(|p| (*p).clamp(0, 255) as u8).collect();
            classes.entry(*label).or_default().push(image);
        }
        let (classes, images) =
            classes.into_iter().map(|(label, images)| (label.to_string(), images)).unzip();
        Ok(ImageSet { side, classes, images })
    }

    fn folder(path: &Path) -> Result<ImageSet> {
        let mut set = ImageSet { side: 0, classes: vec![], images: vec![] };
        for class in entries(path)?.into_iter().filter(|p| p.is_dir()) {
            let mut images = Vec::new();
            for file in entries(&class)? {
                if file.extension().is_none_or(|e| !e.eq_ignore_ascii_case("png")) {
                    continue;
                }
                let (side, image) = grey(&file)?;
                if set.side == 0 {
                    set.side = side;
                }
                if set.side != side {
                    let message =
                        format!("is {side} pixels wide, and others are {}: one size is needed", set.side);
                    return Err(Error::data(&file, "", message));
                }
                images.push(image);
            }
            if !images.is_empty() {
                set.classes.push(class.file_name().unwrap_or_default().to_string_lossy().into_owned());
                set.images.push(images);
            }
        }
        Ok(set)
    }
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

/// The side and the grey values of a square PNG file; what is transparent is white.
fn grey(path: &Path) -> Result<(usize, Vec<u8>)> {
    let wrong = |e: png::DecodingError| Error::data(path, "", format!("cannot be read as PNG: {e}"));
    let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
    let mut decoder = png::Decoder::new(std::io::BufReader::new(file));
    // Palettes and few bits are spread to bytes, and 16 bits cut.
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    if width != height || width > 1024 {
        let message =
            format!("is {width} by {height}; square pictures of up to 1024 pixels a side are needed");
        return Err(Error::data(path, "", message));
    }
    let size = reader.output_buffer_size().unwrap_or(0);
    let mut bytes = vec![0; size];
    let frame = reader.next_frame(&mut bytes).map_err(wrong)?;
    let samples = frame.color_type.samples();
    let pixels = bytes[..frame.buffer_size()].chunks(samples).map(|p| {
        // Luma of Rec. 601.
        let (value, alpha) = match *p {
            [v] => (v as u32, 255),
            [v, a] => (v as u32, a as u32),
            [r, g, b] => ((299 * r as u32 + 587 * g as u32 + 114 * b as u32) / 1000, 255),
            [r, g, b, a] => ((299 * r as u32 + 587 * g as u32 + 114 * b as u32) / 1000, a as u32),
            _ => (0, 255),
        };
        ((value * alpha + 255 * (255 - alpha)) / 255) as u8
    });
    Ok((width, pixels.collect()))
}
