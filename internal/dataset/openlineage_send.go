package dataset

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
)

// SenderOptions say where OpenLineage events go. URL and HTTP are required.
type SenderOptions struct {
	// URL of the receiver. One without a path gets OpenLineage's own, /api/v1/lineage.
	URL string

	// Token returns the bearer token to send, anew for each event; nil sends none.
	Token func(ctx context.Context) (string, error)

	HTTP    *http.Client  // reaches only what it may; redirects are not followed
	Timeout time.Duration // of one request; 0 means 10 s

	// Highest classification of what leaves the installation; "" means Internal. What is above
	// stays here.
	Highest string
}

// Sender sends OpenLineage events at least once, in the order in which they were made.
type Sender struct {
	d    *Datasets
	opt  SenderOptions
	url  string
	http http.Client
}

// lineagePath is where OpenLineage's receivers listen.
const lineagePath = "/api/v1/lineage"

// NewSender makes a sender. Errors: Invalid for a URL that is none of HTTP, or that holds a
// password.
func (d *Datasets) NewSender(opt SenderOptions) (*Sender, error) {
	bad := func(why string) error {
		return caos.Errorf(caos.Invalid, "%s", why).WithField("openlineage_url").WithHint("such as https://lineage.example/api/v1/lineage")
	}
	u, err := url.Parse(opt.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, bad("it is no address of HTTP")
	case u.User != nil:
		return nil, bad("an address with a user would show its password in logs; set openlineage_token")
	case opt.HTTP == nil:
		return nil, caos.Errorf(caos.Internal, "a sender needs an HTTP client")
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = lineagePath
	}
	if opt.Timeout <= 0 {
		opt.Timeout = 10 * time.Second
	}
	if opt.Highest == "" {
		opt.Highest = "Internal"
	}
	s := &Sender{d: d, opt: opt, url: u.String(), http: *opt.HTTP}
	// The token is for the receiver that was named, not for one that it names.
	s.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s, nil
}

// Subscription hears of what is to be sent. Events that fail are tried again with growing
// pauses and then parked, which raises an alert; the next event takes along those that were
// left behind, in order. One that the receiver says it will never take is not sent again.
func (s *Sender) Subscription() event.Subscription {
	return event.Subscription{Name: "openlineage", Pattern: EventRunRecorded, Handle: s.handle}
}

// handle sends what was tried before and the event that it is about, in order.
func (s *Sender) handle(ctx context.Context, e event.Event) error {
	var about struct {
		Seq int64 `json:"seq"`
	}
	if err := e.Decode(&about); err != nil {
		return caos.Wrap(caos.Invalid, err, "the event names no OpenLineage event")
	}
	// From here on it is one that was tried, and is taken along later even if it comes to
	// nothing now because an earlier one cannot be sent.
	if err := s.note(ctx, `UPDATE openlineage_events SET tried_at = $1 WHERE seq = $2 AND tried_at = 0`, db.Micros(s.d.now()), about.Seq); err != nil {
		return err
	}
	for {
		due, err := s.due(ctx, about.Seq)
		if err != nil {
			return err
		}
		for _, x := range due {
			if err := s.one(ctx, x, x.seq == about.Seq); err != nil {
				return err
			}
		}
		if len(due) < duePage {
			return nil
		}
	}
}

// waiting is an event that was not sent yet.
type waiting struct {
	seq                   int64
	event, classification string
}

const duePage = 100

// due reads what goes before an event, and itself. What was never tried although it is older
// comes from a time when nothing was sent, and is left alone.
func (s *Sender) due(ctx context.Context, upTo int64) (out []waiting, err error) {
	err = s.d.pool(ctx)(`SELECT seq, event, classification FROM openlineage_events
		WHERE seq <= $1 AND sent_at = 0 AND refused_at = 0 AND tried_at > 0 ORDER BY seq LIMIT `+strconv.Itoa(duePage), []any{upTo},
		func(scan func(...any) error) error {
			var x waiting
			err := scan(&x.seq, &x.event, &x.classification)
			out = append(out, x)
			return err
		})
	return out, err
}

// one sends an event and notes what came of it. When an earlier one is refused for good, the
// one that it was sent along with goes on.
func (s *Sender) one(ctx context.Context, x waiting, own bool) error {
	if caos.Sensitivity(x.classification) > caos.Sensitivity(s.opt.Highest) {
		return s.note(ctx, `UPDATE openlineage_events SET refused_at = $1, refusal = $2 WHERE seq = $3`, db.Micros(s.d.now()),
			x.classification+" is above "+s.opt.Highest+": it stays in this installation", x.seq)
	}
	err := s.post(ctx, x.event)
	var never *refusedEvent
	switch {
	case errors.As(err, &never):
		if noted := s.note(ctx, `UPDATE openlineage_events SET refused_at = $1, refusal = $2 WHERE seq = $3`, db.Micros(s.d.now()), never.said, x.seq); noted != nil {
			return noted
		}
		if !own {
			return nil // it was parked, with its alert, when it was tried on its own account
		}
		return caos.Wrap(caos.Invalid, err, "the OpenLineage receiver refuses an event: %s", never.said)
	case err != nil:
		return err
	}
	return s.note(ctx, `UPDATE openlineage_events SET sent_at = $1 WHERE seq = $2`, db.Micros(s.d.now()), x.seq)
}

// note writes what came of an event, which no auditor asks for: what was sent proves nothing.
func (s *Sender) note(ctx context.Context, text string, args ...any) error {
	return s.d.db.Write(ctx, func(tx *db.Tx) error { tx.Exec(text, args...); return nil })
}

// refusedEvent is what a receiver says that can never take an event.
type refusedEvent struct{ said string }

func (r *refusedEvent) Error() string { return r.said }

// post sends an event. Errors: refusedEvent if it is the event that is wrong; Denied if it is
// what this installation says of itself, which somebody can put right; Unavailable for all
// that may pass.
func (s *Sender) post(ctx context.Context, event string) error {
	ctx, cancel := context.WithTimeout(ctx, s.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, strings.NewReader(event))
	if err != nil {
		return caos.Wrap(caos.Internal, err, "the OpenLineage event cannot be sent")
	}
	req.Header.Set("Content-Type", "application/json")
	token := ""
	if s.opt.Token != nil {
		if token, err = s.opt.Token(ctx); err != nil {
			return caos.Wrap(caos.Unavailable, err, "the token for the OpenLineage receiver cannot be read")
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
	}
	resp, err := s.http.Do(req)
	if caos.KindOf(err) == caos.Denied {
		return caos.Wrap(caos.Denied, err, "the OpenLineage receiver may not be reached from here: %s", caos.AsError(err).Message)
	}
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "the OpenLineage receiver cannot be reached")
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 2000)) // for the words alone
	if token != "" {                                       // some repeat in an error what they were sent, and it is kept, shown and mailed
		said = bytes.ReplaceAll(said, []byte(token), []byte("(token)"))
	}
	status := "it answered " + strconv.Itoa(resp.StatusCode)
	if text := strings.ToValidUTF8(string(bytes.TrimSpace(bytes.ReplaceAll(said, []byte{0}, nil))), ""); text != "" {
		status += ": " + text[:min(len(text), 500)]
	}
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return caos.Errorf(caos.Unavailable, "the OpenLineage receiver cannot take events now: %s", status)
	case code < 400, code == http.StatusUnauthorized, code == http.StatusForbidden, code == http.StatusNotFound, code == http.StatusMethodNotAllowed, code == http.StatusProxyAuthRequired:
		return caos.Errorf(caos.Denied, "the OpenLineage receiver turns this installation away: %s", status).
			WithHint("set openlineage_url and openlineage_token right; what was left behind goes with the next event")
	}
	return &refusedEvent{said: strings.ToValidUTF8(status, "")}
}
