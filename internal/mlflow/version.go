package mlflow

import (
	"context"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"caos"
)

// Version is a registered model version, with the run that made it.
type Version struct {
	Name        string    `json:"name"`
	Version     int       `json:"version"`
	Description string    `json:"description,omitempty"`
	Status      string    `json:"status,omitempty"`
	Stage       string    `json:"stage,omitempty"` // of the registry before aliases; "" for none
	Aliases     []string  `json:"aliases,omitempty"`
	User        string    `json:"user,omitempty"`
	Source      string    `json:"source,omitempty"` // as the server calls it, "models:/m-…"
	RunID       string    `json:"run_id,omitempty"`
	CreatedAt   time.Time `json:"created_at,omitzero"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
	Tags        []Tag     `json:"tags,omitempty"`       // of this version, by key
	ModelTags   []Tag     `json:"model_tags,omitempty"` // of the registered model, by key
	Flavors     []string  `json:"flavors,omitempty"`    // of the file MLmodel: "sklearn", "onnx", "python_function"
	Size        int64     `json:"size"`                 // bytes of all files

	Run   *Run   `json:"run,omitempty"` // nil if it names none, or the run was deleted
	Files []File `json:"files,omitempty"`

	folder string // in the artifact proxy
}

// Run is the run of an experiment.
type Run struct {
	RunID        string    `json:"run_id"`
	Name         string    `json:"name,omitempty"`
	ExperimentID string    `json:"experiment_id,omitempty"`
	User         string    `json:"user,omitempty"`
	Status       string    `json:"status,omitempty"`
	StartedAt    time.Time `json:"started_at,omitzero"`
	EndedAt      time.Time `json:"ended_at,omitzero"`
	Metrics      []Metric  `json:"metrics,omitempty"` // the last value of each, by key
	Params       []Tag     `json:"params,omitempty"`  // by key
	Tags         []Tag     `json:"tags,omitempty"`    // by key
}

// Metric is the last value of a metric. Value is a JSON number, or one of the strings
// "NaN", "Infinity", "-Infinity".
type Metric struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
	Step  integer         `json:"step"`
	At    time.Time       `json:"at,omitzero"`
}

// Tag is a key with its value: tags and parameters are such.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Tag returns the value of a tag of the version or, if it has none, of the registered
// model; "" if neither has one.
func (v *Version) Tag(key string) string {
	for _, list := range [][]Tag{v.Tags, v.ModelTags} {
		for _, t := range list {
			if t.Key == key {
				return t.Value
			}
		}
	}
	return ""
}

// integer is a whole number that a server may write as a number or, as protocol buffers
// do, as a string.
type integer int64

// UnmarshalJSON reads either form; a fraction is refused.
func (i *integer) UnmarshalJSON(text []byte) error {
	s := strings.Trim(string(text), `"`)
	if s == "null" || s == "" {
		*i = 0
		return nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return caos.Errorf(caos.Invalid, "%q is no whole number", clip(s))
	}
	*i = integer(n)
	return nil
}

// millis is a moment in milliseconds since 1970; anything outside of the years 1970-2199
// is none.
func (i integer) millis() time.Time {
	if i <= 0 || i > 7_258_118_400_000 {
		return time.Time{}
	}
	return time.UnixMilli(int64(i)).UTC()
}

type versionAnswer struct {
	Version struct {
		Name        string   `json:"name"`
		Version     integer  `json:"version"`
		Created     integer  `json:"creation_timestamp"`
		Updated     integer  `json:"last_updated_timestamp"`
		User        string   `json:"user_id"`
		Stage       string   `json:"current_stage"`
		Description string   `json:"description"`
		Source      string   `json:"source"`
		RunID       string   `json:"run_id"`
		Status      string   `json:"status"`
		Message     string   `json:"status_message"`
		Tags        []Tag    `json:"tags"`
		Aliases     []string `json:"aliases"`
	} `json:"model_version"`
}

type runAnswer struct {
	Run struct {
		Info struct {
			RunID        string  `json:"run_id"`
			Name         string  `json:"run_name"`
			ExperimentID string  `json:"experiment_id"`
			User         string  `json:"user_id"`
			Status       string  `json:"status"`
			Started      integer `json:"start_time"`
			Ended        integer `json:"end_time"`
		} `json:"info"`
		Data struct {
			Metrics []struct {
				Key   string          `json:"key"`
				Value json.RawMessage `json:"value"`
				At    integer         `json:"timestamp"`
				Step  integer         `json:"step"`
			} `json:"metrics"`
			Params []Tag `json:"params"`
			Tags   []Tag `json:"tags"`
		} `json:"data"`
	} `json:"run"`
}

const api = "/api/2.0/mlflow"

var flavor = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

// Version reads what src names: the version, its run and the list of its files. Errors:
// NotFound, Unauthenticated, Denied, Unavailable, TooLarge; Conflict for a version that is
// not ready; Invalid for an answer that cannot be right, or files that the server does not
// serve.
func (c *Client) Version(ctx context.Context, src Source) (*Version, error) {
	named := url.Values{"name": {src.Name}, "version": {strconv.Itoa(src.Version)}}
	var a versionAnswer
	if err := c.get(ctx, api+"/model-versions/get", named, &a); err != nil {
		return nil, err
	}
	v, err := a.version(src)
	if err != nil {
		return nil, err
	}
	var model struct {
		Model struct {
			Tags    []Tag `json:"tags"`
			Aliases []struct {
				Alias   string  `json:"alias"`
				Version integer `json:"version"`
			} `json:"aliases"`
		} `json:"registered_model"`
	}
	if err := c.get(ctx, api+"/registered-models/get", url.Values{"name": {src.Name}}, &model); err != nil {
		return nil, err
	}
	v.ModelTags = byKey(model.Model.Tags)
	for _, al := range model.Model.Aliases {
		if int(al.Version) == src.Version && !slices.Contains(v.Aliases, al.Alias) {
			v.Aliases = append(v.Aliases, al.Alias)
		}
	}
	slices.Sort(v.Aliases)
	if err := c.readRun(ctx, v); err != nil {
		return nil, err
	}
	var where struct {
		URI string `json:"artifact_uri"`
	}
	if err := c.get(ctx, api+"/model-versions/get-download-uri", named, &where); err != nil {
		return nil, err
	}
	if v.folder, err = c.folder(where.URI); err != nil {
		return nil, err
	}
	if v.Files, err = c.walk(ctx, v.folder); err != nil {
		return nil, err
	}
	if len(v.Files) == 0 {
		return nil, caos.Errorf(caos.NotFound, "version %d of %s has no files", v.Version, v.Name).WithField("source").WithHint("was the model logged, or only the run?")
	}
	for _, f := range v.Files {
		v.Size += f.Size
	}
	return v, c.readFlavors(ctx, v)
}

// version checks that the answer is about what was asked for.
func (a *versionAnswer) version(src Source) (*Version, error) {
	m := a.Version
	if m.Name != src.Name || int(m.Version) != src.Version {
		return nil, caos.Errorf(caos.Invalid, "%s answers with another version than %s %d", src.Host, src.Name, src.Version).WithField("source").
			WithHint("is the address that of an MLflow tracking server?")
	}
	if m.Status != "" && m.Status != "READY" {
		return nil, caos.Errorf(caos.Conflict, "version %d of %s is not ready: %s", src.Version, src.Name, clip(strings.TrimSpace(m.Status+" "+m.Message))).WithField("source").
			WithHint("wait until it is registered, or register it again")
	}
	v := &Version{Name: m.Name, Version: int(m.Version), Description: m.Description, Status: m.Status, Stage: m.Stage, Aliases: m.Aliases,
		User: m.User, Source: m.Source, RunID: m.RunID, CreatedAt: m.Created.millis(), UpdatedAt: m.Updated.millis(), Tags: byKey(m.Tags)}
	if v.Stage == "None" {
		v.Stage = ""
	}
	return v, nil
}

// readRun adds the run that made the version. Its metrics are taken from the run itself: the
// logged model of MLflow 3 gives other ones, in which NaN reads 0.
func (c *Client) readRun(ctx context.Context, v *Version) error {
	if v.RunID == "" {
		return nil
	}
	var a runAnswer
	err := c.get(ctx, api+"/runs/get", url.Values{"run_id": {v.RunID}}, &a)
	if caos.KindOf(err) == caos.NotFound {
		return nil // deleted; the version stands by itself
	}
	if err != nil {
		return err
	}
	info := a.Run.Info
	if info.RunID != v.RunID {
		return caos.Errorf(caos.Invalid, "%s answers with another run than %s", c.host, clip(v.RunID)).WithField("source")
	}
	r := &Run{RunID: info.RunID, Name: info.Name, ExperimentID: info.ExperimentID, User: info.User, Status: info.Status,
		StartedAt: info.Started.millis(), EndedAt: info.Ended.millis(), Params: byKey(a.Run.Data.Params), Tags: byKey(a.Run.Data.Tags)}
	for _, m := range a.Run.Data.Metrics {
		if !isNumber(m.Value) {
			return caos.Errorf(caos.Invalid, "%s gives the metric %q a value that is no number", c.host, clip(m.Key)).WithField("source")
		}
		r.Metrics = append(r.Metrics, Metric{Key: m.Key, Value: m.Value, Step: m.Step, At: m.At.millis()})
	}
	slices.SortStableFunc(r.Metrics, func(a, b Metric) int { return strings.Compare(a.Key, b.Key) })
	v.Run = r
	return nil
}

func isNumber(text json.RawMessage) bool {
	switch string(text) {
	case `"NaN"`, `"Infinity"`, `"-Infinity"`:
		return true
	}
	var f json.Number
	return len(text) > 0 && len(text) <= 64 && text[0] != '"' && text[0] != 'n' && json.Unmarshal(text, &f) == nil
}

func byKey(tags []Tag) []Tag {
	slices.SortStableFunc(tags, func(a, b Tag) int { return strings.Compare(a.Key, b.Key) })
	return tags
}

// maxMLmodel bounds the file that describes a model.
const maxMLmodel = 1 << 20

// readFlavors reads from the file MLmodel what kinds of model it is. A version without that
// file, or with one that cannot be read, has none: the files are what counts.
func (c *Client) readFlavors(ctx context.Context, v *Version) error {
	i := slices.IndexFunc(v.Files, func(f File) bool { return f.Path == "MLmodel" && f.Size <= maxMLmodel })
	if i < 0 {
		return nil
	}
	r, err := c.Open(ctx, v, v.Files[i])
	if err != nil {
		return err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	v.Flavors = flavors(text)
	return nil
}

// flavors are the names under "flavors:" of a file MLmodel, in order, at most 32. MLflow
// writes it as plain block YAML, so its lines are enough: a YAML parser would have to be
// guarded against what a stranger can do with depth and aliases.
func flavors(text []byte) []string {
	var names []string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if !strings.HasPrefix(line, " ") {
			inside = line == "flavors:"
			continue
		}
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "  "), ":")
		if !inside || !ok || rest != "" || !flavor.MatchString(name) || slices.Contains(names, name) {
			continue
		}
		if names = append(names, name); len(names) == 32 {
			break
		}
	}
	slices.Sort(names)
	return names
}
