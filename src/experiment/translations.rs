//! What a network that was trained on pairs says of sources.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use hyperloom::Device;
//! use hyperloom::experiment::run_folder::network_of;
//! use hyperloom::experiment::translations::translate;
//!
//! let (network, format) = network_of(Path::new("runs/pairs"))?;
//! let said = translate(&Device::Cpu, &network, &format, &["ein Haus", "ein Baum"], 4)?;
//! println!("{}", said.join("\n"));
//! # Ok::<(), hyperloom::Error>(())
//! ```

use std::collections::HashMap;

use crate::data::format::Format;
use crate::data::pairs::{BETWEEN, END};
use crate::error::{Error, Result};
use crate::meta::model::Network;
use crate::run::Device;

/// Sequences that are looked at together.
const AT_ONCE: usize = 256;
/// Sequences are looked at in lengths that are multiples of this, so that few plans are made.
const STEP: usize = 8;
/// How much longer targets are made up for: scores are divided by `((5 + length) / 6)^α` (Wu et al. 2016, equation 14).
const ALPHA: f64 = 0.6;

/// A target in the making.
#[derive(Clone, Debug)]
struct Hypothesis {
    /// Source, target so far.
    line: Vec<u32>,
    /// Logarithm of its probability.
    log: f64,
    /// Whether its end was said.
    ended: bool,
}

impl Hypothesis {
    fn score(&self, source: usize) -> f64 {
        let length = (self.line.len() - source) as f64;
        self.log / ((5.0 + length) / 6.0).powf(ALPHA)
    }
}

/// The targets of some sources: the likeliest symbol at each place with a `beam` of one, else the best of so many targets that are gone on
/// with side by side.
///
/// # Errors
/// [`Error::Config`] where the network was not trained on pairs, for a source with a symbol that it does not know or longer than its
/// sequences, naming its line (from 1); [`Error::Diverged`] where it predicts what is no number; those of the device.
pub fn translate(
    device: &Device,
    network: &Network,
    format: &Format,
    sources: &[&str],
    beam: usize,
) -> Result<Vec<String>> {
    let Format::Text { alphabet, pairs: true, .. } = format else {
        return Err(Error::config("run", "the model was not trained on pairs (--task pairs)"));
    };
    let length = network.spec.inputs();
    let one = |c: char| alphabet.encode(c.to_string().as_bytes()).ok().and_then(|s| s.first().copied());
    let (Some(between), Some(end)) = (one(BETWEEN), one(END)) else {
        return Err(Error::config("run", "its alphabet has no tab or no end of a line"));
    };
    let mut begun = Vec::with_capacity(sources.len());
    for (i, source) in sources.iter().enumerate() {
        let fail = |message: String| Error::config(format!("line {}", i + 1), message);
        if source.contains(BETWEEN) {
            return Err(fail("holds a tab, which stands between a source and its target".into()));
        }
        let mut line = alphabet
            .encode(source.as_bytes())
            .map_err(|e| fail(format!("{} is no symbol that the model knows", e.symbol)))?;
        if line.len() + 2 > length {
            return Err(fail(format!(
                "has {} symbols, and the model's sequences hold {} and a target",
                line.len(),
                length - 2
            )));
        }
        line.push(between);
        begun.push(line);
    }
    // Those of like lengths go together: nothing is looked at behind the longest.
    let mut order: Vec<usize> = (0..begun.len()).collect();
    order.sort_by_key(|i| begun[*i].len());
    let mut search = Search { device, network, end, length, shorter: HashMap::new() };
    let (mut said, mut cut) = (vec![String::new(); begun.len()], 0);
    for some in order.chunks((AT_ONCE / beam).max(1)) {
        let lines: Vec<Vec<u32>> = some.iter().map(|i| begun[*i].clone()).collect();
        for (i, (target, ended)) in some.iter().zip(search.targets(lines, beam)?) {
            cut += usize::from(!ended);
            said[*i] = String::from_utf8_lossy(&alphabet.decode(&target)).into_owned();
        }
    }
    if cut > 0 {
        log::warn!(
            "{cut} of {} targets are cut where the model's sequences end: source and target hold {} symbols together",
            sources.len(),
            length - 1
        );
    }
    Ok(said)
}

struct Search<'n> {
    device: &'n Device,
    network: &'n Network,
    end: u32,
    length: usize,
    /// The network over shorter sequences.
    shorter: HashMap<usize, Network>,
}

impl Search<'_> {
    /// The targets of lines that end where these begin, and whether their end was said.
    fn targets(&mut self, lines: Vec<Vec<u32>>, beam: usize) -> Result<Vec<(Vec<u32>, bool)>> {
        let starts: Vec<usize> = lines.iter().map(Vec::len).collect();
        let first = |line| vec![Hypothesis { line, log: 0.0, ended: false }];
        let mut all: Vec<Vec<Hypothesis>> = lines.into_iter().map(first).collect();
        loop {
            // The network reads all but the last symbol that may come.
            let length = self.length;
            let goes_on = |h: &Hypothesis| !h.ended && h.line.len() < length;
            let open: Vec<&Hypothesis> = all.iter().flatten().filter(|h| goes_on(h)).collect();
            if open.is_empty() {
                break;
            }
            let mut logs = self.next(&open)?.into_iter();
            for hypotheses in &mut all {
                if !hypotheses.iter().any(goes_on) {
                    continue;
                }
                let mut next = Vec::new();
                for h in hypotheses.drain(..) {
                    if !goes_on(&h) {
                        next.push(h);
                        continue;
                    }
                    let Some(logs) = logs.next() else { continue };
                    let mut symbols: Vec<u32> = (0..logs.len() as u32).collect();
                    symbols.sort_by(|a, b| logs[*b as usize].total_cmp(&logs[*a as usize]).then(a.cmp(b)));
                    next.extend(symbols.into_iter().take(beam).map(|symbol| {
                        let mut h = h.clone();
                        h.line.push(symbol);
                        h.log += f64::from(logs[symbol as usize]);
                        h.ended = symbol == self.end;
                        h
                    }));
                }
                next.sort_by(|a, b| b.log.total_cmp(&a.log));
                next.truncate(beam);
                *hypotheses = next;
            }
        }
        let best = |(mut hypotheses, start): (Vec<Hypothesis>, usize)| {
            hypotheses.sort_by(|a, b| b.score(start).total_cmp(&a.score(start)));
            let target = hypotheses[0].line[start..].iter().copied().filter(|symbol| *symbol != self.end);
            (target.collect(), hypotheses[0].ended)
        };
        Ok(all.into_iter().zip(starts).map(best).collect())
    }

    /// Logarithms of the probabilities of what follows each line.
    fn next(&mut self, lines: &[&Hypothesis]) -> Result<Vec<Vec<f32>>> {
        let longest = lines.iter().map(|h| h.line.len()).max().unwrap_or(1);
        let length = longest.next_multiple_of(STEP).min(self.length);
        let network = match self.shorter.entry(length) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                // A net whose weights belong to places looks at all of them.
                let shorter = self.network.shortened(length).unwrap_or_else(|_| self.network.clone());
                place.insert(shorter)
            }
        };
        let length = network.spec.inputs();
        let rows = lines.iter().flat_map(|h| {
            let filled = std::iter::repeat_n(self.end, length - h.line.len());
            h.line.iter().copied().chain(filled).map(|s| s as f32)
        });
        let said = network.predict(self.device, &rows.collect::<Vec<f32>>())?;
        let symbols = said.len() / lines.len() / length;
        let each = lines
            .iter()
            .enumerate()
            .map(|(i, h)| said[(i * length + h.line.len() - 1) * symbols..][..symbols].to_vec());
        let all: Vec<Vec<f32>> = each.collect();
        match all.iter().flatten().any(|y| y.is_nan()) {
            true => Err(Error::Diverged(
                "the network predicts what is no number: train again, at a smaller train.learning_rate"
                    .into(),
            )),
            false => Ok(all),
        }
    }
}
