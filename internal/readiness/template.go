package readiness

import (
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
)

// ShippedTemplate is the id of the checklist template that CAOS brings along: the readiness
// checklist that MODEL.PRR asks for unless told otherwise.
const ShippedTemplate = "95-00-09-01-005"

// Bounds of a template.
const (
	maxTemplate      = 256 << 10 // bytes of the text
	maxTemplateItems = 500
	maxGroups        = 100
	maxAliases       = 20 // names of one item in other files
	maxQuestion      = 1000
	maxTemplatePage  = 50 // templates of one list: they come whole
)

// Criticality says whether a checklist item may be open when a version is approved.
type Criticality string

// The criticalities. Stored.
const (
	CriticalItem Criticality = "CRITICAL" // open, it stands against every approval
	MinorItem    Criticality = "MINOR"    // open, it allows a conditional one at most
)

// What a freeze itself shows about a version: an item of a template that names one of these
// is completed when the checklist is opened. Part of templates: do not rename.
const (
	FactFrozen       = "baseline-frozen"
	FactVV           = "vv-passed"
	FactTraced       = "requirements-traced"
	FactNoProblems   = "no-blocking-problems"
	FactSafety       = "safety-assessment-approved"
	FactDocuments    = "documents-reviewed"
	FactPassportMade = "passport-made"
)

// Facts lists the facts that an item may name.
func Facts() []string {
	return []string{FactFrozen, FactVV, FactTraced, FactNoProblems, FactSafety, FactDocuments, FactPassportMade}
}

// Template is a version of a checklist template. A version never changes.
type Template struct {
	TemplateID     string    `json:"template_id"` // a document id
	Version        string    `json:"version"`     // 1, 1.0, 2.1.3
	Title          string    `json:"title"`
	Source         string    `json:"source,omitempty"` // where its questions come from
	Groups         []Group   `json:"groups"`
	Digest         string    `json:"digest"`  // SHA256:… of the canonical JSON of all of the above
	Project        string    `json:"project"` // "" for one that every project may use
	Classification string    `json:"classification"`
	RegisteredAt   time.Time `json:"registered_at"`
	RegisteredBy   string    `json:"registered_by"`
}

// Group is a heading of a checklist and the items under it.
type Group struct {
	ID    string         `json:"id"` // M1
	Title string         `json:"title"`
	Items []TemplateItem `json:"items"`
}

// TemplateItem is a question that a board wants answered.
type TemplateItem struct {
	ItemID       string      `json:"item_id"` // 1.1
	Title        string      `json:"title"`
	Question     string      `json:"question"`
	Criticality  Criticality `json:"criticality,omitempty"` // CRITICAL unless told
	OwnerRole    string      `json:"owner_role,omitempty"`  // whose work it usually is
	EvidenceHint string      `json:"evidence_hint,omitempty"`
	Fact         string      `json:"fact,omitempty"`        // one of Facts, "" for none
	AlsoCalled   []string    `json:"also_called,omitempty"` // its name in other files, "Category / Item"
}

// Items are the items of all groups, in order.
func (t *Template) Items() []TemplateItem {
	var out []TemplateItem
	for _, g := range t.Groups {
		out = append(out, g.Items...)
	}
	return out
}

// templateText is a template as it is written, and what its digest is made of.
type templateText struct {
	TemplateID string  `json:"template_id"`
	Version    string  `json:"version"`
	Title      string  `json:"title"`
	Source     string  `json:"source,omitempty"`
	Groups     []Group `json:"groups"`
}

//go:embed templates/*.yaml
var shipped embed.FS

// ParseTemplate reads a template from YAML, or from JSON if contentType says so. It is
// strict: keys that are not known, ids twice, too many or no items are Invalid or TooLarge,
// and Field names the place. What is left out of an item is filled in.
func ParseTemplate(data []byte, contentType string) (Template, error) {
	var text templateText
	lim := codec.Limits{MaxBytes: maxTemplate, MaxDepth: 8, MaxNodes: 20 * (maxTemplateItems + maxGroups)}
	if err := codec.Decode(data, cmp.Or(contentType, "application/yaml"), &text, lim); err != nil {
		return Template{}, err
	}
	t := Template{TemplateID: text.TemplateID, Version: text.Version, Title: text.Title, Source: text.Source, Groups: text.Groups}
	for g := range t.Groups {
		for i := range t.Groups[g].Items {
			it := &t.Groups[g].Items[i]
			it.Criticality = cmp.Or(it.Criticality, CriticalItem)
		}
	}
	if err := t.check(); err != nil {
		return Template{}, err
	}
	digest, err := t.digest()
	t.Digest = digest
	return t, err
}

func (t *Template) digest() (string, error) {
	text, err := codec.Canonical(templateText{t.TemplateID, t.Version, t.Title, t.Source, t.Groups})
	if err != nil {
		return "", fmt.Errorf("readiness: digest of template %s: %w", t.TemplateID, err)
	}
	sum := sha256.Sum256(text)
	return "SHA256:" + hex.EncodeToString(sum[:]), nil
}

// templateVersion and itemID are the grammars of a template's version and of the ids in it,
// which stand in paths and in what people sign.
var (
	templateVersion = regexp.MustCompile(`^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){0,3}$`)
	itemID          = regexp.MustCompile(`^[A-Za-z0-9]+([._-][A-Za-z0-9]+)*$`)
)

func checkItemID(field, id string) error {
	if len(id) > 32 || !itemID.MatchString(id) {
		return caos.Errorf(caos.Invalid, "%.40q is not the id of an item or group", id).WithField(field).
			WithHint("at most 32 letters and digits with single . - or _ between them, such as 1.1")
	}
	return nil
}

func (t *Template) check() error {
	if err := caos.CheckID("document", "template_id", t.TemplateID); err != nil {
		return err
	}
	if len(t.Version) > 16 || !templateVersion.MatchString(t.Version) {
		return caos.Errorf(caos.Invalid, "%.40q is not the version of a template", t.Version).WithField("version").WithHint("numbers such as 1.0, in quotes in YAML")
	}
	if err := cmp.Or(checkTitle("title", t.Title, maxLine), checkLine("source", t.Source, maxLine)); err != nil {
		return err
	}
	if len(t.Groups) > maxGroups {
		return caos.Errorf(caos.TooLarge, "the template has more than %d groups", maxGroups).WithField("groups")
	}
	seen, names := map[string]string{}, map[string]string{}
	items := 0
	for g := range t.Groups {
		group, at := &t.Groups[g], fmt.Sprintf("groups[%d]", g)
		if err := cmp.Or(checkItemID(at+".id", group.ID), checkTitle(at+".title", group.Title, maxLine), once(seen, "group "+group.ID, at+".id")); err != nil {
			return err
		}
		if len(group.Items) == 0 {
			return caos.Errorf(caos.Invalid, "the group %s has no items", group.ID).WithField(at + ".items").WithRule(RuleTemplateItems).WithHint("give it one, or leave the group out")
		}
		if items += len(group.Items); items > maxTemplateItems {
			return caos.Errorf(caos.TooLarge, "the template has more than %d items", maxTemplateItems).WithField(at + ".items")
		}
		for i := range group.Items {
			field := fmt.Sprintf("%s.items[%d]", at, i)
			if err := cmp.Or(group.Items[i].check(field, names), once(seen, "item "+group.Items[i].ItemID, field+".item_id")); err != nil {
				return err
			}
		}
	}
	if items == 0 {
		return caos.Errorf(caos.Invalid, "the template has no items").WithField("groups").WithRule(RuleTemplateItems).WithHint("a checklist without a question proves nothing: give it groups with items")
	}
	return nil
}

// once refuses what was there before.
func once(seen map[string]string, what, field string) error {
	if first, ok := seen[what]; ok {
		return caos.Errorf(caos.Invalid, "the %s is there already, in %s", what, first).WithField(field).WithHint("ids are used once in a template")
	}
	seen[what] = field
	return nil
}

func (i *TemplateItem) check(at string, names map[string]string) error {
	err := cmp.Or(
		checkItemID(at+".item_id", i.ItemID),
		checkTitle(at+".title", i.Title, maxLine),
		checkTitle(at+".question", i.Question, maxQuestion),
		caos.CheckWord(at+".criticality", string(i.Criticality), []string{string(CriticalItem), string(MinorItem)}),
		caos.CheckWord(at+".owner_role", i.OwnerRole, append(caos.Roles(), "")),
		checkLine(at+".evidence_hint", i.EvidenceHint, maxLine),
		caos.CheckWord(at+".fact", i.Fact, append(Facts(), "")),
	)
	if err != nil {
		return err
	}
	if len(i.AlsoCalled) > maxAliases {
		return caos.Errorf(caos.TooLarge, "more than %d other names", maxAliases).WithField(at + ".also_called")
	}
	for n, name := range i.AlsoCalled {
		field := fmt.Sprintf("%s.also_called[%d]", at, n)
		if err := cmp.Or(checkTitle(field, name, maxLine), once(names, "name "+plainName(name), field)); err != nil {
			return err
		}
	}
	return nil
}

// plainName is a name without what people write one way or another: case and spaces.
func plainName(s string) string { return strings.Join(strings.Fields(strings.ToLower(s)), " ") }

// compareTemplateVersions orders versions by their numbers; 1 and 1.0 are equal.
func compareTemplateVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if c := cmp.Compare(versionNumber(x, i), versionNumber(y, i)); c != 0 {
			return c
		}
	}
	return 0
}

func versionNumber(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, err := strconv.Atoi(parts[i])
	if err != nil {
		return 0 // the grammar has digits alone
	}
	return n
}

// RegisterTemplate registers a version of a template, which supersedes those before:
// checklists that are open keep the version that they were opened with. The same version
// with the same content changes nothing. Conflict if the version says something else, is
// not later than the latest, or the template belongs to another project.
func (r *Readiness) RegisterTemplate(tx *db.Tx, t Template, by By) (*Template, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if err := checkScope(t.Project, t.Classification); err != nil {
		return nil, err
	}
	t.Classification = cmp.Or(t.Classification, "Internal")
	var err error
	if t.Digest, err = t.digest(); err != nil {
		return nil, err
	}
	same, err := templateOf(within(tx), t.TemplateID, t.Version)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return nil, err
	}
	if same != nil && same.Digest == t.Digest && same.Project == t.Project {
		return same, nil
	}
	if same != nil && same.Project == t.Project {
		return nil, caos.Errorf(caos.Conflict, "version %s of the template %s is registered and says something else", t.Version, t.TemplateID).WithField("version").
			WithHint("a version never changes: give yours the next number")
	}
	seq := int64(1)
	latest, err := templateOf(within(tx), t.TemplateID, "")
	switch {
	case caos.KindOf(err) == caos.NotFound:
	case err != nil:
		return nil, err
	case latest.Project != t.Project:
		return nil, caos.Errorf(caos.Conflict, "the template id %s is taken", t.TemplateID).WithField("template_id").
			WithHint("it belongs to another project, or to all of them: give yours another id")
	case compareTemplateVersions(t.Version, latest.Version) <= 0:
		return nil, caos.Errorf(caos.Conflict, "version %s of the template %s is not later than %s", t.Version, t.TemplateID, latest.Version).WithField("version").
			WithHint("give it a number above %s", latest.Version)
	case caos.Sensitivity(t.Classification) < caos.Sensitivity(latest.Classification):
		return nil, caos.Errorf(caos.Invalid, "the template %s is %s, and a new version is not less", t.TemplateID, latest.Classification).WithField("classification")
	default:
		if err := tx.QueryRow(`SELECT COALESCE(MAX(seq), 0) + 1 FROM checklist_templates WHERE template_id = $1`, t.TemplateID).Scan(&seq); err != nil {
			return nil, err
		}
	}
	return &t, r.insertTemplate(tx, &t, seq, by)
}

func (r *Readiness) insertTemplate(tx *db.Tx, t *Template, seq int64, by By) error {
	body, err := codec.Canonical(templateText{t.TemplateID, t.Version, t.Title, t.Source, t.Groups})
	if err != nil {
		return fmt.Errorf("readiness: store template %s: %w", t.TemplateID, err)
	}
	t.RegisteredAt, t.RegisteredBy = r.now(), by.Actor
	tx.ExecOne(nil, `INSERT INTO checklist_templates (template_id, version, seq, title, digest, body, project, classification, registered_at, registered_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		t.TemplateID, t.Version, seq, t.Title, t.Digest, string(body), t.Project, t.Classification, t.RegisteredAt.UnixMicro(), by.Actor)
	return r.record(tx, by, auditlog.Record{Resources: []string{t.TemplateID}, Project: t.Project, Classification: t.Classification,
		Details: map[string]any{"event": "checklist template registered", "version": t.Version, "digest": t.Digest, "items": len(t.Items())}})
}

// Ship registers the templates that CAOS brings along. A template that the organisation has
// registered a version of itself is theirs from then on.
func (r *Readiness) Ship(ctx context.Context) error {
	names, err := shipped.ReadDir("templates")
	if err != nil {
		return fmt.Errorf("readiness: read the templates: %w", err)
	}
	for _, f := range names {
		data, err := shipped.ReadFile("templates/" + f.Name())
		if err != nil {
			return fmt.Errorf("readiness: read the templates: %w", err)
		}
		t, err := ParseTemplate(data, "")
		if err != nil {
			return fmt.Errorf("readiness: template %s: %w", f.Name(), err)
		}
		t.Classification = "Public"
		latest, err := r.Template(ctx, t.TemplateID, "")
		if err != nil && caos.KindOf(err) != caos.NotFound {
			return err
		}
		if current(latest, &t) {
			continue
		}
		err = r.db.Update(ctx, func(tx *db.Tx) error {
			latest, err := templateOf(within(tx), t.TemplateID, "")
			if err != nil && caos.KindOf(err) != caos.NotFound || current(latest, &t) { // another node was first
				return err
			}
			_, err = r.RegisterTemplate(tx, t, By{Actor: caos.SystemPrincipal().ID})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// current reports whether what is registered makes a shipped template unnecessary.
func current(latest, t *Template) bool {
	return latest != nil && (latest.RegisteredBy != caos.SystemPrincipal().ID || compareTemplateVersions(latest.Version, t.Version) >= 0)
}

const templateColumns = `template_id, version, title, digest, body, project, classification, registered_at, registered_by`

func scanTemplate(scan func(...any) error) (*Template, error) {
	var t Template
	var body string
	var at int64
	if err := scan(&t.TemplateID, &t.Version, &t.Title, &t.Digest, &body, &t.Project, &t.Classification, &at, &t.RegisteredBy); err != nil {
		return nil, err
	}
	var text templateText
	if err := readJSON(body, &text); err != nil {
		return nil, err
	}
	t.Source, t.Groups, t.RegisteredAt = text.Source, text.Groups, db.Moment(at)
	return &t, nil
}

func templateOf(q query, id, version string) (*Template, error) {
	if !db.Storable(id) || !db.Storable(version) {
		return nil, noTemplate(id)
	}
	sql, args := `SELECT `+templateColumns+` FROM checklist_templates WHERE template_id = $1 ORDER BY seq DESC LIMIT 1`, []any{id}
	if version != "" {
		sql, args = `SELECT `+templateColumns+` FROM checklist_templates WHERE template_id = $1 AND version = $2`, []any{id, version}
	}
	var t *Template
	err := q(sql, args, func(scan func(...any) error) (err error) {
		t, err = scanTemplate(scan)
		return err
	})
	if err == nil && t == nil {
		err = noTemplate(id)
	}
	return t, err
}

func noTemplate(id string) error {
	return caos.Errorf(caos.NotFound, "there is no checklist template %.80s", id).WithField("template_id").WithHint("caos checklist template list shows those there are")
}

// Template returns a version of a template, the latest for "", or a NotFound error.
func (r *Readiness) Template(ctx context.Context, id, version string) (*Template, error) {
	return templateOf(r.pool(ctx), id, version)
}

// TemplateIn returns a version of a template as a transaction sees it, the latest for "".
func (r *Readiness) TemplateIn(tx *db.Tx, id, version string) (*Template, error) {
	return templateOf(within(tx), id, version)
}

// TemplateFilter chooses templates; empty fields match all.
type TemplateFilter struct {
	TemplateID, Project string
	Limit               int // of a page; 0 means 50, which is the most: they come whole
}

// Templates lists template versions, latest first. cursor is "" and then the one returned.
func (r *Readiness) Templates(ctx context.Context, f TemplateFilter, cursor string) ([]*Template, string, error) {
	w := new(db.Where)
	w.Is("template_id", f.TemplateID)
	w.Is("project", f.Project)
	if f.Limit <= 0 || f.Limit > maxTemplatePage {
		f.Limit = maxTemplatePage
	}
	const key = "template_id || ' ' || version" // tells apart those of one moment
	return db.Page(r.pool(ctx), w, db.Listing[*Template]{Columns: templateColumns, From: "checklist_templates", At: "registered_at", ID: key, Limit: f.Limit,
		Scan: scanTemplate,
		Key:  func(t *Template) (time.Time, string) { return t.RegisteredAt, t.TemplateID + " " + t.Version },
	}, cursor)
}

// checkScope refuses a project or classification that cannot be one.
func checkScope(project, classification string) error {
	if err := checkLine("project", project, maxWord); err != nil || classification == "" {
		return err
	}
	return caos.CheckWord("classification", classification, caos.Classifications())
}
