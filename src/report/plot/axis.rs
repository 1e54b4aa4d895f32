//! One axis: from values to a place between 0 and 1, and where its ticks stand and what they say.

/// Values beyond this are drawn as if they were this, so that no difference of two overflows.
const LARGEST: f64 = 1e300;

/// An axis. Its own values are the data's, or their decimal logarithm.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    lo: f64,
    hi: f64,
    log: bool,
    /// Places between 0 and 1, and their labels.
    pub(super) ticks: Vec<(f64, String)>,
    /// Places of lighter lines without a label.
    pub(super) minor: Vec<f64>,
}

/// The smallest and largest finite value; `None` where there is none.
pub(super) fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).map(|v| v.clamp(-LARGEST, LARGEST)).fold(
        None,
        |r, v| match r {
            None => Some((v, v)),
            Some((lo, hi)) => Some((f64::min(lo, v), f64::max(hi, v))),
        },
    )
}

impl Axis {
    /// A linear axis over `range` with some `pad` (a fraction of it) on both sides and about `count` ticks.
    pub(super) fn linear(range: Option<(f64, f64)>, pad: f64, count: usize) -> Axis {
        let (lo, hi) = widened(range.unwrap_or((0.0, 1.0)));
        let more = (hi - lo) * pad;
        let mut axis = Axis { lo: lo - more, hi: hi + more, log: false, ticks: vec![], minor: vec![] };
        let (values, step) = round_values(axis.lo, axis.hi, count);
        axis.ticks = labels(&values, step).into_iter().map(|(v, label)| (axis.place(v), label)).collect();
        axis
    }

    /// A logarithmic axis over `range`, which must be positive; otherwise a linear one.
    pub(super) fn log(range: Option<(f64, f64)>, count: usize) -> Axis {
        let Some((lo, hi)) = range.filter(|(lo, _)| *lo > 0.0) else {
            return Axis::linear(range, 0.05, count);
        };
        let (mut lo, mut hi) = (lo.log10(), hi.log10());
        if hi - lo < 1e-3 {
            (lo, hi) = (lo - 0.2, hi + 0.2);
        }
        let more = (hi - lo) * 0.05;
        let mut axis = Axis { lo: lo - more, hi: hi + more, log: true, ticks: vec![], minor: vec![] };
        let decades: Vec<i32> = (axis.lo.ceil() as i32..=axis.hi.floor() as i32).collect();
        if axis.hi - axis.lo < 1.3 {
            // Hardly a decade: round values, denser towards the top.
            let (values, step) = round_values(10f64.powf(axis.lo), 10f64.powf(axis.hi), count + 1);
            axis.ticks = labels(&values, step).into_iter().map(|(v, label)| (axis.place(v), label)).collect();
            return axis;
        }
        let plain = decades.iter().all(|k| (-3..=4).contains(k));
        let wanted = decades.len().div_ceil(count.max(2) + 2) as i32;
        let stride = [1, 2, 5, 10, 20, 50, 100].into_iter().find(|s| *s >= wanted).unwrap_or(200);
        let between: &[i32] = if axis.hi - axis.lo < 2.5 { &[1, 2, 5] } else { &[1] };
        for k in decades.iter().filter(|k| *k % stride == 0) {
            for m in between {
                let label = match (plain, *m) {
                    (true, _) => fixed(f64::from(*m) * 10f64.powi(*k), (-k).max(0) as usize),
                    (false, 1) => format!("10{}", superscript(*k)),
                    (false, m) => format!("{m}×10{}", superscript(*k)),
                };
                axis.ticks
                    .push(((f64::from(*k) + f64::from(*m).log10() - axis.lo) / (axis.hi - axis.lo), label));
            }
        }
        if stride == 1 && decades.len() <= 5 {
            for k in decades.iter().map(|k| k - 1).take(1).chain(decades.iter().copied()) {
                axis.minor.extend(
                    (2..10).map(|m| (f64::from(k) + f64::from(m).log10() - axis.lo) / (axis.hi - axis.lo)),
                );
            }
        }
        axis.ticks.retain(|(place, _)| (0.0..=1.0).contains(place));
        axis.minor.retain(|place| (0.0..=1.0).contains(place));
        axis
    }

    /// An axis of names, evenly spaced; the value of a name is its number.
    pub(super) fn names(names: impl IntoIterator<Item = String>) -> Axis {
        let names: Vec<String> = names.into_iter().collect();
        let mut axis =
            Axis { lo: -0.4, hi: names.len().max(1) as f64 - 0.6, log: false, ticks: vec![], minor: vec![] };
        axis.ticks = names.into_iter().enumerate().map(|(i, name)| (axis.place(i as f64), name)).collect();
        axis
    }

    /// Where a finite value stands: 0 at the low end, 1 at the high end, beyond where it lies beyond.
    pub(super) fn place(&self, value: f64) -> f64 {
        let value = value.clamp(-LARGEST, LARGEST);
        let value = if self.log { value.log10() } else { value };
        (value - self.lo) / (self.hi - self.lo)
    }
}

/// A range that is wide enough to be drawn.
fn widened((lo, hi): (f64, f64)) -> (f64, f64) {
    let size = lo.abs().max(hi.abs());
    if hi - lo > size * 1e-9 {
        (lo, hi)
    } else if size < 1e-300 {
        (-1.0, 1.0)
    } else {
        (lo - size * 0.1, hi + size * 0.1)
    }
}

/// About `count` multiples of 1, 2 or 5 times a power of ten, and their distance.
fn round_values(lo: f64, hi: f64, count: usize) -> (Vec<f64>, f64) {
    let raw = (hi - lo) / count.max(1) as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= raw * 0.7).unwrap_or(raw);
    let (first, last) = ((lo / step).ceil(), (hi / step).floor());
    // The count is small by construction; the bound is for ranges at the ends of what f64 can hold.
    let values = (0..50).map(|i| first + f64::from(i)).take_while(|i| *i <= last).map(|i| i * step).collect();
    (values, step)
}

/// Values with labels of one kind: decimals that the step needs, or one power of ten for all.
fn labels(values: &[f64], step: f64) -> Vec<(f64, String)> {
    let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let step_power = step.log10().floor() as i32;
    let label = |v: f64| {
        if v == 0.0 {
            "0".to_string()
        } else if !(1e-3..999_999.0).contains(&largest) {
            let power = (largest * (1.0 + 1e-12)).log10().floor() as i32;
            // In two steps: the power alone may be too large or too small for f64.
            let mantissa = v / 10f64.powi(power / 2) / 10f64.powi(power - power / 2);
            format!("{}×10{}", fixed(mantissa, (power - step_power).clamp(0, 9) as usize), superscript(power))
        } else {
            fixed(v, (-step_power).clamp(0, 9) as usize)
        }
    };
    values.iter().map(|v| (*v, label(*v))).collect()
}

/// A number with so many decimals, a true minus sign and commas between thousands.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let mut out = String::new();
    if value < 0.0 && text.contains(|c| ('1'..='9').contains(&c)) {
        out.push('−');
    }
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + &rest
}

/// A count with commas between thousands.
pub(super) fn whole(count: usize) -> String {
    fixed(count as f64, 0)
}

/// A number with three significant digits, for legends.
pub(super) fn short(value: f64) -> String {
    let power = value.abs().log10().floor();
    match power {
        _ if !value.is_finite() => value.to_string(),
        _ if value == 0.0 => "0".into(),
        p if (-3.0..6.0).contains(&p) => fixed(value, (2.0 - p).max(0.0) as usize),
        p => {
            let half = (p / 2.0).trunc() as i32;
            let mantissa = value / 10f64.powi(half) / 10f64.powi(p as i32 - half);
            format!("{}×10{}", fixed(mantissa, 2), superscript(p as i32))
        }
    }
}

fn superscript(power: i32) -> String {
    let raised = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let digit = |c: char| c.to_digit(10).map_or('⁻', |d| raised[d as usize]);
    power.to_string().chars().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn round_ticks() {
        assert_eq!(texts(&Axis::linear(Some((0.0, 1.0)), 0.0, 5)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(&Axis::linear(Some((-20_000.0, 20_000.0)), 0.0, 2)), ["−20,000", "0", "20,000"]);
        assert_eq!(texts(&Axis::linear(Some((0.0, 2e6)), 0.0, 4))[1], "0.5×10⁶");
        assert_eq!(texts(&Axis::log(Some((1e-3, 10.0)), 5)), ["0.001", "0.01", "0.1", "1", "10"]);
        assert_eq!(texts(&Axis::log(Some((1e-8, 1.0)), 5))[0], "10⁻⁸");
        assert_eq!(short(0.012345), "0.0123");
        assert_eq!(short(-1234.5), "−1,234");
        assert_eq!(short(1e-9), "1.00×10⁻⁹");
    }

    #[test]
    fn any_range_has_an_axis() {
        let ends =
            [0.0, 1.0, -1.0, 1e-320, -1e-320, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 1e16, 1.0 + 1e-15];
        for a in ends {
            for b in ends {
                for axis in [Axis::linear(range([a, b]), 0.05, 5), Axis::log(range([a, b]), 5)] {
                    for place in [axis.place(a), axis.place(b)] {
                        assert!((-1e-9..=1.0 + 1e-9).contains(&place), "{a} {b} {axis:?}");
                    }
                    assert!(axis.ticks.len() <= 30, "{a} {b} {axis:?}");
                    assert!(axis.ticks.iter().all(|(place, _)| place.is_finite()), "{a} {b} {axis:?}");
                }
            }
        }
    }
}
