//! From buffers to slots: buffers whose contents are needed at different times share one.

use super::{Slot, SlotRole};
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
