//! Values that several plans share, on the GPU: with as many bindings as the device has, and with the eight of WebGPU's
//! default limits, where slots share buffers.

use hyperloom::run::Device;
use hyperloom::run::gpu::Gpu;

use super::gpu;
use super::runner::plain_device;
use super::support::stores;

fn everywhere(test: fn(&Device)) {
    let Some(gpu) = gpu(true) else { return };
    let (device, queue) = plain_device(&gpu);
    let own = Gpu::from_device(device, queue, true);
    for gpu in [gpu.clone().without_regions(), gpu, own] {
        test(&Device::Gpu(gpu));
    }
}

#[test]
fn several_plans_give_the_bits_of_one() {
    everywhere(stores::several_plans_give_the_bits_of_one);
}

#[test]
fn what_is_stored_has_a_buffer_of_its_own() {
    everywhere(stores::what_is_stored_has_a_buffer_of_its_own);
}

#[test]
fn misuse_is_refused() {
    everywhere(stores::misuse_is_refused);
}
