package faults

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"caos/bench/faults/freezing"
	"caos/bench/faults/reviewing"
	"caos/internal/evidence"
	"caos/internal/verify"
)

// packages exports what there is of each model to the authority, and lets caos-verify
// compute every outcome again.
func (x *audit) packages(ctx context.Context) error {
	trust, err := x.Log.Trust(ctx)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(trust)
	if err != nil {
		return err
	}
	file, exported := filepath.Join(x.dir, "trust.json"), filepath.Join(x.dir, "package.tar")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	last := ""
	for i := range x.f.versions {
		id := reviewing.Package(freezing.Version(i))
		if id == last {
			continue
		}
		last = id
		w, err := os.Create(exported)
		if err != nil {
			return err
		}
		if err := errors.Join(x.Evidence.Export(ctx, id, evidence.Authority, nil, w), w.Close()); err != nil {
			x.v.problem("export of %s: %v", id, err)
			continue
		}
		var said, failed bytes.Buffer
		if code := verify.Main([]string{"--trust", file, exported}, &said, &failed, false); code != verify.ExitOK {
			x.v.problem("the package %s does not verify (%d): %s", id, code, cmp.Or(failed.String(), said.String()))
			continue
		}
		n, err := decisionsIn(exported)
		if err != nil {
			return err
		}
		if of, err := column(ctx, x.DB, `SELECT decision_id FROM decisions WHERE model_id=$1`, freezing.Version(i).Model()); err != nil || n != len(of) {
			x.v.problem("the package %s has %d decisions of %d (%v)", id, n, len(of), err)
		}
		x.v.Reviews.Packages++
	}
	return nil
}

// decisionsIn counts the decisions in a package.
func decisionsIn(file string) (n int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if strings.Contains(h.Name, "decisions/") && strings.HasSuffix(h.Name, ".json") {
			n++
		}
	}
}
