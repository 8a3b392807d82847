package object_test

import (
	"strings"
	"testing"
	"time"

	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/object"
)

func TestOf(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		s, _, c := open(t, d)
		bind := func(text, owner, kind string) string {
			ref, err := s.Put(t.Context(), strings.NewReader(text), object.PutOptions{})
			if err == nil {
				err = d.Update(t.Context(), func(tx *db.Tx) error { return s.Bind(tx, ref, object.Binding{Owner: owner, Kind: kind, Project: "P1"}) })
			}
			if err != nil {
				t.Fatal(err)
			}
			c.add(time.Second)
			return ref.Digest
		}
		bind("of another", "EXEC-2", "report")
		first := bind("first", "EXEC-1", "report")
		again := bind("second", "EXEC-1", "report")
		facts := bind("facts", "EXEC-1", "facts")
		got, err := s.Of(t.Context(), "EXEC-1")
		if err != nil || len(got) != 3 || got[0].Digest != facts || got[1].Digest != again || got[2].Digest != first || got[1].Project != "P1" || got[1].Kind != "report" {
			t.Errorf("%+v, %v", got, err)
		}
		for _, owner := range []string{"EXEC-3", "", "\x00"} {
			if got, err := s.Of(t.Context(), owner); err != nil || len(got) != 0 {
				t.Errorf("of %q: %+v, %v", owner, got, err)
			}
		}
	})
}
