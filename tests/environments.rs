//! Environments that nobody else has just so, and distributions of actions, against what they are by plain rules.

use std::collections::VecDeque;

use hyperloom::check::golden::{Job, run_f64};
use hyperloom::policy::{ActionSpace, Distribution, Environment, Moment, environment};
use hyperloom::rng::Rng;

/// Numbers of a start or a step, a row for each world.
type Rows = Vec<Vec<f64>>;

fn data(job: &mut Job, name: &str, rows: &Rows) -> hyperloom::graph::Value {
    job.inputs.push((name.into(), rows.concat()));
    job.graph.data(name, &[rows.len(), 1, rows[0].len()])
}

/// What a graph in f64 gives, each by its name.
fn run(mut job: Job, given: &[(&str, hyperloom::graph::Value)]) -> Vec<Vec<f64>> {
    for (name, v) in given {
        job.graph.output(name, *v);
        job.read.push((*name).into());
    }
    run_f64(&job).expect("it runs").values
}

/// A step in each of several worlds: the next state, the reward, whether the episode ends, and what is seen then.
fn step(env: &dyn Environment, state: &Rows, action: &Rows, context: &Rows, noise: &Rows) -> [Rows; 4] {
    let mut job = Job { steps: vec![vec![]], ..Job::default() };
    let all = [("state", state), ("action", action), ("context", context), ("noise", noise)];
    let all = all.map(|(name, rows)| data(&mut job, name, rows));
    let given = {
        let e = job.graph.expr();
        let [state, action, context, noise] = all.map(|v| e.of(v));
        let done = env.step(Moment { state, action, context, noise });
        let seen = env.observe(done.state, context);
        let given = [
            ("next", done.state),
            ("reward", done.reward),
            ("terminated", done.terminated),
            ("seen", seen),
            // Whatever a step reads of them, the graph does.
            ("read", context.total() + noise.total()),
        ];
        given.map(|(name, v)| (name, v.value()))
    };
    let got = run(job, &given);
    let rows = |i: usize| got[i].chunks(got[i].len() / state.len()).map(<[f64]>::to_vec).collect();
    [0, 1, 2, 3].map(rows)
}

/// The usual context, with these numbers in it.
fn context(env: &dyn Environment, given: &[(&str, f64)]) -> Vec<f64> {
    let of = |name: &str| given.iter().find(|(n, _)| *n == name).map(|(_, x)| *x);
    env.context().iter().map(|c| of(&c.name).unwrap_or(c.usual)).collect()
}

/// Every step of the grid world from every cell is that of a table of walls, and the oracle's way is the shortest that a search finds.
#[test]
fn the_grid_has_walls_a_key_and_a_door() {
    let env = environment("grid", "--task").expect("it is there");
    for given in [[1, 4, 2, 5, 0], [0, 0, 0, 4, 4], [2, 2, 4, 6, 1]] {
        let [key_x, key_y, door, goal_x, goal_y] = given;
        let plain = |(x, y, key): (i64, i64, bool), action: usize| {
            let (dx, dy) = [(0, -1), (1, 0), (0, 1), (-1, 0)][action];
            let to = (x + dx, y + dy);
            let free =
                (0..7).contains(&to.0) && (0..5).contains(&to.1) && (to.0 != 3 || (key && to.1 == door));
            let (x, y) = if free { to } else { (x, y) };
            (x, y, key || (x, y) == (key_x, key_y))
        };
        let cells: Vec<(i64, i64, bool)> = (0..7)
            .flat_map(|x| (0..5).flat_map(move |y| [(x, y, false), (x, y, true)]))
            .filter(|(x, y, key)| *x != 3 || (*key && *y == door))
            .collect();
        let (mut state, mut action, mut want) = (vec![], vec![], vec![]);
        for cell in &cells {
            for a in 0..4 {
                state.push(vec![cell.0 as f64, cell.1 as f64, f64::from(u8::from(cell.2))]);
                action.push((0..4).map(|i| f64::from(u8::from(i == a))).collect());
                want.push(plain(*cell, a));
            }
        }
        let n = state.len();
        let own: Vec<f64> = given.iter().map(|x| *x as f64).collect();
        // As a picture all is seen, cell by cell and channel by channel.
        let drawn = environment("grid-picture", "--task").expect("it is there");
        assert_eq!(drawn.picture(), Some([5, 7, 5]));
        let [.., picture] = step(&*drawn, &state, &action, &vec![own.clone(); n], &vec![vec![0.0; 2]; n]);
        for (row, agent) in picture.iter().zip(&want) {
            let cell = |i: i64| {
                let at = (i % 7, i / 7);
                let (gate, has) = (at == (3, door), agent.2);
                let is = [
                    at == (agent.0, agent.1),
                    at == (key_x, key_y) && !has,
                    at.0 == 3 && !gate,
                    gate && !has,
                    at == (goal_x, goal_y),
                ];
                is.map(|is| f64::from(u8::from(is)))
            };
            assert_eq!(*row, (0..35).flat_map(cell).collect::<Vec<f64>>(), "{agent:?}");
        }
        let [next, reward, terminated, seen] =
            step(&*env, &state, &action, &vec![own.clone(); n], &vec![vec![0.0; 2]; n]);
        for (i, (x, y, key)) in want.into_iter().enumerate() {
            let there = f64::from(u8::from((x, y) == (goal_x, goal_y)));
            assert_eq!(next[i], [x as f64, y as f64, f64::from(u8::from(key))], "from {:?}", state[i]);
            assert_eq!((reward[i][0], terminated[i][0]), (there - 0.01, there));
            let ones: Vec<usize> = (0..13).filter(|k| seen[i][*k] == 1.0).collect();
            let told = [x as usize, 7 + y as usize, 12];
            assert_eq!(ones, told[..if key { 3 } else { 2 }]);
        }
        // A search from each start.
        let ways = (0..15).map(|cell| {
            let (x, y) = (cell % 3, cell / 3);
            let start = (x, y, (x, y) == (key_x, key_y));
            let mut seen = vec![start];
            let mut open = VecDeque::from([(start, 0)]);
            while let Some((at, steps)) = open.pop_front() {
                if (at.0, at.1) == (goal_x, goal_y) {
                    return steps;
                }
                for next in (0..4).map(|a| plain(at, a)) {
                    if !seen.contains(&next) {
                        seen.push(next);
                        open.push_back((next, steps + 1));
                    }
                }
            }
            panic!("there is no way");
        });
        let mean = ways.map(|steps| 1.0 - 0.01 * f64::from(steps)).sum::<f64>() / 15.0;
        let own: Vec<f32> = own.iter().map(|x| *x as f32).collect();
        let oracle = env.oracle(&own, 60).expect("it is known");
        assert!((oracle - mean).abs() < 1e-9, "{oracle}, by a search {mean}");
    }
}

/// A car that is steered as the road bends stays where it is, tyres hold as far as their grip, and steering counts when its delay is over.
#[test]
fn a_car_on_a_road() {
    let env = environment("lane", "--task").expect("it is there");
    // Off the middle, heading, speed, two waves, four that were steered, the obstacle, noise.
    let at = |speed: f64, waves: [f64; 2], steered: f64, far: f64| {
        let mut state = vec![0.0, 0.0, speed, waves[0], waves[1]];
        state.extend([steered; 4]);
        state.extend([far, 0.9, 0.0, 0.0]);
        state
    };
    let quarter = std::f64::consts::FRAC_PI_2;
    let usual = |given: &[(&str, f64)]| context(&*env, given);
    let states = vec![
        // A straight road at 20 m/s, straight on.
        at(20.0, [0.0, 0.0], 0.0, 500.0),
        // Where both waves are highest the road bends by 0.01, and the car by 0.05 of .2.
        at(10.0, [quarter, quarter], 0.2, 500.0),
        // At 20 m/s full steering would be 20 m/s² sideways; tyres of .5 hold 4.905.
        at(20.0, [0.0, 0.0], 1.0, 500.0),
        // After a quarter of a second: two steps ago by half, three by half.
        [&[0.0, 0.0, 10.0, 0.0, 0.0, 0.1, 0.2, 0.4, 0.8][..], &[500.0, 0.9, 0.0, 0.0]].concat(),
        // An obstacle on the side where the car is, a step away, and one on the other side.
        [&[0.5, 0.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0][..], &[4.0, 0.9, 0.0, 0.0]].concat(),
        [&[-1.0, 0.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0][..], &[4.0, 0.9, 0.0, 0.0]].concat(),
        // A step from the edge, across it.
        [&[1.95, 0.1, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0][..], &[500.0, 0.9, 0.0, 0.0]].concat(),
        // An obstacle that is passed with this step: the next is drawn.
        [&[-1.0, 0.0, 20.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0][..], &[-2.0, 0.9, 0.0, 0.0]].concat(),
    ];
    let straight: &[(&str, f64)] = &[("curvature", 0.0), ("noise", 0.1)];
    let contexts = vec![
        usual(straight),
        usual(&[("curvature", 0.01), ("delay", 0.4)]),
        usual(&[("curvature", 0.0), ("grip", 0.5)]),
        usual(&[("curvature", 0.0), ("delay", 0.25)]),
        usual(straight),
        usual(straight),
        usual(straight),
        usual(straight),
    ];
    let steer = [0.0, 0.2, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let gas = [1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let action: Rows = steer.iter().zip(gas).map(|(s, g)| vec![*s, g]).collect();
    let noise = vec![vec![0.25, 0.0, 0.5, 0.5, 0.5, 0.0, 0.5, 0.5]; 8];
    let [next, reward, terminated, seen] = step(&*env, &states, &action, &contexts, &noise);
    let near =
        |what: &str, got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{what}: {got}, not {want}");
    near("faster by 4 m/s² for .1 s", next[0][2], 20.4);
    near("and 2 m further", next[0][9], 498.0);
    near("its pay, up to the limit", reward[0][0], 1.0);
    near("straight on", next[0][0], 0.0);
    near("as the road bends", next[1][1], 0.0);
    near("no further than tyres hold", next[2][1], 0.5 * 9.81 / 20.0 * 0.1);
    near("nor braked", next[2][2], 20.0 - 0.4);
    near("half of one, half of the other", next[3][1], 0.05 * (0.5 * 0.2 + 0.5 * 0.4) * 10.0 * 0.1);
    assert_eq!(next[3][5..9], [0.0, 0.1, 0.2, 0.4], "what was steered moves up");
    let ends: Vec<f64> = terminated.iter().map(|t| t[0]).collect();
    assert_eq!(ends, [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0], "who hits something or leaves the lane");
    near("its pay below it, in the middle", reward[1][0], 0.5);
    near("what that costs", reward[4][0], 1.0 - 0.05 * 0.25 - 20.0);
    assert_eq!(next[7][9..11], [87.5, -0.9], "the next obstacle");
    // Noise of .1 m times what two uniform numbers say, in halves of 2 m.
    let drawn = (-2.0 * 0.5f64.ln()).sqrt();
    near("the error of the place", seen[0][0], drawn * 0.1 / 2.0);
    near("and of the heading", seen[0][1], -drawn * 0.1 * 0.1 * 5.0);
    assert_eq!(seen[4][11..13], [1.0 - 2.0 / 60.0, 0.9], "an obstacle is seen when it is near");
    assert_eq!(seen[0][11..13], [0.0, 0.0], "and not from afar");
}

/// The same car by keys.
#[test]
fn a_car_by_keys() {
    let [car, keys] = ["lane", "lane-discrete"].map(|name| environment(name, "--task").expect("it is there"));
    let mut rng = Rng::new(5, 0);
    let mut rows =
        |wide: usize| -> Rows { (0..15).map(|_| (0..wide).map(|_| rng.uniform()).collect()).collect() };
    let (mut state, noise) = (rows(13), rows(8));
    state.iter_mut().for_each(|s| s[2] = 5.0 + 20.0 * s[2]);
    let contexts = vec![context(&*car, &[]); 15];
    let one_hot = |i: usize, n: usize| (0..n).map(move |k| f64::from(u8::from(k == i)));
    let by_keys: Rows = (0..15).map(|i| one_hot(i / 3, 5).chain(one_hot(i % 3, 3)).collect()).collect();
    let plain: Rows = (0..15).map(|i| vec![(i / 3) as f64 / 2.0 - 1.0, (i % 3) as f64 - 1.0]).collect();
    let [a, b] = [(&car, &plain), (&keys, &by_keys)]
        .map(|(env, action)| step(&**env, &state, action, &contexts, &noise));
    assert_eq!(a, b);
}

/// A goal that pays where it is near.
#[test]
fn a_point_is_paid_near_the_goal() {
    let env = environment("point", "--task").expect("it is there");
    let to = |x: f64, y: f64| vec![x, y];
    let state = vec![to(0.0, 0.85), to(0.0, 0.7), to(0.95, 0.0)];
    let action = vec![to(0.0, 5.0), to(0.0, 0.05), to(0.0, 0.0)];
    let angle = |x: f64| vec![x];
    let contexts = vec![angle(std::f64::consts::FRAC_PI_2), angle(std::f64::consts::FRAC_PI_2), angle(0.0)];
    let [next, reward, ..] = step(&*env, &state, &action, &contexts, &vec![vec![0.0]; 3]);
    for (got, want) in [(next[0][1], 0.95), (reward[0][0], 0.95), (reward[1][0], 0.0), (reward[2][0], 0.95)] {
        assert!((got - want).abs() < 1e-9, "{got}, not {want}");
    }
    // To the right, where the farther way is: eight steps to .155 off, nine to .055, and from the tenth on there.
    let right = 0.3f64.cos();
    let oracle = env.oracle(&[0.3], 20).expect("it is known");
    assert!((oracle - (2.0 - (right - 0.8) - (right - 0.9) + 11.0)).abs() < 1e-5, "{oracle}");
}

/// Of squashed actions the density is that of what they are squashed to, and the entropy the mean of its logarithm, by sums over a fine grid.
#[test]
fn squashed_actions_have_the_density_they_say() {
    let space = ActionSpace::Continuous(vec![[-1.0, 1.0]]);
    for (mean, deviation) in [(0.0, 0.5f64), (0.8, 0.3), (-1.5, 1.0)] {
        let n = 20_001;
        // The middle of cells of what is taken, and what is drawn for it.
        let taken: Vec<f64> = (0..n).map(|i| (2.0 * f64::from(i) + 1.0) / f64::from(n) - 1.0).collect();
        let mut job = Job { steps: vec![vec![]], ..Job::default() };
        let drawn = data(&mut job, "drawn", &taken.iter().map(|a| vec![a.atanh()]).collect());
        let outputs = data(&mut job, "outputs", &vec![vec![mean]; taken.len()]);
        let ln = data(&mut job, "ln", &vec![vec![deviation.ln()]]);
        let given = {
            let e = job.graph.expr();
            let said = Distribution::new(&space, e.of(outputs), Some(e.of(ln))).squashed(true);
            let drawn = e.of(drawn);
            [("log", said.log_probability(drawn)), ("entropy", said.entropy()), ("taken", said.taken(drawn))]
                .map(|(name, v)| (name, v.value()))
        };
        let got = run(job, &given);
        let cell = 2.0 / f64::from(n);
        let all: f64 = got[0].iter().map(|log| log.exp() * cell).sum();
        let entropy: f64 = got[0].iter().map(|log| -log * log.exp() * cell).sum();
        assert!((all - 1.0).abs() < 2e-3, "{mean}, {deviation}: the density sums up to {all}");
        assert!((entropy - got[1][0]).abs() < 5e-3, "{mean}, {deviation}: {}, by a sum {entropy}", got[1][0]);
        assert!(got[2].iter().zip(&taken).all(|(got, want)| (got - want).abs() < 1e-9));
    }
}

/// Several choices at once are drawn each by its own chances, and as likely as their product.
#[test]
fn several_choices_at_once() {
    let space = ActionSpace::MultiDiscrete(vec![2, 3]);
    assert_eq!((space.width(), Distribution::noise(&space)), (5, 2));
    let n = 60;
    let mut job = Job { steps: vec![vec![]], ..Job::default() };
    let chances = [0.25, 0.75, 0.5, 0.3, 0.2f64];
    let logits = data(&mut job, "logits", &vec![chances.iter().map(|p| p.ln() + 1.0).collect(); n * n]);
    let u = |i: usize| (i as f64 + 0.5) / n as f64;
    let noise = data(&mut job, "noise", &(0..n * n).map(|i| vec![u(i / n), u(i % n)]).collect());
    let given = {
        let e = job.graph.expr();
        let said = Distribution::new(&space, e.of(logits), None);
        let drawn = said.draw(e.of(noise));
        let any = Distribution::any(&space, e.of(noise));
        let (log, entropy) = (said.log_probability(drawn), said.entropy());
        [("drawn", drawn), ("log", log), ("entropy", entropy), ("mode", said.mode()), ("any", any)]
            .map(|(name, v)| (name, v.value()))
    };
    let got = run(job, &given);
    let often = |of: &[f64]| -> Vec<f64> {
        (0..5).map(|k| of.iter().skip(k).step_by(5).sum::<f64>() / (n * n) as f64).collect()
    };
    for (got, want) in often(&got[0]).into_iter().zip(chances) {
        assert!((got - want).abs() < 1e-9, "{got}, not {want}");
    }
    for (row, log) in got[0].chunks(5).zip(&got[1]) {
        let product: f64 = row.iter().zip(chances).map(|(one, p)| one * p.ln()).sum();
        assert!((product - log).abs() < 1e-9);
    }
    let entropy: f64 = -chances.iter().map(|p| p * p.ln()).sum::<f64>();
    assert!((got[2][0] - entropy).abs() < 1e-9, "{}, not {entropy}", got[2][0]);
    assert_eq!(got[3][..5], [0.0, 1.0, 1.0, 0.0, 0.0]);
    let even = [0.5, 0.5, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0];
    assert!(often(&got[4]).into_iter().zip(even).all(|(got, want)| (got - want).abs() < 1e-9));
}
