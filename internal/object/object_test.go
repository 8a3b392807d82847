package object_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/object"
)

// clock is a clock that tests move by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "SHA256:" + hex.EncodeToString(sum[:])
}

func open(t *testing.T, d *db.DB) (*object.Store, string, *clock) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "objects")
	c := &clock{t: time.Now()}
	s, err := object.Open(dir, d, c.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, dir, c
}

func put(t *testing.T, s *object.Store, text string) object.Ref {
	t.Helper()
	ref, err := s.Put(t.Context(), strings.NewReader(text), object.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func bind(t *testing.T, s *object.Store, d *db.DB, ref object.Ref, b object.Binding) {
	t.Helper()
	if err := d.Update(t.Context(), func(tx *db.Tx) error { return s.Bind(tx, ref, b) }); err != nil {
		t.Fatal(err)
	}
}

// files lists every file in the store, tmp included.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func onDisk(dir, digest string) string {
	h := strings.TrimPrefix(digest, "SHA256:")
	return filepath.Join(dir, h[:2], h[2:])
}

func TestPutAndOpen(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		s, dir, _ := open(t, d)
		for _, size := range []int{0, 1, 127 << 10, 128 << 10, 128<<10 + 1, 3 << 20} {
			content := make([]byte, size)
			rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)}).Read(content)
			ref, err := s.Put(t.Context(), iotest.HalfReader(bytes.NewReader(content)), object.PutOptions{ExpectSHA256: digest(content), ExpectSize: int64(size)})
			if err != nil || ref.Digest != digest(content) || ref.Size != int64(size) {
				t.Fatal(ref, err)
			}
			fi, err := os.Stat(onDisk(dir, ref.Digest))
			if err != nil || fi.Mode().Perm() != 0o440 {
				t.Fatal(fi.Mode(), err)
			}
			again, err := s.Put(t.Context(), bytes.NewReader(content), object.PutOptions{})
			if err != nil || again != ref {
				t.Fatal(again, err)
			}
			bind(t, s, d, ref, object.Binding{Owner: "o", Kind: "artifact"})
			r, n, err := s.VerifyReader(ref.Digest)
			if err != nil || n != ref.Size {
				t.Fatal(n, err)
			}
			got, err := io.ReadAll(r)
			r.Close()
			if err != nil || !bytes.Equal(got, content) {
				t.Fatal("other bytes came back", err)
			}
		}
		if n := len(files(t, dir)); n != 6 {
			t.Fatalf("%d files for 6 objects", n)
		}
		if _, err := s.Stat(digest([]byte("absent"))); caos.KindOf(err) != caos.NotFound {
			t.Fatal(err)
		}
		for _, bad := range []string{"", "SHA256:", "sha256:" + strings.Repeat("a", 64), "SHA256:" + strings.Repeat("A", 64), "SHA256:../../" + strings.Repeat("a", 58), strings.Repeat("a", 64)} {
			if _, _, err := s.Open(bad); caos.KindOf(err) != caos.Invalid {
				t.Errorf("%q: %v", bad, err)
			}
		}
	})
}

// TestRefusedUploads checks that whatever is refused leaves nothing behind.
func TestRefusedUploads(t *testing.T) {
	s, dir, _ := open(t, dbtest.Open(t, db.SQLite))
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	big := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		ctx  context.Context
		r    io.Reader
		opt  object.PutOptions
		kind caos.Kind
	}{
		"too large":      {t.Context(), strings.NewReader(big), object.PutOptions{MaxBytes: 1<<20 - 1}, caos.TooLarge},
		"endless":        {t.Context(), endless{}, object.PutOptions{MaxBytes: 10 << 20}, caos.TooLarge},
		"other digest":   {t.Context(), strings.NewReader("a"), object.PutOptions{ExpectSHA256: digest([]byte("b"))}, caos.Invalid},
		"no digest":      {t.Context(), strings.NewReader("a"), object.PutOptions{ExpectSHA256: "SHA256:zz"}, caos.Invalid},
		"short":          {t.Context(), strings.NewReader("a"), object.PutOptions{ExpectSize: 2}, caos.Invalid},
		"long":           {t.Context(), strings.NewReader("abc"), object.PutOptions{ExpectSize: 2}, caos.Invalid},
		"broke off":      {t.Context(), io.MultiReader(strings.NewReader(big), iotest.ErrReader(io.ErrUnexpectedEOF)), object.PutOptions{}, caos.Invalid},
		"errs at once":   {t.Context(), iotest.ErrReader(errors.New("broken")), object.PutOptions{}, caos.Invalid},
		"own error":      {t.Context(), iotest.ErrReader(caos.Errorf(caos.Denied, "no")), object.PutOptions{}, caos.Denied},
		"data and error": {t.Context(), iotest.DataErrReader(io.MultiReader(strings.NewReader("x"), iotest.ErrReader(errors.New("broken")))), object.PutOptions{}, caos.Invalid},
		"cancelled":      {cancelled, strings.NewReader("a"), object.PutOptions{}, caos.Unavailable},
	} {
		if _, err := s.Put(c.ctx, c.r, c.opt); caos.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
		if left := files(t, dir); len(left) > 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestMemoryIsBounded(t *testing.T) {
	s, _, _ := open(t, dbtest.Open(t, db.SQLite))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := s.Put(t.Context(), io.LimitReader(endless{}, 64<<20), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
		t.Fatalf("64 MiB took %d bytes of memory", used)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no right to mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	s, err := object.Open(filepath.Join(dir, "objects"), dbtest.Open(t, db.SQLite), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ref := put(t, s, "small")
	if _, err := s.Put(t.Context(), io.LimitReader(endless{}, 2<<20), object.PutOptions{}); caos.KindOf(err) != caos.Full {
		t.Fatal(err)
	}
	if got := files(t, filepath.Join(dir, "objects")); len(got) != 1 {
		t.Fatalf("left %v", got)
	}
	if _, err := s.Stat(ref.Digest); err != nil {
		t.Fatal(err)
	}
	put(t, s, "there is room again")
}

// TestChangedOnDisk changes files behind the store's back.
func TestChangedOnDisk(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		s, dir, c := open(t, d)
		var refs []object.Ref
		for i := range 5 {
			ref := put(t, s, fmt.Sprintf("object %d", i))
			bind(t, s, d, ref, object.Binding{Owner: fmt.Sprint("owner-", i), Kind: "artifact"})
			refs = append(refs, ref)
		}
		loose := put(t, s, "nobody's")
		overwrite := func(ref object.Ref, b string) {
			p := onDisk(dir, ref.Digest)
			os.Chmod(p, 0o600)
			if err := os.WriteFile(p, []byte(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		overwrite(refs[0], "0bject 0")
		overwrite(refs[1], "longer than before")
		os.Remove(onDisk(dir, refs[2].Digest))
		os.WriteFile(filepath.Join(dir, "stray"), nil, 0o600)
		os.WriteFile(filepath.Join(filepath.Dir(onDisk(dir, refs[3].Digest)), "stray"), nil, 0o600)

		got := map[string]int{}
		good, err := s.Verify(t.Context(), func(p object.Problem) { got[p.Kind+" "+p.Digest]++ })
		if err != nil || good != 2 {
			t.Fatal(good, err)
		}
		want := map[string]int{"changed " + refs[0].Digest: 1, "changed " + refs[1].Digest: 1, "missing " + refs[2].Digest: 1, "extra ": 2}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("got %v\nwant %v", got, want)
		}
		c.add(8 * 24 * time.Hour)
		got = map[string]int{}
		if _, err := s.Verify(t.Context(), func(p object.Problem) { got[p.Kind+" "+p.Digest]++ }); err != nil || got["extra "+loose.Digest] != 1 {
			t.Fatal(got, err)
		}

		if _, _, err := s.Open(refs[1].Digest); caos.KindOf(err) != caos.Internal {
			t.Fatal(err)
		}
		r, _, err := s.VerifyReader(refs[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if _, err := io.ReadAll(r); caos.KindOf(err) != caos.Internal {
			t.Fatal(err)
		}
		for i := range 2 { // the true bytes do not quietly take the place of changed ones
			if _, err := s.Put(t.Context(), strings.NewReader(fmt.Sprintf("object %d", i)), object.PutOptions{}); caos.KindOf(err) != caos.Internal {
				t.Fatal(err)
			}
		}
		if ref := put(t, s, "object 2"); ref != refs[2] {
			t.Fatal(ref)
		}
	})
}

func TestSweep(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		s, dir, c := open(t, d)
		bound, loose, again := put(t, s, "bound"), put(t, s, "loose"), put(t, s, "again")
		bind(t, s, d, bound, object.Binding{Owner: "o", Kind: "k"})
		os.WriteFile(filepath.Join(dir, "tmp", "BROKEN"), []byte("half"), 0o600)
		sweep := func(want int) {
			t.Helper()
			if n, err := s.Sweep(t.Context()); err != nil || n != want {
				t.Fatal(n, err)
			}
		}
		sweep(0)
		c.add(6 * 24 * time.Hour)
		put(t, s, "again") // young again
		c.add(2 * 24 * time.Hour)
		sweep(1)
		for ref, there := range map[object.Ref]bool{bound: true, loose: false, again: true} {
			if _, err := s.Stat(ref.Digest); (err == nil) != there {
				t.Errorf("%v: %v", ref, err)
			}
		}
		if left := files(t, dir); len(left) != 2 {
			t.Errorf("left %v", left)
		}
		c.add(30 * 24 * time.Hour)
		sweep(1)
		sweep(0)
	})
}

// TestDeadSweep finds what a sweep had moved aside when it died: what is referred to goes
// back, the rest goes away, and what was moved just now is left to whoever moved it.
func TestDeadSweep(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	s, dir, c := open(t, d)
	bound, loose, fresh := put(t, s, "bound"), put(t, s, "loose"), put(t, s, "fresh")
	bind(t, s, d, bound, object.Binding{Owner: "o", Kind: "k"})
	for ref, at := range map[object.Ref]time.Time{bound: c.now(), loose: c.now(), fresh: c.now().Add(9 * 24 * time.Hour)} {
		aside := filepath.Join(dir, "tmp", fmt.Sprintf("aside-%s-%d-X", strings.TrimPrefix(ref.Digest, "SHA256:"), at.Unix()))
		if err := os.Rename(onDisk(dir, ref.Digest), aside); err != nil {
			t.Fatal(err)
		}
	}
	c.add(9 * 24 * time.Hour)
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(bound.Digest); err != nil {
		t.Error(err)
	}
	if left := files(t, dir); len(left) != 2 {
		t.Errorf("left %v", left)
	}
	c.add(2 * time.Hour)
	if _, err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// TestSweepRacesPut sweeps all the time while old, unbound objects are put again and then
// bound: none may be lost.
func TestSweepRacesPut(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	s, dir, c := open(t, d)
	const n = 40
	old := c.now().Add(-8 * 24 * time.Hour)
	for i := range n {
		if err := os.Chtimes(onDisk(dir, put(t, s, fmt.Sprint("content ", i)).Digest), old, old); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	var sweeps sync.WaitGroup
	for range 2 {
		sweeps.Go(func() {
			for {
				if _, err := s.Sweep(context.Background()); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	var puts sync.WaitGroup
	for w := range 4 {
		puts.Go(func() {
			for i := w * n / 4; i < (w+1)*n/4; i++ {
				ref, err := s.Put(context.Background(), strings.NewReader(fmt.Sprint("content ", i)), object.PutOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				if err := d.Update(context.Background(), func(tx *db.Tx) error { return s.Bind(tx, ref, object.Binding{Owner: "o", Kind: "k"}) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	puts.Wait()
	close(done)
	sweeps.Wait()
	good, err := s.Verify(t.Context(), func(p object.Problem) { t.Error(p) })
	if err != nil || good != n {
		t.Fatal(good, err)
	}
}

func TestBind(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		s, _, c := open(t, d)
		ref := put(t, s, "x")
		late := c.now().Add(10 * 365 * 24 * time.Hour).Truncate(time.Microsecond).UTC()
		bind(t, s, d, ref, object.Binding{Owner: "a", Kind: "artifact", RetainUntil: late, Hold: true, Project: "p", Classification: "Restricted"})
		bind(t, s, d, ref, object.Binding{Owner: "a", Kind: "artifact", RetainUntil: c.now()}) // floors are only raised
		bind(t, s, d, ref, object.Binding{Owner: "b", Kind: "artifact"})
		refs, err := s.References(t.Context(), ref.Digest)
		if err != nil || len(refs) != 2 || !refs[0].RetainUntil.Equal(late) || !refs[0].Hold || refs[0].Classification != "Restricted" || refs[1].Owner != "b" {
			t.Fatal(refs, err)
		}
		// A transaction that fails leaves no row, and the object to the sweep.
		loose := put(t, s, "loose")
		err = d.Update(t.Context(), func(tx *db.Tx) error {
			if err := s.Bind(tx, loose, object.Binding{Owner: "c", Kind: "artifact"}); err != nil {
				return err
			}
			return caos.Errorf(caos.Denied, "no")
		})
		if caos.KindOf(err) != caos.Denied {
			t.Fatal(err)
		}
		if refs, err := s.References(t.Context(), loose.Digest); err != nil || len(refs) != 0 {
			t.Fatal(refs, err)
		}
	})
}

func BenchmarkPut1KB(b *testing.B) {
	s, err := object.Open(b.TempDir(), dbtest.Open(b, db.SQLite), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Put(b.Context(), strings.NewReader(fmt.Sprintf("%01000d", i)), object.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSentBy: an upload is known as somebody's for as long as it may wait for its first row.
func TestSentBy(t *testing.T) {
	dbtest.Run(t, func(t *testing.T, d *db.DB) {
		s, _, clk := open(t, d)
		ref := put(t, s, "bytes")
		sent := func(who string) {
			err := d.Write(t.Context(), func(tx *db.Tx) error {
				s.Sent(tx, ref.Digest, who)
				return tx.Err()
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		by := func(digest, who string) bool {
			ok, err := s.SentBy(t.Context(), digest, who)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		sent("ada")
		sent("ada")
		if !by(ref.Digest, "ada") || by(ref.Digest, "bob") || by("SHA256:"+strings.Repeat("0", 64), "ada") {
			t.Error("who sent what is mixed up")
		}
		clk.add(object.Grace + time.Hour)
		sent("bob")
		if by(ref.Digest, "ada") || !by(ref.Digest, "bob") {
			t.Error("an old upload counts, or a new one does not")
		}
		if _, err := s.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT count(*) FROM uploads`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d rows after a sweep: %v", n, err)
		}
	})
}
