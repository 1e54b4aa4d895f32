//! Signed-distance fields: exact against brute force, drawn the same every time, and learnable.

use glam::{Affine2, DVec2, Vec2};
use hyperloom::data::shapes::{Placed, Primitive, SCALE, Shapes};
use hyperloom::graph::Graph;
use hyperloom::hyper::{ConditionSpec, HyperSpec, SetEncoder};
use hyperloom::meta::outer::{Learner, OuterSettings, Trainer};
use hyperloom::net::Net;
use hyperloom::optim::Schedule;
use hyperloom::plan::lower;
use hyperloom::rng::Rng;
use hyperloom::run::Device;
use hyperloom::spec::Activation;
use hyperloom::task::{Task, TaskFamily};
use std::collections::HashSet;
use std::f64::consts::TAU;

/// Points on the whole outline of a shape.
const OUTLINE: usize = 6000;

/// Corners written down anew, so that they cannot share a mistake with the library.
fn corners(shape: &Primitive) -> Vec<DVec2> {
    let at = |radius: f64, turn: f64| DVec2::new((TAU * turn).cos(), (TAU * turn).sin()) * radius;
    match shape {
        Primitive::Circle { radius } => {
            (0..OUTLINE).map(|i| at(f64::from(*radius), i as f64 / OUTLINE as f64)).collect()
        }
        Primitive::Box { half } => {
            let (x, y) = (f64::from(half.x), f64::from(half.y));
            vec![DVec2::new(x, y), DVec2::new(-x, y), DVec2::new(-x, -y), DVec2::new(x, -y)]
        }
        Primitive::Polygon { corners } => corners.iter().map(|c| c.as_dvec2()).collect(),
        Primitive::Star { points, notch } => {
            let radius = |i| if i % 2 == 0 { 1.0 } else { f64::from(*notch) };
            (0..2 * points).map(|i| at(radius(i), i as f64 / (2 * points) as f64)).collect()
        }
        other => panic!("no corners are known for {other:?}"),
    }
}

/// Points along the closed line through some corners, and the largest step between two of them.
fn dense(corners: &[DVec2]) -> (Vec<DVec2>, f64) {
    let pieces = OUTLINE / corners.len();
    let mut points = Vec::new();
    for (i, a) in corners.iter().enumerate() {
        let b = corners[(i + 1) % corners.len()];
        points.extend((0..pieces).map(|k| a.lerp(b, k as f64 / pieces as f64)));
    }
    let step = (0..points.len()).map(|i| points[i].distance(points[(i + 1) % points.len()]));
    let step = step.fold(0.0, f64::max);
    (points, step)
}

/// Turns that the outline makes around a point: 0 outside, ±1 inside.
fn turns(outline: &[DVec2], p: DVec2) -> i64 {
    let angle = |i: usize| (outline[i] - p).angle_to(outline[(i + 1) % outline.len()] - p);
    ((0..outline.len()).map(angle).sum::<f64>() / TAU).round() as i64
}

fn point(rng: &mut Rng, reach: f64) -> Vec2 {
    Vec2::new(rng.range(-reach, reach) as f32, rng.range(-reach, reach) as f32)
}

/// Compares distance and sign at many points with the nearest of the outline's points and with its turns.
fn check(name: &str, outline: &[DVec2], step: f64, rng: &mut Rng, distance: impl Fn(Vec2) -> f32) {
    for i in 0..150 {
        // Also right at the outline, where signs are decided.
        let near = outline[rng.below(outline.len())].as_vec2() + point(rng, 0.01);
        let p = if i % 3 == 0 { near } else { point(rng, 1.6) };
        let exact = p.as_dvec2();
        let squares = outline.iter().map(|b| b.distance_squared(exact));
        let brute = squares.fold(f64::INFINITY, f64::min).sqrt();
        let d = f64::from(distance(p));
        // The nearest of the points is half a step beside the nearest point of the outline at most.
        let furthest = d.hypot(step / 2.0) + 2e-6;
        assert!(d.abs() - 2e-6 <= brute && brute <= furthest, "{name} at {p}: {d}, by brute force {brute}");
        if d.abs() > 2e-6 {
            assert_eq!(turns(outline, exact) != 0, d < 0.0, "{name}: the sign at {p}, {d}");
        }
    }
}

/// Some of every kind, drawn and by hand.
fn shapes() -> Vec<Primitive> {
    let mut rng = Rng::new(7, 1);
    let mut shapes: Vec<Primitive> = (0..60).map(|_| Primitive::random(&mut rng)).collect();
    let polygon =
        |xy: &[[f32; 2]]| Primitive::Polygon { corners: xy.iter().map(|c| Vec2::from_array(*c)).collect() };
    shapes.extend([
        Primitive::Circle { radius: 0.3 },
        Primitive::Box { half: Vec2::new(0.9, 0.1) },
        // Clockwise, not convex, a corner without turn, edges along the axes.
        polygon(&[[0.0, 0.0], [0.0, 1.0], [0.5, 1.0], [0.5, 0.5], [1.0, 0.5], [1.0, 0.0], [0.5, 0.0]]),
        polygon(&[[-1.0, -0.5], [1.0, -0.5], [0.1, 0.0], [1.0, 0.8], [-0.9, 0.5], [-0.2, 0.1]]),
        Primitive::Star { points: 2, notch: 0.2 },
        Primitive::Star { points: 7, notch: 0.95 },
        Primitive::Star { points: 5, notch: 0.3 },
    ]);
    shapes
}

#[test]
fn every_kind_is_drawn() {
    let mut rng = Rng::new(0, 0);
    let mut seen = HashSet::new();
    for _ in 0..500 {
        let shape = Primitive::random(&mut rng);
        seen.insert(match &shape {
            Primitive::Circle { .. } => (0, 0),
            Primitive::Box { .. } => (1, 0),
            Primitive::Polygon { corners } => (2, corners.len()),
            Primitive::Star { points, .. } => (3, *points),
            other => panic!("{other:?} is new here"),
        });
        // All fit the unit circle, and the origin is well inside.
        assert!(corners(&shape).iter().all(|c| c.length() < 1.0 + 1e-6), "{shape:?}");
        assert!(shape.distance(Vec2::ZERO) < -0.1, "{shape:?}");
    }
    assert_eq!(seen.len(), 1 + 1 + 5 + 3, "{seen:?}");
}

#[test]
fn distances_are_exact() {
    let mut rng = Rng::new(7, 2);
    for shape in shapes() {
        let (outline, step) = dense(&corners(&shape));
        check(&shape.to_string(), &outline, step, &mut rng, |p| shape.distance(p));
    }
}

#[test]
fn placed_distances_are_exact() {
    let mut rng = Rng::new(7, 3);
    for shape in shapes() {
        let (scale, angle) = (rng.range(0.05, 1.0) as f32, rng.range(-9.0, 9.0) as f32);
        let placed = Placed::new(shape, scale, angle, point(&mut rng, 0.5));
        // The transform as it is documented: scale, then turn, then move.
        let to_square: Affine2 = placed.transform();
        let documented = Vec2::from_angle(angle).rotate(scale * Vec2::new(0.3, -0.8)) + to_square.translation;
        assert!(to_square.transform_point2(Vec2::new(0.3, -0.8)).distance(documented) < 1e-6);

        let (outline, step) = dense(&corners(placed.shape()));
        let moved: Vec<DVec2> =
            outline.iter().map(|p| to_square.as_daffine2().transform_point2(*p)).collect();
        check(&placed.to_string(), &moved, step * f64::from(scale), &mut rng, |p| placed.distance(p));
    }
}

#[test]
fn a_scale_must_be_positive() {
    for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let shape = Primitive::Circle { radius: 1.0 };
        assert!(std::panic::catch_unwind(|| Placed::new(shape, scale, 0.0, Vec2::ZERO)).is_err());
    }
}

/// Distances change no faster than one moves, and as fast as one moves straight off the outline.
#[test]
fn distances_change_with_slope_one() {
    let mut rng = Rng::new(7, 4);
    for _ in 0..300 {
        let placed = Placed::random(&mut rng);
        for i in 0..100 {
            let p = point(&mut rng, 1.0);
            let q = if i % 2 == 0 { point(&mut rng, 1.0) } else { p + point(&mut rng, 0.01) };
            let change = (placed.distance(p) - placed.distance(q)).abs();
            assert!(change <= p.distance(q) + 1e-6, "{placed}: {change} from {p} to {q}");
        }
    }
}

#[test]
fn outlines_lie_at_distance_zero_all_around() {
    let mut rng = Rng::new(7, 5);
    for shape in shapes() {
        let (points, _) = dense(&corners(&shape));
        let length = points.windows(2).map(|w| w[0].distance(w[1])).sum::<f64>();
        let placed = Placed::new(shape, 0.5, 1.0, point(&mut rng, 0.4));
        let at = |k: usize| placed.outline(k as f32 / 1000.0);
        for k in 0..=1000 {
            assert!(placed.distance(at(k)).abs() < 1e-6, "{placed} at {k}: {}", placed.distance(at(k)));
            // By length: every step is as long as any other, but where it cuts a corner.
            let far = f64::from(at(k).distance(at((k + 1) % 1000)));
            assert!(far <= 0.5 * length / 1000.0 * 1.02 + 1e-5, "{placed}: a step of {far} at {k}");
        }
        assert!(at(0).distance(at(1000)) < 1e-5, "{placed} is not closed");
    }
}

#[test]
fn shapes_without_extent_have_finite_distances() {
    let dot = Primitive::Polygon { corners: vec![Vec2::X; 3] };
    assert_eq!(dot.distance(Vec2::ZERO), 1.0);
    assert_eq!(dot.outline(0.5), Vec2::X);
    let nothing = Primitive::Polygon { corners: vec![] };
    assert_eq!(nothing.distance(Vec2::ZERO), f32::INFINITY);
    assert_eq!(nothing.outline(0.5), Vec2::ZERO);
}

/// What a family stages for a step: support x, y, row weights, counts; query x, y.
fn staged(family: &Shapes, step: u64, tasks: usize) -> [Vec<f32>; 6] {
    let mut g = Graph::new();
    let key = g.step_u32("key", &[2]);
    let e = family.episodes(&mut g, 0..tasks, key);
    let s = e.support;
    let values = [("xs", s.x), ("ys", s.y), ("rows", s.rows), ("count", s.count), ("xq", e.xq), ("yq", e.yq)];
    for (name, v) in values {
        let v = g.scale(v, 1.0);
        g.output(name, v);
    }
    let plan = lower(&g, Device::Cpu.caps(3)).unwrap();
    let mut session = Device::Cpu.prepare(plan).unwrap();
    // Row 0 of the window is what runs; other rows must not disturb it.
    family.stage(&mut session, 0, step, 0..tasks).unwrap();
    family.stage(&mut session, 2, step + 1, 0..tasks).unwrap();
    session.run(1).unwrap();
    values.map(|(name, _)| session.read(name).unwrap())
}

#[test]
fn episodes_are_whole() {
    let family = Shapes { shots: 20, min_shots: 5, query: 40, seed: 3 };
    let (t, n) = (50, family.shots);
    let mut counts = HashSet::new();
    for step in 0..20 {
        let [xs, ys, rows, count, xq, yq] = staged(&family, step, t);
        assert!(xs.iter().chain(&xq).all(|x| x.abs() <= 1.0));
        // No point of the square is further from a shape than its diagonal is long, nor deeper in than the
        // largest radius.
        assert!(ys.iter().chain(&yq).all(|y| *y > -0.7 && *y < 2.83));
        assert!(yq.iter().any(|y| *y < 0.0) && yq.iter().any(|y| *y > 0.0));
        for task in 0..t {
            let k = count[task] as usize;
            assert!((5..=20).contains(&k));
            counts.insert(k);
            let rows = &rows[task * n..][..n];
            assert!((rows.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            assert!(rows[..k].iter().all(|w| *w == rows[0]) && rows[k..].iter().all(|w| *w == 0.0));
            // Only the padding is zero.
            let ys = &ys[task * n..][..n];
            assert!(ys[..k].iter().all(|y| *y != 0.0) && ys[k..].iter().all(|y| *y == 0.0));
            // Every fourth point lies at the outline.
            let near = yq[task * 40..][..40].iter().skip(3).step_by(4);
            assert!(near.into_iter().all(|y| y.abs() < 0.1 * std::f32::consts::SQRT_2 + 1e-6));
        }
    }
    assert_eq!(counts.len(), 16, "support sets of every size from a quarter of 20 to 20: {counts:?}");
    let few = staged(&Shapes { shots: 2, min_shots: 2, query: 1, seed: 3 }, 0, 5);
    assert!(few[3].iter().all(|k| *k == 2.0));
}

#[test]
fn episodes_are_a_function_of_seed_and_step() {
    let family = Shapes::default();
    let [first, again] = [0, 0].map(|_| staged(&family, 5, 8));
    assert_eq!(first, again);
    // A task does not depend on how many others there are.
    let fewer = staged(&family, 5, 3);
    for (all, some) in first.iter().zip(&fewer) {
        assert_eq!(all[..some.len()], some[..]);
    }
    let other_seed = Shapes { seed: 1, ..family };
    for other in [staged(&family, 6, 8), staged(&family, 1 << 31, 8), staged(&other_seed, 5, 8)] {
        assert!(first[0].iter().zip(&other[0]).filter(|(a, b)| a == b && **a != 0.0).count() < 5);
    }
}

#[test]
fn held_out_tasks_are_apart_from_training() {
    let (seed, count) = (11, 60);
    let held_out = Shapes::held_out(seed, count, 32, 64);
    assert_eq!(held_out, Shapes::held_out(seed, count, 32, 64));
    assert_ne!(held_out, Shapes::held_out(seed + 1, count, 32, 64));
    // All different, and none of them met in training, for all that the seed is the same.
    let mut seen: HashSet<Vec<u32>> = HashSet::new();
    let mut new = |x: &[f32]| seen.insert(x[..4].iter().map(|v| v.to_bits()).collect());
    for task in &held_out {
        assert_eq!((task.xs.len(), task.ys.len(), task.xq.len(), task.yq.len()), (64, 32, 128, 64));
        assert!(new(&task.xs) && new(&task.xq));
        assert!(task.ys.iter().chain(&task.yq).all(|y| y.is_finite()));
    }
    for step in 0..20 {
        let [xs, _, _, _, xq, _] = staged(&Shapes { seed, ..Shapes::default() }, step, 50);
        assert!(xs.chunks(64).chain(xq.chunks(128)).all(&mut new));
    }
    // As in training: the same kinds of shapes, and distances that the placed shape gives.
    for (i, task) in held_out.iter().enumerate() {
        let placed = Shapes::held_out_shape(seed, i);
        assert_eq!(task.name, placed.to_string());
        for (x, y) in task.xq.chunks(2).zip(&task.yq) {
            assert_eq!(placed.distance(Vec2::new(x[0], x[1])), *y);
        }
    }
}

#[test]
fn more_shots_and_grids_leave_the_task_as_it_is() {
    let tasks = Shapes::held_out(2, 3, 32, 64);
    let fewer = Shapes::held_out(2, 3, 8, 16);
    for (i, (task, few)) in tasks.iter().zip(&fewer).enumerate() {
        assert_eq!(task.name, few.name);
        assert!(task.xs.starts_with(&few.xs) && task.ys.starts_with(&few.ys));
        assert!(task.xq.starts_with(&few.xq) && task.yq.starts_with(&few.yq));
        let size = 10;
        let field = Shapes::field(2, i, 32, size);
        assert_eq!((&field.name, &field.xs, &field.ys), (&task.name, &task.xs, &task.ys));
        assert_eq!((field.xq.len(), field.yq.len()), (2 * size * size, size * size));
        let at = |row: usize, column: usize| &field.xq[2 * (row * size + column)..][..2];
        for (row, column, expected) in [(0, 0, [-0.9, -0.9]), (0, 9, [0.9, -0.9]), (9, 3, [-0.3, 0.9])] {
            assert!(at(row, column).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
        }
        let placed = Shapes::held_out_shape(2, i);
        let distance = |x: &[f32]| placed.distance(Vec2::new(x[0], x[1]));
        assert!(field.xq.chunks(2).zip(&field.yq).all(|(x, y)| distance(x) == *y));
    }
    assert_eq!(Shapes::field(2, 0, 4, 0).yq, Vec::<f32>::new());
}

/// A hypernetwork that is trained for a moment only knows where the shape is, more or less.
#[test]
fn a_short_training_run_learns() {
    let target = Net::mlp(&[2, 32, 32, 1], Activation::Silu);
    let support = Some(SetEncoder::new(3, vec![64, 64], SCALE));
    let condition = ConditionSpec { support, ..ConditionSpec::default() };
    let hyper = HyperSpec::new(condition, vec![128], Activation::Relu, target.clone());
    let mut rng = Rng::new(1, 0);
    let base = target.layout().init(&mut rng);
    let params = hyper.init(&mut rng, &base);
    let mut schedule = Schedule::new(2e-3, 300);
    (schedule.warmup, schedule.final_fraction) = (20, 0.1);
    let mut settings = OuterSettings::new(16, schedule);
    (settings.clip, settings.seed) = (1.0, 1);
    let family = Shapes::default();
    let learner = Learner::Hyper(Box::new(hyper.into()));
    let mut trainer = Trainer::new(&Device::Cpu, &family, learner, settings, &params).unwrap();
    let mut losses = Vec::new();
    while trainer.step() < 300 {
        losses.extend(trainer.advance(50).unwrap().iter().map(|r| r.loss));
    }
    let mean = |l: &[f64]| l.iter().sum::<f64>() / l.len() as f64;
    let (first, last) = (mean(&losses[..20]), mean(&losses[280..]));
    assert!(losses.iter().all(|l| l.is_finite()));
    let constant = constant_guess();
    assert!(last < 0.2 * first && last < 0.2 * constant, "{first} to {last}; a constant: {constant}");
}

/// Mean squared error over held-out tasks of the best single number for each task.
fn constant_guess() -> f64 {
    let tasks = Shapes::held_out(0, 100, 4, 64);
    let variance = |task: &Task| {
        let n = task.yq.len() as f64;
        let mean = task.yq.iter().map(|y| f64::from(*y)).sum::<f64>() / n;
        task.yq.iter().map(|y| (f64::from(*y) - mean).powi(2)).sum::<f64>() / n
    };
    tasks.iter().map(variance).sum::<f64>() / tasks.len() as f64
}
