package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
)

// Relation says what the target of a link does to its source. The codes and the direction are
// the programme's: in its matrix a requirement IMPL a process is a process that implements the
// requirement.
type Relation string

// The relations. Stored.
const (
	Derives    Relation = "DRVF" // derived from
	Refines    Relation = "REFN" // refines
	Implements Relation = "IMPL" // implements
	Validates  Relation = "VALD" // validates
	Depends    Relation = "DEPO" // depends on
	Parent     Relation = "PRNT" // parent of
	References Relation = "REFS" // references
	Supersedes Relation = "SUPR" // supersedes
)

// Relations lists the codes in the order of the programme's documents.
func Relations() []string {
	return []string{string(Derives), string(Refines), string(Implements), string(Validates), string(Depends), string(Parent), string(References), string(Supersedes)}
}

// Link is a traceability link. Its ends, relation and project make it; everything else may
// change.
type Link struct {
	LinkID         string    `json:"link_id"` // LINK-<20 hex digits>, made from project, ends and relation
	SourceID       string    `json:"source_id"`
	SourceType     string    `json:"source_type"`
	TargetID       string    `json:"target_id"`
	TargetType     string    `json:"target_type"`
	Relation       Relation  `json:"relation"`
	Rationale      string    `json:"rationale"`
	Status         string    `json:"status"`      // as stated, such as ACTIVE
	VerifiedOn     string    `json:"verified_on"` // YYYY-MM-DD, "" for never
	VerifiedBy     string    `json:"verified_by"` // as stated: a person, a team, a role
	Source         string    `json:"source"`      // statement that it comes from, "" if a person made it
	Project        string    `json:"project"`
	Classification string    `json:"classification"`
	CreatedAt      time.Time `json:"created_at"`
	CreatedBy      string    `json:"created_by"`
	UpdatedAt      time.Time `json:"updated_at"`
	UpdatedBy      string    `json:"updated_by"`
	Revision       int64     `json:"revision"`
}

// Outcome is what putting something did.
type Outcome string

// The outcomes of putting.
const (
	Created   Outcome = "CREATED"
	Updated   Outcome = "UPDATED"
	Unchanged Outcome = "UNCHANGED"
)

// MaxPut is how many links or statements one call puts: more would hold up everybody's
// transactions.
const MaxPut = 500

// linkID makes the id of a link from what makes the link.
func linkID(l *Link) string {
	sum := sha256.Sum256([]byte(l.Project + "\x00" + l.SourceID + "\x00" + l.TargetID + "\x00" + string(l.Relation)))
	return "LINK-" + hex.EncodeToString(sum[:10])
}

// Check refuses what cannot be a link, naming the field.
func (l *Link) Check() error {
	if err := caos.CheckID("resource", "source_id", l.SourceID); err != nil {
		return err
	}
	if err := caos.CheckID("resource", "target_id", l.TargetID); err != nil {
		return err
	}
	if l.SourceID == l.TargetID {
		return caos.Errorf(caos.Invalid, "a link leads from one thing to another").WithField("target_id")
	}
	if err := caos.CheckWord("relation", string(l.Relation), Relations()); err != nil {
		return err
	}
	for _, f := range []struct {
		name, text string
		most       int
		needed     bool
	}{
		{"source_type", l.SourceType, maxWord, true}, {"target_type", l.TargetType, maxWord, true}, {"status", l.Status, maxWord, true},
		{"verified_by", l.VerifiedBy, maxLine, false},
	} {
		if f.needed && strings.TrimSpace(f.text) == "" {
			return caos.Errorf(caos.Invalid, "it is missing").WithField(f.name)
		}
		if err := checkLine(f.name, f.text, f.most); err != nil {
			return err
		}
	}
	if err := checkText("rationale", l.Rationale); err != nil {
		return err
	}
	if err := CheckDate("verified_on", l.VerifiedOn); err != nil {
		return err
	}
	return checkScope(l.Project, l.Classification)
}

// CheckDate refuses what is neither a day (YYYY-MM-DD) nor empty.
func CheckDate(field, day string) error {
	if day == "" {
		return nil
	}
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return caos.Errorf(caos.Invalid, "%.40q is not a day", day).WithField(field).WithHint("write it as YYYY-MM-DD")
	}
	return nil
}

// PutLink makes a link, or changes what is said of the one with these ends and relation in
// the project. An empty status is ACTIVE. Errors: Invalid naming the field; Denied if an
// end is a model of another project, or if a model's owner would be rid of a requirement.
func (r *Registry) PutLink(tx *db.Tx, l Link, by By) (*Link, Outcome, error) {
	if l.Status == "" {
		l.Status = "ACTIVE"
	}
	links := []Link{l}
	out, err := r.PutLinks(tx, links, by)
	if err != nil {
		return nil, "", err
	}
	return &links[0], out[0], nil
}

// PutLinks puts up to MaxPut links and records them together. The links are filled in with
// what is stored then.
func (r *Registry) PutLinks(tx *db.Tx, links []Link, by By) ([]Outcome, error) {
	if len(links) > MaxPut {
		return nil, caos.Errorf(caos.TooLarge, "%d links at once, the limit is %d", len(links), MaxPut)
	}
	ids := make([]string, len(links))
	for i := range links {
		if err := links[i].Check(); err != nil {
			return nil, err
		}
		links[i].LinkID = linkID(&links[i])
		ids[i] = links[i].LinkID
	}
	if err := r.ownEnds(tx, links); err != nil {
		return nil, err
	}
	there := map[string]*Link{}
	if err := perID(within(tx), `SELECT `+linkColumns+` FROM links WHERE link_id = {{id}}`, ids, func(scan func(...any) error) error {
		l, err := scanLink(scan)
		if err == nil {
			there[l.LinkID] = l
		}
		return err
	}); err != nil {
		return nil, err
	}
	out, changed := make([]Outcome, len(links)), map[string]any{}
	var resources []string
	for i := range links {
		l := &links[i]
		if old := there[l.LinkID]; old != nil {
			l.Classification = caos.Stricter(old.Classification, l.Classification)
			if err := r.guard(tx, old, l, by); err != nil {
				return nil, err
			}
		}
		out[i] = r.putLink(tx, l, there[l.LinkID], by)
		if out[i] != Unchanged {
			there[l.LinkID] = l
			resources = append(resources, l.LinkID)
			changed[l.LinkID] = l.SourceID + " " + string(l.Relation) + " " + l.TargetID
		}
	}
	if len(resources) == 0 {
		return out, nil
	}
	return out, r.record(tx, by, note{Event: "links put", Resources: resources, Project: links[0].Project, Classification: links[0].Classification,
		Details: map[string]any{"links": changed, "source": links[0].Source}})
}

// putLink writes a link beside the one that is there, nil for none.
func (r *Registry) putLink(tx *db.Tx, l, old *Link, by By) Outcome {
	now := r.now()
	if old == nil {
		l.CreatedAt, l.CreatedBy, l.UpdatedAt, l.UpdatedBy, l.Revision = now, by.Actor, now, by.Actor, 1
		tx.Exec(`INSERT INTO links (`+linkColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
			l.LinkID, l.SourceID, l.SourceType, l.TargetID, l.TargetType, string(l.Relation), l.Rationale, l.Status, l.VerifiedOn, l.VerifiedBy,
			l.Source, l.Project, l.Classification, now.UnixMicro(), by.Actor, now.UnixMicro(), by.Actor, l.Revision)
		return Created
	}
	said := *l
	l.CreatedAt, l.CreatedBy, l.UpdatedAt, l.UpdatedBy, l.Revision = old.CreatedAt, old.CreatedBy, old.UpdatedAt, old.UpdatedBy, old.Revision
	// What the last file or person said is kept as long as it says the same.
	said.Source, said.CreatedAt, said.CreatedBy, said.UpdatedAt, said.UpdatedBy, said.Revision =
		old.Source, old.CreatedAt, old.CreatedBy, old.UpdatedAt, old.UpdatedBy, old.Revision
	if said == *old {
		l.Source = old.Source
		return Unchanged
	}
	l.UpdatedAt, l.UpdatedBy, l.Revision = now, by.Actor, old.Revision+1
	tx.ExecOne(caos.Errorf(caos.Conflict, "the link %s was changed meanwhile", l.LinkID),
		`UPDATE links SET source_type = $1, target_type = $2, rationale = $3, status = $4, verified_on = $5, verified_by = $6, source = $7,
			classification = $8, updated_at = $9, updated_by = $10, revision = $11 WHERE link_id = $12 AND revision = $13`,
		l.SourceType, l.TargetType, l.Rationale, l.Status, l.VerifiedOn, l.VerifiedBy, l.Source, l.Classification,
		now.UnixMicro(), by.Actor, l.Revision, l.LinkID, old.Revision)
	return Updated
}

// ownEnds refuses links to models of another project: a link to a requirement decides what
// a freeze of the model has to show.
func (r *Registry) ownEnds(tx *db.Tx, links []Link) error {
	at, ids := map[string]int{}, []string(nil)
	for i := range links {
		for _, end := range []string{links[i].SourceID, links[i].TargetID} {
			id, ok := modelOf(end)
			if _, seen := at[id]; ok && !seen {
				at[id] = i
				ids = append(ids, id)
			}
		}
	}
	return perID(within(tx), `SELECT model_id, project FROM models WHERE model_id = {{id}}`, ids, func(scan func(...any) error) error {
		var id, project string
		if err := scan(&id, &project); err != nil {
			return err
		}
		if project != links[at[id]].Project {
			return caos.Errorf(caos.Denied, "the model %s belongs to another project", id).WithField("project").WithRule("need-to-know").
				WithHint("link it in its own project")
		}
		return nil
	})
}

// guard refuses when somebody who owns or owned a model takes a requirement off it: a freeze
// has to show that each is verified. after is what becomes of the link, nil for nothing.
func (r *Registry) guard(tx *db.Tx, l, after *Link, by By) error {
	for _, end := range []struct{ model, kind, after string }{{l.SourceID, l.TargetType, targetType(after)}, {l.TargetID, l.SourceType, sourceType(after)}} {
		id, ok := modelOf(end.model)
		if !ok || !requirement(end.kind) || requirement(end.after) {
			continue
		}
		if err := r.notByOwner(tx, id, "take a requirement off it", by); err != nil {
			return err
		}
	}
	return nil
}

func sourceType(l *Link) string {
	if l == nil {
		return ""
	}
	return l.SourceType
}

func targetType(l *Link) string {
	if l == nil {
		return ""
	}
	return l.TargetType
}

// requirement reports whether a type of a link's end is that of requirements.
func requirement(kind string) bool { return strings.EqualFold(strings.TrimSpace(kind), "requirement") }

// modelOf returns the model that the end of a link names: by its id, by one of its versions
// or by a baseline.
func modelOf(end string) (string, bool) {
	if id, _, err := ParseBaselineID(end); err == nil {
		return id, true
	}
	id, _, _ := strings.Cut(end, "@")
	return id, caos.CheckID("model", "", id) == nil
}

// ParseBaselineID returns the model and the version of which a baseline with this id is:
// the reverse of BaselineID. BL-FCS-2.1.0 is of NN-FCS-001, BL-FCS-002-1.0.0 of NN-FCS-002.
func ParseBaselineID(id string) (modelID, version string, err error) {
	bad := caos.Errorf(caos.Invalid, "%.80q is not a baseline id", id).WithHint("a baseline id is such as BL-FCS-2.1.0")
	rest, ok := strings.CutPrefix(id, "BL-")
	system, rest, found := strings.Cut(rest, "-")
	if !ok || !found {
		return "", "", bad
	}
	serial := "001"
	if first, after, _ := strings.Cut(rest, "-"); after != "" && !strings.Contains(first, ".") {
		serial, rest = first, after
	}
	modelID = "NN-" + system + "-" + serial
	if caos.CheckID("model", "", modelID) != nil || caos.CheckID("version", "", rest) != nil || BaselineID(modelID, rest) != id {
		return "", "", bad
	}
	return modelID, rest, nil
}

// DeleteLink removes a link. What it said stays in the audit log, and in its statement.
// Errors: NotFound; Denied if a model's owner would be rid of a requirement by it.
func (r *Registry) DeleteLink(tx *db.Tx, id string, by By) error {
	l, err := r.LinkIn(tx, id)
	if err != nil {
		return err
	}
	if err := r.guard(tx, l, nil, by); err != nil {
		return err
	}
	tx.ExecOne(caos.Errorf(caos.Conflict, "the link %s was removed meanwhile", id), `DELETE FROM links WHERE link_id = $1`, id)
	return r.record(tx, by, note{Event: "link removed", Resources: []string{l.LinkID, l.SourceID, l.TargetID}, Project: l.Project, Classification: l.Classification,
		Details: map[string]any{"link": l}})
}

const linkColumns = `link_id, source_id, source_type, target_id, target_type, relation, rationale, status, verified_on, verified_by, source,
	project, classification, created_at, created_by, updated_at, updated_by, revision`

func scanLink(scan func(...any) error) (*Link, error) {
	var l Link
	var created, updated int64
	err := scan(&l.LinkID, &l.SourceID, &l.SourceType, &l.TargetID, &l.TargetType, &l.Relation, &l.Rationale, &l.Status, &l.VerifiedOn, &l.VerifiedBy,
		&l.Source, &l.Project, &l.Classification, &created, &l.CreatedBy, &updated, &l.UpdatedBy, &l.Revision)
	l.CreatedAt, l.UpdatedAt = db.Moment(created), db.Moment(updated)
	return &l, err
}

func getLink(q query, id string) (*Link, error) {
	var l *Link
	err := q(`SELECT `+linkColumns+` FROM links WHERE link_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		l, err = scanLink(scan)
		return err
	})
	if err == nil && l == nil {
		err = caos.Errorf(caos.NotFound, "there is no link %.80s", id).WithField("link_id").WithHint("caos link list shows those there are")
	}
	return l, err
}

// Link returns a link, or a NotFound error.
func (r *Registry) Link(ctx context.Context, id string) (*Link, error) {
	return getLink(r.pool(ctx), id)
}

// LinkIn returns a link as a transaction sees it.
func (r *Registry) LinkIn(tx *db.Tx, id string) (*Link, error) { return getLink(within(tx), id) }

// LinkFilter chooses links; empty fields match all. End is either end.
type LinkFilter struct {
	End, SourceID, TargetID, Project string
	Relation                         Relation
	Limit                            int // of a page; 0 means 100, the most is 1000
}

// Links lists links, latest first. cursor is "" and then the one returned.
func (r *Registry) Links(ctx context.Context, f LinkFilter, cursor string) ([]*Link, string, error) {
	w := new(db.Where)
	w.Is("source_id", f.SourceID)
	w.Is("target_id", f.TargetID)
	w.Is("project", f.Project)
	w.Is("relation", string(f.Relation))
	if f.End != "" {
		w.And("(source_id = ? OR target_id = ?)", f.End, f.End)
	}
	return db.Page(r.pool(ctx), w, db.Listing[*Link]{Columns: linkColumns, From: "links", At: "created_at", ID: "link_id", Limit: f.Limit,
		Scan: scanLink,
		Key:  func(l *Link) (time.Time, string) { return l.CreatedAt, l.LinkID },
	}, cursor)
}

// chunk is how many ids one statement asks for: one length, so that there is one statement
// to prepare.
const chunk = 25

// byID runs a query for ids of any number; {{ids}} in it stands for a list of them. It is
// for ids that may have many rows each.
func byID(q query, sql string, ids []string, scan func(scan func(dest ...any) error) error) error {
	places := make([]string, chunk)
	for i := range places {
		places[i] = "$" + strconv.Itoa(i+1)
	}
	return inChunks(q, strings.Replace(sql, "{{ids}}", "("+strings.Join(places, ", ")+")", 1), ids, scan)
}

// perID runs a query for each of any number of ids, {{id}} in it, many at once. It is for
// ids that have one row at most, and it may show the row of the last id several times. A
// list of ids would do for SQLite; PostgreSQL plans that once, while the table is small, as
// a scan of the whole table, and then scans a large one.
func perID(q query, sql string, ids []string, scan func(scan func(dest ...any) error) error) error {
	parts := make([]string, chunk)
	for i := range parts {
		parts[i] = strings.Replace(sql, "{{id}}", "$"+strconv.Itoa(i+1), 1)
	}
	return inChunks(q, strings.Join(parts, " UNION ALL "), ids, scan)
}

func inChunks(q query, sql string, ids []string, scan func(scan func(dest ...any) error) error) error {
	for part := range slices.Chunk(ids, chunk) {
		args := make([]any, 0, chunk)
		for i := range chunk {
			args = append(args, part[min(i, len(part)-1)]) // the last one again fills up
		}
		if err := q(sql, args, scan); err != nil {
			return err
		}
	}
	return nil
}

// requirementsOf returns the requirements that are linked to a model, to a version of it or
// to the version's baseline, in the model's project, and the link of each. The direction,
// the relation and the status of a link make no difference: who says that a requirement has
// to do with a model has to show that it is met, or remove the link.
func requirementsOf(tx *db.Tx, m *Model, version string) (map[string]string, error) {
	ends := []string{m.ModelID, VersionKey(m.ModelID, version), BaselineID(m.ModelID, version)}
	out := map[string]string{}
	err := tx.Query(`SELECT link_id, source_id, source_type, target_id, target_type FROM links
		WHERE (source_id IN ($1, $2, $3) OR target_id IN ($4, $5, $6)) AND project = $7 ORDER BY link_id`,
		[]any{ends[0], ends[1], ends[2], ends[0], ends[1], ends[2], m.Project}, func(scan func(...any) error) error {
			var l Link
			if err := scan(&l.LinkID, &l.SourceID, &l.SourceType, &l.TargetID, &l.TargetType); err != nil {
				return err
			}
			other, kind := l.SourceID, l.SourceType
			if slices.Contains(ends, l.SourceID) {
				other, kind = l.TargetID, l.TargetType
			}
			if requirement(kind) && out[other] == "" {
				out[other] = l.LinkID
			}
			return nil
		})
	return out, err
}
