//! Texts that a trained language model goes on with.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use hyperloom::Device;
//! use hyperloom::experiment::run_folder::network_of;
//! use hyperloom::experiment::texts::{Drawing, generate};
//!
//! let (network, format) = network_of(Path::new("runs/text"))?;
//! let drawing = Drawing { length: 200, temperature: 0.8, seed: 0 };
//! let text = generate(&Device::Cpu, &network, &format, b"ROMEO:", drawing, &mut |_| true)?;
//! println!("{}", String::from_utf8_lossy(&text));
//! # Ok::<(), hyperloom::Error>(())
//! ```

use std::path::Path;

use crate::data::format::Format;
use crate::data::labelled::Labelled;
use crate::data::pairs::{Pairs, read_pairs};
use crate::data::text::{Alphabet, Unit, read_text};
use crate::error::{Error, Result};
use crate::meta::model::Network;
use crate::meta::stream::Stream;
use crate::rng::Rng;
use crate::run::Device;
use crate::task::Task;

/// Symbols that an error lists at most.
const SHOWN: usize = 100;

/// How symbols are drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawing {
    /// Symbols.
    pub length: usize,
    /// What logarithms of probabilities are divided by before a symbol is drawn: 1 draws as the model has it, less takes what is probable
    /// more often, 0 always takes what is most probable.
    pub temperature: f64,
    /// Seed of what is drawn.
    pub seed: u64,
}

/// Symbols that follow a prompt; each is handed to `seen` as it is drawn, which says whether to go on. Gives all of them, without
/// the prompt.
///
/// # Errors
/// [`Error::Config`] where the network is none of texts, or does not know a symbol of the prompt; [`Error::Diverged`] where it predicts
/// what is no number; those of the device.
pub fn generate(
    device: &Device,
    network: &Network,
    format: &Format,
    prompt: &[u8],
    drawing: Drawing,
    seen: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<Vec<u8>> {
    let Format::Text { alphabet, .. } = format else {
        return Err(Error::config("run", "the model was not trained on a text (--task text)"));
    };
    let start = alphabet.encode(prompt).map_err(|e| {
        let symbols = alphabet.symbols();
        let shown = symbols.iter().take(SHOWN).map(|s| s.escape_debug().to_string());
        let space = if alphabet.unit() == Unit::Bytes { " " } else { "" };
        let more = if symbols.len() > SHOWN {
            format!(" and {} more", symbols.len() - SHOWN)
        } else {
            String::new()
        };
        Error::config("--prompt", format!("{e}: there are {}{more}", shown.collect::<Vec<_>>().join(space)))
    })?;
    let mut rng = Rng::new(drawing.seed, 0x6e27);
    // Without a prompt, as after a line.
    let newline = alphabet.encode(b"\n").ok().and_then(|s| s.first().copied());
    let start = if start.is_empty() { vec![newline.unwrap_or(0)] } else { start };
    let mut reader = Reader::new(device, network)?;
    let mut said = vec![];
    for symbol in start {
        said = reader.next(symbol)?;
    }
    let mut text = Vec::new();
    for _ in 0..drawing.length {
        let Some(symbol) = draw(&said, drawing.temperature, &mut rng) else {
            return Err(Error::Diverged(
                "the network predicts what is no number: train again, at a smaller train.learning_rate"
                    .into(),
            ));
        };
        let shown = alphabet.decode(&[symbol]);
        text.extend(&shown);
        if !seen(&shown) {
            break;
        }
        said = reader.next(symbol)?;
    }
    Ok(text)
}

/// A text's sequences as the support of one task, in the order that they have there; what is left over at its end is too short for one.
///
/// # Errors
/// [`Error::Data`] for a text that is shorter than a sequence, or has a symbol that the model does not know; [`Error::Config`] where the model is
/// none of texts.
pub fn support_of_text(format: &Format, path: &Path) -> Result<Task> {
    let Format::Text { alphabet, length, .. } = format else {
        return Err(Error::config("run", "the model was not trained on texts (--task texts)"));
    };
    if let Format::Text { columns: Some([source, target]), .. } = format {
        return support_of_pairs(alphabet, *length, path, [source, target]);
    }
    let bytes = read_text(path, alphabet.unit(), 0)?;
    let text = alphabet.encode(&bytes).map_err(|e| {
        let message = format!("{} is no symbol that the model knows", e.symbol);
        Error::data(path, format!(", line {}", e.line), message)
    })?;
    let rows = Labelled::of_text(alphabet.symbols().to_vec(), &text, *length);
    if rows.is_empty() {
        let message =
            format!("has {} symbols, and a sequence and what follows it take {}", text.len(), length + 1);
        return Err(Error::data(path, "", message));
    }
    let all: Vec<usize> = (0..rows.len()).collect();
    Ok(Task::from_support(rows.inputs(&all), rows.targets(&all)))
}

/// The pairs of a file as the support of one task.
fn support_of_pairs(
    alphabet: &Alphabet,
    length: usize,
    path: &Path,
    [source, target]: [&str; 2],
) -> Result<Task> {
    let pairs = read_pairs(path, source, target)?;
    if let Some(i) = pairs.iter().position(|pair| pair.len() > length + 1) {
        let message =
            format!("is a pair of {} symbols, and the model's sequences hold {}", pairs[i].len(), length + 1);
        return Err(Error::data(path, format!(", pair {}", i + 1), message));
    }
    let rows = Pairs::of(&pairs, alphabet, length).map_err(|e| {
        let message = format!("{} is no symbol that the model knows", e.symbol);
        // The header stands before the pairs.
        Error::data(path, format!(", line {}", e.line + 1), message)
    })?;
    let rows = rows.labelled(alphabet);
    let all: Vec<usize> = (0..rows.len()).collect();
    Ok(Task::from_support(rows.inputs(&all), rows.targets(&all)))
}

/// A network as it reads symbol after symbol.
enum Reader<'n> {
    /// One that knows by its states what it has read.
    Stream(Stream),
    /// One that looks at sequences of the length it was trained on: at the last so many symbols.
    Window { device: &'n Device, network: &'n Network, seen: Vec<f32> },
}

impl<'n> Reader<'n> {
    fn new(device: &'n Device, network: &'n Network) -> Result<Reader<'n>> {
        let fail = |e: String| Error::config("run", format!("the network cannot go on with a text: {e}"));
        if network.spec.of_one_element().is_ok() {
            return Stream::new(device, network).map(Reader::Stream);
        }
        network.spec.check_causal().map_err(fail)?;
        Ok(Reader::Window { device, network, seen: vec![] })
    }

    /// What the network says after one more symbol.
    fn next(&mut self, symbol: u32) -> Result<Vec<f32>> {
        match self {
            Reader::Stream(stream) => stream.next(&[symbol as f32]),
            Reader::Window { device, network, seen } => {
                let length = network.spec.inputs();
                if seen.len() == length {
                    seen.remove(0);
                }
                seen.push(symbol as f32);
                let mut row = seen.clone();
                // What follows is not looked at.
                row.resize(length, 0.0);
                let said = network.predict(device, &row)?;
                let symbols = said.len() / length;
                Ok(said[(seen.len() - 1) * symbols..][..symbols].to_vec())
            }
        }
    }
}

/// A symbol by logarithms of probabilities; `None` where these are no numbers.
fn draw(logs: &[f32], temperature: f64, rng: &mut Rng) -> Option<u32> {
    if logs.iter().any(|y| y.is_nan()) {
        return None;
    }
    let best = (0..logs.len()).reduce(|best, i| if logs[i] > logs[best] { i } else { best })?;
    if temperature == 0.0 {
        return Some(best as u32);
    }
    let each: Vec<f64> = logs.iter().map(|y| (f64::from(y - logs[best]) / temperature).exp()).collect();
    let mut left = rng.uniform() * each.iter().sum::<f64>();
    let drawn = each.iter().position(|p| {
        left -= p;
        left < 0.0
    });
    Some(drawn.unwrap_or(best) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_drawn_by_their_probabilities() {
        let logs = [0.1f32.ln(), 0.6f32.ln(), 0.3f32.ln()];
        let mut rng = Rng::new(1, 2);
        let mut share = |temperature| {
            let drawn: Vec<u32> = (0..4_000).filter_map(|_| draw(&logs, temperature, &mut rng)).collect();
            [0, 1, 2].map(|s| drawn.iter().filter(|d| **d == s).count() as f64 / 4_000.0)
        };
        let near = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.03);
        assert!(near(share(1.0), [0.1, 0.6, 0.3]));
        // Squares of the probabilities.
        assert!(near(share(0.5), [0.01 / 0.46, 0.36 / 0.46, 0.09 / 0.46]));
        assert_eq!(share(0.0), [0.0, 1.0, 0.0]);
        assert_eq!(draw(&[0.0, f32::NAN], 1.0, &mut rng), None);
    }
}
