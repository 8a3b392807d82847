package importer_test

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"caos"
	"caos/examples/programme"
	"caos/internal/importer"
)

// placed is how a refusal of a file begins.
var placed = regexp.MustCompile(`^f, line [1-9][0-9]*, column [1-9][0-9]*: .`)

// readsOrRefuses checks that a file is read, or refused with a place and a kind, and that
// reading it again gives the same.
func readsOrRefuses(t *testing.T, data []byte) {
	p, err := importer.Read("f", data)
	if err == nil {
		if p.Entries() == 0 {
			t.Error("a file without an entry is read")
		}
		again, err := importer.Read("f", data)
		if err != nil || again.Entries() != p.Entries() || again.Kind != p.Kind || again.Digest != p.Digest {
			t.Errorf("read again: %v", err)
		}
		return
	}
	var e *caos.Error
	if !errors.As(err, &e) || p != nil || e.Kind != caos.Invalid && e.Kind != caos.TooLarge {
		t.Fatalf("%v, %v", p, err)
	}
	if len(data) <= importer.MaxBytes && !placed.MatchString(e.Message) {
		t.Errorf("no place: %s", e.Message)
	}
	if strings.ContainsAny(e.Field, "\n\x00") {
		t.Errorf("field %q", e.Field)
	}
}

// FuzzRegistry reads what may be a registry.
func FuzzRegistry(f *testing.F) {
	f.Add(file(f, programme.Registry))
	for _, s := range []string{
		`{"models":[]}`, `{"registry_metadata":{}}`, `{"models":[{"model_id":"NN-A-001"}]}`, `{"models":[{"a":1,"a":2}]}`, `[`, `{"a":{"b":[{"c":`,
		`{"models":[{"model_id":"NN-A-001","model_name":"x","version":"1.0.0","safety_level":"DAL-A","x":[1e400]}]}`, "{\"\\ud800\":1}", `{"a\u0000":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 0 && data[0] != '{' {
			data = append([]byte("{"), data...)
		}
		readsOrRefuses(t, data)
	})
}

// FuzzMatrix reads what may be the rows of a traceability matrix.
func FuzzMatrix(f *testing.F) {
	fuzzTable(f, file(f, programme.Traceability))
}

// FuzzReadiness reads what may be the rows of a readiness table.
func FuzzReadiness(f *testing.F) {
	fuzzTable(f, file(f, programme.Readiness))
}

func fuzzTable(f *testing.F, real []byte) {
	header, rows, _ := strings.Cut(string(real), "\n")
	f.Add(header, rows)
	f.Add(header, `"A",B,C,D,IMPL,"x""y,`+"\n"+`z",ACTIVE,,`)
	f.Add("\xef\xbb\xbf"+header+",More", "A,B,C,D,E,F,G,H,I,J")
	f.Add(header+"\r", "\r\n=,@,+,-\r\n")
	f.Add(strings.ReplaceAll(header, ",", "\t"), `a"b`)
	f.Add("Source_ID", "\n\n\n\"")
	f.Fuzz(func(t *testing.T, header, rows string) { readsOrRefuses(t, []byte(header+"\n"+rows)) })
}
