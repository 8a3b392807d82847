package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"caos"
	"caos/internal/db"
)

// What seals opens again, on another node and after a restart; everything else is refused.
func TestCursorsSealed(t *testing.T) {
	secret := []byte(strings.Repeat("k", 32))
	a, b, other := newCursors(secret), newCursors(secret), newCursors(nil)
	lengths := map[int]bool{}
	for _, inner := range []string{"x", "MTIzIERQUC1OTi1ETFktMDAx", strings.Repeat("y", 60), strings.Repeat("z", 600), "a\x00"} {
		sealed := a.seal("list-models", inner)
		if got, err := b.open("list-models", sealed); got != inner || err != nil {
			t.Errorf("%q opens as %q, %v", inner, got, err)
		}
		if again := b.seal("list-models", inner); again != sealed {
			t.Errorf("%q is sealed as %s and as %s", inner, sealed, again)
		}
		if len(inner) <= 60 {
			lengths[len(sealed)] = true
		}
		if len(sealed) > 1000 {
			t.Errorf("%d characters are more than a request may have", len(sealed))
		}
		raw, _ := base64.RawURLEncoding.DecodeString(sealed)
		for i := range raw {
			for _, flip := range []byte{1, 0x80} {
				raw[i] ^= flip
				opensNot(t, a, "list-models", base64.RawURLEncoding.EncodeToString(raw))
				raw[i] ^= flip
			}
		}
		opensNot(t, a, "list-versions", sealed)
		opensNot(t, other, "list-models", sealed)
		opensNot(t, a, "list-models", inner)
		opensNot(t, a, "list-models", sealed[:len(sealed)-4])
		opensNot(t, a, "list-models", sealed+"=")
	}
	if len(lengths) != 1 {
		t.Errorf("the length of a cursor tells something of it: %v", lengths)
	}
	if a.seal("list-models", "") != "" {
		t.Error("the end of a list has a cursor")
	}
	if got, err := a.open("list-models", ""); got != "" || err != nil {
		t.Errorf("the beginning: %q, %v", got, err)
	}
}

func opensNot(t *testing.T, s cursors, list, sealed string) {
	t.Helper()
	got, err := s.open(list, sealed)
	if e := caos.AsError(err); e == nil || e.Kind != caos.Invalid || e.Field != "cursor" || e.Hint == "" || got != "" {
		t.Fatalf("%q: %q, %v", sealed, got, err)
	}
}

// Every list refuses a cursor that it did not seal, the key of a row as it is among them: no
// list hands that out, then.
func TestEveryListSealsItsCursors(t *testing.T) {
	w := newWorld(t)
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ Name, In string }
		}
	}
	if err := json.Unmarshal(w.do("", "GET", "/openapi.json", nil).wants(t, 200).body, &doc); err != nil {
		t.Fatal(err)
	}
	lists := 0
	for path, ops := range doc.Paths {
		for _, p := range ops["get"].Parameters {
			if p.Name != "cursor" || p.In != "query" {
				continue
			}
			lists++
			for _, who := range []string{"root", "cora", "aud", "mo"} {
				a := w.do(who, "GET", strings.NewReplacer("{", "", "}", "").Replace(path)+"?cursor="+db.Cursor(w.now(), "x"), nil)
				if a.status == 403 {
					continue
				}
				if got := a.wants(t, 422).json(t); got["field"] != "cursor" || !strings.Contains(got["detail"].(string), "not a cursor of this list") {
					t.Errorf("%s: %v", path, got)
				}
			}
		}
	}
	if lists < 30 {
		t.Errorf("only %d lists", lists)
	}
}
