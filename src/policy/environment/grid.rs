//! Two rooms, a locked door between them, and a key.

use super::{ActionSpace, ContextNumber, Environment, Ink, Moment, Scene, Shape, Spread, Transition, Widths};
use crate::graph::expr::Expr;

/// A grid world with key and door (after MiniGrid's `DoorKey`, Chevalier-Boisvert et al. 2023): seven cells wide and five high; the column in the middle
/// is a wall with a door in it. The agent starts somewhere in the left room and goes up, right, down or left. Where the key lies it is taken; the door
/// opens to who has it; the goal, in the right room, ends the episode and pays 1; every step costs 0.01; 60 steps. Seen are the column, the row, and whether the
/// agent has the key; not where key, door and goal are, which is the context. As a picture all of it is seen, five channels a cell: the agent, the key where it
/// lies, the wall, the door as long as it is locked, and the goal; then rooms are a family of tasks.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    /// Whether a picture is seen.
    pub picture: bool,
}

const fn whole(name: &'static str, usual: f64, range: [f64; 2]) -> ContextNumber {
    let mut number = ContextNumber::new(name, usual, range);
    number.spread = Spread::Whole;
    number
}

static CONTEXT: [ContextNumber; 5] = [
    whole("key_x", 1.0, [0.0, 2.0]),
    whole("key_y", 4.0, [0.0, 4.0]),
    whole("door", 2.0, [0.0, 4.0]),
    whole("goal_x", 5.0, [4.0, 6.0]),
    whole("goal_y", 0.0, [0.0, 4.0]),
];
const WIDE: usize = 7;
const HIGH: usize = 5;
/// The column of the wall, and the width of the room before it.
const WALL: usize = 3;
const COST: f64 = 0.01;
/// Channels of a picture.
const CHANNELS: usize = 5;

/// 1 where two whole numbers are equal.
fn same<'g>(a: Expr<'g>, b: Expr<'g>) -> Expr<'g> {
    let off = a - b;
    off.at_least(-0.5) * off.below(0.5)
}

/// A picture of the rooms, `[.., cells · channels]`.
fn seen<'g>(state: Expr<'g>, context: Expr<'g>) -> Expr<'g> {
    let cells = |of: fn(usize) -> usize| -> Vec<f64> { (0..WIDE * HIGH).map(|i| of(i) as f64).collect() };
    let [columns, rows] = [cells(|i| i % WIDE), cells(|i| i / WIDE)].map(|of| {
        let shape = [&vec![1; state.shape().len() - 1][..], &[WIDE * HIGH]].concat();
        state.exprs().build(|g| g.constants(&shape, &of))
    });
    let [x, y, has] = [0, 1, 2].map(|i| state.column(i));
    let [key_x, key_y, door, goal_x, goal_y] = [0, 1, 2, 3, 4].map(|i| context.column(i));
    let at = |x: Expr<'g>, y: Expr<'g>| same(columns, x) * same(rows, y);
    let middle = x * 0.0 + WALL as f64;
    let gate = at(middle, door);
    let channels = [
        at(x, y),
        at(key_x, key_y) * (1.0 - has),
        same(columns, middle) - gate,
        gate * (1.0 - has),
        at(goal_x, goal_y),
    ];
    let shape = channels[0].shape();
    let deep = channels.map(|c| c.reshape(&[&shape[..], &[1]].concat()));
    let [before @ .., cells] = &shape[..] else { panic!("pictures have cells") };
    Expr::columns(&deep).reshape(&[before, &[cells * CHANNELS]].concat())
}

impl Environment for Grid {
    fn name(&self) -> &str {
        if self.picture { "grid-picture" } else { "grid" }
    }

    fn widths(&self) -> Widths {
        let observation = if self.picture { WIDE * HIGH * CHANNELS } else { WIDE + HIGH + 1 };
        Widths { state: 3, observation, noise: 2 }
    }

    fn picture(&self) -> Option<[usize; 3]> {
        self.picture.then_some([HIGH, WIDE, CHANNELS])
    }

    fn is_family(&self) -> bool {
        self.picture
    }

    fn action(&self) -> ActionSpace {
        ActionSpace::Discrete(4)
    }

    fn context(&self) -> &[ContextNumber] {
        &CONTEXT
    }

    fn horizon(&self) -> usize {
        60
    }

    fn trial(&self) -> Vec<usize> {
        vec![60; 3]
    }

    /// To the key, to the door and to the goal by the shortest way, on the mean over all starts.
    fn oracle(&self, context: &[f32], steps: usize) -> Option<f64> {
        let [key_x, key_y, door, goal_x, goal_y] = [0, 1, 2, 3, 4].map(|i| context[i] as i64);
        let rest =
            (WALL as i64 - key_x) + (key_y - door).abs() + (goal_x - WALL as i64) + (door - goal_y).abs();
        let of = |cell: usize| {
            let (x, y) = ((cell % WALL) as i64, (cell / WALL) as i64);
            let way = ((x - key_x).abs() + (y - key_y).abs() + rest) as usize;
            -COST * way.min(steps) as f64 + if way <= steps { 1.0 } else { 0.0 }
        };
        let cells = WALL * HIGH;
        Some((0..cells).map(of).sum::<f64>() / cells as f64)
    }

    fn start<'g>(&self, context: Expr<'g>, noise: Expr<'g>) -> Expr<'g> {
        let cell = |i: usize, many: usize| (noise.column(i) * many as f64).floor();
        let (x, y) = (cell(0, WALL), cell(1, HIGH));
        let key = same(x, context.column(0)) * same(y, context.column(1));
        Expr::columns(&[x, y, key])
    }

    fn step<'g>(&self, m: Moment<'g>) -> Transition<'g> {
        let [x, y, key] = [0, 1, 2].map(|i| m.state.column(i));
        let [up, right, down, left] = [0, 1, 2, 3].map(|i| m.action.column(i));
        let [key_x, key_y, door, goal_x, goal_y] = [0, 1, 2, 3, 4].map(|i| m.context.column(i));
        let to_x = (x + right - left).clip(0.0, (WIDE - 1) as f64);
        let to_y = (y + down - up).clip(0.0, (HIGH - 1) as f64);
        let wall = same(to_x, x * 0.0 + WALL as f64);
        let blocked = wall * (1.0 - key * same(to_y, door));
        let (x, y) = (blocked.choose(x, to_x), blocked.choose(y, to_y));
        let key = key.larger(same(x, key_x) * same(y, key_y));
        let there = same(x, goal_x) * same(y, goal_y);
        Transition { state: Expr::columns(&[x, y, key]), reward: there - COST, terminated: there }
    }

    fn observe<'g>(&self, state: Expr<'g>, context: Expr<'g>) -> Expr<'g> {
        if self.picture {
            return seen(state, context);
        }
        let one_hot = |of: Expr<'g>, many: usize| (0..many).map(move |i| same(of, of * 0.0 + i as f64));
        let mut columns: Vec<Expr<'g>> = one_hot(state.column(0), WIDE).collect();
        columns.extend(one_hot(state.column(1), HIGH));
        columns.push(state.column(2));
        Expr::columns(&columns)
    }

    fn scene(&self, state: &[f32], context: &[f32]) -> Option<Scene> {
        let [x, y, has] = [0, 1, 2].map(|i| f64::from(state[i]));
        let [key_x, key_y, door, goal_x, goal_y] = [0, 1, 2, 3, 4].map(|i| f64::from(context[i]));
        // Rows count from the top.
        let at = |x: f64, y: f64| [x + 0.5, HIGH as f64 - y - 0.5];
        let mut shapes: Vec<Shape> = vec![];
        for i in 0..=WIDE {
            let x = i as f64;
            shapes.push(Shape::line(&[[x, 0.0], [x, HIGH as f64]], 0.02, Ink::World));
        }
        for i in 0..=HIGH {
            let y = i as f64;
            shapes.push(Shape::line(&[[0.0, y], [WIDE as f64, y]], 0.02, Ink::World));
        }
        let wall = WALL as f64 + 0.5;
        let (top, bottom) = (HIGH as f64 - door, HIGH as f64 - door - 1.0);
        shapes.push(Shape::line(&[[wall, HIGH as f64], [wall, top]], 0.9, Ink::World));
        shapes.push(Shape::line(&[[wall, bottom], [wall, 0.0]], 0.9, Ink::World));
        // Who has the key may go through.
        let closed = 1.0 - has;
        shapes.push(Shape::line(&[[wall, top], [wall, top - closed]], 0.3, Ink::Thing));
        shapes.push(Shape::disc(at(key_x, key_y), 0.18 * closed, Ink::Thing));
        shapes.push(Shape::disc(at(goal_x, goal_y), 0.38, Ink::Goal));
        shapes.push(Shape::disc(at(x, y), 0.3, Ink::Agent));
        Some(Scene { view: [[-0.2, WIDE as f64 + 0.2], [-0.2, HIGH as f64 + 0.2]], shapes })
    }
}
