"""Families of series whose exact Bayesian forecast is known, and how far predictions are from it.

    series.py make FAMILY OUT          writes train.csv, and known-N.csv, next-N.csv for N = 5, 10, 20 known points of other series
    series.py judge FAMILY OUT         reads predicted-N.csv, and prints root mean squared errors beside the exact answer's as JSON

FAMILY is ar2 (a second-order autoregression with coefficients of its own) or oscillators (damped ones with noise). Needs numpy.
"""

import csv
import json
import sys

import numpy as np

KNOWN = [5, 10, 20]
TRAIN, TEST, POINTS = 600, 1000, 30

# Autoregressions: y[t] = c + a1 y[t-1] + a2 y[t-2] + noise, (c, a1, a2) normal.
AR_MEAN, AR_STD, AR_NOISE = np.array([0.0, 0.7, -0.3]), np.array([0.5, 0.15, 0.1]), 0.3
# Oscillators: y[t] = exp(-d t) (A cos(w t) + B sin(w t)) + noise, A and B standard normal, w and d uniform.
FREQUENCY, DAMPING, OSCILLATOR_NOISE = (0.3, 1.2), (0.0, 0.1), 0.1


def ar2(rng, n):
    c, a1, a2 = (AR_MEAN[:, None] + AR_STD[:, None] * rng.standard_normal((3, n)))
    y = np.zeros((n, POINTS))
    y[:, :2] = rng.standard_normal((n, 2))
    for t in range(2, POINTS):
        y[:, t] = c + a1 * y[:, t - 1] + a2 * y[:, t - 2] + AR_NOISE * rng.standard_normal(n)
    return y


def ar2_exact(y):
    """The mean of the next value: the posterior of the coefficients is normal."""
    x = np.stack([np.ones(len(y) - 2), y[1:-1], y[:-2]], axis=1)
    precision = np.diag(AR_STD**-2) + x.T @ x / AR_NOISE**2
    mean = np.linalg.solve(precision, AR_MEAN / AR_STD**2 + x.T @ y[2:] / AR_NOISE**2)
    return mean @ [1, y[-1], y[-2]]


def waves(w, d, t):
    fade = np.exp(-np.outer(d, t))
    return np.stack([fade * np.cos(np.outer(w, t)), fade * np.sin(np.outer(w, t))], axis=-1)


def oscillators(rng, n):
    w, d = rng.uniform(*FREQUENCY, n), rng.uniform(*DAMPING, n)
    ab = rng.standard_normal((n, 2))
    y = np.einsum("ntk,nk->nt", waves(w, d, np.arange(POINTS)), ab)
    return y + OSCILLATOR_NOISE * rng.standard_normal(y.shape)


def oscillators_exact(y, grid=(120, 40)):
    """The mean of the next value: amplitudes are normal given frequency and damping, which a grid sums over."""
    centres = lambda low, high, n: low + (high - low) * (np.arange(n) + 0.5) / n
    w, d = (v.ravel() for v in np.meshgrid(centres(*FREQUENCY, grid[0]), centres(*DAMPING, grid[1])))
    n = len(y)
    x = waves(w, d, np.arange(n + 1))
    x, new = x[:, :n], x[:, n]
    precision = np.eye(2) + np.einsum("gtk,gtl->gkl", x, x) / OSCILLATOR_NOISE**2
    b = np.einsum("gtk,t->gk", x, y) / OSCILLATOR_NOISE**2
    mean = np.linalg.solve(precision, b[..., None])[..., 0]
    log_evidence = 0.5 * np.einsum("gk,gk->g", b, mean) - 0.5 * np.linalg.slogdet(precision)[1]
    weight = np.exp(log_evidence - log_evidence.max())
    return weight @ np.einsum("gk,gk->g", mean, new) / weight.sum()


FAMILIES = {"ar2": (ar2, ar2_exact), "oscillators": (oscillators, oscillators_exact)}


def write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["series", "t", "y"])
        writer.writerows(rows)


def main():
    what, family, out = sys.argv[1:]
    draw, exact = FAMILIES[family]
    train, test = draw(np.random.default_rng(1), TRAIN), draw(np.random.default_rng(2), TEST)
    if what == "make":
        write(f"{out}/train.csv", [(f"s{i}", t, v) for i, y in enumerate(train) for t, v in enumerate(y)])
        for n in KNOWN:
            write(f"{out}/known-{n}.csv", [(f"u{i}", t, v) for i, y in enumerate(test) for t, v in enumerate(y[:n])])
            write(f"{out}/next-{n}.csv", [(f"u{i}", n, "") for i in range(len(test))])
        return
    found = {}
    rmse = lambda e: float(np.sqrt(np.mean(np.square(e))))
    for n in KNOWN:
        with open(f"{out}/predicted-{n}.csv") as file:
            said = np.array([float(row["prediction"]) for row in csv.DictReader(file)])
        truth = test[:, n]
        best = rmse(truth - [exact(y[:n]) for y in test])
        mine = rmse(truth - said)
        found[n] = {"rmse": mine, "exact": best, "ratio": mine / best, "naive": rmse(truth - test[:, n - 1])}
    print(json.dumps({"family": family, "series": TEST, "known": found}, indent=1))


main()
