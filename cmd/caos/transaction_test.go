package main

import "testing"

// A fee on a chain for trying is a few thousand wei: it is not shown as nothing.
func TestGwei(t *testing.T) {
	for wei, want := range map[string]string{
		"0": "0 gwei", "1": "0.000000001 gwei", "1000007": "0.001000007 gwei", "1000000000": "1 gwei", "20500000000": "20.5 gwei", "100000000000": "100 gwei",
		"": "-", "x": "-",
	} {
		if got := gwei(wei); got != want {
			t.Errorf("%s: %s, not %s", wei, got, want)
		}
	}
}
