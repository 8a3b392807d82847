package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"caos"
	"caos/internal/chain"
	"caos/internal/ethereum"
)

func TestTransactionWords(t *testing.T) {
	n := func(v uint64) *uint64 { return &v }
	for _, c := range []struct {
		status chain.Status
		block  *uint64
		want   string
	}{
		{chain.Prepared, nil, "Nothing of it has left"}, {chain.Signed, nil, "about to be sent"}, {chain.Sent, nil, "no block yet"},
		{chain.Mined, n(7), "block 7. It counts when that block has 3 confirmations."}, {chain.Confirmed, n(7), "block 7, which is final"},
		{chain.Failed, n(7), "refused it"}, {chain.Failed, nil, "without being on the chain"},
	} {
		if got := transactionWords(&chain.Transaction{Status: c.status, BlockNumber: c.block}, 3); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.status, got)
		}
	}
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		wei      string
		digits   int64
		decimals int
		want     string
	}{
		{"0", 9, 4, "0"}, {"1000000000", 9, 4, "1"}, {"1500000000", 9, 4, "1.5"}, {"7", 9, 4, "<0.0001"}, {"1000000000000000000000000", 18, 6, "1000000"},
		{"100000000000", 9, 4, "100"}, {"", 9, 4, ""}, {"0x1", 9, 4, ""},
	} {
		if got := inUnits(c.wei, c.digits, c.decimals); got != c.want {
			t.Errorf("%s: %q, want %q", c.wei, got, c.want)
		}
	}
}

func TestFateOfAttempts(t *testing.T) {
	n, at := uint64(9), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	open, mined := &chain.Transaction{Hash: "0xb"}, &chain.Transaction{Hash: "0xb", BlockNumber: &n}
	for _, c := range []struct {
		a    chain.Attempt
		t    *chain.Transaction
		want string
	}{
		{chain.Attempt{Hash: "0xb"}, mined, "in block 9"}, {chain.Attempt{Hash: "0xa"}, mined, "another attempt was mined: it can never be"},
		{chain.Attempt{Hash: "0xa", Dead: true}, mined, "its nonce went to something else"}, {chain.Attempt{Hash: "0xb", Error: "underpriced"}, open, "refused: underpriced"},
		{chain.Attempt{Hash: "0xb", SentAt: &at}, open, "sent 2026-01-02 03:04:05 UTC"}, {chain.Attempt{Hash: "0xb", Cancels: true}, open, "only spends the nonce; not sent yet"},
	} {
		if got := fateOf(&c.a, c.t); got != c.want {
			t.Errorf("%+v: %s, want %s", c.a, got, c.want)
		}
	}
}

// The page of a transaction leads to what is ours and to the explorer that is configured, and
// shows what others wrote as text.
func TestTransactionPage(t *testing.T) {
	const evil = "https://evil.example/<script>"
	n, at := uint64(9), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v := &TransactionView{Explorer: "https://explorer.example/tx/0xb", Transaction: chain.Transaction{TransactionID: "TX-20260102T030405.000000Z", Status: chain.Mined, BlockNumber: &n, Confirmations: 2,
		PreparedAt: at, SignedAt: &at, SentAt: &at, MinedAt: &at}}
	v.sheet = &transactionSheet{Status: v.Status, Explorer: v.Explorer, Execution: "EXEC-20260102T030405.000000Z", need: 5, of: &v.Transaction,
		Call:    sheetCall{Contract: "CTR-20260102T030405.000000Z", Parameters: json.RawMessage(`{"text":"` + evil + `"}`)},
		Records: &recordedThing{What: "passport", Page: subjectPage("https://here.example", chain.KindPassport, "DPP-1")},
		Events:  []eventLine{{"Said", map[string]any{"explorer": evil}}}}
	c := &call{api: &API{pages: newPages(), Options: Options{BaseURL: "https://here.example"}}, r: httptest.NewRequest("GET", "/v1/transactions/TX-1", nil), by: caos.Principal{ID: "somebody"}}
	var b bytes.Buffer
	if err := c.renderPage(&b, v); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{`href="https://explorer.example/tx/0xb"`, `href="/dpp/DPP-1"`, `href="/v1/chain/contracts/CTR-20260102T030405.000000Z"`, `href="/v1/executions/EXEC-20260102T030405.000000Z"`,
		"2 of 5 confirmations", ">03:04:05<", "<svg class=\"stages\""} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page, "<script>") || strings.Contains(page, `href="https://evil`) {
		t.Error("what others wrote is more than text")
	}
	v.sheet.need, v.Confirmations, v.Status = 0, 0, chain.Failed
	if p := string(v.picture()); !strings.Contains(p, "FAILED") || strings.Contains(p, "confirmation") {
		t.Errorf("without a block there is no bar: %s", p)
	}
}

func TestSubjectPages(t *testing.T) {
	for kind, want := range map[chain.SubjectKind]string{chain.KindPassport: "b/dpp/o@7", chain.KindAudit: "b/v1/audit/o@7", chain.KindEvidence: "b/v1/evidence/o@7", chain.KindCheckpoint: "b/v1/anchors?kind=chain&size=7", "other": ""} {
		if got := subjectPage("b", kind, "o@7"); got != want {
			t.Errorf("%s: %s, want %s", kind, got, want)
		}
	}
}

// What is wrong with the chain is first on its page, in the colour of trouble, and the page
// leads on.
func TestChainPage(t *testing.T) {
	s := &chain.ChainStatus{Configured: true, ChainID: 1337, Endpoints: []ethereum.EndpointStatus{{URL: "http://a.example", ChainID: 1337, Head: 7, Behind: 2}, {URL: "http://b.example", Error: "refused"}},
		Accounts: []chain.AccountStatus{{Name: "production", Problem: "it has no password"}}}
	a := &API{pages: newPages()}
	e := &endpoint{Route: Route{Method: "GET", Path: "/v1/chain"}}
	a.routes = []Route{e.Route, {Method: "GET", Path: "/v1/chain/contracts"}, {Method: "GET", Path: "/v1/chain/records"}}
	c := &call{api: a, endpoint: e, r: httptest.NewRequest("GET", "/v1/chain", nil), by: caos.Principal{ID: "somebody"}}
	var b bytes.Buffer
	if err := c.renderPage(&b, s); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{`<span class="text bad">production: it has no password`, `href="/v1/transactions"`, `href="/v1/chain/contracts"`, `href="/v1/chain/records"`, "2 blocks behind", "refused", "newest block"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page, "chain_id") || strings.Index(page, ">problem<") > strings.Index(page, ">configured<") {
		t.Error("columns are for programs, or the problem is not first")
	}
}
