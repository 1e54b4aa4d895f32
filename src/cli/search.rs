//! `hyperloom search`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use hyperloom::experiment::search::{Search, SearchConfig, SearchReport, SearchStatus};
use hyperloom::{Error, Result};

use super::train::Watch;
use super::{figure, hint, open_device, put, say};

/// Arguments of `search`.
#[derive(Args, Debug)]
pub(super) struct SearchArgs {
    /// A TOML file of settings; a search folder's search.toml is one.
    config: Option<PathBuf>,
    /// Rows with a class each: an IDX file, a folder of PNG or JPEG files with a folder for each class, CIFAR-10's *.bin, or a CSV file
    /// of series.
    #[arg(long, value_name = "PATH")]
    train: Option<PathBuf>,
    /// Instead of --train: a CSV file whose lines are rows, with numbers, words and gaps as they come. Its target may be a class or a value.
    #[arg(long, value_name = "FILE.csv", conflicts_with_all = ["train", "label"])]
    csv: Option<PathBuf>,
    /// The column of --csv to predict.
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// Rows to be judged on, of the same kind (not given: a sixth of each class, or of all rows).
    #[arg(long, value_name = "PATH")]
    test: Option<PathBuf>,
    /// The column of a CSV file that holds the class of a row.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// Columns of a CSV file to leave out.
    #[arg(long, value_name = "COLUMN", num_args = 1.., value_delimiter = ',')]
    drop: Vec<String>,
    /// mlp, cell-1d, cell-2d, rnn, or a TOML file (not given: cell-2d for pictures, cell-1d for series, mlp for tables).
    #[arg(long, value_name = "NAME|FILE.toml")]
    space: Option<String>,
    /// Candidates at most.
    #[arg(long)]
    budget: Option<usize>,
    /// How candidates are chosen: random, greedy, probability, evolution, surrogate, reinforce or gradient.
    #[arg(long)]
    choice: Option<String>,
    /// How a candidate's accuracy is predicted: generated (weights from a hypernetwork) or trained (for a part of the steps).
    #[arg(long)]
    evaluator: Option<String>,
    /// Any setting, for example train.steps=500.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Seed of everything that is drawn.
    #[arg(long)]
    seed: Option<u64>,
    /// auto, cpu, gpu or gpu:N.
    #[arg(long)]
    device: Option<String>,
    /// A table of trained architectures (made by --table) by which predictions are judged.
    #[arg(long, value_name = "FILE.jsonl")]
    truth: Option<PathBuf>,
    /// Instead of searching, train so many architectures that are drawn at random, with all seeds: the truth about a space (table.jsonl).
    #[arg(long, value_name = "ARCHITECTURES")]
    table: Option<usize>,
    /// The folder of the search.
    #[arg(long)]
    out: PathBuf,
    /// Go on with the search in --out, with the settings it was started with.
    #[arg(long)]
    resume: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

impl SearchArgs {
    fn resolve(&self) -> Result<SearchConfig> {
        let file = match self.resume {
            true => Some(self.out.join("search.toml")),
            false => self.config.clone(),
        };
        if self.resume && !file.as_ref().is_some_and(|f| f.is_file()) {
            return Err(Error::checkpoint(
                &self.out,
                "there is no search to go on with (no search.toml); leave --resume out to start one",
            ));
        }
        let given = self.config.is_some()
            || self.train.is_some()
            || self.csv.is_some()
            || self.test.is_some()
            || self.truth.is_some()
            || !self.set.is_empty()
            || !self.drop.is_empty()
            || self.budget.is_some()
            || self.seed.is_some()
            || [&self.label, &self.target, &self.space, &self.choice, &self.evaluator]
                .iter()
                .any(|v| v.is_some());
        if self.resume && given {
            return Err(Error::config(
                "--resume",
                "a search goes on with the settings it was started with: leave the others out (--device may stand)",
            ));
        }
        let (text, origin) = match &file {
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
                (text, path.display().to_string())
            }
            None => (String::new(), "command line".to_string()),
        };
        // What rows are says what is taken where nothing is said.
        let mut table: toml::Table =
            text.parse().map_err(|e: toml::de::Error| Error::config(&origin, e.message().to_string()))?;
        let file = self.csv.as_ref().map(|path| path.to_string_lossy().into_owned());
        let of_table = file.is_some() || table.contains_key("csv");
        for (section, key, value) in [
            ("csv", "file", &file),
            ("csv", "target", &self.target.clone().filter(|_| of_table)),
            ("pictures", "label", &self.label),
        ] {
            let Some(value) = value else { continue };
            let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
            if let Some(section) = section.as_table_mut() {
                section.insert(key.into(), value.clone().into());
            }
        }
        let text = table.to_string();
        let mut over = Vec::new();
        over.extend(self.choice.iter().map(|c| format!("choice={c}")));
        over.extend(self.evaluator.iter().map(|e| format!("evaluator={e}")));
        over.extend(self.set.iter().cloned());
        over.extend(self.budget.iter().map(|b| format!("budget={b}")));
        let mut c = SearchConfig::parse(&text, &origin, &over)?;
        if let Some(path) = &self.train {
            c.pictures.train.clone_from(path);
        }
        if let (None, Some(target)) = (&c.csv, &self.target) {
            let message = format!("'{target}' is a column of --csv FILE; of --train it is --label COLUMN");
            return Err(Error::config("--target", message));
        }
        let (test, drop) = match &mut c.csv {
            Some(table) => (&mut table.test, &mut table.drop),
            None => (&mut c.pictures.test, &mut c.pictures.drop),
        };
        if self.test.is_some() {
            test.clone_from(&self.test);
        }
        if !self.drop.is_empty() {
            drop.clone_from(&self.drop);
        }
        if let Some(n) = self.table.filter(|n| !(1..=100_000).contains(n)) {
            return Err(Error::config(
                "--table",
                format!("{n} is out of range: it must lie from 1 to 100000"),
            ));
        }
        if self.table.is_some() && self.truth.is_some() {
            return Err(Error::config(
                "--truth",
                "judges a search, and --table makes what it is judged by: leave one out",
            ));
        }
        if self.truth.is_some() {
            c.truth.clone_from(&self.truth);
        }
        let mut device = self.device.clone();
        put([&mut c.space], [&self.space]);
        c.device = device.take().unwrap_or(c.device);
        c.seed = self.seed.unwrap_or(c.seed);
        c.validate()?;
        Ok(c)
    }
}

pub(super) fn run(args: &SearchArgs) -> Result<ExitCode> {
    let config = args.resolve()?;
    if holds_only_a_table(args) {
        return Err(Error::config(
            "--resume",
            format!("{} holds a table and no search: --table M goes on with it", args.out.display()),
        ));
    }
    let device = open_device(&config.device)?;
    let mut search = Search::open(&config, &device, &args.out, args.resume)?;
    let again = format!("hyperloom search --resume --out {}", args.out.display());
    let mut watch = Watch::new(again.clone())?;
    if let Some(many) = args.table {
        let rows = search.tabulate(many, &mut watch);
        watch.finish();
        let Some(rows) = rows? else {
            hint(format_args!("stopped; go on with: {again} --table {many}"));
            return Ok(ExitCode::from(130));
        };
        if args.json {
            say(format_args!("{}\n", serde_json::to_string(&rows).unwrap_or_default()));
            return Ok(ExitCode::SUCCESS);
        }
        let best = rows.iter().max_by(|a, b| a.accuracy().total_cmp(&b.accuracy()));
        if let Some(best) = best {
            say(format_args!(
                "{} architectures trained with {} seeds each; the best, with {} on test rows: {}\n",
                rows.len(),
                best.test.len(),
                figure(best.accuracy()),
                best.architecture.key()
            ));
        }
        say(format_args!("{}\n", args.out.join("table.jsonl").display()));
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = search.run(&mut watch);
    watch.finish();
    match outcome? {
        SearchStatus::Stopped => {
            hint(format_args!("stopped; go on with: {again}"));
            Ok(ExitCode::from(130))
        }
        SearchStatus::Finished(report) => {
            if args.json {
                say(format_args!("{}\n", serde_json::to_string_pretty(&report).unwrap_or_default()));
            } else {
                print(&report);
                say(format_args!("\nreport, pictures and networks: {}\n", args.out.display()));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Whether a search is to go on in a folder that holds the beginning of a table.
fn holds_only_a_table(args: &SearchArgs) -> bool {
    let has = |name: &str| args.out.join(name).is_file();
    args.resume
        && args.table.is_none()
        && has("table.jsonl")
        && !has("search.safetensors")
        && !has("report.json")
}

fn print(r: &SearchReport) {
    let size = if r.space_size < 1e6 { format!("{}", r.space_size) } else { format!("{:.3e}", r.space_size) };
    let s = if r.candidates == 1 { "" } else { "s" };
    say(format_args!(
        "{} candidate{s} of {size} choices, {} a second; {} s in all on {}\n",
        r.candidates,
        figure(r.candidates_per_second),
        figure(r.seconds),
        r.device
    ));
    if r.hypernetwork_parameters > 0 {
        say(format_args!(
            "a hypernetwork of {} parameters, trained for {} s, writes their weights\n",
            r.hypernetwork_parameters,
            figure(r.hypernetwork_seconds)
        ));
    }
    let what = r.metric.name();
    say(format_args!(
        "\n{what} on test rows: of a network trained from scratch (the mean over seeds), of all seeds together, of one from generated weights\n\n"
    ));
    say(format_args!(
        "{:<8}{:>10} {:>20}{:>15}{:>12}{:>10}  architecture\n",
        "file", "predicted", "one network", "together", "generated", "weights"
    ));
    for f in &r.best {
        let generated = f.from_generated.map_or("-".into(), figure);
        let accuracy = format!("{} ± {}", figure(f.score()), figure(f.deviation));
        say(format_args!(
            "{:<8}{:>10} {accuracy:>20}{:>15}{generated:>12}{:>10}  {}\n",
            f.net.trim_end_matches(".toml"),
            figure(f.predicted),
            figure(f.together),
            f.parameters,
            f.key
        ));
    }
    if let Some(rmse) = r.best.first().and_then(|f| f.rmse) {
        say(format_args!(
            "\nbest-1 errs by {} (root of the mean square, in the target's unit)\n",
            figure(rmse)
        ));
    }
    if let Some(t) = &r.truth {
        say(format_args!(
            "\nrank correlation with true {what} over {} architectures of the table",
            t.architectures
        ));
        let left = format!(" ({} that the search tried itself are left out)", t.tried);
        say(format_args!("{}\n", if t.tried > 0 { &left } else { "" }));
        for (name, c) in &t.correlations {
            say(format_args!("  {:<14}{:>8}\n", name.replace('_', " "), figure(*c)));
        }
        say(format_args!(
            "true {what} of the best {}, of the one predicted best {} (of the best of five {})\n",
            figure(t.best),
            figure(t.chosen[0]),
            figure(t.chosen[1])
        ));
        for s in &t.searches {
            say(format_args!(
                "  a search within the table ({}) that trains a twentieth of it finds {} on average, {} at worst\n",
                s.choice,
                figure(s.found),
                figure(s.lowest)
            ));
        }
    }
    if let (Some(by), n) = (r.rank_correlation, r.checked.len() + r.best.len()) {
        let size = r.rank_correlation_of_parameters.map_or("-".into(), figure);
        say(format_args!(
            "\nrank correlation with true {what} over {n} that were trained: {} of what was predicted, {size} of the number of weights\n",
            figure(by)
        ));
    }
}
