"""Checks each ONNX file of a folder, runs it on the inputs in the JSON file beside it, and prints all outputs as JSON."""

import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime

onnxruntime.set_default_logger_severity(3)
said = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.onnx")):
    onnx.checker.check_model(onnx.load(path), full_check=True)
    given = json.loads(path.with_suffix(".json").read_text())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {}
    for tensor in session.get_inputs():
        shape = [given["rows"] if isinstance(n, str) else n for n in tensor.shape]
        feed[tensor.name] = numpy.array(given[tensor.name], dtype=numpy.float32).reshape(shape)
    names = [tensor.name for tensor in session.get_outputs()]
    outputs = session.run(None, feed)
    said[path.stem] = {name: y.ravel().astype(float).tolist() for name, y in zip(names, outputs)}
json.dump(said, sys.stdout)
