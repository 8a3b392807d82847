package trigger

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
	"caos/internal/event"
)

// Bounds of a delivery.
const (
	MaxDelivery   = event.MaxData   // bytes of the body
	deliveryDrift = 5 * time.Minute // between the sender's clock and ours
	secretBytes   = 32
	secretPrefix  = "whsec_"
	maxSignatures = 10              // a sender that changes its secret signs with both
	receiveGrace  = 5 * time.Second // before others submit what a request took in
)

var deliveryID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$`)

// Delivery is one call of a webhook, as it came in. The signature is that of Standard
// Webhooks: "v1," and the base64 of HMAC-SHA256 over id, ".", timestamp, "." and body.
type Delivery struct {
	Trigger     string
	ID          string // header webhook-id: the same for every repetition
	Timestamp   string // header webhook-timestamp: seconds since 1970
	Signature   string // header webhook-signature: one or more, between spaces
	ContentType string
	Body        []byte // JSON
}

// Received is the answer to a delivery.
type Received struct {
	Trigger   string `json:"trigger"`
	ID        string `json:"webhook_id"`
	State     string `json:"state" enum:"PENDING,SUBMITTED,IGNORED" doc:"PENDING: it is kept and will be submitted; IGNORED: the trigger's conditions do not hold"`
	Execution string `json:"execution_id"`
	Repeated  bool   `json:"repeated" doc:"the same delivery came before; nothing was done again"`
}

func (s *Service) newSecret(name string) (secret string, sealed []byte, err error) {
	key := make([]byte, secretBytes)
	if _, err := io.ReadFull(s.o.Random, key); err != nil {
		return "", nil, fmt.Errorf("make a secret: %w", err)
	}
	if sealed, err = s.o.Sealer.Seal(secretContext(name), key); err != nil {
		return "", nil, fmt.Errorf("seal a secret: %w", err)
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(key), sealed, nil
}

// Receive takes a delivery in. A repetition of one that was taken in is answered by what it
// came to. What is kept is submitted even if the sender hears no answer.
//
// Errors: Unauthenticated unless a trigger's secret signed it, now; Invalid for a body that
// is not JSON or does not fit the trigger's template or hook; Conflict for another body
// under the same id, or a trigger that is disabled; Limited for too many.
func (s *Service) Receive(ctx context.Context, d Delivery) (*Received, error) {
	t, err := s.verify(ctx, d)
	if err != nil {
		return nil, err
	}
	lim := codec.DefaultLimits()
	lim.MaxBytes = MaxDelivery
	data, err := codec.Value(d.Body, d.ContentType, lim)
	if err != nil {
		return nil, err
	}
	at, _ := strconv.ParseInt(d.Timestamp, 10, 64)
	sum := sha256.Sum256(d.Body)
	o := occurrence{id: d.ID, kind: "webhook", time: caos.FormatTime(time.Unix(at, 0)), data: data, digest: hex.EncodeToString(sum[:])}
	r := &Received{Trigger: t.Name, ID: d.ID, State: string(pending)}
	f, err := s.takeIn(ctx, t, o)
	if err != nil {
		return nil, err
	}
	if f == nil {
		r.State = "IGNORED"
		return r, nil
	}
	if f.digest != o.digest {
		return nil, caos.Errorf(caos.Conflict, "another delivery came under this id").WithField("webhook-id").WithHint("every delivery has an id of its own, and a repetition has the same body")
	}
	r.Repeated = f.attempt > 0
	if f.state == pending && f.attempt == 0 {
		// The sender may hang up; what was taken in goes on.
		done, err := s.carryOut(context.WithoutCancel(ctx), due{f.trigger, f.occurrence, f.nextAt})
		if err != nil {
			s.o.Logger.Warn("a delivery is kept and tried again", "trigger", t.Name, "webhook_id", d.ID, "error", err)
		}
		if done != nil {
			f = done
		}
	}
	if f.state == refused || f.state == dropped {
		return nil, caos.Errorf(caos.Invalid, "the delivery was refused: %s", f.err).WithRule("trigger-refused").
			WithHint("the trigger's owners have an alert; send what is corrected under a new webhook-id")
	}
	r.State, r.Execution = string(f.state), f.execution
	return r, nil
}

// takeIn writes the firing of a delivery, and returns it or the one that is there already;
// nil if the trigger's conditions do not hold.
func (s *Service) takeIn(ctx context.Context, seen *Trigger, o occurrence) (f *firing, err error) {
	err = s.o.DB.Update(ctx, func(tx *db.Tx) error {
		f = nil
		t, err := load(tx, seen.Name)
		if err != nil {
			return err
		}
		if t == nil || t.Kind != KindWebhook || !t.CreatedAt.Equal(seen.CreatedAt) {
			return badSignature()
		}
		if f, err = loadFiring(tx, t.Name, o.id); err != nil || f != nil {
			return err
		}
		if !t.Enabled {
			return caos.Errorf(caos.Conflict, "the trigger is disabled").WithRule("trigger-disabled").WithHint("its owners can enable it")
		}
		c, err := s.compiledOf(t)
		if err != nil {
			return err
		}
		if !c.filter.match(o) {
			return nil
		}
		if begin := s.now().Truncate(time.Minute).UnixMicro(); t.windowAt == begin && t.window >= int64(s.o.MaxPerMinute) {
			return caos.Errorf(caos.Limited, "more than %d deliveries in a minute", s.o.MaxPerMinute).WithHint("repeat it, with the same webhook-id, in a minute")
		}
		f, err = s.fire(tx, t, o, 1)
		return err
	})
	return f, err
}

func badSignature() error {
	return caos.Errorf(caos.Unauthenticated, "no trigger of this name has signed this delivery").WithField("webhook-signature").
		WithHint("sign webhook-id.webhook-timestamp.body with the secret that was shown when the trigger was made")
}

// verify finds the trigger whose secret signed a delivery. That there is no such trigger is
// not told apart from a wrong signature.
func (s *Service) verify(ctx context.Context, d Delivery) (*Trigger, error) {
	if !deliveryID.MatchString(d.ID) {
		return nil, caos.Errorf(caos.Unauthenticated, "the delivery has no proper id").WithField("webhook-id").WithHint("1 to 100 letters, digits and . _ : -")
	}
	at, err := strconv.ParseInt(d.Timestamp, 10, 64)
	if drift := s.now().Sub(time.Unix(at, 0)); err != nil || strconv.FormatInt(at, 10) != d.Timestamp || drift > deliveryDrift || drift < -deliveryDrift {
		return nil, caos.Errorf(caos.Unauthenticated, "the delivery was not signed in the last five minutes").WithField("webhook-timestamp").
			WithHint("seconds since 1970, of the moment of sending; repeat it with a new timestamp, the same webhook-id and a new signature")
	}
	if len(d.Body) > MaxDelivery {
		return nil, caos.Errorf(caos.TooLarge, "the body has %d bytes, the limit is %d", len(d.Body), MaxDelivery)
	}
	t, err := s.Get(ctx, d.Trigger)
	if err != nil && caos.KindOf(err) != caos.NotFound {
		return nil, err
	}
	known := err == nil && t.Kind == KindWebhook
	key := make([]byte, secretBytes)
	if known {
		if key, err = s.o.Sealer.Open(secretContext(t.Name), t.sealed); err != nil {
			return nil, fmt.Errorf("secret of trigger %s: %w", t.Name, err)
		}
	}
	if !signed(key, d) || !known {
		return nil, badSignature()
	}
	return t, nil
}

// signed reports whether one of a delivery's signatures was made with a key.
func signed(key []byte, d Delivery) bool {
	want := signature(key, d.ID, d.Timestamp, d.Body)
	ok := false
	for i, one := range strings.Fields(d.Signature) {
		version, text, _ := strings.Cut(one, ",")
		if i >= maxSignatures || version != "v1" {
			continue
		}
		have, err := base64.StdEncoding.DecodeString(text)
		if err == nil && hmac.Equal(have, want) {
			ok = true
		}
	}
	return ok
}

func signature(key []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// Sign returns the header webhook-signature of a delivery, for senders written in Go and for
// tests. secret is as Create showed it.
func Sign(secret string, d Delivery) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if err != nil || len(key) != secretBytes || !strings.HasPrefix(secret, secretPrefix) {
		return "", invalid("secret", "it is not a webhook secret").WithHint("it begins with " + secretPrefix)
	}
	return "v1," + base64.StdEncoding.EncodeToString(signature(key, d.ID, d.Timestamp, d.Body)), nil
}
