package client

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"

	"caos"
)

// Upload sends size bytes of r to path. digest is their SHA-256, which the server checks;
// nil leaves that out. There is no second try: r is read once.
func (c *Client) Upload(ctx context.Context, path string, r io.Reader, size int64, digest []byte) (*Answer, error) {
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if digest != nil {
		header.Set("Content-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(digest)+":")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address(path, nil), r)
	if err != nil {
		return nil, caos.Wrap(caos.Invalid, err, "the request cannot be made")
	}
	req.Header, req.ContentLength = header, size
	if size == 0 {
		req.Body = http.NoBody
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.agent)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	defer res.Body.Close()
	return c.read(res)
}

// Download writes what is at path to w and returns how many bytes that were. A body that
// breaks off is an error.
func (c *Client) Download(ctx context.Context, path string, query url.Values, w io.Writer) (int64, error) {
	res, err := c.send(ctx, http.MethodGet, c.address(path, query), http.Header{"Accept": {"*/*"}}, http.NoBody)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		_, err := c.read(res)
		return 0, err
	}
	n, err := io.Copy(w, res.Body)
	if err != nil {
		return n, caos.Wrap(caos.Unavailable, err, "the download broke off after %d bytes", n).WithHint("repeat the command; nothing was kept")
	}
	return n, nil
}

// Event is a server-sent event.
type Event struct {
	Name string
	ID   string
	Data []byte
}

// maxEvent bounds one line of an event stream.
const maxEvent = 16 << 20

// Events follows a stream until it ends, fn returns an error, or ctx ends. after is the id
// of the last event that was seen, "" for none.
func (c *Client) Events(ctx context.Context, path, after string, fn func(Event) error) error {
	header := http.Header{"Accept": {"text/event-stream"}}
	if after != "" {
		header.Set("Last-Event-ID", after)
	}
	res, err := c.send(ctx, http.MethodGet, c.address(path, nil), header, http.NoBody)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		_, err := c.read(res)
		return err
	}
	err = readEvents(res.Body, fn)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readEvents reads a stream of server-sent events; one that is not finished is dropped.
func readEvents(r io.Reader, fn func(Event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	var e Event
	for lines.Scan() {
		line := lines.Text()
		if line == "" {
			if e.Data != nil {
				if err := fn(e); err != nil {
					return err
				}
			}
			e = Event{}
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.Name = value
		case "id":
			e.ID = value
		case "data":
			if e.Data != nil {
				e.Data = append(e.Data, '\n')
			}
			e.Data = append(append([]byte{}, e.Data...), value...)
		}
	}
	if err := lines.Err(); err != nil {
		return caos.Wrap(caos.Unavailable, err, "the event stream broke off")
	}
	return nil
}
