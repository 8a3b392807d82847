package mlflow_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"caos"
	"caos/internal/mlflow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseSource(t *testing.T) {
	good := map[string]mlflow.Source{
		"mlflow://h/m/1": {Host: "h", Name: "m", Version: 1},
		"mlflow://Tracking.example.org:5000/m/12": {Host: "tracking.example.org:5000", Name: "m", Version: 12},
		"mlflow://h/a%20b/3/":                     {Host: "h", Name: "a b", Version: 3},
		"mlflow://h/team/mlflow/m/3":              {Host: "h", Prefix: "/team/mlflow", Name: "m", Version: 3},
		"mlflow://[::1]:5000/m/1":                 {Host: "[::1]:5000", Name: "m", Version: 1},
	}
	for s, want := range good {
		got, err := mlflow.ParseSource(s)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
		if again, err := mlflow.ParseSource(got.String()); err != nil || again != got {
			t.Errorf("%q: not the same from its own form %q: %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "m/1", "http://h/m/1", "mlflow:m/1", "mlflow:///m/1", "mlflow://h", "mlflow://h/", "mlflow://h/m", "mlflow://h/m/", "mlflow://h/m/0", "mlflow://h/m/-1",
		"mlflow://h/m/01", "mlflow://h/m/+1", "mlflow://h/m/latest", "mlflow://h/m/99999999999", "mlflow://u:p@h/m/1", "mlflow://u@h/m/1", "mlflow://h/m/1?x=1", "mlflow://h/m/1#x",
		"mlflow://h/a%2Fb/1", "mlflow://h/a:b/1", "mlflow://h/../m/1", "mlflow://h/%2e%2e/m/1", "mlflow://h/a%00b/1", "mlflow://h:0/m/1", "mlflow://h:99999/m/1", "mlflow://h/m%zz/1",
		"mlflow://h/" + strings.Repeat("a", 300) + "/1", "mlflow://h/" + strings.Repeat("a/", 2000) + "m/1",
	} {
		_, err := mlflow.ParseSource(s)
		e := caos.AsError(err)
		if err == nil || e.Kind != caos.Invalid || e.Field != "source" || e.Hint == "" {
			t.Errorf("%.60q: %v", s, err)
		}
	}
}

// TestVersion reads what a real server answered.
func TestVersion(t *testing.T) {
	src := serve(t, replay(t), "flight-delay/1")
	c := client(t, src, mlflow.Options{})
	v, err := c.Version(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if v.Name != "flight-delay" || v.Version != 1 || v.Status != "READY" || v.Stage != "" || v.Description == "" || v.CreatedAt.Year() < 2020 || v.Tag("validation") != "pending" || v.Tag("caos.model_id") != "NN-DLY-001" {
		t.Errorf("%+v", v)
	}
	if got := strings.Join(v.Flavors, " "); got != "python_function sklearn" {
		t.Errorf("flavors %s", got)
	}
	var names []string
	for _, f := range v.Files {
		names = append(names, f.Path)
	}
	if got := strings.Join(names, " "); got != "MLmodel conda.yaml input_example.json model.pkl python_env.yaml requirements.txt serving_input_example.json" {
		t.Errorf("files %s", got)
	}
	r := v.Run
	if r == nil || r.Name != "ridge-50k" || r.User != "analyst" || r.Status != "FINISHED" || len(r.Params) != 3 || r.Params[0] != (mlflow.Tag{Key: "alpha", Value: "1.0"}) {
		t.Fatalf("%+v", r)
	}
	metrics := map[string]string{}
	for _, m := range r.Metrics {
		metrics[m.Key] = string(m.Value)
	}
	if metrics["undefined"] != `"NaN"` || !strings.HasPrefix(metrics["mae_minutes"], "20.29") {
		t.Errorf("%v", metrics)
	}
	for _, f := range v.Files {
		body, err := c.Open(t.Context(), v, f)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(body)
		body.Close()
		if err != nil || int64(len(data)) != f.Size {
			t.Errorf("%s: %d bytes, %v", f.Path, len(data), err)
		}
	}
}

func TestSecondVersion(t *testing.T) {
	src := serve(t, replay(t), "flight-delay/2")
	v, err := client(t, src, mlflow.Options{}).Version(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(v.Flavors, "onnx") || v.Tag("caos.version") != "1.1.0" || !slices.Equal(v.Aliases, []string{"champion"}) {
		t.Errorf("%+v", v)
	}
}

func TestNotThere(t *testing.T) {
	for _, name := range []string{"flight-delay/9", "nobody/1"} {
		src := serve(t, replay(t), name)
		_, err := client(t, src, mlflow.Options{}).Version(t.Context(), src)
		if e := caos.AsError(err); e.Kind != caos.NotFound || e.Field != "source" || !strings.Contains(e.Message, "not found") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// server is one that answers well except where a test says otherwise.
type server map[string]http.HandlerFunc

func (s server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := s[strings.TrimPrefix(r.URL.Path, "/api/2.0/")]; h != nil {
		h(w, r)
		return
	}
	switch r.URL.Path {
	case "/api/2.0/mlflow/model-versions/get":
		_, _ = io.WriteString(w, `{"model_version":{"name":"m","version":"1","status":"READY","run_id":"r1"}}`)
	case "/api/2.0/mlflow/registered-models/get":
		_, _ = io.WriteString(w, `{"registered_model":{"name":"m"}}`)
	case "/api/2.0/mlflow/runs/get":
		_, _ = io.WriteString(w, `{"run":{"info":{"run_id":"r1"},"data":{}}}`)
	case "/api/2.0/mlflow/model-versions/get-download-uri":
		_, _ = io.WriteString(w, `{"artifact_uri":"mlflow-artifacts:/1/a"}`)
	case "/api/2.0/mlflow-artifacts/artifacts":
		_, _ = io.WriteString(w, `{"files":[{"path":"model.bin","is_dir":false,"file_size":4}]}`)
	case "/api/2.0/mlflow-artifacts/artifacts/1/a/model.bin":
		_, _ = io.WriteString(w, "abcd")
	default:
		http.NotFound(w, r)
	}
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hang sends some bytes and then nothing until the client has gone.
func hang(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if body != "" {
			_, _ = io.WriteString(w, body)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

// endless sends text over and over.
func endless(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
}

func entries(n int, entry string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, entry, i)
	}
	return `{"files":[` + b.String() + `]}`
}

func file(name string) string {
	text, _ := json.Marshal(map[string]any{"path": name, "is_dir": false, "file_size": 4})
	return `{"files":[` + string(text) + `]}`
}

// TestHostile shows that each thing a server can do ends with an error that names it, soon.
func TestHostile(t *testing.T) {
	const (
		version = "mlflow/model-versions/get"
		where   = "mlflow/model-versions/get-download-uri"
		runs    = "mlflow/runs/get"
		list    = "mlflow-artifacts/artifacts"
		bin     = "mlflow-artifacts/artifacts/1/a/model.bin"
	)
	elsewhere := httptest.NewServer(server{})
	t.Cleanup(elsewhere.Close)
	cases := []struct {
		name string
		at   server
		kind caos.Kind
		says string
	}{
		{"climbs out", server{list: says(200, file("../../etc/passwd"))}, caos.Invalid, "separator inside a name"},
		{"dot dot", server{list: says(200, file(".."))}, caos.Invalid, "leads out of its folder"},
		{"absolute", server{list: says(200, file("/etc/passwd"))}, caos.Invalid, "separator inside a name"},
		{"backslash", server{list: says(200, file(`a\b`))}, caos.Invalid, "separator inside a name"},
		{"nul", server{list: says(200, file("a\x00b"))}, caos.Invalid, "characters"},
		{"escape sequence", server{list: says(200, file("a\x1b[2Jb"))}, caos.Invalid, "characters"},
		{"no name", server{list: says(200, file(""))}, caos.Invalid, "empty part"},
		{"long name", server{list: says(200, file(strings.Repeat("a", 256)))}, caos.Invalid, "more than 255 bytes"},
		{"twice", server{list: says(200, entries(2, `{"path":"same","file_size":%d}`))}, caos.Invalid, "listed twice"},
		{"negative size", server{list: says(200, `{"files":[{"path":"a","file_size":-1}]}`)}, caos.Invalid, "no size"},
		{"fraction as size", server{list: says(200, `{"files":[{"path":"a","file_size":1.5}]}`)}, caos.Invalid, "as an MLflow tracking server does"},
		{"too many files", server{list: says(200, entries(60, `{"path":"f%d","file_size":1}`))}, caos.TooLarge, "more than 50 files"},
		{"folders without end", server{list: says(200, `{"files":[{"path":"deeper","is_dir":true}]}`)}, caos.TooLarge, "go deeper than"},
		{"folders that multiply", server{list: says(200, entries(9, `{"path":"d%d","is_dir":true}`))}, caos.TooLarge, "more than 20 folders"},
		{"too large", server{list: says(200, `{"files":[{"path":"a","file_size":99999999}]}`)}, caos.TooLarge, "more than 1048576 bytes"},
		{"sizes that overflow", server{list: says(200, entries(3, `{"path":"f%d","file_size":9223372036854775807}`))}, caos.TooLarge, "more than 1048576 bytes"},
		{"nothing there", server{list: says(200, `{}`)}, caos.NotFound, "has no files"},
		{"no JSON", server{version: says(200, "<html>welcome</html>")}, caos.Invalid, "as an MLflow tracking server does"},
		{"deep JSON", server{version: says(200, strings.Repeat("[", 20000))}, caos.Invalid, "as an MLflow tracking server does"},
		{"huge JSON", server{version: endless(`{"a":"` + strings.Repeat("x", 4096) + `"},`)}, caos.TooLarge, "more than 65536 bytes"},
		{"another version", server{version: says(200, `{"model_version":{"name":"m","version":"2"}}`)}, caos.Invalid, "another version"},
		{"another run", server{runs: says(200, `{"run":{"info":{"run_id":"r2"}}}`)}, caos.Invalid, "another run"},
		{"not ready", server{version: says(200, `{"model_version":{"name":"m","version":"1","status":"PENDING_REGISTRATION"}}`)}, caos.Conflict, "is not ready"},
		{"no number", server{runs: says(200, `{"run":{"info":{"run_id":"r1"},"data":{"metrics":[{"key":"k","value":"1; drop"}]}}}`)}, caos.Invalid, "no number"},
		{"files elsewhere", server{where: says(200, `{"artifact_uri":"s3://bucket/a"}`)}, caos.Invalid, "kind s3"},
		{"files on its disk", server{where: says(200, `{"artifact_uri":"file:///etc"}`)}, caos.Invalid, "kind file"},
		{"files of another host", server{where: says(200, `{"artifact_uri":"mlflow-artifacts://other.example.org/1/a"}`)}, caos.Invalid, "served by other.example.org"},
		{"files outside", server{where: says(200, `{"artifact_uri":"mlflow-artifacts:/1/../../secret"}`)}, caos.Invalid, "leads out of its folder"},
		{"files nowhere", server{where: says(200, `{"artifact_uri":"mlflow-artifacts:/"}`)}, caos.Invalid, "empty part"},
		{"no proxy", server{list: says(503, "Endpoint disabled due to the mlflow server running in `--no-serve-artifacts` mode.")}, caos.Invalid, "--no-serve-artifacts"},
		{"redirect elsewhere", server{version: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), http.StatusFound)
		}}, caos.Invalid, "redirects to another address"},
		{"redirect of a file", server{bin: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.RequestURI(), http.StatusFound)
		}}, caos.Invalid, "redirects to another address"},
		{"redirect for ever", server{version: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusFound)
		}}, caos.Invalid, "in circles"},
		{"who are you", server{version: says(401, "You are not authenticated.")}, caos.Unauthenticated, "401"},
		{"not for you", server{version: says(403, `{"message":"Permission denied"}`)}, caos.Denied, "Permission denied"},
		{"slow down", server{version: says(429, "")}, caos.Limited, "429"},
		{"broken", server{version: says(500, "oops")}, caos.Unavailable, "500"},
		{"controls in words", server{version: says(400, `{"message":"\u001b[31mred\nline"}`)}, caos.Invalid, "says:  [31mred line"},
		{"hangs", server{version: hang("")}, caos.Unavailable, "in time"},
		{"hangs inside", server{version: hang("{")}, caos.Unavailable, "sent nothing for"},
		{"file hangs", server{bin: hang("ab")}, caos.Unavailable, "sent nothing for"},
		{"file shorter", server{bin: says(200, "abc")}, caos.Invalid, "fewer than the 4 bytes"},
		{"file longer", server{bin: says(200, "abcde")}, caos.Invalid, "more than the 4 bytes"},
		{"file without end", server{bin: endless("abcd")}, caos.Invalid, "more than the 4 bytes"},
		{"file shorter, unannounced", server{bin: hangup("ab")}, caos.Invalid, "fewer than the 4 bytes"},
		{"file compressed", server{bin: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write([]byte("abcd"))
		}}, caos.Invalid, "compresses"},
		{"file gone", server{bin: says(404, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"No such artifact"}`)}, caos.NotFound, "No such artifact"},
	}
	limits := mlflow.Limits{Answer: 64 << 10, Files: 50, Folders: 20, Depth: 4, Total: 1 << 20, Header: 300 * time.Millisecond, Idle: 300 * time.Millisecond, Whole: 5 * time.Second}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			src := serve(t, tc.at, "m/1")
			c := client(t, src, mlflow.Options{Limits: limits})
			err := readAll(t.Context(), c, src)
			if e := caos.AsError(err); err == nil || e.Kind != tc.kind || !strings.Contains(e.Message, tc.says) || e.Field != "source" {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("well", func(t *testing.T) { // the seeds of the others are what fails them
		src := serve(t, server{}, "m/1")
		if err := readAll(t.Context(), client(t, src, mlflow.Options{Limits: limits}), src); err != nil {
			t.Error(err)
		}
	})
}

// hangup sends a body of no announced length, and ends it early.
func hangup(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
	}
}

// readAll reads a version and all of its files.
func readAll(ctx context.Context, c *mlflow.Client, src mlflow.Source) error {
	v, err := c.Version(ctx, src)
	if err != nil {
		return err
	}
	for _, f := range v.Files {
		r, err := c.Open(ctx, v, f)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// A run that was deleted takes nothing from the version.
func TestDeletedRun(t *testing.T) {
	src := serve(t, server{"mlflow/runs/get": says(404, `{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Run not found"}`)}, "m/1")
	v, err := client(t, src, mlflow.Options{}).Version(t.Context(), src)
	if err != nil || v.Run != nil || v.RunID != "r1" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestCancel(t *testing.T) {
	begun := make(chan bool)
	src := serve(t, server{"mlflow/runs/get": func(w http.ResponseWriter, r *http.Request) { close(begun); <-r.Context().Done() }}, "m/1")
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := client(t, src, mlflow.Options{}).Version(ctx, src); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Error(err)
	}
}

func TestCredentials(t *testing.T) {
	cases := []struct {
		opt  mlflow.Options
		want string
	}{
		{mlflow.Options{}, ""},
		{mlflow.Options{Username: "u", Password: "p", Token: "t"}, "Basic " + base64.StdEncoding.EncodeToString([]byte("u:p"))},
		{mlflow.Options{Username: "u", Token: "t"}, "Bearer t"},
		{mlflow.Options{Token: "t"}, "Bearer t"},
	}
	for _, tc := range cases {
		h := server{}
		src := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Authorization"); got != tc.want {
				t.Errorf("%+v: %q at %s", tc.opt, got, r.URL.Path)
			}
			h.ServeHTTP(w, r)
		}), "m/1")
		if err := readAll(t.Context(), client(t, src, tc.opt), src); err != nil {
			t.Error(err)
		}
	}
}

// Plain http has to be asked for, and an unknown authority to be named.
func TestTransport(t *testing.T) {
	src := serve(t, server{}, "m/1")
	c := mlflow.New(src, mlflow.Options{})
	defer c.Close()
	_, err := c.Version(t.Context(), src)
	if e := caos.AsError(err); e.Kind != caos.Invalid || !strings.Contains(e.Hint, "--insecure-http") {
		t.Errorf("%v", err)
	}
	tls := httptest.NewUnstartedServer(server{})
	tls.Config.ErrorLog = nil
	tls.StartTLS()
	defer tls.Close()
	src, err = mlflow.ParseSource("mlflow://" + strings.TrimPrefix(tls.URL, "https://") + "/m/1")
	if err != nil {
		t.Fatal(err)
	}
	c = mlflow.New(src, mlflow.Options{})
	defer c.Close()
	_, err = c.Version(t.Context(), src)
	if e := caos.AsError(err); e.Kind != caos.Invalid || !strings.Contains(e.Hint, "MLFLOW_TRACKING_SERVER_CERT_PATH") {
		t.Errorf("%v", err)
	}
	src, _ = mlflow.ParseSource("mlflow://127.0.0.1:1/m/1")
	c = mlflow.New(src, mlflow.Options{})
	defer c.Close()
	if _, err = c.Version(t.Context(), src); caos.KindOf(err) != caos.Unavailable {
		t.Errorf("%v", err)
	}
}

// TestLive makes a version with a folder on a real server, reads it, and removes it:
//
//	mlflow server --port 5000 --backend-store-uri sqlite:///mlflow.db --artifacts-destination ./artifacts
//	CAOS_TEST_MLFLOW=http://127.0.0.1:5000 go test ./internal/mlflow -run TestLive
func TestLive(t *testing.T) {
	base := os.Getenv("CAOS_TEST_MLFLOW")
	if base == "" {
		t.Skip("CAOS_TEST_MLFLOW names no MLflow tracking server")
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	l := live{t, base, "caos-live-" + suffix(t)}
	run := l.prepare()
	src, err := mlflow.ParseSource("mlflow://" + strings.TrimPrefix(strings.TrimPrefix(base, "http://"), "https://") + "/" + l.name + "/1")
	if err != nil {
		t.Fatal(err)
	}
	c := mlflow.New(src, mlflow.Options{PlainHTTP: strings.HasPrefix(base, "http://"), Username: os.Getenv("MLFLOW_TRACKING_USERNAME"), Password: os.Getenv("MLFLOW_TRACKING_PASSWORD")})
	defer c.Close()
	v, err := c.Version(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	if v.Run == nil || v.Run.RunID != run || len(v.Run.Metrics) != 1 || len(v.Run.Params) != 1 || v.Tag("purpose") != "test" || strings.Join(v.Flavors, " ") != "onnx" {
		t.Errorf("%+v %+v", v, v.Run)
	}
	for _, f := range v.Files {
		r, err := c.Open(t.Context(), v, f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if want := l.files()[f.Path]; err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes of %d, %v", f.Path, len(got), len(want), err)
		}
	}
	if len(v.Files) != len(l.files()) {
		t.Errorf("%v", v.Files)
	}
}

func suffix(t *testing.T) string {
	b := make([]byte, 4)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// live speaks to a real server.
type live struct {
	t          *testing.T
	base, name string
}

func (l live) files() map[string][]byte {
	return map[string][]byte{"MLmodel": []byte("flavors:\n  onnx:\n    data: model.onnx\n"), "model.onnx": bytes.Repeat([]byte("0123456789abcdef"), 1<<16), "code/deep er/ä.py": []byte("pass\n")}
}

func (l live) prepare() (run string) {
	var x struct {
		ID string `json:"experiment_id"`
	}
	l.call(http.MethodPost, "mlflow/experiments/create", map[string]any{"name": l.name}, &x)
	var r struct {
		Run struct {
			Info struct {
				ID  string `json:"run_id"`
				URI string `json:"artifact_uri"`
			} `json:"info"`
		} `json:"run"`
	}
	l.call(http.MethodPost, "mlflow/runs/create", map[string]any{"experiment_id": x.ID, "start_time": 1}, &r)
	run = r.Run.Info.ID
	l.call(http.MethodPost, "mlflow/runs/log-metric", map[string]any{"run_id": run, "key": "mae", "value": 1.25, "timestamp": 1}, nil)
	l.call(http.MethodPost, "mlflow/runs/log-parameter", map[string]any{"run_id": run, "key": "alpha", "value": "1"}, nil)
	for name, data := range l.files() {
		l.send(http.MethodPut, "mlflow-artifacts/artifacts/"+strings.TrimPrefix(r.Run.Info.URI, "mlflow-artifacts:/")+"/model/"+strings.ReplaceAll(name, " ", "%20"), bytes.NewReader(data), nil)
	}
	l.call(http.MethodPost, "mlflow/registered-models/create", map[string]any{"name": l.name}, nil)
	l.call(http.MethodPost, "mlflow/model-versions/create", map[string]any{"name": l.name, "source": r.Run.Info.URI + "/model", "run_id": run, "tags": []map[string]string{{"key": "purpose", "value": "test"}}}, nil)
	l.t.Cleanup(func() {
		l.call(http.MethodDelete, "mlflow/registered-models/delete", map[string]any{"name": l.name}, nil)
		l.call(http.MethodPost, "mlflow/experiments/delete", map[string]any{"experiment_id": x.ID}, nil)
	})
	return run
}

func (l live) call(method, path string, body, into any) {
	l.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	l.send(method, path, bytes.NewReader(text), into)
}

func (l live) send(method, path string, body *bytes.Reader, into any) {
	l.t.Helper()
	req, err := http.NewRequest(method, l.base+"/api/2.0/"+path, body)
	if err != nil {
		l.t.Fatal(err)
	}
	if body.Len() < 1<<16 {
		req.Header.Set("Content-Type", "application/json")
	}
	if user := os.Getenv("MLFLOW_TRACKING_USERNAME"); user != "" {
		req.SetBasicAuth(user, os.Getenv("MLFLOW_TRACKING_PASSWORD"))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		l.t.Fatalf("%s %s: %s %s", method, path, strconv.Itoa(res.StatusCode), text)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			l.t.Fatal(err)
		}
	}
}
