package httpapi

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/readiness"
)

type reviewList struct {
	Paging
	Model    string `query:"model_id" maxLength:"64"`
	Version  string `query:"model_version" maxLength:"64"`
	Baseline string `query:"baseline_id" maxLength:"100"`
	Status   string `query:"status" enum:"PREPARING,VOTING,CONDITIONAL,DECIDED,FAILED,CANCELLED"`
	Project  string `query:"project" maxLength:"100"`
}

// ReviewPath names a review.
type ReviewPath struct {
	ID string `path:"prr_id" maxLength:"100" example:"PRR-NN-DLY-001-1.0.0"`
}

type conditionPath struct {
	ReviewPath
	Condition string `path:"condition_id" maxLength:"100" example:"COND-DLY-1.0.0-1"`
	Proposing
}

// CloseConditionBody closes a condition with evidence.
type CloseConditionBody struct {
	Evidence []string `json:"evidence" maxItems:"100" doc:"ids of what shows that the condition is met; at least one"`
	Note     string   `json:"note,omitempty" maxLength:"500"`
	ProofBody
}

func (a *API) registerReviews() {
	read := may("review:read")
	operation(a, get("/v1/reviews", read).as("list-reviews", "reviews", "Production readiness reviews without their votes and conditions, latest first").
		about("A review is opened by submitting CAOS.PROD.MODEL.PRR."), a.listReviews)
	operation(a, get("/v1/reviews/{prr_id}", read).as("get-review", "reviews", "A review with its votes and conditions"),
		func(c *call, p *ReviewPath, _ *none) (*readiness.Review, error) {
			v, err := a.reviewNamed(c, p.ID)
			if err != nil {
				return nil, err
			}
			c.set("ETag", etag(v.Revision))
			return v, a.DB.Write(c.ctx(), func(tx *db.Tx) error { return a.Readiness.Stand(tx, v) })
		})
	a.plain(get("/v1/reviews/{prr_id}/report", read).as("get-review-report", "reviews", "The report that the board votes on").
		about("HTML is the document whose digest is voted on; PDF has the same content for print, JSON the facts that both show. Content-Digest says which bytes they are."),
		huma.Operation{
			Parameters: []*huma.Param{
				param("prr_id", "path", "the review", words()),
				param("format", "query", "html if left out, or what Accept prefers", &huma.Schema{Type: "string", Enum: []any{"html", "pdf", "json"}}),
				param("version", "query", "edition: 1.0 is voted on, later ones have what was decided; the latest if left out", words()),
			},
			Responses: binary("200", "The report", "text/html", "application/pdf", "application/json"),
		}, a.reviewReport)
	a.registerVotes()
	end := post("/v1/reviews/{prr_id}/conditions/{condition_id}/close", may("review:condition")).as("close-condition", "reviews", "Close a condition of a review with evidence").
		about("A decision in one's own name, never by the condition's owner. When the last one is closed the review goes on to its end.")
	operation(a, orProposal[readiness.Review](a, end), a.closeCondition)
}

// reviewResource is a review as the policies see it; whoever asked for it owns it.
func reviewResource(v *readiness.Review) auth.Resource {
	return auth.Resource{Type: "Review", ID: v.PRRID, Project: v.Project, Classification: v.Classification, Owner: v.RequestedBy}
}

// reviewNamed returns a review that the caller may see.
func (a *API) reviewNamed(c *call, id string) (*readiness.Review, error) {
	v, err := a.Readiness.Review(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("review", err)
	}
	return v, a.seeOf(c, "review:read", "review", reviewResource(v), v.ModelID)
}

func (a *API) listReviews(c *call, p *reviewList, _ *none) (Page[*readiness.Review], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*readiness.Review]{}, err
	}
	f := readiness.ReviewFilter{ModelID: p.Model, Version: p.Version, BaselineID: p.Baseline, Status: readiness.ReviewStatus(p.Status), Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Readiness.Reviews(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, reviewResource), err
}

// barredFrom are the parties of a version: who cannot be on its approving side.
func (a *API) barredFrom(tx *db.Tx, s readiness.Subject) ([]string, error) {
	barred, err := a.Readiness.Barred(tx, s)
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(barred))
	for id := range barred {
		out = append(out, id)
	}
	slices.Sort(out)
	return out, nil
}

// judged is a review as the transaction sees it, with who cannot decide on it.
func (a *API) judged(tx *db.Tx, id string) (*readiness.Review, auth.Resource, error) {
	v, err := a.Readiness.ReviewIn(tx, id)
	if err != nil {
		return nil, auth.Resource{}, err
	}
	res := reviewResource(v)
	res.Parties, err = a.barredFrom(tx, v.Subject)
	return v, res, err
}

// Topics of the decisions that a waiting review takes.
const (
	topicVote      = "vote"
	topicCondition = "condition"
)

// toReview gives a decision to the execution of a review, which keeps it in the same commit:
// what the execution refuses never happened.
func (a *API) toReview(c *call, v *readiness.Review, topic string, x reviewAct) (any, error) {
	proof, err := x.proof()
	if err != nil {
		return nil, err
	}
	if x.Propose {
		return a.inPerson(c, personalAct{Proposing: x.Proposing, ProofBody: x.ProofBody, ask: x.ask,
			subject: func(tx *db.Tx) (auth.Resource, error) {
				_, res, err := a.judged(tx, v.PRRID)
				return res, err
			}})
	}
	payload, err := x.payload(proof)
	if err != nil {
		return nil, err
	}
	res := reviewResource(v)
	c.execution = v.ExecutionID
	_, err = a.Engine.Decide(c.ctx(), v.ExecutionID, engine.Decision{Topic: topic, Payload: payload, Actor: c.by.ID, By: c.by}, func(tx *db.Tx, _ *engine.Execution) (err error) {
		if _, res, err = a.judged(tx, v.PRRID); err != nil {
			return err
		}
		return a.authorizePersonal(c, tx, res, proof.Signature != "")
	})
	if err != nil {
		return nil, c.refusedAct(res, notWaiting(v, topic, err))
	}
	return a.reviewNamed(c, v.PRRID)
}

// reviewAct is a personal act that an execution takes.
type reviewAct struct {
	Proposing
	ProofBody
	ask     func(tx *db.Tx) (readiness.Proposal, error)
	payload func(proof readiness.Proof) ([]byte, error)
}

// notWaiting says of a review what the engine says of its execution.
func notWaiting(v *readiness.Review, topic string, err error) error {
	rule := readiness.RuleVotesOpen
	if topic == topicCondition {
		rule = "review-conditional"
	}
	if e := caos.AsError(err); e.Kind == caos.Conflict && e.Field == "topic" && e.Rule == "" {
		return caos.Errorf(caos.Conflict, "the review %s does not take this now: %s", v.PRRID, e.Message).WithRule(rule).WithField("prr_id").
			WithHint("it is %s; see it with: caos review show %s", v.Status, v.PRRID)
	}
	return err
}

// reviewOf is the id of the review of an execution that was given a decision, "" for none.
func (a *API) reviewOf(c *call, execution, topic string) (string, error) {
	if a.Readiness == nil || topic != topicVote && topic != topicCondition {
		return "", nil
	}
	list, _, err := a.Readiness.Reviews(c.ctx(), readiness.ReviewFilter{ExecutionID: execution, Limit: 1}, "")
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0].PRRID, nil
}

// guardReview asks of a decision that comes by the route of executions what the routes of
// reviews ask, so that the one is no way around the other. The person is always the caller.
func (a *API) guardReview(c *call, tx *db.Tx, prr string, d engine.Decision) error {
	if prr == "" {
		return nil
	}
	action := "review:vote"
	if d.Topic == topicCondition {
		action = "review:condition"
	}
	_, res, err := a.judged(tx, prr)
	if err != nil {
		return err
	}
	if d.Actor != c.by.ID {
		return c.refusedAct(res, caos.Errorf(caos.Denied, "%s decides in their own name, not in that of %.80s", c.by.ID, d.Actor).WithField("actor_id").
			WithRule(readiness.RulePersonal).WithHint("leave actor_id out"))
	}
	return a.Auth.Authorize(tx, c.by, action, res, map[string]any{"proof": "server"})
}

// guardBallots refuses that who is barred from a version ends its review once somebody has
// voted: they would choose among boards by what they hear of the votes.
func (a *API) guardBallots(c *call, tx *db.Tx, prr string) error {
	if prr == "" {
		return nil
	}
	v, res, err := a.judged(tx, prr)
	if err != nil || !v.Status.Open() || len(v.Votes) == 0 || !slices.Contains(res.Parties, c.by.ID) {
		return err
	}
	return c.refusedAct(res, caos.Errorf(caos.Denied, "%s has a hand in the version, and somebody has voted on %s: it is not theirs to end", c.by.ID, prr).
		WithRule(readiness.RuleSeparation).WithHint("somebody who had no hand in the version may cancel it; those who can: release managers, incident responders, administrators"))
}

func (a *API) closeCondition(c *call, p *conditionPath, body *CloseConditionBody) (any, error) {
	v, err := a.reviewNamed(c, p.ID)
	if err != nil {
		return nil, err
	}
	if err := a.showable(c, body.Evidence); err != nil {
		return nil, c.refusedAct(reviewResource(v), err)
	}
	end := readiness.Closing{Evidence: body.Evidence, Note: body.Note}
	return a.toReview(c, v, topicCondition, reviewAct{Proposing: p.Proposing, ProofBody: body.ProofBody,
		ask: func(tx *db.Tx) (readiness.Proposal, error) {
			return a.Readiness.ProposeClosing(tx, readiness.ConditionRef{PRRID: v.PRRID, ConditionID: p.Condition}, end, c.by)
		},
		payload: func(proof readiness.Proof) ([]byte, error) {
			return payloadOf(map[string]any{"condition_id": p.Condition, "evidence": end.Evidence, "note": end.Note, "statement": proof.Statement, "signature": proof.Signature})
		}})
}

// reviewReport serves an edition of a review's report.
func (a *API) reviewReport(c *call) error {
	format, version, err := reportQuery(c)
	if err != nil {
		return err
	}
	v, err := a.reviewNamed(c, c.path("prr_id"))
	if err != nil {
		return err
	}
	edition, err := editionOf(v, version)
	if err != nil {
		return err
	}
	// The report is a document as well, which may be classified higher than the review.
	if _, err := a.documentOf(c, edition.ReportID, edition.Version); err != nil {
		return c.unknown("report", err)
	}
	name := v.PRRID + "-" + edition.Version + "." + format
	d := download{digest: edition.Digest, media: "text/html; charset=utf-8", name: name, policy: reportPolicy}
	switch format {
	case "pdf":
		d = download{digest: edition.PDFDigest, media: "application/pdf", name: name}
	case "json":
		d = download{digest: edition.FactsDigest, media: "application/json", name: name}
	}
	c.set("Vary", "Accept")
	return a.serveObject(c, d)
}

// reportPolicy lets a report be what it is made to be, one page with its own style and
// pictures in it, and nothing else: no script, no request, no frame, no form, and an origin
// of its own.
const reportPolicy = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// reportQuery reads the two parameters of the report's route.
func reportQuery(c *call) (format, version string, err error) {
	q := c.r.URL.Query()
	for name, values := range q {
		if name != "format" && name != "version" || len(values) > 1 || len(values[0]) > 32 {
			return "", "", caos.Errorf(caos.Invalid, "unknown, repeated or overlong query parameter").WithField(clip(name, 80)).WithHint("this route has format and version")
		}
	}
	format = q.Get("format")
	if format == "" {
		format = map[string]string{"text/html": "html", "application/pdf": "pdf", "application/json": "json"}[negotiate(c.r.Header["Accept"], "text/html", "application/pdf", "application/json")]
	}
	if !slices.Contains([]string{"html", "pdf", "json"}, format) {
		return "", "", caos.Errorf(caos.Invalid, "there is no such format").WithField("format").WithHint("html, pdf or json")
	}
	return format, q.Get("version"), nil
}

func editionOf(v *readiness.Review, version string) (readiness.ReviewReport, error) {
	if len(v.Editions) == 0 {
		return readiness.ReviewReport{}, caos.Errorf(caos.NotFound, "the report of %s is not made yet: it is %s", v.PRRID, v.Status).WithField("prr_id").
			WithHint("follow its execution: GET /v1/executions/%s/events", v.ExecutionID)
	}
	if version == "" {
		return v.Editions[len(v.Editions)-1], nil
	}
	i := slices.IndexFunc(v.Editions, func(e readiness.ReviewReport) bool { return e.Version == version })
	if i < 0 {
		return readiness.ReviewReport{}, caos.Errorf(caos.NotFound, "the report of %s has no such edition", v.PRRID).WithField("version")
	}
	return v.Editions[i], nil
}
