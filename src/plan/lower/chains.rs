//! Chains: launches over the same elements that become one.
//!
//! On a GPU what goes element by element takes as long as its reads and writes of memory. Launches of one shape that follow
//! one another are a region of one pass, which any number of workgroups share: a thread makes an element of each result, and
//! what nothing else reads stays in its register. Task regions are made before, and take theirs with them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Item, Lowering, Place};
use crate::kernel::{Advance, Kernel};
use crate::plan::SlotRole;
use crate::region::passes::{independent, joins, same};
use crate::region::{Backing, Base, Block, DEPTH, GroupLayout, Local, Operand, Region, Stage};
use crate::spec::DType;
use crate::view::View;

/// How many launches on a chain looks for the next that belongs to it.
const WINDOW: usize = 48;

/// Elements from which on a launch is a chain by itself: compiled for its own shapes it takes an index apart by multiplications, not by
/// divisions (3.4 TB/s in place of 2.4 on an NVIDIA H200).
const MANY: usize = 1 << 18;

impl Lowering<'_> {
    /// Replaces launches by chains, on a GPU that runs regions.
    pub(super) fn chain(&mut self) {
        let Some(group) = self.caps.regions.and_then(|r| r.group) else { return };
        let items = std::mem::take(&mut self.items);
        let blocks: Vec<Block> = items.iter().map(block).collect();
        let mut touching: BTreeMap<usize, usize> = BTreeMap::new();
        for b in blocks.iter().flat_map(|b| buffers([b])) {
            *touching.entry(b).or_default() += 1;
        }
        // The last first.
        let mut rest: Vec<(Item, Block)> = items.into_iter().zip(blocks).rev().collect();
        while let Some((first, b)) = rest.pop() {
            let mut chain = vec![b];
            let begins = self.by_element(&first);
            let mut i = 0;
            while begins && i < rest.len().min(WINDOW) {
                let at = rest.len() - 1 - i;
                let (item, b) = &rest[at];
                let follows = self.by_element(item)
                    && shares(&chain, b)
                    && joins(&chain, b)
                    && buffers(chain.iter().chain([b])).len() <= group.operands
                    && rest[at + 1..].iter().all(|(_, other)| independent(other, b));
                if follows {
                    chain.push(rest.remove(at).1);
                } else {
                    i += 1;
                }
            }
            let worth_it = chain.len() > 1 || (begins && chain[0].writes[0].view.count() >= MANY);
            let item = if worth_it { self.chain_of(&chain, &touching) } else { first };
            self.items.push(item);
        }
    }

    /// Whether it is a launch that makes elements of f32 values one by one that do not outlast the step.
    fn by_element(&self, item: &Item) -> bool {
        let Item::Launch(d) = item else { return false };
        let float = |p: &Place| self.buffers[p.buffer].dtype == DType::F32;
        let passing = |p: &Place| matches!(self.buffers[p.buffer].role, SlotRole::Scratch | SlotRole::Output);
        d.kernel.is_pointwise()
            && d.reads.iter().all(float)
            && d.writes.iter().all(|w| float(w) && passing(w))
    }

    /// One launch of these blocks, whose locals are numbered as buffers. `touching` counts the items that touch each.
    fn chain_of(&self, blocks: &[Block], touching: &BTreeMap<usize, usize>) -> Item {
        let written: BTreeSet<usize> =
            blocks.iter().flat_map(|b| &b.writes).filter_map(Operand::local).collect();
        let all = buffers(blocks);
        let reads: Vec<usize> = all.iter().copied().filter(|b| !written.contains(b)).collect();
        let mut writes = Vec::new();
        let mut locals = Vec::new();
        let mut base_of: BTreeMap<usize, Base> =
            reads.iter().enumerate().map(|(k, b)| (*b, Base::Shared(k))).collect();
        for &b in &written {
            let buffer = &self.buffers[b];
            let here = blocks.iter().filter(|x| buffers([*x]).contains(&b)).count();
            let inside = buffer.role == SlotRole::Scratch && here == touching[&b];
            let backing = (!inside).then(|| {
                writes.push(b);
                // Others may have written parts of it.
                let len = buffer.len;
                Backing {
                    operand: reads.len() + writes.len() - 1,
                    offset: 0,
                    stride: len,
                    load: true,
                    store: true,
                }
            });
            base_of.insert(b, Base::Local(locals.len()));
            locals.push(Local { dtype: DType::F32, len: buffer.len, backing, label: buffer.label.clone() });
        }
        let operand = |o: &Operand| Operand { at: o.local().map_or(o.at, |b| base_of[&b]), ..*o };
        let labels: Vec<&str> = blocks.iter().map(|b| b.label.as_str()).collect();
        let label = labels.join(" ");
        let stages = blocks.iter().map(|b| {
            let [reads, writes] = [&b.reads, &b.writes].map(|list| list.iter().map(operand).collect());
            Stage::Block(Block { kernel: b.kernel.clone(), reads, writes, label: b.label.clone() })
        });
        let mut region =
            Region { tasks: 1, locals, stages: stages.collect(), layout: None, lanes: Default::default() };
        region.layout = Some(GroupLayout::spread(&region, reads.len() + writes.len()));
        Item::Region { region, reads, writes, label, group: 0 }
    }
}

/// An item as a block, with buffers in the place of locals; what is no launch touches all of its buffers.
fn block(item: &Item) -> Block {
    let whole = |b: &usize| Operand {
        at: Base::Local(*b),
        view: View::contiguous(&[u32::MAX as usize], 0),
        steps: [0; DEPTH],
    };
    let place = |p: &Place| Operand { at: Base::Local(p.buffer), view: p.view, steps: p.steps };
    match item {
        Item::Launch(d) => {
            let [reads, writes] = [&d.reads, &d.writes].map(|l| l.iter().map(place).collect::<Vec<_>>());
            // What is changed in place is read, too.
            let old = d.kernel.in_place().then(|| writes.clone());
            let reads = reads.into_iter().chain(old.into_iter().flatten()).collect();
            Block { kernel: d.kernel.clone(), reads, writes, label: d.label.clone() }
        }
        Item::Region { reads, writes, label, .. } => Block {
            kernel: Kernel::Advance(Advance),
            reads: reads.iter().map(whole).collect(),
            writes: writes.iter().map(whole).collect(),
            label: label.clone(),
        },
        Item::Loop { .. } | Item::Chunks { .. } => {
            unreachable!("loops are written out, and chunks are the CPU's")
        }
    }
}

/// Buffers that blocks touch.
fn buffers<'b>(blocks: impl IntoIterator<Item = &'b Block>) -> BTreeSet<usize> {
    blocks.into_iter().flat_map(|b| b.reads.iter().chain(&b.writes)).filter_map(Operand::local).collect()
}

/// Whether a block reads what a chain makes or reads, too.
fn shares(chain: &[Block], b: &Block) -> bool {
    let known = || chain.iter().flat_map(|c| c.reads.iter().chain(&c.writes));
    b.reads.iter().any(|o| known().any(|k| same(k, o)))
}
