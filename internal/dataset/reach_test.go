package dataset

import (
	"context"
	"testing"

	"caos/internal/db"
)

// A location is written in one way: a second one would hide that a target is a source, or
// another pipeline's. Mutation that makes this fail: checkURI does not compare.
func TestOneTextForOnePlace(t *testing.T) {
	for given, want := range map[string]string{
		"file:///data/train.parquet":       "file:///data/train.parquet",
		"file:///data/%74rain.parquet":     "file:///data/train.parquet",
		"file:///data/a%2Cb%3db":           "file:///data/a,b=b",
		"file:///data/a%20b%2A%25%23":      "file:///data/a%20b%2A%25%23",
		"file:///data/{yyyy}-*/%7B%7d":     "file:///data/{yyyy}-*/%7B%7D",
		"file:///data/%C3%BC/":             "file:///data/ü/",
		"s3://lake/%66/x":                  "s3://lake/f/x",
		"https://example.org/%66":          "https://example.org/%66",
		"file:///data/a%2Fb":               "file:///data/a%2Fb", // refused elsewhere: it is no name
		"file:///data/2001-*/part-%2a.csv": "file:///data/2001-*/part-%2A.csv",
	} {
		if got := canonicalURI(given); got != want {
			t.Errorf("%s: %s, not %s", given, got, want)
		}
		if got := canonicalURI(canonicalURI(given)); got != want {
			t.Errorf("%s: a second time %s", given, got)
		}
		err := checkURI(given, false)
		if refused := err != nil && err.Rule == "uri-form"; given != want && !refused {
			t.Errorf("%s is not refused: %v", given, err)
		}
	}
}

func TestBeyondReach(t *testing.T) {
	eachShelf(t, func(t *testing.T, s *shelf) {
		s.change(func(tx *db.Tx) error {
			for i, v := range []Version{
				{PipelineID: "DP-DLY-001", URI: "file:///out/theirs.parquet", Project: "P2"},
				{PipelineID: "DP-DLY-002", URI: "file:///out/folder/", Project: "P2"},
				{PipelineID: "DP-DLY-003", URI: "s3://lake/high/", Project: "P1", Classification: "Regulated"},
				{PipelineID: "DP-DLY-004", URI: "file:///out/own ü.parquet", Project: "P1"},
				{PipelineID: "DP-DLY-005", URI: "file:///out/nobodys.parquet"},
			} {
				v.Target, v.ExecutionID, v.Files = "train", "EXEC-DP-DLY-"+string(rune('1'+i)), []File{{Name: "a", Digest: digestOf([]byte{byte(i)})}}
				if _, err := s.Publish(tx, v, By{Actor: "dana"}); err != nil {
					return err
				}
			}
			return nil
		})
		files := []string{"file:///out/theirs.parquet", "file:///out/folder/y=1/a.parquet", "s3://lake/high/a.parquet", "file:///out/own%20%C3%BC.parquet",
			"file:///out/nobodys.parquet", "file:///out/theirs.parquet.old", "file:///out/folders/a", "https://example.org/a"}
		for _, c := range []struct {
			project, classification string
			beyond                  []int
		}{
			{"P1", "Internal", []int{0, 1, 2, 4}},
			{"P1", "Regulated", []int{0, 1, 4}},
			{"P2", "Internal", []int{2, 4}},
			{"", "", []int{2}},
			{"", "Regulated", nil},
		} {
			got, err := s.BeyondReach(context.Background(), c.project, c.classification, files)
			if err != nil || len(got) != len(c.beyond) {
				t.Errorf("%+v: %v %v", c, got, err)
			}
			for _, i := range c.beyond {
				if !got[files[i]] {
					t.Errorf("%+v reaches %s", c, files[i])
				}
			}
		}
	})
}
