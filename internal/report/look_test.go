package report

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLook writes the samples to the folder in CAOS_REPORT_LOOK, for people to look at.
func TestLook(t *testing.T) {
	folder := os.Getenv("CAOS_REPORT_LOOK")
	if folder == "" {
		t.Skip("CAOS_REPORT_LOOK names no folder")
	}
	for name, r := range map[string]*Review{"before": sample(beforeVotes), "decided": sample(afterDecision), "closed": sample(afterConditions), "large": large(), "empty": {}, "hostile": hostile()} {
		var h, p bytes.Buffer
		start := time.Now()
		if err := HTML(&h, r); err != nil {
			t.Fatal(err)
		}
		html := time.Since(start)
		start = time.Now()
		if err := PDF(&p, r); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: HTML %d bytes in %v, PDF %d bytes in %v", name, h.Len(), html, p.Len(), time.Since(start))
		for ext, b := range map[string]*bytes.Buffer{".html": &h, ".pdf": &p} {
			if err := os.WriteFile(filepath.Join(folder, name+ext), b.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
