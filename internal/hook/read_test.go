package hook

import (
	"testing"

	"caos"
	"caos/internal/codec"
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
