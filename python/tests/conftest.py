import csv
from pathlib import Path

import hyperloom
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# Short trainings: what is said is compared, not judged.
SHORT = {
    "model": {"encoder": [8], "trunk": [8], "target": [8], "members": 2},
    "train": {"steps": 40, "pooled_steps": 40},
}


def table(name):
    with open(EXAMPLES / name, newline="") as file:
        rows = list(csv.DictReader(file))
    return {column: [number(row[column]) for row in rows] for column in rows[0]}


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


@pytest.fixture(scope="session")
def growth():
    return table("growth.csv")


@pytest.fixture(scope="session")
def known():
    return table("growth_new.csv")


@pytest.fixture(scope="session")
def asked():
    return table("growth_ahead.csv")


@pytest.fixture(scope="session")
def model(growth):
    return hyperloom.fit(growth, "height", group="plant", order="week", settings=SHORT, device="cpu")


@pytest.fixture(scope="session")
def waves():
    settings = {"task": "sine", "adapt": {"steps": [0, 1]}, "eval": {"tasks": 10}, **SHORT}
    return hyperloom.train(settings, device="cpu")
