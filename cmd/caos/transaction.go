package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"caos/internal/chain"
	"caos/internal/httpapi"
)

func newTransaction(e *environment) *cobra.Command {
	known := e.ids("/v1/transactions", "transaction_id", "contract_function")
	return parent("transaction", "See what was sent to the chain", append([]*cobra.Command{transactionList(e)},
		completed(known, transactionShow(e), transactionWatch(e), transactionReceipt(e))...)...)
}

func transactionPath(id string) string { return "/v1/transactions/" + escape(id) }

func transactionList(e *environment) *cobra.Command {
	l := listed[chain.Transaction]{path: "/v1/transactions", head: []string{"transaction", "status", "function", "block", "nonce", "prepared", "hash"}, drop: []string{"prepared", "nonce", "block"},
		row: func(t chain.Transaction) []string {
			name, _, _ := strings.Cut(t.Function, "(")
			return []string{t.TransactionID, string(t.Status), name, numberOr(t.BlockNumber), numberOr(t.Nonce), moment(t.PreparedAt), orDash(t.Hash)}
		}}
	var status, kind, subject, execution string
	var open bool
	c := &cobra.Command{
		Use: "list", Short: "List transactions, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			pairs := []string{"status", strings.ToUpper(status), "subject_kind", kind, "subject_id", subject, "execution_id", execution}
			if open {
				pairs = append(pairs, "open", "true")
			}
			l.query = query(pairs...)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	f := c.Flags()
	f.StringVar(&status, "status", "", "prepared, signed, sent, mined, confirmed or failed")
	f.BoolVar(&open, "open", false, "only those that are not final")
	f.StringVar(&kind, "kind", "", "of what they record: passport, audit, evidence or checkpoint")
	f.StringVar(&subject, "subject", "", "id of what they record")
	f.StringVar(&execution, "execution", "", "of this execution")
	return c
}

func numberOr(n *uint64) string {
	if n == nil {
		return "-"
	}
	return strconv.FormatUint(*n, 10)
}

func transactionShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show TRANSACTION", Short: "Show a transaction and every attempt that was signed for it", Args: wants("TRANSACTION"),
		Long: "Shows a transaction by its id, TX-…, or by the hash of one of its attempts.",
		RunE: func(c *cobra.Command, args []string) error {
			t, body, err := ask[httpapi.TransactionView](c.Context(), e, getting(transactionPath(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.transaction(t) })
		},
	}
}

func (e *environment) transaction(t *httpapi.TransactionView) {
	e.line("%s  %s", e.paint.bold(clean(t.TransactionID)), e.paint.word(string(t.Status)))
	subject := ""
	if t.Subject != nil {
		subject = string(t.Subject.Kind) + " " + t.Subject.ID
	}
	block := ""
	if t.BlockNumber != nil {
		block = fmt.Sprintf("%d, %s", *t.BlockNumber, plural(int(t.Confirmations), "confirmation", "confirmations")) //nolint:gosec // at most a few hundred
	}
	gas := fmt.Sprintf("at most %d", t.GasLimit)
	if t.GasUsed != nil {
		gas = fmt.Sprintf("%d of %d", *t.GasUsed, t.GasLimit)
	}
	e.pairs(pair{"reason", t.Reason}, pair{"hash", t.Hash}, pair{"block", block}, pair{"contract", t.Address}, pair{"function", t.Function}, pair{"records", subject},
		pair{"from", t.From + " (" + t.Account + ")"}, pair{"nonce", numberOr(t.Nonce)}, pair{"gas", gas}, pair{"execution", t.ExecutionID}, pair{"explorer", t.Explorer}, pair{"receipt", t.Receipt})
	var params map[string]any
	if json.Unmarshal(t.Params, &params) == nil && len(params) > 0 {
		e.line("")
		rows := make([][]string, 0, len(params))
		for _, name := range slices.Sorted(maps.Keys(params)) {
			rows = append(rows, []string{name, fmt.Sprint(params[name])})
		}
		e.table([]string{"parameter", "value"}, rows)
	}
	if len(t.AttemptList) > 0 {
		e.line("")
		rows := make([][]string, 0, len(t.AttemptList))
		for _, a := range t.AttemptList {
			state := "signed"
			switch {
			case t.BlockNumber != nil && a.Hash == t.Hash:
				state = "in block " + strconv.FormatUint(*t.BlockNumber, 10)
			case a.Dead:
				state = "its nonce was spent"
			case t.BlockNumber != nil:
				state = "another was mined"
			case a.Error != "":
				state = a.Error
			case a.SentAt != nil:
				state = "sent " + moment(*a.SentAt)
			}
			rows = append(rows, []string{strconv.Itoa(a.Number), strconv.FormatUint(a.Nonce, 10), gwei(a.MaxFee), gwei(a.Tip), state, a.Hash})
		}
		e.fitted([]string{"attempt", "nonce", "most per gas", "tip", "state", "hash"}, rows, "nonce", "tip")
	}
}

// gwei writes wei, a decimal number, in thousand millions of it.
func gwei(wei string) string {
	n, ok := new(big.Int).SetString(wei, 10)
	if !ok {
		return "-"
	}
	return strings.TrimRight(strings.TrimRight(new(big.Rat).SetFrac(n, big.NewInt(1e9)).FloatString(9), "0"), ".") + " gwei"
}

// watchEvery is how often a transaction is looked at that somebody waits for.
const watchEvery = time.Second

func transactionWatch(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "watch TRANSACTION", Short: "Follow a transaction until it is CONFIRMED or FAILED", Args: wants("TRANSACTION"),
		Long: "Follows a transaction. The exit code is 1 if it FAILED.",
		RunE: func(c *cobra.Command, args []string) error {
			last := ""
			for {
				t, body, err := ask[httpapi.TransactionView](c.Context(), e, getting(transactionPath(args[0]), nil))
				if err != nil {
					return err
				}
				if t.Status.Final() {
					if err := e.give(body, func() { e.transaction(t) }); err != nil || t.Status == chain.Confirmed {
						return err
					}
					return failed()
				}
				if now := progressOf(t); now != last {
					fmt.Fprintln(e.err, now)
					last = now
				}
				if err := sleep(c.Context(), watchEvery); err != nil {
					return err
				}
			}
		},
	}
}

// progressOf says how far a transaction is, on a line.
func progressOf(t *httpapi.TransactionView) string {
	s := string(t.Status)
	if t.BlockNumber != nil {
		s += fmt.Sprintf(" in block %d, %s", *t.BlockNumber, plural(int(t.Confirmations), "confirmation", "confirmations")) //nolint:gosec // at most a few hundred
	}
	if t.Reason != "" {
		s += ": " + clean(t.Reason)
	}
	return s
}

func transactionReceipt(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "receipt TRANSACTION", Short: "Print the stored receipt of a transaction", Args: wants("TRANSACTION"),
		RunE: func(c *cobra.Command, args []string) error {
			_, body, err := ask[json.RawMessage](c.Context(), e, getting(transactionPath(args[0])+"/receipt", nil))
			if err != nil {
				return err
			}
			return e.writeJSON(body)
		},
	}
}
