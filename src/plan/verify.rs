//! What a legal plan is, as code. Runners rely on it: kernels run without bounds checks on a GPU.

use std::collections::HashSet;

use super::{Launch, Plan, Program, SlotId, SlotRole};
use crate::kernel::KernelInfo;
use crate::spec::{DType, count};
use crate::view::View;

/// Checks every launch: slots exist, views end inside them, element types match, no slot is read and
/// written by one launch (in-place kernels excepted), writes hit each element once, scratch is written
/// before it is read.
pub(super) fn verify(plan: &Plan) -> Result<(), String> {
    let mut written: HashSet<usize> = HashSet::new();
    shared_buffers(plan)?;
    stored(plan)?;
    let places = plan.places_in_buffers();
    for (i, l) in plan.launches.iter().enumerate() {
        let fault = |what: String| Err(format!("launch {i} ({}): {what}", l.label));
        let kernel = match &l.program {
            Program::Kernel(kernel) => kernel,
            Program::Region(region) => {
                region_launch(plan, l, &mut written)
                    .and_then(|lens| region.verify(l.reads.len(), &lens))
                    .or_else(fault)?;
                continue;
            }
            Program::Chunks(chunks) => {
                region_launch(plan, l, &mut written)
                    .and_then(|lens| chunks.verify(l.reads.len(), &lens))
                    .or_else(fault)?;
                continue;
            }
        };
        let Some(info) = KernelInfo::find(kernel.name()) else {
            return fault(format!("no kernel '{}'", kernel.name()));
        };
        if l.reads.len() != info.reads.len() || l.writes.is_empty() || l.writes.len() > info.writes.len() {
            return fault(format!("{} operands read and {} written", l.reads.len(), l.writes.len()));
        }
        for (k, arg) in l.reads.iter().chain(&l.writes).enumerate() {
            let Some(slot) = plan.slots.get(arg.slot.0) else {
                return fault(format!("no slot {}", arg.slot.0));
            };
            if arg.view.end() > slot.len || arg.view.count() == 0 {
                return fault(format!(
                    "operand {k} ends at {} of slot '{}' with {}",
                    arg.view.end(),
                    slot.label,
                    slot.len
                ));
            }
            if let Some(want) = kernel.dtype(k)
                && want != slot.dtype
            {
                return fault(format!("operand {k} is {:?}, not {want:?}", slot.dtype));
            }
            if k < l.reads.len() && slot.role == SlotRole::Scratch && !written.contains(&arg.slot.0) {
                return fault(format!("operand {k} reads scratch that nothing wrote"));
            }
        }
        for (k, w) in l.writes.iter().enumerate() {
            let buffer = |slot: SlotId| places[slot.0].0;
            if l.reads.iter().chain(&l.writes[..k]).any(|o| buffer(o.slot) == buffer(w.slot)) {
                return fault(format!("the buffer of slot {} is bound twice, once for writing", w.slot.0));
            }
            if !w.view.is_injective() {
                return fault(format!("result {k} overlaps itself"));
            }
            if matches!(plan.slots[w.slot.0].role, SlotRole::Data | SlotRole::Window) {
                return fault(format!("slot '{}' belongs to the host", plan.slots[w.slot.0].label));
            }
            written.insert(w.slot.0);
        }
    }
    Ok(())
}

/// Checks that slots that share a buffer are there, of one type, and in one buffer only.
fn shared_buffers(plan: &Plan) -> Result<(), String> {
    let mut seen: HashSet<usize> = HashSet::new();
    for list in &plan.shared_buffers {
        for slot in list {
            let dtype = |s: &SlotId| plan.slots.get(s.0).map(|s| s.dtype);
            if dtype(slot).is_none() || dtype(slot) != dtype(&list[0]) || !seen.insert(slot.0) {
                return Err(format!("slot {} cannot share the buffer of slot {}", slot.0, list[0].0));
            }
        }
    }
    Ok(())
}

/// Checks that what may lie in a store fills a slot of its own, which is alone in its buffer.
fn stored(plan: &Plan) -> Result<(), String> {
    let mut seen: HashSet<usize> = HashSet::new();
    for name in &plan.stored {
        let port = plan.port(name).ok_or_else(|| format!("there is no '{name}' to be stored"))?;
        let slot = port.arg.slot;
        let len = plan.slots.get(slot.0).map(|s| s.len);
        let whole = port.arg.view == View::contiguous(&port.shape, 0) && len == Some(count(&port.shape));
        if !whole || !seen.insert(slot.0) || plan.shared_buffers.iter().any(|l| l.contains(&slot)) {
            return Err(format!("'{name}' cannot be stored: it is not alone in its buffer"));
        }
    }
    Ok(())
}

/// Checks the slots of a region's launch, or of chunks'; their types and lengths, those read first.
fn region_launch(
    plan: &Plan,
    l: &Launch,
    written: &mut HashSet<usize>,
) -> Result<Vec<(DType, usize)>, String> {
    let mut lens: Vec<(DType, usize)> = Vec::new();
    for arg in l.reads.iter().chain(&l.writes) {
        let slot = plan.slots.get(arg.slot.0).ok_or(format!("no slot {}", arg.slot.0))?;
        lens.push((slot.dtype, slot.len));
    }
    for r in &l.reads {
        let slot = &plan.slots[r.slot.0];
        if slot.role == SlotRole::Scratch && !written.contains(&r.slot.0) {
            return Err("a region reads scratch that nothing wrote".into());
        }
    }
    for (k, w) in l.writes.iter().enumerate() {
        if l.reads.iter().chain(&l.writes[..k]).any(|o| o.slot == w.slot) {
            return Err(format!("slot {} is bound twice, once for writing", w.slot.0));
        }
        if matches!(plan.slots[w.slot.0].role, SlotRole::Data | SlotRole::Window) {
            return Err(format!("slot '{}' belongs to the host", plan.slots[w.slot.0].label));
        }
        written.insert(w.slot.0);
    }
    Ok(lens)
}
