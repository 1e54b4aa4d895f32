//! Pictures as fields: trained, judged, encoded and decoded.

use hyperloom::data::picture::Picture;

use crate::explain::explained;
use crate::resume::ends_alike;
use crate::*;

const SETTINGS: &str = "task = 'fields'\ndevice = 'cpu'\n[train]\nsteps = 120\ntasks = 8\npooled_steps = 10\nwarmup = 5\n\
    [model]\ntarget = [16, 16]\ncontext = 6\nencoder = [16]\ntrunk = [16]\nomega = 3.0\n\
    [adapt]\nsteps = [0, 1, 3]\n[eval]\ntasks = 6\n[fields]\npoints = 64\n";

/// Writes pictures of slopes that differ in direction, brightness and colour.
fn draw(place: &Place, folder: &str, many: usize, [h, w]: [usize; 2]) {
    for k in 0..many {
        let (a, b) = ((k as f32 * 0.7).sin(), (k as f32 * 1.9).cos());
        let value = |i: usize| {
            let (x, y, c) = (i / 3 % w, i / 3 / w, i % 3);
            let (u, v) = (x as f32 / w as f32 - 0.5, y as f32 / h as f32 - 0.5);
            (127.0 + 90.0 * (a * u + b * v) + 30.0 * a * (c as f32 - 1.0)) as u8
        };
        let pixels = (0..h * w * 3).map(value).collect();
        let path = place.path(&format!("{folder}/{k}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        Picture { size: [h, w], channels: 3, pixels }.write(&path).unwrap();
    }
}

fn place() -> Place {
    let place = Place::with([("settings.toml", SETTINGS)]);
    draw(&place, "slopes", 24, [12, 14]);
    place
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

#[test]
fn trained_encoded_and_decoded() {
    let place = place();
    let train = ["train", "settings.toml", "--images", "slopes", "--out"];
    let words = place.ok(&[&train[..], &["run"]].concat());
    assert!(words.contains("psnr on 4 unseen tasks, 168 shots"), "{words}");
    assert!(words.contains("cosine transform, 6"), "{words}");
    let report = place.json("run/report.json");
    let held_out = &report["held_out"];
    assert_eq!((&held_out["metric"], &held_out["psnr"]), (&"psnr".into(), &held_out["by_steps"]));
    let after = |k: &str| number(&held_out["psnr"][k]);
    assert!(after("3") > after("0") + 6.0 && after("3") > 20.0, "{held_out}");
    assert!(number(&held_out["ssim"]["3"]) > number(&held_out["ssim"]["0"]), "{held_out}");
    assert_eq!(held_out["cosine_transform"]["coefficients"], 6);
    // A picture and fields after 0, 1 and 3 steps, of four pictures.
    let svg = place.read("run/tasks.svg");
    assert_eq!(svg.matches("<image ").count(), 16);
    assert!(svg.contains("slopes") || svg.contains("picture 1"), "pictures have names");

    explained(&place, "run");
    // A code is the context parameters; the picture it stands for is as good as was said.
    let image = "slopes/3.png";
    let words = place.ok(&["encode", "run", "--image", image, "--out", "c.safetensors", "--device", "cpu"]);
    assert!(words.contains("6 numbers for 14 by 12 pixels") && words.contains("after 3 steps"), "{words}");
    let said: f64 = words.split(", ").find_map(|w| w.split_once(" dB")).unwrap().0.parse().unwrap();
    let decode = |place: &Place, more: &[&str]| {
        place.ok(&[&["decode", "run", "--code", "c.safetensors", "--device", "cpu", "--out"], more].concat())
    };
    decode(&place, &["again.png"]);
    let [truth, again] = [image, "again.png"].map(|name| Picture::read(&place.path(name)).unwrap());
    let square = |a: &[u8], b: &[u8]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>() / a.len() as f64
    };
    let apart = -10.0 * (square(&truth.pixels, &again.pixels) / 255.0 / 255.0).log10();
    assert!((apart - said).abs() < 0.01 && apart > 18.0, "{apart} {said}");
    // A field has any size: twice as large, and made small again, it is nearly the same picture.
    decode(&place, &["large.png", "--size", "28", "24"]);
    let large = Picture::read(&place.path("large.png")).unwrap();
    assert_eq!(large.size, [24, 28]);
    assert!(square(&large.resized([12, 14]).pixels, &again.pixels) < 30.0);
    // A picture of another size is learned from its own pixels.
    draw(&place, "other", 1, [9, 7]);
    place.ok(&[
        "encode",
        "run",
        "--image",
        "other/0.png",
        "--steps",
        "1",
        "--out",
        "o.safetensors",
        "--device",
        "cpu",
    ]);

    place.ok(&["eval", "run", "--device", "cpu", "--shots", "20,168"]);
    let eval = place.json("run/eval.json");
    assert_eq!(eval[1], *held_out);
    assert!(number(&eval[0]["chosen"]) < number(&eval[1]["chosen"]));

    // Where weights are generated, a code is all of them.
    let more = ["generated", "--method", "fine-tune", "--set", "model.context=0"];
    place.ok(&[&train[..], &more[..]].concat());
    let words =
        place.ok(&["encode", "generated", "--image", image, "--out", "g.safetensors", "--device", "cpu"]);
    // 2·16 + 16 + 16·16 + 16 + 16·3 + 3
    assert!(words.contains("371 numbers"), "{words}");
    place.ok(&["decode", "generated", "--code", "g.safetensors", "--out", "g.png", "--device", "cpu"]);

    let code = ["--code", "c.safetensors", "--out", "x.png"];
    place.refused(&[&["decode", "generated"], &code[..]].concat(), &["--code", "another model"]);
    place.refused(&[&["decode", "run"], &code[..], &["--size", "0", "4"]].concat(), &["--size", "1 to 1024"]);
    place.refused(
        &["decode", "run", "--code", "run/checkpoint.safetensors", "--out", "x.png"],
        &["no code of a picture"],
    );
    place.refused(&["decode", "run", "--code", "c.safetensors", "--out", "x.jpg"], &["x.jpg", ".png"]);
    place.refused(&["encode", "run", "--image", "settings.toml", "--out", "x"], &["settings.toml"]);
    place.refused(
        &["encode", "run", "--image", image, "--out", "c.safetensors"],
        &["c.safetensors", "not overwritten"],
    );
    place.refused(&["adapt", "run", "--support", "slopes", "--out", "x"], &["encode"]);
    place.refused(&["predict", "run", "--query", "slopes", "--out", "x"], &["decode"]);
    let bytes = fs::read(place.path("c.safetensors")).unwrap();
    place.write("cut.safetensors", &bytes[..bytes.len() - 3]);
    place.refused(
        &["decode", "run", "--code", "cut.safetensors", "--out", "x.png"],
        &["cut.safetensors", "truncated"],
    );
}

#[test]
fn killed_and_resumed_with_the_same_bits() {
    let place = place();
    ends_alike(&place, &["train", "settings.toml", "--images", "slopes", "--steps", "400"], 5);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = place();
    draw(&place, "few", 3, [12, 14]);
    draw(&place, "small", 9, [8, 8]);
    let train = |images: &'static str, more: &[&'static str]| -> Vec<&'static str> {
        [&["train", "settings.toml", "--images", images], more, &["--out", "x"]].concat()
    };
    place.refused(&["train", "settings.toml", "--out", "x"], &["fields.train", "--images"]);
    place.refused(&train("few", &[]), &["few", "3 pictures", "7 at least"]);
    place.refused(&train("slopes", &["--test-images", "slopes"]), &["slopes", "others"]);
    place.refused(&train("slopes", &["--test-images", "small"]), &["small", "fields.size"]);
    place.refused(&train("slopes", &["--set", "fields.points=0"]), &["fields.points", "1 to"]);
    place.refused(
        &train(
            "slopes",
            &["--method", "prototypes", "--set", "model.context=0", "--set", "adapt.steps=[0,1]"],
        ),
        &["adapt.rule", "classes"],
    );
    place.refused(
        &["train", "--task", "sine", "--set", "fields.points=3", "--out", "x"],
        &["fields", "--task fields"],
    );
    place.ok(&train("slopes", &["--test-images", "small", "--set", "fields.size=8", "--steps", "5"]));
}
