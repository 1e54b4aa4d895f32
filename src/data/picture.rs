//! One picture: read from a PNG or JPEG file, made grey or coloured, brought to a size.
//!
//! ```
//! use hyperloom::data::picture::Picture;
//!
//! // A line of two pixels, red and white.
//! let p = Picture { size: [1, 2], channels: 3, pixels: vec![255, 0, 0, 255, 255, 255] };
//! assert_eq!(p.clone().grey().pixels, [76, 255]);
//! assert_eq!(p.resized([1, 1]).pixels, [255, 128, 128]);
//! ```

use std::path::Path;

use ::png::{ColorType, Decoder, Transformations};
use resize::Pixel::{Gray8, RGB8};
use resize::Type::Triangle;
use rgb::FromSlice;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::error::{Error, Result};
use crate::files::write_atomically;

/// Pixels along each side of a file at most.
const MAX_SIDE: usize = 8192;

/// Pixels of one or three channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Height and width.
    pub size: [usize; 2],
    /// 1: grey, 3: red, green and blue.
    pub channels: usize,
    /// 0 to 255, row by row from the top left, channels last.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Whether a file of this name is a picture that is read; an error where it is one of a kind that is not.
    pub(crate) fn is_one(path: &Path) -> Result<bool> {
        let kind = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match &kind[..] {
            "png" | "jpg" | "jpeg" => Ok(true),
            "gif" | "bmp" | "webp" | "tif" | "tiff" | "heic" | "avif" | "ppm" | "pgm" => {
                Err(Error::data(path, "", format!("is a picture of the kind {kind}: PNG and JPEG are read")))
            }
            _ => Ok(false),
        }
    }

    /// Whether a file begins as PNG or JPEG files do, whatever its name.
    pub(crate) fn begins_like_one(path: &Path) -> Result<bool> {
        use std::io::Read;
        let (mut first, mut file) = ([0; 3], std::fs::File::open(path).map_err(Error::io("read", path))?);
        let n = file.read(&mut first).map_err(Error::io("read", path))?;
        Ok(n == 3 && (first == [0x89, b'P', b'N'] || first == [0xff, 0xd8, 0xff]))
    }

    /// Writes a PNG file, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let ([h, w], mut bytes) = (self.size, Vec::new());
        let mut encoder = ::png::Encoder::new(&mut bytes, w as u32, h as u32);
        encoder.set_color(if self.channels == 3 { ColorType::Rgb } else { ColorType::Grayscale });
        let written = encoder.write_header().and_then(|mut to| to.write_image_data(&self.pixels));
        written.map_err(|e| Error::Io {
            path: path.into(),
            action: "write",
            source: std::io::Error::other(e),
        })?;
        write_atomically(path, &bytes)
    }

    /// Reads a PNG or JPEG file, whatever its name says. Of 16 bits the upper 8 count; what is transparent is white; a photograph is turned as its EXIF data
    /// say.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Data`] naming the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Picture> {
        if !std::fs::metadata(path).map_err(Error::io("read", path))?.is_file() {
            return Err(Error::data(path, "", "is no regular file"));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let found = match &bytes[..] {
            [0x89, b'P', b'N', b'G', ..] => png(&bytes),
            [0xff, 0xd8, ..] => jpeg(&bytes),
            [] => Err("is empty".into()),
            _ => Err("is neither PNG nor JPEG".into()),
        };
        found.map_err(|message| Error::data(path, "", message))
    }

    /// As it is to be looked at, where EXIF data say how the camera was held (tag `Orientation`, 1 to 8).
    fn upright(self, exif: Option<Vec<u8>>) -> Picture {
        let held = exif
            .and_then(|data| exif::Reader::new().read_raw(data).ok())
            .and_then(|found| found.get_field(exif::Tag::Orientation, exif::In::PRIMARY)?.value.get_uint(0));
        let [h, w] = self.size;
        // Whether rows become columns, and where a pixel at (y, x) of what is looked at lies.
        let (turned, from): (bool, fn([usize; 2], [usize; 2]) -> [usize; 2]) = match held {
            Some(2) => (false, |[_, w], [y, x]| [y, w - 1 - x]),
            Some(3) => (false, |[h, w], [y, x]| [h - 1 - y, w - 1 - x]),
            Some(4) => (false, |[h, _], [y, x]| [h - 1 - y, x]),
            Some(5) => (true, |_, [y, x]| [x, y]),
            Some(6) => (true, |[h, _], [y, x]| [h - 1 - x, y]),
            Some(7) => (true, |[h, w], [y, x]| [h - 1 - x, w - 1 - y]),
            Some(8) => (true, |[_, w], [y, x]| [x, w - 1 - y]),
            _ => return self,
        };
        let size = if turned { [w, h] } else { [h, w] };
        let places = (0..size[0]).flat_map(|y| (0..size[1]).map(move |x| [y, x]));
        let pixels = places
            .flat_map(|place| {
                let [y, x] = from([h, w], place);
                &self.pixels[(y * w + x) * self.channels..][..self.channels]
            })
            .copied()
            .collect();
        Picture { size, pixels, ..self }
    }

    /// The luma of Rec. 601.
    #[must_use]
    pub fn grey(self) -> Picture {
        if self.channels == 1 {
            return self;
        }
        let luma = |p: &[u8]| {
            let [r, g, b] = [p[0], p[1], p[2]].map(u32::from);
            ((299 * r + 587 * g + 114 * b) / 1000) as u8
        };
        Picture { channels: 1, pixels: self.pixels.chunks(3).map(luma).collect(), ..self }
    }

    /// Three channels, those of a grey picture alike.
    #[must_use]
    pub fn coloured(self) -> Picture {
        if self.channels == 3 {
            return self;
        }
        Picture { channels: 3, pixels: self.pixels.iter().flat_map(|v| [*v; 3]).collect(), ..self }
    }

    /// Of this height, width and number of channels.
    pub fn shaped(self, [h, w, channels]: [usize; 3]) -> Picture {
        if channels == 3 { self.coloured() } else { self.grey() }.resized([h, w])
    }

    /// The same at another size, each side for itself: means over what a pixel covers where it becomes smaller, else between neighbours
    /// (a triangle of the pixel's width).
    ///
    /// # Panics
    /// Where a side has no pixels.
    #[must_use]
    pub fn resized(self, size: [usize; 2]) -> Picture {
        let ([h, w], [to_h, to_w]) = (self.size, size);
        assert!(!size.contains(&0), "a picture has pixels");
        if self.size == size {
            return self;
        }
        let mut pixels = vec![0; to_h * to_w * self.channels];
        let (from, to) = (&self.pixels, &mut pixels[..]);
        let done = if self.channels == 1 {
            resize::new(w, h, to_w, to_h, Gray8, Triangle)
                .and_then(|mut r| r.resize(from.as_gray(), to.as_gray_mut()))
        } else {
            resize::new(w, h, to_w, to_h, RGB8, Triangle)
                .and_then(|mut r| r.resize(from.as_rgb(), to.as_rgb_mut()))
        };
        // Sizes are at least 1, and buffers as long as they say.
        done.unwrap_or_else(|e| panic!("a picture of {h} x {w} to {to_h} x {to_w}: {e}"));
        Picture { size, pixels, ..self }
    }
}

fn checked(width: usize, height: usize) -> std::result::Result<[usize; 2], String> {
    match width.max(height) <= MAX_SIDE && width.min(height) > 0 {
        true => Ok([height, width]),
        false => Err(format!("is {width} by {height}; up to {MAX_SIDE} pixels a side are read")),
    }
}

fn png(bytes: &[u8]) -> std::result::Result<Picture, String> {
    let wrong = |e: ::png::DecodingError| format!("cannot be read as PNG: {e}");
    let mut decoder = Decoder::new(std::io::Cursor::new(bytes));
    // Palettes and few bits are spread to bytes, and 16 bits cut.
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let info = reader.info();
    let size = checked(info.width as usize, info.height as usize)?;
    if info.animation_control.is_some() {
        return Err("is animated: one picture a file is needed".into());
    }
    let exif = info.exif_metadata.as_ref().map(|data| data.to_vec());
    let mut buffer = vec![0; reader.output_buffer_size().unwrap_or(0)];
    let frame = reader.next_frame(&mut buffer).map_err(wrong)?;
    let data = &buffer[..frame.buffer_size()];
    let on_white = |v: u8, alpha: u8| {
        let (v, alpha) = (u32::from(v), u32::from(alpha));
        ((v * alpha + 255 * (255 - alpha)) / 255) as u8
    };
    let (channels, pixels) = match frame.color_type {
        ColorType::Grayscale => (1, data.to_vec()),
        ColorType::GrayscaleAlpha => (1, data.chunks(2).map(|p| on_white(p[0], p[1])).collect()),
        ColorType::Rgba => {
            (3, data.chunks(4).flat_map(|p| [0, 1, 2].map(|c| on_white(p[c], p[3]))).collect())
        }
        ColorType::Rgb => (3, data.to_vec()),
        ColorType::Indexed => return Err("has a palette that cannot be spread".into()),
    };
    Ok(Picture { size, channels, pixels }.upright(exif))
}

fn jpeg(bytes: &[u8]) -> std::result::Result<Picture, String> {
    let wrong = |e: zune_jpeg::errors::DecodeErrors| format!("cannot be read as JPEG: {e:?}");
    // Strict: what is cut off is an error, not grey.
    let options =
        DecoderOptions::default().set_strict_mode(true).set_max_width(MAX_SIDE).set_max_height(MAX_SIDE);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(wrong)?;
    let grey = decoder.input_colorspace() == Some(ColorSpace::Luma);
    let to = if grey { ColorSpace::Luma } else { ColorSpace::RGB };
    decoder.set_options(options.jpeg_set_out_colorspace(to));
    let pixels = decoder.decode().map_err(wrong)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    let (size, channels) = (checked(width, height)?, if grey { 1 } else { 3 });
    match pixels.len() == width * height * channels {
        true => Ok(Picture { size, channels, pixels }.upright(decoder.exif().cloned())),
        false => Err("ends before its last pixel".into()),
    }
}
