package db

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// same checks assign against the rules of database/sql, which sql.Null applies.
func same[T any](t *testing.T, src any) {
	t.Helper()
	var want sql.Null[T]
	wantErr := want.Scan(src)
	var got T
	err := assign(&got, src)
	if src == nil && wantErr == nil { // sql.Null keeps NULL to itself
		switch reflect.TypeFor[T]().Kind() {
		case reflect.Slice, reflect.Interface, reflect.Struct:
		default:
			if err == nil {
				t.Errorf("NULL into %T was accepted", got)
			}
		}
		return
	}
	if (err == nil) != (wantErr == nil) {
		t.Errorf("%T(%v) into %T: error %v, database/sql has %v", src, src, got, err, wantErr)
		return
	}
	if err == nil && fmt.Sprint(got) != fmt.Sprint(want.V) {
		t.Errorf("%T(%v) into %T: %v, database/sql has %v", src, src, got, got, want.V)
	}
}

type named string

func sameAll(t *testing.T, src any) {
	same[string](t, src)
	same[named](t, src)
	same[int64](t, src)
	same[int](t, src)
	same[int8](t, src)
	same[uint16](t, src)
	same[float64](t, src)
	same[bool](t, src)
	same[[]byte](t, src)
	same[any](t, src)
	same[sql.NullString](t, src)
	same[sql.NullInt64](t, src)
}

func TestAssign(t *testing.T) {
	for _, src := range []any{nil, "", "x", "12", "1.5", "true", int64(0), int64(1), int64(300), int64(-1), int64(1) << 40, 1.5, 1e300, true, false, []byte("x"), []byte{}, []byte("7")} {
		sameAll(t, src)
	}
	var p *int
	if err := assign(&p, int64(7)); err != nil || *p != 7 {
		t.Error(err)
	}
	if err := assign(&p, nil); err != nil || p != nil {
		t.Error(err, p)
	}
	var raw json.RawMessage
	if err := assign(&raw, `{}`); err != nil || string(raw) != "{}" {
		t.Error(err, raw)
	}
	for _, dest := range []any{nil, 1, new(chan int), new(struct{})} {
		if err := assign(dest, int64(1)); err == nil {
			t.Errorf("%T accepted", dest)
		}
	}
}

func FuzzAssign(f *testing.F) {
	f.Add("12", int64(3), 1.5, true)
	f.Fuzz(func(t *testing.T, s string, n int64, x float64, b bool) {
		for _, src := range []any{s, n, x, b, []byte(s)} {
			sameAll(t, src)
		}
	})
}

func TestArguments(t *testing.T) {
	in := []any{"a", json.RawMessage(`{}`), json.RawMessage(nil), []byte("b")}
	out, err := arguments(in)
	if err != nil || out[1] != "{}" || out[2] != nil {
		t.Errorf("%v, %v", out, err)
	}
	if _, changed := in[1].(json.RawMessage); !changed {
		t.Error("the caller's slice was changed")
	}
	for _, bad := range []any{time.Now(), &time.Time{}, time.Second} {
		if _, err := arguments([]any{bad}); err == nil {
			t.Errorf("%T accepted", bad)
		}
	}
}

func TestControls(t *testing.T) {
	for _, s := range []string{"COMMIT", " commit;", "\n\tRollback to x", "begin", "END;", "pragma x=1", "Release s1", "savepoint x", "START TRANSACTION", "abort"} {
		if !controls(s) {
			t.Errorf("%q passed", s)
		}
	}
	for _, s := range []string{"", "SELECT 1", "INSERT INTO commits VALUES (1)", "UPDATE a SET b=1", "WITH x AS (SELECT 1) DELETE FROM y", "beginning"} {
		if controls(s) {
			t.Errorf("%q refused", s)
		}
	}
}
