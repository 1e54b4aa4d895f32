//! A plan as text: its slots, then one line a launch.

use std::fmt;

use super::lower::bytes;
use super::{Arg, Launch, Plan};
use crate::region::chunks::{Chunks, Step};
use crate::region::{Allocation, Base, Operand, Region};

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
        for list in &self.shared_buffers {
            let slots: Vec<String> = list.iter().map(|s| s.0.to_string()).collect();
            writeln!(f, "  slots {} share a buffer", slots.join(", "))?;
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
                l.shader(),
                show(&l.writes),
                show(&l.reads),
                w.flops / 1e6,
                w.bytes / 1e6,
                l.label
            )?;
        }
        for (i, l) in self.launches.iter().enumerate() {
            if let Some(r) = l.region() {
                region(f, i, r, l)?;
            }
            if let Some(c) = l.chunks() {
                chunks(f, i, c, l)?;
            }
        }
        for note in &self.notes {
            writeln!(f, "in no region: {note}")?;
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

/// What is in a region: its values and where they lie, its blocks.
fn region(f: &mut fmt::Formatter<'_>, number: usize, r: &Region, l: &Launch) -> fmt::Result {
    if r.is_chain() {
        writeln!(f, "chain {number}: an element of each a thread")?;
    } else {
        writeln!(
            f,
            "region {number}: {} tasks, {} of values at once a task",
            r.tasks,
            bytes(4 * r.peak() as u64)
        )?;
    }
    if let Some(g) = r.layout.as_ref().filter(|g| g.spread.is_none()) {
        writeln!(
            f,
            "  {} passes, {} of workgroup memory a task, {} put aside, {} threads a task, {} tasks a workgroup",
            g.passes(),
            bytes(g.bytes() as u64),
            bytes(4 * g.spilled as u64),
            g.threads,
            g.tasks_per_group
        )?;
    }
    let slot = |operand: usize| l.reads.iter().chain(&l.writes).nth(operand).map_or(0, |a| a.slot.0);
    for (i, (local, life)) in r.locals.iter().zip(r.lives()).enumerate() {
        let Some(life) = life else { continue };
        let mut place = match r.layout.as_ref().map(|g| g.allocations[i]) {
            None => "in cache".to_string(),
            Some(Allocation::Words(at)) => format!("word {at}"),
            Some(Allocation::Register) => "in a register".to_string(),
            Some(Allocation::Vectors(at)) => format!("vector {}", at / 4),
            Some(Allocation::Slot { operand, offset, .. }) => {
                format!("in slot {} from {offset}", slot(operand))
            }
        };
        if let Some(o) = local.backing {
            let way = match (o.load, o.store) {
                (true, true) => "from and to",
                (true, false) => "from",
                _ => "to",
            };
            place += &format!(", {way} slot {}", slot(o.operand));
        }
        writeln!(
            f,
            "  %{i:<4} {:>7} elements, blocks {:>3} to {:>3}, {place}  {}",
            local.len, life.first, life.last, local.label
        )?;
    }
    for p in r.blocks() {
        let (at, b) = (p.at, p.block);
        let times: String = p.times.iter().filter(|n| **n > 1).map(|n| format!("{n} x ")).collect();
        writeln!(
            f,
            "  {at:>3} {times}{:<13} {} <- {}  {}",
            b.kernel.name(),
            show_operands(&b.writes, l),
            show_operands(&b.reads, l),
            b.label
        )?;
    }
    Ok(())
}

/// Operands of blocks of a launch.
fn show_operands(list: &[Operand], l: &Launch) -> String {
    let slot = |operand: usize| l.reads.iter().chain(&l.writes).nth(operand).map_or(0, |a| a.slot.0);
    let one = |o: &Operand| {
        let dims: Vec<String> = o.view.dims.iter().skip_while(|d| **d == 1).map(|d| d.to_string()).collect();
        // Of the loops around it, the outer first, as far as it moves.
        let moving = o.steps.iter().rposition(|s| *s != 0).map_or(0, |d| d + 1);
        let step: String = o.steps[..moving].iter().map(|s| format!("{s:+}")).collect();
        match o.at {
            Base::Local(i) => format!("%{i}{step}[{}]", dims.join(",")),
            Base::Shared(k) => format!("{}{step}[{}]", slot(k), dims.join(",")),
        }
    };
    list.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// What is done for each chunk: launches by themselves, and sweeps with the blocks that each does in turns.
fn chunks(f: &mut fmt::Formatter<'_>, number: usize, c: &Chunks, l: &Launch) -> fmt::Result {
    let each: usize = c.buffers.iter().sum();
    writeln!(
        f,
        "chunks {number}: {} chunks, {} side by side, each with {} in {} buffers",
        c.region.tasks,
        c.lanes,
        bytes(4 * each as u64),
        c.buffers.len()
    )?;
    let blocks = c.blocks();
    let line = |f: &mut fmt::Formatter<'_>, at: usize, indent: &str| {
        let b = blocks[at];
        let (name, y, x) = (b.kernel.name(), show_operands(&b.writes, l), show_operands(&b.reads, l));
        writeln!(f, "  {indent}{at:>3} {name:<13} {y} <- {x}  {}", b.label)
    };
    for step in c.steps() {
        match step {
            Step::Block(b) => line(f, *b, "")?,
            Step::Sweep(sweep) => {
                writeln!(f, "  sweep of {} turns", sweep.turns)?;
                sweep.blocks.iter().try_for_each(|b| line(f, *b, "  "))?;
            }
        }
    }
    Ok(())
}
