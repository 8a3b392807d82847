package hook

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"caos"
	"caos/internal/engine"
	"caos/internal/registry"
)

// freezeQuery is what freezeVerdicts is asked, besides the facts.
type freezeQuery struct {
	in FreezeInput

	// What step 1 found, nil before: what was judged then must be what there is now.
	documents []gateDocument
	files     []frozenFile
	hashed    map[string]string // digests of the documents' bytes; nil if nobody has read them
}

// freezeVerdicts says what every gate of a freeze says to the facts. It is the one place
// where that is decided: for the steps, for a dry run and for "caos why". It looks at nothing
// but its arguments, and answers all gates, so that whoever asks learns everything at once.
func freezeVerdicts(f *registry.FreezeFacts, q freezeQuery) []Verdict {
	out := []Verdict{reportRegistered(f), reportByOther(f), reportOfVersion(f), reportPassed(f, q), reportsAgree(f), testsPassed(f), requirementsVerified(f),
		safetyApproved(f), defectsClosed(f), documentationReviewed(f), artifactsThere(f, q), artifactsSafe(f), conversionsRecorded(f)}
	if q.documents != nil {
		out = append(out, documentsSame(gateDocuments(f), q.documents))
	}
	if q.hashed != nil {
		out = append(out, documentsUnchanged(gateDocuments(f), q.hashed))
	}
	return out
}

// rejected is the rejection of a step whose gates do not all hold, nil if they do.
func rejected(list []Verdict) error {
	var findings []caos.Finding
	for _, v := range list {
		if !v.Pass {
			findings = append(findings, *v.Finding)
		}
	}
	return engine.Reject(findings...)
}

// clearing is what somebody does to make a gate hold, in the words of the policies: who may
// do it is theirs to say.
type clearing struct {
	action  string         // "document:register"
	context map[string]any // facts that the policies decide on besides
	not     []string       // people who may not, although their role may
	only    []string       // roles of which it has to be one, empty for any that the policies allow

	resource string // id of what it is done to, where the policies tell one from another
}

// passes and stops make verdicts.
func passes(gate, action string, facts map[string]any) Verdict {
	return Verdict{Gate: gate, Action: action, Pass: true, Facts: facts}
}

func (v Verdict) stops(by clearing, subject, remedy, format string, args ...any) Verdict {
	v.Pass, v.clearing = false, by
	v.Finding = &caos.Finding{Rule: v.Gate, Subject: subject, Message: fmt.Sprintf(format, args...), Remedy: remedy}
	return v
}

// register is the clearing of a gate that wants a document registered.
func register(f *registry.FreezeFacts, kind string) clearing {
	c := clearing{action: "document:register", context: map[string]any{"kind": kind, "model_owner": f.Model.Owner}}
	if kind == registry.KindVVReport {
		c.not = owners(f)
	}
	return c
}

// command is how a document of the version is registered.
func command(f *registry.FreezeFacts, kind string) string {
	return "caos document register FILE --id DOCUMENT --kind " + kind + " --model " + f.Model.ModelID + " --model-version " + f.Version.Version
}

// owners are those who answer, or ever answered, for the model: they take nothing off that
// stands against its freeze.
func owners(f *registry.FreezeFacts) []string {
	return append([]string{f.Model.Owner}, f.Model.FormerOwners...)
}

func decide(f *registry.FreezeFacts, d *registry.Document) clearing {
	return clearing{action: "document:decide", context: map[string]any{"kind": d.Kind}, not: append(owners(f), d.RegisteredBy, d.RecordedBy)}
}

func versionName(f *registry.FreezeFacts) string {
	return registry.VersionKey(f.Version.ModelID, f.Version.Version)
}

// most is how many ids a finding names; the others it counts.
const most = 8

// some lists the first ids and counts the rest.
func some(ids []string) string {
	if len(ids) <= most {
		return strings.Join(ids, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
}

// count writes "1 test" or "3 tests".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

func documentFacts(d *registry.Document) map[string]any {
	if d == nil {
		return map[string]any{"document": "none"}
	}
	return map[string]any{"document": d.DocumentID + "@" + d.Version, "status": d.Status, "registered_by": d.RegisteredBy}
}

// noReport is what the gates about the V&V report say when there is none.
func noReport(f *registry.FreezeFacts, v Verdict) Verdict {
	return v.stops(clearing{}, versionName(f), "register the V&V report first", "there is no V&V report to look at")
}

func reportRegistered(f *registry.FreezeFacts) Verdict {
	v := passes("vv-registered", "A V&V report is registered, and nothing has superseded or rejected it", documentFacts(f.VVReport))
	again := "a vv-lead who does not own the model registers it: " + command(f, registry.KindVVReport)
	switch d := f.VVReport; {
	case d == nil:
		return v.stops(register(f, registry.KindVVReport), versionName(f), again, "no V&V report of %s is registered", versionName(f))
	case d.Kind != registry.KindVVReport || f.VV == nil:
		return v.stops(register(f, registry.KindVVReport), d.DocumentID, again, "%s is a %s, not a V&V report", d.DocumentID, d.Kind)
	case d.Status == registry.DocumentRejected || d.Status == registry.DocumentSuperseded:
		return v.stops(register(f, registry.KindVVReport), d.DocumentID, again, "the V&V report %s@%s is %s", d.DocumentID, d.Version, d.Status)
	}
	return v
}

// reportByOther holds the two apart who must be two: whoever answers for the model and
// whoever says that it was verified. Both the person named and the one who authenticated
// count.
func reportByOther(f *registry.FreezeFacts) Verdict {
	v := passes("vv-registered-by-other", "The V&V report was registered by someone other than the model's owner", map[string]any{"owner": f.Model.Owner})
	d := f.VVReport
	if d == nil || f.VV == nil {
		return noReport(f, v)
	}
	v.Facts["registered_by"], v.Facts["recorded_by"] = d.RegisteredBy, d.RecordedBy
	for _, owner := range owners(f) {
		if owner == d.RegisteredBy || owner == d.RecordedBy {
			return v.stops(register(f, registry.KindVVReport), d.DocumentID, "another vv-lead registers the report under its next version",
				"%s owns or owned %s and registered its V&V report %s", owner, f.Model.ModelID, d.DocumentID)
		}
	}
	return v
}

func reportOfVersion(f *registry.FreezeFacts) Verdict {
	v := passes("vv-of-this-version", "The V&V report is about this version, and about the files that it has", nil)
	d := f.VVReport
	if d == nil || f.VV == nil {
		return noReport(f, v)
	}
	v.Facts = map[string]any{"model_id": f.VV.ModelID, "model_version": f.VV.ModelVersion, "artifacts": len(f.VV.Artifacts)}
	by := register(f, registry.KindVVReport)
	for _, says := range [][2]string{{d.ModelID, d.ModelVersion}, {f.VV.ModelID, f.VV.ModelVersion}} {
		if says[0] != f.Model.ModelID || says[1] != f.Version.Version {
			return v.stops(by, d.DocumentID, "name the report of this version, or register it", "%s is the V&V report of %s, not of %s",
				d.DocumentID, registry.VersionKey(says[0], says[1]), versionName(f))
		}
	}
	have := map[string]string{}
	for _, a := range f.Artifacts {
		have[a.Name] = a.Digest
	}
	for _, tested := range f.VV.Artifacts {
		digest, ok := have[tested.Name]
		switch {
		case !ok:
			return v.stops(by, tested.Name, "attach the file that was tested, or register a report of those that are attached",
				"the V&V report tested %s, which %s does not have", tested.Name, versionName(f))
		case digest != tested.Digest:
			return v.stops(by, tested.Name, "verify the file that is attached, or attach the one that was verified",
				"the V&V report tested %s with digest %s; the one that is attached has %s", tested.Name, tested.Digest, digest)
		}
		delete(have, tested.Name)
	}
	// Of what a report does not name, it can only have tested what was there before it.
	for _, a := range f.Artifacts {
		if _, unnamed := have[a.Name]; unnamed && slices.Contains(modelRoles(), a.Role) && a.AddedAt.After(d.RegisteredAt) {
			return v.stops(by, a.Name, "verify the file, and register the report, with its digest, under its next version",
				"%s, role %s, was attached after the V&V report %s was registered, which does not name it", a.Name, a.Role, d.DocumentID)
		}
	}
	return v
}

// modelRoles are the roles of what makes a model compute what it does.
func modelRoles() []string {
	return []string{"trained", "converted", "inference", "architecture", "weights", "configuration"}
}

func reportPassed(f *registry.FreezeFacts, q freezeQuery) Verdict {
	v := passes("vv-passed", "The V&V report says PASSED, as recorded when it was registered", nil)
	d := f.VVReport
	if d == nil || f.VV == nil {
		return noReport(f, v)
	}
	v.Facts = map[string]any{"recorded": d.Stated, "report": f.VV.Status, "vv_status": q.in.VVStatus}
	if d.Stated != "PASSED" || f.VV.Status != "PASSED" || q.in.VVStatus != "PASSED" {
		return v.stops(register(f, registry.KindVVReport), d.DocumentID, "mend what failed, verify again and register the report under its next version",
			"the V&V report %s says %s", d.DocumentID, worse(d.Stated, f.VV.Status, q.in.VVStatus))
	}
	return v
}

// reportsAgree keeps a report that passed from being chosen over one that did not.
func reportsAgree(f *registry.FreezeFacts) Verdict {
	v := passes("vv-undisputed", "No other V&V report of this version says anything but PASSED", map[string]any{"reports": len(f.VVReports)})
	for _, d := range f.VVReports {
		if f.VVReport != nil && d.DocumentID == f.VVReport.DocumentID || d.Status == registry.DocumentRejected || d.Stated == "PASSED" {
			continue
		}
		return v.stops(register(f, registry.KindVVReport), d.DocumentID, "verify again and register that report under its next version, or have it rejected",
			"another V&V report of %s, %s@%s, says %s", versionName(f), d.DocumentID, d.Version, d.Stated)
	}
	return v
}

// worse is the first of several statuses that is not PASSED.
func worse(list ...string) string {
	for _, s := range list {
		if s != "PASSED" {
			return s
		}
	}
	return "PASSED"
}

func testsPassed(f *registry.FreezeFacts) Verdict {
	v := passes("vv-tests", "Every test of the V&V report passed, and what it measured agrees", nil)
	if f.VVReport == nil || f.VV == nil {
		return noReport(f, v)
	}
	v.Facts = map[string]any{"tests": f.VV.Tests, "results": f.VV.Results}
	by, id := register(f, registry.KindVVReport), f.VVReport.DocumentID
	remedy := "mend it, verify again and register the report under its next version"
	bad := f.VV.Tests - f.VV.Results["PASSED"]
	switch {
	case f.VV.Tests == 0:
		return v.stops(by, id, "register a report that has tests", "the V&V report %s has no tests", id)
	case bad > 0:
		return v.stops(by, id, remedy, "%s of %d did not pass: %s", count(bad, "test"), f.VV.Tests, someTests(f.VV.NotPassed, bad, func(t registry.VVTest) string { return t.Result }))
	case f.VV.Contradictions > 0:
		return v.stops(by, id, remedy, "%s said to have passed against what was measured: %s", count(f.VV.Contradictions, "test"),
			someTests(f.VV.Contradicted, f.VV.Contradictions, missed))
	}
	return v
}

// someTests names the first of n tests with what is to be said of each.
func someTests(list []registry.VVTest, n int, say func(registry.VVTest) string) string {
	var out []string
	for _, t := range list[:min(len(list), most)] {
		out = append(out, t.TestID+" ("+say(t)+")")
	}
	if n > len(out) {
		out = append(out, fmt.Sprintf("and %d more", n-len(out)))
	}
	return strings.Join(out, ", ")
}

// missed says what a test measured and what it should have.
func missed(t registry.VVTest) string {
	if t.Value == nil || t.Threshold == nil {
		return "no measured value for its threshold"
	}
	return fmt.Sprintf("%s %g, wanted %s %g", strings.TrimSpace(t.Metric), *t.Value, t.Operator, *t.Threshold)
}

// requirementsVerified computes from ids that each requirement linked to the version was
// verified by this report: a percentage that somebody states proves nothing. Requirements
// that the report itself lists count too.
func requirementsVerified(f *registry.FreezeFacts) Verdict {
	v := passes("vv-requirements", "Every requirement linked to the model is verified by passed tests of this report", nil)
	if f.VVReport == nil || f.VV == nil {
		return noReport(f, v)
	}
	wanted := slices.Clone(f.Requirements)
	for id := range f.VV.Requirements {
		wanted = append(wanted, id)
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	var untested, failed []string
	for _, id := range wanted {
		switch said := f.VV.Requirements[id]; {
		case said.Tests == 0:
			untested = append(untested, id)
		case !said.Verified():
			failed = append(failed, id+" ("+said.FirstBad+")")
		}
	}
	v.Facts = map[string]any{"linked": len(f.Requirements), "requirements": len(wanted), "verified": len(wanted) - len(untested) - len(failed)}
	by, id := register(f, registry.KindVVReport), f.VVReport.DocumentID
	switch {
	case len(f.Requirements) == 0:
		by = clearing{action: "link:write"}
		return v.stops(by, versionName(f), "link the requirements to the model: caos link add "+versionName(f)+" IMPL REQUIREMENT, or register a V&V plan that lists them: "+command(f, registry.KindVVPlan),
			"no requirement is linked to %s, so nothing says what had to be verified", versionName(f))
	case len(untested) > 0:
		return v.stops(by, untested[0], "test them and register the report under its next version",
			"%s of %d without a test in %s: %s", count(len(untested), "requirement"), len(wanted), id, some(untested))
	case len(failed) > 0:
		return v.stops(by, failed[0], "mend what failed, verify again and register the report under its next version",
			"%s of %d with a test that did not pass: %s", count(len(failed), "requirement"), len(wanted), some(failed))
	}
	return v
}

// approved is the gate of a document of a kind that somebody else must have approved.
func approved(f *registry.FreezeFacts, d *registry.Document, v Verdict, kind, what string) Verdict {
	v.Facts = documentFacts(d)
	switch {
	case d == nil:
		return v.stops(register(f, kind), versionName(f), "register it and have it approved: "+command(f, kind), "no %s of %s is registered", what, versionName(f))
	case d.Status != registry.DocumentApproved:
		return v.stops(decide(f, d), d.DocumentID, "someone other than "+d.RegisteredBy+" approves it: caos document approve "+d.DocumentID+" --statement WHY",
			"the %s %s@%s is %s, not APPROVED", what, d.DocumentID, d.Version, d.Status)
	}
	v.Facts["approved_by"] = d.DecidedBy
	return v
}

func safetyApproved(f *registry.FreezeFacts) Verdict {
	return approved(f, f.SafetyAssessment, passes("safety-approved", "The safety assessment of this version is approved", nil), registry.KindSafetyAssessment, "safety assessment")
}

func documentationReviewed(f *registry.FreezeFacts) Verdict {
	return approved(f, f.DocumentationReview, passes("documentation-reviewed", "The documentation review of this version is approved", nil), registry.KindDocumentationReview, "documentation review")
}

// defectsClosed wants a list of defects, even an empty one: that nobody looked is no proof
// that there are none.
func defectsClosed(f *registry.FreezeFacts) Verdict {
	v := passes("defects", "No critical or high defect or problem report is open", documentFacts(f.DefectList))
	if f.DefectList == nil {
		return v.stops(register(f, registry.KindDefectList), versionName(f), "register it, empty if there are none: "+command(f, registry.KindDefectList),
			"no defect list of %s is registered", versionName(f))
	}
	if f.DefectList.Status == registry.DocumentRejected {
		return v.stops(register(f, registry.KindDefectList), f.DefectList.DocumentID, "register it again under its next version: "+command(f, registry.KindDefectList),
			"the defect list %s@%s is REJECTED", f.DefectList.DocumentID, f.DefectList.Version)
	}
	open := f.OpenDefectCount["CRITICAL"] + f.OpenDefectCount["HIGH"]
	v.Facts["open_defects"], v.Facts["open_problem_reports"] = f.OpenDefectCount, len(f.OpenProblems)
	if open > 0 {
		var ids []string
		for _, d := range f.OpenDefects {
			if grave(d.Severity) {
				ids = append(ids, d.DefectID+" ("+d.Severity+")")
			}
		}
		by := register(f, registry.KindDefectList)
		by.not = owners(f)
		return v.stops(by, f.DefectList.DocumentID, "close them and register the list under its next version",
			"%s open: %s", count(open, "critical or high defect"), some(ids))
	}
	var ids []string
	not := owners(f)
	for _, p := range f.OpenProblems {
		if p.Severity.Blocks() {
			ids = append(ids, p.ProblemID+" ("+string(p.Severity)+")")
			not = append(not, p.Owner)
		}
	}
	if len(ids) > 0 {
		return v.stops(clearing{action: "problem:close", not: not}, ids[0], "close them with evidence: caos problem close "+strings.Fields(ids[0])[0]+" --evidence ID",
			"%s open: %s", count(len(ids), "critical or high problem report"), some(ids))
	}
	return v
}

func grave(severity string) bool { return severity == "CRITICAL" || severity == "HIGH" }

// bringArtifact is the clearing of gates about files.
func bringArtifact() clearing { return clearing{action: "model:artifact"} }

func artifactsThere(f *registry.FreezeFacts, q freezeQuery) Verdict {
	roles := map[string]int{}
	var bytes int64
	v := passes("artifacts", "The version has artifacts, none of them empty, one of them what production will run", nil)
	for _, a := range f.Artifacts {
		roles[a.Role]++
		bytes += a.Size
	}
	v.Facts = map[string]any{"artifacts": len(f.Artifacts), "bytes": bytes, "roles": roles}
	remedy := "caos model artifact add " + versionName(f) + " FILE --role ROLE"
	if len(f.Artifacts) == 0 {
		return v.stops(bringArtifact(), versionName(f), remedy, "%s has no artifacts", versionName(f))
	}
	for _, a := range f.Artifacts {
		if a.Size <= 0 {
			return v.stops(bringArtifact(), a.Name, remedy, "the artifact %s is empty", a.Name)
		}
	}
	if roles["inference"] == 0 {
		return v.stops(bringArtifact(), versionName(f), "caos model artifact add "+versionName(f)+" FILE --role inference", "no artifact of %s has the role inference: nothing says what production will run", versionName(f))
	}
	if q.files != nil && !slices.Equal(q.files, filesOf(f)) {
		return v.stops(bringArtifact(), versionName(f), "freeze it again", "the artifacts of %s changed while it was being frozen", versionName(f))
	}
	return v
}

func artifactsSafe(f *registry.FreezeFacts) Verdict {
	v := passes("artifacts-safe", "Nothing that a scan found in the artifacts forbids to store or load them", nil)
	scanned := 0
	for _, a := range f.Artifacts {
		if a.Scan == nil {
			return v.stops(bringArtifact(), a.Name, "attach it again, which scans it", "the artifact %s was not scanned", a.Name)
		}
		scanned++
	}
	v.Facts = map[string]any{"scanned": scanned}
	for _, a := range f.Artifacts {
		if bad := a.Scan.Blocks(a.Role); len(bad) > 0 {
			more := ""
			if len(bad) > 1 {
				more = fmt.Sprintf(" (and %s more)", count(len(bad)-1, "finding"))
			}
			v.Facts["rule"] = bad[0].Rule
			return v.stops(bringArtifact(), a.Name, bad[0].Remedy, "%s, role %s: %s%s", a.Name, a.Role, bad[0].Message, more)
		}
	}
	if scanned == 0 {
		return v.stops(bringArtifact(), versionName(f), "attach the artifacts of the version", "there is no artifact to scan")
	}
	return v
}

// conversionsRecorded wants to know how every file came to be that was made from another:
// what was converted, and what production runs when a trained model is there too.
func conversionsRecorded(f *registry.FreezeFacts) Verdict {
	v := passes("conversions", "Every converted artifact has a record of tool, digests and proof of equivalence", map[string]any{"records": len(f.Conversions)})
	have, trained := map[string]*registry.Artifact{}, map[string]bool{}
	for _, a := range f.Artifacts {
		have[a.Name] = a
		if a.Role == "trained" {
			trained[a.Digest] = true
		}
	}
	made := map[string]bool{}
	for _, c := range f.Conversions {
		from, to := have[c.From], have[c.To]
		if from == nil || to == nil {
			continue // of files that were taken away again
		}
		if from.Digest != c.FromDigest || to.Digest != c.ToDigest {
			return v.stops(bringArtifact(), c.To, "record the conversion of the files that are attached", "the conversion of %s into %s is recorded of other bytes", c.From, c.To)
		}
		if c.Equivalence == "" {
			return v.stops(bringArtifact(), c.To, "record the conversion again with the document or evidence that shows that both compute the same",
				"nothing shows that %s computes what %s does", c.To, c.From)
		}
		if !f.Equivalences[c.Equivalence] {
			return v.stops(bringArtifact(), c.To, "register that document or collect that evidence, or record the conversion again with the one that there is",
				"there is no document or evidence %s, which is to show that %s computes what %s does", c.Equivalence, c.To, c.From)
		}
		made[c.To] = true
	}
	for _, a := range f.Artifacts {
		if made[a.Name] || a.Role != "converted" && (a.Role != "inference" || len(trained) == 0 || trained[a.Digest]) {
			continue
		}
		return v.stops(bringArtifact(), a.Name, "record it: caos model convert "+versionName(f)+" --from NAME --to "+a.Name, "nothing says how %s, role %s, was made from what was trained", a.Name, a.Role)
	}
	return v
}

// documentsSame finds a document that was superseded, decided or registered while the
// baseline was being written.
func documentsSame(now, then []gateDocument) Verdict {
	v := passes("documents-same", "No document was superseded since the gates were first asked", map[string]any{"documents": len(now)})
	have := map[string]gateDocument{}
	for _, d := range now {
		have[d.Kind] = d
	}
	for _, d := range then {
		if n := have[d.Kind]; n != d {
			return v.stops(clearing{}, d.ID, "freeze the version again", "the %s is %s now, not %s as when the freeze began", d.Kind, n.key(), d.key())
		}
	}
	return v
}

// documentsUnchanged compares the digests of documents' bytes with the registered ones.
func documentsUnchanged(documents []gateDocument, hashed map[string]string) Verdict {
	v := passes("documents-unchanged", "The stored bytes of these documents are those that were registered", map[string]any{"documents": len(documents)})
	for _, d := range documents {
		switch got := hashed[d.key()]; {
		case got == d.Digest:
		case got == "":
			return v.stops(clearing{}, d.ID, "restore the object store from a backup, or register the document under its next version",
				"the stored bytes of the %s %s are missing or damaged", d.Kind, d.key())
		default:
			return v.stops(clearing{}, d.ID, "restore the object store from a backup, or register the document under its next version",
				"the stored bytes of the %s %s have digest %s, registered was %s", d.Kind, d.key(), got, d.Digest)
		}
	}
	return v
}

// gateDocuments lists the documents on which the gates rest.
func gateDocuments(f *registry.FreezeFacts) []gateDocument {
	out := []gateDocument{}
	for _, d := range []*registry.Document{f.VVReport, f.SafetyAssessment, f.DefectList, f.DocumentationReview} {
		if d != nil {
			out = append(out, gateDocument{Kind: d.Kind, ID: d.DocumentID, Version: d.Version, Digest: d.Digest, Size: d.Size})
		}
	}
	return out
}

func documentIDs(list []gateDocument) []string {
	ids := map[string]bool{}
	for _, d := range list {
		ids[d.ID] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// filesOf lists the artifacts as a baseline has them.
func filesOf(f *registry.FreezeFacts) []frozenFile {
	out := make([]frozenFile, len(f.Artifacts))
	for i, a := range f.Artifacts {
		out[i] = frozenFile{Path: a.Name, Role: a.Role, Digest: a.Digest, Size: a.Size}
	}
	return out
}
