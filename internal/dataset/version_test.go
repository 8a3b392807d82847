package dataset

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"caos"
	"caos/internal/db"
)

// oneFile is a file whose digest is that of a text.
func oneFile(text string) []File {
	return []File{{Name: "part-0.parquet", Digest: digestOf([]byte(text)), Bytes: int64(len(text))}}
}

func (k *shelf) publish(v Version) *Version {
	k.t.Helper()
	var out *Version
	k.change(func(tx *db.Tx) (err error) {
		out, err = k.Publish(tx, v, By{Actor: "dana", Execution: v.ExecutionID})
		return err
	})
	return out
}

func output(execution, text string) Version {
	return Version{PipelineID: "DP-A-001", Target: "train", ExecutionID: execution, URI: "s3://bucket/train/", Project: "P1", Rows: 7, Interval: "2001-01-01/2001-02-01",
		Columns: []Column{{Name: "day", Type: "DATE"}}, Files: oneFile(text), Contract: "95-00-09-02-004@1.0"}
}

func TestContentDigest(t *testing.T) {
	a, b := File{Name: "a", Digest: digestOf([]byte("a")), Bytes: 1}, File{Name: "x/b", Digest: digestOf([]byte("b")), Bytes: 2}
	one, err := ContentDigest([]File{a, b})
	if err != nil {
		t.Fatal(err)
	}
	other, _ := ContentDigest([]File{b, a})
	if one != other {
		t.Error("the order of files matters")
	}
	b.Name = "x/c"
	if renamed, _ := ContentDigest([]File{a, b}); renamed == one {
		t.Error("names do not matter")
	}
	for _, name := range []string{"", "/a", "../a", "a/../b", "./a", "a//b", "a/", "..", "a\x00"} {
		if _, err := ContentDigest([]File{{Name: name, Digest: a.Digest}}); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, files := range [][]File{nil, {a, a}, {{Name: "a", Digest: "sha256:1"}}, {{Name: "a", Digest: a.Digest, Bytes: -1}}} {
		if _, err := ContentDigest(files); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%v: %v", files, err)
		}
	}
}

func TestPublish(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		ctx := t.Context()
		first := k.publish(output("EXEC-1", "one"))
		if first.DatasetID != "DP-A-001.train" || first.N != 1 || first.Bytes != 3 || first.Classification != "Internal" || first.PublishedBy != "dana" {
			t.Errorf("%+v", first)
		}
		// A step that is done again finds what it did, whatever else happened since.
		second := k.publish(output("EXEC-2", "one"))
		if again := k.publish(output("EXEC-1", "one")); again.N != 1 || second.N != 2 || second.Digest != first.Digest || k.records("DP-A-001.train") != 2 {
			t.Errorf("%+v %+v", again, second)
		}
		k.refused(caos.Conflict, "", "dataset_id", func(tx *db.Tx) error {
			_, err := k.Publish(tx, output("EXEC-1", "two"), By{Actor: "dana"})
			return err
		})
		third := output("EXEC-3", "three")
		third.Classification, third.URI = "Restricted", "s3://bucket/other/"
		k.publish(third)
		if fourth := k.publish(output("EXEC-4", "four")); fourth.Classification != "Restricted" {
			t.Errorf("a dataset became less secret: %+v", fourth)
		}
		moved := output("EXEC-5", "five")
		moved.Project = "P2"
		k.refused(caos.Conflict, RuleProject, "project", func(tx *db.Tx) error {
			_, err := k.Publish(tx, moved, By{Actor: "dana"})
			return err
		})
		for _, bad := range []func(v *Version){
			func(v *Version) { v.Target = "Train" }, func(v *Version) { v.PipelineID = "X" }, func(v *Version) { v.URI = "" }, func(v *Version) { v.Files = nil },
			func(v *Version) { v.ExecutionID = "" }, func(v *Version) { v.Rows = -1 }, func(v *Version) { v.URI = strings.Repeat("x", 9000) },
		} {
			v := output("EXEC-6", "six")
			bad(&v)
			if err := k.d.Update(ctx, func(tx *db.Tx) error { _, err := k.Publish(tx, v, By{Actor: "dana"}); return err }); caos.KindOf(err) != caos.Invalid {
				t.Errorf("%+v: %v", v, err)
			}
		}
		s, err := k.Dataset(ctx, "DP-A-001.train")
		if err != nil || s.Latest != 4 || s.URI != "s3://bucket/train/" || s.Classification != "Restricted" || s.Project != "P1" {
			t.Errorf("%+v %v", s, err)
		}
		for n, want := range map[int64]string{0: "EXEC-4", 1: "EXEC-1", 3: "EXEC-3"} {
			v, err := k.VersionOf(ctx, "DP-A-001.train", n)
			if err != nil || v.ExecutionID != want || len(v.Files) != 1 || len(v.Columns) != 1 || v.Interval == "" || v.Contract == "" {
				t.Errorf("%d: %+v, %v", n, v, err)
			}
		}
		for _, n := range []int64{-1, 5} {
			if _, err := k.VersionOf(ctx, "DP-A-001.train", n); caos.KindOf(err) != caos.NotFound {
				t.Errorf("%d: %v", n, err)
			}
		}
		if _, err := k.Dataset(ctx, "DP-A-001.none"); caos.KindOf(err) != caos.NotFound {
			t.Error(err)
		}
		var got []string
		for cursor := ""; ; {
			list, next, err := k.DatasetVersions(ctx, "DP-A-001.train", 3, cursor)
			k.ok(err)
			got = append(got, collect(list, func(v *Version) string { return fmt.Sprint(v.N, len(v.Files)) })...)
			if cursor = next; next == "" {
				break
			}
		}
		if strings.Join(got, ",") != "4 0,3 0,2 0,1 0" {
			t.Error(got)
		}
		list, _, err := k.loom.Datasets.Datasets(ctx, DatasetFilter{PipelineID: "DP-A-001", Project: "P1"}, "")
		if err != nil || len(list) != 1 {
			t.Error(list, err)
		}
		k.change(func(tx *db.Tx) error {
			numbers := func(list []*Version, err error) string {
				k.ok(err)
				return strings.Join(collect(list, func(v *Version) string { return fmt.Sprint(v.N) }), " ")
			}
			if got := numbers(k.ByDigest(tx, first.Digest)); got != "2 1" {
				t.Errorf("by content: %s", got)
			}
			if got := numbers(k.ByDigest(tx, first.Files[0].Digest)); got != "2 1" {
				t.Errorf("by a file: %s", got)
			}
			if got := numbers(k.ByDigest(tx, "' OR 1=1")); got != "" {
				t.Error(got)
			}
			if got := numbers(k.ByExecution(tx, "EXEC-3", "")) + numbers(k.ByExecution(tx, "EXEC-3", "s3://bucket/other/")) + numbers(k.ByExecution(tx, "EXEC-3", "s3://bucket/train/")); got != "33" {
				t.Error(got)
			}
			at, err := k.VersionAt(tx, "s3://bucket/train/")
			if err != nil || at.N != 4 {
				t.Errorf("%+v %v", at, err)
			}
			if at, err = k.VersionAt(tx, "s3://bucket/none/"); at != nil || err != nil {
				t.Errorf("%+v %v", at, err)
			}
			return nil
		})
	})
}

// Numbers have no gap and no double, however many publish at once.
func TestPublishAtOnce(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		var all sync.WaitGroup
		for i := range 12 {
			all.Go(func() {
				for range 2 { // each of them twice
					err := k.d.Update(context.Background(), func(tx *db.Tx) error {
						_, err := k.Publish(tx, output(fmt.Sprint("EXEC-", i), fmt.Sprint(i)), By{Actor: "dana"})
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		s, err := k.Dataset(t.Context(), "DP-A-001.train")
		k.ok(err)
		list, _, err := k.DatasetVersions(t.Context(), s.DatasetID, 0, "")
		if err != nil || s.Latest != 12 || len(list) != 12 || list[0].N != 12 || list[0].Digest != s.Digest {
			t.Errorf("%+v, %d versions, %v", s, len(list), err)
		}
	})
}

// The largest version is written and found within the time of a transaction.
func TestPublishManyFiles(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		v := output("EXEC-1", "x")
		v.Files = nil
		for i := range maxFiles {
			v.Files = append(v.Files, File{Name: fmt.Sprintf("day=%d/part-0.parquet", i), Digest: digestOf([]byte(fmt.Sprint(i))), Bytes: 1})
		}
		k.publish(v)
		if got, err := k.VersionOf(t.Context(), "DP-A-001.train", 1); err != nil || len(got.Files) != maxFiles || got.Bytes != maxFiles {
			t.Error(err)
		}
		v.Files = append(v.Files, oneFile("more")...)
		v.ExecutionID = "EXEC-2"
		k.refused(caos.Invalid, "", "files", func(tx *db.Tx) error {
			_, err := k.Publish(tx, v, By{Actor: "dana"})
			return err
		})
	})
}

func TestExternal(t *testing.T) {
	eachShelf(t, func(t *testing.T, k *shelf) {
		saw := func(x External) *External {
			t.Helper()
			var out *External
			k.change(func(tx *db.Tx) (err error) {
				out, err = k.Saw(tx, x)
				return err
			})
			return out
		}
		x := External{URI: "https://example.org/a.csv", Project: "P1", Rows: 3, Files: oneFile("a"), FirstSeenBy: "EXEC-1"}
		first := saw(x)
		x.FirstSeenBy = "EXEC-2"
		if again := saw(x); again.N != 1 || again.FirstSeenBy != "EXEC-1" || first.ExternalID != ExternalID(x.URI) || len(first.ExternalID) != 16 {
			t.Errorf("%+v %+v", first, again)
		}
		y := x
		y.Files = oneFile("b")
		if changed := saw(y); changed.N != 2 {
			t.Errorf("%+v", changed)
		}
		y.Project = "P2" // another project that reads the same learns nothing of the first
		if theirs := saw(y); theirs.N != 3 || theirs.FirstSeenBy != "EXEC-2" || theirs.Project != "P2" {
			t.Errorf("%+v", theirs)
		}
		k.change(func(tx *db.Tx) error {
			for n, want := range map[int64]int64{0: 3, 1: 1, 2: 2} {
				if got, err := k.ExternalIn(tx, first.ExternalID, n); err != nil || got.N != want || len(got.Files) != 1 || got.Bytes != 1 {
					t.Errorf("%d: %+v, %v", n, got, err)
				}
			}
			for _, id := range []string{"ext:000000000000", "ext:x", ""} {
				if _, err := k.ExternalIn(tx, id, 0); caos.KindOf(err) != caos.NotFound {
					t.Errorf("%s: %v", id, err)
				}
			}
			return nil
		})
		for _, bad := range []External{{URI: "", Files: oneFile("a")}, {URI: "x"}, {URI: "a\x00", Files: oneFile("a")}} {
			if err := k.d.Update(t.Context(), func(tx *db.Tx) error { _, err := k.Saw(tx, bad); return err }); caos.KindOf(err) != caos.Invalid {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}
