"""Loads each module of a folder by its own `load()`, sends the rows in the JSON file beside it through, and prints what they say as JSON."""

import importlib.util
import json
import pathlib
import sys

import torch

said = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.py")):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    given = json.loads(path.with_suffix(".json").read_text())
    x = torch.tensor(given["x"], dtype=torch.float32).reshape(given["rows"], *given["row"])
    with torch.no_grad():
        said[path.stem] = module.load()(x).flatten().double().tolist()
json.dump(said, sys.stdout)
