"""Prints what `hyperloom compress` found of runs as a table: `python3 scripts/compress_table.py OUT`, a folder of `scripts/compress.sh`."""

import json
import pathlib
import sys


def main(out):
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(pathlib.Path(out).glob("*/compress.json"))}
    print("| run | bytes of the model | bytes of a network | metric | as trained | compressed | worst task | lost at most |")
    print("|---|---|---|---|---|---|---|---|")
    for name, f in found.items():
        before, after = f["before"], f["after"]

        def share(what):
            return f"{after[what]:,} ({100 * after[what] / before[what]:.1f} %)"

        def figure(value):
            return "" if value is None else f"{value:.4g}"

        worst = f"{figure(before['worst'])} → {figure(after['worst'])}" if after["worst"] is not None else ""
        cells = [name, share("model_bytes"), share("network_bytes"), after["metric"], figure(before["mean"]), figure(after["mean"]), worst]
        print("| " + " | ".join(cells + [figure(f["largest_loss"])]) + " |")


main(sys.argv[1])
