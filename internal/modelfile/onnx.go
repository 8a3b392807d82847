package modelfile

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"caos"
)

// ONNX is the outside of an ONNX model: what it takes, what it gives, what it is made of.
type ONNX struct {
	IRVersion       int64             `json:"ir_version"`
	Opsets          []Opset           `json:"opset_imports"`
	Producer        string            `json:"producer,omitempty"`
	ProducerVersion string            `json:"producer_version,omitempty"`
	Domain          string            `json:"domain,omitempty"`
	ModelVersion    int64             `json:"model_version,omitempty"`
	Description     string            `json:"description,omitempty"` // at most 4 KiB of it
	Graph           string            `json:"graph,omitempty"`
	Inputs          []Tensor          `json:"inputs"` // without those that only name an initializer
	Outputs         []Tensor          `json:"outputs"`
	Operators       map[string]int64  `json:"operators"` // "Gemm", or "domain:Name" outside the default domain; subgraphs and functions included
	Nodes           int64             `json:"nodes"`
	Initializers    int64             `json:"initializers"`
	Parameters      int64             `json:"parameters"`              // elements of all initializers
	Constants       int64             `json:"constants,omitempty"`     // elements of the tensors of nodes: some exporters keep the weights there
	NotANumber      int64             `json:"not_a_number,omitempty"`  // NaN among the floating-point weights that lie in the file
	Infinite        int64             `json:"infinite,omitempty"`      // infinities among them
	External        []string          `json:"external_data,omitempty"` // other files that hold weights, as the model names them
	Metadata        map[string]string `json:"metadata,omitempty"`
	Findings        []Finding         `json:"-"`
}

// Opset is a set of operators in a version; the domain "" is ONNX's own.
type Opset struct {
	Domain  string `json:"domain"`
	Version int64  `json:"version"`
}

// Tensor is an input or output. A dimension is a number ("3"), a name ("batch") or "?".
type Tensor struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`  // "float", "int64", … or "sequence", "map", "optional", "sparse"
	Shape []string `json:"shape"` // nil when none is stated, empty for a single number
}

// The bounds of an ONNX model.
const (
	maxFields    = 20_000_000 // of all messages of a model; the largest have some millions
	maxGraphs    = 32         // graphs within graphs: the branches of If, the body of Loop
	maxOperators = 10_000     // different ones
	maxEnds      = 10_000     // inputs and outputs
	maxDims      = 64
)

// ReadONNX reads the outside of an ONNX model: of the weights it reads only whether they
// are numbers. It refuses, with an Invalid error that says where, what does not parse.
// Source: onnx.proto3 of ONNX 1.19 (IR version 13); later fields are read over.
func ReadONNX(ctx context.Context, r io.ReaderAt, size int64) (*ONNX, error) {
	w := &watched{ctx: ctx, r: r}
	o, err := readONNX(w, size)
	if w.err != nil {
		return nil, w.err
	}
	return o, err
}

func readONNX(r io.ReaderAt, size int64) (*ONNX, error) {
	if size <= 0 {
		return nil, caos.Errorf(caos.Invalid, "the file is empty")
	}
	budget := int64(maxFields)
	o := &onnxReader{w: newWindow(r, size), ONNX: &ONNX{Operators: map[string]int64{}}}
	top := &message{w: o.w, end: size, budget: &budget}
	if err := o.model(top); err != nil {
		return nil, caos.Wrap(caos.Invalid, nil, "this is no ONNX model: %s", messageOf(err)).
			WithHint("export the model again; a file that was cut off or is in another format looks like this")
	}
	o.judge()
	return o.ONNX, nil
}

// onnxReader collects what the messages say.
type onnxReader struct {
	*ONNX
	w          *window
	graphs     int
	names      map[string]bool // inputs that an initializer may give a value
	inputs     []Tensor
	badTensors []string
}

func (o *onnxReader) add(f Finding) {
	if len(o.Findings) < maxFindings && !slices.Contains(o.Findings, f) {
		o.Findings = append(o.Findings, f)
	}
}

// model reads a ModelProto.
func (o *onnxReader) model(m *message) error {
	for {
		f, ok, err := m.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if want := onnxWire(f.number); want >= 0 && want != f.wire {
			return malformed(m.at, "field %d of the model has the wire type %d", f.number, f.wire)
		}
		switch f.number {
		case 1:
			o.IRVersion = int64(f.value)
		case 2:
			o.Producer = clip(m.text(f), 200)
		case 3:
			o.ProducerVersion = clip(m.text(f), 200)
		case 4:
			o.Domain = clip(m.text(f), 200)
		case 5:
			o.ModelVersion = int64(f.value)
		case 6:
			o.Description = clip(m.text(f), maxText)
		case 7:
			if o.graphs++; o.graphs > 1 {
				continue // judged below: readers disagree about two
			}
			err = o.mainGraph(m, f)
		case 8:
			err = o.opset(m.sub(f))
		case 14:
			err = o.metadata(m.sub(f))
		case 25:
			err = o.nodesOf(m.sub(f), 7, 0) // a FunctionProto's nodes
		}
		if err != nil {
			return err
		}
	}
	switch {
	case o.graphs == 0:
		return malformed(m.end, "it has no graph")
	case o.IRVersion <= 0 || o.IRVersion > 1000:
		return malformed(m.end, "it states no version of its format")
	}
	return nil
}

// onnxWire is the wire type of a known field of a ModelProto, -1 for others.
func onnxWire(number int64) int {
	switch number {
	case 1, 5:
		return wireVarint
	case 2, 3, 4, 6, 7, 8, 14, 20, 25, 26:
		return wireBytes
	}
	return -1
}

func (o *onnxReader) opset(m *message) error {
	var s Opset
	for {
		f, ok, err := m.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		switch {
		case f.number == 1 && f.wire == wireBytes:
			s.Domain = clip(m.text(f), 200)
		case f.number == 2 && f.wire == wireVarint:
			s.Version = int64(f.value)
		}
	}
	if s.Domain == "ai.onnx" { // an old name of the default domain
		s.Domain = ""
	}
	if len(o.Opsets) < maxListed {
		o.Opsets = append(o.Opsets, s)
	}
	return nil
}

// pairs reads a message of a key and a value.
func pairs(m *message) (key, value string, err error) {
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return key, value, err
		}
		switch {
		case f.number == 1 && f.wire == wireBytes:
			key = m.text(f)
		case f.number == 2 && f.wire == wireBytes:
			value = m.text(f)
		}
	}
}

func (o *onnxReader) metadata(m *message) error {
	key, value, err := pairs(m)
	if err == nil && len(o.Metadata) < 50 {
		if o.Metadata == nil {
			o.Metadata = map[string]string{}
		}
		o.Metadata[clip(key, 200)] = clip(value, 500)
	}
	return err
}

// mainGraph reads the model's graph, its ends first: an input that is also an initializer
// is a constant that a caller may replace, and the initializers stand before the inputs.
func (o *onnxReader) mainGraph(m *message, field field) error {
	o.names = map[string]bool{}
	for g := m.sub(field); ; {
		f, ok, err := g.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if f.wire != wireBytes {
			continue
		}
		switch f.number {
		case 2:
			o.Graph = clip(g.text(f), 200)
		case 11, 12:
			t, err := o.valueInfo(g.sub(f))
			if err != nil {
				return err
			}
			if len(o.inputs)+len(o.Outputs) >= maxEnds {
				return malformed(f.from, "more than %d inputs and outputs", maxEnds)
			}
			if f.number == 12 {
				o.Outputs = append(o.Outputs, t)
				continue
			}
			o.inputs = append(o.inputs, t)
			o.names[t.Name] = false
		}
	}
	if err := o.graph(m.sub(field), 0); err != nil {
		return err
	}
	for _, t := range o.inputs {
		if !o.names[t.Name] {
			o.Inputs = append(o.Inputs, t)
		}
	}
	return nil
}

// graph reads the nodes and tensors of a GraphProto.
func (o *onnxReader) graph(m *message, depth int) error {
	if depth > maxGraphs {
		return malformed(m.at, "graphs within graphs, more than %d deep", maxGraphs)
	}
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if f.wire != wireBytes {
			continue
		}
		switch f.number {
		case 1:
			err = o.node(m.sub(f), depth)
		case 5:
			err = o.tensor(m.sub(f), true)
		case 15:
			err = o.sparse(m.sub(f))
		}
		if err != nil {
			return err
		}
	}
}

// nodesOf reads the nodes that are the numbered field of a message.
func (o *onnxReader) nodesOf(m *message, number int64, depth int) error {
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if f.number == number && f.wire == wireBytes {
			if err := o.node(m.sub(f), depth); err != nil {
				return err
			}
		}
	}
}

func (o *onnxReader) node(m *message, depth int) error {
	var op, domain string
	for {
		f, ok, err := m.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if f.wire != wireBytes {
			continue
		}
		switch f.number {
		case 4:
			op = clip(m.text(f), 200)
		case 7:
			domain = clip(m.text(f), 200)
		case 5:
			if err := o.attribute(m.sub(f), depth); err != nil {
				return err
			}
		}
	}
	o.Nodes++
	name := op
	if domain != "" && domain != "ai.onnx" {
		name = domain + ":" + op
	}
	if op == "" {
		return malformed(m.end, "a node without an operator")
	}
	if _, known := o.Operators[name]; !known && len(o.Operators) >= maxOperators {
		return malformed(m.end, "more than %d different operators", maxOperators)
	}
	o.Operators[name]++
	return nil
}

// attribute reads the tensors and graphs of an AttributeProto.
func (o *onnxReader) attribute(m *message, depth int) error {
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if f.wire != wireBytes {
			continue
		}
		switch f.number {
		case 5, 10:
			err = o.tensor(m.sub(f), false)
		case 6, 11:
			err = o.graph(m.sub(f), depth+1)
		case 22, 23:
			err = o.sparse(m.sub(f))
		}
		if err != nil {
			return err
		}
	}
}

func (o *onnxReader) sparse(m *message) error {
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if (f.number == 1 || f.number == 2) && f.wire == wireBytes {
			if err := o.tensor(m.sub(f), f.number == 1); err != nil {
				return err
			}
		}
	}
}

// valueInfo reads a name, a type and a shape.
func (o *onnxReader) valueInfo(m *message) (t Tensor, err error) {
	t.Type = "unstated"
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return t, err
		}
		if f.wire != wireBytes {
			continue
		}
		switch f.number {
		case 1:
			t.Name = clip(m.text(f), maxNameBytes)
		case 2:
			if err := o.typeOf(m.sub(f), &t); err != nil {
				return t, err
			}
		}
	}
}

func (o *onnxReader) typeOf(m *message, t *Tensor) error {
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if f.wire != wireBytes {
			continue
		}
		switch f.number {
		case 1:
			err = o.tensorType(m.sub(f), t)
		case 4:
			t.Type = "sequence"
		case 5:
			t.Type = "map"
		case 8:
			t.Type = "sparse"
		case 9:
			t.Type = "optional"
		}
		if err != nil {
			return err
		}
	}
}

func (o *onnxReader) tensorType(m *message, t *Tensor) error {
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		switch {
		case f.number == 1 && f.wire == wireVarint:
			t.Type = elementName(f.value)
		case f.number == 2 && f.wire == wireBytes:
			if t.Shape, err = o.shape(m.sub(f)); err != nil {
				return err
			}
		}
	}
}

func (o *onnxReader) shape(m *message) ([]string, error) {
	dims := []string{}
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return dims, err
		}
		if f.number != 1 || f.wire != wireBytes {
			continue
		}
		dim := "?"
		for d := m.sub(f); ; {
			part, ok, err := d.next()
			if err != nil {
				return dims, err
			}
			if !ok {
				break
			}
			switch {
			case part.number == 1 && part.wire == wireVarint:
				dim = itoa(int64(part.value))
			case part.number == 2 && part.wire == wireBytes && part.to > part.from:
				dim = clip(d.text(part), 100)
			}
		}
		if len(dims) == maxDims {
			return dims, malformed(m.at, "a shape of more than %d dimensions", maxDims)
		}
		dims = append(dims, dim)
	}
}

// judge makes findings of what was read.
func (o *onnxReader) judge() {
	if o.graphs > 1 {
		o.add(Finding{Rule: "onnx-two-graphs", Severity: High, Message: "the model has more than one graph: readers disagree about which counts", Remedy: "export the model again"})
	}
	if len(o.Outputs) == 0 || o.Nodes == 0 {
		o.add(Finding{Rule: "onnx-no-result", Severity: High, Message: fmt.Sprintf("the graph has %d nodes and %d outputs: it computes nothing", o.Nodes, len(o.Outputs)),
			Remedy: "export the model again, with its outputs"})
	}
	if len(o.Opsets) == 0 {
		o.add(Finding{Rule: "onnx-no-opset", Severity: Medium, Message: "the model does not say which version of the operators it means", Remedy: "export the model with a current exporter"})
	}
	for _, name := range o.badTensors {
		o.add(Finding{Rule: "onnx-tensor-size", Severity: High, Message: fmt.Sprintf("the tensor %q holds another number of bytes than its shape needs", name), Remedy: "export the model again: this file is damaged"})
	}
	if o.NotANumber > 0 {
		o.add(Finding{Rule: "onnx-nan", Severity: Medium, Message: fmt.Sprintf("among its weights are some that are not a number: %d", o.NotANumber), Remedy: "find the training step that diverged"})
	}
	for _, place := range o.External {
		if outside(place) {
			o.add(Finding{Rule: "onnx-external-outside", Severity: Critical, Message: fmt.Sprintf("weights are to be read from %q, outside the model's folder: loading it would read another file of the machine", place),
				Remedy: "save the model with its weights inside, or beside it"})
		} else {
			o.add(Finding{Rule: "onnx-external", Severity: Medium, Message: fmt.Sprintf("weights lie in another file, %q: this file is not the whole model", place), Remedy: "attach that file too, or save the model in one file"})
		}
	}
	for name := range o.Operators {
		domain, op, ok := strings.Cut(name, ":")
		switch {
		case !ok || slices.Contains([]string{"ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training"}, domain):
		case op == "PyOp" || op == "PythonOp" || op == "PythonOpGrad":
			o.add(Finding{Rule: "onnx-python", Severity: Critical, Message: fmt.Sprintf("the operator %s calls Python", name), Remedy: "replace the operator by ones of ONNX"})
		case domain == "com.microsoft" || domain == "com.microsoft.nchwc" || domain == "com.ms.internal.nhwc":
			o.add(Finding{Rule: "onnx-runtime-operator", Severity: Low, Message: fmt.Sprintf("the operator %s is one of ONNX Runtime alone", name), Remedy: "name that runtime and its version in the model's documents"})
		default:
			o.custom(domain, name)
		}
	}
	slices.SortFunc(o.Findings, func(a, b Finding) int { return strings.Compare(a.Rule+a.Message, b.Rule+b.Message) })
}

// custom is an operator of a domain that is not ONNX's: a function in the file defines it,
// or a library that the file does not bring.
func (o *onnxReader) custom(domain, name string) {
	o.add(Finding{Rule: "onnx-custom-operator", Severity: Medium, Message: fmt.Sprintf("the operator %s is of the domain %q, which is not ONNX's", name, domain),
		Remedy: "say in the model's documents which library brings it, and have that reviewed"})
}

// outside reports whether a path leaves the folder that it is relative to.
func outside(p string) bool {
	p = strings.ReplaceAll(p, `\`, "/")
	if p == "" || strings.HasPrefix(p, "/") || len(p) > 1 && p[1] == ':' || strings.Contains(p, "://") || strings.ContainsRune(p, 0) {
		return true
	}
	return slices.Contains(strings.Split(p, "/"), "..")
}

// onnx reads f as ONNX and reports whether it is.
func (in *inspector) onnx(f file, r *Report) bool {
	o, err := readONNX(f.r, f.size)
	if err != nil {
		return false
	}
	r.Format = FormatONNX
	r.Summary = plain(o)
	for _, found := range o.Findings {
		r.add(found)
		r.Code = r.Code || found.Rule == "onnx-python"
	}
	return true
}
