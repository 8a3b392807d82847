package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/evidence"
	"caos/internal/object"
)

// measureVerify measures `caos audit verify` of a whole log without a server.
func measureVerify(ctx context.Context, b *bench) ([]row, error) {
	records, limit := int64(1_000_000), 10.0
	if b.short {
		records = 50_000
	}
	dir := filepath.Join(b.dir, "verify")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	start := time.Now()
	if err := makeLog(ctx, dir, records); err != nil {
		return nil, err
	}
	b.say("made a log of %d records in %.0f s", records, time.Since(start).Seconds())
	var seconds []float64
	for range b.reps {
		start := time.Now()
		sum, err := auditlog.Verify(ctx, auditlog.VerifyOptions{DataDir: dir, Published: []auditlog.Sink{auditlog.NewFileSink(filepath.Join(dir, "checkpoints.txt"))}})
		if err != nil {
			return nil, err
		}
		if sum.Problems > 0 || sum.Records < records {
			return nil, fmt.Errorf("the log does not verify: %+v", sum)
		}
		seconds = append(seconds, time.Since(start).Seconds())
	}
	r := rated(fmt.Sprintf("audit verify, %d records of 1 KB", records), "s", seconds).atMost(limit)
	r = r.with("%.0f records/s; what caos audit verify runs, in this process", float64(records)/r.CAOS)
	if b.short {
		r.Verdict = partial
	}
	return []row{r}, nil
}

func makeLog(ctx context.Context, dir string, records int64) (err error) {
	s, err := openStack(ctx, stackOptions{url: "sqlite:" + filepath.Join(dir, "caos.db"), dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return s.append(ctx, records)
}

// measurePackage measures `caos-verify` of an exported package.
func measurePackage(ctx context.Context, b *bench) ([]row, error) {
	items := 10_000
	if b.short {
		items = 1000
	}
	dir := filepath.Join(b.dir, "package")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := makePackage(ctx, dir, items); err != nil {
		return nil, err
	}
	program := filepath.Join(b.bin, "caos-verify")
	if _, err := os.Stat(program); err != nil {
		program = filepath.Join(dir, "caos-verify")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "caos/cmd/caos-verify")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build caos-verify: %w: %s", err, out)
		}
	}
	file := filepath.Join(dir, "bench.caospkg")
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	var seconds []float64
	for range b.reps {
		start := time.Now()
		out, err := exec.CommandContext(ctx, program, file, "--trust", filepath.Join(dir, "trust.json")).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("caos-verify: %w: %s", err, tail(out))
		}
		seconds = append(seconds, time.Since(start).Seconds())
	}
	r := rated(fmt.Sprintf("caos-verify, package of %d items", items), "s", seconds).atMost(2).with("the program, from its start to its end; the package has %d MB", info.Size()>>20)
	if b.short {
		r.Verdict = partial
	}
	return []row{r}, nil
}

// makePackage writes a package of items, and the trust file, into dir.
func makePackage(ctx context.Context, dir string, items int) (err error) {
	s, err := openStack(ctx, stackOptions{url: "sqlite:" + filepath.Join(dir, "caos.db"), dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	objects, err := object.Open(filepath.Join(dir, "objects"), s.db, time.Now)
	if err != nil {
		return err
	}
	defer objects.Close()
	repo, err := evidence.New(evidence.Options{DB: s.db, Objects: objects, Log: s.log, Keys: s.keys, Stamps: s.stamps, Scratch: dir})
	if err != nil {
		return err
	}
	id, err := collect(ctx, s, repo, items)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "bench.caospkg"))
	if err != nil {
		return err
	}
	if err := errors.Join(repo.Export(ctx, id, evidence.Authority, nil, f), f.Close()); err != nil {
		return err
	}
	trust, err := s.log.Trust(ctx)
	if err != nil {
		return err
	}
	text, err := trust.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "trust.json"), text, 0o644)
}

// collect makes a package of many items; their artifact, a test report of 2 KB, is the
// same, as the verifier reads it anew for each.
func collect(ctx context.Context, s *stack, repo *evidence.Repository, items int) (id string, err error) {
	by := evidence.By{Actor: "bench", RecordedBy: "bench"}
	const model = "NN-FCS-001"
	var pkg *evidence.Package
	err = s.db.Update(ctx, func(tx *db.Tx) (err error) {
		pkg, err = repo.Create(tx, evidence.Package{ModelID: model}, by)
		return err
	})
	if err != nil {
		return "", err
	}
	var report strings.Builder
	report.WriteString(`<?xml version="1.0" encoding="UTF-8"?><testsuites><testsuite name="s" tests="40">`)
	for i := range 40 {
		fmt.Fprintf(&report, `<testcase classname="bench" name="case-%02d"/>`, i)
	}
	report.WriteString(`</testsuite></testsuites>`)
	a, err := repo.Stage(ctx, "report.xml", strings.NewReader(report.String()))
	if err != nil {
		return "", err
	}
	defer a.Close()
	req := evidence.Request{ModelID: model, Type: evidence.TestResult, Category: evidence.Verification, ArtifactURI: "https://ci.bench/report.xml", PackageID: pkg.PackageID}
	sum, err := repo.Inspect(ctx, req, a)
	if err != nil {
		return "", err
	}
	ref, err := repo.Store(ctx, a)
	if err != nil {
		return "", err
	}
	for i := 0; i < items; i += 50 {
		var batch []*evidence.Item
		for j := range min(50, items-i) {
			req.Metadata.RequirementIDs = []string{fmt.Sprintf("REQ-%05d", i+j)}
			it, err := repo.Sign(ctx, repo.NewID(model), req, evidence.Kept{Ref: ref, Summary: sum}, "bench")
			if err != nil {
				return "", err
			}
			batch = append(batch, it)
		}
		err := s.db.Update(ctx, func(tx *db.Tx) error {
			for _, it := range batch {
				if _, err := repo.Insert(tx, *it, by); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return pkg.PackageID, nil
}
