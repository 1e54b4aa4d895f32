//! Batches that several trainers share, on the GPU.

use hyperloom::run::Device;

use super::gpu;
use super::support::shards;

#[test]
fn two_shards_are_one_batch_in_two_parts() {
    let Some(gpu) = gpu(false) else { return };
    for gpu in [gpu.clone().without_regions(), gpu] {
        shards::two_shards_are_one_batch_in_two_parts(&Device::Gpu(gpu));
    }
}
