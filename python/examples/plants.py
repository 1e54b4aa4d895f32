"""Plants of three soils, each a task: trained, adapted to one that was never seen, predicted with intervals, and written as C for a device.

Run in the folder of a checkout: python python/examples/plants.py
"""

import csv
import os
import tempfile
from pathlib import Path

import hyperloom


def columns(path):
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in rows[0]}


# A shorter training than this one's says less.
steps = int(os.environ.get("HYPERLOOM_STEPS", 2000))
model = hyperloom.fit(columns("examples/growth.csv"), "height", group="plant", order="week", steps=steps)
held_out = model.report["held_out"]
print(f"{held_out['metric']} on unseen plants: {held_out['chosen']:.2f}; one network for all: {held_out['baselines']['pooled']:.2f}")

# Four weeks of a plant that was never seen say what its next weeks are.
known, asked = columns("examples/growth_new.csv"), columns("examples/growth_ahead.csv")
said = model.predict(asked, known, interval=0.8)
for week, value, low, high in zip(asked["week"], said.values, said.low, said.high):
    print(f"week {week}: {value:.1f} cm (80 %: {low:.1f} to {high:.1f})")

# Its network as one file without dependencies.
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "plant.h"
    model.adapt(known).export(file)
    print(f"plant.h: {file.stat().st_size:,} bytes of C")
