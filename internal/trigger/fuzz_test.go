package trigger

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/event"
)

func sample() occurrence {
	return occurrence{id: "EVENT-1", kind: "caos.package.closed", time: "2026-11-22T10:15:00Z", subject: "S",
		data: map[string]any{"a": json.Number("1.50"), "list": []any{"x", map[string]any{"y": true}}, "null": nil, "big": json.Number("12345678901234567890")}}
}

func TestTemplate(t *testing.T) {
	tr := &Trigger{Definition: Definition{Name: "n", RunsAs: "bot"}, EnabledBy: "mo"}
	for _, c := range []struct{ in, out, field string }{
		{`{}`, `{}`, ""},
		{`{"x":"${event.id}","y":["${trigger.name}","${trigger.enabled_by}"]}`, `{"x":"EVENT-1","y":["n","mo"]}`, ""},
		{`{"x":"${event.data.a}","b":"${event.data.big}","n":1.50}`, `{"b":12345678901234567890,"n":1.50,"x":1.50}`, ""},
		{`{"x":"${event.data.list.1.y}","z":"${event.data.null}"}`, `{"x":true,"z":null}`, ""},
		{`{"x":"$${event.id}","y":"$ {event.id}","z":"a$"}`, `{"x":"${event.id}","y":"$ {event.id}","z":"a$"}`, ""},
		{`{"x":"a ${event.id}"}`, ``, "input.x"},
		{`{"x":"${event.id} "}`, ``, "input.x"},
		{`{"x":"${event.id}${event.id}"}`, ``, "input.x"},
		{`{"x":"${}"}`, ``, "input.x"},
		{`{"x":"${event}"}`, ``, "input.x"},
		{`{"x":"${event.nope}"}`, ``, "input.x"},
		{`{"x":"${event.id.x}"}`, ``, "input.x"},
		{`{"x":"${env.HOME}"}`, ``, "input.x"},
		{`{"x":"${trigger.secret}"}`, ``, "input.x"},
		{`{"x":"${event.data.}"}`, ``, "input.x"},
		{`{"x":[{"y":"${event.data.a b}"}]}`, ``, "input.x[0].y"},
		{`{"${event.id}":1}`, ``, "input"},
		{`{"x":1,"x":2}`, ``, "input.x"},
		{`{"x":"${event.data.missing}"}`, ``, "input.x"}, // when it is filled in
		{`{"x":"${event.data.list.2}"}`, ``, "input.x"},
		{`{"x":"${event.data.list.01}"}`, ``, "input.x"},
		{`{"x":"${event.data.a.b}"}`, ``, "input.x"},
	} {
		parsed, err := parseTemplate(json.RawMessage(c.in), KindEvent)
		var out json.RawMessage
		if err == nil {
			out, err = parsed.render(tr, sample())
		}
		if string(out) != c.out || (err != nil) != (c.field != "") || err != nil && (caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field != c.field) {
			t.Errorf("%s: %s %v (%s)", c.in, out, err, caos.AsError(err).Field)
		}
	}
	big, err := parseTemplate(json.RawMessage(`{"x":[`+strings.Repeat(`"${event.data}",`, 150)+`1]}`), KindEvent)
	ok(t, err)
	o := sample()
	o.data = strings.Repeat("x", 60<<10)
	_, err = big.render(tr, o)
	wants(t, err, caos.TooLarge)
	_, err = parseTemplate(json.RawMessage(`{"x":[`+strings.Repeat(`"${event.id}",`, 300)+`1]}`), KindEvent)
	wants(t, err, caos.TooLarge)
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		where string
		fits  bool
	}{
		{`{}`, true},
		{`{"subject":"S"}`, true},
		{`{"subject":"T"}`, false},
		{`{"data.a":1.5}`, true},
		{`{"data.a":"1.50"}`, false},
		{`{"data.null":null}`, true},
		{`{"data.gone":null}`, false},
		{`{"data.list.0":"x","data.list.1.y":true}`, true},
		{`{"data.list.1.y":false}`, false},
	} {
		d := Definition{Kind: KindEvent, EventType: "caos.package.*"}
		ok(t, json.Unmarshal([]byte(c.where), &d.Where))
		f, err := parseFilter(d)
		ok(t, err)
		if f.match(sample()) != c.fits {
			t.Errorf("%s: %v", c.where, !c.fits)
		}
	}
	d := Definition{Kind: KindEvent, Where: map[string]any{}}
	for _, word := range strings.Split(strings.Repeat("x", maxConditions+1), "") {
		d.Where["data."+word+string(rune('a'+len(d.Where)))] = true
	}
	_, err := parseFilter(d)
	wants(t, err, caos.Invalid, "where")
}

// FuzzTemplate: whatever is written as a template is refused with a field, or is filled in
// to a JSON document that holds no reference.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{input, `{"x":"${event.data.list.1.y}"}`, `{"a":["$${x","${event.id}",1e9,null]}`, `{"x":"${event.data.a.b.c}"}`, `{"x":"${"}`, `{"x":"${}"}`} {
		f.Add([]byte(s))
	}
	tr := &Trigger{Definition: Definition{Name: "n", RunsAs: "bot"}, EnabledBy: "mo"}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range []Kind{KindEvent, KindCron, KindWebhook} {
			p, err := parseTemplate(text, kind)
			if err == nil {
				var out json.RawMessage
				if out, err = p.render(tr, sample()); err == nil {
					var v map[string]any
					if err := json.Unmarshal(out, &v); err != nil {
						t.Fatalf("%s: %v", out, err)
					}
					continue
				}
			}
			if e := caos.AsError(err); e.Kind != caos.Invalid && e.Kind != caos.TooLarge || !strings.HasPrefix(e.Field, "input") {
				t.Fatalf("%v (%q)", err, e.Field)
			}
		}
	})
}

// FuzzFilter: whatever is written as a definition is refused with a field, or can be asked.
func FuzzFilter(f *testing.F) {
	f.Add("caos.package.closed", `{"data.full_coverage":true}`, "0 * * * *", "UTC")
	f.Add("caos.*", `{"subject":"x","data.a.b":1}`, "*/5 1-3 1,2 JAN MON#1", "Europe/Paris")
	f.Add("*", `{"data":{}}`, "60 * L * 5L", "../x")
	f.Fuzz(func(t *testing.T, pattern, where, cron, zone string) {
		d := Definition{Name: "fuzzed", Kind: KindEvent, Hook: auditHook, Input: json.RawMessage(`{}`), EventType: pattern, RunsAs: "bot"}
		if json.Unmarshal([]byte(where), &d.Where) != nil {
			return
		}
		if c, err := d.compile(); err == nil {
			c.filter.match(sample())
		} else if caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field == "" {
			t.Fatal(err)
		}
		now := time.Date(2026, 11, 22, 10, 15, 30, 0, time.UTC)
		next, err := event.NextTick(cron, zone, now)
		if err != nil {
			if caos.KindOf(err) != caos.Invalid || caos.AsError(err).Field == "" {
				t.Fatal(err)
			}
			return
		}
		if !next.After(now) || next.Second() != 0 {
			t.Fatalf("%q after %s: %s", cron, now, next)
		}
	})
}
