//! Numbers of rows and tasks in buckets, on the GPU.

use hyperloom::run::Device;

use super::gpu;
use super::support::buckets;

#[test]
fn sizes_of_a_bucket_prepare_once() {
    let Some(gpu) = gpu(false) else { return };
    buckets::sizes_of_a_bucket_prepare_once(&Device::Gpu(gpu.clone()));
    // A second time round nothing is compiled either.
    let compiled = gpu.pipelines();
    buckets::sizes_of_a_bucket_prepare_once(&Device::Gpu(gpu.clone()));
    assert_eq!(gpu.pipelines(), compiled);
}

#[test]
fn a_task_does_not_feel_those_beside_it() {
    let Some(gpu) = gpu(false) else { return };
    buckets::a_task_does_not_feel_those_beside_it(&Device::Gpu(gpu));
}
