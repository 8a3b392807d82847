package httpapi

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos/internal/auth"
	"caos/internal/evidence"
)

type evidenceList struct {
	Paging
	Package  string `query:"package_id" maxLength:"100"`
	Model    string `query:"model_id" maxLength:"100"`
	Type     string `query:"evidence_type" enum:"TEST_RESULT,LOG,METRIC,DOCUMENT"`
	Category string `query:"evidence_category" enum:"VERIFICATION,VALIDATION,AUDIT"`
	Verdict  string `query:"verdict" enum:"PASSED,FAILED,RECORDED"`
	Covers   string `query:"covers" maxLength:"64" doc:"names this requirement or objective"`
	Project  string `query:"project" maxLength:"100"`
}

type evidencePath struct {
	ID string `path:"evidence_id" maxLength:"120" example:"EVID-FCS-20261122T101500.123456Z"`
}

func (a *API) registerEvidence() {
	read := may("evidence:read")
	operation(a, get("/v1/evidence", read).as("list-evidence", "evidence", "List evidence, latest first"), a.listEvidence)
	operation(a, get("/v1/evidence/{evidence_id}", read).as("get-evidence", "evidence", "An item of evidence with its signed envelope"),
		func(c *call, p *evidencePath, _ *none) (*evidence.Item, error) { return a.evidenceItem(c, p.ID) })
	one := []*huma.Param{param("evidence_id", "path", "the item", words())}
	a.plain(get("/v1/evidence/{evidence_id}/artifact", read).as("get-artifact", "evidence", "The artifact itself"),
		huma.Operation{Parameters: one, Responses: binary("200", "The bytes that were collected; Content-Digest says which", "application/octet-stream")},
		func(c *call) error {
			it, err := a.evidenceItem(c, c.path("evidence_id"))
			if err != nil {
				return err
			}
			media := it.Summary.Format.MediaType()
			if strings.HasPrefix(media, "text/html") {
				media = "application/octet-stream" // nobody else's page is shown under this address
			}
			return a.serveObject(c, download{digest: it.Digest, media: media, name: it.EvidenceID + "." + string(it.Summary.Format)})
		})
	a.plain(get("/v1/evidence/{evidence_id}/envelope", read).as("get-envelope", "evidence", "The signed statement about the artifact"),
		huma.Operation{Parameters: one, Responses: binary("200", "DSSE with an in-toto statement", "application/vnd.dsse.envelope.v1+json")},
		func(c *call) error {
			it, err := a.evidenceItem(c, c.path("evidence_id"))
			if err != nil {
				return err
			}
			c.set("Content-Type", "application/vnd.dsse.envelope.v1+json")
			_, _ = c.w.Write([]byte(it.Envelope))
			return nil
		})
}

// evidenceItem returns an item that the caller may see.
func (a *API) evidenceItem(c *call, id string) (*evidence.Item, error) {
	it, err := a.Evidence.Get(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("evidence", err)
	}
	c.execution = it.ExecutionID
	return it, a.see(c, "evidence", auth.Resource{ID: it.EvidenceID, Project: it.Project, Classification: it.Classification, Owner: it.CollectedBy})
}

func (a *API) listEvidence(c *call, p *evidenceList, _ *none) (Page[evidence.Item], error) {
	page := Page[evidence.Item]{Items: []evidence.Item{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	f := evidence.Filter{PackageID: p.Package, ModelID: p.Model, Type: evidence.Type(p.Type), Category: evidence.Category(p.Category),
		Verdict: evidence.Verdict(p.Verdict), Covers: p.Covers, Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Evidence.List(c.ctx(), f, p.Cursor)
	page.NextCursor = next
	for _, it := range list {
		if sees.Sees(it.CollectedBy, it.Project, it.Classification) {
			page.Items = append(page.Items, *it)
		}
	}
	return page, err
}

// onlyProject narrows a filter to the one project that the caller sees, so that pages are
// full.
func onlyProject(sees auth.Visibility, asked string) string {
	if asked == "" && sees.Scoped && len(sees.Projects) == 1 {
		return sees.Projects[0]
	}
	return asked
}
