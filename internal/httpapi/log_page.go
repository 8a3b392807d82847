package httpapi

import (
	"strconv"

	"caos/internal/anchor"
	"caos/internal/dpp"
)

// Passports, and the destinations of anchors, as pages show many of them: on a line each what
// decides where to look next. Digests and signed texts are on the page of one.

type passportRow struct {
	ID       string    `json:"passport_id"`
	Revoked  string    `json:"revoked"`
	Event    dpp.Event `json:"event"`
	Model    string    `json:"model_id"`
	Version  string    `json:"model_version"`
	Baseline string    `json:"baseline_id"`
	Issued   string    `json:"issued"`
	By       string    `json:"by"`
	Chain    string    `json:"on a chain"`
	Page     string    `json:"page"`
}

// anchorsSheet is how it stands with all anchors, as a page shows it.
type anchorsSheet struct {
	Origin       string            `json:"log"`
	Size         int64             `json:"leaves"`
	Every        string            `json:"every"`
	Quorum       int               `json:"quorum"`
	Cosigned     int64             `json:"leaves cosigned by the quorum"`
	Destinations []destinationLine `json:"destinations"`
}

type destinationLine struct {
	Kind        string          `json:"kind"`
	State       anchor.Standing `json:"state"`
	Error       string          `json:"error"`
	Since       string          `json:"failing since"`
	Leaves      int64           `json:"leaves"`
	Asked       string          `json:"asked"`
	Next        string          `json:"asked again"`
	Alert       string          `json:"alert"`
	Anchor      string          `json:"newest anchor"`
	AnchorState anchor.State    `json:"that is"`
	Destination string          `json:"destination"`
}

// logLines is a list of passports, or the status of anchors, as a page shows it, and anything
// else as it is.
func logLines(v any) any {
	switch x := v.(type) {
	case Page[*dpp.Passport]:
		return eachLine(x, func(p *dpp.Passport) passportRow {
			row := passportRow{ID: p.PassportID, Revoked: maybeMoment(p.RevokedAt), Event: p.Event, Model: p.ModelID, Version: p.Version, Baseline: p.BaselineID,
				Issued: momentOf(p.IssuedAt), By: p.IssuedBy, Page: p.Page, Chain: "no"}
			if p.ChainTxID != nil {
				row.Chain = "block " + strconv.FormatInt(p.ChainBlock, 10) + " of chain " + p.ChainID
			}
			return row
		})
	case *anchor.Status:
		out := anchorsSheet{Origin: x.Origin, Size: x.Size, Every: x.Every, Quorum: x.Quorum, Cosigned: x.CosignedSize, Destinations: []destinationLine{}}
		for i := range x.Destinations {
			d := &x.Destinations[i]
			l := destinationLine{Kind: d.Kind, State: d.State, Error: d.Error, Since: momentOf(d.FailingSince), Leaves: d.Size, Asked: momentOf(d.TriedAt), Next: momentOf(d.NextAt),
				Alert: d.AlertID, Destination: d.Destination}
			if d.Anchor != nil {
				l.Anchor, l.AnchorState = d.Anchor.AnchorID, d.Anchor.State
			}
			out.Destinations = append(out.Destinations, l)
		}
		return out
	}
	return v
}
