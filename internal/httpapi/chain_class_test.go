package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"caos/internal/chain"
	"caos/internal/db"
)

// A record of a model that became classified is not for who may not read the model, in no
// state and on no page. Neither is a transaction of it that nobody outside has seen.
func TestRecordsFollowTheirModel(t *testing.T) {
	w := newWorld(t)
	w.newVersion("NN-DLY-001", "P1")
	const hash = "SHA256:1111111111111111111111111111111111111111111111111111111111111111"
	err := w.db.Update(t.Context(), func(tx *db.Tx) error {
		for _, s := range []chain.Subject{
			{Kind: chain.KindPassport, ID: "DPP-NN-DLY-001", ModelID: "NN-DLY-001", Version: "1.0.0", ContentHash: hash, Project: "P1", Classification: "Internal"},
			{Kind: chain.KindAudit, ID: "AUD-1", ModelID: "AUD-1", Version: "MODEL_FREEZE", ContentHash: hash, Project: "P1"},
		} {
			if err := w.api.Chain.Want(tx, s); err != nil {
				return err
			}
		}
		params, _ := json.Marshal(map[string]string{"modelId": "NN-DLY-001"})
		for id, attempts := range map[string]int{"TX-open": 0, "TX-sent": 1} {
			tx.Exec(`INSERT INTO chain_transactions (transaction_id, execution_id, contract_id, chain_id, address, function, params, data, account, sender, nonce, gas_limit, hash,
				attempts, status, reason, live, asked, lost, overtaken_block, priced_block, priced_at, block_number, block_hash, reverted, gas_used, effective_gas_price,
				confirmations, receipt_digest, subject_kind, subject_id, prepared_at, signed_at, sent_at, mined_at, confirmed_at, project, classification, requested_by)
				VALUES ($1, $2, '', 1, '', 'f()', $3, '0x', '', '', NULL, 21000, '', $4, 'PREPARED', '', 1, 0, 0, 0, 0, 0, NULL, '', 0, NULL, '', 0, '', '', '', 1, 0, 0, 0, 0, 'P1', 'Internal', '')`,
				id, "EXEC-"+id, string(params), int64(attempts))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	const one, open, sent = "/v1/chain/records/passport/DPP-NN-DLY-001", "/v1/transactions/TX-open", "/v1/transactions/TX-sent"
	counts := func(who string, records, transactions int) {
		t.Helper()
		if n := len(items(t, w.do(who, "GET", "/v1/chain/records", nil))); n != records {
			t.Errorf("%s sees %d records", who, n)
		}
		if n := len(items(t, w.do(who, "GET", "/v1/transactions", nil))); n != transactions {
			t.Errorf("%s sees %d transactions", who, n)
		}
	}
	w.do("p1", "GET", one, nil).wants(t, 200)
	counts("p1", 2, 2)
	w.classify("Restricted")
	counts("p1", 1, 1)
	w.alike(w.do("p1", "GET", one, nil), w.do("p1", "GET", "/v1/chain/records/passport/DPP-NONE", nil))
	w.alike(w.do("p1", "GET", open, nil), w.do("p1", "GET", "/v1/transactions/TX-none", nil))
	w.do("p1", "GET", sent, nil).wants(t, 200)
	if got := w.do("aud", "GET", one, nil); got.status == 200 && got.json(t)["classification"] != "Restricted" {
		t.Errorf("%s", got.body)
	}
	// Where to look is said, and to everybody alike.
	for path, command := range map[string]string{"/v1/transactions/TX-none": "caos transaction list", "/v1/chain/records/passport/DPP-NONE": "caos chain record list", "/v1/chain/contracts/CTR-none": "caos chain contract list"} {
		if hint, _ := w.do("aud", "GET", path, nil).wants(t, 404).json(t)["hint"].(string); !strings.Contains(hint, command) {
			t.Errorf("%s: %q", path, hint)
		}
	}
}
