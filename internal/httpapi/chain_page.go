package httpapi

import (
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"

	"caos"
	"caos/internal/anchor"
	"caos/internal/chain"
	"caos/internal/ethereum"
)

// Pages of the chain: a transaction told in words, with a picture of how far it is, and lists
// on lines. The names of their members are for people.

// transactionSheet is a transaction as a page shows it.
type transactionSheet struct {
	Status    chain.Status   `json:"status"`
	Words     string         `json:"that is"`
	Reason    string         `json:"reason"`
	Records   *recordedThing `json:"records,omitempty"`
	Call      sheetCall      `json:"call"`
	Block     *sheetBlock    `json:"block,omitempty"`
	Gas       string         `json:"gas"`
	Fee       string         `json:"fee"`
	From      sheetSender    `json:"from"`
	Attempts  []attemptLine  `json:"attempts"`
	Events    []eventLine    `json:"events,omitempty"`
	Execution string         `json:"execution"`
	Receipt   string         `json:"receipt"`
	Explorer  string         `json:"explorer"`
	Moments   sheetMoments   `json:"moments"`
	ID        string         `json:"transaction"`
	Project   string         `json:"project"`
	Class     string         `json:"classification"`
	need      uint64         // confirmations
	of        *chain.Transaction
}

type recordedThing struct {
	What  string `json:"what"`
	ID    string `json:"id"`
	State string `json:"state"`
	Page  string `json:"page"`
}

type sheetCall struct {
	Contract   string          `json:"contract"`
	Address    string          `json:"address"`
	Function   string          `json:"function"`
	Parameters json.RawMessage `json:"parameters"`
}

type sheetBlock struct {
	Number string `json:"number"`
	Hash   string `json:"hash"`
	Depth  string `json:"depth"`
}

type sheetSender struct {
	Account string `json:"account"`
	Address string `json:"address"`
	Nonce   string `json:"nonce"`
}

type sheetMoments struct {
	Prepared string `json:"prepared"`
	Signed   string `json:"signed"`
	Sent     string `json:"sent"`
	Mined    string `json:"mined"`
	Final    string `json:"final"`
}

type attemptLine struct {
	Number int    `json:"attempt"`
	Fate   string `json:"what became of it"`
	Fee    string `json:"most per gas"`
	Tip    string `json:"tip"`
	Hash   string `json:"hash"`
	Signed string `json:"signed"`
}

type eventLine struct {
	Name string         `json:"event"`
	Args map[string]any `json:"arguments"`
}

// maxEvents is how many events a page shows; the receipt has them all.
const maxEvents = 50

// transactionSheet makes the page of a transaction.
func (a *API) transactionSheet(c *call, v *TransactionView) (*transactionSheet, error) {
	t := &v.Transaction
	s := &transactionSheet{Status: t.Status, Reason: t.Reason, ID: t.TransactionID, Execution: t.ExecutionID, Receipt: v.Receipt, Explorer: v.Explorer, Project: t.Project, Class: t.Classification,
		Call:    sheetCall{Contract: t.ContractID, Address: t.Address, Function: t.Function, Parameters: t.Params},
		From:    sheetSender{Account: t.Account, Address: t.From, Nonce: numberText(t.Nonce)},
		Moments: sheetMoments{Prepared: momentOf(t.PreparedAt), Signed: maybeMoment(t.SignedAt), Sent: maybeMoment(t.SentAt), Mined: maybeMoment(t.MinedAt), Final: maybeMoment(t.ConfirmedAt)},
		need:    a.Chain.Settings().Confirmations, of: t}
	if t.Status.Final() {
		s.need = min(s.need, t.Confirmations) // what was asked for then, if less
	}
	s.Words = transactionWords(t, s.need)
	s.Gas, s.Fee = gasWords(t), feeWords(t)
	if t.BlockNumber != nil {
		s.Block = &sheetBlock{Number: numberText(t.BlockNumber), Hash: t.BlockHash, Depth: fmt.Sprintf("%d of %d", t.Confirmations, s.need)}
	}
	for i := range v.AttemptList {
		s.Attempts = append(s.Attempts, lineOfAttempt(&v.AttemptList[i], t))
	}
	s.Attempts = filled(s.Attempts)
	if err := a.sheetRecords(c, s); err != nil {
		return nil, err
	}
	return s, a.sheetEvents(s)
}

// sheetRecords says what of ours the transaction records.
func (a *API) sheetRecords(c *call, s *transactionSheet) error {
	of := s.of.Subject
	if of == nil {
		return nil
	}
	s.Records = &recordedThing{What: subjectWords(of.Kind), ID: of.ID, Page: subjectPage(a.BaseURL, of.Kind, of.ID)}
	whole, err := a.Chain.SubjectOf(c.ctx(), of.Kind, of.ID)
	if err == nil && whole != nil {
		s.Records.State = string(whole.State)
	}
	return err
}

func subjectWords(kind chain.SubjectKind) string {
	switch kind {
	case chain.KindAudit:
		return "audit record"
	case chain.KindCheckpoint:
		return "checkpoint of the audit log"
	}
	return string(kind)
}

// subjectPage is where people look at what is recorded.
func subjectPage(base string, kind chain.SubjectKind, id string) string {
	switch kind {
	case chain.KindPassport:
		return base + "/dpp/" + url.PathEscape(id)
	case chain.KindAudit:
		return base + "/v1/audit/" + url.PathEscape(id)
	case chain.KindEvidence:
		return base + "/v1/evidence/" + url.PathEscape(id)
	case chain.KindCheckpoint:
		if at := strings.LastIndexByte(id, '@'); at >= 0 { // origin@size
			return base + "/v1/anchors?kind=chain&size=" + url.QueryEscape(id[at+1:])
		}
	}
	return ""
}

// sheetEvents reads the events out of the stored receipt. A receipt that is gone or damaged
// has its own page that says so.
func (a *API) sheetEvents(s *transactionSheet) error {
	if s.of.ReceiptDigest == "" || a.Objects == nil {
		return nil
	}
	f, size, err := a.Objects.VerifyReader(s.of.ReceiptDigest)
	if err != nil {
		if k := caos.KindOf(err); k == caos.Internal || k == caos.Unavailable {
			return err
		}
		return nil
	}
	defer f.Close()
	const most = 1 << 20
	raw, err := io.ReadAll(io.LimitReader(f, min(size, most)))
	if err != nil {
		return err
	}
	var doc struct {
		Events []ethereum.Event `json:"events"`
	}
	if size > most || json.Unmarshal(raw, &doc) != nil {
		return nil
	}
	for _, e := range doc.Events[:min(len(doc.Events), maxEvents)] {
		s.Events = append(s.Events, eventLine{e.Name, e.Args})
	}
	return nil
}

// transactionWords say in a sentence how a transaction is.
func transactionWords(t *chain.Transaction, need uint64) string {
	block := "block " + numberText(t.BlockNumber)
	switch t.Status {
	case chain.Prepared:
		return "The call was tried and would succeed. Nothing of it has left this server."
	case chain.Signed:
		return "It is signed and stored, and about to be sent."
	case chain.Sent:
		return "The network has it, and no block yet."
	case chain.Mined:
		return fmt.Sprintf("It is in %s. It counts when that block has %s.", block, countOf(int64(need), "confirmation", "confirmations")) //nolint:gosec // a setting
	case chain.Confirmed:
		return "It is in " + block + ", which is final."
	}
	if t.BlockNumber != nil {
		return "It is in " + block + ", where the contract refused it: nothing was changed, and the gas was paid."
	}
	return "It ended without being on the chain."
}

func gasWords(t *chain.Transaction) string {
	most := caos.GroupDigits(strconv.FormatUint(t.GasLimit, 10))
	if t.GasUsed == nil {
		return "at most " + most
	}
	return caos.GroupDigits(strconv.FormatUint(*t.GasUsed, 10)) + " of at most " + most
}

// feeWords say what a mined transaction has cost.
func feeWords(t *chain.Transaction) string {
	all := feeOf(t)
	if all == nil {
		return ""
	}
	return inUnits(all.String(), 18, 9) + " ETH, at " + gweiOf(t.EffectiveGasPrice) + " per gas"
}

// feeOf is what a mined transaction has cost in wei, nil for none.
func feeOf(t *chain.Transaction) *big.Int {
	price, ok := new(big.Int).SetString(t.EffectiveGasPrice, 10)
	if t.GasUsed == nil || !ok {
		return nil
	}
	return price.Mul(price, new(big.Int).SetUint64(*t.GasUsed))
}

func gweiOf(wei string) string {
	if text := inUnits(wei, 9, 4); text != "" {
		return text + " gwei"
	}
	return ""
}

// inUnits writes wei, a decimal number, in units of 10^digits with so many decimals at most,
// "" if it is none.
func inUnits(wei string, digits int64, decimals int) string {
	n, ok := new(big.Int).SetString(wei, 10)
	if !ok {
		return ""
	}
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(digits), nil)
	text := new(big.Rat).SetFrac(n, unit).FloatString(decimals)
	if n.Sign() > 0 && !strings.ContainsAny(text, "123456789") {
		return "<" + text[:len(text)-1] + "1"
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

func lineOfAttempt(at *chain.Attempt, t *chain.Transaction) attemptLine {
	return attemptLine{Number: at.Number, Hash: at.Hash, Fate: fateOf(at, t), Fee: gweiOf(at.MaxFee), Tip: gweiOf(at.Tip), Signed: momentOf(at.SignedAt)}
}

// fateOf says what became of an attempt.
func fateOf(at *chain.Attempt, t *chain.Transaction) string {
	what := ""
	if at.Cancels {
		what = "only spends the nonce; "
	}
	switch {
	case t.BlockNumber != nil && at.Hash == t.Hash:
		return what + "in block " + numberText(t.BlockNumber)
	case at.Dead:
		return what + "its nonce went to something else"
	case t.BlockNumber != nil:
		return what + "another attempt was mined: it can never be"
	case at.Error != "":
		return what + "refused: " + at.Error
	case at.SentAt != nil:
		return what + "sent " + momentOf(*at.SentAt)
	}
	return what + "not sent yet"
}

func numberText(n *uint64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatUint(*n, 10)
}

func maybeMoment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return momentOf(*t)
}

// stages are the states of a transaction in their order; FAILED stands in the last one's place.
func stages() []chain.Status {
	return []chain.Status{chain.Prepared, chain.Signed, chain.Sent, chain.Mined, chain.Confirmed}
}

// Measures of a transaction's picture.
const (
	stageWidth, stageHeight = 92, 98
	barTop, barHeight       = 62, 12
)

// picture draws how far a transaction is: its states on a line, and below it a bar of the
// confirmations. Where there is no page of it, there is no picture.
func (v *TransactionView) picture() template.HTML {
	s := v.sheet
	if s == nil {
		return ""
	}
	all, reached := stages(), 0
	for i, st := range all {
		if st == v.Status {
			reached = i
		}
	}
	if v.Status == chain.Failed {
		all[len(all)-1] = chain.Failed
		reached = len(all) - 1
	}
	at := []*time.Time{&v.PreparedAt, v.SignedAt, v.SentAt, v.MinedAt, v.ConfirmedAt}
	width := stageWidth * len(all)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="stages" viewBox="0 0 %d %d" role="img" aria-label="%s" fill="none" stroke="currentColor" font-family="system-ui, sans-serif" font-size="11">`,
		width, stageHeight, template.HTMLEscapeString("The transaction is "+string(v.Status)))
	for i, st := range all {
		x, there := i*stageWidth+stageWidth/2, at[i] != nil && i <= reached
		if i > 0 {
			fmt.Fprintf(&b, `<path d="M%d 14H%d" opacity="%s"/>`, x-stageWidth+8, x-8, shade(i <= reached, "1", ".25"))
		}
		class := ""
		if i == reached {
			class = ` class="` + classOf(string(st)) + `"`
		}
		fmt.Fprintf(&b, `<g%s opacity="%s"><circle cx="%d" cy="14" r="6" fill="%s" stroke="currentColor"/><g fill="currentColor" stroke="none" text-anchor="middle"><text x="%d" y="36">%s</text>`,
			class, shade(there, "1", ".4"), x, shade(there, "currentColor", "none"), x, st)
		if there {
			fmt.Fprintf(&b, `<text x="%d" y="50" font-size="10" opacity=".7">%s</text>`, x, at[i].UTC().Format(time.TimeOnly))
		}
		b.WriteString(`</g></g>`)
	}
	confirmationBar(&b, width, v.Confirmations, s.need, classOf(string(v.Status)))
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // states, times and numbers
}

func shade(yes bool, one, other string) string {
	if yes {
		return one
	}
	return other
}

// confirmationBar draws have of need as a bar, in pieces where there are few of them.
func confirmationBar(b *strings.Builder, width int, have, need uint64, class string) {
	const edge, mostPieces = 8, 24
	if need == 0 {
		return
	}
	room := width - 2*edge
	full := int(uint64(room) * min(have, need) / need) //nolint:gosec // at most room
	fmt.Fprintf(b, `<rect x="%d" y="%d" width="%d" height="%d" rx="3" opacity=".4"/>`, edge, barTop, room, barHeight)
	if full > 0 {
		fmt.Fprintf(b, `<g class="%s"><rect x="%d" y="%d" width="%d" height="%d" rx="3" fill="currentColor" stroke="none" fill-opacity=".7"/></g>`, class, edge, barTop, full, barHeight)
	}
	for i := uint64(1); i < need && need <= mostPieces; i++ {
		fmt.Fprintf(b, `<path d="M%d %dv%d" opacity=".4"/>`, edge+room*int(i)/int(need), barTop, barHeight) //nolint:gosec // at most mostPieces
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" fill="currentColor" stroke="none" text-anchor="middle">%d of %s</text>`, width/2, barTop+barHeight+15, have, countOf(int64(need), "confirmation", "confirmations")) //nolint:gosec // a setting
}

type transactionLine struct {
	ID       string       `json:"transaction"`
	Status   chain.Status `json:"status"`
	Function string       `json:"function"`
	Records  string       `json:"records"`
	Block    string       `json:"block"`
	Fee      string       `json:"fee"`
	Prepared string       `json:"prepared"`
	Hash     string       `json:"hash"`
	Reason   string       `json:"reason"`
}

type chainContractLine struct {
	ID         string               `json:"contract"`
	Status     chain.ContractStatus `json:"status"`
	Name       string               `json:"name"`
	Address    string               `json:"address"`
	Functions  string               `json:"functions"`
	Project    string               `json:"project"`
	Registered string               `json:"registered"`
	By         string               `json:"by"`
}

type subjectLine struct {
	Kind        string             `json:"kind"`
	ID          string             `json:"what"`
	State       chain.SubjectState `json:"state"`
	Block       string             `json:"block"`
	Transaction string             `json:"transaction"`
	Since       string             `json:"since"`
	Reason      string             `json:"reason"`
}

type anchorLine struct {
	ID          string       `json:"anchor"`
	Kind        string       `json:"kind"`
	State       anchor.State `json:"state"`
	Leaves      string       `json:"leaves"`
	Begun       string       `json:"begun"`
	Confirmed   string       `json:"confirmed"`
	Transaction string       `json:"transaction"`
	Error       string       `json:"error"`
	Destination string       `json:"destination"`
}

// chainSheet is the status of the chain as a page shows it.
type chainSheet struct {
	Problem    string                       `json:"problem"`
	Configured bool                         `json:"configured"`
	ChainID    uint64                       `json:"chain"`
	Head       uint64                       `json:"newest block"`
	HeadAt     string                       `json:"seen"`
	Need       string                       `json:"final after"`
	Agree      string                       `json:"endpoints that must agree"`
	Registry   string                       `json:"registry"`
	Anchor     string                       `json:"newest anchor"`
	Endpoints  []endpointLine               `json:"endpoints"`
	Accounts   []accountLine                `json:"accounts"`
	Sent       map[chain.Status]int64       `json:"transactions"`
	Recorded   map[chain.SubjectState]int64 `json:"records"`
}

// endpointLine is an endpoint; State is a word while it answers, Problem why it does not.
type endpointLine struct {
	URL     string `json:"endpoint"`
	Problem string `json:"problem"`
	State   string `json:"state"`
	Head    string `json:"newest block"`
	ChainID string `json:"chain"`
}

func lineOfEndpoint(e *ethereum.EndpointStatus) endpointLine {
	l := endpointLine{URL: e.URL, Problem: e.Error, Head: strconv.FormatUint(e.Head, 10)}
	if e.Error == "" {
		l.State = "answers"
		if e.Behind > 0 {
			l.State = countOf(int64(e.Behind), "block behind", "blocks behind") //nolint:gosec // a difference of block numbers
		}
	}
	if e.ChainID != 0 { // it has said so
		l.ChainID = strconv.FormatUint(e.ChainID, 10)
	}
	return l
}

type accountLine struct {
	Name    string `json:"account"`
	Problem string `json:"problem"`
	Address string `json:"address"`
	Balance string `json:"balance"`
	Nonce   uint64 `json:"next nonce"`
	Pending int64  `json:"on the way"`
	Waiting int64  `json:"waiting"`
	Node    string `json:"sent by node"`
}

// contractSheet is a contract with the signatures of its functions in place of its ABI.
type contractSheet struct {
	chain.Contract
	ABI      []string `json:"abi"`
	Revision int64    `json:"revision"`
	Version  string   `json:"version,omitempty"` // left out: a page would take it for one of a data contract
}

// recordSheet is how far the recording of something is.
type recordSheet struct {
	Records     recordedThing `json:"records"`
	Reason      string        `json:"reason"`
	Model       string        `json:"model"`
	Log         string        `json:"log"`
	Version     string        `json:"version stated"`
	Leaves      string        `json:"leaves"`
	Hash        string        `json:"content hash"`
	Stated      string        `json:"time stated"`
	Transaction string        `json:"transaction"`
	Block       string        `json:"block"`
	Execution   string        `json:"execution"`
	Round       int           `json:"round"`
	Wanted      string        `json:"wanted"`
	Changed     string        `json:"changed"`
}

// sheetOfSubject is the page of a recording.
func sheetOfSubject(base string, s *chain.Subject) recordSheet {
	out := recordSheet{Records: recordedThing{What: subjectWords(s.Kind), ID: s.ID, State: string(s.State), Page: subjectPage(base, s.Kind, s.ID)}, Reason: s.Reason,
		Model: s.ModelID, Version: s.Version, Hash: s.ContentHash, Stated: momentOf(time.Unix(s.Timestamp, 0)), Transaction: s.TransactionID, Block: numberText(s.BlockNumber),
		Execution: s.ExecutionID, Round: s.Round, Wanted: momentOf(s.WantedAt), Changed: momentOf(s.ChangedAt)}
	if s.Kind == chain.KindCheckpoint {
		out.Log, out.Leaves, out.Model, out.Version = s.ModelID, s.Version, "", ""
	}
	return out
}

// chainLines is what a page shows of lists of the chain and its anchors.
func chainLines(v any) any {
	switch x := v.(type) {
	case Page[*chain.Transaction]:
		return eachLine(x, lineOfTransaction)
	case Page[*chain.Contract]:
		return eachLine(x, func(k *chain.Contract) chainContractLine {
			l := chainContractLine{ID: k.ContractID, Status: k.Status, Name: k.Name, Address: k.Address, Project: k.Project, Registered: momentOf(k.RegisteredAt), By: k.RegisteredBy}
			names := make([]string, 0, len(k.Functions))
			for _, f := range k.Functions {
				names = append(names, functionName(f.Function))
			}
			l.Functions = strings.Join(names, ", ")
			return l
		})
	case Page[*chain.Subject]:
		return eachLine(x, func(s *chain.Subject) subjectLine {
			return subjectLine{Kind: subjectWords(s.Kind), ID: s.ID, State: s.State, Block: numberText(s.BlockNumber), Transaction: s.TransactionID, Since: momentOf(s.ChangedAt), Reason: s.Reason}
		})
	case Page[*anchor.Anchor]:
		return eachLine(x, func(y *anchor.Anchor) anchorLine {
			return anchorLine{ID: y.AnchorID, Kind: y.Kind, State: y.State, Leaves: strconv.FormatInt(y.Size, 10), Destination: y.Destination, Begun: momentOf(y.At),
				Confirmed: momentOf(y.ConfirmedAt), Transaction: y.TransactionID, Error: y.Error}
		})
	case *TransactionView:
		if x.sheet != nil {
			return x.sheet
		}
	case *chain.Subject:
		return sheetOfSubject("", x)
	case *chain.Contract:
		return sheetOfContract(x)
	case *chain.ChainStatus:
		return sheetOfChain(x)
	}
	return v
}

func lineOfTransaction(t *chain.Transaction) transactionLine {
	l := transactionLine{ID: t.TransactionID, Status: t.Status, Function: functionName(t.Function), Block: numberText(t.BlockNumber), Prepared: momentOf(t.PreparedAt), Hash: t.Hash, Reason: t.Reason}
	if len(l.Hash) > 12 {
		l.Hash = l.Hash[:12] + "…" // its page has it whole
	}
	if all := feeOf(t); all != nil {
		l.Fee = inUnits(all.String(), 18, 6) + " ETH"
	}
	if t.Subject != nil {
		l.Records = t.Subject.ID
	}
	return l
}

func functionName(signature string) string {
	name, _, _ := strings.Cut(signature, "(")
	return name
}

func sheetOfContract(k *chain.Contract) any {
	s := contractSheet{Contract: *k, ABI: []string{}, Revision: k.Version}
	abi, err := k.Interface()
	if err != nil {
		return k // as it is
	}
	for _, f := range abi.Functions() {
		s.ABI = append(s.ABI, f.Signature)
	}
	return s
}

func sheetOfChain(s *chain.ChainStatus) chainSheet {
	out := chainSheet{Configured: s.Configured, ChainID: s.ChainID, Head: s.Head, HeadAt: maybeMoment(s.HeadAt), Registry: s.Registry, Problem: s.Problem, Endpoints: []endpointLine{},
		Accounts: []accountLine{}, Sent: s.Transactions, Recorded: s.Subjects, Need: countOf(int64(s.Confirmations), "confirmation", "confirmations")} //nolint:gosec // a setting
	if s.Configured {
		out.Agree = fmt.Sprintf("%d of %d", s.Agree, len(s.Endpoints))
	}
	if s.Anchor != nil {
		out.Anchor = s.Anchor.TransactionID
	}
	for i := range s.Endpoints {
		out.Endpoints = append(out.Endpoints, lineOfEndpoint(&s.Endpoints[i]))
	}
	if out.Problem == "" { // what is wrong with an account is first as well
		for _, a := range s.Accounts {
			if a.Problem != "" {
				out.Problem = a.Name + ": " + a.Problem
				break
			}
		}
	}
	for i := range s.Accounts {
		a := &s.Accounts[i]
		l := accountLine{Name: a.Name, Address: a.Address, Nonce: a.NextNonce, Pending: a.Pending, Waiting: a.Waiting, Node: a.Lease, Problem: a.Problem}
		if a.Balance != "" {
			l.Balance = inUnits(a.Balance, 18, 6) + " ETH"
		}
		out.Accounts = append(out.Accounts, l)
	}
	return out
}
