package location

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"caos"
)

// A publication to s3:// is a multipart upload for each file, complete but for the last
// request, which makes the object visible at once. Beside the target lie
//
//	.caos-<key>/stage.json   which objects the publication is about
//	.caos-<key>/was.json     since Commit began: which of them were there before
//	.caos-<key>/old/<n>      what the n-th object was before
//
// What a publication has made carries a name of its Stage in the object's metadata, so that
// each step can tell what is its own, however often it is done.

const (
	ownedBy  = "caos-publication" // metadata of an object
	minPart  = 8 << 20            // bytes; all but the last part have as many or more
	maxParts = 9_000              // of an upload; 10,000 are allowed
	maxCopy  = 5 << 30            // bytes that one request copies within the store
)

// note is stage.json.
type note struct {
	Target string   `json:"target"`
	Keys   []string `json:"keys"`
}

// folderOf is where a publication keeps its own, with a slash behind it.
func folderOf(p *place, st *Staged) string {
	return strings.Join(append(slices.Clone(p.parts[:len(p.parts)-1]), aside(p, st), ""), "/")
}

func (b *bucket) stage(ctx context.Context, s staging) error {
	s.st.Owner = rand.Text()
	if err := b.sweep(ctx, s.p, s.st); err != nil {
		return err
	}
	folder := wholeFolder(s.p, s.files)
	base := b.key(s.p)
	n := note{Target: s.st.Target}
	files := sorted(s.files)
	for _, f := range files {
		key := base
		if folder {
			key = base + "/" + f.Name
		}
		if len(key) > 1024 {
			return caos.Errorf(caos.Invalid, "the name %.100q is too long for an object store", f.Name).WithField("files")
		}
		n.Keys = append(n.Keys, key)
	}
	if folder {
		if err := b.list(ctx, base+"/", func(o types.Object) error {
			if len(s.st.Old) == maxFiles {
				return caos.Errorf(caos.TooLarge, "the target has more than %d objects, which would be replaced", maxFiles)
			}
			if s.st.New && (aws.ToString(o.Key) != base+"/" || aws.ToInt64(o.Size) > 0) { // a folder, as some tools make them, is no file
				return errOccupied()
			}
			s.st.Old = append(s.st.Old, Object{Key: aws.ToString(o.Key), ETag: aws.ToString(o.ETag)})
			return nil
		}); err != nil {
			return err
		}
	}
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := b.put(ctx, folderOf(s.p, s.st)+"stage.json", text); err != nil {
		return err
	}
	for i, f := range files {
		staged, err := b.upload(ctx, s, f, n.Keys[i])
		if err != nil {
			return errors.Join(err, b.sweep(context.WithoutCancel(ctx), s.p, s.st))
		}
		s.st.Files = append(s.st.Files, staged)
	}
	return nil
}

func (b *bucket) put(ctx context.Context, key string, text []byte) error {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	_, err := b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.Bucket.Bucket, Key: &key, Body: strings.NewReader(string(text)), ContentLength: aws.Int64(int64(len(text)))})
	return b.fail(ctx, err)
}

// upload sends one file in parts. Only a part's window of the file is ever in memory.
func (b *bucket) upload(ctx context.Context, s staging, f Local, key string) (StagedFile, error) {
	in, info, err := s.src.open(f)
	if err != nil {
		return StagedFile{}, caos.AsError(err).WithField("files")
	}
	defer in.Close()
	size := info.Size()
	made, err := b.create(ctx, key, s.st.Owner)
	if err != nil {
		return StagedFile{}, err
	}
	step := partSize(size)
	sum, whole := sha256.New(), newNVME()
	for n, off := int32(1), int64(0); n == 1 || off < size; n, off = n+1, off+step {
		length := min(step, size-off)
		if err := b.uploadPart(ctx, window{key: key, upload: made, n: n, r: io.NewSectionReader(in, off, length)}, []hash.Hash{sum, whole}); err != nil {
			return StagedFile{}, err
		}
		s.told(length)
	}
	if st, err := in.Stat(); err != nil || st.Size() != size || !st.ModTime().Equal(info.ModTime()) {
		return StagedFile{}, caos.Errorf(caos.Conflict, "%.100q changed while it was published", f.Name).WithRule("scratch-changed").WithField("files")
	}
	if err := same(f, digest(sum)); err != nil {
		return StagedFile{}, err
	}
	return StagedFile{Name: f.Name, URI: b.uri(key), Size: size, Digest: digest(sum), Upload: made, Checksum: base64.StdEncoding.EncodeToString(whole.Sum(nil))}, nil
}

func partSize(size int64) int64 {
	n := max(minPart, (size+maxParts-1)/maxParts)
	return (n + 1<<20 - 1) / (1 << 20) * (1 << 20)
}

func (b *bucket) create(ctx context.Context, key, owner string) (string, error) {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	out, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &b.Bucket.Bucket, Key: &key, Metadata: map[string]string{ownedBy: owner},
		ContentType: aws.String("application/octet-stream"), ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject})
	if err != nil {
		return "", b.fail(ctx, err)
	}
	return aws.ToString(out.UploadId), nil
}

// window is one part of an upload.
type window struct {
	key, upload string
	n           int32
	r           *io.SectionReader
}

// uploadPart reads a part twice: for its checksum, by which the store refuses what was damaged
// on the way, and to send it.
func (b *bucket) uploadPart(ctx context.Context, w window, sums []hash.Hash) error {
	own := newNVME()
	writers := []io.Writer{own}
	for _, s := range sums {
		writers = append(writers, s)
	}
	if _, err := io.CopyBuffer(io.MultiWriter(writers...), &patient{ctx: ctx, from: struct{ io.Reader }{w.r}}, make([]byte, 256<<10)); err != nil {
		return stored(err, "the file to publish cannot be read")
	}
	if _, err := w.r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	// As slow as 64 KiB a second is slow; slower is a server that hangs.
	limit := b.opt.Wait*fruitless + time.Duration(w.r.Size()/(64<<10))*time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSlow(limit))
	defer cancel()
	_, err := b.client.UploadPart(ctx, &s3.UploadPartInput{Bucket: &b.Bucket.Bucket, Key: &w.key, UploadId: &w.upload, PartNumber: &w.n, Body: w.r,
		ContentLength: aws.Int64(w.r.Size()), ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumCRC64NVME: aws.String(base64.StdEncoding.EncodeToString(own.Sum(nil)))})
	return b.fail(ctx, err)
}

func errSlow(d time.Duration) error {
	return caos.Errorf(caos.Unavailable, "the object store did not take a part within %s", d)
}

// commit completes the uploads, one by one, each after what it replaces was copied aside.
func (b *bucket) commit(ctx context.Context, p *place, st *Staged) error {
	folder, owner := folderOf(p, st), st.Owner
	seen, err := b.survey(ctx, folder, st)
	if err != nil {
		return err
	}
	for i, f := range st.Files {
		key, err := keyOf(f.URI)
		if err != nil {
			return err
		}
		was := seen[i]
		if was != nil && was.Metadata[ownedBy] == owner {
			continue
		}
		if was != nil {
			if err := b.copy(ctx, copying{from: key, etag: aws.ToString(was.ETag), size: aws.ToInt64(was.ContentLength), to: folder + "old/" + strconv.Itoa(i)}); err != nil {
				return err
			}
		}
		if err := b.complete(ctx, key, f, owner); err != nil {
			return err
		}
	}
	return nil
}

// survey looks at the objects that are about to be replaced, and writes down, before the first
// of them is, which were there: Undo must never take what it brought back for what it made.
func (b *bucket) survey(ctx context.Context, folder string, st *Staged) ([]*s3.HeadObjectOutput, error) {
	var seen []*s3.HeadObjectOutput
	var there []bool
	mine := 0
	for _, f := range st.Files {
		key, err := keyOf(f.URI)
		if err != nil {
			return nil, err
		}
		h, err := b.look(ctx, key)
		if err != nil {
			return nil, err
		}
		seen, there = append(seen, h), append(there, h != nil)
		switch {
		case h == nil:
		case h.Metadata[ownedBy] == st.Owner:
			mine++
		case st.New:
			return nil, errOccupied()
		}
	}
	if mine > 0 {
		return seen, nil // it is written
	}
	text, err := json.Marshal(there)
	if err != nil {
		return nil, err
	}
	return seen, b.put(ctx, folder+"was.json", text)
}

// surveyed reads what survey wrote, nothing if Commit never began.
func (b *bucket) surveyed(ctx context.Context, folder string, n int) ([]bool, error) {
	text, _, err := b.get(ctx, folder+"was.json")
	if err != nil || text == nil {
		return nil, err
	}
	var there []bool
	if err := json.Unmarshal(text, &there); err != nil || len(there) != n {
		return nil, caos.Wrap(caos.Conflict, err, "what was kept beside the target is damaged").WithRule("target-changed").WithHint("look at what lies below %s in the bucket", folder)
	}
	return there, nil
}

// look describes an object that may not be there.
func (b *bucket) look(ctx context.Context, key string) (*s3.HeadObjectOutput, error) {
	h, err := b.head(ctx, key)
	if e := caos.AsError(err); err != nil && e.Kind == caos.NotFound && e.Rule == "source-missing" {
		return nil, nil
	}
	return h, err
}

func (b *bucket) complete(ctx context.Context, key string, f StagedFile, owner string) error {
	parts, size, err := b.parts(ctx, key, f.Upload)
	if err == nil && size != f.Size {
		return caos.Errorf(caos.Conflict, "the object store has %d bytes of %.100q, not %d", size, f.Name, f.Size).WithRule("staged-lost").WithHint("run it again")
	}
	if err == nil {
		ctx, cancel := b.timed(ctx)
		defer cancel()
		_, err = b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &b.Bucket.Bucket, Key: &key, UploadId: &f.Upload,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}, ChecksumCRC64NVME: &f.Checksum, ChecksumType: types.ChecksumTypeFullObject})
	}
	if err == nil {
		return nil
	}
	// It may have been completed by an answer that got lost.
	now, looking := b.look(ctx, key)
	if looking == nil && now != nil && now.Metadata[ownedBy] == owner {
		return nil
	}
	if isCode(err, "NoSuchUpload") {
		return caos.Wrap(caos.Conflict, err, "what was staged of %.100q is gone", f.Name).WithRule("staged-lost").WithHint("run it again; does a rule of the bucket remove unfinished uploads?")
	}
	return b.fail(ctx, err)
}

func isCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// parts lists what the store has of an upload.
func (b *bucket) parts(ctx context.Context, key, upload string) ([]types.CompletedPart, int64, error) {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	var out []types.CompletedPart
	var size int64
	var marker *string
	for len(out) <= maxParts {
		page, err := b.client.ListParts(ctx, &s3.ListPartsInput{Bucket: &b.Bucket.Bucket, Key: &key, UploadId: &upload, PartNumberMarker: marker})
		if err != nil {
			return nil, 0, err
		}
		for _, p := range page.Parts {
			out = append(out, types.CompletedPart{PartNumber: p.PartNumber, ETag: p.ETag, ChecksumCRC64NVME: p.ChecksumCRC64NVME})
			size += aws.ToInt64(p.Size)
		}
		if !aws.ToBool(page.IsTruncated) || len(page.Parts) == 0 {
			return out, size, nil
		}
		marker = page.NextPartNumberMarker
	}
	return nil, 0, caos.Errorf(caos.Unavailable, "the object store's listing does not end")
}

// copying is a copy within the bucket.
type copying struct {
	from, etag string
	size       int64
	to         string
}

// copy copies an object as it is, with its metadata; a large one in parts.
func (b *bucket) copy(ctx context.Context, c copying) error {
	source := b.Bucket.Bucket + "/" + (&url.URL{Path: c.from}).EscapedPath()
	if c.size <= maxCopy {
		ctx, cancel := context.WithTimeout(ctx, longest)
		defer cancel()
		_, err := b.client.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &b.Bucket.Bucket, Key: &c.to, CopySource: &source, CopySourceIfMatch: &c.etag, MetadataDirective: types.MetadataDirectiveCopy})
		return b.moved(ctx, err)
	}
	h, err := b.head(ctx, c.from)
	if err != nil {
		return err
	}
	made, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: &b.Bucket.Bucket, Key: &c.to, Metadata: h.Metadata, ContentType: h.ContentType})
	if err != nil {
		return b.fail(ctx, err)
	}
	var parts []types.CompletedPart
	for n, off := int32(1), int64(0); off < c.size; n, off = n+1, off+maxCopy/2 {
		span := "bytes=" + strconv.FormatInt(off, 10) + "-" + strconv.FormatInt(min(off+maxCopy/2, c.size)-1, 10)
		out, err := b.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{Bucket: &b.Bucket.Bucket, Key: &c.to, UploadId: made.UploadId, PartNumber: &n, CopySource: &source,
			CopySourceIfMatch: &c.etag, CopySourceRange: &span})
		if err != nil {
			return errors.Join(b.moved(ctx, err), b.abort(context.WithoutCancel(ctx), c.to, aws.ToString(made.UploadId)))
		}
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(n), ETag: out.CopyPartResult.ETag})
	}
	_, err = b.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &b.Bucket.Bucket, Key: &c.to, UploadId: made.UploadId, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	return b.fail(ctx, err)
}

// moved is an error of a copy whose source somebody else has replaced.
func (b *bucket) moved(ctx context.Context, err error) error {
	err = b.fail(ctx, err)
	if caos.AsError(err).Rule == "source-changed" && err != nil {
		return caos.Wrap(caos.Conflict, err, "somebody else is changing the target").WithRule("target-changed")
	}
	return err
}

// undo aborts what is not complete, and brings back what was there before what is.
func (b *bucket) undo(ctx context.Context, p *place, st *Staged) error {
	folder := folderOf(p, st)
	was, err := b.surveyed(ctx, folder, len(st.Files))
	if err != nil {
		return err
	}
	for i, there := range was {
		key, err := keyOf(st.Files[i].URI)
		if err != nil {
			return err
		}
		now, err := b.look(ctx, key)
		if err != nil {
			return err
		}
		if now == nil || now.Metadata[ownedBy] != st.Owner {
			continue
		}
		if !there {
			if err := b.remove(ctx, key); err != nil {
				return err
			}
			continue
		}
		if err := b.restore(ctx, folder+"old/"+strconv.Itoa(i), key); err != nil {
			return err
		}
	}
	return b.sweep(ctx, p, st)
}

// restore brings an object back. One that is not kept any more has been brought back before:
// some stores leave it the metadata of what it replaced.
func (b *bucket) restore(ctx context.Context, from, to string) error {
	kept, err := b.look(ctx, from)
	if err != nil || kept == nil {
		return err
	}
	return b.copy(ctx, copying{from: from, etag: aws.ToString(kept.ETag), size: aws.ToInt64(kept.ContentLength), to: to})
}

// finish removes what a folder had before and has no more, and what Undo needed.
func (b *bucket) finish(ctx context.Context, p *place, st *Staged) error {
	owner := st.Owner
	mine := map[string]bool{}
	for _, f := range st.Files {
		key, err := keyOf(f.URI)
		if err != nil {
			return err
		}
		mine[key] = true
	}
	if len(st.Files) > 0 {
		last, err := keyOf(st.Files[len(st.Files)-1].URI)
		if err != nil {
			return err
		}
		parts, _, err := b.parts(ctx, last, st.Files[len(st.Files)-1].Upload)
		if err == nil && len(parts) > 0 {
			return caos.Errorf(caos.Conflict, "it was staged and never made visible").WithRule("not-committed")
		}
	}
	for _, o := range st.Old {
		if mine[o.Key] {
			continue
		}
		now, err := b.look(ctx, o.Key)
		if err != nil {
			return err
		}
		if now == nil || aws.ToString(now.ETag) != o.ETag || now.Metadata[ownedBy] == owner {
			continue // gone, or somebody else's by now
		}
		if err := b.remove(ctx, o.Key); err != nil {
			return err
		}
	}
	return b.sweep(ctx, p, st)
}

func (b *bucket) remove(ctx context.Context, key string) error {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.Bucket.Bucket, Key: &key})
	return b.fail(ctx, err)
}

func (b *bucket) abort(ctx context.Context, key, upload string) error {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &b.Bucket.Bucket, Key: &key, UploadId: &upload})
	if isCode(err, "NoSuchUpload") {
		return nil
	}
	return b.fail(ctx, err)
}

// sweep removes all that a publication keeps beside its target, and aborts its uploads: those
// of its objects that began after its note was written. The note goes last, so that a sweep
// that died finds the rest when it is done again.
func (b *bucket) sweep(ctx context.Context, p *place, st *Staged) error {
	folder := folderOf(p, st)
	keys := map[string]bool{}
	for _, f := range st.Files {
		key, err := keyOf(f.URI)
		if err != nil {
			return err
		}
		keys[key] = true
		if err := b.abort(ctx, key, f.Upload); err != nil {
			return err
		}
	}
	written, err := b.readNote(ctx, folder, keys)
	if err != nil {
		return err
	}
	if !written.IsZero() {
		if err := b.abortSince(ctx, p, keys, written); err != nil {
			return err
		}
	}
	var found []string
	if err := b.list(ctx, folder, func(o types.Object) error { found = append(found, aws.ToString(o.Key)); return nil }); err != nil {
		return err
	}
	slices.SortFunc(found, func(a, c string) int { // what was kept goes first, the notes about it last
		if rank(a) != rank(c) {
			return rank(a) - rank(c)
		}
		return strings.Compare(a, c)
	})
	for _, key := range found {
		if err := b.remove(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func rank(key string) int { return slices.Index([]string{"was.json", "stage.json"}, path.Base(key)) }

// readNote adds the objects that a publication is about, and says when its note was written
// by the store's clock; zero if there is none.
func (b *bucket) readNote(ctx context.Context, folder string, keys map[string]bool) (time.Time, error) {
	text, at, err := b.get(ctx, folder+"stage.json")
	if err != nil || text == nil {
		return time.Time{}, err
	}
	var n note
	if json.Unmarshal(text, &n) == nil { // one that is damaged names nothing
		for _, key := range n.Keys {
			keys[key] = true
		}
	}
	return at, nil
}

// get reads a small object of our own, nil if there is none.
func (b *bucket) get(ctx context.Context, key string) ([]byte, time.Time, error) {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.Bucket.Bucket, Key: &key})
	if err != nil {
		if err = b.fail(ctx, err); caos.AsError(err).Rule == "source-missing" {
			return nil, time.Time{}, nil
		}
		return nil, time.Time{}, err
	}
	defer out.Body.Close()
	text, err := io.ReadAll(io.LimitReader(out.Body, maxAnswer))
	if err != nil {
		return nil, time.Time{}, b.fail(ctx, err)
	}
	return text, aws.ToTime(out.LastModified), nil
}

// abortSince aborts uploads of some objects that began at or after a moment.
func (b *bucket) abortSince(ctx context.Context, p *place, keys map[string]bool, since time.Time) error {
	ctx, cancel := b.timed(ctx)
	defer cancel()
	prefix := b.key(p)
	var key, upload *string
	for seen := 0; seen <= maxListed; {
		out, err := b.client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &b.Bucket.Bucket, Prefix: &prefix, KeyMarker: key, UploadIdMarker: upload})
		if err != nil {
			return b.fail(ctx, err)
		}
		for _, u := range out.Uploads {
			seen++
			if !keys[aws.ToString(u.Key)] || older(u.Initiated, since) {
				continue
			}
			if err := b.abort(ctx, aws.ToString(u.Key), aws.ToString(u.UploadId)); err != nil {
				return err
			}
		}
		if !aws.ToBool(out.IsTruncated) || len(out.Uploads) == 0 {
			return nil
		}
		key, upload = out.NextKeyMarker, out.NextUploadIdMarker
	}
	return caos.Errorf(caos.Unavailable, "the object store's listing does not end")
}

// keyOf is the key in the URI of an object.
func keyOf(uri string) (string, error) {
	p, err := parse(uri)
	if err != nil {
		return "", err
	}
	return strings.Join(p.parts, "/"), nil
}
