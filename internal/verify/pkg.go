package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/tlog"
)

// PackageOptions tune the verifier of packages; the zero value is good.
type PackageOptions struct {
	Workers int             // goroutines that hash and check; 0 means one per processor
	Chains  *Chains         // whom to ask about entries on chains; nil asks nobody, and the report says so
	Context context.Context // of those questions; nil for one that does not end
}

// Package checks a package file against a trust file: every byte, signature, record,
// proof and decision in it, with no network and no database. It returns an error only if
// the file cannot be read; what is wrong with its contents is in the report. Memory grows
// with the number of entries, not with the size of artifacts.
func Package(r io.ReaderAt, size int64, trust Trust, opt PackageOptions) (*Report, error) {
	if err := trust.Check(); err != nil {
		return nil, err
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	p := &pkg{
		r: &faultReader{r: r}, size: size, trust: trust, opt: opt,
		report: &Report{Origin: trust.Origin, Findings: []string{}, NotChecked: notChecked()},
		shapes: newShapes(), people: map[string][]enrolled{}, policies: map[string]DecisionPolicy{},
	}
	p.verify()
	if err := p.r.fault.Load(); err != nil {
		return nil, *err
	}
	p.report.settle()
	return p.report, nil
}

func notChecked() []string {
	return []string{
		"that the trust file is the right one: get it, or its digest, by a way other than this package",
		"whether artifacts and documents are true or good enough: only that they are the bytes that were recorded",
		"whether people held the roles that the records of their decisions state, and who else was to be kept from deciding: the server's records say so",
		"whether the log holds further records that were left out of this package, such as the revocation of a person's key",
	}
}

// faultReader remembers an error of the file itself, so that a failing disk is not
// reported as a forged package.
type faultReader struct {
	r     io.ReaderAt
	fault atomic.Pointer[error]
}

func (f *faultReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.r.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.fault.CompareAndSwap(nil, &err)
	}
	return n, err
}

// shapes of what stands in many entries, made once.
type shapes struct {
	envelope, statement, claim, record, body, details, decision, outcome, anchor *shape
}

func newShapes() shapes {
	return shapes{
		envelope: shapeOf[Envelope](), statement: shapeOf[Statement](), claim: shapeOf[EvidenceClaim](),
		record: shapeOf[RecordFile](), body: shapeOf[recordBody](), details: shapeOf[recordDetails](),
		decision: shapeOf[decisionDetails](), outcome: shapeOf[OutcomeDetails](), anchor: shapeOf[PackagedAnchor](),
	}
}

// pkg is one verification.
type pkg struct {
	r      *faultReader
	size   int64
	trust  Trust
	opt    PackageOptions
	report *Report
	shapes shapes

	manifest   Manifest
	entries    []found      // where each of manifest.Entries stands
	facts      []entryFacts // what reading it told, in the same order
	index      map[string]int
	note       []byte // log/checkpoint
	checkpoint Checkpoint
	people     map[string][]enrolled     // what happened to keys of persons, by SSHKey.String, in file order
	policies   map[string]DecisionPolicy // that were read, by digest
	decided    []*decisionFacts          // decisions, in file order
}

// entryFacts is what later checks need of an entry once its bytes are gone.
type entryFacts struct {
	digest   string // problem with its size, digest or padding; "" if none
	problem  string // problem with what it says; "" if none
	envelope *envelopeFacts
	record   *recordFacts
	proof    *Proof // without its checkpoint
	anchor   *anchorFacts
}

type anchorFacts struct {
	file        AnchorFile
	consistency []tlog.Hash
}

type envelopeFacts struct {
	subject, sha256 string
	claim           EvidenceClaim
	keys            []string // ids of the trusted keys that signed
	digest          string   // "SHA256:" and hex of the envelope itself
}

func (p *pkg) verify() {
	layout := p.report.check("layout")
	layout.Says = "The file is laid out as its manifest says: every header and padding byte, nothing missing, added, repeated or out of order"
	if !p.readManifest(layout) {
		return
	}
	if !p.locate(layout) {
		return
	}
	p.readLog()
	p.readEntries()
	p.checkRecords()
	p.checkEvidence()
	p.checkModels()
	p.checkKeys()
	p.checkDecisions()
	p.checkOutcomes()
	p.checkCoverage()
	p.checkAnchors()
}

// small reads n bytes at an offset; a file that ends before is reported by the caller.
func (p *pkg) small(off, n int64) ([]byte, bool) {
	if off < 0 || n < 0 || off+n > p.size {
		return nil, false
	}
	b := make([]byte, n)
	k, _ := p.r.ReadAt(b, off)
	return b, int64(k) == n
}

// readFixed reads the entry of a name that must stand at an offset: header, contents and
// padding. Its size is the only thing that the file may choose.
func (p *pkg) readFixed(layout *Check, name string, off, limit int64) []byte {
	head, ok := p.small(off, block)
	if !ok {
		layout.fail(name, "the file ends before it")
		return nil
	}
	actual, n, ok := readHeader((*[block]byte)(head))
	switch {
	case !ok:
		layout.fail(name, "its header is damaged")
		return nil
	case actual != name:
		layout.fail(name, "is not where it belongs: %s stands there", shown(actual))
		layout.fail(shown(actual), "is out of order: %s belongs there", name)
		return nil
	case n > limit:
		layout.fail(name, "has %d bytes, more than %d", n, limit)
		return nil
	}
	data, ok := p.small(off+block, n+padding(n))
	if !ok {
		layout.fail(name, "the file ends within it")
		return nil
	}
	if !zero(data[n:]) {
		layout.fail(name, "the padding after it is not zero")
	}
	return data[:n]
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// readManifest reads and checks the first two entries. It reports whether the manifest
// can be understood; whether it can be believed is a failed check of its own, and the rest
// is looked at all the same, to name what else is wrong.
func (p *pkg) readManifest(layout *Check) bool {
	data := p.readFixed(layout, ManifestName, 0, maxManifest)
	if data == nil {
		return false
	}
	c := p.report.check("manifest")
	c.Says = "The manifest is signed by an evidence key of the trust file"
	c.Count = 1
	if err := decodeStrict(ManifestName, data, shapeOf[Manifest](), &p.manifest); err != nil {
		c.fail(ManifestName, "%v", err)
		return false
	}
	m := &p.manifest
	if err := m.check(); err != nil {
		c.fail(ManifestName, "%v", err)
		return false
	}
	p.report.PackageID, p.report.ModelID, p.report.Created, p.report.Audience = m.PackageID, m.ModelID, m.Created, m.Audience
	p.report.LogSize, p.report.LogRoot = m.Log.Size, m.Log.Root
	if m.Origin != p.trust.Origin {
		c.fail(ManifestName, "is of the log %s, not of %s", quote(m.Origin), quote(p.trust.Origin))
	}
	envelope := p.readFixed(layout, SignatureName, span(int64(len(data))), MaxEnvelope)
	if envelope == nil {
		c.fail(SignatureName, "cannot be read, so the manifest is not signed")
		return false
	}
	key, digest, id, err := p.checkManifest(envelope)
	switch {
	case err != nil:
		c.fail(SignatureName, "%v", err)
	case digest != tlogHex(sha256.Sum256(data)):
		c.fail(ManifestName, "is not the manifest that %s signed: its bytes were changed", key)
	case id != m.PackageID:
		c.fail(SignatureName, "is about the package %s", quote(id))
	default:
		// Only now is the manifest's own word on the tree worth anything.
		if _, err := p.trust.UnloggedKey(key, PurposeEvidence, max(m.Log.Size-1, 0)); err != nil {
			c.fail(SignatureName, "%v", err)
		}
		c.Says = "The manifest is signed by " + key + ", which counted at the tree's last leaf"
	}
	off := span(int64(len(data))) + span(int64(len(envelope)))
	p.index = make(map[string]int, len(m.Entries))
	p.entries = make([]found, len(m.Entries))
	for i, e := range m.Entries {
		p.entries[i] = found{e.Name, off, e.Size}
		p.index[e.Name] = i
		off += span(e.Size)
	}
	return true
}

// checkManifest checks the manifest's envelope. It returns who signed, and the SHA-256 and
// the package id that the manifest must have.
func (p *pkg) checkManifest(envelope []byte) (key, digest, id string, err error) {
	e, err := parseEnvelope(envelope, p.shapes.envelope)
	if err != nil {
		return "", "", "", err
	}
	// Nothing else covers this entry's bytes, so only one spelling of it is accepted, and
	// no further signature that nobody answers for.
	if len(e.Signatures) != 1 || !bytes.Equal(envelope, MarshalEnvelope(e.PayloadType, e.Bytes(), e.Signatures...)) {
		return "", "", "", refuse("envelope", "is not in canonical form with one signature")
	}
	key, err = e.Verify(InTotoType, func(id string) (*TrustKey, error) { return p.trust.Find(id, PurposeEvidence) })
	if err != nil {
		return "", "", "", err
	}
	st, err := parseStatement(e.Bytes(), p.shapes.statement)
	if err != nil {
		return "", "", "", err
	}
	var claim packageClaim
	if err := decodeStrict("predicate", st.Predicate, shapeOf[packageClaim](), &claim); err != nil {
		return "", "", "", err
	}
	if st.PredicateType != PackagePredicate || st.Subject[0].Name != ManifestName {
		return "", "", "", refuse("statement", "is not about a manifest")
	}
	return key, st.Subject[0].Digest.SHA256, claim.PackageID, nil
}

// locate checks the file's length, every header and the trailer against the manifest. If
// they do not fit it finds out how they differ, and where the entries are that can still
// be looked at.
func (p *pkg) locate(layout *Check) bool {
	layout.Count = len(p.entries) + 2
	end := p.end()
	bad := atomic.Bool{}
	if p.size != end+trailer {
		bad.Store(true)
	} else {
		p.parallel(len(p.entries), func(i int) {
			var h [block]byte
			e := p.entries[i]
			if n, _ := p.r.ReadAt(h[:], e.offset); n != block || h != header(e.name, e.size) {
				bad.Store(true)
			}
		})
		if tail, ok := p.small(end, trailer); !ok || !zero(tail) {
			layout.fail("end of file", "the zero blocks that end the file are damaged")
		}
	}
	if !bad.Load() {
		return true
	}
	return p.diagnose(layout, end)
}

func (p *pkg) end() int64 {
	if n := len(p.entries); n > 0 {
		return p.entries[n-1].offset + span(p.entries[n-1].size)
	}
	first, _ := p.small(0, block)
	_, n, _ := readHeader((*[block]byte)(first))
	second, _ := p.small(span(n), block)
	_, m, _ := readHeader((*[block]byte)(second))
	return span(n) + span(m)
}

func (p *pkg) diagnose(layout *Check, end int64) bool {
	first, _ := p.small(0, block)
	_, n, _ := readHeader((*[block]byte)(first))
	expected := append([]found{{ManifestName, 0, n}, {name: SignatureName, offset: span(n)}}, p.entries...)
	actual, damaged := walk(p.r, p.size, expected)
	for _, name := range damaged {
		layout.fail(name, "its header is damaged")
	}
	problems := compareOrder(expected, actual)
	for _, f := range problems {
		layout.fail(f.Entry, "%s", f.Problem)
	}
	last := int64(0)
	where := make(map[string]found, len(actual))
	for _, e := range actual {
		last = max(last, e.offset+span(e.size))
		if _, twice := where[e.name]; !twice {
			where[e.name] = e
		}
	}
	switch {
	case last > p.size:
		layout.fail(shown(actual[len(actual)-1].name), "the file ends within it")
	case p.size < last+trailer:
		layout.fail("end of file", "the file has %d bytes where its contents need %d: it was cut short", p.size, last+trailer)
	case p.size > last+trailer:
		layout.fail("end of file", "%d bytes follow that do not belong to the package", p.size-last-trailer)
	default:
		if tail, ok := p.small(last, trailer); !ok || !zero(tail) {
			layout.fail("end of file", "the zero blocks that end the file are damaged")
		}
	}
	if layout.OK {
		layout.fail("end of file", "the file has %d bytes, its manifest describes %d", p.size, end+trailer)
	}
	// Look at what is left, where it really stands; what is gone has been named.
	for i := range p.entries {
		e, ok := where[p.entries[i].name]
		if !ok || e.size != p.entries[i].size || e.offset+span(e.size) > p.size {
			p.entries[i].offset = -1
			continue
		}
		p.entries[i].offset = e.offset
	}
	return true
}

// parallel calls f for 0 … n-1 on all workers and waits.
func (p *pkg) parallel(n int, f func(i int)) {
	const batch = 16
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(p.opt.Workers, n/batch+1) {
		wg.Go(func() {
			for {
				lo := int(next.Add(batch)) - batch
				if lo >= n {
					return
				}
				for i := lo; i < min(lo+batch, n); i++ {
					f(i)
				}
			}
		})
	}
	wg.Wait()
}

// readLog reads log/checkpoint ahead of the rest, since every proof must end in it.
func (p *pkg) readLog() {
	c := p.report.check("checkpoint")
	c.Says = "The log's checkpoint is signed by a checkpoint key of the trust file"
	c.Count = 1
	i, ok := p.index[LogName]
	if !ok || p.entries[i].offset < 0 {
		c.fail(LogName, "is not in the package")
		return
	}
	note, ok := p.small(p.entries[i].offset+block, p.entries[i].size)
	if !ok {
		c.fail(LogName, "cannot be read")
		return
	}
	cp, err := OpenCheckpoint(note, p.trust)
	if err != nil {
		c.fail(LogName, "%v", err)
		return
	}
	if cp.Size != p.manifest.Log.Size || FormatHash(cp.Root) != p.manifest.Log.Root {
		c.fail(LogName, "is another tree head than the manifest's")
		return
	}
	p.note, p.checkpoint = note, cp
	c.Says = "The log's checkpoint over its first " + count(cp.Size, "leaf", "leaves") + " is signed by " + cp.KeyID
}

// readEntries hashes every entry and reads those that are small.
func (p *pkg) readEntries() {
	c := p.report.check("digests")
	c.Count = len(p.entries)
	c.Says = "Every entry has the size and SHA-256 of the manifest: " + count(int64(c.Count), "entry", "entries")
	p.facts = make([]entryFacts, len(p.entries))
	p.parallel(len(p.entries), func(i int) { p.readEntry(i) })
	for i := range p.facts {
		if p.facts[i].digest != "" {
			c.fail(p.entries[i].name, "%s", p.facts[i].digest)
		}
	}
}

// streamFrom is the size from which contents that need no parsing are streamed.
const streamFrom = 64 << 10

func (p *pkg) readEntry(i int) {
	e, f, kind := p.entries[i], &p.facts[i], p.manifest.Entries[i].Kind
	if e.offset < 0 {
		f.digest = "cannot be read: it is missing, damaged or of another size"
		f.problem = f.digest
		return
	}
	sum, pad := sha256.New(), padding(e.size)
	var data []byte
	if (kind == kindEvidence || kind == kindDocument || kind == kindReport) && e.size > streamFrom {
		f.digest = p.stream(sum, e)
	} else {
		b, ok := p.small(e.offset+block, e.size+pad)
		if !ok {
			f.digest = "the file ends within it"
		} else {
			data = b[:e.size]
			sum.Write(data)
			if !zero(b[e.size:]) {
				f.digest = "the padding after it is not zero"
			}
		}
	}
	digest := tlog.Hash(sum.Sum(nil))
	if f.digest == "" && tlogHex(digest) != p.manifest.Entries[i].SHA256 {
		f.digest = "its SHA-256 is not the manifest's: its bytes were changed"
	}
	if f.digest != "" && kind != kindEvidence {
		f.problem = "its bytes were changed"
		return
	}
	if err := p.parseEntry(f, kind, data, digest); err != nil {
		f.problem = err.Error()
	}
}

// stream hashes contents of any size with a fixed buffer and checks the padding.
func (p *pkg) stream(sum hash.Hash, e found) string {
	n, err := io.Copy(sum, io.NewSectionReader(p.r, e.offset+block, e.size))
	if err != nil || n != e.size {
		return "the file ends within it"
	}
	pad, ok := p.small(e.offset+block+e.size, padding(e.size))
	if !ok {
		return "the file ends within the padding after it"
	}
	if !zero(pad) {
		return "the padding after it is not zero"
	}
	return ""
}

func (p *pkg) parseEntry(f *entryFacts, kind string, data []byte, digest tlog.Hash) error {
	switch kind {
	case kindEnvelope:
		return p.parseEvidence(f, data, digest)
	case kindRecord, kindKey:
		r, err := readRecord(data, p.shapes)
		f.record = r
		return err
	case kindProof:
		proof, err := ParseProof(data)
		if err != nil {
			return err
		}
		if !bytes.Equal(proof.Checkpoint, p.note) {
			return refuse("proof", "leads to another checkpoint than %s", LogName)
		}
		proof.Checkpoint = nil
		f.proof = &proof
	case kindAnchor:
		a, hashes, err := parsePackagedAnchor(data, p.shapes.anchor)
		f.anchor = &anchorFacts{a, hashes}
		return err
	}
	return nil
}

func (p *pkg) parseEvidence(f *entryFacts, data []byte, digest tlog.Hash) error {
	e, err := parseEnvelope(data, p.shapes.envelope)
	if err != nil {
		return err
	}
	facts := &envelopeFacts{digest: FormatHash(digest)}
	_, err = e.Verify(InTotoType, func(id string) (*TrustKey, error) {
		k, err := p.trust.Find(id, PurposeEvidence)
		if err == nil {
			facts.keys = append(facts.keys, id)
		}
		return k, err
	})
	if err != nil {
		return err
	}
	st, err := parseStatement(e.Bytes(), p.shapes.statement)
	if err != nil {
		return err
	}
	if st.PredicateType != EvidencePredicate {
		return refuse("statement", "is a %s, not evidence", quote(st.PredicateType))
	}
	if err := decodeStrict("predicate", st.Predicate, p.shapes.claim, &facts.claim); err != nil {
		return err
	}
	facts.subject, facts.sha256 = st.Subject[0].Name, st.Subject[0].Digest.SHA256
	f.envelope = facts
	return nil
}
