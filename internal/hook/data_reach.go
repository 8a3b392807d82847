package hook

import (
	"context"
	"strings"

	"caos"
	"caos/internal/auth"
	"caos/internal/dataset"
	"caos/internal/db"
	"caos/internal/location"
)

// reachable finds the files of a source, without those that pipelines published for other
// projects or above the reader's classification. Folders are allowed to an installation, not
// to a project: without this, whoever may write a pipeline would read in them what they may
// not know of, and publish it as their own. Such files are as if they were not there.
func reachable(ctx context.Context, l *location.Locations, d *dataset.Datasets, uri string, s location.Scope) ([]location.File, error) {
	found, err := l.Probe(ctx, uri, s)
	if err != nil {
		return nil, err
	}
	uris := make([]string, len(found))
	for i, f := range found {
		uris[i] = f.URI
	}
	beyond, err := d.BeyondReach(ctx, s.Project, s.Classification, uris)
	if err != nil || len(beyond) == 0 {
		return found, err
	}
	kept := []location.File{}
	for _, f := range found {
		if !beyond[f.URI] {
			kept = append(kept, f)
		}
	}
	if len(kept) == 0 {
		return nil, caos.Errorf(caos.NotFound, "there is no file").WithField("uri").WithRule("source-missing").
			WithHint("names that begin with . or _ do not count unless the location names them")
	}
	return kept, nil
}

// knowable refuses a submission about what the caller may not know of. The right to submit
// is not enough: what has no project looks to it like what is not there yet, and whoever is
// limited to a project must not find out about it by running it.
func knowable(tx *db.Tx, q Question, action string, res auth.Resource) error {
	if q.May == nil {
		return nil
	}
	err := q.May(tx, action, res)
	if caos.KindOf(err) == caos.Denied && !strings.HasPrefix(caos.AsError(err).Rule, "need-to-know-") {
		return nil // those who may run something need no right to look at it
	}
	return err
}
