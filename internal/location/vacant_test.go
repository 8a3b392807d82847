package location_test

import (
	"os"
	"path/filepath"
	"testing"

	"caos"
	"caos/internal/location"
	"caos/internal/location/s3test"
)

// A publisher that has never been at a folder does not replace what others have put there,
// neither before it stages nor between that and the commit. What it has itself published,
// an empty folder and none are replaced. Mutation that makes this fail: vacant returns nil.
func TestPublishLocalVacant(t *testing.T) {
	occupied := func(t *testing.T, b *bench, err error, want map[string]string) {
		t.Helper()
		if e := caos.AsError(err); err == nil || e.Rule != "target-occupied" || e.Field != "target" || e.Hint == "" {
			t.Errorf("%+v", err)
		}
		b.is(t, "refused", want, true)
	}
	k := kinds()["folder, replaced"]
	t.Run("full", func(t *testing.T) {
		b := newBench(t, k)
		b.pub.New = true
		_, err := b.Stage(t.Context(), b.pub, nil)
		occupied(t, b, err, k.before)
		do(t, "undo by key", b.Undo(t.Context(), &location.Staged{Key: b.pub.Key, Target: b.pub.Target}))
		b.is(t, "undone", k.before, false)
	})
	t.Run("empty", func(t *testing.T) {
		b := newBench(t, kinds()["folder, new"])
		b.pub.New = true
		if err := os.MkdirAll(filepath.Join(b.root, "a/b"), 0o755); err != nil {
			t.Fatal(err)
		}
		st := b.stage(t)
		do(t, "commit", b.Commit(t.Context(), st))
		do(t, "commit again", b.Commit(t.Context(), st)) // it is full of our own now
		do(t, "finish", b.Finish(t.Context(), st))
		b.is(t, "finished", b.kind.after, false)
	})
	t.Run("filled since", func(t *testing.T) {
		b := newBench(t, kinds()["folder, new"])
		b.pub.New = true
		st := b.stage(t)
		write(t, filepath.Join(b.root, "a/b/theirs"), "x")
		occupied(t, b, b.Commit(t.Context(), st), map[string]string{"a/b/theirs": "x"})
		do(t, "undo", b.Undo(t.Context(), st))
		b.is(t, "undone", map[string]string{"a/b/theirs": "x"}, false)
	})
	t.Run("one file", func(t *testing.T) {
		b := newBench(t, kinds()["file, replaced"])
		b.pub.New = true
		st := b.stage(t)
		do(t, "commit", b.Commit(t.Context(), st))
		do(t, "finish", b.Finish(t.Context(), st))
		b.is(t, "finished", b.kind.after, false)
	})
}

func TestPublishS3Vacant(t *testing.T) {
	s := s3test.Start(t, "lake")
	occupied := func(t *testing.T, err error) {
		t.Helper()
		if e := caos.AsError(err); err == nil || e.Rule != "target-occupied" || e.Field != "target" {
			t.Errorf("%+v", err)
		}
	}
	t.Run("full", func(t *testing.T) {
		k := kinds()["folder, replaced"]
		b := newS3Bench(t, s, s.URL, k)
		b.pub.New = true
		_, err := b.Stage(t.Context(), b.pub, nil)
		occupied(t, err)
		b.is(t, "refused", k.before, false)
	})
	t.Run("filled since", func(t *testing.T) {
		k := kinds()["folder, new"]
		b := newS3Bench(t, s, s.URL, k)
		b.pub.New = true
		st := b.stage(t)
		s.Put(t, "lake", "a/b/1.csv", "theirs")
		occupied(t, b.Commit(t.Context(), st))
		do(t, "undo", b.Undo(t.Context(), st))
		b.is(t, "undone", map[string]string{"a/b/1.csv": "theirs"}, false)
	})
	t.Run("empty", func(t *testing.T) {
		b := newS3Bench(t, s, s.URL, kinds()["folder, new"])
		b.pub.New = true
		st := b.stage(t)
		for range 2 {
			do(t, "commit", b.Commit(t.Context(), st))
		}
		do(t, "finish", b.Finish(t.Context(), st))
		b.is(t, "finished", b.kind.after, false)
	})
}
