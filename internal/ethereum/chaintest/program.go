package chaintest

import (
	"os"
	"testing"

	"caos/internal/progtest"
)

// Program builds caos-devchain once for what its sources are now, and returns its path. A
// minute of CPU hangs on it, so of the modules only go-ethereum's version counts.
// CAOS_TEST_DEVCHAIN names a program that is there already.
func Program(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CAOS_TEST_DEVCHAIN"); path != "" {
		return path
	}
	return progtest.Build(t, progtest.Program{Name: "caos-devchain", Flags: []string{"-trimpath", "-buildvcs=false"}, Env: []string{"CGO_ENABLED=0"},
		Sources: []string{"internal/ethereum/binding"}, Module: "ethereum/go-ethereum"})
}
