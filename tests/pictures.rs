//! Files of pictures: what is read as what, and what is refused with which words.

#![cfg(feature = "experiment")]

use std::path::Path;

use hyperloom::data::images::{ImageOptions, ImageSet};
use hyperloom::data::picture::Picture;
use hyperloom::data::score::{psnr, ssim, truncated};
use jpeg_encoder::{ColorType, Encoder};

/// A picture with a bright rectangle whose place depends on `k`.
fn pixels(k: usize, [h, w]: [usize; 2], channels: usize) -> Vec<u8> {
    let bright = |x: usize, y: usize, c: usize| x >= k % w && y >= k / 2 % h && !(x + c).is_multiple_of(3);
    let all = (0..h * w * channels).map(|i| (i / channels % w, i / channels / w, i % channels));
    all.map(|(x, y, c)| if bright(x, y, c) { 220 } else { 30 }).collect()
}

fn write_png(path: &Path, [h, w]: [usize; 2], color: png::ColorType, data: &[u8]) {
    let mut encoder = png::Encoder::new(std::fs::File::create(path).expect("a file"), w as u32, h as u32);
    encoder.set_color(color);
    encoder.write_header().expect("a header").write_image_data(data).expect("pixels");
}

fn write_jpeg(path: &Path, [h, w]: [usize; 2], color: ColorType, data: &[u8]) {
    let encoder = Encoder::new_file(path, 100).expect("a file");
    encoder.encode(data, w as u16, h as u16, color).expect("pixels");
}

fn folder(dirs: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    dirs.iter().for_each(|d| std::fs::create_dir_all(dir.path().join(d)).expect("a folder"));
    dir
}

fn refused(path: &Path, options: ImageOptions) -> String {
    ImageSet::read(path, None, options).expect_err("it is wrong").to_string()
}

/// A camera that is held in any of eight ways says so in its pictures, which are turned and mirrored back.
#[test]
fn photographs_are_turned_as_they_say() {
    let dir = folder(&[]);
    // What is to be seen, and as it lies in the file: EXIF 2.32, tag 274, says where its first row and first column are.
    let seen: [[u8; 3]; 2] = [[10, 20, 30], [40, 50, 60]];
    let at = |y: usize, x: usize| seen[y][x];
    type Lies = fn(usize, usize) -> [usize; 2];
    let ways: [(bool, Lies); 8] = [
        (false, |y, x| [y, x]),
        (false, |y, x| [y, 2 - x]),
        (false, |y, x| [1 - y, 2 - x]),
        (false, |y, x| [1 - y, x]),
        (true, |y, x| [x, y]),
        // The first row of the file is the right side, the first column the top: one turns it to the right.
        (true, |y, x| [x, 2 - y]),
        (true, |y, x| [1 - x, 2 - y]),
        (true, |y, x| [1 - x, y]),
    ];
    for (number, (turned, lies)) in ways.into_iter().enumerate() {
        let [h, w] = if turned { [3, 2] } else { [2, 3] };
        let data: Vec<u8> = (0..h * w)
            .map(|i| {
                let [y, x] = lies(i / w, i % w);
                at(y, x)
            })
            .collect();
        // A directory of one short number, in the order of big ends.
        let way = number as u8 + 1;
        let exif =
            [b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".as_slice(), &[way], b"\0\0\0\0\0\0"].concat();
        let path = dir.path().join(format!("{way}.png"));
        let mut info = png::Info::with_size(w as u32, h as u32);
        info.color_type = png::ColorType::Grayscale;
        info.exif_metadata = Some(exif.clone().into());
        let encoder =
            png::Encoder::with_info(std::fs::File::create(&path).expect("a file"), info).expect("it is one");
        encoder.write_header().expect("a header").write_image_data(&data).expect("pixels");
        let whole = [seen[0], seen[1]].concat();
        let found = Picture::read(&path).expect("it is one");
        assert_eq!((found.size, &found.pixels), ([2, 3], &whole), "{way}");
        // JPEG loses a little.
        let path = dir.path().join(format!("{way}.jpg"));
        let mut encoder = Encoder::new_file(&path, 100).expect("a file");
        encoder.add_exif_metadata(&exif).expect("it is short");
        encoder.encode(&data, w as u16, h as u16, ColorType::Luma).expect("pixels");
        let found = Picture::read(&path).expect("it is one");
        let near = found.pixels.iter().zip(&whole).all(|(a, b)| a.abs_diff(*b) <= 2);
        assert!(found.size == [2, 3] && near, "{way}: {found:?}");
    }
    // Data that say nothing of it, or are none, change nothing.
    let path = dir.path().join("none.jpg");
    let mut encoder = Encoder::new_file(&path, 100).expect("a file");
    encoder.add_exif_metadata(b"nothing").expect("it is short");
    encoder.encode(&[10, 20], 2, 1, ColorType::Luma).expect("pixels");
    assert_eq!(Picture::read(&path).expect("it is one").size, [1, 2]);
}

#[test]
fn folders_of_png_and_jpeg() {
    let dir = folder(&["greek/alpha", "greek/beta", "runes", ".ipynb_checkpoints"]);
    let at = |name: &str| dir.path().join(name);
    let size = [8, 8];
    write_png(&at("greek/alpha/1.png"), size, png::ColorType::Grayscale, &pixels(1, size, 1));
    write_jpeg(&at("greek/alpha/2.JPG"), size, ColorType::Luma, &pixels(2, size, 1));
    write_jpeg(&at("greek/beta/1.jpeg"), size, ColorType::Luma, &pixels(3, size, 1));
    write_png(&at("runes/1.png"), size, png::ColorType::Grayscale, &pixels(4, size, 1));
    // What programs leave behind is no class and no picture.
    write_png(&at(".ipynb_checkpoints/1.png"), size, png::ColorType::Grayscale, &pixels(5, size, 1));
    std::fs::write(at("runes/._1.png"), "not a picture").expect("a file");
    std::fs::write(at("runes/LICENSE"), "text").expect("a file");
    let set = ImageSet::read(dir.path(), None, ImageOptions::default()).expect("pictures");
    assert_eq!(set.classes, ["greek/alpha", "greek/beta", "runes"]);
    assert_eq!((set.shape, set.images.iter().map(Vec::len).collect::<Vec<_>>()), ([8, 8, 1], vec![2, 1, 1]));
    assert_eq!(set.images[0][0], pixels(1, size, 1));
    // JPEG loses a little.
    let apart = set.images[0][1].iter().zip(pixels(2, size, 1)).map(|(a, b)| a.abs_diff(b)).max();
    assert!(apart < Some(8), "{apart:?}");

    // One in colour makes all so, unless that is not wanted; other sizes need one that is said.
    write_jpeg(&at("runes/2.jpg"), size, ColorType::Rgb, &pixels(6, size, 3));
    let set = ImageSet::read(dir.path(), None, ImageOptions::default()).expect("pictures");
    assert_eq!(set.shape, [8, 8, 3]);
    assert_eq!(set.images[0][0], pixels(1, size, 1).iter().flat_map(|v| [*v; 3]).collect::<Vec<u8>>());
    write_png(&at("runes/3.png"), [12, 20], png::ColorType::Rgb, &pixels(7, [12, 20], 3));
    let e = refused(dir.path(), ImageOptions::default());
    assert!(e.contains("3.png") && e.contains("20 by 12") && e.contains("images.size"), "{e}");
    let options = ImageOptions { size: Some([6, 10]), colour: Some(false) };
    let set = ImageSet::read(dir.path(), None, options).expect("pictures");
    assert_eq!(set.shape, [6, 10, 1]);
    assert!(set.images.iter().flatten().all(|p| p.len() == 60));
}

#[test]
fn a_resized_picture_keeps_its_mean_and_its_sides() {
    let size = [9, 15];
    let ramp: Vec<u8> = (0..9 * 15).map(|i| (i % 15 * 16) as u8).collect();
    let p = Picture { size, channels: 1, pixels: ramp }.resized([3, 5]);
    assert_eq!(p.size, [3, 5]);
    for row in p.pixels.chunks(5) {
        assert!(row.windows(2).all(|w| w[0] < w[1]) && row[0] < 40 && row[4] > 180, "{row:?}");
    }
    // Means of what a pixel covers, of each channel.
    let p =
        Picture { size: [2, 2], channels: 3, pixels: vec![0, 100, 7, 200, 100, 7, 0, 100, 7, 200, 100, 7] };
    assert_eq!(p.resized([1, 1]).pixels, [100, 100, 7]);
}

#[test]
fn transparency_is_white_and_16_bits_are_cut() {
    let dir = folder(&[]);
    let at = dir.path().join("p.png");
    write_png(&at, [1, 3], png::ColorType::GrayscaleAlpha, &[0, 255, 0, 0, 100, 51]);
    assert_eq!(Picture::read(&at).expect("a picture").pixels, [0, 255, 224]);
    write_png(&at, [1, 2], png::ColorType::Rgba, &[10, 20, 30, 255, 10, 20, 30, 0]);
    let p = Picture::read(&at).expect("a picture");
    assert_eq!((p.channels, &p.pixels[..]), (3, &[10, 20, 30, 255, 255, 255][..]));
    assert_eq!(p.grey().pixels, [18, 255]);
    let mut encoder = png::Encoder::new(std::fs::File::create(&at).expect("a file"), 2, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Sixteen);
    encoder.write_header().expect("a header").write_image_data(&[0x12, 0xff, 0xab, 0]).expect("pixels");
    assert_eq!(Picture::read(&at).expect("a picture").pixels, [0x12, 0xab]);
}

#[test]
fn what_is_wrong_is_named() {
    let dir = folder(&["a", "b"]);
    let at = |name: &str| dir.path().join(name);
    let size = [16, 16];
    write_jpeg(&at("a/1.jpg"), size, ColorType::Luma, &pixels(1, size, 1));
    write_jpeg(&at("b/1.jpg"), size, ColorType::Luma, &pixels(2, size, 1));
    let whole = std::fs::read(at("b/1.jpg")).expect("bytes");
    let wrong = |bytes: &[u8], says: &[&str]| {
        std::fs::write(at("b/2.jpg"), bytes).expect("a file");
        let e = refused(dir.path(), ImageOptions::default());
        assert!(e.contains("2.jpg") && says.iter().all(|s| e.contains(s)), "{e}");
    };
    wrong(&whole[..whole.len() / 2], &["JPEG"]);
    wrong(&whole[..20], &["JPEG"]);
    wrong(b"", &["empty"]);
    wrong(b"GIF89a", &["neither PNG nor JPEG"]);
    wrong(&[0x89, b'P', b'N', b'G', 1, 2, 3], &["PNG"]);
    std::fs::remove_file(at("b/2.jpg")).expect("it is there");
    // Kinds that are not read, pictures beside the classes, nothing to be seen.
    std::fs::write(at("a/x.webp"), "RIFF").expect("a file");
    let e = refused(dir.path(), ImageOptions::default());
    assert!(e.contains("x.webp") && e.contains("PNG and JPEG are read"), "{e}");
    std::fs::remove_file(at("a/x.webp")).expect("it is there");
    write_png(&at("loose.png"), size, png::ColorType::Grayscale, &pixels(1, size, 1));
    let e = refused(dir.path(), ImageOptions::default());
    assert!(e.contains("loose.png") && e.contains("is a class"), "{e}");
    let flat = folder(&["a", "b"]);
    for class in ["a", "b"] {
        let faint: Vec<u8> = (0..256).map(|i| (i % 4) as u8).collect();
        write_png(&flat.path().join(class).join("1.png"), size, png::ColorType::Grayscale, &faint);
    }
    let e = refused(flat.path(), ImageOptions::default());
    assert!(e.contains("between 0 and 3") && e.contains("16 bits"), "{e}");
    assert!(refused(folder(&["a"]).path(), ImageOptions::default()).contains("no class with pictures"));
}

/// Links that lead round in circles are followed once.
#[cfg(unix)]
#[test]
fn folders_that_link_to_one_another() {
    let dir = folder(&["a", "b"]);
    let at = |name: &str| dir.path().join(name);
    for (class, k) in [("a", 1), ("b", 2)] {
        write_png(&at(class).join("1.png"), [8, 8], png::ColorType::Grayscale, &pixels(k, [8, 8], 1));
    }
    std::os::unix::fs::symlink(".", at("self")).expect("a link");
    std::os::unix::fs::symlink("..", at("a/up")).expect("a link");
    let set = ImageSet::read(dir.path(), None, ImageOptions::default()).expect("pictures");
    assert_eq!((&set.classes[..], set.images.len()), (&["a".to_string(), "b".to_string()][..], 2));
    let e = refused(&at("nothing"), ImageOptions::default());
    assert!(e.contains("no such file or folder"), "{e}");
}

#[test]
fn records_of_cifar_and_idx() {
    let dir = folder(&[]);
    let at = |name: &str| dir.path().join(name);
    let record = |label: u8| -> Vec<u8> {
        let planes = (0..3).flat_map(|c| (0..1024).map(move |i| (c * 80 + i % 32) as u8));
        std::iter::once(label).chain(planes).collect()
    };
    let bytes = [record(3), record(10), record(3)].concat();
    std::fs::write(at("data.bin"), &bytes).expect("a file");
    let set = ImageSet::read(&at("data.bin"), None, ImageOptions::default()).expect("records");
    assert_eq!((set.shape, &set.classes[..]), ([32, 32, 3], &["3".to_string(), "10".to_string()][..]));
    assert_eq!((set.images[0].len(), &set.images[0][0][..6]), (2, &[0, 80, 160, 1, 81, 161][..]));
    let records = folder(&[]);
    for name in ["data_batch_1.bin", "data_batch_2.bin"] {
        std::fs::write(records.path().join(name), &bytes).expect("a file");
    }
    let set = ImageSet::read(records.path(), None, ImageOptions::default()).expect("records");
    assert_eq!(set.images.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2]);
    std::fs::write(at("data.bin"), &bytes[..bytes.len() - 5]).expect("a file");
    assert!(refused(&at("data.bin"), ImageOptions::default()).contains("whole records"));

    let idx = |kind: u8, shape: &[u32], data: &[u8]| {
        let lengths = shape.iter().flat_map(|d| d.to_be_bytes());
        [vec![0, 0, kind, shape.len() as u8], lengths.collect(), data.to_vec()].concat()
    };
    std::fs::write(at("labels"), idx(8, &[2], &[0, 1])).expect("a file");
    let read = |options| ImageSet::read(&at("images"), Some(&at("labels")), options);
    std::fs::write(at("images"), idx(8, &[2, 1, 2, 3], &[0, 50, 100, 1, 51, 101, 2, 52, 102, 3, 53, 103]))
        .expect("a file");
    assert_eq!(read(ImageOptions::default()).expect("pictures").shape, [1, 2, 3]);
    // Shorts beyond a byte are not cut to one.
    std::fs::write(at("images"), idx(0x0b, &[2, 1, 2], &[0, 0, 0, 9, 1, 0, 0, 200])).expect("a file");
    let e = read(ImageOptions::default()).expect_err("it is wrong").to_string();
    assert!(e.contains("picture 1 has a pixel of 256"), "{e}");
}

/// Peak signal-to-noise ratio and structural similarity as scikit-image 0.26 computes them (its results are in the file, in f64).
#[test]
fn scores_of_pictures() {
    let bytes =
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/score_image.safetensors"));
    let bytes = bytes.expect("a file of the repository");
    let golden = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
    let numbers = |name: &str| -> (Vec<usize>, Vec<f64>) {
        let t = golden.tensor(name).expect("a tensor");
        let values = t.data().chunks(8).map(|b| f64::from_le_bytes(b.try_into().expect("8 bytes")));
        (t.shape().to_vec(), values.collect())
    };
    let (psnrs, ssims) = (numbers("psnr").1, numbers("ssim_gaussian").1);
    for (i, name) in ["gray16", "gray19x13", "rgb12x17", "flat11", "same14"].iter().enumerate() {
        let [(shape, a), (_, b)] = ["a", "b"].map(|which| numbers(&format!("{which}_{name}")));
        let shape = [shape[0], shape[1], shape.get(2).copied().unwrap_or(1)];
        let [a, b] = [a, b].map(|v| v.iter().map(|v| *v as f32).collect::<Vec<f32>>());
        let found = psnr(&a, &b);
        let same = a == b && found >= 200.0;
        assert!(same || (found - psnrs[i]).abs() < 1e-4, "{name}: {found} {}", psnrs[i]);
        let found = ssim(&a, &b, shape).expect("a window lies inside");
        assert!((found - ssims[i]).abs() < 1e-5, "{name}: {found} {}", ssims[i]);
    }
    assert_eq!(ssim(&[0.0; 100], &[0.0; 100], [10, 10, 1]), None);
    // All coefficients of the cosine transform are the picture, of odd sides, too.
    let picture: Vec<f32> = (0..7 * 5 * 3).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
    assert!(psnr(&picture, &truncated(&picture, [7, 5, 3], 105)) > 100.0);
    let (few, more) = (truncated(&picture, [7, 5, 3], 20), truncated(&picture, [7, 5, 3], 60));
    assert!(psnr(&picture, &few) < psnr(&picture, &more));
}
