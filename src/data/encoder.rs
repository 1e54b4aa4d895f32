//! From text cells to the numbers a network reads and predicts.
//!
//! Fitted on the rows of training and validation groups only, so that nothing of a test group leaks into its own judging, and
//! stored with the model, so that a later file with the same columns is encoded the same way.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::column::{Block, Column, MAX_LEVELS, Scale, not_finite};
use super::csv::CsvSpec;
use super::table::{Cell, MAX_COLUMNS, Table, listed, shown};
use crate::error::{Error, Result};

/// What is predicted: a number or one of several classes.
///
/// Where a specification does not say, the training rows do: a target whose cells are all numbers is a regression,
/// whole numbers with few values (a rating of 1 to 5, 0/1) included; one whose cells are all text (`true`/`false`
/// too) is a classification; a mixture is refused.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A number, standardised.
    Regression,
    /// One of the texts seen in training, one-hot.
    Classification,
}

/// The encoding of a file's columns, fitted on training and validation groups.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct Encoder {
    group: String,
    target: String,
    code: TargetCode,
    columns: Vec<Column>,
    descriptor: Vec<usize>,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "lowercase")]
enum TargetCode {
    Number(Scale),
    Classes(Vec<String>),
}

impl Encoder {
    /// Fits an encoding on the given rows of `table`: those of the training groups. What is worth knowing (columns
    /// left out, say) is logged.
    ///
    /// # Errors
    /// [`Error::Config`] for a specification that contradicts itself, [`Error::Data`] naming the place for a
    /// missing column, a cell that cannot be used, or when nothing is left to learn from.
    ///
    /// # Panics
    /// When a number in `rows` is not a row of `table`.
    pub fn fit(table: &Table, spec: &CsvSpec, rows: &[usize]) -> Result<Encoder> {
        let mut notes = Vec::new();
        let encoder = Encoder::fit_noting(table, spec, rows, &mut notes)?;
        notes.iter().for_each(|note| log::warn!("{}: {note}", table.path().display()));
        Ok(encoder)
    }

    pub(crate) fn fit_noting(
        table: &Table,
        spec: &CsvSpec,
        rows: &[usize],
        notes: &mut Vec<String>,
    ) -> Result<Encoder> {
        let chosen = spec.resolve(table)?;
        if rows.is_empty() {
            return Err(table.error("", "no training rows to fit the encoding on"));
        }
        let code = fit_target(table, chosen.target, spec.kind, rows, notes)?;
        let columns = fit_columns(table, &chosen.inputs, rows, &spec.categories, notes)?;
        if columns.is_empty() {
            return Err(
                table.error("", "no input column is left: every one is the same in all training rows")
            );
        }
        let mut encoder = Encoder {
            group: spec.group.clone(),
            target: spec.target.clone(),
            code,
            columns,
            descriptor: Vec::new(),
        };
        if let Some(group) = chosen.group {
            encoder.descriptor = encoder.constant_inside(table, group, rows)?;
        }
        Ok(encoder)
    }

    /// Of a number that is predicted, whose cells may be missing, beside any columns, also none.
    pub(super) fn fit_gaps(
        table: &Table,
        [group, target]: [&str; 2],
        inputs: &[usize],
        rows: &[usize],
        notes: &mut Vec<String>,
    ) -> Result<Encoder> {
        let col = table.column(target)?;
        let known: Vec<usize> =
            rows.iter().copied().filter(|row| table.kind(*row, col) != Cell::Missing).collect();
        if known.is_empty() {
            return Err(table.error(format!(", column '{}'", shown(target)), "every cell is missing"));
        }
        Ok(Encoder {
            group: group.to_string(),
            target: target.to_string(),
            code: fit_target(table, col, Some(TargetKind::Regression), &known, notes)?,
            columns: fit_columns(table, inputs, rows, &[], notes)?,
            descriptor: Vec::new(),
        })
    }

    /// The numbers of columns `names` in an encoded row.
    pub(super) fn width_of(&self, names: &[String]) -> usize {
        self.columns.iter().filter(|column| names.contains(&column.name)).map(Column::width).sum()
    }

    /// A target that is a number, standardised; `None` where the cell is missing.
    pub(super) fn target_of(&self, table: &Table, row: usize, col: usize) -> Result<Option<f32>> {
        match table.kind(row, col) {
            Cell::Missing => Ok(None),
            cell => self.number(table, row, col, cell).map(Some),
        }
    }

    /// A target's cell as a number, standardised.
    fn number(&self, table: &Table, row: usize, col: usize, cell: Cell) -> Result<f32> {
        match (&self.code, cell) {
            (TargetCode::Number(scale), Cell::Number(x)) => scale
                .apply(x)
                .ok_or_else(|| table.cell_error(row, col, "the target is too far from those trained on")),
            (_, Cell::Infinite) => Err(not_finite(table, row, col)),
            _ => Err(not_a_number(table, row, col)),
        }
    }

    /// The encoded columns that never change inside a group.
    fn constant_inside(&self, table: &Table, group: usize, rows: &[usize]) -> Result<Vec<usize>> {
        let (x, width) = (self.encode_rows(table, rows, &mut Vec::new())?, self.inputs());
        let mut constant = vec![true; width];
        let mut first_of = HashMap::new();
        for (i, &row) in rows.iter().enumerate() {
            let first = *first_of.entry(table.cell(row, group)).or_insert(i);
            for (c, constant) in constant.iter_mut().enumerate() {
                *constant &= x[i * width + c] == x[first * width + c];
            }
        }
        Ok((0..width).filter(|&c| constant[c]).collect())
    }

    /// The name of the column that names the groups.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The name of the target's column.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The width `D` of an encoded row of inputs.
    pub fn inputs(&self) -> usize {
        self.columns.iter().map(Column::width).sum()
    }

    /// The width of an encoded target: 1, or the number of classes.
    pub fn outputs(&self) -> usize {
        match &self.code {
            TargetCode::Number(_) => 1,
            TargetCode::Classes(classes) => classes.len(),
        }
    }

    /// The `D` names of the encoded inputs: `age`, `sex=Female`, `age missing`.
    pub fn input_names(&self) -> Vec<String> {
        self.columns.iter().flat_map(Column::names).collect()
    }

    /// The names of the file's columns that are read, in the order of their encodings.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }

    /// What is predicted.
    pub fn kind(&self) -> TargetKind {
        match self.code {
            TargetCode::Number(_) => TargetKind::Regression,
            TargetCode::Classes(_) => TargetKind::Classification,
        }
    }

    /// The classes in the order of the one-hot target; empty for a regression.
    pub fn classes(&self) -> &[String] {
        match &self.code {
            TargetCode::Number(_) => &[],
            TargetCode::Classes(classes) => classes,
        }
    }

    /// Mean and standard deviation of the target in its own unit: `y · std + mean` undoes the encoding.
    /// (0, 1) for a classification.
    pub fn target_scale(&self) -> (f64, f64) {
        match &self.code {
            TargetCode::Number(scale) => (scale.mean, scale.std),
            TargetCode::Classes(_) => (0.0, 1.0),
        }
    }

    /// The encoded columns, ascending, that were constant inside every group fitted on: the task's descriptor.
    pub fn descriptor_columns(&self) -> &[usize] {
        &self.descriptor
    }

    /// Encodes all rows' inputs: `[rows, D]`, row-major. Surprises (a missing cell where training had none, a text
    /// never seen) are encoded as zeros and logged.
    ///
    /// # Errors
    /// [`Error::Data`] naming the place for a missing column or a cell that is no number in a column of numbers.
    pub fn encode_inputs(&self, table: &Table) -> Result<Vec<f32>> {
        let mut notes = Vec::new();
        let x = self.encode_rows(table, &(0..table.rows()).collect::<Vec<_>>(), &mut notes)?;
        notes.iter().for_each(|note| log::warn!("{}: {note}", table.path().display()));
        Ok(x)
    }

    /// Encodes all rows' targets: `[rows, outputs]`, row-major; standardised, or one-hot.
    ///
    /// # Errors
    /// [`Error::Data`] naming the place for a missing column, a missing cell, one that is no number in a
    /// regression, or a class that no training group has.
    pub fn encode_targets(&self, table: &Table) -> Result<Vec<f32>> {
        self.encode_target_rows(table, &(0..table.rows()).collect::<Vec<_>>())
    }

    pub(super) fn encode_rows(
        &self,
        table: &Table,
        rows: &[usize],
        notes: &mut Vec<String>,
    ) -> Result<Vec<f32>> {
        self.encode_rows_without(table, rows, 0, notes)
    }

    /// The same; of the columns that give the first `may_lack` numbers those that the table does not have are missing in all rows.
    pub(super) fn encode_rows_without(
        &self,
        table: &Table,
        rows: &[usize],
        may_lack: usize,
        notes: &mut Vec<String>,
    ) -> Result<Vec<f32>> {
        let width = self.inputs();
        let mut out = vec![0.0; rows.len() * width];
        let mut offset = 0;
        for column in &self.columns {
            if offset < may_lack && !table.columns().contains(&column.name) {
                let missing: Vec<f32> = column.of_missing().collect();
                out.chunks_exact_mut(width)
                    .for_each(|row| row[offset..offset + missing.len()].copy_from_slice(&missing));
            } else {
                column.encode(table, rows, Block { out: &mut out, width, offset }, notes)?;
            }
            offset += column.width();
        }
        Ok(out)
    }

    /// The first `n` numbers of a row whose cells are all missing.
    pub(super) fn missing(&self, n: usize) -> Vec<f32> {
        self.columns.iter().flat_map(Column::of_missing).take(n).collect()
    }

    pub(super) fn encode_target_rows(&self, table: &Table, rows: &[usize]) -> Result<Vec<f32>> {
        let (col, width) = (table.column(&self.target)?, self.outputs());
        let mut out = vec![0.0; rows.len() * width];
        let classes: HashMap<&str, usize> =
            self.classes().iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
        for (&row, out) in rows.iter().zip(out.chunks_exact_mut(width.max(1))) {
            let cell = table.cell(row, col);
            match (&self.code, target_cell(table, row, col)?) {
                (TargetCode::Number(_), number) => out[0] = self.number(table, row, col, number)?,
                (TargetCode::Classes(_), _) => match classes.get(cell) {
                    Some(&class) => out[class] = 1.0,
                    None => {
                        let (class, classes) = (shown(cell), listed(self.classes()));
                        let message = match self.group.is_empty() {
                            true => format!(
                                "no row that is trained on has the class '{class}' (they have {classes}): remove the row"
                            ),
                            false => format!(
                                "no training group has the class '{class}' (they have {classes}): use a split whose training groups \
                                 have it, or remove the row"
                            ),
                        };
                        return Err(table.cell_error(row, col, message));
                    }
                },
            }
        }
        Ok(out)
    }

    /// Checks an encoder that came from a file: nothing in it may lead outside an array or to NaN.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] about `path`.
    pub fn validate(&self, path: impl AsRef<Path>) -> Result<()> {
        let target = match &self.code {
            TargetCode::Number(scale) => scale.is_usable(),
            TargetCode::Classes(classes) => classes.len() >= 2,
        };
        let width = self.inputs();
        let inputs = width <= MAX_COLUMNS && self.columns.iter().all(Column::is_usable);
        if target && inputs && self.descriptor.iter().all(|&c| c < width) {
            return Ok(());
        }
        Err(Error::checkpoint(
            path,
            "the stored encoding of the data is damaged: train again or restore the file",
        ))
    }
}

/// A target's cell, never missing.
fn target_cell(table: &Table, row: usize, col: usize) -> Result<Cell> {
    match table.kind(row, col) {
        Cell::Missing => {
            Err(table.cell_error(row, col, "the target is missing: fill it in, or remove the row"))
        }
        cell => Ok(cell),
    }
}

fn not_a_number(table: &Table, row: usize, col: usize) -> Error {
    let cell = shown(table.cell(row, col));
    let message = format!(
        "'{cell}' is not a number, which a regression needs: correct it (or, of the rows of a table, choose classification)"
    );
    table.cell_error(row, col, message)
}

fn fit_columns(
    table: &Table,
    inputs: &[usize],
    rows: &[usize],
    categories: &[String],
    notes: &mut Vec<String>,
) -> Result<Vec<Column>> {
    let (mut columns, mut width) = (Vec::new(), 0);
    for &col in inputs {
        let declared = categories.contains(&table.columns()[col]);
        if let Some(column) = Column::fit(table, col, rows, declared, notes)? {
            width += column.width();
            columns.push(column);
        }
        if width > MAX_COLUMNS {
            return Err(table.error(
                "",
                format!("the inputs need more than {MAX_COLUMNS} numbers a row when encoded: drop columns with many values"),
            ));
        }
    }
    Ok(columns)
}

fn fit_target(
    table: &Table,
    col: usize,
    kind: Option<TargetKind>,
    rows: &[usize],
    notes: &mut Vec<String>,
) -> Result<TargetCode> {
    let (mut numbers, mut text, mut infinite) = (Vec::new(), None, None);
    let mut classes = BTreeSet::new();
    for &row in rows {
        match target_cell(table, row, col)? {
            Cell::Number(x) => numbers.push(x),
            Cell::Infinite => infinite = infinite.or(Some(row)),
            _ => text = text.or(Some(row)),
        }
        if classes.len() <= MAX_LEVELS {
            classes.insert(table.cell(row, col));
        }
    }
    let name = shown(&table.columns()[col]);
    let fail = |message: String| Err(table.error(format!(", column '{name}'"), message));
    let regression = match (kind, text) {
        (Some(kind), _) => kind == TargetKind::Regression,
        (None, None) => true,
        (None, Some(row)) if !numbers.is_empty() => {
            let message = format!(
                "the target holds both numbers and text ('{}'): correct the cell, or say that it is a classification",
                shown(table.cell(row, col))
            );
            return Err(table.cell_error(row, col, message));
        }
        (None, Some(_)) => false,
    };
    if classes.len() == 1 {
        return fail("the target is the same in every training row: nothing to learn".into());
    }
    if regression {
        if let Some(row) = text {
            return Err(not_a_number(table, row, col));
        }
        if let Some(row) = infinite {
            return Err(not_finite(table, row, col));
        }
        if classes.len() == 2 && numbers.iter().all(|x| x.fract() == 0.0) {
            notes.push(format!(
                "the target '{name}' has only two values and is learned as a number: choose classification if they are classes"
            ));
        }
        return match Scale::fit(&numbers) {
            Some(scale) => Ok(TargetCode::Number(scale)),
            None => fail(
                "the target's numbers are all equal, too large or too close together to be standardised"
                    .into(),
            ),
        };
    }
    if classes.len() > MAX_LEVELS {
        return fail(format!(
            "more than {MAX_LEVELS} classes: is this a number to be learned by regression?"
        ));
    }
    let mut classes: Vec<&str> = classes.into_iter().collect();
    // Numbered classes in the order of their numbers, all others by name. The sort is stable.
    let key = |class: &str| class.parse::<f64>().unwrap_or(f64::INFINITY);
    classes.sort_by(|a, b| key(a).total_cmp(&key(b)));
    Ok(TargetCode::Classes(classes.into_iter().map(str::to_string).collect()))
}
