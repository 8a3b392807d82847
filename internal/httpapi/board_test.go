package httpapi

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"caos"
	"caos/internal/auditlog"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/object"
	"caos/internal/readiness"
	"caos/internal/registry"
	"caos/internal/verify"
)

// sshsig makes an SSH signature as PROTOCOL.sshsig describes it.
func sshsig(t testing.TB, key ssh.Signer, namespace, message string) string {
	t.Helper()
	sum := sha512.Sum512([]byte(message))
	sig := must(key.Sign(rand.Reader, append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{namespace, "", "sha512", sum[:]})...)))(t)
	blob := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{1, key.PublicKey().Marshal(), namespace, "", "sha512", ssh.Marshal(sig)})...)
	return "-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(blob) + "\n-----END SSH SIGNATURE-----\n"
}

func newKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return must(ssh.NewSignerFromKey(private))(t)
}

// enrol gives somebody a key of their own, countersigned unless by is "".
func (w *world) enrol(who, by string) (key ssh.Signer, id string) {
	w.t.Helper()
	key = newKey(w.t)
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key.PublicKey())))
	st := w.do(who, "GET", "/v1/keys/statement?public_key="+strings.NewReplacer(" ", "%20", "+", "%2B", "/", "%2F", "=", "%3D").Replace(line), nil).wants(w.t, 200).json(w.t)
	text := st["statement"].(string)
	id = w.do(who, "POST", "/v1/keys", map[string]any{"statement": text, "signature": sshsig(w.t, key, st["namespace"].(string), text)}, "MFA", "").wants(w.t, 201).json(w.t)["key_id"].(string)
	if by != "" {
		w.do(by, "POST", "/v1/keys/"+id+"/countersign", nil, "MFA", "").wants(w.t, 200)
	}
	return key, id
}

// signed proposes an act and returns its body with the statement signed.
func (w *world) signed(who, path string, body map[string]any, key ssh.Signer) map[string]any {
	w.t.Helper()
	p := w.do(who, "POST", path+"?propose=true", body).wants(w.t, 200).json(w.t)
	if p["namespace"] != verify.DecisionNamespace {
		w.t.Fatalf("%v", p)
	}
	return with(with(body, "statement", p["statement"]), "signature", sshsig(w.t, key, verify.DecisionNamespace, p["statement"].(string)))
}

// recordedRefusals are the rules by which something was refused, as the audit log has them.
func (w *world) recordedRefusals(subject string) (rules []string) {
	w.t.Helper()
	page := must(w.log.List(w.t.Context(), auditlog.Filter{Resource: subject, Type: auditlog.Access, Limit: 200}, ""))(w.t)
	for _, s := range page.Records {
		var rec struct {
			Decision *auditlog.Decision `json:"decision"`
		}
		if err := json.Unmarshal(s.Record, &rec); err != nil {
			w.t.Fatal(err)
		}
		if rec.Decision != nil {
			rules = append(rules, rec.Decision.Policies...)
		}
	}
	return rules
}

// denied is a personal act that has to be refused by a rule, recorded, and to count for
// nothing.
type denied struct {
	who, path string
	body      any
	headers   []string
	status    int
	rule      string
}

// denies sends acts that must be refused as they say, with an audit record each.
func (w *world) denies(subject string, counted func() string, cases map[string]denied) {
	w.t.Helper()
	for name, c := range cases {
		before := counted()
		a := w.do(c.who, "POST", c.path, c.body, c.headers...)
		if p := a.json(w.t); a.status != c.status || p["rule"] != c.rule {
			w.t.Errorf("%s: status %d, rule %v, want %d %s: %s", name, a.status, p["rule"], c.status, c.rule, a.body)
			continue
		}
		if after := counted(); after != before {
			w.t.Errorf("%s: it was counted:\n%s\n%s", name, before, after)
		}
		if recorded := strings.Join(w.recordedRefusals(subject), " "); c.status != 401 && !strings.Contains(" "+recorded+" ", " "+c.rule+" ") {
			w.t.Errorf("%s: the refusal by %s is not recorded with %s: %s", name, c.rule, subject, recorded)
		}
	}
}

const boardHook = "CAOS.PROD.TEST.BOARD"

// board is a hook that waits for votes and for the closing of conditions, as MODEL.PRR does.
func board(ready func() *readiness.Readiness) *engine.Flow {
	type state struct {
		PRR string `json:"prr_id"`
	}
	said := func(w engine.Wake, into any) (readiness.Proof, error) {
		var proof readiness.Proof
		if err := json.Unmarshal(w.Decision.Payload, into); err != nil {
			return proof, err
		}
		return proof, json.Unmarshal(w.Decision.Payload, &proof)
	}
	wait := func(topic string) func(*db.Tx, *engine.Run, *state) (engine.WaitSpec, error) {
		return func(*db.Tx, *engine.Run, *state) (engine.WaitSpec, error) { return engine.WaitSpec{Topic: topic}, nil }
	}
	return engine.Plan[state]{
		Hook: boardHook, Version: "1.0.0", Revision: 1, Schema: 1,
		Retry: engine.RetryPolicy{MaxAttempts: 1, InitialIntervalMS: 1, MaxIntervalMS: 1, Factor: 1},
		Begin: func(_ *engine.Run, input json.RawMessage) (*state, error) {
			s := &state{}
			return s, json.Unmarshal(input, s)
		},
		Steps: []engine.Step[state]{
			engine.Wait(1, "Collect votes", "collect-votes", wait("vote"), func(tx *db.Tx, run *engine.Run, s *state, w engine.Wake) (bool, error) {
				var b readiness.Ballot
				proof, err := said(w, &b)
				if err != nil {
					return false, err
				}
				if _, err := ready().Vote(tx, s.PRR, b, proof, w.Decision.By); err != nil {
					return false, err
				}
				count, err := ready().Tally(tx, s.PRR)
				if err != nil || !count.Final {
					return false, err
				}
				_, err = ready().Decide(tx, s.PRR, count.Outcome, nil, readiness.By{Actor: "caos", Execution: run.ExecutionID})
				return true, err
			}),
			engine.Wait(2, "Close conditions", "close-conditions", wait("condition"), func(tx *db.Tx, run *engine.Run, s *state, w engine.Wake) (bool, error) {
				var end struct {
					Condition string `json:"condition_id"`
					readiness.Closing
				}
				proof, err := said(w, &end)
				if err != nil {
					return false, err
				}
				if _, err := ready().CloseCondition(tx, readiness.ConditionRef{PRRID: s.PRR, ConditionID: end.Condition}, end.Closing, proof, w.Decision.By); err != nil {
					return false, err
				}
				v, err := ready().ReviewIn(tx, s.PRR)
				if err != nil {
					return false, err
				}
				for _, one := range v.Conditions {
					if one.Status == readiness.ConditionOpen {
						return false, nil
					}
				}
				_, err = ready().EndReview(tx, s.PRR, readiness.ReviewDecided, readiness.By{Actor: "caos", Execution: run.ExecutionID})
				return true, err
			}),
		},
		Output: func(s *state) any { return s },
	}.Flow()
}

// review opens a review of BL-DLY-1.0.0 that waits for the votes of bea, ben and the chief
// engineer. rel asked for it.
func (w *world) review(best string) (path, execution string) {
	w.t.Helper()
	ctx := w.t.Context()
	const prr = "PRR-NN-DLY-001-1.0.0"
	html := must(w.objects.Put(ctx, strings.NewReader("<!doctype html><style>p{color:red}</style><p>A report"), object.PutOptions{MaxBytes: 1 << 20}))(w.t)
	pdf := must(w.objects.Put(ctx, strings.NewReader("%PDF-1.7 a report"), object.PutOptions{MaxBytes: 1 << 20}))(w.t)
	facts := must(w.objects.Put(ctx, strings.NewReader(`{"a":"report"}`), object.PutOptions{MaxBytes: 1 << 20}))(w.t)
	x := must(w.eng.Submit(ctx, engine.Submission{ID: w.eng.NewID("EXEC-"), Hook: boardHook, Input: json.RawMessage(`{"prr_id":"` + prr + `"}`), ModelID: "NN-DLY-001",
		Project: "P2", By: caos.Principal{ID: "rel", Roles: []string{"release-manager"}}, RequestedBy: "rel"}))(w.t)
	err := w.db.Update(ctx, func(tx *db.Tx) error {
		s, err := w.api.subjectOf(tx, "BL-DLY-1.0.0")
		if err != nil {
			return err
		}
		by := readiness.By{Actor: "rel", Execution: x.ID}
		parsed := &registry.Parsed{Kind: "prr-report", Digest: html.Digest, Size: html.Size, MediaType: "text/html"}
		if _, err := w.registry.RegisterDocument(tx, registry.Document{DocumentID: "95-00-09-02-001", Version: "1.0", Kind: "prr-report", Title: "Report", ModelID: s.ModelID,
			ModelVersion: s.Version, Digest: html.Digest, MediaType: "text/html", Project: s.Project, Classification: s.Classification}, parsed, registry.By{Actor: "caos"}); err != nil {
			return err
		}
		v, err := w.ready.OpenReview(tx, readiness.Review{ExecutionID: x.ID, Subject: s, ChecklistID: "CHK-DLY-1.0.0", Members: []string{"bea", "ben"},
			PRRDate: w.now().Add(48 * time.Hour).UTC().Format(time.DateOnly), ClosesAt: w.now().Add(72 * time.Hour)}, by)
		if err != nil {
			return err
		}
		_, err = w.ready.Prepared(tx, v.PRRID, readiness.ReviewReport{ReportID: "95-00-09-02-001", Version: "1.0", Digest: html.Digest, PDFDigest: pdf.Digest, FactsDigest: facts.Digest}, best, by)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.until(x.ID, engine.Waiting)
	return "/v1/reviews/" + prr, x.ID
}

// votes are what was counted of a review.
func (w *world) votes(prr string) func() string {
	return func() string {
		v := must(w.ready.Review(w.t.Context(), prr))(w.t)
		var b bytes.Buffer
		fmt.Fprint(&b, v.Status, v.Decision)
		for _, one := range v.Votes {
			fmt.Fprint(&b, " ", one.Person, one.Outcome)
		}
		for _, one := range v.Conditions {
			fmt.Fprint(&b, " ", one.ConditionID, one.Status)
		}
		return b.String()
	}
}
