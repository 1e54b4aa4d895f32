//! Weights are a value: trainable parameters shared by all tasks, or what a hypernetwork wrote, a row a task; a layer does not
//! know which.

use super::{Compression, ParamLayout};
use crate::graph::{Graph, Value};
use crate::spec::count;

/// A flat vector of weights `[P]`, or one a task `[T, P]`, and what it holds.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'l> {
    /// The values.
    pub flat: Value,
    /// Names, shapes and offsets.
    pub layout: &'l ParamLayout,
}

impl Weights<'_> {
    /// The parameter `name` as it is used ([`Compression`](super::Compression)): its shape, after `[T]` where every task has its own.
    ///
    /// # Panics
    /// When the layout has no such parameter.
    #[track_caller]
    pub fn get(&self, g: &mut Graph, name: &str) -> Value {
        let Some(p) = self.layout.get(name) else { panic!("the layout has no parameter '{name}'") };
        let shape = g.shape(self.flat).to_vec();
        let axis = shape.len() - 1;
        let flat = g.slice(self.flat, axis, p.offset, count(&p.shape));
        let mut full = shape[..axis].to_vec();
        full.extend(&p.shape);
        let value = g.reshape(flat, &full);
        if Compression::reads(p) { self.layout.compression.of(g, value, &p.shape) } else { value }
    }

    /// Whether every task has its own weights.
    pub fn per_task(&self, g: &Graph) -> bool {
        g.shape(self.flat).len() == 2
    }

    /// `x W + b` with the parameters `layer.weight [in, out]` and `layer.bias [out]`; x is `[T, n, in]`
    /// where every task has its own weights, else `[rows, in]`.
    #[track_caller]
    pub fn linear(&self, g: &mut Graph, layer: &str, x: Value) -> Value {
        let w = self.get(g, &format!("{layer}.weight"));
        let b = self.get(g, &format!("{layer}.bias"));
        let b = if self.per_task(g) {
            let [t, o] = g.shape(b)[..] else { panic!("a bias has one axis") };
            g.reshape(b, &[t, 1, o])
        } else {
            b
        };
        let y = g.matmul(x, w);
        g.add(y, b)
    }
}
