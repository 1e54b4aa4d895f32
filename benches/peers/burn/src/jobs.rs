//! The workloads: distinct weights a task as batched products, gradients by burn's autodiff.

use burn::module::{Module, Param};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::inputs::{tensor, waves};

const SMALL: [usize; 4] = [1, 40, 40, 1];
const WIDE: [usize; 4] = [2, 64, 64, 1];
const INNER_RATE: f64 = 0.01;

/// A workload that is ready to run.
pub struct Job {
    /// Numbers that every implementation must agree on.
    pub check: Vec<f64>,
    /// The nominal operations of a call.
    pub flops: f64,
    /// Does the work once and waits for it.
    pub call: Box<dyn FnMut()>,
}

/// The workload of that name, or why there is none; `by_hand`: with gradients written out.
pub fn job(workload: &str, tasks: usize, by_hand: bool, device: &Device) -> Result<Job, String> {
    if by_hand && !workload.starts_with("adapt") {
        return Err(format!("{workload}: written out for adapt and adapt-64 only"));
    }
    let adapt = if by_hand { adapt_by_hand } else { adapt_by_autodiff };
    match workload {
        "adapt" => {
            let (x, y) = waves(6, [tasks, 10, 1], device);
            Ok(adapting(Hyper::new(tasks, device).generate(), x, y, &SMALL, 5, adapt))
        }
        "adapt-64" => {
            let (x, y) = waves(9, [tasks, 16, 2], device);
            Ok(adapting(tensor(8, 0.15, [tasks, weights(&WIDE)], device), x, y, &WIDE, 10, adapt))
        }
        "amortised" => Ok(amortised(tasks, device)),
        "gemm" => {
            let n = tasks;
            Ok(product(
                tensor(1, 1.0, [n, n], device),
                tensor(2, 1.0, [n, n], device),
                2.0 * (n as f64).powi(3),
            ))
        }
        "gemm-batch-64" => Ok(batch(tasks, 64, 64, 64, device)),
        "gemm-batch-16" => Ok(batch(tasks, 16, 32, 32, device)),
        _ => Err(format!("{workload}: not written for burn")),
    }
}

fn batch(tasks: usize, m: usize, k: usize, n: usize, device: &Device) -> Job {
    let flops = 2.0 * (tasks * m * k * n) as f64;
    product(tensor(1, 1.0, [tasks, m, k], device), tensor(2, 1.0, [tasks, k, n], device), flops)
}

fn weights(widths: &[usize]) -> usize {
    widths.windows(2).map(|w| w[0] * w[1] + w[1]).sum()
}

/// The operations of a forward pass.
fn forward(rows: usize, widths: &[usize]) -> f64 {
    widths.windows(2).map(|w| 2.0 * (rows * w[0] * w[1]) as f64).sum()
}

/// The mean of squares, on the host in f64.
fn mean_square<const D: usize>(t: &Tensor<D>) -> f64 {
    let values = t.to_data().try_to_vec::<f32>().expect("f32 tensors");
    values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64
}

fn wait(device: &Device) {
    device.sync().expect("the device fails");
}

fn product<const D: usize>(a: Tensor<D>, b: Tensor<D>, flops: f64) -> Job {
    let device = a.device();
    let check = vec![mean_square(&a.clone().matmul(b.clone()))];
    let call = move || {
        let _c = a.clone().matmul(b.clone());
        wait(&device);
    };
    Job { check, flops, call: Box::new(call) }
}

/// Flat weights `[T, P]` as weight `[T, i, o]` and bias `[T, 1, o]` of each layer in turn.
fn layers(w: &Tensor<2>, widths: &[usize]) -> Vec<Tensor<3>> {
    let tasks = w.dims()[0];
    let mut at = 0;
    let mut out = Vec::new();
    for pair in widths.windows(2) {
        for rows in [pair[0], 1] {
            let size = rows * pair[1];
            out.push(w.clone().narrow(1, at, size).reshape([tasks, rows, pair[1]]));
            at += size;
        }
    }
    out
}

/// The batch of networks on their own rows.
fn predict(net: &[Tensor<3>], mut x: Tensor<3>) -> Tensor<3> {
    for (i, layer) in net.chunks(2).enumerate() {
        x = x.matmul(layer[0].clone()) + layer[1].clone();
        if 2 * (i + 1) < net.len() {
            x = x.tanh();
        }
    }
    x
}

/// Steps of descent of every task on its own rows: the sum of the tasks' losses has each one's gradient.
fn adapt_by_autodiff(mut net: Vec<Tensor<3>>, x: &Tensor<3>, y: &Tensor<3>, steps: usize) -> Vec<Tensor<3>> {
    let rows = y.dims()[1] as f64;
    for _ in 0..steps {
        let tracked: Vec<_> = net.iter().map(|w| w.clone().autodiff().require_grad()).collect();
        let loss = (predict(&tracked, x.clone().autodiff()) - y.clone().autodiff()).square().sum() / rows;
        let mut grads = loss.backward();
        net = net
            .into_iter()
            .zip(&tracked)
            .map(|(w, t)| w - t.grad_remove(&mut grads).expect("every weight has a gradient") * INNER_RATE)
            .collect();
    }
    net
}

/// The same with the backward pass written out.
fn adapt_by_hand(mut net: Vec<Tensor<3>>, x: &Tensor<3>, y: &Tensor<3>, steps: usize) -> Vec<Tensor<3>> {
    let rows = y.dims()[1] as f64;
    let last = net.len() / 2 - 1;
    for _ in 0..steps {
        let mut inputs = vec![x.clone()];
        for i in 0..last {
            inputs.push((inputs[i].clone().matmul(net[2 * i].clone()) + net[2 * i + 1].clone()).tanh());
        }
        let out = inputs[last].clone().matmul(net[2 * last].clone()) + net[2 * last + 1].clone();
        let mut delta = (out - y.clone()) * (2.0 / rows);
        for i in (0..=last).rev() {
            let input = inputs[i].clone();
            let next = (i > 0).then(|| {
                delta.clone().matmul(net[2 * i].clone().swap_dims(1, 2)) * (1.0 - input.clone().square())
            });
            net[2 * i] = net[2 * i].clone() - input.swap_dims(1, 2).matmul(delta.clone()) * INNER_RATE;
            net[2 * i + 1] = net[2 * i + 1].clone() - delta.clone().sum_dim(1) * INNER_RATE;
            delta = next.unwrap_or(delta);
        }
    }
    net
}

type Adapt = fn(Vec<Tensor<3>>, &Tensor<3>, &Tensor<3>, usize) -> Vec<Tensor<3>>;

fn adapting(
    w0: Tensor<2>,
    x: Tensor<3>,
    y: Tensor<3>,
    widths: &'static [usize],
    steps: usize,
    adapt: Adapt,
) -> Job {
    let [tasks, rows, _] = x.dims();
    let device = w0.device();
    let net = adapt(layers(&w0, widths), &x, &y, steps);
    let after = Tensor::cat(net.into_iter().map(|t| t.reshape([tasks as i32, -1])).collect(), 1);
    let check = vec![mean_square(&after), mean_square(&(after - w0.clone()))];
    let call = move || {
        let _net = adapt(layers(&w0, widths), &x, &y, steps);
        wait(&device);
    };
    Job { check, flops: (tasks * steps) as f64 * 3.0 * forward(rows, widths), call: Box::new(call) }
}

/// Embeddings of the tasks and the network that writes their weights.
#[derive(Module, Debug)]
struct Hyper {
    z: Param<Tensor<2>>,
    w1: Param<Tensor<2>>,
    b1: Param<Tensor<1>>,
    w2: Param<Tensor<2>>,
    b2: Param<Tensor<1>>,
    w3: Param<Tensor<2>>,
    b3: Param<Tensor<1>>,
}

impl Hyper {
    fn new(tasks: usize, device: &Device) -> Self {
        let p = weights(&SMALL);
        let matrix = |stream, scale, shape| Param::from_tensor(tensor(stream, scale, shape, device));
        Hyper {
            z: matrix(1, 1.0, [tasks, 32]),
            w1: matrix(2, 0.3, [32, 128]),
            b1: Param::from_tensor(Tensor::zeros([128], device)),
            w2: matrix(3, 0.15, [128, 128]),
            b2: Param::from_tensor(Tensor::zeros([128], device)),
            w3: matrix(4, 0.03, [128, p]),
            b3: Param::from_tensor(tensor(5, 0.3, [p], device)),
        }
    }

    /// The weights `[T, P]` of all tasks.
    fn generate(&self) -> Tensor<2> {
        let h = relu(self.z.val().matmul(self.w1.val()) + self.b1.val().unsqueeze());
        let h = relu(h.matmul(self.w2.val()) + self.b2.val().unsqueeze());
        h.matmul(self.w3.val()) + self.b3.val().unsqueeze()
    }
}

fn amortised(tasks: usize, device: &Device) -> Job {
    let device = device.clone();
    let tracked = device.clone().autodiff();
    let mut model = Some(Hyper::new(tasks, &tracked));
    let mut adam = AdamConfig::new().with_epsilon(1e-8).init();
    let (x, y) = waves(7, [tasks, 50, 1], &tracked);
    let mut step = move || {
        let m = model.take().expect("put back below");
        let net = layers(&m.generate(), &SMALL);
        let loss = (predict(&net, x.clone()) - y.clone()).square().mean();
        let grads = GradientsParams::from_grads(loss.backward(), &m);
        model = Some(adam.step(1e-3, m, grads));
        loss
    };
    let check = (0..3).map(|_| f64::from(step().into_scalar::<f32>())).collect();
    let generator = forward(tasks, &[32, 128, 128, weights(&SMALL)]);
    let flops = 3.0 * (generator + tasks as f64 * forward(50, &SMALL));
    let call = move || {
        let _loss = step();
        wait(&device);
    };
    Job { check, flops, call: Box::new(call) }
}
