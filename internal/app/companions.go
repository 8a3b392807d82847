package app

import (
	"context"

	"caos"
	"caos/internal/dpp"
	"caos/internal/evidence"
	"caos/internal/registry"
	"caos/internal/verify"
)

// companions lists what goes into every export of a package about a model: the signed
// manifests of its baselines, its passports with their annexes, and what was decided about
// it with all that a verifier needs to see that.
func (a *App) companions(ctx context.Context, modelID string) (list []evidence.Companion, err error) {
	for cursor := ""; ; {
		page, next, err := a.registry.Baselines(ctx, registry.BaselineFilter{ModelID: modelID, Limit: 1000}, cursor)
		if err != nil {
			return nil, err
		}
		for _, b := range page {
			bundle, err := a.frozen.Bundle(b.BaselineID)
			if err != nil {
				return nil, caos.Wrap(caos.KindOf(err), err, "the manifest of %s cannot be read", b.BaselineID).WithHint("run: caos baseline verify %s", b.BaselineID)
			}
			list = append(list, evidence.Companion{Name: verify.BaselineName(b.BaselineID), Subject: b.BaselineID, Data: bundle,
				Project: b.Project, Classification: b.Classification, Recorded: true})
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for cursor := ""; ; {
		page, next, err := a.dpp.List(ctx, dpp.Filter{ModelID: modelID, Limit: 1000}, cursor)
		if err != nil {
			return nil, err
		}
		for _, p := range page {
			files, err := a.passportFiles(p)
			if err != nil {
				return nil, err
			}
			list = append(list, files...)
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	decided, err := a.boardFiles(ctx, modelID)
	return append(list, decided...), err
}

// passportFiles are a passport and its annex. The credential has nothing in it that the
// passport's page does not show to anyone, unless the model is not to be known of at all.
func (a *App) passportFiles(p *dpp.Passport) ([]evidence.Companion, error) {
	credential, err := a.dpp.Credential(p)
	if err != nil {
		return nil, err
	}
	annex, err := a.dpp.Annex(p)
	if err != nil {
		return nil, err
	}
	return []evidence.Companion{
		{Name: verify.PassportName(p.PassportID), Subject: p.PassportID, Data: credential, Project: p.Project, Classification: p.Classification, Recorded: true},
		{Name: verify.AnnexName(p.PassportID), Subject: p.PassportID, Data: annex, Project: p.Project, Classification: p.Classification},
	}, nil
}
