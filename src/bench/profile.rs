//! Where the time of a plan goes: each launch beside what the device can do at most.

use serde::Serialize;

use super::numbers;
use crate::error::Result;
use crate::graph::Graph;
use crate::plan::{Plan, lower};
use crate::run::Device;

/// What a device reaches at most, as measured on it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ceilings {
    /// Operations a second: of a large product, in 10⁹.
    pub gflops: f64,
    /// Bytes a second: of a copy of 64 MiB, read and written, in 10⁹.
    pub gbytes: f64,
}

/// One launch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaunchProfile {
    /// Its kernel.
    pub kernel: String,
    /// The graph scope it comes from.
    pub label: String,
    /// Median milliseconds.
    pub ms: f64,
    /// Operations a second, in 10⁹.
    pub gflops: f64,
    /// Bytes a second, in 10⁹.
    pub gbytes: f64,
    /// The time that its operations and bytes need at the least, by the ceilings, divided by the time it took.
    pub roofline: f64,
}

/// A plan, launch by launch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// Of the device.
    pub ceilings: Ceilings,
    /// One entry a launch, in order.
    pub launches: Vec<LaunchProfile>,
    /// Milliseconds of all launches.
    pub ms: f64,
}

impl Profile {
    /// Puts measured seconds beside the plan's cost.
    pub fn new(plan: &Plan, seconds: &[f64], ceilings: Ceilings) -> Profile {
        let cost = plan.cost();
        let launches = plan.launches.iter().zip(&cost.launches).zip(seconds);
        let launches = launches.map(|((l, w), s)| {
            // Clocks of devices step by some nanoseconds.
            let s = s.max(1e-9);
            let least = (w.flops / ceilings.gflops).max(w.bytes / ceilings.gbytes) / 1e9;
            LaunchProfile {
                kernel: l.shader().to_string(),
                label: l.label.clone(),
                ms: 1e3 * s,
                gflops: w.flops / s / 1e9,
                gbytes: w.bytes / s / 1e9,
                roofline: least / s,
            }
        });
        Profile { ceilings, launches: launches.collect(), ms: 1e3 * seconds.iter().sum::<f64>() }
    }
}

impl Ceilings {
    /// Measures a device: the fastest of some calls of a product of 1024 x 1024 matrices and of a copy.
    ///
    /// # Errors
    /// Those of the device; `None` where it cannot time launches.
    pub fn measure(device: &Device) -> Result<Option<Ceilings>> {
        let best =
            |shape: &[usize], build: &dyn Fn(&mut Graph) -> crate::graph::Value| -> Result<Option<f64>> {
                let mut g = Graph::new();
                let y = build(&mut g);
                g.output("y", y);
                let mut session = device.prepare(lower(&g, device.caps(1).without_regions())?)?;
                session.write("x", &numbers(1, 1.0, crate::spec::count(shape)))?;
                let mut least = f64::INFINITY;
                for _ in 0..5 {
                    let Some(t) = session.time_launches(1)? else { return Ok(None) };
                    least = least.min(t.iter().sum());
                }
                Ok(Some(least))
            };
        const N: usize = 1024;
        const LONG: usize = 16 << 20;
        let product = best(&[N, N], &|g| {
            let x = g.data("x", &[N, N]);
            g.matmul(x, x)
        })?;
        let copy = best(&[LONG], &|g| {
            let x = g.data("x", &[LONG]);
            g.scale(x, 2.0)
        })?;
        Ok(product.zip(copy).map(|(p, c)| Ceilings {
            gflops: 2.0 * (N * N * N) as f64 / p / 1e9,
            gbytes: 8.0 * LONG as f64 / c / 1e9,
        }))
    }
}
