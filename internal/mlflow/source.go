package mlflow

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"caos"
)

// Source names a registered model version on a tracking server.
type Source struct {
	Host    string // HOST or HOST:PORT
	Prefix  string // what the server's API lies under, "" or "/…" escaped
	Name    string // of the registered model
	Version int    // counts from 1
}

// maxName is MLflow's own bound on names.
const maxName = 256

// ParseSource reads mlflow://HOST[:PORT][/PREFIX]/NAME/VERSION. Errors: Invalid, with the
// field "source".
func ParseSource(s string) (Source, error) {
	bad := func(format string, args ...any) (Source, error) {
		return Source{}, caos.Errorf(caos.Invalid, format, args...).WithField("source").
			WithHint("give mlflow://HOST[:PORT]/NAME/VERSION, such as mlflow://mlflow.example.org/flight-delay/3")
	}
	if len(s) > 2048 || !utf8.ValidString(s) {
		return bad("this is no address of a model version")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "mlflow" || u.Opaque != "":
		return bad("%q is no address of a model version in MLflow", clip(s))
	case u.User != nil:
		return Source{}, caos.Errorf(caos.Invalid, "the address carries a user name or password").WithField("source").
			WithHint("set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, instead")
	case u.Hostname() == "" || strings.ContainsAny(u.Host, " \t\r\n"):
		return bad("the address has no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return bad("the address has something behind the version")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return bad("%q is no port", clip(p))
		}
	}
	parts := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	if len(parts) < 2 {
		return bad("the address names no model and version")
	}
	src := Source{Host: strings.ToLower(u.Host)}
	name, err := url.PathUnescape(parts[len(parts)-2])
	if err != nil || !validName(name) {
		return bad("%q is no name of a registered model", clip(name))
	}
	last := parts[len(parts)-1]
	n, err := strconv.ParseUint(last, 10, 31)
	if err != nil || n == 0 || last[0] == '0' || last[0] == '+' {
		return bad("%q is no version of a registered model", clip(last))
	}
	src.Name, src.Version = name, int(n)
	for _, p := range parts[:len(parts)-2] {
		if plain, err := url.PathUnescape(p); err != nil || checkComponent(plain) != "" {
			return bad("the address has a path that no server has")
		}
		src.Prefix += "/" + p
	}
	return src, nil
}

// validName holds MLflow's rule for names of registered models: no slash, no colon.
func validName(s string) bool {
	return s != "" && len(s) <= maxName && utf8.ValidString(s) && !strings.ContainsAny(s, "/:") && !control(s)
}

// String is the address again, in the one form that stands for it.
func (s Source) String() string {
	return "mlflow://" + s.Host + s.Prefix + "/" + url.PathEscape(s.Name) + "/" + strconv.Itoa(s.Version)
}

func control(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 })
}

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}
