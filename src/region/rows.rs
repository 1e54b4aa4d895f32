//! Rows of a task, some at a time.
//!
//! A task may have many rows, and what a network makes of them more values than a workgroup or a cache holds. Where a
//! stretch of blocks does the same to each row by itself, it becomes a loop over chunks of rows: only a chunk of what
//! lies between two blocks is needed at once. What is summed over rows, as gradients are, is added up chunk by chunk.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::zip;
use std::ops::Range;

use super::{Base, Block, DEPTH, Life, Local, Operand, Region, Stage};
use crate::graph::op::Binary;
use crate::kernel::nest::{LOOPS, Nest, Part};
use crate::kernel::{Fill, Kernel, Zip};
use crate::spec::{DType, MAX_RANK};
use crate::view::View;

/// Fewer rows are not worth a chunk.
const LEAST: usize = 8;
/// With fewer rows a chunk, what all rows read alike (weights, and the gradient that is summed) is fetched from a further cache too often.
const WORTH: usize = 32;

const ADD: Kernel = Kernel::Zip(Zip { op: Binary::Add, pre: None });

/// The bias that a product adds, if it does.
fn bias<'b>(b: &'b Block, nest: &Nest) -> Option<&'b Operand> {
    (0..b.reads.len()).find(|&k| nest.part(k) == Part::AfterSum).map(|k| &b.reads[k])
}

/// The operands of a block that take part, those read first.
fn operands<'b>(b: &'b Block, nest: &Nest) -> impl Iterator<Item = (usize, &'b Operand)> {
    let all = move |k: usize| b.reads.get(k).unwrap_or_else(|| &b.writes[k - b.reads.len()]);
    nest.operands().map(move |k| (k, all(k)))
}

/// Whether two operands of one place have elements in common, or may have.
pub(super) fn meet(a: &Operand, b: &Operand) -> bool {
    !(a.steps == b.steps && a.view.apart(&b.view))
}

/// When a block of a stretch is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// For some rows at a time, which go along this axis.
    Rows(usize),
    /// Before them: it has nothing to do with them.
    Before,
    /// After them: it reads sums over all of them, or writes what they read.
    After,
}

/// How a value lies row by row.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rows {
    /// First element of the first row.
    base: usize,
    /// Elements of a row.
    stride: usize,
    /// How it moves with the loop around the stretch.
    steps: [isize; DEPTH],
}

impl Rows {
    /// How an operand lies if an axis goes from row to row; `None` if nothing moves along it, or rows are not apart.
    fn of(o: &Operand, axis: usize) -> Option<Rows> {
        let (view, stride) = (&o.view, o.view.strides[axis]);
        let within = view.offset.checked_rem(stride)?;
        let others = (0..MAX_RANK).filter(|&i| i != axis).map(|i| (view.dims[i] - 1) * view.strides[i]);
        let apart = within + others.sum::<usize>() < stride;
        apart.then_some(Rows { base: view.offset - within, stride, steps: o.steps })
    }
}

/// How something is used in a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Row by row.
    Row,
    /// Read by all rows alike.
    Whole,
    /// Takes a sum over rows.
    Sum,
    /// By a block that is done before them.
    Before,
    /// Read after them.
    ReadAfter,
    /// Written after them.
    WrittenAfter,
}

impl Use {
    /// Ways in which elements must not have been used before they are used so: the order would change.
    fn conflicts(self, written: bool) -> &'static [Use] {
        use Use::*;
        match self {
            ReadAfter => &[],
            Row if written => &[Whole, Sum, ReadAfter, WrittenAfter],
            Row | Whole => &[Sum, WrittenAfter],
            _ => &[Row, Whole, Sum, Before, ReadAfter, WrittenAfter],
        }
    }
}

/// Blocks one after another that do the same to each of `rows` rows by itself, or have nothing to do with them.
#[derive(Debug)]
struct Stretch {
    /// The stage that is the loop around it, if there is one.
    around: Option<usize>,
    /// The first stage, in the region or in that loop.
    first: usize,
    rows: usize,
    /// For each stage.
    turns: Vec<Turn>,
    /// What lies row by row.
    streamed: BTreeMap<Base, Rows>,
    /// What the blocks so far have used, and how.
    used: HashMap<Base, Vec<(Operand, Use)>>,
}

impl Stretch {
    /// The longest that begins with the block at `first` of a list of stages, which reads rows that lie so.
    fn find(
        stages: &[Stage],
        around: Option<usize>,
        first: usize,
        rows: usize,
        lie: (Base, Rows),
    ) -> Option<Stretch> {
        let mut s = Stretch {
            around,
            first,
            rows,
            turns: Vec::new(),
            streamed: BTreeMap::from([lie]),
            used: HashMap::new(),
        };
        for stage in &stages[first..] {
            let Stage::Block(b) = stage else { break };
            // What the block that ends the stretch has left in `streamed` does no harm: something else touches it.
            let Some(turn) = s.turn(b) else { break };
            s.turns.push(turn);
        }
        // What comes last and touches no rows can stay there.
        while s.turns.pop_if(|t| !matches!(t, Turn::Rows(_))).is_some() {}
        (!s.turns.is_empty()).then_some(s)
    }

    /// Whether something that was used in one of these ways meets an operand.
    fn meets(&self, o: &Operand, ways: &[Use]) -> bool {
        let used = self.used.get(&o.at).into_iter().flatten();
        used.filter(|(_, way)| ways.contains(way)).any(|(other, _)| meet(o, other))
    }

    fn uses(&mut self, o: &Operand, way: Use) {
        self.used.entry(o.at).or_default().push((*o, way));
    }

    /// When a block can be done that follows the others; `None` where the stretch ends before it.
    fn turn(&mut self, b: &Block) -> Option<Turn> {
        use Use::*;
        if let Some(along) = self.direction(b)? {
            return self.joins(b, along).then_some(Turn::Rows(along));
        }
        let waits = b.reads.iter().any(|o| self.meets(o, Whole.conflicts(false)))
            || b.writes.iter().any(|o| self.meets(o, Sum.conflicts(true)));
        let (turn, read, written) =
            if waits { (Turn::After, ReadAfter, WrittenAfter) } else { (Turn::Before, Before, Before) };
        for (k, o) in operands(b, &b.nest()) {
            self.uses(o, if k < b.reads.len() { read } else { written });
        }
        Some(turn)
    }

    /// Along which axis a block goes over rows: `Some(None)` where it reads none of them, `None` if not row by row.
    fn direction(&self, b: &Block) -> Option<Option<usize>> {
        let (mut found, nest): (Option<usize>, _) = (None, b.nest());
        for (k, o) in operands(b, &nest).filter(|(k, _)| *k < b.reads.len()) {
            let Some(lie) = self.streamed.get(&o.at) else { continue };
            let fits = |along: &usize| {
                nest.axis(k, *along)
                    .is_some_and(|i| o.view.dims[i] == self.rows && Rows::of(o, i) == Some(*lie))
            };
            match found {
                Some(along) if fits(&along) => {}
                Some(_) => return None,
                None => found = Some((0..LOOPS).find(fits)?),
            }
        }
        Some(found)
    }

    /// Takes in a block that goes over rows along an axis, if it does each by itself.
    fn joins(&mut self, b: &Block, along: usize) -> bool {
        use Use::*;
        let nest = b.nest();
        let sum = self.is_sum(b, &nest, along);
        for (k, o) in operands(b, &nest) {
            let written = k >= b.reads.len();
            let row = nest.axis(k, along).filter(|&i| o.view.dims[i] == self.rows && o.view.strides[i] > 0);
            let way = if sum && nest.part(k) == Part::AfterSum {
                ReadAfter // a bias, added when the sum is complete
            } else if let Some(i) = row {
                let Some(own) = Rows::of(o, i) else { return false };
                if *self.streamed.entry(o.at).or_insert(own) != own {
                    return false;
                }
                Row
            } else if !written {
                Whole
            } else if nest.additive && !self.streamed.contains_key(&o.at) {
                Sum
            } else {
                return false;
            };
            if self.meets(o, way.conflicts(written)) {
                return false;
            }
            self.uses(o, way);
        }
        true
    }

    /// Whether a block that goes over rows along an axis sums over them.
    fn is_sum(&self, b: &Block, nest: &Nest, along: usize) -> bool {
        nest.axis(b.reads.len(), along).is_none_or(|i| b.writes[0].view.dims[i] != self.rows)
    }

    fn stages(&self) -> Range<usize> {
        self.first..self.first + self.turns.len()
    }

    /// The list of stages that it is a part of.
    fn list<'r>(&self, region: &'r Region) -> &'r [Stage] {
        match self.around.map(|i| &region.stages[i]) {
            Some(Stage::Loop { body, .. }) => body,
            _ => &region.stages,
        }
    }

    /// Its blocks, each with its turn.
    fn blocks<'r>(&self, region: &'r Region) -> impl Iterator<Item = (&'r Block, Turn)> {
        let inside = &self.list(region)[self.stages()];
        inside.iter().flat_map(Stage::blocks).zip(self.turns.clone())
    }

    /// Rows of a chunk with which a task needs `near` bytes at most here, or as little as goes, but not fewer than are worth it where
    /// `most` bytes allow; `None` where all of them need no more than `near`, or where that saves little.
    fn chunk(
        &self,
        all: &Survey<'_>,
        passing: &BTreeMap<Base, Rows>,
        [near, most]: [usize; 2],
    ) -> Option<usize> {
        let Survey { region, lives, needed, .. } = all;
        // What lies there at each position: of passing values so much a row, of others that rows touch all the time, and
        // the sum over a chunk.
        let (before, len) = (all.position(self), self.turns.len());
        let mut rest: Vec<usize> = needed[before..before + len].to_vec();
        let mut by_row = vec![0; len];
        let mut always = 0;
        let mut seen = BTreeSet::new();
        for (i, (b, turn)) in self.blocks(region).enumerate() {
            let Turn::Rows(along) = turn else { continue };
            let nest = b.nest();
            for l in operands(b, &nest).filter_map(|(_, o)| o.local()).filter(|l| seen.insert(*l)) {
                let (own, Some(life)) = (&region.locals[l], lives[l]) else { continue };
                let there = life.first.max(before)..(life.last + 1).min(before + len);
                let row = passing.get(&Base::Local(l)).map(|r| r.stride);
                always += if row.is_none() { own.len } else { 0 };
                for at in there {
                    rest[at - before] -= own.len;
                    by_row[at - before] += row.unwrap_or(0);
                }
            }
            if self.is_sum(b, &nest, along) {
                rest[i] += b.writes[0].view.count();
            }
        }
        let rows_in = |bytes: usize| {
            let room =
                |(rest, row): (&usize, &usize)| (bytes / 4).saturating_sub(always + rest).checked_div(*row);
            zip(&rest, &by_row).filter_map(room).min()
        };
        let rows = rows_in(near)?.max(rows_in(most)?.min(WORTH));
        let chunk = even_chunk(self.rows, self.rows.div_ceil(rows.max(LEAST)).max(2)).max(LEAST);
        let whole = needed[before..before + len].iter().copied().max()?;
        let then = always + zip(rest, by_row).map(|(rest, row)| rest + row * chunk).max()?;
        (4 * whole > near && 4 * then <= 3 * whole).then_some(chunk)
    }

    /// Makes a loop over chunks of so many rows of it, in a region whose stages before it are those of the survey.
    fn make_loop(&self, all: &Survey<'_>, passing: &BTreeMap<Base, Rows>, chunk: usize, new: &mut Region) {
        let (n, over) = (self.rows / chunk, self.rows % chunk);
        let block = |kernel, reads, write, b: &Block| {
            Stage::Block(Block { kernel, reads, writes: vec![write], label: b.label.clone() })
        };
        let (mut stages, mut zeros, mut after) = (vec![], vec![], vec![]);
        for (b, turn) in self.blocks(all.region) {
            let nest = b.nest();
            match turn {
                Turn::Before => stages.push(Stage::Block(b.clone())),
                Turn::After => after.push(Stage::Block(b.clone())),
                Turn::Rows(along) if self.is_sum(b, &nest, along) => {
                    let sum = b.writes[0];
                    zeros.push(block(Kernel::Fill(Fill { value: 0.0 }), vec![], sum, b));
                    after.extend(bias(b, &nest).map(|c| block(ADD, vec![sum, *c], sum, b)));
                }
                Turn::Rows(_) => {}
            }
        }
        stages.extend(zeros);
        let body = self.some(all, passing, &mut new.locals, [0, chunk, chunk]);
        stages.push(Stage::Loop { n, body });
        if over > 0 {
            stages.extend(self.some(all, passing, &mut new.locals, [n * chunk, over, 0]));
        }
        stages.extend(after);
        let list = match self.around.map(|i| &mut new.stages[i]) {
            Some(Stage::Loop { body, .. }) => body,
            _ => &mut new.stages,
        };
        list.splice(self.stages(), stages);
    }

    /// Locals that nothing needs but the blocks that go over rows: they can hold a chunk.
    fn passing(&self, all: &Survey<'_>) -> BTreeMap<Base, Rows> {
        let mut touches: HashMap<usize, usize> = HashMap::new();
        for (b, _) in self.blocks(all.region).filter(|(_, t)| matches!(t, Turn::Rows(_))) {
            for l in b.reads.iter().chain(&b.writes).filter_map(Operand::local) {
                *touches.entry(l).or_default() += 1;
            }
        }
        let here = |at: Base| {
            let Base::Local(l) = at else { return false };
            all.region.locals[l].backing.is_none() && touches.get(&l) == Some(&all.touches[l])
        };
        let still = self.streamed.iter().filter(|(at, r)| r.steps == [0; DEPTH] && here(**at));
        still.map(|(at, r)| (*at, *r)).collect()
    }

    /// The blocks for `rows` rows from row `from` on, `step` more in each repetition.
    fn some(
        &self,
        all: &Survey<'_>,
        passing: &BTreeMap<Base, Rows>,
        locals: &mut Vec<Local>,
        [from, rows, step]: [usize; 3],
    ) -> Vec<Stage> {
        let mut local = |len: usize, label: &str| {
            locals.push(Local { dtype: DType::F32, len, backing: None, label: label.into() });
            Base::Local(locals.len() - 1)
        };
        let mut own = BTreeMap::new();
        for (at, lie) in passing {
            let label = if let Base::Local(l) = at { all.region.locals[*l].label.as_str() } else { "" };
            own.insert(*at, (local(rows * lie.stride, &format!("{rows} rows of {label}")), lie.base));
        }
        let depth = usize::from(self.around.is_some());
        let mut blocks = Vec::new();
        for (whole, turn) in self.blocks(all.region) {
            let Turn::Rows(along) = turn else { continue };
            let (mut b, nest) = (whole.clone(), whole.nest());
            let reads = b.reads.len();
            for k in 0..reads + b.writes.len() {
                let i = nest.axis(k, along);
                let o = if k < reads { &mut b.reads[k] } else { &mut b.writes[k - reads] };
                let Some(i) = i.filter(|i| o.view.dims[*i] == self.rows) else { continue };
                o.view.dims[i] = rows;
                if let Some((chunk, base)) = own.get(&o.at) {
                    o.at = *chunk;
                    o.view.offset -= base;
                } else if o.view.strides[i] > 0 {
                    o.view.offset += from * o.view.strides[i];
                    o.steps[depth] = (step * o.view.strides[i]) as isize;
                }
            }
            let sums = self.is_sum(whole, &nest, along);
            // What is absent repeats the first operand; a bias is added when the sum is complete.
            for k in (0..reads).filter(|&k| nest.part(k) != Part::Always) {
                if sums {
                    b.kernel = b.kernel.without_bias();
                }
                if sums || nest.part(k) == Part::Absent {
                    b.reads[k] = b.reads[0];
                }
            }
            if !sums {
                blocks.push(Stage::Block(b));
                continue;
            }
            // The sum over these rows, and what it is added to.
            let sum = b.writes[0];
            let view = View::contiguous(&sum.view.dims, 0);
            let part = Operand { at: local(view.count(), &b.label), view, steps: [0; DEPTH] };
            let add =
                Block { kernel: ADD, reads: vec![sum, part], writes: vec![sum], label: b.label.clone() };
            blocks.push(Stage::Block(Block { writes: vec![part], ..b }));
            blocks.push(Stage::Block(add));
        }
        blocks
    }
}

/// What is known of a region before rows of it go some at a time.
struct Survey<'r> {
    region: &'r Region,
    lives: Vec<Option<Life>>,
    /// Elements that are needed at each position.
    needed: Vec<usize>,
    /// How often blocks touch each local.
    touches: Vec<usize>,
    /// The position of the first block of each stage.
    starts: Vec<usize>,
}

impl<'r> Survey<'r> {
    fn of(region: &'r Region) -> Survey<'r> {
        let touches = region.touches();
        let starts = region.stages.iter().scan(0, |at, s| {
            *at += s.blocks().len();
            Some(*at - s.blocks().len())
        });
        let starts = starts.collect();
        let lives = region.lives();
        let needed = region.needed(&lives);
        Survey { region, lives, needed, touches, starts }
    }

    /// The position of the first block of a stretch.
    fn position(&self, s: &Stretch) -> usize {
        let before: usize = s.list(self.region)[..s.first].iter().map(|stage| stage.blocks().len()).sum();
        s.around.map_or(0, |i| self.starts[i]) + before
    }
}

/// Where the first operand of a block lies in rows, if it does along an axis, and how many.
fn first_rows(b: &Block, nest: &Nest, along: usize) -> Option<(usize, (Base, Rows))> {
    let o = b.reads.first()?;
    let i = nest.axis(0, along)?;
    let (rows, lie) = (o.view.dims[i], Rows::of(o, i)?);
    (rows >= 2 * LEAST).then_some((rows, (o.at, lie)))
}

/// The stretches of a region, the longest where several meet, the last first.
fn stretches(region: &Region) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    let loops = region.stages.iter().enumerate().filter_map(|(i, s)| match s {
        Stage::Loop { body, .. } => Some((Some(i), &body[..])),
        Stage::Block(_) => None,
    });
    for (around, stages) in loops.chain([(None, &region.stages[..])]) {
        // Those that go on here: what begins with rows of theirs is a part of them.
        let mut open: Vec<Stretch> = Vec::new();
        for (first, stage) in stages.iter().enumerate() {
            let Stage::Block(b) = stage else { continue };
            found.extend(open.extract_if(.., |s| s.stages().end <= first));
            let nest = b.nest();
            for along in 0..LOOPS {
                let Some((rows, (at, lie))) = first_rows(b, &nest, along) else { continue };
                if !open.iter().any(|s| s.rows == rows && s.streamed.get(&at) == Some(&lie)) {
                    open.extend(Stretch::find(stages, around, first, rows, (at, lie)));
                }
            }
        }
        found.append(&mut open);
    }
    found.sort_by_key(|s| std::cmp::Reverse(s.turns.len()));
    let mut kept: Vec<Stretch> = Vec::new();
    for s in found {
        let meets = |o: &Stretch| {
            let (a, b) = (s.stages(), o.stages());
            o.around == s.around && a.start < b.end && b.start < a.end
        };
        if !kept.iter().any(meets) {
            kept.push(s);
        }
    }
    kept.sort_by_key(|s| std::cmp::Reverse((s.around.unwrap_or(s.first), s.first)));
    kept
}

impl Region {
    /// The same with rows some at a time where values of a task that are needed at once take more than `near` bytes; chunks of rows that are
    /// worth it may take up to `most`. `None` where none go row by row, or that saves little.
    pub(crate) fn by_rows(&self, near: usize, most: usize) -> Option<Region> {
        let all = Survey::of(self);
        let mut new: Option<Region> = None;
        // From the last on: what comes before stays where it is.
        for s in stretches(self) {
            let passing = s.passing(&all);
            if let Some(chunk) = s.chunk(&all, &passing, [near, most]) {
                let new = new.get_or_insert_with(|| Region {
                    layout: None,
                    lanes: Default::default(),
                    ..self.clone()
                });
                s.make_loop(&all, &passing, chunk, new);
            }
        }
        new
    }
}

/// Rows of a chunk where at least `parts` are wanted: a divisor of all rows if there is one that is not much less, else a
/// multiple of four.
fn even_chunk(rows: usize, parts: usize) -> usize {
    let most = rows / parts;
    let divisor = (most * 3 / 4 + 1..=most).rev().take(64).find(|c| rows.is_multiple_of(*c));
    divisor.unwrap_or(most / 4 * 4)
}
