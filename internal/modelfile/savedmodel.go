package modelfile

import (
	"fmt"
	"maps"
	"slices"
)

// savedModel reads f as a TensorFlow SavedModel (saved_model.proto: 1 schema version,
// 2 meta graphs) and reports whether it is one. Its graph is a program: some of its
// operators read and write files or call Python.
func (in *inspector) savedModel(f file, r *Report) bool {
	budget := int64(maxFields)
	top := &message{w: newWindow(f.r, f.size), end: f.size, budget: &budget}
	ops := map[string]int64{}
	schema, graphs := false, 0
	for {
		field, ok, err := top.next()
		if err != nil {
			return false
		}
		if !ok {
			break
		}
		switch {
		case field.number == 1 && field.wire == wireVarint && field.value < 1000:
			schema = true
		case field.number == 2 && field.wire == wireBytes:
			graphs++
			// MetaGraphDef.graph_def = 2
			if err := each(top.sub(field), 2, func(g *message) error { return graphDef(g, ops) }); err != nil {
				return false
			}
		default:
			return false
		}
	}
	if !schema || graphs == 0 || len(ops) == 0 {
		return false
	}
	r.Format, r.Code = FormatSavedModel, true
	r.fact("meta_graphs", float64(graphs))
	counts := map[string]any{}
	for op, n := range ops {
		if len(counts) < maxListed {
			counts[op] = float64(n)
		}
	}
	r.fact("operators", counts)
	for _, op := range slices.Sorted(maps.Keys(ops)) {
		if severity, does := dangerousOp(op); does != "" {
			r.add(Finding{Rule: "savedmodel-operator", Severity: severity, Message: fmt.Sprintf("the graph has the operator %s, which %s when the model runs", op, does),
				Remedy: "find who put it there; export the model without it, or to ONNX"})
		}
	}
	return true
}

// graphDef counts the operators of a GraphDef (node = 1, library = 2) and of its functions
// (FunctionDefLibrary.function = 1, FunctionDef.node_def = 3). NodeDef.op = 2.
func graphDef(m *message, ops map[string]int64) error {
	count := func(node *message) error {
		return fields(node, func(f field) error {
			if f.number == 2 && f.wire == wireBytes {
				if op := clip(node.text(f), 200); len(ops) < maxOperators || ops[op] > 0 {
					ops[op]++
				}
			}
			return nil
		})
	}
	return fields(m, func(f field) error {
		switch {
		case f.number == 1 && f.wire == wireBytes:
			return count(m.sub(f))
		case f.number == 2 && f.wire == wireBytes:
			return each(m.sub(f), 1, func(function *message) error { return each(function, 3, count) })
		}
		return nil
	})
}

// fields calls fn with each field of m.
func fields(m *message, fn func(field) error) error {
	for {
		f, ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if err := fn(f); err != nil {
			return err
		}
	}
}

// each calls fn with each message that is the numbered field of m.
func each(m *message, number int64, fn func(*message) error) error {
	return fields(m, func(f field) error {
		if f.number == number && f.wire == wireBytes {
			return fn(m.sub(f))
		}
		return nil
	})
}

// dangerousOp says what an operator of TensorFlow does outside its graph.
func dangerousOp(op string) (Severity, string) {
	switch op {
	case "PyFunc", "PyFuncStateless", "EagerPyFunc":
		return Critical, "calls Python"
	case "WriteFile", "WriteAudioSummary", "WriteImageSummary", "WriteRawProtoSummary", "CreateSummaryFileWriter", "CreateSummaryDbWriter", "DumpTensor":
		return Critical, "writes files"
	case "ReadFile", "WholeFileReader", "WholeFileReaderV2", "MatchingFiles", "FixedLengthRecordReaderV2", "TextLineReaderV2", "MatchingFilesDataset":
		return High, "reads files of the machine"
	case "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount":
		return High, "sends what it sees to an address in the graph"
	case "PrintV2":
		return Medium, "prints, and can be told to append to a file"
	}
	return "", ""
}
