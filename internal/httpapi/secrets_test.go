package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos/internal/db"
	"caos/internal/secret"
)

const treasure = "s3cr3t-Tr3asure-0123456789abcdef"

// TestSecretsLeak puts, lists, changes, rotates and deletes a value, in good and bad requests,
// and looks for it in everything that anybody can read.
func TestSecretsLeak(t *testing.T) {
	dir := t.TempDir()
	d := must(db.Open(t.Context(), db.Options{URL: "sqlite:" + filepath.Join(dir, "caos.db")}))(t)
	t.Cleanup(func() { _ = d.Close() })
	w := newWorldOn(t, d)
	var answers bytes.Buffer
	do := func(want int, who, method, path string, body any, headers ...string) answer {
		t.Helper()
		a := w.do(who, method, path, body, headers...)
		fmt.Fprintf(&answers, "%v\n%s\n", a.header, a.body)
		if a.status != want {
			t.Errorf("%s %s as %s: %d, want %d: %s", method, path, who, a.status, want, a.body)
		}
		return a
	}
	values := func(pairs ...string) map[string]any {
		m := map[string]string{}
		for i := 0; i+1 < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return map[string]any{"values": m}
	}
	// Who may.
	do(401, "root", "PUT", "/v1/secrets/s3/lake", values("secret_key", treasure))
	for _, who := range []string{"mo", "cora", "dana", "chief", "qa", "newbie"} {
		do(403, who, "PUT", "/v1/secrets/s3/lake", values("secret_key", treasure), "MFA", "")
		do(403, who, "GET", "/v1/secrets", nil)
	}
	do(403, "bot", "PUT", "/v1/secrets/s3/lake", values("secret_key", treasure))
	if list := do(200, "root", "GET", "/v1/secrets", nil).json(t); len(list["items"].([]any)) != 0 {
		t.Errorf("refused requests have left %v", list)
	}
	// What is refused shows nothing of what came.
	for _, body := range []any{
		values("secret_key", ""), values("bad key", treasure), values("secret_key", strings.Repeat(treasure, 1000)),
		map[string]any{"values": map[string]any{"secret_key": []string{treasure}}}, map[string]any{"values": map[string]any{"secret_key": map[string]string{treasure: "x"}}},
		map[string]any{"values": treasure}, map[string]any{"value": treasure}, `{"values":{"secret_key":"` + treasure, `{"values":{"k":"` + treasure + `","k":"` + treasure + `"}}`,
	} {
		a := w.do("root", "PUT", "/v1/secrets/s3/lake", body, "MFA", "")
		if a.status < 400 || a.status >= 500 {
			t.Errorf("%v: %d %s", body, a.status, a.body)
		}
		fmt.Fprintf(&answers, "%v\n%s\n", a.header, a.body)
	}
	do(422, "root", "PUT", "/v1/secrets/..%2Fkeys", values("k", treasure), "MFA", "")
	// The way it is meant.
	a := do(200, "root", "PUT", "/v1/secrets/s3/lake", values("secret_key", treasure, "access_key", "AK-"+treasure), "MFA", "")
	if got := a.json(t)["items"].([]any); len(got) != 2 || got[1].(map[string]any)["ref"] != "vault:s3/lake#secret_key" {
		t.Errorf("%s", a.body)
	}
	do(200, "root", "PUT", "/v1/secrets/s3/lake", values("secret_key", treasure), "MFA", "")
	for _, accept := range []string{"application/json", "application/yaml", "text/html"} {
		if a := do(200, "root", "GET", "/v1/secrets?path=s3/lake", nil, "Accept", accept); !strings.Contains(string(a.body), "s3/lake#secret_key") {
			t.Errorf("%s: %s", accept, a.body)
		}
	}
	do(405, "root", "GET", "/v1/secrets/s3/lake", nil)
	if a := do(200, "root", "POST", "/v1/secrets/rotate", nil, "MFA", ""); a.json(t)["resealed"] != 2.0 {
		t.Errorf("%s", a.body)
	}
	if got, err := w.api.Secrets.Get(t.Context(), secret.Ref{Path: "s3/lake", Key: "secret_key"}); err != nil || string(got) != treasure {
		t.Errorf("the program itself gets %d bytes, %v", len(got), err)
	}
	records := do(200, "aud", "GET", "/v1/audit?limit=200", nil)
	for _, want := range []string{"vault:s3/lake#secret_key", "secret-put", "secret-keyset-rotated", "secrets-resealed"} {
		if !strings.Contains(string(records.body), want) {
			t.Errorf("the audit log does not tell of %s", want)
		}
	}
	do(200, "root", "DELETE", "/v1/secrets/s3/lake?key=access_key", nil, "MFA", "")
	do(404, "root", "DELETE", "/v1/secrets/s3/lake?key=access_key", nil, "MFA", "")
	do(401, "root", "DELETE", "/v1/secrets/s3/lake?key=secret_key", nil)
	if records := do(200, "aud", "GET", "/v1/audit?limit=200", nil); !strings.Contains(string(records.body), "secret-deleted") {
		t.Error("the audit log does not tell of the deletion")
	}

	forms := []string{treasure, hex.EncodeToString([]byte(treasure)), base64.StdEncoding.EncodeToString([]byte(treasure))[:40], fmt.Sprint([]byte(treasure))[1:60]}
	looked := 0
	look := func(what string, text []byte) {
		looked += len(text)
		for _, f := range forms {
			if bytes.Contains(text, []byte(f)) {
				t.Errorf("%s shows the value as %.12s…", what, f)
			}
		}
	}
	look("an answer", answers.Bytes())
	look("the log", []byte(w.lines.String()))
	for _, top := range []string{dir, w.dir} {
		err := filepath.WalkDir(top, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(name)
			look(name, text)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	for _, pair := range os.Environ() { // what a worker could inherit
		look("the environment", []byte(pair))
	}
	if looked < 100_000 {
		t.Errorf("only %d bytes were looked at", looked)
	}
}
