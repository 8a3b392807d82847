package verify

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
)

// honestFiles are the files of the honest vector.
func honestFiles(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(vectorsFile))
	if err != nil {
		t.Fatal(err)
	}
	var v passportVectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v.Honest
}

func TestUnfoldStatus(t *testing.T) {
	bits := make([]byte, MinStatusBits/8)
	for _, place := range []int64{0, 7, 8, 1000, MinStatusBits - 1} {
		SetStatus(bits, place)
	}
	if bits[0] != 0x81 || bits[1] != 0x80 || bits[len(bits)-1] != 1 {
		t.Errorf("%x %x", bits[:2], bits[len(bits)-1])
	}
	good, err := FoldStatus(bits)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := unfoldStatus(good); err != nil || !bytes.Equal(got, bits) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	fold := func(n int) string {
		text, err := FoldStatus(make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	packed, err := decodeURL(good[1:])
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(packed)
	damaged[len(damaged)-6] ^= 1 // of its checksum
	var empty bytes.Buffer
	if err := gzip.NewWriter(&empty).Close(); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "no letter": good[1:], "another base": "z" + good[1:], "padding": good + "=", "a line break": good[:9] + "\n" + good[9:],
		"no gzip": "u" + encodeURL(bits), "cut": "u" + encodeURL(packed[:len(packed)-9]), "damaged": "u" + encodeURL(damaged),
		"more behind it": "u" + encodeURL(append(bytes.Clone(packed), 0)), "twice": "u" + encodeURL(append(bytes.Clone(packed), packed...)),
		"an empty one behind it": "u" + encodeURL(append(bytes.Clone(packed), empty.Bytes()...)),
		"too short":              fold(MinStatusBits/8 - 1), "a bomb": fold(200 << 20), "one byte too long": fold(maxStatusBytes + 1),
	} {
		if got, err := unfoldStatus(bad); caos.KindOf(err) != caos.Invalid || got != nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if got, err := unfoldStatus(fold(maxStatusBytes)); err != nil || len(got) != maxStatusBytes {
		t.Errorf("the longest: %v", err)
	}
}

func TestStatusEntry(t *testing.T) {
	good := `{"id":"x#7","type":"BitstringStatusListEntry","statusPurpose":"revocation","statusListIndex":"7","statusListCredential":"https://caos.test/dpp/status/1","further":1}`
	e, err := statusEntryOf(json.RawMessage(good))
	if err != nil || e.Index != "7" {
		t.Errorf("%+v %v", e, err)
	}
	if e, err := statusEntryOf(nil); e != nil || err != nil {
		t.Errorf("%+v %v", e, err)
	}
	for name, bad := range map[string]string{
		"a list": "[" + good + "]", "null": "null", "text": `"x"`, "another type": strings.Replace(good, "ListEntry", "List", 1),
		"another purpose": strings.Replace(good, "revocation", "suspension", 1), "a number": strings.Replace(good, `"7"`, `7`, 1),
		"negative": strings.Replace(good, `"7"`, `"-7"`, 1), "leading zero": strings.Replace(good, `"7"`, `"07"`, 1), "huge": strings.Replace(good, `"7"`, `"8388608"`, 1),
		"beyond 64 bits": strings.Replace(good, `"7"`, `"99999999999999999999"`, 1), "no index": strings.Replace(good, `"statusListIndex":"7",`, "", 1),
		"no list": strings.Replace(good, "https://caos.test/dpp/status/1", "", 1), "twice": strings.Replace(good, `"further":1`, `"type":"x"`, 1),
	} {
		if e, err := statusEntryOf(json.RawMessage(bad)); caos.KindOf(err) != caos.Invalid || e != nil {
			t.Errorf("%s: %+v %v", name, e, err)
		}
	}
}

// The command takes list and proof, says what it was not given, and tells a revoked passport.
func TestPassportCommandWithFiles(t *testing.T) {
	files := honestFiles(t)
	dir := t.TempDir()
	put := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	passport, trust, status, proof := put("p.json", files["credential"]), put("trust.json", files["trust"]), put("status.json", files["status"]), put("proof.json", files["proof"])
	for _, c := range []struct {
		name string
		args []string
		exit int
		out  []string
	}{
		{"alone", nil, ExitOK, []string{"give --status FILE", "give --proof FILE", "VERIFIED"}},
		{"with its proof", []string{"--proof", proof}, ExitOK, []string{"Logged   ", "give --status FILE"}},
		{"another file as its proof", []string{"--proof", status}, ExitFailed, []string{"VERIFICATION FAILED"}},
		{"an empty file as its proof", []string{"--proof", put("empty.json", "")}, ExitFailed, []string{"VERIFICATION FAILED"}},
		{"another file as its list", []string{"--status", passport}, ExitFailed, []string{"VERIFICATION FAILED"}},
		{"a list that is not there", []string{"--status", filepath.Join(dir, "none")}, ExitUsage, nil},
		{"a list that is too long", []string{"--status", put("long.json", files["status"]+strings.Repeat(" ", maxCredential))}, ExitFailed, []string{"more than"}},
	} {
		var stdout, stderr bytes.Buffer
		exit := Main(append([]string{passport, "--trust", trust}, c.args...), &stdout, &stderr, false)
		if exit != c.exit {
			t.Errorf("%s: exit %d\n%s%s", c.name, exit, stdout.String(), stderr.String())
		}
		words := strings.Join(strings.Fields(stdout.String()), " ")
		for _, want := range c.out {
			if !strings.Contains(words, strings.TrimSpace(want)) {
				t.Errorf("%s: lacks %q:\n%s", c.name, want, stdout.String())
			}
		}
	}
	var stdout, stderr bytes.Buffer
	if exit := Main([]string{trust, "--trust", trust, "--status", status}, &stdout, &stderr, false); exit == ExitOK {
		t.Errorf("a trust file with a list: %s%s", stdout.String(), stderr.String())
	}
	if exit := Main([]string{dir, "--trust", trust, "--status", status}, &stdout, &stderr, false); exit != ExitUsage || !strings.Contains(stderr.String(), "no passport") {
		t.Errorf("a folder with a list: %d %s", exit, stderr.String())
	}
}

// The list that the command is given has to cover the present, and what it says counts.
func TestPassportStatusReport(t *testing.T) {
	files := honestFiles(t)
	trust, err := ParseTrust([]byte(files["trust"]))
	if err != nil {
		t.Fatal(err)
	}
	list, err := CheckStatusList([]byte(files["status"]), trust)
	if err != nil {
		t.Fatal(err)
	}
	report := func(with PassportFiles) *PassportReport {
		with.Status = []byte(files["status"])
		return verifyPassport(strings.NewReader(files["credential"]), int64(len(files["credential"])), trust, with)
	}
	r := report(PassportFiles{Now: list.ValidUntil, Proof: []byte(files["proof"])})
	if !r.OK || r.Status == nil || r.Status.Revoked || r.Logged == nil || len(r.Checks) != 3 || len(r.NotChecked) != 3 {
		t.Errorf("%+v", r)
	}
	r = report(PassportFiles{Now: list.ValidUntil.Add(1)})
	if r.OK || r.Status == nil || r.Status.Revoked {
		t.Errorf("an old list: %+v", r)
	}
	if r = report(PassportFiles{}); !r.OK {
		t.Errorf("whenever: %+v", r)
	}
	c, err := CheckCredential([]byte(files["credential"]), trust)
	if err != nil {
		t.Fatal(err)
	}
	place, err := c.Status.index()
	if err != nil {
		t.Fatal(err)
	}
	SetStatus(list.bits, place)
	if revoked, err := list.Revoked(c); err != nil || !revoked {
		t.Errorf("%v %v", revoked, err)
	}
	short := *list
	short.bits = make([]byte, place/8)
	if _, err := short.Revoked(c); caos.KindOf(err) != caos.Invalid {
		t.Errorf("a place that the list does not have: %v", err)
	}
	other := *list
	other.ID += "0"
	if _, err := other.Revoked(c); caos.KindOf(err) != caos.Invalid {
		t.Errorf("another list: %v", err)
	}
	c.Status = nil
	if _, err := list.Revoked(c); caos.KindOf(err) != caos.Invalid {
		t.Errorf("a passport without a list: %v", err)
	}
}

// No list makes the parser panic or take more than it may, and none that was forged passes.
func FuzzStatusList(f *testing.F) {
	files := honestFiles(f)
	trust, err := ParseTrust([]byte(files["trust"]))
	if err != nil {
		f.Fatal(err)
	}
	want, err := CheckStatusList([]byte(files["status"]), trust)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(files["status"]))
	f.Add([]byte(files["credential"]))
	f.Fuzz(func(t *testing.T, data []byte) {
		if l, err := CheckStatusList(data, trust); err == nil && l.Digest != want.Digest {
			t.Fatalf("forged %q", data)
		}
		if bits, err := unfoldStatus(string(data)); err == nil && (len(bits) > maxStatusBytes || len(bits)*8 < MinStatusBits) {
			t.Fatalf("%d bytes", len(bits))
		}
	})
}

// No proof makes the parser panic, and none that was forged puts a passport elsewhere.
func FuzzPassportProof(f *testing.F) {
	files := honestFiles(f)
	trust, err := ParseTrust([]byte(files["trust"]))
	if err != nil {
		f.Fatal(err)
	}
	want, err := CheckLoggedPassport([]byte(files["credential"]), []byte(files["proof"]), trust)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(files["proof"]))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := CheckLoggedPassport([]byte(files["credential"]), data, trust)
		if err == nil && (l.Index != want.Index || l.Leaf != want.Leaf || l.Checkpoint.Root != want.Checkpoint.Root) {
			t.Fatalf("forged %q", data)
		}
	})
}
