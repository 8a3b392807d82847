package verify

import (
	"bytes"
	"testing"
	"time"
)

// BenchmarkPackage verifies a package with 10,000 evidence items; the budget is 2 s on two
// processors.
func BenchmarkPackage(b *testing.B) {
	w := newWorld(b, 10_000)
	file := w.write()
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Package(bytes.NewReader(file), int64(len(file)), w.trust, PackageOptions{})
		if err != nil || !r.OK {
			b.Fatal(err, failures(r))
		}
	}
	b.ReportMetric(10_000/(b.Elapsed().Seconds()/float64(b.N)), "items/s")
}

// BenchmarkParseLeaf is what verifying a whole log does for each record.
func BenchmarkParseLeaf(b *testing.B) {
	leaf := testLeaf(1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseLeaf(leaf); err != nil {
			b.Fatal(err)
		}
	}
}

// TestLargePackageInTime holds the budget loosely, since tests share the machine.
func TestLargePackageInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("makes a package of 10,000 items")
	}
	w := newWorld(t, 10_000)
	file := w.write()
	start := time.Now()
	r := w.verify(file)
	took := time.Since(start)
	if !r.OK || r.Evidence != 10_000 {
		t.Fatal(failures(r))
	}
	t.Logf("%d items, %d MB, %v", r.Evidence, len(file)>>20, took)
	if took > 10*time.Second {
		t.Errorf("verifying took %v", took)
	}
}
