//! From buffers to slots: buffers whose contents are needed at different times share one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Launch, Slot, SlotId, SlotRole};
use crate::spec::DType;

/// What the lowering asks for.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    pub(super) role: SlotRole,
    pub(super) dtype: DType,
    pub(super) len: usize,
    pub(super) label: String,
}

/// Slots, and the slot of each buffer. `launches` lists the buffers that each launch reads and writes.
///
/// Scratch buffers are coloured by liveness (first write to last use, both included, so that no launch
/// reads and writes one slot), smallest sufficient free slot first; the other roles keep a slot each.
pub(super) fn assign_slots(
    buffers: &[Buffer],
    launches: &[(Vec<usize>, Vec<usize>)],
) -> (Vec<Slot>, Vec<usize>) {
    let mut first = vec![usize::MAX; buffers.len()];
    let mut last = vec![0; buffers.len()];
    for (i, (reads, writes)) in launches.iter().enumerate() {
        for &b in reads.iter().chain(writes) {
            first[b] = first[b].min(i);
            last[b] = i;
        }
    }
    let mut slots: Vec<Slot> = Vec::new();
    let mut slot_of = vec![usize::MAX; buffers.len()];
    for (b, buffer) in buffers.iter().enumerate() {
        if buffer.role != SlotRole::Scratch {
            slot_of[b] = slots.len();
            slots.push(Slot {
                role: buffer.role,
                dtype: buffer.dtype,
                len: buffer.len,
                label: buffer.label.clone(),
            });
        }
    }
    let mut order: Vec<usize> = (0..buffers.len())
        .filter(|&b| buffers[b].role == SlotRole::Scratch && first[b] != usize::MAX)
        .collect();
    order.sort_by_key(|&b| (first[b], b));
    // Last use of each slot that scratch buffers share.
    let mut free_after: Vec<(usize, usize)> = Vec::new();
    for b in order {
        let need = buffers[b].len;
        let free =
            |&(slot, until): &(usize, usize)| until < first[b] && slots[slot].dtype == buffers[b].dtype;
        let fit = free_after
            .iter()
            .enumerate()
            .filter(|(_, s)| free(s))
            .min_by_key(|(_, (slot, _))| (slots[*slot].len < need, slots[*slot].len.abs_diff(need)))
            .map(|(i, _)| i);
        let i = fit.unwrap_or_else(|| {
            slots.push(Slot {
                role: SlotRole::Scratch,
                dtype: buffers[b].dtype,
                len: 0,
                label: format!("scratch {}", free_after.len()),
            });
            free_after.push((slots.len() - 1, 0));
            free_after.len() - 1
        });
        let slot = free_after[i].0;
        slots[slot].len = slots[slot].len.max(need);
        free_after[i].1 = last[b];
        slot_of[b] = slot;
    }
    (slots, slot_of)
}

/// Where a slot may begin in a buffer that it shares, in elements: what WebGPU lets a launch bind begins at a multiple of
/// 256 bytes.
const ALIGNMENT: usize = 64;

/// For each slot, the first slot of the buffer that it lies in, and its first element there.
pub(super) fn places_in_buffers(slots: &[Slot], shared: &[Vec<SlotId>]) -> Vec<(SlotId, usize)> {
    let mut places: Vec<_> = (0..slots.len()).map(|i| (SlotId(i), 0)).collect();
    for list in shared {
        let mut at = 0;
        for slot in list {
            places[slot.0] = (list[0], at);
            at = (at + slots[slot.0].len).next_multiple_of(ALIGNMENT);
        }
    }
    places
}

/// Slots to be put into one buffer each, so that no region touches more than `most` buffers, as far as that goes.
///
/// A region binds a buffer once, for all that it reads and writes there. Other kernels bind each operand by itself, and
/// no device lets a launch bind a buffer to read and again to write, so their operands stay apart. So do the slots that are
/// `stored`, whose buffers are not the plan's alone. `bytes` is the largest buffer.
pub(super) fn share_buffers(
    slots: &[Slot],
    launches: &[Launch],
    stored: &[SlotId],
    most: usize,
    bytes: u64,
) -> Vec<Vec<SlotId>> {
    // A region's slots, those that are written marked.
    let regions: Vec<BTreeMap<usize, bool>> = launches
        .iter()
        .filter(|l| l.region().is_some())
        .map(|l| {
            let reads = l.reads.iter().map(|a| (a.slot.0, false));
            reads.chain(l.writes.iter().map(|a| (a.slot.0, true))).collect()
        })
        .collect();
    let mut apart: BTreeSet<(usize, usize)> = BTreeSet::new();
    for l in launches.iter().filter(|l| l.region().is_none()) {
        for (k, w) in l.writes.iter().enumerate() {
            for other in l.reads.iter().chain(&l.writes[..k]) {
                apart.extend([(w.slot.0, other.slot.0), (other.slot.0, w.slot.0)]);
            }
        }
    }
    // The list that each slot is in; at first each is alone.
    let mut lists: Vec<Vec<usize>> = (0..slots.len()).map(|i| vec![i]).collect();
    let mut list_of: Vec<usize> = (0..slots.len()).collect();
    let size = |list: &[usize]| list.iter().map(|i| slots[*i].len.next_multiple_of(ALIGNMENT)).sum::<usize>();
    for region in &regions {
        loop {
            let touched: BTreeSet<usize> = region.keys().map(|s| list_of[*s]).collect();
            if touched.len() <= most {
                break;
            }
            let written = |list: &[usize]| list.iter().any(|s| region.get(s) == Some(&true));
            // Buffers that are used alike first, small ones first.
            let best = touched
                .iter()
                .flat_map(|&a| touched.range(a + 1..).map(move |&b| (a, b)))
                .filter(|&(a, b)| {
                    let (a, b) = (&lists[a], &lists[b]);
                    slots[a[0]].dtype == slots[b[0]].dtype
                        && 4 * (size(a) + size(b)) as u64 <= bytes
                        && !a.iter().chain(b).any(|s| stored.contains(&SlotId(*s)))
                        && a.iter().all(|s| b.iter().all(|o| !apart.contains(&(*s, *o))))
                })
                .min_by_key(|&(a, b)| {
                    let (a, b) = (&lists[a], &lists[b]);
                    (written(a) != written(b), size(a) + size(b))
                });
            let Some((a, b)) = best else { break };
            let moved = std::mem::take(&mut lists[b]);
            for s in &moved {
                list_of[*s] = a;
            }
            lists[a].extend(moved);
        }
    }
    let shared = lists.into_iter().filter(|l| l.len() > 1);
    shared.map(|l| l.into_iter().map(SlotId).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_needs_two_slots() {
        let buffer = |len| Buffer { role: SlotRole::Scratch, dtype: DType::F32, len, label: String::new() };
        let buffers: Vec<_> = [10, 20, 10, 5].map(buffer).to_vec();
        let launches = vec![(vec![], vec![0]), (vec![0], vec![1]), (vec![1], vec![2]), (vec![2], vec![3])];
        let (slots, of) = assign_slots(&buffers, &launches);
        assert_eq!(slots.len(), 2);
        assert_eq!(of[0], of[2]);
        assert_eq!(of[1], of[3]);
        assert_eq!(slots[of[1]].len, 20);
    }
}
