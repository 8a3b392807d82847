package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"caos"
	"caos/internal/anchor"
	"caos/internal/app"
	"caos/internal/chain"
	"caos/internal/client"
	"caos/internal/dpp"
	"caos/internal/httpapi"
	"caos/internal/verify"
)

// The chain of the demo: a development chain of its own, on which the freeze and the audit
// log are recorded, and which the auditor asks when the server is gone.
const (
	hookContract = "CAOS.PROD.BLOCKCHAIN.CONTRACT"
	chainAccount = "production"
	chainVault   = "chain/production" // path of the account's password

	// registrar registers the contract: not the one who freezes, whose codes of a second
	// factor are all needed there.
	registrar = "configuration-manager-2"
)

// ledger is a running development chain and what CAOS has there.
type ledger struct {
	cmd      *exec.Cmd
	in       io.Closer // the chain ends when this does
	url      string
	chainID  uint64
	account  string // address
	keystore string // file
	password string
	registry string // address of the contract
}

// chainProgram finds caos-devchain beside this program.
func chainProgram() (string, error) {
	const name = "caos-devchain"
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	beside := filepath.Join(filepath.Dir(self), name)
	if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
		return beside, nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", caos.Errorf(caos.Unavailable, "there is no program %s", name).WithHint("make bin/%s builds it", name)
	}
	return path, nil
}

// startChain starts a chain that makes a block for each transaction at once, puts the
// registry on it, and lets one account write there. It ends with this program unless it is
// kept.
func startChain(ctx context.Context, dir string, keep bool) (l *ledger, err error) {
	program, err := chainProgram()
	if err != nil {
		return nil, err
	}
	args := []string{"--data", dir, "--listen", "127.0.0.1:0", "--block-time", "0", "--accounts", "2"}
	if !keep {
		args = append(args, "--until-eof")
	}
	l = &ledger{cmd: exec.Command(program, args...)}
	defer func() {
		if err != nil {
			l.stop()
		}
	}()
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the chain: %w", err)
	}
	timer := time.AfterFunc(patience, func() { _ = l.cmd.Process.Kill() })
	defer timer.Stop()
	if _, err := bufio.NewReader(out).ReadBytes('\n'); err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the chain did not start")
	}
	if err := l.describe(dir); err != nil {
		return nil, err
	}
	deploy := exec.CommandContext(ctx, program, "deploy", "--data", dir, "--recorder", l.account, "--anchorer", l.account)
	text, err := deploy.Output()
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the registry was not deployed")
	}
	var made struct {
		Address string `json:"address"`
	}
	err = json.Unmarshal(text, &made)
	l.registry = made.Address
	return l, err
}

// describe reads where the chain listens and which account is left to CAOS: the second, as
// the first is the contract's administrator.
func (l *ledger) describe(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "devchain.json"))
	if err != nil {
		return err
	}
	var d struct {
		URL          string `json:"url"`
		ChainID      uint64 `json:"chain_id"`
		PasswordFile string `json:"password_file"`
		Accounts     []struct {
			Address  string `json:"address"`
			Keystore string `json:"keystore"`
		} `json:"accounts"`
	}
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("the chain does not say what it has: %w", err)
	}
	if len(d.Accounts) < 2 {
		return fmt.Errorf("the chain has %s, not one for us besides its administrator's", plural(len(d.Accounts), "account", "accounts"))
	}
	password, err := os.ReadFile(d.PasswordFile)
	l.url, l.chainID, l.account, l.keystore = d.URL, d.ChainID, d.Accounts[1].Address, d.Accounts[1].Keystore
	l.password = string(bytes.TrimRight(password, "\r\n"))
	return err
}

// stop ends the chain.
func (l *ledger) stop() {
	if l.in != nil {
		_ = l.in.Close() // it ends by itself then
	}
	if l.cmd.Process == nil || l.cmd.ProcessState != nil {
		return
	}
	_ = l.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.AfterFunc(patience, func() { _ = l.cmd.Process.Kill() })
	defer timer.Stop()
	_ = l.cmd.Wait() // however it ended, it is gone
}

// config is what CAOS has to know of the chain.
func (l *ledger) config() (*app.ChainConfig, *app.AnchorConfig) {
	return &app.ChainConfig{ChainID: l.chainID, Endpoints: []string{l.url}, Confirmations: 1, BlockTime: "1s", Registry: l.registry,
		Accounts: []app.AccountConfig{{Name: chainAccount, Keystore: l.keystore, Password: "vault:" + chainVault + "#password"}}}, &app.AnchorConfig{Chain: true}
}

// openChain starts the chain before the installation is made, whose configuration names it.
// Without the program the story goes on without a chain.
func (st *stage) openChain(ctx context.Context) error {
	l, err := startChain(ctx, filepath.Join(st.dir, "chain"), st.keep)
	if caos.KindOf(err) == caos.Unavailable {
		st.noChain = err
		return nil
	}
	st.ledger = l
	return err
}

// chainOpened is told when the installation is made.
func (st *stage) chainOpened(ctx context.Context) error {
	if st.ledger == nil {
		st.screen.chapter("The chain: left out")
		e := caos.AsError(st.noChain)
		st.screen.note("%s; %s", e.Message, e.Hint)
		return nil
	}
	st.screen.chapter("An Ethereum chain to record on")
	l := st.ledger
	st.screen.facts(pair{"chain", fmt.Sprintf("%d, a development chain at %s", l.chainID, l.url)}, pair{"registry", l.registry}, pair{"account", l.account})
	body := map[string]any{"values": map[string]string{"password": l.password}}
	if _, err := st.people[adminPerson].Do(ctx, client.Call{Method: http.MethodPut, Path: secretPath(chainVault), JSON: body}); err != nil {
		return err
	}
	st.screen.good("admin puts the password of the account's key into the vault; nobody reads it back")
	var k chain.Contract
	fn := func(name string) httpapi.FunctionBody {
		return httpapi.FunctionBody{Function: name, Roles: []string{"mlops-engineer"}, Account: chainAccount, Automatic: true}
	}
	if err := st.people[registrar].Post(ctx, "/v1/chain/contracts", httpapi.ContractBody{Address: l.registry, Name: "Production registry",
		Functions: []httpapi.FunctionBody{fn("recordProduction"), fn("anchorLog")}}, &k); err != nil {
		return err
	}
	st.screen.good("%s registers the contract as %s: recordProduction and anchorLog may be called, nothing else", registrar, k.ContractID)
	return nil
}

// chainPatience is how long the demo waits for a transaction.
const chainPatience = time.Minute

// frozenOnChain waits until the passport's transaction is believed, and shows it.
func (st *stage) frozenOnChain(ctx context.Context) error {
	if st.ledger == nil {
		return nil
	}
	st.screen.chapter("The freeze is on the chain")
	s, err := st.recorded(ctx, chain.KindPassport, st.dpp)
	if err != nil {
		return err
	}
	x, err := executionOf(ctx, st.people["auditor"], s.ExecutionID)
	if err != nil {
		return err
	}
	st.screen.hook(x.HookID, "started by DPP.CREATE", x.RequestedBy)
	if _, err := st.watchSteps(ctx, "auditor", x); err != nil {
		return err
	}
	var t httpapi.TransactionView
	if err := st.people["auditor"].Get(ctx, transactionPath(s.Hash), nil, &t); err != nil {
		return err
	}
	var p dpp.Passport
	if err := st.people["auditor"].Get(ctx, "/v1/passports/"+escape(st.dpp), nil, &p); err != nil {
		return err
	}
	if p.ChainTxID == nil || *p.ChainTxID != t.Hash {
		return fmt.Errorf("%s does not name its transaction %s", st.dpp, t.Hash)
	}
	st.screen.facts(pair{"transaction", t.Hash}, pair{"block", numberOr(t.BlockNumber)}, pair{"gas", numberOr(t.GasUsed)}, pair{"passport", p.Page})
	return nil
}

// recorded waits until something of ours is on the chain.
func (st *stage) recorded(ctx context.Context, kind chain.SubjectKind, id string) (s chain.Subject, err error) {
	ctx, cancel := context.WithTimeout(ctx, chainPatience)
	defer cancel()
	for {
		if err := st.people["auditor"].Get(ctx, "/v1/chain/records/"+string(kind)+"/"+escape(id), nil, &s); err != nil && caos.KindOf(err) != caos.NotFound {
			return s, err
		}
		switch s.State {
		case chain.SubjectConfirmed:
			return s, nil
		case chain.SubjectFailed:
			return s, fmt.Errorf("%s %s was not recorded: %s", kind, id, s.Reason)
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return s, fmt.Errorf("%s %s is not on the chain: %w", kind, id, err)
		}
	}
}

// askChain has the chain asked what it knows, with the server gone: by the verifier's own
// code, which knows nothing of CAOS.
func (st *stage) askChain(ctx context.Context) error {
	if st.ledger == nil {
		return nil
	}
	st.screen.chapter("What the chain itself says")
	chains, err := verify.OpenChains(ctx, []string{st.ledger.url}, nil)
	if err != nil {
		return err
	}
	r, err := st.checkAsking(ctx, st.modelFile, chains)
	if err != nil {
		return err
	}
	asked := 0
	for _, a := range r.Anchors {
		if a.Kind == verify.AnchorChain {
			asked++
			st.screen.good("the log: its root over %s leaves is %s", grouped(a.Size), a.Says)
		}
	}
	if !r.OK || asked == 0 {
		return errors.New("the chain does not say what the package says of it")
	}
	return st.askPassport(ctx, chains)
}

// askPassport asks the contract for the passport's record: its own words, with no CAOS between.
func (st *stage) askPassport(ctx context.Context, chains *verify.Chains) error {
	file, err := os.ReadFile(filepath.Join(st.dir, st.dpp+".jsonld"))
	if err != nil {
		return err
	}
	c, err := verify.CheckCredential(file, st.trust)
	if err != nil {
		return err
	}
	content, err := verify.ParseHash(c.Digest)
	if err != nil {
		return err
	}
	chain := verify.TrustChain{ChainID: st.ledger.chainID, Registry: st.ledger.registry}
	got, err := chains.RecordOf(ctx, chain, c.Subject.ModelID, c.Subject.ModelVersion, content)
	if err != nil {
		return err
	}
	if !got.Exists || !strings.EqualFold(got.Recorder, st.ledger.account) {
		return fmt.Errorf("the registry %s does not have %s as its account recorded it", chain.Registry, st.dpp)
	}
	st.screen.good("the passport is on it: the contract's recordOf, asked for the model, its version and the digest of %s.jsonld, answers", st.dpp)
	st.screen.facts(pair{"model", c.Subject.ModelID + " " + c.Subject.ModelVersion}, pair{"digest", c.Digest}, pair{"recorder", got.Recorder + ", the account of CAOS"},
		pair{"block", fmt.Sprintf("%d, of %s, with %s on top", got.Block, moment(got.Time), plural(int(got.Depth)-1, "block", "blocks"))}, //nolint:gosec // of a chain that is seconds old
		pair{"frozen", moment(got.Stated) + ", as the recorder stated"})
	return nil
}

func (st *stage) checkAsking(ctx context.Context, name string, chains *verify.Chains) (*verify.Report, error) {
	file, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	return verify.Package(bytes.NewReader(file), int64(len(file)), st.trust, verify.PackageOptions{Chains: chains, Context: ctx})
}

// anchored has the log's newest checkpoint put on the chain now, and waits for it.
func (st *stage) anchored(ctx context.Context) error {
	if st.ledger == nil {
		return nil
	}
	st.screen.chapter("The whole log, anchored in one transaction")
	decision, err := st.recorded(ctx, chain.KindAudit, st.freeze)
	if err != nil {
		return err
	}
	st.screen.good("the freeze decision has a transaction of its own by now, in block %s", numberOr(decision.BlockNumber))
	var asked httpapi.AnchorsAsked
	if err := st.people["auditor"].Post(ctx, "/v1/anchors", httpapi.AnchorBody{}, &asked); err != nil {
		return err
	}
	size := int64(0)
	for _, d := range asked.Destinations {
		if d.Kind == verify.AnchorChain && d.Anchor != nil {
			size = d.Anchor.Size
		}
	}
	ctx, cancel := context.WithTimeout(ctx, chainPatience)
	defer cancel()
	for {
		var list httpapi.Page[*anchor.Anchor]
		err = st.people["auditor"].Get(ctx, "/v1/anchors", query("kind", verify.AnchorChain, "size", strconv.FormatInt(size, 10), "state", string(anchor.Confirmed)), &list)
		if err != nil {
			return err
		}
		if len(list.Items) > 0 {
			st.screen.good("the chain has the log's root over its first %s leaves: none of them can be changed, left out or dated otherwise any more, not even by whoever runs the server", grouped(size))
			st.screen.facts(pair{"transaction", list.Items[0].TxHash}, pair{"block", strconv.FormatUint(list.Items[0].Block, 10)})
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("the checkpoint of %d leaves is not on the chain: %w", size, err)
		}
	}
}
