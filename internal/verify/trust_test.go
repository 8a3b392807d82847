package verify

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"strings"
	"testing"

	"caos"
)

func TestTrustRefusals(t *testing.T) {
	w := newWorld(t, 1)
	text, err := w.trust.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	if _, err := ParseTrust(text); err != nil {
		t.Fatal(err)
	}
	ev, cp := w.ev.trust, w.cp.trust
	ec, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), 7))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(ec.Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new string }{
		"version":             {`"version": 1`, `"version": 2`},
		"no origin":           {`"origin": "` + testOrigin + `"`, `"origin": ""`},
		"odd origin":          {testOrigin, "a b"},
		"no log id":           {`"log_id": "log-1"`, `"log_id": ""`},
		"unknown key":         {`"version": 1`, `"version": 1, "more": 1`},
		"repeated key":        {`"version": 1`, `"version": 1, "version": 1`},
		"wrong case":          {`"log_id"`, `"Log_ID"`},
		"missing key":         {`"log_id": "log-1",`, ``},
		"no keys":             {good[strings.Index(good, "[")-1 : strings.Index(good, `"witnesses"`)], `[],`},
		"id of another key":   {ev.ID, "evidence-0000000000000000"},
		"id of the purpose":   {`"id": "` + ev.ID, `"id": "passport` + strings.TrimPrefix(ev.ID, "evidence")},
		"another purpose":     {`"purpose": "evidence"`, `"purpose": "passport"`},
		"unknown purpose":     {`"purpose": "evidence"`, `"purpose": "anything"`},
		"another algorithm":   {`"algorithm": "ed25519"`, `"algorithm": "ecdsa-p256"`},
		"key not base64":      {ev.PublicKey, "!" + ev.PublicKey[1:]},
		"key shortened":       {ev.PublicKey, ev.PublicKey[:len(ev.PublicKey)-4]},
		"key of another kind": {ev.PublicKey, encodeBase64(der)},
		"key twice":           {`"keys": [`, `"keys": [` + oneKey(cp) + `,`},
		"shared by purposes":  {`"keys": [`, `"keys": [` + oneKey(TrustKey{ID: "passport" + strings.TrimPrefix(ev.ID, "evidence"), Purpose: PurposePassport, Algorithm: Ed25519, PublicKey: ev.PublicKey}) + `,`},
		"negative leaf":       {`"active_from_leaf": 1`, `"active_from_leaf": -1`},
		"ends before birth":   {`"active_from_leaf": 1,` + "\n" + `      "active_until_leaf": null`, `"active_from_leaf": 1, "active_until_leaf": 0`},
		"stolen before birth": {`"active_from_leaf": 1,` + "\n" + `      "active_until_leaf": null,` + "\n" + `      "compromised_at_leaf": null`, `"active_from_leaf": 1, "active_until_leaf": null, "compromised_at_leaf": 0`},
		"leaf is a fraction":  {`"active_from_leaf": 1`, `"active_from_leaf": 1.5`},
		"null leaf":           {`"active_from_leaf": 1`, `"active_from_leaf": null`},
	} {
		if !strings.Contains(good, c.old) {
			t.Fatalf("%s: the trust file has no %q in\n%s", name, c.old, good)
		}
		if _, err := ParseTrust([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil {
			t.Errorf("%s: accepted", name)
		} else if caos.AsError(err).Field == "" {
			t.Errorf("%s: no field named: %v", name, err)
		}
	}
	if _, err := ParseTrust(make([]byte, MaxTrust+1)); caos.KindOf(err) != caos.TooLarge {
		t.Error(err)
	}
}

func oneKey(k TrustKey) string {
	return `{"id":"` + k.ID + `","purpose":"` + k.Purpose + `","algorithm":"` + k.Algorithm + `","public_key":"` + k.PublicKey + `","active_from_leaf":0,"active_until_leaf":null,"compromised_at_leaf":null}`
}

// skSign makes the signature of a security key, which no machine without one can ask
// ssh-keygen for, by the text of openssh's PROTOCOL.u2f.
func skSign(t *testing.T, typ string, flags byte, extra []byte) (armored []byte, line string) {
	t.Helper()
	const app = "ssh:"
	ed := newTestKey(t, "person", 6).private
	ec, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), 7))
	if err != nil {
		t.Fatal(err)
	}
	blob := sshString(nil, []byte(typ))
	if typ == sshSKEd25519 {
		blob = sshString(blob, ed.Public().(ed25519.PublicKey), []byte(app))
	} else {
		point, err := ec.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		blob = sshString(blob, []byte("nistp256"), point, []byte(app))
	}
	sum := sha256.Sum256([]byte("m"))
	inner := sha256.Sum256(sshString([]byte("SSHSIG"), []byte(DecisionNamespace), nil, []byte("sha256"), sum[:]))
	appSum := sha256.Sum256([]byte(app))
	tail := binary.BigEndian.AppendUint32([]byte{flags}, 42)
	signed := append(append(appSum[:], tail...), inner[:]...)
	sig := sshString(nil, []byte(typ))
	if typ == sshSKEd25519 {
		sig = sshString(sig, ed25519.Sign(ed, signed))
	} else {
		h := sha256.Sum256(signed)
		r, s, err := ecdsa.Sign(zeroReader{}, ec, h[:])
		if err != nil {
			t.Fatal(err)
		}
		sig = sshString(sig, sshString(nil, mpint(r), mpint(s)))
	}
	sig = append(append(sig, tail...), extra...)
	out := binary.BigEndian.AppendUint32([]byte("SSHSIG"), 1)
	out = sshString(out, blob, []byte(DecisionNamespace), nil, []byte("sha256"), sig)
	return []byte(sshBegin + encodeBase64(out) + "\n" + sshEnd + "\n"), typ + " " + encodeBase64(blob)
}

func mpint(n *big.Int) []byte {
	b := n.Bytes()
	if len(b) > 0 && b[0]&0x80 != 0 {
		b = append([]byte{0}, b...)
	}
	return b
}

func TestSecurityKeys(t *testing.T) {
	for _, typ := range []string{sshSKEd25519, sshSKP256} {
		for _, c := range []struct {
			flags byte
			extra []byte
			ok    bool
		}{{0x01, nil, true}, {0x05, nil, true}, {0x00, nil, false}, {0x04, nil, false}, {0x41, nil, false}, {0x01, []byte{0}, false}} {
			sig, line := skSign(t, typ, c.flags, c.extra)
			key, err := VerifySSHSig(sig, []byte("m"), DecisionNamespace)
			if (err == nil) != c.ok || err == nil && key.String() != line {
				t.Errorf("%s with flags %#x: %v", typ, c.flags, err)
			}
			if _, err := VerifySSHSig(sig, []byte("n"), DecisionNamespace); err == nil {
				t.Errorf("%s: another message verifies", typ)
			}
		}
	}
}

func TestSSHKeyRefusals(t *testing.T) {
	ed := newTestKey(t, "person", 3)
	rsaKey := func(e, n *big.Int) string {
		return "ssh-rsa " + encodeBase64(sshString(nil, []byte("ssh-rsa"), mpint(e), mpint(n)))
	}
	odd := func(bits uint) *big.Int { n := new(big.Int).Lsh(big.NewInt(1), bits-1); return n.Add(n, big.NewInt(1)) }
	blob := func(typ string, parts ...[]byte) string {
		return typ + " " + encodeBase64(sshString(sshString(nil, []byte(typ)), parts...))
	}
	if _, err := ParseSSHKey(rsaKey(big.NewInt(65537), odd(2048))); err != nil {
		t.Error(err)
	}
	for name, line := range map[string]string{
		"empty": "", "one word": "ssh-ed25519", "not base64": "ssh-ed25519 !!!!", "another type": "ssh-rsa" + strings.TrimPrefix(ed.sshLine(), "ssh-ed25519"),
		"short key": blob("ssh-ed25519", make([]byte, 31)), "trailing": blob("ssh-ed25519", make([]byte, 32), nil), "nothing in it": blob("ssh-ed25519"),
		"dss": blob("ssh-dss", []byte{1}), "certificate": blob("ssh-ed25519-cert-v01@openssh.com", make([]byte, 32)),
		"point not on curve": blob("ecdsa-sha2-nistp256", []byte("nistp256"), append([]byte{4}, make([]byte, 64)...)),
		"another curve":      blob("ecdsa-sha2-nistp256", []byte("nistp384"), append([]byte{4}, make([]byte, 64)...)),
		"small RSA":          rsaKey(big.NewInt(65537), odd(1024)), "huge RSA": rsaKey(big.NewInt(65537), odd(16384)),
		"even exponent": rsaKey(big.NewInt(65536), odd(2048)), "exponent 1": rsaKey(big.NewInt(1), odd(2048)), "exponent of 40 bits": rsaKey(odd(40), odd(2048)),
		"padded number": "ssh-rsa " + encodeBase64(sshString(nil, []byte("ssh-rsa"), []byte{0, 1, 0, 1}, mpint(odd(2048)))),
		"length beyond": "ssh-ed25519 " + encodeBase64(append([]byte{0xff, 0xff, 0xff, 0xff}, "ssh-ed25519"...)),
	} {
		if k, err := ParseSSHKey(line); err == nil {
			t.Errorf("%s: read as %s", name, k)
		}
	}
}
