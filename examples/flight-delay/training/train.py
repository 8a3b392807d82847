"""Trains NN-DLY-001 and writes it as weights, as ONNX, and with its log and data sheets.

    python train.py flights-3m.parquet OUT

Plain NumPy on one thread: the same versions give the same bytes.
"""
import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import csv
import hashlib
import json
import sys

import numpy as np
import onnx
import safetensors
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper

import features

SEED = 20010301
LAYERS = [20, 64, 32, 1]
EPOCHS, BATCH, RATE, HUBER, DECAY = 3, 2048, 2e-3, 10.0, 1e-5
# The settings above were chosen on the last weeks of January and of February, never on March.
TUNING = [("2001-01-25", "2001-02-01"), ("2001-02-22", "2001-03-01")]
MODEL_ID, VERSION = "NN-DLY-001", "1.0.0"


class MLP:
    """Clamp to what training saw, scale, three layers, ReLU between them."""

    def __init__(self, low, high, mean, scale, rng):
        self.low, self.high, self.mean, self.scale = low, high, mean, scale
        self.w = [(rng.standard_normal((a, b)) * np.sqrt(2 / a)).astype(np.float32) for a, b in zip(LAYERS, LAYERS[1:])]
        self.b = [np.zeros(b, np.float32) for b in LAYERS[1:]]

    def scaled(self, x):
        return (np.minimum(np.maximum(x, self.low), self.high) - self.mean) * self.scale

    def forward(self, z):
        layers = [z]
        for i, (w, b) in enumerate(zip(self.w, self.b)):
            z = z @ w + b
            if i < len(self.w) - 1:
                z = np.maximum(z, 0)
            layers.append(z)
        return layers

    def predict(self, x, step=65536):
        return np.concatenate([self.forward(self.scaled(x[i:i + step]))[-1][:, 0] for i in range(0, len(x), step)])

    def tensors(self):
        t = {"input_low": self.low, "input_high": self.high, "input_mean": self.mean, "input_scale": self.scale}
        for i, (w, b) in enumerate(zip(self.w, self.b)):
            t[f"dense{i + 1}_weight"], t[f"dense{i + 1}_bias"] = w, b
        return t


def load(path):
    """Reads a model back from its safetensors file."""
    t = safetensors.numpy.load_file(path)
    m = MLP.__new__(MLP)
    m.low, m.high, m.mean, m.scale = (t["input_" + k] for k in ("low", "high", "mean", "scale"))
    m.w, m.b = [t[f"dense{i}_weight"] for i in (1, 2, 3)], [t[f"dense{i}_bias"] for i in (1, 2, 3)]
    return m


def train(x, y, seed=SEED, epochs=EPOCHS, watch=None):
    """Huber loss, Adam, a rate that falls to nothing along a cosine."""
    rng = np.random.default_rng(seed)
    # The rarest values of training, one in a thousand, do not widen what the model trusts.
    low, high = np.quantile(x, [0.0005, 0.9995], axis=0).astype(np.float32)
    mean, std = x.mean(0, dtype=np.float64), x.std(0, dtype=np.float64)
    m = MLP(low, high, mean.astype(np.float32), (1 / np.maximum(std, 1e-6)).astype(np.float32), rng)
    m.b[-1][:] = np.float32(np.median(y))
    z, y = m.scaled(x), y.astype(np.float32)
    params = m.w + m.b
    first, second = [np.zeros_like(p) for p in params], [np.zeros_like(p) for p in params]
    steps, t, log = epochs * (len(z) // BATCH), 0, []
    for epoch in range(1, epochs + 1):
        order, loss, seen = rng.permutation(len(z)), 0.0, 0
        for start in range(0, len(z) - BATCH + 1, BATCH):
            rows = order[start:start + BATCH]
            layers = m.forward(z[rows])
            error = layers[-1][:, 0] - y[rows]
            inside = np.clip(error, -HUBER, HUBER)
            loss += float((inside * (error - inside / 2)).sum(dtype=np.float64))
            seen += BATCH
            grad, gw, gb = (inside / BATCH)[:, None].astype(np.float32), [], []
            for i in reversed(range(len(m.w))):
                gw.insert(0, layers[i].T @ grad + np.float32(DECAY) * m.w[i])
                gb.insert(0, grad.sum(0))
                if i:
                    grad = (grad @ m.w[i].T) * (layers[i] > 0)
            t += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * t / steps))
            for p, g, a, b in zip(params, gw + gb, first, second):
                a += np.float32(0.1) * (g - a)
                b += np.float32(0.001) * (g * g - b)
                p -= np.float32(rate / (1 - 0.9 ** t)) * a / (np.sqrt(b / np.float32(1 - 0.999 ** t)) + np.float32(1e-8))
        entry = {"epoch": epoch, "steps": t, "huber_loss": round(loss / seen, 6)}
        if watch is not None:
            entry["tuning_mae_minutes"] = round(float(np.abs(m.predict(watch[0]) - watch[1]).mean(dtype=np.float64)), 6)
        log.append(entry)
    return m, log


def to_onnx(m):
    names = list(m.tensors())
    init = [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in m.tensors().items()]
    nodes = [
        helper.make_node("Max", ["features", "input_low"], ["above"], "clamp_low"),
        helper.make_node("Min", ["above", "input_high"], ["inside"], "clamp_high"),
        helper.make_node("Sub", ["inside", "input_mean"], ["centred"], "centre"),
        helper.make_node("Mul", ["centred", "input_scale"], ["z0"], "scale"),
    ]
    for i in (1, 2, 3):
        out = "arrival_delay_minutes" if i == 3 else f"h{i}"
        nodes.append(helper.make_node("Gemm", [f"z{i - 1}", f"dense{i}_weight", f"dense{i}_bias"], [out], f"dense{i}"))
        if i < 3:
            nodes.append(helper.make_node("Relu", [f"h{i}"], [f"z{i}"], f"relu{i}"))
    assert len(names) == len(init)
    graph = helper.make_graph(
        nodes, "flight_delay", [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 20])],
        [helper.make_tensor_value_info("arrival_delay_minutes", TensorProto.FLOAT, ["batch", 1])], init,
        doc_string="Typical arrival delay of a flight in minutes, negative when early. The features are those of features.json, in its order.")
    model = helper.make_model(graph, producer_name="flight-delay/training/train.py", producer_version=VERSION,
                              opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.model_version = 1
    helper.set_model_props(model, {"model_id": MODEL_ID, "version": VERSION, "seed": str(SEED)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def digest(data):
    return "SHA256:" + hashlib.sha256(data).hexdigest()


def write(out, name, data):
    with open(os.path.join(out, name), "wb") as f:
        f.write(data)
    return digest(data)


def as_json(v):
    return (json.dumps(v, indent=2, ensure_ascii=False) + "\n").encode()


def sheets(out, path, flights, airports, stats):
    """Says which data it was, and writes what a user of the model needs of it."""
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for part in iter(lambda: f.read(1 << 20), b""):
            h.update(part)
    source = {
        "file": os.path.basename(path), "digest": "SHA256:" + h.hexdigest(),
        "published_as": "flights-3m.parquet of the npm package vega-datasets 3.2.1",
        "origin": "US Department of Transportation, Bureau of Transportation Statistics: airline on-time performance, 2001", "licence": "public domain (work of the US government)",
    }
    for name, mask, what in [("training-dataset.json", flights.history, "flights that departed from 2001-01-01 to 2001-02-28"),
                             ("validation-dataset.json", flights.test, "flights that departed from 2001-03-01 to 2001-03-31")]:
        d = flights.delay[mask]
        write(out, name, as_json({
            "dataset": name.removesuffix(".json"), "of": what, "source": source, "rows": int(mask.sum()),
            "rows_digest": flights.digest(mask), "digest_of": "the rows as CSV lines date,delay,distance,origin,destination, sorted by date, origin, destination, distance, delay",
            "left_out": f"rows with a delay below {features.IMPOSSIBLE} minutes ({flights.dropped} from January to March)",
            "delay_minutes": {"mean": round(float(d.mean()), 4), "median": float(np.median(d)), "standard_deviation": round(float(d.std()), 4),
                              "share_over_15": round(float((d > 15).mean()), 6), "min": float(d.min()), "max": float(d.max())},
            "airports": int(len(np.unique(np.concatenate([flights.origin[mask], flights.destination[mask]])))),
        }))
    with open(os.path.join(out, "airport-statistics.csv"), "w", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["airport", "side", "flights_a_day", "mean_delay", "share_late"] + [f"mean_delay_hours_{b}" for b in ("00_04", "05_09", "10_13", "14_17", "18_23")])
        for i, name in enumerate([*airports.names, "other"]):
            for side in ("origin", "destination"):
                rows = [stats.columns(side, np.array([i]), np.array([b])) for b in range(5)]
                w.writerow([name, side, f"{np.expm1(rows[0][2][0]):.3f}", f"{rows[0][0][0]:.4f}", f"{rows[0][1][0]:.5f}"] + [f"{r[3][0]:.4f}" for r in rows])
    pick = np.flatnonzero(flights.history | flights.test)[::250]
    with open(os.path.join(out, "flights-extract.csv"), "w", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(["date", "delay", "distance", "origin", "destination"])
        for i in pick:
            w.writerow([str(flights.date[i]), f"{flights.delay[i]:.0f}", f"{flights.distance[i]:.0f}", flights.origin[i], flights.destination[i]])


def main(path, out):
    os.makedirs(out, exist_ok=True)
    flights = features.Flights(path)
    x, airports, stats = features.build(flights)
    tuned = []
    for start, end in TUNING:
        week = (flights.day >= np.datetime64(start)) & (flights.day < np.datetime64(end))
        fit = flights.history & ~week
        _, log = train(x[fit], flights.delay[fit], watch=(x[week], flights.delay[week]))
        constant = float(np.abs(np.median(flights.delay[fit]) - flights.delay[week]).mean())
        tuned.append({"from": start, "before": end, "fitted_on": int(fit.sum()), "watched_on": int(week.sum()), "mae_of_the_median": round(constant, 6), "epochs": log})
    model, final = train(x[flights.history], flights.delay[flights.history])
    weights = safetensors.numpy.save(model.tensors(), metadata={"model": f"{MODEL_ID}@{VERSION}"})
    graph = to_onnx(model)
    trained, converted = write(out, "model.safetensors", weights), write(out, "model.onnx", graph)
    write(out, "training-log.json", as_json({
        "model_id": MODEL_ID, "model_version": VERSION, "framework": "numpy " + np.__version__, "seed": SEED, "layers": LAYERS,
        "settings": {"epochs": EPOCHS, "batch": BATCH, "rate": RATE, "huber_minutes": HUBER, "weight_decay": DECAY, "optimizer": "Adam 0.9 0.999"},
        "tuning": tuned,
        "final": {"fitted_on": int(flights.history.sum()), "epochs": final}, "model.safetensors": trained, "model.onnx": converted,
    }))
    write(out, "features.json", as_json({
        "input": "features", "type": "float32", "shape": ["batch", 20], "output": "arrival_delay_minutes", "statistics": "airport-statistics.csv",
        "features": [{"index": i, "name": n, "low": round(float(model.low[i]), 6), "high": round(float(model.high[i]), 6)} for i, n in enumerate(features.NAMES)],
    }))
    write(out, "conversion.json", as_json({
        "model_id": MODEL_ID, "model_version": VERSION, "from": "model.safetensors", "from_digest": trained, "to": "model.onnx", "to_digest": converted,
        "tool": "onnx", "tool_version": onnx.__version__, "training_framework": "numpy " + np.__version__, "parameters": {"opset": 17, "ir_version": 8}, "equivalence": "95-00-07-DLY-002",
    }))
    sheets(out, path, flights, airports, stats)
    print(json.dumps({"tuning": [t["epochs"][-1] for t in tuned], "final": final[-1], "trained": trained, "onnx": converted, "bytes": len(graph)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
