package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/dpp"
	"caos/internal/verify"
)

// The page of a passport is for people who hold a part, a file or a link, and who need not
// trust this server: it says what the signature proves, and how to check that elsewhere. Its
// one script checks the passport in the reader's browser. The page is complete without it,
// and the policy that comes with the page names script and style sheet by their digests, so
// that nothing else can run. Script and style stand in the page itself: browsers differ in
// whether they take the digest of a file that they have to fetch.

var (
	//go:embed passport.css
	passportCSS string
	//go:embed passport.html
	passportHTML string
	//go:embed passport_verify.js
	passportScript string
)

// passportSheet is the parsed template, and the policy that names its script and style.
type passportSheet struct {
	page *template.Template
	csp  string
}

func newPassportSheet() passportSheet {
	funcs := template.FuncMap{
		"style":  func() template.HTML { return template.HTML("<style>" + passportCSS + "</style>") },      //nolint:gosec // our own file
		"script": func() template.HTML { return template.HTML("<script>" + passportScript + "</script>") }, //nolint:gosec // our own file
		"bytes":  sizeInWords,
		"day":    func(t string) string { return strings.Replace(t[:min(len(t), 19)], "T", " ", 1) + " UTC" },
		"at":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"count":  countOf,
	}
	return passportSheet{
		page: template.Must(template.New("passport").Funcs(funcs).Parse(passportHTML)),
		csp: "default-src 'none'; style-src " + cspHash(passportCSS) + "; script-src " + cspHash(passportScript) +
			"; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}
}

// cspHash names an inline script or style sheet in a Content-Security-Policy.
func cspHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// registerPassportScript serves the script as a file too, for people who want to read it or
// to compare it with the published one.
func (a *API) registerPassportScript() {
	sum := sha256.Sum256([]byte(passportScript))
	a.plain(get("/assets/passport_verify.js", anyone()).as("passport-script", "passports", "The script by which a passport's page checks the passport in a browser").
		about("The pages carry the same text. Whoever does not trust this server trusts no script of it either, and takes caos-verify."),
		huma.Operation{Responses: binary("200", "JavaScript", scriptMedia)}, func(c *call) error {
			c.set("Cache-Control", "no-cache")
			return c.signed([]byte(passportScript), verify.FormatHash(sum), scriptMedia)
		})
}

// sizeInWords writes a number of bytes as people read it.
func sizeInWords(n int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if n < 1000 {
		return countOf(n, "byte", "bytes")
	}
	v, u := float64(n)/1000, 0
	for ; v >= 999.5 && u < len(units)-1; u++ {
		v /= 1000
	}
	return strconv.FormatFloat(v, 'f', 1, 64) + " " + units[u] + " (" + strconv.FormatInt(n, 10) + " bytes)"
}

func countOf(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return caos.GroupDigits(strconv.FormatInt(n, 10)) + " " + many
}

// scriptMedia is the type of scripts.
const scriptMedia = "text/javascript"

// passportView is what the page shows.
type passportView struct {
	Row      *dpp.Passport
	Subject  verify.PassportSubject
	Issued   string
	Happened string // what the event means, in words
	Holds    bool   // this server checked the signature just now
	Problem  string // why it does not hold
	Sandbox  bool
	Stolen   bool // the key was reported compromised since
	Closed   bool // the model is classified: the page is shown to this reader alone
	Others   []*dpp.Passport
	More     bool // there are further passports than those
	Evidence int64
	Base     string
	Explorer string // where people look at the transaction on the chain; "" for nowhere
	QR       template.HTML
	History  []passportLine

	// For who may read the passport, which SignedIn says; Stranger is who is not signed in.
	SignedIn string
	Stranger bool
	Annex    *annexView
	Links    []passportLink
	Items    []passportLink // of evidence
}

// happened says what an event means.
func happened(e dpp.Event) string {
	switch e {
	case dpp.Freeze:
		return "This version was frozen: its files were copied into write-once storage, hashed and signed. They cannot change without being noticed."
	case dpp.Deployment:
		return "This version was deployed to where it does its work."
	case dpp.Certification:
		return "This version reached a milestone of its certification."
	case dpp.Rollback:
		return "This version was taken out of service again, and an earlier one put in its place."
	case dpp.Retirement:
		return "This version was retired. It is not to be used any more."
	}
	return ""
}

// passportPage answers with the page, or with the credential where that is wanted.
func (a *API) passportPage(c *call) error {
	c.set("Vary", "Accept, Authorization")
	if c.r.URL.Query().Has("signin") && len(c.r.Header["Authorization"]) == 0 {
		// A browser brings no token of its own accord until it was asked for one. Nothing is
		// looked up before, so that the question tells nothing.
		return caos.Errorf(caos.Unauthenticated, "an API token is needed to see what is not public").WithField("Authorization").
			WithHint("give any name, and the token as the password")
	}
	row, err := a.publicPassport(c, a.passportByID(c))
	if err != nil {
		return err
	}
	media := negotiate(c.r.Header["Accept"], pageType, credentialMedia, jsonLDMedia, jsonMedia)
	if media != pageType {
		return a.writeCredential(c, row, media)
	}
	v, err := a.passportView(c, row)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := a.passportSheet.page.Execute(&b, v); err != nil {
		return fmt.Errorf("page of %s: %w", row.PassportID, err)
	}
	c.set("Content-Security-Policy", a.passportSheet.csp)
	c.set("Content-Type", pageType+"; charset=utf-8")
	c.set("Link", `<`+dpp.PagePath(row.PassportID)+`/credential>; rel="alternate"; type="`+credentialMedia+`"`)
	c.set("Content-Length", strconv.Itoa(b.Len()))
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(b.Bytes()) // nobody is left to tell
	}
	return nil
}

// checkPassport checks a credential against the trust file of the log that has its record,
// at the leaf of that record: what a key signed before it was retired or stolen still counts.
// alone reports whether it also counts for those who do not know of the record.
func (a *API) checkPassport(ctx context.Context, row *dpp.Passport, raw []byte) (c *verify.Credential, alone bool, err error) {
	rec, err := a.Log.Get(ctx, row.RecordID)
	if err != nil {
		return nil, false, err
	}
	trust, err := a.Log.TrustOf(ctx, rec.Generation)
	if err != nil {
		return nil, false, err
	}
	if c, err = verify.CheckCredentialAt(raw, trust, rec.Index); err != nil {
		return nil, false, err
	}
	_, errAlone := verify.CheckCredential(raw, trust)
	return c, errAlone == nil, nil
}

// othersShown is how many passports of the same version a page lists.
const othersShown = 20

func (a *API) passportView(c *call, row *dpp.Passport) (*passportView, error) {
	raw, err := a.Passports.Credential(row)
	if err != nil {
		return nil, err
	}
	v := &passportView{Row: row, Happened: happened(row.Event), Closed: !openToAll(row.Classification), Base: a.BaseURL, Stranger: c.by.ID == ""}
	if v.QR, err = qrPicture(row.Page); err != nil {
		return nil, err
	}
	if row.ChainTxID != nil && a.Chain != nil {
		v.Explorer = a.Chain.ExplorerURL(*row.ChainTxID)
	}
	cred, alone, err := a.checkPassport(c.ctx(), row, raw)
	if caos.KindOf(err) != caos.Invalid && err != nil {
		return nil, err
	}
	if err != nil {
		v.Problem = err.Error() // shown in place of the facts: nothing else of it can be relied on
		return v, nil
	}
	v.Stolen = !alone
	v.Holds, v.Subject, v.Issued = true, cred.Subject, row.IssuedAt.Format("2006-01-02 15:04:05 UTC")
	v.Sandbox = (&verify.Report{Origin: cred.Subject.LogOrigin}).Sandbox()
	list, next, err := a.Passports.List(c.ctx(), dpp.Filter{ModelID: row.ModelID, Version: row.Version, Limit: othersShown}, "")
	if err != nil {
		return nil, err
	}
	// One that was issued while the model was classified is not for everybody now.
	v.Others = slices.DeleteFunc(list, func(p *dpp.Passport) bool {
		return !openToAll(p.Classification) && (c.by.ID == "" || a.Auth.Allow(c.by, "passport:read", passportResource(p)) != nil)
	})
	v.More = next != ""
	if v.Evidence, err = a.Passports.Linked(c.ctx(), row.PassportID); err != nil {
		return nil, err
	}
	if c.by.ID != "" && a.Auth.Allow(c.by, "passport:read", passportResource(row)) == nil {
		v.SignedIn = c.by.ID
	}
	if err := a.passportLines(c, row, v); err != nil {
		return nil, err
	}
	if v.SignedIn == "" {
		return v, nil
	}
	return v, a.restrictedView(c, row, v)
}
