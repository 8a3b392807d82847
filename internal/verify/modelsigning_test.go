package verify

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"caos"
)

// sampleModel is the folder that the reference tool signed; see testdata/modelsigning.
func sampleModel() fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range map[string]string{"a.txt": "hello\n", "sub/b.txt": "world\n", "sub-x.txt": "x\n", "empty": "", "é name.txt": "é\n"} {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "modelsigning", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func goldenKey(t testing.TB, name string) crypto.PublicKey {
	t.Helper()
	block, _ := pem.Decode(golden(t, name))
	pub, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// TestReferenceBundles: what the reference tool signed is understood as it understands it.
func TestReferenceBundles(t *testing.T) {
	pub := goldenKey(t, "key.pub")
	if key, err := ModelKeyPEM(pub); err != nil || !bytes.Equal(key, golden(t, "key.pub")) {
		t.Errorf("the PEM of the key differs: %v\n%s", err, key)
	}
	for _, name := range []string{"v1.1.1.sig", "v1.0.1.sig", "ignoring.sig"} {
		st, err := CheckModelBundle(golden(t, name), pub)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var names []string
		for _, r := range st.Resources {
			names = append(names, r.Name)
		}
		if st.Root != sampleRoot() || st.Name != "sample" || !slices.Equal(names, []string{"a.txt", "empty", "sub/b.txt", "sub-x.txt", "é name.txt"}) {
			t.Errorf("%s: %+v", name, st)
		}
		if (st.KeyHint == "") != (name == "v1.0.1.sig") {
			t.Errorf("%s: hint %q", name, st.KeyHint)
		}
		// Building it from the same files leads to the same root.
		if _, again, err := BuildModelStatement("sample", slices.Clone(st.Resources)); err != nil || again != st.Root {
			t.Errorf("%s: %v %s", name, err, again)
		}
		if problems, err := CheckModelFolder(sampleModel(), golden(t, name), pub); err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %+v", name, err, problems)
		}
	}
	// What a signer ignored is ignored, by its name or as a folder; the bundle itself and
	// what git keeps beside it, too.
	m := sampleModel()
	for _, name := range []string{"training.log", "model.sig", ".git/HEAD", ".gitignore"} {
		m[name] = &fstest.MapFile{Data: []byte("x")}
	}
	if problems, err := CheckModelFolder(m, golden(t, "ignoring.sig"), pub); err != nil || len(problems) > 0 {
		t.Errorf("%v %+v", err, problems)
	}
	m["sub/training.log"] = m["training.log"]
	m[".gitmodules"] = m["training.log"]
	if problems, err := CheckModelFolder(m, golden(t, "ignoring.sig"), pub); err != nil || len(problems) != 2 {
		t.Errorf("%v %+v", err, problems)
	}
	m = sampleModel()
	m["link"] = &fstest.MapFile{Data: []byte("a.txt"), Mode: fs.ModeSymlink}
	if problems, err := CheckModelFolder(m, golden(t, "symlinks.sig"), pub); err != nil || len(problems) != 1 || !strings.Contains(problems[0].Message, "symbolic link") {
		t.Errorf("%v %+v", err, problems)
	}
	for name, why := range map[string]string{"single.sig": "one file, not a folder", "shards.sig": "method", "blake3.sig": "hash"} {
		if _, err := CheckModelBundle(golden(t, name), pub); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, key := range []string{"key.pub", "key384.pub"} {
		if _, err := CheckModelBundle(golden(t, "p384.sig"), goldenKey(t, key)); err == nil {
			t.Errorf("a key on P-384 is good with %s", key)
		}
	}
}

// sampleRoot is the root of sampleModel, by hand.
func sampleRoot() string {
	sum := sha256.New()
	m := sampleModel()
	for _, name := range []string{"a.txt", "empty", "sub/b.txt", "sub-x.txt", "é name.txt"} {
		h := sha256.Sum256(m[name].Data)
		sum.Write(h[:])
	}
	return FormatHash([32]byte(sum.Sum(nil)))
}

// modelKeyPair is a key as a trust file has it.
func modelKeyPair(t testing.TB) (*ecdsa.PrivateKey, TrustKey) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	return priv, TrustKey{ID: keyIDFromDER(PurposeBaseline, der), Purpose: PurposeBaseline, Algorithm: ECDSAP256, PublicKey: encodeBase64(der)}
}

func signModel(t testing.TB, priv *ecdsa.PrivateKey, payloadType string, statement []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(PAE(payloadType, statement))
	sig, err := ecdsa.SignASN1(rand.Reader, priv, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	id, err := KeyID(PurposeBaseline, priv.Public())
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := MarshalModelBundle(statement, priv.Public(), id, sig)
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func resourcesOf(m fstest.MapFS) (out []ModelResource) {
	for name, f := range m {
		out = append(out, ModelResource{name, FormatHash(sha256.Sum256(f.Data))})
	}
	return out
}

func TestOwnBundle(t *testing.T) {
	priv, key := modelKeyPair(t)
	statement, root, err := BuildModelStatement("BL-FCS-2.1.0", resourcesOf(sampleModel()))
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := BuildModelStatement("BL-FCS-2.1.0", resourcesOf(sampleModel())); err != nil || !bytes.Equal(again, statement) {
		t.Error("the statement depends on the order of the files")
	}
	bundle := signModel(t, priv, InTotoType, statement)
	st, err := CheckModelBundle(bundle, priv.Public())
	if err != nil || st.Root != root || root != sampleRoot() || st.Name != "BL-FCS-2.1.0" || st.KeyID != key.ID {
		t.Fatalf("%v %+v", err, st)
	}
	if problems, err := CheckModelFolder(sampleModel(), bundle, priv.Public()); err != nil || len(problems) > 0 {
		t.Errorf("%v %+v", err, problems)
	}
	other, _ := modelKeyPair(t)
	problems, err := CheckModelFolder(sampleModel(), bundle, other.Public())
	if err != nil || len(problems) != 1 || problems[0].Kind != ModelSignature {
		t.Errorf("%v %+v", err, problems)
	}
	// A signature over the bare statement, or over it as another type, is none.
	for _, typ := range []string{"", "application/json"} {
		if _, err := CheckModelBundle(signModel(t, priv, typ, statement), priv.Public()); err == nil {
			t.Errorf("took a signature over the type %q", typ)
		}
	}
}

// TestFalseBundles: each is a good bundle with one thing changed, signed again.
func TestFalseBundles(t *testing.T) {
	priv, _ := modelKeyPair(t)
	statement, _, err := BuildModelStatement("BL-FCS-2.1.0", resourcesOf(sampleModel()))
	if err != nil {
		t.Fatal(err)
	}
	good := string(signModel(t, priv, InTotoType, statement))
	for name, change := range map[string]func(s string) string{
		"statement type":     func(s string) string { return strings.Replace(s, "Statement/v1", "Statement/v2", 1) },
		"predicate type":     func(s string) string { return strings.Replace(s, "signature/v1.0", "signature/v2.0", 1) },
		"root":               func(s string) string { return strings.Replace(s, sampleRoot()[7:], strings.Repeat("0", 64), 1) },
		"method":             func(s string) string { return strings.Replace(s, `"files"`, `"shards"`, 1) },
		"hash":               func(s string) string { return strings.Replace(s, `"hash_type":"sha256"`, `"hash_type":"blake2b"`, 1) },
		"algorithm":          func(s string) string { return strings.Replace(s, `"algorithm":"sha256"`, `"algorithm":"md5"`, 1) },
		"name out of folder": func(s string) string { return strings.Replace(s, `"a.txt"`, `"../a.txt"`, 1) },
		"absolute name":      func(s string) string { return strings.Replace(s, `"a.txt"`, `"/a.txt"`, 1) },
		"NUL":                func(s string) string { return strings.Replace(s, `"a.txt"`, `"a\u0000.txt"`, 1) },
		"twice":              func(s string) string { return strings.Replace(s, `"empty"`, `"a.txt"`, 1) },
		"file and folder":    func(s string) string { return strings.Replace(s, `"empty"`, `"sub"`, 1) },
		"itself":             func(s string) string { return strings.Replace(s, `"empty"`, `"model.sig"`, 1) },
		"ignores a file":     func(s string) string { return strings.Replace(s, `["model.sig"]`, `["sub"]`, 1) },
		"ignores all":        func(s string) string { return strings.Replace(s, `["model.sig"]`, `["."]`, 1) },
		"another key in it":  func(s string) string { return strings.Replace(s, `"predicate":`, `"predicate":{},"predicate":`, 1) },
		"extra field":        func(s string) string { return strings.Replace(s, `"subject":`, `"more":1,"subject":`, 1) },
		"two subjects": func(s string) string {
			return strings.Replace(s, `"subject":[`, `"subject":[{"digest":{"sha256":"`+strings.Repeat("0", 64)+`"},"name":"x"},`, 1)
		},
		"no files": func(s string) string {
			i, j := strings.Index(s, `"resources":[`), strings.Index(s, `],"serialization"`)
			return s[:i] + `"resources":[` + s[j:]
		},
		"not JSON": func(string) string { return "hello" },
	} {
		changed := change(string(statement))
		if changed == string(statement) {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := ParseModelBundle(signModel(t, priv, InTotoType, []byte(changed))); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(s string) string{
		"media type":   func(s string) string { return strings.Replace(s, "v0.3", "v0.4", 1) },
		"payload type": func(s string) string { return strings.Replace(s, "in-toto", "in-tutu", 1) },
		"hint":         func(s string) string { i := strings.Index(s, `"hint":"`) + 8; return s[:i] + "0" + s[i+2:] },
		"rekor entry":  func(s string) string { return strings.Replace(s, `"tlogEntries":[]`, `"tlogEntries":[{}]`, 1) },
		"certificate":  func(s string) string { return strings.Replace(s, `"publicKey":`, `"certificate":`, 1) },
		"no signature": func(s string) string { i := strings.Index(s, `"signatures":[`); return s[:i] + `"signatures":[]}}` },
		"two signatures": func(s string) string {
			i := strings.Index(s, `{"keyid"`)
			j := strings.Index(s, `}]}}`)
			return s[:j+1] + "," + s[i:]
		},
		"message digest": func(s string) string {
			return strings.Replace(s, `"dsseEnvelope":`, `"messageSignature":{},"dsseEnvelope":`, 1)
		},
		"key twice":      func(s string) string { return strings.Replace(s, `{"mediaType"`, `{"mediaType":"x","mediaType"`, 1) },
		"line in base64": func(s string) string { return strings.Replace(s, `"payload":"`, `"payload":"\n`, 1) },
		"trailing":       func(s string) string { return s + "{}" },
		"null key": func(s string) string {
			i := strings.Index(s, `"publicKey":`)
			j := strings.Index(s, `,"tlog`)
			return s[:i] + `"publicKey":null` + s[j:]
		},
		"empty signature": func(s string) string { i := strings.Index(s, `"sig":"`) + 7; return s[:i] + `"}]}}` },
		"too large":       func(s string) string { return s + strings.Repeat(" ", MaxModelBundle) },
	} {
		changed := change(good)
		if changed == good {
			t.Fatalf("%s changes nothing", name)
		}
		if _, err := CheckModelBundle([]byte(changed), priv.Public()); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	// No byte of a bundle may change unnoticed.
	for i := range good {
		b := []byte(good)
		b[i] ^= 1
		if _, err := CheckModelBundle(b, priv.Public()); err == nil {
			t.Errorf("byte %d, %q", i, good[i-10:i+1])
		}
	}
}

func TestModelOrder(t *testing.T) {
	want := []string{"a", "a/b", "a/b/c", "a/b-c", "a/c", "a-b", "a.b", "b/a", "é"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareModelNames)
	if !slices.Equal(got, want) {
		t.Error(got)
	}
}

// exportedModel is a baseline as one file, and a trust file with its key.
func exportedModel(t testing.TB, m fstest.MapFS) (file, bundle []byte, trust Trust) {
	t.Helper()
	priv, key := modelKeyPair(t)
	statement, _, err := BuildModelStatement("BL-FCS-2.1.0", resourcesOf(m))
	if err != nil {
		t.Fatal(err)
	}
	bundle = signModel(t, priv, InTotoType, statement)
	entries, err := ListModel(m)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteModelTar(context.Background(), &out, bundle, priv.Public(), entries); err != nil {
		t.Fatal(err)
	}
	trust = Trust{Version: 1, Origin: "log.example/SANDBOX", LogID: "1", Keys: []TrustKey{key}, Witnesses: []string{}}
	if err := trust.Check(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), bundle, trust
}

// TestExportedModel: an export verifies, and not with any other byte in it.
func TestExportedModel(t *testing.T) {
	m := sampleModel()
	m[strings.Repeat("long/", 30)+"name"] = &fstest.MapFile{Data: []byte("in a PAX record")}
	file, _, trust := exportedModel(t, m)
	r := verifyModelTar(bytes.NewReader(file), int64(len(file)), trust)
	if !r.OK || r.Files != len(m) || r.KeyID != trust.Keys[0].ID || r.BaselineID != "BL-FCS-2.1.0" {
		t.Fatalf("%+v", r)
	}
	step := 1
	if testing.Short() {
		step = 37
	}
	for i := 0; i < len(file); i += step {
		b := bytes.Clone(file)
		b[i] ^= 1
		if r := verifyModelTar(bytes.NewReader(b), int64(len(b)), trust); r.OK {
			t.Errorf("byte %d changed unnoticed", i)
		}
	}
	for _, n := range []int{0, 1, 511, 512, 1024, len(file) - 1024, len(file) - 1} {
		if r := verifyModelTar(bytes.NewReader(file), int64(n), trust); r.OK {
			t.Errorf("cut off after %d bytes unnoticed", n)
		}
	}
	longer := append(bytes.Clone(file), make([]byte, 512)...)
	if r := verifyModelTar(bytes.NewReader(longer), int64(len(longer)), trust); r.OK {
		t.Error("zeros at the end unnoticed")
	}
}

// hugeFile is an entry of more bytes than a USTAR header can say: its header, then zeros.
type hugeFile []byte

func (h hugeFile) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(h)) {
		copy(p, h[off:])
	}
	return len(p), nil
}

func TestHugeEntry(t *testing.T) {
	const size = 70<<30 + 1
	h, err := modelTarHeader("BL-FCS-2.1.0/model.bin", size)
	if err != nil {
		t.Fatal(err)
	}
	whole := int64(len(h)) + size + padding(size) + trailer
	name, n, at, err := readModelEntry(hugeFile(h), 0, whole)
	if err != nil || name != "BL-FCS-2.1.0/model.bin" || n != size || at != int64(len(h)) {
		t.Errorf("%v %s %d %d", err, name, n, at)
	}
	if _, _, _, err := readModelEntry(hugeFile(h), 0, whole-1); err == nil {
		t.Error("cut off unnoticed")
	}
}

// TestForeignTars: files that only look like exports.
func TestForeignTars(t *testing.T) {
	file, _, trust := exportedModel(t, sampleModel())
	rewrite := func(change func(h *tar.Header) []*tar.Header) []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for r := tar.NewReader(bytes.NewReader(file)); ; {
			h, err := r.Next()
			if err != nil {
				break
			}
			var data bytes.Buffer
			if _, err := data.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			for _, h := range change(h) {
				h.Size = 0
				if h.Typeflag == tar.TypeReg {
					h.Size = int64(data.Len())
				}
				if err := w.WriteHeader(h); err != nil {
					t.Fatal(err)
				}
				if h.Size > 0 {
					if _, err := w.Write(data.Bytes()); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	on := func(name string, f func(h *tar.Header) []*tar.Header) func(h *tar.Header) []*tar.Header {
		return func(h *tar.Header) []*tar.Header {
			if h.Name == "BL-FCS-2.1.0/"+name {
				return f(h)
			}
			return []*tar.Header{h}
		}
	}
	if same := rewrite(func(h *tar.Header) []*tar.Header { return []*tar.Header{h} }); !bytes.Equal(same, file) {
		t.Fatal("a rewritten export differs")
	}
	for name, change := range map[string]func(h *tar.Header) []*tar.Header{
		"left out": on("empty", func(*tar.Header) []*tar.Header { return nil }),
		"twice":    on("empty", func(h *tar.Header) []*tar.Header { return []*tar.Header{h, h} }),
		"mode":     on("empty", func(h *tar.Header) []*tar.Header { h.Mode = 0o644; return []*tar.Header{h} }),
		"owner":    on("empty", func(h *tar.Header) []*tar.Header { h.Uname = "root"; return []*tar.Header{h} }),
		"link": on("empty", func(h *tar.Header) []*tar.Header {
			h.Typeflag, h.Linkname = tar.TypeSymlink, "/etc/passwd"
			return []*tar.Header{h}
		}),
		"folder":        on("empty", func(h *tar.Header) []*tar.Header { h.Typeflag = tar.TypeDir; return []*tar.Header{h} }),
		"out of folder": on("empty", func(h *tar.Header) []*tar.Header { h.Name = "BL-FCS-2.1.0/../empty"; return []*tar.Header{h} }),
		"beside":        on("empty", func(h *tar.Header) []*tar.Header { h.Name = "empty"; return []*tar.Header{h} }),
		"another folder": func(h *tar.Header) []*tar.Header {
			h.Name = strings.Replace(h.Name, "2.1.0", "2.1.1", 1)
			return []*tar.Header{h}
		},
		"comment": on("empty", func(h *tar.Header) []*tar.Header {
			h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{"comment": "x"}
			return []*tar.Header{h}
		}),
	} {
		b := rewrite(change)
		r := verifyModelTar(bytes.NewReader(b), int64(len(b)), trust)
		if r.OK || len(r.Checks) == 0 {
			t.Errorf("%s: unnoticed", name)
		}
		var text strings.Builder
		if err := errors.Join(r.Text(&text, true), r.JSON(&text)); err != nil || !strings.Contains(text.String(), "VERIFICATION FAILED") {
			t.Errorf("%s: %v %s", name, err, text.String())
		}
	}
}

// TestVerifyBaselineCommand runs caos-verify on an export and on the folder that it unpacks to.
func TestVerifyBaselineCommand(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, data, 0o644)); err != nil {
			t.Fatal(err)
		}
		return p
	}
	file, bundle, trust := exportedModel(t, sampleModel())
	trustFile := func(name string, change func(t *Trust)) string {
		tr := trust
		tr.Keys = slices.Clone(trust.Keys)
		change(&tr)
		text, err := tr.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return put(name, text)
	}
	leaf := int64(7)
	good := trustFile("trust.json", func(*Trust) {})
	export := put("export.tar", file)
	folder := filepath.Join(dir, "BL-FCS-2.1.0")
	for name, f := range sampleModel() {
		put("BL-FCS-2.1.0/"+name, f.Data)
	}
	put("BL-FCS-2.1.0/model.sig", bundle)
	changed := bytes.Clone(file)
	changed[bytes.Index(changed, []byte("hello"))] ^= 1
	other, _, _ := exportedModel(t, sampleModel())
	for _, c := range []struct {
		what, trust string
		exit        int
		out         string
	}{
		{export, good, ExitOK, "VERIFIED"},
		{export, good, ExitOK, "SANDBOX"},
		{folder, good, ExitOK, "VERIFIED"},
		{put("changed.tar", changed), good, ExitFailed, "a.txt: has the digest"},
		{put("other.tar", other), good, ExitFailed, "no baseline key of the trust file signed the bundle"},
		{export, trustFile("retired.json", func(t *Trust) { t.Keys[0].ActiveUntil = &leaf }), ExitOK, "was retired at leaf 7"},
		{export, trustFile("stolen.json", func(t *Trust) { t.Keys[0].CompromisedAt = &leaf }), ExitFailed, "is compromised"},
		{dir, good, ExitUsage, "no model.sig"},
	} {
		var stdout, stderr bytes.Buffer
		exit := Main([]string{c.what, "--trust", c.trust}, &stdout, &stderr, false)
		if exit != c.exit || !strings.Contains(stdout.String()+stderr.String(), c.out) {
			t.Errorf("%s: exit %d\n%s%s", c.what, exit, stdout.String(), stderr.String())
		}
	}
	put("BL-FCS-2.1.0/more", nil)
	var stdout, stderr bytes.Buffer
	exit := Main([]string{folder, "--trust", good, "--json"}, &stdout, &stderr, false)
	var r ModelReport
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || exit != ExitFailed || r.OK || r.Files != 5 {
		t.Errorf("%v exit %d %s%s", err, exit, stdout.String(), stderr.String())
	}
}

// TestManyProblems: a folder that has nothing to do with the bundle is told in bounded words.
func TestManyProblems(t *testing.T) {
	priv, _ := modelKeyPair(t)
	m := sampleModel()
	statement, _, err := BuildModelStatement("BL-FCS-2.1.0", resourcesOf(m))
	if err != nil {
		t.Fatal(err)
	}
	clear(m)
	for i := range maxModelProblems {
		m[strings.Repeat("x", i+1)] = &fstest.MapFile{}
	}
	problems, err := CheckModelFolder(m, signModel(t, priv, InTotoType, statement), priv.Public())
	if err != nil || len(problems) != maxModelProblems+1 || !strings.Contains(problems[maxModelProblems].Message, "5 more") {
		t.Errorf("%v %d %+v", err, len(problems), problems[len(problems)-1])
	}
}

func FuzzModelBundle(f *testing.F) {
	for _, name := range []string{"v1.1.1.sig", "v1.0.1.sig", "ignoring.sig", "shards.sig", "single.sig"} {
		f.Add(golden(f, name))
	}
	key := goldenKey(f, "key.pub")
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := ParseModelBundle(data)
		if err != nil {
			return
		}
		_, root, err := BuildModelStatement("x", slices.Clone(b.Resources))
		if err != nil || len(b.Resources) == 0 || root == "" {
			t.Fatalf("accepted what cannot be built: %v", err)
		}
		if b.Verify(key) == nil && b.Root != sampleRoot() && b.Name != "sample" {
			t.Fatal("forged")
		}
	})
}

func FuzzModelTar(f *testing.F) {
	file, _, _ := exportedModel(f, sampleModel())
	f.Add(file)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadModelTar(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		var out bytes.Buffer
		err = errors.Join(writeModelEntry(&out, m.ID+".pub", int64(len(m.Key)), bytes.NewReader(m.Key)),
			writeModelEntry(&out, m.ID+"/"+ModelSignatureName, int64(len(m.Bundle)), bytes.NewReader(m.Bundle)))
		for _, e := range m.Entries {
			r, _ := e.Open()
			err = errors.Join(err, writeModelEntry(&out, m.ID+"/"+e.Path, e.Size, r))
		}
		if out.Write(make([]byte, trailer)); err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Fatalf("accepted what is not written: %v", err)
		}
	})
}
