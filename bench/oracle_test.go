package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

func TestMain(m *testing.M) {
	quietPeers()
	os.Exit(m.Run())
}

// oracleTimeout bounds fsck, which can wait for ever when its workers have given up.
const oracleTimeout = time.Minute

// TestFsck lets Tessera's fsck, which shares no code with CAOS but the checkpoint format's
// library, rebuild a CAOS log from what its HTTP handler serves.
func TestFsck(t *testing.T) {
	records := int64(256*256 + 1500) // a tile of level 2, and partial tiles on all levels
	if testing.Short() {
		records = 3000
	}
	dir := t.TempDir()
	s, err := openStack(t.Context(), stackOptions{url: "sqlite:" + filepath.Join(dir, "caos.db"), dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.append(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	size, _, err := s.log.Root(t.Context())
	if err != nil || size < records {
		t.Fatal(size, err)
	}
	if err := runFsck(t, s, nil); err != nil {
		t.Fatalf("fsck of %d leaves: %v", size, err)
	}
	// What fsck says is worth something only if it says no to what is wrong.
	for _, path := range []string{"/log/tile/0/000", "/log/tile/0/003", "/log/tile/1/000", "/log/tile/entries/002", "/log/checkpoint"} {
		t.Run("falsified"+strings.ReplaceAll(path, "/", "-"), func(t *testing.T) {
			touched := false
			err := runFsck(t, s, func(p string, body []byte) []byte {
				if strings.HasPrefix(p, path) { // full or partial
					touched = true
					body = bytes.Clone(body)
					body[len(body)/2] ^= 1
				}
				return body
			})
			if !touched {
				t.Fatalf("%s was not read", path)
			}
			if err == nil {
				t.Errorf("fsck accepts a falsified %s", path)
			}
			if errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("fsck came to no end: %v", err)
			}
		})
	}
}

// runFsck serves the log, changed by falsify if that is not nil, and checks it.
func runFsck(t *testing.T, s *stack, falsify func(path string, body []byte) []byte) error {
	t.Helper()
	handler := s.log.Handler()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		handler.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if falsify != nil && rec.Code == http.StatusOK {
			body = falsify(r.URL.Path, body)
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(body)
	}))
	defer srv.Close()
	trust, err := s.log.Trust(t.Context())
	if err != nil {
		return err
	}
	verifier, err := checkpointVerifier(trust.Origin, trustKey(t, s))
	if err != nil {
		return err
	}
	root, err := url.Parse(srv.URL + "/log/")
	if err != nil {
		return err
	}
	fetcher, err := client.NewHTTPFetcher(root, srv.Client())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.Context(), oracleTimeout)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- fsck.New(trust.Origin, verifier, fetcher, leafHashes, fsck.Opts{N: 8}).Check(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func leafHashes(bundle []byte) ([][]byte, error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	var out [][]byte
	for _, e := range b.Entries {
		out = append(out, rfc6962.DefaultHasher.HashLeaf(e))
	}
	return out, nil
}

// trustKey is the log's checkpoint key as the trust file has it.
func trustKey(t *testing.T, s *stack) ed25519.PublicKey {
	t.Helper()
	trust, err := s.log.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range trust.Keys {
		if k.Purpose != "checkpoint" {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(k.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			t.Fatal(err)
		}
		return pub.(ed25519.PublicKey)
	}
	t.Fatal("the trust file has no checkpoint key")
	return nil
}

func checkpointVerifier(origin string, key ed25519.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(origin, key)
	if err != nil {
		return nil, fmt.Errorf("verifier of %s: %w", origin, err)
	}
	return note.NewVerifier(text)
}
