//! Networks of different shape with generated weights, launch by launch beside the CPU path; populations.

use hyperloom::check::lockstep::lockstep;
use hyperloom::plan::lower;
use hyperloom::search::{GradientSettings, Reading, Sampling};

use super::gpu;
use super::support::prepared;
use super::support::search::{SPACES, generated, mixture};

#[test]
fn generated_networks_are_within_their_bounds() {
    let Some(gpu) = gpu(true) else { return };
    for (name, text, row) in SPACES {
        let (mut g, feed, loss, params) = generated(text, row, Reading::Attention);
        let gradient = g.grad(loss, &[params])[0];
        g.output("loss", loss);
        g.output("gradient", gradient);
        let plan = lower(&g, gpu.caps(1)).expect("the plan fits");
        let mut cpu = prepared::<f32>(&plan, &feed);
        let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
        assert!(report.divergence.is_none(), "{name}: {report:?}");
        assert!(report.launches > 20 && report.elements > 500, "{name}: {} launches", report.launches);
    }
}

#[test]
fn mixtures_of_choices_are_within_their_bounds() {
    let Some(gpu) = gpu(true) else { return };
    let (name, text, row) = SPACES[1];
    let mut settings = GradientSettings::default();
    (settings.order, settings.sampling, settings.samples) = (2, Sampling::Gumbel, 2);
    let (mut g, feed, [chosen, trained], [w, a]) = mixture(text, row, settings);
    let by_choices = g.grad(chosen, &[a])[0];
    let by_weights = g.grad(trained, &[w])[0];
    for (name, v) in [("loss", chosen), ("choices", by_choices), ("weights", by_weights)] {
        g.output(name, v);
    }
    let plan = lower(&g, gpu.caps(1)).expect("the plan fits");
    let mut cpu = prepared::<f32>(&plan, &feed);
    let report = lockstep(&gpu, &plan, &mut cpu, 1).expect("it runs");
    assert!(report.divergence.is_none(), "{name}: {report:?}");
    assert!(report.launches > 20 && report.elements > 500, "{name}: {} launches", report.launches);
}
