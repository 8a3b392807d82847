package reviewing

import (
	"context"
	"encoding/json"
	"io"

	"caos/internal/auditlog"
	"caos/internal/evidence"
	"caos/internal/readiness"
	"caos/internal/verify"
)

// companions lists what an export of a package has of a model's reviews and releases, as the
// application does: the decisions, the policies, the records of what they came to, the
// reports.
func (d *Desk) companions(ctx context.Context, modelID string) (out []evidence.Companion, err error) {
	decisions, _, err := d.Readiness.Decisions(ctx, readiness.DecisionFilter{ModelID: modelID, Limit: 1000}, "")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	add := func(c evidence.Companion) {
		c.Classification, c.Authority = "Internal", true
		out = append(out, c)
	}
	for _, one := range decisions {
		file, err := one.File().Marshal()
		if err != nil {
			return nil, err
		}
		add(evidence.Companion{Name: verify.DecisionName(one.RecordID), Subject: one.Subject, Data: file, Record: one.RecordID})
		if data, ok := verify.KnownDecisionPolicy(one.PolicyDigest); ok && !seen[one.PolicyDigest] {
			seen[one.PolicyDigest] = true
			add(evidence.Companion{Name: verify.PolicyName(one.PolicyDigest), Data: data})
		}
	}
	reviews, _, err := d.Readiness.Reviews(ctx, readiness.ReviewFilter{ModelID: modelID, Limit: 1000}, "")
	if err != nil {
		return nil, err
	}
	for _, v := range reviews {
		for _, e := range v.Editions {
			for format, digest := range map[string]string{"html": e.Digest, "pdf": e.PDFDigest} {
				data, err := d.Read(digest)
				if err != nil {
					return nil, err
				}
				add(evidence.Companion{Name: verify.ReportName(v.PRRID, e.Version, format), Subject: v.PRRID, Data: data, Recorded: true})
			}
		}
		if err := d.outcomes(ctx, v.PRRID, auditlog.Decided, add); err != nil {
			return nil, err
		}
	}
	releases, _, err := d.Readiness.Authorizations(ctx, readiness.AuthorizationFilter{ModelID: modelID, Limit: 1000}, "")
	for _, a := range releases {
		if err := d.outcomes(ctx, a.AuthorizationID, auditlog.Authorisation, add); err != nil {
			return nil, err
		}
	}
	return out, err
}

// Read reads an object.
func (d *Desk) Read(digest string) ([]byte, error) {
	f, _, err := d.Objects.Open(digest)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (d *Desk) outcomes(ctx context.Context, subject string, typ auditlog.Type, add func(evidence.Companion)) error {
	page, err := d.Log.List(ctx, auditlog.Filter{Type: typ, Resource: subject, Limit: 1000}, "")
	if err != nil {
		return err
	}
	for _, r := range page.Records {
		var rec struct {
			Details struct {
				OutcomeOf string `json:"outcome_of"`
				Subject   string `json:"subject"`
			} `json:"details"`
		}
		if json.Unmarshal(r.Record, &rec) == nil && rec.Details.OutcomeOf != "" && rec.Details.Subject == subject {
			add(evidence.Companion{Subject: subject, Record: r.ID})
		}
	}
	return nil
}
