//! One CSV file as text cells, checked: UTF-8, a header, every row as wide as the header.
//!
//! Separate from the encoder so that whatever later looks at a cell (fitting, encoding, grouping) can rely on the
//! table's shape and can name the line of a cell in its messages.

use std::collections::HashMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::idx::unpacked;
use crate::error::{Error, Result, nearest};

/// The most columns a file may have, before and after encoding. A wider file is nearly always one with a wrong
/// separator or transposed, and a dense row of it would not be a *small* task.
pub const MAX_COLUMNS: usize = 20_000;

/// Cells are quoted in messages up to this many characters.
const SHOWN: usize = 40;

/// A rectangular table of trimmed text cells with named columns.
#[derive(Clone)]
pub struct Table {
    path: PathBuf,
    columns: Vec<String>,
    index: HashMap<String, usize>,
    /// All cells after one another, row by row; `ends[row * columns + column]` is where a cell ends.
    text: String,
    ends: Vec<usize>,
    /// The line each row starts on, counting the header's line as 1.
    lines: Vec<usize>,
}

/// What one cell holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell {
    /// Empty, `NA`, `N/A`, `#N/A`, `<NA>`, `NaN`, `null` or `?`, in any case.
    Missing,
    /// A finite number.
    Number(f64),
    /// `inf`, or a number beyond f64.
    Infinite,
    /// Anything else.
    Text,
}

/// What stands for nothing, wherever it stands.
const MISSING: [&str; 7] = ["?", "na", "null", "n/a", "#n/a", "#na", "<na>"];
/// What stands for nothing among numbers, and may be a word of its own elsewhere.
const MISSING_NUMBERS: [&str; 6] = ["-", "--", ".", "none", "missing", "n.a."];

/// Whether a cell among numbers stands for none.
pub(super) fn is_no_number(cell: &str) -> bool {
    MISSING_NUMBERS.iter().any(|w| cell.eq_ignore_ascii_case(w))
}

impl Cell {
    pub(super) fn of(cell: &str) -> Cell {
        let unsigned = cell.strip_prefix(['+', '-']).unwrap_or(cell);
        if cell.is_empty() || MISSING.iter().any(|w| cell.eq_ignore_ascii_case(w)) {
            return Cell::Missing;
        }
        match cell.parse::<f64>() {
            _ if unsigned.eq_ignore_ascii_case("nan") => Cell::Missing,
            Ok(x) if x.is_finite() => Cell::Number(x),
            Ok(_) => Cell::Infinite,
            Err(_) => Cell::Text,
        }
    }
}

impl Table {
    /// Reads a comma-separated file whose first line names the columns. One that starts like gzip is unpacked.
    ///
    /// Cells are trimmed; blank lines and a UTF-8 byte order mark are skipped; cells may be quoted with `"`.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Data`] with the line where it is not such a file.
    pub fn read(path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        Table::parse(path, &unpacked(path)?)
    }

    /// The same of a file whose cells are separated by tabs, in which quotes are like any other character.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn read_tabs(path: impl AsRef<Path>) -> Result<Table> {
        let path = path.as_ref();
        Table::parse_by(path, &unpacked(path)?, b'\t')
    }

    /// As [`Table::read`], from bytes; `path` is only named in messages.
    ///
    /// # Errors
    /// As [`Table::read`].
    pub fn parse(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Table> {
        Table::parse_by(path.as_ref(), bytes, b',')
    }

    fn parse_by(path: &Path, bytes: &[u8], separator: u8) -> Result<Table> {
        let commas = separator == b',';
        let fail = |line: usize, message: String| Err(Error::data(path, format!(", line {line}"), message));
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
            Err(e) => {
                let line = 1 + line_ends(&bytes[..e.valid_up_to()]);
                let separated = if commas { "comma-separated" } else { "tab-separated" };
                return fail(line, format!("not UTF-8 text: save the file as {separated} UTF-8"));
            }
        };
        if let Some(at) = text.bytes().position(|b| b == 0) {
            let line = 1 + line_ends(&text.as_bytes()[..at]);
            return fail(line, "a NUL byte: this is a binary file, not a table in text".into());
        }
        if commas && let Some((line, message)) = wrong_quoting(text.as_bytes()) {
            return fail(line, message.into());
        }
        let mut reader = ::csv::ReaderBuilder::new()
            .has_headers(false)
            .delimiter(separator)
            .quoting(commas)
            .flexible(true) // widths are checked below, with our own message
            .trim(::csv::Trim::All)
            .from_reader(text.as_bytes());
        let mut record = ::csv::StringRecord::new();
        let mut lines = Lines { bytes: text.as_bytes(), at: 0, line: 1 };
        let mut next = |record: &mut ::csv::StringRecord| -> Result<Option<usize>> {
            let more = reader.read_record(record).map_err(|e| Error::data(path, "", e.to_string()))?;
            let start = record.position().map_or(0, |p| p.byte() as usize);
            Ok(more.then(|| lines.of_record_at(start)))
        };

        let Some(line) = next(&mut record)? else {
            return Err(Error::data(path, "", "the file is empty: the first line must name the columns"));
        };
        let columns = header(path, line, &record)?;
        let index = columns.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
        let mut table = Table {
            path: path.to_path_buf(),
            columns,
            index,
            text: String::new(),
            ends: Vec::new(),
            lines: Vec::new(),
        };
        while let Some(line) = next(&mut record)? {
            let (have, want) = (record.len(), table.columns.len());
            if have != want {
                let hint = if commas { " (a cell that holds a comma must be quoted)" } else { "" };
                let message = format!(
                    "{have} cells, but the header names {want} columns: every row needs as many cells as the header{hint}"
                );
                return fail(line, message);
            }
            for cell in &record {
                table.text.push_str(cell);
                table.ends.push(table.text.len());
            }
            table.lines.push(line);
        }
        if table.lines.is_empty() {
            return Err(Error::data(path, "", "there is only a header: at least one row must follow it"));
        }
        Ok(table)
    }

    /// Rows of tables with the same columns, one after another.
    pub(crate) fn of_parts(path: &Path, parts: &[(&Table, Vec<usize>)]) -> Table {
        let first = parts[0].0;
        let mut to = Table {
            path: path.to_path_buf(),
            columns: first.columns.clone(),
            index: first.index.clone(),
            text: String::new(),
            ends: vec![],
            lines: vec![],
        };
        for (table, rows) in parts {
            for row in rows {
                for column in 0..first.columns.len() {
                    to.text.push_str(table.cell(*row, column));
                    to.ends.push(to.text.len());
                }
                to.lines.push(table.lines[*row]);
            }
        }
        to
    }

    /// The file the table came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The column names, in file order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The number of rows, the header not counted.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// The trimmed text of a cell.
    ///
    /// # Panics
    /// When `row` or `column` is out of range.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        assert!(column < self.columns.len(), "column {column} of {}", self.columns.len());
        let i = row * self.columns.len() + column;
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[start..self.ends[i]]
    }

    /// The line of the file that a row starts on; the header of a file without blank lines is line 1.
    ///
    /// # Panics
    /// When `row` is out of range.
    pub fn line_of(&self, row: usize) -> usize {
        self.lines[row]
    }

    /// The index of a column.
    ///
    /// # Errors
    /// [`Error::Data`] that names the nearest column when there is none called `name`.
    pub fn column(&self, name: &str) -> Result<usize> {
        if let Some(&i) = self.index.get(name) {
            return Ok(i);
        }
        // Distances to very long names cost much and help nobody.
        let known = self.columns.iter().map(String::as_str).filter(|k| !k.is_empty() && k.len() <= 100);
        let hint = match nearest(name, known) {
            Some(near) => format!("did you mean '{}'?", shown(near)),
            None if self.columns.len() == 1 => {
                format!(
                    "the only column is '{}'; are the cells separated by commas (of pairs by tabs)?",
                    shown(&self.columns[0])
                )
            }
            None => format!("the columns are {}", listed(&self.columns)),
        };
        Err(self.error("", format!("no column '{}': {hint}", shown(name))))
    }

    /// The number in a cell, or the days of a date; `None` of any other.
    pub fn number(&self, row: usize, column: usize) -> Option<f64> {
        match self.kind(row, column) {
            Cell::Number(x) => Some(x),
            Cell::Text => super::series::days_of(self.cell(row, column)),
            _ => None,
        }
    }

    /// Whether nothing stands in a cell.
    pub fn is_missing(&self, row: usize, column: usize) -> bool {
        matches!(self.kind(row, column), Cell::Missing)
    }

    /// Some rows and columns, in this order.
    pub(crate) fn picked(&self, rows: &[usize], columns: &[usize]) -> Table {
        let names: Vec<String> = columns.iter().map(|c| self.columns[*c].clone()).collect();
        let index = names.iter().enumerate().map(|(i, name)| (name.clone(), i)).collect();
        let lines = rows.iter().map(|row| self.lines[*row]).collect();
        let (mut text, mut ends) = (String::new(), vec![]);
        for row in rows {
            for column in columns {
                text.push_str(self.cell(*row, *column));
                ends.push(text.len());
            }
        }
        Table { path: self.path.clone(), columns: names, index, text, ends, lines }
    }

    /// What a cell holds.
    pub(super) fn kind(&self, row: usize, column: usize) -> Cell {
        Cell::of(self.cell(row, column))
    }

    /// An error about this file.
    pub(super) fn error(&self, at: impl Into<String>, message: impl Into<String>) -> Error {
        Error::data(&self.path, at, message)
    }

    /// An error about one cell.
    pub(super) fn cell_error(&self, row: usize, column: usize, message: impl Into<String>) -> Error {
        let at = format!(", line {}, column '{}'", self.line_of(row), shown(&self.columns[column]));
        Error::data(&self.path, at, message)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("path", &self.path)
            .field("columns", &self.columns)
            .field("rows", &self.rows())
            .finish()
    }
}

/// Text from a file, fit for a message: shortened, control characters escaped.
pub(crate) fn shown(text: &str) -> String {
    let mut short = String::new();
    for c in text.chars().take(SHOWN) {
        if c.is_control() { short.extend(c.escape_debug()) } else { short.push(c) }
    }
    if text.chars().nth(SHOWN).is_some() {
        short.push('…');
    }
    short
}

/// The first few of many names, quoted.
pub(super) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const FEW: usize = 12;
    let few: Vec<_> = names.iter().take(FEW).map(|n| format!("'{}'", shown(n.as_ref()))).collect();
    match names.len().saturating_sub(FEW) {
        0 => few.join(", "),
        more => format!("{} and {more} more", few.join(", ")),
    }
}

/// `"1 row"`, `"2 rows"`.
pub(super) fn count(n: usize, one: impl Display) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

fn header(path: &Path, line: usize, record: &::csv::StringRecord) -> Result<Vec<String>> {
    let fail = |message: String| Err(Error::data(path, format!(", line {line}"), message));
    if record.len() > MAX_COLUMNS {
        return fail(format!(
            "the header names {} columns, more than the {MAX_COLUMNS} that can be read: is the file transposed?",
            record.len()
        ));
    }
    let mut seen = HashMap::new();
    for (i, name) in record.iter().enumerate() {
        if let Some(first) = seen.insert(name, i) {
            return fail(format!(
                "columns {} and {} are both called '{}': every column needs its own name",
                first + 1,
                i + 1,
                shown(name)
            ));
        }
    }
    Ok(record.iter().map(str::to_string).collect())
}

/// Line ends in a stretch of text, as the csv crate sees them: `\n`, `\r\n` or a lone `\r`.
fn line_ends(bytes: &[u8]) -> usize {
    let lone = |i: usize| bytes[i] == b'\r' && bytes.get(i + 1) != Some(&b'\n');
    (0..bytes.len()).filter(|&i| bytes[i] == b'\n' || lone(i)).count()
}

/// Counts lines up to the records' starts. The csv crate's own positions point before skipped blank lines.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    fn of_record_at(&mut self, start: usize) -> usize {
        let rest = self.bytes.get(start..).unwrap_or_default();
        let start = start + rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        self.line += line_ends(self.bytes.get(self.at..start).unwrap_or_default());
        self.at = self.at.max(start);
        self.line
    }
}

/// The line and nature of the first quoting mistake. The csv crate accepts them all, and would hand the rest of
/// the file over as one cell.
fn wrong_quoting(bytes: &[u8]) -> Option<(usize, &'static str)> {
    enum At {
        Start,
        Blank,
        Plain,
        Quoted,
        Closed,
        After,
    }
    let here = |i: usize| 1 + line_ends(&bytes[..i]);
    let (mut at, mut opened) = (At::Start, 0);
    for (i, b) in bytes.iter().enumerate() {
        at = match (at, b) {
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) => At::Quoted,
            (At::Start, b'"') => {
                opened = i;
                At::Quoted
            }
            (At::Closed, b'"') => At::Quoted, // `""` inside quotes is a quote
            (_, b',' | b'\n' | b'\r') => At::Start,
            (At::Start | At::Blank, b' ' | b'\t') => At::Blank,
            (At::Closed | At::After, b' ' | b'\t') => At::After,
            (At::Blank, b'"') => {
                return Some((
                    here(i),
                    "a blank before an opening quote: quotes must follow the comma at once",
                ));
            }
            (At::Closed | At::After, _) => {
                let message = "text after a closing quote: close the quote at the cell's end, and double a quote \
                               inside a quoted cell";
                return Some((here(i), message));
            }
            _ => At::Plain,
        };
    }
    let message = "a quote opens here and is never closed: end the cell with another quote";
    matches!(at, At::Quoted).then(|| (here(opened), message))
}
