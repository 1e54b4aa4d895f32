//! A graph as text: one line a node.

use std::fmt;

use super::{Graph, op::Op};

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, n) in self.nodes.iter().enumerate() {
            let args: Vec<String> = n.inputs.iter().map(|v| format!("%{}", v.0)).collect();
            let what = match &n.op {
                Op::Input(k) => format!("input '{}' ({:?})", self.inputs[*k].name, self.inputs[*k].role),
                Op::Const(c) => format!("const {}", c.0),
                Op::Map(func) => format!("map {func:?}"),
                Op::Zip(b) => format!("zip {b:?}"),
                Op::MatMul { ta, tb } => {
                    format!("matmul{}{}", if *ta { " aᵀ" } else { "" }, if *tb { " bᵀ" } else { "" })
                }
                Op::Scan(s) => format!("scan x {}{}", s.0.n, if s.0.reverse { " reversed" } else { "" }),
                Op::Result(i) => format!("result {i} of"),
                op => op.name().to_string(),
            };
            writeln!(f, "%{i} {:?} = {what}({})  {}", n.shape, args.join(", "), n.label)?;
        }
        for (name, v) in &self.outputs {
            writeln!(f, "output '{name}' = %{}", v.0)?;
        }
        for (s, v) in &self.updates {
            writeln!(f, "update %{} <- %{}", s.0, v.0)?;
        }
        for (name, v) in &self.records {
            writeln!(f, "record '{name}' = %{}", v.0)?;
        }
        Ok(())
    }
}
