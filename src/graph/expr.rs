//! Expressions: graph code that nests. An [`Expr`] is a value together with its graph, with the graph's methods under their usual
//! names and operators for arithmetic; it adds nothing to what a graph can say.
//!
//! ```
//! use hyperloom::graph::Graph;
//!
//! let mut g = Graph::new();
//! let e = g.expr();
//! let (x, w, b) = (e.data("x", &[8, 2]), e.data("w", &[2, 3]), e.data("b", &[1, 3]));
//! let y = (x.dot(w) + b).tanh();
//! let loss = (y * y).sum(1).mean() / 2.0 + 0.01 * (w * w).total();
//! let gradient = loss.grad(&[w])[0].value();
//! // The graph is there again once no expression is used any more.
//! assert_eq!(g.shape(gradient), [2, 3]);
//! g.output("gradient", gradient);
//! ```

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::op::{Binary, Func};
use super::{Graph, Value};
use crate::spec::{Activation, Shape};

/// A graph, of which expressions are made ([`Graph::expr`]).
#[derive(Clone, Copy)]
pub struct Exprs<'g> {
    /// Taken out and put back by every operation; one that is refused leaves an empty graph.
    graph: &'g Cell<Graph>,
}

/// A value with its graph.
#[must_use = "an expression that nothing uses is a node that nothing reads"]
#[derive(Clone, Copy)]
pub struct Expr<'g> {
    of: Exprs<'g>,
    value: Value,
}

/// What an operation of the graph gives, as an expression. A macro, not a function of a closure: panics name the caller's line.
macro_rules! built {
    ($exprs:expr, $g:ident => $value:expr) => {{
        let exprs: Exprs<'_> = $exprs;
        let mut $g = exprs.graph.take();
        let value = $value;
        exprs.graph.set($g);
        Expr { of: exprs, value }
    }};
}

impl Graph {
    /// For building with expressions; the graph is borrowed as long as one of them is used.
    pub fn expr(&mut self) -> Exprs<'_> {
        Exprs { graph: Cell::from_mut(self) }
    }
}

impl<'g> Exprs<'g> {
    /// A value of this graph.
    pub fn of(self, value: Value) -> Expr<'g> {
        Expr { of: self, value }
    }

    /// What is built by hand.
    pub fn build(self, build: impl FnOnce(&mut Graph) -> Value) -> Expr<'g> {
        built!(self, g => build(&mut g))
    }

    /// [`Graph::data`]
    #[track_caller]
    pub fn data(self, name: &str, shape: &[usize]) -> Expr<'g> {
        built!(self, g => g.data(name, shape))
    }

    /// [`Graph::constant`]
    pub fn constant(self, x: f64) -> Expr<'g> {
        built!(self, g => g.constant(x))
    }

    /// [`Graph::concat`]
    #[track_caller]
    pub fn concat(self, parts: &[Expr<'g>], axis: usize) -> Expr<'g> {
        let parts: Vec<Value> = parts.iter().map(|part| part.value_in(self)).collect();
        built!(self, g => g.concat(&parts, axis))
    }
}

impl<'g> Expr<'g> {
    /// The graph, of which more expressions are made.
    pub fn exprs(self) -> Exprs<'g> {
        self.of
    }

    /// The value alone.
    pub fn value(self) -> Value {
        self.value
    }

    /// The value, of which an operand is made in `of`.
    #[track_caller]
    fn value_in(self, of: Exprs<'g>) -> Value {
        assert!(std::ptr::eq(self.of.graph, of.graph), "an expression of two graphs");
        self.value
    }

    /// [`Graph::shape`]
    pub fn shape(self) -> Shape {
        let g = self.of.graph.take();
        let shape = g.shape(self.value).to_vec();
        self.of.graph.set(g);
        shape
    }

    /// The matrix product ([`Graph::matmul`]).
    #[track_caller]
    pub fn dot(self, other: Expr<'g>) -> Expr<'g> {
        let other = other.value_in(self.of);
        built!(self.of, g => g.matmul(self.value, other))
    }

    /// [`Graph::map`]
    #[track_caller]
    pub fn map(self, f: Func) -> Expr<'g> {
        built!(self.of, g => g.map(f, self.value))
    }

    /// [`Graph::zip`]
    #[track_caller]
    pub fn zip(self, f: Binary, other: Expr<'g>) -> Expr<'g> {
        let other = other.value_in(self.of);
        built!(self.of, g => g.zip(f, self.value, other))
    }

    /// [`Graph::act`]
    #[track_caller]
    pub fn act(self, activation: Activation) -> Expr<'g> {
        built!(self.of, g => g.act(activation, self.value))
    }

    /// `tanh x`
    #[track_caller]
    pub fn tanh(self) -> Expr<'g> {
        self.act(Activation::Tanh)
    }

    /// `max(x, 0)`
    #[track_caller]
    pub fn relu(self) -> Expr<'g> {
        self.act(Activation::Relu)
    }

    /// `sin x`
    #[track_caller]
    pub fn sin(self) -> Expr<'g> {
        self.act(Activation::Sin)
    }

    /// `e^x`
    #[track_caller]
    pub fn exp(self) -> Expr<'g> {
        self.map(Func::Exp)
    }

    /// `ln x`
    #[track_caller]
    pub fn ln(self) -> Expr<'g> {
        self.map(Func::Log)
    }

    /// `√x`
    #[track_caller]
    pub fn sqrt(self) -> Expr<'g> {
        self.map(Func::Sqrt)
    }

    /// [`Graph::scale`]
    #[track_caller]
    pub fn scale(self, c: f64) -> Expr<'g> {
        built!(self.of, g => g.scale(self.value, c))
    }

    /// Sum over an axis, which stays with length 1.
    #[track_caller]
    pub fn sum(self, axis: usize) -> Expr<'g> {
        built!(self.of, g => g.sum_axes(self.value, &[axis]))
    }

    /// Sum of all elements, a scalar.
    #[track_caller]
    pub fn total(self) -> Expr<'g> {
        self.sum_to(&[])
    }

    /// [`Graph::sum_to`]
    #[track_caller]
    pub fn sum_to(self, shape: &[usize]) -> Expr<'g> {
        built!(self.of, g => g.sum_to(self.value, shape))
    }

    /// Mean of all elements, a scalar.
    #[track_caller]
    pub fn mean(self) -> Expr<'g> {
        built!(self.of, g => g.mean(self.value))
    }

    /// [`Graph::expand`]
    #[track_caller]
    pub fn expand(self, shape: &[usize]) -> Expr<'g> {
        built!(self.of, g => g.expand(self.value, shape))
    }

    /// [`Graph::reshape`]
    #[track_caller]
    pub fn reshape(self, shape: &[usize]) -> Expr<'g> {
        built!(self.of, g => g.reshape(self.value, shape))
    }

    /// [`Graph::permute`]
    #[track_caller]
    pub fn permute(self, order: &[usize]) -> Expr<'g> {
        built!(self.of, g => g.permute(self.value, order))
    }

    /// [`Graph::slice`]
    #[track_caller]
    pub fn slice(self, axis: usize, start: usize, len: usize) -> Expr<'g> {
        built!(self.of, g => g.slice(self.value, axis, start, len))
    }

    /// Gradients of this scalar ([`Graph::grad`]).
    #[track_caller]
    pub fn grad(self, wrt: &[Expr<'g>]) -> Vec<Expr<'g>> {
        let wrt: Vec<Value> = wrt.iter().map(|x| x.value_in(self.of)).collect();
        let mut g = self.of.graph.take();
        let gradients = g.grad(self.value, &wrt);
        self.of.graph.set(g);
        gradients.into_iter().map(|v| self.of.of(v)).collect()
    }

    /// A number in the same graph.
    fn number(self, x: f64) -> Expr<'g> {
        self.of.constant(x)
    }

    /// `cos x`
    #[track_caller]
    pub fn cos(self) -> Expr<'g> {
        // The derivative of the sine.
        self.map(Func::Act(Activation::Sin, 1))
    }

    /// The largest whole number that is not larger.
    #[track_caller]
    pub fn floor(self) -> Expr<'g> {
        self.map(Func::Floor)
    }

    /// [`Func::Round`]
    pub fn round(self) -> Expr<'g> {
        self.map(Func::Round)
    }

    /// The larger of two.
    #[track_caller]
    pub fn larger(self, other: Expr<'g>) -> Expr<'g> {
        self.zip(Binary::Max, other)
    }

    /// The nearest number from `low` to `high`.
    #[track_caller]
    pub fn clip(self, low: f64, high: f64) -> Expr<'g> {
        // min(x, high) = -max(-x, -high)
        let least = self.larger(self.number(low));
        -(-least).larger(self.number(-high))
    }

    /// 1 where this is less than `x`, else 0.
    #[track_caller]
    pub fn below(self, x: f64) -> Expr<'g> {
        self.zip(Binary::Less, self.number(x))
    }

    /// 1 where this is `x` or more, else 0.
    #[track_caller]
    pub fn at_least(self, x: f64) -> Expr<'g> {
        self.zip(Binary::GreaterEq, self.number(x))
    }

    /// `a` where this is not 0, else `b` ([`Graph::select`]).
    #[track_caller]
    pub fn choose(self, a: Expr<'g>, b: Expr<'g>) -> Expr<'g> {
        let (a, b) = (a.value_in(self.of), b.value_in(self.of));
        built!(self.of, g => g.select(self.value, a, b))
    }

    /// Column `i`: that element of the last axis, which stays with length 1.
    #[track_caller]
    pub fn column(self, i: usize) -> Expr<'g> {
        let last = self.shape().len() - 1;
        self.slice(last, i, 1)
    }

    /// Values side by side along the last axis.
    ///
    /// # Panics
    /// Where there are none.
    #[track_caller]
    pub fn columns(parts: &[Expr<'g>]) -> Expr<'g> {
        let first = parts.first().expect("columns are at least one");
        first.of.concat(parts, first.shape().len() - 1)
    }

    /// [`Graph::stop_gradient`]
    pub fn stop_gradient(self) -> Expr<'g> {
        built!(self.of, g => g.stop_gradient(self.value))
    }
}

/// One row an operator: of two expressions, of an expression and a number as an affine map, of a number and an expression.
macro_rules! operators {
    ($($operator:ident $name:ident, $x:ident $c:ident: ($a:expr, $b:expr), $reverse:expr;)*) => { $(
        impl<'g> $operator for Expr<'g> {
            type Output = Expr<'g>;

            #[track_caller]
            fn $name(self, other: Expr<'g>) -> Expr<'g> {
                self.zip(Binary::$operator, other)
            }
        }

        impl<'g> $operator<f64> for Expr<'g> {
            type Output = Expr<'g>;

            #[track_caller]
            fn $name(self, $c: f64) -> Expr<'g> {
                built!(self.of, g => g.affine(self.value, $a, $b))
            }
        }

        impl<'g> $operator<Expr<'g>> for f64 {
            type Output = Expr<'g>;

            #[track_caller]
            fn $name(self, $x: Expr<'g>) -> Expr<'g> {
                let $c = self;
                $reverse
            }
        }
    )* };
}

operators! {
    Add add, x c: (1.0, c), x + c;
    Sub sub, x c: (1.0, -c), -x + c;
    Mul mul, x c: (c, 0.0), x * c;
    Div div, x c: (1.0 / c, 0.0), x.map(Func::Recip).scale(c);
}

impl<'g> Neg for Expr<'g> {
    type Output = Expr<'g>;

    #[track_caller]
    fn neg(self) -> Expr<'g> {
        self * -1.0
    }
}

impl From<Expr<'_>> for Value {
    fn from(expr: Expr<'_>) -> Value {
        expr.value
    }
}

impl fmt::Debug for Exprs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exprs").finish_non_exhaustive()
    }
}

impl fmt::Debug for Expr<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operators are the graph's own methods: the same nodes.
    #[test]
    fn expressions_are_graph_code() {
        let mut g = Graph::new();
        let (a, b) = (g.data("a", &[2, 3]), g.data("b", &[2, 3]));
        let e = g.expr();
        let (x, y) = (e.of(a), e.of(b));
        let all = [x + y, x - y, x * y, x / y, x * 2.0, 2.0 - x, 2.0 / x, -x, (x * y + 1.0).tanh().sum(1)];
        let found = all.map(Expr::value);
        let by_hand = |g: &mut Graph| {
            let (product, recip) = (g.mul(a, b), g.map(Func::Recip, a));
            let shifted = g.affine(product, 1.0, 1.0);
            let tanh = g.act(Activation::Tanh, shifted);
            [
                g.add(a, b),
                g.sub(a, b),
                product,
                g.div(a, b),
                g.scale(a, 2.0),
                g.affine(a, -1.0, 2.0),
                g.scale(recip, 2.0),
                g.scale(a, -1.0),
                g.sum_to(tanh, &[2, 1]),
            ]
        };
        assert_eq!(by_hand(&mut g), found);
    }
}
