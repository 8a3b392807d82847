package app

import (
	"testing"

	"caos"
)

// TestAgree refuses more endpoints that must agree than there are, by the setting's name, and
// has init write the number.
func TestAgree(t *testing.T) {
	for n, good := range map[int]bool{-1: false, 0: true, 1: true, 2: true, 3: false} {
		chain := goodChain()
		chain.Endpoints = []string{"https://one.example.org", "https://two.example.org"}
		chain.Agree = n
		dir := t.TempDir()
		c := Defaults(dir)
		c.DataDir, c.Origin, c.Chain = dir, "caos.test/log", &chain
		err := c.Check()
		if e := caos.AsError(err); (err == nil) != good || err != nil && (e.Field != "chain.agree" || e.Kind != caos.Invalid || e.Hint == "") {
			t.Errorf("%d: %v", n, err)
		}
		if !good {
			continue
		}
		if err := c.save(); err != nil {
			t.Fatal(err)
		}
		got, err := Load(dir, func(string) string { return "" })
		if err != nil || got.Chain.Agree != max(n, 1) {
			t.Errorf("%d is written as %d: %v", n, got.Chain.Agree, err)
		}
	}
}
