package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

// appendTessera measures one run of Tessera's POSIX driver: entries of 1 KB, each awaited
// until a published checkpoint covers it.
func (b *bench) appendTessera(ctx context.Context, name string, callers int) (float64, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	secret, _, err := note.GenerateKey(rand.Reader, "tessera.bench/log")
	if err != nil {
		return 0, err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return 0, err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return 0, err
	}
	opts := tessera.NewAppendOptions().WithCheckpointSigner(signer).WithBatching(256, 5*time.Millisecond).
		WithCheckpointInterval(100 * time.Millisecond).WithPushback(16384)
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, opts)
	if err != nil {
		return 0, err
	}
	// Polled often, so that the peer pays for its publication interval and for no other.
	await := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 5*time.Millisecond)
	entry := bytes.Repeat([]byte("x"), 1000)
	done, seconds, err := closedLoop(callers, b.duration, func(i int) error {
		e := append(fmt.Appendf(nil, "%8d %16d", i, time.Now().UnixNano()), entry...)
		_, _, err := await.Await(ctx, appender.Add(ctx, tessera.NewEntry(e)))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("tessera: %w", err)
	}
	if err := shutdown(ctx); err != nil {
		return 0, fmt.Errorf("tessera: %w", err)
	}
	return float64(done) / seconds, nil
}
