package anchor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"caos"
	"caos/internal/location"
	"caos/internal/verify"
)

// object is a folder of a bucket in which every checkpoint becomes an object that nobody can
// change before its time.
type object struct {
	s    *Service
	base string // s3://bucket/prefix/, with the slash
}

func newObject(s *Service, uri string) (*object, error) {
	if s.opt.Locations == nil {
		return nil, invalid("anchors.s3", "no bucket is configured")
	}
	o := &object{s: s, base: strings.TrimRight(uri, "/") + "/"}
	if err := s.opt.Locations.Check(o.base, true, location.Scope{Classification: "Internal"}); err != nil {
		return nil, caos.AsError(err).WithField("anchors.s3")
	}
	return o, nil
}

func (o *object) kind() string { return verify.AnchorObject }
func (o *object) name() string { return o.base }

// ObjectFolder is the folder of a log's checkpoints below a destination of the kind object.
// The names in it are the tree sizes, with so many zeros before them that they sort.
func ObjectFolder(destination, origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return destination + hex.EncodeToString(sum[:]) + "/"
}

func objectName(size int64) string { return fmt.Sprintf("%020d", size) }

// give writes the checkpoint. Before that it looks whether there are larger ones than the log
// can have.
func (o *object) give(ctx context.Context, g given) (got, error) {
	folder := ObjectFolder(o.base, g.point.Origin)
	scope := location.Scope{Classification: "Internal"}
	later, err := o.s.opt.Locations.ListAfter(ctx, folder, objectName(g.point.Size), 1, scope)
	if err != nil {
		return got{}, err
	}
	if len(later) > 0 {
		size, err := strconv.ParseInt(strings.TrimPrefix(later[0], folder), 10, 64)
		if err != nil {
			return got{}, invalid("anchors.s3", "there is %.200q among the checkpoints", later[0]).WithHint("remove what is not a checkpoint from the folder")
		}
		if now, _, err := o.s.opt.Log.Root(ctx); err != nil || size > now {
			return got{}, orDiverged(err, "there is a checkpoint of %d leaves, and the log has %d", size, now)
		}
		return got{none: true}, nil // another node was faster
	}
	if err := o.compareLast(ctx, folder, g, scope); err != nil {
		return got{}, err
	}
	uri := folder + objectName(g.point.Size)
	err = o.s.opt.Locations.PutLocked(ctx, uri, g.note, g.at.Add(o.s.opt.Settings.Retain), scope)
	if caos.AsError(err).Rule == "object-taken" {
		return o.taken(ctx, uri, g, scope)
	}
	if err != nil {
		return got{}, err
	}
	return got{place: uri}, nil
}

func orDiverged(err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	return diverged(format, args...)
}

// compareLast reads the last checkpoint in the bucket, and asks whether the log has led from
// it to what it is now. It need not be the last that this database gave it: one that was
// restored from a backup, or rewritten, knows of less than the bucket does.
func (o *object) compareLast(ctx context.Context, folder string, g given, scope location.Scope) error {
	after := ""
	if g.last > 0 {
		after = objectName(g.last)
	}
	uri, err := o.newest(ctx, folder, after, scope)
	if err != nil || uri == folder && g.last == 0 {
		return err
	}
	text, err := o.s.opt.Locations.GetLocked(ctx, uri, scope)
	if err != nil {
		return err
	}
	if text == nil {
		return diverged("its object of %d leaves is gone, although it was locked", g.last)
	}
	c, err := pointOf(text)
	if err != nil || c.Origin != g.point.Origin || folder+objectName(c.Size) != uri {
		return diverged("its object %s is not the checkpoint that was written", strings.TrimPrefix(uri, folder))
	}
	return o.s.descends(ctx, c)
}

// newest is the URI of the last object of a folder behind a name, and that of the name if
// there is none.
func (o *object) newest(ctx context.Context, folder, after string, scope location.Scope) (last string, err error) {
	const page = 1000
	for last = folder + after; ; {
		list, err := o.s.opt.Locations.ListAfter(ctx, folder, strings.TrimPrefix(last, folder), page, scope)
		if err != nil {
			return "", err
		}
		if len(list) > 0 {
			last = list[len(list)-1]
		}
		if len(list) < page {
			return last, nil // ctx bounds how long this can go on
		}
	}
}

// taken says whether an object in the place of ours is the same checkpoint in other words:
// signed by another key after a rotation.
func (o *object) taken(ctx context.Context, uri string, g given, scope location.Scope) (got, error) {
	text, err := o.s.opt.Locations.GetLocked(ctx, uri, scope)
	if err != nil {
		return got{}, err
	}
	if i := bytes.LastIndex(text, []byte("\n\n")); i >= 0 && string(text[:i+1]) == g.point.Text() {
		return got{place: uri}, nil
	}
	return got{}, diverged("its object of %d leaves is another checkpoint", g.point.Size)
}
