package verify

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// testWitness cosigns, as C2SP tlog-cosignature has it, made independently of the reader.
type testWitness struct {
	name    string
	private ed25519.PrivateKey
	at      uint64
}

func newTestWitness(name string, seed byte) *testWitness {
	return &testWitness{name, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)), 1_795_410_000}
}

func (w *testWitness) Name() string { return w.name }

func (w *testWitness) KeyHash() uint32 {
	h := sha256.New()
	h.Write([]byte(w.name))
	h.Write([]byte{'\n', 4})
	h.Write(w.private.Public().(ed25519.PublicKey))
	return binary.BigEndian.Uint32(h.Sum(nil))
}

func (w *testWitness) Sign(msg []byte) ([]byte, error) {
	signed := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", w.at, msg)
	return append(binary.BigEndian.AppendUint64(nil, w.at), ed25519.Sign(w.private, signed)...), nil
}

func (w *testWitness) vkey() string {
	return fmt.Sprintf("%s+%08x+%s", w.name, w.KeyHash(), encodeBase64(append([]byte{4}, w.private.Public().(ed25519.PublicKey)...)))
}

// cosign adds a witness's line to a signed note.
func (w *testWitness) cosign(t testing.TB, signed []byte) []byte {
	t.Helper()
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	if !ok {
		t.Fatal("no note")
	}
	n, err := note.Sign(&note.Note{Text: string(text) + "\n"}, w)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := bytes.Cut(n, []byte("\n\n"))
	return append(bytes.Clone(signed), line...)
}

// testAuthority makes time stamps.
type testAuthority struct {
	root, cert *x509.Certificate
	key        crypto.Signer
	at         time.Time
	serial     int64
	bend       func(*tokenParts) // of the next token
}

// tokenParts are what a token is made of, for tests to bend.
type tokenParts struct {
	status     int
	imprint    []byte
	hash       asn1.ObjectIdentifier
	at         string // of the TSTInfo
	version    int
	more       []byte // behind the TSTInfo's last field
	attributes [][]byte
	certs      [][]byte
	signers    int
	sigHash    asn1.ObjectIdentifier
	sigAlg     asn1.ObjectIdentifier
	content    asn1.ObjectIdentifier
	tail       []byte
	afterSign  func(info, sig []byte) ([]byte, []byte)
}

func derID(dotted string) (id asn1.ObjectIdentifier) {
	for part := range strings.SplitSeq(dotted, ".") {
		var n int
		fmt.Sscan(part, &n)
		id = append(id, n)
	}
	return id
}

func derOf(t testing.TB, v any, params string) []byte {
	t.Helper()
	b, err := asn1.MarshalWithParams(v, params)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// derWrap puts parts into an element of a class and tag.
func derWrap(t testing.TB, class, tag int, parts ...[]byte) []byte {
	return derOf(t, asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: bytes.Join(parts, nil)}, "")
}

func derSeq(t testing.TB, parts ...[]byte) []byte {
	return derWrap(t, asn1.ClassUniversal, asn1.TagSequence, parts...)
}

func derSet(t testing.TB, parts ...[]byte) []byte {
	return derWrap(t, asn1.ClassUniversal, asn1.TagSet, parts...)
}

func testCertificate(t testing.TB, cn string, parent *x509.Certificate, parentKey crypto.Signer, change func(*x509.Certificate)) (*x509.Certificate, crypto.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(int64(len(cn)) + 7), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter: time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC), BasicConstraintsValid: true, IsCA: parent == nil, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	if parent != nil {
		value := derSeq(t, derOf(t, derID("1.3.6.1.5.5.7.3.8"), ""))
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtraExtensions = []pkix.Extension{{Id: derID(oidExtKeyUsage), Critical: true, Value: value}}
	}
	if change != nil {
		change(c)
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	text, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(text)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func newTestAuthority(t testing.TB, change func(*x509.Certificate)) *testAuthority {
	t.Helper()
	root, rootKey := testCertificate(t, "Stamp Root", nil, nil, nil)
	cert, key := testCertificate(t, "Stamp Server", root, rootKey, change)
	return &testAuthority{root: root, cert: cert, key: key, at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
}

// stamp answers a request about a message.
func (a *testAuthority) stamp(t testing.TB, message []byte) []byte {
	t.Helper()
	a.serial++
	sum := sha256.Sum256(message)
	certSum := sha256.Sum256(a.cert.Raw)
	p := &tokenParts{imprint: sum[:], hash: derID(oidSHA256), at: a.at.Format("20060102150405Z"), version: 1, signers: 1, certs: [][]byte{a.cert.Raw},
		sigHash: derID(oidSHA256), sigAlg: derID(oidECDSAWith256), content: derID(oidTSTInfo)}
	essID := derSeq(t, derSeq(t, derSeq(t, derOf(t, certSum[:], ""))))
	p.attributes = [][]byte{nil, nil, derSeq(t, derOf(t, derID(oidSigningCertV2), ""), derSet(t, essID))}
	if a.bend != nil {
		a.bend(p)
	}
	info := derSeq(t, derOf(t, p.version, ""), derOf(t, derID("1.2.3.4.1"), ""), derSeq(t, derSeq(t, derOf(t, p.hash, "")), derOf(t, p.imprint, "")),
		derOf(t, a.serial, ""), derOf(t, asn1.RawValue{Tag: asn1.TagGeneralizedTime, Bytes: []byte(p.at)}, ""), derSeq(t, derOf(t, 1, "")), p.more)
	infoSum := sha256.Sum256(info)
	if p.attributes[0] == nil {
		p.attributes[0] = derSeq(t, derOf(t, derID(oidContentType), ""), derSet(t, derOf(t, derID(oidTSTInfo), "")))
	}
	if p.attributes[1] == nil {
		p.attributes[1] = derSeq(t, derOf(t, derID(oidMessageDigest), ""), derSet(t, derOf(t, infoSum[:], "")))
	}
	toSign := sha256.Sum256(derSet(t, p.attributes...))
	sig, err := a.key.Sign(rand.Reader, toSign[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	if p.afterSign != nil {
		info, sig = p.afterSign(info, sig)
	}
	signer := derSeq(t, derOf(t, 1, ""), derSeq(t, a.cert.RawIssuer, derOf(t, a.cert.SerialNumber, "")), derSeq(t, derOf(t, p.sigHash, "")),
		derWrap(t, asn1.ClassContextSpecific, 0, p.attributes...), derSeq(t, derOf(t, p.sigAlg, "")), derOf(t, sig, ""))
	signed := derSeq(t, derOf(t, 3, ""), derSet(t, derSeq(t, derOf(t, derID(oidSHA256), ""))),
		derSeq(t, derOf(t, p.content, ""), derWrap(t, asn1.ClassContextSpecific, 0, derOf(t, info, ""))),
		derWrap(t, asn1.ClassContextSpecific, 0, p.certs...), derSet(t, bytes.Repeat(signer, p.signers)))
	status := derSeq(t, derOf(t, p.status, ""))
	token := derSeq(t, derOf(t, derID(oidSignedData), ""), derWrap(t, asn1.ClassContextSpecific, 0, signed))
	if p.status > 1 {
		token = nil
	}
	return append(derSeq(t, status, token), p.tail...)
}

// testNode is a node of a chain with a registry.
type testNode struct {
	mu       sync.Mutex
	id       uint64
	registry string
	head     uint64
	anchors  map[string][2]any // origin and size → root and block
	records  map[string]uint64 // arguments of recordOf → block
	receipts map[string]chainReceipt
	bend     func(method string, answer any) any
	url      string
	methods  []string
	ranged   func(from, to uint64) any // answers eth_getLogs
}

func newTestNode(t testing.TB, id uint64, registry string) *testNode {
	t.Helper()
	n := &testNode{id: id, registry: registry, head: 100, anchors: map[string][2]any{}, records: map[string]uint64{}, receipts: map[string]chainReceipt{}}
	s := httptest.NewServer(n)
	t.Cleanup(s.Close)
	n.url = s.URL
	return n
}

func testBlockHash(number uint64) string {
	sum := sha256.Sum256(fmt.Append(nil, "block ", number))
	return "0x" + hex.EncodeToString(sum[:])
}

func (n *testNode) record(origin string, size int64, root tlog.Hash, block uint64) string {
	n.anchors[fmt.Sprint(origin, " ", size)] = [2]any{root, block}
	sum := sha256.Sum256(fmt.Append(nil, origin, size, block))
	tx := "0x" + hex.EncodeToString(sum[:])
	n.receipts[tx] = chainReceipt{"0x1", n.registry, fmt.Sprintf("0x%x", block), testBlockHash(block), tx}
	return tx
}

func (n *testNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var q struct {
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	n.methods = append(n.methods, q.Method)
	text := func(i int) (s string) { _ = json.Unmarshal(q.Params[i], &s); return s }
	var answer any
	switch q.Method {
	case "eth_chainId":
		answer = fmt.Sprintf("0x%x", n.id)
	case "eth_blockNumber":
		answer = fmt.Sprintf("0x%x", n.head)
	case "eth_getBlockByNumber":
		var number uint64
		fmt.Sscanf(text(0), "0x%x", &number)
		if number <= n.head {
			answer = map[string]string{"number": text(0), "hash": testBlockHash(number)}
		}
	case "eth_getTransactionReceipt":
		if r, ok := n.receipts[text(0)]; ok {
			answer = r
		}
	case "eth_getLogs":
		var filter struct{ FromBlock, ToBlock string }
		_ = json.Unmarshal(q.Params[0], &filter)
		from, _ := quantity(filter.FromBlock)
		to, _ := quantity(filter.ToBlock)
		if n.ranged != nil {
			answer = n.ranged(from, to)
		}
	case "eth_call":
		var call map[string]string
		_ = json.Unmarshal(q.Params[0], &call)
		answer = n.call(call["to"], strings.TrimPrefix(call["data"], "0x"))
	}
	if n.bend != nil {
		answer = n.bend(q.Method, answer)
	}
	if s, ok := answer.(func(http.ResponseWriter)); ok {
		s(w)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": 1, "result": answer})
}

func (n *testNode) call(to, data string) string {
	if !strings.EqualFold(to, n.registry) {
		return "0x"
	}
	b, _ := hex.DecodeString(data[8:])
	number := func(at int) int { return int(binary.BigEndian.Uint64(b[at+24:])) }
	str := func(at int) string { o := number(at); return string(b[o+32 : o+32+number(o)]) }
	switch data[:8] {
	case selectorAnchor:
		a, ok := n.anchors[fmt.Sprint(str(0), " ", number(32))]
		if !ok {
			return "0x" + strings.Repeat(word(0), 4)
		}
		root := a[0].(tlog.Hash)
		return "0x" + word(1) + hex.EncodeToString(root[:]) + word(a[1].(uint64)) + word(1_795_410_000)
	case selectorLast:
		best, at := int64(0), [2]any{tlog.Hash{}, uint64(0)}
		for k, v := range n.anchors {
			var size int64
			origin, rest, _ := strings.Cut(k, " ")
			fmt.Sscan(rest, &size)
			if origin == str(0) && size > best {
				best, at = size, v
			}
		}
		root := at[0].(tlog.Hash)
		return "0x" + word(uint64(best)) + hex.EncodeToString(root[:]) + word(at[1].(uint64)) + word(1_795_410_000)
	case selectorRecord:
		block, ok := n.records[str(0)+" "+str(32)+" "+hex.EncodeToString(b[64:96])]
		if !ok {
			return "0x" + strings.Repeat(word(0), 5)
		}
		return "0x" + word(1) + word(1_795_409_999) + word(block) + word(1_795_410_000) + strings.Repeat("0", 24) + strings.Repeat("ab", 20)
	}
	return "0x"
}

const testRegistry = "0x00000000000000000000000000000000000a11ce"

// anchoredWorld is a world whose log three outsiders saw: one in its present state, one
// before, one after the package's checkpoint.
type anchoredWorld struct {
	*world
	witness, second *testWitness
	authority       *testAuthority
	node            *testNode
	files           map[string]*PackagedAnchor // by kind
}

func newAnchoredWorld(t testing.TB) *anchoredWorld {
	t.Helper()
	w := &anchoredWorld{world: newWorld(t, 3), witness: newTestWitness("witness.test/one", 21), second: newTestWitness("witness.test/two", 22),
		authority: newTestAuthority(t, nil), node: newTestNode(t, 1337, testRegistry), files: map[string]*PackagedAnchor{}}
	w.trust.Witnesses = []string{w.witness.vkey(), w.second.vkey()}
	w.trust.TimestampCertificates = []string{encodeBase64(w.authority.root.Raw)}
	w.trust.Chains = []TrustChain{{1337, testRegistry}}
	n := w.log.n
	w.anchor(AnchorWitness, "witness.test/one", n)
	w.anchor(AnchorTimestamp, "https://stamp.test", n-2)
	w.log.add(t, LeafBytes("AUDIT-LATER", testTime, "ACCESS", tlog.Hash{}))
	w.anchor(AnchorChain, "chain:1337:"+testRegistry, n+1)
	return w
}

// anchor makes the anchor of a kind at a size of the log.
func (w *anchoredWorld) anchor(kind, destination string, size int64) {
	w.t.Helper()
	c := w.log.head(w.t, size)
	note := w.cp.checkpoint(w.t, c)
	a := AnchorFile{Kind: kind, Destination: destination, Origin: testOrigin, Size: size, Root: c.Root.String(), Checkpoint: note, At: time.Unix(1_795_410_001, 0).UTC()}
	switch kind {
	case AnchorWitness:
		a.Checkpoint = w.witness.cosign(w.t, note)
	case AnchorTimestamp:
		a.Proof = w.authority.stamp(w.t, note)
	case AnchorChain:
		a.ChainID, a.Address, a.Block, a.BlockHash = 1337, testRegistry, 90, testBlockHash(90)
		a.TxHash = w.node.record(testOrigin, size, c.Root, 90)
	}
	p := NewPackagedAnchor(a, w.consistency(size, w.info.Log.Size))
	w.files[kind] = &p
}

// consistency proves that two trees are of one log.
func (w *anchoredWorld) consistency(a, b int64) tlog.TreeProof {
	if a == b {
		return nil
	}
	proof, err := tlog.ProveTree(max(a, b), min(a, b), &w.log)
	if err != nil {
		w.t.Fatal(err)
	}
	return proof
}

func (w *anchoredWorld) name(kind string) string { return AnchorName(w.files[kind].Anchor) }

// report writes the package and verifies it.
func (w *anchoredWorld) report(nodes ...*testNode) *Report {
	w.t.Helper()
	for _, p := range w.files {
		name := AnchorName(p.Anchor)
		if _, there := w.contents[name]; there {
			continue // a test has put something else there
		}
		text, err := p.Marshal()
		if err != nil {
			w.t.Fatal(err)
		}
		w.contents[name] = text
	}
	file := w.write()
	opt := PackageOptions{}
	if len(nodes) > 0 {
		var urls []string
		for _, n := range nodes {
			urls = append(urls, n.url)
		}
		var err error
		if opt.Chains, err = OpenChains(context.Background(), urls, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	r, err := Package(bytes.NewReader(file), int64(len(file)), w.trust, opt)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}
