package hook

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/notify"
	"caos/internal/object"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/report"
	"caos/internal/verify"
)

// This file has what a review leaves behind: the editions of its report in the registry, the
// records that a verifier counts again, notices, and the release that it prepares.

// register keeps the edition that was rendered: a version of the document whose bytes are
// the HTML, which names the digests of the PDF and of the facts. It reports false for an
// edition under an id or version that somebody else took meanwhile: it is to be made again.
func (h *modelPRR) register(tx *db.Tx, r *engine.Run, s *prrState) (bool, error) {
	e := s.Rendered
	if r.Now.Sub(e.At) > object.Grace/2 { // a late retry
		return false, nil
	}
	d := registry.Document{DocumentID: e.ReportID, Version: e.Version, Kind: registry.KindPRRReport, ModelID: s.Subject.ModelID, ModelVersion: s.Subject.Version,
		Title: "Production readiness review " + s.PRRID, Digest: e.HTML.Digest, MediaType: "text/html; charset=utf-8", Project: s.Subject.Project, Classification: s.Subject.Classification}
	doc, err := h.registry.RegisterDocument(tx, d, &registry.Parsed{Kind: d.Kind, Digest: d.Digest, Size: e.HTML.Size, MediaType: d.MediaType}, h.registrar(r))
	if k := caos.KindOf(err); tx.Err() == nil && (k == caos.Conflict || k == caos.Invalid || k == caos.Denied) && r.Round < maxEditions {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, more := range []struct {
		kind string
		ref  object.Ref
	}{{"prr-report-pdf", e.PDF}, {"prr-report-facts", e.Facts}} {
		if err := h.objects.Bind(tx, more.ref, object.Binding{Owner: e.ReportID + "@" + e.Version, Kind: more.kind, Project: doc.Project, Classification: doc.Classification}); err != nil {
			return false, err
		}
	}
	s.ReportID, s.Out.PRRReportID = e.ReportID, &e.ReportID
	r.Record.Resources = []string{s.PRRID, s.Subject.ModelID, s.Subject.BaselineID, e.ReportID}
	r.Record.Details = map[string]any{"report_id": e.ReportID, "report_version": e.Version, "report_digest": e.HTML.Digest, "pdf_digest": e.PDF.Digest, "facts_digest": e.Facts.Digest}
	return true, nil
}

// maxEditions bounds how often an edition is made again because its id or version is taken.
const maxEditions = 5

// edition is how readiness keeps what was registered.
func (e *rendered) edition() readiness.ReviewReport {
	return readiness.ReviewReport{ReportID: e.ReportID, Version: e.Version, Digest: e.HTML.Digest, PDFDigest: e.PDF.Digest, FactsDigest: e.Facts.Digest}
}

// registerReport opens the vote on the first edition.
func (h *modelPRR) registerReport(tx *db.Tx, r *engine.Run, s *prrState) error {
	there, err := h.register(tx, r, s)
	if err != nil || !there {
		return err
	}
	e := s.Rendered
	s.Rendered, s.Best = nil, e.Best
	if _, err := h.readiness.Prepared(tx, s.PRRID, e.edition(), e.Best, h.by(r)); err != nil {
		return err
	}
	body := fmt.Sprintf("%s asks for a decision on %s, baseline %s.\nThe report %s is ready. The best decision that the facts allow is %s.\n",
		r.RequestedBy, registry.VersionKey(s.In.ModelID, s.Subject.Version), s.Subject.BaselineID, e.ReportID, e.Best)
	if e.Best == report.Rejected {
		body += "There is nothing to vote on: the review ends REJECTED."
	} else {
		body += fmt.Sprintf("Votes count until the end of %s (UTC): caos vote %s approve, conditional or reject.", s.In.PRRDate, s.PRRID)
	}
	return h.tell(tx, r, s, notify.Notice{Subject: s.PRRID + ": the report is ready", Body: body, Link: "/v1/reviews/" + s.PRRID + "/report"})
}

// registerDecision keeps the edition with the decision.
func (h *modelPRR) registerDecision(tx *db.Tx, r *engine.Run, s *prrState) error {
	e := s.Rendered
	there, err := h.addEdition(tx, r, s)
	if err != nil || !there {
		return err
	}
	body := fmt.Sprintf("The decision on %s is %s; the report %s %s has it.\n", registry.VersionKey(s.In.ModelID, s.Subject.Version), s.Decision, e.ReportID, e.Version)
	people := []string{}
	if len(s.Out.PRRConditions) > 0 {
		v, err := h.readiness.ReviewIn(tx, s.PRRID)
		if err != nil {
			return err
		}
		for _, c := range v.Conditions {
			people = append(people, c.Owner)
		}
		body += "Conditions, each of which somebody other than its owner closes with evidence:\n- " + strings.Join(firstLines(s.Out.PRRConditions, 20), "\n- ")
	}
	return h.tell(tx, r, s, notify.Notice{Subject: s.PRRID + ": " + s.Decision, Body: body, Link: "/v1/reviews/" + s.PRRID + "/report", People: people})
}

// registerClosing keeps the edition that shows how the conditions were closed.
func (h *modelPRR) registerClosing(tx *db.Tx, r *engine.Run, s *prrState) error {
	_, err := h.addEdition(tx, r, s)
	return err
}

func (h *modelPRR) addEdition(tx *db.Tx, r *engine.Run, s *prrState) (bool, error) {
	there, err := h.register(tx, r, s)
	if err != nil || !there {
		return false, err
	}
	e := s.Rendered
	s.Rendered = nil
	_, err = h.readiness.AddEdition(tx, s.PRRID, e.edition(), h.by(r))
	return err == nil, err
}

// tell sends a notice about a review to its board, the chief engineers, the owner and who
// asked. A notice that reaches nobody is a finding.
func (h *modelPRR) tell(tx *db.Tx, r *engine.Run, s *prrState, n notify.Notice) error {
	m, err := h.registry.ModelIn(tx, s.In.ModelID)
	if err != nil {
		return err
	}
	n.Source, n.Project, n.Classification = r.ExecutionID, m.Project, m.Classification
	if n.People, err = h.mayKnow(tx, append(append(n.People, m.Owner, r.RequestedBy), s.In.PRRBoardMembers...), m); err != nil {
		return err
	}
	n.Roles = append(n.Roles, verify.RoleChiefEngineer)
	d, err := h.notifier.Send(tx, n)
	for _, f := range d.Findings {
		if key := f.Rule + " " + f.Subject; !slices.Contains(s.Found, key) {
			s.Found = append(s.Found, key)
			r.Find(f)
		}
	}
	return err
}

// mayKnow leaves out of people those who may not know of the model any more: it may have been
// classified higher since they were named.
func (h *modelPRR) mayKnow(tx *db.Tx, people []string, m *registry.Model) ([]string, error) {
	board, err := h.people.WithRole(tx, "prr-board", m.Project, m.Classification) // most of them, in one query
	if err != nil {
		return nil, err
	}
	out := []string{}
	for _, id := range people {
		may := slices.Contains(board, id)
		if !may {
			if may, err = h.readiness.MayKnow(tx, id, m.Project, m.Classification); err != nil {
				return nil, err
			}
		}
		if may {
			out = append(out, id)
		}
	}
	return out, nil
}

// conditionsOf makes conditions of what the facts hold against an approval and not against a
// conditional one, and names the checklist items among them.
func conditionsOf(f *prrFacts, list []Verdict) (drafts []readiness.ConditionDraft, items []string) {
	due := dayAfter(f.Today, 30)
	add := func(text, owner, on string) {
		if on < f.Today {
			on = due
		}
		drafts = append(drafts, readiness.ConditionDraft{Text: clipLine(text, 160), Owner: cmp.Or(owner, f.Freeze.Model.Owner), DueOn: on})
	}
	for _, v := range list {
		switch {
		case v.Pass || v.Ceiling != report.Conditional:
		case v.Gate == "checklist-minor" && f.Checklist != nil:
			_, minor := f.Checklist.Open()
			for _, it := range minor {
				items = append(items, it.ItemID)
				add("Checklist item "+it.ItemID+": "+it.Title, it.Owner, it.DueOn)
			}
		default:
			add(v.Finding.Message, "", "")
		}
	}
	return drafts, items
}

func dayAfter(day string, days int) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return dayOf(t.AddDate(0, 0, days))
}

// clipLine cuts a line to a number of bytes, between characters.
func clipLine(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}

func conditionLines(list []*readiness.Condition) []string {
	out := []string{}
	for _, c := range list {
		out = append(out, fmt.Sprintf("%s: %s (owner %s, due %s)", c.ConditionID, c.Text, c.Owner, c.DueOn))
	}
	return out
}

func firstLines(list []string, most int) []string {
	if len(list) <= most {
		return list
	}
	return append(slices.Clone(list[:most]), fmt.Sprintf("and %d more", len(list)-most))
}

// messages and remedies are what the findings say, at most 8.
func messages(list []Verdict) (out []string) {
	for _, f := range openFindings(list) {
		out = append(out, f.Message)
	}
	return firstLines(out, most)
}

func remedies(list []Verdict) (out []string) {
	for _, f := range openFindings(list) {
		out = append(out, f.Message+": "+f.Remedy)
	}
	return firstLines(out, most)
}

// reviewOutcome is what the record of a board's decision says of how it came about.
func reviewOutcome(v *readiness.Review, c readiness.Count, best, outcome string) verify.OutcomeDetails {
	o := verify.OutcomeDetails{OutcomeOf: verify.OutcomeOfReview, Subject: v.PRRID, SubjectDigest: v.ReportDigest, PolicyDigest: c.PolicyDigest, SafetyLevel: v.SafetyLevel,
		Members: v.Members, Best: best, Barred: c.Barred, Outcome: outcome, ReportDigest: v.ReportDigest, PDFDigest: v.PDFDigest}
	records := map[string]string{}
	for _, vote := range v.Votes {
		records[vote.Person] = vote.RecordID
		o.Votes = append(o.Votes, verify.OutcomeVote{Record: vote.RecordID, Person: vote.Person, Outcome: vote.Outcome, Roles: vote.Roles, Role: vote.Role, Proof: vote.Proof})
	}
	o.Conditions = outcomeConditions(v, records)
	return o
}

func outcomeConditions(v *readiness.Review, records map[string]string) (out []verify.OutcomeCondition) {
	for _, c := range v.Conditions {
		from := ""
		if len(c.AskedBy) > 0 {
			from = records[c.AskedBy[0]]
		}
		out = append(out, verify.OutcomeCondition{ConditionID: c.ConditionID, Text: c.Text, Owner: c.Owner, DueOn: c.DueOn, From: from})
	}
	return out
}

// closings is what the record says by which a conditional decision became an approval.
func (h *modelPRR) closings(tx *db.Tx, v *readiness.Review) (verify.OutcomeDetails, error) {
	o := verify.OutcomeDetails{OutcomeOf: verify.OutcomeOfConditions, Subject: v.PRRID, SubjectDigest: v.ReportDigest, PolicyDigest: v.PolicyDigest, SafetyLevel: v.SafetyLevel,
		Members: v.Members, Best: v.Best, Outcome: verify.OutcomeClosed, ReportDigest: v.ReportDigest, PDFDigest: v.PDFDigest}
	barred, err := h.readiness.Barred(tx, v.Subject)
	if err != nil {
		return o, err
	}
	o.Barred = barredNames(barred)
	records := map[string]string{}
	for _, vote := range v.Votes {
		records[vote.Person] = vote.RecordID
	}
	o.Conditions = outcomeConditions(v, records)
	for _, c := range v.Conditions {
		d, err := h.readiness.DecisionIn(tx, c.DecisionID)
		if err != nil {
			return o, err
		}
		o.Votes = append(o.Votes, verify.OutcomeVote{Record: d.RecordID, Person: d.Person, Outcome: d.Outcome, Roles: d.Roles, Role: d.Role, Proof: d.Proof,
			Subject: c.ConditionID, Digest: d.Digest})
	}
	slices.SortFunc(o.Votes, func(a, b verify.OutcomeVote) int { return cmp.Compare(a.Record, b.Record) })
	return o, nil
}

// prepareRelease opens the release authorisation of a version that is PRODUCTION_READY, and
// says what is to be done next, whatever the review came to.
func (h *modelPRR) prepareRelease(tx *db.Tx, r *engine.Run, s *prrState) error {
	r.Record.Resources = []string{s.PRRID, s.Subject.ModelID, s.Subject.BaselineID}
	if !s.Ready {
		s.Out.NextSteps = append([]string{}, s.Remedies...)
		if s.Decision == report.Rejected || s.Failed {
			s.Out.NextSteps = append(s.Out.NextSteps, "Ask for another review once that is done: `"+s.again()+"`.")
		}
		return nil
	}
	id, err := h.openRelease(tx, r, s)
	if tx.Err() != nil || err != nil && caos.KindOf(err).Retryable() {
		return err
	}
	key := registry.VersionKey(s.In.ModelID, s.Subject.Version)
	if err != nil {
		e := caos.AsError(err)
		r.Find(caos.Finding{Rule: "release-not-opened", Subject: s.PRRID, Message: "the release authorisation was not opened: " + e.Message, Remedy: cmp.Or(e.Hint, "see those there are: caos release list --model "+s.In.ModelID)})
		s.Out.NextSteps = []string{"See why the release authorisation was not opened, then open it: `caos release list --model " + s.In.ModelID + "`."}
		return nil
	}
	s.Out.NextSteps = []string{
		fmt.Sprintf("A release manager gives %s its platforms, strategies and window: `caos release scope %s`.", id, id),
		fmt.Sprintf("Then they ask for it: `caos release request %s`.", id),
		fmt.Sprintf("The Chief Engineer and the Quality Assurance Lead approve it, two people who had no hand in the version: `caos release approve %s`.", id),
		fmt.Sprintf("Anyone sees what still stands between the version and its release: `caos why %s release`.", key),
	}
	return h.tell(tx, r, s, notify.Notice{Subject: key + " is PRODUCTION_READY", Roles: []string{"release-manager", verify.RoleQALead}, Link: "/v1/release-authorizations/" + id,
		Body: s.PRRID + " found it ready for production. The release authorisation " + id + " is open as a draft.\n- " + strings.Join(s.Out.NextSteps, "\n- ")})
}

// openRelease opens the draft, for the platforms that the industrialisation record plans as
// far as they are identifiers.
func (h *modelPRR) openRelease(tx *db.Tx, r *engine.Run, s *prrState) (string, error) {
	i, err := h.registry.MarkProductionReady(tx, s.Subject.ModelID, s.Subject.Version, h.registrar(r))
	if err != nil {
		return "", err
	}
	platforms := slices.DeleteFunc(slices.Clone(i.TargetPlatforms), func(p string) bool { return caos.CheckID("resource", "platforms", p) != nil })
	slices.Sort(platforms)
	m, err := h.registry.ModelIn(tx, s.Subject.ModelID)
	if err != nil {
		return "", err
	}
	about := s.Subject // of the model, what may have been raised since the review began
	about.Classification, about.SafetyLevel = m.Classification, m.SafetyLevel
	a, err := h.readiness.OpenAuthorization(tx, about, s.PRRID, firstOf(slices.Compact(platforms), 50), h.by(r))
	if err != nil {
		return "", err
	}
	r.Record.Resources = append(r.Record.Resources, a.AuthorizationID)
	return a.AuthorizationID, nil
}

func firstOf(list []string, most int) []string { return list[:min(len(list), most)] }
