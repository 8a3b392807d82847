package registry

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestDocumentVersionOrder(t *testing.T) {
	sorted := []string{"0.9", "1.0-draft", "1.0-rc1", "1", "1.0.1", "1.2", "1.10-a", "1.10", "2.0.0.1", "10"}
	for i := range sorted {
		if err := checkDocumentVersion("version", sorted[i]); err != nil {
			t.Error(err)
		}
		if i > 0 && compareDocumentVersions(sorted[i-1], sorted[i]) >= 0 {
			t.Errorf("%s is not lower than %s", sorted[i-1], sorted[i])
		}
	}
	if compareDocumentVersions("1", "1.0.0") != 0 {
		t.Error("1 is not 1.0.0")
	}
	for _, bad := range []string{"", "v1", "1.", ".1", "01", "1.0-", "1.0-A", "1.0+7", "1.2.3.4.5", "1 0", "../1", "1234567", "1.0-aaaaaaaaaaaaa"} {
		if checkDocumentVersion("version", bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// Of any versions there is one order, whatever they are compared with first.
func TestDocumentVersionsHaveOneOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		version := rapid.Custom(func(rt *rapid.T) string {
			v := fmt.Sprint(rapid.IntRange(0, 11).Draw(rt, "major"))
			for range rapid.IntRange(0, 3).Draw(rt, "parts") {
				v += fmt.Sprintf(".%d", rapid.IntRange(0, 2).Draw(rt, "part"))
			}
			return v + rapid.SampledFrom([]string{"", "", "-a", "-rc1"}).Draw(rt, "suffix")
		})
		list := rapid.SliceOfN(version, 3, 6).Draw(rt, "versions")
		slices.SortFunc(list, compareDocumentVersions)
		for i, a := range list {
			for j, b := range list {
				if c := compareDocumentVersions(a, b); i < j && c > 0 || i > j && c < 0 || c != -compareDocumentVersions(b, a) {
					rt.Fatalf("%s and %s of %v: %d", a, b, list, c)
				}
			}
		}
	})
}
