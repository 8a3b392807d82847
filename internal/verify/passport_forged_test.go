package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// forged is a passport that is bent in one way.
type forged struct {
	name    string
	fails   string // the check that finds it; "" for none
	verdict string // "" for failed
	forge   forge
}

func subjectOf(doc map[string]any) map[string]any { return doc["credentialSubject"].(map[string]any) }

// swap replaces a text once. Text that is not there is a mistake in the vector.
func swap(old, put string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic("no " + old + " in " + s)
		}
		return strings.Replace(s, old, put, 1)
	}
}

func set(key string, v any) func(map[string]any) { return func(m map[string]any) { m[key] = v } }

func inSubject(key string, v any) func(map[string]any) {
	return func(doc map[string]any) { subjectOf(doc)[key] = v }
}

func inBaseline(key string, v any) func(map[string]any) {
	return func(doc map[string]any) { subjectOf(doc)["baseline"].(map[string]any)[key] = v }
}

func inDetails(key string, v any) func(r, d map[string]any) {
	return func(_, d map[string]any) { d[key] = v }
}

// keyOf bends the key of a purpose in a trust file.
func keyOf(purpose string, f func(k *TrustKey)) func(*Trust) {
	return func(t *Trust) {
		for i := range t.Keys {
			if t.Keys[i].Purpose == purpose {
				f(&t.Keys[i])
			}
		}
	}
}

func leafAt(n int64) *int64 { return &n }

// honestForges are passports that hold, or are genuine and revoked.
func honestForges() []forged {
	spaced := func(s string) string { return strings.ReplaceAll(s, `","`, "\",\n \"") + "\n" }
	return []forged{
		{name: "honest", verdict: "verified"},
		{name: "in another spelling of the same JSON", verdict: "verified", forge: forge{signed: spaced}},
		{name: "escapes for what needs none", verdict: "verified", forge: forge{signed: swap("régression", `r\u00e9gression`)}},
		{name: "from before there were status lists", verdict: "verified", forge: forge{doc: func(doc map[string]any) { delete(doc, "credentialStatus") }}},
		{name: "an issuer with a name", verdict: "verified", forge: forge{doc: func(doc map[string]any) {
			doc["issuer"] = map[string]any{"id": doc["issuer"], "name": "An issuer"}
		}}},
		{name: "further members of the subject", verdict: "verified", forge: forge{doc: inSubject("granularityLevel", "model")}},
		{name: "the second context's members of the subject", verdict: "verified", forge: forge{doc: func(doc map[string]any) {
			s := subjectOf(doc)
			s["granularityLevel"], s["productionDate"], s["dppSchemaVersion"] = PassportGranularity, vectorTime[:10], PassportSchema
		}}},
		{name: "a further signature on the checkpoint, by nobody known", verdict: "verified", forge: forge{note: func(s string) string {
			return s + noteLine("somebody", 4, publicOf(seededKey("somebody")), make([]byte, 72))
		}}},
		{name: "an extension line in the checkpoint, signed", verdict: "verified", forge: forge{head: func(c *Checkpoint) { c.Extensions = []string{"further"} }}},
		{name: "a longer status list", verdict: "verified", forge: forge{bits: func(b []byte) []byte { return append(b, make([]byte, len(b))...) }}},
		{name: "revoked", verdict: "revoked", fails: "status", forge: forge{bits: func(b []byte) []byte { SetStatus(b, 4711); return b }}},
		{name: "revoked, at the last place of the list", verdict: "revoked", fails: "status", forge: forge{
			doc:  func(doc map[string]any) { doc["credentialStatus"].(map[string]any)["statusListIndex"] = "131071" },
			bits: func(b []byte) []byte { SetStatus(b, 131071); return b }}},
	}
}

// credentialForges bend the credential. Where its signature is made anew, its record is.
func credentialForges() []forged {
	stranger := seededKey("stranger")
	text := func(name, fails, old, put string) forged {
		return forged{name: name, fails: fails, forge: forge{signed: swap(old, put)}}
	}
	return []forged{
		text("another version", "signature", `"modelVersion":"2.1.0"`, `"modelVersion":"2.1.1"`),
		text("another safety level", "signature", "DAL-A", "DAL-E"),
		text("a later day of the freeze", "signature", `"frozenAt":"2026-11-23`, `"frozenAt":"2026-11-24`),
		text("another created", "signature", `"created":"2026-11-23`, `"created":"2026-11-22`),
		text("a context more", "signature", `/contexts/passport-v1"],"credentialStatus`, `/contexts/passport-v1","https://caos.example/more"],"credentialStatus`),
		text("a member more", "signature", `{"@context"`, `{"name":"x","@context"`),
		text("no status any more", "signature", `"statusListIndex":"4711"`, `"statusListIndex":"4713"`),
		text("a key repeated", "form", `"modelId":"NN-FCS-001",`, `"modelId":"NN-FCS-001","modelId":"NN-FCS-001",`),
		text("a key repeated in another spelling", "form", `"modelId":"NN-FCS-001",`, `"modelId":"NN-FCS-001","model\u0049d":"NN-FCS-002",`),
		text("an integer that not every reader holds", "form", `"byteCount":123456789`, `"byteCount":9007199254740993`),
		text("a number beyond all", "form", `"byteCount":123456789`, `"byteCount":1e999`),
		text("a number with a leading zero", "form", `"byteCount":123456789`, `"byteCount":0123456789`),
		text("half of a surrogate pair", "form", "😀", `\ud83d`),
		text("a control character in a text", "form", "😀", "\x01"),
		text("bytes that are no UTF-8", "form", "régression", "r\xe9gression"),
		text("a comma at the end of a list", "form", `passport-v1"],"credentialStatus`, `passport-v1",],"credentialStatus`),
		{name: "a byte order mark", fails: "form", forge: forge{signed: func(s string) string { return "\ufeff" + s }}},
		{name: "a second value behind it", fails: "form", forge: forge{signed: func(s string) string { return s + "{}" }}},
		{name: "cut off", fails: "form", forge: forge{signed: func(s string) string { return s[:len(s)-1] }}},
		{name: "nested too deeply", fails: "form", forge: forge{signed: func(s string) string {
			return strings.TrimSuffix(s, "}") + `,"x":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "}"
		}}},
		{name: "a list of credentials", fails: "form", forge: forge{signed: func(s string) string { return "[" + s + "]" }}},
		{name: "no proof", fails: "signature", forge: forge{signed: func(s string) string { return s[:strings.Index(s, `"proof":`)] + s[strings.Index(s, `"type":["Ver`):] }}},
		{name: "signed by a stranger", fails: "key", forge: forge{key: stranger}},
		{name: "signed by a stranger in the name of the issuer", fails: "content", forge: forge{key: stranger, doc: set("issuer", DIDKey(publicOf(seededKey(PurposePassport))))}},
		{name: "the issuer's key named, a stranger's signature", fails: "signature", forge: forge{key: stranger, opt: set("verificationMethod", VerificationMethod(DIDKey(publicOf(seededKey(PurposePassport)))))}},
		{name: "signed with the key for evidence", fails: "key", forge: forge{key: seededKey(PurposeEvidence)}},
		{name: "signed for another purpose", fails: "signature", forge: forge{opt: set("proofPurpose", "authentication")}},
		{name: "another cryptosuite", fails: "signature", forge: forge{opt: set("cryptosuite", "eddsa-rdfc-2022")}},
		{name: "an unknown member in the proof", fails: "signature", forge: forge{opt: set("expires", "2027-01-01T00:00:00Z")}},
		{name: "a method that is another key's", fails: "signature", forge: forge{opt: set("verificationMethod", DIDKey(publicOf(seededKey(PurposePassport)))+"#"+strings.TrimPrefix(DIDKey(publicOf(stranger)), "did:key:"))}},
		{name: "a did:key of another kind of key", fails: "signature", forge: forge{opt: set("verificationMethod", oddMethod())}},
		{name: "a signature of 63 bytes", fails: "signature", forge: forge{opt: set("proofValue", ProofValue(make([]byte, 63)))}},
		{name: "a signature of zeros", fails: "signature", forge: forge{opt: set("proofValue", ProofValue(make([]byte, 64)))}},
		{name: "a signature in base64", fails: "signature", forge: forge{opt: set("proofValue", "m"+encodeBase64(make([]byte, 64)))}},
		{name: "the same signature, made longer by the group's order", fails: "signature", forge: forge{signed: lengthened}},
		{name: "created at no time", fails: "signature", forge: forge{opt: set("created", "yesterday")}},
		{name: "other contexts signed than the document has", fails: "signature", forge: forge{opt: set("@context", []any{CredentialContext})}},
		{name: "not a passport", fails: "content", forge: forge{doc: set("type", []any{CredentialType})}},
		{name: "a day of production that is not that of the freeze", fails: "content", forge: forge{doc: inSubject("productionDate", "2026-11-24")}},
		{name: "a day of production that is a number", fails: "content", forge: forge{doc: inSubject("productionDate", 20261123)}},
		{name: "a day of production in another spelling of its name", fails: "content", forge: forge{doc: inSubject("ProductionDate", vectorTime[:10])}},
		{name: "a granularity that is no text", fails: "content", forge: forge{doc: inSubject("granularityLevel", true)}},
		{name: "a granularity of two lines", fails: "content", forge: forge{doc: inSubject("granularityLevel", "model\nitem")}},
		{name: "a schema that is a number", fails: "content", forge: forge{doc: inSubject("dppSchemaVersion", 2)}},
		{name: "a type that is no text among the types", fails: "content", forge: forge{doc: set("type", []any{CredentialType, PassportType, map[string]any{"id": "x"}})}},
		{name: "contexts of something else", fails: "content", forge: forge{doc: set("@context", []any{CredentialContext})}},
		{name: "an end that passports do not have", fails: "content", forge: forge{doc: set("validUntil", "2036-01-01T00:00:00Z")}},
		{name: "a day that is none", fails: "content", forge: forge{doc: set("validFrom", "2026-02-30T10:00:00Z")}},
		{name: "an id that is no address", fails: "content", forge: forge{doc: set("id", "DPP-1")}},
		{name: "an issuer in another case beside the issuer", fails: "content", forge: forge{doc: set("Issuer", "did:key:zOther")}},
		{name: "a long s for an s", fails: "content", forge: forge{doc: inSubject("ba\u017feline", map[string]any{})}},
		{name: "an annex without a digest", fails: "content", forge: forge{doc: inSubject("annexDigest", "SHA256:00")}},
		{name: "a digest in capitals", fails: "content", forge: forge{doc: inSubject("annexDigest", "SHA256:"+strings.Repeat("AB", 32))}},
		{name: "an identifier with a slash", fails: "content", forge: forge{doc: inSubject("passportId", "DPP/../x")}},
		{name: "a count that is a text", fails: "content", forge: forge{doc: inSubject("artifactCount", "3")}},
		{name: "null for the family", fails: "content", forge: forge{doc: inSubject("modelFamily", nil)}},
		{name: "a family of two lines", fails: "content", forge: forge{doc: inSubject("modelFamily", "a\nb")}},
		{name: "no baseline", fails: "content", forge: forge{doc: func(doc map[string]any) { delete(subjectOf(doc), "baseline") }}},
		{name: "a log that has another name", fails: "checkpoint", forge: forge{doc: inSubject("logOrigin", "caos.example/other")}},
		{name: "a freeze at no time", fails: "content", forge: forge{doc: inBaseline("frozenAt", "2026-11-23")}},
		{name: "a baseline with a slash", fails: "content", forge: forge{doc: inBaseline("baselineId", "BL/1")}},
		{name: "a status that is not known", fails: "content", forge: forge{doc: func(doc map[string]any) {
			doc["credentialStatus"].(map[string]any)["statusPurpose"] = "suspension"
		}}},
		{name: "two statuses", fails: "content", forge: forge{doc: func(doc map[string]any) {
			doc["credentialStatus"] = []any{doc["credentialStatus"], doc["credentialStatus"]}
		}}},
		{name: "a place that is no number", fails: "content", forge: forge{doc: func(doc map[string]any) {
			doc["credentialStatus"].(map[string]any)["statusListIndex"] = "0x12"
		}}},
	}
}

// oddMethod names the very key, as one of X25519.
func oddMethod() string {
	did := didKeyPrefix + encodeBase58(append([]byte("\xec\x01"), publicOf(seededKey(PurposePassport))...))
	return VerificationMethod(did)
}

// lengthened adds the order of the group to the scalar of a signature: readers that do not
// look would find it as good as the real one.
func lengthened(credential string) string {
	const mark = `"proofValue":"z`
	at := strings.Index(credential, mark) + len(mark)
	end := at + strings.IndexByte(credential[at:], '"')
	sig, _ := decodeBase58(credential[at:end])
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	scalar := bytes.Clone(sig[32:])
	slices.Reverse(scalar)
	long := new(big.Int).Add(new(big.Int).SetBytes(scalar), order).FillBytes(make([]byte, 32))
	slices.Reverse(long)
	return credential[:at] + encodeBase58(append(sig[:32:32], long...)) + credential[end:]
}

// proofForges bend the proof that the log has the passport's record.
func proofForges() []forged {
	flip := func(s string) string { // the last character but one of the last line
		b := []byte(s)
		b[len(b)-8] ^= 1
		return string(b)
	}
	inProof := func(old, put string) func(*PassportProof) {
		return func(p *PassportProof) { p.Proof = swap(old, put)(p.Proof) }
	}
	return []forged{
		{name: "a record that says more", fails: "record", forge: forge{proof: func(p *PassportProof) { p.Record = swap(`"caos"`, `"CAOS"`)(p.Record) }}},
		{name: "another salt", fails: "record", forge: forge{proof: func(p *PassportProof) { p.Salt = encodeBase64(make([]byte, 32)) }}},
		{name: "a salt of 31 bytes", fails: "record", forge: forge{proof: func(p *PassportProof) { p.Salt = encodeBase64(make([]byte, 31)) }}},
		{name: "a record and a leaf that were never logged", fails: "inclusion", forge: forge{proof: func(p *PassportProof) {
			p.Record = swap(`"recorded_by":"caos"`, `"recorded_by":"else"`)(p.Record)
			salt, _ := decodeBase64(p.Salt)
			p.Leaf = string(LeafBytes(p.RecordID, vectorTime, "EVIDENCE", Commitment([32]byte(salt), []byte(p.Record))))
		}}},
		{name: "the record of another passport", fails: "record", forge: forge{record: inDetails("passport_id", "DPP-NN-FCS-001-2.1.0-DEPLOYMENT")}},
		{name: "a record with another digest", fails: "record", forge: forge{record: inDetails("credential_digest", "SHA256:"+strings.Repeat("00", 32))}},
		{name: "a record with another annex", fails: "record", forge: forge{record: inDetails("annex_digest", "SHA256:"+strings.Repeat("00", 32))}},
		{name: "a record with another content identifier", fails: "record", forge: forge{record: inDetails("cid", CID([32]byte{}))}},
		{name: "a record without details", fails: "record", forge: forge{record: func(r, _ map[string]any) { r["details"] = nil }}},
		{name: "a record with another id than its leaf", fails: "record", forge: forge{record: func(r, _ map[string]any) { r["id"] = "AUDIT-2" }}},
		{name: "a proof that names another record", fails: "record", forge: forge{proof: func(p *PassportProof) { p.RecordID = "AUDIT-2" }}},
		{name: "a proof that names another passport", fails: "record", forge: forge{proof: func(p *PassportProof) { p.PassportID += "-2" }}},
		{name: "a leaf in another spelling", fails: "record", forge: forge{leaf: swap(`","id":`, `", "id":`)}},
		{name: "a leaf of another version", fails: "record", forge: forge{leaf: swap(`"v":1}`, `"v":2}`)}},
		{name: "a leaf with a day that is none", fails: "record", forge: forge{leaf: swap("2026-11-23", "2026-11-31")}},
		{name: "an index beside the right one", fails: "inclusion", forge: forge{path: func(p *Proof) { p.Index-- }, proof: func(p *PassportProof) { p.Index-- }}},
		{name: "another index in the proof than beside it", fails: "inclusion", forge: forge{proof: func(p *PassportProof) { p.Index-- }}},
		{name: "an index behind the tree", fails: "inclusion", forge: forge{path: func(p *Proof) { p.Index = vectorSize }, proof: func(p *PassportProof) { p.Index = vectorSize }}},
		{name: "a hash on the way that is another", fails: "inclusion", forge: forge{path: func(p *Proof) { p.Hashes[1][0] ^= 1 }}},
		{name: "hashes in another order", fails: "inclusion", forge: forge{path: func(p *Proof) { p.Hashes[0], p.Hashes[1] = p.Hashes[1], p.Hashes[0] }}},
		{name: "a hash too few", fails: "inclusion", forge: forge{path: func(p *Proof) { p.Hashes = p.Hashes[:len(p.Hashes)-1] }}},
		{name: "a hash too many", fails: "inclusion", forge: forge{path: func(p *Proof) { p.Hashes = append(p.Hashes, tlog.Hash{}) }}},
		{name: "an inner node taken for the leaf", fails: "record", forge: forge{proof: func(p *PassportProof) { p.Leaf = "\x01" + strings.Repeat("x", 64) }}},
		{name: "not a proof", fails: "checkpoint", forge: forge{proof: inProof("@v1", "@v2")}},
		{name: "an index with a leading zero", fails: "checkpoint", forge: forge{proof: inProof("index 5", "index 05")}},
		{name: "a hash in a spelling of its own", fails: "checkpoint", forge: forge{proof: respelled}},
		{name: "no checkpoint", fails: "checkpoint", forge: forge{proof: func(p *PassportProof) { p.Proof, p.Checkpoint = p.Proof[:strings.Index(p.Proof, "\n\n")+2], "" }}},
		{name: "another checkpoint beside the proof's", fails: "checkpoint", forge: forge{proof: func(p *PassportProof) { p.Checkpoint += "\n" }}},
		{name: "another root in the checkpoint", fails: "checkpoint", forge: forge{note: func(s string) string {
			lines := strings.SplitN(s, "\n", 4)
			lines[2] = encodeBase64(make([]byte, 32))
			return strings.Join(lines, "\n")
		}}},
		{name: "another size in the checkpoint", fails: "checkpoint", forge: forge{note: swap("\n11\n", "\n12\n")}},
		{name: "a line more in the checkpoint", fails: "checkpoint", forge: forge{note: swap("\n\n", "\nmore\n\n")}},
		{name: "a tree that is too small, signed", fails: "inclusion", forge: forge{head: func(c *Checkpoint) { c.Size = vectorIndex }}},
		{name: "a tree of a size that no log has", fails: "checkpoint", forge: forge{head: func(c *Checkpoint) { c.Size = MaxTreeSize + 1 }}},
		{name: "a checkpoint of another log, signed with our key", fails: "checkpoint", forge: forge{head: func(c *Checkpoint) { c.Origin = "caos.example/other" }}},
		{name: "a checkpoint that a stranger signed", fails: "checkpoint", forge: forge{logKey: seededKey("stranger")}},
		{name: "a checkpoint signed with the passport key", fails: "checkpoint", forge: forge{logKey: seededKey(PurposePassport)}},
		{name: "a signature of the checkpoint that does not hold", fails: "checkpoint", forge: forge{note: flip}},
		{name: "a checkpoint without signatures", fails: "checkpoint", forge: forge{note: func(s string) string { return s[:strings.Index(s, "\n\n")+2] }}},
		{name: "a checkpoint that does not end its last line", fails: "checkpoint", forge: forge{note: func(s string) string { return strings.TrimSuffix(s, "\n") }}},
		{name: "a carriage return in the checkpoint", fails: "checkpoint", forge: forge{note: swap("\n11\n", "\r\n11\n")}},
		{name: "a hyphen for the dash of a signature", fails: "checkpoint", forge: forge{note: swap("\u2014 ", "- ")}},
		{name: "no record", fails: "record", forge: forge{proof: func(p *PassportProof) { p.Record = "" }}},
		{name: "a passport recorded before its key was born", fails: "key", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) { k.ActiveFrom = vectorIndex + 1 })}},
	}
}

// respelled writes the first hash of a proof with one of its unused bits set.
func respelled(p *PassportProof) {
	lines := strings.Split(p.Proof, "\n")
	hash := lines[2]
	last := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	at := strings.IndexByte(last, hash[len(hash)-2])
	lines[2] = hash[:len(hash)-2] + last[at+1:at+2] + "="
	p.Proof = strings.Join(lines, "\n")
}

// trustForges hold an honest passport against other trust files.
func trustForges() []forged {
	drop := func(purpose string) func(*Trust) {
		return func(t *Trust) {
			t.Keys = slices.DeleteFunc(t.Keys, func(k TrustKey) bool { return k.Purpose == purpose })
		}
	}
	text := func(name, old, put string) forged {
		return forged{name: name, fails: "trust", forge: forge{trusted: swap(old, put)}}
	}
	return []forged{
		{name: "no passport key in the trust file", fails: "key", forge: forge{trust: drop(PurposePassport)}},
		{name: "no checkpoint key in the trust file", fails: "checkpoint", forge: forge{trust: drop(PurposeCheckpoint)}},
		{name: "no keys at all", fails: "trust", forge: forge{trust: func(t *Trust) { t.Keys = []TrustKey{} }}},
		{name: "the key stands there for evidence", fails: "key", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) {
			k.ID, k.Purpose = strings.Replace(k.ID, PurposePassport, PurposeEvidence, 1), PurposeEvidence
		})}},
		{name: "the key was retired before", fails: "key", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) { k.ActiveUntil = leafAt(vectorIndex) })}},
		{name: "the key was stolen before", fails: "key", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) { k.CompromisedAt = leafAt(vectorIndex) })}},
		{name: "the checkpoint key was retired before", fails: "checkpoint", forge: forge{trust: keyOf(PurposeCheckpoint, func(k *TrustKey) { k.ActiveUntil = leafAt(vectorSize - 1) })}},
		{name: "the checkpoint key was stolen, whenever", fails: "checkpoint", forge: forge{trust: keyOf(PurposeCheckpoint, func(k *TrustKey) { k.CompromisedAt = leafAt(vectorSize + 90) })}},
		{name: "the checkpoint key was born later", fails: "checkpoint", forge: forge{trust: keyOf(PurposeCheckpoint, func(k *TrustKey) { k.ActiveFrom = vectorSize })}},
		{name: "the trust file of another log", fails: "checkpoint", forge: forge{trust: func(t *Trust) { t.Origin = "caos.example/other" }}},
		{name: "a log whose name is none", fails: "trust", forge: forge{trust: func(t *Trust) { t.Origin = "a b" }}},
		{name: "a log id that is none", fails: "trust", forge: forge{trust: func(t *Trust) { t.LogID = "LOG 1" }}},
		{name: "a trust file of another version", fails: "trust", forge: forge{trust: func(t *Trust) { t.Version = 2 }}},
		{name: "an id that is not its key's", fails: "trust", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) { k.ID = "passport-0123456789abcdef" })}},
		{name: "a key twice", fails: "trust", forge: forge{trust: func(t *Trust) { t.Keys = append(t.Keys, t.Keys[2]) }}},
		{name: "one key in two purposes", fails: "trust", forge: forge{trust: func(t *Trust) {
			k := t.Keys[2]
			k.ID, k.Purpose = strings.Replace(k.ID, PurposePassport, PurposeEvidence, 1), PurposeEvidence
			t.Keys = append(t.Keys, k)
		}}},
		{name: "a purpose that is not known", fails: "trust", forge: forge{trust: keyOf(PurposeEvidence, func(k *TrustKey) { k.Purpose = "all" })}},
		{name: "a passport key of another algorithm", fails: "trust", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) { k.Algorithm = ECDSAP256 })}},
		{name: "a key with a byte too many", fails: "trust", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) {
			der, _ := decodeBase64(k.PublicKey)
			der = append(der, 0)
			k.ID, k.PublicKey = keyIDFromDER(k.Purpose, der), encodeBase64(der)
		})}},
		{name: "a point that is not on the curve", fails: "trust", forge: forge{trust: keyOf(PurposeBaseline, func(k *TrustKey) {
			der, _ := decodeBase64(k.PublicKey)
			der[len(der)-1] ^= 1
			k.ID, k.PublicKey = keyIDFromDER(k.Purpose, der), encodeBase64(der)
		})}},
		{name: "retired before it was born", fails: "trust", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) { k.ActiveUntil = leafAt(1) })}},
		{name: "born before the log", fails: "trust", forge: forge{trust: keyOf(PurposePassport, func(k *TrustKey) { k.ActiveFrom = -1 })}},
		text("a member that is not known", `"version"`, `"more": 1, "version"`),
		text("a member in another case", `"origin"`, `"Origin"`),
		text("a member repeated", `"version"`, `"version": 1, "version"`),
		text("a key without its leaves", `"active_until_leaf": null,`, ``),
		text("no JSON", `{`, `[`),
	}
}

// statusForges bend the status list.
func statusForges() []forged {
	stranger := seededKey("stranger")
	inList := func(key string, v any) func(map[string]any) {
		return func(doc map[string]any) { subjectOf(doc)[key] = v }
	}
	status := func(name string, f forge) forged { return forged{name: name, fails: "status", forge: f} }
	clear := func(s string) string { // a list without any bit, under the old signature
		folded, _ := FoldStatus(make([]byte, MinStatusBits/8))
		at := strings.Index(s, `"encodedList":"`) + len(`"encodedList":"`)
		return s[:at] + folded + s[at+strings.IndexByte(s[at:], '"'):]
	}
	return []forged{
		status("a list that a stranger signed", forge{list: stranger}),
		status("a list that a stranger signed in the issuer's name", forge{list: stranger, status: set("issuer", DIDKey(publicOf(seededKey(PurposePassport))))}),
		status("a list signed with the key for evidence", forge{list: seededKey(PurposeEvidence)}),
		status("a list in a stranger's name", forge{status: set("issuer", DIDKey(publicOf(stranger)))}),
		status("a list from no time", forge{status: set("validFrom", "now")}),
		status("bits changed after they were signed", forge{listed: clear}),
		status("another list", forge{status: set("id", vectorBase+"/dpp/status/2")}),
		status("a list that is out of date", forge{status: set("validUntil", "2026-11-23T11:59:59Z")}),
		status("a list without an end", forge{status: func(doc map[string]any) { delete(doc, "validUntil") }}),
		status("a list that ends before it begins", forge{status: set("validUntil", "2026-11-22T11:00:00Z")}),
		status("a list for another purpose", forge{status: inList("statusPurpose", "suspension")}),
		status("a subject of another type", forge{status: inList("type", "List")}),
		status("a credential of another type", forge{status: set("type", []any{CredentialType})}),
		status("other contexts", forge{status: set("@context", []any{CredentialContext, "https://caos.example/more"})}),
		status("a list that is too short to hide in", forge{bits: func(b []byte) []byte { return b[:len(b)-1] }}),
		status("a list that unfolds to too much", forge{bits: func([]byte) []byte { return make([]byte, maxStatusBytes+1) }}),
		status("a list in another base", forge{folded: func(s string) string { return "m" + s[1:] }}),
		status("a list with padding", forge{folded: func(s string) string { return s + "=" }}),
		status("a list that is no gzip", forge{folded: func(string) string { return "uAAAA" }}),
		status("a list that was cut off", forge{folded: func(s string) string { return s[:len(s)-8] }}),
		status("a list with something behind it", forge{folded: func(s string) string {
			raw, _ := decodeURL(s[1:])
			return "u" + encodeURL(append(raw, 0, 1, 2))
		}}),
		status("a list with a checksum that is another's", forge{folded: func(s string) string {
			raw, _ := decodeURL(s[1:])
			raw[len(raw)-5] ^= 1
			return "u" + encodeURL(raw)
		}}),
		status("a place that the list does not have", forge{doc: func(doc map[string]any) {
			doc["credentialStatus"].(map[string]any)["statusListIndex"] = strconv.Itoa(MinStatusBits)
		}}),
		status("not a list but the passport again", forge{status: func(doc map[string]any) {
			sum := sha256.Sum256(nil)
			doc["credentialSubject"] = map[string]any{"type": "ModelVersion", "annexDigest": FormatHash(sum)}
		}}),
	}
}

// witnessOf is a witness by its name.
func witnessOf(name string) string {
	pub := publicOf(seededKey("witness " + name))
	head := sha256.Sum256(append([]byte(name+"\n\x04"), pub...))
	return name + "+" + hex.EncodeToString(head[:4]) + "+" + encodeBase64(append([]byte{cosignatureType}, pub...))
}

// cosignedBy lets witnesses cosign a note at a second.
func cosignedBy(at uint64, names ...string) func(string) string {
	return func(signed string) string {
		text := signed[:strings.Index(signed, "\n\n")+1]
		for _, name := range names {
			key := seededKey("witness " + name)
			sig := ed25519.Sign(key, []byte("cosignature/v1\ntime "+strconv.FormatUint(at, 10)+"\n"+text))
			signed += noteLine(name, cosignatureType, publicOf(key), append(binary.BigEndian.AppendUint64(nil, at), sig...))
		}
		return signed
	}
}

// witnessForges bend cosignatures, and what the trust file says of those who make them.
func witnessForges() []forged {
	const first, second, at = "witness.example/first", "second.example", 1_795_430_000
	names := func(quorum int, keys ...string) func(*Trust) {
		return func(t *Trust) { t.Witnesses, t.WitnessQuorum = keys, quorum }
	}
	two := names(2, witnessOf(first), witnessOf(second))
	one := names(1, witnessOf(first), witnessOf(second))
	trust := func(name string, f func(*Trust)) forged {
		return forged{name: name, fails: "trust", forge: forge{trust: f}}
	}
	return []forged{
		{name: "cosigned by both witnesses", verdict: "verified", forge: forge{note: cosignedBy(at, first, second), trust: two}},
		{name: "cosigned by one of two, where one is asked for", verdict: "verified", forge: forge{note: cosignedBy(at, second), trust: one}},
		{name: "cosigned by nobody, where nobody is asked for", verdict: "verified", forge: forge{trust: names(0, witnessOf(first))}},
		{name: "time stamps and chains beside the witnesses", verdict: "verified", forge: forge{note: cosignedBy(at, first), trust: func(t *Trust) {
			one(t)
			t.Chains = []TrustChain{{ChainID: 1, Registry: "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"}}
		}}},
		{name: "cosigned by one witness too few", verdict: "incomplete", forge: forge{note: cosignedBy(at, first), trust: two}},
		{name: "one witness twice", verdict: "incomplete", forge: forge{note: cosignedBy(at, first, first), trust: two}},
		{name: "cosigned by a witness that is not named", verdict: "incomplete", forge: forge{note: cosignedBy(at, "third.example"), trust: one}},
		{name: "a cosignature of another second", fails: "witnesses", forge: forge{trust: one, note: func(s string) string {
			line := cosignedBy(at, first)(s)[len(s):]
			raw, _ := decodeBase64(strings.TrimSuffix(line[strings.LastIndexByte(line, ' ')+1:], "\n"))
			raw[11] ^= 1
			return s + line[:strings.LastIndexByte(line, ' ')+1] + encodeBase64(raw) + "\n"
		}}},
		{name: "a cosignature of another checkpoint", fails: "witnesses", forge: forge{trust: one, note: func(s string) string {
			return s + cosignedBy(at, first)(strings.Replace(s, "\n11\n", "\n12\n", 1))[len(s):]
		}}},
		{name: "a cosignature without a time", fails: "witnesses", forge: forge{note: cosignedBy(0, first), trust: one}},
		{name: "a cosignature at the end of time", fails: "witnesses", forge: forge{note: cosignedBy(1<<41, first), trust: one}},
		{name: "a plain signature by a witness", fails: "witnesses", forge: forge{trust: one, note: func(s string) string {
			key := seededKey("witness " + first)
			return s + noteLine(first, cosignatureType, publicOf(key), ed25519.Sign(key, []byte(s[:strings.Index(s, "\n\n")+1])))
		}}},
		trust("more witnesses asked for than there are", names(2, witnessOf(first))),
		trust("fewer witnesses than none asked for", names(-1, witnessOf(first))),
		trust("a witness that stands there twice", names(1, witnessOf(first), witnessOf(first))),
		trust("a witness with the name of the log", names(1, witnessOf(vectorOrigin))),
		trust("a witness with digits of another", names(1, strings.Replace(witnessOf(first), "first+", "other+", 1))),
		trust("a witness with a key of another kind", names(1, strings.Replace(witnessOf(first), "+B", "+A", 1))),
		trust("a witness that is only a name", names(1, first)),
		trust("a chain with a registry that is none", func(t *Trust) { t.Chains = []TrustChain{{ChainID: 1, Registry: "0x12"}} }),
		trust("a witness with a key of the log", func(t *Trust) {
			pub := publicOf(seededKey(PurposeCheckpoint))
			head := sha256.Sum256(append([]byte(first+"\n\x04"), pub...))
			t.Witnesses = []string{first + "+" + hex.EncodeToString(head[:4]) + "+" + encodeBase64(append([]byte{cosignatureType}, pub...))}
		}),
		trust("a registry twice", func(t *Trust) {
			t.Chains = []TrustChain{{ChainID: 1, Registry: "0x" + strings.Repeat("ab", 20)}, {ChainID: 1, Registry: "0x" + strings.Repeat("AB", 20)}}
		}),
		trust("a chain that has no number", func(t *Trust) { t.Chains = []TrustChain{{Registry: "0x" + strings.Repeat("0", 40)}} }),
		trust("a certificate that is none", func(t *Trust) { t.TimestampCertificates = []string{"AAAA"} }),
	}
}

func decodeURL(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(s) }

func encodeURL(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
