package main

import (
	"archive/zip"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// recordedExchange is what a real MLflow server answered; internal/mlflow recorded it.
type recordedExchange struct {
	Request string `json:"request"`
	Status  int    `json:"status"`
	Type    string `json:"type"`
	Body    string `json:"body"`
	Base64  bool   `json:"base64"`
}

// mlflowRecording reads the recording; its path is found before a session changes folders.
func mlflowRecording() (string, error) {
	return filepath.Abs(filepath.Join("..", "..", "internal", "mlflow", "testdata", "recorded.json"))
}

// mlflowServer replays a recorded server. With the token it asks for that one; with a
// change it answers differently.
func mlflowServer(file, token string, change func(path string, body []byte) []byte) (*httptest.Server, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var rec struct {
		Exchanges []recordedExchange `json:"exchanges"`
	}
	if err := json.Unmarshal(text, &rec); err != nil {
		return nil, err
	}
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token != "" && r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		for _, x := range rec.Exchanges {
			if x.Request != r.URL.RequestURI() {
				continue
			}
			body := []byte(x.Body)
			if x.Base64 {
				body, _ = base64.StdEncoding.DecodeString(x.Body)
			}
			w.Header().Set("Content-Type", x.Type)
			w.WriteHeader(x.Status)
			_, _ = w.Write(change(r.URL.Path, body))
			return
		}
		http.NotFound(w, r)
	})), nil
}

// mlflowCommand starts a replayed MLflow server and names it in an environment variable:
//
//	mlflow NAME [token TOKEN | short]
//
// With short it serves a byte less of model.pkl than it listed.
func mlflowCommand(recording string) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		if len(args) == 0 {
			ts.Fatalf("usage: mlflow NAME [token TOKEN | short]")
		}
		token := ""
		if len(args) == 3 && args[1] == "token" {
			token = args[2]
		}
		change := func(_ string, body []byte) []byte { return body }
		if len(args) == 2 && args[1] == "short" {
			change = func(path string, body []byte) []byte {
				if strings.HasSuffix(path, "/model.pkl") {
					return body[:len(body)-1]
				}
				return body
			}
		}
		srv, err := mlflowServer(recording, token, change)
		ts.Check(err)
		ts.Defer(srv.Close)
		ts.Setenv(args[0], strings.TrimPrefix(srv.URL, "http://"))
	}
}

// zipbombCommand writes an archive of a few kilobytes that unpacks to 64 MiB.
func zipbombCommand(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	z := zip.NewWriter(f)
	w, err := z.Create("weights.bin")
	ts.Check(err)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, err := w.Write(zeros)
		ts.Check(err)
	}
	ts.Check(z.Close())
	ts.Check(f.Close())
}

func TestRoles(t *testing.T) {
	rules, err := roleRules([]string{"data/*.onnx=inference", "*.csv=training-dataset"})
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		"MLmodel": "configuration", "conda.yaml": "configuration", "requirements.txt": "configuration", "python_env.yaml": "configuration",
		"model.pkl": "trained", "model.onnx": "trained", "data/model.pth": "trained", "data/model/saved_model.pb": "trained",
		"data/model/variables/variables.data-00000-of-00001": "trained", "data/x.onnx": "inference", "deep/in/a.csv": "training-dataset",
		"input_example.json": "other", "serving_input_example.json": "other", "code/train.py": "other", "components/tokenizer/tokenizer.json": "configuration",
		"config.json": "configuration", "README.md": "other", "model.json": "trained",
	}
	for name, want := range cases {
		if got := roleOf(name, nil, rules); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	for _, bad := range []string{"", "=other", "x", "x=nothing", "[=other"} {
		if _, err := roleRules([]string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestLaterDocument(t *testing.T) {
	for v, want := range map[string]string{"1.0": "1.1", "1.9": "1.10", "2": "2.1", "1.2.3": "1.3", "1.x": "1.1"} {
		if got := laterDocument(v); got != want {
			t.Errorf("after %s comes %s, want %s", v, got, want)
		}
	}
}
