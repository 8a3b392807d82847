package secret_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/secret"
)

const treasure = "s3cr3t-Tr3asure-0123456789abcdef"

func open(t *testing.T, d *db.DB, dir string) *secret.Vault {
	t.Helper()
	v, err := secret.Open(t.Context(), secret.Options{DB: d, Keys: dir, Now: func() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func put(t *testing.T, d *db.DB, v *secret.Vault, path string, values map[string]secret.Value) ([]secret.Entry, error) {
	t.Helper()
	var out []secret.Entry
	err := d.Write(t.Context(), func(tx *db.Tx) (err error) { out, err = v.Put(tx, path, values, "root"); return err })
	return out, err
}

func ref(s string) secret.Ref {
	r, err := secret.ParseRef(s)
	if err != nil {
		panic(err)
	}
	return r
}

func TestVault(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		dir := t.TempDir()
		v := open(t, d, dir)
		if _, err := v.Get(t.Context(), ref("vault:s3/lake#secret_key")); caos.KindOf(err) != caos.NotFound || !strings.Contains(caos.AsError(err).Hint, "caos secret put s3/lake secret_key") {
			t.Errorf("an absent secret: %v", err)
		}
		made, err := put(t, d, v, "s3/lake", map[string]secret.Value{"secret_key": treasure, "access_key": "AK"})
		if err != nil || len(made) != 2 || made[1].Ref != "vault:s3/lake#secret_key" || made[1].Revision != 1 {
			t.Fatalf("%+v, %v", made, err)
		}
		if made, err = put(t, d, v, "s3/lake", map[string]secret.Value{"access_key": "AK2"}); err != nil || made[0].Revision != 2 {
			t.Fatalf("%+v, %v", made, err)
		}
		again := open(t, d, dir) // another process
		for r, want := range map[string]string{"vault:s3/lake#secret_key": treasure, "vault:s3/lake#access_key": "AK2"} {
			if got, err := again.Get(t.Context(), ref(r)); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v", r, got, err)
			}
		}
		var names []string
		for cursor := ""; ; {
			page, next, err := v.List(t.Context(), secret.Filter{Limit: 1}, cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				names = append(names, e.Ref)
			}
			if cursor = next; next == "" {
				break
			}
		}
		if len(names) != 2 {
			t.Errorf("the pages of the list have %v", names)
		}
		del := func(r string) error {
			return d.Write(t.Context(), func(tx *db.Tx) error { _, err := v.Delete(tx, ref(r)); return err })
		}
		if err := del("vault:s3/lake#access_key"); err != nil {
			t.Error(err)
		}
		if err := del("vault:s3/lake#access_key"); caos.KindOf(err) != caos.NotFound {
			t.Errorf("deleted twice: %v", err)
		}
		st, err := os.Stat(filepath.Join(dir, "encryption-secrets.keyset"))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("the keyset: %v, %v", st, err)
		}
	})
}

// TestRefusals changes nothing, and shows no value.
func TestRefusals(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		v := open(t, d, t.TempDir())
		many := map[string]secret.Value{}
		for i := range secret.MaxAtOnce + 1 {
			many[fmt.Sprintf("k%d", i)] = treasure
		}
		for name, c := range map[string]struct {
			path   string
			values map[string]secret.Value
			field  string
		}{
			"no path":       {"", map[string]secret.Value{"k": treasure}, "path"},
			"relative":      {"../keys", map[string]secret.Value{"k": treasure}, "path"},
			"dots inside":   {"a/../b", map[string]secret.Value{"k": treasure}, "path"},
			"control":       {"a\x00b", map[string]secret.Value{"k": treasure}, "path"},
			"hash in path":  {"a#b", map[string]secret.Value{"k": treasure}, "path"},
			"deep":          {strings.Repeat("a/", 8) + "a", map[string]secret.Value{"k": treasure}, "path"},
			"no key":        {"a", map[string]secret.Value{"": treasure}, "values"},
			"slash in key":  {"a", map[string]secret.Value{"a/b": treasure}, "values"},
			"no values":     {"a", nil, "values"},
			"too many":      {"a", many, "values"},
			"empty value":   {"a", map[string]secret.Value{"k": ""}, "values.k"},
			"large value":   {"a", map[string]secret.Value{"k": secret.Value(strings.Repeat(treasure, secret.MaxValue))}, "values.k"},
			"value no text": {"a", map[string]secret.Value{"k": treasure + "\xff"}, "values.k"},
		} {
			_, err := put(t, d, v, c.path, c.values)
			if err == nil || caos.AsError(err).Field != c.field {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && strings.Contains(fmt.Sprintf("%v %+v", err, caos.AsError(err)), treasure) {
				t.Errorf("%s: the error shows the value", name)
			}
		}
		for n := range 3 {
			values := map[string]secret.Value{}
			for i := range secret.MaxAtOnce {
				values[fmt.Sprintf("k%d-%d", n, i)] = "x"
			}
			if _, err := put(t, d, v, "full", values); (err != nil) != (n == 2) {
				t.Errorf("batch %d: %v", n, err)
			}
		}
		if list, _, err := v.List(t.Context(), secret.Filter{Limit: 1000}, ""); err != nil || len(list) != secret.MaxOfPath {
			t.Errorf("%d values are there, %v", len(list), err)
		}
	})
}

// TestSealBindsTheRow has two sealed values change places: neither opens any more.
func TestSealBindsTheRow(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		v := open(t, d, t.TempDir())
		for _, path := range []string{"a", "b"} {
			if _, err := put(t, d, v, path, map[string]secret.Value{"k": secret.Value(treasure + path), "l": secret.Value(treasure + path)}); err != nil {
				t.Fatal(err)
			}
		}
		swap := func(p1, n1, p2, n2 string) {
			t.Helper()
			if err := d.Write(t.Context(), func(tx *db.Tx) error {
				var one, two []byte
				if err := tx.QueryRow(`SELECT sealed FROM secrets WHERE path = $1 AND name = $2`, p1, n1).Scan(&one); err != nil {
					return err
				}
				if err := tx.QueryRow(`SELECT sealed FROM secrets WHERE path = $1 AND name = $2`, p2, n2).Scan(&two); err != nil {
					return err
				}
				tx.Exec(`UPDATE secrets SET sealed = $1 WHERE path = $2 AND name = $3`, two, p1, n1)
				tx.Exec(`UPDATE secrets SET sealed = $1 WHERE path = $2 AND name = $3`, one, p2, n2)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range [][4]string{{"a", "k", "b", "k"}, {"a", "k", "a", "l"}} {
			swap(c[0], c[1], c[2], c[3])
			for _, r := range []secret.Ref{{Path: c[0], Key: c[1]}, {Path: c[2], Key: c[3]}} {
				got, err := v.Get(t.Context(), r)
				if got != nil || caos.KindOf(err) != caos.Unavailable || caos.AsError(err).Rule != "vault-seal" {
					t.Errorf("%s opens with the value of another row: %v", r, err)
				}
			}
			swap(c[0], c[1], c[2], c[3])
		}
		if _, err := v.Get(t.Context(), ref("vault:a#k")); err != nil {
			t.Errorf("changed back: %v", err)
		}
	})
}

// TestRotation has one node rotate the keyset while another holds the old one in memory.
func TestRotation(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		dir := t.TempDir()
		v, other := open(t, d, dir), open(t, d, dir)
		must := func(_ []secret.Entry, err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		must(put(t, d, v, "a", map[string]secret.Value{"old": treasure}))
		if err := v.Rotate(); err != nil {
			t.Fatal(err)
		}
		must(put(t, d, v, "a", map[string]secret.Value{"new": treasure}))
		must(put(t, d, other, "a", map[string]secret.Value{"late": treasure})) // under the old key, which is still there
		get := func(v *secret.Vault) {
			t.Helper()
			for _, key := range []string{"old", "new", "late"} {
				if got, err := v.Get(t.Context(), secret.Ref{Path: "a", Key: key}); err != nil || string(got) != treasure {
					t.Errorf("%s: %v", key, err)
				}
			}
		}
		get(v)
		get(other)
		for i, want := range []int{2, 0} {
			var n int
			if err := d.Write(t.Context(), func(tx *db.Tx) (err error) { n, err = v.Reseal(tx); return err }); err != nil || n != want {
				t.Errorf("reseal %d: %d, %v", i, n, err)
			}
		}
		get(v)
		get(other)
		get(open(t, d, dir))
	})
}

// TestKeysetLost starts without the keyset: nothing opens, nothing new is sealed under
// another one beside it, and what is left can be deleted.
func TestKeysetLost(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		dir := t.TempDir()
		v := open(t, d, dir)
		if _, err := put(t, d, v, "a", map[string]secret.Value{"k": treasure}); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, "encryption-secrets.keyset")
		kept, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		v = open(t, d, dir)
		if _, err := v.Get(t.Context(), ref("vault:a#k")); caos.AsError(err).Rule != "vault-keyset" {
			t.Errorf("get: %v", err)
		}
		if _, err := put(t, d, v, "a", map[string]secret.Value{"l": "x"}); caos.AsError(err).Rule != "vault-keyset" {
			t.Errorf("put: %v", err)
		}
		if _, err := os.Stat(name); err == nil {
			t.Error("a second keyset was made although a value needs the first")
		}
		if err := os.WriteFile(name, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := open(t, d, dir).Get(t.Context(), ref("vault:a#k")); err != nil || string(got) != treasure {
			t.Errorf("restored: %v", err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		if err := d.Write(t.Context(), func(tx *db.Tx) error { _, err := v.Delete(tx, ref("vault:a#k")); return err }); err != nil {
			t.Errorf("delete: %v", err)
		}
		v = open(t, d, dir)
		if _, err := put(t, d, v, "a", map[string]secret.Value{"k": treasure}); err != nil {
			t.Errorf("made anew: %v", err)
		}
		for mode, fine := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := secret.Open(t.Context(), secret.Options{DB: d, Keys: dir}); (err == nil) != fine {
				t.Errorf("mode %o: %v", mode, err)
			}
		}
		if err := os.WriteFile(name, []byte(`{"primaryKeyId":1,"key":[{"keyData":{"value":"`+treasure+`"}}]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.Open(t.Context(), secret.Options{DB: d, Keys: dir}); err == nil || strings.Contains(err.Error(), treasure) {
			t.Errorf("a broken keyset: %v", err)
		}
	})
}

// TestOpenedAtOnce has many processes make the keyset: all use the one that stayed.
func TestOpenedAtOnce(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	dir := t.TempDir()
	vaults := make([]*secret.Vault, 8)
	var wg sync.WaitGroup
	for i := range vaults {
		wg.Go(func() {
			v, err := secret.Open(context.Background(), secret.Options{DB: d, Keys: dir})
			if err != nil {
				t.Error(err)
			}
			vaults[i] = v
		})
	}
	wg.Wait()
	if _, err := put(t, d, vaults[0], "a", map[string]secret.Value{"k": treasure}); err != nil {
		t.Fatal(err)
	}
	for i, v := range vaults {
		if got, err := v.Get(t.Context(), ref("vault:a#k")); err != nil || string(got) != treasure {
			t.Errorf("vault %d: %v", i, err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

// TestNothingIsPrinted formats what holds keys and values in every way.
func TestNothingIsPrinted(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	dir := t.TempDir()
	v := open(t, d, dir)
	if _, err := put(t, d, v, "a", map[string]secret.Value{"k": treasure}); err != nil {
		t.Fatal(err)
	}
	body := struct{ Values map[string]secret.Value }{map[string]secret.Value{"k": treasure}}
	var out bytes.Buffer
	for _, what := range []any{v, *v, body, &body, secret.Value(treasure)} {
		fmt.Fprintf(&out, "%v %+v %#v %s %q %x %d\n", what, what, what, what, what, what, what)
		text, _ := json.Marshal(what)
		out.Write(text)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "what", what)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "what", what)
	}
	text, err := os.ReadFile(filepath.Join(dir, "encryption-secrets.keyset"))
	if err != nil {
		t.Fatal(err)
	}
	var keys struct {
		Key []struct{ KeyData struct{ Value string } }
	}
	if err := json.Unmarshal(text, &keys); err != nil || len(keys.Key) != 1 || len(keys.Key[0].KeyData.Value) < 20 {
		t.Fatalf("the keyset has another form: %v", err)
	}
	if strings.Contains(out.String(), keys.Key[0].KeyData.Value) {
		t.Error("the key is printed")
	}
	for _, form := range []string{treasure, fmt.Sprintf("%x", treasure)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the value is printed:\n%s", out.String())
		}
	}
}

// TestAtRest looks for a value in every file of the database.
func TestAtRest(t *testing.T) {
	dir := t.TempDir()
	d, err := db.Open(t.Context(), db.Options{URL: "sqlite:" + filepath.Join(dir, "caos.db")})
	if err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	v := open(t, d, keys)
	if _, err := put(t, d, v, "a", map[string]secret.Value{"k": treasure}); err != nil {
		t.Fatal(err)
	}
	seen := 0
	look := func() {
		t.Helper()
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			text, err := os.ReadFile(filepath.Join(dir, f.Name()))
			if err != nil {
				t.Fatal(err)
			}
			seen += len(text)
			if bytes.Contains(text, []byte(treasure)) {
				t.Errorf("%s holds the value", f.Name())
			}
		}
	}
	look()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	look()
	if seen < 10_000 {
		t.Errorf("only %d bytes were looked at", seen)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"vault:s3/lake#key", "vault:a#b", "vault:#", "vault:a/../b#c", "a#b", "vault:a#b#c", "vault:a/#b", "\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := secret.ParseRef(s)
		if err != nil {
			if caos.KindOf(err) != caos.Invalid || len(s) > 12 && strings.Contains(err.Error(), s) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if r.String() != s || r.Check() != nil || strings.Contains(s, "..") && strings.Contains(s, "/..") {
			t.Errorf("%q is read as %q", s, r)
		}
	})
}
