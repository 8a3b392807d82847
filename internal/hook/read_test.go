package hook

import (
	"strings"
	"testing"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/object"
)

// TestExactIntegers refuses a report about a number that its record could not hold: what is
// in the log must be what was said.
func TestExactIntegers(t *testing.T) {
	for text, field := range map[string]string{
		`{"a":9007199254740992,"b":-9007199254740992,"c":0.1,"d":1e30,"e":"9007199254740993","f":-0,"g":null,"h":[true]}`: "",
		`{"action_details":{"serial":9007199254740993}}`:                                                                  "action_details.serial",
		`{"action_details":{"list":[1,[-9007199254740993]]}}`:                                                             "action_details.list[1][0]",
		`{"n":123456789012345678901234567890}`:                                                                            "n",
	} {
		v, err := codec.Value([]byte(text), "application/json", codec.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		err = exactIntegers("", v)
		if (field == "") != (err == nil) {
			t.Errorf("%s: %v", text, err)
		} else if err != nil && (caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != field) {
			t.Errorf("%s: %v names %q", text, err, caos.AsError(err).Field)
		}
	}
}

// A digest alone opens nothing: what nothing keeps yet is for who sent it, and for those
// who are not confined to projects.
func TestMayUse(t *testing.T) {
	t.Parallel()
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		w := newWorld(t, d)
		ref, err := w.objects.Put(t.Context(), strings.NewReader("not attached yet"), object.PutOptions{})
		w.ok(err)
		confined, free := w.as("mlo"), w.as("mlo")
		confined.Project = "P1"
		ask := func(by caos.Principal) (err error) {
			w.ok(w.db.Write(t.Context(), func(tx *db.Tx) error {
				err = w.Service.question(prepared{}, by).mayUse(tx, w.objects, ref.Digest, "artifact_uri")
				return nil
			}))
			return err
		}
		if err := ask(confined); caos.KindOf(err) != caos.NotFound || caos.AsError(err).Field != "artifact_uri" {
			t.Errorf("somebody else's upload: %v", err)
		}
		if err := ask(free); err != nil {
			t.Errorf("not confined to projects: %v", err)
		}
		w.ok(w.db.Write(t.Context(), func(tx *db.Tx) error { w.objects.Sent(tx, ref.Digest, confined.ID); return nil }))
		if err := ask(confined); err != nil {
			t.Errorf("one's own upload: %v", err)
		}
	})
}
