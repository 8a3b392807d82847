package evidence

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/object"
	"caos/internal/sign"
	"caos/internal/verify"
)

// Audience is whom an export is made for.
type Audience string

// The audiences. What an item or a record is classified as decides who gets it.
const (
	Authority Audience = "authority" // everything
	Supplier  Audience = "supplier"  // Public, Internal and Restricted
	Public    Audience = "public"    // Public alone
)

// sees reports whether the audience gets what is classified so.
func (a Audience) sees(classification string) bool {
	switch a {
	case Authority:
		return true
	case Supplier:
		return caos.Sensitivity(classification) <= caos.Sensitivity("Restricted")
	case Public:
		return caos.Sensitivity(classification) == caos.Sensitivity("Public")
	}
	return false
}

// Export writes a package as one file that caos-verify checks offline: plan, evidence with
// its signed envelopes, the audit records about the package, the proofs that they are in
// the log, the log's checkpoint and the records of its keys. An audience gets whole items
// or nothing of them, and the coverage in the manifest is that of the items in the file.
//
// may is asked whether the caller may know of each classification of what goes into the
// file, whatever the package's own is; nil asks nobody. Its error is Export's, and nothing is
// written.
//
// The same state of package and log always makes the same bytes. Memory grows with the
// number of items, not with their size. An error may leave a partial file in w, which no
// verifier accepts.
func (r *Repository) Export(ctx context.Context, id string, audience Audience, may func(classification string) error, w io.Writer) error {
	if audience != Authority && audience != Supplier && audience != Public {
		return caos.Errorf(caos.Invalid, "%.40q is not an audience", string(audience)).WithField("for").WithHint("one of authority, supplier, public")
	}
	x := &export{r: r, ctx: ctx, audience: audience, may: may, items: map[string]bool{}, records: map[string]bool{}, names: map[string]bool{}}
	defer x.close()
	if err := x.gather(id); err != nil {
		return err
	}
	signer, err := r.keys.Signer(sign.Evidence)
	if err != nil {
		return err
	}
	return verify.WritePackage(w, x.info, x.contents, sign.PackageSigner(ctx, signer))
}

// export is one export while it is put together.
type export struct {
	r        *Repository
	ctx      context.Context
	audience Audience
	may      func(classification string) error
	asked    map[string]bool // classifications that may allowed
	pkg      *Package
	info     verify.PackageInfo
	contents []verify.Content

	items   map[string]bool // evidence ids in the file
	records map[string]bool // audit record ids in the file
	// whether the log of a generation is that of the checkpoint
	generations map[int64]bool
	names       map[string]bool // entries that were made here
	claims      []verify.EvidenceClaim
	note        []byte
	reader      tlog.HashReader

	spool    *os.File // bytes that are made here, until their turn comes
	spoolEnd int64
}

func (x *export) close() {
	if x.spool != nil {
		x.spool.Close()
	}
}

// mayGet asks, once, whether the caller may know of what is classified so.
func (x *export) mayGet(classification string) error {
	if x.may == nil || x.asked[classification] {
		return nil
	}
	if x.asked == nil {
		x.asked = map[string]bool{}
	}
	x.asked[classification] = true
	return x.may(classification)
}

// add spools the bytes of an entry.
func (x *export) add(name string, data []byte) error {
	if x.spool == nil {
		f, err := os.CreateTemp(x.r.scratch, "caos-export-*")
		if err != nil {
			return scratchError(err)
		}
		x.spool = f
		if err := os.Remove(f.Name()); err != nil {
			return scratchError(err)
		}
	}
	if _, err := x.spool.WriteAt(data, x.spoolEnd); err != nil {
		return scratchError(err)
	}
	c := verify.BytesContent(name, data)
	at, n := x.spoolEnd, int64(len(data))
	c.Open = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(x.spool, at, n)), nil }
	x.spoolEnd += n
	x.contents = append(x.contents, c)
	x.names[name] = true
	return nil
}

func (x *export) gather(id string) (err error) {
	if x.pkg, err = x.r.Package(x.ctx, id); err != nil {
		return err
	}
	if err := x.addItems(); err != nil {
		return err
	}
	if len(x.items) == 0 {
		return caos.Errorf(caos.Conflict, "the package %s holds no evidence for the audience %s", id, x.audience).
			WithHint("collect evidence first; what an audience gets depends on the classification of the items")
	}
	// Everything above was recorded before this checkpoint.
	cp, err := x.checkpoint()
	if err != nil {
		return err
	}
	if err := x.addRecords(); err != nil {
		return err
	}
	if err := x.addCompanions(); err != nil {
		return err
	}
	if err := x.addKeys(); err != nil {
		return err
	}
	if err := x.addAnchors(cp); err != nil {
		return err
	}
	plan := &Plan{PackageID: id, Requirements: []string{}, Objectives: []string{}, CreatedAt: x.pkg.CreatedAt, CreatedBy: x.pkg.CreatedBy}
	if x.pkg.PlanVersion > 0 {
		if plan, err = planOf(x.r.pool(x.ctx), id, x.pkg.PlanVersion); err != nil {
			return err
		}
	}
	// What stood when the package was closed. It may name items that others do not get.
	stated, why := []caos.Finding{}, ""
	if x.pkg.Status == Closed && x.audience == Authority {
		stated, why = x.pkg.Findings, x.pkg.Statement
	}
	text, err := plan.file(x.pkg.Status, stated, why)
	if err != nil {
		return err
	}
	if err := x.add(verify.PlanName, text); err != nil {
		return err
	}
	x.info = verify.PackageInfo{
		PackageID: id, ModelID: x.pkg.ModelID, Created: caos.FormatTime(x.pkg.UpdatedAt), Origin: cp.Origin, Audience: string(x.audience),
		Coverage: verify.Cover(verify.Plan{Objectives: plan.Objectives, PackageID: id, Requirements: plan.Requirements, Version: 1}, x.claims), Log: cp,
	}
	return nil
}

// addItems adds artifact and envelope of every item that the audience gets.
func (x *export) addItems() error {
	return x.r.pool(x.ctx)(`SELECT evidence_id, digest, size, envelope, classification, record_id FROM evidence WHERE package_id = $1 ORDER BY evidence_id`,
		[]any{x.pkg.PackageID}, func(scan func(...any) error) error {
			var id, digest, envelope, classification, record string
			var size int64
			if err := scan(&id, &digest, &size, &envelope, &classification, &record); err != nil {
				return err
			}
			if !x.audience.sees(classification) {
				return nil
			}
			if err := x.mayGet(classification); err != nil {
				return err
			}
			x.items[id], x.records[record] = true, false
			h, err := object.ParseDigest(digest)
			if err != nil {
				return err
			}
			sum, err := hex.DecodeString(h)
			if err != nil {
				return fmt.Errorf("evidence: digest of %s: %w", id, err)
			}
			x.contents = append(x.contents, verify.Content{Name: verify.ArtifactName(id), SHA256: [32]byte(sum), Size: size, Open: func() (io.ReadCloser, error) {
				f, _, err := x.r.objects.Open(digest) // the writer checks size and digest
				return f, err
			}})
			claim, err := claimOf([]byte(envelope))
			if err != nil {
				return fmt.Errorf("evidence: envelope of %s: %w", id, err)
			}
			x.claims = append(x.claims, claim)
			return x.add(verify.EnvelopeName(id), []byte(envelope))
		})
}

func claimOf(envelope []byte) (verify.EvidenceClaim, error) {
	var claim verify.EvidenceClaim
	e, err := verify.ParseEnvelope(envelope)
	if err != nil {
		return claim, err
	}
	st, err := verify.ParseStatement(e.Bytes())
	if err != nil {
		return claim, err
	}
	return claim, json.Unmarshal(st.Predicate, &claim)
}

// checkpoint fixes the state of the log that every proof of the file leads to.
func (x *export) checkpoint() (verify.Checkpoint, error) {
	note, err := x.r.log.Checkpoint(x.ctx)
	if err != nil {
		return verify.Checkpoint{}, err
	}
	text, _, ok := bytes.Cut(note, []byte("\n\n"))
	if !ok {
		return verify.Checkpoint{}, caos.Errorf(caos.Internal, "the log's checkpoint has no signature")
	}
	cp, err := verify.ParseCheckpoint(append(bytes.Clone(text), '\n'))
	if err != nil {
		return cp, err
	}
	x.note = note
	x.reader = newTileReader(x.ctx, x.r.log, cp.Size)
	x.info.Log = cp
	return cp, x.add(verify.LogName, note)
}

// covers reports whether the checkpoint has a record: one of a log that a recovery closed stands
// at an index of another tree. That it is not known is an error: a record must not be left out
// because the database did not answer.
func (x *export) covers(s *auditlog.Stored) (bool, error) {
	ours, known := x.generations[s.Generation]
	if !known {
		trust, err := x.r.log.TrustOf(x.ctx, s.Generation)
		if err != nil {
			return false, fmt.Errorf("evidence: read which log record %s is of: %w", s.ID, err)
		}
		if x.generations == nil {
			x.generations = map[int64]bool{}
		}
		ours = trust.Origin == x.info.Log.Origin
		x.generations[s.Generation] = ours
	}
	return ours && s.Index < x.info.Log.Size, nil
}

// coversID is covers for a record that may be missing: then recovery is not why.
func (x *export) coversID(id string) (bool, error) {
	s, err := x.r.log.Get(x.ctx, id)
	if caos.KindOf(err) == caos.NotFound {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return x.covers(s)
}

// addRecords adds the records that name the package and those attached to it.
func (x *export) addRecords() error {
	for cursor := ""; ; {
		page, err := x.r.log.List(x.ctx, auditlog.Filter{Resource: x.pkg.PackageID, Limit: 1000}, cursor)
		if err != nil {
			return err
		}
		for _, s := range page.Records {
			if err := x.addRecord(s, byRules); err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for id, there := range x.records {
		if !there {
			covered, err := x.coversID(id)
			if err != nil {
				return err
			}
			if !covered {
				return caos.Errorf(caos.Conflict, "the package has evidence of before the audit log was recovered (record %s): one file cannot prove records of two logs", id).
					WithRule("package-before-recovery").WithHint("what was exported before is checked with the trust file of the old log; open another package and add to it what is to be proven from now on")
			}
			return caos.Errorf(caos.Internal, "the audit record %s of an evidence item is not in the log", id).WithHint("run: caos audit verify")
		}
	}
	return x.addAttached()
}

func (x *export) addAttached() error {
	type attached struct{ id, decision string }
	var all []attached
	err := x.r.pool(x.ctx)(`SELECT record_id, decision FROM package_records WHERE package_id = $1 ORDER BY record_id`, []any{x.pkg.PackageID}, func(scan func(...any) error) error {
		var a attached
		err := scan(&a.id, &a.decision)
		all = append(all, a)
		return err
	})
	if err != nil {
		return err
	}
	for _, a := range all {
		s, err := x.r.log.Get(x.ctx, a.id)
		if err != nil {
			return err
		}
		if err := x.addRecord(s, byRules); err != nil {
			return err
		}
		if a.decision != "" && x.records[a.id] && x.audience == Authority {
			if err := x.add(verify.DecisionName(a.id), []byte(a.decision)); err != nil {
				return err
			}
		}
	}
	return nil
}

// inclusion is by which rules a record goes into a file.
type inclusion int

const (
	byRules   inclusion = iota // as far as the audience gets it
	whole                      // whoever asks has decided that
	keyRecord                  // likewise; it is of a key
)

// addRecord adds a record with its proof, if the audience gets it. Who merely looked at
// the package is left out, and so are the records of items that are not in the file.
func (x *export) addRecord(s *auditlog.Stored, how inclusion) error {
	if x.records[s.ID] {
		return nil
	}
	if covered, err := x.covers(s); err != nil || !covered {
		return err
	}
	of := x.records
	_, ofItem := of[s.ID]
	if !ofItem && how == byRules {
		rec, err := auditlog.ParseRecord(s.Record)
		if err != nil {
			return err
		}
		if rec.Type == auditlog.Access || rec.Type == auditlog.Key || !x.audience.sees(rec.Classification) {
			return nil
		}
		if rec.Type == auditlog.Execution && x.audience != Authority {
			return nil // it may tell of an item that this audience does not get
		}
		for _, res := range rec.Resources {
			if strings.HasPrefix(res, "EVID-") && !x.items[res] {
				return nil
			}
		}
	}
	hashes, err := tlog.ProveRecord(x.info.Log.Size, s.Index, x.reader)
	if err != nil {
		return caos.Wrap(caos.Internal, err, "the record %s cannot be proved", s.ID).WithHint("run: caos audit verify")
	}
	if err := verify.CheckInclusion(hashes, x.info.Log, s.Index, verify.RecordHash(s.Leaf)); err != nil {
		return caos.Wrap(caos.Conflict, err, "the record %s is not in the present log", s.ID).
			WithHint("it is from before a recovery of the log, or the log is damaged: run caos audit verify")
	}
	record, proof := verify.RecordName(s.ID), verify.ProofName(s.ID)
	if how == keyRecord {
		record, proof = verify.KeyRecordName(s.ID), verify.KeyProofName(s.ID)
	}
	x.records[s.ID] = true
	if err := x.add(record, verify.NewRecordFile(s.Index, s.Leaf, s.Record, s.Salt).Marshal()); err != nil {
		return err
	}
	return x.add(proof, verify.FormatProof(verify.Proof{Index: s.Index, Hashes: hashes, Checkpoint: x.note}))
}

// addKeys adds what happened to the keys. The enrolment of people's keys goes to the
// authority alone, because it names people.
func (x *export) addKeys() error {
	for cursor := ""; ; {
		page, err := x.r.log.List(x.ctx, auditlog.Filter{Type: auditlog.Key, Limit: 1000}, cursor)
		if err != nil {
			return err
		}
		for _, s := range page.Records {
			var rec struct {
				Details struct {
					Statement string `json:"statement"`
				} `json:"details"`
			}
			if err := json.Unmarshal(s.Record, &rec); err != nil {
				return fmt.Errorf("evidence: read key record %s: %w", s.ID, err)
			}
			if rec.Details.Statement == "" && x.audience != Authority {
				continue
			}
			if err := x.addRecord(s, keyRecord); err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}

// tileReader reads the log's hashes by tiles, each once.
type tileReader struct {
	ctx   context.Context
	log   *auditlog.Log
	size  int64
	tiles map[tlog.Tile][]byte
}

const tileHeight = 8

func newTileReader(ctx context.Context, log *auditlog.Log, size int64) tlog.HashReader {
	t := &tileReader{ctx: ctx, log: log, size: size, tiles: map[tlog.Tile][]byte{}}
	return tlog.HashReaderFunc(t.read)
}

func (t *tileReader) read(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		tile := tlog.TileForIndex(tileHeight, index)
		// The widest form that the tree of this size has, so that each tile is read once.
		tile.W = int(min(1<<tileHeight, t.size>>(tileHeight*tile.L)-tile.N<<tileHeight))
		data, ok := t.tiles[tile]
		if !ok {
			var err error
			if data, err = t.log.Tile(t.ctx, tile.L, tile.N, tile.W); err != nil {
				return nil, err
			}
			t.tiles[tile] = data
		}
		h, err := tlog.HashFromTile(tile, data, index)
		if err != nil {
			return nil, err
		}
		out[i] = h
	}
	return out, nil
}

// Download is an artifact on its way out. Close the body.
type Download struct {
	Body      io.ReadCloser
	Size      int64
	MediaType string
	Name      string // of the file that a browser saves
}
