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
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

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
        let mut seen = Seen::new(unit);
        seen.add(text);
        seen.alphabet()
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

/// The symbols that were seen so far.
struct Seen {
    unit: Unit,
    /// By the number of the character, or the byte.
    there: Vec<bool>,
    /// How many, each as often as it was seen.
    total: usize,
}

impl Seen {
    fn new(unit: Unit) -> Seen {
        let kinds = if unit == Unit::Bytes { 256 } else { char::MAX as usize + 1 };
        Seen { unit, there: vec![false; kinds], total: 0 }
    }

    /// Adds a piece of text.
    fn add(&mut self, text: &[u8]) {
        let Seen { there, total, .. } = self;
        each_symbol(text, self.unit, |symbol| {
            there[symbol] = true;
            *total += 1;
        });
    }

    fn alphabet(&self) -> Alphabet {
        let there =
            self.there.iter().enumerate().filter(|(_, there)| **there).map(|(symbol, _)| symbol as u32);
        let shown = |symbol: u32| match self.unit {
            Unit::Characters => char::from_u32(symbol).map(String::from),
            Unit::Bytes => Some(hex(symbol as u8)),
        };
        Alphabet { unit: self.unit, symbols: there.filter_map(shown).collect() }
    }
}

/// Goes through a text, character by character or byte by byte, by their own numbers.
///
/// # Panics
/// Where symbols are characters, and the text is not in UTF-8.
fn each_symbol(text: &[u8], unit: Unit, mut f: impl FnMut(usize)) {
    match unit {
        Unit::Characters => {
            let text = std::str::from_utf8(text).unwrap_or_else(|e| panic!("the text is not in UTF-8: {e}"));
            text.chars().for_each(|c| f(c as usize));
        }
        Unit::Bytes => text.iter().for_each(|b| f(usize::from(*b))),
    }
}

/// A text as numbers of its symbols, which take one or two bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbols(Codes);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Codes {
    Narrow(Vec<u8>),
    Wide(Vec<u16>),
}

impl Symbols {
    /// Of none, with place for so many of so many kinds.
    fn with_capacity(n: usize, kinds: usize) -> Symbols {
        match kinds {
            0..=256 => Symbols(Codes::Narrow(Vec::with_capacity(n))),
            _ => Symbols(Codes::Wide(Vec::with_capacity(n))),
        }
    }

    /// The symbols of files, one after another, and their numbers; folders stand for the files in them, in the order of their names. Files are
    /// read twice, a piece at a time: what is kept of them is the numbers.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file that is empty, or not in UTF-8 where symbols are characters (and its line), or that there are fewer than 2
    /// or more than 65,536 different symbols; [`Error::Io`]; [`Error::Memory`] where they are too large.
    pub fn read(files: &[PathBuf], unit: Unit) -> Result<(Alphabet, Symbols)> {
        let files = files_of(files)?;
        let mut seen = Seen::new(unit);
        for path in &files {
            let before = seen.total;
            each_piece(path, unit, &mut |piece| seen.add(piece))?;
            if seen.total == before {
                return Err(Error::data(path, "", "is empty"));
            }
        }
        let alphabet = seen.alphabet();
        let kinds = alphabet.symbols.len();
        if !(2..=MAX_SYMBOLS).contains(&kinds) {
            let message = format!("holds {kinds} different symbols: 2 to {MAX_SYMBOLS} are possible");
            return Err(Error::data(files.first().map_or(Path::new(""), |f| f), "", message));
        }
        let (need, there) = (seen.total as u64 * if kinds <= 256 { 1 } else { 2 }, available_memory());
        if need > there {
            return Err(Error::Memory(format!(
                "{} symbols of {} would take {} MiB in memory, and {} MiB are there",
                seen.total,
                files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
                need >> 20,
                there >> 20
            )));
        }
        // By the number of the character, or the byte.
        let mut numbers = vec![None; seen.there.len()];
        for (number, (symbol, _)) in seen.there.iter().enumerate().filter(|(_, there)| **there).enumerate() {
            numbers[symbol] = Some(number as u16);
        }
        let mut all = Symbols::with_capacity(seen.total, kinds);
        for path in &files {
            let mut strange = false;
            each_piece(path, unit, &mut |piece| {
                each_symbol(piece, unit, |symbol| match (&mut all.0, numbers[symbol]) {
                    (Codes::Narrow(to), Some(number)) => to.push(number as u8),
                    (Codes::Wide(to), Some(number)) => to.push(number),
                    (_, None) => strange = true,
                });
            })?;
            if strange {
                return Err(Error::data(path, "", "changed while it was read"));
            }
        }
        Ok((alphabet, all))
    }

    /// How many.
    pub fn len(&self) -> usize {
        match &self.0 {
            Codes::Narrow(codes) => codes.len(),
            Codes::Wide(codes) => codes.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers of some in a row.
    pub fn range(&self, range: Range<usize>) -> Vec<u32> {
        match &self.0 {
            Codes::Narrow(codes) => codes[range].iter().map(|c| u32::from(*c)).collect(),
            Codes::Wide(codes) => codes[range].iter().map(|c| u32::from(*c)).collect(),
        }
    }

    /// What tells it from another text ([`digest`]).
    pub fn digest(&self) -> String {
        match &self.0 {
            Codes::Narrow(codes) => digest(codes.iter().map(|c| u32::from(*c))),
            Codes::Wide(codes) => digest(codes.iter().map(|c| u32::from(*c))),
        }
    }
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

/// Bytes of a file that are looked at together.
const PIECE: usize = 1 << 20;
const SAVE: &str =
    "save it as UTF-8, or take bytes for symbols (--set text.unit=bytes, of texts texts.unit=bytes)";

/// Hands a file on in pieces, of whole characters where symbols are these; one that starts like gzip is unpacked. A byte order mark is
/// left out.
fn each_piece(path: &Path, unit: Unit, f: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut file = BufReader::with_capacity(PIECE, File::open(path).map_err(Error::io("read", path))?);
    let packed = file.fill_buf().map_err(Error::io("read", path))?.starts_with(&[0x1f, 0x8b]);
    let mut file: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let (mut buffer, mut held, mut line, mut begun) = (vec![0; PIECE], 0, 1, false);
    loop {
        let read = match file.read(&mut buffer[held..]) {
            Ok(read) => read,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io(if packed { "unpack" } else { "read" }, path)(e)),
        };
        let there = held + read;
        // Its first bytes say how it is written.
        if !begun && read > 0 && there < 3 {
            held = there;
            continue;
        }
        let mut from = 0;
        if !begun && unit == Unit::Characters {
            if buffer[..there].starts_with(&[0xff, 0xfe]) || buffer[..there].starts_with(&[0xfe, 0xff]) {
                return Err(Error::data(path, "", format!("is in UTF-16: {SAVE}")));
            }
            from = if buffer[..there].starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
        }
        begun = true;
        let mut to = there;
        if unit == Unit::Characters
            && let Err(e) = std::str::from_utf8(&buffer[from..there])
        {
            to = from + e.valid_up_to();
            // A character may go on in the next piece.
            if e.error_len().is_some() || read == 0 {
                line += buffer[from..to].iter().filter(|b| **b == b'\n').count();
                return Err(Error::data(path, format!(", line {line}"), format!("is not in UTF-8: {SAVE}")));
            }
        }
        let piece = &buffer[from..to];
        line += piece.iter().filter(|b| **b == b'\n').count();
        if !piece.is_empty() {
            f(piece);
        }
        if read == 0 {
            return Ok(());
        }
        buffer.copy_within(to..there, 0);
        held = there - to;
    }
}

/// Reads a file, where `before` bytes are there already; one that starts like gzip is unpacked.
///
/// # Errors
/// [`Error::Data`] where it is empty, or not in UTF-8 where symbols are characters (naming its line); [`Error::Io`]; [`Error::Memory`] where it
/// is too large.
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
    let mut bytes = Vec::new();
    each_piece(path, unit, &mut |piece| bytes.extend_from_slice(piece))?;
    match bytes.is_empty() {
        true => Err(Error::data(path, "", "is empty")),
        false => Ok(bytes),
    }
}

/// What tells a text from another: a hash of its symbols' numbers (FNV-1a, 64 bits), and how many there are.
pub fn digest(text: impl IntoIterator<Item = u32>) -> String {
    let start = (0xcbf2_9ce4_8422_2325_u64, 0usize);
    let (hash, n) = text.into_iter().fold(start, |(hash, n), symbol| {
        ((hash ^ u64::from(symbol)).wrapping_mul(0x0000_0100_0000_01b3), n + 1)
    });
    format!("{hash:016x}-{n}")
}

/// Sequences from any place of a text, as many as a batch has: a single task. What follows each symbol is its target.
#[derive(Debug)]
pub struct Windows {
    /// The text.
    pub text: Arc<Symbols>,
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
                staged.extend(self.text.range(first..first + self.length + 1).iter().map(|s| *s as f32));
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

    /// Files that are longer than a piece, whose characters lie across the ends of pieces, packed and not.
    #[test]
    fn pieces_are_whole_characters() -> Result<()> {
        let folder =
            tempfile::tempdir().map_err(Error::io("make a folder in", Path::new("the temporary one")))?;
        let text: String = (0..PIECE / 2).map(|i| ['a', 'ż', '語', '𝄞', '\n'][i * i % 5]).collect();
        let path = folder.path().join("text");
        std::fs::write(&path, &text).expect("it can be written");
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, text.as_bytes()).expect("it is packed");
        let gz = folder.path().join("text.gz");
        std::fs::write(&gz, packed.finish().expect("it is packed")).expect("it can be written");
        for unit in [Unit::Characters, Unit::Bytes] {
            let alphabet = Alphabet::of(text.as_bytes(), unit);
            let numbers = alphabet.encode(text.as_bytes()).expect("all are known");
            for path in [&path, &gz] {
                let (found, symbols) = Symbols::read(std::slice::from_ref(path), unit)?;
                assert!(found == alphabet && symbols.len() == numbers.len());
                assert!(
                    symbols.range(0..numbers.len()) == numbers
                        && symbols.digest() == digest(numbers.iter().copied())
                );
                assert_eq!(read_text(path, unit, 0)?, text.as_bytes());
            }
        }
        // More kinds than a byte tells apart.
        let many: String = ('\u{3400}'..'\u{3800}').collect();
        std::fs::write(&path, &many).expect("it can be written");
        let (alphabet, symbols) = Symbols::read(&[path], Unit::Characters)?;
        assert_eq!(alphabet.decode(&symbols.range(0..symbols.len())), many.as_bytes());
        Ok(())
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
        let said = |path: PathBuf| {
            let whole = Symbols::read(std::slice::from_ref(&path), Unit::Characters)
                .expect_err("no text")
                .to_string();
            let alone = read_text(&path, Unit::Characters, 0).map(|_| ()).map_err(|e| e.to_string());
            assert!(path.is_dir() || alone == Err(whole.clone()), "{alone:?} {whole}");
            whole
        };
        assert!(said(file("empty", b"")).ends_with("is empty"));
        let wrong = file("latin", b"fine\n\xe9t\xe9\n");
        assert!(said(wrong.clone()).contains("line 2: is not in UTF-8"), "{}", said(wrong.clone()));
        assert_eq!(Symbols::read(&[wrong], Unit::Bytes)?.1.len(), 9);
        assert!(said(file("wide", b"\xff\xfea\0")).contains("UTF-16"));
        assert_eq!(read_text(&file("marked", b"\xef\xbb\xbfab"), Unit::Characters, 0)?, b"ab");
        assert!(said(file("cut", b"a\n\xc3")).contains("line 2: is not in UTF-8"));
        let same = Symbols::read(&[file("same", b"aaaa")], Unit::Characters).expect_err("one symbol");
        assert!(same.to_string().contains("holds 1 different symbols"));
        assert!(said(folder.path().join("none")).contains("none"));
        let empty = folder.path().join("inner");
        std::fs::create_dir(&empty).expect("a folder");
        assert!(said(empty).contains("holds no file"));
        Ok(())
    }
}
