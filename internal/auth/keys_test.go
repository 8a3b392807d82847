package auth

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/verify"
)

// pen is a person's SSH key.
type pen struct {
	signer ssh.Signer
	public string
}

func newPen(t testing.TB) pen {
	t.Helper()
	_, priv, err := ed25519.GenerateKey(nil)
	ok(t, err)
	return penOf(t, priv)
}

func penOf(t testing.TB, priv ed25519.PrivateKey) pen {
	t.Helper()
	s, err := ssh.NewSignerFromKey(priv)
	ok(t, err)
	return pen{s, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey())))}
}

// sign makes an SSH signature as PROTOCOL.sshsig describes it.
func (p pen) sign(t testing.TB, namespace string, message []byte) []byte {
	t.Helper()
	sum := sha512.Sum512(message)
	field := func(b []byte, v []byte) []byte {
		return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
	}
	signed := []byte("SSHSIG")
	for _, v := range [][]byte{[]byte(namespace), nil, []byte("sha512"), sum[:]} {
		signed = field(signed, v)
	}
	sig, err := p.signer.Sign(nil, signed)
	ok(t, err)
	blob := binary.BigEndian.AppendUint32([]byte("SSHSIG"), 1)
	for _, v := range [][]byte{p.signer.PublicKey().Marshal(), []byte(namespace), nil, []byte("sha512"), ssh.Marshal(sig)} {
		blob = field(blob, v)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob})
}

func (e *env) statement(user, public string) []byte {
	e.t.Helper()
	s, err := NewKeyStatement(origin, user, public, e.clock.now())
	ok(e.t, err)
	return s
}

func TestKeyLife(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		p := newPen(t)
		st := e.statement("ml", p.public+" comment@host")
		_, err := e.EnrolKey(ctx, e.as("ml"), st, p.sign(t, KeyNamespace, st))
		want(t, err, caos.StepUp)
		k, err := e.EnrolKey(ctx, e.strong("ml"), st, p.sign(t, KeyNamespace, st))
		ok(t, err)
		if k.Status != KeyEnrolled || k.Fingerprint != ssh.FingerprintSHA256(p.signer.PublicKey()) || k.PublicKey != p.public || k.EnrolRecord == "" {
			t.Errorf("%+v", k)
		}
		active := func() error {
			return e.d.Update(ctx, func(tx *db.Tx) error { _, err := e.ActiveKey(tx, "ml", k.PublicKey); return err })
		}
		want(t, active(), caos.Denied, "personal-key-active")

		want(t, second(e.CountersignKey(ctx, e.strong("ml"), k.ID)), caos.Denied)
		want(t, second(e.CountersignKey(ctx, e.strong("root"), k.ID)), caos.Denied)
		want(t, second(e.CountersignKey(ctx, e.as("qa"), k.ID)), caos.StepUp)
		want(t, second(e.CountersignKey(ctx, e.strong("qa"), "personal-0000000000000000")), caos.NotFound)
		want(t, second(e.CountersignKey(ctx, e.strong("qa"), "personal-x")), caos.Invalid)
		k, err = e.CountersignKey(ctx, e.strong("qa"), k.ID)
		ok(t, err)
		r, text := e.log.last(t)
		if k.Status != KeyActive || k.CountersignedBy != "qa" || r.Type != auditlog.Key || !strings.Contains(text, p.public) || !strings.Contains(text, "possession") {
			t.Errorf("%+v %s", k, text)
		}
		ok(t, active())
		readable(t, r, verify.Enrolment{Event: verify.EnrolmentActive, Person: "ml", SSHKey: p.public, Countersigned: "qa"})
		want(t, second(e.CountersignKey(ctx, e.strong("ce"), k.ID)), caos.Conflict)
		err = e.d.Update(ctx, func(tx *db.Tx) error { _, err := e.ActiveKey(tx, "qa", k.PublicKey); return err })
		want(t, err, caos.Denied, "personal-key-active")

		// The keys can be read by their owner and by those who keep them.
		list, err := e.ListKeys(ctx, e.as("ml"), "ml")
		if err != nil || len(list) != 1 || list[0].ActiveRecord != k.ActiveRecord {
			t.Error(list, err)
		}
		_, err = e.ListKeys(ctx, e.as("ml"), "")
		want(t, err, caos.Denied)
		list, err = e.ListKeys(ctx, e.as("aud"), "")
		if err != nil || len(list) != 1 {
			t.Error(list, err)
		}

		// Its end, by its owner without a second factor; then it turns out to be worse.
		want(t, second(e.RevokeKey(ctx, e.as("cert"), k.ID, time.Time{})), caos.Denied)
		want(t, second(e.RevokeKey(ctx, e.as("ml"), k.ID, e.clock.now().Add(time.Hour))), caos.Invalid)
		k, err = e.RevokeKey(ctx, e.as("ml"), k.ID, time.Time{})
		ok(t, err)
		r, _ = e.log.last(t)
		readable(t, r, verify.Enrolment{Event: verify.EnrolmentRevoked, Person: "ml", SSHKey: p.public, Countersigned: "qa"})
		want(t, active(), caos.Denied, "personal-key-active")
		want(t, second(e.RevokeKey(ctx, e.as("ml"), k.ID, time.Time{})), caos.Conflict)
		k, err = e.RevokeKey(ctx, e.as("qa"), k.ID, e.clock.now().Add(-time.Minute))
		if err != nil || k.Status != KeyCompromised || k.CompromisedSince == nil {
			t.Error(k, err)
		}
		want(t, second(e.RevokeKey(ctx, e.as("qa"), k.ID, e.clock.now())), caos.Conflict)
		// A key that was ever enrolled is not taken again, by nobody.
		st = e.statement("cert", p.public)
		_, err = e.EnrolKey(ctx, e.strong("cert"), st, p.sign(t, KeyNamespace, st))
		want(t, err, caos.Conflict)
		e.noNames()
	})
}

// readable holds a record against what the verifier reads of it. A top-level statement
// would make it the record of one of the installation's own keys.
func readable(t testing.TB, r auditlog.Record, w verify.Enrolment) {
	t.Helper()
	text, err := json.Marshal(r.Details)
	ok(t, err)
	var got verify.Enrolment
	ok(t, json.Unmarshal(text, &got))
	_, statement := r.Details.(map[string]any)["statement"]
	if p := got.Possession; w.Event == verify.EnrolmentActive && (p == nil || p.Namespace != KeyNamespace || p.Statement == "" || p.Signature == "") {
		t.Errorf("no proof of possession in %s", text)
	}
	got.Possession = nil
	if got != w || statement || r.Type != auditlog.Key {
		t.Errorf("%s", text)
	}
}

func second(_ PersonalKey, err error) error { return err }

// Whoever could have enrolled a key in the holder's stead cannot vouch for it.
func TestCountersignByParty(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		ctx := context.Background()
		// root makes a person with a first token, and is then a qa-lead instead of an admin.
		e.join(e.CreateUser(ctx, e.strong("root"), NewUser{ID: "vic", Name: "Vic Name", Roles: []string{"vv-lead"}, Token: &NewToken{}}))
		ok(t, e.GrantRole(ctx, e.strong("root"), "ml", "admin"))
		ok(t, e.RevokeRole(ctx, e.strong("ml"), "root", "admin"))
		ok(t, e.GrantRole(ctx, e.strong("ml"), "root", "qa-lead"))
		secret, err := e.EnrolTOTP(ctx, e.as("vic"))
		ok(t, err)
		c := e.cast["vic"]
		c.TOTP = &secret
		e.cast["vic"] = c
		ok(t, e.ConfirmTOTP(ctx, e.as("vic"), e.code("vic")))
		p := newPen(t)
		vic := e.strong("vic")
		st := e.statement("vic", p.public)
		k, err := e.EnrolKey(ctx, vic, st, p.sign(t, KeyNamespace, st))
		ok(t, err)
		want(t, second(e.CountersignKey(ctx, e.strong("root"), k.ID)), caos.Denied, "separation-of-duties")
		// Nor is a disabled person's key vouched for.
		ok(t, e.DisableUser(ctx, e.strong("ml"), "vic"))
		want(t, second(e.CountersignKey(ctx, e.strong("qa"), k.ID)), caos.Conflict)
		ok(t, e.EnableUser(ctx, e.strong("ml"), "vic"))
		ok(t, second(e.CountersignKey(ctx, e.strong("qa"), k.ID)))
		err = e.d.Update(ctx, func(tx *db.Tx) error { _, err := e.ActiveKey(tx, "vic", k.PublicKey); return err })
		ok(t, err)
		ok(t, e.DisableUser(ctx, e.strong("ml"), "vic"))
		err = e.d.Update(ctx, func(tx *db.Tx) error { _, err := e.ActiveKey(tx, "vic", k.PublicKey); return err })
		want(t, err, caos.Denied, "personal-key-active")
	})
}

func TestEnrolRefuses(t *testing.T) {
	each(t, func(t *testing.T, e *env) {
		p, q := newPen(t), newPen(t)
		ml := e.strong("ml")
		good := e.statement("ml", p.public)
		now := e.clock.now()
		made := func(origin, person, key string, at time.Time) []byte {
			s, err := NewKeyStatement(origin, person, key, at)
			ok(t, err)
			return s
		}
		spaced := bytes.Replace(good, []byte(`,"v"`), []byte(`, "v"`), 1)
		for name, tc := range map[string]struct{ statement, signature []byte }{
			"no signature":    {good, nil},
			"other namespace": {good, p.sign(t, "caos-decision@v1", good)},
			"other key":       {good, q.sign(t, KeyNamespace, good)},
			"other message":   {good, p.sign(t, KeyNamespace, []byte("x"))},
			"other person":    {made(origin, "qa", p.public, now), p.sign(t, KeyNamespace, made(origin, "qa", p.public, now))},
			"other origin":    {made("other/log", "ml", p.public, now), p.sign(t, KeyNamespace, made("other/log", "ml", p.public, now))},
			"old":             {made(origin, "ml", p.public, now.Add(-11*time.Minute)), p.sign(t, KeyNamespace, made(origin, "ml", p.public, now.Add(-11*time.Minute)))},
			"future":          {made(origin, "ml", p.public, now.Add(11*time.Minute)), p.sign(t, KeyNamespace, made(origin, "ml", p.public, now.Add(11*time.Minute)))},
			"not canonical":   {spaced, p.sign(t, KeyNamespace, spaced)},
			"trailing":        {append(bytes.Clone(good), '\n'), p.sign(t, KeyNamespace, append(bytes.Clone(good), '\n'))},
			"not a statement": {[]byte("{}"), p.sign(t, KeyNamespace, []byte("{}"))},
			"empty":           {nil, nil},
			"huge":            {bytes.Repeat([]byte("x"), 1<<20), nil},
			"huge signature":  {good, bytes.Repeat([]byte("x"), 1<<20)},
		} {
			_, err := e.EnrolKey(context.Background(), ml, tc.statement, tc.signature)
			if k := caos.KindOf(err); k != caos.Invalid && k != caos.TooLarge {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := e.log.events(); got[len(got)-1] == "personal-key-offered" {
			t.Error("a refused key was recorded")
		}
		_, err := e.EnrolKey(context.Background(), ml, good, p.sign(t, KeyNamespace, good))
		ok(t, err)
		for _, line := range []string{"", "ssh-ed25519", "ssh-rsa AAAA", "ssh-ed25519 AAAA\nssh-ed25519 AAAA", strings.Repeat("a", 1<<16),
			`command="x" ` + p.public, p.public + "\n" + q.public} {
			if _, err := NewKeyStatement(origin, "ml", line, now); caos.KindOf(err) != caos.Invalid {
				t.Errorf("%q: %v", clip(line), err)
			}
		}
	})
}

// What OpenSSH itself signs is accepted.
func TestEnrolWithOpenSSH(t *testing.T) {
	tool, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("ssh-keygen is not installed")
	}
	each(t, func(t *testing.T, e *env) {
		for _, kind := range []string{"ed25519", "ecdsa"} {
			dir := t.TempDir()
			file := filepath.Join(dir, "key")
			if out, err := exec.Command(tool, "-q", "-t", kind, "-N", "", "-C", "a comment", "-f", file).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			public, err := os.ReadFile(file + ".pub")
			ok(t, err)
			ml := e.strong("ml")
			st := e.statement("ml", string(public))
			ok(t, os.WriteFile(filepath.Join(dir, "st"), st, 0o600))
			if out, err := exec.Command(tool, "-Y", "sign", "-n", KeyNamespace, "-f", file, filepath.Join(dir, "st")).CombinedOutput(); err != nil {
				t.Fatalf("%v %s", err, out)
			}
			sig, err := os.ReadFile(filepath.Join(dir, "st.sig"))
			ok(t, err)
			_, err = e.EnrolKey(context.Background(), ml, st, sig)
			ok(t, err)
		}
	})
}

func FuzzEnrolStatement(f *testing.F) {
	// The same key in every process: the workers of a fuzzing run share their inputs.
	p := penOf(f, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	s, err := NewKeyStatement(origin, "ml", p.public, time.Unix(1e9, 0))
	ok(f, err)
	f.Add(s, p.sign(f, KeyNamespace, s))
	f.Add([]byte(`{"v":1}`), []byte("-----BEGIN SSH SIGNATURE-----\n\n-----END SSH SIGNATURE-----\n"))
	a := &Auth{o: Options{Origin: origin, Now: func() time.Time { return time.Unix(1e9, 0) }}}
	f.Fuzz(func(t *testing.T, statement, signature []byte) {
		got, key, err := a.checkStatement(caos.Principal{ID: "ml"}, statement, signature)
		if err == nil && (got.Person != "ml" || key.String() != p.public) {
			t.Errorf("%s was accepted", statement)
		}
	})
}
