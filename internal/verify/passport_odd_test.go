package verify

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"strings"
)

// Where two readers of the same bytes may part: numbers and times in other spellings, names
// that look alike, times that have not come yet, addresses that are none.

// inStatus bends the passport's credentialStatus.
func inStatus(key string, v any) func(map[string]any) {
	return func(doc map[string]any) { doc["credentialStatus"].(map[string]any)[key] = v }
}

// rotated retires the passport key behind the passport's record and names its successor.
func rotated(t *Trust) {
	keyOf(PurposePassport, func(k *TrustKey) { k.ActiveUntil = leafAt(vectorIndex + 1) })(t)
	pub := publicOf(seededKey("the next passport key"))
	id, _ := KeyID(PurposePassport, pub)
	der := append([]byte("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"), pub...)
	t.Keys = append(t.Keys, TrustKey{ID: id, Purpose: PurposePassport, Algorithm: Ed25519, PublicKey: encodeBase64(der), ActiveFrom: vectorIndex + 1})
}

// oddHonestForges are passports that hold although they look odd.
func oddHonestForges() []forged {
	ok := func(name string, f forge) forged { return forged{name: name, verdict: "verified", forge: f} }
	return []forged{
		ok("a key retired after it signed, and a list by its successor", forge{trust: rotated, list: seededKey("the next passport key")}),
		ok("a whole number written with a fraction of nothing", forge{signed: swap(`"occurrence":1,`, `"occurrence":1.0,`)}),
		ok("a whole number written with an exponent", forge{signed: swap(`"artifactCount":3`, `"artifactCount":30e-1`)}),
		ok("less than nothing by nothing", forge{doc: inSubject("documentCount", 0), signed: swap(`"documentCount":0`, `"documentCount":-0`)}),
		ok("a fraction in a member that is not known", forge{doc: inSubject("more", 0.5)}),
		ok("a member that is called open", forge{doc: inSubject("open", "x")}),
		ok("members that are called as those of all objects are", forge{doc: func(doc map[string]any) {
			doc["__proto__"] = map[string]any{"validUntil": "2020-01-01T00:00:00Z"}
			subjectOf(doc)["__proto__"], subjectOf(doc)["constructor"], subjectOf(doc)["hasOwnProperty"] = map[string]any{"modelId": "NN-X-001"}, 1, nil
		}}),
		ok("a member with a ligature in its name", forge{doc: inBaseline("\ufb01leCount", 1)}),
		ok("a member with a letter without its dot", forge{doc: inSubject("model\u0131d", 1)}),
		ok("an accent in two spellings", forge{doc: func(doc map[string]any) { subjectOf(doc)["\u00e9"], subjectOf(doc)["e\u0301"] = 1, 2 }}),
		ok("created in another zone", forge{opt: set("created", "2026-11-23T11:15:00+01:00")}),
		ok("a status of one bit, in so many words", forge{doc: inStatus("statusSize", 1)}),
		ok("valid from a moment that another clock has not reached", forge{doc: set("validFrom", "2026-11-23T12:09:59Z")}),
		ok("a second signature by the log's key, which does not count", forge{note: func(s string) string {
			return s + noteLine(vectorOrigin, 1, publicOf(seededKey(PurposeCheckpoint)), make([]byte, 64))
		}}),
		ok("a further member of the proof", forge{proofText: swap(`{`, `{"more":[{"a":1}],`)}),
	}
}

// oddCredentialForges are credentials that one reader or the other might have believed.
func oddCredentialForges() []forged {
	content := func(name string, doc func(map[string]any)) forged {
		return forged{name: name, fails: "content", forge: forge{doc: doc}}
	}
	signature := func(name string, opt func(map[string]any)) forged {
		return forged{name: name, fails: "signature", forge: forge{opt: opt}}
	}
	return []forged{
		signature("a member of the proof that is a known one with a question mark", set("created?", "2026-11-23T10:15:00Z")),
		signature("created with a comma", set("created", "2026-11-23T10:15:00,5Z")),
		signature("created at an hour of one digit", set("created", "2026-11-23T1:15:00Z")),
		signature("created in a zone that there is not", set("created", "2026-11-23T10:15:00+24:00")),
		signature("created to the tenth digit of a second", set("created", "2026-11-23T10:15:00.1234567891Z")),
		signature("null for created", set("created", nil)),
		signature("nothing for created", set("created", "")),
		signature("two proofs", func(opt map[string]any) { opt["proofValue"] = []any{"z1", "z2"} }),
		content("null among the types", set("type", []any{CredentialType, PassportType, nil})),
		content("null for the second context", set("@context", []any{CredentialContext, nil})),
		content("null for the end", set("validUntil", nil)),
		content("valid from an hour of one digit", set("validFrom", "2026-11-23T1:15:00Z")),
		content("not valid yet", set("validFrom", "2026-11-23T12:10:01Z")),
		content("an id without a scheme", set("id", "//caos.example/dpp/"+vectorID)),
		content("an id that runs", set("id", "javascript://caos.example/%0aalert(1)")),
		content("an id of a file", set("id", "file://caos.example/etc/passwd")),
		content("an id with a space", set("id", "https://caos.example/dpp/ "+vectorID)),
		content("an id without slashes", set("id", "https:caos.example/dpp/"+vectorID)),
		content("an id with a user", set("id", "https://caos.example@elsewhere.example/dpp/"+vectorID)),
		content("a list at an address that runs", inStatus("statusListCredential", "javascript:alert(1)")),
		content("a status under a name that looks like its own", set("credentialStatu\u017f", map[string]any{"type": "x"})),
		content("a status of two bits", inStatus("statusSize", 2)),
		content("a status of no size", inStatus("statusSize", "1")),
		content("a count with half of one", inSubject("artifactCount", 3.5)),
		content("no count", inSubject("artifactCount", nil)),
	}
}

// oddProofForges are proofs and trust files of that kind.
func oddProofForges() []forged {
	text := func(name, fails, old, put string) forged {
		return forged{name: name, fails: fails, forge: forge{proofText: swap(old, put)}}
	}
	trust := func(name string, f func(string) string) forged {
		return forged{name: name, fails: "trust", forge: forge{trusted: f}}
	}
	return []forged{
		{name: "a record of another time than its leaf", fails: "record", forge: forge{record: func(r, _ map[string]any) { r["time"] = "2026-11-22T10:15:00.123456Z" }}},
		{name: "a record of another type than its leaf", fails: "record", forge: forge{record: func(r, _ map[string]any) { r["type"] = "ACCESS" }}},
		{name: "a record with the passport among other things", fails: "record", forge: forge{record: func(r, d map[string]any) { r["details"] = map[string]any{"input": d} }}},
		{name: "a record with a number that not every reader holds", fails: "record", forge: forge{record: func(r, _ map[string]any) { r["more"] = "NUMBER" }, recordText: swap(`"NUMBER"`, `1e400`)}},
		text("an index with a fraction of nothing", "record", `"index":5`, `"index":5.0`),
		text("a member of the proof that not every reader holds", "record", `{`, `{"more":9007199254740993,`),
		text("half of a surrogate pair in a member that is not known", "record", `{`, `{"more":"\ud83d",`),
		text("a member of the proof with a fraction", "record", `{`, `{"more":0.5,`),
		text("a proof file in another case", "record", `"salt"`, `"SALT"`),
		{name: "a proof file that is too large", fails: "record", forge: forge{proofText: func(s string) string { return s + strings.Repeat(" ", maxPassportProof) }}},
		{name: "a further signature in a spelling of its own", fails: "checkpoint", forge: forge{note: func(s string) string {
			line := noteLine("somebody", 4, publicOf(seededKey("somebody")), make([]byte, 72)) // 76 bytes: the last letter has unused bits
			return s + strings.TrimSuffix(line, "A==\n") + "B==\n"
		}}},
		{name: "a wrong signature by the log's key before the right one", fails: "checkpoint", forge: forge{note: func(s string) string {
			at := strings.Index(s, "\n\n") + 2
			return s[:at] + noteLine(vectorOrigin, 1, publicOf(seededKey(PurposeCheckpoint)), make([]byte, 64)) + s[at:]
		}}},
		{name: "a tree larger than any number", fails: "checkpoint", forge: forge{note: swap("\n11\n", "\n9223372036854775808\n")}},
		{name: "an empty tree, signed", fails: "inclusion", forge: forge{head: func(c *Checkpoint) { c.Size, c.Root = 0, emptyRoot() }}},
		{name: "hashes beyond any tree", fails: "checkpoint", forge: forge{path: func(p *Proof) {
			for len(p.Hashes) <= maxProofHashes {
				p.Hashes = append(p.Hashes, p.Hashes[0])
			}
		}}},
		trust("a version with a fraction of nothing", swap(`"version": 1`, `"version": 1.0`)),
		trust("a member that is a known one with a question mark", swap(`"version"`, `"chains?": [], "version"`)),
		trust("a member that is called open, where none may be", swap(`"version"`, `"open": true, "version"`)),
		trust("a member that is called as one of all objects is", swap(`"version"`, `"__proto__": {}, "version"`)),
		{name: "a certificate that is only begun", fails: "trust", forge: forge{trust: func(t *Trust) { t.TimestampCertificates = []string{encodeBase64([]byte{0x30, 0x82, 1})} }}},
		{name: "a certificate that is too large", fails: "trust", forge: forge{trust: func(t *Trust) {
			t.TimestampCertificates = []string{encodeBase64(append([]byte{0x30, 0x82, 0x40, 0x01}, make([]byte, maxCertificate+1)...))}
		}}},
	}
}

// oddStatusForges are status lists of that kind.
func oddStatusForges() []forged {
	status := func(name string, f forge) forged { return forged{name: name, fails: "status", forge: f} }
	return []forged{
		status("a list by a key that was retired", forge{trust: rotated}),
		status("a list that does not count yet", forge{status: func(doc map[string]any) {
			doc["validFrom"], doc["validUntil"] = "2026-11-23T12:10:01Z", "2026-11-24T11:00:00Z"
		}}),
		status("a list that ends at an hour of one digit", forge{status: set("validUntil", "2026-11-24T1:00:00Z")}),
		status("null among the types of a list", forge{status: set("type", []any{CredentialType, StatusListType, nil})}),
		status("null for the context of a list", forge{status: set("@context", []any{CredentialContext, nil})}),
		status("a list with two purposes", forge{status: func(doc map[string]any) { subjectOf(doc)["statusPurpose"] = []any{StatusRevocation} }}),
		status("a list of lists", forge{status: func(doc map[string]any) { doc["credentialSubject"] = []any{doc["credentialSubject"]} }}),
		status("a second list in the same encoding", forge{folded: func(s string) string {
			raw, _ := decodeURL(s[1:])
			return "u" + encodeURL(append(raw[:len(raw):len(raw)], raw...))
		}}),
		status("an empty list behind the list", forge{folded: func(s string) string {
			raw, _ := decodeURL(s[1:])
			var b bytes.Buffer
			_ = gzip.NewWriter(&b).Close()
			return "u" + encodeURL(append(raw, b.Bytes()...))
		}}),
		status("a list with its own size behind it again", forge{folded: func(s string) string {
			raw, _ := decodeURL(s[1:])
			return "u" + encodeURL(append(raw, raw[len(raw)-4:]...))
		}}),
		status("a list that lost its end", forge{folded: func(s string) string {
			raw, _ := decodeURL(s[1:])
			return "u" + encodeURL(raw[:len(raw)-4])
		}}),
	}
}

// oddForges are all of them.
func oddForges() (all []forged) {
	for _, list := range [][]forged{oddHonestForges(), oddCredentialForges(), oddProofForges(), oddStatusForges()} {
		all = append(all, list...)
	}
	return all
}

// respell writes JSON text with a function over it, where the encoder would not.
func respell(text []byte, f func(string) string) []byte {
	out := []byte(bend(f, string(text)))
	if f != nil && !json.Valid(out) {
		panic("a respelled text is no JSON")
	}
	return out
}
