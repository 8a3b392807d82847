package dpp

import (
	"context"
	"net/url"

	"caos"
)

// Related is what other parts of CAOS know of a passport's version. Each returns a path of
// the API such as /v1/documents/X, "" if there is none.
type Related interface {
	Report(ctx context.Context, baselineID string) (path string, err error)                    // the report on which it was frozen
	Deployments(ctx context.Context, modelID, version string) (paths []string, err error)      // of the version, latest first, at most 100
	Lineage(ctx context.Context, modelID, version, baselineID string) (path string, err error) // what it was made from
	Transaction(ctx context.Context, passportID, hash string) (path string, err error)         // that records it, whatever its state; hash is "" until it is confirmed
}

// Links are the addresses of all that a passport hangs together with: null and empty for what
// there is not, or not yet. Each answers a GET with the caller's token.
type Links struct {
	PassportID       string   `json:"passport_id"`
	Credential       string   `json:"credential"`
	Annex            string   `json:"annex"`
	Status           *string  `json:"status"`            // the signed list that says whether it was revoked
	BaselineManifest *string  `json:"baseline_manifest"` // every file with its digest, signed
	Evidence         []string `json:"evidence"`          // the latest 100
	Deployments      []string `json:"deployments"`
	VVReport         *string  `json:"vv_report"`
	Lineage          *string  `json:"lineage"`
	LogProof         *string  `json:"log_proof"`
	ChainTransaction *string  `json:"chain_transaction"`
	IPFS             *Pin     `json:"ipfs"` // null: not given to an IPFS node yet, or there is none
}

// EvidencePath is where an item of evidence is.
func EvidencePath(evidenceID string) string { return "/v1/evidence/" + url.PathEscape(evidenceID) }

// Links returns the links of a passport, or a NotFound error. Of evidence it has what seen
// says that the reader may know of; nil stands for all.
func (p *Passports) Links(ctx context.Context, id string, seen func(evidenceID string) (bool, error)) (*Links, error) {
	row, err := p.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	l := &Links{PassportID: row.PassportID, Credential: row.Page + "/credential", Annex: p.baseURL + "/v1/passports/" + row.PassportID + "/annex",
		Evidence: []string{}, Deployments: []string{}}
	at := func(path string) *string {
		if path == "" {
			return nil
		}
		full := p.baseURL + path
		return &full
	}
	if row.StatusURI != "" {
		l.Status = &row.StatusURI
	}
	if row.PublicRecordID != "" {
		l.LogProof = at(PagePath(row.PassportID) + "/proof")
	}
	l.BaselineManifest = at("/v1/baselines/" + url.PathEscape(row.BaselineID) + "/bundle")
	entries, _, err := p.history(ctx, row.PassportID, KindEvidence, 100, "")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if seen != nil {
			if may, err := seen(e.Subject); err != nil {
				return nil, err
			} else if !may {
				continue
			}
		}
		l.Evidence = append(l.Evidence, *at(EvidencePath(e.Subject)))
	}
	if l.IPFS, err = p.PinOf(ctx, row); err != nil {
		return nil, err
	}
	return l, p.relate(ctx, row, l, at)
}

// relate adds what others know.
func (p *Passports) relate(ctx context.Context, row *Passport, l *Links, at func(string) *string) error {
	if p.related == nil {
		return nil
	}
	report, err := p.related.Report(ctx, row.BaselineID)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return err
	}
	l.VVReport = at(report)
	paths, err := p.related.Deployments(ctx, row.ModelID, row.Version)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return err
	}
	for _, one := range paths {
		l.Deployments = append(l.Deployments, *at(one))
	}
	lineage, err := p.related.Lineage(ctx, row.ModelID, row.Version, row.BaselineID)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return err
	}
	l.Lineage = at(lineage)
	hash := ""
	if row.ChainTxID != nil {
		hash = *row.ChainTxID
	}
	tx, err := p.related.Transaction(ctx, row.PassportID, hash)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return err
	}
	l.ChainTransaction = at(tx)
	return nil
}
