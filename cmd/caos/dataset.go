package main

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/dataset"
	"caos/internal/httpapi"
)

func newDataset(e *environment) *cobra.Command {
	return parent("dataset", "See what pipelines published", append([]*cobra.Command{datasetList(e)},
		completed(e.ids("/v1/datasets", "dataset_id", "uri"), datasetShow(e), datasetVersions(e))...)...)
}

func datasetPath(id string) string { return "/v1/datasets/" + escape(id) }

func datasetList(e *environment) *cobra.Command {
	l := listed[dataset.Dataset]{path: "/v1/datasets", head: []string{"dataset", "version", "digest", "project", "published", "uri"}, drop: []string{"digest", "project", "published"},
		row: func(d dataset.Dataset) []string {
			return []string{d.DatasetID, strconv.FormatInt(d.Latest, 10), short(d.Digest), orDash(d.Project), moment(d.UpdatedAt), d.URI}
		}}
	var pipeline, project string
	c := &cobra.Command{
		Use: "list", Short: "List datasets, latest published first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("pipeline_id", pipeline, "project", project)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	c.Flags().StringVar(&pipeline, "pipeline", "", "that this pipeline publishes")
	c.Flags().StringVar(&project, "project", "", "of this project")
	return c
}

// datasetAt takes DATASET or DATASET@VERSION apart; the version is 0 for the latest.
func datasetAt(arg string) (id string, n int64, err error) {
	id, text, dated := strings.Cut(arg, "@")
	if !dated {
		return id, 0, nil
	}
	n, err = strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return "", 0, usage("%q is not a version of a dataset", text).WithField("version").WithHint("versions are 1, 2, 3 …: %s@1", id)
	}
	return id, n, nil
}

func datasetShow(e *environment) *cobra.Command {
	var files int
	c := &cobra.Command{
		Use: "show DATASET", Short: "Show a version of a dataset: where it is, its columns and files", Args: wants("DATASET"),
		Long:    "Shows a version of a dataset, the latest one or DATASET@VERSION, with the digests by which its content is known.",
		Example: "  caos dataset show DP-DLY-001.train\n  caos dataset show DP-DLY-001.train@3 -o json",
		RunE: func(c *cobra.Command, args []string) error {
			id, n, err := datasetAt(args[0])
			if err != nil {
				return err
			}
			if n == 0 {
				d, _, err := ask[dataset.Dataset](c.Context(), e, getting(datasetPath(id), nil))
				if err != nil {
					return err
				}
				n = d.Latest
			}
			v, body, err := ask[httpapi.DatasetVersion](c.Context(), e, getting(datasetPath(id)+"/versions/"+strconv.FormatInt(n, 10), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.dataset(v, files) })
		},
	}
	c.Flags().IntVar(&files, "files", 20, "how many files to list at most")
	return c
}

func (e *environment) dataset(v *httpapi.DatasetVersion, most int) {
	e.line("%s", e.paint.bold(clean(v.DatasetID+"@"+strconv.FormatInt(v.N, 10))))
	e.pairs(pair{"uri", v.URI}, pair{"rows", grouped(v.Rows)}, pair{"size", bytesOf(v.Bytes)}, pair{"about", v.Interval}, pair{"checked by", v.Contract}, pair{"made by", v.ExecutionID},
		pair{"published", byWhom(moment(v.PublishedAt), v.PublishedBy)}, pair{"project", v.Project}, pair{"classification", v.Classification}, pair{"address", v.Address})
	e.pairs(pair{"digest", v.Digest})
	if len(v.Columns) > 0 {
		e.line("")
		rows := make([][]string, 0, len(v.Columns))
		for _, k := range v.Columns {
			rows = append(rows, []string{k.Name, k.Type})
		}
		e.table([]string{"column", "type"}, rows)
	}
	e.line("")
	rows := make([][]string, 0, len(v.Files))
	for i, f := range v.Files {
		if i == most {
			break
		}
		rows = append(rows, []string{short(f.Digest), bytesOf(f.Bytes), f.Name})
	}
	e.table([]string{"digest", "size", "file"}, rows)
	if left := len(v.Files) - most; left > 0 {
		e.line("%s", e.paint.dim("and "+plural(left, "further file", "further files")))
	}
}

func datasetVersions(e *environment) *cobra.Command {
	l := listed[httpapi.DatasetVersion]{head: []string{"version", "rows", "size", "about", "checked by", "digest", "published", "made by"}, drop: []string{"digest", "checked by", "size"},
		row: func(v httpapi.DatasetVersion) []string {
			return []string{strconv.FormatInt(v.N, 10), grouped(v.Rows), bytesOf(v.Bytes), orDash(v.Interval), orDash(v.Contract), short(v.Digest), moment(v.PublishedAt), v.ExecutionID}
		}}
	c := &cobra.Command{Use: "versions DATASET", Short: "List the versions of a dataset, latest first", Args: wants("DATASET"),
		RunE: func(c *cobra.Command, args []string) error {
			l.path = datasetPath(args[0]) + "/versions"
			return l.show(c.Context(), e)
		}}
	l.page.bind(c)
	return c
}
