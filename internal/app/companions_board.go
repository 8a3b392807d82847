package app

import (
	"context"
	"encoding/json"
	"io"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/evidence"
	"caos/internal/readiness"
	"caos/internal/verify"
)

// maxReport bounds an edition of a review's report in an export.
const maxReport = 256 << 20

// board collects what a model's reviews, conditions and releases left behind, for an export
// to the authority: from it a verifier computes again what was decided.
type board struct {
	a        *App
	ctx      context.Context
	list     []evidence.Companion
	policies map[string]bool // digests that are in list
}

// boardFiles lists the decisions about a model, the records of what they came to, the
// policies that they name and the reports that were voted on.
func (a *App) boardFiles(ctx context.Context, modelID string) ([]evidence.Companion, error) {
	b := &board{a: a, ctx: ctx, policies: map[string]bool{}}
	for cursor := ""; ; {
		page, next, err := a.readiness.Decisions(ctx, readiness.DecisionFilter{ModelID: modelID, Limit: 1000}, cursor)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			if err := b.decision(d); err != nil {
				return nil, err
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for cursor := ""; ; {
		page, next, err := a.readiness.Reviews(ctx, readiness.ReviewFilter{ModelID: modelID, Limit: 1000}, cursor)
		if err != nil {
			return nil, err
		}
		for _, v := range page {
			if err := b.review(v); err != nil {
				return nil, err
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for cursor := ""; ; {
		page, next, err := a.readiness.Authorizations(ctx, readiness.AuthorizationFilter{ModelID: modelID, Limit: 1000}, cursor)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if err := b.outcomes(r.AuthorizationID, auditlog.Authorisation, scope{r.Project, r.Classification}); err != nil {
				return nil, err
			}
		}
		if cursor = next; cursor == "" {
			return b.list, nil
		}
	}
}

// scope is who may know of something.
type scope struct{ project, classification string }

func (b *board) add(s scope, c evidence.Companion) {
	c.Project, c.Classification, c.Authority = s.project, s.classification, true
	b.list = append(b.list, c)
}

func (b *board) decision(d *readiness.Decision) error {
	file, err := d.File().Marshal()
	if err != nil {
		return caos.Wrap(caos.Internal, err, "the decision %s cannot be written", d.DecisionID)
	}
	s := scope{d.Project, d.Classification}
	b.add(s, evidence.Companion{Name: verify.DecisionName(d.RecordID), Subject: d.Subject, Data: file, Record: d.RecordID})
	return b.policy(d.PolicyDigest, s)
}

// policy adds the policy of a digest, once.
func (b *board) policy(digest string, s scope) error {
	if digest == "" || b.policies[digest] {
		return nil
	}
	data, ok := verify.KnownDecisionPolicy(digest)
	if !ok {
		return caos.Errorf(caos.Internal, "decisions name the policy %s, which this version does not have", digest).
			WithHint("export with the version that recorded them, or a later one")
	}
	b.policies[digest] = true
	b.add(s, evidence.Companion{Name: verify.PolicyName(digest), Data: data})
	return nil
}

// review adds every edition of a review's report, and what its votes came to.
func (b *board) review(v *readiness.Review) error {
	s := scope{v.Project, v.Classification}
	for _, e := range v.Editions {
		for _, f := range []struct{ format, digest string }{{"html", e.Digest}, {"pdf", e.PDFDigest}} {
			if f.digest == "" {
				continue
			}
			data, err := b.report(f.digest)
			if err != nil {
				return caos.Wrap(caos.KindOf(err), err, "the report of %s cannot be read", v.PRRID).WithHint("run: caos doctor")
			}
			b.add(s, evidence.Companion{Name: verify.ReportName(v.PRRID, e.Version, f.format), Subject: v.PRRID, Data: data, Recorded: true})
		}
	}
	return b.outcomes(v.PRRID, auditlog.Decided, s)
}

func (b *board) report(digest string) ([]byte, error) {
	f, size, err := b.a.objects.Open(digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxReport {
		return nil, caos.Errorf(caos.TooLarge, "it has %d bytes, more than %d", size, maxReport)
	}
	return io.ReadAll(io.LimitReader(f, size))
}

// outcomes adds the records of a type that say what the decisions on a subject came to.
func (b *board) outcomes(subject string, typ auditlog.Type, s scope) error {
	for cursor := ""; ; {
		page, err := b.a.log.List(b.ctx, auditlog.Filter{Type: typ, Resource: subject, Limit: 1000}, cursor)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			var rec struct {
				Details struct {
					OutcomeOf    string `json:"outcome_of"`
					Subject      string `json:"subject"`
					PolicyDigest string `json:"policy_digest"`
				} `json:"details"`
			}
			if err := json.Unmarshal(r.Record, &rec); err != nil || rec.Details.OutcomeOf == "" || rec.Details.Subject != subject {
				continue // another record about it, or details that are no object
			}
			b.add(s, evidence.Companion{Subject: subject, Record: r.ID})
			if err := b.policy(rec.Details.PolicyDigest, s); err != nil {
				return err
			}
		}
		if cursor = page.Next; cursor == "" {
			return nil
		}
	}
}
