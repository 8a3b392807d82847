//go:build cgo

package main

import (
	"strings"
	"testing"

	"caos/internal/worker"
)

// TestOrderOfRowsThatAreAlike leaves the numbering of rows out only where rows that are
// alike cannot differ.
func TestOrderOfRowsThatAreAlike(t *testing.T) {
	columns := func(types ...string) (out []worker.Column) {
		for i, typ := range types {
			out = append(out, worker.Column{Name: string(rune('a' + i)), Type: typ})
		}
		return out
	}
	for name, c := range map[string]struct {
		by      []string
		columns []worker.Column
		numbers bool
	}{
		"all columns":             {[]string{"b", "A"}, columns("VARCHAR", "BIGINT"), false},
		"not all":                 {[]string{"a"}, columns("VARCHAR", "BIGINT"), true},
		"a float, with two zeros": {[]string{"a", "b"}, columns("VARCHAR", "DOUBLE"), true},
		"an interval":             {[]string{"a"}, columns("INTERVAL"), true},
		"a list":                  {[]string{"a"}, columns("BIGINT[]"), true},
		"a collation":             {[]string{"a"}, columns("VARCHAR COLLATE NOCASE"), true},
	} {
		if got := strings.Contains(ordered("t", c.by, c.columns), rowColumn); got != c.numbers {
			t.Errorf("%s: numbered %t", name, got)
		}
	}
}
