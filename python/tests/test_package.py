import gc
import json
import logging
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import hyperloom
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import SHORT

ROOT = Path(__file__).parents[2]


def test_tables_of_every_kind_say_the_same(model, known, asked):
    said = model.adapt(known).predict(asked)
    assert said.values.shape == (len(asked["week"]),) and np.isfinite(said.values).all()
    for kind in (pd.DataFrame, pl.DataFrame, pl.LazyFrame, pa.table):
        same = model.adapt(kind(known)).predict(kind(asked))
        assert np.array_equal(said.values, same.values), kind
    apart = {name: values for name, values in known.items() if name != "height"}
    same = model.adapt(apart, known["height"]).predict(asked)
    assert np.array_equal(said.values, same.values)
    assert np.array_equal(np.asarray(said), said.values) and len(said) == len(said.values)


def test_intervals_lie_around_values(model, known, asked):
    narrow, wide = (model.predict(asked, known, interval=level) for level in (0.5, 0.9))
    assert np.array_equal(narrow.values, wide.values)
    assert (wide.low < narrow.low).all() and (narrow.low < narrow.values).all()
    assert (narrow.values < narrow.high).all() and (narrow.high < wide.high).all()
    assert list(narrow.to_dict()) == ["prediction", "low", "high"]
    one = model.adapt(known).predict(asked)
    assert np.allclose(one.values, narrow.values, rtol=1e-4)


def test_groups_learn_side_by_side(model, growth):
    networks = model.adapt_groups(growth)
    assert set(networks) == set(growth["plant"])
    name = growth["plant"][0]
    rows = [i for i, plant in enumerate(growth["plant"]) if plant == name]
    own = {column: [values[i] for i in rows] for column, values in growth.items()}
    assert np.allclose(networks[name].predict(own).values, model.adapt(own).predict(own).values, rtol=1e-3)
    together = model.predict(own, growth)
    assert np.allclose(networks[name].predict(own).values, together.values, rtol=1e-3)


def test_what_nothing_is_known_of_is_said_by_the_pooled_network(model, growth, caplog):
    stranger = {"plant": ["new"], "soil": ["sand"], "week": [3.0]}
    with caplog.at_level(logging.WARNING, logger="hyperloom"):
        said = model.predict(stranger, growth, interval=0.8)
    assert "have no support rows" in caplog.text
    assert np.isfinite(said.values).all() and np.isnan(said.low).all()


def test_missing_cells_are_empty(model, known, asked):
    want = model.predict({**asked, "soil": [None] * len(asked["week"])}, known).values
    frame = pd.DataFrame(asked).assign(soil=pd.NA)
    assert np.array_equal(want, model.predict(frame, known).values)
    frame = pl.DataFrame(asked).with_columns(soil=pl.lit(None))
    assert np.array_equal(want, model.predict(frame, known).values)
    frame = pd.DataFrame(asked).assign(soil=float("nan"))
    assert np.array_equal(want, model.predict(frame, known).values)


def test_rows_of_numbers(waves):
    x = np.linspace(-4, 4, 10, dtype=np.float32)
    tasks = [(x, 2 * np.sin(x + phase)) for phase in range(20)]
    networks = waves.adapt_rows(tasks)
    assert len(networks) == 20
    y = networks[3].predict_rows(x)
    assert y.shape == (10, 1) and y.dtype == np.float32
    (alone,) = waves.adapt_rows(tasks[3:4])
    assert np.allclose(alone.predict_rows(x), y, atol=1e-4)
    # Of any layout and type.
    backwards = np.asfortranarray(np.stack([x, x], axis=1).astype(np.float64))[:, :1]
    assert np.array_equal(networks[3].predict_rows(backwards), y)
    assert networks[3].predict_rows(np.zeros((0, 1))).shape == (0, 1)
    assert waves.adapt_rows([]) == []
    assert np.array_equal(networks[3].encode({"x": x}), x[:, None])
    assert abs(sum(networks[3].shares) - 1) < 1e-6 and networks[3].weights[0].ndim == 1


def test_files(model, known, asked, tmp_path):
    network = model.adapt(known)
    want = network.predict(asked).values
    network.save(tmp_path / "plant.safetensors")
    again = hyperloom.Network.load(tmp_path / "plant.safetensors", device="cpu")
    assert np.array_equal(again.predict(asked).values, want)
    network.export(tmp_path / "plant.h")
    model.export(tmp_path / "plants.rs", 5)
    assert "plant_predict" in (tmp_path / "plant.h").read_text()
    assert "pub fn adapt" in (tmp_path / "plants.rs").read_text()
    same = hyperloom.Model.load(model.path, device="cpu")
    assert np.array_equal(same.adapt(known).predict(asked).values, want)
    model.save(tmp_path / "model.safetensors")
    alone = hyperloom.Model.load(tmp_path / "model.safetensors", device="cpu")
    x, y = network.encode(known), (np.array(known["height"]) - 9) / 7
    both = [m.adapt_rows([(x, y)])[0].predict_rows(x) for m in (model, alone)]
    assert np.array_equal(*both)
    with pytest.raises(hyperloom.ShapeError, match="says nothing of tables"):
        alone.adapt(known)


def test_models_are_pickled(model, known, asked):
    copies = [pickle.loads(pickle.dumps(model)) for _ in range(2)]
    for copy in copies:
        assert copy.path != model.path and copy.report == model.report
        assert np.allclose(copy.adapt(known).predict(asked).values, model.adapt(known).predict(asked).values)


def test_temporary_folders_go_with_the_model(growth):
    model = hyperloom.fit(growth, "height", group="plant", settings=SHORT, device="cpu")
    folder = model.path
    assert folder.is_dir()
    del model
    gc.collect()
    assert not folder.exists()


def test_reports_and_pictures(model):
    assert model.report["held_out"]["metric"] == "rmse"
    assert {"loss", "steps", "tasks"} <= set(model.pictures)
    assert model.pictures["loss"]._repr_svg_().startswith("<svg")
    assert json.loads((model.path / "report.json").read_text()) == model.report
    assert (model.group, model.target, model.classes) == ("plant", "height", None)
    assert "hyperloom.Model" in repr(model) and "weights x 2" in repr(model.adapt({"soil": ["sand"], "week": [1], "height": [2]}))


def test_arrays_have_columns_of_their_own(growth):
    x = np.stack([np.array(growth["week"]), np.array(growth["week"]) ** 0.5], axis=1)
    model = hyperloom.fit(x, growth["height"], group=growth["plant"], settings=SHORT, device="cpu")
    assert (model.group, model.target) == ("group", "target")
    few = model.adapt(x[:5], growth["height"][:5]).predict(x[:3])
    assert few.values.shape == (3,)


def test_classes_have_probabilities(growth):
    size = ["large" if height > 8 else "small" for height in growth["height"]]
    rows = {"week": growth["week"], "soil": growth["soil"], "plant": growth["plant"]}
    model = hyperloom.fit(rows, size, group="plant", settings=SHORT, device="cpu")
    said = model.predict(rows, {**rows, model.target: size})
    assert said.classes == ["large", "small"] == model.classes
    assert np.allclose(said.probabilities.sum(axis=1), 1)
    assert (said.labels == np.array(said.classes, dtype=object)[said.probabilities.argmax(axis=1)]).all()
    assert list(said.to_dict()) == ["prediction", "probability_large", "probability_small"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, k: m.adapt({**k, "week": ["much"] * len(k["week"])}), hyperloom.DataError, "line 2, column 'week'"),
        (lambda m, k: m.adapt({"soil": k["soil"], "height": k["height"]}), hyperloom.DataError, "'week'"),
        (lambda m, k: m.adapt({**k, "week": [1]}), hyperloom.ShapeError, "as many rows as each other"),
        (lambda m, k: m.adapt(k, [1.0]), hyperloom.ShapeError, "'height' has 1 rows"),
        (lambda m, k: m.adapt(7), hyperloom.ShapeError, "a table, a mapping"),
        (lambda m, k: m.predict(k, k, interval=2), hyperloom.SettingError, "from .1 to .95"),
        (lambda m, k: m.predict(k, interval=0.8), hyperloom.SettingError, "known rows"),
        (lambda m, k: m.predict(k, k, interval=0.8, steps=1), hyperloom.SettingError, "leave out steps or interval"),
        (lambda m, k: m.adapt_rows([([1.0], [1.0])]), hyperloom.ShapeError, "x needs rows of"),
        (lambda m, k: hyperloom.Model.load("nowhere"), hyperloom.CheckpointError, "nowhere"),
        (lambda m, k: hyperloom.Network.load("nowhere"), hyperloom.SettingError, "nowhere"),
        (lambda m, k: hyperloom.Device("moon"), hyperloom.SettingError, "auto, cpu"),
        (lambda m, k: m.adapt(k).export("plant.txt"), hyperloom.SettingError, "end it in .h"),
        (lambda m, k: m.adapt(k).save("/no/such/folder/x"), hyperloom.FileError, "/no/such/folder"),
        (lambda m, k: hyperloom.train({"train": {"stepz": 1}}), hyperloom.SettingError, "did you mean `steps`"),
        (lambda m, k: hyperloom.train({"seed": None}), hyperloom.SettingError, "settings"),
        (lambda m, k: hyperloom.train({"seed": object()}), hyperloom.SettingError, "no number, text"),
        (lambda m, k: hyperloom.train(out=m.path), hyperloom.SettingError, "exists"),
        (lambda m, k: hyperloom.train(resume=True), hyperloom.SettingError, "give out alone"),
        (lambda m, k: hyperloom.fit(k, "height", group="plant"), hyperloom.DataError, "no column 'plant'"),
        (lambda m, k: hyperloom.fit(k, "heigth", group="soil"), hyperloom.DataError, "did you mean 'height'"),
        (lambda m, k: m.adapt({**k, "soil": "sand"}), hyperloom.ShapeError, "column 'soil' is no list"),
        (lambda m, k: m.adapt_rows([(["a"], ["b"])]), hyperloom.ShapeError, "x is no array of numbers"),
        (lambda m, k: m.adapt(k).predict_rows(m.adapt(k).encode(k) * np.nan), hyperloom.ShapeError, "row 0"),
    ],
)
def test_what_is_wrong_is_refused(model, known, call, error, message):
    with pytest.raises(error, match=re.escape(message)) as raised:
        call(model, known)
    assert isinstance(raised.value, hyperloom.HyperloomError)


def fit_short(data, target="height", group="plant", **more):
    return hyperloom.fit(data, target, group=group, device="cpu", progress=None, **{"settings": SHORT, **more})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda g: fit_short(g, group=None), hyperloom.ShapeError, "group is no list of cells: None"),
        (lambda g: fit_short(g, target={"a": 1}), hyperloom.ShapeError, "target is no list"),
        (lambda g: fit_short({**g, "plant": [f" {p}" if i % 2 else p for i, p in enumerate(g["plant"])]}), hyperloom.DataError, "are one in a table of text"),
        (lambda g: fit_short({**g, "plant": [("1" if i % 2 else 1) for i in range(len(g["week"]))]}), hyperloom.DataError, "groups 1 and '1'"),
        (lambda g: fit_short({**g, 1: g["week"], "1": g["week"]}), hyperloom.ShapeError, "column '1' is there twice"),
        (lambda g: fit_short({**g, "": g["week"]}), hyperloom.ShapeError, "a column has no name"),
        (lambda g: fit_short({**g, "x": np.array(g["week"]).astype(int).astype("m8[s]")}), hyperloom.ShapeError, "durations"),
        (lambda g: fit_short({**g, "x": np.array(g["week"]) * 1j}), hyperloom.ShapeError, "complex"),
        (lambda g: fit_short({**g, "soil": [s.encode() for s in g["soil"]]}), hyperloom.DataError, "neither a number nor a text"),
        (lambda g: fit_short({**g, "soil": ["\ud800"] * len(g["soil"])}), hyperloom.DataError, "half a character"),
        (lambda g: fit_short(g, steps=-1), hyperloom.SettingError, "steps is -1"),
        (lambda g: fit_short(g, steps="x"), hyperloom.SettingError, "steps is 'x'"),
        (lambda g: fit_short(g, steps=7), hyperloom.SettingError, "train.steps is 7 by an argument and 40 by settings"),
        (lambda g: fit_short(g, settings={"csv": {"file": "x"}}), hyperloom.SettingError, "csv.file"),
        (lambda g: fit_short(g, settings={"seed": None}), hyperloom.SettingError, "seed is None"),
        (lambda g: fit_short(g, settings={"adapt": {"rate": float("nan")}}), hyperloom.SettingError, "adapt.rate is nan"),
        (lambda g: fit_short(g, settings="train.steps=3"), hyperloom.SettingError, "settings are a mapping"),
        (lambda g: fit_short(g, out=""), hyperloom.SettingError, "path of a folder"),
        (lambda g: fit_short(g, out="/"), hyperloom.SettingError, "path of a folder"),
        (lambda g: hyperloom.train({}, progress="json"), hyperloom.SettingError, 'it is "auto"'),
    ],
)
def test_what_would_be_taken_for_something_else_is_refused(growth, call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(growth)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m, k: m.adapt(k, steps=-1), hyperloom.SettingError, "steps is -1"),
        (lambda m, k: m.adapt(k, steps=2**70), hyperloom.SettingError, "from 0 to"),
        (lambda m, k: m.adapt(k, "height"), hyperloom.SettingError, "the values of the target"),
        (lambda m, k: m.adapt(k, 3.0), hyperloom.ShapeError, "no list of cells"),
        (lambda m, k: m.export("x.h", -1), hyperloom.SettingError, "support_rows is -1"),
        (lambda m, k: m.predict(k, k, interval="x"), hyperloom.SettingError, "interval is 'x'"),
        (lambda m, k: m.adapt_rows(None), hyperloom.ShapeError, "tasks are a list"),
        (lambda m, k: m.adapt_rows([([1.0],)]), hyperloom.ShapeError, "given: 1 things"),
        (lambda m, k: m.adapt(k).predict_rows(np.zeros((2, 1, 1))), hyperloom.ShapeError, "needs rows of"),
    ],
)
def test_arguments_are_checked(model, known, call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call(model, known)


def test_rows_of_many_groups_are_not_taken_for_one_task(model, growth):
    query = {name: values[:3] for name, values in growth.items() if name != "plant"}
    with pytest.raises(hyperloom.DataError, match="which group is a row of"):
        model.predict(query, growth)


def test_files_of_others_are_left_alone(growth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "mine.csv"
    mine.write_text("mine")
    with pytest.raises(hyperloom.SettingError, match="mine.csv, which exists"):
        fit_short(growth, out="mine")
    assert mine.read_text() == "mine"
    model = fit_short(growth, out="run")
    data = (tmp_path / "run.csv").read_bytes()
    with pytest.raises(hyperloom.SettingError, match="run exists"):
        fit_short({**growth, "week": [0.5] * len(growth["week"])}, out="run")
    assert (tmp_path / "run.csv").read_bytes() == data
    with pytest.raises(hyperloom.SettingError):
        fit_short(growth, out="other", method="nothing")
    assert not (tmp_path / "other.csv").exists() and not (tmp_path / "other").exists()
    # From wherever one is.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert model.report and model.pictures and pickle.loads(pickle.dumps(model)).report == model.report
    hyperloom.train(out="../run", resume=True, device="cpu", progress=None)


def test_whole_numbers_and_floats_are_one_group(growth):
    numbered = {name: i for i, name in enumerate(dict.fromkeys(growth["plant"]))}
    rows = {**growth, "plant": [numbered[name] for name in growth["plant"]]}
    model = fit_short(rows)
    floats = {**rows, "plant": [float(p) for p in rows["plant"]]}
    assert np.array_equal(model.predict(rows, rows).values, model.predict(rows, floats).values)


def test_numbers_and_times_of_every_type(growth):
    days = np.array([f"2024-05-{1 + int(week):02}" for week in growth["week"]], "M8[ns]")
    rows = {**growth, "day": days, "wide": np.array(growth["week"], np.longdouble), "half": np.array(growth["week"], np.float16)}
    model = fit_short(rows)
    texts = {**rows, "day": [str(day)[:10] for day in days], "wide": growth["week"]}
    assert np.array_equal(model.predict(rows, rows).values, model.predict(texts, texts).values)
    gaps = days.copy()
    gaps[0] = np.datetime64("NaT")
    assert np.isfinite(model.predict({**rows, "day": gaps}, rows).values).all()
    fields = np.array(list(zip(growth["soil"], growth["week"])), [("soil", "U9"), ("week", "f8")])
    of_fields = hyperloom.fit(fields, growth["height"], group=growth["plant"], settings=SHORT, device="cpu", progress=None)
    assert of_fields.predict(fields[:3]).values.shape == (3,)


def test_predictions_are_like_arrays(model, known, asked):
    said = model.predict(asked, {k: v for k, v in known.items() if k != "height"}, known["height"])
    assert said[0] == said.values[0] and list(said) == said.values.tolist() and said != said.values.tolist()


def test_networks_are_pickled(model, known, asked):
    network = model.adapt(known)
    again = pickle.loads(pickle.dumps(network))
    assert np.allclose(again.predict(asked).values, network.predict(asked).values, rtol=1e-4)


def test_a_forked_process_leaves_its_parents_folders(growth):
    model = fit_short(growth)
    forked = os.fork()
    if forked == 0:
        # As the interpreter ends: all that is to be cleared is cleared.
        import weakref

        weakref.finalize._exitfunc()
        os._exit(0)
    os.waitpid(forked, 0)
    assert model.report


def test_progress_is_told_and_may_end_it(growth, tmp_path):
    told = []
    settings = {**SHORT, "train": {"steps": 4000, "pooled_steps": 40}}

    class Enough(Exception):
        pass

    def progress(phase, step, steps, loss, per_second, unit):
        told.append((phase, step, steps))
        if phase.startswith("hypernetwork"):
            raise Enough

    out = tmp_path / "run"
    with pytest.raises(Enough):
        hyperloom.fit(
            growth, "height", group="plant", settings=settings, out=out, device="cpu", progress=progress
        )
    assert told and not (out / "report.json").exists() and (out / "checkpoint.safetensors").exists()
    model = hyperloom.train(out=out, resume=True, device="cpu")
    assert model.report["steps"] == 4000


@pytest.mark.filterwarnings("default")  # of TensorBoard's own
def test_tensorboard_reads_event_files(growth, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    hyperloom.fit(
        growth, "height", group="plant", settings=SHORT, out=out, device="cpu", progress=None, tensorboard=True
    )
    read = EventAccumulator(str(out))
    read.Reload()
    metrics = pd.read_csv(out / "metrics.csv")
    assert set(read.Tags()["scalars"]) == {"loss", "grad_norm", "learning_rate", "tasks_per_second"}
    losses = read.Scalars("loss")
    assert [event.step for event in losses] == metrics["step"].tolist()
    assert np.allclose([event.value for event in losses], metrics["loss"], rtol=1e-6)


def test_ctrl_c_leaves_a_checkpoint(tmp_path):
    program = (
        "import hyperloom, sys\n"
        "started = lambda *told: print('step', flush=True)\n"
        "try:\n"
        "    hyperloom.train({'task': 'sine', 'train': {'steps': 10000000}}, out=sys.argv[1], device='cpu', progress=started)\n"
        "except KeyboardInterrupt:\n"
        "    print('stopped')\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert running.stdout.readline() == "step\n"
    running.send_signal(signal.SIGINT)
    rest, _ = running.communicate(timeout=120)
    assert rest.splitlines()[-1] == "stopped" and running.returncode == 0
    assert (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_other_threads_go_on_meanwhile(growth):
    """Training takes place without the interpreter's lock."""
    counted, done = 0, threading.Event()

    def count():
        nonlocal counted
        while not done.wait(0.001):
            counted += 1

    other = threading.Thread(target=count)
    other.start()
    settings = {**SHORT, "train": {"steps": 1000, "pooled_steps": 40}}
    hyperloom.fit(growth, "height", group="plant", settings=settings, device="cpu", progress=None)
    done.set()
    other.join()
    assert counted > 50


def test_a_forked_process_is_refused(model, known):
    """It has none of the threads of work, and would wait for ever."""
    forked = os.fork()
    if forked == 0:
        try:
            model.adapt(known)
        except hyperloom.HyperloomError as e:
            os._exit(0 if "spawn" in str(e) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0


def test_several_threads_ask_one_model(model, known, asked):
    want = model.adapt(known).predict(asked).values
    found = []

    def ask():
        for _ in range(10):
            found.append(np.array_equal(model.adapt(known).predict(asked).values, want))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 40 and all(found)


@pytest.mark.parametrize("file", sorted((ROOT / "python" / "examples").glob("*.py")), ids=lambda f: f.name)
def test_examples_run(file):
    environment = {**os.environ, "HYPERLOOM_STEPS": "100"}
    done = subprocess.run([sys.executable, file], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr


def test_the_readme_runs(tmp_path, monkeypatch, capsys):
    text = (ROOT / "python" / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    # Trained for a shorter time.
    short = "import functools, hyperloom\nhyperloom.fit = functools.partial(hyperloom.fit, settings=SHORT)\n"
    names = {"SHORT": SHORT}
    fit = hyperloom.fit
    try:
        exec(short + blocks[0] + blocks[1].replace('Regressor("plant",', 'Regressor("plant", settings=SHORT,'), names)
    finally:
        hyperloom.fit = fit
    assert (tmp_path / "plant.onnx").exists() and capsys.readouterr().out


def test_stubs_name_what_is_there():
    stub = (Path(hyperloom.__file__).parent / "_hyperloom.pyi").read_text()
    from hyperloom import _hyperloom

    for name in ("Device", "Model", "Network"):
        body = re.search(rf"class {name}:\n((?:    .*\n|\n)*)", stub)[1]
        said = set(re.findall(r"def (\w+)", body)) - {"__init__"}
        there = {n for n in vars(getattr(_hyperloom, name)) if not n.startswith("__")}
        assert said == there, name
