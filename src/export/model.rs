//! A whole model: what it does to a few examples of a task, the networks that it makes of them, and what these say.

use super::{Function, Learner, Program, check_name, onnx};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::meta::model::Model;
use crate::meta::whole::{Share, Whole};

/// What a model makes of at most `shots` support rows of a task, as [`Model::adapt`] does in so many steps (`None`: as many as were chosen, and networks weighed as was chosen), and
/// what the network that comes of it says of a row.
///
/// # Errors
/// [`Error::Shape`] where what the network says of a row depends on other rows, a support has no rows, or the name is none in C.
pub fn program_of_model(name: &str, model: &Model, shots: usize, steps: Option<usize>) -> Result<Program> {
    check_name(name).map_err(Error::Shape)?;
    let net = model.network_spec();
    let learning = Whole::of(model, None, shots, steps)?;
    let mut graph = Graph::new();
    let networks = learning.networks(&mut graph);
    let packed = learning.packed(&mut graph, &networks);
    graph.output("network", packed);
    let len = graph.shape(packed)[0];
    let known = match model.spec.condition.descriptor {
        0 => "",
        _ => ", and of what its descriptor says",
    };
    let about = format!(
        "network: what the model makes of the first `shots` (1 to {shots}) of {shots} rows support_x and support_y of a task{known}; rows behind them do not count. NaN where `shots` is another number."
    );
    let mut adapt = Function::new("adapt", &about, graph);
    if model.spec.condition.embedding.is_some() {
        adapt.indices.insert("task".into(), vec![learning.unknown_task()]);
    }
    let weighed = networks.iter().any(|(_, share)| matches!(share, Share::Given(_)));
    let predict = |rows| learning.predict(rows, networks.len(), weighed);
    Ok(Program {
        name: name.into(),
        inputs: net.inputs(),
        outputs: net.outputs(),
        weights: learning.weights(),
        eight_bits: model.stored.is_of_eight_bits(),
        about: vec![],
        predict: Function::new("predict", "y: what a network of adapt says of a row x.", predict(1)),
        of_rows: onnx::ROWS.map(|rows| learning.whole(rows)),
        learner: Some(Learner {
            shots,
            descriptor: model.spec.condition.descriptor,
            network: len,
            adapt,
            predict_rows: onnx::ROWS.map(predict),
        }),
    })
}
