//! Where elements are, as far as it is known beforehand, and the rest as text.

use crate::spec::count;

/// A number of elements, or of an element: what is known of it beforehand, and the rest as text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Index {
    terms: Vec<String>,
    pub(super) known: usize,
}

impl Index {
    pub(super) fn zero() -> Index {
        Index { terms: vec![], known: 0 }
    }

    pub(super) fn of(term: impl Into<String>) -> Index {
        Index { terms: vec![term.into()], known: 0 }
    }

    pub(super) fn is_known(&self) -> bool {
        self.terms.is_empty()
    }

    pub(super) fn plus(mut self, other: &Index) -> Index {
        self.terms.extend(other.terms.iter().cloned());
        self.known += other.known;
        self
    }

    pub(super) fn shifted(mut self, by: usize) -> Index {
        self.known += by;
        self
    }

    pub(super) fn times(&self, by: usize) -> Index {
        let terms = match by {
            0 => vec![],
            1 => self.terms.clone(),
            _ => self.terms.iter().map(|t| format!("{by} * {}", bracketed(t))).collect(),
        };
        Index { terms, known: self.known * by }
    }

    pub(super) fn text(&self) -> String {
        let mut all = self.terms.clone();
        if self.known > 0 || all.is_empty() {
            all.push(self.known.to_string());
        }
        all.join(" + ")
    }
}

/// A term that may be multiplied.
fn bracketed(text: &str) -> String {
    if text.contains(' ') && !text.starts_with('(') { format!("({text})") } else { text.into() }
}

/// Where an element is: by an index along each axis, or counted in row-major order.
#[derive(Clone, Debug)]
pub(super) enum At {
    Axes(Vec<Index>),
    Counted(Index),
}

/// The number of an element in row-major order.
pub(super) fn counted(shape: &[usize], at: &At) -> Index {
    match at {
        At::Counted(index) => index.clone(),
        At::Axes(axes) => {
            let mut stride = 1;
            let mut all = vec![];
            for (n, index) in shape.iter().zip(axes).rev() {
                all.push(index.times(stride));
                stride *= n;
            }
            all.into_iter().rev().fold(Index::zero(), |sum, term| sum.plus(&term))
        }
    }
}

/// The index along each axis.
pub(super) fn axes_of(shape: &[usize], at: &At) -> Vec<Index> {
    let index = match at {
        At::Axes(axes) => return axes.clone(),
        At::Counted(index) => index,
    };
    let long = shape.iter().filter(|n| **n > 1).count();
    let mut stride = count(shape);
    let whole = stride;
    shape
        .iter()
        .map(|&n| {
            stride /= n;
            if n == 1 {
                return Index::zero();
            }
            if long == 1 {
                return index.clone();
            }
            if index.is_known() {
                return Index::zero().shifted(index.known / stride % n);
            }
            let text = format!("({})", index.text());
            let over = if stride == 1 { text } else { format!("({text} / {stride})") };
            let first = stride * n == whole;
            Index::of(if first { over } else { format!("({over} % {n})") })
        })
        .collect()
}
