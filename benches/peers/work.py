"""What is measured: the workloads, their nominal work, and how a call is timed. Standard library only."""

import argparse
import json
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Callable

# Widths of the networks, first to last.
HYPER = (32, 128, 128, 1761)  # writes the weights of SMALL
SMALL = (1, 40, 40, 1)
WIDE = (2, 64, 64, 1)
IMAGE_HYPER = (128, 1024, 101770)  # writes the weights of IMAGE
IMAGE = (784, 128, 10)
SUPPORT, QUERY, INNER_STEPS, INNER_RATE = 10, 50, 5, 0.01
WIDE_LEARNING = {"adapt-64": (16, 10), "adapt-rows": (784, 5)}  # rows, steps
IMAGE_ROWS = 64
OUTER_RATE = 1e-3
BATCHED = {"gemm-batch-64": (64, 64, 64), "gemm-batch-16": (16, 32, 32)}  # m, k, n
SINE_STEPS, SINE_CHUNK = 2000, 500
PICTURE, PICTURES, CLASSES = (32, 32, 3), 32, 10  # height, width, channels; of a task; of conv-train and conv-batch
# Channels of the layers of convolutional networks. Those of conv-train and conv-batch have norms and pools, and a dense
# layer behind them; conv-batch is one network, and its tasks are pictures.
CHANNELS = {"conv": (32, 32, 64), "conv-forward": (32, 32, 64), "conv-train": (32,) * 4, "conv-batch": (32,) * 4}
# The same over small grey pictures of few classes: height and width, classes, pictures to learn from and to be judged by, steps.
FEW_CHANNELS, FEW_SIZE, FEW_WAYS, FEW_SUPPORT, FEW_QUERY, FEW_STEPS, FEW_RATE = (32,) * 4, 28, 5, 5, 15, 5, 0.01

# The sizes to run: what --tasks is in turn.
# inr: networks of sines, each learns all pixels of a picture by Adam
SIREN = (2, 64, 64, 64, 3)
OMEGA = 30.0
FIELD_SIZE = 32
FIELD_STEPS = 10
FIELD_RATE = 1e-4
# gru-adapt and lstm-maml2: elements of a sequence, numbers of each, units; sequences of a task, steps of each workload.
LENGTH, SEQUENCE_CHANNELS, UNITS, SEQUENCES, SEQUENCE_RATE = 32, 16, 32, 8, 0.01
GRU_STEPS, LSTM_STEPS = 5, 2
# attention-hyper: tokens of support rows and of the target's layers.
TOKEN_ROWS, TOKEN, TOKEN_BLOCKS, TOKEN_HEADS, TOKEN_HIDDEN = 25, 64, 2, 4, 256
# head-full, head-low-rank, head-chunked: networks that are written for tasks with descriptors, by a trunk; rank and its factor; weights of a chunk and numbers of its embedding.
HEAD_DESCRIPTOR, HEAD_TRUNK, HEAD_ROWS, HEAD_TARGET = 16, 64, 16, (784, 128, 10)
HEAD_RANK, HEAD_CHUNK, HEAD_EMBEDDING = 4, 1024, 16
# charlm: an LSTM over sequences of characters.
SYMBOLS, LM_UNITS, LM_LENGTH, LM_SEQUENCES = 65, 128, 100, 32

# rl-rollout: steps, and the one whose states are compared. ppo-step: worlds of an agent, steps in each, and how it learns.
ROLL, ROLL_COMPARED = 200, 4
PPO_WORLDS, PPO_STEPS, PPO_EPOCHS, PPO_MINIBATCHES = 64, 128, 4, 4
PPO_CLIP, PPO_VALUE, PPO_ENTROPY, PPO_GAMMA, PPO_LAMBDA, PPO_RATE, PPO_NORM = 0.2, 0.5, 0.01, 0.99, 0.95, 2.5e-4, 0.5

FULL = {
    "adapt": (64, 256, 1024, 4096),
    "maml2": (64, 256, 1024, 4096),
    "amortised": (64, 256, 1024, 4096),
    "adapt-64": (4096,),
    "adapt-rows": (64,),
    "generator": (32,),
    "gemm": (512, 1024, 2048, 4096),
    "gemm-batch-64": (4096,),
    "gemm-batch-16": (4096,),
    "conv-forward": (16,),
    "conv": (16,),
    "conv-train": (16,),
    "conv-batch": (64,),
    "conv-adapt": (4, 16, 64),
    "conv-maml2": (4, 16),
    "inr": (64,),
    "gru-adapt": (64, 256),
    "lstm-maml2": (64,),
    "charlm": (1,),
    "attention-hyper": (256,),
    "head-full": (256,),
    "head-low-rank": (256,),
    "head-chunked": (256,),
    "nas-eval": (256,),
    "nas-train": (2048,),
    "rl-rollout": (1024, 4096),
    "ppo-step": (1, 16),
    "sine": (25,),
}
QUICK = {**FULL, "adapt": (256,), "maml2": (256,), "amortised": (256,), "adapt-64": (256,), "gemm": (512,)}
# A software driver is slow, and burn, the only other tool there, does not do the rest.
SOFTWARE = {
    "adapt": (64, 256),
    "amortised": (64, 256),
    "adapt-64": (64,),
    "gemm": (256, 512),
    "gemm-batch-64": (256,),
    "gemm-batch-16": (1024,),
}

SEQUENTIAL = ("gru-adapt", "lstm-maml2", "charlm", "attention-hyper")
SEARCH = ("nas-eval", "nas-train")
POLICIES = ("rl-rollout", "ppo-step")
HEADS = ("head-full", "head-low-rank", "head-chunked")
# What a peer leaves out, and why. Everything else it does.
LEFT_OUT = {
    "torch": {"sine": "written for JAX only", **{n: "written for JAX only" for n in HEADS}},
    "burn": {
        "maml2": "burn has no second derivatives",
        "adapt-rows": "not written for burn",
        "generator": "not written for burn",
        **{n: "not written for burn" for n in (*CHANNELS, "conv-adapt", "conv-maml2", "inr", *SEQUENTIAL, *SEARCH, *POLICIES)},
        "sine": "written for JAX only",
        **{n: "written for JAX only" for n in HEADS},
    },
}
LEFT_OUT["burn-by-hand"] = {n: "written out for adapt only" for n in FULL if n not in ("adapt", "adapt-64")}
LEFT_OUT["gymnasium"] = {n: "worlds only" for n in FULL if n != "rl-rollout"}
LEFT_OUT["torch-compile"] = LEFT_OUT["torch"] | {
    "conv-maml2": "compiled code has no second derivatives",
    "lstm-maml2": "compiled code has no second derivatives",
    "gru-adapt": "its loop over elements takes minutes to compile",
}
LEFT_OUT["torch-cudagraph"] = LEFT_OUT["torch"] | {
    n: "written for CPUs" for n in (*CHANNELS, "conv-adapt", "conv-maml2", "inr", *SEQUENTIAL, *SEARCH, *POLICIES)
}


# nas-eval: dense networks of 64 shapes on the same rows; nas-train: steps of descent of each on targets of its own.
NAS_INPUTS, NAS_WIDEST, NAS_DEEPEST = 8, 64, 4
NAS_ROWS = {"nas-eval": 256, "nas-train": 64}
NAS_STEPS = {"nas-eval": 0, "nas-train": 10}
NAS_RATE = 0.05


def nas_shape(n):
    """Depth, width and activation (tanh, relu, gelu, sine) of a network, by its number."""
    return 1 + n % 4, (8, 16, 32, 64)[n // 4 % 4], n // 16 % 4


def weights(widths):
    """The number of weights of a dense network with these widths."""
    return sum(i * o + o for i, o in zip(widths, widths[1:]))


def forward(rows, widths):
    """The operations of a forward pass: 2mnk a product; biases and activations are not counted."""
    return sum(2 * rows * i * o for i, o in zip(widths, widths[1:]))


def has_pools(workload):
    return workload in ("conv-train", "conv-batch")


def networks(workload, tasks):
    """Networks, and pictures of each."""
    return (1, tasks) if workload == "conv-batch" else (tasks, PICTURES)


def features(workload):
    """What the dense layer of conv-train reads: the pools halve height and width behind each layer."""
    h, w, _ = PICTURE
    layers = len(CHANNELS[workload])
    return (h >> layers) * (w >> layers) * CHANNELS[workload][-1]


def convolutions(workload, pictures):
    """The operations of a forward pass over a network's pictures."""
    h, w, i = PICTURE
    total = 0
    for o in CHANNELS[workload]:
        total += 2 * pictures * h * w * 9 * i * o
        h, w, i = (h // 2, w // 2, o) if has_pools(workload) else (h, w, o)
    return total + (forward(pictures, (features(workload), CLASSES)) if has_pools(workload) else 0)


def few_convolutions(pictures):
    """The same over so many few-shot pictures."""
    size, i, total = FEW_SIZE, 1, 0
    for o in FEW_CHANNELS:
        total += 2 * pictures * size * size * 9 * i * o
        size, i = size // 2, o
    return total + forward(pictures, (FEW_CHANNELS[-1], FEW_WAYS))


def recurrent(gates):
    """The same over a task's sequences, by a cell of so many gates and a number for every element."""
    return 2 * LENGTH * SEQUENCES * ((SEQUENCE_CHANNELS + UNITS) * gates * UNITS + UNITS)


def flops(workload, tasks):
    """The nominal operations of one call. A backward pass counts twice its forward pass, Adam nothing."""
    step = 3 * forward(SUPPORT, SMALL)  # one inner step of a task
    train = 3 * (forward(tasks, HYPER) + tasks * forward(QUERY, SMALL))
    if workload == "amortised":
        return train
    if workload == "maml2":
        return train + 3 * tasks * INNER_STEPS * step  # the way back through the steps is twice the way out
    if workload == "adapt":
        return tasks * INNER_STEPS * step
    if workload in WIDE_LEARNING:
        rows, steps = WIDE_LEARNING[workload]
        return tasks * steps * 3 * forward(rows, WIDE)
    if workload == "generator":
        return 3 * (forward(tasks, IMAGE_HYPER) + tasks * forward(IMAGE_ROWS, IMAGE))
    if workload == "gemm":
        return 2 * tasks**3
    if workload in BATCHED:
        m, k, n = BATCHED[workload]
        return 2 * tasks * m * k * n
    if workload in CHANNELS:
        count, pictures = networks(workload, tasks)
        return count * convolutions(workload, pictures) * (1 if workload == "conv-forward" else 3)
    if workload == "conv-adapt":
        return 3 * tasks * FEW_STEPS * few_convolutions(FEW_SUPPORT)
    if workload == "conv-maml2":
        return 3 * tasks * few_convolutions(FEW_QUERY + 3 * FEW_SUPPORT)
    if workload == "inr":
        return 3 * tasks * FIELD_STEPS * forward(FIELD_SIZE**2, SIREN)
    if workload == "gru-adapt":
        return 3 * tasks * GRU_STEPS * recurrent(3)
    if workload == "lstm-maml2":
        return tasks * (9 * LSTM_STEPS + 3) * recurrent(4)
    if workload == "charlm":  # characters are looked up
        return 3 * 2 * LM_SEQUENCES * LM_LENGTH * LM_UNITS * (4 * LM_UNITS + SYMBOLS)
    if workload == "attention-hyper":
        tokens = TOKEN_ROWS + len(SMALL) - 1
        block = tokens * (4 * TOKEN * TOKEN + 2 * TOKEN * TOKEN_HIDDEN) + 2 * tokens * tokens * TOKEN
        written = sum(TOKEN * (i * o + o) + TOKEN_ROWS * i * o for i, o in zip(SMALL, SMALL[1:]))
        return 3 * tasks * 2 * (TOKEN_ROWS * 2 * TOKEN + TOKEN_BLOCKS * block + written)
    if workload in SEARCH:
        passes = 3 * NAS_STEPS[workload] + 1
        one = lambda depth, width, _: forward(NAS_ROWS[workload], (NAS_INPUTS, *([width] * depth), 1))
        return passes * sum(one(*nas_shape(n)) for n in range(tasks))
    if workload in HEADS:
        pairs = list(zip(HEAD_TARGET, HEAD_TARGET[1:]))
        p = weights(HEAD_TARGET)
        head = {
            "head-full": HEAD_TRUNK * (HEAD_DESCRIPTOR + p),
            "head-low-rank": sum(HEAD_RANK * (HEAD_TRUNK * (i + o) + i * o) for i, o in pairs) + HEAD_TRUNK * HEAD_DESCRIPTOR,
            "head-chunked": -(-p // HEAD_CHUNK) * HEAD_TRUNK * (HEAD_DESCRIPTOR + HEAD_EMBEDDING) + HEAD_TRUNK * p,
        }[workload]
        return 3 * tasks * (2 * head + forward(HEAD_ROWS, HEAD_TARGET))
    if workload == "rl-rollout":
        return tasks * ROLL * forward(1, (4, 64, 64, 2))
    if workload == "ppo-step":
        one = forward(PPO_WORLDS * PPO_STEPS, (4, 64, 64, 2)) + forward(PPO_WORLDS * PPO_STEPS, (4, 64, 64, 1))
        return tasks * one * (1 + 3 * PPO_EPOCHS)
    if workload == "sine":
        encoder = forward(10, (2, 64, 64)) + forward(1, (64, 128, 1761))
        return 3 * tasks * (encoder + forward(10, SMALL))
    raise ValueError(f"there is no workload {workload}")


@dataclass
class Job:
    """A workload that is ready to run."""

    check: list  # numbers that every implementation must agree on
    call: Callable[[], None]  # does the work once and waits for it
    steps: int = 1  # what a call holds of what is measured
    calls: int | None = None  # a fixed number of timed calls
    variant: str | None = None  # which of several ways was the fastest, and is measured


def fastest(variants):
    """The job of the fastest of `{name: function that makes a job}`, by the better of two calls after a first."""
    best, least = None, float("inf")
    for name, make in variants.items():
        job = make()
        job.call()
        for _ in range(2):
            start = time.perf_counter()
            job.call()
            seconds = time.perf_counter() - start
            if seconds < least:
                best, least, job.variant = job, seconds, name
    return best


def time_calls(job, reps=None):
    """Milliseconds a step of single calls, after three to warm up (one where a call holds many steps).

    At least ten calls and one second; slow calls end after five and ten seconds; never more than sixty.
    """
    for _ in range(1 if job.steps > 1 else 3):
        job.call()
    fixed = reps or job.calls
    times = []
    while True:
        start = time.perf_counter()
        job.call()
        times.append((time.perf_counter() - start) * 1e3)
        n, total = len(times), sum(times)
        if n >= fixed if fixed else n >= 60 or (n >= 10 and total >= 1e3) or (n >= 5 and total >= 1e4):
            return [t / job.steps for t in times]


def main(default_path, paths, build, versions):
    """The command of a peer: prints a JSON list with one row, as `hyperloom bench --json` does.

    `build(workload, tasks, path, device)` gives a Job and the name of the device.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--workload", choices=FULL)
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--cells", metavar="WORKLOAD:N,...", help="several workloads with their tasks, one after another")
    parser.add_argument("--reps", type=int, help="timed calls (by default as many as a second takes, 10 to 60)")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="gpu", help="gpu takes the CPU where there is none")
    parser.add_argument("--path", choices=paths, default=default_path)
    parser.add_argument("--versions", action="store_true", help="print versions and the device, and end")
    args = parser.parse_args()
    if args.versions:
        print(json.dumps(versions(args.device)))
        return
    if args.cells:
        cells = [(w, int(n)) for w, n in (cell.split(":") for cell in args.cells.split(","))]
        print(json.dumps([row_or_error(args, build, *cell) for cell in cells]))
        return
    if not args.workload:
        parser.error("--workload is missing")
    reason = LEFT_OUT.get(args.path, {}).get(args.workload)
    if reason:
        sys.exit(f"{args.workload}: {reason}")
    print(json.dumps([measured(args, build, args.workload, args.tasks or FULL[args.workload][0])]))


def measured(args, build, workload, tasks):
    """A row: one workload at one size."""
    job, device = build(workload, tasks, args.path, args.device)
    ms = statistics.median(time_calls(job, args.reps))
    return {
        "workload": workload,
        "tasks": tasks,
        "device": device,
        "path": f"{args.path}, {job.variant}" if job.variant else args.path,
        "ms": ms,
        "gflops": flops(workload, tasks) / ms / 1e6,
        "bytes": None,
        "check": [float(c) for c in job.check],
    }


def row_or_error(args, build, workload, tasks):
    """The same of one of several: what goes wrong must not take the others along."""
    try:
        return measured(args, build, workload, tasks)
    except Exception as e:  # whatever a framework raises
        return {"workload": workload, "tasks": tasks, "error": f"{type(e).__name__}: {e}"[:300]}
