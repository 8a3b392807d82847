package anchor

import (
	"context"
	"errors"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/verify"
)

// file is a text file to which checkpoints are appended, on storage that does not fail and is
// not rewritten together with the log.
type file struct {
	s    *Service
	path string
	sink *auditlog.FileSink
}

func (f *file) kind() string { return verify.AnchorFileKind }
func (f *file) name() string { return f.path }

// give appends the checkpoint, if the last one in the file is one that the log had.
func (f *file) give(ctx context.Context, g given) (got, error) {
	last, err := f.sink.Last(ctx, g.point.Origin)
	if err != nil {
		return got{}, unwritable(err)
	}
	if last != nil {
		c, err := pointOf(last)
		if err != nil {
			return got{}, diverged("the last checkpoint in the file cannot be read: %s", caos.AsError(err).Message)
		}
		if err := f.s.descends(ctx, c); err != nil {
			return got{}, err
		}
		if c.Size > g.point.Size {
			return got{none: true}, nil // another node was faster
		}
	}
	err = f.sink.Publish(ctx, g.note)
	switch {
	case errors.Is(err, auditlog.ErrFork):
		return got{}, diverged("the file has another root for the tree of %d leaves", g.point.Size)
	case errors.Is(err, auditlog.ErrStale):
		return got{none: true}, nil
	case err != nil:
		return got{}, unwritable(err)
	}
	return got{}, nil
}

func unwritable(err error) error {
	return caos.Wrap(caos.Unavailable, err, "the file cannot be written: %v", err).WithHint("check that its folder is mounted, has room, and belongs to the user who runs CAOS")
}
