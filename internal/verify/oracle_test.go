package verify

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// theirKey is a testKey for go-securesystemslib.
type theirKey struct{ testKey }

func (k theirKey) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(k.private, data), nil
}
func (k theirKey) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(k.Public().(ed25519.PublicKey), data, sig) {
		return os.ErrInvalid
	}
	return nil
}
func (k theirKey) KeyID() (string, error)   { return k.trust.ID, nil }
func (k theirKey) Public() crypto.PublicKey { return k.private.Public() }

func TestDSSEAgainstSecureSystemsLib(t *testing.T) {
	k := newTestKey(t, PurposeEvidence, 7)
	for _, payload := range []string{"", "{}", "hello world", strings.Repeat("\x00\xff", 999), "payload with ~~??>> that base64url spells otherwise"} {
		for _, typ := range []string{InTotoType, "http://example.com/HelloWorld", "x"} {
			if string(PAE(typ, []byte(payload))) != string(dsse.PAE(typ, []byte(payload))) {
				t.Fatalf("PAE differs for %q %q", typ, payload)
			}
			// Ours, read by theirs.
			var theirs dsse.Envelope
			if err := json.Unmarshal(k.envelope(typ, []byte(payload)), &theirs); err != nil {
				t.Fatal(err)
			}
			v, err := dsse.NewEnvelopeVerifier(theirKey{k})
			if err != nil {
				t.Fatal(err)
			}
			if payload != "" { // they refuse an empty payload
				if _, err := v.Verify(context.Background(), &theirs); err != nil {
					t.Errorf("they refuse ours: %v", err)
				}
			}
			// Theirs, read by ours.
			s, err := dsse.NewEnvelopeSigner(theirKey{k})
			if err != nil {
				t.Fatal(err)
			}
			made, err := s.SignPayload(context.Background(), typ, []byte(payload))
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(made)
			if err != nil {
				t.Fatal(err)
			}
			e, err := ParseEnvelope(text)
			if err != nil {
				t.Fatal(err)
			}
			find := func(id string) (*TrustKey, error) { return &k.trust, nil }
			if id, err := e.Verify(typ, find); err != nil || id != k.trust.ID || string(e.Bytes()) != payload {
				t.Errorf("we refuse theirs: %v", err)
			}
			if _, err := e.Verify("other", find); err == nil {
				t.Error("another payload type verifies")
			}
		}
	}
}

func TestCheckpointAgainstFormats(t *testing.T) {
	w := newWorld(t, 1)
	signed := w.contents[LogName]
	vkey, err := note.NewEd25519VerifierKey(testOrigin, w.cp.private.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	theirs, _, _, err := log.ParseCheckpoint(signed, testOrigin, v)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := OpenCheckpoint(signed, w.trust)
	if err != nil || theirs.Size != uint64(ours.Size) || string(theirs.Hash) != string(ours.Root[:]) {
		t.Fatal(ours, err)
	}
	// A witness's signature that we do not know is ignored, one of ours that is wrong is not.
	witnessed := string(signed) + strings.SplitAfter(string(newTestKey(t, "x", 8).checkpoint(t, ours)), "\n\n")[1]
	if _, err := OpenCheckpoint([]byte(witnessed), w.trust); err != nil {
		t.Error(err)
	}
	extended := ours
	extended.Extensions = []string{"an extension"}
	if c, err := OpenCheckpoint(w.cp.checkpoint(t, extended), w.trust); err != nil || len(c.Extensions) != 1 {
		t.Error("extension lines are not tolerated:", err)
	}
	// Many signatures, since the last bits of base64 differ from one to the next.
	for size := range int64(4) {
		signed := w.cp.checkpoint(t, w.log.head(t, size+1))
		for i := range signed {
			for bit := range 8 {
				bad := append([]byte(nil), signed...)
				bad[i] ^= 1 << bit
				if _, err := OpenCheckpoint(bad, w.trust); err == nil {
					t.Errorf("byte %d of the checkpoint flipped: accepted %q", i, bad)
				}
			}
		}
	}
}

// keygen runs ssh-keygen, which must be there to run these tests.
func keygen(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("ssh-keygen", args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestSSHSigAgainstKeygen(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("no ssh-keygen")
	}
	message := []byte("{\"what\":\"approve\"}")
	for _, typ := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "256"}, {"-t", "rsa", "-b", "3072"}} {
		for _, hash := range []string{"sha512", "sha256"} {
			t.Run(typ[1]+" "+hash, func(t *testing.T) {
				dir := t.TempDir()
				key, file := filepath.Join(dir, "key"), filepath.Join(dir, "message")
				keygen(t, "", append(typ, "-q", "-N", "", "-f", key)...)
				if err := os.WriteFile(file, message, 0o600); err != nil {
					t.Fatal(err)
				}
				keygen(t, "", "-Y", "sign", "-O", "hashalg="+hash, "-f", key, "-n", DecisionNamespace, file)
				sig, err := os.ReadFile(file + ".sig")
				if err != nil {
					t.Fatal(err)
				}
				line, err := os.ReadFile(key + ".pub")
				if err != nil {
					t.Fatal(err)
				}
				want, err := ParseSSHKey(string(line))
				if err != nil {
					t.Fatal(err)
				}
				got, err := VerifySSHSig(sig, message, DecisionNamespace)
				if err != nil || got.String() != want.String() {
					t.Fatal(err)
				}
				if fp := keygen(t, "", "-l", "-f", key+".pub"); !strings.Contains(fp, want.Fingerprint()) {
					t.Errorf("the fingerprint %s is not in %s", want.Fingerprint(), fp)
				}
				if _, err := VerifySSHSig(sig, message, "file"); err == nil {
					t.Error("another namespace verifies")
				}
				if _, err := VerifySSHSig(sig, message[1:], DecisionNamespace); err == nil {
					t.Error("another message verifies")
				}
				for i := range sig {
					bad := append([]byte(nil), sig...)
					bad[i] ^= 1
					if _, err := VerifySSHSig(bad, message, DecisionNamespace); err == nil {
						t.Errorf("byte %d flipped (%q): verifies", i, sig[i])
					}
				}
			})
		}
	}
}

// TestKeygenReadsOurs checks our Ed25519 signatures with the real ssh-keygen.
func TestKeygenReadsOurs(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("no ssh-keygen")
	}
	k := newTestKey(t, "person", 4)
	dir := t.TempDir()
	sig, allowed := filepath.Join(dir, "sig"), filepath.Join(dir, "allowed")
	for name, data := range map[string]string{sig: k.sshSign([]byte("message"), DecisionNamespace), allowed: "v.lead " + k.sshLine() + "\n"} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keygen(t, "message", "-Y", "verify", "-f", allowed, "-I", "v.lead", "-n", DecisionNamespace, "-s", sig)
}

func TestKeyIDs(t *testing.T) {
	k := newTestKey(t, PurposeEvidence, 2)
	id, err := KeyID(PurposeEvidence, k.private.Public())
	if err != nil || id != k.trust.ID || len(id) != len("evidence-")+16 {
		t.Error(id, err)
	}
	if der, _ := x509.MarshalPKIXPublicKey(k.private.Public()); encodeBase64(der) != k.trust.PublicKey {
		t.Error("another encoding")
	}
}
