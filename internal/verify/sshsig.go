package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"math/big"
	"strings"
)

// SSH key types that can prove a decision. ssh-dss is broken and certificates name no
// single person's key, so neither is read.
const (
	sshEd25519   = "ssh-ed25519"
	sshP256      = "ecdsa-sha2-nistp256"
	sshRSA       = "ssh-rsa"
	sshSKEd25519 = "sk-ssh-ed25519@openssh.com"
	sshSKP256    = "sk-ecdsa-sha2-nistp256@openssh.com"

	sshMagic    = "SSHSIG"
	sshBegin    = "-----BEGIN SSH SIGNATURE-----\n"
	sshEnd      = "-----END SSH SIGNATURE-----"
	maxSSHBlob  = 16 << 10
	minRSABits  = 2048
	maxRSABits  = 8192
	skUserFlag  = 0x01 // somebody touched the security key
	skFlagsMask = 0x01 | 0x04
)

// SSHKey is a person's public key in OpenSSH's form.
type SSHKey struct {
	Type string // such as "ssh-ed25519"
	Blob []byte // wire encoding

	pub         crypto.PublicKey
	application string // of a security key
}

// Fingerprint is "SHA256:" and unpadded base64, as ssh-keygen -l prints it.
func (k SSHKey) Fingerprint() string {
	sum := sha256.Sum256(k.Blob)
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// String is the key as an authorized_keys line without a comment.
func (k SSHKey) String() string { return k.Type + " " + encodeBase64(k.Blob) }

// ParseSSHKey reads a public key line: type, base64 and an optional comment.
func ParseSSHKey(line string) (SSHKey, error) {
	if len(line) > 2*maxSSHBlob {
		return SSHKey{}, refuse("ssh key", "is too long")
	}
	fields := strings.Fields(line)
	if len(fields) < 2 {
		return SSHKey{}, refuse("ssh key", "is not a line like \"ssh-ed25519 AAAA…\"")
	}
	blob, ok := decodeBase64(fields[1])
	if !ok {
		return SSHKey{}, refuse("ssh key", "is not base64")
	}
	k, err := parseSSHBlob(blob)
	if err == nil && k.Type != fields[0] {
		return SSHKey{}, refuse("ssh key", "says %s and is %s", quote(fields[0]), quote(k.Type))
	}
	return k, err
}

// wire reads the SSH wire encoding. After a mistake it yields zero values, and bad is set.
type wire struct {
	data []byte
	bad  bool
}

func (w *wire) uint32() uint32 {
	if len(w.data) < 4 {
		w.bad, w.data = true, nil
		return 0
	}
	n := binary.BigEndian.Uint32(w.data)
	w.data = w.data[4:]
	return n
}

func (w *wire) bytes() []byte {
	n := w.uint32()
	if uint64(n) > uint64(len(w.data)) {
		w.bad, w.data = true, nil
		return nil
	}
	b := w.data[:n]
	w.data = w.data[n:]
	return b
}

func (w *wire) string() string { return string(w.bytes()) }

// number reads a positive mpint in its one shortest form.
func (w *wire) number() *big.Int {
	b := w.bytes()
	if len(b) == 0 || b[0]&0x80 != 0 || b[0] == 0 && (len(b) == 1 || b[1]&0x80 == 0) || len(b) > maxRSABits/8+1 {
		w.bad = true
		return new(big.Int)
	}
	return new(big.Int).SetBytes(b)
}

// done reports whether everything was read and nothing was wrong.
func (w *wire) done() bool { return !w.bad && len(w.data) == 0 }

func parseSSHBlob(blob []byte) (SSHKey, error) {
	if len(blob) > maxSSHBlob {
		return SSHKey{}, refuse("ssh key", "is too long")
	}
	w := wire{data: blob}
	k := SSHKey{Type: w.string(), Blob: bytes.Clone(blob)}
	switch k.Type {
	case sshEd25519, sshSKEd25519:
		if b := w.bytes(); len(b) == ed25519.PublicKeySize {
			k.pub = ed25519.PublicKey(bytes.Clone(b))
		}
	case sshP256, sshSKP256:
		curve, point := w.string(), w.bytes()
		if pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err == nil && curve == "nistp256" {
			k.pub = pub
		}
	case sshRSA:
		e, n := w.number(), w.number()
		if n.BitLen() >= minRSABits && n.BitLen() <= maxRSABits && e.BitLen() <= 31 && e.BitLen() >= 2 && e.Bit(0) == 1 {
			k.pub = &rsa.PublicKey{N: n, E: int(e.Int64())}
		}
	default:
		return SSHKey{}, refuse("ssh key", "is of type %s, which cannot sign decisions", quote(k.Type))
	}
	if k.Type == sshSKEd25519 || k.Type == sshSKP256 {
		k.application = w.string()
	}
	if k.pub == nil || !w.done() {
		return SSHKey{}, refuse("ssh key", "is not a well-formed %s key", k.Type)
	}
	return k, nil
}

// sshSignature is the content of an SSHSIG block (openssh PROTOCOL.sshsig).
type sshSignature struct {
	key       SSHKey
	namespace string
	hash      string // "sha256" or "sha512"
	algorithm string
	signature wire // what follows the algorithm
}

func parseSSHSig(armored []byte) (sshSignature, error) {
	var s sshSignature
	if len(armored) > 2*maxSSHBlob {
		return s, refuse("signature", "is too long")
	}
	body, ok := strings.CutPrefix(string(armored), sshBegin)
	body, ok2 := strings.CutSuffix(strings.TrimSuffix(body, "\n"), "\n"+sshEnd)
	if !ok || !ok2 {
		return s, refuse("signature", "is not an SSH SIGNATURE block")
	}
	blob, ok := decodeBase64(strings.ReplaceAll(body, "\n", ""))
	if !ok || !bytes.HasPrefix(blob, []byte(sshMagic)) {
		return s, refuse("signature", "is not base64 of an SSHSIG")
	}
	w := wire{data: blob[len(sshMagic):]}
	if v := w.uint32(); v != 1 {
		return s, refuse("signature", "is of SSHSIG version %d, not 1", v)
	}
	key := w.bytes()
	s.namespace = w.string()
	reserved := w.bytes()
	s.hash = w.string()
	sig := w.bytes()
	if !w.done() || len(reserved) != 0 {
		return s, refuse("signature", "is not a well-formed SSHSIG")
	}
	var err error
	if s.key, err = parseSSHBlob(key); err != nil {
		return s, err
	}
	s.signature = wire{data: sig}
	s.algorithm = s.signature.string()
	return s, nil
}

// VerifySSHSig checks a signature made by `ssh-keygen -Y sign -n NAMESPACE` over a message
// and returns the key that made it. Whose key that is must be known from elsewhere.
func VerifySSHSig(armored, message []byte, namespace string) (SSHKey, error) {
	s, err := parseSSHSig(armored)
	if err != nil {
		return SSHKey{}, err
	}
	if s.namespace != namespace {
		return SSHKey{}, refuse("signature", "was made for %s, not for %s", quote(s.namespace), quote(namespace))
	}
	var digest []byte
	switch s.hash {
	case "sha256":
		sum := sha256.Sum256(message)
		digest = sum[:]
	case "sha512":
		sum := sha512.Sum512(message)
		digest = sum[:]
	default:
		return SSHKey{}, refuse("signature", "uses the hash %s", quote(s.hash))
	}
	signed := []byte(sshMagic)
	for _, part := range [][]byte{[]byte(s.namespace), nil, []byte(s.hash), digest} {
		signed = binary.BigEndian.AppendUint32(signed, uint32(len(part)))
		signed = append(signed, part...)
	}
	if !s.check(signed) {
		return SSHKey{}, refuse("signature", "is not by the key it names over these bytes")
	}
	return s.key, nil
}

func (s *sshSignature) check(signed []byte) bool {
	w := s.signature
	switch pub := s.key.pub.(type) {
	case ed25519.PublicKey:
		sig := w.bytes()
		if s.key.Type == sshSKEd25519 {
			signed = s.securityKey(&w, signed)
		}
		return w.done() && s.algorithm == s.key.Type && verifySignature(pub, signed, sig)
	case *ecdsa.PublicKey:
		in := wire{data: w.bytes()}
		r, t := in.number(), in.number()
		if s.key.Type == sshSKP256 {
			signed = s.securityKey(&w, signed)
		}
		sum := sha256.Sum256(signed)
		return w.done() && in.done() && s.algorithm == s.key.Type && ecdsa.Verify(pub, sum[:], r, t)
	case *rsa.PublicKey:
		sig := w.bytes()
		if !w.done() {
			return false
		}
		// The old "ssh-rsa" is over SHA-1 and refused, as SSHSIG demands.
		switch s.algorithm {
		case "rsa-sha2-512":
			sum := sha512.Sum512(signed)
			return rsa.VerifyPKCS1v15(pub, crypto.SHA512, sum[:], sig) == nil
		case "rsa-sha2-256":
			sum := sha256.Sum256(signed)
			return rsa.VerifyPKCS1v15(pub, crypto.SHA256, sum[:], sig) == nil
		}
	}
	return false
}

// securityKey returns what a security key really signs (openssh PROTOCOL.u2f). One that
// signed without being touched proves no person's decision and fails.
func (s *sshSignature) securityKey(w *wire, signed []byte) []byte {
	if len(w.data) != 5 || w.data[0]&skUserFlag == 0 || w.data[0]&^skFlagsMask != 0 {
		w.bad = true
		return nil
	}
	app, msg := sha256.Sum256([]byte(s.key.application)), sha256.Sum256(signed)
	out := append(app[:], w.data...)
	w.data = nil
	return append(out, msg[:]...)
}
