//! Different networks at once: populations, parts of a largest network, and weights that a graph hypernetwork writes.

mod support;

use hyperloom::Device;
use hyperloom::data::labelled::Labelled;
use hyperloom::net::Net;
use hyperloom::rng::Rng;
use hyperloom::search::{GradientSettings, Member, Population, Reading, RowsOf, Space, TrainSettings};
use support::differences::check_derivatives_by;
use support::search::{SPACES, drawn, generated, mixture, small};

/// Rows of two classes that a network can learn to tell apart.
fn rows(row: &[usize], n: usize) -> (Labelled, Vec<usize>) {
    let mut rng = Rng::new(7, 1);
    let d: usize = row.iter().product();
    let labels: Vec<u32> = (0..n).map(|i| (i % 2) as u32).collect();
    let x = labels.iter().flat_map(|l| {
        let shift = if *l == 0 { -0.7 } else { 0.7 };
        (0..d).map(|_| (shift + 0.5 * rng.normal()) as f32).collect::<Vec<f32>>()
    });
    let x = x.collect();
    (Labelled::of_numbers(row.to_vec(), vec!["a".into(), "b".into()], x, labels), (0..n).collect())
}

fn trained(members: Vec<Member>, rows: RowsOf<'_>, device: &Device) -> Population {
    let mut settings = TrainSettings::new(40);
    (settings.batch, settings.rate) = (8, 0.02);
    let mut population = Population::new(members, settings).expect("they fit");
    assert!(population.train(device, rows, 40, &|_| false).expect("it trains"));
    population
}

#[test]
fn a_network_does_not_feel_those_beside_it() {
    for (name, text, row) in SPACES {
        let space: Space = toml::from_str(text).expect("a space");
        let (data, all) = rows(row, 48);
        let nets: Vec<Net> =
            drawn(&space, 4, 5).iter().map(|a| space.net(a, row, 2).expect("it fits")).collect();
        let mut members: Vec<Member> =
            nets.iter().flat_map(|n| (0..2).map(|seed| Member::new(n.clone(), seed))).collect();
        // One that starts with what is no number, among others of its shape.
        let mut lost = Member::new(nets[0].clone(), 0);
        lost.start = Some(vec![f32::NAN; nets[0].layout().len()]);
        members.push(lost);
        let together = trained(members.clone(), (&data, &all), &Device::Cpu);
        assert!(together.shapes() < together.len());
        let found = together.score(&Device::Cpu, (&data, &all)).expect("it is judged");
        for (i, member) in members.iter().enumerate().take(8) {
            let alone = trained(vec![member.clone()], (&data, &all), &Device::Cpu);
            for (a, b) in alone.weights(0).iter().zip(together.weights(i)) {
                assert!(
                    (a - b).abs() <= 2e-5 * (1.0 + a.abs()),
                    "{name}, network {i}: {a} alone, {b} among others"
                );
            }
            assert_ne!(alone.weights(0), member.net.layout().init(&mut Rng::new(member.seed, 0)));
        }
        let right = found.iter().filter(|a| **a > 0.9).count();
        assert!(right >= 6, "{name}: {found:?}");
        assert_eq!(found[8], 0.0, "a network that gives no numbers tells nothing");
        // Every launch by itself.
        let launches = trained(members[..8].to_vec(), (&data, &all), &Device::Cpu.without_regions());
        for i in 0..8 {
            for (a, b) in launches.weights(i).iter().zip(together.weights(i)) {
                assert!((a - b).abs() <= 2e-4 * (1.0 + a.abs()), "{name}, network {i}: {a} by launches, {b}");
            }
        }
    }
}

#[test]
fn training_goes_on_where_it_stopped() {
    let (name, text, row) = SPACES[1];
    let space: Space = toml::from_str(text).expect("a space");
    let (mut data, all) = rows(row, 48);
    let members: Vec<Member> =
        drawn(&space, 3, 9).iter().map(|a| Member::new(space.net(a, row, 2).expect("it fits"), 1)).collect();
    let plain = trained(members.clone(), (&data, &all), &Device::Cpu);
    data.moves.flips = true;
    let whole = trained(members.clone(), (&data, &all), &Device::Cpu);
    assert_ne!(plain.weights(0), whole.weights(0), "rows are mirrored where that is asked for");
    let mut settings = TrainSettings::new(40);
    (settings.batch, settings.rate) = (8, 0.02);
    let mut parts = Population::new(members, settings).expect("they fit");
    for steps in [7, 13, 100] {
        assert!(parts.train(&Device::Cpu, (&data, &all), steps, &|_| false).expect("it trains"));
        // Told to stop, it is as it was.
        let before = parts.weights(0).to_vec();
        if steps < 100 {
            assert!(!parts.train(&Device::Cpu, (&data, &all), 9, &|_| true).expect("it stops"));
        }
        assert_eq!(before, parts.weights(0));
    }
    for i in 0..3 {
        assert_eq!(whole.weights(i), parts.weights(i), "{name}");
    }
}

#[test]
fn derivatives_of_generated_networks() {
    for (name, text, row) in SPACES {
        for reading in [Reading::Attention, Reading::Mean] {
            let (g, feed, loss, params) = generated(text, row, reading);
            // Norms over few channels bend the loss sharply.
            check_derivatives_by(1e-4, name, &g, &feed, loss, &[("params", params)], 1);
        }
    }
}

/// Of first order by the logits; of second order through the step of the weights, too.
#[test]
fn derivatives_by_choices() {
    for (name, text, row) in SPACES {
        for order in [1, 2] {
            let mut settings = GradientSettings::default();
            settings.order = order;
            let (g, feed, [chosen, _], [w, a]) = mixture(text, row, settings);
            check_derivatives_by(1e-4, name, &g, &feed, chosen, &[("a", a), ("w", w)], 1);
        }
    }
}

#[test]
fn a_hypernetwork_learns_to_write_networks() {
    let (_, text, row) = SPACES[1];
    let space: Space = toml::from_str(text).expect("a space");
    let (data, all) = rows(row, 64);
    let mut hypernetwork = small(&space, row, Reading::Attention, 300);
    let unseen = drawn(&space, 8, 77);
    let mean = |found: Vec<f64>| found.iter().sum::<f64>() / found.len() as f64;
    let before = mean(hypernetwork.score(&Device::Cpu, (&data, &all), &unseen).expect("it is judged"));
    let draw = |rng: &mut Rng| space.sample(rng);
    hypernetwork.train(&Device::Cpu, (&data, &all), 300, draw, |_, _| false).expect("it trains");
    let found = hypernetwork.score(&Device::Cpu, (&data, &all), &unseen).expect("it is judged");
    assert!(mean(found.clone()) > before.max(0.9), "{before} before, {found:?}");
    // The same weights in each network of its own.
    let weights = hypernetwork.weights(&Device::Cpu, &unseen).expect("it writes");
    let members = unseen.iter().zip(weights).map(|(a, start)| {
        let mut member = Member::new(space.net(a, row, 2).expect("it fits"), 0);
        member.start = Some(start);
        member
    });
    let population = Population::new(members.collect(), TrainSettings::new(1)).expect("they fit");
    let alone = population.score(&Device::Cpu, (&data, &all)).expect("it is judged");
    for (a, b) in alone.iter().zip(&found) {
        assert!((a - b).abs() < 0.02, "{alone:?} alone, {found:?} as parts");
    }
}

#[test]
fn networks_that_cannot_be_trained_so_are_refused() {
    let refused = |net: Net, start: Option<Vec<f32>>| {
        let mut member = Member::new(net, 0);
        member.start = start;
        Population::new(vec![member], TrainSettings::new(1)).expect_err("it is refused").to_string()
    };
    assert!(refused(Net::rows([3]).dense(4).batch_norm().dense(2), None).contains("layer_norm"));
    assert!(
        refused(Net::rows([3]).dense(2), Some(vec![0.0; 3]))
            .contains("3 numbers to start from, and it has 8")
    );
    assert!(refused(Net::rows([3]).conv(2, 3), None).contains("layer 1"));
}
