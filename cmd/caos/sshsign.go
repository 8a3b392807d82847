package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/term"

	"caos"
)

// sshSign makes an SSH signature (PROTOCOL.sshsig, as ssh-keygen -Y sign) of message: with
// a key file if one is named, else through the agent.
func (e *environment) sshSign(public, private, namespace string, message []byte) ([]byte, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(public))
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "it is not an SSH public key").WithField("public_key").
			WithHint("name the .pub file that ssh-keygen -t ed25519 made")
	}
	sign := func(data []byte) (*ssh.Signature, error) { return e.agentSign(key, data) }
	if private != "" {
		signer, err := e.privateSigner(private)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(signer.PublicKey().Marshal(), key.Marshal()) {
			return nil, usage("%s is not the private part of that key", private).WithField("private")
		}
		sign = func(data []byte) (*ssh.Signature, error) { return signer.Sign(rand.Reader, data) }
	}
	return sshSignature(key, namespace, message, sign)
}

const (
	sshMagic  = "SSHSIG"
	sshHash   = "sha512"
	armorLine = 70
)

func sshSignature(key ssh.PublicKey, namespace string, message []byte, sign func([]byte) (*ssh.Signature, error)) ([]byte, error) {
	sum := sha512.Sum512(message)
	signed := append([]byte(sshMagic), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{namespace, "", sshHash, sum[:]})...)
	sig, err := sign(signed)
	if err != nil {
		return nil, err
	}
	blob := append([]byte(sshMagic), ssh.Marshal(struct {
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{1, key.Marshal(), namespace, "", sshHash, ssh.Marshal(sig)})...)
	text := base64.StdEncoding.EncodeToString(blob)
	var b strings.Builder
	b.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for len(text) > armorLine {
		b.WriteString(text[:armorLine] + "\n")
		text = text[armorLine:]
	}
	b.WriteString(text + "\n-----END SSH SIGNATURE-----\n")
	return []byte(b.String()), nil
}

// agent connects to the SSH agent.
func (e *environment) agent() (net.Conn, error) {
	socket := e.agentSocket()
	if socket == "" {
		return nil, usage("there is no SSH agent").WithHint("name the file of the private key, or start an agent: eval $(ssh-agent); ssh-add")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the SSH agent at %s does not answer", socket).WithHint("name the file of the private key")
	}
	return conn, nil
}

// agentKeys lists the keys that the SSH agent has.
func (e *environment) agentKeys() ([]ssh.PublicKey, error) {
	conn, err := e.agent()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	list, err := agent.NewClient(conn).List()
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the SSH agent does not list its keys").WithHint("name the file of the private key")
	}
	keys := make([]ssh.PublicKey, 0, len(list))
	for _, k := range list {
		if key, err := ssh.ParsePublicKey(k.Blob); err == nil { // a certificate, or of a kind that is not known here
			keys = append(keys, key)
		}
	}
	return keys, nil
}

func (e *environment) agentSign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	conn, err := e.agent()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	sig, err := agent.NewClient(conn).Sign(key, data)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the SSH agent does not sign with that key").WithHint("add it with ssh-add, or name the file of the private key")
	}
	return sig, nil
}

// privateSigner reads a private key, and asks for its passphrase at a terminal.
func (e *environment) privateSigner(name string) (ssh.Signer, error) {
	text, err := readPrivate(name)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(text)
	var locked *ssh.PassphraseMissingError
	if !errors.As(err, &locked) {
		if err != nil {
			return nil, caos.Wrap(caos.Invalid, err, "%s is not an SSH private key", name)
		}
		return signer, nil
	}
	in, ok := e.in.(interface{ Fd() uintptr })
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, usage("%s is protected by a passphrase, and there is no terminal to ask for it", name).WithHint("let the SSH agent sign: ssh-add %s", name)
	}
	fmt.Fprintf(e.err, "Passphrase of %s: ", name)
	pass, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(e.err)
	if err != nil {
		return nil, err
	}
	if signer, err = ssh.ParsePrivateKeyWithPassphrase(text, pass); err != nil {
		return nil, caos.Wrap(caos.Denied, err, "that is not its passphrase")
	}
	return signer, nil
}
