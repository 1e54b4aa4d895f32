//! One input column: from text cells to numbers.
//!
//! A column is a **number** when every cell of the fitting rows that is not missing is one: it becomes
//! (x − mean) / std, and one more 0/1 column where cells were missing while fitting. Where every cell is a **date** (`2024-05-31`, with or without
//! a time of day), its days are such a number. Otherwise it holds **levels**:
//! a 0/1 column for each text seen while fitting, and one more for "missing" where that was seen. An integer column
//! with few values stays a number, unless it is declared to hold levels. A column with a single value in the fitting rows says
//! nothing and is dropped. One of nearly all numbers, of which a few are written otherwise, is refused: nobody means levels.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::series::days_of;
use super::table::{Cell, Table, count, is_no_number, shown};
use crate::error::Result;

/// The most levels a text column may have. One with more is nearly always a name or an identifier, which cannot
/// tell anything about groups never seen.
pub(super) const MAX_LEVELS: usize = 256;

/// Of so many rows, or more, texts that are all different are names.
const MANY_ROWS: usize = 20;
/// A column with so many numbers for each text, or more, is one of numbers with mistakes.
const MOST_NUMBERS: usize = 9;

/// In what notation a cell seems to be that is no number.
fn notation(cell: &str) -> &'static str {
    let plain = |c: &str| c.parse::<f64>().is_ok();
    let without = |out: &[char]| cell.replace(out, "");
    if cell.contains(',') && plain(&without(&[','])) {
        "it has a comma, and decimals are written with a point, thousands without anything"
    } else if cell.contains('%') && plain(without(&['%']).trim()) {
        "it has a percent sign"
    } else if cell.contains('\u{2212}') && plain(&cell.replace('\u{2212}', "-")) {
        "its minus is a character of its own"
    } else if cell.contains(CURRENCIES) && plain(without(&CURRENCIES).trim()) {
        "it has the sign of a currency"
    } else if cell.contains(char::is_whitespace) && plain(&cell.split_whitespace().collect::<String>()) {
        "it has blanks"
    } else {
        "it is text"
    }
}

const CURRENCIES: [char; 4] = ['$', '€', '£', '¥'];

/// How one column of a file is encoded.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) name: String,
    code: Code,
    /// Whether cells were missing while fitting; then the last encoded column says where.
    missing: bool,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Code {
    Number(Scale),
    /// Days since 1970.
    Dates(Scale),
    Levels(Vec<String>),
}

/// Mean and (population) standard deviation of a number. Stored as text, which every reader gives back to the bit.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    #[serde(with = "exact")]
    pub(super) mean: f64,
    #[serde(with = "exact")]
    pub(super) std: f64,
}

impl Scale {
    /// Fitted to `values`; `None` when they are all the same, or too far apart for f64.
    pub(super) fn fit(values: &[f64]) -> Option<Scale> {
        let n = values.len() as f64;
        // Divided before they are summed, so that no sum or square overflows.
        let mean = values.iter().map(|x| x / n).sum::<f64>();
        let reach = values.iter().map(|x| (x - mean).abs()).fold(0.0, f64::max);
        let std = reach * (values.iter().map(|x| ((x - mean) / reach).powi(2) / n).sum::<f64>()).sqrt();
        // All the same: the mean's rounding error would pass for a spread.
        let same = values.windows(2).all(|w| w[0] == w[1]);
        (!same && mean.is_finite() && std.is_normal()).then_some(Scale { mean, std })
    }

    /// (x − mean) / std; `None` when that is beyond f32.
    pub(super) fn apply(self, x: f64) -> Option<f32> {
        let z = ((x - self.mean) / self.std) as f32;
        z.is_finite().then_some(z)
    }

    pub(super) fn is_usable(self) -> bool {
        self.mean.is_finite() && self.std.is_normal() && self.std > 0.0
    }
}

/// A stretch of columns of a row-major `[rows, width]` array.
pub(super) struct Block<'a> {
    pub(super) out: &'a mut [f32],
    pub(super) width: usize,
    pub(super) offset: usize,
}

impl Block<'_> {
    fn set(&mut self, row: usize, column: usize, value: f32) {
        self.out[row * self.width + self.offset + column] = value;
    }
}

impl Column {
    /// Fits column `col` on `rows`; `None`, with a note, when it says nothing there.
    ///
    /// # Errors
    /// An infinite number, numbers too far apart, or too many levels, with the place.
    pub(super) fn fit(
        table: &Table,
        col: usize,
        rows: &[usize],
        declared: bool,
        notes: &mut Vec<String>,
    ) -> Result<Option<Column>> {
        let (mut numbers, mut text, mut infinite, mut missing) = (Vec::new(), None, None, false);
        let (mut texts, mut none, mut dates) = (0, None, Vec::new());
        let mut levels = BTreeSet::new();
        for &row in rows {
            let cell = table.kind(row, col);
            match cell {
                Cell::Missing => missing = true,
                Cell::Number(x) => numbers.push(x),
                Cell::Infinite => infinite = infinite.or(Some(row)),
                Cell::Text if is_no_number(table.cell(row, col)) => none = none.or(Some(row)),
                Cell::Text => {
                    (text, texts) = (text.or(Some(row)), texts + 1);
                    // After the first that is none, no more are asked for.
                    if dates.len() + 1 == texts {
                        dates.extend(days_of(table.cell(row, col)));
                    }
                }
            }
            // One more than allowed is enough to know that there are too many.
            if cell != Cell::Missing && levels.len() <= MAX_LEVELS {
                levels.insert(table.cell(row, col));
            }
        }
        let name = table.columns()[col].clone();
        let varies = numbers.windows(2).any(|w| w[0] != w[1]) && !declared;
        let are_dates = texts > 0 && dates.len() == texts && numbers.is_empty() && infinite.is_none();
        let are_dates = are_dates && !declared && dates.windows(2).any(|w| w[0] != w[1]);
        match (none, text) {
            // Among numbers and dates it stands for none.
            (Some(_), None) if varies => missing = true,
            (Some(_), _) if are_dates => missing = true,
            _ => text = text.or(none),
        }
        if let (Some(row), true) = (text, varies && texts * MOST_NUMBERS <= numbers.len()) {
            let message = format!(
                "'{}' is no number ({}), and {} of {} cells of the column are: mend the cell, leave it empty, or say that the column holds \
                 levels (--set 'csv.categories=[\"{}\"]')",
                shown(table.cell(row, col)),
                notation(table.cell(row, col)),
                numbers.len(),
                numbers.len() + texts,
                name.escape_debug()
            );
            return Err(table.cell_error(row, col, message));
        }
        if let (None, Some(row)) = (text, infinite) {
            return Err(not_finite(table, row, col));
        }
        let varies_at_all = varies || declared && levels.len() > 1;
        if (text.is_none() && !varies_at_all && !missing)
            || levels.is_empty()
            || (levels.len() == 1 && !missing)
        {
            notes.push(format!("column '{}' is the same in every training row: left out", shown(&name)));
            return Ok(None);
        }
        let code = if are_dates && let Some(scale) = Scale::fit(&dates) {
            notes.push(format!("column '{}' holds dates: read as numbers of days", shown(&name)));
            Code::Dates(scale)
        } else if text.is_none() && varies {
            let Some(scale) = Scale::fit(&numbers) else {
                return Err(table.error(
                    format!(", column '{}'", shown(&name)),
                    "the numbers are too large or too close together to be standardised: rescale or drop the column",
                ));
            };
            Code::Number(scale)
        } else {
            // A number that is sometimes missing and otherwise always the same lands here too: its levels say all.
            if let (Some(row), true) = (text, levels.len() > MAX_LEVELS) {
                let hint = if numbers.is_empty() {
                    "drop it"
                } else {
                    "mend the cells that are no numbers, or drop it"
                };
                let message = format!(
                    "more than {MAX_LEVELS} different values in a column that is not all numbers ('{}' is none): {hint}",
                    shown(table.cell(row, col))
                );
                return Err(table.cell_error(row, col, message));
            }
            if levels.len() == rows.len() && rows.len() >= MANY_ROWS {
                let name = shown(&name);
                notes.push(format!(
                    "column '{name}' has another text in each of the {} training rows: it tells nothing of other rows (--drop leaves it out)",
                    rows.len()
                ));
            }
            Code::Levels(levels.into_iter().map(str::to_string).collect())
        };
        Ok(Some(Column { name, code, missing }))
    }

    /// How many encoded columns it becomes.
    pub(super) fn width(&self) -> usize {
        usize::from(self.missing)
            + match &self.code {
                Code::Number(_) | Code::Dates(_) => 1,
                Code::Levels(levels) => levels.len(),
            }
    }

    /// What a missing cell becomes.
    pub(super) fn of_missing(&self) -> impl Iterator<Item = f32> {
        let width = self.width();
        (0..width).map(move |i| f32::from(self.missing && i + 1 == width))
    }

    /// The names of the encoded columns: `age`, `sex=Female`, `age missing`.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = match &self.code {
            Code::Number(_) | Code::Dates(_) => vec![self.name.clone()],
            Code::Levels(levels) => levels.iter().map(|level| format!("{}={level}", self.name)).collect(),
        };
        if self.missing {
            names.push(format!("{} missing", self.name));
        }
        names
    }

    pub(super) fn is_usable(&self) -> bool {
        match &self.code {
            Code::Number(scale) | Code::Dates(scale) => scale.is_usable(),
            Code::Levels(levels) => levels.len() <= MAX_LEVELS,
        }
    }

    /// Writes the given rows of `table` into `block`, which holds zeros.
    ///
    /// # Errors
    /// A cell that is no finite number in a column of numbers, with its place.
    pub(super) fn encode(
        &self,
        table: &Table,
        rows: &[usize],
        mut block: Block<'_>,
        notes: &mut Vec<String>,
    ) -> Result<()> {
        let col = table.column(&self.name)?;
        let known: HashMap<&str, usize> = match &self.code {
            Code::Number(_) | Code::Dates(_) => HashMap::new(),
            Code::Levels(levels) => levels.iter().enumerate().map(|(i, level)| (level.as_str(), i)).collect(),
        };
        let (mut surprises, mut unseen) = (Tally::default(), Tally::default());
        for (i, &row) in rows.iter().enumerate() {
            match (&self.code, table.kind(row, col)) {
                // The zeros already there are the mean of a number and no level at all.
                // What is missing today may have been a level once.
                (Code::Levels(_), Cell::Missing) if let Some(&level) = known.get(table.cell(row, col)) => {
                    block.set(i, level, 1.0);
                }
                (_, Cell::Missing) if self.missing => block.set(i, self.width() - 1, 1.0),
                (_, Cell::Missing) => surprises.add(row),
                (Code::Number(_) | Code::Dates(_), Cell::Text) if is_no_number(table.cell(row, col)) => {
                    match self.missing {
                        true => block.set(i, self.width() - 1, 1.0),
                        false => surprises.add(row),
                    }
                }
                (Code::Number(scale), Cell::Number(x)) => match scale.apply(x) {
                    Some(z) => block.set(i, 0, z),
                    None => {
                        return Err(table.cell_error(
                            row,
                            col,
                            "the number is too far from those trained on",
                        ));
                    }
                },
                (Code::Dates(scale), _) => {
                    let days = days_of(table.cell(row, col)).and_then(|days| scale.apply(days));
                    let Some(z) = days else {
                        let message = format!(
                            "'{}' is no date (2024-05-31, 2024-05-31T12:30), as every training row's cell is; or leave it empty",
                            shown(table.cell(row, col))
                        );
                        return Err(table.cell_error(row, col, message));
                    };
                    block.set(i, 0, z);
                }
                (Code::Number(_), Cell::Infinite) => return Err(not_finite(table, row, col)),
                (Code::Number(_), Cell::Text) => {
                    let cell = shown(table.cell(row, col));
                    let message = format!(
                        "'{cell}' is not a number ({}), as every training row's cell is; or leave it empty",
                        notation(table.cell(row, col))
                    );
                    return Err(table.cell_error(row, col, message));
                }
                (Code::Levels(_), _) => match known.get(table.cell(row, col)) {
                    Some(&level) => block.set(i, level, 1.0),
                    None => unseen.add(row),
                },
            }
        }
        let name = shown(&self.name);
        if let Some(first) = surprises.first {
            notes.push(format!(
                "column '{name}': {} (first on line {}), though none was in training: taken as {}",
                count(surprises.n, "missing cell"),
                table.line_of(first),
                if known.is_empty() { "the mean" } else { "no level" },
            ));
        }
        if let Some(first) = unseen.first {
            notes.push(format!(
                "column '{name}': {} with a value never seen in training (first '{}' on line {}): taken as no level",
                count(unseen.n, "cell"),
                shown(table.cell(first, col)),
                table.line_of(first),
            ));
        }
        Ok(())
    }
}

/// How often something was met, and where first.
#[derive(Default)]
struct Tally {
    n: usize,
    first: Option<usize>,
}

impl Tally {
    fn add(&mut self, row: usize) {
        self.n += 1;
        self.first = self.first.or(Some(row));
    }
}

/// The error for an infinite cell.
pub(super) fn not_finite(table: &Table, row: usize, col: usize) -> crate::error::Error {
    let cell = shown(table.cell(row, col));
    table.cell_error(
        row,
        col,
        format!("'{cell}' is not a finite number: correct it, or leave the cell empty"),
    )
}

/// f64 as its shortest decimal text: parsers of JSON and TOML may be off by the last bit, the standard library's
/// parser of text is not.
mod exact {
    use serde::de::{Deserialize, Deserializer, Error};

    pub(super) fn serialize<S: serde::Serializer>(x: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{x:e}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        let text = String::deserialize(d)?;
        text.parse().map_err(|_| D::Error::custom(format!("'{text}' is not a number")))
    }
}
