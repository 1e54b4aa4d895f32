//! Which launches take others along: a product its bias and activation, a sum its product, a product with
//! an activation's derivative that derivative, a sum or difference with a scaled value its scale.

use super::{FusedProduct, Lowering};
use crate::graph::Value;
use crate::graph::op::{Binary, Func, Op};

impl Lowering<'_> {
    pub(super) fn fuse(&mut self) {
        let live: Vec<usize> = (0..self.g.nodes().len()).filter(|&i| self.live[i]).collect();
        for &i in &live {
            let v = Value(i as u32);
            match self.op(v) {
                Op::MatMul { .. } | Op::Conv(..) => self.fuse_product(v),
                Op::SumTo => {
                    let x = self.g.node(v).inputs[0];
                    if matches!(self.op(x), Op::Zip(Binary::Mul))
                        && self.only_user(x) == Some(v)
                        && !self.absorbed[x.index()]
                    {
                        let m = &self.g.node(x).inputs;
                        self.dots.insert(v, (m[0], m[1]));
                        self.absorbed[x.index()] = true;
                    }
                }
                _ => {}
            }
        }
        for i in live {
            let v = Value(i as u32);
            let Op::Zip(op @ (Binary::Mul | Binary::Add | Binary::Sub)) = *self.op(v) else { continue };
            // A sum that is a product with its bias reads the bias as it is.
            if self.absorbed[i] || self.products.contains_key(&v) {
                continue;
            }
            let (a, b) = (self.g.node(v).inputs[0], self.g.node(v).inputs[1]);
            // The second operand of a difference stays the second.
            let sides = if op == Binary::Sub { vec![(a, b)] } else { vec![(a, b), (b, a)] };
            for (factor, chain) in sides {
                let Op::Map(f) = self.op(chain) else { continue };
                let fits = match f {
                    Func::Act(_, 1..) | Func::Slope(_) => op == Binary::Mul,
                    Func::Affine(..) => op != Binary::Mul,
                    _ => false,
                };
                if fits && self.only_user(chain) == Some(v) && !self.absorbed[chain.index()] {
                    self.chains.insert(v, (factor, self.g.node(chain).inputs[0], *f));
                    self.absorbed[chain.index()] = true;
                    break;
                }
            }
        }
    }

    pub(super) fn fuse_product(&mut self, value: Value) {
        let shape = self.shape(value);
        let mut p = FusedProduct { value, bias: None, sum: Some(value), act: None };
        let mut at = value;
        if let Some(u) = self.only_user(value)
            && matches!(self.op(u), Op::Zip(Binary::Add))
            && self.shape(u) == shape
        {
            let [a, b] = self.g.node(u).inputs[..] else { return };
            // Of two products that are summed, the first takes the other as its bias.
            if a != b && !self.products.contains_key(&u) {
                p.bias = Some(if a == value { b } else { a });
                p.sum = Some(u);
                self.absorbed[value.index()] = true;
                at = u;
            }
        }
        let act = self.users[at.index()].iter().find_map(|&u| match self.op(u) {
            Op::Map(Func::Act(a, 0)) if u != at => Some((*a, u)),
            _ => None,
        });
        if let Some((a, y)) = act {
            p.act = Some((a, y));
            self.absorbed[y.index()] = true;
            if self.only_user(at).is_some() {
                p.sum = None;
            }
        }
        self.products.insert(at, p);
    }
}
