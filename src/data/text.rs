//! Texts as sequences of symbols: characters, or bytes of any file. A language model reads some and says what follows each.
//!
//! ```
//! use hyperloom::data::text::{Alphabet, Unit};
//!
//! let alphabet = Alphabet::of("hello".as_bytes(), Unit::Characters);
//! assert_eq!(alphabet.symbols(), ["e", "h", "l", "o"]);
//! assert_eq!(alphabet.encode("hole".as_bytes()).map_err(|e| e.to_string())?, [1, 3, 2, 0]);
//! assert_eq!(alphabet.decode(&[1, 0]), "he".as_bytes());
//! # Ok::<(), String>(())
//! ```

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::idx::unpacked;
use crate::error::{Error, Result};
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::{Session, available_memory};
use crate::task::{Batch, Likelihood, TaskFamily, TaskShape, window_of};

/// Most symbols of an alphabet.
const MAX_SYMBOLS: usize = 65_536;

/// What a symbol is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Unit {
    /// A character of a text in UTF-8.
    #[default]
    Characters,
    /// A byte.
    Bytes,
}

/// The symbols that a model knows, each with its number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alphabet {
    unit: Unit,
    /// Characters as they are, bytes as two hexadecimal digits, in ascending order.
    symbols: Vec<String>,
}

/// A symbol that an alphabet lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The symbol, as it is shown.
    pub symbol: String,
    /// The line that it stands in, from 1.
    pub line: usize,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {} is no symbol that the model knows", self.line, self.symbol)
    }
}

fn hex(byte: u8) -> String {
    format!("{byte:02x}")
}

impl Alphabet {
    /// All symbols of a text.
    ///
    /// # Panics
    /// Where characters are asked for, and the text is not in UTF-8.
    pub fn of(text: &[u8], unit: Unit) -> Alphabet {
        let symbols = match unit {
            Unit::Characters => {
                let text =
                    std::str::from_utf8(text).unwrap_or_else(|e| panic!("the text is not in UTF-8: {e}"));
                let all: BTreeSet<char> = text.chars().collect();
                all.into_iter().map(String::from).collect()
            }
            Unit::Bytes => {
                let mut there = [false; 256];
                text.iter().for_each(|b| there[usize::from(*b)] = true);
                (0..=255u8).filter(|b| there[usize::from(*b)]).map(hex).collect()
            }
        };
        Alphabet { unit, symbols }
    }

    /// The symbols, in the order of their numbers.
    pub fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// What a symbol is.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Whether it can be one: what was read from a file may be anything.
    pub(crate) fn is_sound(&self) -> bool {
        let one = |s: &String| match self.unit {
            Unit::Characters => s.chars().count() == 1,
            Unit::Bytes => u8::from_str_radix(s, 16).is_ok_and(|b| hex(b) == *s),
        };
        (2..=MAX_SYMBOLS).contains(&self.symbols.len())
            && self.symbols.iter().all(one)
            && self.symbols.windows(2).all(|w| w[0] < w[1])
    }

    /// The numbers of a text's symbols.
    ///
    /// # Errors
    /// The first symbol that is unknown; where symbols are characters, what is not in UTF-8 is none.
    pub fn encode(&self, text: &[u8]) -> std::result::Result<Vec<u32>, Unknown> {
        let unknown = |before: &[u8], symbol: String| Unknown {
            symbol,
            line: 1 + before.iter().filter(|b| **b == b'\n').count(),
        };
        match self.unit {
            Unit::Characters => {
                let numbers: HashMap<char, u32> =
                    self.symbols.iter().zip(0..).filter_map(|(s, i)| Some((s.chars().next()?, i))).collect();
                let one = |(at, c): (usize, char)| {
                    let shown = || format!("'{}' (U+{:04X})", c.escape_debug(), u32::from(c));
                    numbers.get(&c).copied().ok_or_else(|| unknown(&text[..at], shown()))
                };
                let text_of = std::str::from_utf8(text).map_err(|e| {
                    let at = e.valid_up_to();
                    unknown(&text[..at], format!("the byte {}, which is not in UTF-8,", hex(text[at])))
                })?;
                text_of.char_indices().map(one).collect()
            }
            Unit::Bytes => {
                let mut numbers = [None; 256];
                for (s, i) in self.symbols.iter().zip(0..) {
                    numbers[usize::from(u8::from_str_radix(s, 16).unwrap_or(0))] = Some(i);
                }
                let one = |(at, b): (usize, &u8)| {
                    numbers[usize::from(*b)]
                        .ok_or_else(|| unknown(&text[..at], format!("the byte {}", hex(*b))))
                };
                text.iter().enumerate().map(one).collect()
            }
        }
    }

    /// The text of symbols of these numbers; those that are none's are left out.
    pub fn decode(&self, numbers: &[u32]) -> Vec<u8> {
        let symbols = numbers.iter().filter_map(|n| self.symbols.get(*n as usize));
        match self.unit {
            Unit::Characters => symbols.flat_map(|s| s.bytes()).collect(),
            Unit::Bytes => symbols.filter_map(|s| u8::from_str_radix(s, 16).ok()).collect(),
        }
    }
}

/// Reads files, one after another: folders stand for the files in them, in the order of their names.
///
/// # Errors
/// [`Error::Data`] naming the file that is empty, or not in UTF-8 where symbols are characters (and its line); [`Error::Io`];
/// [`Error::Memory`] where they are too large.
pub fn read_texts(files: &[PathBuf], unit: Unit) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    for path in files_of(files)? {
        all.extend(read_text(&path, unit, all.len())?);
    }
    Ok(all)
}

/// Files, and those in folders, in the order of their names.
///
/// # Errors
/// [`Error::Data`] naming a file that is given twice, or a folder that holds none or another folder; [`Error::Io`].
pub fn files_of(files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let (mut all, mut known) = (Vec::new(), BTreeSet::new());
    for file in files {
        let found = if file.is_dir() { files_in(file)? } else { vec![file.clone()] };
        for path in found {
            // What would be judged on would have been trained on.
            if !known.insert(std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone())) {
                return Err(Error::data(path, "", "is given twice"));
            }
            all.push(path);
        }
    }
    Ok(all)
}

/// The files directly in a folder, hidden ones aside.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let hidden = |p: &PathBuf| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
    let mut found: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    found.retain(|p| !hidden(p));
    found.sort();
    if let Some(inner) = found.iter().find(|p| p.is_dir()) {
        let message = "is a folder in a folder of texts: name it beside the other, or its files";
        return Err(Error::data(inner, "", message));
    }
    match found.is_empty() {
        true => Err(Error::data(folder, "", "holds no file: texts lie directly in it")),
        false => Ok(found),
    }
}

/// Reads a file, where `before` bytes are there already; one that starts like gzip is unpacked.
///
/// # Errors
/// As for [`read_texts`].
pub fn read_text(path: &Path, unit: Unit, before: usize) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    // Its bytes, and four bytes for the number of each symbol.
    let (need, there) = (5 * (before as u64).saturating_add(size), available_memory());
    if need > there {
        return Err(Error::Memory(format!(
            "{}: {size} bytes would take {} MiB in memory, and {} MiB are there",
            path.display(),
            need >> 20,
            there >> 20
        )));
    }
    let mut bytes = unpacked(path)?;
    if unit == Unit::Characters {
        if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            let message = "is in UTF-16: save it as UTF-8, or take bytes for symbols (--set text.unit=bytes, of texts texts.unit=bytes)";
            return Err(Error::data(path, "", message));
        }
        if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
            bytes.drain(..3);
        }
        if let Err(e) = std::str::from_utf8(&bytes) {
            let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
            let message = "is not in UTF-8: save it so, or take bytes for symbols (--set text.unit=bytes, of texts texts.unit=bytes)";
            return Err(Error::data(path, format!(", line {line}"), message));
        }
    }
    match bytes.is_empty() {
        true => Err(Error::data(path, "", "is empty")),
        false => Ok(bytes),
    }
}

/// What tells a text from another: a hash of its symbols' numbers (FNV-1a, 64 bits), and how many there are.
pub fn digest(text: &[u32]) -> String {
    let hash = text.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, symbol| {
        (hash ^ u64::from(*symbol)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}-{}", text.len())
}

/// Sequences from any place of a text, as many as a batch has: a single task. What follows each symbol is its target.
#[derive(Debug)]
pub struct Windows {
    /// Numbers of the text's symbols.
    pub text: Arc<Vec<u32>>,
    /// Where sequences lie.
    pub range: Range<usize>,
    /// Symbols that there are.
    pub symbols: usize,
    /// Symbols of a sequence.
    pub length: usize,
    /// Sequences of a batch.
    pub batch: usize,
    /// Seed of their places.
    pub seed: u64,
}

impl TaskFamily for Windows {
    fn shape(&self) -> TaskShape {
        let Likelihood { loss, outputs, .. } = Likelihood::symbols(self.length, self.symbols);
        TaskShape { loss, ..TaskShape::new([self.length], outputs, self.batch, self.batch) }
    }

    fn rows_are_even(&self) -> bool {
        true
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("rows", |g| {
            let (t, n, length) = (tasks.len(), self.batch, self.length);
            let text = g.step("text", &[t, n, length + 1]);
            let x = g.slice(text, 2, 0, length);
            let next = g.slice(text, 2, 1, length);
            let y = g.one_hot(next, self.symbols);
            let y = g.reshape(y, &[t, n, length * self.symbols]);
            Batch::same(g, x, y)
        })
    }

    fn window(&self, tasks: usize) -> usize {
        window_of(tasks * self.batch * (self.length + 1))
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let places = self.range.len() - self.length;
        let mut staged = Vec::with_capacity(tasks.len() * self.batch * (self.length + 1));
        for t in tasks {
            let mut rng = Rng::new(self.seed, 0x7e87_0000_0000_0000 ^ step << 20 ^ t as u64);
            for _ in 0..self.batch {
                let first = self.range.start + rng.below(places);
                staged.extend(self.text[first..=first + self.length].iter().map(|s| *s as f32));
            }
        }
        session.set_step(row, "text", &staged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_texts() {
        let text = "zażółć\n".as_bytes();
        for unit in [Unit::Characters, Unit::Bytes] {
            let alphabet = Alphabet::of(text, unit);
            assert!(alphabet.is_sound());
            let numbers = alphabet.encode(text).expect("all are known");
            assert_eq!(alphabet.decode(&numbers), text);
            assert_eq!(numbers.len(), if unit == Unit::Bytes { text.len() } else { 7 });
        }
        let alphabet = Alphabet::of(b"ab\n", Unit::Characters);
        let e = alphabet.encode(b"ab\nba\nac").expect_err("c is unknown");
        assert_eq!(e.to_string(), "line 3: 'c' (U+0063) is no symbol that the model knows");
        let e = alphabet.encode(b"ab\xff").expect_err("it is not in UTF-8");
        assert!(e.symbol.contains("ff, which is not in UTF-8"), "{e}");
        let e = Alphabet::of(b"ab", Unit::Bytes).encode(b"a\xff").expect_err("ff is unknown");
        assert_eq!((e.symbol.as_str(), e.line), ("the byte ff", 1));
        let forged = |symbols: &[&str], unit| {
            let symbols = symbols.iter().map(|s| s.to_string()).collect();
            !Alphabet { unit, symbols }.is_sound()
        };
        assert!(forged(&["a"], Unit::Characters) && forged(&["b", "a"], Unit::Characters));
        assert!(forged(&["a", "bc"], Unit::Characters) && forged(&["a", "b"], Unit::Bytes));
    }

    #[test]
    fn files_that_are_no_texts_are_refused() -> Result<()> {
        let folder =
            tempfile::tempdir().map_err(Error::io("make a folder in", Path::new("the temporary one")))?;
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("it can be written");
            path
        };
        let said = |path: PathBuf| read_texts(&[path], Unit::Characters).expect_err("no text").to_string();
        assert!(said(file("empty", b"")).ends_with("is empty"));
        let wrong = file("latin", b"fine\n\xe9t\xe9\n");
        assert!(said(wrong.clone()).contains("line 2: is not in UTF-8"), "{}", said(wrong.clone()));
        assert_eq!(read_texts(&[wrong], Unit::Bytes)?.len(), 9);
        assert!(said(file("wide", b"\xff\xfea\0")).contains("UTF-16"));
        assert_eq!(read_texts(&[file("marked", b"\xef\xbb\xbfab")], Unit::Characters)?, b"ab");
        assert!(said(folder.path().join("none")).contains("none"));
        let empty = folder.path().join("inner");
        std::fs::create_dir(&empty).expect("a folder");
        assert!(said(empty).contains("holds no file"));
        Ok(())
    }
}
