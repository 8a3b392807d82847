// Package witnessed gives a log of another project our witness.
package witnessed

import (
	"crypto/rand"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"caos/internal/witness"
)

// TestTesseraIsWitnessed gives another project's log our witness, with a quorum of one: it
// publishes no checkpoint that ours has not cosigned.
func TestTesseraIsWitnessed(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const name = "tessera.example/log"
	secret, vkey, err := note.GenerateKey(rand.Reader, name)
	must(err)
	signer, err := note.NewSigner(secret)
	must(err)
	logKey, err := note.NewVerifier(vkey)
	must(err)

	dir := t.TempDir()
	key, err := witness.Create(dir, "witness.example/w1")
	must(err)
	folder, err := witness.Open(dir)
	must(err)
	defer folder.Close()
	ours, err := witness.NewServer(folder, []witness.Log{{Origin: name, Keys: []string{vkey}}}, time.Now, slog.New(slog.NewTextHandler(io.Discard, nil)))
	must(err)
	srv := httptest.NewServer(ours)
	defer srv.Close()
	address, err := url.Parse(srv.URL)
	must(err)
	theirs, err := tessera.NewWitness(key.String(), address)
	must(err)
	witnessKey, err := f_note.NewVerifierForCosignatureV1(key.String())
	must(err)

	driver, err := posix.New(t.Context(), posix.Config{Path: t.TempDir()})
	must(err)
	opts := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(16, 5*time.Millisecond).WithCheckpointInterval(100*time.Millisecond).
		WithWitnesses(tessera.NewWitnessGroup(1, theirs), nil)
	appender, shutdown, reader, err := tessera.NewAppender(t.Context(), driver, opts)
	must(err)
	await := tessera.NewPublicationAwaiter(t.Context(), reader.ReadCheckpoint, 10*time.Millisecond)
	sizes := map[int]bool{}
	for i := range 40 {
		index, signed, err := await.Await(t.Context(), appender.Add(t.Context(), tessera.NewEntry([]byte(strconv.Itoa(i)))))
		must(err)
		n, err := note.Open(signed, note.VerifierList(logKey, witnessKey))
		must(err)
		if len(n.Sigs) != 2 {
			t.Fatalf("entry %d: a checkpoint was published with %d signatures:\n%s", index.Index, len(n.Sigs), signed)
		}
		size, err := strconv.Atoi(strings.Split(n.Text, "\n")[1])
		must(err)
		sizes[size] = true
	}
	must(shutdown(t.Context()))
	if len(sizes) < 2 {
		t.Errorf("only %d trees were cosigned: no proof was asked for", len(sizes))
	}
}
