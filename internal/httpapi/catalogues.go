package httpapi

import "caos/internal/readiness"

type cataloguePath struct {
	ID string `path:"catalogue_id" maxLength:"64" example:"easa-cp-02"`
}

func (a *API) registerCatalogues() {
	read := may("plan:read")
	operation(a, get("/v1/objective-catalogues", read).as("list-objective-catalogues", "certification-plans", "The catalogues of objectives that plans are made from"),
		func(*call, *none, *none) (Page[*readiness.Catalogue], error) {
			list, err := readiness.Catalogues()
			return Page[*readiness.Catalogue]{Items: filled(list)}, err
		})
	operation(a, get("/v1/objective-catalogues/{catalogue_id}", read).as("get-objective-catalogue", "certification-plans", "A catalogue of objectives").
		about("Ids are the source's, titles are CAOS's own words: check them against the authority's text. Which ids were checked, and against what, is in the catalogue."),
		func(c *call, p *cataloguePath, _ *none) (*readiness.Catalogue, error) {
			k, err := readiness.CatalogueByID(p.ID)
			return k, c.unknown("catalogue", err)
		})
}
