package dataset

import (
	"testing"

	"caos/internal/db"
)

// What others publish at, in and around a location is found; what is beside it, of the same
// pipeline, or of one that is retired is not.
func TestNeighbours(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		d := small("DP-A-001", "1.0")
		d.Contract = ""
		k.register(d, "")
		k.publish(output("EXEC-1", "one")) // s3://bucket/train/
		for _, c := range []struct {
			pipeline, uri string
			own           bool
			other         string
		}{
			{"DP-A-001", "s3://bucket/train/", true, ""},
			{"DP-A-001", "s3://bucket/train/x/", false, ""},
			{"DP-B-001", "s3://bucket/train/", false, "DP-A-001.train"},
			{"DP-B-001", "s3://bucket/train/deep/er/", false, "DP-A-001.train"},
			{"DP-B-001", "s3://bucket/train/deep/x.csv", false, "DP-A-001.train"},
			{"DP-B-001", "s3://bucket/", false, "DP-A-001.train"},
			{"DP-B-001", "s3://bucket/train2/", false, ""},
			{"DP-B-001", "s3://bucket/tra", false, ""},
			{"DP-B-001", "s3://bucket/train", false, ""},
			{"DP-B-001", "s3://bucket2/train/", false, ""},
			{"DP-B-001", "file:///bucket/train/", false, ""},
			{"DP-B-001", "s3://bucket/tr_in/", false, ""},
		} {
			k.change(func(tx *db.Tx) error {
				own, other, err := k.Neighbours(tx, c.pipeline, c.uri)
				got := ""
				if other != nil {
					got = other.DatasetID
				}
				if own != c.own || got != c.other {
					t.Errorf("%s at %s: %v %q", c.pipeline, c.uri, own, got)
				}
				return err
			})
		}
		k.change(func(tx *db.Tx) error {
			tx.Exec(`UPDATE pipelines SET retired_at = 1`)
			_, other, err := k.Neighbours(tx, "DP-B-001", "s3://bucket/train/")
			if other != nil {
				t.Errorf("%+v", other)
			}
			return err
		})
	})
}
