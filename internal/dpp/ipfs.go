package dpp

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
)

// Credentials that anybody may know can be given to an IPFS node, through the RPC interface
// that Kubo has and others copy (/api/v0/add and /api/v0/block/get). Nothing waits for it: a
// passport is issued, and an event about that reaches the pinner. What is there is told by the
// node and checked here, both ways: the node must call the bytes what the passport's dpp_uri
// calls them, and must give those very bytes when asked for them by that name.

// MaxPin is the most bytes of a credential whose address on IPFS is its CID: what is larger is
// cut into chunks there, and has another.
const MaxPin = 256 << 10

// maxRPC is the most bytes of a node's answer that are read, besides a block.
const maxRPC = 64 << 10

// States of a pin.
const (
	PinWaiting = "WAITING" // not there yet; tried again
	PinDone    = "PINNED"
	PinRefused = "REFUSED" // it will not be given to a node: not public, or too large
)

// Pin is what became of a passport on IPFS.
type Pin struct {
	PassportID string     `json:"passport_id"`
	State      string     `json:"state"`
	URI        string     `json:"uri"`
	Attempts   int64      `json:"attempts"`
	Error      string     `json:"error"`     // of the last attempt, or why it is refused
	PinnedAt   *time.Time `json:"pinned_at"` // null until the node gave the same bytes back
}

// PinOf returns what became of a passport on IPFS; nil if it was not tried yet.
func (p *Passports) PinOf(ctx context.Context, row *Passport) (pin *Pin, err error) {
	err = p.pool(ctx)(`SELECT state, attempts, error, pinned_at FROM passport_pins WHERE passport_id = $1`, []any{row.PassportID}, func(scan func(...any) error) error {
		pin = &Pin{PassportID: row.PassportID, URI: row.URI}
		var at int64
		if err := scan(&pin.State, &pin.Attempts, &pin.Error, &at); err != nil {
			return err
		}
		if at != 0 {
			t := time.UnixMicro(at).UTC()
			pin.PinnedAt = &t
		}
		return nil
	})
	return pin, err
}

// PinOptions say to which node passports are given. URL and HTTP are required.
type PinOptions struct {
	URL     string        // of the node's RPC interface, such as http://127.0.0.1:5001
	HTTP    *http.Client  // reaches only what it may
	Timeout time.Duration // of one call; 0 means 30 s
	Every   time.Duration // how often Run looks for what was left behind; 0 means 10 min
	Logger  *slog.Logger  // nil: none
}

// Pinner gives passports to an IPFS node.
type Pinner struct {
	p    *Passports
	url  string
	http http.Client
	opt  PinOptions
}

// NewPinner makes a pinner. Errors: Invalid for a URL that is none of HTTP, or that holds a
// password.
func (p *Passports) NewPinner(opt PinOptions) (*Pinner, error) {
	bad := func(why string) error {
		return caos.Errorf(caos.Invalid, "%s", why).WithField("ipfs.api").WithHint("such as http://127.0.0.1:5001, where Kubo has its RPC interface")
	}
	u, err := url.Parse(opt.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, bad("it is no address of HTTP")
	case u.User != nil:
		return nil, bad("an address with a user would show its password in logs")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, bad("the address of a node ends in its port or path")
	case opt.HTTP == nil:
		return nil, caos.Errorf(caos.Internal, "a pinner needs an HTTP client")
	}
	if opt.Timeout <= 0 {
		opt.Timeout = 30 * time.Second
	}
	if opt.Every <= 0 {
		opt.Every = 10 * time.Minute
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Pinner{p: p, url: strings.TrimSuffix(strings.TrimSuffix(u.String(), "/"), "/api/v0"), http: *opt.HTTP, opt: opt}
	n.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return n, nil
}

// Subscription hears of passports that were issued. What fails is tried again with growing
// pauses, then parked, which raises an alert; Run goes on with it.
func (n *Pinner) Subscription() event.Subscription {
	return event.Subscription{Name: "ipfs-pins", Pattern: EventIssued, Handle: func(ctx context.Context, e event.Event) error { return n.Pin(ctx, e.Subject) }}
}

// Run gives the node what was left behind, now and from time to time: what was parked, what
// was issued before there was a node. It returns when ctx ends.
func (n *Pinner) Run(ctx context.Context) {
	tick := time.NewTicker(n.opt.Every)
	defer tick.Stop()
	for {
		if err := n.Sweep(ctx); err != nil && ctx.Err() == nil {
			n.opt.Logger.WarnContext(ctx, "passports were not given to IPFS", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Sweep gives the node all passports that are due, oldest first, and stops at the first that
// it does not take: what stands in its way stands in the next one's as well.
func (n *Pinner) Sweep(ctx context.Context) error {
	for {
		var due []string
		err := n.p.pool(ctx)(`SELECT p.passport_id FROM passports p LEFT JOIN passport_pins x ON x.passport_id = p.passport_id
 WHERE x.passport_id IS NULL OR (x.state = $1 AND x.next_at <= $2) ORDER BY p.issued_at, p.passport_id LIMIT 100`, []any{PinWaiting, n.p.now().UnixMicro()},
			func(scan func(...any) error) error {
				var id string
				err := scan(&id)
				due = append(due, id)
				return err
			})
		if err != nil || len(due) == 0 {
			return err
		}
		for _, id := range due {
			if err := n.Pin(ctx, id); err != nil {
				return err
			}
		}
	}
}

// Pin gives one passport to the node, unless that was done or is refused. What came of it is
// kept. Doing it twice, or on two nodes at once, does no harm.
func (n *Pinner) Pin(ctx context.Context, passportID string) error {
	row, err := n.p.Get(ctx, passportID)
	if caos.KindOf(err) == caos.NotFound {
		return nil // of a transaction that was undone
	}
	if err != nil {
		return err
	}
	pin, err := n.p.PinOf(ctx, row)
	if err != nil || pin != nil && pin.State != PinWaiting {
		return err
	}
	why, err := n.p.keepFromIPFS(ctx, row)
	if err != nil {
		return err
	}
	if why != "" {
		return n.p.notePin(ctx, row, Pin{State: PinRefused, Error: why}, 0)
	}
	raw, err := n.p.Credential(row)
	if err == nil {
		err = n.give(ctx, row, raw)
	}
	if err != nil {
		if ctx.Err() != nil {
			return err // this program is ending: it was no attempt
		}
		tries := int64(1)
		if pin != nil {
			tries += pin.Attempts
		}
		pause := min(time.Minute<<min(tries-1, 6), time.Hour)
		if noted := n.p.notePin(ctx, row, Pin{State: PinWaiting, Attempts: tries, Error: clip(caos.AsError(err).Message)}, pause); noted != nil {
			return noted
		}
		return err
	}
	return n.p.pinned(ctx, row)
}

// keepFromIPFS says why a credential is not given to a node: what is there is everybody's, and
// cannot be called back.
func (p *Passports) keepFromIPFS(ctx context.Context, row *Passport) (why string, err error) {
	level := row.Classification
	if p.level != nil {
		now, err := p.level(ctx, row.ModelID)
		if err != nil && caos.KindOf(err) != caos.NotFound {
			return "", err
		}
		level = caos.Stricter(level, now)
	}
	switch {
	case !Public(level):
		return "the model is classified " + level, nil
	case row.Size > MaxPin:
		return "the credential has " + strconv.FormatInt(row.Size, 10) + " bytes: above " + strconv.Itoa(MaxPin) + " its address on IPFS would be another than its CID", nil
	}
	return "", nil
}

// notePin writes what came of an attempt, which no auditor asks for. A pin that another node
// of CAOS has made meanwhile stays.
func (p *Passports) notePin(ctx context.Context, row *Passport, pin Pin, pause time.Duration) error {
	now := p.now()
	next := int64(0)
	if pin.State == PinWaiting {
		next = now.Add(pause).UnixMicro()
	}
	return p.db.Write(ctx, func(tx *db.Tx) error {
		tx.Exec(`INSERT INTO passport_pins (passport_id, state, attempts, error, tried_at, next_at, pinned_at) VALUES ($1,$2,$3,$4,$5,$6,0)
 ON CONFLICT (passport_id) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, error = excluded.error, tried_at = excluded.tried_at, next_at = excluded.next_at
 WHERE passport_pins.state <> 'PINNED'`, row.PassportID, pin.State, pin.Attempts, pin.Error, now.UnixMicro(), next)
		return tx.Err()
	})
}

// pinned writes that a node has the passport: a line of its history with its audit record,
// once.
func (p *Passports) pinned(ctx context.Context, row *Passport) error {
	return p.db.Update(ctx, func(tx *db.Tx) error {
		now := p.now()
		added, err := history(tx, Entry{PassportID: row.PassportID, Kind: KindPinned, Subject: row.URI, At: now, Actor: system})
		if err != nil || !added {
			return err
		}
		tx.Exec(`INSERT INTO passport_pins (passport_id, state, attempts, error, tried_at, next_at, pinned_at) VALUES ($1,$2,1,'',$3,0,$3)
 ON CONFLICT (passport_id) DO UPDATE SET state = excluded.state, attempts = passport_pins.attempts + 1, error = '', tried_at = excluded.tried_at, next_at = 0, pinned_at = excluded.pinned_at`,
			row.PassportID, PinDone, now.UnixMicro())
		by := By{Actor: system}
		_, err = p.log.Append(tx, by.record(row, "passport pinned on IPFS", map[string]any{"passport_id": row.PassportID, "cid": row.CID, "passport_digest": row.Digest}))
		return err
	})
}

// give adds a credential to the node and asks for it again by its name.
func (n *Pinner) give(ctx context.Context, row *Passport, raw []byte) error {
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", row.PassportID+".json")
	if err == nil {
		_, err = part.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return err
	}
	// Every setting that the address depends on is named: what a node does by itself has
	// changed before.
	q := url.Values{"cid-version": {"1"}, "raw-leaves": {"true"}, "hash": {"sha2-256"}, "chunker": {"size-262144"}, "pin": {"true"}, "progress": {"false"}}
	answer, err := n.call(ctx, nodeCall{name: "add", query: q, body: &form, media: w.FormDataContentType(), most: maxRPC})
	if err != nil {
		return err
	}
	var added struct {
		Hash string `json:"Hash"`
	}
	if err := json.Unmarshal(answer, &added); err != nil || added.Hash == "" {
		return caos.Errorf(caos.Unavailable, "the IPFS node answered add with what is no answer: %.80q", answer)
	}
	if added.Hash != row.CID {
		return caos.Errorf(caos.Conflict, "the IPFS node calls the credential %.80q and not %s", added.Hash, row.CID).WithField("ipfs.api").
			WithHint("look at which program answers there, and at its settings")
	}
	back, err := n.call(ctx, nodeCall{name: "block/get", query: url.Values{"arg": {row.CID}}, most: row.Size})
	if err != nil {
		return err
	}
	if got := digestOf(back); got != row.Digest {
		return caos.Errorf(caos.Conflict, "the IPFS node gives %d bytes with the digest %s for %s, not those of the credential", len(back), got, row.CID).WithField("ipfs.api")
	}
	return nil
}

// nodeCall is one call to a node, and the most bytes of its answer.
type nodeCall struct {
	name  string
	query url.Values
	body  io.Reader // nil: none
	media string    // of body
	most  int64
}

// call makes a call to the node and returns its answer. Errors: Unavailable, and Denied where
// the address may not be reached or turns us away.
func (n *Pinner) call(ctx context.Context, c nodeCall) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, n.opt.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url+"/api/v0/"+c.name+"?"+c.query.Encode(), c.body)
	if err != nil {
		return nil, caos.Wrap(caos.Internal, err, "the IPFS node cannot be asked")
	}
	if c.media != "" {
		req.Header.Set("Content-Type", c.media)
	}
	resp, err := n.http.Do(req)
	if caos.KindOf(err) == caos.Denied {
		return nil, caos.Wrap(caos.Denied, err, "the IPFS node may not be reached from here: %s", caos.AsError(err).Message).WithField("ipfs.api")
	}
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the IPFS node cannot be reached")
	}
	defer resp.Body.Close()
	if code := resp.StatusCode; code != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 500)) // for the words alone
		kind := caos.Unavailable
		if code == http.StatusForbidden || code == http.StatusUnauthorized || code == http.StatusNotFound || code >= 300 && code < 400 {
			kind = caos.Denied
		}
		return nil, caos.Errorf(kind, "the IPFS node answered %s with %d: %s", c.name, code, clip(strings.TrimSpace(string(said)))).WithField("ipfs.api")
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, c.most+1))
	switch {
	case err != nil:
		return nil, caos.Wrap(caos.Unavailable, err, "the IPFS node's answer ended in the middle")
	case int64(len(answer)) > c.most:
		return nil, caos.Errorf(caos.Unavailable, "the IPFS node answered %s with more than %d bytes", c.name, c.most)
	}
	// A failure after the answer began is told behind it.
	if late := resp.Trailer.Get("X-Stream-Error"); late != "" {
		return nil, caos.Errorf(caos.Unavailable, "the IPFS node failed at %s: %s", c.name, clip(late))
	}
	return answer, nil
}
