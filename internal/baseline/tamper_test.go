package baseline

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"caos"
	"caos/internal/sign"
	"caos/internal/verify"
)

// TestVerifyNames: whatever is done to a baseline, Verify names it.
func TestVerifyNames(t *testing.T) {
	ctx := context.Background()
	signer, stranger := newSigner(t), newSigner(t)
	for _, c := range []struct {
		name    string
		harm    func(dir string) error // of the baseline's folder
		path    string
		kind    string
		message string
		more    int // problems besides
	}{
		{"a bit", func(d string) error { mangle(t, d+"/model.onnx"); return nil }, "model.onnx", Changed, "digest", 0},
		{"cut off", func(d string) error { return truncate(d+"/model.onnx", 5) }, "model.onnx", Changed, "digest", 0},
		{"emptied", func(d string) error { return truncate(d+"/model.onnx", 0) }, "model.onnx", Changed, "digest", 0},
		{"appended", func(d string) error { return truncate(d+"/sub/empty", 1) }, "sub/empty", Changed, "digest", 0},
		{"missing", func(d string) error { return os.Remove(d + "/sub/empty") }, "sub/empty", Missing, "missing", 0},
		{"extra", func(d string) error { return os.WriteFile(d+"/sub/extra", nil, 0o444) }, "sub/extra", Extra, "does not know", 0},
		{"hidden extra", func(d string) error { return os.WriteFile(d+"/.gitignore", nil, 0o444) }, ".gitignore", Extra, "does not know", 0},
		{"second bundle", func(d string) error { return os.WriteFile(d+"/sub/model.sig", nil, 0o444) }, "sub/model.sig", Extra, "does not know", 0},
		{"odd name", func(d string) error { return os.WriteFile(d+"/\xff\x1b[2J", nil, 0o444) }, "\uFFFD?[2J", Extra, "does not know", 0},
		{"empty folder", func(d string) error { return os.Mkdir(d+"/more", 0o555) }, "more", Extra, "a folder", 0},
		{"swapped", func(d string) error {
			return inOrder(func() error { return os.Rename(d+"/sub/empty", d+"/x") },
				func() error { return os.Rename(d+"/sub/deep/notes é.txt", d+"/sub/empty") },
				func() error { return os.Rename(d+"/x", d+"/sub/deep/notes é.txt") })
		}, "sub/deep/notes é.txt", Changed, "digest", 1},
		{"link to the same bytes", func(d string) error {
			return inOrder(func() error { return os.Rename(d+"/model.onnx", d+"/../../real") }, func() error { return os.Symlink(d+"/../../real", d+"/model.onnx") })
		}, "model.onnx", Changed, "a symbolic link", 0},
		{"folder by link", func(d string) error {
			return inOrder(func() error { return os.Rename(d+"/sub-x", d+"/../../real") }, func() error { return os.Symlink(d+"/../../real", d+"/sub-x") })
		}, "sub-x", Changed, "a symbolic link in the place of a folder", 1},
		{"pipe", func(d string) error {
			return inOrder(func() error { return os.Remove(d + "/sub/empty") }, func() error { return syscall.Mkfifo(d+"/sub/empty", 0o444) })
		}, "sub/empty", Changed, "a device, pipe or socket", 0},
		{"folder for a file", func(d string) error {
			return inOrder(func() error { return os.Remove(d + "/sub/empty") }, func() error { return os.Mkdir(d+"/sub/empty", 0o555) })
		}, "sub/empty", Changed, "a folder now", 0},
		{"mode", func(d string) error { return os.Chmod(d+"/model.onnx", 0o644) }, "model.onnx", Changed, "mode", 0},
		{"mode of a folder", func(d string) error { return os.Chmod(d+"/sub/deep", 0o777) }, "sub/deep", Changed, "mode", 0},
		{"setuid", func(d string) error { return syscall.Chmod(d+"/model.onnx", 0o4444) }, "model.onnx", Changed, "mode", 0},
		{"hard link", func(d string) error { return os.Link(d+"/model.onnx", d+"/../../second") }, "model.onnx", Changed, "second name", 0},
		{"no bundle", func(d string) error { return os.Remove(d + "/model.sig") }, "model.sig", Manifest, "no file", 0},
		{"bundle by link", func(d string) error {
			return inOrder(func() error { return os.Rename(d+"/model.sig", d+"/../../real") }, func() error { return os.Symlink(d+"/../../real", d+"/model.sig") })
		}, "model.sig", Manifest, "not a file", 0},
		{"bundle a pipe", func(d string) error {
			return inOrder(func() error { return os.Remove(d + "/model.sig") }, func() error { return syscall.Mkfifo(d+"/model.sig", 0o444) })
		}, "model.sig", Manifest, "not a file", 0},
		{"a bit of the bundle", func(d string) error { mangle(t, d+"/model.sig"); return nil }, "model.sig", "", "", -1},
		{"bundle emptied", func(d string) error { return truncate(d+"/model.sig", 0) }, "model.sig", Manifest, "JSON", 0},
		{"bundle by a stranger", func(d string) error { return resign(d, testID, stranger) }, "model.sig", Signature, "another key", 1},
		{"bundle of another baseline", func(d string) error { return resign(d, "BL-FCS-9.9.9", signer) }, "model.sig", Manifest, "BL-FCS-9.9.9", 1},
		{"bundle made anew", func(d string) error { return resign(d, testID, signer) }, "model.sig", Manifest, "replaced", 0},
		{"record gone", func(d string) error { return os.Remove(d + "/../" + recordName(testID)) }, ".", Manifest, "record", 0},
		{"all gone", func(d string) error { return RemoveAll(d) }, ".", Missing, "folder", 0},
		{"a file in its place", func(d string) error {
			return inOrder(func() error { return RemoveAll(d) }, func() error { return os.WriteFile(d, nil, 0o444) })
		}, ".", Changed, "not a folder", 0},
		{"a link in its place", func(d string) error {
			return inOrder(func() error { return os.Rename(d, d+"x") }, func() error { return os.Symlink(filepath.Base(d)+"x", d) })
		}, ".", Changed, "not a folder", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(tempDir(t), "baselines")
			s := openStore(t, dir)
			write(t, s, draft(signer))
			in := filepath.Join(dir, testID)
			modes := map[string]os.FileMode{}
			for _, d := range []string{"", "sub", "sub/deep", "sub-x"} {
				modes[d] = 0o555
				if err := os.Chmod(filepath.Join(in, d), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.harm(in); err != nil {
				t.Fatal(err)
			}
			for d, m := range modes {
				if info, err := os.Lstat(filepath.Join(in, d)); err == nil && info.IsDir() && info.Mode().Perm() == 0o755 {
					_ = os.Chmod(filepath.Join(in, d), m)
				}
			}
			problems, err := s.Verify(ctx, testID, signer.Public(), nil)
			if err != nil || len(problems) == 0 {
				t.Fatalf("not found: %v", err)
			}
			if c.more >= 0 && len(problems) != 1+c.more {
				t.Errorf("%+v", problems)
			}
			for _, p := range problems {
				if p.Path == c.path && (c.kind == "" || p.Kind == c.kind) && strings.Contains(p.Message, c.message) {
					return
				}
			}
			t.Errorf("not named: %+v", problems)
		})
	}
}

// truncate gives a read-only file a size.
func truncate(name string, size int64) error {
	return inOrder(func() error { return os.Chmod(name, 0o644) }, func() error { return os.Truncate(name, size) }, func() error { return os.Chmod(name, 0o444) })
}

// resign puts a bundle in the place of that of a folder: the same files, another name or
// signer.
func resign(dir, name string, signer sign.Signer) error {
	old, err := os.ReadFile(dir + "/model.sig")
	if err != nil {
		return err
	}
	b, err := verify.ParseModelBundle(old)
	if err != nil {
		return err
	}
	statement, _, err := verify.BuildModelStatement(name, b.Resources)
	if err != nil {
		return err
	}
	sig, err := signer.Sign(context.Background(), verify.PAE(verify.InTotoType, statement))
	if err != nil {
		return err
	}
	bundle, err := verify.MarshalModelBundle(statement, signer.Public(), signer.KeyID(), sig)
	if err != nil {
		return err
	}
	return inOrder(func() error { return os.Remove(dir + "/model.sig") }, func() error { return os.WriteFile(dir+"/model.sig", bundle, 0o444) })
}

func TestVerifyNothing(t *testing.T) {
	s, signer := openStore(t, tempDir(t)), newSigner(t)
	// Also when nothing is left of the whole store, a row may speak of it.
	problems, err := s.Verify(context.Background(), testID, signer.Public(), nil)
	if err != nil || len(problems) != 1 || problems[0].Kind != Missing {
		t.Errorf("%v %+v", err, problems)
	}
	write(t, s, draft(signer))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Verify(ctx, testID, signer.Public(), nil); caos.KindOf(err) != caos.Unavailable {
		t.Error(err)
	}
}
