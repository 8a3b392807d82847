package caos_test

import (
	"testing"

	"caos"
)

func TestStricter(t *testing.T) {
	for _, c := range []struct{ a, b, want string }{
		{"Public", "Internal", "Internal"},
		{"Regulated", "Confidential", "Regulated"},
		{"", "Public", ""},
		{"", "Internal", ""},
		{"Internal", "", "Internal"},
		{"", "Restricted", "Restricted"},
		{"Regulated", "Secret", "Secret"}, // unknown words are beyond the last
	} {
		if got := caos.Stricter(c.a, c.b); got != c.want {
			t.Errorf("of %q and %q, %q is the stricter, want %q", c.a, c.b, got, c.want)
		}
	}
}
