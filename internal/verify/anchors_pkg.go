package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
)

// maxAnchorFile is the most bytes of an anchor in a package: a checkpoint, and a token, in
// base64.
const maxAnchorFile = 2 * (MaxCheckpoint + MaxTimestamp)

// PackagedAnchor is an anchor as a package carries it, with the proof that its tree and that
// of the package's own checkpoint are two states of one log. The fields are in the order of
// their JSON names.
type PackagedAnchor struct {
	Anchor      AnchorFile `json:"anchor"`
	Consistency []string   `json:"consistency"` // base64 of the hashes that lead from the smaller tree to the larger (RFC 6962)
}

// NewPackagedAnchor makes the entry of an anchor. The proof may be empty: trees of the same
// size need none.
func NewPackagedAnchor(a AnchorFile, proof tlog.TreeProof) PackagedAnchor {
	p := PackagedAnchor{Anchor: a, Consistency: []string{}}
	for _, h := range proof {
		p.Consistency = append(p.Consistency, h.String())
	}
	return p
}

// Marshal writes the entry's bytes.
func (p PackagedAnchor) Marshal() ([]byte, error) { return marshalPlain(p) }

// InPackage reports whether packages carry anchors of a kind: those that prove something by
// themselves or that anybody can ask about. A file elsewhere and a locked object do not.
func InPackage(kind string) bool {
	return kind == AnchorWitness || kind == AnchorTimestamp || kind == AnchorChain
}

// AnchorName is the entry of an anchor: one for a destination and a size.
func AnchorName(a AnchorFile) string {
	sum := sha256.Sum256([]byte(a.Destination))
	return "anchors/" + a.Kind + "-" + strconv.FormatInt(a.Size, 10) + "-" + hex.EncodeToString(sum[:8]) + ".json"
}

// parsePackagedAnchor reads the entry of an anchor. Nothing is checked yet but its form.
func parsePackagedAnchor(data []byte, s *shape) (a AnchorFile, hashes []tlog.Hash, err error) {
	var p PackagedAnchor
	if err := decodeStrict("anchor", data, s, &p); err != nil {
		return a, nil, err
	}
	a = p.Anchor
	switch {
	case !InPackage(a.Kind):
		return a, nil, refuse("anchor", "is of the kind %s, which packages do not carry", quote(a.Kind))
	case !printable(a.Destination, 500):
		return a, nil, refuse("anchor", "names no destination")
	case len(p.Consistency) > maxProofHashes:
		return a, nil, refuse("anchor", "has %d hashes, more than any tree needs", len(p.Consistency))
	}
	for i, text := range p.Consistency {
		h, ok := decodeBase64(text)
		if !ok || len(h) != tlog.HashSize {
			return a, nil, refuse("anchor", "hash %d is malformed: %s", i+1, quote(text))
		}
		hashes = append(hashes, tlog.Hash(h))
	}
	return a, hashes, nil
}

// AnchorLine is one anchor of a package, in words.
type AnchorLine struct {
	Entry       string `json:"entry"`
	Kind        string `json:"kind"`
	Destination string `json:"destination"`
	Size        int64  `json:"size"`         // leaves of the tree
	Covers      int    `json:"covers"`       // records of the package that stand in it
	At          string `json:"at,omitempty"` // caos.TimeLayout: the destination's own time, which shows that the records are not younger
	Says        string `json:"says"`         //
	Checked     bool   `json:"checked"`      // whether the destination's word was checked
	OK          bool   `json:"ok"`           // nothing that was checked is wrong
}

// anchors is what is known of the anchors of a package while they are checked.
type anchors struct {
	*pkg
	ctx      context.Context
	indexes  []int64 // of the package's records
	skipped  map[string]int
	cosigned map[string]int64 // largest size that each witness has cosigned

	all, witness, stamp, chain *Check
}

// checkAnchors checks who beside the operator says that the log stood so.
func (p *pkg) checkAnchors() {
	a := &anchors{pkg: p, ctx: p.opt.Context, skipped: map[string]int{}, cosigned: map[string]int64{}}
	if a.ctx == nil {
		a.ctx = context.Background()
	}
	for i := range p.facts {
		if r := p.facts[i].record; r != nil {
			a.indexes = append(a.indexes, r.index)
		}
	}
	slices.Sort(a.indexes)
	p.each(func(i int, f *entryFacts) {
		if a.all == nil {
			a.all = p.report.check("anchors")
		}
		a.check(i, f)
	}, kindAnchor)
	if a.all != nil {
		a.all.Says = "Every anchor is of a checkpoint that this log signed, and of the same log as the package's: " + count(int64(a.all.Count), "anchor", "anchors")
	}
	a.checkQuorum()
	a.askChains()
	a.tell()
}

// of returns the check of a kind, which it opens when something of that kind is looked at.
func (a *anchors) of(c **Check, name string) *Check {
	if *c == nil {
		*c = a.report.check(name)
	}
	return *c
}

func (a *anchors) covers(size int64) int {
	n, _ := slices.BinarySearch(a.indexes, size)
	return n
}

// check checks one entry.
func (a *anchors) check(i int, f *entryFacts) {
	name := a.entries[i].name
	a.all.Count++
	if f.problem != "" {
		a.all.fail(name, "%s", f.problem)
		return
	}
	x := f.anchor.file
	line := AnchorLine{Entry: name, Kind: x.Kind, Destination: x.Destination, Size: x.Size, Covers: a.covers(x.Size)}
	before := a.failed()
	if err := a.checkTree(name, f.anchor); err != nil {
		a.all.fail(name, "%v", caos.AsError(err))
		line.Says = "is not an anchor of this log"
	} else {
		switch x.Kind {
		case AnchorWitness:
			a.checkWitness(&line, x)
		case AnchorTimestamp:
			a.checkStamp(&line, x)
		case AnchorChain:
			a.checkChain(&line, x)
		}
	}
	line.OK = a.failed() == before
	a.checkTime(&line)
	a.report.Anchors = append(a.report.Anchors, line)
}

// maxClock is how far an outsider's clock may be behind the log's before the two contradict
// each other. Anchors are made with no more than that.
const maxClock = 10 * time.Minute

// checkTime compares when somebody saw records with when they were made, by their leaves. Who
// saw them before has a clock, or a word, that nobody should rely on: its time is not used.
func (a *anchors) checkTime(line *AnchorLine) {
	at, err := time.Parse(caos.TimeLayout, line.At)
	if err != nil {
		return
	}
	for i := range a.facts {
		r := a.facts[i].record
		if r == nil || r.index >= line.Size {
			continue
		}
		if made, err := time.Parse(caos.TimeLayout, r.leaf.Time); err == nil && made.Sub(at) > maxClock {
			a.report.finding("%s: says %s, and has the record %s, which by the log is of %s: one of the two clocks is wrong, and this anchor is not taken for the time of anything", line.Entry, line.At, r.leaf.ID, r.leaf.Time)
			line.At = ""
			return
		}
	}
}

// failed counts what was found wrong so far.
func (a *anchors) failed() (n int) {
	for _, c := range []*Check{a.all, a.witness, a.stamp, a.chain} {
		if c != nil {
			n += c.Failed
		}
	}
	return n
}

// checkTree checks that an anchor is of a checkpoint that the log signed, and that this tree
// and the package's are of one log.
func (a *anchors) checkTree(name string, f *anchorFacts) error {
	x := f.file
	if AnchorName(x) != name {
		return refuse("anchor", "is that of %s at %d leaves", quote(x.Destination), x.Size)
	}
	c, err := OpenCheckpoint(x.Checkpoint, a.trust)
	switch {
	case err != nil:
		return err
	case c.Origin != x.Origin || c.Size != x.Size || c.Root.String() != x.Root:
		return refuse("anchor", "states another tree than its checkpoint, which is of %d leaves with the root %s", c.Size, c.Root)
	case a.note == nil:
		return refuse("anchor", "cannot be compared with the package's checkpoint, which is not valid")
	}
	older, newer := c, a.checkpoint
	if older.Size > newer.Size {
		older, newer = newer, older
	}
	if older.Size == newer.Size {
		if len(f.consistency) > 0 {
			return refuse("anchor", "carries a proof where none is needed: the trees have the same size")
		}
		if older.Root != newer.Root {
			return refuse("anchor", "is of %d leaves with the root %s, the package's checkpoint has %s: the log was shown in two versions", c.Size, c.Root, a.checkpoint.Root)
		}
		return nil
	}
	if CheckConsistency(f.consistency, older, newer) != nil {
		return refuse("anchor", "is of %d leaves with the root %s, which is not proved to be of the same log as the package's %d leaves with the root %s",
			c.Size, c.Root, a.checkpoint.Size, a.checkpoint.Root)
	}
	return nil
}

func (a *anchors) checkWitness(line *AnchorLine, x AnchorFile) {
	if len(a.trust.Witnesses) == 0 {
		line.Says = "not checked: the trust file names no witness"
		a.skipped["cosignatures of witnesses: the trust file names none"]++
		return
	}
	c := a.of(&a.witness, "witnesses")
	c.Count++
	line.Checked = true
	by, err := cosignatures(x.Checkpoint, a.trust)
	if err != nil {
		c.fail(line.Entry, "%v", caos.AsError(err))
		line.Says = "is not cosigned as it claims"
		return
	}
	// A destination is what the installation calls the witness, which may be another name than
	// that of its key. If it is the name of a key, it must be that one.
	meant := slices.ContainsFunc(a.trust.Witnesses, func(key string) bool { return strings.HasPrefix(key, x.Destination+"+") })
	for _, one := range by {
		a.cosigned[one.Witness] = max(a.cosigned[one.Witness], x.Size)
		if line.At == "" && (!meant || one.Witness == x.Destination) {
			line.At = caos.FormatTime(one.At)
			line.Says = "cosigned by " + one.Witness + ", which saw the log grow up to there"
		}
	}
	if line.At == "" {
		c.fail(line.Entry, "has no cosignature by %s that a key of the trust file proves", quote(x.Destination))
		line.Says = "is not cosigned by that witness"
	}
}

// checkQuorum checks that as many witnesses as the trust file asks for have cosigned a tree
// that has all records of the package.
func (a *anchors) checkQuorum() {
	if a.witness != nil {
		a.witness.Says = "Every cosignature is by a witness of the trust file, with its time: " + count(int64(a.witness.Count), "cosignature", "cosignatures")
	}
	want := a.trust.WitnessQuorum
	if want == 0 || len(a.indexes) == 0 {
		return
	}
	c := a.of(&a.witness, "witnesses")
	c.Count++
	if by, err := cosignatures(a.note, a.trust); a.note != nil && err != nil {
		c.fail(LogName, "%v", caos.AsError(err))
	} else if a.note != nil {
		for _, one := range by {
			a.cosigned[one.Witness] = max(a.cosigned[one.Witness], a.checkpoint.Size)
		}
	}
	last := a.indexes[len(a.indexes)-1]
	have := 0
	for _, size := range a.cosigned {
		if size > last {
			have++
		}
	}
	c.Says = "Of the witnesses of the trust file as many as it asks for, " + strconv.Itoa(want) + ", have cosigned a tree that has all records of this package"
	if have < want {
		c.fail(LogName, "%d of the witnesses have cosigned a tree with leaf %d, the last of this package, and the trust file asks for %d: export the package again once the log was anchored", have, last, want)
	}
}

func (a *anchors) checkStamp(line *AnchorLine, x AnchorFile) {
	if len(a.trust.TimestampCertificates) == 0 {
		line.Says = "not checked: the trust file names no certificate of a time-stamp server"
		a.skipped["time stamps: the trust file names no certificate of a time-stamp server"]++
		return
	}
	c := a.of(&a.stamp, "timestamps")
	c.Count++
	line.Checked = true
	c.Says = "Every time stamp is over its checkpoint, by a server whose certificate leads to one of the trust file: " + count(int64(c.Count), "time stamp", "time stamps")
	t, err := a.trust.CheckTimestamp(x.Proof, x.Checkpoint)
	if err != nil {
		c.fail(line.Entry, "%v", caos.AsError(err))
		line.Says = "has no valid time stamp"
		return
	}
	line.At, line.Says = caos.FormatTime(t.At), "time-stamped by "+t.Server
	if t.Accuracy > 0 {
		line.Says += ", accurate to " + t.Accuracy.String()
	}
}

func (a *anchors) checkChain(line *AnchorLine, x AnchorFile) {
	if len(a.trust.Chains) == 0 {
		line.Says = "not checked: the trust file names no chain"
		a.skipped["entries on a chain: the trust file names none"]++
		return
	}
	chain, ok := a.trust.chain(x.ChainID, x.Address)
	if ok && !a.opt.Chains.Reaches(chain) {
		line.Says = "on chain: not checked (give --ethereum URL)"
		a.skipped["on chain: not checked (give --ethereum URL of a node of chain "+strconv.FormatUint(x.ChainID, 10)+")"]++
		return
	}
	c := a.of(&a.chain, "chain")
	c.Count++
	c.Says = "Every entry on a chain is in the registry that the trust file names: " + count(int64(c.Count), "entry", "entries")
	if !ok {
		c.fail(line.Entry, "is on the chain %d at %s, which the trust file does not name", x.ChainID, quote(x.Address))
		line.Says = "is not in a registry of the trust file"
		return
	}
	line.Checked = true
	got, notes, err := a.opt.Chains.CheckAnchor(a.ctx, chain, x)
	if err != nil {
		c.fail(line.Entry, "%v", caos.AsError(err))
		line.Says = "is not on the chain as it claims"
		return
	}
	for _, n := range notes {
		a.report.finding("%s: %s", line.Entry, n)
	}
	line.At = caos.FormatTime(got.Time)
	line.Says = "recorded in block " + strconv.FormatUint(got.Block, 10) + ", " + deep(got.Depth)
}

// deep says how many blocks deep something is on a chain.
func deep(blocks uint64) string {
	return count(int64(min(blocks, 1<<40)), "block", "blocks") + " deep" //nolint:gosec // bounded
}

// askChains asks the registries, where nodes are named, whether they have another tree than
// the package's own, and says what was asked in vain.
func (a *anchors) askChains() {
	if a.opt.Chains == nil {
		return
	}
	c := a.of(&a.chain, "chain")
	if c.Says == "" {
		c.Says = "No registry of the trust file that was asked has another root at the size of the package's checkpoint"
	}
	for _, problem := range a.opt.Chains.unwanted(a.trust) {
		c.fail("--ethereum", "%s", problem)
	}
	for _, chain := range a.trust.Chains {
		if !a.opt.Chains.Reaches(chain) || a.note == nil {
			continue
		}
		c.Count++
		got, err := a.opt.Chains.AnchorOf(a.ctx, chain, a.checkpoint.Origin, a.checkpoint.Size)
		switch {
		case err != nil:
			c.fail("--ethereum", "%v", caos.AsError(err))
		case got.Exists && got.Root != a.checkpoint.Root:
			c.fail(LogName, "has the root %s at %d leaves, on the chain %d it is %s: the log was shown in two versions",
				a.checkpoint.Root, a.checkpoint.Size, chain.ChainID, tlog.Hash(got.Root))
		case !got.Exists:
			a.vouched(chain)
		}
	}
}

// vouched says up to where a registry vouches for the package, whose own size it does not have:
// what it has of other sizes may be of a log that went another way, which one package cannot show.
func (a *anchors) vouched(chain TrustChain) {
	size := int64(0)
	for _, l := range a.report.Anchors {
		x := a.chainOf(l)
		if l.OK && l.Checked && x.ChainID == chain.ChainID && strings.EqualFold(x.Address, chain.Registry) {
			size = max(size, min(l.Size, a.checkpoint.Size))
		}
	}
	if size == a.checkpoint.Size {
		return // a larger tree that has the whole package's
	}
	younger := len(a.indexes) - a.covers(size)
	says := "on the chain " + strconv.FormatUint(chain.ChainID, 10) + ": it vouches for the first " + count(size, "leaf", "leaves") + " of this package's tree of " +
		strconv.FormatInt(a.checkpoint.Size, 10) + ", and not for what is younger, of which this package has " + count(int64(younger), "record", "records")
	if last, err := a.opt.Chains.LastAnchor(a.ctx, chain, a.checkpoint.Origin); err == nil && last.Size > size {
		says += "; the registry stands at " + count(last.Size, "leaf", "leaves") + ", which this package cannot be compared with"
	}
	a.report.NotChecked = append(a.report.NotChecked, says)
}

// chainOf is the anchor of a line, if it is one on a chain.
func (a *anchors) chainOf(l AnchorLine) AnchorFile {
	for i := range a.facts {
		if f := a.facts[i].anchor; f != nil && a.entries[i].name == l.Entry && f.file.Kind == AnchorChain {
			return f.file
		}
	}
	return AnchorFile{}
}

// tell says what the anchors leave open.
func (a *anchors) tell() {
	r := a.report
	for what, n := range a.skipped {
		r.NotChecked = append(r.NotChecked, what+": "+count(int64(n), "anchor", "anchors"))
	}
	slices.Sort(r.NotChecked[len(r.NotChecked)-len(a.skipped):])
	most := 0
	earliest := ""
	for _, l := range r.Anchors {
		if !l.OK || !l.Checked {
			continue
		}
		most = max(most, l.Covers)
		if l.Covers == len(a.indexes) && l.At != "" && (earliest == "" || l.At < earliest) {
			earliest = l.At
		}
	}
	switch {
	case most == 0:
		r.NotChecked = append(r.NotChecked, "whether anybody but the operator saw the log so: the times are the server's own")
	case earliest != "":
		r.NotChecked = append(r.NotChecked, "times before "+earliest+", when the first anchor saw all records of this package: they are the server's own")
	case most == len(a.indexes):
		r.NotChecked = append(r.NotChecked, "the times of all records of this package: they are the server's own, and the anchors that cover them say no time that can be")
	default:
		r.NotChecked = append(r.NotChecked, "whether anybody but the operator saw the last "+count(int64(len(a.indexes)-most), "record", "records")+" of this package: no anchor covers them yet")
	}
}

// CheckAnchor checks a transaction that an anchor states: that the registry has the root at
// that size, and that block and transaction are those of the anchor. notes are things worth
// knowing.
func (c *Chains) CheckAnchor(ctx context.Context, chain TrustChain, x AnchorFile) (got ChainAnchor, notes []string, err error) {
	if got, err = c.AnchorOf(ctx, chain, x.Origin, x.Size); err != nil {
		return got, nil, err
	}
	switch root := tlog.Hash(got.Root).String(); {
	case !got.Exists:
		return got, nil, refuse("anchor", "is not recorded: the registry %s on the chain %d has no checkpoint of %d leaves of this log", chain.Registry, chain.ChainID, x.Size)
	case root != x.Root:
		return got, nil, refuse("anchor", "is of another tree: at %d leaves the chain has the root %s, the checkpoint %s", x.Size, root, x.Root)
	case x.Block != 0 && x.Block < got.Block:
		return got, nil, refuse("anchor", "states block %d, the registry has it since block %d", x.Block, got.Block)
	}
	if x.TxHash == "" {
		return got, nil, nil
	}
	if !isHash(x.TxHash) {
		return got, nil, refuse("anchor", "states the transaction %s, which is no hash", quote(x.TxHash))
	}
	for _, n := range c.of(chain) {
		note, err := n.checkTransaction(ctx, chain, x)
		if err != nil {
			return got, nil, err
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	return got, notes, nil
}

func (n *chainNode) checkTransaction(ctx context.Context, chain TrustChain, x AnchorFile) (note string, err error) {
	r, err := n.receipt(ctx, x.TxHash)
	switch {
	case err != nil:
		return "", err
	case r == nil:
		return n.name + " does not know the transaction " + x.TxHash + ", which may be too old for it; the registry has what it did", nil
	case r.Status != "0x1":
		return "", refuse("anchor", "states a transaction that failed")
	case !sameRegistry(chain, chain.ChainID, r.To):
		return "", refuse("anchor", "states a transaction to %s, not to the registry", quote(r.To))
	}
	number, err := quantity(r.BlockNumber)
	if err != nil || !isHash(r.BlockHash) {
		return "", n.lie("a receipt without a block")
	}
	b, err := n.block(ctx, number)
	switch {
	case err != nil:
		return "", err
	case !strings.EqualFold(b.Hash, r.BlockHash):
		return "", n.lie("the block of the transaction is not on its chain")
	case x.Block != 0 && x.Block != number, x.BlockHash != "" && !strings.EqualFold(x.BlockHash, r.BlockHash):
		return "", refuse("anchor", "states another block than its transaction's, which is block %d with the hash %s", number, r.BlockHash)
	}
	return "", nil
}

// OnChain is what a registry says of a passport.
type OnChain struct {
	ChainID  uint64 `json:"chain_id"`
	Registry string `json:"registry"`
	Recorded bool   `json:"recorded"`
	Block    uint64 `json:"block,omitempty"`
	At       string `json:"at,omitempty"` // caos.TimeLayout, of the block
	Stated   string `json:"stated,omitempty"`
	Recorder string `json:"recorder,omitempty"`
	Depth    uint64 `json:"depth,omitempty"` // blocks from that one to the newest, itself counted: the fewer, the easier it vanishes
}

// onChain asks the registries of the trust file for a passport.
func (r *PassportReport) onChain(ctx context.Context, chains *Chains, trust Trust) {
	if chains == nil {
		r.NotChecked = append(r.NotChecked, "on chain: not checked (give --ethereum URL)")
		return
	}
	c := r.check("chain", "Every registry of the trust file that a node was named for has the passport")
	defer func() { r.OK = r.OK && c.OK }()
	for _, problem := range chains.unwanted(trust) {
		c.fail("--ethereum", "%s", problem)
	}
	if r.Passport == nil {
		c.fail("file", "is no valid passport, so the chain was not asked")
		return
	}
	content, err := ParseHash(r.Digest)
	if err != nil {
		c.fail("file", "%v", err)
		return
	}
	c.Count = 0
	for _, chain := range trust.Chains {
		if !chains.Reaches(chain) {
			continue
		}
		c.Count++
		got, err := chains.RecordOf(ctx, chain, r.Passport.ModelID, r.Passport.ModelVersion, content)
		switch {
		case err != nil:
			c.fail("--ethereum", "%v", caos.AsError(err))
			continue
		case !got.Exists:
			c.fail("file", "is not recorded: the registry %s on the chain %d has no passport of this version with this digest", chain.Registry, chain.ChainID)
		}
		o := OnChain{ChainID: chain.ChainID, Registry: chain.Registry, Recorded: got.Exists}
		if got.Exists {
			o.Block, o.At, o.Stated, o.Recorder = got.Block, caos.FormatTime(got.Time), got.Stated.Format(time.RFC3339), got.Recorder
			o.Depth = got.Depth
		}
		r.Chain = append(r.Chain, o)
	}
	if c.Count == 0 && c.OK {
		c.fail("--ethereum", "no chain of the trust file can be asked: it names %s", count(int64(len(trust.Chains)), "chain", "chains"))
	}
}
