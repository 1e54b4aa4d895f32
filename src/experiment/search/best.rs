//! The best of a search, trained for real, and what is handed over of them.

use serde::Serialize;

use super::Search;
use super::report::{Checked, Found, Metric, SearchReport, Start};
use crate::error::{Error, Result};
use crate::experiment::Observer;
use crate::experiment::run_folder::save_network;
use crate::meta::model::Network;
use crate::net::{Flatten, Layer, Net};
use crate::report::plot::pareto_front;
use crate::search::{
    Architecture, GraphHypernetwork, Member, Population, Space, Tally, best_first, rank_correlation,
};

/// Pieces of a training after which networks are looked at.
const PIECES: usize = 10;
/// Rows that a network is judged on at once.
const ROWS: usize = 250;

/// Networks in training, looked at before it and after each piece.
struct Curves {
    /// On test rows and on rows to choose by: by the piece, then by the network.
    test: Vec<Vec<f64>>,
    validation: Vec<Vec<f64>>,
    /// Weights of those that may be handed over, likewise; of others nothing.
    weights: Vec<Vec<Vec<f32>>>,
}

impl Curves {
    /// The mean of some networks, which stand side by side.
    fn mean(of: &[Vec<f64>], piece: usize, networks: std::ops::Range<usize>) -> f64 {
        let n = networks.len() as f64;
        of[piece][networks].iter().sum::<f64>() / n
    }

    /// The piece after which some networks are best on rows to choose by; of equal ones the last.
    fn stop(&self, networks: std::ops::Range<usize>) -> usize {
        let of = |piece: &usize| Curves::mean(&self.validation, *piece, networks.clone());
        (1..=PIECES).max_by(|a, b| of(a).total_cmp(&of(b))).unwrap_or(PIECES)
    }
}

impl Search<'_> {
    /// Trains the best, and some others once; `None`: stopped.
    pub(super) fn train_best(
        &self,
        judged: f64,
        observer: &mut dyn Observer,
    ) -> Result<Option<SearchReport>> {
        let order = self.order();
        let best = &order[..self.config.best.min(order.len())];
        let others = evenly(&order[best.len()..], self.config.checked);
        let of = |i: usize| &self.candidates[i].architecture;
        let mut members = Vec::new();
        for i in best {
            members.extend(self.seeded(of(*i), None)?);
        }
        let seeds = self.config.seeds;
        let kept = members.len();
        for i in &others {
            members.push(Member::new(self.net(of(*i))?, self.config.seed));
        }
        let scratch = members.len();
        if let Some(hypernetwork) = &self.hypernetwork {
            let all: Vec<Architecture> = best.iter().map(|i| of(*i).clone()).collect();
            for (i, start) in best.iter().zip(hypernetwork.weights(self.device, &all)?) {
                members.extend(self.seeded(of(*i), Some(&start))?);
            }
        }
        let handed = |n: usize| n < kept || n >= scratch;
        let Some(curves) = self.curves(Population::new(members, self.config.train)?, handed, observer)?
        else {
            return Ok(None);
        };
        let mut report = self.report(judged);
        let own = |n: usize| n * seeds..(n + 1) * seeds;
        let stops: Vec<usize> = (0..best.len()).map(|n| curves.stop(own(n))).collect();
        // The best first, by rows that are not judged on.
        let chosen: Vec<f64> = stops
            .iter()
            .enumerate()
            .map(|(n, stop)| Curves::mean(&curves.validation, *stop, own(n)))
            .collect();
        for (place, n) in best_first(&chosen).into_iter().enumerate() {
            let start = self.hypernetwork.is_some().then_some(scratch);
            report.best.push(self.found(&curves, (place, n), (best[n], stops[n]), start)?);
        }
        for (n, i) in others.iter().enumerate() {
            let network = kept + n;
            let stop = curves.stop(network..network + 1);
            let [accuracy, r2] = report.metric.split(curves.test[stop][network]);
            let cost = Space::cost(&self.net(of(*i))?)?;
            report.checked.push(Checked {
                key: of(*i).key(),
                parameters: cost.parameters,
                operations: cost.operations,
                predicted: self.candidates[*i].predicted.min(1.0),
                accuracy,
                r2,
            });
        }
        // Predicted, true, and the number of weights, of all that were trained.
        let others = report.checked.iter().map(|c| (&c.key, c.predicted, c.score(), c.parameters as f64));
        let best = report.best.iter().map(|f| (&f.key, f.predicted, f.score(), f.parameters as f64));
        let all: Vec<(&String, f64, f64, f64)> = others.chain(best).collect();
        let column = |of: fn(&(&String, f64, f64, f64)) -> f64| all.iter().map(of).collect::<Vec<f64>>();
        let (predicted, truth, sizes) = (column(|a| a.1), column(|a| a.2), column(|a| a.3));
        let sized: Vec<(f64, f64)> = sizes.iter().copied().zip(truth.iter().copied()).collect();
        let front = pareto_front(&sized).into_iter().map(|i| all[i].0.clone()).collect();
        report.rank_correlation = rank_correlation(&predicted, &truth);
        report.rank_correlation_of_parameters = rank_correlation(&sizes, &truth);
        report.front = front;
        report.seconds = self.seconds();
        Ok(Some(report))
    }

    /// Trains networks, of which some may be handed over; `None`: stopped.
    fn curves(
        &self,
        mut population: Population,
        handed: impl Fn(usize) -> bool,
        observer: &mut dyn Observer,
    ) -> Result<Option<Curves>> {
        let mut curves = Curves { test: vec![], validation: vec![], weights: vec![] };
        let (mut done, steps) = (0, self.config.train.steps);
        for piece in 0..=PIECES as u64 {
            let until = steps * piece / PIECES as u64;
            if until > done && !self.trained(&mut population, until - done, "the best", observer)? {
                return Ok(None);
            }
            done = until;
            curves.test.push(population.score(self.device, self.test_rows())?);
            curves.validation.push(population.score(self.device, self.validation_rows())?);
            let weights = |n: usize| if handed(n) { population.weights(n).to_vec() } else { vec![] };
            curves.weights.push((0..population.len()).map(weights).collect());
        }
        Ok(Some(curves))
    }

    fn metric(&self) -> Metric {
        if self.task().rows.classes.is_empty() { Metric::R2 } else { Metric::Accuracy }
    }

    /// A report of the search, with nothing found yet.
    fn report(&self, judged: f64) -> SearchReport {
        SearchReport {
            metric: self.metric(),
            device: self.device.name(),
            seconds: self.seconds(),
            hypernetwork_seconds: self.before[1],
            gradient_seconds: self.before[2],
            hypernetwork_parameters: self.hypernetwork.as_ref().map_or(0, GraphHypernetwork::parameters),
            candidates: self.candidates.len(),
            candidates_per_second: self.candidates.len() as f64
                / (judged - self.before[1] - self.before[2]).max(1e-9),
            space_size: self.space.size(),
            best: vec![],
            front: vec![],
            checked: vec![],
            truth: None,
            rank_correlation: None,
            rank_correlation_of_parameters: None,
        }
    }

    /// The `n`-th of the best by prediction, which is at this place by what came of it; `generated`: the first network from generated weights.
    fn found(
        &self,
        curves: &Curves,
        (place, n): (usize, usize),
        (candidate, stop): (usize, usize),
        generated: Option<usize>,
    ) -> Result<Found> {
        let candidate = &self.candidates[candidate];
        let architecture = &candidate.architecture;
        let (net, seeds) = (self.net(architecture)?, self.config.seeds);
        let cost = Space::cost(&net)?;
        let own = n * seeds..(n + 1) * seeds;
        let score = Curves::mean(&curves.test, stop, own.clone());
        let spread: f64 = curves.test[stop][own.clone()].iter().map(|a| (a - score).powi(2)).sum();
        let generated = generated.map(|first| first + own.start..first + own.end);
        let validation = Curves::mean(&curves.validation, stop, own.clone());
        // Those that are better on rows to choose by are handed over.
        let other = generated.clone().map(|of| (curves.stop(of.clone()), of));
        let better = other
            .clone()
            .filter(|(stop, of)| Curves::mean(&curves.validation, *stop, of.clone()) > validation);
        let start = if better.is_some() { Start::Generated } else { Start::Scratch };
        let (taken, of) = better.unwrap_or((stop, own.clone()));
        let (network, together) = self.hand_over(place + 1, &net, curves.weights[taken][of].to_vec())?;
        let [accuracy, r2] = self.metric().split(score);
        let whole = |of: std::ops::Range<usize>| -> Vec<f64> {
            (0..=PIECES).map(|piece| Curves::mean(&curves.test, piece, of.clone())).collect()
        };
        Ok(Found {
            architecture: architecture.clone(),
            key: architecture.key(),
            net: self.write_net(place + 1, architecture, &net)?,
            network,
            parameters: cost.parameters,
            operations: cost.operations,
            // A surrogate knows of no upper end.
            predicted: candidate.predicted.min(1.0),
            steps: self.config.train.steps * stop as u64 / PIECES as u64,
            validation,
            start,
            accuracy,
            r2,
            together: together.score(),
            rmse: r2.map(|_| together.rmse() * self.rows.likelihood.unit),
            deviation: if seeds > 1 { (spread / (seeds - 1) as f64).sqrt() } else { 0.0 },
            from_generated: other.map(|(stop, of)| Curves::mean(&curves.test, stop, of)),
            curves: [Some(own), generated].into_iter().flatten().map(whole).collect(),
        })
    }

    /// Writes the layers of a network as `--net` reads them, but for the head, which `train` puts behind them.
    fn write_net(&self, place: usize, architecture: &Architecture, net: &Net) -> Result<String> {
        let file = format!("best-{place}.toml");
        let net = self.of_rows(net);
        let layers = &net.layers()[..net.layers().len() - 1];
        let text = toml::to_string(&NetFile { net: layers }).map_err(|e| Error::Shape(e.to_string()))?;
        self.folder.write(&file, &format!("# {}\n{text}", architecture.key()))?;
        Ok(file)
    }

    /// A network of the search as one that reads rows as they are.
    fn of_rows(&self, net: &Net) -> Net {
        let mut layers = net.layers()[..].to_vec();
        if self.row != self.task().rows.row {
            layers.insert(0, Layer::Flatten(Flatten::on()));
        }
        Net::rows(self.task().rows.row.clone()).with_all(layers)
    }

    /// Writes the networks of an architecture, trained from several seeds, as one whose predictions are their mixture; and tells how good it is
    /// on test rows.
    fn hand_over(&self, place: usize, net: &Net, weights: Vec<Vec<f32>>) -> Result<(String, Tally)> {
        let file = format!("best-{place}.safetensors");
        let shares = vec![1.0 / weights.len() as f64; weights.len()];
        let network = Network::new(self.of_rows(net), self.rows.likelihood, weights, shares);
        save_network(&self.folder.file(&file), &network, &self.rows.format)?;
        let (data, rows) = self.test_rows();
        let mut tally = Tally::default();
        for piece in rows.chunks(ROWS) {
            tally.add(&network.predict(self.device, &data.inputs(piece))?, data, piece);
        }
        Ok((file, tally))
    }
}

/// Layers as `--net` reads them.
#[derive(Serialize)]
struct NetFile<'l> {
    net: &'l [Layer],
}

/// So many of a list, the first and the last among them, evenly.
fn evenly(of: &[usize], many: usize) -> Vec<usize> {
    let n = many.min(of.len());
    (0..n).map(|i| of[if n > 1 { i * (of.len() - 1) / (n - 1) } else { 0 }]).collect()
}
