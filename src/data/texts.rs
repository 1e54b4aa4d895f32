//! Texts as tasks, one each (a language, an author): some sequences of a text are its support, others what is asked about. What follows
//! each symbol is its target.
//!
//! ```
//! use std::sync::Arc;
//!
//! use hyperloom::data::texts::{Texts, TextTasks};
//!
//! let texts = Texts { names: vec!["one".into()], texts: vec![(0..100).collect()], symbols: 100 };
//! let tasks = TextTasks { texts: Arc::new(texts), which: vec![0], length: 10, shots: 2, query: 3, seed: 0 };
//! let task = &tasks.held_out(2)[0];
//! // It begins with what is known, and ends with what is asked.
//! assert_eq!(task.xs[..2], [0.0, 1.0]);
//! assert_eq!(task.xq, (69..99).map(|s| s as f32).collect::<Vec<_>>());
//! ```

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::graph::{Graph, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::task::{Batch, Likelihood, Rows, Task, TaskFamily, TaskShape, window_of};

/// Texts, and what they are called.
#[derive(Clone, Debug, PartialEq)]
pub struct Texts {
    /// Names of their files.
    pub names: Vec<String>,
    /// Numbers of their symbols.
    pub texts: Vec<Vec<u32>>,
    /// Symbols that there are.
    pub symbols: usize,
}

/// Tasks of some texts.
#[derive(Clone, Debug)]
pub struct TextTasks {
    /// The texts.
    pub texts: Arc<Texts>,
    /// Which of them.
    pub which: Vec<usize>,
    /// Symbols of a sequence.
    pub length: usize,
    /// Support sequences of a task: they lie one behind another.
    pub shots: usize,
    /// Query sequences of a task, at most.
    pub query: usize,
    /// Seed of where they lie in training.
    pub seed: u64,
}

impl TextTasks {
    /// Symbols that `shots` support sequences and one that is asked about need.
    pub fn least(&self, shots: usize) -> usize {
        (shots + 1) * self.length + 1
    }

    /// Each text as a task: its first `shots` sequences are known, its last ones are asked about, as many as there are behind those.
    pub fn held_out(&self, shots: usize) -> Vec<Task> {
        let one = |&which: &usize| {
            let text = &self.texts.texts[which];
            let queries = ((text.len() - 1) / self.length - shots).min(self.query);
            let asked = text.len() - 1 - queries * self.length;
            let rows = |first: usize, n: usize| {
                let x = text[first..first + n * self.length].iter().map(|s| *s as f32);
                let next = &text[first + 1..][..n * self.length];
                let y =
                    next.iter().flat_map(|s| (0..self.texts.symbols).map(|c| f32::from(c == *s as usize)));
                (x.collect::<Vec<f32>>(), y.collect::<Vec<f32>>())
            };
            let ((xs, ys), (xq, yq)) = (rows(0, shots), rows(asked, queries));
            Task { name: self.texts.names[which].clone(), ..Task::from_support(xs, ys).with_query(xq, yq) }
        };
        self.which.iter().map(one).collect()
    }

    /// Where the sequences of an episode begin: those of the support at any place, the query's wherever that is not.
    fn places(&self, rng: &mut Rng, symbols: usize) -> Vec<usize> {
        let known = self.shots * self.length;
        // Places of a sequence and the symbol behind it.
        let all = symbols - self.length;
        let drawn = rng.below(symbols - known);
        let (before, behind) = ((drawn + 1).saturating_sub(self.length), all.saturating_sub(drawn + known));
        // A short text has room behind its beginning only.
        let (first, before, behind) = match before + behind {
            0 => (0, 0, all - known),
            _ => (drawn, before, behind),
        };
        let support = (0..self.shots).map(|i| first + i * self.length);
        let mut places: Vec<usize> = support.collect();
        places.extend((0..self.query).map(|_| match rng.below(before + behind) {
            at if at < before => at,
            at => first + known + at - before,
        }));
        places
    }
}

impl TaskFamily for TextTasks {
    fn shape(&self) -> TaskShape {
        let Likelihood { loss, outputs, .. } = Likelihood::symbols(self.length, self.texts.symbols);
        TaskShape { loss, ..TaskShape::new([self.length], outputs, self.shots, self.query) }
    }

    fn rows_are_even(&self) -> bool {
        true
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("rows", |g| {
            let (t, n, q, length) = (tasks.len(), self.shots, self.query, self.length);
            let text = g.step("text", &[t, n + q, length + 1]);
            let rows = |g: &mut Graph, first: usize, n: usize| {
                let text = g.slice(text, 1, first, n);
                let x = g.slice(text, 2, 0, length);
                let next = g.slice(text, 2, 1, length);
                let y = g.one_hot(next, self.texts.symbols);
                (x, g.reshape(y, &[t, n, length * self.texts.symbols]))
            };
            let ((x, y), (xq, yq)) = (rows(g, 0, n), rows(g, n, q));
            let support = Rows::alike(g, x, y);
            Batch::new(support, xq, yq)
        })
    }

    fn window(&self, tasks: usize) -> usize {
        window_of(tasks * (self.shots + self.query) * (self.length + 1))
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let mut staged = Vec::new();
        for t in tasks {
            let mut rng = Rng::new(self.seed, 0x7e87_5000_0000_0000 ^ step << 20 ^ t as u64);
            let text = &self.texts.texts[self.which[rng.below(self.which.len())]];
            for first in self.places(&mut rng, text.len()) {
                staged.extend(text[first..=first + self.length].iter().map(|s| *s as f32));
            }
        }
        session.set_step(row, "text", &staged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing that is asked about was known, in texts of any length; and all of a text is asked about at some time.
    #[test]
    fn what_is_asked_is_not_known() {
        for symbols in [21, 30, 33, 60] {
            let texts = Texts { names: vec!["t".into()], texts: vec![(0..symbols).collect()], symbols: 64 };
            let tasks =
                TextTasks { texts: Arc::new(texts), which: vec![0], length: 5, shots: 3, query: 4, seed: 1 };
            assert!(tasks.least(3) <= symbols as usize);
            let mut asked = vec![false; symbols as usize];
            for step in 0..2_000 {
                let mut rng = Rng::new(step, 7);
                let places = tasks.places(&mut rng, symbols as usize);
                let (support, query) = places.split_at(3);
                assert_eq!((support[1], support[2]), (support[0] + 5, support[0] + 10));
                for first in query {
                    assert!(first + 5 < symbols as usize);
                    // Targets lie one further than inputs.
                    assert!(first + 5 <= support[0] || *first >= support[0] + 15, "{symbols}: {places:?}");
                    asked[*first..first + 5].fill(true);
                }
            }
            // Of the shortest ones only the end is never part of the support.
            let least = if symbols < 33 { 15 } else { 0 };
            assert!(asked[least..symbols as usize - 1].iter().all(|a| *a), "{symbols}: {asked:?}");
        }
    }
}
