package dataset

import (
	"context"
	"time"

	"caos"
	"caos/internal/db"
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
	Files          []File    `json:"files"`
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
	Limit               int
}

// EventDatasetPublished is the event of a version: dataset_id, version, digest, uri,
// execution_id.
const EventDatasetPublished = "caos.dataset.published"

// DatasetID is the id of what a pipeline publishes under a target.
func DatasetID(pipelineID, target string) string { return pipelineID + "." + target }

// ContentDigest is the SHA-256 of the canonical JSON of the files' names and digests, in
// order of their names: what tells versions of data apart.
func ContentDigest(files []File) (string, error) {
	return "", caos.Errorf(caos.Unavailable, "not there yet")
}

// Publish writes the next version of a dataset, and the dataset with the first. The same
// execution publishing the same dataset again gets the version that is there. N, Digest,
// Bytes, DatasetID, PublishedAt and PublishedBy follow from the rest.
func (d *Datasets) Publish(tx *db.Tx, v Version, by By) (*Version, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Dataset returns a dataset, or a NotFound error.
func (d *Datasets) Dataset(ctx context.Context, id string) (*Dataset, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// DatasetIn is Dataset as a transaction sees it.
func (d *Datasets) DatasetIn(tx *db.Tx, id string) (*Dataset, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// DatasetAt returns the dataset whose latest version is at a URI, nil if there is none.
func (d *Datasets) DatasetAt(tx *db.Tx, uri string) (*Dataset, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// Datasets lists datasets, latest published first.
func (d *Datasets) Datasets(ctx context.Context, f DatasetFilter, cursor string) ([]*Dataset, string, error) {
	return nil, "", caos.Errorf(caos.Unavailable, "not there yet")
}

// DatasetVersions lists the versions of a dataset, the latest first.
func (d *Datasets) DatasetVersions(ctx context.Context, id string, limit int, cursor string) ([]*Version, string, error) {
	return nil, "", caos.Errorf(caos.Unavailable, "not there yet")
}

// VersionOf returns a version of a dataset, the latest if n is 0, or a NotFound error.
func (d *Datasets) VersionOf(ctx context.Context, id string, n int64) (*Version, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// VersionIn is VersionOf as a transaction sees it.
func (d *Datasets) VersionIn(tx *db.Tx, id string, n int64) (*Version, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// ByExecution returns what an execution published, in order of the datasets' ids: all, or
// what is at a URI.
func (d *Datasets) ByExecution(tx *db.Tx, executionID, uri string) ([]*Version, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// ByDigest returns the versions with a content digest, or of which one file has it: the
// latest first, at most 100.
func (d *Datasets) ByDigest(tx *db.Tx, digest string) ([]*Version, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// External is a version of data that no pipeline here published, as a run found it: one for
// each content of a URI.
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
func ExternalID(uri string) string { return "" }

// Saw notes that a run read an external version, and returns it: the one that is there if
// the content at the URI was seen before in that project, however it is classified.
func (d *Datasets) Saw(tx *db.Tx, x External) (*External, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}

// ExternalIn returns an external version, the latest if n is 0, or a NotFound error.
func (d *Datasets) ExternalIn(tx *db.Tx, id string, n int64) (*External, error) {
	return nil, caos.Errorf(caos.Unavailable, "not there yet")
}
