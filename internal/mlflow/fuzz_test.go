package mlflow_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"caos/internal/mlflow"
)

func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"mlflow://h/m/1", "mlflow://h:5000/p/a%20b/3", "mlflow://u:p@h/m/1", "mlflow://h/%2e%2e/m/1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		src, err := mlflow.ParseSource(s)
		if err != nil {
			return
		}
		again, err := mlflow.ParseSource(src.String())
		if err != nil || again != src {
			t.Fatalf("%q: %+v, and from its own form %+v, %v", s, src, again, err)
		}
	})
}

// FuzzServer lets a server answer anything: what is believed of it stays in bounds.
func FuzzServer(f *testing.F) {
	for _, x := range readRecording(f).Exchanges {
		f.Add([]byte(x.Body), []byte(x.Body))
	}
	f.Add([]byte(`{"model_version":{"name":"m","version":1},"run":{"info":{"run_id":""}},"artifact_uri":"mlflow-artifacts:/a"}`), []byte(`{"files":[{"path":"MLmodel","file_size":9}]}`))
	f.Fuzz(func(t *testing.T, answer, listing []byte) {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/api/2.0/mlflow/") {
				_, _ = w.Write(answer)
				return
			}
			_, _ = w.Write(listing)
		}))
		defer srv.Close()
		src, err := mlflow.ParseSource("mlflow://" + strings.TrimPrefix(srv.URL, "http://") + "/m/1")
		if err != nil {
			t.Fatal(err)
		}
		c := mlflow.New(src, mlflow.Options{PlainHTTP: true, Limits: mlflow.Limits{Answer: 1 << 16, Files: 10, Folders: 5, Depth: 3, Total: 1 << 16}})
		defer c.Close()
		v, err := c.Version(t.Context(), src)
		if err != nil {
			return
		}
		if v.Name != "m" || v.Version != 1 || len(v.Files) == 0 || len(v.Files) > 10 || v.Size > 1<<16 {
			t.Errorf("%+v", v)
		}
		for _, f := range v.Files {
			for _, part := range strings.Split(f.Path, "/") {
				if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "\\\x00\n") {
					t.Errorf("%q", f.Path)
				}
			}
		}
	})
}
