package app

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"caos"
	"caos/internal/alert"
	"caos/internal/auditlog"
	"caos/internal/baseline"
	"caos/internal/db"
	"caos/internal/engine"
	"caos/internal/registry"
	"caos/internal/sign"
	"caos/internal/verify"
)

// integrity reads the bytes of baselines again and says what is not as it was frozen.
type integrity struct {
	db        *db.DB
	log       *auditlog.Log
	alerts    *alert.Store
	registry  *registry.Registry
	baselines *baseline.Store
	keys      *sign.Keys
	logger    *slog.Logger
}

const (
	maxDamages  = 100 // problems of one check that get an alert each; of more, the last one counts the rest
	damageBatch = 20  // of them in one transaction, which has little time
)

// CheckBaseline reads every byte of a baseline, keeps what it found with the baseline's row,
// and raises a CRITICAL alert for each file that was changed, is missing or too much. Damage
// that is found again adds to its alert. It returns the baseline as it is then.
func (i *integrity) CheckBaseline(ctx context.Context, id string, by registry.By) (*registry.Baseline, error) {
	b, err := i.registry.Baseline(ctx, id)
	if err != nil {
		return nil, err
	}
	problems, err := i.examine(ctx, b)
	if err != nil {
		return nil, err
	}
	status, texts := registry.Intact, []string{}
	for _, p := range problems {
		status = registry.Damaged
		if len(texts) < maxDamages {
			texts = append(texts, p.Path+" ("+p.Kind+"): "+p.Message)
		}
	}
	if err := i.db.Update(ctx, func(tx *db.Tx) error { return i.registry.Checked(tx, id, status, texts, by) }); err != nil {
		return nil, err
	}
	problems = byPath(problems)
	if len(problems) > maxDamages {
		rest := len(problems) - maxDamages + 1
		problems = append(problems[:maxDamages-1], baseline.Problem{Path: ".", Kind: baseline.Changed, Message: fmt.Sprintf("%d more problems were found", rest)})
	}
	for batch := range slices.Chunk(problems, damageBatch) {
		if err := i.db.Update(ctx, func(tx *db.Tx) error { return i.report(tx, b, batch) }); err != nil {
			return nil, err
		}
	}
	return i.registry.Baseline(ctx, id)
}

// byPath makes one problem of all that is wrong with a file: its alert is one, too.
func byPath(problems []baseline.Problem) []baseline.Problem {
	var out []baseline.Problem
	at := map[string]int{}
	for _, p := range problems {
		if i, ok := at[p.Path]; ok {
			out[i].Message += "; " + p.Message
			continue
		}
		at[p.Path] = len(out)
		out = append(out, p)
	}
	return out
}

// examine compares a baseline's folder with its bundle, the bundle with the key that signed
// it, and both with what the registry remembers.
func (i *integrity) examine(ctx context.Context, b *registry.Baseline) ([]baseline.Problem, error) {
	pub, err := i.publicKey(b.KeyID)
	if err != nil {
		return nil, err
	}
	problems, err := i.baselines.Verify(ctx, b.BaselineID, pub, nil)
	if err != nil || slices.ContainsFunc(problems, func(p baseline.Problem) bool { return p.Path == bundleName }) {
		return problems, err
	}
	// Whoever holds the key could sign another model into the folder: the registry, and the
	// audit log behind it, remember which one was frozen.
	bundle, err := i.baselines.Bundle(b.BaselineID)
	if err != nil && len(problems) > 0 { // as when something else lies in the folder's place
		return problems, nil
	}
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(bundle); "SHA256:"+hex.EncodeToString(sum[:]) != b.BundleDigest {
		return append(problems, baseline.Problem{Path: bundleName, Kind: baseline.Manifest, Message: "the bundle is not the one that was sealed when the version was frozen"}), nil
	}
	return append(problems, misremembered(b, bundle)...), nil
}

// misremembered is what a baseline's row says otherwise than its bundle, which was not
// changed: then it was the row.
func misremembered(b *registry.Baseline, bundle []byte) []baseline.Problem {
	st, err := verify.ParseModelBundle(bundle)
	if err != nil {
		return nil // is a problem already
	}
	stated := map[string]string{}
	for _, f := range st.Resources {
		stated[f.Name] = f.Digest
	}
	same := st.Root == b.RootDigest && st.StatementDigest == b.StatementDigest && len(stated) == len(b.Files)
	for _, f := range b.Files {
		same = same && stated[f.Path] == f.Digest
	}
	if same {
		return nil
	}
	return []baseline.Problem{{Path: bundleName, Kind: baseline.Manifest, Message: "the registry's row of the baseline says something else than what was signed when the version was frozen"}}
}

// bundleName is the file of a baseline that is its signature.
const bundleName = "model.sig"

// publicKey returns the key that signed a baseline, whatever became of it since.
func (i *integrity) publicKey(id string) (crypto.PublicKey, error) {
	for _, k := range i.keys.List() {
		if k.ID != id {
			continue
		}
		der, err := base64.StdEncoding.DecodeString(k.PublicKey)
		if err != nil {
			return nil, fmt.Errorf("public key %s: %w", id, err)
		}
		return x509.ParsePKIXPublicKey(der)
	}
	return nil, caos.Errorf(caos.Unavailable, "the key %s that signed the baseline is not among this installation's", id).
		WithHint("restore the folder keys from a backup")
}

// report raises the alerts of one check.
func (i *integrity) report(tx *db.Tx, b *registry.Baseline, problems []baseline.Problem) error {
	var ids []string
	for _, p := range problems {
		id, err := i.alerts.Raise(tx, alert.Alert{AlertType: alert.Anomaly, Severity: alert.Critical, Kind: "BASELINE", ModelID: b.ModelID,
			MetricName: "baseline_integrity", Subject: damaged(b.BaselineID, p.Path), Source: "baseline", Project: b.Project, Classification: b.Classification,
			AlertMessage:       clipText(fmt.Sprintf("baseline %s, file %s (%s): %s", b.BaselineID, p.Path, p.Kind, p.Message), 1500),
			RecommendedActions: []string{"stop_deployments", "investigate", "restore_from_backup"}})
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	resources := []string{b.BaselineID}
	if b.ModelID != "" {
		resources = append(resources, b.ModelID)
	}
	_, err := i.log.Append(tx, auditlog.Record{Type: auditlog.Alert, Actor: "caos", RecordedBy: "caos", Resources: resources,
		Project: b.Project, Classification: b.Classification,
		Details: map[string]any{"event": "baseline damaged", "alert_ids": ids, "problems": problems}})
	return err
}

// damaged is the subject of an alert about a file: long paths are told apart by a digest.
func damaged(baselineID, path string) string {
	subject := baselineID + ":" + path
	if len(subject) <= 180 {
		return subject
	}
	sum := sha256.Sum256([]byte(path))
	return subject[:140] + "~" + hex.EncodeToString(sum[:8])
}

func clipText(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

// checkAll reads every baseline again, one after the other, and finds folders that no row
// speaks of. What goes wrong with one keeps no other from being read.
func (i *integrity) checkAll(ctx context.Context) {
	began := time.Now()
	known := map[string]bool{}
	var checked, bad int
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, next, err := i.registry.Baselines(ctx, registry.BaselineFilter{Limit: 100}, cursor)
		if err != nil {
			i.logger.Warn("verification of baselines", "error", err)
			return
		}
		cursor = next
		for _, b := range page {
			known[b.BaselineID] = true
			now, err := i.CheckBaseline(ctx, b.BaselineID, registry.By{Actor: "caos", RecordedBy: "caos"})
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				i.logger.Error("a baseline could not be verified", "baseline_id", b.BaselineID, "error", err)
				continue
			}
			checked++
			if now.CheckStatus == registry.Damaged {
				bad++
			}
		}
	}
	i.strangers(ctx, known)
	if checked > 0 {
		i.logger.Info("baselines verified", "baselines", checked, "damaged", bad, "took", time.Since(began).Round(time.Millisecond))
	}
}

// strangers reports folders in the baseline store that no row speaks of and that no running
// freeze is about to make one of.
func (i *integrity) strangers(ctx context.Context, known map[string]bool) {
	ids, err := i.baselines.List(ctx)
	if err != nil {
		i.logger.Warn("list of baselines", "error", err)
		return
	}
	for _, id := range ids {
		if known[id] {
			continue
		}
		owner, err := i.baselines.Owner(id)
		if err != nil {
			i.logger.Warn("owner of a baseline", "baseline_id", id, "error", err)
		}
		err = i.db.Update(ctx, func(tx *db.Tx) error {
			if _, err := i.registry.BaselineIn(tx, id); caos.KindOf(err) != caos.NotFound {
				return err // it was frozen meanwhile
			}
			if ended, err := engine.Ended(tx, owner); err != nil || !ended {
				return err
			}
			return i.report(tx, &registry.Baseline{BaselineID: id}, []baseline.Problem{{Path: ".", Kind: baseline.Extra, Message: "a folder that no freeze made lies in the store of baselines"}})
		})
		if err != nil {
			i.logger.Warn("a folder in the store of baselines", "baseline_id", id, "error", err)
		}
	}
}
