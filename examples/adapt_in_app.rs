//! A target network written and adapted inside an application:
//!
//! ```text
//! cargo run --release --example adapt_in_app                  trains a small model first
//! cargo run --release --example adapt_in_app -- runs/sine     takes the model of a run on the sine family
//! cargo run --release --example adapt_in_app -- --own-device  on a wgpu device that the application opened
//! ```

use std::path::Path;

use hyperloom::{Config, Device, Error, Experiment, Model, Result, Silent, Task};

fn main() -> Result<()> {
    let (options, folders): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let device = match options.iter().any(|o| o == "--own-device") {
        true => own_device()?,
        false => Device::choose("auto")?.0,
    };
    run(&device, folders.first().map(Path::new))
}

/// What the application does. Nothing here is global; all of it may live in another thread.
pub(crate) fn run(device: &Device, folder: Option<&Path>) -> Result<()> {
    let model = match folder {
        Some(path) => Model::load(path)?,
        None => trained(device)?,
    };
    // Ten rows of a task that was never seen: one input and one target each.
    let wave = |x: f32| 3.0 * (x - 1.0).sin();
    let xs: Vec<f32> = (0..10).map(|i| i as f32 - 4.5).collect();
    let ys = xs.iter().map(|x| wave(*x)).collect();
    let network = model.adapt(device, &Task::from_support(xs, ys), None)?;

    let grid: Vec<f32> = (0..9).map(|i| i as f32 - 4.0).collect();
    println!("a network of {} weights on the {}", network.members[0].len(), device.kind());
    println!("      x  prediction       truth");
    for (x, y) in grid.iter().zip(network.predict(device, &grid)?) {
        println!("{x:>7.1}  {y:>10.3}  {:>10.3}", wave(*x));
    }
    Ok(())
}

/// A small model of the sine family after a few hundred steps.
fn trained(device: &Device) -> Result<Model> {
    let mut config = Config::default();
    config.train.steps = 500;
    config.train.pooled_steps = 50;
    config.eval.tasks = 100;
    let path = std::env::temp_dir().join(format!("hyperloom-adapt-in-app-{}", std::process::id()));
    let mut run = Experiment::open(&config, device, &path, false)?;
    run.run(&mut Silent)?;
    let model = run.model().clone();
    std::fs::remove_dir_all(&path).map_err(Error::io("remove", &path))?;
    Ok(model)
}

/// A device that the application made for purposes of its own.
#[cfg(feature = "gpu")]
fn own_device() -> Result<Device> {
    use hyperloom::run::gpu::{Gpu, wgpu};
    let device = |e: String| Error::Device(e);
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let (own, queue) = pollster::block_on(async {
        let adapter =
            instance.request_adapter(&Default::default()).await.map_err(|e| device(e.to_string()))?;
        adapter.request_device(&Default::default()).await.map_err(|e| device(e.to_string()))
    })?;
    Ok(Device::Gpu(Gpu::from_device(own, queue, false)))
}

#[cfg(not(feature = "gpu"))]
fn own_device() -> Result<Device> {
    Err(Error::Device("this build has no GPU path (feature 'gpu')".into()))
}
