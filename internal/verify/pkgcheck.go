package verify

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// count writes a number with its noun.
func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatInt(n, 10) + " " + many
}

// each calls f for every entry of one of the kinds, in file order.
func (p *pkg) each(f func(i int, e *entryFacts), kinds ...string) {
	for i := range p.entries {
		if slices.Contains(kinds, p.manifest.Entries[i].Kind) {
			f(i, &p.facts[i])
		}
	}
}

// fact returns what is known of an entry by name, nil if the package has none.
func (p *pkg) fact(name string) *entryFacts {
	i, ok := p.index[name]
	if !ok {
		return nil
	}
	return &p.facts[i]
}

// checkRecords checks that each record is its leaf's and that each leaf is in the log.
func (p *pkg) checkRecords() {
	own, in := p.report.check("records"), p.report.check("inclusion")
	var at []int
	p.each(func(i int, f *entryFacts) {
		at = append(at, i)
		if f.problem != "" {
			own.fail(p.entries[i].name, "%s", f.problem)
			return
		}
		id := entryID(p.entries[i].name, ".record.json")
		if f.record.leaf.ID != id {
			own.fail(p.entries[i].name, "holds the record %s", f.record.leaf.ID)
		}
		if key := p.manifest.Entries[i].Kind == kindKey; key && f.record.leaf.Type != "KEY" {
			own.fail(p.entries[i].name, "is a record of type %s, not KEY", f.record.leaf.Type)
		}
	}, kindRecord, kindKey)
	own.Count, in.Count, p.report.Records = len(at), len(at), len(at)
	own.Says = "Every audit record is the one that its leaf commits to: " + count(int64(len(at)), "record", "records")
	in.Says = "Every leaf is in the log under that checkpoint, at its index: " + count(int64(len(at)), "leaf", "leaves")
	problems := make([]string, len(at))
	p.parallel(len(at), func(k int) { problems[k] = p.inclusion(at[k]) })
	for k, problem := range problems {
		if problem != "" {
			in.fail(proofOf(p.entries[at[k]].name), "%s", problem)
		}
	}
	p.each(func(i int, f *entryFacts) {
		name := p.entries[i].name
		if p.fact(strings.TrimSuffix(name, ".proof")+".record.json") == nil {
			in.fail(name, "proves a record that is not in the package")
		}
	}, kindProof)
	// Two records at one index would both be proven if they were the same leaf.
	seen := map[int64]string{}
	for _, i := range at {
		r := p.facts[i].record
		if r == nil {
			continue
		}
		if other, twice := seen[r.index]; twice && entryID(other, ".record.json") != r.leaf.ID {
			in.fail(p.entries[i].name, "has the same index as %s", other)
		}
		seen[r.index] = p.entries[i].name
	}
}

func entryID(name, suffix string) string {
	return strings.TrimSuffix(name[strings.IndexByte(name, '/')+1:], suffix)
}

func proofOf(record string) string { return strings.TrimSuffix(record, ".record.json") + ".proof" }

// inclusion says what is wrong with the proof of a record, "" if nothing is.
func (p *pkg) inclusion(i int) string {
	f := p.fact(proofOf(p.entries[i].name))
	r := p.facts[i].record
	switch {
	case f == nil:
		return "is not in the package, so the record is not proven"
	case f.problem != "":
		return f.problem
	case r == nil:
		return "" // the record itself has failed
	case p.note == nil:
		return "leads to a checkpoint that is not valid"
	case f.proof.Index != r.index:
		return fmt.Sprintf("is for index %d, the record says %d", f.proof.Index, r.index)
	}
	if err := CheckInclusion(f.proof.Hashes, p.checkpoint, r.index, r.hash); err != nil {
		return err.Error()
	}
	return ""
}

// checkEvidence checks each item's envelope, artifact and audit record against each other.
func (p *pkg) checkEvidence() {
	signed, logged := p.report.check("envelopes"), p.report.check("evidence-records")
	records := p.evidenceRecords()
	p.each(func(i int, f *entryFacts) {
		signed.Count++
		id := evidenceID(p.entries[i].name)
		p.checkItem(id, f, records[id], signed, logged)
	}, kindEnvelope)
	p.each(func(i int, f *entryFacts) {
		if name := p.entries[i].name; p.fact(EnvelopeName(evidenceID(name))) == nil {
			signed.fail(name, "has no envelope: nobody signed what it is")
		}
	}, kindEvidence)
	for _, id := range slices.Sorted(maps.Keys(records)) {
		if p.fact(EnvelopeName(id)) == nil {
			logged.fail(records[id][0].name, "records evidence %s, which is not in the package", id)
		}
	}
	p.report.Evidence, logged.Count = signed.Count, signed.Count
	if signed.Count == 0 {
		signed.fail(ManifestName, "the package holds no evidence: there is nothing to rely on")
	}
	items := count(int64(signed.Count), "item", "items")
	signed.Says = "Every evidence envelope is signed by a key that counted when it was recorded, and names its artifact's digest: " + items
	logged.Says = "Every evidence item has the audit record that says it was collected: " + items
}

func evidenceID(name string) string {
	parts := strings.SplitN(name, "/", 3)
	return parts[1]
}

// evidenceRecord is an EVIDENCE record that carries a digest.
type evidenceRecord struct {
	name  string
	facts *recordFacts
}

// evidenceRecords finds the EVIDENCE records, by evidence id.
func (p *pkg) evidenceRecords() map[string][]evidenceRecord {
	found := map[string][]evidenceRecord{}
	p.each(func(i int, f *entryFacts) {
		if f.record == nil || f.record.details.EvidenceHash == nil {
			return
		}
		for _, id := range f.record.resources {
			if strings.HasPrefix(id, "EVID-") || p.fact(EnvelopeName(id)) != nil {
				found[id] = append(found[id], evidenceRecord{p.entries[i].name, f.record})
			}
		}
	}, kindRecord)
	return found
}

func (p *pkg) checkItem(id string, f *entryFacts, records []evidenceRecord, signed, logged *Check) {
	name := EnvelopeName(id)
	if f.problem != "" {
		signed.fail(name, "%s", f.problem)
		return
	}
	env := f.envelope
	if env.subject != id || env.claim.EvidenceID != id {
		signed.fail(name, "is about %s", quote(env.subject))
	}
	i, ok := p.index[ArtifactName(id)]
	if !ok {
		signed.fail(ArtifactName(id), "is not in the package")
		return
	}
	digest := p.manifest.Entries[i].SHA256
	if env.sha256 != digest || p.facts[i].digest != "" {
		signed.fail(name, "its signature is over another artifact than the one in the package")
	}
	if len(records) == 0 {
		logged.fail(name, "no record of type EVIDENCE with its evidence_hash is in the package")
		return
	}
	// The record that counts is the one that agrees; an item may have been recorded again.
	n := slices.IndexFunc(records, func(r evidenceRecord) bool {
		d := r.facts.details
		return *d.EvidenceHash == hashPrefix+digest && (d.EnvelopeHash == nil || *d.EnvelopeHash == env.digest)
	})
	if n < 0 {
		logged.fail(records[0].name, "records another digest for %s", id)
		return
	}
	for _, k := range env.keys {
		// Without the envelope's own digest in the record, the log does not show when it was
		// signed, and a stolen key could have signed it later.
		key := p.trust.UnloggedKey
		if records[n].facts.details.EnvelopeHash != nil {
			key = p.trust.Key
		}
		if _, err := key(k, PurposeEvidence, records[n].facts.index); err != nil {
			signed.fail(name, "%v", err)
		}
	}
}

// checkCoverage computes the coverage again from plan and envelopes.
func (p *pkg) checkCoverage() {
	c := p.report.check("coverage")
	c.Count = 1
	c.Says = "The manifest's coverage is what plan and evidence give"
	i, ok := p.index[PlanName]
	if !ok {
		c.fail(PlanName, "is not in the package")
		return
	}
	if p.facts[i].digest != "" {
		c.fail(PlanName, "%s", p.facts[i].digest)
		return
	}
	data, ok := p.small(p.entries[i].offset+block, p.entries[i].size)
	if !ok {
		c.fail(PlanName, "cannot be read")
		return
	}
	plan, err := ParsePlan(data)
	if err != nil {
		c.fail(PlanName, "%v", err)
		return
	}
	if plan.PackageID != p.manifest.PackageID {
		c.fail(PlanName, "is the plan of %s", quote(plan.PackageID))
	}
	var claims []EvidenceClaim
	p.each(func(_ int, f *entryFacts) {
		if f.envelope != nil {
			claims = append(claims, f.envelope.claim)
		}
	}, kindEnvelope)
	got := Cover(plan, claims)
	p.report.Coverage = &got
	if !got.Equal(p.manifest.Coverage) {
		c.fail(ManifestName, "states another coverage than its plan and evidence give: %s", got.words())
	}
	c.Says += ": " + got.words()
	switch {
	case got.Objectives.Planned+got.Requirements.Planned == 0:
		p.report.finding("the plan names no requirement and no objective, so the package covers nothing")
	case !got.Complete():
		p.report.finding("the package is not complete: %s", missingWords(got))
	}
}

func (c Coverage) words() string {
	return fmt.Sprintf("%d of %d requirements and %d of %d objectives have evidence",
		c.Requirements.Covered, c.Requirements.Planned, c.Objectives.Covered, c.Objectives.Planned)
}

func missingWords(c Coverage) string {
	missing := append(slices.Clone(c.Requirements.Missing), c.Objectives.Missing...)
	n := len(missing)
	if n > 10 {
		missing = append(missing[:10], fmt.Sprintf("and %d more", n-10))
	}
	return "no evidence for " + strings.Join(missing, ", ")
}
