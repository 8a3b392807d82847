package location

import (
	"context"
	"crypto/sha1" //nolint:gosec // some stores state it; it is compared, not relied on
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"caos"
)

// head describes one object.
func (b *bucket) head(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	out, err := b.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &b.Bucket.Bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return nil, b.refine(ctx, b.fail(ctx, err))
	}
	return out, nil
}

func (b *bucket) key(p *place) string { return strings.Join(p.parts, "/") }

func (b *bucket) uri(key string) string {
	return "s3://" + b.Bucket.Bucket + escape(strings.Split(key, "/"))
}

// probe describes an object, or lists those that fit.
func (b *bucket) probe(ctx context.Context, p *place) ([]File, error) {
	if p.one() {
		key := b.key(p)
		h, err := b.head(ctx, key)
		if err != nil {
			return nil, err
		}
		return []File{{URI: b.uri(key), Name: path.Base(key), Size: aws.ToInt64(h.ContentLength), ETag: aws.ToString(h.ETag), Version: aws.ToString(h.VersionId),
			Modified: aws.ToTime(h.LastModified).UTC()}}, nil
	}
	var out []File
	prefix := strings.Join(append(append([]string{}, p.fixed()...), ""), "/")
	err := b.list(ctx, prefix, func(o types.Object) error {
		key := aws.ToString(o.Key)
		if strings.HasSuffix(key, "/") && aws.ToInt64(o.Size) == 0 {
			return nil // a folder, as some tools make them
		}
		parts := strings.Split(key, "/")
		if p.hidden(parts) || !p.fits(parts) {
			return nil
		}
		for _, part := range parts {
			if err := checkName(part); err != nil {
				return err
			}
		}
		if len(out) == maxFiles {
			return errTooMany(maxFiles)
		}
		out = append(out, File{URI: b.uri(key), Name: parts[len(parts)-1], Size: aws.ToInt64(o.Size), ETag: aws.ToString(o.ETag), Modified: aws.ToTime(o.LastModified).UTC()})
		return nil
	})
	return out, err
}

// list calls fn for each object with a prefix. A server that goes on for ever is cut off.
func (b *bucket) list(ctx context.Context, prefix string, fn func(types.Object) error) error {
	seen := 0
	var token *string
	for {
		out, err := b.page(ctx, prefix, token)
		if err != nil {
			return b.fail(ctx, err)
		}
		for _, o := range out.Contents {
			if !strings.HasPrefix(aws.ToString(o.Key), prefix) {
				return caos.Errorf(caos.Invalid, "the object store lists what was not asked for").WithRule("location-name")
			}
			if seen++; seen > maxListed {
				return errTooMany(maxListed)
			}
			if err := fn(o); err != nil {
				return err
			}
		}
		next := out.NextContinuationToken
		if !aws.ToBool(out.IsTruncated) || next == nil {
			return nil
		}
		if len(out.Contents) == 0 || token != nil && *token == *next {
			return caos.Errorf(caos.Unavailable, "the object store's listing does not end")
		}
		token = next
	}
}

func (b *bucket) page(ctx context.Context, prefix string, token *string) (*s3.ListObjectsV2Output, error) {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	return b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &b.Bucket.Bucket, Prefix: &prefix, ContinuationToken: token})
}

// fetch copies an object, in one piece or in several, all of the same object: each request
// carries the ETag of the first.
func (b *bucket) fetch(ctx context.Context, p *place, t *transfer) error {
	key := b.key(p)
	h, err := b.head(ctx, key)
	if caos.KindOf(err) == caos.NotFound && caos.AsError(err).Rule == "source-missing" {
		return errChanged("it is gone")
	}
	if err != nil {
		return err
	}
	etag := aws.ToString(h.ETag)
	if t.want.ETag != "" && etag != t.want.ETag || t.want.Size >= 0 && aws.ToInt64(h.ContentLength) != t.want.Size {
		return errChanged("it was replaced")
	}
	if t.want.Version != "" && aws.ToString(h.VersionId) != t.want.Version {
		return errChanged("there is a newer version")
	}
	t.want.Size = aws.ToInt64(h.ContentLength)
	if t.want.Size > t.limit {
		return errTooLarge(t.want.Size, t.limit)
	}
	stated, check := statedChecksum(h)
	t.also = check
	for attempt := 0; ; attempt++ {
		if err := t.resume(ctx, func(ctx context.Context, from int64) (part, error) { return b.open(ctx, key, etag, from) }); err != nil {
			return err
		}
		if check == nil || base64.StdEncoding.EncodeToString(check.Sum(nil)) == stated {
			break
		}
		if attempt > 0 {
			return caos.Errorf(caos.Invalid, "what came does not have the checksum that the object store states").WithRule("source-checksum").
				WithHint("it came twice so: the object, or the way to it, is damaged")
		}
		if err := t.again(); err != nil {
			return err
		}
	}
	t.got.ETag, t.got.Version, t.got.Modified = etag, aws.ToString(h.VersionId), aws.ToTime(h.LastModified).UTC()
	return nil
}

// open asks for an object from an offset on.
func (b *bucket) open(ctx context.Context, key, etag string, from int64) (part, error) {
	in := &s3.GetObjectInput{Bucket: &b.Bucket.Bucket, Key: &key}
	if etag != "" {
		in.IfMatch = &etag
	}
	if from > 0 {
		in.Range = aws.String("bytes=" + strconv.FormatInt(from, 10) + "-")
	}
	out, err := b.client.GetObject(context.WithValue(ctx, objectKey{}, true), in)
	if err != nil {
		if statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
			return part{}, errChanged("it is shorter than it was")
		}
		err = b.fail(ctx, err)
		if caos.AsError(err).Rule == "source-missing" {
			err = errChanged("it is gone")
		}
		return part{}, err
	}
	if aws.ToString(out.ETag) != etag {
		_ = out.Body.Close() // nothing of it is used
		return part{}, errChanged("it was replaced")
	}
	whole := from > 0 && !strings.HasPrefix(aws.ToString(out.ContentRange), "bytes "+strconv.FormatInt(from, 10)+"-")
	return part{body: out.Body, whole: whole || from == 0}, nil
}

// statedChecksum is the checksum of the whole object that the store states, in base64, and
// how it is computed. One of parts says nothing about a whole that came in other parts.
func statedChecksum(h *s3.HeadObjectOutput) (string, hash.Hash) {
	if h.ChecksumType == types.ChecksumTypeComposite {
		return "", nil
	}
	for _, c := range []struct {
		stated *string
		made   func() hash.Hash
	}{
		{h.ChecksumSHA256, sha256.New},
		{h.ChecksumCRC64NVME, newNVME},
		{h.ChecksumCRC32C, func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }},
		{h.ChecksumCRC32, func() hash.Hash { return crc32.NewIEEE() }},
		{h.ChecksumSHA1, sha1.New},
	} {
		if s := aws.ToString(c.stated); s != "" && !strings.Contains(s, "-") {
			return s, c.made()
		}
	}
	return "", nil
}

// newNVME is CRC-64/NVME, which object stores use because that of parts can be combined.
func newNVME() hash.Hash { return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) }

// older reports whether a moment that a server states is before another of its own.
func older(a *time.Time, b time.Time) bool { return aws.ToTime(a).Before(b) }
