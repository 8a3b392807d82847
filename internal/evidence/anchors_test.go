package evidence_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"caos"
	"caos/internal/evidence"
	"caos/internal/verify"
)

// cosigner is a witness (C2SP tlog-cosignature) of a fixed key and time.
type cosigner struct{ key ed25519.PrivateKey }

func (c cosigner) Name() string { return "witness.example/w1" }

func (c cosigner) KeyHash() uint32 {
	sum := sha256.Sum256(append([]byte(c.Name()+"\n\x04"), c.key.Public().(ed25519.PublicKey)...))
	return binary.BigEndian.Uint32(sum[:])
}

func (c cosigner) Sign(text []byte) ([]byte, error) {
	return append(binary.BigEndian.AppendUint64(nil, 1_780_000_000), ed25519.Sign(c.key, fmt.Appendf(nil, "cosignature/v1\ntime 1780000000\n%s", text))...), nil
}

func (c cosigner) vkey() string {
	return fmt.Sprintf("%s+%08x+%s", c.Name(), c.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{4}, c.key.Public().(ed25519.PublicKey)...)))
}

// anchor is what the witness says of the log as it stands.
func (w *world) anchor(c cosigner) verify.AnchorFile {
	w.t.Helper()
	signed, err := w.log.Checkpoint(w.t.Context())
	w.ok(err)
	text, _, _ := bytes.Cut(signed, []byte("\n\n"))
	cp, err := verify.ParseCheckpoint(append(text, '\n'))
	w.ok(err)
	n, err := note.Sign(&note.Note{Text: cp.Text()}, c)
	w.ok(err)
	_, line, _ := bytes.Cut(n, []byte("\n\n"))
	return verify.AnchorFile{Kind: verify.AnchorWitness, Destination: c.Name(), Origin: cp.Origin, Size: cp.Size, Root: cp.Root.String(),
		Checkpoint: append(signed[:len(signed):len(signed)], line...), At: time.Unix(1_780_000_001, 0).UTC()}
}

// TestAnchorsGoWithThePackage: an export has what outsiders said of the log up to there, and
// how much of the package that covers; what proves nothing stays out.
func TestAnchorsGoWithThePackage(t *testing.T) {
	run(t, func(t *testing.T, w *world) {
		c := cosigner{ed25519.NewKeyFromSeed(make([]byte, 32))}
		var list []verify.AnchorFile
		var asked int64
		w.options.Anchors = func(_ context.Context, origin string, size int64) ([]verify.AnchorFile, error) {
			if origin != "log.example/caos" {
				t.Errorf("asked for %s", origin)
			}
			asked = size
			return list, nil
		}
		r, err := evidence.New(w.options)
		w.ok(err)
		w.Repository = r
		pkg := w.create(evidence.Package{ModelID: model, Classification: "Internal"})
		collect := func(i int) {
			_, err := w.collect(w.request(pkg.PackageID, w.file(fmt.Sprint(i, ".md"), fmt.Sprint("text ", i)), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}}))
			w.ok(err)
		}
		verified := func(quorum int) *verify.Report {
			trust, err := w.log.Trust(t.Context())
			w.ok(err)
			w.ok(trust.Admit(verify.Outsiders{Witnesses: []string{c.vkey()}, Quorum: quorum}))
			file := w.export(pkg.PackageID, evidence.Public)
			if bytes.Contains(file, []byte("/mnt/worm")) {
				t.Error("the file tells where the installation keeps its checkpoints")
			}
			rep, err := verify.Package(bytes.NewReader(file), int64(len(file)), trust, verify.PackageOptions{})
			w.ok(err)
			return rep
		}
		_, err = w.collectAs(w.request(pkg.PackageID, w.file("p.md", "public"), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}}), "Public")
		w.ok(err)
		collect(1)
		old := w.anchor(c)
		elsewhere := old
		elsewhere.Kind, elsewhere.Destination = verify.AnchorFileKind, "/mnt/worm/checkpoints.txt"
		list = []verify.AnchorFile{old, elsewhere}
		rep := verified(1)
		if !rep.OK || len(rep.Anchors) != 1 || rep.Anchors[0].Covers != rep.Records || asked != old.Size {
			t.Fatalf("%+v", rep)
		}
		// The log grew since: the anchor is proved to be of the same log, and covers what it can.
		for i := range 5 {
			_, err = w.collectAs(w.request(pkg.PackageID, w.file(fmt.Sprint("p", i, ".md"), fmt.Sprint("public ", i)), evidence.Document, evidence.Metadata{RequirementIDs: []string{"R-1"}}), "Public")
			w.ok(err)
		}
		rep = verified(0)
		if !rep.OK || len(rep.Anchors) != 1 || rep.Anchors[0].Covers >= rep.Records || !strings.Contains(strings.Join(rep.NotChecked, "\n"), "no anchor covers them yet") {
			t.Fatalf("%+v", rep)
		}
		if rep = verified(1); rep.OK || !strings.Contains(fmt.Sprint(rep.Checks[len(rep.Checks)-1].Failures), "export the package again once the log was anchored") {
			t.Errorf("%+v", rep)
		}
		// What was changed since it was anchored is named, and goes into no file.
		forged := old
		forged.Size--
		list = []verify.AnchorFile{forged}
		var refused bytes.Buffer
		if err := w.Export(t.Context(), pkg.PackageID, evidence.Public, nil, &refused); caos.KindOf(err) != caos.Conflict || refused.Len() > 0 {
			t.Errorf("%v", err)
		}
		list = nil
		if rep = verified(0); !rep.OK || len(rep.Anchors) != 0 {
			t.Errorf("%+v", rep)
		}
		var b bytes.Buffer
		w.options.Anchors = func(context.Context, string, int64) ([]verify.AnchorFile, error) {
			return nil, caos.Errorf(caos.Unavailable, "the database is away")
		}
		r, err = evidence.New(w.options)
		w.ok(err)
		if err := r.Export(t.Context(), pkg.PackageID, evidence.Authority, nil, &b); caos.KindOf(err) != caos.Unavailable {
			t.Errorf("%v", err)
		}
	})
}
