package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"caos"
	"caos/internal/chain"
	"caos/internal/client"
	"caos/internal/ethereum"
	"caos/internal/httpapi"
)

func newChain(e *environment) *cobra.Command {
	return parent("chain", "Record production on an Ethereum chain", chainStatus(e), newChainContract(e), newChainAccount(e), chainSend(e), newChainRecord(e))
}

func chainStatus(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show endpoints, accounts and what is on its way", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			s, body, err := ask[chain.ChainStatus](c.Context(), e, getting("/v1/chain", nil))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.chainStatus(s) })
		},
	}
}

func (e *environment) chainStatus(s *chain.ChainStatus) {
	if !s.Configured {
		e.line("No chain is configured: the published checkpoints cover every record.")
		e.line("%s", e.paint.dim("docs/blockchain.md says how one is."))
		return
	}
	head := strconv.FormatUint(s.Head, 10)
	if s.HeadAt != nil {
		head += ", seen " + moment(*s.HeadAt)
	}
	anchor, anchored := "", ""
	if s.Anchor != nil {
		anchor, anchored = s.Anchor.Version+" leaves of "+s.Anchor.ModelID, s.Anchor.Hash
	}
	e.trouble("problem", s.Problem)
	for _, a := range s.Accounts {
		if a.Problem != s.Problem {
			e.trouble(a.Name, a.Problem)
		}
	}
	e.pairs(pair{"chain", strconv.FormatUint(s.ChainID, 10)}, pair{"newest block", head}, pair{"believed after", plural(int(s.Confirmations), "block", "blocks")}, //nolint:gosec // a setting
		pair{"of endpoints", fmt.Sprintf("%d of %d must agree", s.Agree, len(s.Endpoints))}, pair{"registry", s.Registry}, pair{"last anchor", anchor}, pair{"recorded by", anchored})
	e.line("")
	rows := make([][]string, 0, len(s.Endpoints))
	for _, p := range s.Endpoints {
		state := "answers"
		if p.Error != "" {
			state = p.Error
		} else if p.Behind > 0 {
			state = fmt.Sprintf("%d blocks behind", p.Behind)
		}
		rows = append(rows, []string{p.URL, strconv.FormatUint(p.Head, 10), state})
	}
	e.table([]string{"endpoint", "head", "state"}, rows)
	e.line("")
	rows = rows[:0]
	for _, a := range s.Accounts {
		rows = append(rows, []string{a.Name, a.Address, ether(a.Balance), strconv.FormatUint(a.NextNonce, 10), strconv.FormatInt(a.Waiting, 10), strconv.FormatInt(a.Pending, 10)})
	}
	e.fitted([]string{"account", "address", "balance", "nonce", "waiting", "pending"}, rows, "nonce", "waiting")
	rows = rows[:0]
	for _, state := range []chain.Status{chain.Prepared, chain.Signed, chain.Sent, chain.Mined, chain.Confirmed, chain.Failed} {
		if n := s.Transactions[state]; n > 0 {
			rows = append(rows, []string{string(state), grouped(n)})
		}
	}
	if len(rows) > 0 {
		e.line("")
		e.table([]string{"transactions", "number"}, rows)
	}
	rows = rows[:0]
	for _, state := range []chain.SubjectState{chain.Wanted, chain.Started, chain.SubjectConfirmed, chain.SubjectFailed} {
		if n := s.Subjects[state]; n > 0 {
			rows = append(rows, []string{string(state), grouped(n)})
		}
	}
	if len(rows) > 0 {
		e.line("")
		e.table([]string{"to be recorded", "number"}, rows)
		if s.Subjects[chain.Wanted]+s.Subjects[chain.SubjectFailed] > 0 {
			e.line("%s", e.paint.dim("caos chain record list says of each why it waits or failed"))
		}
	}
}

// trouble writes what is wrong with something, if anything is.
func (e *environment) trouble(name, text string) {
	if text != "" {
		e.flow(e.paint.bad(clean(name))+"  ", "  ", clean(text), asIs)
	}
}

// ether writes wei, a decimal number, in ether.
func ether(wei string) string {
	n, ok := new(big.Int).SetString(wei, 10)
	if !ok {
		return "-"
	}
	return new(big.Rat).SetFrac(n, big.NewInt(1e18)).FloatString(6) + " ETH"
}

func newChainContract(e *environment) *cobra.Command {
	known := e.ids("/v1/chain/contracts", "contract_id", "name")
	return parent("contract", "Contracts that may be called", append([]*cobra.Command{contractRegister(e), contractsList(e)},
		completed(known, contractInspect(e), contractWithdraw(e))...)...)
}

func chainContractPath(id string) string { return "/v1/chain/contracts/" + escape(id) }

func contractRegister(e *environment) *cobra.Command {
	var file, abi, name, account, project, classification string
	var functions, roles []string
	var automatic bool
	var maxGas uint64
	c := &cobra.Command{
		Use: "register ADDRESS --name NAME --function NAME --account ACCOUNT", Aliases: []string{"add"}, Short: "Register a contract that may be called", Args: wants("ADDRESS"),
		Long: "Registers a contract, with the functions of it that CAOS.PROD.BLOCKCHAIN.CONTRACT may call, for which roles, and the account that signs. " +
			"Without --abi it is the product's own registry. The code that runs is kept as a hash, of a proxy also that of what it calls in its place. Every --function gets the same roles, account and gas; --file names a registration where they differ. It needs a second factor.",
		Example: "  caos chain contract register 0x5FbD…0aa3 --name 'Production registry' --function recordProduction --function anchorLog --role mlops-engineer --account production --automatic\n" +
			"  caos chain contract register 0x5FbD…0aa3 --file registration.yaml",
		RunE: func(c *cobra.Command, args []string) error {
			body := httpapi.ContractBody{Name: name, Project: project, Classification: classification}
			if file != "" {
				text, err := e.readInput(file, 1<<20)
				if err != nil {
					return err
				}
				if err := yaml.UnmarshalWithOptions(text, &body, yaml.Strict(), yaml.UseJSONUnmarshaler()); err != nil {
					return usage("%s is not a registration: %v", file, err).WithField("file").WithHint("it has name, abi and functions, each with function, roles, account, automatic, max_gas")
				}
			}
			body.Address = args[0]
			for _, f := range functions {
				body.Functions = append(body.Functions, httpapi.FunctionBody{Function: f, Roles: roles, Account: account, Automatic: automatic, MaxGas: maxGas})
			}
			if len(body.Functions) == 0 {
				return usage("no function may be called").WithField("function").WithHint("name at least one with --function")
			}
			if abi != "" {
				text, err := e.readInput(abi, 1<<20)
				if err != nil {
					return err
				}
				if body.ABI, err = readABI(text); err != nil {
					return err
				}
			}
			k, answer, err := ask[chain.Contract](c.Context(), e, posting("/v1/chain/contracts", body))
			if err != nil {
				return err
			}
			return e.give(answer, func() {
				e.line("%s may be called as %s", clean(k.Address), clean(k.ContractID))
				for _, i := range k.Implementations {
					e.line("It runs the code of %s (%s)", clean(i.Address), clean(i.How))
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "what people call it")
	f.StringArrayVar(&functions, "function", nil, "a function that may be called; may be repeated")
	f.StringArrayVar(&roles, "role", nil, "whoever holds it may call these functions; may be repeated")
	f.StringVar(&account, "account", "", "account of the configuration that signs and pays")
	f.BoolVar(&automatic, "automatic", false, "CAOS may call these functions of itself")
	f.Uint64Var(&maxGas, "max-gas", 0, "the highest gas limit of a call; 500000 if left out")
	f.StringVar(&abi, "abi", "", "file with the contract's ABI, or a compiler's output that has one")
	f.StringVar(&file, "file", "", "registration in YAML or JSON")
	f.StringVar(&project, "project", "", "that it belongs to")
	f.StringVar(&classification, "classification", "", "of what is recorded")
	return c
}

// readABI reads an ABI, or takes it out of what compilers write around it.
func readABI(text []byte) ([]any, error) {
	var list []any
	if json.Unmarshal(text, &list) == nil {
		return list, nil
	}
	var around struct {
		ABI []any `json:"abi"`
	}
	if err := json.Unmarshal(text, &around); err != nil || len(around.ABI) == 0 {
		return nil, usage("the file is not an ABI").WithField("abi").WithHint("it is a JSON list, or an object with a list at \"abi\"")
	}
	return around.ABI, nil
}

func contractsList(e *environment) *cobra.Command {
	l := listed[chain.Contract]{path: "/v1/chain/contracts", head: []string{"contract", "status", "address", "functions", "project", "name"}, drop: []string{"project", "functions"},
		row: func(k chain.Contract) []string {
			return []string{k.ContractID, string(k.Status), k.Address, strconv.Itoa(len(k.Functions)), orDash(k.Project), k.Name}
		}}
	var status string
	c := &cobra.Command{
		Use: "list", Short: "List contracts, newest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("status", strings.ToUpper(status))
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	c.Flags().StringVar(&status, "status", "", "active or retired")
	return c
}

func contractInspect(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show CONTRACT", Short: "Show a contract: what may be called, by whom, and who signs", Args: wants("CONTRACT"),
		RunE: func(c *cobra.Command, args []string) error {
			k, body, err := ask[chain.Contract](c.Context(), e, getting(chainContractPath(args[0]), nil))
			if err != nil {
				return err
			}
			return e.give(body, func() {
				e.pairs(pair{"contract", k.ContractID}, pair{"status", string(k.Status)}, pair{"name", k.Name}, pair{"address", k.Address}, pair{"chain", strconv.FormatUint(k.ChainID, 10)},
					pair{"code", k.CodeHash}, pair{"abi", k.ABIDigest}, pair{"project", k.Project}, pair{"classification", k.Classification},
					pair{"registered", byWhom(moment(k.RegisteredAt), k.RegisteredBy)}, pair{"retired", k.RetiredReason})
				if len(k.Implementations) > 0 {
					e.line("")
					rows := make([][]string, 0, len(k.Implementations))
					for _, i := range k.Implementations {
						rows = append(rows, []string{i.Address, i.How, i.CodeHash})
					}
					e.table([]string{"runs the code of", "named by", "code"}, rows)
				}
				e.line("")
				rows := make([][]string, 0, len(k.Functions))
				for _, f := range k.Functions {
					who := f.Roles
					if f.Automatic {
						who = append([]string{"CAOS itself"}, who...)
					}
					rows = append(rows, []string{f.Function, strings.Join(who, ", "), f.Account, strconv.FormatUint(f.MaxGas, 10)})
				}
				e.table([]string{"function", "for", "signed by", "most gas"}, rows)
			})
		},
	}
}

func contractWithdraw(e *environment) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "retire CONTRACT --reason TEXT", Short: "Take a contract out of use", Args: wants("CONTRACT"),
		Long: "Nothing more is sent to the contract, except what is signed already. What is recorded stays. It needs a second factor.",
		RunE: func(c *cobra.Command, args []string) error {
			k, body, err := ask[chain.Contract](c.Context(), e, posting(chainContractPath(args[0])+"/retire", httpapi.ReasonBody{Reason: reason}))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.line("%s is retired", clean(k.ContractID)) })
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why")
	_ = c.MarkFlagRequired("reason")
	return c
}

func newChainAccount(e *environment) *cobra.Command {
	return parent("account", "Accounts that sign", accountNew(e))
}

func accountNew(e *environment) *cobra.Command {
	var out, file string
	c := &cobra.Command{
		Use: "new --out FILE", Short: "Make a key in an encrypted keystore file (version 3)", Args: noArgs,
		Long: "Makes a key on this machine and writes it encrypted under a password, which is asked for at a terminal and read from standard input otherwise. " +
			"Put the password into the vault (caos secret put chain/production password), the file where the server reads it, such as the data folder's keys, and name both under chain.accounts in the configuration.",
		Example: "  caos chain account new --out caos-data/keys/production.json",
		RunE: func(*cobra.Command, []string) error {
			password, err := e.newPassword("Password of the new key", file, 1024)
			if err != nil {
				return err
			}
			text, address, err := ethereum.NewKeystore([]byte(password))
			if err != nil {
				return err
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				return caos.Errorf(caos.Conflict, "%s is there already, and a key is never overwritten", out).WithField("out")
			}
			if err != nil {
				return usage("the file cannot be written: %s", errors.Unwrap(err)).WithField("out")
			}
			_, err = f.Write(append(text, '\n'))
			if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
				return caos.Wrap(caos.Internal, err, "the key was not written whole: remove %s", out)
			}
			return e.giveValue(map[string]string{"address": address.Hex(), "file": out}, func() { e.line("%s in %s", address.Hex(), clean(out)) })
		},
	}
	c.Flags().StringVar(&out, "out", "", "file for the encrypted key, which must not exist")
	c.Flags().StringVar(&file, "password-file", "", "file that holds the password; - is standard input")
	_ = c.MarkFlagRequired("out")
	return c
}

func chainSend(e *environment) *cobra.Command {
	var o runFlags
	var gas uint64
	var noWait bool
	c := &cobra.Command{
		Use: "send ADDRESS FUNCTION [NAME=VALUE …]", Short: "Call a function of a registered contract (BLOCKCHAIN.CONTRACT)", Args: atLeast("ADDRESS", "FUNCTION"),
		Long: "Runs CAOS.PROD.BLOCKCHAIN.CONTRACT: the transaction is tried, signed, sent and watched until it is final. A value that begins with [ or { is read as JSON, " +
			"true and false as what they are, everything else as text, which the contract's ABI makes a number, an address or bytes. It needs a second factor; the exit code is 1 if the transaction failed.",
		Example: "  caos chain send 0x5FbD…0aa3 recordProduction modelId=NN-DLY-001 version=1.0.0 contentHash=0x9f86… timestamp=1700000000",
		RunE: func(c *cobra.Command, args []string) error {
			params := map[string]any{}
			for _, arg := range args[2:] {
				name, text, ok := strings.Cut(arg, "=")
				if !ok || name == "" {
					return usage("%q is not NAME=VALUE", arg).WithField("function_parameters")
				}
				if _, twice := params[name]; twice {
					return usage("%s is there twice", name).WithField("function_parameters." + name)
				}
				value, err := parameter(text)
				if err != nil {
					return usage("%s is not JSON: %v", name, err).WithField("function_parameters." + name)
				}
				params[name] = value
			}
			body, err := json.Marshal(map[string]any{"contract_address": args[0], "contract_function": args[1], "function_parameters": params, "gas_limit": gas})
			if err != nil {
				return fmt.Errorf("encode input: %w", err)
			}
			cl, err := e.connect()
			if err != nil {
				return err
			}
			o.wait = !noWait
			return e.runHook(c, cl, "CAOS.PROD.BLOCKCHAIN.CONTRACT", body, o)
		},
	}
	f := c.Flags()
	f.Uint64Var(&gas, "gas", 500_000, "gas_limit: the most that the call may use")
	f.StringVar(&o.key, "idempotency-key", "", "gives the same execution when it is sent again")
	f.BoolVar(&o.dry, "dry-run", false, "only explain every gate")
	f.BoolVar(&noWait, "no-wait", false, "do not wait for the end")
	return c
}

// atLeast wants arguments, behind which more may follow.
func atLeast(words ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		return wants(words...)(c, args[:min(len(args), len(words))])
	}
}

// parameter reads a value of a function's parameter.
func parameter(text string) (any, error) {
	switch {
	case text == "true", text == "false":
		return text == "true", nil
	case strings.HasPrefix(text, "["), strings.HasPrefix(text, "{"):
		var v any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		err := d.Decode(&v)
		return v, err
	}
	return text, nil
}

func newChainRecord(e *environment) *cobra.Command {
	return parent("record", "What of this installation is recorded on the chain", recordList(e), recordAgain(e))
}

func recordList(e *environment) *cobra.Command {
	l := listed[chain.Subject]{path: "/v1/chain/records", head: []string{"kind", "what", "state", "block", "since", "transaction or reason"}, drop: []string{"since", "block"}, room: 66,
		row: func(s chain.Subject) []string {
			block := "-"
			if s.BlockNumber != nil {
				block = strconv.FormatUint(*s.BlockNumber, 10)
			}
			last := s.Hash
			if s.Reason != "" {
				last = s.Reason
			}
			return []string{string(s.Kind), s.ID, string(s.State), block, moment(s.ChangedAt), orDash(last)}
		}}
	var kind, state string
	c := &cobra.Command{
		Use: "list", Short: "List what is recorded, or is to be, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("kind", kind, "state", strings.ToUpper(state))
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	c.Flags().StringVar(&kind, "kind", "", "passport, audit, evidence or checkpoint")
	c.Flags().StringVar(&state, "state", "", "wanted, started, confirmed or failed")
	return c
}

func recordAgain(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "again KIND ID", Short: "Try to record again what FAILED", Args: wants("KIND", "ID"),
		RunE: func(c *cobra.Command, args []string) error {
			s, body, err := ask[chain.Subject](c.Context(), e, client.Call{Method: http.MethodPost, Path: "/v1/chain/records/" + escape(args[0]) + "/" + escape(args[1]) + "/again"})
			if err != nil {
				return err
			}
			return e.give(body, func() { e.line("%s %s is %s", s.Kind, clean(s.ID), s.State) })
		},
	}
}
