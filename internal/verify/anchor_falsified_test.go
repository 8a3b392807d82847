package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// An anchorLie is a change to a package with anchors, and the entry that must be blamed. The
// manifest is signed again and the trust file left alone, unless the lie is about it.
type anchorLie struct {
	kind  string // whose entry is blamed; or entry
	entry string
	tell  func(w *anchoredWorld)
}

// in changes the anchor of a kind.
func in(kind string, f func(w *anchoredWorld, a *AnchorFile)) anchorLie {
	return anchorLie{kind: kind, tell: func(w *anchoredWorld) { f(w, &w.files[kind].Anchor) }}
}

// line puts another line in the place of the witness's.
func line(w *anchoredWorld, a *AnchorFile, name string, hash uint32, sig []byte) {
	signed := w.cp.checkpoint(w.t, w.log.head(w.t, a.Size))
	text := encodeBase64(append(binary.BigEndian.AppendUint32(nil, hash), sig...))
	a.Checkpoint = append(signed, "— "+name+" "+text+"\n"...)
}

func cosignatureLies() map[string]anchorLie {
	return map[string]anchorLie{
		"cosigned by a stranger with the name": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			a.Checkpoint = newTestWitness(w.witness.name, 77).cosign(w.t, w.cp.checkpoint(w.t, w.log.head(w.t, a.Size)))
		}),
		"stranger's cosignature under the key's number": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			sig, _ := newTestWitness("x", 77).Sign([]byte(w.info.Log.Text()))
			line(w, a, w.witness.name, w.witness.KeyHash(), sig)
		}),
		"cosignature with another time": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			sig, _ := w.witness.Sign([]byte(w.info.Log.Text()))
			sig[7]--
			line(w, a, w.witness.name, w.witness.KeyHash(), sig)
		}),
		"cosignature without a time": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			sig, _ := w.witness.Sign([]byte(w.info.Log.Text()))
			line(w, a, w.witness.name, w.witness.KeyHash(), sig[8:])
		}),
		"cosignature at time zero": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			w.witness.at = 0
			sig, _ := w.witness.Sign([]byte(w.info.Log.Text()))
			line(w, a, w.witness.name, w.witness.KeyHash(), sig)
		}),
		"cosignature at no time of this world": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			w.witness.at = 1 << 62
			sig, _ := w.witness.Sign([]byte(w.info.Log.Text()))
			line(w, a, w.witness.name, w.witness.KeyHash(), sig)
		}),
		"cosignature of an earlier tree": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			sig, _ := w.witness.Sign([]byte(w.log.head(w.t, a.Size-1).Text()))
			line(w, a, w.witness.name, w.witness.KeyHash(), sig)
		}),
		"cosignature spelled otherwise": in(AnchorWitness, func(_ *anchoredWorld, a *AnchorFile) {
			s := string(a.Checkpoint) // 76 bytes end in "==" … or in one "=", of which the last bits do not count
			at := strings.LastIndex(s, "=\n")
			for s[at-1] == '=' {
				at--
			}
			const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
			a.Checkpoint = []byte(s[:at-1] + string(alphabet[strings.IndexByte(alphabet, s[at-1])+1]) + s[at:])
		}),
		"no cosignature": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			a.Checkpoint = w.cp.checkpoint(w.t, w.log.head(w.t, a.Size))
		}),
		"the other witness's name": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) { a.Destination = w.second.name }),
		"a stranger under a name of the operator's": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			a.Destination = "our first witness"
			a.Checkpoint = newTestWitness(w.witness.name, 77).cosign(w.t, w.cp.checkpoint(w.t, w.log.head(w.t, a.Size)))
		}),
		"a witness that is not trusted any more": in(AnchorWitness, func(w *anchoredWorld, _ *AnchorFile) {
			w.trust.Witnesses = w.trust.Witnesses[1:]
		}),
		"fewer witnesses than asked for": {entry: LogName, tell: func(w *anchoredWorld) { w.trust.WitnessQuorum = 2 }},
		"as many witnesses, of a tree without the last record": {entry: LogName, tell: func(w *anchoredWorld) {
			w.trust.WitnessQuorum = 1
			w.anchor(AnchorWitness, w.witness.name, w.info.Log.Size-1)
		}},
		"nobody cosigned": {entry: LogName, tell: func(w *anchoredWorld) { w.trust.WitnessQuorum = 1; delete(w.files, AnchorWitness) }},
	}
}

func anchorTreeLies() map[string]anchorLie {
	name := func(old string, w *anchoredWorld) { // keeps an entry's name though its anchor says another
		text, _ := w.files[AnchorChain].Marshal()
		w.contents[old] = text
	}
	return map[string]anchorLie{
		"not signed by the log": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			a.Checkpoint = w.witness.cosign(w.t, newTestKey(w.t, PurposeCheckpoint, 9).checkpoint(w.t, w.log.head(w.t, a.Size)))
		}),
		"another log's checkpoint": in(AnchorTimestamp, func(w *anchoredWorld, a *AnchorFile) {
			c := w.log.head(w.t, a.Size)
			c.Origin = "other.test"
			a.Checkpoint = w.cp.checkpoint(w.t, c)
			a.Proof = w.authority.stamp(w.t, a.Checkpoint)
		}),
		"another size stated":   in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.Size-- }),
		"another root stated":   in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.Root = tlog.Hash{1}.String() }),
		"another origin stated": in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.Origin = "other.test" }),
		"two versions of one size": in(AnchorWitness, func(w *anchoredWorld, a *AnchorFile) {
			c := w.log.head(w.t, a.Size)
			c.Root[3] ^= 1
			a.Checkpoint, a.Root = w.witness.cosign(w.t, w.cp.checkpoint(w.t, c)), c.Root.String()
		}),
		"an earlier tree of another history": in(AnchorTimestamp, func(w *anchoredWorld, a *AnchorFile) {
			c := w.log.head(w.t, a.Size)
			c.Root[3] ^= 1
			a.Checkpoint, a.Root = w.cp.checkpoint(w.t, c), c.Root.String()
			a.Proof = w.authority.stamp(w.t, a.Checkpoint)
		}),
		"proof of consistency dropped":     {kind: AnchorTimestamp, tell: func(w *anchoredWorld) { w.files[AnchorTimestamp].Consistency = []string{} }},
		"proof of consistency changed":     {kind: AnchorTimestamp, tell: func(w *anchoredWorld) { w.files[AnchorTimestamp].Consistency[0] = tlog.Hash{}.String() }},
		"proof of consistency too long":    {kind: AnchorTimestamp, tell: func(w *anchoredWorld) { w.files[AnchorTimestamp].Consistency = make([]string, 129) }},
		"proof where none is needed":       {kind: AnchorWitness, tell: func(w *anchoredWorld) { w.files[AnchorWitness].Consistency = []string{tlog.Hash{}.String()} }},
		"proof of a later tree changed":    {kind: AnchorChain, tell: func(w *anchoredWorld) { w.files[AnchorChain].Consistency[0] = tlog.Hash{}.String() }},
		"a kind that packages do not have": in(AnchorChain, func(w *anchoredWorld, a *AnchorFile) { a.Kind = AnchorObject }),
		"no destination":                   in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.Destination = "" }),
		"under another name": {entry: "anchors/chain-1-0000000000000000.json", tell: func(w *anchoredWorld) {
			name("anchors/chain-1-0000000000000000.json", w)
		}},
		"another destination under the name": {kind: "", entry: "", tell: func(w *anchoredWorld) {
			old := w.name(AnchorChain)
			w.files[AnchorChain].Anchor.Destination += "x"
			name(old, w)
			delete(w.files, AnchorChain)
		}},
		"an unknown field": {entry: "anchors/x.json", tell: func(w *anchoredWorld) {
			w.contents["anchors/x.json"] = []byte(`{"anchor":{},"consistency":[],"more":1}`)
		}},
		"no JSON": {entry: "anchors/x.json", tell: func(w *anchoredWorld) { w.contents["anchors/x.json"] = []byte(`anchor`) }},
	}
}

// stamped makes the time stamp again, bent.
func stamped(bend func(w *anchoredWorld, p *tokenParts)) anchorLie {
	return in(AnchorTimestamp, func(w *anchoredWorld, a *AnchorFile) {
		w.authority.bend = func(p *tokenParts) { bend(w, p) }
		a.Proof = w.authority.stamp(w.t, a.Checkpoint)
	})
}

// certified makes the time stamp again, by a server with another certificate.
func certified(change func(c *x509.Certificate)) anchorLie {
	return in(AnchorTimestamp, func(w *anchoredWorld, a *AnchorFile) {
		w.authority = newTestAuthority(w.t, change)
		w.trust.TimestampCertificates = []string{encodeBase64(w.authority.root.Raw)}
		a.Proof = w.authority.stamp(w.t, a.Checkpoint)
	})
}

func timestampLies() map[string]anchorLie {
	usage := func(critical bool, ids ...string) func(c *x509.Certificate) {
		return func(c *x509.Certificate) {
			var list []byte
			for _, id := range ids {
				b, _ := asn1.Marshal(derID(id))
				list = append(list, b...)
			}
			value, _ := asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: list})
			c.ExtraExtensions = []pkix.Extension{{Id: derID(oidExtKeyUsage), Critical: critical, Value: value}}
		}
	}
	const stamping, serving = "1.3.6.1.5.5.7.3.8", "1.3.6.1.5.5.7.3.1"
	attribute := func(i int, id string, value any) anchorLie {
		return stamped(func(w *anchoredWorld, p *tokenParts) {
			p.attributes[i] = derSeq(w.t, derOf(w.t, derID(id), ""), derSet(w.t, derOf(w.t, value, "")))
		})
	}
	return map[string]anchorLie{
		"no token":               in(AnchorTimestamp, func(_ *anchoredWorld, a *AnchorFile) { a.Proof = nil }),
		"no DER":                 in(AnchorTimestamp, func(_ *anchoredWorld, a *AnchorFile) { a.Proof = []byte("granted") }),
		"token cut short":        in(AnchorTimestamp, func(_ *anchoredWorld, a *AnchorFile) { a.Proof = a.Proof[:len(a.Proof)-1] }),
		"token too large":        in(AnchorTimestamp, func(_ *anchoredWorld, a *AnchorFile) { a.Proof = append(a.Proof, make([]byte, MaxTimestamp)...) }),
		"bytes behind the token": stamped(func(_ *anchoredWorld, p *tokenParts) { p.tail = []byte{5, 0} }),
		"not granted":            stamped(func(_ *anchoredWorld, p *tokenParts) { p.status = 2 }),
		"over other bytes": in(AnchorTimestamp, func(w *anchoredWorld, a *AnchorFile) {
			a.Proof = w.authority.stamp(w.t, append(bytes.Clone(a.Checkpoint), '\n'))
		}),
		"over a hash that is not accepted": stamped(func(_ *anchoredWorld, p *tokenParts) { p.hash, p.imprint = derID("1.3.14.3.2.26"), make([]byte, 20) }),
		"another time since it was signed": stamped(func(_ *anchoredWorld, p *tokenParts) {
			p.afterSign = func(info, sig []byte) ([]byte, []byte) {
				return bytes.Replace(info, []byte("20261123120000Z"), []byte("20251123120000Z"), 1), sig
			}
		}),
		"a wrong signature": stamped(func(_ *anchoredWorld, p *tokenParts) {
			p.afterSign = func(info, sig []byte) ([]byte, []byte) { sig[len(sig)-1] ^= 1; return info, sig }
		}),
		"two signatures":                   stamped(func(_ *anchoredWorld, p *tokenParts) { p.signers = 2 }),
		"no signature":                     stamped(func(_ *anchoredWorld, p *tokenParts) { p.signers = 0 }),
		"a digest that is not accepted":    stamped(func(_ *anchoredWorld, p *tokenParts) { p.sigHash = derID("1.3.14.3.2.26") }),
		"another algorithm":                stamped(func(_ *anchoredWorld, p *tokenParts) { p.sigAlg = derID(oidRSA) }),
		"an algorithm with another digest": stamped(func(_ *anchoredWorld, p *tokenParts) { p.sigAlg = derID(oidECDSAWith512) }),
		"a content of another type":        stamped(func(_ *anchoredWorld, p *tokenParts) { p.content = derID("1.2.840.113549.1.7.1") }),
		"an information of version 2":      stamped(func(_ *anchoredWorld, p *tokenParts) { p.version = 2 }),
		"a field that is not known":        stamped(func(w *anchoredWorld, p *tokenParts) { p.more = derOf(w.t, "more", "utf8") }),
		"a critical extension": stamped(func(w *anchoredWorld, p *tokenParts) {
			p.more = derWrap(w.t, asn1.ClassContextSpecific, 1, derSeq(w.t, derOf(w.t, derID("1.2.3"), ""), derOf(w.t, true, ""), derOf(w.t, []byte{5, 0}, "")))
		}),
		"no moment of UTC":            stamped(func(_ *anchoredWorld, p *tokenParts) { p.at = "20261123120000" }),
		"signed as another type":      attribute(0, oidContentType, derID("1.2.840.113549.1.7.1")),
		"signed over another content": attribute(1, oidMessageDigest, make([]byte, 32)),
		"without its certificate":     attribute(2, "1.2.840.113549.1.9.5", "now"),
		"with two contents":           attribute(2, oidMessageDigest, make([]byte, 32)),
		"a certificate that is none":  stamped(func(w *anchoredWorld, p *tokenParts) { p.certs = append(p.certs, derSeq(w.t, derOf(w.t, 1, ""))) }),
		"more certificates than any":  stamped(func(_ *anchoredWorld, p *tokenParts) { p.certs = slices.Repeat(p.certs, 11) }),
		"the certificate left out":    stamped(func(w *anchoredWorld, p *tokenParts) { p.certs = [][]byte{w.authority.root.Raw} }),
		"naming another certificate": stamped(func(w *anchoredWorld, p *tokenParts) {
			sum := sha256.Sum256(w.authority.root.Raw)
			p.attributes[2] = derSeq(w.t, derOf(w.t, derID(oidSigningCertV2), ""), derSet(w.t, derSeq(w.t, derSeq(w.t, derSeq(w.t, derOf(w.t, sum[:], ""))))))
			p.certs = append(p.certs, w.authority.root.Raw)
		}),
		"a certificate for nothing":             certified(func(c *x509.Certificate) { c.ExtraExtensions = nil }),
		"a certificate for servers":             certified(usage(true, serving)),
		"a certificate for more than stamps":    certified(usage(true, stamping, serving)),
		"a certificate for unknown things too":  certified(usage(true, stamping, "1.2.3.4")),
		"a certificate not only for stamps":     certified(usage(false, stamping)),
		"a certificate that was not valid then": certified(func(c *x509.Certificate) { c.NotBefore = c.NotAfter.AddDate(-1, 0, 0) }),
		"a certificate of others": in(AnchorTimestamp, func(w *anchoredWorld, a *AnchorFile) {
			a.Proof = newTestAuthority(w.t, nil).stamp(w.t, a.Checkpoint)
		}),
	}
}

// chained bends the answers of the node.
func chained(method string, answer func(was any) any) anchorLie {
	return anchorLie{kind: AnchorChain, tell: func(w *anchoredWorld) {
		w.node.bend = func(m string, was any) any {
			if m == method {
				return answer(was)
			}
			return was
		}
	}}
}

func chainLies() map[string]anchorLie {
	receipt := func(f func(r *chainReceipt)) anchorLie {
		return in(AnchorChain, func(w *anchoredWorld, a *AnchorFile) {
			r := w.node.receipts[a.TxHash]
			f(&r)
			w.node.receipts[a.TxHash] = r
		})
	}
	const elsewhere = "0x00000000000000000000000000000000000b0b00"
	return map[string]anchorLie{
		"not recorded": in(AnchorChain, func(w *anchoredWorld, _ *AnchorFile) { clear(w.node.anchors) }),
		"recorded with another root": in(AnchorChain, func(w *anchoredWorld, a *AnchorFile) {
			w.node.record(testOrigin, a.Size, tlog.Hash{9}, 90)
		}),
		"another tree of the package's size is recorded": {entry: LogName, tell: func(w *anchoredWorld) {
			w.node.record(testOrigin, w.info.Log.Size, tlog.Hash{9}, 80)
		}},
		"a registry that nobody trusts": in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.Address = elsewhere }),
		"a chain that nobody trusts":    in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.ChainID = 4 }),
		"a block before":                in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.Block, a.TxHash = 89, "" }),
		"another block":                 in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.Block = 91 }),
		"another block's hash":          in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.BlockHash = testBlockHash(91) }),
		"a transaction that is no hash": in(AnchorChain, func(_ *anchoredWorld, a *AnchorFile) { a.TxHash = "0x12" }),
		"a transaction that failed":     receipt(func(r *chainReceipt) { r.Status = "0x0" }),
		"a transaction to somebody":     receipt(func(r *chainReceipt) { r.To = elsewhere }),
		"a transaction that vanished":   receipt(func(r *chainReceipt) { r.BlockHash = testBlockHash(7) }),
		"a receipt of another":          receipt(func(r *chainReceipt) { r.Hash = testBlockHash(7) }),
		"no contract there":             chained("eth_call", func(any) any { return "0x" }),
		"too few words":                 chained("eth_call", func(was any) any { return was.(string)[:66] }),
		"no hexadecimal digits":         chained("eth_call", func(any) any { return "0x" + strings.Repeat("zz", 128) }),
		"a boolean that is two":         chained("eth_call", func(was any) any { return strings.Replace(was.(string), "1", "2", 1) }),
		"a block in the future":         in(AnchorChain, func(w *anchoredWorld, _ *AnchorFile) { w.node.head = 50 }),
		"nothing":                       chained("eth_call", func(any) any { return nil }),
		"words to people": chained("eth_call", func(any) any {
			return func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>sign in</html>")) }
		}),
		"an endless answer": chained("eth_call", func(any) any {
			return func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, maxChainAnswer+2)) }
		}),
		"a refusal": chained("eth_call", func(any) any {
			return func(w http.ResponseWriter) {
				_, _ = w.Write([]byte(`{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"header not found"}}`))
			}
		}),
		"a head that is no number": chained("eth_blockNumber", func(any) any { return "100" }),
		"no such block":            chained("eth_getBlockByNumber", func(any) any { return nil }),
	}
}

func TestFalsifiedAnchorsAreRefused(t *testing.T) {
	count := 0
	for _, table := range []map[string]anchorLie{cosignatureLies(), anchorTreeLies(), timestampLies(), chainLies()} {
		for name, lie := range table {
			count++
			t.Run(name, func(t *testing.T) {
				w := newAnchoredWorld(t)
				old := ""
				if lie.entry == "" && lie.kind == "" {
					old = w.name(AnchorChain)
				}
				lie.tell(w)
				entry := lie.entry
				switch {
				case entry != "":
				case old != "":
					entry = old
				default:
					entry = w.name(lie.kind)
				}
				r := w.report(w.node)
				if r.OK {
					t.Fatal("verified")
				}
				if !blames(r, entry) && !(lie.kind == AnchorChain && blames(r, "--ethereum")) {
					t.Fatalf("%s is not named, but %q", entry, failures(r))
				}
				t.Log(failures(r)[0])
				for _, f := range failures(r) {
					if strings.Contains(f, "http://") {
						t.Errorf("shows an address, which may hold a secret: %s", f)
					}
				}
			})
		}
	}
	t.Logf("%d falsified anchors", count)
}

func TestHonestAnchors(t *testing.T) {
	w := newAnchoredWorld(t)
	w.trust.WitnessQuorum = 1
	r := w.report(w.node)
	if !r.OK || len(r.Anchors) != 3 {
		t.Fatal(failures(r), len(r.Anchors))
	}
	n := int(w.info.Log.Size)
	for _, l := range r.Anchors {
		want := map[string]int{AnchorWitness: n, AnchorTimestamp: n - 2, AnchorChain: n}[l.Kind]
		if !l.OK || !l.Checked || l.At == "" || l.Covers != want {
			t.Errorf("%+v, of %d records", l, n)
		}
	}
	var b strings.Builder
	if err := r.Text(&b, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"witness witness.test/one: 2026-11-23 05:00:00", "time-stamped by CN=Stamp Server, accurate to 1s", "recorded in block 90, 11 blocks deep",
		"times before 2026-11-23T05:00:00.000000Z"} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	// A witness of the second kind counts as well, whoever the anchor names.
	w = newAnchoredWorld(t)
	w.trust.WitnessQuorum = 2
	a := &w.files[AnchorWitness].Anchor
	a.Checkpoint, a.Destination = w.second.cosign(t, a.Checkpoint), "our first witness"
	if r := w.report(); !r.OK {
		t.Error(failures(r))
	}
}

// TestAnchorBeforeItsRecords: who says that he saw a record half a year before it was made is
// not believed to have seen it then.
func TestAnchorBeforeItsRecords(t *testing.T) {
	w := newAnchoredWorld(t)
	w.witness.at = 1_780_000_000 // May; the records are of November
	w.anchor(AnchorWitness, "witness.test/one", w.info.Log.Size)
	var b strings.Builder
	r := w.report(w.node)
	if err := r.Text(&b, false); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	if !r.OK || !strings.Contains(text, "one of the two clocks is wrong") || !strings.Contains(text, "times before 2026-11-23T05:00:00.000000Z") || strings.Contains(text, "times before 2026-05") {
		t.Errorf("%s", b.String())
	}
}

// TestAnchorsWithoutMeans: what cannot be checked is not passed over in silence, and is no
// failure either.
func TestAnchorsWithoutMeans(t *testing.T) {
	w := newAnchoredWorld(t)
	said := func(r *Report, part string) {
		t.Helper()
		if !r.OK || !strings.Contains(strings.Join(r.NotChecked, "\n"), part) {
			t.Errorf("%q is not said: %q, %q", part, r.NotChecked, failures(r))
		}
	}
	said(w.report(), "on chain: not checked (give --ethereum URL of a node of chain 1337): 1 anchor")
	w.trust.Witnesses, w.trust.TimestampCertificates, w.trust.Chains = nil, nil, nil
	r := w.report()
	said(r, "cosignatures of witnesses: the trust file names none: 1 anchor")
	said(r, "time stamps: the trust file names no certificate of a time-stamp server: 1 anchor")
	said(r, "entries on a chain: the trust file names none: 1 anchor")
	said(r, "whether anybody but the operator saw the log so")
	plain := newWorld(t, 1)
	said(plain.verify(plain.write()), "whether anybody but the operator saw the log so")
	w = newAnchoredWorld(t)
	for _, kind := range []string{AnchorWitness, AnchorChain} {
		delete(w.files, kind)
	}
	said(w.report(), "the last 2 records of this package: no anchor covers them yet")
}

// TestTwoNodes: nodes of one chain have to agree; one that is a little behind does.
func TestTwoNodes(t *testing.T) {
	second := func(change func(w *anchoredWorld, n *testNode)) *Report {
		w := newAnchoredWorld(t)
		n := newTestNode(t, 1337, testRegistry)
		n.anchors, n.receipts, n.head = w.node.anchors, w.node.receipts, 97
		change(w, n)
		return w.report(w.node, n)
	}
	if r := second(func(*anchoredWorld, *testNode) {}); !r.OK {
		t.Error(failures(r))
	}
	for name, change := range map[string]func(w *anchoredWorld, n *testNode){
		"without the record": func(_ *anchoredWorld, n *testNode) { n.anchors = nil },
		"another root": func(w *anchoredWorld, n *testNode) {
			n.anchors = map[string][2]any{}
			n.record(testOrigin, w.info.Log.Size+1, tlog.Hash{7}, 90)
		},
		"another history": func(_ *anchoredWorld, n *testNode) {
			n.bend = func(m string, was any) any {
				if m == "eth_getBlockByNumber" {
					return map[string]string{"number": was.(map[string]string)["number"], "hash": testBlockHash(3)}
				}
				return was
			}
		},
	} {
		r := second(change)
		if r.OK || !strings.Contains(strings.Join(failures(r), "\n"), "do not agree at block 97") {
			t.Errorf("%s: %v %q", name, r.OK, failures(r))
		}
	}
	w := newAnchoredWorld(t)
	if r := w.report(w.node, newTestNode(t, 5, testRegistry)); r.OK || !blames(r, "--ethereum") {
		t.Error("a node of another chain", failures(r))
	}
	if _, err := OpenChains(context.Background(), []string{w.node.url, w.node.url}, nil); err == nil {
		t.Error("one node twice")
	}
	for _, url := range []string{"", "ftp://x", "http://127.0.0.1:1/secret"} {
		if _, err := OpenChains(context.Background(), []string{url}, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestLastAnchor(t *testing.T) {
	w := newAnchoredWorld(t)
	c, err := OpenChains(t.Context(), []string{w.node.url}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.node.record(testOrigin, 3, tlog.Hash{3}, 10)
	got, err := c.LastAnchor(t.Context(), w.trust.Chains[0], testOrigin)
	if err != nil || !got.Exists || got.Size != w.info.Log.Size+1 || got.Block != 90 || got.Depth != 11 {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.LastAnchor(t.Context(), w.trust.Chains[0], "nobody.test"); err != nil || got.Exists {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.LastAnchor(t.Context(), TrustChain{5, testRegistry}, testOrigin); err == nil {
		t.Error("a chain that no node was named for")
	}
}

// TestSelectors compares the numbers of functions with those of the contract's bindings, which
// state them, so that neither is right by itself only.
func TestSelectors(t *testing.T) {
	text, err := os.ReadFile("../ethereum/binding/production_registry.go")
	if err != nil {
		t.Skip("the bindings of the contract are not there:", err)
	}
	for function, selector := range map[string]string{
		"AnchorOf": selectorAnchor, "LastAnchor": selectorLast, "RecordOf": selectorRecord,
	} {
		if !strings.Contains(string(text), "Pack"+function+" is the Go binding used to pack the parameters required for calling\n// the contract method with ID 0x"+selector+".") {
			t.Errorf("%s is not %s", function, selector)
		}
	}
	// The bindings have the number of an event in the bytecode alone, where it is pushed (7f).
	if !strings.Contains(string(text), "7f"+strings.TrimPrefix(topicAnchored, "0x")) {
		t.Errorf("the contract has no event %s", topicAnchored)
	}
}

func TestTrustRefusesOutsiders(t *testing.T) {
	w := newAnchoredWorld(t)
	one := w.trust.Witnesses[0]
	log, _ := note2(w.cp)
	for name, change := range map[string]func(tr *Trust){
		"witness of no form":            func(tr *Trust) { tr.Witnesses[0] = "witness" },
		"witness of another type":       func(tr *Trust) { tr.Witnesses[0] = log },
		"witness with other digits":     func(tr *Trust) { tr.Witnesses[0] = strings.Replace(one, "+", "+0", 1)[:len(one)] },
		"witness of another name":       func(tr *Trust) { tr.Witnesses[0] = "x" + one },
		"witness twice":                 func(tr *Trust) { tr.Witnesses[1] = one },
		"witness under two names":       func(tr *Trust) { tr.Witnesses[1] = newTestWitness("witness.test/three", 21).vkey() },
		"two keys of a witness":         func(tr *Trust) { tr.Witnesses[1] = newTestWitness("witness.test/one", 23).vkey() },
		"the log as its own witness":    func(tr *Trust) { tr.Witnesses[1] = newTestWitness(testOrigin, 22).vkey() },
		"a key of the log as witness":   func(tr *Trust) { tr.Witnesses[1] = newTestWitness("witness.test/log", 1).vkey() },
		"too many witnesses":            func(tr *Trust) { tr.Witnesses = make([]string, 101) },
		"more asked for than there are": func(tr *Trust) { tr.WitnessQuorum = 3 },
		"fewer than none asked for":     func(tr *Trust) { tr.WitnessQuorum = -1 },
		"certificate of no form":        func(tr *Trust) { tr.TimestampCertificates[0] = "x" },
		"certificate that is none":      func(tr *Trust) { tr.TimestampCertificates[0] = "AAAA" },
		"certificate twice":             func(tr *Trust) { tr.TimestampCertificates = slices.Repeat(tr.TimestampCertificates, 2) },
		"chain zero":                    func(tr *Trust) { tr.Chains[0].ChainID = 0 },
		"chain too large":               func(tr *Trust) { tr.Chains[0].ChainID = 1 << 53 },
		"registry of no form":           func(tr *Trust) { tr.Chains[0].Registry = "0x12" },
		"registry twice": func(tr *Trust) {
			tr.Chains = append(tr.Chains, TrustChain{1337, strings.ToUpper(testRegistry[2:])})
			tr.Chains[1].Registry = "0x" + tr.Chains[1].Registry
		},
	} {
		tr := w.trust
		tr.Witnesses, tr.TimestampCertificates, tr.Chains = slices.Clone(tr.Witnesses), slices.Clone(tr.TimestampCertificates), slices.Clone(tr.Chains)
		change(&tr)
		text, err := tr.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseTrust(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	text, _ := w.trust.Marshal()
	back, err := ParseTrust(text)
	if err != nil || len(back.Witnesses) != 2 || back.Chains[0].ChainID != 1337 {
		t.Error(err)
	}
	// Files from before there were outsiders stay what they were.
	old := w.trust
	old.Witnesses, old.TimestampCertificates, old.Chains = nil, nil, nil
	if text, _ := old.Marshal(); bytes.Contains(text, []byte("quorum")) || bytes.Contains(text, []byte("chains")) {
		t.Errorf("%s", text)
	}
}

// note2 is a log's own verifier key, which is of type 1.
func note2(k testKey) (string, error) {
	w := &testWitness{name: "witness.test/log1", private: k.private}
	return strings.Replace(w.vkey(), "+BA", "+AQ", 1), nil
}

// TestProofWithQuorum: a proof that stands alone leads to a checkpoint with as many witnesses
// as the trust file asks for.
func TestProofWithQuorum(t *testing.T) {
	w := newAnchoredWorld(t)
	w.trust.WitnessQuorum = 1
	p, err := ParseProof(w.proof(2))
	if err != nil {
		t.Fatal(err)
	}
	var f RecordFile
	for _, r := range w.records {
		if r.Index == 2 {
			f = r
		}
	}
	// w.proof proves against the log's present size, which the package's checkpoint is not of.
	hashes, err := tlog.ProveRecord(w.info.Log.Size, 2, &w.log)
	if err != nil {
		t.Fatal(err)
	}
	p.Hashes = hashes
	leaf := RecordHash([]byte(f.Leaf))
	if _, err := p.Verify(leaf, w.trust); err == nil {
		t.Error("verified without a witness")
	}
	p.Checkpoint = w.second.cosign(t, p.Checkpoint)
	if _, err := p.Verify(leaf, w.trust); err != nil {
		t.Error(err)
	}
}

func FuzzTimestamp(f *testing.F) {
	a := newTestAuthority(f, nil)
	message := []byte("message")
	good := a.stamp(f, message)
	f.Add(good)
	for i := 0; i < len(good); i += 37 {
		b := bytes.Clone(good)
		b[i] ^= 0x11
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		got, err := CheckTimestamp(response, message, []*x509.Certificate{a.root})
		if err == nil && !got.At.Equal(a.at) {
			t.Errorf("a time that nobody signed: %v", got.At)
		}
	})
}

func FuzzPackagedAnchor(f *testing.F) {
	f.Add([]byte(`{"anchor":{"kind":"chain","destination":"x","origin":"o","size":1,"root":"","checkpoint":"","at":"2026-01-01T00:00:00Z"},"consistency":[]}`))
	s := shapeOf[PackagedAnchor]()
	f.Fuzz(func(t *testing.T, data []byte) {
		a, hashes, err := parsePackagedAnchor(data, s)
		if err != nil {
			return
		}
		var again PackagedAnchor
		text, err := NewPackagedAnchor(a, hashes).Marshal()
		if err != nil || json.Unmarshal(text, &again) != nil || len(again.Consistency) != len(hashes) {
			t.Errorf("%s: %v", text, err)
		}
	})
}

func FuzzWitnessKey(f *testing.F) {
	f.Add(newTestWitness("witness.test/one", 21).vkey())
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseWitnessKey(text)
		if err == nil && (CheckOrigin(k.Name()) != nil || len(k.pub) != 32) {
			t.Errorf("%q", text)
		}
	})
}
