package app

import (
	"context"
	"net/url"

	"caos"
	"caos/internal/chain"
	"caos/internal/dataset"
	"caos/internal/db"
)

// related tells passports where what they hang together with is: nouns that do not know
// passports, nor each other.
type related struct{ app *App }

// Report is the V&V report on which a baseline was frozen.
func (r related) Report(ctx context.Context, baselineID string) (string, error) {
	b, err := r.app.registry.Baseline(ctx, baselineID)
	if caos.KindOf(err) == caos.NotFound {
		return "", nil
	}
	if err != nil || b.VVReportID == "" {
		return "", err
	}
	path := "/v1/documents/" + url.PathEscape(b.VVReportID)
	if b.VVReportVersion != "" {
		path += "?version=" + url.QueryEscape(b.VVReportVersion)
	}
	return path, nil
}

// Deployments are none: nothing is deployed by this version of CAOS.
func (r related) Deployments(context.Context, string, string) ([]string, error) { return nil, nil }

// Lineage is what a baseline was made from, if that is known.
func (r related) Lineage(ctx context.Context, modelID, version, baselineID string) (string, error) {
	for _, key := range []string{dataset.Node{Kind: dataset.NodeBaseline, ID: baselineID}.Key(), dataset.ModelVersionNode(modelID, version).Key()} {
		var n *dataset.Node
		err := r.app.db.Write(ctx, func(tx *db.Tx) (err error) {
			n, err = r.app.datasets.NodeIn(tx, key)
			return err
		})
		if err != nil && caos.KindOf(err) != caos.NotFound {
			return "", err
		}
		if err == nil && n != nil {
			return "/v1/lineage?node=" + url.QueryEscape(key), nil
		}
	}
	return "", nil
}

// Transaction is the one that records a passport, whatever its state.
func (r related) Transaction(ctx context.Context, passportID, hash string) (string, error) {
	s, err := r.app.chain.SubjectOf(ctx, chain.KindPassport, passportID)
	if err != nil {
		return "", err
	}
	if s != nil && s.TransactionID != "" {
		return "/v1/transactions/" + url.PathEscape(s.TransactionID), nil
	}
	if hash == "" {
		return "", nil
	}
	return "/v1/transactions/" + url.PathEscape(hash), nil
}

// classified is how secret a model is now.
func (a *App) classified(ctx context.Context, modelID string) (string, error) {
	m, err := a.registry.Model(ctx, modelID)
	if err != nil {
		return "", err
	}
	return m.Classification, nil
}
