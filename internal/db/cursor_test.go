package db

import (
	"testing"
	"time"

	"caos"
)

func FuzzParseCursor(f *testing.F) {
	f.Add(Cursor(time.UnixMicro(1700000000000001), "EXEC-20261122T101500.123456Z"))
	f.Add("")
	f.Add("%%")
	f.Add("MTIz")
	f.Fuzz(func(t *testing.T, s string) {
		at, id, err := ParseCursor(s)
		if err != nil {
			if e := caos.AsError(err); e.Kind != caos.Invalid || e.Field != "cursor" {
				t.Errorf("%v", err)
			}
			return
		}
		if a, i, err := ParseCursor(Cursor(time.UnixMicro(at), id)); err != nil || a != at || i != id {
			t.Errorf("%q does not come back: %d %q %v", s, a, i, err)
		}
	})
}
