//! What a network costs, and what it may.

use serde::{Deserialize, Serialize};

/// What a network may cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Limits {
    /// Weights at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    /// Floating-point operations of a forward pass of one row at most; a multiplication and an addition count as two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
    /// Bytes of the weights and of the values of such a pass at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Microseconds of such a pass at most on a device of `gflops` and `gigabytes`: the longer of operations and traffic (a roofline,
    /// Williams et al. 2009), which a device does not beat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub microseconds: Option<u64>,
    /// Thousand millions of floating-point operations that the device does in a second.
    pub gflops: f64,
    /// Thousand millions of bytes that it reads and writes in a second.
    pub gigabytes: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            parameters: None,
            operations: None,
            bytes: None,
            microseconds: None,
            gflops: 10.0,
            gigabytes: 10.0,
        }
    }
}

/// What a network costs, in the units of [`Limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Cost {
    /// Weights.
    pub parameters: u64,
    /// Floating-point operations of a forward pass of one row.
    pub operations: u64,
    /// Bytes of the weights and of the values of such a pass.
    pub bytes: u64,
    /// Bytes that it reads and writes.
    pub traffic: u64,
}

impl Limits {
    /// The first limit that a network does not keep, with what it has and what may be.
    pub fn broken(&self, cost: &Cost) -> Option<(&'static str, u64, u64)> {
        [
            ("parameters", cost.parameters, self.parameters),
            ("operations", cost.operations, self.operations),
            ("bytes", cost.bytes, self.bytes),
            ("microseconds", self.time(cost).ceil() as u64, self.microseconds),
        ]
        .into_iter()
        .find_map(|(name, has, may)| may.filter(|may| has > *may).map(|may| (name, has, may)))
    }

    /// Microseconds of a pass of one row that a device of these limits needs at least.
    pub fn time(&self, cost: &Cost) -> f64 {
        let [computing, moving] =
            [cost.operations as f64 / self.gflops, cost.traffic as f64 / self.gigabytes];
        computing.max(moving) / 1e3
    }

    pub(super) fn any(&self) -> bool {
        *self != Limits::default()
    }

    pub(super) fn check(&self) -> std::result::Result<(), String> {
        for (name, value) in [("gflops", self.gflops), ("gigabytes", self.gigabytes)] {
            if !(1e-6..=1e9).contains(&value) {
                return Err(format!("limits: {name}: {value} is out of range: 1e-6 to 1e9 are possible"));
            }
        }
        Ok(())
    }
}
