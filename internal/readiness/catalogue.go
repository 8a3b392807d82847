package readiness

// Catalogue is a version of a list of objectives that an authority publishes, as data.
type Catalogue struct {
	CatalogueID string      `json:"catalogue_id"` // easa-cp-02
	Version     string      `json:"version"`      // of this data, not of the source
	Title       string      `json:"title"`
	Source      string      `json:"source"`  // the document it follows
	Note        string      `json:"note"`    // how far it may be relied on
	Checked     string      `json:"checked"` // against what ids were checked
	Objectives  []Objective `json:"objectives"`
	Digest      string      `json:"digest,omitempty"` // SHA256:… of its canonical JSON without this field
}

// Objective is an objective of a catalogue.
type Objective struct {
	ID      string   `json:"id"`
	Chapter string   `json:"chapter"`
	Title   string   `json:"title"`            // in our own words
	Levels  []string `json:"levels,omitempty"` // AI levels to which it is limited; none: see the source
	Checked bool     `json:"checked"`          // the id was checked as Catalogue.Checked says
}

// Catalogues returns the catalogues that CAOS brings along, the newest version of each, in
// the order of their ids.
func Catalogues() ([]*Catalogue, error) { return nil, notYet() }

// CatalogueByID returns a catalogue that CAOS brings along, or a NotFound error.
func CatalogueByID(id string) (*Catalogue, error) { return nil, notYet() }
