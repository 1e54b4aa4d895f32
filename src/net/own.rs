//! A layer that a program writes itself, in graph code: what no list of the other layers can say. A whole target may be one such layer,
//! or it stands among others, before a dense head, say.
//!
//! It is a layer and not another kind of network, so that all that is known of nets holds for it: generated or shared weights,
//! every way of adaptation, context parameters before it, a head behind it, checkpoints. Files hold its name alone; a program that
//! reads them hands the layer over again ([`Net::hand_over`](super::Net::hand_over)).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::layer::{Forward, Kind, Params};
use super::{ParamLayout, ParamRole, Weights};
use crate::graph::{Graph, Value};
use crate::spec::Shape;

/// A layer of a program's own.
///
/// ```
/// use hyperloom::graph::{Graph, Value};
/// use hyperloom::net::{Init, LayerWeights, Net, OwnLayer, ParamLayout};
///
/// /// `x + c sin(x)`, c learned.
/// #[derive(Debug)]
/// struct Ripple;
///
/// impl OwnLayer for Ripple {
///     fn name(&self) -> &str {
///         "ripple"
///     }
///     fn output(&self, row: &[usize]) -> Result<Vec<usize>, String> {
///         Ok(row.to_vec())
///     }
///     fn params(&self, _: &[usize]) -> ParamLayout {
///         let mut layout = ParamLayout::default();
///         layout.push("c", &[1, 1], Init::Constant(0.1));
///         layout
///     }
///     fn apply(&self, g: &mut Graph, w: &LayerWeights<'_>, x: Value) -> Value {
///         let c = w.get(g, "c");
///         let e = g.expr();
///         let (c, x) = (e.of(c), e.of(x));
///         (x + c * x.sin()).value()
///     }
/// }
///
/// let net = Net::rows([2]).dense(8).own(Ripple).dense(1);
/// assert!(net.check().is_ok() && net.layout().get("1.c").is_some());
/// ```
pub trait OwnLayer: fmt::Debug + Send + Sync {
    /// What it is called in files. Two layers of one name are taken to be the same: settings that make a difference belong into it.
    fn name(&self) -> &str;

    /// The shape that a row comes out with.
    ///
    /// # Errors
    /// What would be right, where it cannot read rows of this shape.
    fn output(&self, row: &[usize]) -> Result<Shape, String>;

    /// Its parameters for rows of shape `row`, with how each starts.
    fn params(&self, row: &[usize]) -> ParamLayout;

    /// Whether what a row becomes depends on the rows of its task beside it.
    fn mixes_rows(&self) -> bool {
        false
    }

    /// Rows `x [B, n, ..row]` to `[B, n, ..output]`. B counts the tasks where each has weights of its own; weights that all
    /// rows share may come as one task that has all of them.
    fn apply(&self, g: &mut Graph, weights: &LayerWeights<'_>, x: Value) -> Value;
}

/// The weights of one layer.
#[derive(Debug)]
pub struct LayerWeights<'w> {
    weights: Weights<'w>,
    /// The layer's name in the layout.
    layer: String,
}

impl LayerWeights<'_> {
    /// The parameter that the layer calls `name`: `[B, ..shape]`, B the number of tasks, or 1 where they share it.
    ///
    /// # Panics
    /// When the layer has no such parameter.
    #[track_caller]
    pub fn get(&self, g: &mut Graph, name: &str) -> Value {
        let v = self.weights.get(g, &format!("{}.{name}", self.layer));
        if self.weights.per_task(g) {
            return v;
        }
        let shape = [&[1], g.shape(v)].concat();
        g.reshape(v, &shape)
    }
}

/// A program's own layer in a net, or only its name where it was read from a file. Equal where the names are.
#[derive(Clone)]
pub struct Own {
    name: String,
    layer: Option<Arc<dyn OwnLayer>>,
}

impl Own {
    /// The layer, to be put into a net or handed over to one that was read.
    pub fn new(layer: impl OwnLayer + 'static) -> Own {
        Own { name: layer.name().into(), layer: Some(Arc::new(layer)) }
    }

    /// What the layer is called in files.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes the layer of this name, where it is among these.
    pub(super) fn fill(&mut self, from: &[Own]) {
        if let Some(own) = from.iter().find(|own| own.name == self.name) {
            self.layer.clone_from(&own.layer);
        }
    }

    fn layer(&self) -> Result<&dyn OwnLayer, String> {
        self.layer.as_deref().ok_or_else(|| {
            format!(
                "'{}' is a layer of a program's own, of which a file holds the name alone: the program that wrote it hands the layer \
                 over again (Model::load_with or open_with, RunFolder::with_own, or model.net of a Config)",
                self.name
            )
        })
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.layer {
            Some(layer) => layer.fmt(f),
            None => f.debug_tuple("Own").field(&self.name).finish(),
        }
    }
}

impl PartialEq for Own {
    fn eq(&self, other: &Own) -> bool {
        self.name == other.name
    }
}

/// As it stands in files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    own: String,
}

impl Serialize for Own {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Named { own: self.name.clone() }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Own, D::Error> {
        Ok(Own { name: Named::deserialize(from)?.own, layer: None })
    }
}

impl Kind for Own {
    fn output(&self, row: &[usize]) -> Result<Shape, String> {
        let layer = self.layer()?;
        let out = layer.output(row)?;
        let params = layer.params(row).params;
        let (mut end, mut names) = (0, std::collections::HashSet::new());
        for p in &params {
            if p.offset != end || !names.insert(&p.name) {
                return Err(format!(
                    "the parameters of '{}' overlap, leave gaps, or share a name",
                    self.name
                ));
            }
            if p.role == ParamRole::Head {
                return Err(format!(
                    "'{}' calls its parameter '{}' a head: that is the dense layer which a net ends in, put behind it",
                    self.name, p.name
                ));
            }
            end = p.range().end;
        }
        Ok(out)
    }

    fn params(&self, row: &[usize], to: &mut Params<'_>) {
        let Ok(layer) = self.layer() else { return };
        let own = layer.params(row);
        if !own.is_empty() {
            let name = to.layer();
            to.layout.extend(&name, &own);
        }
    }

    fn mixes_rows(&self) -> bool {
        self.layer().is_ok_and(OwnLayer::mixes_rows)
    }

    fn apply(&self, g: &mut Graph, x: Value, f: &mut Forward<'_>) -> Value {
        let layer = self.layer().unwrap_or_else(|e| panic!("{e}"));
        let (lead, row) = g.shape(x).split_at(f.lead);
        let (lead, row) = (lead.to_vec(), row.to_vec());
        let out = layer.output(&row).unwrap_or_else(|e| panic!("{e}"));
        let rows = if let [_, _] = lead[..] { lead.clone() } else { [&[1], &lead[..]].concat() };
        let has_params = !layer.params(&row).is_empty();
        let weights =
            LayerWeights { weights: f.weights, layer: if has_params { f.layer() } else { String::new() } };
        let y = g.scope(self.name.clone(), |g| {
            let x = g.reshape(x, &[&rows[..], &row].concat());
            layer.apply(g, &weights, x)
        });
        let promised = [&rows[..], &out].concat();
        assert!(
            g.shape(y) == promised,
            "the layer '{}' says that it makes {promised:?}, and made {:?}",
            self.name,
            g.shape(y)
        );
        let y = g.reshape(y, &[lead, out].concat());
        if has_params { f.gave(y) } else { y }
    }
}
