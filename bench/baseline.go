package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"caos/internal/baseline"
	"caos/internal/sign"
)

const (
	frozenID  = "BL-BENCH-1.0.0"
	frozenBy  = "EXEC-BENCH"
	artifact  = "model.bin"
	mbOfBytes = 1e6
)

// measureBaseline measures freezing a model of one file, which is the case in which there
// are no other files to work on meanwhile, and reading it again. The peers are the
// programs that an engineer would use instead, one after the other.
func measureBaseline(ctx context.Context, b *bench) ([]row, error) {
	size := int64(1e9)
	if b.short {
		size = 50e6
	}
	if gb, err := strconv.ParseFloat(os.Getenv("CAOS_BENCH_ARTIFACT_GB"), 64); err == nil && gb > 0 {
		size = int64(gb * 1e9)
	}
	dir := filepath.Join(b.dir, "baseline")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := newFrozen(ctx, dir, size)
	if err != nil {
		return nil, err
	}
	defer f.close()
	var freeze, rehash, copied, synced, summed, openssl []float64
	f.used = map[string]float64{}
	_, noOpenSSL := exec.LookPath("openssl")
	for range b.reps {
		sum, err := timed(func() error { return f.run(ctx, "sha256sum", f.source) })
		if err != nil {
			return nil, err
		}
		if noOpenSSL == nil {
			fast, err := timed(func() error { return f.run(ctx, "openssl", "dgst", "-sha256", f.source) })
			if err != nil {
				return nil, err
			}
			openssl = append(openssl, float64(size)/mbOfBytes/fast)
		}
		copying, err := timed(func() error { return f.run(ctx, "cp", f.source, f.copy) })
		if err != nil {
			return nil, err
		}
		syncing, err := timed(func() error { return f.run(ctx, "sync", f.copy) })
		if err != nil {
			return nil, err
		}
		if err := os.Remove(f.copy); err != nil {
			return nil, err
		}
		settle()
		freezing, err := timed(func() error { return f.freeze(ctx) })
		if err != nil {
			return nil, err
		}
		hashing, err := timed(func() error { return f.verify(ctx) })
		if err != nil {
			return nil, err
		}
		if err := f.store.Discard(ctx, frozenID, frozenBy); err != nil {
			return nil, err
		}
		settle()
		mb := float64(size) / mbOfBytes
		summed, copied, synced = append(summed, mb/sum), append(copied, mb/(sum+copying)), append(synced, mb/(sum+copying+syncing))
		freeze, rehash = append(freeze, mb/freezing), append(rehash, mb/hashing)
	}
	name := fmt.Sprintf("baseline of one file of %.3g GB", float64(size)/1e9)
	used := func(what string) float64 { return f.used[what] / float64(b.reps) / (float64(size) / 1e9) }
	out := []row{
		rated("freeze, "+name, "MB/s", freeze).against("sha256sum, then cp, unsynced", copied, 0.8).with("the freeze is signed and synced when it ends").
			with("processor time per GB: freeze %.2f s, sha256sum %.2f s, cp %.2f s", used("freeze"), used("sha256sum"), used("cp")),
		rated("freeze, "+name, "MB/s", freeze).against("sha256sum, then cp and sync", synced, 0.8),
		rated("re-hash, "+name, "MB/s", rehash).against("sha256sum", summed, 0.8).with("signature, modes and every byte; processor time per GB: %.2f s", used("verify")),
		rated("freeze and re-hash, peak memory", "MB", []float64{f.peak}).atMost(150).with("resident memory of the whole process at most, %.3g GB", float64(size)/1e9),
	}
	if noOpenSSL == nil { // it has the processor's own instructions, which sha256sum may not have
		out = append(out, rated("re-hash, "+name, "MB/s", rehash).against("openssl dgst -sha256", openssl, 0))
	}
	if b.short {
		for i := range out {
			out[i].Verdict = partial
		}
	}
	return out, nil
}

// frozen is a file to freeze, and a store to freeze it in.
type frozen struct {
	source, copy, digest string
	size                 int64
	store                *baseline.Store
	keys                 *sign.Keys
	signer               sign.Signer
	peak                 float64            // MB
	used                 map[string]float64 // seconds of processor time by what was done
}

func newFrozen(ctx context.Context, dir string, size int64) (f *frozen, err error) {
	f = &frozen{source: filepath.Join(dir, "source.bin"), copy: filepath.Join(dir, "copy.bin"), size: size}
	if f.digest, err = makeArtifact(f.source, size); err != nil {
		return nil, err
	}
	if f.store, err = baseline.Open(filepath.Join(dir, "baselines"), time.Now); err != nil {
		return nil, err
	}
	if f.keys, err = sign.OpenKeys(filepath.Join(dir, "keys")); err != nil {
		return nil, err
	}
	if _, err = f.keys.Create(ctx, sign.Baseline, time.Now()); err != nil {
		return nil, err
	}
	f.signer, err = f.keys.Signer(sign.Baseline)
	return f, err
}

func (f *frozen) close() { _ = errors.Join(f.store.Close(), f.keys.Close()) }

func (f *frozen) run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	f.used[program] += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return nil
}

func (f *frozen) freeze(ctx context.Context) error {
	forgetPeak()
	defer f.count("freeze", cpuTime(os.Getpid()))
	_, err := f.store.Write(ctx, baseline.Draft{ID: frozenID, Owner: frozenBy, Signer: f.signer, Files: []baseline.Source{{
		Path: artifact, Digest: f.digest, Size: f.size, Open: func() (io.ReadCloser, error) { return os.Open(f.source) },
	}}}, nil)
	return err
}

// count adds the processor time since it was before.
func (f *frozen) count(what string, before float64) { f.used[what] += cpuTime(os.Getpid()) - before }

func (f *frozen) verify(ctx context.Context) error {
	defer f.count("verify", cpuTime(os.Getpid()))
	problems, err := f.store.Verify(ctx, frozenID, f.signer.Public(), nil)
	if err == nil && len(problems) > 0 {
		err = fmt.Errorf("the baseline does not verify: %+v", problems)
	}
	_, peak := memory(os.Getpid())
	f.peak = max(f.peak, peak)
	return err
}

// forgetPeak has the kernel measure the most resident memory anew; what came before in
// this process is not what is measured.
func forgetPeak() {
	runtime.GC()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0o600)
}

// settle waits until the disk has written what others left, so that nobody pays for them.
func settle() { _ = exec.Command("sync").Run() }

// makeArtifact writes a file that does not compress, and returns its digest.
func makeArtifact(name string, size int64) (string, error) {
	w, err := os.Create(name)
	if err != nil {
		return "", err
	}
	defer w.Close()
	sum := sha256.New()
	noise := rand.NewChaCha8([32]byte{1})
	if _, err := io.CopyN(io.MultiWriter(w, sum), noise, size); err != nil {
		return "", err
	}
	return "SHA256:" + hex.EncodeToString(sum.Sum(nil)), errors.Join(w.Sync(), w.Close())
}

func timed(f func() error) (seconds float64, err error) {
	start := time.Now()
	err = f()
	return time.Since(start).Seconds(), err
}
