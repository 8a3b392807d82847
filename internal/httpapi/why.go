package httpapi

import (
	"caos"
	"caos/internal/hook"
)

// whyPath names what is asked about: an operation on a version of a model.
type whyPath struct {
	VersionPath
	Operation string `path:"operation" enum:"freeze" doc:"what one wonders about"`
}

// whyHook is the hook of an operation, in the words of whoever asks why.
func whyHook(operation string) string {
	if operation == "freeze" {
		return "CAOS.PROD.MODEL.FREEZE"
	}
	return ""
}

func (a *API) registerWhy() {
	operation(a, get("/v1/models/{model_id}/versions/{version}/why/{operation}", may("model:read")).as("why", "models", "What stands between a version and an operation").
		about("Every gate with the facts that it looked at and, for one that does not hold, the finding, the remedy, and who could clear it: the same answer as a dry run gives, "+
			"about the version's latest V&V report and the caller as requester. Nothing is changed."), a.why)
}

func (a *API) why(c *call, p *whyPath, _ *none) (*hook.Explanation, error) {
	if err := caos.CheckID("model", "model_id", p.Model); err != nil {
		return nil, err
	}
	if err := caos.CheckID("version", "version", p.Version); err != nil {
		return nil, err
	}
	if _, err := a.version(c, &p.VersionPath); err != nil {
		return nil, err
	}
	return a.Hooks.Why(c.ctx(), c.by, whyHook(p.Operation), hook.Subject{Model: p.Model, Version: p.Version})
}
