package baseline

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"caos/internal/verify"
)

// reference runs the reference implementation of OpenSSF Model Signing, the Python package
// model-signing, with the interpreter that CAOS_TEST_MODEL_SIGNING names.
func reference(t *testing.T, args ...string) (string, error) {
	t.Helper()
	python := os.Getenv("CAOS_TEST_MODEL_SIGNING")
	if python == "" {
		t.Skip("CAOS_TEST_MODEL_SIGNING names no Python with the package model-signing")
	}
	out, err := exec.Command(python, append([]string{"-m", "model_signing"}, args...)...).CombinedOutput()
	return string(out), err
}

// TestReferenceVerifiesOurs: the reference tool verifies a baseline as it lies in the store
// and as an export unpacks, and finds what is done to it.
func TestReferenceVerifiesOurs(t *testing.T) {
	if out, err := reference(t, "--version"); err != nil {
		t.Fatal(err, out)
	}
	dir, signer := tempDir(t), newSigner(t)
	s := openStore(t, dir)
	write(t, s, draft(signer))
	var export bytes.Buffer
	if err := s.Export(context.Background(), testID, &export); err != nil {
		t.Fatal(err)
	}
	unpacked := t.TempDir()
	unpack(t, &export, unpacked)
	key, model := filepath.Join(unpacked, testID+".pub"), filepath.Join(unpacked, testID)
	check := func(model string) (string, error) {
		return reference(t, "verify", "key", model, "--signature", filepath.Join(model, "model.sig"), "--public_key", key)
	}
	for _, m := range []string{filepath.Join(dir, testID), model} {
		if out, err := check(m); err != nil {
			t.Errorf("%v %s", err, out)
		}
	}
	for name, harm := range map[string]func() error{
		"Extra":         func() error { return os.WriteFile(filepath.Join(model, "more"), nil, 0o644) },
		"Missing":       func() error { return os.Remove(filepath.Join(model, "sub/empty")) },
		"Hash mismatch": func() error { mangle(t, filepath.Join(model, "model.onnx")); return nil },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		if out, err := check(model); err == nil || !strings.Contains(out, name) {
			t.Errorf("%s: %v %s", name, err, out)
		}
	}
	stranger, err := verify.ModelKeyPEM(newSigner(t).Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, stranger, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := check(filepath.Join(dir, testID)); err == nil {
		t.Errorf("verified with another key: %s", out)
	}
}

// unpack does what tar does.
func unpack(t *testing.T, r io.Reader, dir string) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, h.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, os.FileMode(h.Mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOursVerifiesReference: what the reference tool signed verifies here, with the root
// that we compute for the same files.
func TestOursVerifiesReference(t *testing.T) {
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := tempDir(t)
	key, model := filepath.Join(dir, "key.pem"), filepath.Join(dir, "model")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	// Names of which it matters by what they are ordered.
	var resources []verify.ModelResource
	for _, name := range []string{"a", "b-c", "b/a", "b/c/d", "b.c", "B", "é", "日本/x", "z z", "\U0001F600", "\uFFFDx", "a=b;c", "sub/model.sig", "100"} {
		p := filepath.Join(model, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		resources = append(resources, verify.ModelResource{Name: name, Digest: digestOf([]byte(name))})
	}
	sig := filepath.Join(model, "model.sig")
	if out, err := reference(t, "sign", "key", model, "--private_key", key, "--signature", sig); err != nil {
		t.Fatal(err, out)
	}
	bundle, err := os.ReadFile(sig)
	if err != nil {
		t.Fatal(err)
	}
	st, err := verify.CheckModelBundle(bundle, priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	_, root, err := verify.BuildModelStatement("model", resources)
	if err != nil || root != st.Root {
		t.Errorf("%v: our root %s, theirs %s", err, root, st.Root)
	}
	for i := range st.Resources {
		if st.Resources[i] != resources[i] {
			t.Errorf("they have %s where we have %s", st.Resources[i].Name, resources[i].Name)
		}
	}
	if problems, err := verify.CheckModelFolder(os.DirFS(model), bundle, priv.Public()); err != nil || len(problems) > 0 {
		t.Errorf("%v %+v", err, problems)
	}
	mangle(t, filepath.Join(model, "b/c/d"))
	if err := os.WriteFile(filepath.Join(model, "more"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if problems, err := verify.CheckModelFolder(os.DirFS(model), bundle, priv.Public()); err != nil || len(problems) != 2 {
		t.Errorf("%v %+v", err, problems)
	}
}
