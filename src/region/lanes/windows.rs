//! Locals of which a loop looks at one part after another, each in one repetition: fetched, or put back, part by part. What goes over a
//! sequence then keeps an element of it in the arena, and not the whole, which no near cache would hold.

use crate::region::{Operand, Region, Stage};

/// How a local is fetched and stored part by part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The stage, a loop.
    pub(super) stage: usize,
    /// First element of the part that the first repetition looks at.
    pub(super) first: usize,
    /// By how many elements it moves from one repetition to the next.
    pub(super) step: isize,
}

/// The region with such locals as long as their parts, and the windows of its locals.
pub(super) fn windowed(region: &Region) -> (Region, Vec<Option<Window>>) {
    let mut region = region.clone();
    let found: Vec<Option<(Window, usize)>> = (0..region.locals.len()).map(|l| window(&region, l)).collect();
    for (local, found) in region.locals.iter_mut().zip(&found) {
        if let Some((_, len)) = found {
            local.len = *len;
        }
    }
    let windows: Vec<Option<Window>> = found.into_iter().map(|f| f.map(|(window, _)| window)).collect();
    region.stages.iter_mut().for_each(|stage| narrow(stage, &windows));
    (region, windows)
}

/// Operands of such locals look at the part that is there.
fn narrow(stage: &mut Stage, windows: &[Option<Window>]) {
    match stage {
        Stage::Block(block) => {
            for o in block.reads.iter_mut().chain(&mut block.writes) {
                if let Some(window) = o.local().and_then(|l| windows[l]) {
                    o.view.offset -= window.first;
                    o.steps[0] = 0;
                }
            }
        }
        Stage::Loop { body, .. } => body.iter_mut().for_each(|stage| narrow(stage, windows)),
    }
}

/// The window of a local, and the length of its parts.
fn window(region: &Region, local: usize) -> Option<(Window, usize)> {
    region.locals[local].backing?;
    let mut uses: Vec<(usize, &Operand)> = Vec::new();
    for (stage, of) in region.stages.iter().enumerate() {
        let operands = of.blocks().into_iter().flat_map(|b| b.reads.iter().chain(&b.writes));
        uses.extend(operands.filter(|o| o.local() == Some(local)).map(|o| (stage, o)));
    }
    let &(stage, one) = uses.first()?;
    let Stage::Loop { .. } = region.stages[stage] else { return None };
    let step = one.steps[0];
    // All in one loop, and moving with it alone.
    let alike = |(at, o): &(usize, &Operand)| {
        *at == stage && o.steps[0] == step && o.steps[1..].iter().all(|s| *s == 0)
    };
    let first = uses.iter().map(|(_, o)| o.view.offset).min()?;
    let len = uses.iter().map(|(_, o)| o.view.end()).max()? - first;
    // Parts of different repetitions lie apart.
    let apart = step != 0 && len <= step.unsigned_abs();
    (uses.iter().all(alike) && apart).then_some((Window { stage, first, step }, len))
}
