package baseline

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"

	"caos"
)

// record is what lies beside a baseline: who wrote it, and the key that an export takes
// along. It is complete and synced before the folder has its name.
type record struct {
	Version      int    `json:"version"`       // 1
	BaselineID   string `json:"baseline_id"`   //
	Owner        string `json:"owner"`         // the execution that writes or wrote it
	Started      string `json:"started"`       // caos.TimeLayout
	Sealed       string `json:"sealed"`        // likewise, "" while it is being written
	Root         string `json:"root"`          // "SHA256:<hex>", "" while it is being written
	BundleDigest string `json:"bundle_digest"` // likewise
	KeyID        string `json:"key_id"`        //
	PublicKey    string `json:"public_key"`    // PEM
}

const maxRecord = 16 << 10

// locked is the record's file, held by one writer of the baseline. The kernel lets go of
// it however the process ends.
type locked struct {
	s    *Store
	id   string
	file *os.File
}

func recordName(id string) string { return recordsDir + "/" + id + ".json" }

// lock takes the record of a baseline, making an empty one if there is none. If somebody
// has it, that is an Unavailable error.
func (s *Store) lock(id string) (*locked, error) {
	for range 10 {
		f, err := s.root.OpenFile(recordName(id), os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0o640)
		if err != nil {
			return nil, diskError(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			return nil, caos.Wrap(caos.Unavailable, err, "the baseline %s is being written or removed", id).WithHint("try again when that is done")
		}
		// Who had it before may have removed the file; then this lock guards nothing.
		mine, err := f.Stat()
		if err == nil {
			var now fs.FileInfo
			if now, err = s.root.Lstat(recordName(id)); err == nil && os.SameFile(mine, now) {
				return &locked{s, id, f}, nil
			}
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, diskError(err)
		}
	}
	return nil, caos.Errorf(caos.Unavailable, "the baseline %s is being written or removed", id).WithHint("try again when that is done")
}

func (l *locked) close() { l.file.Close() }

// read returns the record, nil if it is empty or was half written.
func (l *locked) read() (*record, error) {
	if _, err := l.file.Seek(0, io.SeekStart); err != nil {
		return nil, diskError(err)
	}
	return readRecord(l.file, l.id)
}

func readRecord(r io.Reader, id string) (*record, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxRecord))
	if err != nil {
		return nil, diskError(err)
	}
	var rec record
	if json.Unmarshal(data, &rec) != nil || rec.Version != 1 || rec.BaselineID != id || rec.Owner == "" {
		return nil, nil
	}
	return &rec, nil
}

// write puts the record on disk. It is written in place, since the lock is on the file: a
// crash may leave half of it, but only while there is no folder that it speaks of.
func (l *locked) write(rec *record) error {
	text, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	if err := l.file.Truncate(0); err != nil {
		return diskError(err)
	}
	if _, err := l.file.WriteAt(append(text, '\n'), 0); err != nil {
		return diskError(err)
	}
	if err := l.s.sync(l.file); err != nil {
		return diskError(err)
	}
	return l.s.syncFolder(recordsDir)
}

// remove takes the record away; who waits for the lock finds that out.
func (l *locked) remove() error {
	if err := l.s.root.Remove(recordName(l.id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(err)
	}
	return l.s.syncFolder(recordsDir)
}

// record reads the record of a baseline without its lock, nil if there is none.
func (s *Store) record(id string) (*record, error) {
	f, err := s.root.OpenFile(recordName(id), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, diskError(err)
	}
	defer f.Close()
	return readRecord(f, id)
}

// Owner returns who wrote the baseline id or began to, "" when nobody did.
func (s *Store) Owner(id string) (string, error) {
	if err := CheckID("id", id); err != nil {
		return "", err
	}
	rec, err := s.record(id)
	if err != nil || rec == nil {
		return "", err
	}
	return rec.Owner, nil
}
