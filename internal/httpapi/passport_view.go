package httpapi

import (
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"rsc.io/qr"

	"caos"
	"caos/internal/dpp"
)

// What a passport's page shows besides the credential: its history, the address as a QR
// code, and for those who may read the passport the annex and all that belongs to it.

// linesShown is how many lines of a passport's history, and rows of an annex, a page lists.
const linesShown = 100

// passportLine is a line of a passport's history.
type passportLine struct {
	At   time.Time
	Says string
	Link string // "" if there is nothing to be seen
	More string // an address or a reason, below it
}

// passportLink is a link with the words that stand for it.
type passportLink struct{ Says, Link string }

// annexView is what a page shows of an annex.
type annexView struct {
	IssuedBy  string              `json:"issued_by"`
	Execution string              `json:"execution_id"`
	Artifacts []dpp.ArtifactHash  `json:"artifacts"`
	Documents []dpp.DocumentFacts `json:"documents"`
	Metadata  json.RawMessage     `json:"metadata"`
	Remarks   string              `json:"-"` // Metadata for people, "" if there is none
	More      int                 `json:"-"` // rows that are not shown
}

// passportLines fills in the history: for everybody what happened, for who may read the
// passport by whom and where to see it. Evidence is counted and not named here.
func (a *API) passportLines(c *call, row *dpp.Passport, v *passportView) error {
	entries, _, err := a.Passports.History(c.ctx(), row.PassportID, linesShown, "")
	if err != nil {
		return err
	}
	seen := func(string) (bool, error) { return false, nil }
	if v.SignedIn != "" {
		if seen, err = a.evidenceSeen(c); err != nil {
			return err
		}
	}
	for _, e := range entries {
		line := passportLine{At: e.At}
		switch e.Kind {
		case dpp.KindIssued:
			line.Says = "Issued and signed"
		case dpp.KindChain:
			line.Says, line.More = "Recorded on the chain", e.Subject
		case dpp.KindWithdrawn:
			line.Says, line.More = "On the chain no more", e.Subject
		case dpp.KindPinned:
			line.Says, line.More = "Published on IPFS", e.Subject
		case dpp.KindRevoked:
			line.Says = "Revoked"
		case dpp.KindRollback:
			line.Says = "The version was taken out of service"
		case dpp.KindRetirement:
			line.Says = "The version was retired"
		case dpp.KindEvidence:
			may, err := seen(e.Subject)
			if err != nil {
				return err
			}
			if may {
				v.Items = append(v.Items, passportLink{e.Subject, dpp.EvidencePath(e.Subject)})
			}
			continue
		default:
			continue // a kind that a later version wrote: not everybody may know what it says
		}
		if v.SignedIn != "" {
			line.Says += ", by " + e.Actor
		}
		v.History = append(v.History, line)
	}
	return nil
}

// restrictedView fills in what is only for those who may read the passport.
func (a *API) restrictedView(c *call, row *dpp.Passport, v *passportView) error {
	raw, err := a.Passports.Annex(row)
	if err != nil {
		return err
	}
	var annex annexView
	if err := json.Unmarshal(raw, &annex); err != nil {
		return caos.Wrap(caos.Internal, err, "the annex of %s cannot be read", row.PassportID)
	}
	annex.Remarks = remarks(annex.Metadata)
	annex.More = max(0, len(annex.Artifacts)-linesShown) + max(0, len(annex.Documents)-linesShown)
	annex.Artifacts, annex.Documents = annex.Artifacts[:min(len(annex.Artifacts), linesShown)], annex.Documents[:min(len(annex.Documents), linesShown)]
	v.Annex = &annex
	links, err := a.Passports.Links(c.ctx(), row.PassportID, func(string) (bool, error) { return false, nil })
	if err != nil {
		return err
	}
	v.Links = a.labelled(links)
	return nil
}

// labelled puts the links of a passport into words, without those that are on the page anyhow.
func (a *API) labelled(l *dpp.Links) (out []passportLink) {
	add := func(says string, address *string) {
		if address != nil {
			out = append(out, passportLink{says, strings.TrimPrefix(*address, a.BaseURL)})
		}
	}
	add("The baseline's manifest: every file with its digest, signed", l.BaselineManifest)
	add("The V&V report on which it was frozen", l.VVReport)
	add("What it was made from", l.Lineage)
	for i := range l.Deployments {
		add("Deployment "+l.Deployments[i][strings.LastIndexByte(l.Deployments[i], '/')+1:], &l.Deployments[i])
	}
	add("The transaction on the chain, with its receipt", l.ChainTransaction)
	return out
}

// remarks writes what the caller said of the event, a member a line; "" for nothing.
func remarks(metadata json.RawMessage) string {
	var members map[string]json.RawMessage
	if json.Unmarshal(metadata, &members) != nil || len(members) == 0 {
		return ""
	}
	var names []string
	for name := range members {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		text := string(members[name])
		var plain string
		if json.Unmarshal(members[name], &plain) == nil {
			text = plain
		}
		fmt.Fprintf(&b, "%s: %s\n", name, clip(text, 1000))
	}
	return b.String()
}

// qrPicture draws a text as a QR code: dark on white whatever the colours of the page, with
// the white margin of four modules that readers look for.
func qrPicture(text string) (template.HTML, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", caos.Wrap(caos.Internal, err, "the address of %d bytes has no QR code", len(text))
	}
	const margin = 4
	var b strings.Builder
	side := code.Size + 2*margin
	fmt.Fprintf(&b, `<svg class="qr" viewBox="0 0 %d %d" role="img" aria-label="QR code of this page's address"><path fill="#fff" d="M0 0h%dv%dH0z"/><path fill="#000" shape-rendering="crispEdges" d="`, side, side, side, side)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			from := x
			for x < code.Size && code.Black(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", from+margin, y+margin, x-from, x-from)
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return template.HTML(b.String()), nil //nolint:gosec // numbers and our own words
}
