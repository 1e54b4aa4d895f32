//! Worlds: an environment with contexts, drawn for each task.

use std::sync::Arc;

use super::environment::{ContextNumber, Environment, Spread};
use crate::error::{Error, Result, nearest};
use crate::rng::Rng;

/// A number of the context that differs from task to task, evenly between two ends.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Varied {
    /// Its column of the context.
    pub column: usize,
    /// What it may be: from the first to the second; of a sign −1 or 1.
    pub range: [f64; 2],
}

/// Tasks, each an environment with a context of its own, and how often each is there.
#[derive(Clone, Debug)]
pub struct Worlds {
    /// What it is that differs.
    pub environment: Arc<dyn Environment>,
    /// How many contexts there are.
    pub tasks: usize,
    /// Worlds of each.
    pub each: usize,
    /// What differs, in the order of the descriptor.
    pub varied: Vec<Varied>,
    /// Contexts `[tasks, context]`.
    contexts: Vec<f32>,
}

/// Random numbers of contexts.
const CONTEXTS: u64 = 0xc047;

impl Worlds {
    /// So many tasks that are all as usual, with so many worlds each.
    pub fn usual(environment: Arc<dyn Environment>, tasks: usize, each: usize) -> Worlds {
        let usual: Vec<f32> = environment.context().iter().map(|c| c.usual as f32).collect();
        Worlds { environment, tasks, each, varied: vec![], contexts: usual.repeat(tasks) }
    }

    /// So many tasks, whose varied numbers are drawn by a seed, with so many worlds each.
    pub fn drawn(
        environment: Arc<dyn Environment>,
        varied: Vec<Varied>,
        [tasks, each]: [usize; 2],
        seed: u64,
    ) -> Worlds {
        let mut worlds = Worlds::usual(environment, tasks, each);
        worlds.varied = varied;
        worlds.draw(seed);
        worlds
    }

    /// Draws what differs anew.
    pub(super) fn draw(&mut self, seed: u64) {
        self.draw_within(&[], seed);
    }

    /// Draws what differs anew, and what else is given, in the ranges that are given, where one is. What a policy is told of a context stays what it
    /// would be told of it anyway ([`Worlds::descriptors`]).
    pub fn draw_within(&mut self, given: &[Varied], seed: u64) {
        let known = self.environment.context();
        for (task, context) in self.contexts.chunks_exact_mut(known.len().max(1)).enumerate() {
            let mut rng = Rng::new(seed, CONTEXTS ^ (task as u64) << 16);
            let own = self.varied.iter().filter(|v| given.iter().all(|g| g.column != v.column));
            for v in own.chain(given) {
                let [low, high] = v.range;
                let drawn = match known[v.column].spread {
                    _ if low == high => low,
                    Spread::Even => rng.range(low, high),
                    Spread::Whole => low + rng.below((high - low) as usize + 1) as f64,
                    Spread::Sign => [-1.0, 1.0][rng.below(2)],
                    Spread::Share => -(1.0 - rng.uniform()).ln(),
                    Spread::Normal => 1.0 + rng.normal(),
                };
                context[v.column] = drawn as f32;
            }
        }
    }

    /// One world whose context has these numbers, by columns; of others that are drawn evenly the middle of the range (of whole ones the one below it), of the rest what is usual.
    pub fn one(environment: Arc<dyn Environment>, varied: Vec<Varied>, given: &[(usize, f64)]) -> Worlds {
        let known = environment.context();
        let middle = |v: &Varied| {
            let middle = (v.range[0] + v.range[1]) / 2.0;
            let value = match known[v.column].spread {
                Spread::Even => middle,
                Spread::Whole => middle.floor(),
                _ if v.range[0] == v.range[1] => middle,
                _ => known[v.column].usual,
            };
            (v.column, value)
        };
        let middle: Vec<(usize, f64)> = varied.iter().map(middle).collect();
        let mut worlds = Worlds::usual(environment, 1, 1);
        for (column, value) in middle.into_iter().chain(given.iter().copied()) {
            worlds.contexts[column] = value as f32;
        }
        worlds.varied = varied;
        worlds
    }

    /// What differs where this is said ([`Worlds::parse`]): of a family of tasks ([`Environment::is_family`]) all other numbers, too, over
    /// their whole ranges.
    ///
    /// # Errors
    /// Those of [`Worlds::parse`].
    pub fn varied(environment: &dyn Environment, text: &str, key: &str) -> Result<Vec<Varied>> {
        let mut found = Worlds::parse(environment, text, key)?;
        if environment.is_family() {
            let rest = environment.context().iter().enumerate();
            let rest: Vec<Varied> = rest
                .map(|(column, c)| Varied { column, range: c.range })
                .filter(|v| found.iter().all(|given| given.column != v.column))
                .collect();
            found.extend(rest);
        }
        Ok(found)
    }

    /// Ranges by the context's names, as `length=0.25..1,sign=-1..1` has them, or single numbers.
    ///
    /// # Errors
    /// [`Error::Config`] about `key`: an unknown name, what is no range, and what lies out of bounds.
    pub fn parse(environment: &dyn Environment, text: &str, key: &str) -> Result<Vec<Varied>> {
        let known = environment.context();
        let names: Vec<&str> = known.iter().map(|c| &*c.name).collect();
        let bounds = |c: &ContextNumber| format!("{} ({} to {})", c.name, c.range[0], c.range[1]);
        let of = |some: &[ContextNumber]| some.iter().map(bounds).collect::<Vec<_>>().join(", ");
        let listed = match names.len() {
            0..=16 => of(known),
            many => format!("{}, … ({many} of them)", of(&known[..4])),
        };
        let fail = |message: String| Error::config(key, message);
        if known.is_empty() && !text.trim().is_empty() {
            return Err(fail(format!("of {} nothing differs from world to world", environment.name())));
        }
        let mut found: Vec<Varied> = vec![];
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, range) = part.split_once('=').ok_or_else(|| {
                fail(format!("'{part}' is no number of the context: NAME=LOW..HIGH, with a name of {listed}"))
            })?;
            let name = name.trim();
            let column = names.iter().position(|n| *n == name).ok_or_else(|| {
                let near = nearest(name, names.iter().copied())
                    .map_or(String::new(), |n| format!("; did you mean '{n}'?"));
                fail(format!("{} has no '{name}': there are {listed}{near}", environment.name()))
            })?;
            let number = |text: &str| text.trim().parse::<f64>().ok().filter(|x| x.is_finite());
            let ends = match range.split_once("..") {
                Some((low, high)) => number(low).zip(number(high)),
                None => number(range).map(|x| (x, x)),
            };
            let (low, high) = ends.filter(|(low, high)| low <= high).ok_or_else(|| {
                fail(format!("'{range}' is no range for {name}: LOW..HIGH, as 0.5..2, or a number"))
            })?;
            let [least, most] = known[column].range;
            if low < least || high > most {
                return Err(fail(format!("{name} may be from {least} to {most}: {range} is out of it")));
            }
            match known[column].spread {
                Spread::Whole if low.fract() != 0.0 || high.fract() != 0.0 => {
                    return Err(fail(format!("{name} is a whole number: {range} is not")));
                }
                Spread::Sign if ![low, high].iter().all(|x| x.abs() == 1.0) => {
                    return Err(fail(format!("a sign is -1 or 1: {name}=-1..1 has both, not {range}")));
                }
                Spread::Share | Spread::Normal if low < high => {
                    let message =
                        format!("{name} is not drawn from a range: it may be one number, not {range}");
                    return Err(fail(message));
                }
                _ => {}
            }
            if found.iter().any(|v| v.column == column) {
                return Err(fail(format!("{name} stands there twice")));
            }
            found.push(Varied { column, range: [low, high] });
        }
        Ok(found)
    }

    /// Contexts, `[tasks, worlds, context]`; of an environment without any one number, 0, of each world.
    pub fn contexts(&self) -> Vec<f32> {
        let width = self.environment.context().len();
        if width == 0 {
            return vec![0.0; self.tasks * self.each];
        }
        self.contexts.chunks(width).flat_map(|c| c.repeat(self.each)).collect()
    }

    /// What of a context differs, `[tasks, worlds, d]`: each number from −1 to 1 within its range, or as far as it is from a mean of 1.
    pub fn descriptors(&self) -> Vec<f32> {
        let known = self.environment.context();
        let width = known.len().max(1);
        let one = |context: &[f32]| -> Vec<f32> {
            let of = |v: &Varied| {
                let [low, high] = v.range;
                let (half, is) = ((high - low) / 2.0, f64::from(context[v.column]));
                match known[v.column].spread {
                    _ if half == 0.0 => 0.0,
                    Spread::Even | Spread::Whole | Spread::Sign => ((is - low) / half - 1.0) as f32,
                    Spread::Share | Spread::Normal => (is - 1.0) as f32,
                }
            };
            self.varied.iter().map(of).collect()
        };
        self.contexts.chunks(width).flat_map(|c| one(c).repeat(self.each)).collect()
    }

    /// The same tasks with the contexts of others, of which there are as many.
    ///
    /// # Panics
    /// Where there are not, or they are of another environment.
    pub fn take_contexts(&mut self, other: &Worlds) {
        assert_eq!(self.environment.name(), other.environment.name(), "contexts are of one environment");
        assert_eq!(self.tasks, other.tasks, "there are as many");
        self.contexts.clone_from(&other.contexts);
    }

    /// Whether there are different contexts.
    pub fn differ(&self) -> bool {
        let width = self.environment.context().len().max(1);
        self.contexts.chunks(width).any(|context| context != &self.contexts[..width])
    }

    /// Numbers that a policy may be told of a context.
    pub fn descriptor(&self) -> usize {
        self.varied.len()
    }

    /// The context of a task, by names.
    pub fn context_of(&self, task: usize) -> Vec<(&str, f32)> {
        let known = self.environment.context();
        known.iter().zip(self.numbers_of(task)).map(|(c, x)| (&*c.name, *x)).collect()
    }

    /// The numbers of a task's context.
    pub fn numbers_of(&self, task: usize) -> &[f32] {
        let width = self.environment.context().len();
        &self.contexts[task * width..][..width]
    }
}
