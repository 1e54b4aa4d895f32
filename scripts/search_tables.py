"""Five-fold cross validation of `hyperloom search --csv` beside LightGBM's defaults, on five tables that come with scikit-learn.

    pip install lightgbm scikit-learn
    python scripts/search_tables.py target/release/hyperloom [arguments of search]
"""

import csv
import json
import subprocess
import sys
import tempfile

import lightgbm
import numpy as np
from sklearn import datasets
from sklearn.model_selection import KFold, StratifiedKFold

VALUES = {"diabetes"}


def write(path, x, y):
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([f"x{i}" for i in range(x.shape[1])] + ["y"])
        rows.writerows([*(repr(float(v)) for v in row), label] for row, label in zip(x, y))


def search(binary, arguments, train, test):
    with tempfile.TemporaryDirectory() as folder:
        write(f"{folder}/train.csv", *train)
        write(f"{folder}/test.csv", *test)
        command = [binary, "search", "--csv", f"{folder}/train.csv", "--target", "y", "--test", f"{folder}/test.csv"]
        command += ["--device", "cpu", "--out", f"{folder}/run", *arguments]
        subprocess.run(command, check=True, capture_output=True)
        with open(f"{folder}/run/report.json") as file:
            return json.load(file)


def main():
    binary, arguments = sys.argv[1], sys.argv[2:]
    print("| table | rows | search | LightGBM | seconds a search |\n|---|---|---|---|---|")
    for name in ["iris", "wine", "breast_cancer", "digits", "diabetes"]:
        table = getattr(datasets, f"load_{name}")()
        x, y = table.data, table.target
        values = name in VALUES
        folds = KFold if values else StratifiedKFold
        ours, theirs, seconds = [], [], []
        for train, test in folds(5, shuffle=True, random_state=0).split(x, y):
            model = (lightgbm.LGBMRegressor if values else lightgbm.LGBMClassifier)(verbose=-1)
            said = model.fit(x[train], y[train]).predict(x[test])
            error = np.sqrt(np.mean((said - y[test]) ** 2))
            theirs.append(error if values else np.mean(said == y[test]))
            labels = [float(v) if values else f"c{v}" for v in y]
            of = lambda rows: (x[rows], [labels[i] for i in rows])
            report = search(binary, arguments, of(train), of(test))
            best = report["best"][0]
            ours.append(best["rmse"] if values else best["together"])
            seconds.append(report["seconds"])
        what = f"{name}, RMSE" if values else name
        means = [np.mean(v) for v in (ours, theirs)]
        shown = [f"{v:.2f}" if values else f"{v:.4f}" for v in means]
        print(f"| {what} | {len(x)} | {shown[0]} | {shown[1]} | {np.mean(seconds):.1f} |", flush=True)


if __name__ == "__main__":
    main()
