package mlflow_test

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"caos/internal/mlflow"
)

const recordedFile = "testdata/recorded.json"

var record = flag.Bool("record", false, "write "+recordedFile+" anew from the server of CAOS_TEST_MLFLOW")

// recording is what a real server answered, scrubbed of the account that ran it.
type recording struct {
	Server    string     `json:"server"`
	Exchanges []exchange `json:"exchanges"`
}

type exchange struct {
	Request string `json:"request"` // path and query
	Status  int    `json:"status"`
	Type    string `json:"type"`
	Body    string `json:"body"`
	Base64  bool   `json:"base64,omitempty"` // of body
}

func (x exchange) bytes(t testing.TB) []byte {
	if !x.Base64 {
		return []byte(x.Body)
	}
	b, err := base64.StdEncoding.DecodeString(x.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func readRecording(t testing.TB) recording {
	t.Helper()
	text, err := os.ReadFile(recordedFile)
	if err != nil {
		t.Fatal(err)
	}
	var r recording
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// replay answers as the recorded server did.
func replay(t testing.TB) http.Handler {
	rec := readRecording(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, x := range rec.Exchanges {
			if x.Request == r.URL.RequestURI() {
				w.Header().Set("Content-Type", x.Type)
				w.WriteHeader(x.Status)
				_, _ = w.Write(x.bytes(t))
				return
			}
		}
		t.Errorf("nothing is recorded for %s", r.URL.RequestURI())
		http.NotFound(w, r)
	})
}

// serve starts h and returns the source of a version there.
func serve(t testing.TB, h http.Handler, nameAndVersion string) mlflow.Source {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	src, err := mlflow.ParseSource("mlflow://" + strings.TrimPrefix(srv.URL, "http://") + "/" + nameAndVersion)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func client(t testing.TB, src mlflow.Source, opt mlflow.Options) *mlflow.Client {
	t.Helper()
	opt.PlainHTTP = true
	c := mlflow.New(src, opt)
	t.Cleanup(c.Close)
	return c
}

// TestRecord writes the recording: testdata/log_model.py logged what it reads.
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("only with -record")
	}
	url := os.Getenv("CAOS_TEST_MLFLOW")
	rec := recording{Server: "MLflow " + string(fetch(t, url+"/version"))}
	var lock sync.Mutex
	tap := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := http.Get(url + r.URL.RequestURI())
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		text := strings.NewReplacer(`"root"`, `"analyst"`, strings.TrimPrefix(url, "http://"), "mlflow.example.org").Replace(string(body))
		x := exchange{Request: r.URL.RequestURI(), Status: res.StatusCode, Type: res.Header.Get("Content-Type"), Body: text}
		if !utf8.Valid(body) {
			x.Body, x.Base64 = base64.StdEncoding.EncodeToString(body), true
		}
		lock.Lock()
		rec.Exchanges = append(rec.Exchanges, x)
		lock.Unlock()
		w.WriteHeader(res.StatusCode)
		_, _ = w.Write(body)
	})
	for _, name := range []string{"flight-delay/1", "flight-delay/2", "flight-delay/9", "nobody/1"} {
		src := serve(t, tap, name)
		c := client(t, src, mlflow.Options{})
		v, err := c.Version(t.Context(), src)
		if err != nil {
			t.Log(name, err)
			continue
		}
		for _, f := range v.Files {
			if f.Path == "MLmodel" { // was read by Version
				continue
			}
			r, err := c.Open(t.Context(), v, f)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
	}
	text, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordedFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func fetch(t testing.TB, url string) []byte {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(url, res.Status, err)
	}
	return body
}
