//! Operations and bytes of each launch: what a roofline needs, before anything runs.

use super::Plan;
use crate::kernel::Work;

/// Cost of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// One entry a launch.
    pub launches: Vec<Work>,
    /// Their sum.
    pub total: Work,
}

impl Plan {
    /// Operations and traffic of one step, launch by launch.
    pub fn cost(&self) -> Cost {
        let launches: Vec<Work> = self.launches.iter().map(|l| l.work()).collect();
        let total = launches
            .iter()
            .fold(Work::default(), |s, w| Work { flops: s.flops + w.flops, bytes: s.bytes + w.bytes });
        Cost { launches, total }
    }
}
