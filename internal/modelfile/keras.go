package modelfile

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// A Keras model is a description of its layers in JSON, beside the weights. Some layers
// carry Python: Lambda holds marshalled byte code, and a description may name any module
// and function to call. The two formats that hold it are HDF5 and a zip archive.

const remedyKeras = "rebuild the layer from standard ones and save the model again, or export to ONNX"

// kerasLayers judges what a description names.
type kerasLayers struct {
	r      *Report
	layers map[string]float64
}

func (k *kerasLayers) class(name string) {
	if len(k.layers) < maxListed {
		k.layers[clip(name, 100)]++
	}
	if name == "Lambda" || name == "__lambda__" {
		k.r.Code = true
		k.r.add(Finding{Rule: "keras-lambda", Severity: Critical, Message: "a Lambda layer brings Python byte code, which runs as the model is loaded", Remedy: remedyKeras})
	}
}

func (k *kerasLayers) module(name string) {
	if name == "" || inModules([]string{"keras", "tensorflow", "tf_keras", "keras_core", "builtins", "keras_nlp", "keras_cv", "keras_hub"}, name) {
		return
	}
	k.r.Code = true
	if inModules(weapons, name) {
		k.r.add(Finding{Rule: "keras-module", Severity: Critical, Message: fmt.Sprintf("the model's description calls into the module %s", clip(name, 100)), Remedy: remedyAttack})
		return
	}
	k.r.add(Finding{Rule: "keras-module", Severity: High, Message: fmt.Sprintf("the model's description needs code of the module %s, which the file does not bring", clip(name, 100)), Remedy: remedyKeras})
}

// kerasZip reads config.json of a Keras 3 archive.
func (in *inspector) kerasZip(f file, members []zipMember, r *Report) {
	k := &kerasLayers{r: r, layers: map[string]float64{}}
	for _, m := range members {
		if m.name != "config.json" || m.data == 0 {
			continue
		}
		var src io.Reader = f.section(m.data, int64(m.compressed))
		if m.method == 8 {
			src = flate.NewReader(src)
		}
		text, more := in.take(src, maxWhole)
		var v any
		if more || json.Unmarshal(text, &v) != nil {
			r.Code = true
			r.add(Finding{Rule: "keras-config", Severity: High, Message: "config.json, which describes the layers, cannot be read", Remedy: "save the model again"})
			continue
		}
		k.walk(v)
	}
	r.fact("layers", plain(k.layers))
}

// walk visits every object of a description. encoding/json has bounded its depth.
func (k *kerasLayers) walk(v any) {
	switch x := v.(type) {
	case map[string]any:
		if name, ok := x["class_name"].(string); ok {
			k.class(name)
		}
		if name, ok := x["module"].(string); ok {
			k.module(name)
		}
		if name, ok := x["fn_module"].(string); ok {
			k.module(name)
		}
		for _, inner := range x {
			k.walk(inner)
		}
	case []any:
		for _, inner := range x {
			k.walk(inner)
		}
	}
}

// hdf5 looks for a Keras description in an HDF5 file. Attributes are never compressed and
// lie in one piece, so the description is found by its own words, without following the
// file's trees, which a hostile file could make go round in circles.
func (in *inspector) hdf5(f file, r *Report) {
	r.Format = FormatHDF5
	k := &kerasLayers{r: r, layers: map[string]float64{}}
	const step, over = 1 << 20, 1 << 10
	buf := make([]byte, step+over)
	for at := int64(0); at < f.size; at += step {
		n, _ := f.r.ReadAt(buf[:min(int64(len(buf)), f.size-at)], at)
		chunk := buf[:n]
		k.find(chunk, min(n, step), `class_name"`, k.class)
		k.find(chunk, min(n, step), `module"`, k.module)
		if hidden(chunk) {
			r.Code = true
			r.add(Finding{Rule: "keras-hidden", Severity: High, Message: `the description spells letters as \u00…, which no tool does: something is hidden`, Remedy: remedyAttack})
		}
	}
	if len(k.layers) > 0 {
		r.fact("layers", plain(k.layers))
	}
}

// find calls fn with the string behind each key that begins in the first n bytes.
func (k *kerasLayers) find(chunk []byte, n int, key string, fn func(string)) {
	for from := 0; from < n; {
		i := bytes.Index(chunk[from:], []byte(key))
		if i < 0 || from+i >= n {
			return
		}
		from += i + len(key)
		rest := bytes.TrimLeft(chunk[from:min(from+600, len(chunk))], " \t\r\n")
		if len(rest) == 0 || rest[0] != ':' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], " \t\r\n")
		if len(rest) == 0 || rest[0] != '"' {
			continue
		}
		if end := bytes.IndexByte(rest[1:], '"'); end >= 0 {
			fn(string(rest[1 : 1+end]))
		}
	}
}

// hidden finds an ASCII letter that is written as an escape of JSON.
func hidden(chunk []byte) bool {
	for from := 0; ; {
		i := bytes.Index(chunk[from:], []byte(`\u00`))
		if i < 0 || from+i+6 > len(chunk) {
			return false
		}
		from += i + 4
		a, b := chunk[from], chunk[from+1]
		if strings.IndexByte("4567", a) >= 0 && strings.IndexByte("0123456789abcdefABCDEF", b) >= 0 {
			return true
		}
	}
}
