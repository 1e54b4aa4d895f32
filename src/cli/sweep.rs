//! `hyperloom sweep`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use hyperloom::experiment::sweep::{
    Axis, BEST, Configuration, RunState, SWEEP, SWEEP_PICTURE, Sweep, SweepObserver, SweepReport, SweepRun,
};
use hyperloom::policy::is_environment;
use hyperloom::{Device, Error, Result};

use super::{Settings, figure, hint, open_device, say};

/// Arguments of `sweep`.
#[derive(Args, Debug)]
pub(super) struct SweepArgs {
    #[command(flatten)]
    settings: Settings,
    /// A setting and the values that it takes, for example adapt.rate=0.1,0.01; several: every combination.
    #[arg(long, value_name = "KEY=VALUE,…")]
    over: Vec<String>,
    /// Seeds that each combination is trained with: that of --seed, and those after it.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Give up hopeless combinations: all are trained for a ninth of their steps, the better third for a third, the better third of these to the end.
    #[arg(long)]
    halving: bool,
    /// Runs side by side (not given: as many as there are cores on the CPU, one on a GPU).
    #[arg(long)]
    jobs: Option<usize>,
    /// A folder for the runs and for what the sweep found. A sweep goes on where it was stopped, and takes in values that were added.
    #[arg(long)]
    out: PathBuf,
    /// Print what it found as JSON.
    #[arg(long)]
    json: bool,
}

/// Says how runs end, and listens for Ctrl-C.
struct Lines(&'static AtomicBool);

/// Whether Ctrl-C was pressed.
static STOP: AtomicBool = AtomicBool::new(false);

impl SweepObserver for Lines {
    fn stop(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    fn ended(&self, run: &SweepRun, left: usize) {
        let name = run.folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let how = match &run.state {
            RunState::Finished => "finished".to_string(),
            RunState::Stopped(step) | RunState::GivenUp(step) => format!("at step {step}"),
            RunState::Failed(why) => format!("failed: {why}"),
            _ => return,
        };
        let score = run.validation.map_or(String::new(), |v| format!(", validation {}", figure(v.score)));
        hint(format_args!("{name}: {how}{score}; {left} to come"));
    }
}

pub(super) fn run(args: &SweepArgs) -> Result<ExitCode> {
    if args.over.is_empty() && args.seeds == 1 {
        return Err(Error::config(
            "sweep",
            "over what? --over adapt.rate=0.1,0.01 names a setting with its values, --seeds 3 takes three seeds",
        ));
    }
    if args.seeds == 0 || args.jobs == Some(0) {
        let flag = if args.seeds == 0 { "--seeds" } else { "--jobs" };
        return Err(Error::config(flag, "0 is out of range: one at least is needed"));
    }
    let task = args.settings.task.as_deref().unwrap_or_default();
    if task == "continual" || is_environment(task) {
        let message = format!(
            "'{task}' has no sweep: one is over runs of tasks that have rows (sine, shapes, csv, images, …)"
        );
        return Err(Error::config("--task", message));
    }
    let base = args.settings.resolve()?;
    let axes = args.over.iter().map(|text| Axis::parse(text)).collect::<Result<Vec<Axis>>>()?;
    let device = open_device(&base.device)?;
    let mut sweep = Sweep::new(base, axes, args.seeds)?;
    sweep.halving = args.halving;
    sweep.jobs = args.jobs.unwrap_or(match device {
        Device::Cpu => std::thread::available_parallelism().map_or(1, |n| n.get()),
        _ => 1,
    });
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
    .map_err(|e| Error::Device(format!("cannot listen for Ctrl-C: {e}")))?;
    let report = sweep.run(&device, &args.out, &Lines(&STOP))?;
    if STOP.load(Ordering::SeqCst) {
        hint(format_args!("stopped; the same command goes on with the sweep in {}", args.out.display()));
        return Ok(ExitCode::from(130));
    }
    let failed = |run: &SweepRun| match &run.state {
        RunState::Failed(why) => Some(why.clone()),
        _ => None,
    };
    if let Some(why) =
        report.runs.iter().map(failed).collect::<Option<Vec<String>>>().and_then(|f| f.into_iter().next())
    {
        return Err(Error::config("sweep", format!("no run could be trained; the first: {why}")));
    }
    match args.json {
        true => say(format_args!("{}\n", serde_json::to_string_pretty(&report).unwrap_or_default())),
        false => print(&report, args),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(r: &SweepReport, args: &SweepArgs) {
    let n = r.runs.len();
    let runs = if n == 1 { "1 run".to_string() } else { format!("{n} runs") };
    say(format_args!(
        "\n{} of {runs} in {:.1} s, the best first by validation tasks\n\n",
        r.metric, r.seconds
    ));
    let width = r.configurations.iter().map(|c| c.name().chars().count()).max().unwrap_or(0).clamp(20, 64);
    say(format_args!("  {:<width$}{:>12}{:>12}{:>12}\n", "", "validation", "± error", "unseen"));
    let number = |v: Option<f64>| v.map_or("-".to_string(), figure);
    for (i, c) in r.configurations.iter().enumerate() {
        let mark = match (i, c.within_error, how_far(r, c)) {
            (_, _, Some(state)) => state,
            (0, _, _) => "  <- best".to_string(),
            (_, true, _) => "  within a standard error of it".to_string(),
            _ => String::new(),
        };
        let [validation, error, test] = [c.validation, c.standard_error, c.test].map(number);
        say(format_args!("  {:<width$}{validation:>12}{error:>12}{test:>12}{mark}\n", c.name()));
    }
    let [table, picture, best] = [SWEEP, SWEEP_PICTURE, BEST].map(|f| args.out.join(f).display().to_string());
    say(format_args!("\ntable, picture and the settings of the best: {table}, {picture}, {best}\n"));
}

/// What has to be said of a configuration that was not trained to its end.
fn how_far(r: &SweepReport, c: &Configuration) -> Option<String> {
    c.runs.iter().find_map(|i| match &r.runs[*i].state {
        RunState::Failed(why) => Some(format!("  seed {} failed: {why}", r.runs[*i].seed)),
        RunState::GivenUp(step) => Some(format!("  given up at step {step}")),
        _ => None,
    })
}
