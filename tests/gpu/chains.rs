//! Launches over the same elements as one, on the device.

use hyperloom::check::lockstep::lockstep;
use hyperloom::plan::lower;

use super::gpu;
use super::support::chains::{chains, pictures};
use super::support::prepared;

/// More elements than a launch has threads, and fewer; odd sizes.
#[test]
fn norms_and_pools() {
    for (checked, t, shape) in [(true, 3, [6, 5, 3]), (false, 4, [32, 32, 24])] {
        let Some(gpu) = gpu(checked) else { return };
        let (g, feed) = pictures(t, shape);
        let plan = lower(&g, gpu.caps(1)).expect("the plan fits");
        assert!(chains(&plan) >= 5, "{plan}");
        let mut cpu = prepared::<f32>(&plan, &feed);
        let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
        assert!(report.divergence.is_none(), "{shape:?}: {report:?}\n{plan}");
    }
}
