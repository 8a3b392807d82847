package baseline

import (
	"context"
	"syscall"
	"testing"

	"caos"
)

// TestFullDisk: with no room for it, nothing is left, neither when a file does not fit at all
// nor when the disk fills up while files are written.
func TestFullDisk(t *testing.T) {
	signer := newSigner(t)
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("no small disk can be made here: %v", err)
	}
	defer syscall.Unmount(dir, syscall.MNT_DETACH)
	s := openStore(t, dir)
	defer s.Close()
	data := make([]byte, 1<<20)
	for name, files := range map[string][]Source{
		"one large file": {source("big", make([]byte, 5<<20))},
		"many":           {source("a", data), source("b", data), source("c", data), source("d", data), source("e", data)},
	} {
		_, err := s.Write(context.Background(), Draft{ID: testID, Owner: testOwner, Files: files, Signer: signer}, nil)
		if caos.KindOf(err) != caos.Full {
			t.Errorf("%s: %v", name, err)
		}
		if left := listing(t, dir); len(left) > 0 {
			t.Errorf("%s left %v", name, left)
		}
	}
	d := draft(signer)
	d.Files = d.Files[1:]
	write(t, s, d)
	intact(t, s, signer)
}
