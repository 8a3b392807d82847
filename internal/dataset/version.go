package dataset

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/event"
)

// Dataset is what a pipeline publishes under one target, whatever its versions.
type Dataset struct {
	DatasetID      string    `json:"dataset_id"` // DP-DLY-001.train: <pipeline>.<target>
	URI            string    `json:"uri"`        // of the latest version
	PipelineID     string    `json:"pipeline_id"`
	Target         string    `json:"target"`
	Latest         int64     `json:"latest"` // number of the latest version
	Digest         string    `json:"digest"` // of the latest version
	Project        string    `json:"project"`
	Classification string    `json:"classification"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
}

// File is a file of a version.
type File struct {
	Name   string `json:"name"`   // below the version's URI
	Digest string `json:"digest"` // SHA256:…
	Bytes  int64  `json:"bytes"`
}

// Version is what one run published of a dataset. It never changes.
type Version struct {
	DatasetID      string    `json:"dataset_id"`
	N              int64     `json:"version"` // from 1
	Digest         string    `json:"digest"`  // ContentDigest of its files
	Rows           int64     `json:"rows"`
	Bytes          int64     `json:"bytes"`
	Columns        []Column  `json:"columns"`
	Files          []File    `json:"files"`    // not in lists
	Contract       string    `json:"contract"` // id@version that it was checked by, "" for none
	PipelineID     string    `json:"pipeline_id"`
	Target         string    `json:"target"`
	ExecutionID    string    `json:"execution_id"`
	Interval       string    `json:"interval"` // "" for none
	URI            string    `json:"uri"`
	Project        string    `json:"project"`
	Classification string    `json:"classification"`
	PublishedAt    time.Time `json:"published_at"`
	PublishedBy    string    `json:"published_by"`
}

// DatasetFilter chooses datasets; empty fields match all.
type DatasetFilter struct {
	PipelineID, Project string
	Limit               int // of a page; 0 means 100, the most is 1000
}

// EventDatasetPublished is the event of a version: dataset_id, version, digest, uri,
// execution_id, pipeline_id.
const EventDatasetPublished = "caos.dataset.published"

// Bounds of a version.
const (
	maxFiles   = 10_000
	maxIndexed = 200 // files of a version that are found by their digests
)

var (
	datasetID  = regexp.MustCompile(`^DP-[A-Z][A-Z0-9]{0,15}-[0-9]{3,6}\.[a-z][a-z0-9_]{0,62}$`)
	externalID = regexp.MustCompile(`^ext:[0-9a-f]{12}$`)
	fileDigest = regexp.MustCompile(`^SHA256:[0-9a-f]{64}$`)
)

// DatasetID is the id of what a pipeline publishes under a target.
func DatasetID(pipelineID, target string) string { return pipelineID + "." + target }

// CheckDatasetID refuses what is no id of a dataset, naming the field.
func CheckDatasetID(field, id string) error {
	if !datasetID.MatchString(id) {
		return caos.Errorf(caos.Invalid, "%.120q is not a dataset id", id).WithField(field).WithHint("<pipeline>.<target>, such as DP-DLY-001.train")
	}
	return nil
}

// ContentDigest is the SHA-256 of the canonical JSON of the files' names and digests, in
// order of their names: what tells versions of data apart, wherever they are. Errors:
// Invalid for no file, a name that is not below the version, a name twice, or no digest.
func ContentDigest(files []File) (string, error) {
	if len(files) == 0 || len(files) > maxFiles {
		return "", caos.Errorf(caos.Invalid, "a version of data has 1 to %d files, not %d", maxFiles, len(files)).WithField("files")
	}
	type entry struct {
		Digest string `json:"digest"`
		Name   string `json:"name"`
	}
	list := make([]entry, 0, len(files))
	for i, f := range files {
		field := indexed("files", i)
		if f.Name == "" || len(f.Name) > maxLocation || path.IsAbs(f.Name) || path.Clean(f.Name) != f.Name || f.Name == ".." || strings.HasPrefix(f.Name, "../") || !db.Storable(f.Name) {
			return "", caos.Errorf(caos.Invalid, "%.120q is not the name of a file of a version", f.Name).WithField(field + ".name")
		}
		if !fileDigest.MatchString(f.Digest) || f.Bytes < 0 {
			return "", caos.Errorf(caos.Invalid, "%.80q is not a digest, or the size is less than 0", f.Digest).WithField(field + ".digest")
		}
		list = append(list, entry{f.Digest, f.Name})
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(list); i++ {
		if list[i].Name == list[i-1].Name {
			return "", caos.Errorf(caos.Invalid, "%.120q is there twice", list[i].Name).WithField("files")
		}
	}
	text, err := codec.Canonical(list)
	return digestOf(text), err
}

const datasetColumns = `dataset_id, uri, pipeline_id, target, latest, digest, project, classification, created_at, updated_at`

func scanDataset(scan func(...any) error) (*Dataset, error) {
	var s Dataset
	var created, updated int64
	err := scan(&s.DatasetID, &s.URI, &s.PipelineID, &s.Target, &s.Latest, &s.Digest, &s.Project, &s.Classification, &created, &updated)
	s.CreatedAt, s.UpdatedAt = db.Moment(created), db.Moment(updated)
	return &s, err
}

// getDataset returns a dataset, or nil.
func getDataset(q query, id string) (*Dataset, error) {
	var s *Dataset
	if !datasetID.MatchString(id) {
		return nil, nil
	}
	err := q(`SELECT `+datasetColumns+` FROM datasets WHERE dataset_id = $1`, []any{id}, func(scan func(...any) error) (err error) {
		s, err = scanDataset(scan)
		return err
	})
	return s, err
}

func findDataset(q query, id string) (*Dataset, error) {
	s, err := getDataset(q, id)
	if err == nil && s == nil {
		err = caos.Errorf(caos.NotFound, "there is no dataset %.120q, or it is not for you", id).WithField("dataset_id").WithHint("caos dataset list shows those there are")
	}
	return s, err
}

// prepare fills in what follows from the rest of a version, and refuses what is none.
func (v *Version) prepare() (err error) {
	v.DatasetID = DatasetID(v.PipelineID, v.Target)
	if err := errors.Join(CheckDatasetID("dataset_id", v.DatasetID), caos.CheckID("resource", "execution_id", v.ExecutionID)); err != nil {
		return err
	}
	if v.Digest, err = ContentDigest(v.Files); err != nil {
		return err
	}
	v.Bytes = 0
	for _, f := range v.Files {
		v.Bytes += f.Bytes
	}
	if v.Rows < 0 || len(v.Columns) > maxColumns || v.URI == "" || len(v.URI) > maxLocation+maxURI || !db.Storable(v.URI) || !db.Storable(v.Interval) || !db.Storable(v.Contract) {
		return caos.Errorf(caos.Invalid, "a version of %s is not whole: rows, columns, location", v.DatasetID)
	}
	if v.Columns == nil {
		v.Columns = []Column{}
	}
	return nil
}

// Publish writes the next version of a dataset, and the dataset with the first. The same
// execution publishing the same content of a dataset again gets the version that is there.
// N, Digest, Bytes, DatasetID, PublishedAt and PublishedBy follow from the rest; the
// classification is never below the dataset's. Errors: Invalid naming the field; Conflict for
// another content by the same execution, or another project than the dataset's.
func (d *Datasets) Publish(tx *db.Tx, v Version, by By) (*Version, error) {
	if err := v.prepare(); err != nil {
		return nil, err
	}
	before, err := d.ByExecution(tx, v.ExecutionID, "")
	if err != nil {
		return nil, err
	}
	for _, b := range before {
		if b.DatasetID != v.DatasetID {
			continue
		}
		if b.Digest != v.Digest || b.URI != v.URI {
			return nil, caos.Errorf(caos.Conflict, "%s has published another content of %s", v.ExecutionID, v.DatasetID).WithField("dataset_id")
		}
		return b, nil
	}
	s, err := getDataset(within(tx), v.DatasetID)
	if err != nil {
		return nil, err
	}
	v.N, v.PublishedAt, v.PublishedBy, v.Classification = 1, d.now(), by.Actor, cmp.Or(v.Classification, "Internal")
	if s != nil {
		if s.Project != v.Project {
			return nil, caos.Errorf(caos.Conflict, "%s belongs to project %q", v.DatasetID, s.Project).WithField("project").WithRule(RuleProject)
		}
		v.N, v.Classification = s.Latest+1, caos.Stricter(v.Classification, s.Classification)
	}
	if err := v.insert(tx); err != nil {
		return nil, err
	}
	details := map[string]any{"event": "dataset published", "version": v.N, "digest": v.Digest, "uri": v.URI, "rows": v.Rows, "files": len(v.Files)}
	return &v, errors.Join(
		d.record(tx, by, auditlog.Record{Resources: []string{v.DatasetID, v.PipelineID}, Details: details, Project: v.Project, Classification: v.Classification}),
		d.events.Emit(tx, event.Event{Type: EventDatasetPublished, Subject: v.DatasetID, Project: v.Project, Classification: v.Classification, Data: map[string]any{
			"dataset_id": v.DatasetID, "version": v.N, "digest": v.Digest, "uri": v.URI, "execution_id": v.ExecutionID, "pipeline_id": v.PipelineID}}))
}

func (v *Version) insert(tx *db.Tx) error {
	at := v.PublishedAt.UnixMicro()
	columns, err := writeJSON(v.Columns)
	if err != nil {
		return err
	}
	files, err := writeJSON(v.Files)
	if err != nil {
		return err
	}
	tx.Exec(`INSERT INTO datasets (`+datasetColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (dataset_id) DO UPDATE SET uri = excluded.uri, latest = excluded.latest, digest = excluded.digest, classification = excluded.classification,
			updated_at = excluded.updated_at`,
		v.DatasetID, v.URI, v.PipelineID, v.Target, v.N, v.Digest, v.Project, v.Classification, at, at)
	tx.Exec(`INSERT INTO dataset_versions (`+versionColumns+`, files) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		v.DatasetID, v.N, v.Digest, v.Rows, v.Bytes, columns, v.Contract, v.PipelineID, v.Target, v.ExecutionID, v.Interval, v.URI, v.Project, v.Classification, at, v.PublishedBy, files)
	if len(v.Files) <= maxIndexed {
		for _, f := range v.Files {
			tx.Exec(`INSERT INTO dataset_files (dataset_id, n, digest) VALUES ($1, $2, $3) ON CONFLICT (digest, dataset_id, n) DO NOTHING`, v.DatasetID, v.N, f.Digest)
		}
	}
	return tx.Err()
}

const versionColumns = `dataset_id, n, digest, row_count, bytes, table_columns, contract, pipeline_id, target, execution_id, span, uri, project, classification, published_at, published_by`

func scanVersion(scan func(...any) error, further ...any) (*Version, error) {
	var v Version
	var columns string
	var at int64
	err := scan(append([]any{&v.DatasetID, &v.N, &v.Digest, &v.Rows, &v.Bytes, &columns, &v.Contract, &v.PipelineID, &v.Target, &v.ExecutionID, &v.Interval, &v.URI,
		&v.Project, &v.Classification, &at, &v.PublishedBy}, further...)...)
	if err != nil {
		return nil, err
	}
	v.PublishedAt, v.Files = db.Moment(at), []File{}
	return &v, readJSON(columns, &v.Columns)
}

// versions reads whole versions.
func versions(q query, where string, args ...any) ([]*Version, error) {
	out := []*Version{}
	err := q(`SELECT `+versionColumns+`, files FROM dataset_versions WHERE `+where, args, func(scan func(...any) error) error {
		var files string
		v, err := scanVersion(scan, &files)
		if err != nil {
			return err
		}
		out = append(out, v)
		return readJSON(files, &v.Files)
	})
	return out, err
}

// Dataset returns a dataset, or a NotFound error.
func (d *Datasets) Dataset(ctx context.Context, id string) (*Dataset, error) {
	return findDataset(d.pool(ctx), id)
}

// DatasetIn is Dataset as a transaction sees it.
func (d *Datasets) DatasetIn(tx *db.Tx, id string) (*Dataset, error) {
	return findDataset(within(tx), id)
}

// VersionAt returns what was published last at a URI, nil if nothing was. A target that is
// published without an interval is replaced there by every run.
func (d *Datasets) VersionAt(tx *db.Tx, uri string) (*Version, error) {
	if !db.Storable(uri) {
		return nil, nil
	}
	list, err := versions(within(tx), `uri = $1 ORDER BY published_at DESC, n DESC LIMIT 1`, uri)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}

// Neighbours tells whose a location is before a pipeline publishes to it: whether it has
// published there before, and which dataset of another pipeline in use, if any, is there,
// within it, or around it. A folder is replaced whole, and others with it.
func (d *Datasets) Neighbours(tx *db.Tx, pipelineID, uri string) (own bool, other *Dataset, err error) {
	if !db.Storable(uri) {
		return false, nil, nil
	}
	err = tx.Query(`SELECT n FROM dataset_versions WHERE uri = $1 AND pipeline_id = $2 LIMIT 1`, []any{uri, pipelineID}, func(scan func(...any) error) error {
		var n int64
		own = true
		return scan(&n)
	})
	if err != nil {
		return false, nil, err
	}
	within, args := "", []any{pipelineID, uri}
	if strings.HasSuffix(uri, "/") {
		within, args = ` OR substr(uri, 1, length(CAST($3 AS TEXT))) = CAST($4 AS TEXT)`, append(args, uri, uri)
	}
	// Folders around it: at most as many as a location has parts.
	for i := strings.Index(uri, "://") + 3; i < len(uri)-1 && len(args) < 100; i++ {
		if i > 2 && uri[i] == '/' {
			args = append(args, uri[:i+1])
			within += ` OR uri = $` + strconv.Itoa(len(args))
		}
	}
	err = tx.Query(`SELECT `+datasetColumns+` FROM datasets WHERE pipeline_id <> $1 AND (uri = $2`+within+`)
		AND EXISTS (SELECT 1 FROM pipelines p WHERE p.pipeline_id = datasets.pipeline_id AND p.retired_at = 0) ORDER BY dataset_id LIMIT 1`, args,
		func(scan func(...any) error) error {
			s, err := scanDataset(scan)
			other = s
			return err
		})
	return own, other, err
}

// Datasets lists datasets, latest published first.
func (d *Datasets) Datasets(ctx context.Context, f DatasetFilter, cursor string) ([]*Dataset, string, error) {
	w := new(db.Where)
	w.Is("pipeline_id", f.PipelineID)
	w.Is("project", f.Project)
	return db.Page(d.pool(ctx), w, db.Listing[*Dataset]{Columns: datasetColumns, From: "datasets", At: "updated_at", ID: "dataset_id", Limit: f.Limit, Scan: scanDataset,
		Key: func(s *Dataset) (time.Time, string) { return s.UpdatedAt, s.DatasetID },
	}, cursor)
}

// DatasetVersions lists the versions of a dataset, the latest first; without their files.
func (d *Datasets) DatasetVersions(ctx context.Context, id string, limit int, cursor string) ([]*Version, string, error) {
	w := new(db.Where)
	if w.Is("dataset_id", id); id == "" {
		w.And("1 = 0")
	}
	return db.Page(d.pool(ctx), w, db.Listing[*Version]{Columns: versionColumns, From: "dataset_versions", At: "published_at", ID: "execution_id", Limit: limit,
		Scan: func(scan func(...any) error) (*Version, error) { return scanVersion(scan) },
		Key:  func(v *Version) (time.Time, string) { return v.PublishedAt, v.ExecutionID },
	}, cursor)
}

func findVersion(q query, id string, n int64) (*Version, error) {
	s, err := findDataset(q, id)
	if err != nil {
		return nil, err
	}
	list, err := versions(q, `dataset_id = $1 AND n = $2`, id, cmp.Or(n, s.Latest))
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, caos.Errorf(caos.NotFound, "there is no version %d of %s", n, id).WithField("version").WithHint("the latest is %d", s.Latest)
	}
	return list[0], nil
}

// VersionOf returns a version of a dataset, the latest if n is 0, or a NotFound error.
func (d *Datasets) VersionOf(ctx context.Context, id string, n int64) (*Version, error) {
	return findVersion(d.pool(ctx), id, n)
}

// VersionIn is VersionOf as a transaction sees it.
func (d *Datasets) VersionIn(tx *db.Tx, id string, n int64) (*Version, error) {
	return findVersion(within(tx), id, n)
}

// ByExecution returns what an execution published, in order of the datasets' ids: all, or
// what is at a URI.
func (d *Datasets) ByExecution(tx *db.Tx, executionID, uri string) ([]*Version, error) {
	if !db.Storable(executionID) || !db.Storable(uri) {
		return []*Version{}, nil
	}
	if uri == "" {
		return versions(within(tx), `execution_id = $1 ORDER BY dataset_id LIMIT `+strconv.Itoa(maxTargets), executionID)
	}
	return versions(within(tx), `execution_id = $1 AND uri = $2 ORDER BY dataset_id LIMIT `+strconv.Itoa(maxTargets), executionID, uri)
}

// ByDigest returns the versions with a content digest, or of which one file has it, the
// latest first, at most 20.
func (d *Datasets) ByDigest(tx *db.Tx, digest string) ([]*Version, error) {
	if !fileDigest.MatchString(digest) {
		return []*Version{}, nil
	}
	return versions(within(tx), `digest = $1 OR EXISTS (SELECT 1 FROM dataset_files f WHERE f.digest = $2 AND f.dataset_id = dataset_versions.dataset_id AND f.n = dataset_versions.n)
		ORDER BY published_at DESC, dataset_id, n DESC LIMIT 20`, digest, digest)
}

// External is a version of data that no pipeline here published, as runs found it: one for
// each content of a URI, project and classification, so that nobody learns by it of what
// others read.
type External struct {
	ExternalID     string    `json:"external_id"` // ext:<12 hex digits of the URI's SHA-256>
	N              int64     `json:"version"`     // from 1
	URI            string    `json:"uri"`
	Digest         string    `json:"digest"` // ContentDigest of its files
	Rows           int64     `json:"rows"`
	Bytes          int64     `json:"bytes"`
	Columns        []Column  `json:"columns"`
	Files          []File    `json:"files"`
	Project        string    `json:"project"`
	Classification string    `json:"classification"`
	FirstSeenAt    time.Time `json:"first_seen_at"`
	FirstSeenBy    string    `json:"first_seen_by"` // execution id
}

// ExternalID is the id of data at a URI.
func ExternalID(uri string) string {
	sum := sha256.Sum256([]byte(uri))
	return "ext:" + hex.EncodeToString(sum[:6])
}

const externalColumns = `external_id, n, uri, digest, row_count, bytes, table_columns, files, project, classification, first_seen_at, first_seen_by`

func externals(q query, where string, args ...any) ([]*External, error) {
	out := []*External{}
	err := q(`SELECT `+externalColumns+` FROM external_versions WHERE `+where, args, func(scan func(...any) error) error {
		var x External
		var columns, files string
		var at int64
		if err := scan(&x.ExternalID, &x.N, &x.URI, &x.Digest, &x.Rows, &x.Bytes, &columns, &files, &x.Project, &x.Classification, &at, &x.FirstSeenBy); err != nil {
			return err
		}
		x.FirstSeenAt = db.Moment(at)
		out = append(out, &x)
		return errors.Join(readJSON(columns, &x.Columns), readJSON(files, &x.Files))
	})
	return out, err
}

// Saw notes that a run read an external version, and returns it: the one that is there if
// the content at the URI was seen before in that project and classification. ExternalID, N,
// Digest, Bytes and FirstSeenAt follow from the rest. Its audit record is that of the
// execution's commit.
func (d *Datasets) Saw(tx *db.Tx, x External) (*External, error) {
	if x.URI == "" || len(x.URI) > maxLocation+maxURI || !db.Storable(x.URI) || len(x.Columns) > maxColumns || x.Rows < 0 {
		return nil, caos.Errorf(caos.Invalid, "external data is not whole: location, columns, rows").WithField("uri")
	}
	var err error
	if x.Digest, err = ContentDigest(x.Files); err != nil {
		return nil, err
	}
	x.ExternalID, x.Bytes, x.FirstSeenAt, x.Classification = ExternalID(x.URI), 0, d.now(), cmp.Or(x.Classification, "Internal")
	for _, f := range x.Files {
		x.Bytes += f.Bytes
	}
	if x.Columns == nil {
		x.Columns = []Column{}
	}
	list, err := externals(within(tx), `external_id = $1 AND digest = $2 AND project = $3 AND classification = $4`, x.ExternalID, x.Digest, x.Project, x.Classification)
	if err != nil {
		return nil, err
	}
	if len(list) > 0 {
		return list[0], nil
	}
	if err := tx.QueryRow(`SELECT COALESCE(MAX(n), 0) + 1 FROM external_versions WHERE external_id = $1`, x.ExternalID).Scan(&x.N); err != nil {
		return nil, err
	}
	columns, err := writeJSON(x.Columns)
	if err != nil {
		return nil, err
	}
	files, err := writeJSON(x.Files)
	if err != nil {
		return nil, err
	}
	tx.Exec(`INSERT INTO external_versions (`+externalColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		x.ExternalID, x.N, x.URI, x.Digest, x.Rows, x.Bytes, columns, files, x.Project, x.Classification, x.FirstSeenAt.UnixMicro(), x.FirstSeenBy)
	return &x, tx.Err()
}

// ExternalIn returns an external version, the latest if n is 0, or a NotFound error.
func (d *Datasets) ExternalIn(tx *db.Tx, id string, n int64) (*External, error) {
	var list []*External
	var err error
	if externalID.MatchString(id) {
		where, args := `external_id = $1 ORDER BY n DESC LIMIT 1`, []any{id}
		if n != 0 {
			where, args = `external_id = $1 AND n = $2`, append(args, n)
		}
		list, err = externals(within(tx), where, args...)
	}
	if err == nil && len(list) == 0 {
		err = caos.Errorf(caos.NotFound, "there is no external data %.40q in that version, or it is not for you", id).WithField("external_id")
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}
