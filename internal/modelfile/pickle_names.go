package modelfile

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a pickle may import. The rule is a list of what only rebuilds data; everything else
// is a finding, and how bad it is depends on what the name can do. The lists follow what
// torch, numpy and others write into their files, and what published attacks import.

// rebuilds are names that make data from data.
var rebuilds = map[string][]string{
	"collections": {"OrderedDict", "defaultdict", "Counter", "deque"},
	"_codecs":     {"encode"},
	"copyreg":     {"_reconstructor"},
	"copy_reg":    {"_reconstructor"},
	"builtins":    {"set", "frozenset", "list", "dict", "int", "float", "complex", "bytes", "bytearray", "str", "bool", "tuple", "slice", "range", "object"},
	"__builtin__": {"set", "frozenset", "list", "dict", "int", "long", "float", "complex", "bytes", "bytearray", "str", "unicode", "bool", "tuple", "slice", "xrange", "object"},
	"datetime":    {"datetime", "date", "time", "timedelta", "timezone"},
	"decimal":     {"Decimal"},
	"fractions":   {"Fraction"},
	"uuid":        {"UUID"},
	"array":       {"array", "_array_reconstructor"},
	"types":       {"SimpleNamespace"},
	"argparse":    {"Namespace"},
	"pathlib":     {"Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath", "PureWindowsPath"},
	"torch": {"Size", "device", "Tensor", "float", "float16", "float32", "float64", "bfloat16", "half", "double", "int8", "int16", "int32", "int64", "uint8", "uint16",
		"uint32", "uint64", "bool", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "qint8", "quint8", "qint32", "strided", "sparse_coo", "sparse_csr",
		"per_tensor_affine", "per_channel_affine", "FloatStorage", "DoubleStorage", "HalfStorage", "BFloat16Storage", "LongStorage", "IntStorage", "ShortStorage",
		"CharStorage", "ByteStorage", "BoolStorage", "ComplexFloatStorage", "ComplexDoubleStorage", "QInt8Storage", "QUInt8Storage", "QInt32Storage"},
	"torch.storage": {"UntypedStorage", "TypedStorage", "_LegacyStorage"},
	"torch._utils": {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter", "_rebuild_parameter_with_state", "_rebuild_qtensor",
		"_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor", "_rebuild_meta_tensor_no_storage", "_rebuild_nested_tensor", "_rebuild_device_tensor_from_numpy",
		"_rebuild_device_tensor_from_cpu_tensor"},
	"torch._tensor":                      {"_rebuild_from_type_v2"},
	"torch.nn.parameter":                 {"Parameter", "Buffer"},
	"torch.nn.parallel.data_parallel":    {"DataParallel"},
	"torch.serialization":                {"_get_layout"},
	"torch.jit._pickle":                  {"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist", "build_tensor_from_id", "restore_type_tag"},
	"numpy":                              {"ndarray", "dtype", "void", "bool_", "bool", "str_", "bytes_", "object_", "datetime64", "timedelta64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64", "longdouble", "complex64", "complex128"},
	"numpy.core.multiarray":              {"_reconstruct", "scalar"},
	"numpy._core.multiarray":             {"_reconstruct", "scalar"},
	"numpy.core.numeric":                 {"_frombuffer"},
	"numpy._core.numeric":                {"_frombuffer"},
	"numpy.ma.core":                      {"_mareconstruct", "MaskedArray"},
	"numpy.random._pickle":               {"__randomstate_ctor", "__bit_generator_ctor", "__generator_ctor"},
	"scipy.sparse._csr":                  {"csr_matrix", "csr_array"},
	"scipy.sparse._csc":                  {"csc_matrix", "csc_array"},
	"scipy.sparse._coo":                  {"coo_matrix", "coo_array"},
	"scipy.sparse.csr":                   {"csr_matrix"},
	"scipy.sparse.csc":                   {"csc_matrix"},
	"pandas._libs.internals":             {"_unpickle_block"},
	"pandas.core.internals.blocks":       {"new_block"},
	"pandas.core.indexes.base":           {"_new_Index"},
	"joblib.numpy_pickle":                {"NumpyArrayWrapper"},
	"tensorflow.python.framework.dtypes": {"as_dtype"},
}

// libraries are packages whose classes models are made of: building an object of one runs
// the library's own code, which is worth knowing and no attack by itself.
var libraries = []string{
	"torch", "torchvision", "torchaudio", "numpy", "scipy", "sklearn", "pandas", "xgboost", "lightgbm", "catboost", "tensorflow", "keras", "tf_keras", "jax", "flax",
	"transformers", "tokenizers", "diffusers", "ultralytics", "timm", "pytorch_lightning", "lightning", "statsmodels", "joblib", "onnx", "skorch", "imblearn",
}

// weapons are modules of which any name, called with a file's arguments, can do harm.
var weapons = []string{
	"os", "nt", "posix", "posixpath", "ntpath", "subprocess", "_posixsubprocess", "sys", "socket", "_socket", "socketserver", "ssl", "shutil", "pty", "platform", "runpy", "importlib",
	"_imp", "imp", "ctypes", "_ctypes", "cffi", "code", "codeop", "commands", "popen2", "asyncio", "multiprocessing", "concurrent", "threading", "_thread", "signal",
	"webbrowser", "http", "httplib", "urllib", "urllib2", "urllib3", "requests", "httpx", "aiohttp", "ftplib", "smtplib", "telnetlib", "poplib", "imaplib", "nntplib", "xmlrpc", "xmlrpclib", "paramiko",
	"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "dbm", "operator", "_operator", "functools", "timeit", "cProfile", "profile", "pstats", "pdb", "bdb",
	"trace", "doctest", "unittest", "test", "distutils", "setuptools", "pip", "venv", "ensurepip", "pydoc", "zipimport", "zipapp", "pkgutil", "io", "_io", "tempfile", "tarfile", "zipfile",
	"logging", "idlelib", "lib2to3", "inspect", "gc", "builtin", "antigravity", "turtle", "tkinter", "sqlite3", "_sqlite3", "linecache", "fileinput", "glob", "site", "sysconfig",
	"compileall", "py_compile", "modulefinder", "crypt", "resource", "mmap", "atexit", "weakref", "linecache", "readline", "rlcompleter", "IPython", "nltk", "pexpect",
	"bs4", "uuid._get_command_stdout", "numpy.testing", "numpy.f2py", "numpy.distutils", "numpy.ctypeslib", "numpy.lib.npyio", "torch.hub", "torch.utils.model_zoo", "torch.utils.cpp_extension",
	"torch.utils.bottleneck", "torch.utils.collect_env", "torch.utils._config_module", "torch.distributed", "torch.multiprocessing", "torch.package", "torch.ops", "torch._inductor", "torch._dynamo",
	"torch.jit.unsupported_tensor_ops", "torch.fx", "torch.testing", "pandas.io", "pandas.core.computation", "scipy.io", "scipy.weave", "sklearn.externals", "joblib.memory", "joblib.parallel", "tensorflow.io",
}

// sharp are names that do harm in modules that also hold harmless ones.
var sharp = []string{
	"eval", "exec", "execfile", "compile", "__import__", "open", "file", "input", "raw_input", "getattr", "setattr", "delattr", "globals", "locals", "vars", "breakpoint", "apply", "reload", "help",
	"map", "filter", "reduce", "type", "super", "property", "staticmethod", "classmethod", "memoryview", "FunctionType", "CodeType", "LambdaType", "MethodType", "ModuleType", "load", "loads", "save", "system", "popen",
	"read_pickle", "query", "fromfile", "loadtxt", "genfromtxt", "memmap", "load_library", "import_module", "load_module", "run", "call", "Popen", "attrgetter", "itemgetter", "methodcaller", "partial",
	"__getattribute__", "__getattr__", "__setattr__", "__call__", "__subclasses__", "__globals__", "__builtins__", "__reduce__", "__class__", "__dict__", "__init__", "__code__", "__loader__",
}

// judgeImport says how much an import by a pickle weighs; "" is nothing.
func judgeImport(module, name string) Severity {
	if slices.Contains(rebuilds[module], name) {
		return ""
	}
	if inModules([]string{"__torch__"}, module) {
		return "" // a type that the TorchScript archive itself defines: Python has no such module
	}
	parts := strings.Split(name, ".")
	if inModules(weapons, module) || inModules(weapons, module+"."+name) {
		return Critical
	}
	for _, p := range append(parts, strings.Split(module, ".")...) {
		if inModules([]string{"os", "sys", "subprocess", "builtins", "ctypes", "socket", "shutil", "importlib", "pickle", "runpy", "nt", "posix"}, p) && p != module {
			return Critical // torch.os.system is os.system
		}
	}
	for _, p := range parts {
		if slices.Contains(sharp, p) {
			return Critical
		}
	}
	switch {
	case module == "" || name == "" || module == "builtins" || module == "__builtin__":
		return High
	case !inModules(libraries, module):
		return High
	}
	for _, p := range parts {
		if !className(p) {
			return High // a function of a library: it may do anything that the library can
		}
	}
	return Medium
}

// inModules reports whether module is one of list, or inside one of it.
func inModules(list []string, module string) bool {
	for _, m := range list {
		if module == m || strings.HasPrefix(module, m+".") {
			return true
		}
	}
	return false
}

// className reports whether a name is written like a class, or is what Cython calls the
// function that rebuilds one.
func className(name string) bool {
	if strings.HasPrefix(name, "__pyx_unpickle_") {
		return true
	}
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(name, "_"))
	return unicode.IsUpper(first)
}
