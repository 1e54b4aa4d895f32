//! The pictures of a finished run.

use std::path::{Path, PathBuf};

use super::drawings::sample;
use super::instruments::Instruments;
use super::run_folder::RunFolder;
use super::source::{Forecasts, TasksPicture};
use super::{CurvePoint, Experiment, HeldOut, Report, TestReport};
use crate::data::fields::pixels;
use crate::data::format::Format;
use crate::error::Result;
use crate::files::write_atomically;
use crate::report::metrics;
use crate::report::metrics::MetricsRow;
use crate::report::plot::{
    AttentionPanel, Colouring, Curve, FieldPanel, INTERVAL, Shown, TaskPanel, Tile, accuracy_curve,
    attention, cloud, confusion, curves, error_by_steps, fields, gallery, loss_curve, predicted_against_true,
    task_panels,
};
use crate::spec::count;
use crate::task::{Task, argmax};

/// Unseen tasks that are drawn.
const PANELS: usize = 6;
/// Rows that went wrong, of those that are drawn.
const MISTAKES: usize = 32;
/// Of each class: known pictures at most, those that its own decoder writes, and those that the pooled one does.
const KNOWN: usize = 5;
const WRITTEN: usize = 6;
const POOLED: usize = 2;
/// Elements of a sequence whose attention is drawn.
const ELEMENTS: usize = 48;
/// Probabilities, or shares, as they should be.
const HONEST: [(f64, f64); 2] = [(0.0, 0.0), (1.0, 1.0)];
/// What the axes of a picture of reliability show.
const PROBABILITY: (&str, &str) =
    ("probability of the predicted class", "share of rows on which it is right");

/// Draws the loss curve, error by steps of adaptation, and unseen tasks; of a source that is one task curves, the confusion
/// matrix and what went wrong. Returns the files.
///
/// # Errors
/// Where a file cannot be written or the device refuses.
pub fn draw(experiment: &Experiment<'_>, report: &Report) -> Result<Vec<PathBuf>> {
    let folder = experiment.folder();
    let rows = metrics::read(&folder.file("metrics.csv"))?;
    if let Some(test) = &report.test {
        return draw_single(experiment, report, test, &rows);
    }
    let mut files = vec![folder.file("loss.svg")];
    let points: Vec<(f64, f64)> = rows.iter().map(|r| (r.step as f64, r.loss)).collect();
    loss_curve(&files[0], "Training loss of the hypernetwork", &points)?;
    let Some(held_out) = &report.held_out else { return Ok(files) };
    files.extend(instruments(folder, report, held_out, &rows)?);
    files.push(folder.file("steps.svg"));
    error_by_steps(
        &files[files.len() - 1],
        "Unseen tasks by steps of adaptation",
        &held_out.metric,
        &[(format!("{} shots", held_out.shots), by_steps(held_out))],
        &baselines(held_out),
    )?;
    files.push(folder.file("tasks.svg"));
    draw_tasks(experiment, held_out, &files[files.len() - 1])?;
    files.extend(draw_sequences(experiment, report)?);
    files.retain(|f| f.exists());
    Ok(files)
}

/// Curves of training and validation, the confusion matrix, rows that went wrong, and how honest probabilities are.
fn draw_single(
    experiment: &Experiment<'_>,
    report: &Report,
    test: &TestReport,
    rows: &[MetricsRow],
) -> Result<Vec<PathBuf>> {
    let folder = experiment.folder();
    let files = ["loss.svg", "accuracy.svg", "confusion.svg", "mistakes.svg", "calibration.svg"];
    let files = files.map(|name| folder.file(name));
    let each = (rows.len() / 400).max(1);
    let of = |value: fn(&MetricsRow) -> f64| -> Vec<(f64, f64)> {
        let mean = |some: &[MetricsRow]| some.iter().map(value).sum::<f64>() / some.len() as f64;
        rows.chunks(each).map(|some| (some[some.len() - 1].step as f64, mean(some))).collect()
    };
    let (loss, accuracy) = (of(|r| r.loss), of(|r| r.accuracy));
    let validation = |value: fn(&CurvePoint) -> f64| -> Vec<(f64, f64)> {
        test.validation.iter().map(|p| (p.step as f64, value(p))).collect()
    };
    let (held_loss, held_accuracy) = (validation(|p| p.loss), validation(|p| p.accuracy));
    let label = if each > 1 { format!("training (means of {each} steps)") } else { "training".into() };
    for (file, what, training, held, log) in [
        (&files[0], "loss", &loss, &held_loss, true),
        (&files[1], "accuracy", &accuracy, &held_accuracy, false),
    ] {
        let mut lines = vec![Curve { label: &label, points: training }];
        // Training does not look at how often symbols are right.
        lines.retain(|line| line.points.iter().any(|(_, y)| y.is_finite()));
        if !held.is_empty() {
            lines.push(Curve { label: "validation", points: held });
        }
        if lines.is_empty() {
            continue;
        }
        let title = format!("The network's {what}");
        curves(file, &title, "training step", what, log, &lines)?;
    }
    if !test.confusion.is_empty() {
        confusion(&files[2], "Test rows", &test.classes, &test.confusion)?;
    }
    let samples = test
        .validation
        .iter()
        .filter_map(|p| Some(format!("after {} steps:\n{}\n", p.step, p.sample.as_ref()?)));
    let samples: Vec<String> = samples.collect();
    if !samples.is_empty() {
        write_atomically(&folder.file("samples.txt"), samples.join("\n").as_bytes())?;
    }
    if test.bits_per_character.is_none() {
        let title = "Test rows that went wrong, the surest first";
        gallery(&files[3], title, MISTAKES / 4, &mistakes(experiment, test)?)?;
    }
    let points: Vec<(f64, f64)> = test.reliability.iter().map(|r| (r.confidence, r.accuracy)).collect();
    let lines =
        [Curve { label: "probabilities", points: &points }, Curve { label: "honest", points: &HONEST }];
    curves(&files[4], "Test rows", PROBABILITY.0, PROBABILITY.1, false, &lines)?;
    let drawn = files.into_iter().filter(|f| f.exists());
    Ok(drawn.chain(draw_sequences(experiment, report)?).collect())
}

/// Of networks that read sequences: how far back training reaches, and what attention looks at.
fn draw_sequences(experiment: &Experiment<'_>, report: &Report) -> Result<Vec<PathBuf>> {
    let (folder, model) = (experiment.folder(), experiment.model());
    let mut files = vec![];
    let points: Vec<(f64, f64)> = report
        .instruments
        .gradient_by_element
        .iter()
        .enumerate()
        .map(|(i, v)| (i as f64 + 1.0, *v))
        .collect();
    if points.iter().any(|(_, y)| *y > 0.0) {
        files.push(folder.file("gradient.svg"));
        let title = "Gradient of the last element's loss by what is read";
        let line = [Curve { label: "root mean square over rows", points: &points }];
        curves(&files[0], title, "element of the sequence", "size of the gradient", true, &line)?;
    }
    let source = experiment.setup().source();
    let tasks = source.test(experiment.config.eval.shots);
    let Some(task) = tasks.first().filter(|_| model.spec.target.has_attention()) else { return Ok(files) };
    let attended = Instruments::attended(model, experiment.device, task)?;
    let Some(length) = attended.iter().map(|a| a.length).min() else { return Ok(files) };
    let labels = element_names(&source.format(), task, length);
    let n = labels.len();
    let panels: Vec<AttentionPanel> = (attended.iter().filter(|a| a.length == length))
        .map(|a| AttentionPanel {
            title: format!("layer {}", a.layer),
            weights: a.weights.chunks(length).take(n).flat_map(|row| &row[..n]).copied().collect(),
        })
        .collect();
    files.push(folder.file("attention.svg"));
    let some = if n < length { format!(", the first {n} of {length}") } else { String::new() };
    let title = format!("What the elements of a sequence look at (means over heads{some})");
    attention(&files[files.len() - 1], &title, &labels, &panels)?;
    Ok(files)
}

/// Names of the elements of a task's first row that are drawn: its symbols up to where anything is asked, or their places.
fn element_names(format: &Format, task: &Task, length: usize) -> Vec<String> {
    let Format::Text { alphabet, .. } = format else {
        return (1..=length.min(ELEMENTS)).map(|i| i.to_string()).collect();
    };
    let (x, y) = if task.xq.is_empty() { (&task.xs, &task.ys) } else { (&task.xq, &task.yq) };
    let symbols = alphabet.symbols();
    let asked = y.chunks(symbols.len()).take(length).rposition(|y| y.contains(&1.0));
    let there = asked.map_or(length, |last| last + 1).min(ELEMENTS);
    let name = |x: &f32| match symbols.get(*x as usize).map(String::as_str) {
        Some(" ") => "␣".to_string(),
        Some(symbol) => symbol.escape_debug().to_string(),
        None => String::new(),
    };
    x[..there].iter().map(name).collect()
}

/// Rows that went wrong, as tiles.
fn mistakes(experiment: &Experiment<'_>, test: &TestReport) -> Result<Vec<Tile>> {
    let Some(task) = experiment.setup().source().single() else { return Ok(vec![]) };
    let (wrong, format) = (experiment.mistakes()?, experiment.setup().source().format());
    let tile = |&(row, label, predicted, probability): &(usize, usize, usize, f64)| {
        let shown = match task.test.picture(row) {
            Some(([h, w, channels], pixels)) => Shown::Picture([h, w], channels, pixels.to_vec()),
            None => Shown::Series(first_column(&format, &task.test.row, &task.test.inputs(&[row]))),
        };
        let [said, truth] = [predicted, label].map(|c| &test.classes[c]);
        Tile {
            shown,
            lines: vec![format!("said {said}, {:.0} %", 100.0 * probability), format!("is {truth}")],
        }
    };
    Ok(wrong.iter().take(MISTAKES).map(tile).collect())
}

/// The first column of a series, without what it was filled up with.
fn first_column(format: &Format, row: &[usize], x: &[f32]) -> Vec<f32> {
    let &[_, channels] = row else { return x.to_vec() };
    let there = |element: &&[f32]| !matches!(format, Format::Sequences(_)) || element[channels - 1] == 1.0;
    x.chunks(channels).filter(there).map(|element| element[0]).collect()
}

/// Unseen tasks as their source has them shown.
fn draw_tasks(experiment: &Experiment<'_>, held_out: &HeldOut, file: &Path) -> Result<()> {
    let (source, model) = (experiment.setup().source(), experiment.model());
    if let TasksPicture::Fields { tasks, size } = source.picture() {
        let (before, after) = experiment.before_and_after(&tasks)?;
        let panels: Vec<FieldPanel> = tasks
            .into_iter()
            .zip(before.into_iter().zip(after))
            .map(|(t, (before, after))| FieldPanel {
                title: t.name,
                size,
                truth: t.yq,
                before,
                after,
                support: t.xs.chunks(2).map(|p| (p[0], p[1])).collect(),
            })
            .collect();
        return fields(file, "Signed distances of unseen shapes", &panels);
    }
    if let TasksPicture::Pictures { tasks, shape } = source.picture() {
        return draw_pictures(experiment, held_out, file, &tasks, shape);
    }
    if let TasksPicture::Drawings { tasks, shape } = source.picture() {
        return draw_drawings(experiment, file, &tasks, shape);
    }
    if let TasksPicture::Series(forecasts) = source.picture() {
        return draw_series(experiment, held_out, file, &forecasts);
    }
    if source.picture() == TasksPicture::None {
        return Ok(());
    }
    let (tasks, format) = (source.test(held_out.shots), source.format());
    if model.likelihood.has_classes() {
        let (_, after) = experiment.before_and_after(&tasks)?;
        let classes = format.classes();
        let mut counts = vec![vec![0; classes.len()]; classes.len()];
        for (task, y) in tasks.iter().zip(&after) {
            for (p, t) in y.chunks(classes.len()).zip(task.yq.chunks(classes.len())) {
                counts[argmax(t)][argmax(p)] += 1;
            }
        }
        confusion(file, "Classes of unseen tasks", &classes, &counts)
    } else if model.spec.target.inputs() == 1 && model.likelihood.outputs == 1 && format.group().is_none() {
        let shown = &tasks[..PANELS.min(tasks.len())];
        let (before, after) = experiment.before_and_after(shown)?;
        let mut panels: Vec<TaskPanel> =
            shown.iter().zip(before.iter().zip(&after)).map(|(t, (b, a))| panel(t, b, a)).collect();
        if model.spec.condition.noise.is_some() {
            for (panel, t) in panels.iter_mut().zip(shown) {
                let network = model.adapt(experiment.device, t, Some(experiment.steps_shown()))?;
                let said = network.predict_each(experiment.device, &t.xq)?;
                panel.each = said.iter().map(|y| points(&t.xq, y)).collect();
            }
        }
        task_panels(file, "Unseen tasks", "x", "y", &panels)
    } else {
        let (before, after) = experiment.before_and_after(&tasks)?;
        let ((mean, std), unit) = (format.target_scale(), format.target());
        let pairs = |all: &[Vec<f32>]| -> Vec<(f64, f64)> {
            let pair = |(t, p): (&f32, &f32)| (mean + std * *t as f64, mean + std * *p as f64);
            tasks.iter().zip(all).flat_map(|(t, y)| t.yq.iter().zip(y).map(pair)).collect()
        };
        predicted_against_true(file, "Query rows of unseen tasks", unit, &pairs(&before), &pairs(&after))
    }
}

/// Pictures beside what networks make of them, a row a picture.
fn draw_pictures(
    experiment: &Experiment<'_>,
    held_out: &HeldOut,
    file: &Path,
    tasks: &[Task],
    [h, w, channels]: [usize; 3],
) -> Result<()> {
    let steps: Vec<usize> = held_out.by_steps.keys().filter_map(|k| k.parse().ok()).collect();
    let by_steps = experiment.after_each(tasks, &steps)?;
    let tile = |colours: &[f32], line: String| Tile {
        shown: Shown::Picture([h, w], channels, pixels(colours)),
        lines: vec![line],
    };
    let tiles: Vec<Tile> = (tasks.iter().enumerate())
        .flat_map(|(t, task)| {
            let score = |y: &Vec<f32>| {
                experiment.model().likelihood.score(std::slice::from_ref(task), std::slice::from_ref(y))
            };
            let after = steps.iter().zip(&by_steps).map(move |(k, all)| (k, &all[t]));
            let found = after.map(|(k, y)| tile(y, format!("{k} steps, {:.1} dB", score(y))));
            std::iter::once(tile(&task.yq, task.name.clone())).chain(found.collect::<Vec<_>>())
        })
        .collect();
    gallery(file, "Unseen pictures, and fields after steps of adaptation", steps.len() + 1, &tiles)
}

/// A line a class: those that are known, and what its own decoder and the pooled one write.
fn draw_drawings(
    experiment: &Experiment<'_>,
    file: &Path,
    tasks: &[Task],
    shape @ [h, w, channels]: [usize; 3],
) -> Result<()> {
    let (device, model) = (experiment.device, experiment.model());
    let format = experiment.setup().source().format();
    let inputs = model.spec.target.inputs();
    let tile = |pixels: Vec<u8>, line: &str| Tile {
        shown: Shown::Picture([h, w], channels, pixels),
        lines: vec![line.to_string()],
    };
    let pooled = sample(device, &model.pooled(), &format, WRITTEN, 1)?;
    let mut tiles = Vec::new();
    let known = tasks.iter().map(|t| t.xs.len() / inputs).min().unwrap_or(0).min(KNOWN);
    for task in tasks {
        let pixels = |row: &[f32]| row[..count(&shape)].iter().map(|v| (255.0 * v) as u8).collect();
        tiles.extend(task.xs.chunks(inputs).take(known).map(|row| tile(pixels(row), "known")));
        let network = model.adapt(device, task, None)?;
        let own = sample(device, &network, &format, WRITTEN, 0)?;
        tiles.extend(own.into_iter().map(|p| tile(p.pixels, "its own")));
        tiles.extend(pooled.iter().take(POOLED).map(|p| tile(p.pixels.clone(), "pooled")));
    }
    let title =
        "Classes never seen: known pictures, what their own decoders write, and what the pooled one does";
    gallery(file, title, known + WRITTEN + POOLED, &tiles)
}

/// Accuracy in training, how honest intervals or probabilities are, and the map of conditions.
fn instruments(
    folder: &RunFolder,
    report: &Report,
    h: &HeldOut,
    rows: &[MetricsRow],
) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if rows.iter().any(|r| r.accuracy.is_finite()) {
        let points: Vec<(f64, f64)> = rows.iter().map(|r| (r.step as f64, r.accuracy)).collect();
        files.push(folder.file("accuracy.svg"));
        accuracy_curve(&files[files.len() - 1], "Accuracy on the query rows of training tasks", &points)?;
    }
    let mut honest = |labels: (&str, &str), label: &str, points: &[(f64, f64)]| {
        files.push(folder.file("calibration.svg"));
        let lines = [Curve { label, points }, Curve { label: "honest", points: &HONEST }];
        curves(&files[files.len() - 1], "Unseen tasks", labels.0, labels.1, false, &lines)
    };
    if !h.coverage.is_empty() {
        let points: Vec<(f64, f64)> = h.coverage.iter().map(|c| (c.level, c.covered)).collect();
        honest(("share asked for", "share of rows inside"), "predictive intervals", &points)?;
    }
    if !h.reliability.is_empty() {
        let points: Vec<(f64, f64)> = h.reliability.iter().map(|r| (r.confidence, r.accuracy)).collect();
        honest(PROBABILITY, "probabilities", &points)?;
    }
    if !report.instruments.map.is_empty() {
        let points: Vec<_> = report.instruments.map.iter().map(|p| (p.x, p.y, p.attribute)).collect();
        let attribute = if h.reliability.is_empty() { "mean target" } else { "class" };
        files.push(folder.file("map.svg"));
        let labels = ("first component", "second component");
        let colouring = Colouring { by: attribute, levels: &[], rings: &[] };
        let title = "What the hypernetwork reads of unseen tasks";
        cloud(&files[files.len() - 1], title, labels, &colouring, &points)?;
    }
    Ok(files)
}

/// The metric by steps of adaptation.
pub fn by_steps(h: &HeldOut) -> Vec<(usize, f64)> {
    h.by_steps.iter().filter_map(|(k, v)| Some((k.parse().ok()?, *v))).collect()
}

/// The baselines as labelled lines.
pub fn baselines(h: &HeldOut) -> Vec<(String, f64)> {
    let b = &h.baselines;
    let each = [
        ("support mean", b.support_mean),
        ("pooled network", b.pooled),
        ("pooled + shrunk residual", b.pooled_residual),
        ("pooled, fine-tuned", b.pooled_fine_tuned),
    ];
    let simple = b.simple.iter().map(|(name, v)| (name.replace('_', " "), *v));
    let transform = h.cosine_transform.map(|c| (format!("cosine transform, {}", c.coefficients), c.psnr));
    each.map(|(n, v)| (n.to_string(), v)).into_iter().chain(simple).chain(transform).collect()
}

fn points(x: &[f32], y: &[f32]) -> Vec<(f64, f64)> {
    x.iter().zip(y).map(|(x, y)| (*x as f64, *y as f64)).collect()
}

fn panel(t: &Task, before: &[f32], after: &[f32]) -> TaskPanel {
    TaskPanel {
        title: t.name.clone(),
        support: points(&t.xs, &t.ys),
        truth: points(&t.xq, &t.yq),
        before: points(&t.xq, before),
        after: points(&t.xq, after),
        each: vec![],
        interval: [vec![], vec![]],
        truth_is_points: false,
    }
}

/// Series that were not seen: what was known, what came, and what was said of each point from those before it.
fn draw_series(
    experiment: &Experiment<'_>,
    held_out: &HeldOut,
    file: &Path,
    Forecasts { table, query }: &Forecasts,
) -> Result<()> {
    let (shots, (_, std)) = (held_out.shots, table.format.target_scale());
    let mut which = table.judged(&table.split.test, shots, *query);
    which.truncate(PANELS);
    let tasks = table.held_out(&which, shots, *query);
    let (before, _) = experiment.before_and_after(&tasks)?;
    let chosen = experiment.model().predict(experiment.device, &tasks, None)?;
    let panels: Vec<TaskPanel> = (which.iter().zip(before.iter().zip(&chosen)))
        .map(|(&g, (before, after))| {
            let [support, truth] = table.drawn(g, shots, *query);
            let last = table.last_values(g, shots, *query);
            let at = |y: &[f32], by: &dyn Fn(usize) -> f64| -> Vec<(f64, f64)> {
                let each = truth.iter().zip(&last).zip(y).enumerate();
                each.map(|(i, (((x, _), last), y))| (*x, last + std * (*y as f64 + by(i)))).collect()
            };
            let half = after.half_widths(INTERVAL);
            let end = |sign: f64| match &half {
                Some(half) => at(&after.values, &|i| sign * half[i] as f64),
                None => vec![],
            };
            TaskPanel {
                title: table.name(g).to_string(),
                before: at(before, &|_| 0.0),
                after: at(&after.values, &|_| 0.0),
                each: vec![],
                interval: [end(-1.0), end(1.0)],
                support,
                truth: truth.clone(),
                truth_is_points: true,
            }
        })
        .collect();
    let format = &table.format;
    task_panels(
        file,
        "Unseen series: each point predicted from those before it",
        format.time(),
        format.target(),
        &panels,
    )
}
