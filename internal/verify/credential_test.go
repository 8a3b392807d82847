package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
)

// The published vector of W3C's "Data Integrity EdDSA Cryptosuites v1.0", appendix B.2
// (Representation: eddsa-jcs-2022), https://www.w3.org/TR/vc-di-eddsa/: the values of the
// credential and of the proof's options, what is hashed, what is signed, and the signature.
func TestW3CVector(t *testing.T) {
	const (
		public    = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
		secret    = "z3u2en7t5LR2WtQH5PfFqMqwVHBeXouLzo6haApm8XHqvjxq"
		docHash   = "59b7cb6251b8991add1ce0bc83107e3db9dbbab5bd2c28f687db1a03abc92f19"
		proofHash = "66ab154f5c2890a140cb8388a22a160454f80575f6eae09e5a097cabe539a1db"
		signature = "z2HnFSSPPBzR36zdDgK8PbEHeXbR56YF24jwMpt3R1eHXQzJDMWS93FCzpvJpwTWd3GAVFuUfjoJdcnTMuVor51aX"
	)
	context := []string{"https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/examples/v2"}
	document := map[string]any{
		"@context": context, "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33", "type": []string{"VerifiableCredential", "AlumniCredential"},
		"name": "Alumni Credential", "description": "A minimum viable example of an Alumni Credential.",
		"issuer": "https://vc.example/issuers/5678", "validFrom": "2023-01-01T00:00:00Z",
		"credentialSubject": map[string]any{"id": "did:example:abcdefgh", "alumniOf": "The School of Examples"},
	}
	proof := map[string]any{"type": ProofType, "cryptosuite": ProofSuite, "created": "2023-02-24T23:36:38Z",
		"verificationMethod": "did:key:" + public + "#" + public, "proofPurpose": ProofPurpose, "@context": context}
	marshal := func(v any) []byte {
		t.Helper()
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	input, err := ProofInput(marshal(document), marshal(proof))
	if err != nil || hex.EncodeToString(input) != proofHash+docHash {
		t.Errorf("hashes %x %v", input, err)
	}
	seed, ok := decodeBase58(strings.TrimPrefix(secret, "z"))
	if !ok || len(seed) != 34 {
		t.Fatalf("private key %x", seed)
	}
	key := ed25519.NewKeyFromSeed(seed[2:])
	if DIDKey(key.Public().(ed25519.PublicKey)) != "did:key:"+public || ProofValue(ed25519.Sign(key, input)) != signature {
		t.Errorf("signature %s", ProofValue(ed25519.Sign(key, input)))
	}
	proof["proofValue"] = signature
	document["proof"] = proof
	signed := marshal(document)
	if _, did, _, err := CheckProof(signed); err != nil || did != "did:key:"+public {
		t.Errorf("signed by %s, %v", did, err)
	}
	changed := bytes.Replace(signed, []byte("The School of Examples"), []byte("The School of Example"), 1)
	if _, _, _, err := CheckProof(changed); err == nil {
		t.Error("a changed vector verifies")
	}
}

// A credential that another implementation signed.
func TestCredentialOfOthers(t *testing.T) {
	raw, err := os.ReadFile("testdata/credential/awr-2.0.1.json")
	if err != nil {
		t.Fatal(err)
	}
	_, did, unsecured, err := CheckProof(raw)
	if err != nil {
		t.Fatal(err)
	}
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = byte(i)
	}
	if want := DIDKey(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)); did != want {
		t.Errorf("signed by %s, want %s", did, want)
	}
	if bytes.Contains(unsecured, []byte("proofValue")) {
		t.Errorf("%s", unsecured)
	}
	// Every byte counts, except those that do not change the text's meaning.
	meaning := func(b []byte) string {
		c, err := canonicalJSON("credential", b)
		if err != nil {
			return ""
		}
		return string(c)
	}
	want := meaning(raw)
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, _, _, err := CheckProof(bad); err == nil && meaning(bad) != want {
			t.Errorf("byte %d: %q is accepted", i, bad[max(0, i-10):min(len(bad), i+10)])
		}
	}
}

// Text that two readers could understand in two ways has no canonical form here.
func TestCanonicalJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{"b":1,"a":[1.50,-0,1e3,9007199254740992,0.000001]}`: `{"a":[1.5,0,1000,9007199254740992,0.000001],"b":1}`,
		`"\ud83d\ude00\u00e9\/"`:                              `"😀é/"`,
		`{"a":9007199254740993}`:                              "", `{"a":-9007199254740993}`: "", `{"a":99999999999999999999}`: "", `{"a":9007199254740993.0}`: "",
		`{"a":9007199254740993e0}`: "", `{"a":1e999}`: "", `{"a":1,"a":1}`: "", `{"a":1,"\u0061":2}`: "", `"\ud800"`: "", `"\udc00\ud800"`: "", `"\ud800\u0041"`: "", `"\ud800\\udc00"`: "",
		"{\"a\":\"\xff\"}": "", "": "", "{} {}": "", `{"a":01}`: "",
	} {
		got, err := canonicalJSON("text", []byte(text))
		if (err == nil) != (want != "") || string(got) != want {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
}

func TestBase58(t *testing.T) {
	// The vectors of the Internet-Draft draft-msporny-base58-03, section 5.
	for _, c := range []struct{ text, want string }{
		{"Hello World!", "2NEpo7TZRRrLZSi2U"},
		{"The quick brown fox jumps over the lazy dog.", "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z"},
		{"\x00\x00\x28\x7f\xb4\xcd", "11233QC4"},
		{"", ""}, {"\x00", "1"},
	} {
		got := encodeBase58([]byte(c.text))
		back, ok := decodeBase58(c.want)
		if got != c.want || !ok || string(back) != c.text {
			t.Errorf("%q: %s, back %q %v", c.text, got, back, ok)
		}
	}
	for _, bad := range []string{"0", "O", "I", "l", "a b", "é", strings.Repeat("1", maxBase58+1)} {
		if _, ok := decodeBase58(bad); ok {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestDIDKey(t *testing.T) {
	// The example of the did:key method's specification, section "Ed25519".
	const example = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
	pub, err := ParseDIDKey(example)
	if err != nil || DIDKey(pub) != example {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"another method":  "did:web:example.org",
		"another base":    "did:key:f" + hex.EncodeToString(append([]byte(multikeyEd25519), pub...)),
		"a P-256 key":     didKeyPrefix + encodeBase58(append([]byte("\x80\x24"), make([]byte, 33)...)),
		"a short key":     didKeyPrefix + encodeBase58(append([]byte(multikeyEd25519), pub[:31]...)),
		"with a fragment": VerificationMethod(example),
		"a leading zero":  didKeyPrefix + "1" + strings.TrimPrefix(example, didKeyPrefix),
		"empty":           "", "nothing after it": didKeyPrefix,
	} {
		if _, err := ParseDIDKey(bad); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCID(t *testing.T) {
	// What `ipfs add --cid-version=1 --raw-leaves` prints for the bytes "hello\n", and for
	// an empty file: the identifiers are in the IPFS documentation.
	for text, want := range map[string]string{
		"":        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
		"hello\n": "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am",
	} {
		sum := sha256.Sum256([]byte(text))
		got := CID(sum)
		back, err := ParseCID(want)
		if got != want || err != nil || back != sum {
			t.Errorf("%q: %s, back %x %v", text, got, back, err)
		}
	}
	good := CID(sha256.Sum256(nil))
	for _, bad := range []string{"", "b", good[:len(good)-1], good + "a", strings.ToUpper(good), "z" + good[1:], good[:len(good)-1] + "v",
		"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", strings.Replace(good, "bafkrei", "bafybei", 1)} {
		if _, err := ParseCID(bad); caos.KindOf(err) != caos.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// A testPassport is a credential of the form that is issued, signed by hand.
func testPassport(t testing.TB, key testKey, change func(doc, proof map[string]any)) []byte {
	t.Helper()
	did := DIDKey(key.private.Public().(ed25519.PublicKey))
	digest := FormatHash(sha256.Sum256([]byte("x")))
	doc := map[string]any{
		"@context": []any{CredentialContext, "https://caos.test" + PassportContextPath}, "id": "https://caos.test/dpp/DPP-NN-FCS-001-2.1.0-FREEZE",
		"type": []any{CredentialType, PassportType}, "issuer": did, "validFrom": testTime,
		"credentialSubject": map[string]any{
			"id": "urn:caos:model:NN-FCS-001:2.1.0", "type": "ModelVersion", "passportId": "DPP-NN-FCS-001-2.1.0-FREEZE", "modelId": "NN-FCS-001", "modelVersion": "2.1.0",
			"modelFamily": "MLP", "safetyLevel": "DAL-C", "lifecycleEvent": "FREEZE", "occurrence": 1, "logOrigin": testOrigin,
			"baseline":      map[string]any{"baselineId": "BL-FCS-2.1.0", "freezeId": "FREEZE-NN-FCS-001-2.1.0", "rootDigest": digest, "fileCount": 3, "byteCount": 17, "frozenAt": testTime},
			"artifactCount": 3, "documentCount": 2, "annexDigest": digest,
		},
	}
	proof := map[string]any{"type": ProofType, "cryptosuite": ProofSuite, "created": "2026-11-23T04:00:00Z", "verificationMethod": VerificationMethod(did),
		"proofPurpose": ProofPurpose, "@context": doc["@context"]}
	if change != nil {
		change(doc, proof)
	}
	text := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if proof["proofValue"] == nil {
		input, err := ProofInput(text(doc), text(proof))
		if err != nil {
			t.Fatal(err)
		}
		proof["proofValue"] = ProofValue(ed25519.Sign(key.private, input))
	}
	doc["proof"] = proof
	return text(doc)
}

func passportTrust(t testing.TB, key testKey) Trust {
	t.Helper()
	trust := Trust{Version: 1, Origin: testOrigin, LogID: "log-1", Keys: []TrustKey{key.trust}, Witnesses: []string{}}
	if err := trust.Check(); err != nil {
		t.Fatal(err)
	}
	return trust
}

func TestCheckCredential(t *testing.T) {
	key := newTestKey(t, PurposePassport, 7)
	trust := passportTrust(t, key)
	raw := testPassport(t, key, nil)
	c, err := CheckCredential(raw, trust)
	if err != nil {
		t.Fatal(err)
	}
	if c.KeyID != key.trust.ID || c.KeyRetired || c.Subject.ModelID != "NN-FCS-001" || c.Subject.Baseline.Files != 3 || c.ValidFrom.IsZero() {
		t.Errorf("%+v", c)
	}
	if c.CheckAnnex([]byte("x")) != nil || c.CheckAnnex([]byte("y")) == nil {
		t.Error("the annex")
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, raw, "", "   "); err != nil {
		t.Fatal(err)
	}
	same, err := CheckCredential(pretty.Bytes(), trust)
	if err != nil || same.CID != c.CID || same.Digest != c.Digest {
		t.Errorf("indented: %+v %v", same, err)
	}

	at := func(n int64) *int64 { return &n }
	for name, k := range map[string]struct {
		change     func(k *TrustKey)
		plain, at5 bool // whether it verifies, and whether it does at leaf 5
	}{
		"active":             {func(*TrustKey) {}, true, true},
		"born later":         {func(k *TrustKey) { k.ActiveFrom = 6 }, true, false},
		"retired before":     {func(k *TrustKey) { k.ActiveUntil = at(5) }, true, false},
		"retired after":      {func(k *TrustKey) { k.ActiveUntil = at(6) }, true, true},
		"compromised after":  {func(k *TrustKey) { k.CompromisedAt = at(6) }, false, true},
		"compromised before": {func(k *TrustKey) { k.CompromisedAt = at(5) }, false, false},
	} {
		one := key
		k.change(&one.trust)
		tr := passportTrust(t, one)
		if _, err := CheckCredential(raw, tr); (err == nil) != k.plain {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := CheckCredentialAt(raw, tr, 5); (err == nil) != k.at5 {
			t.Errorf("%s at leaf 5: %v", name, err)
		}
	}
	if _, err := CheckCredential(raw, passportTrust(t, newTestKey(t, PurposePassport, 8))); err == nil {
		t.Error("a key that is not in the trust file")
	}
	if _, err := CheckCredential(raw, passportTrust(t, newTestKey(t, PurposeEvidence, 7))); err == nil {
		t.Error("a key of another purpose")
	}
}

// Each of these is signed well, and is not a passport.
func TestCheckCredentialRefusals(t *testing.T) {
	key := newTestKey(t, PurposePassport, 7)
	trust := passportTrust(t, key)
	sub := func(doc map[string]any) map[string]any { return doc["credentialSubject"].(map[string]any) }
	for name, c := range map[string]struct {
		field  string
		change func(doc, proof map[string]any)
	}{
		"another issuer": {"issuer", func(doc, _ map[string]any) {
			doc["issuer"] = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
		}},
		"issuer as an object": {"issuer", func(doc, _ map[string]any) { doc["issuer"] = map[string]any{"id": "https://elsewhere.test"} }},
		"another context": {"@context", func(doc, p map[string]any) {
			doc["@context"] = []any{"https://x.test"}
			p["@context"] = doc["@context"]
		}},
		"one context more":   {"@context", func(doc, _ map[string]any) { doc["@context"] = append(doc["@context"].([]any), "https://x.test") }},
		"one context less":   {"@context", func(doc, _ map[string]any) { doc["@context"] = doc["@context"].([]any)[:1] }},
		"context reordered":  {"@context", func(doc, p map[string]any) { l := doc["@context"].([]any); p["@context"] = []any{l[1], l[0]} }},
		"another type":       {"type", func(doc, _ map[string]any) { doc["type"] = CredentialType }},
		"no validFrom":       {"credential", func(doc, _ map[string]any) { delete(doc, "validFrom") }},
		"odd validFrom":      {"validFrom", func(doc, _ map[string]any) { doc["validFrom"] = "yesterday" }},
		"validUntil":         {"validUntil", func(doc, _ map[string]any) { doc["validUntil"] = "2030-01-01T00:00:00Z" }},
		"two subjects":       {"credentialSubject", func(doc, _ map[string]any) { doc["credentialSubject"] = []any{sub(doc), sub(doc)} }},
		"no annex":           {"credentialSubject", func(doc, _ map[string]any) { delete(sub(doc), "annexDigest") }},
		"odd annex":          {"credentialSubject.annexDigest", func(doc, _ map[string]any) { sub(doc)["annexDigest"] = "sha256:00" }},
		"odd model":          {"credentialSubject.modelId", func(doc, _ map[string]any) { sub(doc)["modelId"] = "../x" }},
		"control characters": {"credentialSubject.modelFamily", func(doc, _ map[string]any) { sub(doc)["modelFamily"] = "a\u001b[2J" }},
		"wrong case":         {"credential", func(doc, _ map[string]any) { doc["Issuer"] = doc["issuer"] }},
		"another suite":      {"proof", func(_, p map[string]any) { p["cryptosuite"] = "eddsa-rdfc-2022" }},
		"another purpose":    {"proof.proofPurpose", func(_, p map[string]any) { p["proofPurpose"] = "authentication" }},
		"another method":     {"proof.verificationMethod", func(_, p map[string]any) { p["verificationMethod"] = "https://x.test/key" }},
		"another fragment":   {"proof.verificationMethod", func(_, p map[string]any) { p["verificationMethod"] = p["verificationMethod"].(string) + "x" }},
		"odd created":        {"proof.created", func(_, p map[string]any) { p["created"] = "now" }},
		"unknown member":     {"proof", func(_, p map[string]any) { p["previousProof"] = "urn:x" }},
		"no signature":       {"proof.proofValue", func(_, p map[string]any) { p["proofValue"] = "z1" }},
		"signature in hex":   {"proof.proofValue", func(_, p map[string]any) { p["proofValue"] = "f" + strings.Repeat("00", 64) }},
		"another signature":  {"proof.proofValue", func(_, p map[string]any) { p["proofValue"] = ProofValue(bytes.Repeat([]byte{9}, 64)) }},
	} {
		_, err := CheckCredential(testPassport(t, key, c.change), trust)
		if e := caos.AsError(err); err == nil || e.Field != c.field {
			t.Errorf("%s: %v (field %q)", name, err, e.Field)
		}
	}
	good := string(testPassport(t, key, nil))
	for name, bad := range map[string]string{
		"empty": "", "a list": "[]", "null": "null", "a text": `"x"`, "no proof": `{}`, "a set of proofs": strings.Replace(good, `"proof":`, `"proof":[],"p":`, 1),
		"proof twice":        strings.Replace(good, `"issuer"`, `"proof":{},"issuer"`, 1),
		"member twice":       strings.Replace(good, `"issuer"`, `"id":"https://x.test/","issuer"`, 1),
		"deep":               strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"long":               `{"proof":"` + strings.Repeat("x", maxCredential) + `"}`,
		"trailing":           good + "{}",
		"not UTF-8":          strings.Replace(good, "MLP", "M\xffP", 1),
		"half a surrogate":   strings.Replace(good, "MLP", `M\ud800P`, 1),
		"surrogates swapped": strings.Replace(good, "MLP", `\udc00\ud800`, 1),
		"huge integer":       strings.Replace(good, `"fileCount":3`, `"fileCount":9007199254740993`, 1),
		"huge exponent":      strings.Replace(good, `"fileCount":3`, `"fileCount":1e999`, 1),
	} {
		if bad == good {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := CheckCredential([]byte(bad), trust); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// caos-verify PASSPORT --trust trust.json
func TestPassportCommand(t *testing.T) {
	key := newTestKey(t, PurposePassport, 7)
	trust := passportTrust(t, key)
	text, err := trust.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put := func(name string, data []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := testPassport(t, key, nil)
	trustFile := put("trust.json", text)
	for _, c := range []struct {
		args []string
		exit int
		out  string
	}{
		{[]string{put("good.json", good), "--trust", trustFile}, ExitOK, "DPP-NN-FCS-001-2.1.0-FREEZE"},
		{[]string{put("good.json", good), "--trust", trustFile, "--json"}, ExitOK, `"rootDigest": "SHA256:`},
		{[]string{put("bad.json", bytes.Replace(good, []byte("DAL-C"), []byte("DAL-E"), 1)), "--trust", trustFile}, ExitFailed, "VERIFICATION FAILED"},
		{[]string{put("other.json", []byte("  {}")), "--trust", trustFile, "--json"}, ExitFailed, `"ok": false`},
		{[]string{put("other.json", []byte("{\"a\":\"\u001b[2J\"")), "--trust", trustFile}, ExitFailed, "VERIFICATION FAILED"},
	} {
		var stdout, stderr bytes.Buffer
		exit := Main(c.args, &stdout, &stderr, false)
		if exit != c.exit || !strings.Contains(stdout.String(), c.out) || strings.Contains(stdout.String(), "\x1b[2J") {
			t.Errorf("%q: exit %d\n%s%s", c.args, exit, stdout.String(), stderr.String())
		}
	}
}

// What verifies is what was signed: no input makes the parser panic, and no forged text
// gets by it.
func FuzzCredential(f *testing.F) {
	key := newTestKey(f, PurposePassport, 7)
	trust := passportTrust(f, key)
	good := testPassport(f, key, nil)
	want, err := CheckCredential(good, trust)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"proof":{"type":"DataIntegrityProof"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := CheckCredential(data, trust); err == nil && (c.Digest != want.Digest || c.Subject.Baseline != want.Subject.Baseline) {
			t.Fatalf("forged %q", data)
		}
	})
}

func FuzzMultibase(f *testing.F) {
	f.Add("z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp")
	f.Add("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
	f.Fuzz(func(t *testing.T, s string) {
		if b, ok := decodeBase58(s); ok && encodeBase58(b) != s {
			t.Fatalf("base58 %q", s)
		}
		if d, err := ParseCID(s); err == nil && CID(d) != s {
			t.Fatalf("cid %q", s)
		}
		if k, err := ParseDIDKey("did:key:" + s); err == nil && DIDKey(k) != "did:key:"+s {
			t.Fatalf("did %q", s)
		}
	})
}
