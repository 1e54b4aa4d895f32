//! The workloads of `hyperloom bench` in burn, on its wgpu backend: the same inputs, the same command line, the same
//! rows of JSON. See README.md in the folder above.

mod inputs;
mod jobs;

use std::time::Instant;

use burn::tensor::wgpu::{WgpuSetup, wgpu};
use burn::tensor::{Device, DeviceKind};

const USAGE: &str = "peer-burn (--workload NAME --tasks N [--path burn|burn-by-hand] [--reps N] | --versions) \
                     [--device gpu|software]";

/// The device that was asked for. A software driver is taken only when asked for, and then no other.
fn open(request: &str) -> Result<(Device, WgpuSetup), String> {
    let software = ["software", "cpu", "llvmpipe", "lavapipe"].contains(&request);
    let kind = match request {
        _ if software => DeviceKind::Cpu,
        "gpu" => DeviceKind::DefaultDevice,
        _ => return Err(format!("there is no device {request}\n{USAGE}")),
    };
    let (device, setup) =
        Device::wgpu_options().device_kind(kind).init_with_setup().map_err(|e| e.to_string())?;
    let is_software = setup.adapter.get_info().device_type == wgpu::DeviceType::Cpu;
    if is_software != software {
        return Err(format!("there is no such device: {} is what there is", setup.adapter.get_info().name));
    }
    Ok((device, setup))
}

/// Milliseconds of single calls, after three to warm up: at least ten and a second, five where they are slow.
fn time_calls(call: &mut dyn FnMut(), reps: Option<usize>) -> Vec<f64> {
    for _ in 0..3 {
        call();
    }
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        call();
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let (n, total) = (times.len(), times.iter().sum::<f64>());
        let enough = n >= 60 || (n >= 10 && total >= 1e3) || (n >= 5 && total >= 1e4);
        if reps.map_or(enough, |r| n >= r) {
            return times;
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    (values[(n - 1) / 2] + values[n / 2]) / 2.0
}

fn run() -> Result<String, String> {
    let (mut workload, mut tasks, mut reps, mut versions) = (None, 256, None, false);
    let (mut device, mut path) = ("gpu".to_string(), "burn".to_string());
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or(format!("{name} lacks its value"));
        let number = |text: String| text.parse::<usize>().map_err(|_| format!("{text} is no number"));
        match name.as_str() {
            "--workload" => workload = Some(value()?),
            "--tasks" => tasks = number(value()?)?,
            "--reps" => reps = Some(number(value()?)?),
            "--device" => device = value()?,
            "--path" => path = value()?,
            "--versions" => versions = true,
            _ => return Err(USAGE.into()),
        }
    }
    let by_hand = match path.as_str() {
        "burn" => false,
        "burn-by-hand" => true,
        _ => return Err(USAGE.into()),
    };
    let (device, setup) = open(&device)?;
    let info = setup.adapter.get_info();
    if versions {
        let driver = format!("{} {}", info.driver, info.driver_info);
        return Ok(format!("{{\"burn\": \"0.22.1\", \"driver\": {driver:?}, \"device\": {:?}}}", info.name));
    }
    let workload = workload.ok_or(USAGE)?;
    let mut job = jobs::job(&workload, tasks, by_hand, &device)?;
    let ms = median(time_calls(&mut *job.call, reps));
    // What JSON cannot say is null, and no check then agrees with it.
    let check: Vec<_> =
        job.check.iter().map(|c| if c.is_finite() { format!("{c:?}") } else { "null".into() }).collect();
    Ok(format!(
        "[{{\"workload\": {workload:?}, \"tasks\": {tasks}, \"device\": {:?}, \"path\": {path:?}, \"ms\": {ms:?}, \
         \"gflops\": {:?}, \"bytes\": null, \"check\": [{}]}}]",
        info.name,
        job.flops / ms / 1e6,
        check.join(", ")
    ))
}

fn main() {
    match run() {
        Ok(text) => println!("{text}"),
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(2);
        }
    }
}
