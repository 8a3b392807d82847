"""Makes the files of this folder with the tools that people make such files with.

Run in this folder with Python 3.11 and numpy 2.4.6, onnx 1.23.2, safetensors 0.8.0,
h5py 3.16.0. The pickles that attack only ever name what they would call: they are never
loaded, here or in the tests.
"""
import base64
import gzip
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import types
import zipfile

import h5py
import numpy as np
import onnx
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper

STAMP = (2026, 1, 1, 0, 0, 0)


def write(name, data):
    with open(name, "wb") as f:
        f.write(data)


def member(z, name, data, method=zipfile.ZIP_STORED, mode=None):
    info = zipfile.ZipInfo(name, STAMP)
    info.compress_type = method
    if mode is not None:
        info.create_system, info.external_attr = 3, mode << 16
    z.writestr(info, data)


def archive(members, **kw):
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w") as z:
        for name, data in members:
            member(z, name, data, **kw)
    return b.getvalue()


class Call:
    """Pickles as a call of a function, as attackers write it."""

    def __init__(self, fn, *args):
        self.fn, self.args = fn, args

    def __reduce__(self):
        return self.fn, self.args


def stub(module, *names):
    """A module with names that torch's pickles import, so that pickle can write them."""
    parent, _, last = module.rpartition(".")
    m = sys.modules.setdefault(module, types.ModuleType(module))
    if parent:
        setattr(stub(parent), last, m)
    for name in names:
        def fn(*args):
            raise AssertionError("never called")
        fn.__module__, fn.__name__, fn.__qualname__ = module, name, name
        setattr(m, name, fn)
    return m


class Storage:
    def __init__(self, key):
        self.key = key


class TorchPickler(pickle.Pickler):
    """Writes tensors as torch.save does: their storage lies outside the pickle."""

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            return ("storage", stub("torch", "FloatStorage").FloatStorage, obj.key, "cpu", 4)


def torch_zip(extra=None):
    from collections import OrderedDict
    rebuild = stub("torch._utils", "_rebuild_tensor_v2")._rebuild_tensor_v2
    state = OrderedDict(weight=Call(rebuild, Storage("0"), 0, (2, 2), (2, 1), False, OrderedDict()))
    if extra is not None:
        state["extra"] = extra
    b = io.BytesIO()
    TorchPickler(b, protocol=2).dump(state)
    return archive([("model/data.pkl", b.getvalue()), ("model/byteorder", b"little"), ("model/data/0", np.ones(4, np.float32).tobytes()), ("model/version", b"3\n")])


def mlp(**change):
    rng = np.random.default_rng(1)
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"], name="dense"), helper.make_node("Relu", ["h"], ["y"])]
    init = [numpy_helper.from_array(rng.normal(size=(3, 2)).astype(np.float32), "w"), numpy_helper.from_array(np.zeros(2, np.float32), "b")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 2])
    if change.get("nan"):
        init[1] = numpy_helper.from_array(np.array([np.nan, np.inf], np.float32), "b")
    if change.get("custom"):
        nodes.append(helper.make_node("Shell", ["y"], ["z"], domain="example.test"))
    if change.get("old"):  # before IR version 4 every initializer was an input as well
        extra = [helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2]), helper.make_tensor_value_info("b", TensorProto.FLOAT, [2])]
        graph = helper.make_graph(nodes, "mlp", [x, *extra], [y], init)
    elif change.get("branch"):
        then = helper.make_graph([helper.make_node("Neg", ["y"], ["t"])], "then", [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)])
        other = helper.make_graph([helper.make_node("Abs", ["y"], ["e"])], "else", [], [helper.make_tensor_value_info("e", TensorProto.FLOAT, None)])
        nodes.append(helper.make_node("If", ["c"], ["z"], then_branch=then, else_branch=other))
        graph = helper.make_graph(nodes, "mlp", [x, helper.make_tensor_value_info("c", TensorProto.BOOL, [])], [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)], init)
    else:
        graph = helper.make_graph(nodes, "mlp", [x], [y], init)
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid("example.test", 1)] if change.get("custom") else [])
    m = helper.make_model(graph, producer_name="make.py", producer_version="1", opset_imports=opsets, ir_version=3 if change.get("old") else 8)
    if "external" in change:
        t = m.graph.initializer[0]
        t.data_location = TensorProto.EXTERNAL
        entry = t.external_data.add()
        entry.key, entry.value = "location", change["external"]
        t.ClearField("raw_data")
    if change.get("short"):
        m.graph.initializer[0].raw_data = m.graph.initializer[0].raw_data[:-4]
    if "custom" not in change and "external" not in change and "short" not in change and "branch" not in change:
        onnx.checker.check_model(m)
    return m.SerializeToString()


def onnx_files():
    write("mlp.onnx", mlp())
    write("old-inputs.onnx", mlp(old=True))
    write("branch.onnx", mlp(branch=True))
    write("nan.onnx", mlp(nan=True))
    write("custom.onnx", mlp(custom=True))
    write("external.onnx", mlp(external="weights.bin"))
    write("external-outside.onnx", mlp(external="../../etc/passwd"))
    write("short-tensor.onnx", mlp(short=True))
    write("cut.onnx", mlp()[:-40])


def pickles():
    for protocol in range(6):
        write(f"data-{protocol}.pkl", pickle.dumps({"w": [1.5, 2, "x"], "n": None, "s": {1, 2}}, protocol=protocol))
        write(f"attack-{protocol}.pkl", pickle.dumps(Call(os.system, "true"), protocol=protocol))
    write("array.pkl", pickle.dumps(np.arange(4.0), protocol=5))
    write("attack-eval.pkl", pickle.dumps([1, Call(eval, "1+1")]))
    write("attack-inst.pkl", b"(S'true'\nios\nsystem\n.")
    write("attack-broken.pkl", b"cos\nsystem\n(S'true'\ntR\xff\xff")
    # The name on the stack is one that only running the pickle would tell.
    write("attack-computed.pkl", b"\x80\x04]\x8c\x06system\x93.")
    # Place 2 of the memo is taken when MEMOIZE takes it again: a scanner that counts writes,
    # and not places, sees collections where Python sees os.
    memo = b"\x80\x04" + b"\x8c\x01x" + b"q\x00q\x00" + b"\x8c\x0bcollections" + b"q\x02" + b"\x8c\x02os" + b"\x94" + b"000"
    write("attack-memo.pkl", memo + b"h\x02" + b"\x8c\x06system" + b"\x93" + b"\x8c\x04true\x85R.")
    write("attack-number.pkl", b"\x80\x02X\x02\x00\x00\x00osp1_0\n0g10\nX\x06\x00\x00\x00system\x93.")
    write("attack-dotted.pkl", b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93\x8c\x04true\x85R.")
    write("attack-extension.pkl", b"\x80\x02\x82\x01.")
    write("attack-second.pkl", pickle.dumps([1]) + pickle.dumps(Call(os.system, "true")))
    write("unknown-function.pkl", b"\x80\x02cjson\ndumps\n]\x85R.")
    write("library-class.pkl", b"\x80\x02csklearn.linear_model._base\nLinearRegression\n)\x81.")
    write("library-function.pkl", b"\x80\x02csklearn.datasets._base\nfetch_file\n)R.")
    # torch before 1.6: magic number, protocol, machine, object, keys, then the tensors.
    old = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2) + pickle.dumps({"little_endian": True}, 2) + pickle.dumps({"w": 1}, 2) + pickle.dumps(["0"], 2)
    write("torch-old.pt", old + struct.pack("<q4f", 4, 1, 2, 3, 4))


def archives():
    attack = pickle.dumps(Call(os.system, "true"), protocol=2)
    write("torch.pt", torch_zip())
    write("torch-attack.pt", torch_zip(Call(os.system, "true")))
    write("nested.zip", archive([("inner.zip", archive([("weights.pkl", attack)], method=zipfile.ZIP_DEFLATED))], method=zipfile.ZIP_DEFLATED))
    deep = archive([("a", b"x")])
    for _ in range(4):
        deep = archive([("inner.zip", deep)])
    write("deep.zip", deep)
    write("traversal.zip", archive([("../../up.txt", b"x"), ("/abs.txt", b"x"), ("C:\\win.txt", b"x")]))
    write("symlink.zip", archive([("link", b"/etc/passwd")], mode=0o120777))
    write("twice.zip", archive([("a.txt", b"1")])[:0] + twice())
    write("bomb.zip", archive([("zeros", bytes(20 << 20))], method=zipfile.ZIP_DEFLATED))
    write("overlap.zip", overlapping())
    good = bytearray(archive([("data.txt", b"hello")]))
    at = good.index(b"data.txt")
    good[at:at + 8] = b"evil.pkl"
    write("disagrees.zip", bytes(good))
    write("cut.zip", archive([("data.txt", b"hello" * 100)])[:-30])
    write("polyglot.bin", b"# notes\n" * 10 + archive([("a.txt", b"x")]))
    b = io.BytesIO()
    np.savez_compressed(b, a=np.zeros(3))
    write("arrays.npz", b.getvalue())
    write("attack.pkl.gz", gzip.compress(attack, mtime=0))
    write("notes.txt.gz", gzip.compress(b"text\n" * 10, mtime=0))
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for name, kind, link in [("model/weights.pkl", tarfile.REGTYPE, ""), ("../up", tarfile.REGTYPE, ""), ("link", tarfile.SYMTYPE, "/etc/passwd"), ("dev", tarfile.CHRTYPE, "")]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, link
            data = attack if name.endswith(".pkl") else b""
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    write("attack.tar", b.getvalue())


def twice():
    b = io.BytesIO()
    with zipfile.ZipFile(b, "w") as z:
        member(z, "a.txt", b"1")
        import warnings
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            member(z, "a.txt", b"2")
    return b.getvalue()


def overlapping():
    """Two entries of the directory that share the same bytes."""
    data = archive([("a.txt", b"x" * 40), ("b.txt", b"y" * 40)])
    first = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", first + 4)
    return data[:second + 42] + struct.pack("<I", 0) + data[second + 46:]


def tensors():
    write("weights.safetensors", safetensors.numpy.save({"w": np.ones((2, 3), np.float32), "b": np.zeros(3, np.float32)}, metadata={"format": "np"}))
    good = safetensors.numpy.save({"w": np.ones((2, 3), np.float32)})
    write("cut.safetensors", good[:-4])
    for name, a in [("floats.npy", np.arange(3.0)), ("objects.npy", np.array([{"a": 1}, None], dtype=object)), ("struct.npy", np.zeros(2, dtype=[("O_shape", "f4")]))]:
        b = io.BytesIO()
        np.save(b, a, allow_pickle=True)
        write(name, b.getvalue())
    keras("keras.h5", ["InputLayer", "Dense"])
    keras("keras-lambda.h5", ["InputLayer", "Lambda"])
    config = {"module": "keras", "class_name": "Sequential", "config": {"layers": [
        {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}}]}}
    for name, extra in [("model.keras", None), ("lambda.keras", {"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__", "config": {"code": base64.b64encode(b"\xe3").decode()}}}}),
                        ("module.keras", {"module": "subprocess", "class_name": "function", "config": "run", "registered_name": "function"})]:
        c = json.loads(json.dumps(config))
        if extra:
            c["config"]["layers"].append(extra)
        h = io.BytesIO()
        with h5py.File(h, "w") as f:
            f["w"] = np.ones(2)
        write(name, archive([("metadata.json", b'{"keras_version": "3.0.0"}'), ("config.json", json.dumps(c).encode()), ("model.weights.h5", h.getvalue())]))
    gguf("small.gguf", "{{ messages }}")
    gguf("template.gguf", "{{ ''.__class__.__mro__[1].__subclasses__() }}")
    write("module.tflite", struct.pack("<I", 16) + b"TFL3" + bytes(24))


def keras(name, layers):
    b = io.BytesIO()
    with h5py.File(b, "w") as f:
        f.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [{"class_name": c, "config": {}} for c in layers]}})
        f["dense/kernel"] = np.ones((2, 2))
    write(name, b.getvalue())


def gguf(name, template):
    def text(s):
        return struct.pack("<Q", len(s)) + s.encode()
    keys = [("general.architecture", 8, text("test")), ("tokenizer.tokens", 9, struct.pack("<IQ", 8, 2) + text("a") + text("b")), ("tokenizer.chat_template", 8, text(template))]
    b = b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys))
    for key, typ, v in keys:
        b += text(key) + struct.pack("<I", typ) + v
    write(name, b)


def field(number, wire, payload):
    tag = bytes([number << 3 | wire])
    return tag + (bytes([payload]) if wire == 0 else varint(len(payload)) + payload)


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def saved_models():
    def node(op):
        return field(1, 2, b"n") + field(2, 2, op)
    for name, ops in [("saved_model.pb", [b"Const", b"MatMul"]), ("saved_model-write.pb", [b"Const", b"WriteFile", b"ReadFile"])]:
        graph = b"".join(field(1, 2, node(op)) for op in ops)
        library = field(2, 2, field(1, 2, field(3, 2, node(b"Relu"))))
        write(name, field(1, 0, 1) + field(2, 2, field(2, 2, graph + library)))


onnx_files()
pickles()
archives()
tensors()
saved_models()
