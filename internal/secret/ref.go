package secret

import (
	"regexp"
	"strings"

	"caos"
)

// Ref names one value of a vault. It is no secret itself.
type Ref struct {
	Path string `json:"path"` // such as "s3/lake": words between slashes
	Key  string `json:"key"`  // such as "secret_key"
}

// The names of values. A word begins with a letter or digit, so that no path is relative.
var (
	pathForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}(/[A-Za-z0-9][A-Za-z0-9._-]{0,63}){0,7}$`)
	keyForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

const scheme = "vault:"

// ParseRef reads vault:PATH#KEY. What is no reference is not repeated in the error: somebody
// may have written the value itself where its name belongs.
func ParseRef(s string) (Ref, error) {
	bad := caos.Errorf(caos.Invalid, "it is no reference to a secret").WithHint("write vault:PATH#KEY, such as vault:s3/lake#secret_key, and put the value there with: caos secret put PATH KEY")
	rest, ok := strings.CutPrefix(s, scheme)
	if !ok || len(s) > 1024 {
		return Ref{}, bad
	}
	path, key, ok := strings.Cut(rest, "#")
	r := Ref{Path: path, Key: key}
	if !ok || r.Check() != nil {
		return Ref{}, bad
	}
	return r, nil
}

// Check refuses a name that is none.
func (r Ref) Check() error {
	if err := checkPath(r.Path); err != nil {
		return err
	}
	return checkKey("key", r.Key)
}

func checkPath(path string) error {
	if !pathForm.MatchString(path) {
		return caos.Errorf(caos.Invalid, "%.80q is not the path of a secret", path).WithField("path").
			WithHint("up to 8 words between slashes, each of at most 64 letters, digits, - _ . and begun by a letter or digit")
	}
	return nil
}

func checkKey(field, key string) error {
	if !keyForm.MatchString(key) {
		return caos.Errorf(caos.Invalid, "%.80q is not the key of a secret", key).WithField(field).
			WithHint("at most 64 letters, digits, - _ . and begun by a letter or digit")
	}
	return nil
}

// String is how configuration names the value.
func (r Ref) String() string { return scheme + r.Path + "#" + r.Key }
