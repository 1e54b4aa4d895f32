//! A plan as text: its slots, then one line a launch.

use std::fmt;

use super::lower::bytes;
use super::{Arg, Plan};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "slots")?;
        for (i, s) in self.slots.iter().enumerate() {
            writeln!(
                f,
                "  {i:>3} {:<8} {:>10}  {}",
                format!("{:?}", s.role).to_lowercase(),
                bytes(4 * s.len as u64),
                s.label
            )?;
        }
        writeln!(f, "launches")?;
        let cost = self.cost();
        for (i, (l, w)) in self.launches.iter().zip(&cost.launches).enumerate() {
            let show = |args: &[Arg]| {
                args.iter().map(|a| format!("{}{}", a.slot.0, shape(a))).collect::<Vec<_>>().join(" ")
            };
            writeln!(
                f,
                "  {i:>3} {:<13} {} <- {}  {:.3} MFLOP {:.3} MB  {}",
                l.kernel.shader(l),
                show(&l.writes),
                show(&l.reads),
                w.flops / 1e6,
                w.bytes / 1e6,
                l.label
            )?;
        }
        writeln!(
            f,
            "{} launches a step, {} in {} slots, {:.2} MFLOP, {:.2} MB moved",
            self.launches.len(),
            bytes(self.bytes()),
            self.slots.len(),
            cost.total.flops / 1e6,
            cost.total.bytes / 1e6
        )
    }
}

/// The shape without leading axes of length 1.
fn shape(a: &Arg) -> String {
    let dims: Vec<String> = a.view.dims.iter().skip_while(|d| **d == 1).map(|d| d.to_string()).collect();
    format!("[{}]", dims.join(","))
}
