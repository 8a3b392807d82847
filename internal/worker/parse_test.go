package worker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

const aJob = `{"memory_bytes":268435456,"threads":1,"temp_bytes":0,"variables":{"a":"2001-01-01T00:00:00Z"},
"inputs":[{"name":"a","files":["in/x.csv"],"format":"csv","csv":{"delimiter":";"},"columns":[{"name":"id","type":"DECIMAL(10,2)[]"}]}],
"steps":[{"name":"b","sql":"SELECT 1"}],"outputs":[{"name":"o","from":"b","format":"parquet"}],"queries":[{"name":"q","sql":"SELECT 1","max_rows":5}]}`

// FuzzParseJob: whatever passes has names that can be part of a path and of SQL, and
// passes again as it was written.
func FuzzParseJob(f *testing.F) {
	for _, seed := range []string{aJob, "", "{}", "[]", `{"memory_bytes":-1}`, strings.Replace(aJob, "in/x.csv", "../x", 1), strings.Replace(aJob, `"o"`, `"../o"`, 1), strings.Repeat("[", 20_000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		job, err := ParseJob(text)
		if err != nil {
			var failure *Failure
			if !errors.As(err, &failure) || failure.Kind != KindRefused || failure.Message == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		for _, in := range job.Inputs {
			for _, name := range in.Files {
				if strings.HasPrefix(name, "/") || strings.Contains("/"+name+"/", "/../") || strings.ContainsAny(name, "*?[]'\x00\n") {
					t.Errorf("file %q", name)
				}
			}
		}
		for _, o := range job.Outputs {
			if o.Name == "." || o.Name == ".." || strings.ContainsAny(o.Name, "/\\\x00") {
				t.Errorf("output %q", o.Name)
			}
		}
		again, err := json.Marshal(job)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseJob(again); err != nil {
			t.Errorf("%s does not pass again: %v", again, err)
		}
	})
}

// FuzzParseEvent: whatever passes is bounded, and can be compared with its job.
func FuzzParseEvent(f *testing.F) {
	for _, seed := range []string{
		`{"progress":{"phase":"step","name":"x","rows":1,"bytes":2,"total_bytes":3,"percent":50.5}}`, `{"failure":{"kind":"sql","message":"x","line":-1}}`,
		`{"result":{"inputs":[{"name":"a","rows":1,"rejected":0,"bytes":1,"columns":[]}],"steps":[{"name":"b","rows":-1,"columns":null,"seconds":1e9}],"outputs":[{"name":"o","rows":1,"bytes":1,"columns":[],"files":[]}],"queries":{"q":{"columns":[{"name":"x"}],"rows":[[1]]}},"peak_bytes":1,"seconds":1}}`,
		`{}`, `null`, `[`, `{"result":null}`, `{"result":{"queries":{"q":null}}}`, "{\"failure\":{\"kind\":\"\\u0000\"}}",
	} {
		f.Add([]byte(seed))
	}
	job, err := ParseJob([]byte(aJob))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := parseEvent(line)
		if err != nil {
			return
		}
		if e.Failure != nil && (len(e.Failure.Message) > maxTold+10 || e.Failure.Kind == "" || e.Failure.Line < 0) {
			t.Errorf("%+v", e.Failure)
		}
		if e.Result != nil {
			_ = e.Result.fits(job)
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := newLines(bytes.NewReader(text))
		var got [][]byte
		for {
			line, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, append([]byte(nil), line...))
		}
		want := bytes.Split(text, []byte("\n"))
		want = want[:len(want)-1]
		if len(got) != len(want) {
			t.Fatalf("%d lines of %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Errorf("%q is not %q", got[i], want[i])
			}
		}
	})
}

func TestTailKeepsBothEnds(t *testing.T) {
	w := &tail{limit: 4}
	for _, s := range []string{"ab", "cdef", "ghijkl"} {
		_, _ = w.Write([]byte(s))
	}
	if got := w.String(); got != "abcd\n…\nijkl" {
		t.Errorf("%q", got)
	}
}

func TestFailuresAreReadable(t *testing.T) {
	f := &Failure{Kind: KindInput, Phase: PhaseInput, Name: "flights", File: "in/a.csv", Line: 3, Message: "bad"}
	if got := f.Error(); got != "input flights, in/a.csv, line 3: bad" {
		t.Error(got)
	}
	for _, kind := range []string{KindSQL, KindInput, KindSchema, KindRefused, KindMemory, KindDisk, KindTime, KindCrash, KindCancelled, KindUnavailable} {
		f.Kind = kind
		if rule, message, hint := f.Finding(); rule != "worker-"+kind || message == "" || hint == "" {
			t.Errorf("%s: %q %q %q", kind, rule, message, hint)
		}
	}
}
