//! Episodes of series to train on: some points in a row are known, those behind them are asked about.

use std::ops::Range;
use std::sync::Arc;

use super::SeriesTable;
use crate::error::Result;
use crate::graph::{Graph, Role, Value};
use crate::rng::Rng;
use crate::run::Session;
use crate::spec::DType;
use crate::task::{Batch, Rows, TaskFamily, TaskShape};

/// Series to train on.
#[derive(Clone, Debug)]
pub struct SeriesTasks {
    /// The file.
    pub table: Arc<SeriesTable>,
    /// Which series are drawn from.
    pub which: Vec<usize>,
    /// Known points at most.
    pub shots: usize,
    /// Known points at least.
    pub min_shots: usize,
    /// Points that are asked about at most.
    pub query: usize,
    /// Seed of the episodes.
    pub seed: u64,
}

/// Where an episode lies in its series: the points that are known, and those that are asked about.
#[derive(Debug)]
struct Episode {
    series: usize,
    start: usize,
    known: Vec<usize>,
    asked: Vec<usize>,
}

/// Places that are tried for an episode, where values are missing.
const TRIES: usize = 16;

impl SeriesTasks {
    fn episode(&self, rng: &mut Rng) -> Episode {
        let mut last = None;
        for _ in 0..TRIES {
            let series = self.which[rng.below(self.which.len())];
            let points = self.table.points(series);
            let most = self.shots.min(points - 1);
            let least = self.min_shots.min(most);
            let known = least + rng.below(most - least + 1);
            // Held-out tasks begin where their series do.
            let at_start = rng.below(2) == 0;
            let start = if at_start { 0 } else { rng.below(points - known) };
            let (from, to) = (start + known, (start + known + self.query).min(points));
            let rows = |range| self.table.rows_at(series, start, range);
            let (known, asked) = (rows(start + 1..from), rows(from..to));
            if !known.is_empty() && !asked.is_empty() {
                return Episode { series, start, known, asked };
            }
            last = Some(series);
        }
        // What a held-out task would be, of which there is always something.
        let series = last.unwrap_or(0);
        let all = self.table.parts(series, self.shots, self.table.points(series));
        let [known, mut asked] = all.unwrap_or_default();
        asked.truncate(self.query);
        Episode { series, start: 0, known, asked }
    }
}

impl TaskFamily for SeriesTasks {
    fn shape(&self) -> TaskShape {
        let row = [self.table.format.length, self.table.format.channels()];
        TaskShape::new(row, 1, self.shots - 1, self.query)
    }

    fn episodes(&self, g: &mut Graph, tasks: Range<usize>, _key: Value) -> Batch {
        g.scope("rows", |g| {
            let (t, n, q) = (tasks.len(), self.shots - 1, self.query);
            let (length, channels) = (self.table.format.length, self.table.format.channels());
            let total = self.table.y.len();
            let x = g.input("table_x", Role::Data, &[total, channels], DType::F32);
            let y = g.input("table_y", Role::Data, &[total, 1], DType::F32);
            let rows = |g: &mut Graph, name: &str, n: usize| {
                let windows = g.step_u32(&format!("{name}_windows"), &[t, n * length]);
                let targets = g.step_u32(&format!("{name}_rows"), &[t, n]);
                let seen = g.gather(x, windows);
                (g.reshape(seen, &[t, n, length * channels]), g.gather(y, targets))
            };
            let ((xs, ys), (xq, yq)) = (rows(g, "support", n), rows(g, "query", q));
            let weights = g.step("support_weights", &[t, n]);
            let count = g.step("support_count", &[t, 1]);
            let mut batch = Batch::new(Rows::new(xs, ys, weights, count), xq, yq);
            batch.query_rows = Some(g.step("query_weights", &[t, q]));
            batch
        })
    }

    fn upload(&self, session: &mut Session) -> Result<()> {
        session.write("table_x", &self.table.x)?;
        session.write("table_y", &self.table.y)
    }

    fn stage(&self, session: &mut Session, row: usize, step: u64, tasks: Range<usize>) -> Result<()> {
        let (n, q, length) = (self.shots - 1, self.query, self.table.format.length);
        let (mut counts, mut parts) = (vec![], [Staged::default(), Staged::default()]);
        for t in tasks {
            let mut rng = Rng::new(self.seed, 0x5e41_e500_0000_0000 ^ step << 20 ^ t as u64);
            let episode = self.episode(&mut rng);
            counts.push(episode.known.len() as f32);
            for (part, (places, most)) in parts.iter_mut().zip([(&episode.known, n), (&episode.asked, q)]) {
                for at in places {
                    part.windows.extend(self.table.window(episode.series, episode.start, *at));
                    part.rows.push((self.table.series[episode.series].first + at - 1) as u32);
                    part.weights.push(1.0 / places.len() as f32);
                }
                let empty = most - places.len();
                part.windows.extend(std::iter::repeat_n(0, empty * length));
                part.rows.extend(std::iter::repeat_n(0, empty));
                part.weights.extend(std::iter::repeat_n(0.0, empty));
            }
        }
        session.set_step(row, "support_count", &counts)?;
        for (name, part) in ["support", "query"].iter().zip(parts) {
            session.set_step_u32(row, &format!("{name}_windows"), &part.windows)?;
            session.set_step_u32(row, &format!("{name}_rows"), &part.rows)?;
            session.set_step(row, &format!("{name}_weights"), &part.weights)?;
        }
        Ok(())
    }
}

/// Rows of many tasks: what their windows hold, where their targets are, and how much they count.
#[derive(Debug, Default)]
struct Staged {
    windows: Vec<u32>,
    rows: Vec<u32>,
    weights: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::super::SeriesSpec;
    use super::*;
    use crate::data::Table;

    /// No row of an episode looks at what lies before it, behind what is known, or at what it is asked about.
    #[test]
    fn episodes_keep_apart_what_is_asked() -> Result<()> {
        let cell = |s: usize, t: usize| match (s * 7 + t * 3) % 5 {
            0 => String::new(),
            _ => format!("{}", s * 100 + t),
        };
        let lines = (0..6).flat_map(|s| (0..14).map(move |t| format!("{s},{t},{}\n", cell(s, t))));
        let text: String = std::iter::once("g,t,y\n".to_string()).chain(lines).collect();
        let name = |s: &str| s.to_string();
        let spec = SeriesSpec { length: 4, shots: 6, ..SeriesSpec::default() };
        let spec = SeriesSpec { group: name("g"), time: name("t"), target: name("y"), ..spec };
        let table = Arc::new(SeriesTable::of(&Table::parse("a.csv", text.as_bytes())?, &spec)?);
        let which = table.split.train.clone();
        let tasks = SeriesTasks { table: table.clone(), which, shots: 6, min_shots: 2, query: 3, seed: 1 };
        for step in 0..500 {
            let e = tasks.episode(&mut Rng::new(step, 3));
            let (last, first) = (e.known.iter().max(), e.asked.iter().min());
            assert!(last < first && !e.asked.is_empty() && e.asked.len() <= 3, "{e:?}");
            let base = table.series[e.series].first as u32;
            for at in e.known.iter().chain(&e.asked) {
                let seen: Vec<u32> = table.window(e.series, e.start, *at).collect();
                assert_eq!(seen.len(), 4);
                let allowed = base + e.start as u32..base + *at as u32;
                assert!(seen.iter().all(|row| *row == 0 || allowed.contains(row)), "{e:?}: {seen:?}");
                assert_eq!(seen.last(), Some(&(base + *at as u32 - 1)));
            }
        }
        Ok(())
    }
}
