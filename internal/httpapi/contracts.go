package httpapi

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"caos"
	"caos/internal/auth"
	"caos/internal/contract"
	"caos/internal/dataset"
	"caos/internal/db"
)

type contractList struct {
	Paging
	Project string `query:"project" maxLength:"100"`
}

// ContractPath names a contract.
type ContractPath struct {
	ID string `path:"contract_id" maxLength:"64" example:"95-00-09-02-004"`
}

type contractVersionPath struct {
	ContractPath
	Version string `query:"version" maxLength:"64" doc:"the latest if left out" example:"1.0.0"`
}

type contractPages struct {
	ContractPath
	Paging
}

// ContractView is a version of a contract with what it checks.
type ContractView struct {
	dataset.Contract
	Schema []contract.Object `json:"schema" nullable:"false" doc:"the tables that it describes, with the checks of each"`
}

// RegisteredContract is what came of a contract that was sent.
type RegisteredContract struct {
	Outcome  string                 `json:"outcome" enum:"CREATED,UNCHANGED,CHECKED" doc:"CHECKED: it is well formed, and nothing was to be kept"`
	Contract *dataset.Contract      `json:"contract"`
	Text     string                 `json:"text,omitempty" doc:"of an import: the contract that was made, YAML"`
	Report   *contract.ImportReport `json:"report,omitempty" doc:"of an import: what became of each expectation"`
}

func (a *API) registerContracts() {
	read, write := may("contract:read"), may("contract:write")
	operation(a, get("/v1/contracts", read).as("list-contracts", "contracts", "Data contracts, the latest version of each, latest registered first"), a.listContracts)
	scope := []*huma.Param{
		param("project", "query", "whose data it is about; the caller's if left out, and any project's if the caller has none", words()),
		param("classification", "query", "Internal if left out", &huma.Schema{Type: "string", Enum: anyOf(caos.Classifications())}),
	}
	dry := param("dry_run", "query", "say what it would be and keep nothing", &huma.Schema{Type: "boolean"})
	responses := a.answersWith("201", "It is registered, and was not before", RegisteredContract{})
	responses["200"] = a.answersWith("200", "It was there already, or nothing was to be kept", RegisteredContract{})["200"]
	a.plain(post("/v1/contracts", write).answers(http.StatusCreated).as("register-contract", "contracts", "Register a version of a data contract").
		about("The body is a document of the Open Data Contract Standard v3.1.0, YAML or JSON, at most 1 MiB. What its schema does not have is refused, and so are a metric, "+
			"an operator or a rule of an engine that CAOS does not know. The same version with the same content again changes nothing; with another content it is refused."),
		huma.Operation{
			Parameters:  append(slices.Clone(scope), dry),
			RequestBody: &huma.RequestBody{Required: true, Content: documents(&huma.Schema{Type: "object"})},
			Responses:   responses,
		}, a.registerContract)
	a.plain(post("/v1/contracts/import", write).as("import-expectations", "contracts", "Make a contract of a suite of Great Expectations").
		about("The body is a suite as Great Expectations 0.18 or 1.x writes it, JSON. The answer is the contract, and what became of each expectation: what has no counterpart is named, "+
			"never dropped. With register=true the contract is registered, too."),
		huma.Operation{
			Parameters: append(slices.Clone(scope), param("contract_id", "query", "of the contract that is made", words()),
				param("version", "query", "of the contract that is made; 1.0.0 if left out", words()),
				param("register", "query", "keep the contract", &huma.Schema{Type: "boolean"})),
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{}}}},
			Responses:   a.answersWith("200", "The contract and the report", RegisteredContract{}),
		}, a.importExpectations)
	operation(a, get("/v1/contracts/{contract_id}", read).as("get-contract", "contracts", "A version of a contract, with its checks"), a.getContract)
	operation(a, get("/v1/contracts/{contract_id}/versions", read).as("list-contract-versions", "contracts", "The versions of a contract, the highest first"), a.listContractVersions)
	a.plain(get("/v1/contracts/{contract_id}/document", read).as("get-contract-document", "contracts", "The contract as it was written"),
		huma.Operation{
			Parameters: []*huma.Param{param("contract_id", "path", "the contract", words()), param("version", "query", "the latest if left out", words())},
			Responses:  binary("200", "The text", "text/plain"),
		}, func(c *call) error {
			version, err := onlyQuery(c, "version")
			if err != nil {
				return err
			}
			k, err := a.contractNamed(c, c.path("contract_id"), version)
			if err != nil {
				return err
			}
			return c.text(k.Text)
		})
}

func anyOf(words []string) (out []any) {
	for _, w := range words {
		out = append(out, w)
	}
	return out
}

// contractResource is a contract as the policies see it.
func contractResource(k *dataset.Contract) auth.Resource {
	return auth.Resource{Type: "Contract", ID: k.ContractID, Project: k.Project, Classification: k.Classification, Owner: k.RegisteredBy}
}

// contractNamed returns a version of a contract, the latest if version is "", that the caller
// may see.
func (a *API) contractNamed(c *call, id, version string) (*dataset.Contract, error) {
	k, err := a.Datasets.Contract(c.ctx(), id, version)
	if err != nil {
		return nil, c.unknown("contract", err)
	}
	return k, a.seeFor(c, "contract:read", "contract", contractResource(k))
}

func (a *API) listContracts(c *call, p *contractList, _ *none) (Page[*dataset.Contract], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*dataset.Contract]{}, err
	}
	list, next, err := a.Datasets.Contracts(c.ctx(), dataset.ContractFilter{Project: onlyProject(sees, p.Project), Limit: p.Limit}, p.Cursor)
	return visible(sees, list, next, contractResource), err
}

func (a *API) listContractVersions(c *call, p *contractPages, _ *none) (Page[*dataset.Contract], error) {
	sees, err := a.visibility(c)
	if err != nil {
		return Page[*dataset.Contract]{}, err
	}
	if _, err := a.contractNamed(c, p.ID, ""); err != nil {
		return Page[*dataset.Contract]{}, err
	}
	list, next, err := a.Datasets.ContractVersions(c.ctx(), p.ID, p.Limit, p.Cursor)
	return visible(sees, list, next, contractResource), err
}

func (a *API) getContract(c *call, p *contractVersionPath, _ *none) (*ContractView, error) {
	k, err := a.contractNamed(c, p.ID, p.Version)
	if err != nil {
		return nil, err
	}
	parsed, err := contract.Parse(k.Text)
	if err != nil {
		return nil, err
	}
	return &ContractView{Contract: *k, Schema: filled(parsed.Objects)}, nil
}

// contractQuery is what the routes that register contracts take besides the text.
type contractQuery struct {
	id, version             string // of an import
	project, classification string
	keep, dry               bool
}

// readContractQuery reads the query strictly: a misspelt dry_run must not register anything.
func readContractQuery(c *call, allowed ...string) (q contractQuery, err error) {
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return q, caos.Errorf(caos.Invalid, "the query cannot be read").WithField("query")
	}
	for name, given := range values {
		if !slices.Contains(allowed, name) || len(given) > 1 || len(given[0]) > 100 {
			return q, caos.Errorf(caos.Invalid, "unknown, repeated or overlong query parameter").WithField(clip(name, 80)).WithHint("this route has %s", strings.Join(allowed, ", "))
		}
		switch value := given[0]; name {
		case "project":
			q.project = value
		case "classification":
			q.classification = value
		case "contract_id":
			q.id = value
		case "version":
			q.version = value
		case "register", "dry_run":
			if value != "true" && value != "false" {
				return q, caos.Errorf(caos.Invalid, "it is true or false").WithField(name)
			}
			if name == "register" {
				q.keep = value == "true"
			} else {
				q.dry = value == "true"
			}
		}
	}
	if q.classification != "" {
		if err := caos.CheckWord("classification", q.classification, caos.Classifications()); err != nil {
			return q, err
		}
	}
	return q, nil
}

func (a *API) registerContract(c *call) error {
	q, err := readContractQuery(c, "project", "classification", "dry_run")
	if err != nil {
		return err
	}
	if _, err := c.mediaType(); err != nil {
		return err
	}
	body, err := c.readBody(c.endpoint.bodyLimit())
	if err != nil {
		return err
	}
	q.keep = !q.dry
	out, err := a.takeContract(c, body, q)
	if err != nil {
		return err
	}
	if out.Outcome == "CREATED" {
		c.set("Location", "/v1/contracts/"+url.PathEscape(out.Contract.ContractID)+"?version="+url.QueryEscape(out.Contract.Version))
		return c.json(http.StatusCreated, out)
	}
	return c.json(http.StatusOK, out)
}

func (a *API) importExpectations(c *call) error {
	q, err := readContractQuery(c, "project", "classification", "contract_id", "version", "register")
	if err != nil {
		return err
	}
	if q.id == "" {
		return missing("contract_id")
	}
	if err := caos.CheckID("document", "contract_id", q.id); err != nil {
		return err
	}
	body, err := c.readBody(c.endpoint.bodyLimit())
	if err != nil {
		return err
	}
	text, report, err := contract.ImportExpectations(body, q.id, cmp.Or(q.version, "1.0.0"))
	if err != nil {
		return err
	}
	out, err := a.takeContract(c, text, q)
	if err != nil {
		return err
	}
	out.Text, out.Report = string(text), &report
	return c.json(http.StatusOK, out)
}

// takeContract reads a contract's text and, if it is to be kept, registers it.
func (a *API) takeContract(c *call, text []byte, q contractQuery) (*RegisteredContract, error) {
	k, err := dataset.ReadContract(text)
	if err != nil {
		return nil, err
	}
	sees, err := a.Auth.Visible(c.by, "contract:read", "Contract")
	if err != nil {
		return nil, err
	}
	k.Project, k.Classification = onlyProject(sees, cmp.Or(q.project, c.by.Project)), cmp.Or(q.classification, "Internal")
	res := contractResource(&k)
	res.Owner = c.by.ID
	if err := a.Auth.Allow(c.by, c.endpoint.Rule.Action, res); err != nil {
		return nil, err
	}
	if !q.keep {
		return &RegisteredContract{Outcome: "CHECKED", Contract: &k}, nil
	}
	out := &RegisteredContract{Outcome: "CREATED"}
	return out, a.DB.Update(c.ctx(), func(tx *db.Tx) error {
		out.Outcome = "CREATED"
		if err := a.authorize(c, tx, res); err != nil {
			return err
		}
		// A version takes the place of the former one: that must be the caller's to replace.
		former, err := a.Datasets.ContractIn(tx, k.ContractID, "")
		if err == nil {
			if err = a.authorize(c, tx, contractResource(former)); caos.KindOf(err) == caos.Denied {
				return caos.Wrap(caos.Conflict, err, "the id %s is taken", k.ContractID).WithField("id").WithRule("contract-id-free").WithHint("choose another id")
			}
		}
		if err != nil && caos.KindOf(err) != caos.NotFound {
			return err
		}
		if same, err := a.Datasets.ContractIn(tx, k.ContractID, k.Version); err == nil && same.Digest == k.Digest {
			out.Outcome = "UNCHANGED"
		}
		out.Contract, err = a.Datasets.RegisterContract(tx, k, c.data())
		return err
	})
}
