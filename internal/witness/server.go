package witness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"caos"
	"caos/internal/verify"
)

// Log is a log that a witness cosigns.
type Log struct {
	Origin string   // first line of its checkpoints
	Keys   []string // verifier keys that may sign them; one is enough
}

// LogOf is the log of a trust file, with every checkpoint key that is in it.
func LogOf(t verify.Trust) (Log, error) {
	l := Log{Origin: t.Origin}
	for i := range t.Keys {
		k := &t.Keys[i]
		if k.Purpose != verify.PurposeCheckpoint || k.CompromisedAt != nil {
			continue
		}
		vkey, err := noteKey(t.Origin, k)
		if err != nil {
			return Log{}, err
		}
		l.Keys = append(l.Keys, vkey)
	}
	if len(l.Keys) == 0 {
		return Log{}, caos.Errorf(caos.Invalid, "the trust file has no checkpoint key that counts").WithField("trust")
	}
	return l, nil
}

// Server answers for one witness. Its methods may be called from any goroutine.
type Server struct {
	folder *Folder
	now    func() time.Time
	log    *slog.Logger
	mux    *http.ServeMux
	logs   map[string]note.Verifiers
	byHash map[string]string // origin by its hash
	slots  chan struct{}     // one for each request under way

	mu    sync.Mutex // held from the look at the last size until the new one is durable
	state state
}

// NewServer makes a witness of some logs from an open folder. Errors: Invalid (log) for an
// origin or key that cannot be.
func NewServer(f *Folder, logs []Log, now func() time.Time, logger *slog.Logger) (*Server, error) {
	if now == nil {
		now = time.Now
	}
	if logger == nil {
		logger = slog.Default()
	}
	s := &Server{folder: f, now: now, log: logger, mux: http.NewServeMux(), logs: map[string]note.Verifiers{}, byHash: map[string]string{},
		slots: make(chan struct{}, 64), state: f.was}
	if len(logs) == 0 || len(logs) > maxLogs {
		return nil, caos.Errorf(caos.Invalid, "a witness has 1 to %d logs", maxLogs).WithField("log").WithHint("--log ORIGIN=KEY for each, or --trust with the trust file of a log")
	}
	for _, l := range logs {
		if s.logs[l.Origin] != nil {
			return nil, caos.Errorf(caos.Invalid, "the log %.80q is there twice", l.Origin).WithField("log")
		}
		keys, err := l.verifiers()
		if err != nil {
			return nil, err
		}
		s.logs[l.Origin] = keys
		sum := sha256.Sum256([]byte(l.Origin))
		s.byHash[hex.EncodeToString(sum[:])] = l.Origin
	}
	s.mux.HandleFunc("POST /add-checkpoint", s.bounded(s.add))
	s.mux.HandleFunc("GET /{hash}/checkpoint", s.bounded(s.checkpoint))
	s.mux.HandleFunc("GET /metadata", s.bounded(s.metadata))
	return s, nil
}

func (l Log) verifiers() (note.Verifiers, error) {
	if err := verify.CheckOrigin(l.Origin); err != nil {
		return nil, caos.AsError(err).WithField("log")
	}
	var all []note.Verifier
	seen := map[string]bool{}
	for _, k := range l.Keys {
		v, err := note.NewVerifier(k)
		if err != nil {
			return nil, caos.Errorf(caos.Invalid, "the key of the log %.80q is not a verifier key of signed notes", l.Origin).WithField("log").
				WithHint("as example.com/log+0123abcd+AQ…; a trust file of CAOS is given with --trust")
		}
		if id := fmt.Sprint(v.Name(), v.KeyHash()); !seen[id] { // package note refuses to tell two of one name and number apart
			seen[id] = true
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return nil, caos.Errorf(caos.Invalid, "the log %.80q has no key", l.Origin).WithField("log")
	}
	return note.VerifierList(all...), nil
}

// ServeHTTP answers by the paths of tlog-witness: add-checkpoint, <origin hash>/checkpoint; and
// metadata in words.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	s.mux.ServeHTTP(w, r)
}

// bounded lets so many requests in at once and no more: signatures cost time, and nobody
// who asks is known.
func (s *Server) bounded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			h(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "busy", http.StatusServiceUnavailable)
		}
	}
}

// refusal is an answer other than 200.
type refusal struct {
	status int
	size   int64 // of the newest checkpoint, for 409
	words  string
}

func (r *refusal) Error() string { return r.words }

func refuse(status int, format string, args ...any) error {
	return &refusal{status: status, words: fmt.Sprintf(format, args...)}
}

func (s *Server) add(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest+1))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the request broke off", http.StatusBadRequest)
		return
	}
	line, err := s.Add(body)
	var no *refusal
	switch {
	case err == nil:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write(line)
	case !errors.As(err, &no):
		s.log.Error("a checkpoint could not be cosigned", slog.Any("error", err))
		http.Error(w, "internal error", http.StatusInternalServerError)
	case no.status == http.StatusConflict:
		w.Header().Set("Content-Type", "text/x.tlog.size")
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, strconv.FormatInt(no.size, 10)+"\n")
	default:
		if no.status == http.StatusUnprocessableEntity {
			// Signed by the log, and against what it had signed before: that is evidence.
			s.log.Error("a log contradicts itself", slog.String("why", no.words), slog.String("request", string(body)))
		}
		http.Error(w, no.words, no.status)
	}
}

// Add cosigns the checkpoint of a request, if it extends the last one, and returns the
// signature line. The new checkpoint is durable when it returns. The checks come in the order
// of the specification.
func (s *Server) Add(body []byte) (line []byte, err error) {
	req, err := ParseRequest(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%s", caos.AsError(err).Message)
	}
	n, c, badEmpty, err := s.open(req.Checkpoint)
	if err != nil {
		return nil, err
	}
	if req.Old > c.Size {
		return nil, refuse(http.StatusBadRequest, "the old size is larger than that of the checkpoint")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last, err := s.last(c.Origin)
	if err != nil {
		return nil, err
	}
	if req.Old != last.Size {
		return nil, &refusal{status: http.StatusConflict, size: last.Size, words: "the old size is not that of the last checkpoint"}
	}
	if badEmpty {
		return nil, refuse(http.StatusUnprocessableEntity, "an empty tree has another root")
	}
	if err := verify.CheckConsistency(req.Proof, last, c); err != nil {
		return nil, refuse(http.StatusUnprocessableEntity, "%s: %s", c.Origin, caos.AsError(err).Message)
	}
	return s.cosign(n, c.Origin)
}

// open reads a signed checkpoint of one of the logs, with the log's signatures that are right.
// badEmpty says that it is of an empty tree with a root that no empty tree has, which is
// refused later than what is malformed.
func (s *Server) open(signed []byte) (n *note.Note, c verify.Checkpoint, badEmpty bool, err error) {
	origin, _, _ := strings.Cut(string(signed), "\n")
	keys := s.logs[origin]
	if keys == nil {
		return nil, c, false, refuse(http.StatusNotFound, "the log is not known here")
	}
	n, err = note.Open(signed, keys)
	var unverified *note.UnverifiedNoteError
	var wrong *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return nil, c, false, refuse(http.StatusForbidden, "no key of the log has signed the checkpoint")
	case errors.As(err, &wrong):
		return nil, c, false, refuse(http.StatusForbidden, "a signature of the log is wrong")
	case err != nil:
		return nil, c, false, refuse(http.StatusBadRequest, "the checkpoint is not a signed note")
	}
	text := n.Text
	if lines := strings.SplitN(text, "\n", 4); len(lines) == 4 && lines[1] == "0" {
		empty, _ := tlog.TreeHash(0, nil)
		badEmpty = lines[2] != empty.String()
		lines[2] = empty.String()
		text = strings.Join(lines, "\n")
	}
	if c, err = verify.ParseCheckpoint([]byte(text)); err != nil {
		return nil, c, false, refuse(http.StatusBadRequest, "the checkpoint is malformed: %s", caos.AsError(err).Message)
	}
	return n, c, badEmpty, nil
}

// last is the newest checkpoint of a log that was cosigned, that of the empty tree if none
// was. s.mu is held.
func (s *Server) last(origin string) (verify.Checkpoint, error) {
	e, ok := s.state.Logs[origin]
	if !ok {
		root, err := tlog.TreeHash(0, nil)
		return verify.Checkpoint{Origin: origin, Root: root}, err
	}
	text, _, _ := strings.Cut(e.Checkpoint, "\n\n")
	return verify.ParseCheckpoint([]byte(text + "\n"))
}

// cosign signs, remembers and only then hands out. s.mu is held.
func (s *Server) cosign(n *note.Note, origin string) ([]byte, error) {
	at := s.now().UTC().Truncate(time.Second)
	if was, ok := s.state.Logs[origin]; ok && was.At.After(at) {
		at = was.At // a clock that was put back does not make an older statement of a newer tree
	}
	line, signed, err := s.folder.key.cosign(n, at)
	if err != nil {
		return nil, err
	}
	next := state{Version: 1, Key: s.state.Key, Logs: maps.Clone(s.state.Logs)}
	next.Logs[origin] = entry{Checkpoint: string(signed), At: at}
	err = s.folder.save(next)
	if err == nil || errors.Is(err, errUnsynced) {
		// Where it is not known whether the file will be the new one or the old, the new one is
		// remembered: what was cosigned for it stays here.
		s.state = next
	}
	if err != nil {
		return nil, err
	}
	return line, nil
}

// checkpoint answers with the newest checkpoint of a log: its text, the log's signatures and
// our cosignature.
func (s *Server) checkpoint(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	e, ok := s.state.Logs[s.byHash[r.PathValue("hash")]]
	s.mu.Unlock()
	if !ok {
		http.Error(w, "no checkpoint of this log was cosigned", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = io.WriteString(w, e.Checkpoint)
}

// metadata says in words who this is, which logs it cosigns and how far.
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	logs := s.state.Logs
	s.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "A witness of transparency logs (c2sp.org/tlog-witness).\nIt cosigns a checkpoint that extends the last one it cosigned, and says nothing about what is in a log.\n\nname  %s\nkey   %s\n\n",
		s.folder.key.Name(), s.folder.key.String())
	for _, origin := range slices.Sorted(maps.Keys(s.logs)) {
		e, ok := logs[origin]
		if !ok {
			fmt.Fprintf(&b, "log   %s: none of its checkpoints yet\n", origin)
			continue
		}
		lines := strings.SplitN(e.Checkpoint, "\n", 3)
		fmt.Fprintf(&b, "log   %s: %s leaves, cosigned %s\n", origin, lines[1], caos.FormatTime(e.At))
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, b.String())
}
