package location

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"caos"
)

// ask sends a request for a source. Where it leads is judged by package outbound.
func (l *Locations) ask(ctx context.Context, method, uri string, header map[string]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, uri, http.NoBody)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "it is not an address")
	}
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("User-Agent", "caos")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := l.http.Do(req)
	if err != nil {
		e := caos.AsError(err)
		if e.Kind == caos.Internal {
			return nil, caos.Wrap(caos.Unavailable, err, "the server cannot be reached")
		}
		return nil, e
	}
	return resp, nil
}

// refused puts a status into words.
func refused(status int) error {
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return caos.Errorf(caos.NotFound, "the server has no such file").WithRule("source-missing")
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return caos.Errorf(caos.Denied, "the server does not give it away: status %d", status).WithRule("location-credentials").
			WithHint("https:// sources are fetched without credentials; put the file into a bucket")
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		return caos.Errorf(caos.Unavailable, "the server answers with status %d", status)
	}
	return caos.Errorf(caos.Invalid, "the server answers with status %d", status)
}

// described is what a header says of a file. length is -1 if it does not say.
func described(h http.Header, length int64) (etag string, modified time.Time, size int64) {
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil {
		modified = time.Time{}
	}
	etag = h.Get("Etag")
	if len(etag) > 256 || !plainText(etag) {
		etag = ""
	}
	return etag, modified.UTC(), max(length, -1)
}

// probeWeb asks for the header alone, and where a server does not like that, for the file,
// of which nothing is read.
func (l *Locations) probeWeb(ctx context.Context, p *place) ([]File, error) {
	var resp *http.Response
	for attempt := 0; ; attempt++ {
		var err error
		resp, err = l.header(ctx, p.uri)
		if err == nil {
			break
		}
		if !retryable(ctx, err) || attempt+1 >= fruitless {
			return nil, err
		}
		if err := l.opt.pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
	f := File{URI: p.uri, Name: path.Base(p.url.Path)}
	if f.Name == "/" || f.Name == "." {
		f.Name = "file"
	}
	f.ETag, f.Modified, f.Size = described(resp.Header, resp.ContentLength)
	return []File{f}, nil
}

func (l *Locations) header(ctx context.Context, uri string) (*http.Response, error) {
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		resp, err := l.ask(ctx, method, uri, nil)
		if err != nil {
			return nil, err
		}
		_ = resp.Body.Close() // nothing of it is read
		switch {
		case resp.StatusCode == http.StatusOK:
			return resp, nil
		case method == http.MethodHead && (resp.StatusCode == http.StatusMethodNotAllowed || resp.StatusCode == http.StatusNotImplemented || resp.StatusCode == http.StatusForbidden ||
			resp.StatusCode == http.StatusBadRequest):
			continue // signed addresses are for one method, and some servers know but one
		}
		return nil, refused(resp.StatusCode)
	}
	return nil, refused(http.StatusMethodNotAllowed)
}

// fetchWeb copies a file. It goes on after a break only where the server can say that it is
// still the same one.
func (l *Locations) fetchWeb(ctx context.Context, p *place, t *transfer) error {
	w := &webFile{l: l, uri: p.uri, t: t}
	if err := t.resume(ctx, w.open); err != nil {
		return err
	}
	if w.total >= 0 && t.done != w.total {
		return caos.Errorf(caos.Invalid, "%d bytes came, the server said %d", t.done, w.total)
	}
	t.got.ETag, t.got.Modified = w.etag, w.modified
	return nil
}

// webFile is a file of a server, as its first answer described it.
type webFile struct {
	l        *Locations
	uri      string
	t        *transfer
	begun    bool
	etag     string
	modified time.Time
	total    int64
}

// validator is what If-Range compares: a strong ETag, or else a date. "" means that a part
// cannot be trusted to be of the same file.
func (w *webFile) validator() string {
	if strings.HasPrefix(w.etag, `"`) {
		return w.etag
	}
	if w.etag == "" && !w.modified.IsZero() {
		return w.modified.Format(http.TimeFormat)
	}
	return ""
}

func (w *webFile) open(ctx context.Context, from int64) (part, error) {
	header := map[string]string{}
	v := w.validator()
	if from > 0 && w.begun && v != "" {
		header["Range"], header["If-Range"] = "bytes="+strconv.FormatInt(from, 10)+"-", v
	}
	resp, err := w.l.ask(ctx, http.MethodGet, w.uri, header)
	if err != nil {
		return part{}, err
	}
	whole, err := w.judge(resp, from, header["Range"] != "")
	if err != nil {
		_ = resp.Body.Close() // nothing of it is used
		return part{}, err
	}
	return part{body: resp.Body, whole: whole}, nil
}

// judge decides what an answer is worth: all of the file, or what follows an offset.
func (w *webFile) judge(resp *http.Response, from int64, ranged bool) (whole bool, err error) {
	etag, modified, length := described(resp.Header, resp.ContentLength)
	switch resp.StatusCode {
	case http.StatusOK:
		want := w.t.want
		first := !w.begun
		if first {
			w.begun, w.etag, w.modified, w.total = true, etag, modified, length
		}
		changed := !first && (etag != w.etag || !modified.Equal(w.modified) || length != w.total)
		if first {
			changed = want.ETag != "" && etag != want.ETag || want.ETag == "" && !want.Modified.IsZero() && !modified.Equal(want.Modified) ||
				want.Size >= 0 && length >= 0 && length != want.Size
		}
		if changed {
			return false, errChanged("the server has another file there")
		}
		if length > w.t.limit {
			return false, errTooLarge(length, w.t.limit)
		}
		w.t.want.Size = max(want.Size, length)
		return true, nil
	case http.StatusPartialContent:
		if !ranged || !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", from)) {
			return false, caos.Errorf(caos.Invalid, "the server sends a part that was not asked for")
		}
		if etag != "" && etag != w.etag {
			return false, errChanged("the server has another file there")
		}
		return false, nil
	case http.StatusRequestedRangeNotSatisfiable:
		return false, errChanged("it is shorter than it was")
	}
	return false, refused(resp.StatusCode)
}
