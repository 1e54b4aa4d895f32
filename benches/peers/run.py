#!/usr/bin/env python3
"""Measures hyperloom and what a user would pick instead, in turn, and writes one table. See README.md beside this.

Plain Python (3.10 or later), no packages; the peers have an interpreter of their own (--python or --setup).
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import venv

import work

HERE = pathlib.Path(__file__).resolve().parent
SOFTWARE_DRIVERS = ("llvmpipe", "lavapipe", "swiftshader", "basic render")
PEERS = ("jax", "torch", "torch-compile", "torch-cudagraph", "gymnasium", "burn", "burn-by-hand")
OWN = ("hyperloom", "hyperloom-launches")


def targets(kind, device, workload, tasks):
    """What is to be reached: (what, least value) of "best", "burn" or "gymnasium", a peer's time over hyperloom's; (ms, most)."""
    batch = workload in work.BATCHED
    found = []
    if kind == "cpu":
        if workload in ("adapt", "maml2") and tasks in (256, 1024):
            found.append(("best", 3))
        if workload in ("amortised", "sine"):
            found.append(("best", 1.5))
        if workload in ("generator", "gemm"):
            found.append(("best", 0.9))
        if workload in ("conv", "conv-train", "conv-adapt"):
            found.append(("best", 3))
        if workload == "conv-batch":
            found.append(("best", 0.8))
        if workload in ("conv-maml2", "inr"):
            found.append(("best", 2.5))
        if workload == "gru-adapt":
            found.append(("best", 4))
        if workload in work.SEARCH:
            found.append(("best", 3))
        if workload == "lstm-maml2":
            found.append(("best", 3))
        if workload == "rl-rollout":
            found += [("best", 5), ("gymnasium", 50)]
        if workload == "ppo-step":
            found.append(("best", 1.3 if tasks == 1 else 2))
        if workload in work.HEADS:
            found.append(("best", 2))
        if workload in ("charlm", "attention-hyper"):
            found.append(("best", 1.5))
        return found
    if workload == "adapt":
        found.append(("burn", 3 if kind == "software" else 5))
    if workload == "amortised":
        found.append(("burn", 2))
    if workload == "gemm" or batch:
        found.append(("burn", 1))
    if kind == "gpu":
        if workload == "adapt-64" and tasks == 4096:
            found += [("best", 5)] + ([("ms", 2)] if "H200" in device else [])
        if workload in ("maml2", "amortised") and tasks == 256:
            found.append(("best", 3))
        if workload == "conv-adapt" and tasks in (16, 64):
            found.append(("best", 5))
        if workload == "gemm" and tasks == 4096:
            found.append(("best", 0.6))
        if batch:
            found.append(("best", 1))
    return found


def output(command, timeout=120):
    """What a command prints, or None."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def printed_json(command, timeout=120):
    try:
        return json.loads(output(command, timeout) or "null")
    except ValueError:
        return None


def last_line(text):
    """The last line of an error message, without the folders of this machine."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return re.sub(r"/\S*/", "", lines[-1])[:160] if lines else "no message"


def processor():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


class Implementation:
    """Something that is measured: a column of the table."""

    def __init__(self, name, command, missing=None):
        self.name, self.command, self.missing = name, command, missing
        self.ahead = {}  # rows that are there already, by workload and tasks

    def why_not(self, workload):
        return self.missing or work.LEFT_OUT.get(self.name, {}).get(workload)

    def run_together(self, cells, timeout):
        """Measures all cells in one process; what that leaves out is measured by itself."""
        cells = [c for c in cells if not self.why_not(c.workload)]
        print(f"{self.name}, {len(cells)} workloads", file=sys.stderr)
        command = self.command + ["--cells", ",".join(f"{c.workload}:{c.tasks}" for c in cells)]
        for row in printed_json(command, timeout) or []:
            kept = ("device", "path", "ms", "gflops", "bytes", "check")
            ready = {"error": last_line(row["error"])} if "error" in row else {k: row[k] for k in kept}
            self.ahead.setdefault((row["workload"], row["tasks"]), []).append(ready)

    def run(self, workload, tasks, timeout):
        """A row of one process, or one with an "error"."""
        if ahead := self.ahead.get((workload, tasks)):
            return ahead.pop(0)
        command = self.command + ["--workload", workload, "--tasks", str(tasks)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            return {"error": f"no end after {timeout} s"}
        except OSError as e:
            return {"error": e.strerror}
        if done.returncode:
            return {"error": last_line(done.stderr)}
        try:
            rows = [r for r in json.loads(done.stdout) if (r["workload"], r["tasks"]) == (workload, tasks)]
            launches = self.name == "hyperloom-launches"
            rows = [r for r in rows if self.name not in OWN or (r["path"] == "launches") == launches] or rows
            row = rows[0]
            return {k: row[k] for k in ("device", "path", "ms", "gflops", "bytes", "check")}
        except (ValueError, LookupError, TypeError):
            return {"error": "what it printed is not the agreed list of rows"}


def tool(name):
    """Whose voice it is: torch and torch-compile are one, and so are hyperloom's two paths."""
    return re.split("[ -]", name)[0]


def agree(workload, a, b):
    """Whether two lists of check numbers are the same work: a first step of Adam magnifies rounding in later losses."""
    train = workload in ("amortised", "maml2", "generator", *work.HEADS)
    return len(a) == len(b) and all(
        abs(x - y) <= (1e-2 if train and i else 2e-3) * max(abs(x), abs(y)) for i, (x, y) in enumerate(zip(a, b))
    )


def odd_ones(workload, checks):
    """Of `{name: check}`, those that differ from the check that most tools share, and whose that is."""
    sane = {n: c for n, c in checks.items() if all(isinstance(x, (int, float)) and x == x for x in c)}
    if not sane:
        return list(checks), None

    def voices(name):
        return len({tool(n) for n, c in sane.items() if agree(workload, sane[name], c)})

    ranked = sorted(sane, key=lambda n: n in OWN)  # of two that differ, the peer is taken for right
    reference = max(ranked, key=voices)
    return [n for n in checks if n not in sane or not agree(workload, checks[n], checks[reference])], reference


class Cell:
    """One workload at one size: rows by implementation, and what went wrong."""

    def __init__(self, workload, tasks):
        self.workload, self.tasks = workload, tasks
        self.rows, self.failed, self.missing, self.control = {}, {}, {}, {}

    def measure(self, implementations, rounds, timeout, control):
        entries = []
        for i in implementations:
            reason = i.why_not(self.workload)
            if reason:
                self.missing[i.name] = reason
            else:
                entries.append((i.name, i, self.rows))
        if control:
            first, second = ((f"{control.name} ({n})", control, self.control) for n in ("first", "second"))
            entries = [first, *entries, second]
        for number in range(rounds):
            for name, implementation, rows in entries:
                if name in self.failed:
                    continue
                print(f"{self.workload} {self.tasks} {name}, round {number + 1} of {rounds}", file=sys.stderr)
                row = implementation.run(self.workload, self.tasks, timeout)
                if "error" in row:
                    self.failed[name] = row["error"]
                else:
                    rows.setdefault(name, []).append(row)
            self.compare()

    def compare(self):
        """Drops every implementation whose check is not that of the others, before its times are looked at."""
        everything = {**self.rows, **self.control}
        checks = {n: rows[-1]["check"] for n, rows in everything.items() if n not in self.failed}
        wrong, reference = odd_ones(self.workload, checks)
        for n in wrong:
            of = f"not {checks[reference]} as of {reference}" if reference else "not numbers"
            self.failed[n] = f"check {checks[n]}, {of}"

    def ms(self, name):
        rows = {**self.rows, **self.control}.get(name)
        return statistics.median(r["ms"] for r in rows) if rows and name not in self.failed else None

    def summary(self, kind, device):
        """The cell as a row of the table."""
        own = self.ms("hyperloom")
        times = {p: t for p in PEERS if (t := self.ms(p)) is not None}
        best = min(times, key=times.get, default=None)
        values = {"ms": own}
        if own and best:
            values["best"] = times[best] / own
        burn = [t for p, t in times.items() if tool(p) == "burn"]
        if own and burn:
            values["burn"] = min(burn) / own
        if own and "gymnasium" in times:
            values["gymnasium"] = times["gymnasium"] / own
        wanted = []
        for what, bound in targets(kind, device, self.workload, self.tasks):
            value = values.get(what)
            met = None if value is None else value <= bound if what == "ms" else value >= bound
            wanted.append({"of": what, "bound": bound, "met": met})
        return {
            "workload": self.workload,
            "tasks": self.tasks,
            "hyperloom_ms": own,
            "path": self.rows["hyperloom"][0]["path"] if own else None,
            "launches_ms": self.ms("hyperloom-launches"),
            "peers_ms": times,
            "best_peer": best,
            "ratio": values.get("best"),
            "burn_ratio": values.get("burn"),
            "targets": wanted,
            "checked": len({tool(n) for n, r in self.rows.items() if n not in self.failed and r[0]["check"]}) > 1,
            "failed": self.failed,
            "missing": self.missing,
        }

    def control_summary(self):
        if not self.control and not any("(first)" in n or "(second)" in n for n in self.failed):
            return None
        times = [self.ms(n) for n in sorted(self.control)]
        good = len(times) == 2 and None not in times
        ratio = times[1] / times[0] if good else None
        name = sorted(self.control)[0].split(" (")[0] if self.control else "control"
        steady = ratio is not None and 1 / 1.1 <= ratio <= 1.1
        return {"workload": self.workload, "tasks": self.tasks, "peer": name, "ms": times, "ratio": ratio, "ok": steady}


def number(value):
    """Three digits that count."""
    if value is None:
        return "–"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(report):
    """The report as Markdown."""
    notes = []

    def note(text):
        if text not in notes:
            notes.append(text)
        return f"[{notes.index(text) + 1}]"

    def cell(row, name, value):
        if name in row["failed"]:
            return "failed " + note(f"{name}, {row['workload']} {row['tasks']}: {row['failed'][name]}")
        if name in row["missing"]:
            return "– " + note(row["missing"][name])
        return number(value)

    def target(row):
        parts = []
        for t in row["targets"]:
            sign, of = ("≤", "") if t["of"] == "ms" else ("≥", "" if t["of"] == "best" else f" ({t['of']})")
            word = {True: "met", False: "missed", None: "open"}[t["met"]]
            parts.append(f"{sign} {t['bound']}{' ms' if not of and sign == '≤' else ''}{of}: {word}")
        return "; ".join(parts)

    launches = any("hyperloom-launches" in r["names"] for r in report["summary"])
    head = ["workload", "tasks", "hyperloom ms", "path", *(["launches ms"] if launches else [])]
    head += [f"{p} ms" for p in PEERS] + ["best peer", "ratio", "ratio to burn", "target"]
    lines = []
    for row in report["summary"]:
        own = cell(row, "hyperloom", row["hyperloom_ms"])
        line = [row["workload"], str(row["tasks"]), own, row["path"] or "–"]
        if launches:
            line.append(cell(row, "hyperloom-launches", row["launches_ms"]))
        line += [cell(row, p, row["peers_ms"].get(p)) for p in PEERS]
        line += [row["best_peer"] or "–", number(row["ratio"]), number(row["burn_ratio"]), target(row)]
        if not row["checked"] and row["workload"] != "sine":
            line[0] += " " + note("nothing to check against: only one tool ran")
        lines.append(line)
    for c in report["controls"]:
        line = ["control: " + c["workload"], str(c["tasks"])] + [""] * (len(head) - 2)
        if c["peer"] in PEERS:
            line[head.index(f"{c['peer']} ms")] = " and ".join(number(t) for t in c["ms"])
        line[head.index("best peer")] = f"{c['peer']}, twice"
        line[head.index("ratio")] = number(c["ratio"])
        line[-1] = "0.91 to 1.1: met" if c["ok"] else "0.91 to 1.1: **OFF: the times of this run cannot be trusted**"
        lines.append(line)

    text = [f"# hyperloom and its peers: {report['device']}", ""]
    text += [f"- {key}: {value}" for key, value in report["about"].items()]
    text += ["", "Milliseconds a call: the median of a process, then of the rounds. ratio = best peer / hyperloom."]
    text += ["A time stands here only where the results agreed (sine draws at random, and is not compared).", ""]
    text += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    text += ["| " + " | ".join(line) + " |" for line in lines]
    text += [""] + [f"[{i + 1}] {n}  " for i, n in enumerate(notes)]
    return "\n".join(text).rstrip() + "\n"


def chosen_device(args):
    """What --device means: its kind, its name, its driver, and what to hand to hyperloom and to burn."""
    if args.device == "cpu":
        return "cpu", processor(), None, "cpu", None
    listed = printed_json([args.hyperloom, "devices", "--json"]) if args.hyperloom else None
    adapters = (listed or {}).get("adapters", [])
    wanted = args.device.lower()
    for a in adapters:
        named = wanted in a["name"].lower() or wanted in a["driver"].lower() or wanted == f"gpu:{a['index']}"
        if named or (wanted == "gpu" and a["eligible"]):
            kind = "software" if a["kind"] == "cpu" else "gpu"
            return kind, a["name"], a["driver"], f"gpu:{a['index']}", "software" if kind == "software" else "gpu"
    kind = "software" if any(d in wanted for d in SOFTWARE_DRIVERS) else "gpu"
    return kind, args.device, None, args.device, "software" if kind == "software" else "gpu"


def set_up(folder):
    """A virtual environment with the pinned packages; its interpreter."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    files = ["requirements.txt"] + (["requirements-cuda.txt"] if shutil.which("nvidia-smi") else [])
    wanted = [a for f in files for a in ("-r", str(HERE / f))]
    subprocess.run([str(python), "-m", "pip", "install", *wanted], check=True)
    return str(python)


def build_burn():
    """Builds the burn peer (half an hour of a processor's time); its binary."""
    command = ["cargo", "build", "--release", "--locked", "--message-format=json-render-diagnostics"]
    built = subprocess.run(command, cwd=HERE / "burn", stdout=subprocess.PIPE, text=True, check=True).stdout
    return [m["executable"] for line in built.splitlines() if (m := json.loads(line)).get("executable")][-1]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hyperloom", metavar="BINARY", help="the hyperloom command")
    parser.add_argument("--peer-only", action="store_true", help="measure the peers alone")
    parser.add_argument("--python", metavar="PATH", help="the interpreter that has jax and torch")
    parser.add_argument("--setup", metavar="DIR", type=pathlib.Path, help="make a virtual environment there for it")
    parser.add_argument("--burn", metavar="BINARY", help="the built burn peer")
    parser.add_argument("--build-burn", action="store_true", help="build it first")
    parser.add_argument("--device", default="cpu", help="cpu, gpu, gpu:N or a part of a device's name (llvmpipe)")
    parser.add_argument("--workloads", metavar="A,B", help="by default all")
    parser.add_argument("--sizes", choices=("quick", "full"), default="full")
    parser.add_argument("--tasks", metavar="N,N", help="other sizes, for each workload that is named")
    parser.add_argument("--cells", metavar="A:N,A:M", help="workloads with the size of each, in place of these")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured, in turn")
    parser.add_argument("--peers", metavar="A,B", help=f"of {', '.join(PEERS)}; by default all")
    parser.add_argument("--together", action="store_true", help="a Python peer measures all in one process a round")
    parser.add_argument("--launches", action="store_true", help="measure hyperloom without task regions, too")
    parser.add_argument("--timeout", type=int, default=900, help="seconds a process may take")
    parser.add_argument("--out", metavar="NAME", help="writes NAME.json and NAME.md")
    args = parser.parse_args()
    if args.setup:
        args.python = set_up(args.setup)
    if args.build_burn:
        args.burn = build_burn()
    if not args.out:
        if args.setup or args.build_burn:
            sys.exit()
        parser.error("--out is missing")
    if not args.hyperloom and not args.peer_only:
        parser.error("--hyperloom is missing (or --peer-only)")
    if args.peer_only:
        args.hyperloom = None
    if args.tasks and not args.workloads:
        parser.error("--tasks needs --workloads")
    return args


def sizes(args, kind):
    """(workload, tasks) in the order of the table."""
    if args.cells:
        pairs = [(w, n) for w, _, n in (cell.partition(":") for cell in args.cells.split(","))]
        odd = next((w for w, n in pairs if w not in work.FULL or not n.isdecimal()), None)
        if odd is not None:
            sys.exit(f"--cells: '{odd}' is no workload with a size; there are {', '.join(work.FULL)}")
        return [(w, int(n)) for w, n in pairs]
    quick = args.sizes == "quick"
    known = {n: t[:1] if quick else t for n, t in work.SOFTWARE.items()} if kind == "software" else {}
    named = (args.workloads or ",".join(known or work.FULL)).split(",")
    unknown = [n for n in named if n not in work.FULL and n != "gemm-batch"]
    if unknown:
        sys.exit(f"there is no workload {unknown[0]}; there are {', '.join(work.FULL)}")
    known = {**(work.QUICK if quick else work.FULL), **known}
    tasks = [int(n) for n in args.tasks.split(",")] if args.tasks else None
    chosen = [n for n in work.FULL if n in named or ("gemm-batch" in named and n in work.BATCHED)]
    return [(n, t) for n in chosen for t in tasks or known[n]]


def implementations(args, kind, own_device, burn_device):
    """All that could be measured, and why what cannot be is missing; and the versions found."""
    found, versions = [], {}
    if args.hyperloom:
        versions["hyperloom"] = output([args.hyperloom, "--version"])
        own = [args.hyperloom, "bench", "--device", own_device, "--json"]
        found.append(Implementation("hyperloom", own))
        if args.launches:
            found.append(Implementation("hyperloom-launches", own + ["--no-regions"]))

    def python_peer(name, script, extra):
        device = "cpu" if kind == "cpu" else "gpu"
        command = [args.python or "", str(HERE / script), "--device", device]
        missing = "a software driver runs only burn beside hyperloom" if kind == "software" else None
        if not missing and not args.python:
            missing = "no interpreter (--python or --setup)"
        if not missing:
            package = tool(name)
            if package not in versions:
                versions[package] = printed_json(command + ["--versions"])
            has = versions[package]
            if not has:
                missing = f"{package} is not installed or does not start"
            elif kind == "gpu" and has["device"] == "cpu":
                missing = "finds no GPU"
            elif name == "torch-cudagraph" and "cuda" not in has:
                missing = "no CUDA device" if kind == "gpu" else "CUDA only"
        found.append(Implementation(name, command + extra, missing))

    python_peer("jax", "peer_jax.py", [])
    for path in ("torch", "torch-compile", "torch-cudagraph"):
        python_peer(path, "peer_torch.py", ["--path", path])
    python_peer("gymnasium", "peer_gymnasium.py", [])

    missing = "wgpu only: compare on a GPU or a software driver" if kind == "cpu" else None
    command = [args.burn or "", "--device", burn_device or ""]
    if not missing and not args.burn:
        missing = "not built (--build-burn)"
    if not missing:
        versions["burn"] = printed_json(command + ["--versions"])
        if not versions["burn"]:
            missing = "finds no such device or does not start"
    for path in ("burn", "burn-by-hand"):
        found.append(Implementation(path, command + ["--path", path], missing))
    for i in found:
        if args.peers and i.name in PEERS and i.name not in args.peers.split(","):
            i.missing = "left out"
    return found, {k: v for k, v in versions.items() if v}


def about(args, driver, versions):
    """What the numbers depend on."""
    git = lambda *a: output(["git", "-C", str(HERE), *a])
    facts = {"date": datetime.date.today().isoformat(), "processor": f"{processor()}, {os.cpu_count()} cores"}
    gpus = output(["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"])
    if gpus:
        facts["GPU"] = gpus.replace("\n", "; ")
    if driver:
        facts["driver"] = driver
    commit = git("rev-parse", "--short=12", "HEAD")
    if commit:
        facts["commit"] = commit + (" with changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    for name, found in versions.items():
        if isinstance(found, dict):
            found = ", ".join(f"{k} {v}" if k != "device" else f"on {v}" for k, v in found.items())
        facts[name] = found
    each = "JAX and PyTorch one process a round" if args.together else "one process each"
    facts["rounds"] = f"{args.rounds}, in turn; {each}"
    return facts


def write(out, report):
    for suffix, text in (("json", json.dumps(report, indent=1) + "\n"), ("md", table(report))):
        path = pathlib.Path(f"{out}.{suffix}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def main():
    args = arguments()
    kind, device, driver, own_device, burn_device = chosen_device(args)
    cells = [Cell(*s) for s in sizes(args, kind)]
    found, versions = implementations(args, kind, own_device, burn_device)
    measurable = [i for i in found if not i.missing]
    if not measurable:
        sys.exit("there is nothing to measure: " + "; ".join(f"{i.name}: {i.missing}" for i in found))
    # The control: the first peer there is (or hyperloom) against itself, once, on the first workload that it does.
    control = next((i for i in measurable if i.name in PEERS), measurable[0])
    control = Implementation(control.name, control.command)
    controlled = [c for c in cells if not control.why_not(c.workload)]
    controlled = next((c for c in controlled if c.workload == "adapt" and c.tasks >= 256), (controlled or [None])[0])

    if args.together:
        for _ in range(args.rounds):
            for i in measurable:
                if tool(i.name) in ("jax", "torch"):
                    i.run_together(cells, args.timeout)

    report = {"device": device, "kind": kind, "about": about(args, driver, versions)}
    if kind == "software" and not args.workloads:
        left = ", ".join(n for n in work.FULL if n not in work.SOFTWARE)
        report["about"]["left out"] = f"{left}: nothing to compare with on this device"
    report |= {"cores": os.cpu_count(), "rounds": args.rounds, "versions": versions}
    report |= {"summary": [], "controls": [], "rows": []}
    for cell in cells:
        cell.measure(found, args.rounds, args.timeout, control if cell is controlled else None)
        names = [i.name for i in found]
        report["summary"].append(cell.summary(kind, device) | {"names": names})
        if cell is controlled:
            report["controls"].append(cell.control_summary())
        for name, rows in {**cell.rows, **cell.control}.items():
            for n, row in enumerate(rows):
                entry = {"workload": cell.workload, "tasks": cell.tasks, "name": name, "round": n + 1, **row}
                report["rows"].append(entry | {"failed": cell.failed.get(name)})
        write(args.out, report)  # what there is, should the next one be interrupted
    print(table(report))
    for c in report["controls"]:
        if not c["ok"]:
            print("the control is off by more than 10 %: measure again on a quiet machine", file=sys.stderr)
    sys.exit(any(row["failed"] for row in report["summary"]))


if __name__ == "__main__":
    main()
