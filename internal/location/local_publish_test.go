package location_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"caos"
	"caos/internal/location"
)

// published is what TestPublishLocal does with one kind of target.
type published struct {
	target string            // behind the root
	files  []string          // names of what is published; the content is "new " and the name
	before map[string]string // below the root
	after  map[string]string
}

func kinds() map[string]published {
	return map[string]published{
		"file, new":      {"a/x.csv", []string{"x.csv"}, nil, map[string]string{"a/x.csv": "new x.csv"}},
		"file, replaced": {"a/x.csv", []string{"x.csv"}, map[string]string{"a/x.csv": "old", "a/y.csv": "y"}, map[string]string{"a/x.csv": "new x.csv", "a/y.csv": "y"}},
		"folder, new":    {"a/b/", []string{"1.csv", "k=v/2.csv"}, nil, map[string]string{"a/b/1.csv": "new 1.csv", "a/b/k=v/2.csv": "new k=v/2.csv"}},
		"folder, replaced": {"a/b/", []string{"1.csv", "k=v/2.csv"}, map[string]string{"a/b/0.csv": "old", "a/b/1.csv": "old", "a/b/k=u/2.csv": "old", "a/c": "c"},
			map[string]string{"a/b/1.csv": "new 1.csv", "a/b/k=v/2.csv": "new k=v/2.csv", "a/c": "c"}},
		"one file in a folder": {"b/", []string{"1.csv"}, map[string]string{"b/0": "old"}, map[string]string{"b/1.csv": "new 1.csv"}},
	}
}

type bench struct {
	*location.Locations
	root string
	pub  location.Publication
	kind published
}

func newBench(t *testing.T, k published) *bench {
	t.Helper()
	b := &bench{root: t.TempDir(), kind: k}
	for name, text := range k.before {
		write(t, filepath.Join(b.root, name), text)
	}
	src := t.TempDir()
	b.pub = location.Publication{Key: "EXEC-1/publish/t", Target: "file://" + b.root + "/" + k.target, Folder: src}
	for _, name := range k.files {
		write(t, filepath.Join(src, name), "new "+name)
		b.pub.Files = append(b.pub.Files, location.Local{Path: name, Name: name, Digest: sha("new " + name)})
	}
	b.Locations = open(t, location.Options{TargetRoots: []string{b.root}})
	return b
}

// is compares what is visible, and whether anything is kept aside.
func (b *bench) is(t *testing.T, when string, want map[string]string, aside bool) {
	t.Helper()
	got := files(t, b.root)
	kept := false
	maps.DeleteFunc(got, func(name, _ string) bool {
		hidden := strings.Contains(name, ".caos-")
		kept = kept || hidden
		return hidden
	})
	if want == nil {
		want = map[string]string{}
	}
	if !same(got, want) {
		t.Errorf("%s: %v, want %v", when, got, want)
	}
	if !aside {
		if left, _ := filepath.Glob(b.root + "/*/.caos-*"); len(left) > 0 {
			t.Errorf("%s: %v is left", when, left)
		}
		if left, _ := filepath.Glob(b.root + "/.caos-*"); len(left) > 0 {
			t.Errorf("%s: %v is left", when, left)
		}
	}
}

func (b *bench) stage(t *testing.T) *location.Staged {
	t.Helper()
	var last, of int64
	st, err := b.Stage(t.Context(), b.pub, func(done, total int64) { last, of = done, total })
	if err != nil {
		t.Fatal(err)
	}
	if last != of || of == 0 {
		t.Errorf("progress ended at %d of %d", last, of)
	}
	for _, f := range st.Files {
		if f.Digest != sha("new "+f.Name) || !strings.HasPrefix(f.URI, "file:///") {
			t.Errorf("%+v", f)
		}
	}
	return roundTrip(t, st)
}

func do(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// TestPublishLocal takes every kind of target through each order of the steps, each step
// done twice.
func TestPublishLocal(t *testing.T) {
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			twice := func(what string, step func() error) {
				t.Helper()
				for i := range 2 {
					do(t, fmt.Sprintf("%s, time %d", what, i+1), step())
				}
			}
			t.Run("commit, finish", func(t *testing.T) {
				b := newBench(t, k)
				b.stage(t)
				b.is(t, "staged", k.before, true)
				st := b.stage(t)
				twice("commit", func() error { return b.Commit(t.Context(), st) })
				b.is(t, "committed", k.after, true)
				twice("finish", func() error { return b.Finish(t.Context(), st) })
				b.is(t, "finished", k.after, false)
				do(t, "a late commit", b.Commit(t.Context(), st))
				b.is(t, "after all", k.after, false)
			})
			t.Run("undo", func(t *testing.T) {
				b := newBench(t, k)
				st := b.stage(t)
				twice("undo", func() error { return b.Undo(t.Context(), st) })
				b.is(t, "undone", k.before, false)
				if err := b.Commit(t.Context(), st); caos.AsError(err).Rule != "staged-lost" {
					t.Errorf("commit of what was undone: %v", err)
				}
				b.is(t, "refused", k.before, false)
			})
			t.Run("commit, undo", func(t *testing.T) {
				b := newBench(t, k)
				st := b.stage(t)
				do(t, "commit", b.Commit(t.Context(), st))
				twice("undo", func() error { return b.Undo(t.Context(), st) })
				b.is(t, "undone", k.before, false)
			})
			t.Run("stage that never answered, undo by key", func(t *testing.T) {
				b := newBench(t, k)
				b.stage(t)
				twice("undo", func() error {
					return b.Undo(t.Context(), &location.Staged{Key: b.pub.Key, Target: b.pub.Target, Scope: b.pub.Scope})
				})
				b.is(t, "undone", k.before, false)
			})
			t.Run("finish before commit", func(t *testing.T) {
				b := newBench(t, k)
				st := b.stage(t)
				if err := b.Finish(t.Context(), st); caos.AsError(err).Rule != "not-committed" {
					t.Errorf("%v", err)
				}
				do(t, "commit", b.Commit(t.Context(), st))
				b.is(t, "committed", k.after, true)
			})
		})
	}
}

// TestPublishLocalKilled leaves the disk as a process does that dies between the two renames
// of Commit, or between those of Undo, and goes on from there both ways.
func TestPublishLocalKilled(t *testing.T) {
	for name, k := range kinds() {
		if k.before == nil {
			continue // there is one rename alone
		}
		aside := func(t *testing.T, b *bench) (target, fresh, old string) {
			t.Helper()
			target = filepath.Join(b.root, strings.TrimSuffix(k.target, "/"))
			found, err := filepath.Glob(filepath.Dir(target) + "/.caos-*")
			if err != nil || len(found) != 1 {
				t.Fatalf("%v, %v", found, err)
			}
			return target, found[0] + "/new", found[0] + "/old"
		}
		exchange := func(t *testing.T, a, b string) {
			t.Helper()
			tmp := a + ".swap"
			for _, step := range [][2]string{{a, tmp}, {b, a}, {tmp, b}} {
				do(t, "exchange", os.Rename(step[0], step[1]))
			}
		}
		for end, finish := range map[string]func(*testing.T, *bench, *location.Staged){
			"on": func(t *testing.T, b *bench, st *location.Staged) {
				do(t, "commit", b.Commit(t.Context(), st))
				b.is(t, "committed", k.after, true)
				do(t, "undo", b.Undo(t.Context(), st))
				b.is(t, "undone", k.before, false)
			},
			"back": func(t *testing.T, b *bench, st *location.Staged) {
				do(t, "undo", b.Undo(t.Context(), st))
				b.is(t, "undone", k.before, false)
			},
		} {
			t.Run(name+", commit died after the exchange, "+end, func(t *testing.T) {
				b := newBench(t, k)
				st := b.stage(t)
				target, fresh, _ := aside(t, b)
				exchange(t, target, fresh)
				finish(t, b, st)
			})
			t.Run(name+", commit died without exchange, "+end, func(t *testing.T) {
				b := newBench(t, k)
				st := b.stage(t)
				target, _, old := aside(t, b)
				do(t, "rename", os.Rename(target, old))
				finish(t, b, st)
			})
		}
		t.Run(name+", undo died after the exchange", func(t *testing.T) {
			b := newBench(t, k)
			st := b.stage(t)
			do(t, "commit", b.Commit(t.Context(), st))
			target, _, old := aside(t, b)
			exchange(t, target, old)
			do(t, "undo", b.Undo(t.Context(), st))
			b.is(t, "undone", k.before, false)
		})
		t.Run(name+", undo died without exchange", func(t *testing.T) {
			b := newBench(t, k)
			st := b.stage(t)
			do(t, "commit", b.Commit(t.Context(), st))
			target, fresh, _ := aside(t, b)
			do(t, "rename", os.Rename(target, fresh))
			do(t, "undo", b.Undo(t.Context(), st))
			b.is(t, "undone", k.before, false)
		})
		t.Run(name+", somebody else has published since", func(t *testing.T) {
			b := newBench(t, k)
			st := b.stage(t)
			do(t, "commit", b.Commit(t.Context(), st))
			target, _, _ := aside(t, b)
			do(t, "remove", os.RemoveAll(target))
			write(t, target, "theirs")
			if err := b.Undo(t.Context(), st); caos.AsError(err).Rule != "target-changed" {
				t.Errorf("%v", err)
			}
			if read(t, target) != "theirs" {
				t.Error("their file is gone")
			}
			if _, err := b.Stage(t.Context(), b.pub, nil); caos.AsError(err).Rule != "target-changed" && caos.AsError(err).Rule != "target-kind" {
				t.Errorf("staged over what was kept: %v", err)
			}
		})
	}
}

func TestPublishLocalRefusals(t *testing.T) {
	name := func(n ...string) func(*bench) {
		return func(b *bench) {
			b.pub.Files = nil
			for _, n := range n {
				b.pub.Files = append(b.pub.Files, location.Local{Path: "1.csv", Name: n})
			}
		}
	}
	for what, c := range map[string]struct {
		change func(*bench)
		kind   caos.Kind
	}{
		"no files":          {name(), caos.Invalid},
		"leads up":          {name("../1.csv"), caos.Invalid},
		"absolute":          {name("/1.csv"), caos.Invalid},
		"control":           {name("a\nb"), caos.Invalid},
		"twice":             {name("a", "a"), caos.Invalid},
		"file and folder":   {name("a", "a/b"), caos.Invalid},
		"folder and file":   {name("a/b", "a"), caos.Invalid},
		"pattern":           {func(b *bench) { b.pub.Target = "file://" + b.root + "/a/*" }, caos.Invalid},
		"root itself":       {func(b *bench) { b.pub.Target = "file://" + b.root + "/" }, caos.Denied},
		"outside":           {func(b *bench) { b.pub.Target = "file:///tmp/x/" }, caos.Denied},
		"another digest":    {func(b *bench) { b.pub.Files[0].Digest = sha("other") }, caos.Conflict},
		"no such file":      {func(b *bench) { b.pub.Files[0].Path = "none" }, caos.NotFound},
		"file leads out":    {func(b *bench) { _ = os.Symlink("/etc/passwd", b.pub.Folder+"/l"); b.pub.Files[0].Path = "l" }, caos.Denied},
		"path leads out":    {func(b *bench) { b.pub.Files[0].Path = "../../etc/passwd" }, caos.Denied},
		"pipe":              {func(b *bench) { _ = syscall.Mkfifo(b.pub.Folder+"/p", 0o600); b.pub.Files[0].Path = "p" }, caos.Invalid},
		"target is a file":  {func(b *bench) { b.pub.Target = "file://" + b.root + "/a/c/" }, caos.Conflict},
		"target is a link":  {func(b *bench) { _ = os.Symlink("c", b.root+"/a/l"); b.pub.Target = "file://" + b.root + "/a/l/" }, caos.Conflict},
		"parent is a link":  {func(b *bench) { _ = os.Symlink("/tmp", b.root+"/a/l"); b.pub.Target = "file://" + b.root + "/a/l/x/" }, caos.Denied},
		"file for a folder": {func(b *bench) { b.pub.Target = "file://" + b.root + "/a/b"; name("x")(b) }, caos.Conflict},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBench(t, kinds()["folder, replaced"])
			c.change(b)
			_, err := b.Stage(t.Context(), b.pub, nil)
			if caos.KindOf(err) != c.kind {
				t.Errorf("%v, want %s", err, c.kind)
			}
			b.is(t, "refused", b.kind.before, false)
		})
	}
}

// TestPublishDiskFull has a disk of a megabyte, which only root can make.
func TestPublishDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("no disk of a megabyte can be made here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	write(t, filepath.Join(dir, "t/old"), "old")
	src := write(t, filepath.Join(t.TempDir(), "big"), strings.Repeat("x", 2<<20))
	l := open(t, location.Options{TargetRoots: []string{dir}, Roots: []string{filepath.Dir(src)}})
	_, err := l.Stage(t.Context(), location.Publication{Key: "k", Target: "file://" + dir + "/t/", Files: []location.Local{{Path: src, Name: "big"}}}, nil)
	if e := caos.AsError(err); e.Kind != caos.Full || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if got := files(t, dir); !same(got, map[string]string{"t/old": "old"}) {
		t.Errorf("%d files", len(got))
	}
	found, err := l.Probe(t.Context(), "file://"+src, location.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Fetch(t.Context(), found[0], location.Scope{}, filepath.Join(dir, "x"), nil); caos.KindOf(err) != caos.Full {
		t.Errorf("%v", err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("a half fetched file is left: %d", len(got))
	}
	// What fits is published on this file system, too.
	small := write(t, filepath.Join(t.TempDir(), "small"), "small")
	st, err := l.Stage(t.Context(), location.Publication{Key: "k", Target: "file://" + dir + "/t/", Files: []location.Local{{Path: small, Name: "small"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	do(t, "commit", l.Commit(t.Context(), st))
	do(t, "finish", l.Finish(t.Context(), st))
	if got := files(t, dir); !same(got, map[string]string{"t/small": "small"}) {
		t.Errorf("%v", got)
	}
}
