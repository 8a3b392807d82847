package httpapi

import (
	"fmt"

	"caos/internal/auth"
	"caos/internal/dataset"
)

type datasetList struct {
	Paging
	Pipeline string `query:"pipeline_id" maxLength:"64" doc:"that this pipeline publishes"`
	Project  string `query:"project" maxLength:"100"`
}

// DatasetPath names a dataset.
type DatasetPath struct {
	ID string `path:"dataset_id" maxLength:"200" example:"DP-DLY-001.train"`
}

type datasetPages struct {
	DatasetPath
	Paging
}

type datasetVersionPath struct {
	DatasetPath
	N int64 `path:"version" minimum:"1" example:"3"`
}

// DatasetVersion is a version of a dataset with the address that names it in hooks.
type DatasetVersion struct {
	dataset.Version
	Address string `json:"dataset_uri" doc:"what DATA.VALIDATE is given to check this very version"`
}

func (a *API) registerDatasets() {
	read := may("dataset:read")
	operation(a, get("/v1/datasets", read).as("list-datasets", "datasets", "Datasets that pipelines published, latest published first"), a.listDatasets)
	operation(a, get("/v1/datasets/{dataset_id}", read).as("get-dataset", "datasets", "A dataset: where its latest version is"),
		func(c *call, p *DatasetPath, _ *none) (*dataset.Dataset, error) { return a.datasetNamed(c, p.ID) })
	operation(a, get("/v1/datasets/{dataset_id}/versions", read).as("list-dataset-versions", "datasets", "The versions of a dataset, latest first").
		about("A version is what one run published, by the digest of its content. It never changes; its files are where the URI says until a later version takes their place."),
		a.listDatasetVersions)
	operation(a, get("/v1/datasets/{dataset_id}/versions/{version}", read).as("get-dataset-version", "datasets", "A version of a dataset: rows, columns, files and their digests"),
		func(c *call, p *datasetVersionPath, _ *none) (*DatasetVersion, error) {
			return a.datasetVersion(c, p.ID, p.N)
		})
}

// datasetResource is a dataset as the policies see it.
func datasetResource(d *dataset.Dataset) auth.Resource {
	return auth.Resource{Type: "Dataset", ID: d.DatasetID, Project: d.Project, Classification: d.Classification}
}

func versionResource(v *dataset.Version) auth.Resource {
	return auth.Resource{Type: "Dataset", ID: fmt.Sprintf("%s@%d", v.DatasetID, v.N), Project: v.Project, Classification: v.Classification, Owner: v.PublishedBy}
}

// datasetNamed returns a dataset that the caller may see.
func (a *API) datasetNamed(c *call, id string) (*dataset.Dataset, error) {
	d, err := a.Datasets.Dataset(c.ctx(), id)
	if err != nil {
		return nil, c.unknown("dataset", err)
	}
	return d, a.seeFor(c, "dataset:read", "dataset", datasetResource(d))
}

// datasetVersion returns a version of a dataset, the latest if n is 0, that the caller may see.
func (a *API) datasetVersion(c *call, id string, n int64) (*DatasetVersion, error) {
	v, err := a.Datasets.VersionOf(c.ctx(), id, n)
	if err != nil {
		return nil, c.unknown("version of a dataset", err)
	}
	if err := a.seeFor(c, "dataset:read", "version of a dataset", versionResource(v)); err != nil {
		return nil, err
	}
	return a.addressed(v), nil
}

// addressed gives a version its address.
func (a *API) addressed(v *dataset.Version) *DatasetVersion {
	return &DatasetVersion{Version: *v, Address: fmt.Sprintf("%s/v1/datasets/%s/versions/%d", a.BaseURL, v.DatasetID, v.N)}
}

func (a *API) listDatasets(c *call, p *datasetList, _ *none) (Page[*dataset.Dataset], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*dataset.Dataset]{}, err
	}
	f := dataset.DatasetFilter{PipelineID: p.Pipeline, Project: onlyProject(sees, p.Project), Limit: p.Limit}
	list, next, err := a.Datasets.Datasets(c.ctx(), f, p.Cursor)
	return visible(sees, list, next, datasetResource), err
}

func (a *API) listDatasetVersions(c *call, p *datasetPages, _ *none) (Page[*DatasetVersion], error) {
	page := Page[*DatasetVersion]{Items: []*DatasetVersion{}}
	sees, err := a.visibility(c)
	if err != nil {
		return page, err
	}
	if _, err := a.datasetNamed(c, p.ID); err != nil {
		return page, err
	}
	list, next, err := a.Datasets.DatasetVersions(c.ctx(), p.ID, p.Limit, p.Cursor)
	for _, v := range visible(sees, list, next, versionResource).Items {
		page.Items = append(page.Items, a.addressed(v))
	}
	page.NextCursor = next
	return page, err
}
