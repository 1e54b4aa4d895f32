//! What the first version wrote is still read, and means the same: `tests/fixtures/first` holds two small runs, a task's
//! network, and the predictions that the first version made with them.

use std::path::PathBuf;

use hyperloom::data::Table;
use hyperloom::data::format::Format;
use hyperloom::experiment::run_folder::{RunFolder, load_network};
use hyperloom::{Device, Model, Result, Task};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/first").join(name)
}

fn example(name: &str) -> Result<Table> {
    Table::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(name))
}

/// A column of numbers.
fn column(table: &Table, name: &str) -> Result<Vec<f64>> {
    let c = table.column(name)?;
    Ok((0..table.rows()).map(|r| table.cell(r, c).parse().expect("a number")).collect())
}

/// Whether predictions of the query rows are those that were written then: both in the target's own units.
fn same(format: &Format, query: &Table, y: &[f32], then: &str) -> Result<()> {
    let now = Table::parse("now", &format.predictions(query, y, None, &[])?)?;
    let (now, then) = (column(&now, "prediction")?, column(&Table::read(fixture(then))?, "prediction")?);
    assert_eq!(now.len(), then.len());
    for (a, b) in now.iter().zip(&then) {
        assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{now:?} and {then:?}");
    }
    Ok(())
}

fn adapted(model: &Model, format: &Format, support: &Table, query: &Table) -> Result<Vec<f32>> {
    let task = Task::from_support(format.inputs(support)?, format.targets(support)?);
    model.adapt(&Device::Cpu, &task, None)?.predict(&Device::Cpu, &format.inputs(query)?)
}

#[test]
fn a_run_on_a_table_and_its_network() -> Result<()> {
    let (support, query) = (example("growth_new.csv")?, example("growth_ahead.csv")?);
    let (model, format) = RunFolder::open(&fixture("ridge"))?.model()?;
    same(&format, &query, &adapted(&model, &format, &support, &query)?, "ridge/predictions.csv")?;
    assert!(model.choice.intervals.is_some());
    let (network, format) = load_network(&fixture("ridge/network.safetensors"))?;
    same(&format, &query, &network.predict(&Device::Cpu, &format.inputs(&query)?)?, "ridge/network.csv")
}

#[test]
fn a_run_with_context_parameters() -> Result<()> {
    let (model, format) = RunFolder::open(&fixture("cavia"))?.model()?;
    let (support, query) =
        (Table::read(fixture("cavia/support.csv"))?, Table::read(fixture("cavia/query.csv"))?);
    same(&format, &query, &adapted(&model, &format, &support, &query)?, "cavia/predictions.csv")
}
