//! A model that an application keeps ready on its own device: recorded into its own pass, from its own buffers, in one submit.

use hyperloom::adapt::Adaptation;
use hyperloom::hyper::HyperSpec;
use hyperloom::net::{Compression, Net, Numbers};
use hyperloom::rng::Rng;
use hyperloom::run::gpu::Gpu;
use hyperloom::spec::Activation;
use hyperloom::task::Likelihood;
use hyperloom::{Device, Model, Prepared, PreparedSizes, Task};

use super::gpu;
use super::runner::plain_device;

const TASKS: usize = 3;
const ROWS: usize = 2;

fn model(numbers: Numbers) -> Model {
    let net = Net::mlp(&[2, 16, 16, 1], Activation::Tanh).compressed(Compression::new(numbers, 0.0));
    let weights = net.layout().init(&mut Rng::new(0, 0));
    let adaptation = Adaptation::fine_tuning(0.05, 10.0);
    Model::new(HyperSpec::shared(net), Likelihood::values(1), adaptation, weights).expect("a sound model")
}

fn close(what: &str, want: &[f32], got: &[f32]) {
    assert_eq!(want.len(), got.len(), "{what}");
    let off = want.iter().zip(got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "{what}: off by {off}: {got:?}, {want:?}");
}

#[test]
fn it_is_recorded_into_an_applications_own_pass() {
    let Some(gpu) = gpu(true) else { return };
    let (device, queue) = plain_device(&gpu);
    let own = Device::Gpu(Gpu::from_device(device.clone(), queue.clone(), true));
    let mut rng = Rng::new(1, 0);
    let mut drawn = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.normal() as f32).collect() };
    let shots = [4, 2, 3];
    let tasks: Vec<Task> = shots.iter().map(|n| Task::from_support(drawn(2 * n), drawn(*n))).collect();
    let x = drawn(TASKS * ROWS * 2);
    let sizes = PreparedSizes { tasks: TASKS, support_rows: 4, rows: ROWS };
    for numbers in [Numbers::F32, Numbers::Int8] {
        let model = model(numbers);
        let mut ready = Prepared::new(&own, &model, sizes, Some(5)).expect("prepared");
        let want: Vec<f32> = tasks
            .iter()
            .zip(x.chunks(2 * ROWS))
            .flat_map(|(task, x)| {
                let network = model.adapt(&Device::Cpu, task, Some(5)).expect("a network");
                network.predict(&Device::Cpu, x).expect("predictions")
            })
            .collect();
        // By the host.
        let support: Vec<(&[f32], &[f32])> = tasks.iter().map(|t| (&t.xs[..], &t.ys[..])).collect();
        ready.adapt_all(&support, &[]).expect("adapted");
        let mut said = [0.0; TASKS * ROWS];
        ready.predict(&x, &mut said).expect("predicted");
        close("by the host", &want, &said);
        // By the application: what it wrote into the buffers, one encoder, one submit.
        let write = |value: &str, numbers: &[f32]| {
            let to = ready.buffer(value).unwrap_or_else(|| panic!("{value} is no buffer"));
            assert_eq!(to.size(), 4 * numbers.len() as u64, "{value}");
            let bytes: Vec<u8> = numbers.iter().flat_map(|v| v.to_le_bytes()).collect();
            queue.write_buffer(to.buffer(), to.offset(), &bytes);
        };
        let padded = |of: &dyn Fn(&Task) -> Vec<f32>, width: usize| -> Vec<f32> {
            let fill = |task: &Task| {
                let mut rows = of(task);
                rows.resize(4 * width, 9.0);
                rows
            };
            // The other way round, so that nothing of the first call is left.
            tasks.iter().rev().flat_map(fill).collect()
        };
        write("support_x", &padded(&|t| t.xs.clone(), 2));
        write("support_y", &padded(&|t| t.ys.clone(), 1));
        write("shots", &shots.map(|n| n as f32).iter().rev().copied().collect::<Vec<_>>());
        write("x", &x.chunks(2 * ROWS).rev().flatten().copied().collect::<Vec<_>>());
        let y = ready.buffer("y").expect("y is a buffer");
        let back = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: y.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        ready.record_adapt(&mut encoder).expect("a GPU");
        ready.record_predict(&mut encoder).expect("a GPU");
        encoder.copy_buffer_to_buffer(y.buffer(), y.offset(), &back, 0, y.size());
        queue.submit([encoder.finish()]);
        back.map_async(wgpu::MapMode::Read, .., |mapped| mapped.expect("mapped"));
        device.poll(wgpu::PollType::wait_indefinitely()).expect("done");
        let mapped = back.get_mapped_range(..).expect("mapped");
        let got: Vec<f32> = mapped.chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let want: Vec<f32> = want.chunks(ROWS).rev().flatten().copied().collect();
        close("in the application's own pass", &want, &got);
    }
}
