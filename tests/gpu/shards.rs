//! Batches that several trainers share, on the GPU.

use hyperloom::run::Device;
use hyperloom::run::gpu::AdapterKind;

use super::gpu;
use super::support::shards;

#[test]
fn two_shards_are_one_batch_in_two_parts() {
    let Some(gpu) = gpu(false) else { return };
    // A GPU's own compiler contracts as it likes, a software driver as it is told.
    let to_the_bit = gpu.kind() == AdapterKind::Cpu;
    for gpu in [gpu.clone().without_regions(), gpu] {
        shards::two_shards_are_one_batch_in_two_parts(&Device::Gpu(gpu), to_the_bit);
    }
}
