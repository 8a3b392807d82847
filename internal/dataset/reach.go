package dataset

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"caos"
)

// reachChunk is how many locations one question to the database names.
const reachChunk = 400

// BeyondReach tells which files lie in what pipelines published for another project than the
// given one, or above a classification: for a run they are not there, wherever the folders
// and buckets that it may read from have them. A project of "" reaches all projects. Files are
// named by the URIs of a probe.
func (d *Datasets) BeyondReach(ctx context.Context, project, classification string, files []string) (map[string]bool, error) {
	places := map[string]bool{} // of the files and of all folders around them; true: beyond reach
	around := make([][]string, len(files))
	for i, uri := range files {
		around[i] = placesAround(canonicalURI(uri))
		for _, p := range around[i] {
			places[p] = false
		}
	}
	asked := make([]string, 0, len(places))
	for p := range places {
		asked = append(asked, p)
	}
	slices.Sort(asked)
	read := d.pool(ctx)
	for part := range slices.Chunk(asked, reachChunk) {
		args, marks := make([]any, len(part)), make([]string, len(part))
		for i, p := range part {
			args[i], marks[i] = p, "$"+strconv.Itoa(i+1)
		}
		err := read(`SELECT uri, project, classification FROM dataset_versions WHERE uri IN (`+strings.Join(marks, ", ")+`) GROUP BY uri, project, classification`, args,
			func(scan func(...any) error) error {
				var uri, owner, class string
				if err := scan(&uri, &owner, &class); err != nil {
					return err
				}
				if project != "" && owner != project || caos.Sensitivity(class) > caos.Sensitivity(classification) {
					places[uri] = true
				}
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	beyond := map[string]bool{}
	for i, uri := range files {
		if slices.ContainsFunc(around[i], func(p string) bool { return places[p] }) {
			beyond[uri] = true
		}
	}
	return beyond, nil
}

// placesAround are a file's location and those of the folders around it, with and without
// the slash at their ends.
func placesAround(uri string) []string {
	if !strings.HasPrefix(uri, "file://") && !strings.HasPrefix(uri, "s3://") {
		return []string{uri}
	}
	out := []string{uri}
	start := strings.Index(uri, "://") + len("://")
	for i := len(uri) - 1; i > start; i-- {
		if uri[i] == '/' {
			out = append(out, uri[:i+1], uri[:i])
		}
	}
	return out
}
