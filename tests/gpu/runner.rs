//! Order, replay, limits and failures of the runner.

use hyperloom::error::Error;
use hyperloom::graph::op::{Func, Num};
use hyperloom::kernel::{Advance, Kernel, Map, RowRead, RowWrite, SumTo};
use hyperloom::plan::{Launch, Plan, SlotId, SlotRole};
use hyperloom::run::gpu::{Gpu, GpuRunner, adapters};
use hyperloom::run::{Device, DeviceRequest};
use hyperloom::spec::DType;

use super::{bits, floats, gpu, plan, whole};

const N: usize = 1000;

fn affine(scale: f64, shift: f64) -> Kernel {
    Kernel::Map(Map { func: Func::Affine(Num(scale), Num(shift)) })
}

/// Launch i reads slot i % 2 and writes the other: x becomes i - x, which depends on the order.
fn ping_pong(len: usize, launches: usize) -> Plan {
    let launch = |i: usize| {
        let (read, written) = (whole(i % 2, &[len]), whole(1 - i % 2, &[len]));
        Launch::new(affine(-1.0, i as f64), vec![read], vec![written], format!("launch {i}"))
    };
    plan(vec![(SlotRole::State, DType::F32, len); 2], (0..launches).map(launch).collect())
}

fn expected(mut x: f32, launches: usize, steps: usize) -> f32 {
    for _ in 0..steps {
        x = (0..launches).fold(x, |x, i| i as f32 - x);
    }
    x
}

#[test]
fn launches_of_one_pass_run_in_order() {
    for checked in [true, false] {
        let Some(gpu) = gpu(checked) else { return };
        let len = 65;
        let start: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let want: Vec<f32> = start.iter().map(|x| expected(*x, N, 1)).collect();
        let mut r = GpuRunner::prepare(&gpu, &ping_pong(len, N)).expect("prepared");
        // All in one pass of an encoder of our own, then by the runner's own submits.
        r.write(SlotId(0), 0, &bits(&start)).expect("written");
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        r.record(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
        assert_eq!(floats(&r.read(SlotId(0), 0..len).expect("read")), want);
        r.write(SlotId(0), 0, &bits(&start)).expect("written");
        r.run(1).expect("run");
        assert_eq!(floats(&r.read(SlotId(0), 0..len).expect("read")), want);
        // In two parts, and with a read of a part.
        r.write(SlotId(0), 0, &bits(&start)).expect("written");
        r.launch(0..501).expect("launched");
        r.launch(501..N).expect("launched");
        assert_eq!(floats(&r.read(SlotId(0), 3..9).expect("read")), want[3..9]);
    }
}

#[test]
fn a_replay_allocates_nothing() {
    let Some(gpu) = gpu(false) else { return };
    let mut r = GpuRunner::prepare(&gpu, &ping_pong(64, 10)).expect("prepared");
    r.write(SlotId(0), 0, &bits(&[1.0; 64])).expect("written");
    let before = r.stats();
    assert_eq!(before.bind_groups_created, 10);
    r.run(500).expect("run");
    let after = r.stats();
    assert_eq!(after.buffers_created, before.buffers_created);
    assert_eq!(after.bind_groups_created, before.bind_groups_created);
    assert_eq!((after.readbacks, after.steps), (0, 500));
    assert!(after.submits - before.submits < 100, "many steps a submit: {after:?}");
    assert_eq!(floats(&r.read(SlotId(0), 0..1).expect("read")), [expected(1.0, 10, 500)]);
    assert_eq!(r.stats().readbacks, 1);
    // One pipeline serves all launches: they differ in their uniforms only.
    assert_eq!(gpu.pipelines(), 1);
}

/// Each step sums this step's row of the window into the ring.
fn windowed(rows: usize, width: usize) -> Plan {
    let launch = |kernel: Kernel, reads, written| Launch::new(kernel, reads, vec![written], "step");
    let (window, counter, row, sum, ring) = (0, 1, 2, 3, 4);
    let mut p = plan(
        vec![
            (SlotRole::Window, DType::F32, rows * width),
            (SlotRole::State, DType::U32, 1),
            (SlotRole::Scratch, DType::F32, width),
            (SlotRole::Scratch, DType::F32, 1),
            (SlotRole::Records, DType::F32, rows),
        ],
        vec![
            launch(
                Kernel::RowRead(RowRead),
                vec![whole(window, &[rows, width]), whole(counter, &[1])],
                whole(row, &[width]),
            ),
            launch(
                Kernel::SumTo(SumTo { dot: false }),
                vec![whole(row, &[width]), whole(row, &[width])],
                whole(sum, &[1]),
            ),
            launch(
                Kernel::RowWrite(RowWrite { column: 0 }),
                vec![whole(sum, &[1]), whole(counter, &[1])],
                whole(ring, &[rows, 1]),
            ),
            launch(Kernel::Advance(Advance), vec![], whole(counter, &[1])),
        ],
    );
    p.window = rows;
    p
}

#[test]
fn a_counter_walks_window_and_ring() {
    let Some(gpu) = gpu(true) else { return };
    let (rows, width) = (100, 5);
    let mut r = GpuRunner::prepare(&gpu, &windowed(rows, width)).expect("prepared");
    for round in 0..3 {
        let data: Vec<f32> = (0..rows * width).map(|i| (i * (round + 1)) as f32).collect();
        r.write(SlotId(0), 0, &bits(&data)).expect("written");
        r.write(SlotId(1), 0, &[0]).expect("written");
        r.run(rows).expect("run");
        let want: Vec<f32> = data.chunks(width).map(|row| row.iter().sum()).collect();
        assert_eq!(floats(&r.read(SlotId(4), 0..rows).expect("read")), want);
        assert_eq!(r.read(SlotId(1), 0..1).expect("read"), [rows as u32]);
    }
}

/// A device as an application opens it: no features, WebGPU's default limits.
pub(super) fn plain_device(gpu: &Gpu) -> (wgpu::Device, wgpu::Queue) {
    let mut desc = wgpu::InstanceDescriptor::new_without_display_handle();
    desc.backends = wgpu::Backends::PRIMARY;
    let all = pollster::block_on(wgpu::Instance::new(desc).enumerate_adapters(wgpu::Backends::PRIMARY));
    let name = gpu.device().adapter_info().name;
    let adapter = all.into_iter().find(|a| a.get_info().name == name).expect("the same adapter");
    pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).expect("opened")
}

#[test]
fn an_application_brings_its_device() {
    let Some(gpu) = gpu(true) else { return };
    let (device, queue) = plain_device(&gpu);
    let own = Gpu::from_device(device, queue, true);
    assert_eq!(own.caps(1).max_binding, 128 << 20);
    let mut r = GpuRunner::prepare(&own, &ping_pong(65, 11)).expect("prepared");
    r.write(SlotId(0), 0, &bits(&[2.0; 65])).expect("written");
    r.run(2).expect("run");
    let mid = pollster::block_on(r.read_async(SlotId(0), 0..65)).expect("read");
    assert_eq!(mid, r.read(SlotId(0), 0..65).expect("read"));
    assert_eq!(r.time_launches().expect("asked"), None, "no timestamps were asked for");
    // Too large for the default limits: refused with the numbers, before anything is allocated.
    let e = GpuRunner::prepare(&own, &ping_pong((128 << 18) + 1, 1)).expect_err("refused");
    assert!(matches!(e, Error::Memory(_)) && e.to_string().contains("128.0 MiB"), "{e}");
}

#[test]
fn reads_in_pieces_and_timed_launches() {
    let Some(gpu) = gpu(false) else { return };
    // Larger than the readback buffer.
    let len = (8 << 18) * 2 + 7;
    let mut r = GpuRunner::prepare(&gpu, &ping_pong(len, 1)).expect("prepared");
    let words: Vec<u32> = (0..len as u32).collect();
    r.write(SlotId(1), 0, &words).expect("written");
    assert!(r.read(SlotId(1), 0..len).expect("read") == words);
    assert!(pollster::block_on(r.read_async(SlotId(1), 5..len)).expect("read") == words[5..]);
    assert!(r.read(SlotId(1), 4..4).expect("read").is_empty());
    if let Some(seconds) = r.time_launches().expect("timed") {
        assert!(seconds.len() == 1 && seconds[0] >= 0.0 && seconds[0] < 60.0, "{seconds:?}");
    }
}

#[test]
fn misuse_is_an_error() {
    let Some(gpu) = gpu(true) else { return };
    let mut r = GpuRunner::prepare(&gpu, &ping_pong(8, 2)).expect("prepared");
    assert!(matches!(r.write(SlotId(0), 7, &[0, 0]), Err(Error::Shape(_))));
    assert!(matches!(r.write(SlotId(2), 0, &[0]), Err(Error::Shape(_))));
    assert!(matches!(r.read(SlotId(0), 4..9), Err(Error::Shape(_))));
    assert!(matches!(r.launch(1..3), Err(Error::Shape(_))));
    // A launch that reads what it writes.
    let mut bad = ping_pong(8, 1);
    bad.launches[0].writes = bad.launches[0].reads.clone();
    assert!(matches!(GpuRunner::prepare(&gpu, &bad), Err(Error::Shape(_))));
    // A slot that no device has room for.
    let huge = ping_pong(1 << 45, 1);
    assert!(matches!(GpuRunner::prepare(&gpu, &huge), Err(Error::Memory(_))));
}

#[test]
fn a_lost_device_is_an_error() {
    let Some(gpu) = gpu(true) else { return };
    let (device, queue) = plain_device(&gpu);
    let own = Gpu::from_device(device.clone(), queue, true);
    let mut r = GpuRunner::prepare(&own, &ping_pong(8, 2)).expect("prepared");
    r.run(1).expect("run");
    device.destroy();
    assert!(r.run(1).and_then(|()| r.read(SlotId(0), 0..8)).is_err());
    let mut r = GpuRunner::prepare(&gpu, &ping_pong(8, 2)).expect("prepared");
    gpu.device().destroy();
    assert!(r.run(5).and_then(|()| r.read(SlotId(0), 0..8)).is_err());
}

#[test]
fn adapters_are_listed() {
    let Some(gpu) = gpu(true) else { return };
    let all = adapters();
    assert!(all.iter().enumerate().all(|(i, a)| a.index == i && !a.note.is_empty()));
    assert!(!serde_json::to_string(&all).expect("json").is_empty());
    assert!(gpu.describe().len() > 4 && gpu.reason().len() > 4);
    let software = all.iter().find(|a| a.kind == hyperloom::run::gpu::AdapterKind::Cpu);
    assert!(software.is_none_or(|a| !a.eligible));
    // By number any adapter opens; beyond them there is none, and the message lists those that are.
    let (first, reason) = Device::open(DeviceRequest::Gpu(Some(0))).expect("adapter 0");
    assert!(first.kind() == "gpu" && reason.contains("adapter 0"), "{reason}");
    let e = Device::choose("gpu:99").expect_err("no such adapter");
    assert!(e.to_string().contains("gpu:0"), "{e}");
    assert_eq!(Device::choose("cpu").expect("always there").0.kind(), "cpu");
}
