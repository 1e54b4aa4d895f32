//! Passes: blocks that a workgroup does in one go.
//!
//! What is made element by element of the results of a product, a sum or another such block is made by the thread that has
//! just made those: no barrier stands between them, and a value that nothing else reads stays in a register. For that the
//! blocks of a region are put in another order, as far as what they read and write allows.

use std::collections::VecDeque;

use super::rows::meet;
use super::{Block, Life, Operand, Placed, Region, Stage};
use crate::kernel::nest::{Family, Part};
use crate::view::collapse;

/// Blocks of a pass at most: its values are in registers.
const MOST: usize = 12;
/// Operands of a pass at most.
const OPERANDS: usize = 16;
/// A block that reads none of a pass's results joins it from as many blocks away: what it makes has to be kept until it is
/// read.
const NEAR: usize = 3;

/// Whether two operands are the same elements in the same order.
pub(crate) fn same(a: &Operand, b: &Operand) -> bool {
    a.at == b.at && a.steps == b.steps && collapse([a.view]) == collapse([b.view])
}

/// Whether two operands have elements in common, or may have.
fn touches(a: &Operand, b: &Operand) -> bool {
    a.at == b.at && meet(a, b)
}

/// Whether two blocks can be done in either order.
pub(crate) fn independent(a: &Block, b: &Block) -> bool {
    let clear = |a: &Block, b: &Block| {
        a.writes.iter().all(|w| !b.reads.iter().chain(&b.writes).any(|o| touches(w, o)))
    };
    clear(a, b) && clear(b, a)
}

/// Whether the `k`-th operand that a block reads is read by the thread that makes the result at the same place, and by no
/// other.
fn by_element(b: &Block, k: usize) -> bool {
    b.kernel.is_pointwise() || b.nest().part(k) == Part::AfterSum
}

/// How many different operands blocks have.
fn operands<'b>(blocks: impl Iterator<Item = &'b Block>) -> usize {
    let mut known: Vec<&Operand> = Vec::new();
    for o in blocks.flat_map(|b| b.reads.iter().chain(&b.writes)) {
        if !known.iter().any(|k| same(k, o)) {
            known.push(o);
        }
    }
    known.len()
}

/// Whether a block can be done in a pass, after its other blocks.
pub(crate) fn joins(pass: &[Block], b: &Block) -> bool {
    let y = &pass[0].writes[0].view;
    let own = &b.writes[0];
    let like = match pass[0].kernel.family() {
        Family::Product => own.view.dims == y.dims,
        Family::Sum | Family::Pointwise => own.view.squeezed().dims == y.squeezed().dims,
        Family::Own | Family::Opaque => false,
    };
    if !b.kernel.is_pointwise() || !like || pass.len() == MOST || operands(pass.iter().chain([b])) > OPERANDS
    {
        return false;
    }
    let written = || pass.iter().flat_map(|p| &p.writes);
    let reads = b.reads.iter().all(|o| written().chain([own]).all(|w| same(o, w) || !touches(o, w)));
    let read = |p: &Block| {
        let fits = |(k, o): (usize, &Operand)| !touches(o, own) || (by_element(p, k) && same(o, own));
        p.reads.iter().enumerate().all(fits)
    };
    reads && pass.iter().all(read) && written().all(|w| same(w, own) || !touches(w, own))
}

/// Blocks in passes.
fn passes(blocks: Vec<Block>) -> Vec<Vec<Block>> {
    let mut rest = VecDeque::from(blocks);
    let mut all = Vec::new();
    while let Some(first) = rest.pop_front() {
        let mut pass = vec![first];
        let mut i = 0;
        while i < rest.len() {
            let b = &rest[i];
            let follows = || b.reads.iter().any(|o| pass.iter().flat_map(|p| &p.writes).any(|w| same(o, w)));
            let joined = (i < NEAR || follows())
                && joins(&pass, b)
                && rest.range(..i).all(|other| independent(other, b));
            if joined {
                pass.extend(rest.remove(i));
            } else {
                i += 1;
            }
        }
        all.push(pass);
    }
    all
}

/// Puts a list of stages in the order of passes; adds for each block whether it belongs to the pass of the one before it.
fn order(stages: Vec<Stage>, joined: &mut Vec<bool>) -> Vec<Stage> {
    let mut out = Vec::new();
    let mut blocks = Vec::new();
    let flush = |blocks: &mut Vec<Block>, out: &mut Vec<Stage>, joined: &mut Vec<bool>| {
        for pass in passes(std::mem::take(blocks)) {
            joined.extend((0..pass.len()).map(|i| i > 0));
            out.extend(pass.into_iter().map(Stage::Block));
        }
    };
    for stage in stages {
        match stage {
            Stage::Block(b) => blocks.push(b),
            Stage::Loop { n, body } => {
                flush(&mut blocks, &mut out, joined);
                let body = order(body, joined);
                out.push(Stage::Loop { n, body });
            }
        }
    }
    flush(&mut blocks, &mut out, joined);
    out
}

impl Region {
    /// Puts the blocks in the order of passes. Tells of each block whether it belongs to the pass of the one before it.
    pub(crate) fn in_passes(&mut self) -> Vec<bool> {
        let mut joined = Vec::new();
        self.stages = order(std::mem::take(&mut self.stages), &mut joined);
        joined
    }

    /// When each local is needed, by passes: a pass needs all that its blocks touch from its first block to its last.
    pub(super) fn lives_in_passes(&self, joined: &[bool]) -> Vec<Option<Life>> {
        let first = |at: usize| (0..=at).rev().find(|i| !joined[*i]).unwrap_or(at);
        let last = |at: usize| (at + 1..joined.len()).find(|i| !joined[*i]).unwrap_or(joined.len()) - 1;
        let wide = |life: Life| Life { first: first(life.first), last: last(life.last) };
        self.lives().into_iter().map(|life| life.map(wide)).collect()
    }

    /// For each local, whether it lies in a register: one pass makes it, and nothing but that pass reads it.
    pub(super) fn in_registers(&self, joined: &[bool]) -> Vec<bool> {
        let placed = self.blocks();
        // The pass of each touch, and whether it finds its value there.
        let mut pass_of = vec![None; self.locals.len()];
        let mut fits: Vec<bool> = self.locals.iter().map(|l| l.backing.is_none()).collect();
        for (number, pass) in split(&placed, joined).enumerate() {
            let mut written: Vec<&Operand> = Vec::new();
            for p in pass {
                let b = p.block;
                for (k, o) in b.reads.iter().chain(&b.writes).enumerate() {
                    let Some(l) = o.local() else { continue };
                    let own = b.kernel.family() == Family::Own;
                    let made = (k >= b.reads.len() && !own) || written.iter().any(|w| same(o, w));
                    fits[l] &= made && *pass_of[l].get_or_insert(number) == number;
                }
                written.extend(&b.writes);
            }
        }
        fits
    }
}

/// The passes of blocks in order.
pub(super) fn split<'p, 'r>(
    placed: &'p [Placed<'r>],
    joined: &'p [bool],
) -> impl Iterator<Item = &'p [Placed<'r>]> {
    placed.chunk_by(|_, next| joined[next.at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::op::{Binary, Func};
    use crate::kernel::{Kernel, Map, Zip};
    use crate::region::{Base, DEPTH};
    use crate::spec::Activation;
    use crate::view::View;

    fn operand(local: usize, shape: &[usize]) -> Operand {
        Operand { at: Base::Local(local), view: View::contiguous(shape, 0), steps: [0; DEPTH] }
    }

    fn block(kernel: Kernel, reads: &[Operand], write: Operand) -> Block {
        Block { kernel, reads: reads.to_vec(), writes: vec![write], label: String::new() }
    }

    fn tanh(x: Operand, y: Operand) -> Block {
        block(Kernel::Map(Map { func: Func::Act(Activation::Tanh, 0) }), &[x], y)
    }

    fn add(a: Operand, b: Operand, y: Operand) -> Block {
        block(Kernel::Zip(Zip { op: Binary::Add, pre: None }), &[a, b], y)
    }

    #[test]
    fn what_follows_by_element_joins_and_what_reads_across_does_not() {
        let v = |l| operand(l, &[3, 4]);
        let column = |l| Operand { view: View::contiguous(&[3, 1], 0), ..v(l) };
        let spread = |l| {
            let mut o = v(l);
            o.view = View { strides: [0; 6], ..o.view };
            o
        };
        // A chain, with a block of another shape in between that has nothing to do with it.
        let chain =
            vec![tanh(v(0), v(1)), tanh(column(5), column(6)), add(v(1), v(0), v(2)), tanh(v(2), v(3))];
        let found = passes(chain);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
        // One element for all: another thread made it.
        assert_eq!(passes(vec![tanh(v(0), v(1)), add(v(0), spread(1), v(2))]).len(), 2);
        // Other threads still read what it overwrites.
        assert_eq!(passes(vec![add(v(0), spread(1), v(2)), tanh(v(2), v(1))]).len(), 2);
        // In place.
        assert_eq!(passes(vec![tanh(v(0), v(1)), add(v(1), v(0), v(1))]).len(), 1);
        // What stands in between reads the value as it was before.
        let before = vec![tanh(v(0), v(1)), tanh(column(1), column(7)), add(v(1), v(0), v(1))];
        assert_eq!(passes(before).len(), 3);
    }
}
