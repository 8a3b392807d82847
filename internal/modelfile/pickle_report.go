package modelfile

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// The remedies of pickles say the same thing: take the data out of the program.
const (
	remedyAttack = "do not load this file; find out where it came from"
	remedyPickle = "save the weights alone (state_dict) or export to ONNX or safetensors; if the name is needed, have it reviewed and convert the file where that is safe"
)

// pickle scans f, which begins like one.
func (in *inspector) pickle(f file, r *Report) {
	s := scanSized(f.section(0, f.size), f.size)
	r.Format = FormatPickle
	s.report(r)
}

// streamPickle scans a pickle that lies compressed in an archive.
func streamPickle(src io.Reader, r *Report) {
	s := scanPickle(src)
	r.Format = FormatPickle
	s.report(r)
}

// oldPickle recognises protocols 0 and 1, which begin with nothing of their own: by an
// attack in it, or by being one from its first byte to its last.
func (in *inspector) oldPickle(f file, head []byte, r *Report) bool {
	if len(head) < 2 {
		return false
	}
	s := scanSized(f.section(0, f.size), f.size)
	whole := s.pickles > 0 && s.sound && s.stopped == "" && s.ops > 1
	if !whole && !s.attack() {
		return false
	}
	r.Format = FormatPickle
	s.report(r)
	return true
}

// attack reports whether what was read imports what no data needs.
func (s *pickleScan) attack() bool {
	for _, severity := range s.imports {
		if severity == Critical {
			return true
		}
	}
	return false
}

// report makes findings of a scan.
func (s *pickleScan) report(r *Report) {
	r.Code = true
	names := slices.Sorted(maps.Keys(s.imports))
	shown := []any{}
	for _, name := range names {
		if len(shown) < maxListed {
			shown = append(shown, clip(name, 200))
		}
		switch s.imports[name] {
		case Critical:
			r.add(Finding{Rule: "pickle-import", Severity: Critical, Message: fmt.Sprintf("loading it imports %s, which can run programs or reach the machine", clip(name, 200)), Remedy: remedyAttack})
		case High:
			r.add(Finding{Rule: "pickle-import", Severity: High, Message: fmt.Sprintf("loading it imports and may call %s, which is not known only to rebuild data", clip(name, 200)), Remedy: remedyPickle})
		case Medium:
			r.add(Finding{Rule: "pickle-class", Severity: Medium, Message: fmt.Sprintf("loading it makes an object of %s, which runs that library's code", clip(name, 200)), Remedy: remedyPickle})
		}
	}
	r.fact("protocol", float64(s.protocol))
	r.fact("pickles", float64(s.pickles))
	r.fact("imports", shown)
	if s.torchOld {
		r.fact("torch", "saved in the format of before 1.6")
	}
	if s.computed {
		r.add(Finding{Rule: "pickle-computed-import", Severity: Critical, Message: "it imports names that are put together only while it loads: something is hidden", Remedy: remedyAttack})
	}
	if s.extensions {
		r.add(Finding{Rule: "pickle-extension", Severity: High, Message: "it imports by number, through the extension registry of whoever loads it", Remedy: remedyPickle})
	}
	joblib := false
	if _, ok := s.imports["joblib.numpy_pickle.NumpyArrayWrapper"]; ok {
		joblib = true
	}
	switch {
	case s.limit:
		r.add(Finding{Rule: "pickle-too-long", Severity: High, Message: "it has more operations than are followed here", Remedy: remedyPickle})
	case s.stopped != "" && joblib:
		r.add(Finding{Rule: "pickle-joblib", Severity: High, Message: "joblib has put arrays into the middle of the pickle, so that it cannot be read to its end without loading it",
			Remedy: "export the model to ONNX, for example with skl2onnx"})
	case s.stopped != "" && s.pickles == 0:
		r.add(Finding{Rule: "pickle-broken", Severity: High, Message: fmt.Sprintf("it breaks off after %d bytes (%s); what stands before would have run", s.rest, s.stopped), Remedy: "make the file again"})
	case s.stopped != "":
		r.add(Finding{Rule: "pickle-trailing", Severity: Low, Message: "other bytes follow the pickle", Remedy: "nothing reads them as a pickle; make the file again if they should not be there"})
	}
}
