//! Batch normalisation by the statistics of a task's support, on the GPU.

use hyperloom::run::Device;

use super::gpu;
use super::support::norms;

#[test]
fn a_query_row_alone_is_as_among_others() {
    let Some(gpu) = gpu(false) else { return };
    norms::a_query_row_alone_is_as_among_others(&Device::Gpu(gpu));
}

#[test]
fn networks_do_without_the_support() {
    let Some(gpu) = gpu(false) else { return };
    norms::networks_do_without_the_support(&Device::Gpu(gpu));
}
