package importer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"caos"
	"caos/internal/registry"

	"github.com/Masterminds/semver/v3"
)

// shape is what the value of a known key looks like.
type shape string

const (
	text     shape = "a text"
	maybe    shape = "a text or null"
	day      shape = "a day (YYYY-MM-DD)"
	maybeDay shape = "a day (YYYY-MM-DD) or null"
	truth    shape = "true or false"
	number   shape = "a number"
	texts    shape = "a list of texts"
	oneModel shape = "a model id"
	models   shape = "a list of model ids"
)

// section is a known list of a registry: which key names an entry, and the keys that are
// known. The key that names it is needed; of the others, models need some (modelEntry).
type section struct {
	name, id, kind string
	keys           map[string]shape
}

// sections are the lists of a registry in their order in the file.
func sections() []section {
	return []section{
		{"models", "model_id", "model", map[string]shape{
			"model_id": oneModel, "model_name": text, "version": text, "status": text, "freeze_date": maybeDay, "baseline_id": maybe,
			"industrialization_phase": maybe, "target_platforms": texts, "safety_level": text, "certification_basis": maybe, "owner": maybe,
			"production_ready": truth, "prr_date": maybeDay, "release_target": maybe,
		}},
		{"data_pipelines", "pipeline_id", "pipeline", map[string]shape{
			"pipeline_id": text, "pipeline_name": text, "version": text, "status": text, "associated_models": models, "data_sources": texts,
			"etl_frequency": text, "data_volume_gb": number, "quality_score": number, "owner": text, "last_validated": maybeDay,
		}},
		{"mlops_infrastructure", "component_id", "infrastructure", map[string]shape{
			"component_id": text, "component_name": text, "version": text, "status": text, "platform": text, "deployment_targets": texts,
			"automation_level": text, "monitored_metrics": texts, "alert_channels": texts, "owner": text, "last_updated": maybeDay, "associated_models": models,
		}},
		{"hardware_targets", "target_id", "hardware-target", map[string]shape{
			"target_id": text, "target_name": text, "qualification_status": text, "qualification_date": maybeDay, "environmental_testing": text,
			"performance_validated": truth, "associated_models": models, "supplier": text, "owner": text,
		}},
		{"supply_chain_components", "component_id", "supply-chain-component", map[string]shape{
			"component_id": text, "component_name": text, "version": text, "component_type": text, "supplier": text, "license": text,
			"provenance_verified": truth, "security_scan_status": text, "qualification_status": text, "associated_models": models, "owner": text,
		}},
		{"dpp_blockchain_components", "component_id", "passport-component", map[string]shape{
			"component_id": text, "component_name": text, "version": text, "blockchain_network": text, "contract_address": text,
			"deployment_status": text, "audit_status": text, "associated_models": models, "owner": text,
		}},
		{"verification_validation_activities", "activity_id", "vv-activity", map[string]shape{
			"activity_id": text, "activity_name": text, "activity_type": text, "status": text, "associated_model": oneModel,
			"planned_start": maybeDay, "planned_end": maybeDay, "completion_percentage": number, "owner": text,
		}},
		{"certification_activities", "activity_id", "certification-activity", map[string]shape{
			"activity_id": text, "activity_name": text, "regulatory_authority": text, "certification_basis": text, "status": text,
			"associated_model": oneModel, "evidence_package_status": text, "submission_target": maybeDay, "owner": text,
		}},
		{"change_log", "", "change-log-entry", map[string]shape{
			"date": day, "version": text, "change_type": text, "description": text, "author": text,
		}},
	}
}

// metadata is the section that describes the registry itself.
const metadata = "registry_metadata"

func metadataKeys() map[string]shape {
	return map[string]shape{"name": text, "version": text, "date": day, "owner": text, "status": text, "description": text}
}

// modelEntry is what a registry states about a version of a model.
type modelEntry struct {
	ModelID, Name, Version, Status, FreezeDay, Baseline, Phase, Level, Regime, Owner, Release string
	Platforms                                                                                 []string // nil if the entry has none
	Ready                                                                                     bool
}

// reading is a registry being read.
type reading struct {
	*source
	plan    *Plan
	unknown notes          // about unknown keys
	words   map[string]int // how many entries without an id have the same words
}

// readRegistry reads an industrialisation registry.
func readRegistry(s *source, p *Plan) error {
	root, err := s.parse()
	if err != nil {
		return err
	}
	p.Kind = Registry
	if root.kind != '{' || root.get("models") == nil && root.get(metadata) == nil {
		return s.at(root.start, "", "this JSON is no industrialisation registry").
			WithHint("it has %q and lists such as \"models\" at its top; of other JSON files nothing can be imported", metadata)
	}
	r := &reading{source: s, plan: p, words: map[string]int{}}
	known := sections()
	if len(root.members) > maxLists {
		return s.at(root.members[maxLists].at, "", "the registry has more than %d sections", maxLists)
	}
	for _, m := range root.members {
		i := slices.IndexFunc(known, func(k section) bool { return k.name == m.key })
		switch {
		case m.key == metadata:
			err = r.metadata(m.val)
		case i >= 0:
			err = r.section(known[i], m.val)
		default:
			err = r.other(m)
		}
		if err != nil {
			return err
		}
		if len(p.items) > maxEntries {
			return s.at(m.at, m.key, "the file has more than %d entries", maxEntries).WithHint("divide the file")
		}
	}
	if len(p.items) == 0 {
		return s.at(root.start, "", "the registry has no entry").WithHint("nothing can be imported from it")
	}
	p.notes = r.unknown.all()
	r.arrange()
	return r.copies()
}

// arrange puts the models first, and of one model the lower version first: a version has to
// be higher than those before it.
func (r *reading) arrange() {
	first := map[string]int{}
	for i, it := range r.plan.items {
		if _, seen := first[it.modelID()]; !seen {
			first[it.modelID()] = i
		}
	}
	slices.SortStableFunc(r.plan.items, func(a, b item) int {
		switch {
		case a.model == nil && b.model == nil:
			return 0
		case a.model == nil:
			return 1
		case b.model == nil:
			return -1
		case a.model.ModelID != b.model.ModelID:
			return first[a.model.ModelID] - first[b.model.ModelID]
		}
		return compareVersions(a.model.Version, b.model.Version)
	})
	r.plan.latest, r.plan.naming = map[string]string{}, map[string][]int{}
	for i, it := range r.plan.items {
		if it.model != nil {
			r.plan.latest[it.model.ModelID] = it.model.Version
		}
		for _, id := range it.models {
			r.plan.naming[id] = append(r.plan.naming[id], i)
		}
	}
}

// copies refuses a file whose entries would fill industrialisation records: each has a copy of
// all entries that name its model.
func (r *reading) copies() error {
	all := 0
	for id, list := range r.plan.naming {
		if r.plan.latest[id] == "" {
			continue
		}
		part := 0
		for _, i := range list {
			part += len(r.plan.items[i].body) + 1
		}
		if all += part; part > maxPart || all > maxCopies {
			it := r.plan.items[list[len(list)-1]]
			return r.where(it.line, 1, it.section, "the entries that name %s have %d bytes together, too many for its industrialisation record", id, part).
				WithHint("divide the file, or name fewer models in an entry")
		}
	}
	return nil
}

func (it item) modelID() string {
	if it.model == nil {
		return ""
	}
	return it.model.ModelID
}

// compareVersions orders versions that were checked.
func compareVersions(a, b string) int {
	va, err := semver.StrictNewVersion(a)
	vb, err2 := semver.StrictNewVersion(b)
	if err != nil || err2 != nil {
		return strings.Compare(a, b)
	}
	return va.Compare(vb)
}

func (r *reading) metadata(n *node) error {
	if n.kind != '{' {
		return r.wrong(n, metadata, "an object")
	}
	if err := r.keys(n, metadata, metadataKeys()); err != nil {
		return err
	}
	return r.keep(item{section: metadata, kind: "registry"}, n, "/"+metadata)
}

// section reads a known list.
func (r *reading) section(k section, n *node) error {
	if n.kind != '[' {
		return r.wrong(n, k.name, "a list")
	}
	seen := map[string]int{}
	for i, one := range n.items {
		path := fmt.Sprintf("%s[%d]", k.name, i)
		if one.kind != '{' {
			return r.wrong(one, path, "an object")
		}
		if err := r.keys(one, path, k.keys); err != nil {
			return err
		}
		it := item{section: k.name, kind: k.kind, models: r.named(one)}
		id := one.get(k.id)
		switch {
		case k.id == "":
		case id == nil || strings.TrimSpace(id.text) == "":
			return r.at(one.start, path+"."+k.id, "the entry has no %s", k.id)
		default:
			if err := caos.CheckID("resource", "", id.text); err != nil {
				return r.refuse(id.start, path+"."+k.id, err)
			}
			it.entry, it.subject = id.text, id.text
		}
		if k.name == "models" {
			m, err := r.model(one, path)
			if err != nil {
				return err
			}
			it.model, it.models, it.entry = m, nil, registry.VersionKey(m.ModelID, m.Version)
		}
		if it.entry != "" {
			if line := seen[it.entry]; line > 0 {
				return r.at(id.start, path+"."+k.id, "%s is there already, in line %d", it.entry, line).WithHint("remove one of the two entries")
			}
			seen[it.entry], _ = r.place(one.start)
		}
		if err := r.keep(it, one, "/"+k.name+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// other keeps a section that is not known: a list of objects entry by entry, anything else
// whole.
func (r *reading) other(m member) error {
	if len(m.key) > 64 || m.key == "" || strings.ContainsFunc(m.key, control) {
		return r.at(m.at, clip(m.key), "the name of a section has 1 to 64 bytes without control characters")
	}
	line, _ := r.place(m.at)
	r.unknown.add("line %d: the section %s is not known; it is kept whole", line, m.key)
	pointer := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(m.key)
	if m.val.kind != '[' || len(m.val.items) == 0 || slices.ContainsFunc(m.val.items, func(n *node) bool { return n.kind != '{' }) {
		return r.keep(item{section: m.key, kind: "unknown-section"}, m.val, pointer)
	}
	for i, one := range m.val.items {
		if err := r.keep(item{section: m.key, kind: "unknown-entry", models: r.named(one)}, one, pointer+"/"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// named returns the models that an entry names.
func (r *reading) named(n *node) []string {
	var out []string
	for _, key := range []string{"associated_models", "associated_model", "model_id"} {
		v := n.get(key)
		if v == nil {
			continue
		}
		for _, one := range append([]*node{v}, v.items[:min(len(v.items), maxNamed)]...) {
			if one.kind == '"' && caos.CheckID("model", "", one.text) == nil && !slices.Contains(out, one.text) {
				out = append(out, one.text)
			}
		}
	}
	return out
}

// keep adds an entry. Of one without an id its words are the name, so that another entry
// before it makes no difference.
func (r *reading) keep(it item, n *node, pointer string) error {
	var b bytes.Buffer
	if err := json.Compact(&b, r.data[n.start:n.end]); err != nil {
		return caos.Wrap(caos.Internal, err, "%s: an entry cannot be copied", r.name)
	}
	it.body, it.pointer = b.Bytes(), pointer
	it.line, _ = r.place(n.start)
	if len(it.body) > maxEntry {
		return r.at(n.start, strings.Trim(pointer, "/"), "the entry has %d bytes, the limit is %d", len(it.body), maxEntry)
	}
	if it.entry == "" && it.kind != "registry" && it.kind != "unknown-section" {
		sum := sha256.Sum256(it.body)
		it.entry = "#" + hex.EncodeToString(sum[:8])
		key := it.section + it.entry
		if r.words[key]++; r.words[key] > 1 {
			it.entry += "-" + strconv.Itoa(r.words[key])
		}
	}
	r.plan.items = append(r.plan.items, it)
	return nil
}

// keys checks the values of known keys and notes the others.
func (r *reading) keys(n *node, path string, known map[string]shape) error {
	for _, m := range n.members {
		at := path + "." + m.key
		sh, ok := known[m.key]
		if !ok {
			line, _ := r.place(m.at)
			r.unknown.add("line %d: %s is not known; it is kept in the statement", line, clip(at))
			continue
		}
		if err := r.value(m.val, at, sh); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) value(n *node, path string, sh shape) error {
	switch sh {
	case maybe, maybeDay:
		if n.kind == 'n' {
			return nil
		}
	case truth:
		if n.kind != 't' && n.kind != 'f' {
			return r.wrong(n, path, string(sh))
		}
		return nil
	case number:
		if n.kind != '0' {
			return r.wrong(n, path, string(sh))
		}
		return nil
	case texts, models:
		if n.kind != '[' {
			return r.wrong(n, path, string(sh))
		}
		if len(n.items) > maxNamed {
			return r.at(n.start, path, "the list has %d items, the limit is %d", len(n.items), maxNamed)
		}
		one := map[shape]shape{texts: text, models: oneModel}[sh]
		for i, item := range n.items {
			if err := r.value(item, fmt.Sprintf("%s[%d]", path, i), one); err != nil {
				return err
			}
		}
		return nil
	}
	if n.kind != '"' {
		return r.wrong(n, path, string(sh))
	}
	if len(n.text) > maxCell {
		return r.at(n.start, path, "the text has %d bytes, the limit is %d", len(n.text), maxCell)
	}
	var err error
	switch sh {
	case day, maybeDay:
		if n.text == "" {
			return r.wrong(n, path, string(sh))
		}
		err = registry.CheckDate("", n.text)
	case oneModel:
		err = caos.CheckID("model", "", n.text)
	}
	if err != nil {
		return r.refuse(n.start, path, err)
	}
	return nil
}

// wrong refuses a value of the wrong type.
func (r *reading) wrong(n *node, path, want string) error {
	return r.at(n.start, path, "%s belongs here, not %s", want, n.what())
}

// what names a value's type.
func (n *node) what() string {
	switch n.kind {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return fmt.Sprintf("the text %q", clip(n.text))
	case '0':
		return "a number"
	case 't':
		return "true"
	case 'f':
		return "false"
	}
	return "null"
}

// get returns the value of a key, nil for none.
func (n *node) get(key string) *node {
	for _, m := range n.members {
		if m.key == key {
			return m.val
		}
	}
	return nil
}

// model reads an entry of the models, whose keys were checked.
func (r *reading) model(n *node, path string) (*modelEntry, error) {
	for _, key := range []string{"model_id", "model_name", "version", "safety_level"} {
		if v := n.get(key); v == nil || strings.TrimSpace(v.text) == "" {
			return nil, r.at(n.start, path+"."+key, "the model has no %s", key)
		}
	}
	m := modelOf(n)
	refuse := func(key string, err error) error { return r.refuse(n.get(key).start, path+"."+key, err) }
	if err := caos.CheckID("version", "", m.Version); err != nil {
		return nil, refuse("version", err)
	}
	if _, err := semver.StrictNewVersion(m.Version); err != nil {
		return nil, refuse("version", caos.Errorf(caos.Invalid, "%q is not a semantic version", clip(m.Version)).WithHint("write it as MAJOR.MINOR.PATCH"))
	}
	if !slices.Contains(registry.SafetyLevels(), m.Level) {
		return nil, refuse("safety_level", caos.Errorf(caos.Invalid, "%q is no safety level", clip(m.Level)).
			WithHint("one of %s", strings.Join(registry.SafetyLevels(), ", ")))
	}
	if m.Phase != "" && !slices.Contains(registry.Phases(), m.Phase) {
		return nil, refuse("industrialization_phase", caos.Errorf(caos.Invalid, "%q is no phase", clip(m.Phase)).
			WithHint("one of %s", strings.Join(registry.Phases(), ", ")))
	}
	if m.Baseline != "" {
		if _, _, err := registry.ParseBaselineID(m.Baseline); err != nil {
			return nil, refuse("baseline_id", err)
		}
	}
	for key, f := range map[string]struct {
		text string
		most int
	}{"model_name": {m.Name, 200}, "certification_basis": {m.Regime, 64}, "release_target": {m.Release, 64}} {
		if len(f.text) > f.most || strings.ContainsFunc(f.text, control) {
			return nil, refuse(key, caos.Errorf(caos.Invalid, "one line of at most %d bytes belongs here", f.most))
		}
	}
	if len(m.Platforms) > 100 {
		return nil, refuse("target_platforms", caos.Errorf(caos.Invalid, "%d platforms, more than 100", len(m.Platforms)))
	}
	return m, nil
}

// modelOf reads an entry of the models by its exact keys.
func modelOf(n *node) *modelEntry {
	get := func(key string) string {
		if v := n.get(key); v != nil {
			return v.text
		}
		return ""
	}
	m := &modelEntry{
		ModelID: get("model_id"), Name: get("model_name"), Version: get("version"), Status: get("status"), FreezeDay: get("freeze_date"),
		Baseline: get("baseline_id"), Phase: get("industrialization_phase"), Level: get("safety_level"), Regime: get("certification_basis"),
		Owner: get("owner"), Release: get("release_target"),
	}
	if v := n.get("target_platforms"); v != nil {
		m.Platforms = []string{}
		for _, one := range v.items {
			m.Platforms = append(m.Platforms, one.text)
		}
	}
	ready := n.get("production_ready")
	m.Ready = ready != nil && ready.kind == 't'
	return m
}

// parseModel reads an entry that a statement kept.
func parseModel(body []byte) *modelEntry {
	p := &parser{data: body}
	return modelOf(p.value(0))
}
