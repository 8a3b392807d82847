package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/formats/proof"
	mproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/tlog"

	"caos"
)

const testTime = "2026-11-23T04:00:00.123456Z"

func testLeaf(i int) []byte {
	return LeafBytes(fmt.Sprintf("AUDIT-%06d", i), testTime, "EVIDENCE", Commitment([32]byte{byte(i)}, []byte("{}")))
}

func TestLeafRoundTrip(t *testing.T) {
	c := Commitment([32]byte{1}, []byte(`{"a":1}`))
	leaf := LeafBytes("AUDIT-20261123T040000.123456Z", testTime, "CONFIG_CHANGE", c)
	want := `{"commitment":"` + FormatHash(c) + `","id":"AUDIT-20261123T040000.123456Z","time":"` + testTime + `","type":"CONFIG_CHANGE","v":1}`
	if string(leaf) != want {
		t.Fatalf("%s", leaf)
	}
	l, err := ParseLeaf(leaf)
	if err != nil || l != (Leaf{1, "AUDIT-20261123T040000.123456Z", testTime, "CONFIG_CHANGE", FormatHash(c)}) {
		t.Fatal(l, err)
	}
	// It is JSON, and in the order of RFC 8785: decoding to a map and encoding sorts keys.
	var m map[string]any
	if err := json.Unmarshal(leaf, &m); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(m); !bytes.Equal(again, leaf) {
		t.Errorf("not canonical: %s", again)
	}
	long := LeafBytes(strings.Repeat("a", 128), testTime, strings.Repeat("A", 32), c)
	if len(long) > MaxLeaf || len(long) == 0 {
		t.Errorf("the longest leaf has %d bytes", len(long))
	}
}

func TestLeafRefusals(t *testing.T) {
	good := string(testLeaf(1))
	for i := range good {
		for _, b := range []byte{good[i] ^ 1, good[i] ^ 0x20, good[i] ^ 0x80, ' ', '"', 0} {
			if b == good[i] {
				continue
			}
			mutant := good[:i] + string([]byte{b}) + good[i+1:]
			if l, err := ParseLeaf([]byte(mutant)); err == nil {
				c, _ := ParseHash(l.Commitment)
				if string(LeafBytes(l.ID, l.Time, l.Type, c)) != mutant {
					t.Fatalf("accepted %s", mutant)
				}
			}
		}
		if _, err := ParseLeaf([]byte(good[:i])); err == nil {
			t.Fatalf("accepted the first %d bytes", i)
		}
	}
	for name, bad := range map[string]string{
		"trailing newline": good + "\n", "leading space": " " + good, "empty": "",
		"two":       good + good,
		"space":     strings.Replace(good, `,"id"`, `, "id"`, 1),
		"order":     `{"v":1,` + good[1:len(good)-7] + "}",
		"version":   strings.Replace(good, `"v":1`, `"v":2`, 1),
		"upper hex": strings.Replace(good, good[23:30], strings.ToUpper(good[23:30])+"A", 1),
		"escape":    strings.Replace(good, "EVIDENCE", `EVIDENC\u0045`, 1),
		"comma":     strings.Replace(good, "00.123456Z", "00,123456Z", 1),
		"february":  strings.Replace(good, "2026-11-23", "2026-02-30", 1),
		"too long":  strings.Replace(good, "AUDIT-", strings.Repeat("A", 400), 1),
		"id path":   strings.Replace(good, "AUDIT-", "../../", 1),
	} {
		if _, err := ParseLeaf([]byte(bad)); err == nil {
			t.Errorf("%s: accepted %s", name, bad)
		}
	}
	if LeafBytes(`a"b`, testTime, "KEY", tlog.Hash{}) != nil || LeafBytes("a", "now", "KEY", tlog.Hash{}) != nil {
		t.Error("LeafBytes wrote what ParseLeaf refuses")
	}
}

// testLog is a tree in memory, by sumdb/tlog.
type testLog struct {
	hashes []tlog.Hash
	n      int64
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = l.hashes[x]
	}
	return out, nil
}

func (l *testLog) add(t testing.TB, leaf []byte) {
	t.Helper()
	h, err := tlog.StoredHashes(l.n, leaf, l)
	if err != nil {
		t.Fatal(err)
	}
	l.hashes = append(l.hashes, h...)
	l.n++
}

func (l *testLog) head(t testing.TB, n int64) Checkpoint {
	t.Helper()
	root, err := tlog.TreeHash(n, l)
	if err != nil {
		t.Fatal(err)
	}
	return Checkpoint{Origin: testOrigin, Size: n, Root: root}
}

const testOrigin = "log.test/SANDBOX"

// TestProofsAgainstMerkle compares every inclusion and consistency proof of small trees,
// true and damaged, with an implementation that is not ours.
func TestProofsAgainstMerkle(t *testing.T) {
	var l testLog
	for i := range 40 {
		l.add(t, testLeaf(i))
	}
	checked, refused := 0, 0
	damage := func(p []tlog.Hash) [][]tlog.Hash {
		out := [][]tlog.Hash{p, append(p[:len(p):len(p)], tlog.Hash{1})}
		if len(p) > 0 {
			flipped := append([]tlog.Hash(nil), p...)
			flipped[len(p)/2][7] ^= 4
			out = append(out, p[1:], p[:len(p)-1], flipped)
		}
		return out
	}
	raw := func(p []tlog.Hash) (out [][]byte) {
		for _, h := range p {
			out = append(out, h[:])
		}
		return out
	}
	for n := int64(1); n <= 40; n++ {
		head := l.head(t, n)
		for i := range n {
			p, err := tlog.ProveRecord(n, i, &l)
			if err != nil {
				t.Fatal(err)
			}
			leaf := RecordHash(testLeaf(int(i)))
			for k, d := range damage(p) {
				ours := CheckInclusion(d, head, i, leaf)
				theirs := mproof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), uint64(n), leaf[:], raw(d), head.Root[:])
				if (ours == nil) != (theirs == nil) || (ours == nil) != (k == 0) {
					t.Fatalf("inclusion of %d in %d, damage %d: %v, they say %v", i, n, k, ours, theirs)
				}
				checked++
				if ours != nil {
					refused++
				}
			}
			old := l.head(t, i)
			var tp tlog.TreeProof
			if i > 0 {
				if tp, err = tlog.ProveTree(n, i, &l); err != nil {
					t.Fatal(err)
				}
			}
			for k, d := range damage(tp) {
				ours := CheckConsistency(d, old, head)
				theirs := mproof.VerifyConsistency(rfc6962.DefaultHasher, uint64(i), uint64(n), raw(d), old.Root[:], head.Root[:])
				if (ours == nil) != (theirs == nil) || (ours == nil) != (k == 0) {
					t.Fatalf("consistency of %d and %d, damage %d: %v, they say %v", i, n, k, ours, theirs)
				}
				checked++
				if ours != nil {
					refused++
				}
			}
		}
	}
	t.Logf("%d proofs compared, %d of them falsified and refused by both", checked, refused)
}

func TestProofFormat(t *testing.T) {
	for _, p := range []Proof{
		{Index: 0, Hashes: []tlog.Hash{}, Checkpoint: []byte("c\n")},
		{Index: 5, Hashes: []tlog.Hash{{1}, {2}}, Checkpoint: []byte("a\n\nb\n")},
		{Index: 7, Hashes: []tlog.Hash{{1}}, Extra: []byte("more"), Checkpoint: []byte("c\n")},
	} {
		text := FormatProof(p)
		var theirs proof.TLogProof
		if err := theirs.Unmarshal(text); err != nil || theirs.Index != uint64(p.Index) || len(theirs.Hashes) != len(p.Hashes) {
			t.Errorf("another reader says %v of %q", err, text)
		}
		if !bytes.Equal(theirs.Marshal(), text) {
			t.Errorf("another writer writes %q", theirs.Marshal())
		}
		again, err := ParseProof(text)
		if err != nil || !bytes.Equal(FormatProof(again), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	hash := tlog.Hash{3}.String()
	for name, bad := range map[string]string{
		"empty":          "",
		"other header":   "c2sp.org/tlog-proof@v2\nindex 0\n\nc\n",
		"no index":       proofHeader + "\n\nc\n",
		"no checkpoint":  proofHeader + "\nindex 0\n\n",
		"leading zero":   proofHeader + "\nindex 00\n\nc\n",
		"sign":           proofHeader + "\nindex +1\n\nc\n",
		"negative":       proofHeader + "\nindex -1\n\nc\n",
		"huge":           proofHeader + "\nindex 4611686018427387905\n\nc\n",
		"extra last":     proofHeader + "\nindex 0\nextra AA==\n\nc\n",
		"extra twice":    proofHeader + "\nextra AA==\nextra AA==\nindex 0\n\nc\n",
		"short hash":     proofHeader + "\nindex 0\nAAAA\n\nc\n",
		"hash not b64":   proofHeader + "\nindex 0\n" + strings.Repeat("!", 44) + "\n\nc\n",
		"hash with CR":   proofHeader + "\nindex 0\n" + hash + "\r\n\nc\n",
		"loose bits":     proofHeader + "\nindex 0\n" + hash[:42] + "B=\n\nc\n",
		"index repeated": proofHeader + "\nindex 0\nindex 0\n\nc\n",
		"129 hashes":     proofHeader + "\nindex 0\n" + strings.Repeat(hash+"\n", 129) + "\nc\n",
	} {
		if p, err := ParseProof([]byte(bad)); err == nil {
			t.Errorf("%s: read as %+v", name, p)
		}
	}
}

func TestCheckpointText(t *testing.T) {
	good := Checkpoint{Origin: testOrigin, Size: 3, Root: tlog.Hash{9}, Extensions: []string{"ext 1"}}
	c, err := ParseCheckpoint([]byte(good.Text()))
	if err != nil || c.Text() != good.Text() {
		t.Fatal(c, err)
	}
	root := tlog.Hash{9}.String()
	for name, bad := range map[string]string{
		"empty": "", "two lines": "o\n3\n", "no newline": "o\n3\n" + root, "empty origin": "\n3\n" + root + "\n",
		"origin with space": "a b\n3\n" + root + "\n", "origin with plus": "a+b\n3\n" + root + "\n",
		"size 03": "o\n03\n" + root + "\n", "size negative": "o\n-3\n" + root + "\n", "size huge": "o\n9223372036854775807\n" + root + "\n",
		"root short": "o\n3\nAAAA\n", "empty extension": "o\n3\n" + root + "\n\nx\n", "not UTF-8": "o\n3\n" + root + "\n\xff\n",
		"empty tree with a root": "o\n0\n" + root + "\n",
	} {
		if c, err := ParseCheckpoint([]byte(bad)); err == nil {
			t.Errorf("%s: read as %+v", name, c)
		}
	}
}

func TestStrictJSON(t *testing.T) {
	s := shapeOf[Envelope]()
	good := `{"payload":"e30=","payloadType":"x","signatures":[{"keyid":"k","sig":"AA=="}]}`
	var e Envelope
	if err := decodeStrict("e", []byte(good), s, &e); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"unknown key":     `{"x":1,` + good[1:],
		"repeated key":    `{"payload":"AA==",` + good[1:],
		"repeated escape": `{"payl\u006fad":"AA==",` + good[1:],
		"wrong case":      strings.Replace(good, "payloadType", "payloadtype", 1),
		"nested case":     strings.Replace(good, "keyid", "keyID", 1),
		"missing key":     strings.Replace(good, `"payload":"e30=",`, "", 1),
		"nested missing":  strings.Replace(good, `,"sig":"AA=="`, "", 1),
		"trailing":        good + "{}",
		"wrong type":      strings.Replace(good, `"x"`, "1", 1),
		"not UTF-8":       strings.Replace(good, "x", "\xff", 1),
		"array":           "[" + good + "]",
		"null":            "null",
	} {
		var e Envelope
		if err := decodeStrict("e", []byte(bad), s, &e); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			t.Log(name, "→", err)
		}
	}
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	var raw json.RawMessage
	if err := decodeStrict("e", []byte(deep), shapeOf[json.RawMessage](), &raw); err == nil {
		t.Error("deep nesting accepted")
	}
}

// TestPlainTime compares the reader of times with the standard library's.
func TestPlainTime(t *testing.T) {
	for _, s := range []string{
		testTime, "2024-02-29T23:59:59.999999Z", "2025-02-29T00:00:00.000000Z", "2026-04-31T00:00:00.000000Z", "2026-12-31T00:00:00.000000Z",
		"2026-13-01T00:00:00.000000Z", "2026-00-01T00:00:00.000000Z", "2026-01-00T00:00:00.000000Z", "2026-01-32T00:00:00.000000Z",
		"2026-01-01T24:00:00.000000Z", "2026-01-01T00:60:00.000000Z", "2026-01-01T00:00:60.000000Z", "2000-02-29T00:00:00.000000Z", "1900-02-29T00:00:00.000000Z",
	} {
		_, err := time.Parse(caos.TimeLayout, s)
		if plainTime(s) != (err == nil) {
			t.Errorf("%s: %v, time.Parse says %v", s, plainTime(s), err)
		}
	}
	for _, s := range []string{"", "2026-11-23T04:00:00Z", "2026-11-23T04:00:00.1234567Z", "2026-11-23T04:00:00,123456Z", "2026-11-23t04:00:00.123456Z", "2026-11-23T04:00:00.123456+", "２026-11-23T04:00:00.1234Z"} {
		if plainTime(s) {
			t.Errorf("%q accepted", s)
		}
	}
}
