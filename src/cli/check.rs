//! `hyperloom check`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use hyperloom::check::bounds::{CaseReport, check_case, run_cpu};
use hyperloom::check::cases::cases;
use hyperloom::check::golden::{GoldenReport, LIMIT_F32, LIMIT_F64, check_golden, run_f64, run_on};
use hyperloom::check::lockstep::LockstepReport;
use hyperloom::experiment::config::Config;
use hyperloom::experiment::run_folder::RunFolder;
use hyperloom::experiment::starting_trainer;
use hyperloom::kernel::KernelInfo;
use hyperloom::run::gpu::{Gpu, GpuRunner};
use hyperloom::run::{Device, DeviceRequest};
use hyperloom::{Error, Result};
use serde::Serialize;

use super::{no_regions, say};

/// Arguments of `check`.
#[derive(Args, Debug)]
pub(super) struct CheckArgs {
    /// auto (a GPU, else a software driver, else the CPU path alone), cpu, gpu or gpu:N.
    #[arg(long, default_value = "auto")]
    device: String,
    /// Only this kernel's cases.
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Compare with the golden files in this folder, too.
    #[arg(long, value_name = "DIR")]
    golden: Option<PathBuf>,
    /// Compare a training step launch by launch instead: of a run folder, or of a configuration file.
    #[arg(long, value_name = "RUN|CONFIG")]
    lockstep: Option<PathBuf>,
    /// Steps in lockstep.
    #[arg(long, default_value_t = 2)]
    steps: usize,
    /// Run kernels with the driver's bounds checks, as tests do (without: as training does).
    #[arg(long)]
    checked: bool,
    /// Print everything as JSON.
    #[arg(long)]
    json: bool,
}

/// A golden tensor as one runner computed it.
#[derive(Serialize)]
struct Golden {
    runner: &'static str,
    limit: f64,
    report: GoldenReport,
}

impl Golden {
    fn passed(&self) -> bool {
        if self.limit == LIMIT_F32 { self.report.passes_f32() } else { self.report.error <= self.limit }
    }
}

#[derive(Serialize)]
struct Found {
    device: String,
    cases: Vec<CaseReport>,
    golden: Vec<Golden>,
    lockstep: Option<LockstepReport>,
    failures: usize,
}

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let gpu = open(&args.device, args.checked)?;
    let gpu = if no_regions() { gpu.map(Gpu::without_regions) } else { gpu };
    let device = gpu.as_ref().map_or("the CPU path's fast kernels".to_string(), Gpu::describe);
    let mut found = Found { device, cases: vec![], golden: vec![], lockstep: None, failures: 0 };
    if !args.json {
        say(format_args!("checking {} against the error-bounded reference\n", found.device));
    }
    match &args.lockstep {
        Some(path) => found.lockstep = Some(lockstep(gpu.as_ref(), path, args.steps)?),
        None => found.cases = kernels(gpu.as_ref(), args.kernel.as_deref())?,
    }
    if let Some(dir) = &args.golden {
        found.golden = golden(gpu, dir)?;
    }
    found.failures = found.cases.iter().filter(|c| !c.passed()).count()
        + found.golden.iter().filter(|g| !g.passed()).count()
        + usize::from(found.lockstep.as_ref().is_some_and(|l| l.divergence.is_some()));
    if args.json {
        say(format_args!("{}\n", serde_json::to_string_pretty(&found).unwrap_or_default()));
    } else {
        print(&found);
    }
    Ok(if found.failures == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The GPU to check; `None` for the CPU path alone. A software driver is taken here: checking is what it is for.
fn open(request: &str, checked: bool) -> Result<Option<Gpu>> {
    match request.parse()? {
        DeviceRequest::Cpu => Ok(None),
        DeviceRequest::Auto => match Gpu::open(None, checked)? {
            Some(gpu) => Ok(Some(gpu)),
            None => Gpu::software(checked),
        },
        DeviceRequest::Gpu(index) => match Gpu::open(index, checked)? {
            Some(gpu) => Ok(Some(gpu)),
            None => Err(Error::Device(format!(
                "there is no such GPU as '{request}'; `hyperloom devices` lists them"
            ))),
        },
    }
}

fn kernels(gpu: Option<&Gpu>, only: Option<&str>) -> Result<Vec<CaseReport>> {
    if let Some(name) = only
        && KernelInfo::find(name).is_none()
    {
        let known: Vec<&str> = hyperloom::kernel::ALL.iter().map(|k| k.name).collect();
        let hint = hyperloom::error::nearest(name, known.iter().copied())
            .map_or(String::new(), |n| format!(" (did you mean '{n}'?)"));
        return Err(Error::config(
            "--kernel",
            format!("there is no kernel '{name}'{hint}: there are {}", known.join(", ")),
        ));
    }
    cases()
        .iter()
        .filter(|c| only.is_none_or(|k| c.kernel.name() == k || c.shader() == k))
        .map(|case| match gpu {
            Some(gpu) => check_case(case, |plan, slots| GpuRunner::run_once(gpu, plan, slots)),
            None => check_case(case, run_cpu),
        })
        .collect()
}

fn golden(gpu: Option<Gpu>, dir: &Path) -> Result<Vec<Golden>> {
    let tagged = |runner, limit, reports: Vec<GoldenReport>| {
        reports.into_iter().map(move |report| Golden { runner, limit, report })
    };
    let mut all: Vec<Golden> =
        tagged("cpu f64", LIMIT_F64, check_golden(dir, &mut |job| run_f64(job))?).collect();
    all.extend(tagged("cpu f32", LIMIT_F32, check_golden(dir, &mut |job| run_on(&Device::Cpu, job))?));
    if let Some(gpu) = gpu {
        let device = Device::Gpu(gpu);
        all.extend(tagged("gpu f32", LIMIT_F32, check_golden(dir, &mut |job| run_on(&device, job))?));
    }
    Ok(all)
}

fn lockstep(gpu: Option<&Gpu>, path: &Path, steps: usize) -> Result<LockstepReport> {
    let Some(gpu) = gpu else {
        return Err(Error::Device(
            "lockstep compares the CPU with a GPU, and there is none (a software driver will do)".into(),
        ));
    };
    let config = if path.is_dir() {
        Config::read(&RunFolder::open(path)?.file("config.toml"), None)?
    } else {
        Config::read(path, None)?
    };
    config.validate()?;
    starting_trainer(&config, &Device::Cpu, |trainer| trainer.lockstep(gpu, steps))
}

fn print(found: &Found) {
    let mut by_kernel: Vec<(&str, usize, usize, f64)> = Vec::new();
    for c in &found.cases {
        match by_kernel.iter_mut().find(|k| k.0 == c.kernel) {
            Some((_, cases, elements, worst)) => {
                *cases += 1;
                *elements += c.elements;
                *worst = worst.max(c.worst);
            }
            None => by_kernel.push((c.kernel, 1, c.elements, c.worst)),
        }
        if !c.passed() {
            say(format_args!("FAILED  {c}\n"));
        }
    }
    for (kernel, cases, elements, worst) in by_kernel {
        say(format_args!(
            "  {kernel:<14} {cases:>4} cases {elements:>9} elements, worst error {worst:.2} of its bound\n"
        ));
    }
    for g in &found.golden {
        say(format_args!(
            "  {}{}: {} (limit {:.0e})\n",
            if g.passed() { "" } else { "FAILED  " },
            g.runner,
            g.report,
            g.limit
        ));
    }
    if let Some(l) = &found.lockstep {
        say(format_args!(
            "  {} launches in lockstep, {} elements, worst error {:.2} of its bound\n",
            l.launches, l.elements, l.worst
        ));
        if let Some((step, launch, report)) = &l.divergence {
            say(format_args!("FAILED  step {step}, launch {launch}: {report}\n"));
        }
    }
    say(format_args!(
        "{}\n",
        if found.failures == 0 {
            "all within their bounds".to_string()
        } else {
            format!("{} FAILED", found.failures)
        }
    ));
}
