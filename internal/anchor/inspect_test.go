package anchor

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"caos/internal/auditlog"
	"caos/internal/chain"
	"caos/internal/db"
	"caos/internal/db/dbtest"
	"caos/internal/verify"
)

// node answers for a registry that has one tree, as little as a verifier asks.
type node struct {
	mu   sync.Mutex
	size int64
	root tlog.Hash
	hash string // of the transaction, in block 7

	before   int64     // size of a tree that it recorded before that one, 0 for none
	beforeBy tlog.Hash // its root
	mute     bool      // it lists no events
}

// event is how a node lists a checkpoint.
func (n *node) event(size int64, root tlog.Hash) map[string]any {
	return map[string]any{"address": registry, "blockNumber": "0x7", "removed": false,
		"topics": []string{"0x41c49877b9a80bb6333195533a8781148440aaf0785ed8a065f28e874a491d30", "0x" + strings.Repeat("00", 32), fmt.Sprintf("0x%064x", size)},
		"data":   fmt.Sprintf("0x%x%064x%064x%x", root[:], 64, len(origin), origin) + strings.Repeat("00", 32-len(origin)%32)}
}

func (n *node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var q struct {
		Method string            `json:"method"`
		Params []json.RawMessage `json:"params"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, "no", http.StatusBadRequest)
		return
	}
	block := "0x" + strings.Repeat("07", 32)
	var answer any
	switch q.Method {
	case "eth_chainId":
		answer = "0x539"
	case "eth_blockNumber":
		answer = "0x9"
	case "eth_getBlockByNumber":
		var at string
		_ = json.Unmarshal(q.Params[0], &at)
		answer = map[string]string{"number": at, "hash": block}
	case "eth_getTransactionReceipt":
		answer = map[string]string{"status": "0x1", "to": registry, "blockNumber": "0x7", "blockHash": block, "transactionHash": n.hash}
	case "eth_getLogs":
		if n.mute {
			break
		}
		list := []any{n.event(n.size, n.root)}
		if n.before > 0 {
			list = append([]any{n.event(n.before, n.beforeBy)}, list...)
		}
		answer = list
	case "eth_call":
		var call struct{ Data string }
		_ = json.Unmarshal(q.Params[0], &call)
		b, _ := hex.DecodeString(call.Data[10:])
		first, exists := fmt.Sprintf("%064x", n.size), n.size > 0
		if strings.HasPrefix(call.Data, "0xb12868dc") { // anchorOf
			asked := new(tlog.Hash)
			copy(asked[:], b[32:64])
			exists = n.size > 0 && fmt.Sprintf("%x", asked[:]) == first
			first = fmt.Sprintf("%064x", map[bool]int{true: 1}[exists])
		}
		if !exists {
			answer = "0x" + strings.Repeat("0", 256)
			break
		}
		answer = "0x" + first + hex.EncodeToString(n.root[:]) + fmt.Sprintf("%064x%064x", 7, 1_780_000_000)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"jsonrpc": "2.0", "id": 1, "result": answer})
}

// anchored is a world that was anchored everywhere, and what to inspect it with.
type anchored struct {
	*world
	set  Settings
	node *node
	url  string
	size int64 // that was anchored
	i    *Inspection
}

func newAnchored(t *testing.T, dialect db.Dialect) *anchored {
	t.Helper()
	w := &anchored{world: newWorld(t, dialect, worldOptions{})}
	set, change := everywhere(w.world)
	s := w.open(set, change)
	w.set = set
	w.happen(300)
	got := w.now(s)
	a := got["chain"].Anchor
	point, err := pointOf([]byte(w.anchors(s, Filter{Kind: verify.AnchorChain})[0].Checkpoint))
	if err != nil {
		t.Fatal(err)
	}
	w.size = a.Size
	w.node = &node{size: a.Size, root: point.Root, hash: "0x" + strings.Repeat("ab", 32)}
	w.chain.set(subjectID(origin, a.Size), func(sub *chain.Subject) {
		n := uint64(7)
		sub.State, sub.Hash, sub.BlockNumber = chain.SubjectConfirmed, w.node.hash, &n
	})
	w.tick(s)
	w.happen(20)
	srv := serve(t, w.node)
	w.url = srv.URL
	certificates, err := set.Timestamps[0].Certificates()
	if err != nil {
		t.Fatal(err)
	}
	w.i = &Inspection{Files: set.Files, S3: set.S3, Servers: []string{set.Timestamps[0].URL}, Locations: s.opt.Locations,
		Outsiders: verify.Outsiders{Witnesses: []string{set.Witnesses[0].Key}, Quorum: 1, Certificates: certificates, Chains: []verify.TrustChain{{ChainID: 1337, Registry: registry}}}}
	if w.i.Chains, err = verify.OpenChains(t.Context(), []string{w.url}, srv.Client()); err != nil {
		t.Fatal(err)
	}
	return w
}

// check verifies the log with what others hold, and returns what was found, in words.
func (w *anchored) check() (auditlog.Summary, []string) {
	w.t.Helper()
	var found []string
	sum, err := auditlog.Verify(context.Background(), auditlog.VerifyOptions{DB: w.d, Held: w.i.Held, OnProblem: func(p auditlog.Problem) { found = append(found, p.Kind+": "+p.What) }})
	if err != nil {
		w.t.Fatal(err)
	}
	return sum, found
}

// change changes the database behind everybody's back.
func (w *anchored) change(query string, args ...any) {
	w.t.Helper()
	if err := w.d.Write(context.Background(), func(tx *db.Tx) error { tx.Exec(query, args...); return tx.Err() }); err != nil {
		w.t.Fatal(err)
	}
}

func TestInspection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, dialect db.Dialect) {
		w := newAnchored(t, dialect)
		sum, found := w.check()
		// Five rows, the line in the file, the object, and the newest of the registry.
		if len(found) > 0 || sum.Held != 8 || len(w.i.Skipped()) > 0 {
			t.Fatalf("%d trees, %q, not checked %q", sum.Held, found, w.i.Skipped())
		}
	})
}

// TestInspectionFindsLies: whoever changes what was kept of an anchor, what an outsider holds,
// or the log, is found out, and the words say where, which size and both roots.
func TestInspectionFindsLies(t *testing.T) {
	elsewhere := verify.FormatHash(tlog.Hash{9})
	for name, c := range map[string]struct {
		lie  func(w *anchored)
		want []string // parts of one problem
	}{
		"a row's root": {func(w *anchored) {
			w.change(`UPDATE anchors SET root = $1 WHERE kind = 'file'`, tlog.Hash{9}.String())
		}, []string{"anchor: file ", "its row is of", tlog.Hash{9}.String()}},
		"a row's size": {func(w *anchored) { w.change(`UPDATE anchors SET size = size - 1 WHERE kind = 'chain'`) }, []string{"anchor: chain chain:1337", "its row is of"}},
		"a cosignature exchanged for another's": {func(w *anchored) {
			// Not another anchor's checkpoint: the log grows while it is anchored, so destinations
			// that are slow hold trees of different sizes.
			var signed string
			if err := w.d.QueryRow(context.Background(), `SELECT checkpoint FROM anchors WHERE kind = 'witness'`).Scan(&signed); err != nil {
				t.Fatal(err)
			}
			w.change(`UPDATE anchors SET checkpoint = $1 WHERE kind = 'witness'`, strings.Replace(signed, "\n— witness.example/w1 ", "\n— witness.example/w2 ", 1))
		}, []string{"anchor: witness witness.example/w1", "no cosignature"}},
		"a time stamp of nothing":   {func(w *anchored) { w.change(`UPDATE anchors SET proof = $1 WHERE kind = 'timestamp'`, []byte{}) }, []string{"anchor: timestamp http", "timestamp"}},
		"a checkpoint that is none": {func(w *anchored) { w.change(`UPDATE anchors SET checkpoint = $1 WHERE kind = 'object'`, []byte("x")) }, []string{"anchor: object s3://", "cannot be read"}},
		"the file emptied": {func(w *anchored) {
			if err := os.WriteFile(w.set.Files[0], nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"anchor: file ", "is gone"}},
		"the file removed": {func(w *anchored) { _ = os.Remove(w.set.Files[0]) }, []string{"anchor: file ", "is gone"}},
		"the objects removed": {func(w *anchored) {
			w.change(`UPDATE anchors SET size = size WHERE kind = 'object'`)
			w.i.S3 = "s3://anchors/production"
			w.moveObjects()
		}, []string{"anchor: bucket s3://", "is gone, although it was locked"}},
		"the chain forgot": {func(w *anchored) { w.node.size = 0 }, []string{"anchor: chain ", "is not recorded"}},
		"the chain has another root": {func(w *anchored) { w.node.root = tlog.Hash{9} },
			[]string{"anchor: the registry " + registry + " on the chain 1337", "has another root than the log: " + elsewhere + " and not SHA256:"}},
		"the chain has a larger tree": {func(w *anchored) { w.node.size = w.size + 1000 }, []string{"anchor: the registry", "was published and the log has", "are lost"}},
		"the log was cut, rewritten, and anchored anew when it had grown again": {func(w *anchored) { w.node.before, w.node.beforeBy = w.size-1, tlog.Hash{9} },
			[]string{"anchor: the registry " + registry + " on the chain 1337", "has another root than the log: " + elsewhere + " and not SHA256:"}},
		"a log that is not there": {func(w *anchored) { w.change(`UPDATE anchors SET origin = 'other.example' WHERE kind = 'file'`) }, []string{"anchor: file ", "its row is of"}},
		"the log rewritten": {func(w *anchored) {
			w.change(`UPDATE log_tiles SET hashes = (SELECT b.hashes FROM log_tiles b WHERE b.level = 1) WHERE level = 0 AND tile_index = 0`)
		}, []string{"tile"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newAnchored(t, db.SQLite)
			c.lie(w)
			_, found := w.check()
			for _, p := range found {
				all := true
				for _, part := range c.want {
					all = all && strings.Contains(p, part)
				}
				if all {
					return
				}
			}
			t.Errorf("%q is not said: %q", c.want, found)
		})
	}
}

// moveObjects lets the inspection look where no object is.
func (w *anchored) moveObjects() {
	w.change(`UPDATE anchors SET destination = 's3://anchors/staging/' WHERE kind = 'object'`)
	w.i.S3 = "s3://anchors/staging"
}

// TestInspectionOfMuteNode: that older checkpoints could not be listed is said.
func TestInspectionOfMuteNode(t *testing.T) {
	w := newAnchored(t, db.SQLite)
	w.node.mute = true
	if _, found := w.check(); len(found) > 0 {
		t.Errorf("%q", found)
	}
	if all := strings.Join(w.i.Skipped(), "\n"); !strings.Contains(all, "checkpoints on the chain 1337 that the database may have lost: ") {
		t.Errorf("not said: %q", all)
	}
}

// TestInspectionWithoutMeans: what cannot be checked is said.
func TestInspectionWithoutMeans(t *testing.T) {
	w := newAnchored(t, db.SQLite)
	*w.i = Inspection{S3: w.set.S3}
	sum, found := w.check()
	if len(found) > 0 || sum.Held != 5 {
		t.Errorf("%d, %q", sum.Held, found)
	}
	all := strings.Join(w.i.Skipped(), "\n")
	for _, want := range []string{"cosignatures: no witness is configured or in the trust file: 1", "time stamps: no certificate", "entries on a chain: not checked (give --ethereum URL): 1",
		"objects in s3://anchors/production: not checked (set AWS_ACCESS_KEY_ID"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}
