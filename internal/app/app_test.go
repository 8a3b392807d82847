package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"caos/internal/auditlog"
	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/db/dbtest"
)

// node is a running installation with the way in of its administrator.
type node struct {
	*App
	t     *testing.T
	cfg   Config
	token string
	http  *http.Client
}

// patient gives writes the time that a busy machine needs.
func patient(c *Config) { c.WriteBudget = "20s" }

func launch(t *testing.T, dialect db.Dialect) *node {
	t.Helper()
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "data")
	t.Cleanup(func() { _ = baseline.RemoveAll(dir) }) // baselines are read-only, which t.TempDir cannot remove
	o := InitOptions{DataDir: dir, Config: patient, Listen: "127.0.0.1:0"}
	if dialect == db.PostgreSQL {
		o.Database = dbtest.URL(t, dialect)
	}
	res, err := Init(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(dir, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, cfg: cfg, token: res.Token, App: New(cfg, nil, "test")}
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := n.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	ca, err := os.ReadFile(res.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	n.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}, Timeout: 30 * time.Second}
	return n
}

func (n *node) do(method, path string, body any, header ...string) (int, map[string]any) {
	n.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		n.t.Fatal(err)
	}
	if s, ok := body.(string); ok {
		raw = []byte(s)
	}
	req, err := http.NewRequest(method, n.URL()+path, bytes.NewReader(raw))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := n.http.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	out := map[string]any{}
	if err := json.Unmarshal(text, &out); err != nil {
		out["text"] = string(text)
	}
	return res.StatusCode, out
}

const report = `{"action_type":"MODEL_FREEZE","actor_id":"admin","timestamp":%q,"affected_resources":["NN-FCS-001"],"action_details":{"why":"V&V passed"}}`

// One installation does its whole job: a report becomes a sealed record, an upload becomes
// evidence of a package, the package proves itself, and the log verifies.
func TestWholeInstallation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		n := launch(t, dialect)
		status, x := n.do("POST", "/v1/hooks/CAOS.PROD.CERT.AUDIT/executions", fmt.Sprintf(report, time.Now().UTC().Format(time.RFC3339)))
		if status != 200 || x["status"] != "SUCCEEDED" {
			t.Fatalf("CERT.AUDIT: %d %v", status, x)
		}
		out := x["output"].(map[string]any)
		if out["compliance_status"] != "REVIEW_REQUIRED" || out["blockchain_tx_id"] != nil || out["audit_record_hash"] == nil {
			t.Errorf("output %v", out)
		}
		status, rec := n.do("GET", "/v1/audit/"+out["audit_record_id"].(string), nil)
		if status != 200 {
			t.Errorf("audit record: %d %v", status, rec)
		}
		if status, p := n.do("POST", "/v1/packages", map[string]any{"package_id": "CERT-PKG-FCS", "model_id": "NN-FCS-001"}); status != 201 && status != 200 {
			t.Fatalf("package: %d %v", status, p)
		}
		status, obj := n.do("POST", "/v1/objects", `<testsuite name="s" tests="1"><testcase name="t" classname="c"/></testsuite>`, "Content-Type", "application/octet-stream")
		if status != 201 && status != 200 {
			t.Fatalf("upload: %d %v", status, obj)
		}
		status, x = n.do("POST", "/v1/hooks/CAOS.PROD.CERT.EVIDENCE/executions", map[string]any{
			"model_id": "NN-FCS-001", "evidence_type": "TEST_RESULT", "evidence_category": "VERIFICATION", "artifact_uri": obj["uri"],
			"artifact_metadata": map[string]any{"format": "junit", "requirement_ids": []string{"95-00-03-REQ-001"}}, "certification_package_id": "CERT-PKG-FCS",
		}, "Prefer", "wait=20")
		if status != 200 || x["status"] != "SUCCEEDED" {
			t.Fatalf("CERT.EVIDENCE: %d %v", status, x)
		}
		out = x["output"].(map[string]any)
		if out["certification_package_updated"] != true || out["evidence_hash"] != obj["digest"] {
			t.Errorf("output %v; object %v", out, obj)
		}
		sum, err := auditlog.Verify(context.Background(), auditlog.VerifyOptions{DB: n.db, Published: []auditlog.Sink{auditlog.NewFileSink(n.cfg.Published)},
			OnProblem: func(p auditlog.Problem) { t.Errorf("%+v", p) }})
		if err != nil || sum.Records < 8 {
			t.Errorf("verify: %+v %v", sum, err)
		}
	})
}

// Published checkpoints that were removed are an alert: without them a shortened log
// could not be told from a whole one.
func TestRemovedCheckpointsAreAnAlert(t *testing.T) {
	n := launch(t, db.SQLite)
	ctx := context.Background()
	again := func() []any {
		t.Helper()
		if err := n.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		n.App = New(n.cfg, nil, "test")
		if err := n.Start(ctx); err != nil {
			t.Fatal(err)
		}
		status, list := n.do("GET", "/v1/alerts", nil)
		if status != 200 {
			t.Fatalf("alerts: %d %v", status, list)
		}
		return list["items"].([]any)
	}
	if list := again(); len(list) != 0 {
		t.Fatalf("alerts after an ordinary start: %v", list)
	}
	if err := n.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(n.cfg.Published); err != nil {
		t.Fatal(err)
	}
	if list := again(); len(list) != 1 || list[0].(map[string]any)["metric_name"] != "published_checkpoints" {
		t.Errorf("alerts after the checkpoints were removed: %v", list)
	}
}
