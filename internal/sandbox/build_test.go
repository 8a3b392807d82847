//go:build linux && (amd64 || arm64)

package sandbox

import (
	"io"
	"strings"
	"testing"

	"caos"
)

// Halves of different builds say so; the machine is not blamed, and no level of the sandbox
// is proposed that accepts less.
// Mutation that makes this fail: refused without its first condition.
func TestOtherBuild(t *testing.T) {
	eachLevel(t, func(t *testing.T, level Level) {
		_, err := start(t.Context(), orders{Protocol: protocol + 1, Spec: spec(t, level, "look")}, nil, io.Discard, io.Discard)
		e := caos.AsError(err)
		if caos.KindOf(err) != caos.Unavailable || e.Rule != "sandbox-build" || !strings.Contains(e.Message, "different builds") ||
			!strings.Contains(e.Hint, "make build") || strings.Contains(e.Error()+e.Hint, "namespaces") || strings.Contains(e.Error(), "nil") {
			t.Errorf("%v (%s, %q)", err, e.Rule, e.Hint)
		}
	})
}
