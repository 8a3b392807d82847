package sign

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/verify"
)

var testTime = time.Date(2026, 11, 23, 4, 0, 0, 123456000, time.UTC)

func openTest(t *testing.T) (*Keys, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	k, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k, dir
}

func create(t *testing.T, k *Keys, p Purpose) Event {
	t.Helper()
	e, err := k.Create(context.Background(), p, testTime)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestKeysSurviveReopening(t *testing.T) {
	k, dir := openTest(t)
	ids := map[Purpose]string{}
	for _, p := range Purposes() {
		e := create(t, k, p)
		ids[p] = e.Key.ID
		if !strings.HasPrefix(e.Key.ID, string(p)+"-") {
			t.Errorf("id %s of purpose %s", e.Key.ID, p)
		}
	}
	again, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(again.List()); n != len(Purposes()) {
		t.Fatalf("%d keys", n)
	}
	for _, p := range []Purpose{Checkpoint, Evidence, Baseline, Passport} {
		s, err := again.Signer(p)
		if err != nil || s.KeyID() != ids[p] {
			t.Fatalf("%s: %v %v", p, s, err)
		}
		sig, err := s.Sign(context.Background(), []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		der := k.keys[ids[p]].info
		tk := verify.TrustKey{ID: der.ID, Purpose: string(p), Algorithm: der.Algorithm, PublicKey: der.PublicKey}
		if err := tk.Verify([]byte("m"), sig); err != nil {
			t.Error(err)
		}
		if tk.Verify([]byte("n"), sig) == nil {
			t.Error("another message verified")
		}
	}
	for _, p := range []Purpose{TLS, Encryption} {
		if _, err := again.Signer(p); err == nil {
			t.Errorf("%s keys can sign", p)
		}
	}
	if _, err := again.TLSKey(); err != nil {
		t.Error(err)
	}
	if _, err := again.EncryptionKey(); err != nil {
		t.Error(err)
	}
}

func TestPurposesAreNotShared(t *testing.T) {
	k, _ := openTest(t)
	ctx := context.Background()
	for _, p := range []Purpose{Checkpoint, Evidence, Baseline, Passport} {
		create(t, k, p)
		s, err := k.Signer(p)
		if err != nil {
			t.Fatal(err)
		}
		_, dsse := DSSE(ctx, s, verify.InTotoType, []byte("{}"))
		_, text := Note(ctx, s, "a\n1\nb\n", "log.test")
		_, pkg := PackageSigner(ctx, s)([]byte("{}"))
		if (dsse == nil) == (p == Checkpoint) || (text == nil) != (p == Checkpoint) || (pkg == nil) != (p == Evidence) {
			t.Errorf("%s: DSSE %v, note %v, package %v", p, dsse, text, pkg)
		}
	}
}

func TestRefusesUnsafeFiles(t *testing.T) {
	tests := map[string]func(t *testing.T, dir, id string){
		"folder readable":     func(t *testing.T, dir, id string) { chmod(t, dir, 0o750) },
		"key readable":        func(t *testing.T, dir, id string) { chmod(t, filepath.Join(dir, id+".pem"), 0o640) },
		"description exposed": func(t *testing.T, dir, id string) { chmod(t, filepath.Join(dir, id+".json"), 0o644) },
		"another's key": func(t *testing.T, dir, id string) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give files away")
			}
			if err := os.Chown(filepath.Join(dir, id+".pem"), 65534, -1); err != nil {
				t.Fatal(err)
			}
		},
		"link": func(t *testing.T, dir, id string) {
			p := filepath.Join(dir, id+".pem")
			if err := errors.Join(os.Rename(p, p+".real"), os.Symlink(id+".pem.real", p)); err != nil {
				t.Fatal(err)
			}
		},
		"key missing": func(t *testing.T, dir, id string) {
			if err := os.Remove(filepath.Join(dir, id+".pem")); err != nil {
				t.Fatal(err)
			}
		},
		"key garbled": func(t *testing.T, dir, id string) {
			if err := os.WriteFile(filepath.Join(dir, id+".pem"), []byte("-----BEGIN"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"key exchanged": func(t *testing.T, dir, id string) {
			other, dir2 := openTest(t)
			id2 := create(t, other, Evidence).Key.ID
			if err := os.Rename(filepath.Join(dir2, id2+".pem"), filepath.Join(dir, id+".pem")); err != nil {
				t.Fatal(err)
			}
		},
		"purpose edited": func(t *testing.T, dir, id string) {
			p := filepath.Join(dir, id+".json")
			b, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, bytes.Replace(b, []byte(`"purpose": "evidence"`), []byte(`"purpose": "passport"`), 1), 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			k, dir := openTest(t)
			damage(t, dir, create(t, k, Evidence).Key.ID)
			if _, err := OpenKeys(dir); err == nil {
				t.Fatal("opened")
			} else {
				t.Log(err)
			}
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// A chain account's key may lie in the folder, as the documents and wallets have it; whatever
// else calls itself a key is refused.
func TestAccountKeysLieBeside(t *testing.T) {
	const account = `{"address":"d4357d52595ec0664e9c3168ef32ffbfdc45e2c2","crypto":{"cipher":"aes-128-ctr","ciphertext":"00","kdf":"scrypt"},"id":"029f26be-b92b-40c1-bcad-c2c92028c358","version":3}`
	for text, ok := range map[string]bool{
		account: true,
		strings.Replace(account, `"version":3`, `"version":1`, 1): false,
		strings.Replace(account, `"version":3`, `"version":2`, 1): false,
		strings.Replace(account, `"crypto"`, `"crypt"`, 1):        false,
		strings.Replace(account, `"kdf":"scrypt"`, `"kdf":""`, 1): false,
		`{"version":3,"id":"evidence-0000000000000000"}`:          false,
		`{"version":3,"crypto":{}}`:                               false,
		`{"version":3,"crypto":[]}`:                               false,
	} {
		k, dir := openTest(t)
		id := create(t, k, Evidence).Key.ID
		if err := os.WriteFile(filepath.Join(dir, "production.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		again, err := OpenKeys(dir)
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil {
			continue
		}
		if keys := again.List(); len(keys) != 1 || keys[0].ID != id {
			t.Errorf("keys: %v", keys)
		}
	}
}

func TestCrashLeftoversAreHarmless(t *testing.T) {
	k, dir := openTest(t)
	create(t, k, Evidence)
	for name, data := range map[string]string{".new-evidence-0000000000000000.json": "{", "evidence-0000000000000000.pem": "half"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again, err := OpenKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Signer(Evidence); err != nil {
		t.Fatal(err)
	}
}

func TestLifeCycleAndTrust(t *testing.T) {
	k, _ := openTest(t)
	ctx := context.Background()
	first := create(t, k, Evidence)
	cp := create(t, k, Checkpoint)
	second := create(t, k, Evidence)
	if first.Signer != first.Key.ID || second.Signer != first.Key.ID {
		t.Fatalf("births signed by %s and %s", first.Signer, second.Signer)
	}
	if s, _ := k.Signer(Evidence); s.KeyID() != first.Key.ID {
		t.Fatal("a created key signs before its activation")
	}
	ends, err := k.Activate(ctx, second.Key.ID, testTime)
	if err != nil || len(ends) != 1 || ends[0].Key.ID != first.Key.ID {
		t.Fatal(ends, err)
	}
	if again, err := k.Activate(ctx, second.Key.ID, testTime); err != nil || again != nil {
		t.Fatal(again, err)
	}
	if s, _ := k.Signer(Evidence); s.KeyID() != second.Key.ID {
		t.Fatal("the new key does not sign")
	}
	lost, err := k.MarkCompromised(ctx, second.Key.ID, testTime)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Signer(Evidence); caos.KindOf(err) != caos.NotFound {
		t.Fatal("a compromised key signs", err)
	}
	if _, err := k.MarkCompromised(ctx, second.Key.ID, testTime); caos.KindOf(err) != caos.Conflict {
		t.Fatal(err)
	}
	third := create(t, k, Evidence)
	if third.Signer != third.Key.ID {
		t.Fatal("a compromised key signed a birth")
	}
	log := []KeyEvent{
		{0, first.KeyEvent}, {1, cp.KeyEvent}, {10, second.KeyEvent}, {11, ends[0].KeyEvent},
		{20, lost.KeyEvent}, {21, third.KeyEvent},
	}
	trust, err := BuildTrust("log.test", "log-1", log)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id   string
		leaf int64
		ok   bool
	}{
		{first.Key.ID, 0, true}, {first.Key.ID, 10, true}, {first.Key.ID, 11, false},
		{second.Key.ID, 9, false}, {second.Key.ID, 10, true}, {second.Key.ID, 19, true}, {second.Key.ID, 20, false},
		{third.Key.ID, 20, false}, {third.Key.ID, 21, true}, {third.Key.ID, 1 << 40, true},
		{"evidence-0123456789abcdef", 5, false}, {cp.Key.ID, 5, false},
	} {
		if _, err := trust.Key(c.id, verify.PurposeEvidence, c.leaf); (err == nil) != c.ok {
			t.Errorf("%s at %d: %v", c.id, c.leaf, err)
		}
	}
	if _, err := trust.UnloggedKey(second.Key.ID, verify.PurposeEvidence, 15); err == nil {
		t.Error("a compromised key counts outside the log")
	}
	data, err := trust.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	read, err := verify.ParseTrust(data)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := read.Marshal(); !bytes.Equal(again, data) {
		t.Error("a trust file changes when it is read and written")
	}
	testFalseLogs(t, log, cp)
}

// testFalseLogs changes the true history in ways that must not make a trust file.
func testFalseLogs(t *testing.T, log []KeyEvent, cp Event) {
	edit := func(f func(l []KeyEvent) []KeyEvent) []KeyEvent { return f(append([]KeyEvent(nil), log...)) }
	for name, l := range map[string][]KeyEvent{
		"none":          nil,
		"birth missing": log[1:],
		"birth twice":   edit(func(l []KeyEvent) []KeyEvent { l[3].Event = l[0].Event; return l }),
		"out of order":  edit(func(l []KeyEvent) []KeyEvent { l[1].Leaf = 0; return l }),
		"ended twice":   edit(func(l []KeyEvent) []KeyEvent { return append(l, KeyEvent{30, l[3].Event}) }),
		"foreign sig":   edit(func(l []KeyEvent) []KeyEvent { l[0].Event.Signature = cp.Signature; return l }),
		"predecessor over": edit(func(l []KeyEvent) []KeyEvent {
			l[2], l[3] = KeyEvent{10, l[3].Event}, KeyEvent{11, l[2].Event}
			return l
		}),
		"self while active": edit(func(l []KeyEvent) []KeyEvent {
			return append(l[:2:2], KeyEvent{5, l[5].Event})
		}),
	} {
		if _, err := BuildTrust("log.test", "log-1", l); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNoteIsACheckpointForOthers(t *testing.T) {
	k, _ := openTest(t)
	e := create(t, k, Checkpoint)
	s, err := k.Signer(Checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	want := verify.Checkpoint{Origin: "log.test/1", Size: 7, Root: tlog.RecordHash([]byte("x"))}
	signed, err := Note(context.Background(), s, want.Text(), want.Origin)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := note.NewEd25519VerifierKey(want.Origin, s.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	theirs, _, _, err := log.ParseCheckpoint(signed, want.Origin, v)
	if err != nil || theirs.Size != uint64(want.Size) || !bytes.Equal(theirs.Hash, want.Root[:]) {
		t.Fatal(theirs, err)
	}
	trust, err := BuildTrust(want.Origin, "log-1", []KeyEvent{{0, e.KeyEvent}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := verify.OpenCheckpoint(signed, trust)
	if err != nil || got.Size != want.Size || got.Root != want.Root || got.KeyID != s.KeyID() {
		t.Fatal(got, err)
	}
}
