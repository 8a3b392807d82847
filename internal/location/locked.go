package location

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"caos"
)

// maxLocked is the most bytes of an object that PutLocked writes and GetLocked reads.
const maxLocked = 1 << 20

// PutLocked writes a small object that nobody can change or remove before until, not even
// with the keys of the bucket (S3 Object Lock, compliance mode), and makes sure that the store
// has locked it. An object that is there already is never replaced: with the same content it
// is as if it had been written now.
//
// Errors: Conflict (rule object-taken) when there is another content under the name; Invalid
// (rule object-lock) when the store does not lock it; those of a publication.
func (l *Locations) PutLocked(ctx context.Context, uri string, data []byte, until time.Time, s Scope) error {
	b, key, err := l.object(uri, true, s)
	if err != nil {
		return err
	}
	if len(data) > maxLocked {
		return caos.Errorf(caos.TooLarge, "the object has %d bytes, %d are allowed", len(data), maxLocked).WithField("uri")
	}
	if err := b.putLocked(ctx, key, data, until); err != nil {
		return located(ctx, err)
	}
	if err := b.checkLock(ctx, key, until); err != nil {
		return located(ctx, err)
	}
	return nil
}

// GetLocked reads a small object, nil if there is none.
func (l *Locations) GetLocked(ctx context.Context, uri string, s Scope) ([]byte, error) {
	b, key, err := l.object(uri, false, s)
	if err != nil {
		return nil, err
	}
	text, err := b.small(ctx, key)
	if err != nil {
		return nil, located(ctx, err)
	}
	return text, nil
}

// ListAfter returns the URIs of at most limit objects below a folder whose names come after
// name, in the order of their names. limit is at most 1000.
func (l *Locations) ListAfter(ctx context.Context, folder, name string, limit int, s Scope) ([]string, error) {
	p, err := parse(folder)
	if err != nil {
		return nil, err
	}
	if p.scheme != "s3" || !p.folder || p.pattern() {
		return nil, caos.Errorf(caos.Invalid, "%.200q is not a folder of a bucket", folder).WithField("uri").WithHint("s3://bucket/folder/")
	}
	if err := l.usable(p, false, s); err != nil {
		return nil, caos.AsError(err).WithField("uri")
	}
	b := l.buckets[p.bucket]
	prefix := strings.Join(p.parts, "/") + "/"
	timed, cancel := b.timed(ctx)
	defer cancel()
	out, err := b.client.ListObjectsV2(timed, &s3.ListObjectsV2Input{Bucket: &b.Bucket.Bucket, Prefix: &prefix, StartAfter: aws.String(prefix + name),
		MaxKeys: aws.Int32(int32(min(max(limit, 1), 1000)))}) //nolint:gosec // bounded
	if err != nil {
		return nil, located(ctx, b.fail(timed, err))
	}
	var uris []string
	for _, o := range out.Contents {
		if k := aws.ToString(o.Key); strings.HasPrefix(k, prefix) && k > prefix+name && len(uris) < limit {
			uris = append(uris, b.uri(k))
		}
	}
	return uris, nil
}

// object finds the bucket and the key that a URI names.
func (l *Locations) object(uri string, write bool, s Scope) (*bucket, string, error) {
	p, err := parse(uri)
	if err != nil {
		return nil, "", err
	}
	if p.scheme != "s3" || !p.one() {
		return nil, "", caos.Errorf(caos.Invalid, "%.200q is not an object of a bucket", uri).WithField("uri").WithHint("s3://bucket/name")
	}
	if err := l.usable(p, write, s); err != nil {
		return nil, "", caos.AsError(err).WithField("uri")
	}
	b := l.buckets[p.bucket]
	return b, b.key(p), nil
}

func (b *bucket) putLocked(ctx context.Context, key string, data []byte, until time.Time) error {
	timed, cancel := b.timed(ctx)
	defer cancel()
	sum := sha256.Sum256(data)
	_, err := b.client.PutObject(timed, &s3.PutObjectInput{
		Bucket: &b.Bucket.Bucket, Key: &key, Body: bytes.NewReader(data), ContentLength: aws.Int64(int64(len(data))), IfNoneMatch: aws.String("*"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
		ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: aws.Time(until.UTC().Truncate(time.Second)),
	})
	switch {
	case err == nil:
		return nil
	case statusOf(err) == http.StatusPreconditionFailed || isCode(err, "ConditionalRequestConflict"):
		// It is there: from an earlier attempt whose answer was lost, or somebody else's.
		_, err := b.same(ctx, key, data)
		return err
	case statusOf(err) == http.StatusForbidden:
		// Some stores look at the lock before they look at the condition.
		if there, why := b.same(ctx, key, data); there {
			return why
		}
		return b.fail(timed, err)
	case isCode(err, "InvalidRequest") || isCode(err, "InvalidBucketObjectLockConfiguration") || isCode(err, "ObjectLockConfigurationNotFoundError") || isCode(err, "NotImplemented"):
		return errNoLock(b.Bucket.Bucket, err)
	}
	return b.fail(timed, err)
}

func errNoLock(name string, cause error) error {
	return caos.Wrap(caos.Invalid, cause, "the bucket %s does not lock objects", name).WithRule("object-lock").
		WithHint("make the bucket with Object Lock enabled; it cannot be added to every store's buckets later")
}

// same compares an object with what was to be written. there says that there is one.
func (b *bucket) same(ctx context.Context, key string, data []byte) (there bool, err error) {
	text, err := b.small(ctx, key)
	switch {
	case err != nil:
		return false, err
	case text == nil:
		return false, caos.Errorf(caos.Unavailable, "the object store says that the object is there, and then that it is not")
	case !bytes.Equal(text, data):
		return true, caos.Errorf(caos.Conflict, "there is an object of this name with another content").WithRule("object-taken")
	}
	return true, nil
}

// small reads an object of at most maxLocked bytes, nil if there is none.
func (b *bucket) small(ctx context.Context, key string) ([]byte, error) {
	timed, cancel := b.timed(ctx)
	defer cancel()
	out, err := b.client.GetObject(timed, &s3.GetObjectInput{Bucket: &b.Bucket.Bucket, Key: &key})
	if err != nil {
		if err = b.fail(timed, err); caos.AsError(err).Rule == "source-missing" {
			return nil, nil
		}
		return nil, err
	}
	defer out.Body.Close()
	text, err := io.ReadAll(io.LimitReader(out.Body, maxLocked+1))
	if err != nil {
		return nil, b.fail(timed, err)
	}
	if len(text) > maxLocked {
		return nil, errTooLarge(int64(len(text)), maxLocked)
	}
	return text, nil
}

// checkLock asks until when an object is locked: some stores take the request and forget the
// lock.
func (b *bucket) checkLock(ctx context.Context, key string, until time.Time) error {
	timed, cancel := b.timed(ctx)
	defer cancel()
	out, err := b.client.GetObjectRetention(timed, &s3.GetObjectRetentionInput{Bucket: &b.Bucket.Bucket, Key: &key})
	if err != nil {
		if isCode(err, "NoSuchObjectLockConfiguration") || isCode(err, "ObjectLockConfigurationNotFoundError") || isCode(err, "InvalidRequest") || isCode(err, "NotImplemented") {
			return errNoLock(b.Bucket.Bucket, err)
		}
		return b.fail(timed, err)
	}
	r := out.Retention
	if r == nil || r.Mode != types.ObjectLockRetentionModeCompliance || r.RetainUntilDate == nil {
		return errNoLock(b.Bucket.Bucket, nil)
	}
	// An attempt before this one may have locked it up to a little earlier; a day is no
	// difference to what years were asked for.
	if r.RetainUntilDate.Before(until.Add(-24 * time.Hour)) {
		return caos.Errorf(caos.Conflict, "the object is locked until %s only", caos.FormatTime(*r.RetainUntilDate)).WithRule("object-lock").
			WithHint("an administrator may extend its retention")
	}
	return nil
}
