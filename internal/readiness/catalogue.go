package readiness

import (
	"cmp"
	"embed"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"caos"
	"caos/internal/codec"
)

//go:embed catalogues/*.json
var catalogues embed.FS

// Bounds of a catalogue.
const (
	maxCatalogue  = 256 << 10 // bytes
	maxObjectives = 500
)

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

// catalogueID is the grammar of catalogue ids, objectiveID that of objectives.
var (
	catalogueID = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	objectiveID = regexp.MustCompile(`^[A-Z0-9]+([-.][A-Z0-9]+)*$`)
)

// ParseCatalogue reads a catalogue strictly and gives it its digest. Errors: Invalid naming
// the field, TooLarge.
func ParseCatalogue(data []byte) (*Catalogue, error) {
	var c Catalogue
	if err := codec.Decode(data, "application/json", &c, codec.Limits{MaxBytes: maxCatalogue, MaxDepth: 8, MaxNodes: 20 * maxObjectives}); err != nil {
		return nil, err
	}
	c.Digest = ""
	if err := c.check(); err != nil {
		return nil, err
	}
	body, err := codec.Canonical(c)
	if err != nil {
		return nil, err
	}
	c.Digest = digestOf(body)
	return &c, nil
}

func (c *Catalogue) check() error {
	if len(c.CatalogueID) > maxWord || !catalogueID.MatchString(c.CatalogueID) {
		return caos.Errorf(caos.Invalid, "%.80q is not the id of a catalogue", c.CatalogueID).WithField("catalogue_id").WithHint("small letters, digits and single dashes")
	}
	if err := cmp.Or(caos.CheckID("version", "version", c.Version), checkTitle("title", c.Title, maxLine), checkTitle("source", c.Source, maxLine),
		checkText("note", c.Note), checkText("checked", c.Checked)); err != nil {
		return err
	}
	if len(c.Objectives) == 0 || len(c.Objectives) > maxObjectives {
		return caos.Errorf(caos.Invalid, "a catalogue has 1 to %d objectives", maxObjectives).WithField("objectives")
	}
	seen := map[string]bool{}
	for i, o := range c.Objectives {
		at := fmt.Sprintf("objectives[%d].", i)
		if len(o.ID) > 32 || !objectiveID.MatchString(o.ID) || seen[o.ID] {
			return caos.Errorf(caos.Invalid, "%.80q is not the id of an objective, or is there twice", o.ID).WithField(at + "id")
		}
		seen[o.ID] = true
		if err := cmp.Or(checkTitle(at+"chapter", o.Chapter, maxLine), checkTitle(at+"title", o.Title, maxLine)); err != nil {
			return err
		}
		for _, l := range o.Levels {
			if err := checkTitle(at+"levels", l, 16); err != nil {
				return err
			}
		}
	}
	return nil
}

// Catalogues returns the catalogues that CAOS brings along, in the order of their ids.
func Catalogues() ([]*Catalogue, error) {
	files, err := catalogues.ReadDir("catalogues")
	if err != nil {
		return nil, fmt.Errorf("readiness: read the catalogues: %w", err)
	}
	out := []*Catalogue{}
	for _, f := range files {
		data, err := catalogues.ReadFile("catalogues/" + f.Name())
		if err != nil {
			return nil, fmt.Errorf("readiness: read the catalogues: %w", err)
		}
		c, err := ParseCatalogue(data)
		if err != nil {
			return nil, caos.Wrap(caos.Internal, err, "the catalogue %s cannot be read", f.Name())
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *Catalogue) int { return strings.Compare(a.CatalogueID, b.CatalogueID) })
	return out, nil
}

// CatalogueByID returns a catalogue that CAOS brings along, or a NotFound error.
func CatalogueByID(id string) (*Catalogue, error) {
	all, err := Catalogues()
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(all))
	for i, c := range all {
		if c.CatalogueID == id {
			return c, nil
		}
		ids[i] = c.CatalogueID
	}
	return nil, caos.Errorf(caos.NotFound, "there is no catalogue %.80q", id).WithField("catalogue_id").WithHint("there is %s", strings.Join(ids, ", "))
}
