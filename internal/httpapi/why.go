package httpapi

import (
	"time"

	"caos"
	"caos/internal/hook"
)

// whyPath names what is asked about: an operation on a version of a model.
type whyPath struct {
	VersionPath
	Operation string `path:"operation" enum:"freeze,prr,release" doc:"what one wonders about"`
	At        string `query:"at" maxLength:"40" doc:"a moment that is past, of which the answer is given as far as it was kept; prr and release only" example:"2026-11-30T12:00:00Z"`
}

// whyHook is the hook of an operation, in the words of whoever asks why; "" for what no hook
// does.
func whyHook(operation string) string {
	switch operation {
	case "freeze":
		return "CAOS.PROD.MODEL.FREEZE"
	case "prr":
		return "CAOS.PROD.MODEL.PRR"
	}
	return ""
}

func (a *API) registerWhy() {
	operation(a, get("/v1/models/{model_id}/versions/{version}/why/{operation}", may("model:read")).as("why", "models", "What stands between a version and an operation").
		about("Every gate with the facts that it looked at and, for one that does not hold, the finding, the remedy, and who could clear it. Of a freeze and a review it is the same "+
			"answer as a dry run gives, about the version's latest V&V report, or all who could be on the board, and the caller as requester; of a review best is the best decision "+
			"that the board could make, and ceiling what each check allows. Of a release it says whether the release authorisation is in force, and whose approval is missing. "+
			"Nothing is changed."), a.why)
}

func (a *API) why(c *call, p *whyPath, _ *none) (*hook.Explanation, error) {
	if err := caos.CheckID("model", "model_id", p.Model); err != nil {
		return nil, err
	}
	if err := caos.CheckID("version", "version", p.Version); err != nil {
		return nil, err
	}
	about := hook.Subject{Model: p.Model, Version: p.Version}
	if p.At != "" {
		at, err := time.Parse(time.RFC3339Nano, p.At)
		if err != nil || at.Year() < 1970 { // the zero time would be now
			return nil, caos.Errorf(caos.Invalid, "%q is not a moment", clip(p.At, 40)).WithField("at").WithHint("write it as 2026-11-30T12:00:00Z")
		}
		about.At = at.UTC()
	}
	if _, err := a.version(c, &p.VersionPath); err != nil {
		return nil, err
	}
	if p.Operation == "release" {
		return a.Hooks.WhyRelease(c.ctx(), c.by, about)
	}
	return a.Hooks.Why(c.ctx(), c.by, whyHook(p.Operation), about)
}
