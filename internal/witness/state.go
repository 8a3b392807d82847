package witness

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/mod/sumdb/note"

	"caos"
	"caos/internal/verify"
)

// The files of a witness's folder.
const (
	keyFile   = "witness.key" // mode 0600
	stateFile = "state.json"
	lockFile  = "lock"
	// maxLogs bounds a state, which is written whole with every cosignature.
	maxLogs  = 1000
	maxState = maxLogs * 2 * verify.MaxCheckpoint
)

// state is what a witness remembers.
type state struct {
	Version int              `json:"version"` // 1
	Key     string           `json:"key"`     // verifier key of the witness whose state this is
	Logs    map[string]entry `json:"logs"`    // by origin
}

// entry is the newest checkpoint of a log that the witness cosigned.
type entry struct {
	Checkpoint string    `json:"checkpoint"` // the signed note, with our cosignature
	At         time.Time `json:"at"`         // when it was cosigned
}

// Folder is the folder of a witness, locked by this process.
type Folder struct {
	root *os.Root
	lock *os.File
	key  *Key
	was  state
	sync func(*os.Root) error // of the folder; replaced by tests
}

// Create makes the folder of a new witness: its key, and the state of one that has seen
// nothing. Error: Conflict when there is a key.
func Create(dir, name string) (*Key, error) {
	k, err := NewKey(name)
	if err != nil {
		return nil, err
	}
	f, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := f.root.Lstat(keyFile); !errors.Is(err, fs.ErrNotExist) {
		return nil, caos.Errorf(caos.Conflict, "there is a witness in %s", dir).WithField("data").
			WithHint("a witness keeps its key: caos witness key --data %s prints it; choose another folder for another witness", dir)
	}
	// The state goes first: a key without a state is a witness that has forgotten what it
	// cosigned, which is refused; a state without a key is nobody's.
	f.key = k
	if err := f.save(state{Version: 1, Key: k.String(), Logs: map[string]entry{}}); err != nil {
		return nil, err
	}
	if err := f.write(keyFile, []byte(k.secret())); err != nil {
		return nil, err
	}
	return k, nil
}

// Open opens the folder of a witness, and locks it. Errors: NotFound without a key; Conflict
// when another process has it, or when the state is missing.
func Open(dir string) (*Folder, error) {
	if _, err := os.Stat(filepath.Join(dir, keyFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, noWitness(dir)
	}
	f, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	if err := f.load(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func noWitness(dir string) error {
	return caos.Errorf(caos.NotFound, "there is no witness in %s", dir).WithField("data").WithHint("caos witness key --data %s --name witness.example/w1 makes one", dir)
}

// ReadKey returns the verifier key of the witness in a folder, which may be running.
func ReadKey(dir string) (string, error) {
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", noWitness(dir)
	}
	if err != nil {
		return "", caos.Wrap(caos.Unavailable, err, "the folder cannot be opened").WithField("data")
	}
	defer root.Close()
	k, err := readKey(root, dir)
	if err != nil {
		return "", err
	}
	return k.String(), nil
}

func readKey(root *os.Root, dir string) (*Key, error) {
	info, err := root.Lstat(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noWitness(dir)
	}
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the key file cannot be read").WithField("data")
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 || info.Size() > 4096 {
		return nil, caos.Errorf(caos.Denied, "the key file of the witness has mode %04o, so others may read it", info.Mode().Perm()).WithField("data").WithRule("key-file").
			WithHint("if nobody else can have read it: chmod 600; else make a new witness, and tell the logs")
	}
	text, err := root.ReadFile(keyFile)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the key file cannot be read").WithField("data")
	}
	return parsePrivate(string(text))
}

func lockFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the folder cannot be made").WithField("data")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, caos.Wrap(caos.Unavailable, err, "the folder cannot be opened").WithField("data")
	}
	lock, err := root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errors.Join(caos.Wrap(caos.Unavailable, err, "the folder cannot be locked").WithField("data"), root.Close())
	}
	f := &Folder{root: root, lock: lock, sync: syncFolder}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(caos.Wrap(caos.Conflict, err, "another process has the witness in %s", dir).WithField("data").
			WithHint("two would cosign two histories of one log: stop the other first"), f.Close())
	}
	return f, nil
}

// Close gives the folder back.
func (f *Folder) Close() error { return errors.Join(f.lock.Close(), f.root.Close()) }

// Key is the verifier key of the witness.
func (f *Folder) Key() string { return f.key.String() }

func (f *Folder) load(dir string) error {
	var err error
	if f.key, err = readKey(f.root, dir); err != nil {
		return err
	}
	lost := func(cause error, why string) error {
		return caos.Wrap(caos.Conflict, cause, "%s in %s %s", stateFile, dir, why).WithField("data").WithRule("witness-state").
			WithHint("a witness that forgot what it cosigned could be shown another history: restore the newest state, or make a new witness with a new key")
	}
	info, err := f.root.Stat(stateFile)
	if err != nil {
		return lost(err, "cannot be read")
	}
	if info.Size() > maxState {
		return lost(nil, "is too large")
	}
	text, err := f.root.ReadFile(stateFile)
	if err != nil {
		return lost(err, "cannot be read")
	}
	if err := json.Unmarshal(text, &f.was); err != nil || f.was.Version != 1 {
		return lost(err, "is not one that this program writes")
	}
	if f.was.Key != f.key.String() {
		return lost(nil, "is that of another key")
	}
	for origin, e := range f.was.Logs {
		// Our own signature says that nobody wrote another size into the file.
		n, err := note.Open([]byte(e.Checkpoint), note.VerifierList(f.key))
		if err != nil {
			return lost(err, fmt.Sprintf("holds a checkpoint of %.80q that this witness has not cosigned", origin))
		}
		if c, err := verify.ParseCheckpoint([]byte(n.Text)); err != nil || c.Origin != origin {
			return lost(err, fmt.Sprintf("holds a checkpoint under %.80q that is another's", origin))
		}
	}
	if f.was.Logs == nil {
		f.was.Logs = map[string]entry{}
	}
	return nil
}

// errUnsynced says that a file was put in place, and may be lost again by a power failure.
var errUnsynced = errors.New("the folder could not be synced")

// save makes a state durable: the old one stays whole until the new one is.
func (f *Folder) save(s state) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return f.write(stateFile, append(text, '\n'))
}

func (f *Folder) write(name string, text []byte) error {
	tmp := ".new-" + name
	out, err := f.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return caos.Wrap(caos.Unavailable, err, "%s could not be written", name)
	}
	_, err = out.Write(text)
	if err = errors.Join(err, out.Sync(), out.Close()); err == nil {
		err = f.root.Rename(tmp, name)
	}
	if err != nil {
		return caos.Wrap(caos.Unavailable, errors.Join(err, f.root.Remove(tmp)), "%s could not be written", name)
	}
	if err := f.sync(f.root); err != nil {
		return caos.Wrap(caos.Unavailable, errors.Join(errUnsynced, err), "%s could not be written", name)
	}
	return nil
}

func syncFolder(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
