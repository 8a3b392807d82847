package secret

import (
	"sync"
	"testing"
)

// Nodes that share the folder for keys rotate at once, and each seals something under the key
// that it made: all of it opens afterwards. Mutation that makes this fail: rotate without lock.
func TestRotateAtOnce(t *testing.T) {
	dir, ref := t.TempDir(), Ref{Path: "s3/lake", Key: "secret_key"}
	first := &ring{dir: dir}
	if err := first.make(); err != nil {
		t.Fatal(err)
	}
	const nodes, times = 4, 4
	var wait sync.WaitGroup
	sealed := make(chan []byte, nodes*times)
	for range nodes {
		wait.Add(1)
		go func() {
			defer wait.Done()
			r, err := openRing(dir)
			for range times {
				if err == nil {
					err = r.rotate()
				}
				var text []byte
				if err == nil {
					text, _, err = r.seal(ref, []byte("value"))
				}
				if err != nil {
					t.Error(err)
					return
				}
				sealed <- text
			}
		}()
	}
	wait.Wait()
	close(sealed)
	last, err := openRing(dir)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for text := range sealed {
		if value, err := last.open(ref, text); err == nil && string(value) == "value" {
			n++
		}
	}
	if n != nodes*times || len(last.older()) != nodes*times {
		t.Errorf("%d of %d values open; %d older keys", n, nodes*times, len(last.older()))
	}
}
