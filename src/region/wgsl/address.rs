//! Where the operands of a pass lie, as text: elements, vectors, positions.

use crate::spec::MAX_RANK;
use crate::view::View;

/// What an operand lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    Words,
    Vectors,
    /// The buffer of this binding.
    Buffer(usize),
    Register,
}

/// An operand of a pass, as its function knows it.
#[derive(Clone, Copy)]
pub(super) struct Address {
    pub(super) memory: Memory,
    /// Which of the positions that the function is given is its first element's.
    pub(super) number: usize,
}

impl Address {
    pub(super) fn is_vectors(&self) -> bool {
        self.memory == Memory::Vectors
    }

    /// Where in its memory the element at position `i` is.
    pub(super) fn place(&self, i: &str) -> String {
        plus([&format!("p{}", self.number), i])
    }

    /// The element at a place in its memory.
    pub(super) fn load(&self, place: &str) -> String {
        match self.memory {
            Memory::Words => format!("words[{place}]"),
            Memory::Vectors => format!("vector_part({place})"),
            Memory::Buffer(buffer) => format!("buffer{buffer}[{place}]"),
            Memory::Register => panic!("what lies in a register has no place"),
        }
    }

    /// The element at position `i`.
    pub(super) fn element(&self, i: &str) -> String {
        self.load(&self.place(i))
    }

    /// Which vector of the memory is at position `i`, a multiple of four.
    pub(super) fn vector_place(&self, i: &str) -> String {
        assert!(self.is_vectors(), "only vectors are read whole");
        format!("({}) / 4u", self.place(i))
    }

    /// The vector at position `i`, a multiple of four.
    pub(super) fn vector(&self, i: &str) -> String {
        format!("vectors[{}]", self.vector_place(i))
    }
}

/// Four elements, made one by one.
pub(super) fn four(element: impl Fn(usize) -> String) -> String {
    format!("vec4<f32>({})", listed(element))
}

/// Four things with commas between them.
pub(super) fn listed(each: impl Fn(usize) -> String) -> String {
    (0..4).map(each).collect::<Vec<String>>().join(", ")
}

/// Positions `i .. i + 4` of an axis of `len`, those beyond its end at the last one.
pub(super) fn next(i: &str, len: usize) -> [String; 4] {
    std::array::from_fn(|c| match c {
        0 => i.to_string(),
        _ if len.is_multiple_of(4) => format!("({i} + {c}u)"),
        _ => format!("min({i} + {c}u, {}u)", len - 1),
    })
}

/// Multiplied where needed: `i * 7u`, or `i`, or nothing.
pub(super) fn times(i: &str, stride: usize) -> String {
    match stride {
        0 => "0u".into(),
        1 => i.into(),
        s => format!("{i} * {s}u"),
    }
}

/// The sum of positions.
pub(super) fn plus<const N: usize>(terms: [&str; N]) -> String {
    let terms: Vec<&str> = terms.into_iter().filter(|t| *t != "0u").collect();
    if terms.is_empty() { "0u".into() } else { terms.join(" + ") }
}

/// Position of the `i`-th element over axes `(length, distance)`, last first, from the first element on.
pub(super) fn position(i: &str, axes: &[(usize, usize)]) -> String {
    let mut terms = vec![];
    let mut inner = 1;
    for (n, &(d, s)) in axes.iter().enumerate() {
        let index = if inner == 1 { i.to_string() } else { format!("{i} / {inner}u") };
        let last = n + 1 == axes.len();
        let index = match last {
            true if inner == 1 => index,
            true => format!("({index})"),
            false => format!("({index} % {d}u)"),
        };
        if s > 0 {
            terms.push(times(&index, s));
        }
        inner *= d;
    }
    if terms.is_empty() { "0u".into() } else { terms.join(" + ") }
}

/// The axes of a view that are longer than 1, last first.
pub(super) fn axes(view: &View) -> Vec<(usize, usize)> {
    (0..MAX_RANK).rev().filter(|&i| view.dims[i] > 1).map(|i| (view.dims[i], view.strides[i])).collect()
}
