"""ResNet-8 trained in PyTorch on files in CIFAR-10's binary layout, as `hyperloom train --train .. --net resnet8` trains it: the same
network, initial distribution, batches of 64, AdamW, warm-up and cosine, shifts by up to 2 pixels and mirroring, on all training rows.
Prints one JSON row: accuracy and loss on the test rows, seconds of training, milliseconds of a step.

    python classify_torch.py --train train.bin.gz --test test.bin.gz --epochs 30 [--channels-last] [--threads 2] [--seed 0]
"""

import argparse
import gzip
import json
import math
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def read(path):
    opened = gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb")
    with opened as file:
        records = np.frombuffer(file.read(), np.uint8).reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32) / 255, records[:, 0].astype(np.int64)


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride > 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


class ResNet8(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        x = self.blocks(F.relu(self.norm(self.conv(x))))
        return self.head(x.mean((2, 3)))


def augmented(x, generator):
    """Moved by up to 2 pixels each way, what comes in like the corner; mirrored half the time."""
    n, _, h, w = x.shape
    out = torch.empty_like(x)
    moves = torch.randint(-2, 3, (n, 2), generator=generator)
    mirrored = torch.rand(n, generator=generator) < 0.5
    for i in range(n):
        dy, dx = int(moves[i, 0]), int(moves[i, 1])
        out[i] = x[i, :, :1, :1]
        out[i, :, max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = x[
            i, :, max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)
        ]
    return torch.where(mirrored[:, None, None, None], out.flip(3), out)


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--train", required=True)
    a.add_argument("--test", required=True)
    a.add_argument("--epochs", type=int, default=30)
    a.add_argument("--batch", type=int, default=64)
    a.add_argument("--rate", type=float, default=3e-3)
    a.add_argument("--decay", type=float, default=0.05)
    a.add_argument("--seed", type=int, default=0)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--channels-last", action="store_true")
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    (x, y), (tx, ty) = read(a.train), read(a.test)
    mean, deviation = x.mean((0, 2, 3), keepdims=True), x.std((0, 2, 3), keepdims=True)
    x, y, tx, ty = torch.tensor((x - mean) / deviation), torch.tensor(y), torch.tensor((tx - mean) / deviation), torch.tensor(ty)
    layout = torch.channels_last if a.channels_last else torch.contiguous_format
    net = ResNet8().to(memory_format=layout)
    optimiser = torch.optim.AdamW(net.parameters(), a.rate, weight_decay=a.decay)
    steps, warmup, rest = math.ceil(a.epochs * len(x) / a.batch), 100, 0.02
    generator, order, spent, begun = torch.Generator().manual_seed(a.seed), [], [], time.perf_counter()
    for step in range(steps):
        while len(order) < a.batch:
            order += torch.randperm(len(x), generator=generator).tolist()
        rows, order = torch.tensor(order[: a.batch]), order[a.batch :]
        done = (step - warmup) / max(steps - warmup, 1)
        factor = (step + 1) / warmup if step < warmup else rest + (1 - rest) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = a.rate * factor
        batch, labels = augmented(x[rows], generator).to(memory_format=layout), y[rows]
        start = time.perf_counter()
        optimiser.zero_grad()
        loss = F.cross_entropy(net(batch), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimiser.step()
        spent.append(time.perf_counter() - start)
    seconds = time.perf_counter() - begun
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net(part.to(memory_format=layout)) for part in tx.split(500)])
    row = {
        "net": "resnet8",
        "implementation": f"torch {torch.__version__}" + (", channels last" if a.channels_last else ""),
        "epochs": a.epochs,
        "seed": a.seed,
        "accuracy": (logits.argmax(1) == ty).float().mean().item(),
        "loss": F.cross_entropy(logits, ty).item(),
        "seconds": round(seconds, 1),
        "step_ms": round(1e3 * sorted(spent)[len(spent) // 2], 2),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
