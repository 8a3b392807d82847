package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"caos"
	"caos/internal/httpapi"
	"caos/internal/registry"
)

func newModel(e *environment) *cobra.Command {
	show, update, version, convert, freeze := modelShow(e), modelUpdate(e), modelVersionCmd(e), modelConvert(e), modelFreeze(e)
	completed(e.ids("/v1/models", "model_id", "name"), show, update, version)
	completed(e.versions, convert, freeze)
	return parent("model", "Keep models, their versions and files", modelCreate(e), modelList(e), show, update, version, modelArtifact(e), convert, modelImport(e), freeze)
}

func modelPath(id string) string { return "/v1/models/" + escape(id) }

func modelCreate(e *environment) *cobra.Command {
	var b httpapi.NewModelBody
	c := &cobra.Command{
		Use: "create MODEL --name NAME", Short: "Register a model", Args: wants("MODEL"),
		Long: "Registers a model under an id NN-SYSTEM-SERIAL. You own it unless --owner says who does: its owner neither registers its V&V report nor approves its documents.",
		Example: "  caos model create NN-DLY-001 --name 'Arrival delay' --safety-level DAL-D --family MLP\n" +
			"  caos model create NN-FCS-001 --name 'Flight control' --safety-level DAL-A --regime EASA_CS-25 --owner ada",
		RunE: func(c *cobra.Command, args []string) error {
			if b.ModelID = args[0]; b.Owner != "" {
				if err := caos.CheckID("user", "owner", b.Owner); err != nil {
					return err
				}
			}
			if err := caos.CheckID("model", "model_id", b.ModelID); err != nil {
				return err
			}
			m, body, err := ask[registry.Model](c.Context(), e, posting("/v1/models", b))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.model(m) })
		},
	}
	f := c.Flags()
	f.StringVar(&b.Name, "name", "", "what it is, in a few words")
	f.StringVar(&b.Family, "family", "", "kind of model, such as MLP")
	f.StringVar(&b.SafetyLevel, "safety-level", "", "from DAL-A to DAL-E; left out while it is not assessed")
	f.StringVar(&b.Regime, "regime", "", "rules that it is certified under, such as EASA_CS-25")
	f.StringVar(&b.Owner, "owner", "", "account that answers for it; yours if left out")
	f.StringVar(&b.Project, "project", "", "yours if left out")
	f.StringVar(&b.Classification, "classification", "", "who may know of it: "+strings.Join(caos.Classifications(), ", "))
	f.StringVar(&b.Description, "description", "", "in a paragraph")
	words(c, "safety-level", registry.SafetyLevels())
	words(c, "classification", caos.Classifications())
	_ = c.MarkFlagRequired("name")
	return c
}

// model writes a model for people.
func (e *environment) model(m *registry.Model) {
	e.pairs(pair{"model", m.ModelID}, pair{"name", m.Name}, pair{"family", m.Family}, pair{"safety level", m.SafetyLevel}, pair{"regime", m.Regime},
		pair{"owner", m.Owner}, pair{"owned before", strings.Join(m.FormerOwners, ", ")}, pair{"project", m.Project}, pair{"classification", m.Classification},
		pair{"description", m.Description}, pair{"registered", byWhom(moment(m.CreatedAt), m.CreatedBy)},
		pair{"changed", fmt.Sprintf("%s (revision %d)", moment(m.UpdatedAt), m.Revision)})
}

func modelList(e *environment) *cobra.Command {
	l := listed[registry.Model]{path: "/v1/models", head: []string{"model", "safety", "owner", "project", "changed", "name"}, drop: []string{"project", "changed"}, row: func(m registry.Model) []string {
		return []string{m.ModelID, orDash(m.SafetyLevel), m.Owner, orDash(m.Project), moment(m.UpdatedAt), m.Name}
	}}
	var family, owner, project string
	c := &cobra.Command{
		Use: "list", Short: "List models, latest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l.query = query("family", family, "owner", owner, "project", project)
			return l.show(c.Context(), e)
		},
	}
	l.page.bind(c)
	c.Flags().StringVar(&family, "family", "", "of this kind")
	c.Flags().StringVar(&owner, "owner", "", "of this account")
	c.Flags().StringVar(&project, "project", "", "of this project")
	return c
}

func modelShow(e *environment) *cobra.Command {
	return &cobra.Command{
		Use: "show MODEL|MODEL@VERSION", Short: "Show a model with its versions, or a version with its files", Args: wants("MODEL or MODEL@VERSION"),
		Example: "  caos model show NN-DLY-001\n  caos model show NN-DLY-001@1.0.0",
		RunE: func(c *cobra.Command, args []string) error {
			if strings.Contains(args[0], "@") {
				model, version, err := modelVersion(args[0])
				if err != nil {
					return err
				}
				return e.showVersion(c.Context(), model, version)
			}
			return e.showModel(c.Context(), args[0])
		},
	}
}

func (e *environment) showModel(ctx context.Context, id string) error {
	if err := caos.CheckID("model", "model_id", id); err != nil {
		return err
	}
	m, body, err := ask[registry.Model](ctx, e, getting(modelPath(id), nil))
	if err != nil {
		return err
	}
	var versions []registry.Version
	if !e.machine() {
		cl, err := e.connect()
		if err != nil {
			return err
		}
		if versions, _, err = list[registry.Version](ctx, cl, modelPath(id)+"/versions", nil, paging{all: true}); err != nil {
			return err
		}
	}
	return e.give(body, func() {
		e.model(m)
		e.line("")
		e.fitted([]string{"version", "state", "files", "baseline", "changed", "framework"}, rowsOf(versions, func(v registry.Version) []string {
			return []string{v.Version, string(v.State), strconv.Itoa(v.Artifacts), orDash(v.BaselineID), moment(v.UpdatedAt), v.Framework}
		}), "changed")
	})
}

func (e *environment) showVersion(ctx context.Context, model, version string) error {
	v, body, err := ask[registry.Version](ctx, e, getting(versionPath(model, version), nil))
	if err != nil {
		return err
	}
	if e.machine() {
		return e.give(body, nil)
	}
	cl, err := e.connect()
	if err != nil {
		return err
	}
	files, _, err := unpaged[registry.Artifact](ctx, cl, versionPath(model, version)+"/artifacts", nil)
	if err != nil {
		return err
	}
	made, _, err := unpaged[registry.Conversion](ctx, cl, versionPath(model, version)+"/conversions", nil)
	if err != nil {
		return err
	}
	documents, _, err := list[registry.Document](ctx, cl, "/v1/documents", query("model_id", model, "model_version", version, "latest", "true"), paging{all: true})
	if err != nil && caos.KindOf(err) != caos.Denied { // who may not see documents sees the rest
		return err
	}
	e.version(v)
	e.line("")
	e.artifacts(files)
	for _, x := range made {
		e.conversion(&x)
	}
	if len(documents) > 0 {
		e.line("")
		e.fitted(documentHead(), rowsOf(documents, documentRow), append([]string{"about"}, documentDrop()...)...)
	}
	return nil
}

// version writes a version for people.
func (e *environment) version(v *registry.Version) {
	e.pairs(pair{"model", v.ModelID}, pair{"version", v.Version}, pair{"state", string(v.State)}, pair{"being frozen by", v.Freezing},
		pair{"frozen", when(v.FrozenAt)}, pair{"freeze", v.FreezeID}, pair{"baseline", v.BaselineID}, pair{"framework", v.Framework}, pair{"supersedes", v.Supersedes},
		pair{"compatible with", strings.Join(v.CompatibleWith, ", ")}, pair{"safety impact", v.SafetyImpact},
		pair{"certification impact", v.CertificationImpact}, pair{"description", v.Description},
		pair{"registered", byWhom(moment(v.CreatedAt), v.CreatedBy)}, pair{"changed", fmt.Sprintf("%s (revision %d)", moment(v.UpdatedAt), v.Revision)})
}

// versionFlags are what is said of a version.
func versionFlags(c *cobra.Command) {
	f := c.Flags()
	f.String("framework", "", "what it was made with, such as 'PyTorch 2.9'")
	f.String("supersedes", "", "earlier version that it replaces")
	f.StringSlice("compatible-with", nil, "versions that it can stand in for, such as 2.0.x")
	f.String("safety-impact", "", "in words")
	f.String("certification-impact", "", "in words")
}

func versionFields() []string {
	return []string{"framework", "supersedes", "compatible-with", "safety-impact", "certification-impact", "description"}
}

func modelVersionCmd(e *environment) *cobra.Command {
	c := &cobra.Command{
		Use: "version MODEL VERSION", Short: "Register a version of a model", Args: versionArgs,
		Long: "Registers a version: a semantic version higher than all there are. Attach its files with caos model artifact add; " +
			"what is said of it can be changed with caos model update until it is frozen.",
		Example: "  caos model version NN-DLY-001 1.0.0 --framework 'PyTorch 2.9'\n" +
			"  caos model version NN-DLY-001 1.1.0 --supersedes 1.0.0 --compatible-with 1.0.x --safety-impact none",
		RunE: func(c *cobra.Command, args []string) error {
			model, version, err := modelVersion(strings.Join(args, "@"))
			if err != nil {
				return err
			}
			body := given(c, versionFields()...)
			body["version"] = version
			v, answer, err := ask[registry.Version](c.Context(), e, posting(modelPath(model)+"/versions", body))
			if err != nil {
				return err
			}
			return e.give(answer, func() { e.version(v) })
		},
	}
	versionFlags(c)
	c.Flags().String("description", "", "in a paragraph")
	return c
}

// versionArgs takes MODEL VERSION, and MODEL@VERSION too.
func versionArgs(c *cobra.Command, args []string) error {
	if len(args) == 1 && strings.Contains(args[0], "@") {
		return nil
	}
	return wants("MODEL", "VERSION")(c, args)
}

func modelUpdate(e *environment) *cobra.Command {
	var revision string
	ofModel := []string{"name", "family", "safety-level", "regime", "owner", "classification", "description"}
	c := &cobra.Command{
		Use: "update MODEL|MODEL@VERSION", Short: "Change what is said of a model, or of a version that is not frozen", Args: wants("MODEL or MODEL@VERSION"),
		Example: "  caos model update NN-DLY-001 --owner bob\n  caos model update NN-DLY-001@1.0.0 --safety-impact 'none: advisory only'",
		RunE: func(c *cobra.Command, args []string) error {
			model, version, fields, others := args[0], "", ofModel, versionFields()
			if strings.Contains(args[0], "@") {
				var err error
				if model, version, err = modelVersion(args[0]); err != nil {
					return err
				}
				fields, others = others, fields
			}
			body := given(c, fields...)
			for name := range given(c, others...) {
				if _, both := body[name]; !both {
					return usage("%s does not have it", args[0]).WithField(name).WithHint("models have %s; versions %s", flagsOf(ofModel), flagsOf(versionFields()))
				}
			}
			if len(body) == 0 {
				return usage("nothing is to be changed").WithHint("give at least one of %s", flagsOf(fields))
			}
			if version != "" {
				v, answer, err := ask[registry.Version](c.Context(), e, patching(versionPath(model, version), body, revision))
				if err != nil {
					return err
				}
				return e.give(answer, func() { e.version(v) })
			}
			m, answer, err := ask[registry.Model](c.Context(), e, patching(modelPath(model), body, revision))
			if err != nil {
				return err
			}
			return e.give(answer, func() { e.model(m) })
		},
	}
	f := c.Flags()
	f.String("name", "", "of the model")
	f.String("family", "", "of the model")
	f.String("safety-level", "", "of the model: DAL-A to DAL-E")
	f.String("regime", "", "of the model")
	f.String("owner", "", "of the model")
	f.String("classification", "", "of the model and all that belongs to it")
	f.String("description", "", "of either")
	versionFlags(c)
	f.StringVar(&revision, "revision", "", "only if it is still at this revision")
	words(c, "safety-level", registry.SafetyLevels())
	words(c, "classification", caos.Classifications())
	return c
}

func flagsOf(names []string) string { return "--" + strings.Join(names, ", --") }

func modelConvert(e *environment) *cobra.Command {
	var b httpapi.NewConversionBody
	var parameters []string
	c := &cobra.Command{
		Use: "convert MODEL@VERSION --from NAME --to NAME", Short: "Record how one file of a version was made from another", Args: wants("MODEL@VERSION"),
		Long:    "Records a conversion that was done: which file became which, by what tool. Name with --equivalence the document or evidence that shows that both compute the same.",
		Example: "  caos model convert NN-DLY-001@1.0.0 --from model.pt --to model.onnx --tool torch.onnx --tool-version 2.9.1 --parameter opset=17",
		RunE: func(c *cobra.Command, args []string) error {
			model, version, err := modelVersion(args[0])
			if err != nil {
				return err
			}
			if b.Parameters, err = assignments("parameter", parameters); err != nil {
				return err
			}
			x, body, err := ask[registry.Conversion](c.Context(), e, posting(versionPath(model, version)+"/conversions", b))
			if err != nil {
				return err
			}
			return e.give(body, func() { e.conversion(x) })
		},
	}
	f := c.Flags()
	f.StringVar(&b.From, "from", "", "file of the version")
	f.StringVar(&b.To, "to", "", "file that was made from it")
	f.StringVar(&b.Tool, "tool", "", "what made it")
	f.StringVar(&b.ToolVersion, "tool-version", "", "its version")
	f.StringArrayVar(&parameters, "parameter", nil, "what the tool was given, as NAME=VALUE")
	f.StringVar(&b.Equivalence, "equivalence", "", "id of the document or evidence that shows that both compute the same")
	for _, name := range []string{"from", "to", "tool", "tool-version"} {
		_ = c.MarkFlagRequired(name)
	}
	return c
}

// assignments reads NAME=VALUE flags.
func assignments(flag string, list []string) (map[string]any, error) {
	out := map[string]any{}
	for _, s := range list {
		name, value, ok := strings.Cut(s, "=")
		if _, twice := out[name]; !ok || name == "" || twice {
			return nil, usage("%q is not NAME=VALUE, or comes twice", s).WithField(flag)
		}
		out[name] = value
	}
	return out, nil
}

func (e *environment) conversion(x *registry.Conversion) {
	shown := "; nothing shows that both compute the same"
	if x.Equivalence != "" {
		shown = "; " + x.Equivalence + " shows that both compute the same"
	}
	e.prose("%s became %s by %s%s", x.From, x.To, strings.TrimSpace(x.Tool+" "+x.ToolVersion), shown)
}
