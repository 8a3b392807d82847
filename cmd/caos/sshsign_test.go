package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"caos"
	"caos/internal/verify"
)

// serveAgent runs an SSH agent that holds keys.
func serveAgent(t *testing.T, keys ...any) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ring := agent.NewKeyring()
	for _, k := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	return l.Addr().String()
}

// Signatures are those that the offline verifier accepts, for their namespace alone,
// whether a file or the agent made them.
func TestSSHSignatures(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	socket := serveAgent(t, ed, ec)
	for name, key := range map[string]any{"ed25519": ed, "ecdsa": ec} {
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			t.Fatal(err)
		}
		public := string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		for how, private := range map[string]string{"agent": "", "file": file} {
			t.Run(name+" by "+how, func(t *testing.T) {
				e, _, _ := newTest()
				e.getenv = func(n string) string { return map[string]string{"SSH_AUTH_SOCK": socket}[n] }
				sig, err := e.sshSign(public, private, "caos-key@v1", []byte("message"))
				if err != nil {
					t.Fatal(err)
				}
				got, err := verify.VerifySSHSig(sig, []byte("message"), "caos-key@v1")
				if err != nil || got.String() != strings.TrimSpace(public) {
					t.Errorf("%v %s", err, got)
				}
				if _, err := verify.VerifySSHSig(sig, []byte("message"), "caos-decision@v1"); err == nil {
					t.Error("it counts for another namespace")
				}
				if _, err := verify.VerifySSHSig(sig, []byte("massage"), "caos-key@v1"); err == nil {
					t.Error("it counts for another message")
				}
			})
		}
	}
}

func TestAgentWithoutTheKey(t *testing.T) {
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(other)
	if err != nil {
		t.Fatal(err)
	}
	public := string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	e, _, _ := newTest()
	for socket, want := range map[string]caos.Kind{serveAgent(t): caos.Unavailable, "/nowhere": caos.Unavailable, "": caos.Invalid} {
		e.getenv = func(string) string { return socket }
		if _, err := e.sshSign(public, "", "n", []byte("m")); caos.KindOf(err) != want {
			t.Errorf("%q: %v", socket, err)
		}
	}
	if _, err := e.sshSign("ssh-ed25519 nonsense", "", "n", nil); caos.KindOf(err) != caos.Invalid {
		t.Errorf("%v", err)
	}
}
