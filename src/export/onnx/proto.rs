//! The messages of `onnx.proto` that are written here, with their fields by their numbers.

pub(super) use crate::protobuf::Message;

/// `TensorProto.FLOAT`
pub(super) const FLOAT: i64 = 1;
/// `TensorProto.INT8`
const INT8: i64 = 3;
/// `TensorProto.INT64`
pub(super) const INT64: i64 = 7;
/// `TensorProto.BOOL`
pub(super) const BOOL: i64 = 9;

/// `AttributeProto` of an integer.
pub(super) fn int(name: &str, value: i64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

/// `AttributeProto` of integers.
pub(super) fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> Message {
    Message::default().text(1, name).ints(8, values).int(20, 7)
}

/// `AttributeProto` of a number.
pub(super) fn float(name: &str, value: f32) -> Message {
    Message::default().text(1, name).float(2, value).int(20, 1)
}

/// `AttributeProto` of a graph.
pub(super) fn graph(name: &str, graph: &Message) -> Message {
    Message::default().text(1, name).message(6, graph).int(20, 5)
}

/// `NodeProto`
pub(super) fn node(
    op: &str,
    name: &str,
    inputs: &[String],
    outputs: &[String],
    attributes: &[Message],
) -> Message {
    let names =
        |message, field, names: &[String]| names.iter().fold(message, |m: Message, name| m.text(field, name));
    let message = names(Message::default(), 1, inputs);
    names(message, 2, outputs).text(3, name).text(4, op).messages(5, attributes)
}

/// `TensorProto` of numbers.
pub(super) fn floats(name: &str, shape: &[usize], data: &[f32]) -> Message {
    let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, shape, FLOAT, &raw)
}

/// `TensorProto` of integers.
pub(super) fn integers(name: &str, shape: &[usize], data: &[i64]) -> Message {
    let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, shape, INT64, &raw)
}

/// `TensorProto` of integers of eight bits.
pub(super) fn eight_bits(name: &str, shape: &[usize], data: &[i8]) -> Message {
    tensor(name, shape, INT8, bytemuck::cast_slice(data))
}

fn tensor(name: &str, shape: &[usize], of: i64, raw: &[u8]) -> Message {
    let dims = shape.iter().map(|n| *n as i64);
    Message::default().ints(1, dims).int(2, of).text(8, name).bytes(9, raw)
}

/// `TensorShapeProto.Dimension`
#[derive(Clone, Debug)]
pub(super) enum Length {
    Fixed(usize),
    Named(String),
    Unknown,
}

/// `ValueInfoProto` of numbers.
pub(super) fn value(name: &str, shape: &[Length]) -> Message {
    let dims = shape.iter().fold(Message::default(), |shape, axis| {
        let dim = Message::default();
        let dim = match axis {
            Length::Fixed(n) => dim.int(1, *n as i64),
            Length::Named(name) => dim.text(2, name),
            Length::Unknown => dim,
        };
        shape.message(1, &dim)
    });
    let tensor = Message::default().int(1, FLOAT).message(2, &dims);
    Message::default().text(1, name).message(2, &Message::default().message(1, &tensor))
}
