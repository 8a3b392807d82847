package trigger

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"caos"
)

// delivery is a signed one, sent now.
func (w *world) delivery(secret, id, body string) Delivery {
	w.t.Helper()
	d := Delivery{Trigger: "called", ID: id, Timestamp: strconv.FormatInt(w.clock.now().Unix(), 10), Body: []byte(body)}
	d.Signature = must(Sign(secret, d))(w.t)
	return d
}

const deliveryBody = `{"action":"CONFIG_CHANGE","models":["NN-FCS-001"]}`

func TestWebhook(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, secret := w.create(called())
		if !strings.HasPrefix(secret, "whsec_") || w.get("called").sealed == nil || strings.Contains(string(w.get("called").sealed), secret) {
			t.Error(secret)
		}
		first := w.delivery(secret, "msg-1", deliveryBody)
		r := must(w.svc.Receive(ctx, first))(t)
		if r.State != "SUBMITTED" || r.Execution == "" || r.Repeated || w.executions() != 1 {
			t.Fatalf("%+v", r)
		}
		// A replay is answered and does nothing, also with a fresh timestamp.
		again := must(w.svc.Receive(ctx, first))(t)
		w.clock.move(time.Minute)
		fresh := must(w.svc.Receive(ctx, w.delivery(secret, "msg-1", deliveryBody)))(t)
		if again.Execution != r.Execution || !again.Repeated || fresh.Execution != r.Execution || w.executions() != 1 {
			t.Errorf("%+v %+v", again, fresh)
		}
		_, err := w.svc.Receive(ctx, w.delivery(secret, "msg-1", `{}`))
		wants(t, err, caos.Conflict, "webhook-id")
		w.clock.move(5 * time.Minute)
		_, err = w.svc.Receive(ctx, first)
		wants(t, err, caos.Unauthenticated, "webhook-timestamp")

		// What does not fit is told to the sender, and is an alert.
		_, err = w.svc.Receive(ctx, w.delivery(secret, "msg-2", `{"action":"CONFIG_CHANGE"}`))
		wants(t, err, caos.Invalid)
		_, err = w.svc.Receive(ctx, w.delivery(secret, "msg-3", `{"action":"NONE","models":["NN-FCS-001"]}`))
		wants(t, err, caos.Invalid)
		_, err = w.svc.Receive(ctx, w.delivery(secret, "msg-3", `{"action":"NONE","models":["NN-FCS-001"]}`))
		wants(t, err, caos.Invalid)
		if a := w.alarm("called", "trigger_refused"); a == nil || a.Count != 2 {
			t.Errorf("%+v", a)
		}
		for _, body := range []string{``, `{`, `{"a":1,"a":2}`, `{} {}`, strings.Repeat("[", 100)} {
			_, err = w.svc.Receive(ctx, w.delivery(secret, "msg-4", body))
			wants(t, err, map[bool]caos.Kind{true: caos.TooLarge, false: caos.Invalid}[len(body) > 50])
		}
		_, err = w.svc.Receive(ctx, w.delivery(secret, "msg-5", `"`+strings.Repeat("x", MaxDelivery)+`"`))
		wants(t, err, caos.TooLarge)

		must(w.svc.Disable(ctx, Change{By: mo(), IfRevision: -1}, "called"))(t)
		_, err = w.svc.Receive(ctx, w.delivery(secret, "msg-6", deliveryBody))
		wants(t, err, caos.Conflict)
	})
}

func TestWebhookSignature(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		_, secret := w.create(called())
		w.create(onPackage())
		good := w.delivery(secret, "msg-1", deliveryBody)
		for name, edit := range map[string]func(d *Delivery){
			"none":      func(d *Delivery) { d.Signature = "" },
			"other":     func(d *Delivery) { d.Signature = "v1,AAAA" },
			"version":   func(d *Delivery) { d.Signature = "v2" + d.Signature[2:] },
			"body":      func(d *Delivery) { d.Body = []byte(`{}`) },
			"id":        func(d *Delivery) { d.ID = "msg-2" },
			"bad id":    func(d *Delivery) { d.ID = "a b" },
			"no id":     func(d *Delivery) { d.ID = "" },
			"timestamp": func(d *Delivery) { d.Timestamp = strconv.FormatInt(w.clock.now().Unix()+1, 10) },
			"words":     func(d *Delivery) { d.Timestamp = "now" },
			"sign":      func(d *Delivery) { d.Timestamp = "+" + d.Timestamp },
			"huge":      func(d *Delivery) { d.Timestamp = "9223372036854775807" },
			"future": func(d *Delivery) {
				d.Timestamp = strconv.FormatInt(w.clock.now().Add(6*time.Minute).Unix(), 10)
				d.Signature = must(Sign(secret, *d))(t)
			},
			"nobody":    func(d *Delivery) { d.Trigger = "nobody" },
			"no name":   func(d *Delivery) { d.Trigger = "%00" },
			"not a one": func(d *Delivery) { d.Trigger = "closed" },
			"many":      func(d *Delivery) { d.Signature = strings.Repeat("v1,AAAA ", 20) + d.Signature },
		} {
			d := good
			edit(&d)
			if _, err := w.svc.Receive(ctx, d); caos.KindOf(err) != caos.Unauthenticated {
				t.Errorf("%s: %v", name, err)
			}
		}
		if w.executions() != 0 || len(w.states()) != 0 {
			t.Error("something was kept")
		}
		d := good
		d.Signature = "v1,AAAA v1a,x " + d.Signature // a sender that changes its secret
		must(w.svc.Receive(ctx, d))(t)
		_, next, err := w.svc.RotateSecret(ctx, Change{By: mo(), IfRevision: -1}, "called")
		ok(t, err)
		_, err = w.svc.Receive(ctx, w.delivery(secret, "msg-9", deliveryBody))
		wants(t, err, caos.Unauthenticated)
		must(w.svc.Receive(ctx, w.delivery(next, "msg-9", deliveryBody)))(t)
		_, _, err = w.svc.RotateSecret(ctx, Change{By: mo(), IfRevision: -1}, "closed")
		wants(t, err, caos.Conflict)
	})
}

// TestWebhookKept: what was taken in is submitted later when it cannot be now.
func TestWebhookKept(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ctx := t.Context()
		d := called()
		d.Where = map[string]any{"data.action": "CONFIG_CHANGE"}
		_, secret := w.create(d)
		w.hooks.fail(func(Submission) error { return caos.Errorf(caos.Unavailable, "down") }, nil)
		r := must(w.svc.Receive(ctx, w.delivery(secret, "msg-1", deliveryBody)))(t)
		if r.State != "PENDING" || r.Execution != "" {
			t.Errorf("%+v", r)
		}
		w.hooks.fail(nil, nil)
		w.clock.move(time.Minute)
		ok(t, w.settle())
		r = must(w.svc.Receive(ctx, w.delivery(secret, "msg-1", deliveryBody)))(t)
		if r.State != "SUBMITTED" || !r.Repeated || w.executions() != 1 {
			t.Errorf("%+v", r)
		}
		if r = must(w.svc.Receive(ctx, w.delivery(secret, "msg-2", `{"action":"OTHER"}`)))(t); r.State != "IGNORED" {
			t.Errorf("%+v", r)
		}
		for n := range 25 {
			_, err := w.svc.Receive(ctx, w.delivery(secret, "many-"+strconv.Itoa(n), deliveryBody))
			if n >= 20 {
				wants(t, err, caos.Limited)
			} else if n < 15 {
				ok(t, err)
			}
		}
		if !w.get("called").Enabled {
			t.Error("a busy sender stopped the trigger")
		}
	})
}
